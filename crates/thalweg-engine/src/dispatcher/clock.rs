//! A clock that is wrong, and is set right.
//!
//! What is due is done at once when it is set forward. Set back, every recorded moment that something waits for would
//! hold that up for as long as the clock had been ahead. What was made while it was behind looked as if it came from the
//! future, and is in no cell until it is looked at again.

use jiff::SignedDuration;
use thalweg_flow::planner::suspect;

use super::Dispatcher;
use crate::facts::file_fact;
use crate::{EngineError, Event};

/// Smaller steps back are corrections that nothing notices.
const NOTICED: SignedDuration = SignedDuration::from_secs(2);

impl Dispatcher<'_> {
    /// Compares the clock with what it said last, and begins all waits anew if it was set back.
    pub(super) fn look_at_clock(&mut self) -> Result<(), EngineError> {
        let now = self.now();
        let before = std::mem::replace(&mut self.latest, now);
        let back = before.duration_since(now);
        if back < NOTICED {
            return Ok(());
        }
        let message = format!(
            "the clock was set back by {}: what waits for a moment waits from now",
            thalweg_core::units::format_duration(back)
        );
        self.say(&Event::Note { place: "clock".to_owned(), message });
        self.ledger.write(move |tx| tx.clock_went_back(now, true))?;
        self.settling_wakes.clear();
        let mut settling = Vec::new();
        for (id, file) in &mut self.settling {
            file.wake = None;
            if !file.in_work {
                settling.push(*id);
            }
        }
        for id in settling {
            self.consider(id)?;
        }
        for scan in self.scans.values_mut() {
            scan.due = scan.due.map(|_| now);
        }
        self.last_retention = None;
        self.looks.clear();
        self.retention_due = true;
        self.dirty_open_keys()
    }

    /// Takes the times of files at a station for true that were too far in the future when the files were recorded.
    pub(super) fn trust_again(&mut self, station: &str) -> Result<(), EngineError> {
        let now = self.now();
        let mut right = Vec::new();
        for (name, product) in &self.flow.products {
            let rows = self.reader.suspects(station, name)?;
            right.extend(rows.into_iter().filter(|row| suspect(product, row.start, now).is_none()).map(|row| row.id));
        }
        if right.is_empty() {
            return Ok(());
        }
        let right = self.ledger.write(move |tx| {
            right.iter().try_for_each(|id| tx.set_suspect(*id, None))?;
            Ok(right)
        })?;
        for id in right {
            if let Some(row) = self.reader.file(id)? {
                self.changed.push(file_fact(&self.flow, row));
            }
        }
        Ok(())
    }
}
