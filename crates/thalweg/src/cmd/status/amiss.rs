//! The foot of `status`: what is amiss, an example of each kind, and the commands that go on from there.

use std::collections::BTreeSet;

use thalweg_ledger::{HoldRow, KeyFilter, KeyNext, KeyRow, Reader, RunFilter, RunState, StepSummary};

use crate::failure::Failure;
use crate::out::{Out, Tone};
use crate::words::count;
use crate::work::{BLOCKED, FAILED};

/// So many failed runs are looked through for keys that something holds now.
const LOOKED_AT: u32 = 1000;

/// What is amiss.
pub(super) struct Amiss {
    failed: u64,
    blocked: u64,
    /// One that failed, one that is blocked; a conflict before others.
    examples: [Option<KeyRow>; 2],
    /// Steps with how many keys failed and are held, paused or blocked by now.
    behind: Vec<(String, usize)>,
}

impl Amiss {
    /// Gathers it; `only` are the open keys that are asked about, if not all are.
    pub(super) fn gather(
        reader: &Reader,
        steps: &[StepSummary],
        holds: &[HoldRow],
        only: Option<&[KeyRow]>,
    ) -> Result<Self, Failure> {
        let failed = steps.iter().map(|step| step.failed).sum();
        let blocked = steps.iter().map(|step| step.blocked).sum();
        let mut examples = [None, None];
        for (place, next) in [KeyNext::Failed, KeyNext::Blocked].into_iter().enumerate() {
            for step in steps.iter().filter(|step| [step.failed, step.blocked][place] > 0) {
                let rows = match only {
                    Some(only) => {
                        only.iter().filter(|row| row.step == step.step && row.next == next).cloned().collect()
                    }
                    None => reader.keys(&KeyFilter {
                        step: Some(step.step.clone()),
                        next: vec![next],
                        limit: Some(50),
                        ..KeyFilter::default()
                    })?,
                };
                let conflict = rows.iter().find(|row| row.reason["code"] == "conflict").cloned();
                let is_one = conflict.is_some();
                if let Some(row) = conflict.or_else(|| rows.into_iter().next())
                    && (is_one || examples[place].is_none())
                {
                    examples[place] = Some(row);
                }
            }
        }
        let mut behind = Vec::new();
        for step in steps.iter().filter(|step| step.blocked > 0 && !holds.is_empty()) {
            let number = failed_before(reader, &step.step, only)?;
            if number > 0 {
                behind.push((step.step.clone(), number));
            }
        }
        Ok(Self { failed, blocked, examples, behind })
    }

    /// Writes it for people.
    pub(super) fn tell(&self, out: &mut Out) -> Result<(), Failure> {
        let kinds = [(self.failed, "failed", FAILED), (self.blocked, "blocked", BLOCKED)];
        for ((number, word, next), example) in kinds.into_iter().zip(&self.examples) {
            if number == 0 {
                continue;
            }
            out.line("")?;
            let head = out.paint(Tone::of_word(word), &format!("{} {word}", count(number, "key", "keys")));
            let example = example.as_ref().map(|row| {
                let text = row.reason["text"].as_str().unwrap_or_default();
                format!(", as {} {}: {text}", row.step, row.key)
            });
            out.line(format!("{head}{}", example.unwrap_or_default()))?;
            out.line(format!("  {next}"))?;
        }
        for (step, number) in &self.behind {
            let keys = count(u64::try_from(*number).unwrap_or(u64::MAX), "blocked key", "blocked keys");
            out.line(format!(
                "  {keys} of {step} had failed before: `thalweg runs --step {step} --failed` lists the runs"
            ))?;
        }
        Ok(())
    }
}

// Keys whose last run failed and that are blocked now, so that the table does not count them as failed.
fn failed_before(reader: &Reader, step: &str, only: Option<&[KeyRow]>) -> Result<usize, Failure> {
    let filter = RunFilter { step: Some(step.to_owned()), ..RunFilter::default() };
    let mut seen = BTreeSet::new();
    let mut failed = BTreeSet::new();
    for run in reader.runs(&filter, LOOKED_AT)? {
        if seen.insert(run.key.clone()) && run.state == RunState::Failed {
            failed.insert(run.key);
        }
    }
    let mut number = 0;
    for key in failed {
        let row = reader.key(step, &key)?;
        let is_meant = only.is_none_or(|only| only.iter().any(|row| row.step == step && row.key == key));
        number += usize::from(is_meant && row.is_some_and(|row| row.next == KeyNext::Blocked));
    }
    Ok(number)
}
