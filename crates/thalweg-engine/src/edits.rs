//! What a step that may edit its own inputs did to them: a new version by it, or a new name.

use thalweg_core::{ContentHash, RelPath, Timestamp};
use thalweg_flow::planner::TaskInput;
use thalweg_flow::{Compare, Flow, Product};
use thalweg_ledger::{FileId, FileRow, FileState, Origin, Output, Reader, RunId, RunInput, RunOutput, Tx};
use thalweg_store::{Entry, Kind, Store};

use crate::classify::{Classifier, identity};
use crate::facts::file_fact;
use crate::scan::stat_of;
use crate::{EngineError, Places, Setup, probe};

/// One input that is not what it was.
pub(crate) struct Edit {
    /// The file that has another name now.
    renamed: Option<FileId>,
    /// The content before: its parts, if it is built up from parts, are in the new version too.
    before: Option<ContentHash>,
    /// The new version.
    output: Output,
    /// The same as the run's output.
    pub(crate) left: RunOutput,
}

impl Edit {
    /// Records it as the work of a run.
    pub(crate) fn record(
        &self,
        tx: &mut Tx<'_>,
        by: &str,
        run: Option<RunId>,
        now: Timestamp,
    ) -> Result<FileId, thalweg_ledger::Error> {
        if let Some(old) = self.renamed {
            tx.retire(old, by, &serde_json::json!([]), run, now)?;
        }
        if let (Some(before), Some(after)) = (self.before, self.left.content) {
            let of = &self.output.identity;
            tx.contributions_carry(&of.product, &of.fields_key, &before, &after)?;
        }
        tx.put_output(&self.output)
    }
}

/// An input as the run was given it.
pub(crate) struct Given<'a> {
    pub(crate) station: &'a str,
    pub(crate) path: &'a RelPath,
    pub(crate) product: &'a str,
    pub(crate) identity: &'a str,
    pub(crate) content: Option<ContentHash>,
}

impl<'a> From<&'a RunInput> for Given<'a> {
    fn from(input: &'a RunInput) -> Self {
        Self {
            station: &input.station,
            path: &input.path,
            product: &input.product,
            identity: &input.fields_key,
            content: input.content,
        }
    }
}

impl<'a> From<&'a TaskInput> for Given<'a> {
    fn from(input: &'a TaskInput) -> Self {
        Self {
            station: &input.station,
            path: &input.path,
            product: &input.product,
            identity: &input.identity,
            content: Some(input.hash),
        }
    }
}

/// What edits are looked for with.
pub(crate) struct Look<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) flow: &'a Flow,
    pub(crate) classifier: &'a Classifier,
    pub(crate) reader: &'a Reader,
    pub(crate) places: &'a Places,
    pub(crate) now: Timestamp,
}

impl Look<'_> {
    /// Returns what became of an input that the ledger has recorded at its path.
    pub(crate) fn edit(&self, given: &Given<'_>, run: Option<RunId>) -> Result<Option<Edit>, EngineError> {
        let station = given.station;
        let Some(row) = self.reader.file_at(station, given.path)? else { return Ok(None) };
        let Some(store) = self.places.store(station) else { return Ok(None) };
        let Some(product) = self.flow.products.get(given.product) else { return Ok(None) };
        let mut path = given.path.clone();
        let mut renamed = None;
        if matches!(store.stat(&path), Ok(None)) {
            let Some(new) = self.renamed(store.as_ref(), product, given) else {
                return Ok(None);
            };
            renamed = Some(row.id);
            path = new;
        }
        let Ok(found) = store.hash(&path, &mut |_| {}) else { return Ok(None) };
        // A listing may have met the new version before the run's end: it is the run's all the same.
        let fact = file_fact(self.flow, row.clone());
        if renamed.is_none() && Some(found.hash) == row.content && fact.hash == given.content {
            return Ok(None);
        }
        let Some((_, fields)) = self.classifier.product(self.flow, station, &path, false) else { return Ok(None) };
        let data_hash = probe::is_needed(product)
            .then(|| {
                let absolute = self.places.absolute(station, &path)?;
                probe::probe(self.setup, product, &absolute).ok()?.data_hash
            })
            .flatten();
        let mut all = row.fields.clone();
        all.extend(fields);
        let by_data = product.compare == Compare::Data;
        let output = Output {
            station: station.to_owned(),
            path,
            identity: identity(product, all, row.range(), self.now),
            stat: stat_of(&found.meta),
            content: found.hash,
            data_hash,
            indexed: crate::facts::indexed_fields(self.flow, &product.name).into_iter().collect(),
            origin: Origin::Made,
            run,
            verify_mode: "read".into(),
            at: self.now,
        };
        let left = RunOutput {
            product: product.name.clone(),
            fields_key: output.identity.fields_key.clone(),
            station: output.station.clone(),
            path: output.path.clone(),
            content: Some(if by_data { data_hash.unwrap_or(found.hash) } else { found.hash }),
            size: found.size,
            staged_name: String::new(),
            published: true,
        };
        Ok(Some(Edit { renamed, before: given.content, output, left }))
    }

    fn renamed(&self, store: &dyn Store, product: &Product, given: &Given<'_>) -> Option<RelPath> {
        let station = given.station;
        let mut found = None;
        let folder = given.path.parent();
        let mut filter = |_: &RelPath| false;
        let mut visit = |entry: Entry| {
            if let Entry::Found { path, meta } = entry
                && meta.kind == Kind::File
                && let Some((of, fields)) = self.classifier.product(self.flow, station, &path, false)
                && of.name == product.name
                && thalweg_flow::planner::identity_of_file(product, &fields) == given.identity
            {
                let known = self.reader.file_at(station, &path).ok().flatten();
                let another = |row: &FileRow| row.stat.size != meta.size || row.stat.ino != meta.ino;
                if known.is_none_or(|row| row.state != FileState::Present || another(&row)) {
                    found = Some(path);
                }
            }
            std::ops::ControlFlow::Continue(())
        };
        store.walk(&folder, &mut filter, &mut visit).ok()?;
        found
    }
}
