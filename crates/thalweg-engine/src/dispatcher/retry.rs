//! Trying again: keys that failed, and files that were put aside as bad.

use std::collections::BTreeSet;

use thalweg_core::Timestamp;
use thalweg_flow::planner::KeyId;
use thalweg_ledger::{KeyFilter, KeyNext, QuarantineFilter, RunEnd, RunFilter, RunState};

use super::Dispatcher;
use crate::facts::{key_of_row, where_holds, where_holds_for};
use crate::{EngineError, Event};

/// Which files are taken back from the quarantine; all that is given must hold.
pub(super) struct Bad {
    pub(super) step: Option<String>,
    pub(super) station: Option<String>,
    pub(super) condition: Option<String>,
    pub(super) path: Option<String>,
}

impl Dispatcher<'_> {
    /// Has keys that failed tried again now; returns which.
    pub(super) fn retry(
        &mut self,
        step: Option<&str>,
        station: Option<&str>,
        condition: Option<&str>,
        path: Option<&str>,
        now: Timestamp,
    ) -> Result<BTreeSet<KeyId>, EngineError> {
        let filter = KeyFilter {
            step: step.map(str::to_owned),
            station: station.map(str::to_owned),
            next: vec![KeyNext::Failed],
            ..KeyFilter::default()
        };
        let mut retried = BTreeSet::new();
        for row in self.reader.keys(&filter)? {
            let key = key_of_row(&row);
            let driving = self.driving_of(&key)?;
            let fields = driving.iter().map(|file| &file.fields);
            if condition.is_some_and(|text| !where_holds_for(&self.flow, text, &key, fields)) {
                continue;
            }
            if path.is_some_and(|path| !driving.iter().any(|file| file.path.as_str() == path)) {
                continue;
            }
            let runs = RunFilter { step: Some(key.step.clone()), key: Some(key.text()), ..RunFilter::default() };
            let Some(run) = self.reader.runs(&runs, 1)?.into_iter().find(|run| run.state == RunState::Failed) else {
                continue;
            };
            let again = RunEnd {
                state: RunState::Failed,
                class: run.class,
                message: run.message.clone(),
                ended: run.ended.unwrap_or(now),
                exit: run.exit,
                signal: run.signal,
                retry_at: Some(now),
                user_ms: run.user_ms,
                system_ms: run.system_ms,
                peak_kib: run.peak_kib,
                report: run.report.clone(),
            };
            self.ledger.write(move |tx| tx.run_finish(run.id, &again))?;
            self.dirty.insert(key.clone());
            retried.insert(key);
        }
        Ok(retried)
    }

    // Tells if a file that is put aside is among those meant.
    fn is_meant(&self, bad: &Bad, row: &thalweg_ledger::QuarantineRow) -> Result<bool, EngineError> {
        if bad.path.as_ref().is_some_and(|path| row.path.as_str() != path) {
            return Ok(false);
        }
        let taken = |step: &thalweg_flow::Step| step.takes_from(&row.station, &row.product);
        if bad.step.as_ref().is_some_and(|step| !self.flow.steps.get(step).is_some_and(taken)) {
            return Ok(false);
        }
        let Some(condition) = &bad.condition else { return Ok(true) };
        let file = row.file.map(|file| self.reader.file(file)).transpose()?.flatten();
        Ok(file.is_some_and(|file| where_holds(condition, &file.fields)))
    }

    /// Gives files back to their products that were put aside; returns how many.
    pub(super) fn release_quarantined(&mut self, bad: &Bad, now: Timestamp) -> Result<u64, EngineError> {
        let filter = QuarantineFilter { station: bad.station.clone(), ..QuarantineFilter::default() };
        let mut count = 0;
        for row in self.reader.quarantined(&filter)? {
            if !self.is_meant(bad, &row)? {
                continue;
            }
            if let (Some(moved), Some(store)) = (&row.moved_to, self.places.store(&row.station)) {
                if let Err(error) = store.move_within(moved, &row.path) {
                    let message = format!("it stays in the quarantine: {}", crate::runner::publish::in_full(&error));
                    self.say(&Event::FileTrouble { station: row.station.clone(), path: row.path.clone(), message });
                    continue;
                }
                if let Some(report) = &row.report_path
                    && let Ok(Some(meta)) = store.stat(report)
                {
                    let _ = store.remove_verified(report, &meta, thalweg_store::OldContent::Drop);
                }
            }
            let (id, file) = (row.id, row.file);
            self.ledger.write(move |tx| {
                tx.quarantine_release(id, now)?;
                file.map_or(Ok(()), |file| {
                    tx.set_state(file, thalweg_ledger::FileState::Settling, Some("released"), now)
                })
            })?;
            if let Some(row) = file.map(|file| self.reader.file(file)).transpose()?.flatten() {
                let (station, path) = (row.station.clone(), row.path.clone());
                self.settles(&row)?;
                self.scan_below(&station, &path);
            }
            count += 1;
        }
        Ok(count)
    }
}
