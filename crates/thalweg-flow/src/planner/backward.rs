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

/// What has to run, and what cannot.
#[derive(Debug, Default, Serialize)]
pub struct BackwardPlan {
    /// Tasks that may start now.
    pub ready: Vec<Task>,
    /// Keys that follow from them.
    pub later: Vec<Later>,
    /// Keys that are done already.
    pub there: Vec<KeyId>,
    /// Keys that cannot be made, each with its reason: missing sources, corrupt inputs, holds.
    pub missing: Vec<Evaluation>,
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
    };
    for step in producers(flow, &wanted.product, None) {
        planner.visit(step, wanted.span, true);
    }
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
}

impl Backward<'_> {
    fn visit(&mut self, step: &Step, span: TimeRange, target: bool) {
        if !self.visited.insert((step.name.clone(), span)) {
            return;
        }
        let roles = step.with.values().filter_map(|with| match &with.what {
            crate::WithWhat::Product { product, from, on } if !matches!(on, crate::Match::Newest) => Some((product, from)),
            _ => None,
        });
        let inputs = step.takes.iter().map(|product| (product, &step.from)).chain(roles);
        let inputs: Vec<(String, Vec<String>)> = inputs
            .map(|(product, from)| (product.clone(), if from.is_empty() { step.at.clone() } else { from.clone() }))
            .collect();
        let wider = widened(step, span);
        for (product, stations) in inputs {
            for station in stations {
                for producer in producers(self.flow, &product, Some(&station)) {
                    if producer.name != step.name {
                        self.visit(producer, wider, false);
                    }
                }
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
        match evaluation.next {
            Next::Ready => {
                if let Some(task) = evaluation.task {
                    self.facts.predict(self.flow, &task);
                    self.plan.ready.push(*task);
                }
            }
            Next::Running => self.plan.running.push(key),
            Next::Nothing if evaluation.there != There::None => self.plan.there.push(key),
            Next::Nothing | Next::Skipped => {}
            Next::Waiting if self.facts.waits_for_prediction(step, &key) => {
                for output in self.facts.outputs_later(self.flow, step, &key) {
                    self.facts.files.push(output);
                }
                self.plan.later.push(Later { key, after: evaluation.reason.text });
            }
            _ => self.plan.missing.push(evaluation),
        }
    }

    // The inputs of a key that rules removed are made again where a step makes them.
    fn revive(&mut self, step: &Step, key: &KeyId) {
        let Some(span) = key.cell.or_else(|| self.span_of_driving(step, key)) else { return };
        for product in &step.takes {
            for station in step.sources(&key.station) {
                for producer in producers(self.flow, product, Some(station)) {
                    for upstream in cells_of_step(self.flow, producer, span, &self.facts) {
                        if self.made.contains(&upstream) {
                            continue;
                        }
                        let occasion = Occasion { asked: true, rebuild: true, partial: self.wanted.partial };
                        let evaluation = evaluate(self.flow, &upstream, &self.facts, occasion);
                        if let Some(task) = evaluation.task {
                            self.plan.there.retain(|there| *there != upstream);
                            self.facts.predict(self.flow, &task);
                            self.plan.ready.push(*task);
                        }
                    }
                }
            }
        }
    }

    fn span_of_driving(&self, step: &Step, key: &KeyId) -> Option<TimeRange> {
        let (product, identity) = key.driving.as_ref()?;
        let stations = step.sources(&key.station);
        let mut files = stations.into_iter().flat_map(|station| self.facts.files_of(station, product, identity));
        files.find_map(|file| file.coverage)
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
                id: -1,
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

    fn waits_for_prediction(&self, step: &Step, key: &KeyId) -> bool {
        let of_takes = |file: &FileFact| {
            step.sources(&key.station).contains(&file.station.as_str()) && step.takes.contains(&file.product)
        };
        let of_roles = |file: &FileFact| {
            step.with.values().any(|with| matches!(&with.what, crate::WithWhat::Product { product, .. } if *product == file.product))
        };
        self.files.iter().any(|file| {
            let same = match (&key.driving, key.cell) {
                (Some((product, identity)), _) => file.product == *product && file.identity == *identity,
                (None, Some(cell)) => file.coverage.is_none_or(|coverage| coverage.overlaps(&cell)),
                (None, None) => true,
            };
            (of_takes(file) && same) || of_roles(file)
        })
    }

    fn outputs_later(&self, flow: &Flow, step: &Step, key: &KeyId) -> Vec<FileFact> {
        let gathered = super::gather::gather(flow, step, key, self);
        let outputs = super::outputs::outputs(flow, step, key, &gathered, self).unwrap_or_default();
        let mut later = Predicted { base: self.base, files: Vec::new() };
        for output in outputs {
            let Some(product) = flow.products.get(&output.product) else { continue };
            later.files.push(FileFact {
                id: -1,
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
    fn newest_start(&self, station: &str, product: &str, series: &[(&str, &Value)], not_after: Timestamp) -> Option<Timestamp> {
        self.base.newest_start(station, product, series, not_after)
    }
    fn exists(&self, station: &str, path: &RelPath) -> bool {
        self.base.exists(station, path)
    }
    fn event(&self, name: &str, file: &FileFact) -> bool {
        self.base.event(name, file)
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
    fn out_of_reach(&self, station: &str) -> Option<String> {
        self.base.out_of_reach(station)
    }
    fn space(&self, station: &str) -> Option<(u64, u64)> {
        self.base.space(station)
    }
}
