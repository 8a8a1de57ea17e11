//! What runs that failed have left under final names: looked at before anything is made over it, or built upon it.

use thalweg_flow::Verb;
use thalweg_flow::planner::Task;
use thalweg_ledger::{FileRow, RunRow, RunState};

use super::{Active, Dispatcher};
use crate::EngineError;
use crate::facts::{file_fact, key_of_row};
use crate::recover::{Again, Work};
use crate::runner::Failure;
use crate::runner::publish::in_full;
use crate::scan::Sight;

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
        for run in self.failed_runs(tasks)? {
            let outputs = self.reader.run_outputs(run.id)?;
            match self.end_of_run().again(&run, outputs)? {
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
        let outputs = self.reader.run_outputs(run.id)?;
        if outputs.is_empty() || !self.end_of_run().finish(&run)? {
            return Ok(false);
        }
        let inputs = task.inputs.iter().map(|input| (&input.station, &input.path));
        for (station, path) in inputs.chain(active.outputs.iter().map(|(station, path)| (station, path))) {
            let row = self.reader.file_at(station, path)?;
            self.changed.extend(row.map(|row| file_fact(&self.flow, row)));
        }
        let made = outputs.iter().map(|output| (output.station.as_str(), &output.path, output.size));
        self.was_done(active, made, self.now())?;
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

    fn end_of_run(&self) -> Work<'_> {
        Work { look: self.look(), ledger: &self.ledger }
    }

    // Each after what it was made over: the newest first.
    fn failed_runs(&self, tasks: &[Task]) -> Result<Vec<RunRow>, EngineError> {
        let mut failed = Vec::new();
        for task in tasks {
            let step = self.flow.steps.get(&task.key.step);
            if step.is_none_or(|step| step.edits || matches!(step.does, Verb::Move)) {
                continue;
            }
            failed.extend(self.reader.runs_leaving(&task.key.step, &task.key.text())?);
            let updated = task.outputs.iter().filter(|output| output.update);
            for (station, path) in updated.filter_map(|output| Some((&output.station, output.path.as_ref()?))) {
                failed.extend(self.reader.runs_leaving_at(station, path)?);
            }
        }
        Ok(failed)
    }
}
