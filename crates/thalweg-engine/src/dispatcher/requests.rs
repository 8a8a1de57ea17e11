//! What people ask for: products for a span of time, retries, trims, listings.

use std::collections::BTreeSet;
use std::sync::mpsc::Sender;

use thalweg_flow::planner::backward::{Wanted, plan_backward, producers};
use thalweg_flow::planner::{KeyId, Occasion};
use thalweg_ledger::{NewRequest, RequestId, RequestState};

use super::backlog::TakenUp;
use super::retry::Bad;
use super::{Dispatcher, Ready};
use crate::control::Answer;
use crate::facts::where_holds_for;
use crate::{EngineError, Event, Mode, Outcome, Request};

/// How old the plan of a request may grow while its tasks run.
const PLAN_AGAIN: std::time::Duration = std::time::Duration::from_secs(10);

/// A request under way.
pub(crate) struct ActiveRequest {
    answer: Sender<Answer>,
    id: Option<RequestId>,
    wanted: Option<Wanted>,
    /// Keys that this request has had made.
    made: BTreeSet<KeyId>,
    /// Keys that it wants now.
    wants: BTreeSet<KeyId>,
    /// Keys that failed for it.
    failed: BTreeSet<KeyId>,
    /// It is a retry; one of nothing but keys is over when these have been tried.
    retries: Option<Retries>,
    /// Retention that is due once what is there is known.
    trims: Option<(Option<String>, bool)>,
    /// What it takes over once that is read.
    adopts: Option<crate::Adopt>,
    planned: Option<std::time::Instant>,
    /// It waits for the end of what runs.
    drains: Option<Drains>,
    outcome: Outcome,
    told: Option<(u64, u64, u64, u64)>,
    over: bool,
}

impl ActiveRequest {
    fn new(answer: Sender<Answer>, wanted: Option<Wanted>) -> Self {
        Self {
            answer,
            id: None,
            wanted,
            made: BTreeSet::new(),
            wants: BTreeSet::new(),
            failed: BTreeSet::new(),
            retries: None,
            trims: None,
            adopts: None,
            planned: None,
            drains: None,
            outcome: Outcome::default(),
            told: None,
            over: false,
        }
    }

    /// Passes an event on to who asked.
    pub(super) fn tell(&self, event: &Event) {
        let _ = self.answer.send(Answer::Event(Box::new(event.clone())));
    }

    /// Returns the occasion on which a key is looked at for this request.
    pub(super) fn occasion_of(&self, key: &KeyId) -> Option<Occasion> {
        let wanted = self.wanted.as_ref().filter(|_| self.wants.contains(key))?;
        let rebuild = wanted.rebuild && !self.made.contains(key);
        Some(Occasion { asked: true, rebuild, partial: wanted.partial })
    }

    /// Tells if it has still to take over what was there before.
    pub(super) fn is_adopting(&self) -> bool {
        self.adopts.is_some()
    }

    /// Tells who asked how far the taking over is, when that has changed.
    pub(super) fn how_far(&mut self, made: u64, there: u64, open: u64) {
        let told = (made, there, open, 0);
        if self.told != Some(told) {
            self.told = Some(told);
            self.tell(&Event::Request { made, there, open, later: 0 });
        }
    }

    /// Notes what came of taking over.
    pub(super) fn adoption_is_over(&mut self, adopted: usize, there: u64, left: Vec<String>) {
        self.adopts = None;
        self.over = true;
        self.outcome.done = u64::try_from(adopted).unwrap_or(u64::MAX);
        self.outcome.there = there;
        self.outcome.missing = left;
    }

    // Tells if everything that failed and was to be tried again has been.
    fn is_retried(&self) -> bool {
        self.retries == Some(Retries::Keys)
            && self.wants.iter().all(|key| self.made.contains(key) || self.failed.contains(key))
    }

    /// Notes that a key was made.
    pub(super) fn made(&mut self, key: &KeyId) {
        if self.wants.contains(key) {
            self.made.insert(key.clone());
            self.outcome.done += 1;
        }
    }
}

/// What is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retries {
    /// Keys that failed.
    Keys,
    /// Files besides, which have to be read first.
    Files,
}

/// What a drain waits for.
#[derive(Default)]
struct Drains {
    /// Runs of this step or station; none: all.
    what: Option<String>,
    /// Only of keys for which this condition holds.
    condition: Option<String>,
}

type Missing = (String, String, String, String);

// Cells for which nothing is there at all are told as one, not one by one.
fn in_short(missing: Vec<thalweg_flow::planner::Evaluation>) -> Vec<Missing> {
    let mut told: Vec<Missing> = Vec::new();
    let mut empty: std::collections::BTreeMap<String, (usize, thalweg_core::TimeRange, String)> =
        std::collections::BTreeMap::new();
    for evaluation in missing {
        let key = &evaluation.key;
        match key.cell {
            Some(cell) if evaluation.reason.code == "missing_input" => {
                let (count, span, _) =
                    empty.entry(key.step.clone()).or_insert((0, cell, evaluation.reason.text.clone()));
                *count += 1;
                *span = thalweg_core::TimeRange::new(span.start.min(cell.start), span.end.max(cell.end));
            }
            _ => told.push((key.step.clone(), key.text(), evaluation.next.to_string(), evaluation.reason.text)),
        }
    }
    for (step, (count, span, first)) in empty {
        let why = if count == 1 { first } else { format!("{first}, and {} more within {span}", count - 1) };
        told.push((step, span.to_string(), "waiting".into(), why));
    }
    told
}

impl Dispatcher<'_> {
    /// Begins what somebody asks for; `listed` says that listings of all stations have begun since.
    pub(super) fn asked(&mut self, request: Request, answer: Sender<Answer>, listed: bool) -> Result<(), EngineError> {
        let now = self.now();
        match request {
            Request::Make(wanted) => {
                if producers(&self.flow, &wanted.product, None).is_empty() {
                    let made: BTreeSet<&str> = self
                        .flow
                        .steps
                        .values()
                        .flat_map(|step| &step.makes)
                        .map(|make| make.product.as_str())
                        .collect();
                    let what = format!(
                        "make {}: no step makes it (made are: {})",
                        wanted.product,
                        made.into_iter().collect::<Vec<_>>().join(", ")
                    );
                    let _ = answer.send(Answer::Refused(what));
                    return Ok(());
                }
                let row = NewRequest {
                    kind: "make".into(),
                    product: Some(wanted.product.clone()),
                    from: Some(wanted.span.start),
                    to: Some(wanted.span.end),
                    mode: if wanted.rebuild { "rebuild".into() } else { "fill".into() },
                    by: std::env::var("USER").unwrap_or_default(),
                    at: now,
                    data: Some(serde_json::json!({ "partial": wanted.partial })),
                };
                let id = self.ledger.write(move |tx| {
                    let id = tx.request_add(&row)?;
                    tx.request_state(id, RequestState::Active, None, now)?;
                    Ok(id)
                })?;
                self.read_old_files(&wanted.product, Some(wanted.span))?;
                let mut active = ActiveRequest::new(answer, Some(wanted));
                active.id = Some(id);
                self.requests.push(active);
            }
            Request::Retry { step, station, r#where, path, quarantined, backlog, product } => {
                let mut taken_up = 0;
                if backlog {
                    let which =
                        TakenUp { step: step.as_deref(), station: station.as_deref(), product: product.as_deref() };
                    taken_up = self.take_up(&which)?;
                }
                // A product names old files only: what failed goes by steps.
                let retried = match product {
                    Some(_) => std::collections::BTreeSet::new(),
                    None => {
                        self.retry(step.as_deref(), station.as_deref(), r#where.as_deref(), path.as_deref(), now)?
                    }
                };
                let bad = Bad { step, station, condition: r#where, path };
                let released = if quarantined { self.release_quarantined(&bad, now)? } else { 0 };
                self.forward |= self.mode == Mode::Once;
                let mut active = ActiveRequest::new(answer, None);
                let keys = u64::try_from(retried.len()).unwrap_or(u64::MAX);
                active.outcome.retried = keys.saturating_add(released).saturating_add(taken_up);
                active.retries = Some(if released + taken_up == 0 { Retries::Keys } else { Retries::Files });
                active.wants = retried;
                self.requests.push(active);
            }
            Request::Adopt(adopt) => {
                if !self.flow.products.contains_key(&adopt.product) {
                    let _ =
                        answer.send(Answer::Refused(format!("adopt {}: the flow has no such product", adopt.product)));
                    return Ok(());
                }
                self.read_old_files(&adopt.product, adopt.span)?;
                let mut active = ActiveRequest::new(answer, None);
                active.adopts = Some(adopt);
                self.requests.push(active);
                // A fresh engine is at its first listing.
                if self.mode == Mode::Forever {
                    self.scan_all();
                }
            }
            Request::Drain { what, r#where } => {
                let mut active = ActiveRequest::new(answer, None);
                active.drains = Some(Drains { what, condition: r#where });
                self.holds = self.reader.holds_active()?;
                self.requeue()?;
                self.requests.push(active);
            }
            Request::Trim { station, yes } => {
                let mut active = ActiveRequest::new(answer, None);
                active.trims = Some((station, yes));
                self.requests.push(active);
            }
            Request::Scan { station } => {
                match station {
                    _ if listed => {}
                    Some(station) => self.scan_below(&station, &thalweg_core::RelPath::default()),
                    None => self.scan_all(),
                }
                self.requests.push(ActiveRequest::new(answer, None));
            }
            // Reading for hours is not the dispatcher's work: who asks does it.
            Request::Verify { .. } => {
                let _ = answer.send(Answer::Refused("verify is done by the command itself".into()));
            }
            Request::Refresh => {
                self.holds = self.reader.holds_active()?;
                self.requeue()?;
                let _ = answer.send(Answer::Done(Outcome::default()));
            }
            Request::Stop => {
                let _ = answer.send(Answer::Done(Outcome::default()));
                self.stop("it was asked to".into());
            }
        }
        Ok(())
    }

    // Everything that waits in the queue is looked at again.
    fn requeue(&mut self) -> Result<(), EngineError> {
        let keys: Vec<KeyId> = self.ready.keys().cloned().collect();
        self.dirty.extend(keys);
        self.dirty_open_keys()
    }

    fn is_drained(&self, drains: &Drains) -> bool {
        !self.active.values().flat_map(|active| &active.tasks).any(|task| {
            let of = |what: &String| task.key.step == *what || task.key.station == *what;
            let driving = task.inputs.iter().filter(|input| input.role.is_empty()).map(|input| &input.fields);
            drains.what.as_ref().is_none_or(of)
                && drains.condition.as_ref().is_none_or(|text| where_holds_for(&self.flow, text, &task.key, driving))
        })
    }

    /// Plans what requests want, adds it to the queue, and ends those that are fulfilled.
    pub(super) fn plan_requests(&mut self) -> Result<(), EngineError> {
        if self.requests.is_empty() || self.stopping.is_some() {
            return Ok(());
        }
        // A fresh engine knows what is there only after its first listing; one that runs is never quite at rest.
        let quiet = self.dirty.is_empty()
            && self.changed.is_empty()
            && self.scans.values().all(|scan| !scan.under_way && !scan.again)
            && !self.reads_old_files()
            && (self.mode == Mode::Forever || self.settling.values().all(|file| !file.in_work));
        for n in 0..self.requests.len() {
            if quiet && let Some((station, yes)) = self.requests[n].trims.take() {
                self.retention_now(station.as_deref(), !yes, true)?;
            }
            if let Some(adopt) = self.requests[n].adopts.clone() {
                self.adopt_when_read(n, &adopt)?;
            }
            let Some(wanted) = self.requests[n].wanted.clone().filter(|_| !self.requests[n].over) else { continue };
            if quiet && self.wants_a_plan(n) {
                self.requests[n].planned = Some(std::time::Instant::now());
                self.plan_request(n, &wanted)?;
            }
        }
        self.finish_requests()
    }

    // A plan queues all that is ready; another is made when that is done, or when it has grown old.
    fn wants_a_plan(&self, n: usize) -> bool {
        let request = &self.requests[n];
        let old = request.planned.is_none_or(|at| at.elapsed() > PLAN_AGAIN);
        old || !request
            .wants
            .iter()
            .any(|key| self.ready.contains_key(key) || self.running.contains_key(&(key.step.clone(), key.text())))
    }

    fn plan_request(&mut self, n: usize, wanted: &Wanted) -> Result<(), EngineError> {
        let made = self.requests[n].made.clone();
        let facts = self.facts();
        let plan = plan_backward(&self.flow, wanted, &made, &facts);
        facts.trouble()?;
        let mut open = 0_u64;
        let mut added = Vec::new();
        {
            let request = &mut self.requests[n];
            request.wants.clear();
            request.wants.extend(plan.running.iter().cloned());
            for task in plan.ready {
                if request.failed.contains(&task.key) {
                    continue;
                }
                open += 1;
                request.wants.insert(task.key.clone());
                added.push(task);
            }
        }
        for task in added {
            if !self.ready.contains_key(&task.key) {
                self.ready.insert(task.key.clone(), Ready { task, looked_at: None });
                self.order_is_old = true;
            }
        }
        let running = u64::try_from(plan.running.len()).unwrap_or(0);
        let later = u64::try_from(plan.later.len()).unwrap_or(0);
        let there = u64::try_from(plan.there.len()).unwrap_or(0);
        let made = u64::try_from(made.len()).unwrap_or(0);
        let told = (made, there, open + running, later);
        let event = Event::Request { made, there, open: open + running, later };
        let request = &mut self.requests[n];
        if request.told != Some(told) {
            request.told = Some(told);
            request.tell(&event);
        }
        if open == 0 && running == 0 {
            request.over = true;
            for source in plan.sources {
                let (product, stations) = (source.product, source.stations.join(" or "));
                let why = format!("no {product} is there at {stations} for {}, and no step makes it", source.span);
                request.outcome.missing.push(why.clone());
                request.tell(&Event::Missing {
                    step: product,
                    key: source.span.to_string(),
                    next: "missing".into(),
                    why,
                });
            }
            // Cells that lack nothing but a missing source are told by that.
            let told = !request.outcome.missing.is_empty();
            let mut missing = plan.missing;
            missing.retain(|evaluation| !(told && evaluation.reason.code == "missing_input"));
            for (step, key, next, why) in in_short(missing) {
                request.outcome.missing.push(format!("{step} {key}: {why}"));
                if next == "quarantined" {
                    request.outcome.failed += 1;
                }
                request.tell(&Event::Missing { step, key, next, why });
            }
            // What is held back by its ready rule is told, and nothing that fails.
            for evaluation in plan.held {
                let (step, key, why) = (evaluation.key.step.clone(), evaluation.key.text(), evaluation.reason.text);
                request.outcome.held.push(format!("{step} {key}: {why}"));
                request.tell(&Event::Missing { step, key, next: "waiting".into(), why });
            }
            for later in plan.later {
                request.outcome.missing.push(format!("{}: {}", later.key, later.after));
            }
        }
        Ok(())
    }

    /// Notes that a key failed, so that the request that wanted it does not wait for it.
    pub(super) fn request_failed(&mut self, key: &KeyId) {
        for request in self.requests.iter_mut().filter(|request| request.wants.contains(key)) {
            request.failed.insert(key.clone());
            request.outcome.failed += 1;
            request.outcome.failed_runs += 1;
        }
    }

    /// Answers requests that are over.
    pub(super) fn finish_requests(&mut self) -> Result<(), EngineError> {
        let now = self.now();
        let idle = self.is_idle();
        let decided = self.dirty.is_empty() && self.changed.is_empty();
        let drained: Vec<bool> = self
            .requests
            .iter()
            .map(|request| request.drains.as_ref().is_some_and(|drains| self.is_drained(drains)))
            .collect();
        // A retry is told as a run is: with what is still amiss.
        let retried = self.requests.iter().any(|request| request.retries.is_some());
        if retried {
            self.write_keys()?;
        }
        let left = if retried { self.left()? } else { Left::default() };
        let mut over = Vec::new();
        let mut drained = drained.into_iter();
        self.requests.retain_mut(|request| {
            let drained = drained.next().unwrap_or(false);
            let done = match (&request.wanted, &request.drains) {
                (Some(_), _) => request.over,
                (None, Some(_)) => drained,
                (None, None) if request.adopts.is_some() => false,
                (None, None) if decided && request.is_retried() => true,
                (None, None) => (idle || request.over) && request.trims.is_none(),
            };
            if done {
                let mut outcome = request.outcome.clone();
                if request.retries.is_some() {
                    left.put_into(&mut outcome);
                }
                outcome.made = request.made.iter().map(ToString::to_string).collect();
                over.push((request.id, outcome.clone()));
                let _ = request.answer.send(Answer::Done(outcome));
            }
            !done
        });
        for (id, outcome) in over {
            let Some(id) = id else { continue };
            let state = if outcome.failed > 0 { RequestState::Failed } else { RequestState::Done };
            let data =
                serde_json::json!({ "made": outcome.done, "failed": outcome.failed, "missing": outcome.missing.len() });
            self.ledger.write(move |tx| tx.request_state(id, state, Some(&data), now))?;
            // What failed was counted when it did.
            self.outcome.missing.extend(outcome.missing);
        }
        Ok(())
    }

    pub(super) fn count_what_is_left(&mut self) -> Result<(), EngineError> {
        let left = self.left()?;
        left.put_into(&mut self.outcome);
        Ok(())
    }

    fn left(&self) -> Result<Left, EngineError> {
        let mut left = Left::default();
        for step in self.reader.step_summary()? {
            left.waiting += step.waiting;
            left.blocked += step.blocked;
            left.failed += step.failed;
        }
        Ok(left)
    }
}

/// Keys that are not done.
#[derive(Debug, Clone, Copy, Default)]
struct Left {
    waiting: u64,
    blocked: u64,
    failed: u64,
}

impl Left {
    fn put_into(self, outcome: &mut Outcome) {
        outcome.waiting = self.waiting;
        outcome.blocked = self.blocked;
        outcome.still_failed = self.failed;
    }
}
