//! The planner's view of the ledger at one moment.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use thalweg_core::expr::{Expr, ExprEnv, Lookup, Name};
use thalweg_core::{ContentHash, Fields, RelPath, TimeRange, Timestamp, Value, fields_text};
use thalweg_flow::planner::{
    Contribution, DoneRun, Evidence, Facts, FailedRun, FileFact, FileQuery, FileState, Hold, KeyId, LeftFile, Listing,
    Origin, Round, UsedFile, VerbVersion,
};
use thalweg_flow::{Compare, Flow};
use thalweg_ledger::{self as ledger, FileRow, HoldKind, HoldRow, KeyFilter, Reader, RunState};

use crate::backlog::Marks;
use crate::{Places, VerbVersions};

/// Runs under way, by step and key text.
pub type RunningKeys = HashMap<(String, String), (i64, Timestamp)>;

/// The ledger as the planner sees it.
///
/// A query that fails is answered as "nothing known" and remembered: [`LedgerFacts::trouble`] must be asked before
/// anything is decided on the answers.
pub struct LedgerFacts<'a> {
    /// The rules.
    pub flow: &'a Flow,
    /// The ledger.
    pub reader: &'a Reader,
    /// The stations of this host.
    pub places: &'a Places,
    /// The present moment.
    pub now: Timestamp,
    /// Runs under way.
    pub running: &'a RunningKeys,
    /// Holds in force.
    pub holds: &'a [HoldRow],
    /// Digests of settings files by path.
    pub settings: &'a BTreeMap<String, ContentHash>,
    /// What external commands say of their own versions.
    pub versions: &'a VerbVersions,
    /// Old files that are left alone.
    pub marks: &'a Marks,
    /// The first error of a query.
    pub trouble: RefCell<Option<ledger::Error>>,
}

/// Returns what the planner is to know of a file row.
pub fn file_fact(flow: &Flow, row: FileRow) -> FileFact {
    let product = flow.products.get(&row.product);
    let by_data = product.is_some_and(|product| product.compare == Compare::Data);
    let hash = if by_data { row.data_hash.or(row.content) } else { row.content };
    let coverage = row.range();
    let why = row.why.clone().unwrap_or_default();
    FileFact {
        id: row.id.0,
        coverage,
        size: row.stat.size,
        mtime: nanoseconds(row.stat.mtime_ns),
        hash,
        arrived: row.arrived,
        unchanged_since: row.unchanged_since,
        evidence: if row.closed { Evidence::MovedIn } else { Evidence::None },
        state: match row.state {
            ledger::FileState::Settling => FileState::Settling,
            ledger::FileState::Present => FileState::Present,
            ledger::FileState::Retired => FileState::Retired { by: why, at: row.state_at },
            ledger::FileState::Gone => FileState::Gone { at: row.state_at },
            ledger::FileState::Quarantined => FileState::Quarantined { why },
            ledger::FileState::Withdrawn => FileState::Withdrawn,
            ledger::FileState::Taken => FileState::Taken,
        },
        origin: match row.origin {
            ledger::Origin::Seen => Origin::Seen,
            ledger::Origin::Made | ledger::Origin::Adopted => Origin::Made,
            ledger::Origin::Delivered => Origin::Delivered,
        },
        station: row.station,
        product: row.product,
        identity: row.fields_key,
        path: row.path,
        fields: row.fields,
    }
}

/// Returns an instant given in nanoseconds since 1970.
pub fn nanoseconds(ns: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Returns the key that a row of the ledger is about.
pub fn key_of_row(row: &ledger::KeyRow) -> KeyId {
    KeyId {
        step: row.step.clone(),
        station: row.station.clone(),
        cell: row.cell_start.zip(row.cell_end).map(|(start, end)| TimeRange::new(start, end)),
        fields: row.fields.clone(),
        driving: row.driving_product.clone().zip(row.driving_fields_key.clone()),
    }
}

impl LedgerFacts<'_> {
    /// Returns the first error that a query had.
    ///
    /// # Errors
    ///
    /// That error.
    pub fn trouble(&self) -> Result<(), ledger::Error> {
        self.trouble.borrow_mut().take().map_or(Ok(()), Err)
    }

    fn ask<T: Default>(&self, answer: Result<T, ledger::Error>) -> T {
        answer.unwrap_or_else(|error| {
            self.trouble.borrow_mut().get_or_insert(error);
            T::default()
        })
    }

    fn facts_of(&self, rows: Vec<FileRow>) -> Vec<FileFact> {
        rows.into_iter().map(|row| file_fact(self.flow, row)).collect()
    }

    fn used(&self, inputs: Vec<ledger::RunInput>) -> Vec<UsedFile> {
        let mut used: Vec<UsedFile> = inputs
            .into_iter()
            .filter_map(|input| {
                Some(UsedFile {
                    role: input.role,
                    product: input.product,
                    identity: input.fields_key,
                    hash: input.content?,
                })
            })
            .collect();
        used.sort();
        used
    }
}

impl Facts for LedgerFacts<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn files_of(&self, station: &str, product: &str, identity: &str) -> Vec<FileFact> {
        self.facts_of(self.ask(self.reader.files_of(Some(station), product, identity)))
    }

    fn files(&self, query: &FileQuery<'_>) -> Vec<FileFact> {
        let mut rows = match query.overlapping {
            Some(span) => {
                let mut rows = self.ask(self.reader.files_overlapping(query.station, query.product, span, &[]));
                rows.extend(self.ask(self.reader.files_without_coverage(query.station, query.product, &[])));
                rows
            }
            None => {
                let indexed = indexed_fields(self.flow, query.product);
                match query.fields.iter().find(|(name, _)| indexed.contains(*name)) {
                    Some((name, value)) => {
                        self.ask(self.reader.files_by_field(query.station, query.product, name, value))
                    }
                    None => self.all_of(query),
                }
            }
        };
        rows.retain(|row| query.fields.iter().all(|(name, value)| row.fields.get(*name) == Some(*value)));
        let mut files = self.facts_of(rows);
        files.sort_by(|a, b| (a.coverage, &a.path).cmp(&(b.coverage, &b.path)));
        files
    }

    fn file_at(&self, station: &str, path: &RelPath) -> Option<FileFact> {
        self.ask(self.reader.file_at(station, path)).map(|row| file_fact(self.flow, row))
    }

    fn newest_start(
        &self,
        station: &str,
        product: &str,
        series: &[(&str, &Value)],
        not_after: Timestamp,
    ) -> Option<Timestamp> {
        let definition = self.flow.products.get(product)?;
        let whole_series = definition.series().len() == series.len()
            && definition.series().iter().all(|name| series.iter().any(|(other, _)| name == other));
        if whole_series {
            let fields: Fields = series.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect();
            let group = fields_text(&fields);
            // One whose start became believable or not since it was recorded may stand in front.
            let newest = self.ask(self.reader.newest(station, product, Some(&group), true, 8));
            return newest.into_iter().filter_map(|row| row.start).filter(|start| *start <= not_after).max();
        }
        let fields = series.to_vec();
        let files = self.files(&FileQuery { station: Some(station), product, fields, overlapping: None });
        files
            .iter()
            .filter(|file| !file.is_revoked())
            .filter_map(|file| file.coverage.map(|coverage| coverage.start))
            .filter(|start| *start <= not_after)
            .max()
    }

    fn exists(&self, station: &str, path: &RelPath) -> bool {
        self.places.store(station).is_some_and(|store| matches!(store.stat(path), Ok(Some(_))))
    }

    fn event(&self, name: &str, file: &FileFact) -> bool {
        self.ask(self.reader.events_for_path(&file.station, &file.path)).iter().any(|event| event.kind == name)
    }

    fn left_alone(&self, file: &FileFact) -> Option<Timestamp> {
        self.marks.since(file)
    }

    fn settings_file(&self, path: &str) -> Option<ContentHash> {
        self.settings.get(path).copied()
    }

    fn verb_version(&self, step: &str) -> Option<VerbVersion> {
        self.versions.of(step)
    }

    fn last_done(&self, key: &KeyId) -> Option<DoneRun> {
        let run = self.ask(self.reader.last_done(&key.step, &key.text()))?;
        let outputs = self.ask(self.reader.run_outputs(run.id));
        Some(DoneRun {
            run: run.id.0,
            identity: run.identity,
            step_version: u32::try_from(run.step_version).unwrap_or_default(),
            partial: run.partial,
            awaited: run.awaited.and_then(|json| serde_json::from_value(json).ok()).unwrap_or_default(),
            inputs: self.used(self.ask(self.reader.run_inputs(run.id))),
            outputs: outputs
                .into_iter()
                .filter_map(|output| {
                    Some(LeftFile {
                        station: output.station,
                        product: output.product,
                        identity: output.fields_key,
                        path: output.path,
                        hash: output.content?,
                    })
                })
                .collect(),
            ended: run.ended.unwrap_or(run.started),
            verb_version: run.verb_version,
        })
    }

    fn last_failure(&self, key: &KeyId) -> Option<FailedRun> {
        let run = self.ask(self.reader.last_over(&key.step, &key.text()))?;
        (run.state == RunState::Failed).then(|| FailedRun {
            run: run.id.0,
            identity: run.identity,
            class: run.class.unwrap_or(thalweg_core::ErrorClass::Bug),
            message: run.message.unwrap_or_default(),
            attempts: run.attempt,
            retry_at: run.retry_at,
        })
    }

    fn running(&self, key: &KeyId) -> Option<(i64, Timestamp)> {
        self.running.get(&(key.step.clone(), key.text())).copied()
    }

    fn made_by(&self, station: &str, path: &RelPath) -> Option<(String, String)> {
        let runs = self.ask(self.reader.runs_making_path(station, path));
        runs.into_iter().find(|run| run.state == RunState::Done).map(|run| (run.step, run.key))
    }

    fn open_keys(&self, step: &str) -> Vec<KeyId> {
        let filter = KeyFilter { step: Some(step.to_owned()), finished: Some(false), ..Default::default() };
        self.ask(self.reader.keys(&filter)).iter().map(key_of_row).collect()
    }

    fn key_named(&self, step: &str, text: &str) -> Option<KeyId> {
        self.ask(self.reader.key(step, text)).as_ref().map(key_of_row)
    }

    fn contributions(&self, product: &str, identity: &str, hash: &ContentHash) -> Vec<Contribution> {
        let rows = self.ask(self.reader.contributions_of(product, identity, hash));
        rows.into_iter()
            .map(|row| Contribution {
                step: row.step,
                step_version: u32::try_from(row.step_version).unwrap_or_default(),
                key: row.key,
                identity: row.identity,
                verb_version: row.verb_version,
                inputs: row
                    .inputs
                    .into_iter()
                    .map(|input| UsedFile {
                        role: String::new(),
                        product: input.product,
                        identity: input.fields_key,
                        hash: input.content,
                    })
                    .collect(),
            })
            .collect()
    }

    fn hold(&self, key: &KeyId, driving: &[FileFact]) -> Option<Hold> {
        self.holds.iter().find(|hold| holds_key(self.flow, hold, key, driving)).map(as_hold)
    }

    fn file_hold(&self, file: &FileFact) -> Option<Hold> {
        self.holds.iter().filter(|hold| hold.kind == HoldKind::Hold).find(|hold| holds_file(hold, file)).map(as_hold)
    }

    fn round(&self, step: &str, station: &str) -> Round {
        let row = self.ask(self.reader.round(step, station));
        row.map(|row| Round { last: row.last_moment, open: row.open_moment }).unwrap_or_default()
    }

    fn listing(&self, station: &str) -> Listing {
        let row = self.ask(self.reader.listing(station, &RelPath::default()));
        row.map(|row| Listing { last_ok: row.ok_ended, failing: row.error }).unwrap_or_default()
    }

    fn opened(&self, key: &KeyId) -> Option<Timestamp> {
        self.ask(self.reader.key(&key.step, &key.text())).map(|row| row.opened)
    }

    fn made_since(&self, step: &str, start: Timestamp) -> bool {
        let Some(step) = self.flow.steps.get(step) else { return false };
        let span = TimeRange::new(start, Timestamp::MAX);
        step.makes.iter().any(|make| {
            step.at.iter().any(|at| {
                let rows = self.ask(self.reader.files_overlapping(
                    Some(at),
                    &make.product,
                    span,
                    &[ledger::FileState::Present],
                ));
                rows.iter().any(|row| row.origin == ledger::Origin::Made)
            })
        })
    }

    fn users(&self, product: &str, identity: &str) -> Vec<KeyId> {
        let runs = self.ask(self.reader.runs_using(product, identity)).into_iter();
        let runs = runs.chain(self.ask(self.reader.runs_making(product, identity)));
        let keys: BTreeSet<(String, String)> =
            runs.filter(|run| run.state == RunState::Done).map(|run| (run.step, run.key)).collect();
        keys.iter().filter_map(|(step, key)| self.key_named(step, key)).collect()
    }

    fn derived(&self, from: &FileFact, product: &str) -> Vec<UsedFile> {
        let mut found = BTreeSet::new();
        let Some(hash) = from.hash else { return Vec::new() };
        let mut seen = BTreeSet::from([(from.product.clone(), from.identity.clone(), hash)]);
        let mut front: Vec<_> = seen.iter().cloned().collect();
        while let Some((from_product, identity, hash)) = front.pop() {
            for run in self.ask(self.reader.runs_using(&from_product, &identity)) {
                // Only the last word of a key counts: what an earlier run left was replaced; and only what was made from
                // this content, not from an earlier one of the same name.
                let last =
                    || self.ask(self.reader.last_done(&run.step, &run.key)).is_some_and(|last| last.id == run.id);
                let from_it = || {
                    self.ask(self.reader.run_inputs(run.id)).iter().any(|input| {
                        input.product == from_product && input.fields_key == identity && input.content == Some(hash)
                    })
                };
                if run.state != RunState::Done || !last() || !from_it() {
                    continue;
                }
                for output in self.ask(self.reader.run_outputs(run.id)) {
                    let Some(hash) = self.version_with(&run, &output) else { continue };
                    if output.product == product {
                        found.insert(UsedFile {
                            role: String::new(),
                            product: output.product.clone(),
                            identity: output.fields_key.clone(),
                            hash,
                        });
                    }
                    let next = (output.product, output.fields_key, hash);
                    if seen.insert(next.clone()) {
                        front.push(next);
                    }
                }
            }
        }
        found.into_iter().collect()
    }

    fn out_of_reach(&self, station: &str) -> Option<String> {
        if self.places.store(station).is_some() {
            return None;
        }
        let definition = self.flow.stations.get(station)?;
        Some(match &definition.reach {
            Some(reach) => format!(
                "{station} is reached by {}, which nothing carries out: only stations of this host are worked on",
                reach.scheme
            ),
            None => format!("{station} is not a station of this host (`--at`)"),
        })
    }

    fn is_elsewhere(&self, station: &str) -> bool {
        self.places.is_elsewhere(station)
    }

    fn space(&self, station: &str) -> Option<(u64, u64)> {
        let space = self.places.store(station)?.free_space().ok()?;
        Some((space.free, space.total))
    }
}

impl LedgerFacts<'_> {
    // The content in which a run's output stands now: what was worked into an `update` is in the versions after it too,
    // and those are what is sent on.
    fn version_with(&self, run: &ledger::RunRow, output: &ledger::RunOutput) -> Option<ContentHash> {
        let made = output.content?;
        let updates = self.flow.steps.get(&run.step).is_some_and(thalweg_flow::Step::updates);
        if !updates {
            return Some(made);
        }
        let files = self.ask(self.reader.files_of(Some(&output.station), &output.product, &output.fields_key));
        let current = files.into_iter().filter_map(|row| file_fact(self.flow, row).hash).find(|hash| {
            let parts = self.ask(self.reader.contributions_of(&output.product, &output.fields_key, hash));
            parts.iter().any(|part| part.step == run.step && part.key == run.key)
        });
        Some(current.unwrap_or(made))
    }

    fn all_of(&self, query: &FileQuery<'_>) -> Vec<FileRow> {
        let mut rows = Vec::new();
        let mut filter = ledger::FileFilter {
            station: query.station.map(str::to_owned),
            product: Some(query.product.to_owned()),
            ..Default::default()
        };
        loop {
            let page = self.ask(self.reader.page(&filter, 10_000));
            let Some(last) = page.last() else { return rows };
            filter.after = Some(last.id);
            rows.extend(page);
        }
    }
}

/// Returns the fields of a product by which steps look its files up: they are indexed in the ledger.
pub fn indexed_fields(flow: &Flow, product: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for step in flow.steps.values() {
        if let Some(per) = step.per.as_ref().filter(|_| step.takes.iter().any(|p| p == product)) {
            names.extend(per.fields.iter().cloned());
        }
        for with in step.with.values() {
            if let thalweg_flow::WithWhat::Product { product: of, on, .. } = &with.what {
                let fields: Vec<&String> = match on {
                    thalweg_flow::Match::Fields(fields) => fields.iter().collect(),
                    thalweg_flow::Match::Computed(fields) => fields.keys().collect(),
                    _ => Vec::new(),
                };
                if of == product || step.takes.iter().any(|p| p == product) {
                    names.extend(fields.into_iter().cloned());
                }
            }
        }
    }
    names
}

fn as_hold(row: &HoldRow) -> Hold {
    Hold {
        kind: row.kind.as_str().to_owned(),
        by: row.by.clone(),
        why: row.why.clone(),
        since: row.since,
        condition: row.where_text.clone(),
    }
}

fn holds_key(flow: &Flow, hold: &HoldRow, key: &KeyId, driving: &[FileFact]) -> bool {
    if hold.step.as_ref().is_some_and(|step| *step != key.step) {
        return false;
    }
    if hold.station.as_ref().is_some_and(|station| *station != key.station && hold.path.is_none()) {
        return false;
    }
    let by_file = hold.product.is_some() || hold.path.is_some();
    if by_file && !driving.iter().any(|file| holds_file(hold, file)) {
        return false;
    }
    let fields = driving.iter().map(|file| &file.fields);
    hold.where_text.as_ref().is_none_or(|text| where_holds_for(flow, text, key, fields))
}

fn holds_file(hold: &HoldRow, file: &FileFact) -> bool {
    hold.station.as_ref().is_none_or(|station| *station == file.station)
        && hold.product.as_ref().is_none_or(|product| *product == file.product)
        && hold.path.as_ref().is_none_or(|path| *path == file.path)
        && (hold.step.is_none() || hold.path.is_some() || hold.product.is_some())
        && hold.where_text.as_ref().is_none_or(|text| where_holds(text, &file.fields))
}

/// Tells if the fields of a file fulfil a `--where` condition; a condition that cannot be read holds for none.
pub fn where_holds(text: &str, fields: &Fields) -> bool {
    Expr::parse(text).is_ok_and(|expr| expr.eval(&FieldNames(fields)).is_ok_and(|verdict| verdict.holds))
}

/// Tells if a `--where` condition holds for a key: for every one of its driving files, seen with the fields of the key and
/// those of its station in a family. What is about several loggers together is not about one of them.
pub fn where_holds_for<'f>(
    flow: &Flow,
    text: &str,
    key: &KeyId,
    mut driving: impl Iterator<Item = &'f Fields>,
) -> bool {
    let Ok(expr) = Expr::parse(text) else { return false };
    let mut own = flow.stations.get(&key.station).map(|station| station.member_of.clone()).unwrap_or_default();
    let holds = |fields: &Fields| expr.eval(&FieldNames(fields)).is_ok_and(|verdict| verdict.holds);
    let with = |fields: &Fields| {
        let mut all = own.clone();
        all.extend(fields.iter().chain(&key.fields).map(|(name, value)| (name.clone(), value.clone())));
        holds(&all)
    };
    match driving.next() {
        Some(first) => with(first) && driving.all(with),
        None => {
            own.extend(key.fields.clone());
            holds(&own)
        }
    }
}

struct FieldNames<'a>(&'a Fields);

impl ExprEnv for FieldNames<'_> {
    fn lookup(&self, name: &Name) -> Lookup {
        match name.0.as_slice() {
            [field] => self.0.get(field).cloned().map_or(Lookup::Absent, Lookup::Value),
            _ => Lookup::Absent,
        }
    }
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}
