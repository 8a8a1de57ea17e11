//! Checks that are looked at at moments: their results stand in the ledger until the next.

use thalweg_flow::Check;
use thalweg_ledger::NewEvent;

use super::Dispatcher;
use crate::checks::{due, is_here, kept, last_look, look, next_look};
use crate::{EngineError, Event};

impl Dispatcher<'_> {
    /// Looks at the checks whose moment has come, once the files that were there at the start are known.
    pub(super) fn checks(&mut self) -> Result<(), EngineError> {
        if self.flow.checks.is_empty() || self.mode == crate::Mode::Once {
            return Ok(());
        }
        if !self.is_taken_stock {
            let listing = self.scans.values().any(|scan| scan.under_way && scan.due.is_none());
            let taking = self.settling.values().any(|file| file.in_work);
            self.is_taken_stock = !listing && !taking && self.changed.is_empty() && self.dirty.is_empty();
        }
        if self.is_taken_stock { self.look_at_checks() } else { Ok(()) }
    }

    /// Looks at the checks whose moment has come.
    pub(super) fn look_at_checks(&mut self) -> Result<(), EngineError> {
        if !self.forward || self.stopping.is_some() {
            return Ok(());
        }
        let now = self.now();
        let flow = self.flow.clone();
        let timed = |check: &&Check| !matches!(check.when, thalweg_flow::When::Asked);
        let checks: Vec<&Check> =
            flow.checks.values().filter(timed).filter(|check| is_here(check, &self.places)).collect();
        for check in checks {
            if self.looks.get(&check.name).is_some_and(|not_before| *not_before > now) {
                continue;
            }
            let Some(moment) = due(&self.reader, check, now)? else {
                let next = next_look(&self.reader, check, now)?;
                self.looks.insert(check.name.clone(), next);
                continue;
            };
            let before = last_look(&self.reader, check)?.map(|last| last.level);
            let mut found = look(&flow, check, &self.reader, &self.places, now)?;
            found.moment = Some(moment);
            let worst = found.findings.iter().max_by_key(|finding| finding.level);
            let text = worst.map(|finding| finding.text.clone()).unwrap_or_default();
            let changed = before != Some(found.level);
            let row = NewEvent {
                at: now,
                kind: "check".into(),
                subject: Some(check.name.clone()),
                station: None,
                product: None,
                fields_key: None,
                path: None,
                run: None,
                data: Some(serde_json::json!({ "level": found.level, "before": before, "text": text })),
            };
            let (name, value) = kept(check, &found);
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
