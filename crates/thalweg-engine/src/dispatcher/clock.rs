//! A clock that is set back: what was to happen at moments that are far away again.
//!
//! Set forward it needs no care: what is due is done at once. Set back, every recorded moment that something waits for
//! would hold that up for as long as the clock had been ahead.

use jiff::SignedDuration;

use super::Dispatcher;
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
}
