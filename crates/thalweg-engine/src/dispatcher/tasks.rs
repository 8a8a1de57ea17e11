//! What runners tell: outputs journalled before they are published, ends recorded with all that follows from them.

use jiff::SignedDuration;
use thalweg_core::{ErrorClass, RelPath, Timestamp};
use thalweg_flow::planner::{Facts, FileFact, FileQuery, KeyId, Task, touched_by_run};
use thalweg_flow::{Retry, Verb};
use thalweg_ledger::{
    Contribution, FileState, InputRef, NewReceipt, Origin, Output, RunEnd, RunId, RunOutput, RunState,
};

use super::{Active, Dispatcher};
use crate::classify::identity;
use crate::edits::{Edit, Given, Look};
use crate::facts::file_fact;
use crate::runner::{End, Failure, Go, How, Left, Staged, Told};
use crate::scan::{Seen, Sight, stat_of, stat_of_unit};
use crate::{EngineError, Event};

impl Dispatcher<'_> {
    pub(super) fn told(&mut self, told: Vec<Told>) -> Result<(), EngineError> {
        let mut staged = Vec::new();
        let mut ended = Vec::new();
        for one in told {
            match one {
                Told::Progress { no, done, total, unit } => {
                    if let Some(run) = self.active.get(&no).and_then(|active| active.runs.first()) {
                        let event = Event::RunProgress { run: run.0, done, total, unit };
                        self.say(&event);
                    }
                }
                Told::Staged { no, outputs } => staged.push((no, outputs)),
                Told::Ended { no, end } => ended.push((no, *end)),
            }
        }
        self.journal(staged)?;
        self.record_ends(ended)
    }

    // From here on the outputs of these runs appear together or not at all, whatever happens to this process.
    fn journal(&mut self, staged: Vec<(u64, Vec<Staged>)>) -> Result<(), EngineError> {
        let mut rows: Vec<(RunId, Vec<RunOutput>)> = Vec::new();
        let mut parts: Vec<Contribution> = Vec::new();
        let mut going = Vec::new();
        for (no, outputs) in staged {
            let Some(active) = self.active.get(&no) else { continue };
            if let Some(why) = self.changed_outside(&outputs)? {
                active.say(Go::Refuse(why));
                continue;
            }
            let standing = self.would_be_lost(active, &outputs)?;
            if !standing.is_empty() {
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
                    let before = self.parts_in(output)?;
                    parts.extend(self.contributions(active, output, &before));
                }
            }
            going.push(no);
        }
        if going.is_empty() {
            return Ok(());
        }
        self.ledger.write(move |tx| {
            for (run, outputs) in &rows {
                tx.run_staged(*run, outputs)?;
                tx.run_publishing(*run)?;
            }
            // They are named by the content to come, so that they mean nothing until it is there.
            parts.iter().try_for_each(|part| tx.contribute(part))
        })?;
        for no in going {
            if let Some(active) = self.active.get(&no) {
                active.say(Go::Publish);
            }
        }
        Ok(())
    }

    // An update whose output something else has changed since the flow made it: that is not built upon.
    fn changed_outside(&self, outputs: &[Staged]) -> Result<Option<String>, EngineError> {
        for output in outputs.iter().filter(|output| output.update && matches!(output.how, How::Replace(_))) {
            let Some(row) = self.reader.file_at(&output.station, &output.path)? else { continue };
            let made = self.reader.runs_making_path(&output.station, &output.path)?;
            if row.origin == Origin::Seen && made.iter().any(|run| run.state == RunState::Done) {
                return Ok(Some(format!("{} was changed by something else and is not replaced", output.path)));
            }
        }
        Ok(None)
    }

    // An update that would replace a version with parts in it that the run neither worked on from nor took in again.
    fn would_be_lost(&self, active: &Active, outputs: &[Staged]) -> Result<Vec<(String, RelPath)>, EngineError> {
        let mut standing = Vec::new();
        for output in outputs.iter().filter(|output| output.update && output.previous.is_none()) {
            if !matches!(output.how, How::Replace(_)) {
                continue;
            }
            let parts = self.parts_in(output)?;
            let taken_in = |part: &Contribution| {
                let own = active.tasks.iter().any(|task| task.key.step == part.step && task.key.text() == part.key);
                let others = active.tasks.iter().flat_map(|task| &task.with_contributions);
                own || others.clone().any(|other| other.step == part.step && other.key == part.key)
                    || self.is_withdrawn(part)
            };
            if parts.is_empty() || !parts.iter().all(taken_in) {
                standing.push((output.station.clone(), output.path.clone()));
            }
        }
        Ok(standing)
    }

    fn parts_in(&self, output: &Staged) -> Result<Vec<Contribution>, EngineError> {
        let Some(row) = self.reader.file_at(&output.station, &output.path)? else { return Ok(Vec::new()) };
        let fact = file_fact(&self.flow, row);
        let Some(hash) = fact.hash else { return Ok(Vec::new()) };
        Ok(self.reader.contributions_of(&fact.product, &fact.identity, &hash)?)
    }

    // A part whose input was put aside or withdrawn is meant to go.
    fn is_withdrawn(&self, part: &Contribution) -> bool {
        part.inputs.iter().any(|input| {
            let files = self.reader.files_of(None, &input.product, &input.fields_key).unwrap_or_default();
            files.iter().any(|file| matches!(file.state, FileState::Quarantined | FileState::Withdrawn))
        })
    }

    fn record_ends(&mut self, ended: Vec<(u64, End)>) -> Result<(), EngineError> {
        let mut details: Vec<(RunId, Vec<String>, String)> = Vec::new();
        for (no, end) in ended {
            let Some(mut active) = self.active.remove(&no) else { continue };
            if let Some(thread) = active.thread.take() {
                let _ = thread.join();
            }
            end.unswept.iter().for_each(|station| self.is_unswept(station));
            for task in &active.tasks {
                self.running.remove(&(task.key.step.clone(), task.key.text()));
            }
            if !end.command.is_empty()
                && let (Some(run), Some(log)) = (active.runs.first().copied(), self.log_of(&active))
            {
                let command = end.command.clone();
                details.push((run, command, log));
            }
            if end.failure.is_none() && !end.cancelled && end.changed.is_empty() {
                self.record_done(&active, end)?;
            } else if let Some(failure) = end.failure.clone() {
                self.record_failure(&active, &end, &failure)?;
            } else {
                self.record_void(&active, &end)?;
            }
            self.retention_due = true;
            self.after_run(&active)?;
        }
        // Not worth a commit of its own: it goes with the next one.
        if !details.is_empty() {
            drop(self.ledger.submit(move |tx| {
                details.iter().try_for_each(|(run, command, log)| tx.run_detail(*run, command, log))
            })?);
        }
        Ok(())
    }

    // The keys of the run, and those that stand behind it for the same files.
    fn after_run(&mut self, active: &Active) -> Result<(), EngineError> {
        let facts = self.facts();
        let mut keys = Vec::new();
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
        self.dirty.extend(keys);
        Ok(())
    }

    fn record_done(&mut self, active: &Active, end: End) -> Result<(), EngineError> {
        let now = self.now();
        let Some(first) = active.tasks.first() else { return Ok(()) };
        let Some(step) = self.flow.steps.get(&first.key.step).cloned() else { return Ok(()) };
        let mut outputs = Vec::new();
        let mut rows = Vec::new();
        for left in &end.left {
            let Some(output) = self.output_row(left, active.runs.first().copied(), now) else { continue };
            rows.push(run_output(&self.flow, &left.output, true));
            outputs.push(output);
        }
        let receipts: Vec<NewReceipt> = self.receipts(&end.left, &outputs, now)?;
        let mut retire = Vec::new();
        if matches!(step.does, Verb::Move) {
            for input in active.tasks.iter().flat_map(|task| &task.inputs).filter(|input| input.role.is_empty()) {
                retire.extend(self.reader.file_at(&input.station, &input.path)?.map(|row| row.id));
            }
        }
        let edited = if step.edits { self.edited(active)? } else { Vec::new() };
        let (runs, finish) = (active.runs.clone(), run_end(RunState::Done, &end, now));
        let covered = self.covered_by(active, &end.left)?;
        let by = format!("step {}", step.name);
        let files = self.ledger.write(move |tx| {
            let mut files = Vec::new();
            for output in &outputs {
                files.push(tx.put_output(output)?);
            }
            for receipt in &receipts {
                tx.receipt_add(receipt)?;
            }
            for file in retire {
                tx.retire(file, &by, &serde_json::json!([]), runs.first().copied(), now)?;
            }
            for (n, run) in runs.iter().enumerate() {
                let own = edited.iter().filter(|(task, _)| *task == n).map(|(_, edit)| edit.left.clone());
                let all: Vec<RunOutput> = rows.iter().cloned().chain(own).collect();
                tx.run_staged(*run, &all)?;
                tx.run_finish(*run, &finish)?;
            }
            for run in &covered {
                let id = tx.run_start(run)?;
                tx.run_staged(id, &rows)?;
                tx.run_finish(id, &finish)?;
            }
            for (n, edit) in &edited {
                files.push(edit.record(tx, &by, runs.get(*n).copied(), now)?);
            }
            Ok(files)
        })?;
        for file in files {
            self.settling.remove(&file);
            if let Some(row) = self.reader.file(file)? {
                self.changed.push(file_fact(&self.flow, row));
            }
        }
        for input in active.tasks.iter().flat_map(|task| &task.inputs) {
            if step.edits || matches!(step.does, Verb::Move) {
                let row = self.reader.file_at(&input.station, &input.path)?;
                self.changed.extend(row.map(|row| file_fact(&self.flow, row)));
            }
        }
        self.outcome.done += u64::try_from(active.tasks.len()).unwrap_or(0);
        let names: Vec<String> =
            end.left.iter().map(|left| format!("{}/{}", left.output.station, left.output.path.as_str())).collect();
        self.outcome.made.extend(names.iter().cloned());
        let event = Event::RunDone {
            run: active.runs.first().map_or(0, |run| run.0),
            step: step.name.clone(),
            key: first.key.text(),
            bytes: end.left.iter().map(|left| left.output.size).sum(),
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

    fn output_row(&self, left: &Left, run: Option<RunId>, now: Timestamp) -> Option<Output> {
        let product = self.flow.products.get(&left.output.product)?;
        let stat = if left.meta.kind == thalweg_store::Kind::Folder {
            let store = self.places.store(&left.output.station)?;
            stat_of_unit(store.as_ref(), &left.output.path).ok()?
        } else {
            stat_of(&left.meta)
        };
        Some(Output {
            station: left.output.station.clone(),
            path: left.output.path.clone(),
            identity: identity(product, left.output.fields.clone(), left.output.coverage, now),
            stat,
            content: left.output.hash,
            data_hash: left.output.data_hash,
            indexed: crate::facts::indexed_fields(&self.flow, &left.output.product).into_iter().collect(),
            origin: if left.delivered { Origin::Delivered } else { Origin::Made },
            run,
            verify_mode: "stream".into(),
            at: now,
        })
    }

    fn receipts(&self, left: &[Left], outputs: &[Output], now: Timestamp) -> Result<Vec<NewReceipt>, EngineError> {
        let delivered = left.iter().zip(outputs).filter(|(left, _)| left.delivered);
        delivered.map(|(_, output)| self.receipt(output, now)).collect()
    }

    /// Returns the receipt for a verified copy, with what it was made from.
    pub(super) fn receipt(&self, output: &Output, now: Timestamp) -> Result<NewReceipt, EngineError> {
        let mut inputs = Vec::new();
        for run in self.reader.runs_making(&output.identity.product, &output.identity.fields_key)? {
            let made = run.state == RunState::Done
                && self.flow.steps.get(&run.step).is_some_and(|step| !matches!(step.does, Verb::Send | Verb::Fetch));
            if made {
                inputs = self.reader.run_inputs(run.id)?;
                break;
            }
        }
        // A version of an `update` was made of all that is in it, not of the last run's part alone.
        let hash = output.data_hash.unwrap_or(output.content);
        let parts = self.reader.contributions_of(&output.identity.product, &output.identity.fields_key, &hash)?;
        let last = inputs.into_iter().filter_map(|input| {
            Some(InputRef { product: input.product, fields_key: input.fields_key, content: input.content? })
        });
        let mut all: Vec<InputRef> = parts.into_iter().flat_map(|part| part.inputs).chain(last).collect();
        all.sort_by(|a, b| (&a.product, &a.fields_key, &a.content).cmp(&(&b.product, &b.fields_key, &b.content)));
        all.dedup();
        Ok(NewReceipt {
            product: output.identity.product.clone(),
            fields_key: output.identity.fields_key.clone(),
            content: output.content,
            station: output.station.clone(),
            given: now,
            ledger: self.reader.ledger_id()?,
            relayed_by: None,
            inputs: all,
            confirmed: now,
        })
    }

    // What an update's new version holds: what the one before held, and the parts of this run's keys.
    fn contributions(&self, active: &Active, output: &Staged, before: &[Contribution]) -> Vec<Contribution> {
        let row = run_output(&self.flow, output, false);
        let (product, fields_key) = (&row.product, &row.fields_key);
        let content = row.content.unwrap_or(output.hash);
        let one = |task: &Task| Contribution {
            product: product.clone(),
            fields_key: fields_key.clone(),
            content,
            step: task.key.step.clone(),
            step_version: i64::from(task.step_version),
            key: task.key.text(),
            identity: task.identity,
            run: active.runs.first().copied(),
            inputs: task
                .inputs
                .iter()
                .filter(|input| input.role.is_empty() && input.counts)
                .map(|input| InputRef {
                    product: input.product.clone(),
                    fields_key: input.identity.clone(),
                    content: input.hash,
                })
                .collect(),
            verb_version: task.verb_version.clone(),
        };
        let mut all: Vec<Contribution> = active.tasks.iter().map(one).collect();
        let taken_in: Vec<_> = active.tasks.iter().flat_map(|task| &task.with_contributions).collect();
        let before = match output.previous {
            Some(previous) => self.reader.contributions_of(product, fields_key, &previous).unwrap_or_default(),
            None => before.to_vec(),
        };
        for part in before {
            if all.iter().any(|own| own.step == part.step && own.key == part.key) {
                continue;
            }
            let now = taken_in.iter().find(|other| other.step == part.step && other.key == part.key);
            match now {
                Some(now) => all.push(Contribution {
                    content,
                    step_version: i64::from(now.step_version),
                    identity: now.identity,
                    run: None,
                    inputs: now
                        .inputs
                        .iter()
                        .map(|used| InputRef {
                            product: used.product.clone(),
                            fields_key: used.identity.clone(),
                            content: used.hash,
                        })
                        .collect(),
                    verb_version: now.verb_version.clone(),
                    ..part
                }),
                // What was worked on from is still in it.
                None if output.previous.is_some() => all.push(Contribution { content, run: None, ..part }),
                None => {}
            }
        }
        all
    }

    // Keys whose part was built in afresh are done with their new identity, if nothing else of theirs is outstanding.
    fn covered_by(&self, active: &Active, left: &[Left]) -> Result<Vec<thalweg_ledger::NewRun>, EngineError> {
        let mut covered = Vec::new();
        let rebuilt: Vec<(&str, &RelPath)> = left.iter().map(|l| (l.output.station.as_str(), &l.output.path)).collect();
        for task in &active.tasks {
            if !task.previous.is_empty() {
                continue;
            }
            for other in task.with_contributions.iter().filter(|other| other.step == task.key.step) {
                let Some(last) = self.reader.last_done(&other.step, &other.key)? else { continue };
                if last.identity == other.identity || active.tasks.iter().any(|t| t.key.text() == other.key) {
                    continue;
                }
                let outputs = self.reader.run_outputs(last.id)?;
                if !outputs.iter().all(|output| rebuilt.contains(&(output.station.as_str(), &output.path))) {
                    continue;
                }
                let mut inputs = self.reader.run_inputs(last.id)?;
                for input in &mut inputs {
                    let now = other
                        .inputs
                        .iter()
                        .find(|used| used.product == input.product && used.identity == input.fields_key);
                    if let Some(used) = now {
                        input.content = Some(used.hash);
                    }
                }
                covered.push(thalweg_ledger::NewRun {
                    step: other.step.clone(),
                    step_version: i64::from(other.step_version),
                    station: task.key.station.clone(),
                    key: other.key.clone(),
                    identity: other.identity,
                    inputs,
                    started: active.started,
                    attempt: 1,
                    pid: None,
                    host: crate::host_name(),
                    program: self.setup.version.clone(),
                    verb_version: other.verb_version.clone(),
                    command: Vec::new(),
                    log: None,
                    staging: None,
                    partial: last.partial,
                    awaited: last.awaited,
                    fresh: true,
                    batch: active.runs.first().copied(),
                });
            }
        }
        Ok(covered)
    }

    // What a step that may edit its inputs did to them: a new version, or a new name.
    fn edited(&self, active: &Active) -> Result<Vec<(usize, Edit)>, EngineError> {
        let look = Look {
            setup: &self.setup,
            flow: &self.flow,
            classifier: &self.classifier,
            reader: &self.reader,
            places: &self.places,
            now: self.now(),
        };
        let mut edits = Vec::new();
        for (n, task) in active.tasks.iter().enumerate() {
            for input in task.inputs.iter().filter(|input| input.role.is_empty()) {
                let run = active.runs.get(n).copied();
                edits.extend(look.edit(&Given::from(input), run)?.map(|edit| (n, edit)));
            }
        }
        Ok(edits)
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
        }
        if !together {
            self.request_failed(&first.key);
        }
        Ok(())
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
                    let open = matches!(store.writer(path), Ok(Some(_)));
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

    fn log_of(&self, active: &Active) -> Option<String> {
        let lead = active.runs.first()?;
        let day = active.started.strftime("%Y%m%d").to_string();
        let name = super::start::log_name(lead.0, &active.held.step);
        Some(self.setup.state.join("logs").join(day).join(name).display().to_string())
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

fn run_output(flow: &thalweg_flow::Flow, output: &Staged, published: bool) -> RunOutput {
    let product = flow.products.get(&output.product);
    RunOutput {
        product: output.product.clone(),
        fields_key: product.map(|p| thalweg_flow::planner::identity_of_file(p, &output.fields)).unwrap_or_default(),
        station: output.station.clone(),
        path: output.path.clone(),
        content: Some(match (&output.data_hash, product.map(|p| p.compare)) {
            (Some(data), Some(thalweg_flow::Compare::Data)) => *data,
            _ => output.hash,
        }),
        size: output.size,
        staged_name: match output.how {
            How::There => String::new(),
            _ => output.staged.as_str().to_owned(),
        },
        published,
    }
}

fn run_end(state: RunState, end: &End, now: Timestamp) -> RunEnd {
    RunEnd {
        state,
        class: None,
        message: None,
        ended: now,
        exit: end.exit,
        signal: end.signal,
        retry_at: None,
        user_ms: u64::try_from(end.user.as_millis()).ok(),
        system_ms: u64::try_from(end.system.as_millis()).ok(),
        peak_kib: end.peak_rss.map(|bytes| bytes / 1024),
        report: (!end.reports.is_empty()).then(|| serde_json::to_value(&end.reports).unwrap_or_default()),
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
