//! Keys that something touched: asked of the planner, recorded with their reasons, queued when ready.

use std::collections::BTreeSet;

use thalweg_flow::planner::keys::{keys_of_step, timer_key};
use thalweg_flow::planner::{Evaluation, KeyId, Next, Occasion, There, evaluate, touched};
use thalweg_ledger::{KeyFilter, KeyNext, KeyRow, KeyThere};

use super::{Dispatcher, Ready};
use crate::facts::key_of_row;
use crate::{EngineError, Event};

/// Most ready tasks held in memory; the others wait in the ledger.
const READY_AT_MOST: usize = 20_000;

/// Most keys evaluated between two looks at the messages.
const KEYS_TOGETHER: usize = 2000;

impl Dispatcher<'_> {
    /// Evaluates the keys that changes have touched.
    pub(super) fn look_at_keys(&mut self) -> Result<(), EngineError> {
        let changed = std::mem::take(&mut self.changed);
        if !changed.is_empty() {
            self.note_left(&changed);
            let mut keys = BTreeSet::new();
            {
                let _view = self.reader.view()?;
                let facts = self.facts();
                for file in &changed {
                    keys.extend(touched(&self.flow, file, &facts));
                }
                facts.trouble()?;
            }
            self.dirty.extend(keys);
        }
        self.wake_keys()?;
        // Also while it stops: what was recorded is looked at, so that the next engine need not look at everything.
        if self.dirty.is_empty() {
            return Ok(());
        }
        let mut keys = std::mem::take(&mut self.dirty);
        keys.retain(|key| !self.places.is_elsewhere(&key.station));
        if keys.len() > KEYS_TOGETHER
            && let Some(rest) = keys.iter().nth(KEYS_TOGETHER).cloned()
        {
            self.dirty = keys.split_off(&rest);
        }
        self.evaluate_keys(keys)
    }

    fn evaluate_keys(&mut self, keys: BTreeSet<KeyId>) -> Result<(), EngineError> {
        // What was decided before is compared with.
        self.write_keys()?;
        let now = self.now();
        let mut evaluations = Vec::with_capacity(keys.len());
        {
            let _view = self.reader.view()?;
            let facts = self.facts();
            for key in &keys {
                let evaluation = evaluate(&self.flow, key, &facts, Occasion::default());
                let row = self.row_of(&evaluation)?;
                evaluations.push((evaluation, row));
            }
            facts.trouble()?;
        }
        for (mut evaluation, row) in evaluations {
            // A conflict that is new is told, and counts: somebody has to decide.
            let needs_somebody = matches!(evaluation.reason.code.as_str(), "conflict" | "no_path" | "condition_error");
            if row.is_some() && evaluation.next == Next::Blocked && needs_somebody {
                self.outcome.failed += 1;
                self.outcome.undecided += 1;
                let event = Event::Blocked {
                    step: evaluation.key.step.clone(),
                    key: evaluation.key.text(),
                    why: evaluation.reason.text.clone(),
                };
                self.say(&event);
            }
            self.key_rows.extend(row);
            let task = evaluation.task.take();
            match task {
                Some(task) if self.forward && self.stopping.is_none() && self.ready.len() < READY_AT_MOST => {
                    self.ready.insert(evaluation.key, Ready { task: *task, looked_at: Some(now) });
                    self.order_is_old = true;
                }
                Some(_) => self.more_ready = true,
                None => {
                    if self.ready.remove(&evaluation.key).is_some() {
                        self.order_is_old = true;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes down what was decided about keys; where runs begin meanwhile, that goes with them.
    pub(super) fn write_keys(&mut self) -> Result<(), EngineError> {
        let rows = std::mem::take(&mut self.key_rows);
        if rows.is_empty() {
            return Ok(());
        }
        self.ledger.write(move |tx| rows.iter().try_for_each(|row| tx.key_put(row)))?;
        Ok(())
    }

    // The ledger keeps what a person may ask about and what a restart needs; of keys that were never open and need
    // nothing it keeps nothing.
    fn row_of(&self, evaluation: &Evaluation) -> Result<Option<KeyRow>, EngineError> {
        let key = &evaluation.key;
        let text = key.text();
        let old = self.reader.key(&key.step, &text)?;
        let not_by_itself = matches!(evaluation.reason.code.as_str(), "window" | "asked" | "backlog");
        let finished = evaluation.next.is_finished() || not_by_itself;
        let remembered = evaluation.there != There::None || evaluation.next == Next::Quarantined;
        if old.is_none() && finished && !remembered {
            return Ok(None);
        }
        let now = self.now();
        let reason = serde_json::to_value(&evaluation.reason).unwrap_or_default();
        let (there, next) = (there(evaluation.there), next(evaluation.next));
        if let Some(old) = &old
            && old.there == there
            && old.next == next
            && old.finished == finished
            && (finished || old.reason == reason)
        {
            return Ok(None);
        }
        let same = old.as_ref().is_some_and(|old| old.there == there && old.next == next);
        Ok(Some(KeyRow {
            step: key.step.clone(),
            key: text,
            station: key.station.clone(),
            cell_start: key.cell.map(|cell| cell.start),
            cell_end: key.cell.map(|cell| cell.end),
            fields: key.fields.clone(),
            driving_product: key.driving.as_ref().map(|(product, _)| product.clone()),
            driving_fields_key: key.driving.as_ref().map(|(_, identity)| identity.clone()),
            there,
            next,
            reason,
            since: old.as_ref().filter(|_| same).map_or(now, |old| old.since),
            wake: if finished { None } else { evaluation.reason.until },
            opened: old.as_ref().map_or(now, |old| old.opened),
            changed: now,
            finished,
        }))
    }

    fn wake_keys(&mut self) -> Result<(), EngineError> {
        let now = self.now();
        if !self.forward || self.reader.next_wake()?.is_none_or(|at| at > now) {
            return Ok(());
        }
        for row in self.reader.due_keys(now)? {
            self.dirty.insert(key_of_row(&row));
        }
        Ok(())
    }

    /// Has all open keys looked at again.
    pub(super) fn dirty_open_keys(&mut self) -> Result<(), EngineError> {
        let filter = KeyFilter { finished: Some(false), ..KeyFilter::default() };
        for row in self.reader.keys(&filter)? {
            self.dirty.insert(key_of_row(&row));
        }
        Ok(())
    }

    /// Has all keys of all steps looked at: after a change of the flow.
    pub(super) fn dirty_all_keys(&mut self) -> Result<(), EngineError> {
        self.dirty_open_keys()?;
        let facts = self.facts();
        let mut keys = BTreeSet::new();
        for step in self.flow.steps.values() {
            keys.extend(keys_of_step(&self.flow, step, None, &facts));
        }
        facts.trouble()?;
        self.dirty.extend(keys);
        Ok(())
    }

    /// Fetches ready keys from the ledger when memory has room for them again.
    pub(super) fn refill(&mut self) -> Result<(), EngineError> {
        let has_room = self.ready.len() <= READY_AT_MOST / 10;
        if !self.more_ready || !self.forward || self.stopping.is_some() || !has_room {
            return Ok(());
        }
        self.write_keys()?;
        let limit = READY_AT_MOST / 2;
        let filter = KeyFilter {
            next: vec![KeyNext::Ready],
            finished: Some(false),
            limit: u32::try_from(limit).ok(),
            ..KeyFilter::default()
        };
        let rows = self.reader.keys(&filter)?;
        self.more_ready = rows.len() >= limit;
        for row in rows {
            let key = key_of_row(&row);
            let known =
                self.ready.contains_key(&key) || self.running.contains_key(&(row.step.clone(), row.key.clone()));
            if !known {
                self.dirty.insert(key);
            }
        }
        Ok(())
    }

    /// Has the keys of a step that starts at moments looked at.
    pub(super) fn dirty_step(&mut self, step: &str, station: &str) -> Result<(), EngineError> {
        let filter = KeyFilter {
            step: Some(step.to_owned()),
            station: Some(station.to_owned()),
            finished: Some(false),
            ..KeyFilter::default()
        };
        for row in self.reader.keys(&filter)? {
            self.dirty.insert(key_of_row(&row));
        }
        let Some(step) = self.flow.steps.get(step).filter(|step| step.takes.is_empty()) else { return Ok(()) };
        let facts = self.facts();
        let key = timer_key(step, station, &facts);
        facts.trouble()?;
        self.dirty.extend(key);
        Ok(())
    }
}

fn there(there: There) -> KeyThere {
    match there {
        There::None => KeyThere::None,
        There::Done => KeyThere::Done,
        There::Partial => KeyThere::Partial,
        There::Stale => KeyThere::Stale,
        There::Retired => KeyThere::Retired,
        There::Lost => KeyThere::Lost,
    }
}

fn next(next: Next) -> KeyNext {
    match next {
        Next::Running => KeyNext::Running,
        Next::Quarantined => KeyNext::Quarantined,
        Next::Skipped => KeyNext::Skipped,
        Next::Waiting => KeyNext::Waiting,
        Next::Blocked => KeyNext::Blocked,
        Next::Failed => KeyNext::Failed,
        Next::Ready => KeyNext::Ready,
        Next::Nothing => KeyNext::Nothing,
    }
}
