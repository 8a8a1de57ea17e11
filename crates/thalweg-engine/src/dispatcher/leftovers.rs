//! What runs that failed have left under final names: looked at before anything is made over it, or built upon it.

use std::collections::BTreeSet;

use thalweg_flow::Verb;
use thalweg_flow::planner::{KeyId, Task};
use thalweg_ledger::{FileRow, RunFilter, RunOutput, RunRow, RunState};

use super::{Active, Dispatcher};
use crate::EngineError;
use crate::facts::{file_fact, key_of_row};
use crate::recover::{Again, Work};
use crate::runner::publish::in_full;
use crate::runner::{End, Failure};
use crate::scan::Sight;

/// Runs of one key looked at: what so many attempts later stands there is of a later one.
const RUNS: u32 = 100;

/// What was found out about earlier runs.
pub(super) enum Leftovers {
    /// Nothing that is not known.
    None,
    /// Something: what is to be done has to be looked at again.
    Recorded,
    /// It cannot be said now.
    Unclear(Failure),
}

impl Dispatcher<'_> {
    /// Records what failed runs of these tasks' keys, or of the same updated files, have made all the same.
    ///
    /// A publish that was told to have failed may have happened, and a station that was away when the engine started may
    /// hold what a run made before that. An update that takes such a file for an earlier version would work its part in twice.
    pub(super) fn leftovers(&mut self, tasks: &[Task]) -> Result<Leftovers, EngineError> {
        let mut recorded = self.came_back(tasks)?;
        for (run, outputs) in self.failed_runs(tasks)? {
            let again = self.looking().again(&run, outputs)?;
            match again {
                Again::Nothing => {}
                Again::Recorded(files) => {
                    recorded = true;
                    for file in files {
                        self.settling.remove(&file);
                        let row = self.reader.file(file)?;
                        self.changed.extend(row.map(|row| file_fact(&self.flow, row)));
                    }
                    let key = self.reader.key(&run.step, &run.key)?;
                    self.dirty.extend(key.as_ref().map(key_of_row));
                }
                Again::Unclear(error) => {
                    let message = format!("{}, where run {} may have left something", in_full(&error), run.id);
                    return Ok(Leftovers::Unclear(Failure::new(error.class(), message)));
                }
            }
        }
        if !recorded {
            return Ok(Leftovers::None);
        }
        for task in tasks {
            self.dirty.insert(task.key.clone());
        }
        Ok(Leftovers::Recorded)
    }

    /// Tells if a run that is said to have failed has made all that it was to make, and records it as done: what it made
    /// must not be taken for somebody else's, nor the source of a move for lost.
    pub(super) fn made_all_the_same(&mut self, active: &Active) -> Result<bool, EngineError> {
        let [task] = active.tasks.as_slice() else { return Ok(false) };
        // Updates and edits are built upon: they are looked at when their turn comes again.
        let plain = self.flow.steps.get(&task.key.step).is_some_and(|step| !step.updates() && !step.edits);
        let run = active.runs.first().filter(|_| plain).map(|run| self.reader.run(*run)).transpose()?.flatten();
        let Some(run) = run.filter(|run| matches!(run.state, RunState::Staged | RunState::Publishing)) else {
            return Ok(false);
        };
        if self.reader.run_outputs(run.id)?.is_empty() || !self.looking().finish(&run)? {
            return Ok(false);
        }
        let inputs = task.inputs.iter().map(|input| (&input.station, &input.path));
        for (station, path) in inputs.chain(active.outputs.iter().map(|(station, path)| (station, path))) {
            let row = self.reader.file_at(station, path)?;
            self.changed.extend(row.map(|row| file_fact(&self.flow, row)));
        }
        self.was_done(active, &End::default(), self.now())?;
        Ok(true)
    }

    // A removal is not flushed: after a power cut the file may be back at an output's place, before a listing has told of it.
    // It is what it was, and gives way as before.
    fn came_back(&mut self, tasks: &[Task]) -> Result<bool, EngineError> {
        let mut back = false;
        let outputs = tasks.iter().flat_map(|task| &task.outputs);
        for (station, path) in outputs.filter_map(|output| Some((&output.station, output.path.as_ref()?))) {
            let is_absent = |row: Option<FileRow>| row.is_some_and(|row| row.state.is_absent());
            if !is_absent(self.reader.file_at(station, path)?) {
                continue;
            }
            let mut seen = Vec::new();
            self.look_at(station, path, Sight::Listed { open: true }, &mut seen);
            self.observe(seen)?;
            back |= !is_absent(self.reader.file_at(station, path)?);
        }
        Ok(back)
    }

    fn looking(&self) -> Work<'_> {
        Work {
            setup: &self.setup,
            classifier: &self.classifier,
            ledger: &self.ledger,
            reader: &self.reader,
            places: &self.places,
            now: self.now(),
        }
    }

    /// Returns the runs of a key since the last one that was done, newest first; with that one at the end.
    pub(super) fn since_done(&self, key: &KeyId) -> Result<Vec<RunRow>, EngineError> {
        let of_key = RunFilter { step: Some(key.step.clone()), key: Some(key.text()), ..RunFilter::default() };
        let last = self.reader.runs(&of_key, 1)?;
        if !last.first().is_some_and(is_over) {
            return Ok(last);
        }
        let mut runs = self.reader.runs(&of_key, RUNS)?;
        if let Some(done) = runs.iter().position(|run| run.state == RunState::Done) {
            runs.truncate(done + 1);
        }
        Ok(runs)
    }

    // Those since the last one that was done, newest first, each content under a name once.
    fn failed_runs(&self, tasks: &[Task]) -> Result<Vec<(RunRow, Vec<RunOutput>)>, EngineError> {
        let mut failed = Vec::new();
        let mut known = BTreeSet::new();
        for task in tasks {
            let step = self.flow.steps.get(&task.key.step);
            if step.is_none_or(|step| step.edits || matches!(step.does, Verb::Move)) {
                continue;
            }
            let mut all = Vec::new();
            all.push(self.since_done(&task.key)?);
            for output in task.outputs.iter().filter(|output| output.update) {
                let made = output.path.as_ref().map(|path| self.reader.runs_making_path(&output.station, path));
                all.extend(made.transpose()?);
            }
            for runs in all {
                for run in runs.into_iter().take_while(|run| run.state != RunState::Done).filter(is_over) {
                    let outputs = self.reader.run_outputs(run.id)?;
                    let places =
                        outputs.iter().map(|output| (output.station.clone(), output.path.clone(), output.content));
                    if !outputs.is_empty() && known.insert(places.collect::<Vec<_>>()) {
                        failed.push((run, outputs));
                    }
                }
            }
        }
        Ok(failed)
    }
}

fn is_over(run: &RunRow) -> bool {
    matches!(run.state, RunState::Failed | RunState::Lost | RunState::Cancelled)
}
