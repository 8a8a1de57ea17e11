//! Starting tasks: which may run beside which, journalled before they begin.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;

use thalweg_core::RelPath;
use thalweg_flow::planner::dispatch::{Held, held_by, may_start, order};
use thalweg_flow::planner::{Facts, KeyId, Next, Occasion, Task, evaluate};
use thalweg_ledger::{NewRun, RunId, RunInput};

use super::leftovers::Leftovers;
use super::{Active, Dispatcher, Message, Ready};
use crate::EngineError;
use crate::runner::{self, Failure, Job, Layout, Told, left_out};

/// How long a decision stands for a task that nothing has touched since.
const JUST_NOW: jiff::SignedDuration = jiff::SignedDuration::from_secs(2);

/// A run that is about to begin: first what may start, then with what it starts.
struct Beginning {
    tasks: Vec<Task>,
    held: Held,
    runs: Vec<RunId>,
    attempt: u32,
    layout: Layout,
    recorded: BTreeMap<(String, RelPath), thalweg_ledger::Stat>,
    earlier: BTreeMap<(String, RelPath), thalweg_core::ContentHash>,
    /// Why it fails before anything is done.
    unclear: Option<Failure>,
}

impl Beginning {
    fn new(tasks: Vec<Task>, held: Held, unclear: Option<Failure>) -> Self {
        Self {
            tasks,
            held,
            runs: Vec::new(),
            attempt: 1,
            layout: Layout::new(),
            recorded: BTreeMap::new(),
            earlier: BTreeMap::new(),
            unclear,
        }
    }
}

impl Dispatcher<'_> {
    /// Starts what may start.
    pub(super) fn start_tasks(&mut self) -> Result<(), EngineError> {
        if self.stopping.is_some() {
            return Ok(());
        }
        self.refill()?;
        let (free, standing_by) = self.room();
        if self.ready.is_empty() || free + standing_by == 0 || (free == 0 && !self.line.any_short()) {
            return Ok(());
        }
        if self.order_is_old {
            let tasks: Vec<&Task> = self.ready.values().map(|ready| &ready.task).collect();
            let keys: Vec<&KeyId> = self.ready.keys().collect();
            let ordered: Vec<KeyId> = order(&self.flow, &tasks).into_iter().map(|n| keys[n].clone()).collect();
            // Taken from the end.
            self.order = ordered.into_iter().rev().collect();
            self.order_is_old = false;
        }
        let mut passed = Vec::new();
        let mut starting: Vec<Beginning> = Vec::new();
        let mut running: Vec<Held> = self.active.values().map(|active| active.held.clone()).collect();
        while starting.len() < free + standing_by
            && let Some(key) = self.order.pop()
        {
            let Some(ready) = self.ready.get(&key) else { continue };
            if starting.len() >= free && !self.line.is_short(&key.step) {
                passed.push(key);
                break;
            }
            let held = held_by(&self.flow, &ready.task);
            if may_start(&self.flow, &held, &running, usize::MAX).is_err() {
                passed.push(key);
                if passed.len() > 1000 {
                    break;
                }
                continue;
            }
            let Some(tasks) = self.together(&key)? else { continue };
            let unclear = match self.leftovers(&tasks)? {
                Leftovers::None => None,
                Leftovers::Recorded => continue,
                Leftovers::Unclear(failure) => Some(failure),
            };
            running.push(held.clone());
            starting.push(Beginning::new(tasks, held, unclear));
        }
        self.order.extend(passed.into_iter().rev());
        if starting.is_empty() {
            return Ok(());
        }
        self.launch(starting)
    }

    // Looks once more, since other runs may have changed what stands for it, and takes along others of the batch.
    fn together(&mut self, key: &KeyId) -> Result<Option<Vec<Task>>, EngineError> {
        let Some(first) = self.fresh(key)? else { return Ok(None) };
        let batch = self.flow.steps.get(&key.step).map_or(1, |step| step.batch);
        let mut tasks = vec![first];
        if batch > 1 && !self.failed_before(key)? {
            let others: Vec<KeyId> = self
                .order
                .iter()
                .rev()
                .filter(|other| other.step == key.step && other.station == key.station)
                .cloned()
                .collect();
            for other in others {
                if tasks.len() >= batch {
                    break;
                }
                // After a failure each goes by itself.
                if self.failed_before(&other)? {
                    continue;
                }
                let same_lane = self.ready.get(&other).is_some_and(|ready| ready.task.lane == tasks[0].lane);
                if same_lane && let Some(task) = self.fresh(&other)? {
                    tasks.push(task);
                }
            }
        }
        Ok(Some(tasks))
    }

    fn failed_before(&self, key: &KeyId) -> Result<bool, EngineError> {
        let facts = self.facts();
        let failed = facts.last_failure(key).is_some();
        facts.trouble()?;
        Ok(failed)
    }

    fn fresh(&mut self, key: &KeyId) -> Result<Option<Task>, EngineError> {
        let Some(ready) = self.ready.remove(key) else { return Ok(None) };
        if self.stands_still(&ready)? {
            return Ok(Some(ready.task));
        }
        self.write_keys()?;
        let occasion = self.occasion_of(key);
        let mut evaluation = {
            let _view = self.reader.view()?;
            let facts = self.facts();
            let evaluation = evaluate(&self.flow, key, &facts, occasion);
            facts.trouble()?;
            evaluation
        };
        if evaluation.next == Next::Ready {
            return Ok(evaluation.task.take().map(|task| *task));
        }
        self.dirty.insert(key.clone());
        Ok(None)
    }

    // What was looked at a moment ago and has been touched by nothing since is as it was, if nothing has come to lie where
    // its outputs go.
    fn stands_still(&self, ready: &Ready) -> Result<bool, EngineError> {
        let Ready { task, looked_at } = ready;
        let just_now = looked_at.is_some_and(|at| self.now().duration_since(at) < JUST_NOW);
        let plain = task.outputs.iter().all(|output| output.path.is_some() && !output.update);
        if !just_now || !plain || !self.requests.is_empty() || self.dirty.contains(&task.key) {
            return Ok(false);
        }
        for output in &task.outputs {
            if let Some(path) = &output.path
                && self.reader.file_at(&output.station, path)?.is_some()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn occasion_of(&self, key: &KeyId) -> Occasion {
        self.requests.iter().find_map(|request| request.occasion_of(key)).unwrap_or_default()
    }

    fn launch(&mut self, mut starting: Vec<Beginning>) -> Result<(), EngineError> {
        let now = self.now();
        let host = crate::host_name();
        let log_folder = self.setup.log_folder().join(now.strftime("%Y%m%d").to_string());
        std::fs::create_dir_all(&log_folder)
            .map_err(|source| EngineError::State { path: log_folder.clone(), source })?;
        let mut rows = Vec::new();
        {
            let _view = self.reader.view()?;
            for beginning in &mut starting {
                let tasks = &beginning.tasks;
                let facts = self.facts();
                let attempts = tasks.iter().map(|task| {
                    let before = facts.last_failure(&task.key).filter(|failure| failure.identity == task.identity);
                    before.map_or(1, |failure| failure.attempts + 1)
                });
                let attempts: Vec<u32> = attempts.collect();
                facts.trouble()?;
                let new = tasks.iter().zip(&attempts).map(|(task, attempt)| self.new_run(task, *attempt, &host, now));
                rows.push(new.collect::<Vec<NewRun>>());
                beginning.layout = tasks.first().map(|first| self.layout_of(first)).transpose()?.unwrap_or_default();
                beginning.recorded = self.recorded(tasks)?;
                beginning.earlier = self.earlier(tasks)?;
                beginning.attempt = attempts.first().copied().unwrap_or(1);
            }
        }
        let keys = std::mem::take(&mut self.key_rows);
        let runs: Vec<Vec<RunId>> = self.ledger.write(move |tx| {
            keys.iter().try_for_each(|row| tx.key_put(row))?;
            let mut runs = Vec::new();
            for mut group in rows {
                let mut ids: Vec<RunId> = Vec::new();
                for row in &mut group {
                    row.batch = ids.first().copied();
                    ids.push(tx.run_start(row)?);
                }
                runs.push(ids);
            }
            Ok(runs)
        })?;
        for (beginning, runs) in starting.into_iter().zip(runs) {
            self.begin(Beginning { runs, ..beginning }, &log_folder, now)?;
        }
        self.line.move_up();
        Ok(())
    }

    pub(super) fn new_run(&self, task: &Task, attempt: u32, host: &str, now: thalweg_core::Timestamp) -> NewRun {
        let counted = task
            .inputs
            .iter()
            .filter(|input| input.counts || !input.role.is_empty() || task.with_contributions.is_empty());
        NewRun {
            step: task.key.step.clone(),
            step_version: i64::from(task.step_version),
            station: task.key.station.clone(),
            key: task.key.text(),
            identity: task.identity,
            inputs: counted
                .map(|input| RunInput {
                    role: input.role.clone(),
                    product: input.product.clone(),
                    fields_key: input.identity.clone(),
                    content: Some(input.hash),
                    station: input.station.clone(),
                    path: input.path.clone(),
                    start: input.coverage.map(|coverage| coverage.start),
                    end: input.coverage.map(|coverage| coverage.end),
                })
                .collect(),
            started: now,
            attempt,
            pid: Some(std::process::id()),
            host: host.to_owned(),
            program: self.setup.version.clone(),
            verb_version: task.verb_version.clone(),
            command: Vec::new(),
            log: None,
            staging: None,
            partial: !task.awaited.is_empty(),
            awaited: (!task.awaited.is_empty()).then(|| serde_json::json!(task.awaited)),
            fresh: !task.with_contributions.is_empty() && task.previous.is_empty(),
            batch: None,
        }
    }

    /// Returns the name of the staging folders of a run.
    pub(super) fn staging_of(&self, run: RunId) -> String {
        format!("{}{run}", self.staging_mark)
    }

    fn recorded(&self, tasks: &[Task]) -> Result<BTreeMap<(String, RelPath), thalweg_ledger::Stat>, EngineError> {
        let mut recorded = BTreeMap::new();
        for input in tasks.iter().flat_map(|task| &task.inputs).filter(|input| !input.station.is_empty()) {
            if let Some(row) = self.reader.file_at(&input.station, &input.path)? {
                recorded.insert((input.station.clone(), input.path.clone()), row.stat);
            }
        }
        Ok(recorded)
    }

    // What the last run of each key that was done, and those that failed since, left under names that their verb chose; the
    // next may replace that.
    fn earlier(&self, tasks: &[Task]) -> Result<BTreeMap<(String, RelPath), thalweg_core::ContentHash>, EngineError> {
        let mut earlier = BTreeMap::new();
        for task in tasks.iter().filter(|task| task.outputs.iter().any(|output| output.path.is_none())) {
            let (step, key) = (&task.key.step, task.key.text());
            let left = self.reader.runs_leaving(step, &key)?;
            for run in left.into_iter().chain(self.reader.last_done(step, &key)?) {
                for output in self.reader.run_outputs(run.id)? {
                    let row = self.reader.file_at(&output.station, &output.path)?;
                    let own = row.filter(|row| {
                        row.state == thalweg_ledger::FileState::Present && row.origin != thalweg_ledger::Origin::Seen
                    });
                    if let Some(content) = own.and_then(|row| row.content) {
                        earlier.insert((output.station, output.path), content);
                    }
                }
            }
        }
        Ok(earlier)
    }

    // Where the verb of an update looks for its earlier outputs, as its last runs have shown.
    fn layout_of(&self, task: &Task) -> Result<Layout, EngineError> {
        let mut layout = Layout::new();
        for previous in &task.previous {
            for run in self.reader.runs_making_path(&previous.file.station, &previous.file.path)? {
                let outputs = self.reader.run_outputs(run.id)?;
                let own =
                    outputs.iter().find(|output| output.path == previous.file.path && !output.staged_name.is_empty());
                if let Some(output) = own {
                    let staged = RelPath::from_text(output.staged_name.clone());
                    layout.insert(output.product.clone(), left_out(&staged, &output.path));
                    break;
                }
            }
        }
        Ok(layout)
    }

    fn begin(
        &mut self,
        beginning: Beginning,
        log_folder: &std::path::Path,
        now: thalweg_core::Timestamp,
    ) -> Result<(), EngineError> {
        let Beginning { tasks, held, runs, attempt, layout, recorded, earlier, unclear } = beginning;
        let (Some(lead), Some(first)) = (runs.first().copied(), tasks.first()) else { return Ok(()) };
        let no = self.next_no;
        self.next_no += 1;
        let (go, wait) = channel();
        let cancel = Arc::new(AtomicBool::new(false));
        let (inbox, line) = (self.inbox.clone(), self.line.clone());
        let log = log_folder.join(log_name(lead.0, &first.key.step));
        let job = Job {
            no,
            run: lead.0,
            staging: self.staging_of(lead),
            attempt,
            tasks: tasks.clone(),
            flow: self.flow.clone(),
            setup: self.setup.clone(),
            places: self.places.clone(),
            log,
            cancel: cancel.clone(),
            go: wait,
            layout,
            recorded,
            earlier,
            unclear,
            tell: crate::runner::Tell::new(move |told: Told| {
                if told.is_end_of_work() {
                    line.leave(no);
                }
                inbox.send(Message::Told(told))
            }),
        };
        for (task, run) in tasks.iter().zip(&runs) {
            self.running.insert((task.key.step.clone(), task.key.text()), (run.0, now));
        }
        let outputs = tasks
            .iter()
            .flat_map(|task| &task.outputs)
            .filter_map(|output| Some((output.station.clone(), output.path.clone()?)))
            .collect();
        let log = job.log.clone();
        let host = self.setup.host.clone();
        let thread = host
            .start(&format!("run-{}", lead.0), Box::new(move || runner::carry_out(&job)))
            .map_err(|source| EngineError::State { path: "a thread for a run".into(), source })?;
        self.line.join(no, &first.key.step, &go);
        let (thread, flow) = (Some(thread), self.flow.clone());
        self.active.insert(
            no,
            Active { tasks, flow, runs, held, go, cancel, started: now, outputs, log, attempt, thread, host },
        );
        Ok(())
    }
}

/// Returns the name of a run's log.
pub(super) fn log_name(run: i64, step: &str) -> String {
    format!("{run}-{}.log", file_part(step))
}

fn file_part(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' }).collect()
}
