//! One key: what is there, what comes next and why, and the task when it is ready.

use std::collections::BTreeSet;

use thalweg_core::{TimeRange, Timestamp};

use super::gather::{Gathered, gather};
use super::outputs::{fields_of, outputs};
use super::reason::{Evaluation, Next, Reason, There};
use super::standing::{Standing, counting, counts, deciding, find, identity_with, is_newest_role, outside, standing};
use super::task::{Task, TaskInput, TaskOutput};
use super::verdict::{Names, judge};
use super::{Facts, FileFact, FileState, KeyId, Origin, UsedFile, VerbVersion};
use crate::{Flow, Step, Verb};

/// On what occasion a key is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Occasion {
    /// Somebody asks for it: `when`, `window`, `order` and `wait` do not count.
    pub asked: bool,
    /// What is there is made again.
    pub rebuild: bool,
    /// Inputs may be missing as long as one that depends on the key is there.
    pub partial: bool,
}

/// Returns the span that files cover together.
pub(crate) fn span_of(files: &[FileFact]) -> Option<TimeRange> {
    files.iter().filter_map(|file| file.coverage).reduce(|a, b| TimeRange::new(a.start.min(b.start), a.end.max(b.end)))
}

/// How soon a station without enough space is looked at again.
const SPACE_AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// Everything known of the key under evaluation.
pub(super) struct Look<'a> {
    pub(super) flow: &'a Flow,
    pub(super) step: &'a Step,
    pub(super) key: &'a KeyId,
    pub(super) facts: &'a dyn Facts,
    pub(super) occasion: Occasion,
    pub(super) gathered: Gathered,
    pub(super) now: Timestamp,
}

/// Says of one key what is there, what comes next and why.
pub fn evaluate(flow: &Flow, key: &KeyId, facts: &dyn Facts, occasion: Occasion) -> Evaluation {
    let say = |there, because, next, reason, task| Evaluation {
        key: key.clone(),
        there,
        there_because: because,
        next,
        reason,
        task,
    };
    let Some(step) = flow.steps.get(&key.step) else {
        let reason = Reason::new("no_step", format!("the flow has no step {} any more", key.step));
        return say(There::None, None, Next::Nothing, reason, None);
    };
    let gathered = gather(flow, step, key, facts);
    let look = Look { flow, step, key, facts, occasion, now: facts.now(), gathered };
    let rebuild = occasion.rebuild;
    let mut standing = standing(flow, step, key, &look.gathered, facts, rebuild);
    if standing.there == There::Partial {
        (standing.there, standing.because) = look.still_partial(&standing);
    }
    let there = standing.there;
    let because = standing.because.clone();
    if let Some((run, since)) = facts.running(key) {
        return say(there, because, Next::Running, Reason::new("running", format!("run {run} since {since}")), None);
    }
    if let Some(text) = &standing.conflict {
        return say(there, because, Next::Blocked, Reason::new("conflict", text.clone()), None);
    }
    match there {
        There::Done => return say(there, because, Next::Nothing, Reason::new("done", "it is done"), None),
        There::Retired | There::Partial => {
            let reason = because.clone().unwrap_or_else(|| Reason::new("done", "it is done"));
            return say(there, because, Next::Nothing, reason, None);
        }
        There::None | There::Stale | There::Lost => {}
    }
    match look.next(&standing) {
        Ok(task) => {
            let reason = Reason::new("ready", task.because.clone());
            say(there, because, Next::Ready, reason, Some(Box::new(task)))
        }
        Err((next, reason)) => say(there, because, next, reason, None),
    }
}

/// What comes before a task, and why.
pub(super) type Stop = (Next, Reason);

impl Look<'_> {
    /// Goes through everything that can stand before "ready", in the order of the table in the language's definition.
    fn next(&self, standing: &Standing) -> Result<Task, Stop> {
        self.bad_inputs()?;
        self.backlog(standing)?;
        self.condition()?;
        self.by_itself(standing)?;
        let awaited = self.missing_inputs(standing)?;
        self.other_steps()?;
        self.moment()?;
        let used = self.nothing_poorer(standing)?;
        self.blocks()?;
        let task = self.task(standing, used, awaited)?;
        self.failed_before(&task)?;
        Ok(task)
    }

    pub(super) fn bad_inputs(&self) -> Result<(), Stop> {
        let driving = &self.gathered.driving;
        let usable = driving.iter().any(|file| !file.is_revoked());
        let bad = driving.iter().find_map(|file| match &file.state {
            FileState::Quarantined { why } => Some(format!("{} is put aside: {why}", file.path)),
            FileState::Withdrawn => Some(format!("{} is withdrawn", file.path)),
            _ => None,
        });
        if let Some(text) = bad.filter(|_| !usable) {
            return Err((Next::Quarantined, Reason::new("bad_input", text)));
        }
        let mut seen: std::collections::BTreeMap<(&str, &str, &str), &FileFact> = std::collections::BTreeMap::new();
        let live = driving.iter().filter(|file| matches!(file.state, FileState::Present | FileState::Settling));
        for file in live {
            if let Some(other) = seen.insert((&file.station, &file.product, &file.identity), file) {
                let text = format!(
                    "{} and {} are the same file of {} by their fields: remove or rename one",
                    other.path, file.path, file.product
                );
                return Err((Next::Blocked, Reason::new("conflict", text)));
            }
        }
        Ok(())
    }

    // What is older than the first `run` here, and was never made here, is left alone unless somebody asks for it.
    fn backlog(&self, standing: &Standing) -> Result<(), Stop> {
        if self.occasion.asked || standing.last.is_some() {
            return Ok(());
        }
        let mut oldest = None;
        for file in &self.gathered.driving {
            match self.facts.left_alone(file) {
                Some(since) => oldest = oldest.or(Some((file, since))),
                None => return Ok(()),
            }
        }
        let Some((file, since)) = oldest else { return Ok(()) };
        let text = format!(
            "{} is older than the start of thalweg here ({since}): `thalweg make` or `thalweg retry --backlog` does it",
            file.path
        );
        Err((Next::Blocked, Reason::new("backlog", text)))
    }

    fn names(&self) -> Names<'_> {
        Names {
            flow: self.flow,
            key: Some(self.key),
            driving: &self.gathered.driving,
            roles: &self.gathered.roles,
            now: self.now,
        }
    }

    pub(super) fn condition(&self) -> Result<(), Stop> {
        let Some(condition) = &self.step.condition else { return Ok(()) };
        if self.gathered.driving.is_empty() && self.key.driving.is_some() {
            return Ok(());
        }
        let verdict = judge(condition, &self.names())
            .map_err(|error| (Next::Blocked, Reason::new("condition_error", error.to_string())))?;
        if verdict.holds {
            return Ok(());
        }
        if let Some(at) = verdict.changes_at {
            return Err((Next::Waiting, Reason::until("condition", format!("not yet: {}", verdict.because), at)));
        }
        if !verdict.waits_for.is_empty() {
            // The ready rule says more about a file that is not read yet.
            self.driving_ready()?;
            return Err((Next::Waiting, Reason::new("condition", format!("not yet: {}", verdict.because))));
        }
        // A later file of a role can fulfil what the present one does not.
        if condition.names().iter().any(|name| name.0.first().is_some_and(|first| first == "in")) {
            return Err((Next::Waiting, Reason::new("condition", format!("not yet: {}", verdict.because))));
        }
        Err((Next::Skipped, Reason::new("condition", verdict.because)))
    }

    fn other_steps(&self) -> Result<(), Stop> {
        for name in self.step.needs.iter().chain(&self.step.after) {
            let Some(other) = self.flow.steps.get(name) else { continue };
            let needed = self.step.needs.contains(name);
            for file in self.gathered.driving.iter().filter(|file| !file.is_revoked()) {
                for key in super::touch::keys_of_file(other, file) {
                    let evaluation = evaluate(self.flow, &key, self.facts, Occasion::default());
                    let done = matches!(evaluation.there, There::Done | There::Partial | There::Retired);
                    if needed && !(done && evaluation.next == Next::Nothing) {
                        let text = format!(
                            "{name} is not done for {}: {} ({})",
                            file.path, evaluation.next, evaluation.reason.text
                        );
                        // What the other leaves out, this leaves out too; what it will do by itself is waited for.
                        let next = match evaluation.next {
                            Next::Skipped | Next::Quarantined => evaluation.next,
                            Next::Blocked | Next::Failed => Next::Blocked,
                            Next::Running | Next::Waiting | Next::Ready | Next::Nothing => Next::Waiting,
                        };
                        return Err((next, Reason { code: "needs".into(), text, until: evaluation.reason.until }));
                    }
                    if matches!(evaluation.next, Next::Ready | Next::Running) {
                        let text = format!("{name} is {} for {}", evaluation.next, file.path);
                        return Err((Next::Waiting, Reason::new("after", text)));
                    }
                }
            }
        }
        Ok(())
    }

    /// Refuses to remake something from fewer inputs than before; returns the inputs that count.
    fn nothing_poorer(&self, standing: &Standing) -> Result<Vec<UsedFile>, Stop> {
        let used = counting(self.step, self.key, &self.gathered, standing.last.as_ref(), self.facts);
        let Some(last) = &standing.last else { return Ok(used) };
        if self.step.updates() {
            return Ok(used);
        }
        let because = standing.because.as_ref().map(|reason| reason.text.as_str()).unwrap_or_default();
        let counted = last.inputs.iter().filter(|old| {
            !old.product.is_empty() && counts(self.step, &old.role) && !is_newest_role(self.step, &old.role)
        });
        for old in counted {
            let outside = outside(self.step, self.key, old, self.facts);
            let found = find(&self.gathered, old).or(outside.as_ref());
            let path = match found {
                Some(file) if file.is_usable() || file.is_revoked() => continue,
                Some(file) if file.state == FileState::Settling => return Err(self.unready(file)),
                Some(file) => file.path.to_string(),
                None => format!("{}({})", old.product, old.identity),
            };
            let text =
                format!("{because}, but its input {path} is not there any more: it is not made from less than before");
            // What vanished may come back; what a rule removed does not.
            let gone = found.is_some_and(|file| matches!(file.state, FileState::Gone { .. }));
            let next = if gone { Next::Waiting } else { Next::Blocked };
            return Err((next, Reason::new(if gone { "missing_input" } else { "retired_input" }, text)));
        }
        Ok(used)
    }

    fn blocks(&self) -> Result<(), Stop> {
        if self.facts.is_elsewhere(&self.key.station) {
            let station = &self.key.station;
            let text = format!("the steps at {station} are another engine's work (`--at {station}` where it runs)");
            return Err((Next::Blocked, Reason::new("elsewhere", text)));
        }
        let stations = std::iter::once(self.key.station.as_str())
            .chain(self.step.sources(&self.key.station))
            .chain(self.step.to.iter().map(String::as_str))
            .chain(self.step.with.keys().flat_map(|role| self.role_stations(role)));
        for station in stations {
            if let Some(why) = self.facts.out_of_reach(station) {
                return Err((Next::Blocked, Reason::new("out_of_reach", why)));
            }
        }
        self.space()?;
        if let Some(VerbVersion::Unknown(why)) = self.facts.verb_version(&self.step.name) {
            let text = format!("its command does not say which version it is (`version_from`): {why}");
            return Err((Next::Blocked, Reason::new("verb_version_unknown", text)));
        }
        if let Some(why) = unsupported(self.flow, self.step) {
            return Err((Next::Blocked, Reason::new("unsupported", why)));
        }
        if let Some(hold) = self.facts.hold(self.key, &self.gathered.driving) {
            return Err((Next::Blocked, Reason::new(&hold.kind, hold.text())));
        }
        Ok(())
    }

    /// Returns what the external command says of its own version, to be recorded.
    pub(super) fn verb_version(&self) -> Option<String> {
        match self.facts.verb_version(&self.step.name) {
            Some(VerbVersion::Said(said)) => Some(said),
            Some(VerbVersion::Unknown(_)) | None => None,
        }
    }

    // A station's reserve is left untouched; retention and what makes no files go on.
    fn space(&self) -> Result<(), Stop> {
        let targets = if self.step.to.is_empty() { std::slice::from_ref(&self.key.station) } else { &self.step.to[..] };
        let writes = !self.step.makes.is_empty() || matches!(self.step.does, Verb::Send | Verb::Fetch | Verb::Copy);
        for station in targets.iter().filter(|_| writes) {
            let Some(reserve) = self.flow.stations.get(station).and_then(|station| station.reserve.as_ref()) else {
                continue;
            };
            let Some((free, total)) = self.facts.space(station) else { continue };
            if free < reserve.bytes_of(total) {
                let text = format!(
                    "{station} has {} free, less than its reserve of {}",
                    thalweg_core::units::format_size(free),
                    thalweg_core::units::format_size(reserve.bytes_of(total))
                );
                let again = self.now.checked_add(SPACE_AGAIN).unwrap_or(self.now);
                return Err((Next::Waiting, Reason::until("reserve", text, again)));
            }
        }
        Ok(())
    }

    fn task(&self, standing: &Standing, used: Vec<UsedFile>, awaited: Vec<String>) -> Result<Task, Stop> {
        let identity = identity_with(self.step, self.key, &used, deciding(self.step, self.facts).as_deref());
        let outputs = outputs(self.flow, self.step, self.key, &self.gathered, self.facts)
            .map_err(|why| (Next::Blocked, Reason::new("no_path", why)))?;
        let inputs = self.inputs();
        self.free_paths(standing, &inputs, &outputs)?;
        let mut fields = fields_of(self.key, &self.gathered);
        if let [only] = outputs.as_slice() {
            for (name, value) in &only.fields {
                fields.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        let lane = self.step.one_at_a_time.as_ref().map(|names| {
            let values = names.iter().map(|name| fields.get(name).map(ToString::to_string).unwrap_or_default());
            values.collect::<Vec<_>>().join(",")
        });
        let mut task = Task {
            key: self.key.clone(),
            step_version: self.step.version,
            verb_version: self.verb_version(),
            identity,
            inputs,
            outputs,
            previous: Vec::new(),
            with_contributions: Vec::new(),
            parts: Vec::new(),
            awaited,
            fields,
            span: self.key.cell.or_else(|| span_of(&self.gathered.driving)),
            because: match &standing.because {
                Some(reason) => reason.text.clone(),
                None => "its inputs are there and it was not made yet".into(),
            },
            arrived: self.arrived(),
            lane,
        };
        if self.step.updates() {
            self.update(standing, &mut task)?;
        }
        Ok(task)
    }

    // What stands at the paths of the outputs must be this key's own, or the very content that is to come there.
    fn free_paths(&self, standing: &Standing, inputs: &[TaskInput], outputs: &[TaskOutput]) -> Result<(), Stop> {
        let contents: BTreeSet<_> = inputs.iter().map(|input| input.hash).collect();
        let carries = matches!(self.step.does, Verb::Send | Verb::Fetch | Verb::Copy | Verb::Link | Verb::Move);
        for output in outputs {
            let Some(path) = &output.path else { continue };
            let conflict = |text| Err((Next::Blocked, Reason::new("conflict", text)));
            let left = standing.last.iter().flat_map(|last| &last.outputs);
            let standing_there = self.facts.file_at(&output.station, path);
            // What the flow brought or made there under other fields is another file, and not to be lost.
            if let Some(file) = &standing_there
                && file.state == FileState::Present
                && file.origin != Origin::Seen
                && !self.is_same_file(file, output)
            {
                return conflict(format!(
                    "{path} at {} is {}({}) already: two files would get the same path",
                    output.station, file.product, file.identity
                ));
            }
            if let Some(file) = standing_there
                && matches!(file.state, FileState::Present | FileState::Settling)
                && file.origin == Origin::Seen
                // A key that never ran may have made it before the ledger was lost: it runs, and its run is refused if
                // it makes anything else.
                && standing.last.is_some()
                && !left.clone().any(|left| left.station == output.station && left.path == *path && Some(left.hash) == file.hash)
                && !(carries && file.hash.is_some_and(|hash| contents.contains(&hash)))
            {
                return conflict(format!(
                    "{path} at {} was put there by something else and is not overwritten: `thalweg adopt {}` keeps it; \
                     if it is removed, this goes on",
                    output.station, output.product
                ));
            }
            if let Some((step, key)) = self.facts.made_by(&output.station, path)
                && !output.update
                && (step != self.step.name || key != self.key.text())
                && output.replaces.is_some()
                && !matches!(self.step.does, Verb::Send | Verb::Fetch)
            {
                return conflict(format!(
                    "{path} at {} was already made by {step} {key}: two keys would make the same file",
                    output.station
                ));
            }
        }
        Ok(())
    }

    fn is_same_file(&self, file: &FileFact, output: &super::TaskOutput) -> bool {
        let product = self.flow.products.get(&output.product);
        file.product == output.product
            && product.is_some_and(|product| super::identity_of_file(product, &output.fields) == file.identity)
    }

    pub(super) fn inputs(&self) -> Vec<TaskInput> {
        let mut inputs = Vec::new();
        let roles = self.gathered.roles.iter().map(|(role, files)| (role.as_str(), files));
        for (role, files) in std::iter::once(("", &self.gathered.driving)).chain(roles) {
            for file in files.iter().filter(|file| file.is_usable()) {
                inputs.extend(input_of(role, file, counts(self.step, role)));
            }
        }
        for (role, (path, hash)) in &self.gathered.settings {
            inputs.extend(hash.map(|hash| TaskInput {
                role: role.clone(),
                product: String::new(),
                identity: path.clone(),
                station: String::new(),
                path: thalweg_core::RelPath::from_text(path.clone()),
                hash,
                size: 0,
                coverage: None,
                fields: thalweg_core::Fields::new(),
                new: true,
                counts: counts(self.step, role),
            }));
        }
        inputs
    }

    fn failed_before(&self, task: &Task) -> Result<(), Stop> {
        let Some(failure) = self.facts.last_failure(self.key).filter(|f| f.identity == task.identity) else {
            return Ok(());
        };
        if self.occasion.asked {
            return Ok(());
        }
        let tries = format!(
            "run {} failed ({}, attempt {}): {}",
            failure.run, failure.class, failure.attempts, failure.message
        );
        match failure.retry_at {
            Some(at) if at <= self.now => Ok(()),
            Some(at) => Err((Next::Failed, Reason::until("failed", format!("{tries}; next try at {at}"), at))),
            None => Err((
                Next::Failed,
                Reason::new("failed", format!("{tries}; not tried again by itself: `thalweg retry`")),
            )),
        }
    }
}

pub(super) fn input_of(role: &str, file: &FileFact, counts: bool) -> Option<TaskInput> {
    Some(TaskInput {
        role: role.to_owned(),
        product: file.product.clone(),
        identity: file.identity.clone(),
        station: file.station.clone(),
        path: file.path.clone(),
        hash: file.hash?,
        size: file.size,
        coverage: file.coverage,
        fields: file.fields.clone(),
        new: true,
        counts,
    })
}

/// Returns why this program does not carry a step out, if so: what is only noted is carried out all the same.
pub(crate) fn unsupported(flow: &Flow, step: &Step) -> Option<String> {
    let place = format!("steps.{}", step.name);
    let cannot = |note: &&crate::Note| note.place == place && note.message.contains("cannot carry it out");
    flow.notes.iter().find(cannot).map(|note| note.message.clone())
}
