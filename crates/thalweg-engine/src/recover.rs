//! After a crash: runs that were cut off are brought to an end, staged outputs appear together or not at all, and no
//! temporary name stays. After a failure: what was made all the same is known for what it is.

use std::collections::BTreeSet;

use thalweg_core::{ContentHash, RelPath, Timestamp};
use thalweg_flow::planner::identity_of_file;
use thalweg_flow::{Compare, Verb};
use thalweg_ledger::{
    Contribution, FileId, FileRow, FileState, InputRef, Ledger, Origin, Output, RunEnd, RunOutput, RunRow, RunState,
};
use thalweg_store::{Kind, Meta, OldContent, Publish, Store, StoreError};

use crate::classify::{Classifier, identity};
use crate::edits::{Edit, Given, Look};
use crate::runner::staging_mark;
use crate::scan::{stat_of, stat_of_unit};
use crate::{EngineError, Places, Setup, probe};

/// Brings everything that an earlier engine left unfinished to an end; returns the stations where a bad file still stays.
pub(crate) fn recover(
    setup: &Setup,
    classifier: &Classifier,
    ledger: &Ledger,
    places: &Places,
) -> Result<BTreeSet<String>, EngineError> {
    let reader = ledger.reader()?;
    let now = setup.clock.now();
    let work = Work { look: Look { setup, flow: &setup.flow, classifier, reader: &reader, places, now }, ledger };
    let unfinished = reader.unfinished_runs()?;
    let mark = staging_mark(&reader)?;
    let left: Vec<(i64, String)> = unfinished.iter().map(|run| (run.id.0, format!("{mark}{}", run.id.0))).collect();
    setup.host.end_children(&left, &setup.state);
    for run in unfinished {
        let journalled = matches!(run.state, RunState::Staged | RunState::Publishing);
        if !(journalled && work.finish(&run)?) {
            let edits = work.edits(&run)?;
            let end = lost(now);
            let (id, by) = (run.id, format!("step {}", run.step));
            ledger.write(move |tx| {
                for edit in &edits {
                    edit.record(tx, &by, Some(id), now)?;
                }
                tx.run_finish(id, &end)
            })?;
        }
    }
    // Whatever a probe left belongs to none any more; if it cannot go, it only takes room.
    let _ = std::fs::remove_dir_all(setup.state.join("probes"));
    crate::aside::again(&setup.flow, ledger, &reader, places)
}

fn finished(now: Timestamp) -> RunEnd {
    RunEnd { message: Some("finished after a restart".into()), ..RunEnd::new(RunState::Done, now) }
}

fn lost(now: Timestamp) -> RunEnd {
    RunEnd {
        class: Some(thalweg_core::ErrorClass::Transient),
        message: Some("the engine ended before the run did".into()),
        ..RunEnd::new(RunState::Lost, now)
    }
}

/// One journalled output as it is found.
enum Found {
    Published(Meta),
    Staged { name: RelPath, standing: Option<Meta> },
}

/// What comes of looking for the outputs of a run that failed.
pub(crate) enum Again {
    /// None of them is there, or nothing that is not known.
    Nothing,
    /// What is there is recorded now as what the run made; with all of it there, the run is done.
    Recorded(Vec<FileId>),
    /// It cannot be said.
    Unclear(StoreError),
}

/// What is recorded of a run all of whose outputs have their names.
struct Whole {
    outputs: Vec<RunOutput>,
    end: RunEnd,
    /// What it worked into its outputs, and the versions whose parts these carry on.
    parts: Vec<(Contribution, Option<ContentHash>)>,
    edits: Vec<Edit>,
    /// What a move has taken away.
    sources: Vec<FileId>,
}

impl Whole {
    fn new(outputs: Vec<RunOutput>, end: RunEnd) -> Self {
        Self { outputs, end, parts: Vec::new(), edits: Vec::new(), sources: Vec::new() }
    }
}

/// What the end of one run is looked for with.
pub(crate) struct Work<'a> {
    pub(crate) look: Look<'a>,
    pub(crate) ledger: &'a Ledger,
}

impl Work<'_> {
    /// Publishes what is still staged of a journalled run, if all of it is there and may go to its place; tells if the run
    /// is done.
    pub(crate) fn finish(&self, run: &RunRow) -> Result<bool, EngineError> {
        let outputs = self.look.reader.run_outputs(run.id)?;
        let step = self.look.flow.steps.get(&run.step);
        let moves = step.is_some_and(|step| matches!(step.does, Verb::Move));
        let updates = step.is_some_and(thalweg_flow::Step::updates);
        if step.is_some_and(|step| brings(&step.does)) {
            return self.copies(run, outputs);
        }
        // Nothing is published before all is known to be whole and to have its place free.
        let mut found = Vec::new();
        for output in &outputs {
            let Some(store) = self.look.places.store(&output.station) else { return Ok(false) };
            match self.find(store.as_ref(), output, moves, updates)? {
                Some(one) => found.push((output, store, one)),
                None => return Ok(false),
            }
        }
        let mut rows = Vec::new();
        let mut whole = true;
        for (output, store, one) in found {
            let row = match published(store.as_ref(), output, one, moves) {
                Some(meta) => self.row(run, store.as_ref(), output, &meta),
                None => None,
            };
            whole &= row.is_some();
            rows.extend(row);
        }
        if !whole {
            self.record(run, rows, None)?;
            return Ok(false);
        }
        let mut all = Whole::new(outputs, finished(self.look.now));
        if moves {
            for input in self.look.reader.run_inputs(run.id)?.iter().filter(|input| input.role.is_empty()) {
                all.sources.extend(self.look.reader.file_at(&input.station, &input.path)?.map(|row| row.id));
            }
        }
        if updates {
            all.parts = self.parts(run, &rows)?;
        }
        // With all outputs there, the verb had come to its end: what it did to its inputs belongs to the run.
        all.edits = self.edits(run)?;
        self.record(run, rows, Some(all))?;
        Ok(true)
    }

    // What a run that may edit its inputs has done to them before it was cut off is its own work, not a change from
    // outside; the step is done again on what it left.
    fn edits(&self, run: &RunRow) -> Result<Vec<Edit>, EngineError> {
        if self.look.flow.steps.get(&run.step).is_none_or(|step| !step.edits) {
            return Ok(Vec::new());
        }
        let mut edits = Vec::new();
        for input in self.look.reader.run_inputs(run.id)?.iter().filter(|input| input.role.is_empty()) {
            edits.extend(self.look.edit(&Given::from(input), Some(run.id))?);
        }
        Ok(edits)
    }

    // What the run worked into each of its outputs, and the version whose parts that one carries on. A part that had
    // meanwhile another content is carried on with the old one, so that its key is looked at again.
    fn parts(&self, run: &RunRow, rows: &[Output]) -> Result<Vec<(Contribution, Option<ContentHash>)>, EngineError> {
        let inputs: Vec<InputRef> = self
            .look
            .reader
            .run_inputs(run.id)?
            .into_iter()
            .filter(|input| input.role.is_empty())
            .filter_map(|input| {
                Some(InputRef { product: input.product, fields_key: input.fields_key, content: input.content? })
            })
            .collect();
        let mut parts = Vec::new();
        for row in rows {
            let earlier =
                self.look.reader.file_at(&row.station, &row.path)?.and_then(|row| row.data_hash.or(row.content));
            let part = Contribution {
                product: row.identity.product.clone(),
                fields_key: row.identity.fields_key.clone(),
                content: row.data_hash.unwrap_or(row.content),
                step: run.step.clone(),
                step_version: run.step_version,
                key: run.key.clone(),
                identity: run.identity,
                run: Some(run.id),
                inputs: inputs.clone(),
                verb_version: run.verb_version.clone(),
            };
            parts.push((part, earlier));
        }
        Ok(parts)
    }

    // Copies that are there, whole, are the flow's own; the run is done if all are.
    fn copies(&self, run: &RunRow, outputs: Vec<RunOutput>) -> Result<bool, EngineError> {
        let (rows, _) = self.standing(run, &outputs);
        let all = rows.len() == outputs.len();
        if rows.is_empty() && !all {
            return Ok(false);
        }
        self.record(run, rows, all.then(|| Whole::new(outputs, finished(self.look.now))))?;
        Ok(all)
    }

    /// Looks for what a run that failed, or was lost, has made all the same: its outputs had their names when an error came,
    /// or their station could not be asked when the engine started. What is built upon has to be known for what it is.
    pub(crate) fn again(&self, run: &RunRow, outputs: Vec<RunOutput>) -> Result<Again, EngineError> {
        let (rows, unclear) = self.standing(run, &outputs);
        if let Some(error) = unclear {
            return Ok(Again::Unclear(error));
        }
        let all = rows.len() == outputs.len();
        let mut new = Vec::new();
        for row in rows {
            let known = self.look.reader.file_at(&row.station, &row.path)?;
            let own = |known: &FileRow| known.content == Some(row.content) && known.origin != Origin::Seen;
            if !known.as_ref().is_some_and(own) {
                new.push(row);
            }
        }
        if new.is_empty() && !all {
            return Ok(Again::Nothing);
        }
        let end = RunEnd { message: Some("what it made was there all the same".into()), ..finished(self.look.now) };
        Ok(Again::Recorded(self.record(run, new, all.then(|| Whole::new(outputs, end)))?))
    }

    // Outputs that have their names and are whole, flushed; and what kept others from being looked at.
    fn standing(&self, run: &RunRow, outputs: &[RunOutput]) -> (Vec<Output>, Option<StoreError>) {
        let brought = self.look.flow.steps.get(&run.step).is_some_and(|step| brings(&step.does));
        let origin = if brought { Origin::Delivered } else { Origin::Made };
        let mut rows = Vec::new();
        let mut unclear = None;
        for output in outputs {
            let Some(store) = self.look.places.store(&output.station) else { continue };
            let flushed = self
                .same(store.as_ref(), output, &output.path)
                .and_then(|found| found.map(|meta| store.flush(&output.path).map(|()| meta)).transpose());
            match flushed {
                Ok(found) => {
                    let row = found.and_then(|meta| self.row(run, store.as_ref(), output, &meta));
                    rows.extend(row.map(|row| Output { origin, ..row }));
                }
                Err(error) => unclear = Some(error),
            }
        }
        (rows, unclear)
    }

    // Records what is there as the run's own, and the run as done if that is all of it. What did get its name is the flow's
    // own also if the rest did not: the next attempt may replace it.
    fn record(&self, run: &RunRow, rows: Vec<Output>, whole: Option<Whole>) -> Result<Vec<FileId>, EngineError> {
        let (id, now, by) = (run.id, self.look.now, format!("step {}", run.step));
        Ok(self.ledger.write(move |tx| {
            let files = rows.iter().map(|row| tx.put_output(row)).collect::<Result<Vec<FileId>, _>>()?;
            let Some(Whole { outputs, end, parts, edits, sources }) = whole.as_ref() else { return Ok(files) };
            for (part, earlier) in parts {
                if let Some(earlier) = earlier {
                    tx.contributions_carry(&part.product, &part.fields_key, earlier, &part.content)?;
                }
                tx.contribute(part)?;
            }
            for edit in edits {
                edit.record(tx, &by, Some(id), now)?;
            }
            for source in sources {
                tx.retire(*source, &by, &serde_json::json!([]), Some(id), now)?;
            }
            let outputs = outputs.iter().map(|output| RunOutput { published: true, ..output.clone() });
            let edited = edits.iter().map(|edit| edit.left.clone());
            tx.run_staged(id, &outputs.chain(edited).collect::<Vec<_>>())?;
            tx.run_finish(id, end)?;
            Ok(files)
        })?)
    }

    // Finds an output under its final or its staging name; none if it is whole under neither, or if what stands at its
    // place is not the flow's own.
    fn find(
        &self,
        store: &dyn Store,
        output: &RunOutput,
        moves: bool,
        updates: bool,
    ) -> Result<Option<Found>, EngineError> {
        if let Ok(Some(meta)) = self.same(store, output, &output.path) {
            return Ok(Some(Found::Published(meta)));
        }
        if output.staged_name.is_empty() {
            return Ok(None);
        }
        let name = RelPath::from_text(output.staged_name.clone());
        if !matches!(self.same(store, output, &name), Ok(Some(_))) {
            return Ok(None);
        }
        let Ok(standing) = store.stat(&output.path) else { return Ok(None) };
        let free = match &standing {
            None => true,
            Some(_) if moves => false,
            Some(meta) => self.is_own(store, output, meta, updates)?,
        };
        Ok(free.then_some(Found::Staged { name, standing }))
    }

    // The same rule as for a run: only what the flow itself put there, and nobody has changed since, is replaced.
    fn is_own(&self, store: &dyn Store, output: &RunOutput, meta: &Meta, updates: bool) -> Result<bool, EngineError> {
        let Some(row) = self.look.reader.file_at(&output.station, &output.path)? else { return Ok(false) };
        let own = row.state == FileState::Present && (row.origin != Origin::Seen || updates);
        if !own || row.content.is_none() {
            return Ok(false);
        }
        let same = (meta.kind == Kind::Folder || meta.size == row.stat.size)
            && store.hash(&output.path, &mut |_| {}).is_ok_and(|found| Some(found.hash) == row.content);
        Ok(same)
    }

    fn same(&self, store: &dyn Store, output: &RunOutput, path: &RelPath) -> Result<Option<Meta>, StoreError> {
        if output.content.is_none() {
            return Ok(None);
        }
        // A product that is compared by data has the digest of its data in the journal.
        let product = self.look.flow.products.get(&output.product);
        let by_data = product.filter(|product| product.compare == Compare::Data);
        let Some(there) = store.stat(path)? else { return Ok(None) };
        if there.kind == Kind::File && there.size != output.size && by_data.is_none() {
            return Ok(None);
        }
        let found = match store.hash(path, &mut |_| {}) {
            Ok(found) => found,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if Some(found.hash) == output.content {
            return Ok(Some(found.meta));
        }
        let told = by_data
            .zip(self.look.places.absolute(&output.station, path))
            .and_then(|(product, path)| probe::probe(self.look.setup, product, &path).ok());
        let same = told.is_some_and(|told| told.data_hash == output.content);
        Ok(same.then_some(found.meta))
    }

    fn row(&self, run: &RunRow, store: &dyn Store, output: &RunOutput, meta: &Meta) -> Option<Output> {
        let flow = self.look.flow;
        let folder = meta.kind == Kind::Folder;
        let (product, mut fields) = self.look.classifier.product(flow, &output.station, &output.path, folder)?;
        // What stands in the content decides about what follows from it, as in a run that was not cut off. If it cannot be
        // read now, the next listing takes the file.
        let mut coverage = None;
        if probe::is_needed(product) {
            let place = self.look.places.absolute(&output.station, &output.path)?;
            let told = probe::probe(self.look.setup, product, &place).ok()?;
            fields.extend(told.fields);
            coverage = told.coverage;
        }
        let mut identity = identity(product, fields, coverage, self.look.now);
        if identity_of_file(product, &identity.fields) != output.fields_key {
            identity.fields_key.clone_from(&output.fields_key);
        }
        let stat = if folder { stat_of_unit(store, &output.path).unwrap_or_default() } else { stat_of(meta) };
        let hashed = store.hash(&output.path, &mut |_| {}).ok()?;
        Some(Output {
            station: output.station.clone(),
            path: output.path.clone(),
            identity,
            stat,
            content: hashed.hash,
            data_hash: output.content.filter(|content| *content != hashed.hash),
            indexed: crate::facts::indexed_fields(flow, &output.product).into_iter().collect(),
            origin: Origin::Made,
            run: Some(run.id),
            verify_mode: "read".into(),
            at: self.look.now,
        })
    }
}

fn brings(verb: &Verb) -> bool {
    matches!(verb, Verb::Send | Verb::Fetch)
}

// Gives a whole output its name, unless it has it.
fn published(store: &dyn Store, output: &RunOutput, found: Found, moves: bool) -> Option<Meta> {
    match found {
        // It was given its name by an engine that ended before it could flush that.
        Found::Published(meta) => store.flush(&output.path).is_ok().then_some(meta),
        Found::Staged { name, .. } if moves => {
            store.move_within(&name, &output.path).and_then(|()| store.stat(&output.path)).ok().flatten()
        }
        Found::Staged { name, standing: None } => store.publish(&name, &output.path, Publish::NoReplace).ok(),
        Found::Staged { name, standing: Some(expected) } => {
            store.publish(&name, &output.path, Publish::Replace { expected: &expected, old: OldContent::Drop }).ok()
        }
    }
}
