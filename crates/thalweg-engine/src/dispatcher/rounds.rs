//! Rounds of steps that start at moments or when a flag appears.

use thalweg_core::RelPath;
use thalweg_flow::When;
use thalweg_flow::planner::due_round;
use thalweg_ledger::RoundRow;
use thalweg_store::OldContent;

use super::Dispatcher;
use crate::EngineError;

impl Dispatcher<'_> {
    /// Begins rounds that are due and ends those that have nothing left to do.
    pub(super) fn rounds(&mut self) -> Result<(), EngineError> {
        if !self.forward || self.stopping.is_some() {
            return Ok(());
        }
        let timed: Vec<(String, String, Option<String>)> = self
            .flow
            .steps
            .values()
            .filter_map(|step| match &step.when {
                When::Every { .. } | When::Cron { .. } => Some((step, None)),
                When::Flag(path) => Some((step, Some(path.clone()))),
                When::Arrives | When::Asked => None,
            })
            .flat_map(|(step, flag)| step.at.iter().map(move |at| (step.name.clone(), at.clone(), flag.clone())))
            .filter(|(_, at, _)| self.places.is_here(at))
            .collect();
        for (step, station, flag) in timed {
            match flag {
                Some(path) => self.flag_round(&step, &station, &RelPath::from_text(path))?,
                None => self.timed_round(&step, &station)?,
            }
        }
        Ok(())
    }

    fn timed_round(&mut self, step: &str, station: &str) -> Result<(), EngineError> {
        let row = self.reader.round(step, station)?;
        if row.as_ref().is_some_and(|row| row.open_moment.is_some()) {
            return self.end_round(step, station);
        }
        let now = self.now();
        let Some(definition) = self.flow.steps.get(step) else { return Ok(()) };
        if row.is_none() && matches!(definition.when, When::Cron { .. }) {
            // A clock's moments count from the day the step was first seen.
            let first = RoundRow {
                step: step.to_owned(),
                station: station.to_owned(),
                last_moment: Some(now),
                open_moment: None,
                finished: None,
            };
            self.ledger.write(move |tx| tx.round_put(&first))?;
            return Ok(());
        }
        let facts = self.facts();
        let due = due_round(definition, station, &facts);
        facts.trouble()?;
        match due {
            Some(moment) => self.begin_round(step, station, moment),
            None => Ok(()),
        }
    }

    fn begin_round(&mut self, step: &str, station: &str, moment: thalweg_core::Timestamp) -> Result<(), EngineError> {
        let (name, at) = (step.to_owned(), station.to_owned());
        self.ledger.write(move |tx| tx.round_begin(&name, &at, moment))?;
        self.dirty_step(step, station)
    }

    // A round is over when none of its keys is ready or running, and no file is being read.
    fn end_round(&mut self, step: &str, station: &str) -> Result<(), EngineError> {
        let waiting = self.ready.keys().any(|key| key.step == step && key.station == station)
            || self.dirty.iter().any(|key| key.step == step && key.station == station)
            || self.active.values().any(|active| active.held.step == step);
        // What its hours cut short goes on when they begin again.
        let now = self.now();
        let hours = self.flow.steps.get(step).and_then(|step| step.hours.as_ref());
        let waiting = waiting || hours.is_some_and(|hours| !hours.holds(now));
        let reading = self.settling.values().any(|file| file.in_work);
        if waiting || reading || !self.changed.is_empty() || self.scans.values().any(|scan| scan.under_way) {
            return Ok(());
        }
        let (name, at, now) = (step.to_owned(), station.to_owned(), self.now());
        self.ledger.write(move |tx| tx.round_finish(&name, &at, now))?;
        if let Some((path, meta)) = self.flags.remove(&(step.to_owned(), station.to_owned()))
            && let Some(store) = self.places.store(station)
        {
            // A flag that was put anew meanwhile is another one, and stays for the next round.
            let _ = store.remove_verified(&path, &meta, OldContent::Drop);
        }
        self.raise_flags_after(step)?;
        self.dirty_step(step, station)
    }

    fn flag_round(&mut self, step: &str, station: &str, path: &RelPath) -> Result<(), EngineError> {
        if self.reader.round(step, station)?.is_some_and(|row| row.open_moment.is_some()) {
            return self.end_round(step, station);
        }
        let Some(store) = self.places.store(station) else { return Ok(()) };
        let Ok(Some(meta)) = store.stat(path) else { return Ok(()) };
        self.flags.insert((step.to_owned(), station.to_owned()), (path.clone(), meta));
        let now = self.now();
        self.begin_round(step, station, now)
    }

    /// Puts the flag of a `send` at its targets, after a round or a batch of arrivals.
    pub(super) fn raise_flags_after(&mut self, step: &str) -> Result<(), EngineError> {
        let Some(definition) = self.flow.steps.get(step) else { return Ok(()) };
        let Some(flag) = &definition.flag else { return Ok(()) };
        for station in &definition.to {
            let Some(store) = self.places.store(station) else { continue };
            if let Err(error) = store.touch(&RelPath::from_text(flag.clone())) {
                let message = format!("the flag {flag} cannot be put: {}", crate::runner::publish::in_full(&error));
                let event = crate::Event::Trouble { station: station.clone(), message };
                (self.report)(&event);
            }
        }
        Ok(())
    }
}
