//! What runners tell: outputs journalled before they are published, ends recorded with all that follows from them.

use jiff::SignedDuration;
use thalweg_core::{ErrorClass, Timestamp};
use thalweg_flow::planner::{Facts, FileFact, FileQuery, KeyId, Task, touched_by_run};
use thalweg_flow::{Retry, Verb};
use thalweg_ledger::{Contribution, RunId, RunOutput, RunState};

use super::closing::{run_end, run_output};
use super::{Active, Dispatcher};
use crate::facts::file_fact;
use crate::runner::{End, Failure, Go, Staged, Told};
use crate::scan::{Seen, Sight, stat_of};
use crate::{EngineError, Event};

/// Outputs that stand by to be published.
#[derive(Default)]
struct Journal {
    rows: Vec<(RunId, Vec<RunOutput>)>,
    parts: Vec<Contribution>,
    /// Their runs, by the dispatcher's numbers.
    going: Vec<u64>,
}

impl Journal {
    fn is_empty(&self) -> bool {
        self.going.is_empty()
    }
}

impl Dispatcher<'_> {
    pub(super) fn told(&mut self, told: Vec<Told>) -> Result<(), EngineError> {
        let mut staged = Vec::new();
        let mut ended = Vec::new();
        for one in told {
            match one {
                Told::Began { no, at } => self.began(no, at),
                Told::Progress { no, done, total, unit } => {
                    if let Some(run) = self.active.get(&no).and_then(|active| active.runs.first()) {
                        let event = Event::RunProgress { run: run.0, done, total, unit };
                        self.say(&event);
                    }
                }
                Told::Staged { no, outputs, .. } => staged.push((no, outputs)),
                Told::Ended { no, end } => ended.push((no, *end)),
            }
        }
        let journal = self.journal(staged)?;
        self.record_ends(ended, journal)
    }

    fn began(&mut self, no: u64, at: Timestamp) {
        let Some(active) = self.active.get_mut(&no) else { return };
        active.started = at;
        let Some(first) = active.tasks.first() else { return };
        let event = Event::RunStarted {
            run: active.runs.first().map_or(0, |run| run.0),
            step: first.key.step.clone(),
            key: first.key.text(),
            attempt: active.attempt,
        };
        self.say(&event);
    }

    // From here on the outputs of these runs appear together or not at all, whatever happens to this process.
    fn journal(&mut self, staged: Vec<(u64, Vec<Staged>)>) -> Result<Journal, EngineError> {
        let in_force = self.flow.clone();
        let journal = self.journal_under_own_flow(staged);
        self.flow = in_force;
        journal
    }

    fn journal_under_own_flow(&mut self, staged: Vec<(u64, Vec<Staged>)>) -> Result<Journal, EngineError> {
        let Journal { mut rows, mut parts, mut going } = Journal::default();
        for (no, outputs) in staged {
            let Some(active) = self.active.get(&no) else { continue };
            self.flow = active.flow.clone();
            if let Some(why) = self.changed_outside(&outputs)? {
                active.say(Go::Refuse(why));
                continue;
            }
            let standing = self.would_be_lost(active, &outputs)?;
            if !standing.is_empty() {
                if let Some(first) = active.tasks.first() {
                    self.line.work_on(no, &first.key.step);
                }
                active.say(Go::WorkOn(standing));
                continue;
            }
            let flow = self.flow.clone();
            let Some(active) = self.active.get_mut(&no) else { continue };
            active.outputs.extend(outputs.iter().map(|output| (output.station.clone(), output.path.clone())));
            for run in &active.runs {
                rows.push((*run, outputs.iter().map(|output| run_output(&flow, output, false)).collect()));
            }
            if let Some(active) = self.active.get(&no) {
                for output in outputs.iter().filter(|output| output.update) {
                    parts.extend(self.contributions(active, output)?);
                }
            }
            going.push(no);
        }
        Ok(Journal { rows, parts, going })
    }

    // To be called when the journal is on the disk.
    fn go_on(&mut self, going: Vec<u64>) {
        for no in going {
            if let Some(active) = self.active.get(&no) {
                active.say(Go::Publish);
            }
        }
    }

    // What is journalled and the ends of runs that stand by themselves are one transaction.
    fn record_ends(&mut self, ended: Vec<(u64, End)>, journal: Journal) -> Result<(), EngineError> {
        let mut done = Vec::new();
        let mut others = Vec::new();
        for (no, end) in ended {
            let Some(mut active) = self.active.remove(&no) else { continue };
            if let Some(thread) = active.thread.take() {
                thread.join();
            }
            end.unswept.iter().for_each(|station| self.note_unswept(station));
            for task in &active.tasks {
                self.running.remove(&(task.key.step.clone(), task.key.text()));
            }
            self.retention_due = true;
            let is_done = end.failure.is_none() && !end.cancelled && end.changed.is_empty();
            if is_done && self.stands_by_itself(&active) {
                done.push((active, end));
            } else {
                others.push((active, end));
            }
        }
        if !done.is_empty() || !journal.is_empty() {
            self.record_done(done, journal)?;
        }
        let in_force = self.flow.clone();
        for (active, end) in others {
            // Another flow may be in force by now, without this step even: what was made is recorded all the same.
            self.flow = active.flow.clone();
            let recorded = self.record_one(active, end);
            self.flow = in_force.clone();
            recorded?;
        }
        Ok(())
    }

    fn record_one(&mut self, active: Active, end: End) -> Result<(), EngineError> {
        if let Some(detail) = self.detail(&active, &end) {
            // Not worth a commit of its own: it goes with the next one.
            drop(self.ledger.submit(move |tx| detail.write(tx))?);
        }
        if let Some(failure) = end.failure.clone() {
            if !self.made_all_the_same(&active)? {
                self.record_failure(&active, &end, &failure)?;
            }
            self.after_run(&active)?;
        } else if end.cancelled || !end.changed.is_empty() {
            self.record_void(&active, &end)?;
            self.after_run(&active)?;
        } else {
            self.record_done(vec![(active, end)], Journal::default())?;
        }
        Ok(())
    }

    // Nothing that another end in the same transaction says can matter to it.
    fn stands_by_itself(&self, active: &Active) -> bool {
        let step = active.tasks.first().and_then(|task| active.flow.steps.get(&task.key.step));
        let updates = active.tasks.iter().flat_map(|task| &task.outputs).any(|output| output.update);
        let alone = step.is_some_and(|step| !step.edits && !matches!(step.does, Verb::Move)) && !updates;
        alone && std::sync::Arc::ptr_eq(&active.flow, &self.flow)
    }

    // The keys of the run, and those that stand behind it for the same files.
    fn after_run(&mut self, active: &Active) -> Result<(), EngineError> {
        let mut keys = Vec::new();
        {
            let _view = self.reader.view()?;
            let facts = self.facts();
            for task in &active.tasks {
                let driving: Vec<FileFact> = task
                    .inputs
                    .iter()
                    .filter(|input| input.role.is_empty() && !input.station.is_empty())
                    .flat_map(|input| facts.files_of(&input.station, &input.product, &input.identity))
                    .collect();
                keys.extend(touched_by_run(&self.flow, &task.key, &driving));
            }
            facts.trouble()?;
        }
        self.dirty.extend(keys);
        Ok(())
    }

    fn record_done(&mut self, done: Vec<(Active, End)>, journal: Journal) -> Result<(), EngineError> {
        let now = self.now();
        let mut closings = Vec::new();
        for (active, end) in &done {
            closings.extend(self.closing(active, end, now)?);
        }
        let extras: Vec<_> = closings.iter().filter_map(super::closing::Closing::extras).collect();
        let Journal { rows, parts, going } = journal;
        let files = self.ledger.write(move |tx| {
            for (run, outputs) in &rows {
                tx.run_staged(*run, outputs)?;
                tx.run_publishing(*run)?;
            }
            // They are named by the content to come, so that they mean nothing until it is there.
            parts.iter().try_for_each(|part| tx.contribute(part))?;
            let mut files = Vec::new();
            for closing in &closings {
                closing.write(tx, now, &mut files)?;
            }
            Ok(files)
        })?;
        self.go_on(going);
        for (rows, by) in extras {
            self.remove_extras(rows, &by)?;
        }
        {
            let _view = self.reader.view()?;
            for file in files {
                self.settling.remove(&file);
                if let Some(row) = self.reader.file(file)? {
                    self.changed.push(file_fact(&self.flow, row));
                }
            }
        }
        for (active, end) in done {
            let made = end.left.iter().map(|left| (left.output.station.as_str(), &left.output.path, left.output.size));
            self.was_done(&active, made, now)?;
            self.after_run(&active)?;
        }
        Ok(())
    }

    // What follows from a run that is recorded as done, with what it made and the bytes of that.
    pub(super) fn was_done<'a>(
        &mut self,
        active: &Active,
        made: impl Iterator<Item = (&'a str, &'a thalweg_core::RelPath, u64)> + Clone,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let Some(first) = active.tasks.first() else { return Ok(()) };
        let Some(step) = self.flow.steps.get(&first.key.step).cloned() else { return Ok(()) };
        for input in active.tasks.iter().flat_map(|task| &task.inputs) {
            if step.edits || matches!(step.does, Verb::Move) {
                let row = self.reader.file_at(&input.station, &input.path)?;
                self.changed.extend(row.map(|row| file_fact(&self.flow, row)));
            }
        }
        self.outcome.done += u64::try_from(active.tasks.len()).unwrap_or(0);
        let names: Vec<String> =
            made.clone().map(|(station, path, _)| format!("{station}/{}", path.as_str())).collect();
        self.outcome.made.extend(names.iter().cloned());
        let event = Event::RunDone {
            run: active.runs.first().map_or(0, |run| run.0),
            step: step.name.clone(),
            key: first.key.text(),
            bytes: made.map(|(_, _, size)| size).sum(),
            outputs: names,
            seconds: now.duration_since(active.started).as_secs_f64(),
            partial: !first.awaited.is_empty(),
        };
        self.say(&event);
        if matches!(step.when, thalweg_flow::When::Arrives) && !self.more_of(&step.name) {
            self.raise_flags_after(&step.name)?;
        }
        for task in &active.tasks {
            self.requests.iter_mut().for_each(|request| request.made(&task.key));
        }
        Ok(())
    }

    fn more_of(&self, step: &str) -> bool {
        self.ready.keys().any(|key| key.step == step) || self.active.values().any(|active| active.held.step == step)
    }

    fn record_failure(&mut self, active: &Active, end: &End, failure: &Failure) -> Result<(), EngineError> {
        let now = self.now();
        let Some(first) = active.tasks.first() else { return Ok(()) };
        let step = self.flow.steps.get(&first.key.step).cloned();
        let retry = step.as_ref().map(|step| step.retry.clone()).unwrap_or_default();
        let facts = self.facts();
        let before = facts.last_failure(&first.key).filter(|f| f.identity == first.identity).map_or(0, |f| f.attempts);
        facts.trouble()?;
        let together = active.tasks.len() > 1;
        // After a failure of many each goes by itself, at once.
        let own_wait = step.as_ref().and_then(|step| match &step.when {
            thalweg_flow::When::Every { retry, .. } => *retry,
            _ => None,
        });
        let retry_at = match (together, own_wait) {
            (true, _) => Some(now),
            (false, Some(wait)) if passes(failure.class) => now.checked_add(wait).ok(),
            (false, _) => next_try(&retry, failure.class, before + 1, now),
        };
        let mut finish = run_end(RunState::Failed, end, now);
        finish.class = Some(failure.class);
        finish.message = Some(failure.message.clone());
        finish.retry_at = retry_at;
        // Put aside before the run is over: after a crash in between the run counts as lost and the file as bad, while
        // the other way round the key would have failed for good with its file in place.
        if !together
            && failure.class == ErrorClass::Data
            && let Some((station, path)) = &failure.bad
            && let Some(row) = self.reader.file_at(station, path)?
        {
            if !self.is_what_was_judged(first, &row) {
                let changed = vec![(station.clone(), path.clone())];
                return self.record_void(active, &End { changed, exit: end.exit, ..End::default() });
            }
            self.put_aside(&row, failure, step.as_ref(), active.runs.first().copied())?;
            self.put_along(first, step.as_ref(), failure, active.runs.first().copied())?;
        }
        let runs = active.runs.clone();
        self.ledger.write(move |tx| runs.iter().try_for_each(|run| tx.run_finish(*run, &finish)))?;
        let log = self.log_of(active);
        let event = Event::RunFailed {
            run: active.runs.first().map_or(0, |run| run.0),
            step: first.key.step.clone(),
            key: first.key.text(),
            class: failure.class,
            message: failure.message.clone(),
            retry_at,
            log,
        };
        self.say(&event);
        if !together && failure.class != ErrorClass::NotYet {
            self.outcome.failed += 1;
            self.outcome.failed_runs += 1;
        }
        if !together {
            self.request_failed(&first.key);
        }
        Ok(())
    }

    // A file that was replaced while a verb called it bad is another file.
    fn is_what_was_judged(&self, task: &Task, row: &thalweg_ledger::FileRow) -> bool {
        let judged = task.inputs.iter().find(|input| input.station == row.station && input.path == row.path);
        if judged.is_some_and(|input| Some(input.hash) != row.content && Some(input.hash) != row.data_hash) {
            return false;
        }
        let found = self.places.store(&row.station).map(|store| store.stat(&row.path));
        !matches!(found, Some(Ok(Some(meta))) if !self.is_as_recorded(row, &meta))
    }

    fn put_along(
        &mut self,
        task: &Task,
        step: Option<&thalweg_flow::Step>,
        failure: &Failure,
        run: Option<RunId>,
    ) -> Result<(), EngineError> {
        let Some(step) = step else { return Ok(()) };
        for input in task.inputs.iter().filter(|input| step.on_bad.along.contains(&input.role)) {
            if let Some(row) = self.reader.file_at(&input.station, &input.path)? {
                let along = Failure::new(ErrorClass::Data, format!("goes along with a bad file: {}", failure.message));
                self.put_aside(&row, &along, Some(step), run)?;
            }
        }
        Ok(())
    }

    // An input changed, or the engine stops: nothing of the run counts.
    fn record_void(&mut self, active: &Active, end: &End) -> Result<(), EngineError> {
        let now = self.now();
        let mut finish = run_end(RunState::Cancelled, end, now);
        let why = match end.changed.first() {
            Some((station, path)) => format!("its input {path} at {station} changed meanwhile"),
            None => "it was stopped".into(),
        };
        finish.message = Some(why);
        finish.class = Some(ErrorClass::NotYet);
        let runs = active.runs.clone();
        self.ledger.write(move |tx| runs.iter().try_for_each(|run| tx.run_finish(*run, &finish)))?;
        let mut seen = Vec::new();
        for (station, path) in &end.changed {
            let Some(store) = self.places.store(station) else { continue };
            match store.stat(path) {
                Ok(Some(meta)) => {
                    let folder = meta.kind == thalweg_store::Kind::Folder;
                    let open = !matches!(store.writer(path), Ok(None));
                    let how = Sight::Listed { open };
                    seen.push(Seen { station: station.clone(), path: path.clone(), stat: stat_of(&meta), folder, how });
                }
                Ok(None) => {
                    if let Some(row) = self.reader.file_at(station, path)? {
                        self.vanished(vec![(row.id, path.clone())])?;
                    }
                }
                Err(_) => {}
            }
        }
        self.observe(seen)
    }

    pub(super) fn log_of(&self, active: &Active) -> Option<String> {
        active.runs.first()?;
        Some(active.log.display().to_string())
    }

    /// Returns the driving files of a key.
    pub(super) fn driving_of(&self, key: &KeyId) -> Result<Vec<FileFact>, EngineError> {
        let Some(step) = self.flow.steps.get(&key.step) else { return Ok(Vec::new()) };
        let facts = self.facts();
        let mut files = Vec::new();
        for station in step.sources(&key.station) {
            match (&key.driving, key.cell) {
                (Some((product, identity)), _) => files.extend(facts.files_of(station, product, identity)),
                (None, overlapping) => {
                    for product in &step.takes {
                        let query = FileQuery { station: Some(station), product, fields: Vec::new(), overlapping };
                        files.extend(facts.files(&query));
                    }
                }
            }
        }
        facts.trouble()?;
        Ok(files)
    }
}

// Tells if a failure of this class may pass by itself.
fn passes(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::NotYet | ErrorClass::Transient | ErrorClass::Bug)
}

/// Returns when a failed task is tried again by itself, if it is.
fn next_try(retry: &Retry, class: ErrorClass, attempt: u32, now: Timestamp) -> Option<Timestamp> {
    let wait = |attempt: u32| {
        let doubled = retry.wait.0.checked_mul(1 << attempt.saturating_sub(1).min(20)).unwrap_or(retry.wait.1);
        let wait: SignedDuration = doubled.min(retry.wait.1);
        now.checked_add(wait).ok()
    };
    match class {
        // Nothing is wrong: it is asked again as often as it takes.
        ErrorClass::NotYet => wait(attempt),
        _ if !retry.only.is_empty() && !retry.only.contains(&class) => None,
        ErrorClass::Transient | ErrorClass::Bug => (attempt <= retry.times).then(|| wait(attempt)).flatten(),
        ErrorClass::Config | ErrorClass::Refused | ErrorClass::Data => {
            let named = retry.only.contains(&class) && attempt <= retry.times;
            named.then(|| wait(attempt)).flatten()
        }
    }
}
