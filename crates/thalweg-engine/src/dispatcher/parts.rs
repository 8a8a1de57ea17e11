//! The parts of which an `update` product is built up: whose they are, and that none is lost.

use thalweg_core::{ContentHash, RelPath};
use thalweg_flow::planner::Task;
use thalweg_ledger::{Contribution, FileState, InputRef, Origin, RunOutput, RunState};

use super::closing::run_output;
use super::{Active, Dispatcher};
use crate::EngineError;
use crate::facts::file_fact;
use crate::runner::{How, Staged};

impl Dispatcher<'_> {
    // An update whose output something else has changed since the flow made it: that is not built upon.
    pub(super) fn changed_outside(&self, outputs: &[Staged]) -> Result<Option<String>, EngineError> {
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
    pub(super) fn would_be_lost(
        &self,
        active: &Active,
        outputs: &[Staged],
    ) -> Result<Vec<(String, RelPath)>, EngineError> {
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

    // What an update's new version holds: what the one before held, and the parts of this run's keys.
    pub(super) fn contributions(&self, active: &Active, output: &Staged) -> Result<Vec<Contribution>, EngineError> {
        let row = run_output(&self.flow, output, false);
        let content = row.content.unwrap_or(output.hash);
        let run = active.runs.first().copied();
        let one = |task: &Task| Contribution { run, ..part(task, &row, content) };
        let mut all: Vec<Contribution> = active.tasks.iter().map(one).collect();
        let taken_in: Vec<_> = active.tasks.iter().flat_map(|task| &task.with_contributions).collect();
        let before = match output.previous {
            Some(previous) => self.reader.contributions_of(&row.product, &row.fields_key, &previous)?,
            None => self.parts_in(output)?,
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
        Ok(all)
    }
}

/// Returns the part that a task has in a version of an output, of no run yet.
pub(super) fn part(task: &Task, output: &RunOutput, content: ContentHash) -> Contribution {
    let inputs = task.inputs.iter().filter(|input| input.role.is_empty() && input.counts);
    Contribution {
        product: output.product.clone(),
        fields_key: output.fields_key.clone(),
        content,
        step: task.key.step.clone(),
        step_version: i64::from(task.step_version),
        verb_version: task.verb_version.clone(),
        key: task.key.text(),
        identity: task.identity,
        run: None,
        inputs: inputs
            .map(|input| InputRef {
                product: input.product.clone(),
                fields_key: input.identity.clone(),
                content: input.hash,
            })
            .collect(),
    }
}
