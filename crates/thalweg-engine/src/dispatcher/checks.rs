//! Checks that are looked at at moments: their results stand in the ledger until the next.

use thalweg_core::Timestamp;
use thalweg_flow::{Check, When};
use thalweg_ledger::NewEvent;

use super::{Dispatcher, Message};
use crate::checks::{Checked, due, is_here, kept, last_look, look, next_look};
use crate::{EngineError, Event};

/// A check that was looked at for one of its moments.
pub(crate) struct Looked {
    check: Check,
    found: Result<Checked, thalweg_ledger::Error>,
}

impl Dispatcher<'_> {
    /// Looks at the checks whose moment has come, once the files that were there at the start are known.
    pub(super) fn checks(&mut self) -> Result<(), EngineError> {
        if self.flow.checks.is_empty() || self.mode == crate::Mode::Once {
            return Ok(());
        }
        if !self.has_taken_stock {
            let listing = self.scans.values().any(|scan| scan.under_way && scan.due.is_none());
            let taking = self.settling.values().any(|file| file.in_work);
            self.has_taken_stock = !listing && !taking && self.changed.is_empty() && self.dirty.is_empty();
        }
        if self.has_taken_stock { self.look_at_checks() } else { Ok(()) }
    }

    /// Has the checks whose moment has come looked at on a thread of its own: a ledger can be large, and a disk silent.
    pub(super) fn look_at_checks(&mut self) -> Result<(), EngineError> {
        if !self.forward || self.stopping.is_some() || self.looking.is_some() {
            return Ok(());
        }
        let now = self.now();
        let flow = self.flow.clone();
        let timed = |check: &&Check| !matches!(check.when, When::Asked);
        let mut wanted: Vec<(Check, Timestamp)> = Vec::new();
        for check in flow.checks.values().filter(timed).filter(|check| is_here(check, &self.places)) {
            if self.looks.get(&check.name).is_some_and(|not_before| *not_before > now) {
                continue;
            }
            match due(&self.reader, check, now)? {
                Some(moment) => wanted.push((check.clone(), moment)),
                None => {
                    let next = next_look(&self.reader, check, now)?;
                    self.looks.insert(check.name.clone(), next);
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let (reader, places, inbox) = (self.ledger.reader()?, self.places.clone(), self.inbox.clone());
        let work = move || {
            let look = |(check, moment)| {
                let found = look(&flow, &check, &reader, &places, now);
                Looked { found: found.map(|found| Checked { moment: Some(moment), ..found }), check }
            };
            inbox.send(Message::Looked(wanted.into_iter().map(look).collect()));
        };
        let failed = |source| EngineError::State { path: "a thread for checks".into(), source };
        self.looking = Some(self.setup.host.start("checks", Box::new(work)).map_err(failed)?);
        Ok(())
    }

    /// Records what was found, and says what has changed.
    pub(super) fn looked(&mut self, looked: Vec<Looked>) -> Result<(), EngineError> {
        if let Some(thread) = self.looking.take() {
            thread.join();
        }
        for Looked { check, found } in looked {
            let found = found?;
            let before = last_look(&self.reader, &check)?.map(|last| last.level);
            let worst = found.findings.iter().max_by_key(|finding| finding.level);
            let text = worst.map(|finding| finding.text.clone()).unwrap_or_default();
            let changed = before != Some(found.level);
            let row = NewEvent {
                subject: Some(check.name.clone()),
                data: Some(serde_json::json!({ "level": found.level, "before": before, "text": text })),
                ..NewEvent::new("check", found.at)
            };
            let (name, value) = kept(&check, &found);
            self.ledger.write(move |tx| {
                tx.meta_set(&name, &value)?;
                if changed { tx.event(&row).map(drop) } else { Ok(()) }
            })?;
            if changed {
                self.say(&Event::Checked { check: check.name.clone(), level: found.level.as_str().into(), text });
            }
        }
        Ok(())
    }
}
