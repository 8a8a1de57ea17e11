//! Working backward: what has to run so that a product is there for a span of time.
//!
//! The plan is made level by level, sources first: what the earlier steps will make is added to the facts as
//! predicted files, so that the keys of the later steps are known before anything has run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thalweg_core::{ContentHash, RelPath, TimeRange, Timestamp, Value};

use super::keys::cells_of_step;
use super::{
    Contribution, DoneRun, Evaluation, Evidence, Facts, FailedRun, FileFact, FileQuery, FileState, Hold, KeyId,
    Listing, Next, Occasion, Origin, Round, Task, There, evaluate,
};
use crate::{Flow, Step, Verb};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The product.
    pub product: String,
    /// The span of time.
    pub span: TimeRange,
    /// What is there is made again.
    pub rebuild: bool,
    /// Inputs may be missing.
    pub partial: bool,
}

/// A key that will be ready once earlier ones of the plan are done.
#[derive(Debug, Clone, Serialize)]
pub struct Later {
    /// The key.
    pub key: KeyId,
    /// What it waits for.
    pub after: String,
}

/// A product that no step makes and that is not there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct MissingSource {
    /// The product.
    pub product: String,
    /// Where it is looked for.
    pub stations: Vec<String>,
    /// The part of the span without a file of it.
    pub span: TimeRange,
}

/// What has to run, and what cannot.
#[derive(Debug, Default, Serialize)]
pub struct BackwardPlan {
    /// Tasks that may start now.
    pub ready: Vec<Task>,
    /// Keys that follow from them.
    pub later: Vec<Later>,
    /// Keys that are done already.
    pub there: Vec<KeyId>,
    /// Keys that are not there and are not made, each with its reason: missing sources, corrupt inputs, holds, and what
    /// a rule removed.
    pub missing: Vec<Evaluation>,
    /// Keys whose input is there and held back as the newest of its series: nothing is missing, a later file releases it.
    pub held: Vec<Evaluation>,
    /// Products that no step makes, with the spans that no file of theirs covers.
    pub sources: Vec<MissingSource>,
    /// Keys with a run under way.
    pub running: Vec<KeyId>,
}

/// Returns the steps that bring a product to a station: those that make it there, and those that deliver it there.
pub fn producers<'a>(flow: &'a Flow, product: &str, station: Option<&str>) -> Vec<&'a Step> {
    flow.steps
        .values()
        .filter(|step| {
            let here = |stations: &[String]| station.is_none_or(|station| stations.iter().any(|s| s == station));
            match step.does {
                Verb::Send => station.is_some() && step.takes.iter().any(|p| p == product) && here(&step.to),
                Verb::Fetch => station.is_some() && step.takes.iter().any(|p| p == product) && here(&step.at),
                _ => {
                    let stations = if step.to.is_empty() { &step.at } else { &step.to };
                    step.makes.iter().any(|make| make.product == product) && here(stations)
                }
            }
        })
        .collect()
}

/// Plans what has to run for `wanted`. Keys in `made` were remade on this request already and are not made again.
pub fn plan_backward(flow: &Flow, wanted: &Wanted, made: &BTreeSet<KeyId>, facts: &dyn Facts) -> BackwardPlan {
    let mut planner = Backward {
        flow,
        wanted,
        made,
        facts: Predicted { base: facts, files: Vec::new() },
        plan: BackwardPlan::default(),
        visited: BTreeSet::new(),
        seen: BTreeSet::new(),
        revived: BTreeSet::new(),
    };
    let mut steps = producers(flow, &wanted.product, None);
    if steps.is_empty() {
        // Nothing makes it: what brings it somewhere is meant.
        let everywhere = flow.stations.keys();
        steps = everywhere.flat_map(|station| producers(flow, &wanted.product, Some(station))).collect();
        steps.dedup_by(|a, b| a.name == b.name);
    }
    if steps.is_empty() {
        planner.source(&wanted.product, flow.stations.keys().cloned().collect(), wanted.span);
    }
    for step in steps {
        planner.visit(step, wanted.span, true);
    }
    planner.plan.sources.sort();
    planner.plan.sources.dedup();
    planner.plan
}

struct Backward<'a> {
    flow: &'a Flow,
    wanted: &'a Wanted,
    made: &'a BTreeSet<KeyId>,
    facts: Predicted<'a>,
    plan: BackwardPlan,
    visited: BTreeSet<(String, TimeRange)>,
    seen: BTreeSet<KeyId>,
    revived: BTreeSet<KeyId>,
}

impl Backward<'_> {
    fn visit(&mut self, step: &Step, span: TimeRange, target: bool) {
        if !self.visited.insert((step.name.clone(), span)) {
            return;
        }
        let roles = step.with.values().filter_map(|with| match &with.what {
            crate::WithWhat::Product { product, from, on } if !matches!(on, crate::Match::Newest) => {
                Some((product, from))
            }
            _ => None,
        });
        let inputs = step.takes.iter().map(|product| (product, &step.from)).chain(roles);
        let inputs: Vec<(String, Vec<String>)> = inputs
            .map(|(product, from)| (product.clone(), if from.is_empty() { step.at.clone() } else { from.clone() }))
            .collect();
        let wider = widened(step, span);
        for (product, stations) in inputs {
            let mut made = false;
            for station in &stations {
                for producer in producers(self.flow, &product, Some(station)) {
                    if producer.name != step.name {
                        made = true;
                        self.visit(producer, wider, false);
                    }
                }
            }
            if !made {
                self.source(&product, stations, wider);
            }
        }
        for key in cells_of_step(self.flow, step, span, &self.facts) {
            if self.seen.insert(key.clone()) {
                self.look(step, key, target);
            }
        }
    }

    fn look(&mut self, step: &Step, key: KeyId, target: bool) {
        let rebuild = target && self.wanted.rebuild && !self.made.contains(&key);
        let occasion = Occasion { asked: true, rebuild, partial: self.wanted.partial };
        let mut evaluation = evaluate(self.flow, &key, &self.facts, occasion);
        if evaluation.reason.code == "retired_input" && self.wanted.rebuild {
            self.revive(step, &key);
            evaluation = evaluate(self.flow, &key, &self.facts, occasion);
        }
        self.note(step, key, evaluation);
    }

    fn note(&mut self, step: &Step, key: KeyId, evaluation: Evaluation) {
        match evaluation.next {
            Next::Ready | Next::Waiting if self.facts.rests_on_prediction(self.flow, step, &key) => {
                for output in self.facts.outputs_later(self.flow, step, &key) {
                    self.facts.files.push(output);
                }
                let after = match evaluation.next {
                    Next::Ready => "more of its inputs are made first".to_owned(),
                    _ => evaluation.reason.text,
                };
                self.plan.later.push(Later { key, after });
            }
            Next::Ready => {
                if let Some(task) = evaluation.task {
                    self.facts.predict(self.flow, &task);
                    self.plan.ready.push(*task);
                }
            }
            Next::Running => {
                for output in self.facts.outputs_later(self.flow, step, &key) {
                    self.facts.files.push(output);
                }
                self.plan.running.push(key);
            }
            // What was taken away from a dropbox was delivered.
            Next::Nothing if evaluation.there == There::Retired && evaluation.reason.code != "taken" => {
                self.plan.missing.push(evaluation);
            }
            Next::Nothing if evaluation.there != There::None => self.plan.there.push(key),
            Next::Nothing | Next::Skipped => {}
            Next::Waiting if evaluation.reason.code == "not_newest" => self.plan.held.push(evaluation),
            _ => self.plan.missing.push(evaluation),
        }
    }

    // The inputs of a key that rules removed are made again where a step makes them.
    fn revive(&mut self, step: &Step, key: &KeyId) {
        let gathered = super::gather::gather(self.flow, step, key, &self.facts);
        let retired: Vec<FileFact> = gathered
            .driving
            .into_iter()
            .chain(gathered.roles.into_values().flatten())
            .filter(FileFact::was_retired)
            .collect();
        for file in retired {
            let Some((name, text)) = self.facts.made_by(&file.station, &file.path) else { continue };
            let (Some(producer), Some(upstream)) = (self.flow.steps.get(&name), self.facts.key_named(&name, &text))
            else {
                continue;
            };
            if self.made.contains(&upstream) || !self.revived.insert(upstream.clone()) {
                continue;
            }
            let occasion = Occasion { asked: true, rebuild: true, partial: self.wanted.partial };
            let mut evaluation = evaluate(self.flow, &upstream, &self.facts, occasion);
            if evaluation.reason.code == "retired_input" {
                self.revive(producer, &upstream);
                evaluation = evaluate(self.flow, &upstream, &self.facts, occasion);
            }
            self.plan.there.retain(|there| *there != upstream);
            self.plan.missing.retain(|missing| missing.key != upstream);
            self.note(producer, upstream, evaluation);
        }
    }

    // Reports where a product that no step makes is missing.
    fn source(&mut self, product: &str, stations: Vec<String>, span: TimeRange) {
        let Some(definition) = self.flow.products.get(product) else { return };
        let mut covered = Vec::new();
        for station in &stations {
            let query = FileQuery { station: Some(station), product, fields: Vec::new(), overlapping: Some(span) };
            let files = self.facts.files(&query);
            let there = files.iter().filter(|file| file.is_usable() || file.state == FileState::Settling);
            covered.extend(there.map(|file| file.coverage.unwrap_or(span)));
        }
        // Of files that say only when they start nobody can tell what lies between them.
        let extends = definition.span.is_some() || definition.covers_content;
        if !covered.is_empty() && !extends {
            return;
        }
        covered.sort();
        let mut reached = span.start;
        for part in covered.into_iter().chain([TimeRange::new(span.end, span.end)]) {
            if part.start > reached {
                let gap = TimeRange::new(reached, part.start.min(span.end));
                self.plan.sources.push(MissingSource {
                    product: product.to_owned(),
                    stations: stations.clone(),
                    span: gap,
                });
            }
            reached = reached.max(part.end);
        }
    }
}

// A grid's cells reach beyond the span that is asked for, and so do their inputs.
fn widened(step: &Step, span: TimeRange) -> TimeRange {
    let Some(grid) = step.per.as_ref().and_then(|per| per.grid.as_ref()) else { return span };
    let first = grid.cell_at(span.start);
    let last = grid.cell_at(span.end);
    let end = if last.start < span.end { last.end } else { span.end };
    TimeRange::new(first.start, end)
}

/// The number of a file that is only planned.
const PREDICTED: i64 = -1;

/// Facts with the files that planned tasks will leave.
struct Predicted<'a> {
    base: &'a dyn Facts,
    files: Vec<FileFact>,
}

impl Predicted<'_> {
    fn predict(&mut self, flow: &Flow, task: &Task) {
        for output in &task.outputs {
            let Some(product) = flow.products.get(&output.product) else { continue };
            let coverage = super::coverage_of(product, &output.fields, None).or(task.span);
            self.files.push(FileFact {
                id: PREDICTED,
                station: output.station.clone(),
                product: output.product.clone(),
                identity: super::identity_of_file(product, &output.fields),
                path: output.path.clone().unwrap_or_default(),
                fields: output.fields.clone(),
                coverage,
                size: 0,
                mtime: self.base.now(),
                hash: None,
                arrived: self.base.now(),
                unchanged_since: self.base.now(),
                evidence: Evidence::Closed,
                state: FileState::Settling,
                origin: Origin::Made,
            });
        }
    }

    // Tells if files that are only planned are among a key's inputs.
    fn rests_on_prediction(&self, flow: &Flow, step: &Step, key: &KeyId) -> bool {
        let gathered = super::gather::gather(flow, step, key, self);
        gathered.driving.iter().chain(gathered.roles.values().flatten()).any(|file| file.id == PREDICTED)
    }

    fn outputs_later(&self, flow: &Flow, step: &Step, key: &KeyId) -> Vec<FileFact> {
        let gathered = super::gather::gather(flow, step, key, self);
        let outputs = super::outputs::outputs(flow, step, key, &gathered, self).unwrap_or_default();
        let mut later = Predicted { base: self.base, files: Vec::new() };
        for output in outputs {
            let Some(product) = flow.products.get(&output.product) else { continue };
            later.files.push(FileFact {
                id: PREDICTED,
                station: output.station.clone(),
                product: output.product.clone(),
                identity: super::identity_of_file(product, &output.fields),
                path: output.path.clone().unwrap_or_default(),
                coverage: super::coverage_of(product, &output.fields, None).or(key.cell),
                fields: output.fields,
                size: 0,
                mtime: self.base.now(),
                hash: None,
                arrived: self.base.now(),
                unchanged_since: self.base.now(),
                evidence: Evidence::Closed,
                state: FileState::Settling,
                origin: Origin::Made,
            });
        }
        later.files
    }
}

impl Facts for Predicted<'_> {
    fn now(&self) -> Timestamp {
        self.base.now()
    }
    fn files_of(&self, station: &str, product: &str, identity: &str) -> Vec<FileFact> {
        let mut files = self.base.files_of(station, product, identity);
        let same = |f: &&FileFact| f.station == station && f.product == product && f.identity == identity;
        let new: Vec<_> = self.files.iter().filter(same).cloned().collect();
        if !new.is_empty() {
            files.retain(FileFact::is_usable);
            if files.is_empty() {
                files = new.into_iter().take(1).collect();
            }
        }
        files
    }
    fn files(&self, query: &FileQuery<'_>) -> Vec<FileFact> {
        let mut files = self.base.files(query);
        let mut more: BTreeMap<(String, String), FileFact> = BTreeMap::new();
        for file in self.files.iter().filter(|file| super::memory::fulfils(file, query)) {
            let known = files.iter().any(|f| f.is_usable() && f.station == file.station && f.identity == file.identity);
            if !known {
                more.insert((file.station.clone(), file.identity.clone()), file.clone());
            }
        }
        files.retain(|f| !more.contains_key(&(f.station.clone(), f.identity.clone())));
        files.extend(more.into_values());
        files
    }
    fn file_at(&self, station: &str, path: &RelPath) -> Option<FileFact> {
        self.base.file_at(station, path)
    }
    fn newest_start(
        &self,
        station: &str,
        product: &str,
        series: &[(&str, &Value)],
        not_after: Timestamp,
    ) -> Option<Timestamp> {
        self.base.newest_start(station, product, series, not_after)
    }
    fn exists(&self, station: &str, path: &RelPath) -> bool {
        self.base.exists(station, path)
    }
    fn event(&self, name: &str, file: &FileFact) -> bool {
        self.base.event(name, file)
    }
    fn left_alone(&self, file: &FileFact) -> Option<Timestamp> {
        self.base.left_alone(file)
    }
    fn verb_version(&self, step: &str) -> Option<super::VerbVersion> {
        self.base.verb_version(step)
    }
    fn settings_file(&self, path: &str) -> Option<ContentHash> {
        self.base.settings_file(path)
    }
    fn last_done(&self, key: &KeyId) -> Option<DoneRun> {
        self.base.last_done(key)
    }
    fn last_failure(&self, key: &KeyId) -> Option<FailedRun> {
        self.base.last_failure(key)
    }
    fn running(&self, key: &KeyId) -> Option<(i64, Timestamp)> {
        self.base.running(key)
    }
    fn made_by(&self, station: &str, path: &RelPath) -> Option<(String, String)> {
        self.base.made_by(station, path)
    }
    fn open_keys(&self, step: &str) -> Vec<KeyId> {
        self.base.open_keys(step)
    }
    fn key_named(&self, step: &str, text: &str) -> Option<KeyId> {
        self.base.key_named(step, text)
    }
    fn contributions(&self, product: &str, identity: &str, hash: &ContentHash) -> Vec<Contribution> {
        self.base.contributions(product, identity, hash)
    }
    fn hold(&self, key: &KeyId, driving: &[FileFact]) -> Option<Hold> {
        self.base.hold(key, driving)
    }
    fn round(&self, step: &str, station: &str) -> Round {
        self.base.round(step, station)
    }
    fn listing(&self, station: &str) -> Listing {
        self.base.listing(station)
    }
    fn opened(&self, key: &KeyId) -> Option<Timestamp> {
        self.base.opened(key)
    }
    fn made_since(&self, step: &str, start: Timestamp) -> bool {
        self.base.made_since(step, start)
    }
    fn derived(&self, from: &FileFact, product: &str) -> Vec<super::UsedFile> {
        self.base.derived(from, product)
    }
    fn users(&self, product: &str, identity: &str) -> Vec<KeyId> {
        self.base.users(product, identity)
    }
    fn file_hold(&self, file: &FileFact) -> Option<Hold> {
        self.base.file_hold(file)
    }
    fn out_of_reach(&self, station: &str) -> Option<String> {
        self.base.out_of_reach(station)
    }
    fn is_elsewhere(&self, station: &str) -> bool {
        self.base.is_elsewhere(station)
    }
    fn space(&self, station: &str) -> Option<(u64, u64)> {
        self.base.space(station)
    }
}
