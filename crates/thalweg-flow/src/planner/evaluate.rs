//! One key: what is there, what comes next and why, and the task when it is ready.

use std::collections::BTreeMap;

use thalweg_core::{TimeRange, Timestamp};

use super::family::in_words;
use super::gather::{Gathered, gather};
use super::outputs::{fields_of, outputs};
use super::ready::{Readiness, readiness};
use super::reason::{Evaluation, Next, Reason, There};
use super::standing::{Standing, counting, find, identity_with, standing};
use super::task::{Previous, Task, TaskInput};
use super::trigger::{due_round, next_moment};
use super::verdict::{Names, judge};
use super::{Facts, FileFact, FileState, KeyId, UsedFile};
use crate::{Complete, Executor, Flow, GIVE_UP, Step, Verb, Wait, When, WithWhat};

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

/// Everything known of the key under evaluation.
struct Look<'a> {
    flow: &'a Flow,
    step: &'a Step,
    key: &'a KeyId,
    facts: &'a dyn Facts,
    occasion: Occasion,
    gathered: Gathered,
    now: Timestamp,
}

/// Says of one key what is there, what comes next and why.
pub fn evaluate(flow: &Flow, key: &KeyId, facts: &dyn Facts, occasion: Occasion) -> Evaluation {
    let say = |there, because, next, reason, task| Evaluation { key: key.clone(), there, there_because: because, next, reason, task };
    let Some(step) = flow.steps.get(&key.step) else {
        let reason = Reason::new("no_step", format!("the flow has no step {} any more", key.step));
        return say(There::None, None, Next::Nothing, reason, None);
    };
    let gathered = gather(flow, step, key, facts);
    let look = Look { flow, step, key, facts, occasion, now: facts.now(), gathered };
    let rebuild = occasion.rebuild;
    let standing = standing(flow, step, key, &look.gathered, facts, rebuild);
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

type Stop = (Next, Reason);

impl Look<'_> {
    /// Goes through everything that can stand before "ready", in the order of the table in the language's definition.
    fn next(&self, standing: &Standing) -> Result<Task, Stop> {
        self.bad_inputs()?;
        self.condition()?;
        let awaited = self.missing_inputs(standing)?;
        self.other_steps()?;
        self.moment()?;
        let used = self.nothing_poorer(standing)?;
        self.blocks()?;
        let task = self.task(standing, used, awaited)?;
        self.failed_before(&task)?;
        Ok(task)
    }

    fn bad_inputs(&self) -> Result<(), Stop> {
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
        if self.key.driving.is_some() {
            let mut same = driving.iter().filter(|file| !matches!(file.state, FileState::Gone { .. }) && !file.was_retired());
            if let (Some(a), Some(b)) = (same.next(), same.next())
                && a.station == b.station
            {
                let text = format!("{} and {} are the same file of {} by their fields: remove or rename one", a.path, b.path, a.product);
                return Err((Next::Blocked, Reason::new("conflict", text)));
            }
        }
        Ok(())
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

    fn condition(&self) -> Result<(), Stop> {
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
        if let Some(what) = verdict.waits_for.first() {
            // The ready rule says more about a file that is not read yet.
            self.driving_ready()?;
            return Err((Next::Waiting, Reason::new("condition", format!("{}: {what}", verdict.because))));
        }
        // A later file of a role can fulfil what the present one does not.
        if condition.names().iter().any(|name| name.0.first().is_some_and(|first| first == "in")) {
            return Err((Next::Waiting, Reason::new("condition", format!("not yet: {}", verdict.because))));
        }
        Err((Next::Skipped, Reason::new("condition", verdict.because)))
    }

    fn unready(&self, file: &FileFact) -> Stop {
        let product = self.flow.products.get(&file.product);
        match product.map(|product| readiness(product, file, self.facts)) {
            Some(Readiness::No(reason)) => (Next::Waiting, reason),
            _ => (Next::Waiting, Reason::new("being_read", format!("{} is about to be read and recorded", file.path))),
        }
    }

    fn driving_ready(&self) -> Result<(), Stop> {
        let driving = &self.gathered.driving;
        let settling = driving.iter().find(|file| file.state == FileState::Settling);
        let usable = driving.iter().any(FileFact::is_usable);
        match settling {
            // A cell acts on what is there; a single file is waited for.
            Some(file) if self.key.driving.is_some() || !usable => Err(self.unready(file)),
            _ => Ok(()),
        }
    }

    /// Waits for missing inputs; returns the roles it goes on without.
    fn missing_inputs(&self, standing: &Standing) -> Result<Vec<String>, Stop> {
        let driving = &self.gathered.driving;
        self.driving_ready()?;
        let counted_before = standing.last.is_some();
        if !self.step.takes.is_empty() && !driving.iter().any(FileFact::is_usable) && !counted_before {
            if let Some(file) = driving.iter().find(|file| file.was_retired()) {
                let text = format!("its input {} was removed by a rule before it was used here", file.path);
                return Err((Next::Blocked, Reason::new("retired_input", text)));
            }
            let gone = driving.iter().find(|file| matches!(file.state, FileState::Gone { .. }));
            if let Some(file) = gone.filter(|_| self.key.driving.is_some()) {
                let text = format!("{} vanished before it was taken", file.path);
                return Err((Next::Skipped, Reason::new("vanished", text)));
            }
            let depends = self.occasion.partial && self.gathered.roles.values().flatten().any(FileFact::is_usable);
            if !depends {
                let products = self.step.takes.join(" or ");
                let text = format!("no {products} is there for {}", self.key.text());
                return Err((Next::Waiting, Reason::new("missing_input", self.with_listing_state(text))));
            }
        }
        self.complete()?;
        let mut awaited = Vec::new();
        for (role, with) in &self.step.with {
            match &with.what {
                WithWhat::File(_) => {
                    let (path, hash) = &self.gathered.settings[role];
                    if hash.is_none() {
                        let text = format!("the settings file {path} cannot be read");
                        return Err((Next::Waiting, Reason::new("missing_settings", text)));
                    }
                }
                WithWhat::Product { product, .. } => {
                    let files = &self.gathered.roles[role];
                    let used = standing.last.iter().flat_map(|last| &last.inputs).any(|used| used.role == *role);
                    if files.iter().any(FileFact::is_usable) || used {
                        continue;
                    }
                    self.missing_role(role, product, with.wait, files)?;
                    awaited.push(role.clone());
                }
            }
        }
        Ok(awaited)
    }

    // Silence is not absence: an input is missing only by a listing that succeeded.
    fn missing_role(&self, role: &str, product: &str, wait: Wait, files: &[FileFact]) -> Result<(), Stop> {
        if self.occasion.asked {
            if self.occasion.partial {
                return Ok(());
            }
            if let Some(file) = files.iter().find(|file| file.state == FileState::Settling) {
                return Err(self.unready(file));
            }
            let text = format!("no {product} is there for {role} of {}", self.key.text());
            return Err((Next::Waiting, Reason::new("missing_input", text)));
        }
        let Wait::For(wait) = wait else {
            if let Some(file) = files.iter().find(|file| file.state == FileState::Settling) {
                return Err(self.unready(file));
            }
            let text = format!("no {product} is there for {role} of {}; it is required", self.key.text());
            return Err((Next::Waiting, Reason::new("missing_input", self.with_listing_state(text))));
        };
        let arrived = self.arrived();
        let until = arrived.checked_add(wait).unwrap_or(Timestamp::MAX);
        if self.now < until {
            let text = format!("no {product} is there for {role}: waited for {} until {until}", in_words(wait));
            return Err((Next::Waiting, Reason::until("missing_input", text, until)));
        }
        for station in self.role_stations(role) {
            let listing = self.facts.listing(station);
            if listing.last_ok.is_none_or(|at| at < arrived) {
                let why = listing.failing.unwrap_or_else(|| "it was not listed since".into());
                let text = format!("{station} is silent ({why}), so that {product} for {role} cannot be called missing");
                return Err((Next::Waiting, Reason::new("silent_station", text)));
            }
        }
        Ok(())
    }

    fn role_stations(&self, role: &str) -> Vec<&str> {
        match self.step.with.get(role).map(|with| &with.what) {
            Some(WithWhat::Product { from, .. }) if !from.is_empty() => from.iter().map(String::as_str).collect(),
            _ => vec![self.key.station.as_str()],
        }
    }

    fn with_listing_state(&self, text: String) -> String {
        let failing = self.step.sources(&self.key.station).into_iter().find_map(|station| {
            self.facts.listing(station).failing.map(|why| format!("{text}; {station} cannot be listed: {why}"))
        });
        failing.unwrap_or(text)
    }

    fn arrived(&self) -> Timestamp {
        let times = self.gathered.driving.iter().filter(|file| file.is_usable()).map(|file| file.arrived);
        times.max().or(self.key.cell.map(|cell| cell.end)).unwrap_or(self.now)
    }

    fn complete(&self) -> Result<(), Stop> {
        let usable: Vec<&FileFact> =
            self.gathered.driving.iter().filter(|file| file.is_usable() || file.was_retired()).collect();
        match (&self.step.complete, self.key.cell) {
            (Complete::Any, _) => Ok(()),
            (Complete::Covered, Some(cell)) => match first_gap(&usable, cell) {
                Some(gap) if !self.occasion.partial => {
                    Err((Next::Waiting, Reason::new("gap", format!("nothing covers {gap} yet"))))
                }
                _ => Ok(()),
            },
            (Complete::Each { each, covered_past_end, or_after }, Some(cell)) => {
                let Some(lacking) = self.lacking(each, *covered_past_end, cell) else { return Ok(()) };
                if self.occasion.partial {
                    return Ok(());
                }
                let newest = usable.iter().map(|file| file.arrived).max().unwrap_or(cell.end);
                let until = or_after.and_then(|after| cell.end.max(newest).checked_add(after).ok());
                match until {
                    Some(until) if until <= self.now => Ok(()),
                    Some(until) => {
                        let text = format!("{lacking}; at the latest at {until} it goes on without");
                        Err((Next::Waiting, Reason::until("incomplete", text, until)))
                    }
                    None => Err((Next::Waiting, Reason::new("incomplete", lacking))),
                }
            }
            (Complete::Covered | Complete::Each { .. }, None) => Ok(()),
        }
    }

    // Which of the series that make a cell complete is not there, or does not reach past the cell's end.
    fn lacking(&self, each: &BTreeMap<String, Vec<thalweg_core::Value>>, past_end: bool, cell: TimeRange) -> Option<String> {
        for (field, values) in each {
            for value in values {
                let mut of_series = self
                    .gathered
                    .driving
                    .iter()
                    .filter(|file| (file.is_usable() || file.was_retired()) && file.fields.get(field) == Some(value));
                let reaches = of_series.clone().any(|file| file.coverage.is_some_and(|c| c.end >= cell.end));
                if of_series.next().is_none() {
                    return Some(format!("nothing of {field} {value} is there for {cell}"));
                }
                if past_end && !reaches && !self.later_starts(field, value, cell.end) {
                    return Some(format!("{field} {value} does not reach past {} yet", cell.end));
                }
            }
        }
        None
    }

    fn later_starts(&self, field: &str, value: &thalweg_core::Value, end: Timestamp) -> bool {
        self.step.takes.iter().filter_map(|name| self.flow.products.get(name)).any(|product| {
            let latest = self.now.checked_add(product.ahead).unwrap_or(Timestamp::MAX);
            self.step.sources(&self.key.station).into_iter().any(|station| {
                let newest = self.facts.newest_start(station, &product.name, &[(field, value)], latest);
                newest.is_some_and(|start| start >= end)
            })
        })
    }

    fn other_steps(&self) -> Result<(), Stop> {
        for name in self.step.needs.iter().chain(&self.step.after) {
            let Some(other) = self.flow.steps.get(name) else { continue };
            let needed = self.step.needs.contains(name);
            for file in &self.gathered.driving {
                for key in super::touch::keys_of_file(other, file) {
                    let evaluation = evaluate(self.flow, &key, self.facts, Occasion::default());
                    let done = matches!(evaluation.there, There::Done | There::Partial | There::Retired);
                    if needed && !(done && evaluation.next == Next::Nothing) {
                        let text = format!("{name} is not done for {}: {} ({})", file.path, evaluation.next, evaluation.reason.text);
                        let next = if evaluation.next == Next::Waiting { Next::Waiting } else { Next::Blocked };
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

    fn moment(&self) -> Result<(), Stop> {
        if self.occasion.asked {
            return Ok(());
        }
        match &self.step.when {
            When::Arrives => Ok(()),
            When::Asked => {
                Err((Next::Blocked, Reason::new("asked", "it is made only when asked for (`thalweg make`)")))
            }
            When::Flag(flag) => match self.facts.round(&self.step.name, &self.key.station).open {
                Some(_) => Ok(()),
                None => Err((Next::Waiting, Reason::new("flag", format!("it starts when a flag {flag} appears")))),
            },
            When::Every { .. } | When::Cron { .. } => {
                if due_round(self.step, &self.key.station, self.facts).is_some() {
                    return Ok(());
                }
                let last = self.facts.round(&self.step.name, &self.key.station).last;
                match next_moment(&self.step.when, last, self.now, &self.key.station) {
                    Some(at) => Err((Next::Waiting, Reason::until("moment", format!("it starts at {at}"), at))),
                    None => Err((Next::Blocked, Reason::new("moment", "its timer has no next moment"))),
                }
            }
        }
    }

    /// Refuses to remake something from fewer inputs than before; returns the inputs that count.
    fn nothing_poorer(&self, standing: &Standing) -> Result<Vec<UsedFile>, Stop> {
        let used = counting(self.step, &self.gathered, standing.last.as_ref());
        let Some(last) = &standing.last else { return Ok(used) };
        let unavailable = last.inputs.iter().filter(|old| !old.product.is_empty()).find_map(|old| {
            match find(&self.gathered, old) {
                Some(file) if file.is_usable() || file.is_revoked() => None,
                Some(file) => Some(file.path.to_string()),
                None => Some(format!("{}({})", old.product, old.identity)),
            }
        });
        match unavailable.filter(|_| !self.step.updates()) {
            Some(path) => {
                let because = standing.because.as_ref().map(|reason| reason.text.as_str()).unwrap_or_default();
                let text = format!("{because}, but its input {path} is not there any more: it is not made from less than before");
                Err((Next::Blocked, Reason::new("retired_input", text)))
            }
            None => Ok(used),
        }
    }

    fn blocks(&self) -> Result<(), Stop> {
        let stations = std::iter::once(self.key.station.as_str())
            .chain(self.step.sources(&self.key.station))
            .chain(self.step.to.iter().map(String::as_str))
            .chain(self.step.with.keys().flat_map(|role| self.role_stations(role)));
        for station in stations {
            if let Some(why) = self.facts.out_of_reach(station) {
                return Err((Next::Blocked, Reason::new("out_of_reach", why)));
            }
        }
        if let Some(why) = unsupported(self.flow, self.step) {
            return Err((Next::Blocked, Reason::new("unsupported", why)));
        }
        if let Some(hold) = self.facts.hold(self.key, &self.gathered.driving) {
            let text = format!("{} by {} since {}: {}", hold.kind, hold.by, hold.since, hold.why);
            return Err((Next::Blocked, Reason::new(&hold.kind, text)));
        }
        if !self.occasion.asked {
            self.window()?;
        }
        Ok(())
    }

    fn window(&self) -> Result<(), Stop> {
        let Some(window) = self.step.window else { return Ok(()) };
        let Some(span) = self.key.cell.or_else(|| span_of(&self.gathered.driving)) else { return Ok(()) };
        let back = |length| self.now.checked_sub(length).unwrap_or(Timestamp::MIN);
        if span.end > back(window) {
            return Ok(());
        }
        let give_up = self.step.give_up.unwrap_or(GIVE_UP);
        if self.facts.opened(self.key).is_some_and(|opened| opened > back(give_up)) {
            return Ok(());
        }
        if let Some(skip) = self.step.skip_back
            && span.end > back(skip)
            && !self.facts.made_since(&self.step.name, back(skip))
        {
            return Ok(());
        }
        let text = format!("{span} lies before the window of {}: ask for it with `thalweg make`", in_words(window));
        Err((Next::Blocked, Reason::new("window", text)))
    }

    fn task(&self, standing: &Standing, used: Vec<UsedFile>, awaited: Vec<String>) -> Result<Task, Stop> {
        let identity = identity_with(self.step, self.key, &used);
        let outputs = outputs(self.flow, self.step, self.key, &self.gathered, self.facts)
            .map_err(|why| (Next::Blocked, Reason::new("no_path", why)))?;
        for output in &outputs {
            let Some(path) = &output.path else { continue };
            if let Some((step, key)) = self.facts.made_by(&output.station, path)
                && !output.update
                && (step != self.step.name || key != self.key.text())
                && output.replaces.is_some()
                && !matches!(self.step.does, Verb::Send | Verb::Fetch)
            {
                let text = format!("{path} at {} was already made by {step} {key}: two keys would make the same file", output.station);
                return Err((Next::Blocked, Reason::new("conflict", text)));
            }
        }
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
            identity,
            inputs: self.inputs(),
            outputs,
            previous: Vec::new(),
            with_contributions: Vec::new(),
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

    fn inputs(&self) -> Vec<TaskInput> {
        let mut inputs = Vec::new();
        let roles = self.gathered.roles.iter().map(|(role, files)| (role.as_str(), files));
        for (role, files) in std::iter::once(("", &self.gathered.driving)).chain(roles) {
            for file in files.iter().filter(|file| file.is_usable()) {
                inputs.extend(input_of(role, file, super::standing::counts(self.step, role)));
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
                counts: super::standing::counts(self.step, role),
            }));
        }
        inputs
    }

    /// Says what an `update` step works on from, or what it must take in to build its outputs afresh.
    fn update(&self, standing: &Standing, task: &mut Task) -> Result<(), Stop> {
        let own = self.key.text();
        let mut stations_files = Vec::new();
        for output in &task.outputs {
            if let Some(path) = &output.path {
                stations_files.extend(self.facts.file_at(&output.station, path));
            }
        }
        for left in standing.last.iter().flat_map(|last| &last.outputs) {
            stations_files.extend(self.facts.file_at(&left.station, &left.path));
        }
        stations_files.sort_by(|a, b| (&a.station, &a.path).cmp(&(&b.station, &b.path)));
        stations_files.dedup_by(|a, b| a.station == b.station && a.path == b.path);
        for file in stations_files {
            let Some(hash) = file.hash else { continue };
            let contributions = self.facts.contributions(&file.product, &file.identity, &hash);
            let others: Vec<_> = contributions.into_iter().filter(|c| !(c.step == self.step.name && c.key == own)).collect();
            let own_part_outdated = standing.there != There::None;
            let same_version = others.iter().all(|c| c.step_version == self.step.version);
            let revoked = others.iter().any(|c| c.inputs.iter().any(|used| self.is_revoked(used)));
            if file.is_usable() && !own_part_outdated && same_version && !revoked {
                task.with_contributions.extend(others);
                task.previous.push(Previous { file });
                continue;
            }
            // Afresh: from all contributors whose inputs still stand.
            let mut all = Vec::new();
            let mut unavailable = None;
            for contribution in others.iter().filter(|c| !c.inputs.iter().any(|used| self.is_revoked(used))) {
                for used in &contribution.inputs {
                    match self.current(used) {
                        Some(found) => all.push(found),
                        None => unavailable = Some(format!("{}({})", used.product, used.identity)),
                    }
                }
            }
            match unavailable {
                Some(_) if file.is_usable() => {
                    task.with_contributions.extend(others);
                    task.previous.push(Previous { file });
                }
                Some(what) => {
                    let text = format!("{} cannot be built afresh: {what} is not there any more", file.path);
                    return Err((Next::Blocked, Reason::new("retired_input", text)));
                }
                None => {
                    for found in &all {
                        let known = task.inputs.iter().any(|i| i.product == found.product && i.identity == found.identity);
                        if !known {
                            task.inputs.extend(input_of("", found, false));
                        }
                    }
                    task.with_contributions.extend(others.into_iter().filter_map(|mut c| {
                        if c.inputs.iter().any(|used| self.is_revoked(used)) {
                            return None;
                        }
                        for used in &mut c.inputs {
                            if let Some(hash) = self.current(used).and_then(|file| file.hash) {
                                used.hash = hash;
                            }
                        }
                        c.step_version = self.step.version;
                        c.identity = super::task::identity(
                            &c.step,
                            &c.key,
                            self.step.version,
                            c.inputs.iter().filter(|u| super::standing::counts(self.step, &u.role)).map(|u| (u.role.as_str(), &u.hash)),
                        );
                        Some(c)
                    }));
                }
            }
        }
        Ok(())
    }

    fn is_revoked(&self, used: &UsedFile) -> bool {
        self.files_named(used).iter().any(FileFact::is_revoked)
    }

    fn current(&self, used: &UsedFile) -> Option<FileFact> {
        self.files_named(used).into_iter().find(FileFact::is_usable)
    }

    fn files_named(&self, used: &UsedFile) -> Vec<FileFact> {
        let stations =
            if used.role.is_empty() { self.step.sources(&self.key.station) } else { self.role_stations(&used.role) };
        stations.into_iter().flat_map(|station| self.facts.files_of(station, &used.product, &used.identity)).collect()
    }

    fn failed_before(&self, task: &Task) -> Result<(), Stop> {
        let Some(failure) = self.facts.last_failure(self.key).filter(|f| f.identity == task.identity) else {
            return Ok(());
        };
        if self.occasion.asked {
            return Ok(());
        }
        let tries = format!("run {} failed ({}, attempt {}): {}", failure.run, failure.class, failure.attempts, failure.message);
        match failure.retry_at {
            Some(at) if at <= self.now => Ok(()),
            Some(at) => Err((Next::Failed, Reason::until("failed", format!("{tries}; next try at {at}"), at))),
            None => Err((Next::Failed, Reason::new("failed", format!("{tries}; not tried again by itself: `thalweg retry`")))),
        }
    }
}

fn input_of(role: &str, file: &FileFact, counts: bool) -> Option<TaskInput> {
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

fn first_gap(files: &[&FileFact], cell: TimeRange) -> Option<TimeRange> {
    let mut reached = cell.start;
    let mut spans: Vec<TimeRange> = files.iter().filter_map(|file| file.coverage).collect();
    spans.sort();
    for span in spans {
        if span.start > reached {
            break;
        }
        reached = reached.max(span.end);
    }
    (reached < cell.end).then(|| TimeRange::new(reached, cell.end))
}

/// Returns why this program does not carry a step out, if so.
pub(crate) fn unsupported(flow: &Flow, step: &Step) -> Option<String> {
    if step.executor == Executor::Slurm {
        return Some("nothing hands steps to Slurm: leave `executor` out to run it here".into());
    }
    let place = format!("steps.{}", step.name);
    flow.notes.iter().find(|note| note.place == place).map(|note| note.message.clone())
}
