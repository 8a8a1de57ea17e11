//! Listings of stations: begun, and recorded when they end.

use thalweg_core::RelPath;
use thalweg_ledger::NewListing;

use super::Dispatcher;
use crate::scan::{Scanned, scan};
use crate::watch::rescan_after;
use crate::{EngineError, Event};

impl Dispatcher<'_> {
    /// Begins listings of all stations of this host.
    pub(super) fn scan_all(&mut self) {
        let stations: Vec<String> = self.places.stations().map(|(name, _, _)| name.to_owned()).collect();
        for station in stations {
            self.scan_below(&station, &RelPath::default());
        }
    }

    /// Begins a listing, or has one that is under way followed by another.
    pub(super) fn scan_below(&mut self, station: &str, below: &RelPath) {
        let state = self.scans.entry(station.to_owned()).or_default();
        let whole = below.as_str().is_empty();
        if state.under_way && whole {
            state.again = true;
            return;
        }
        let Some(store) = self.places.store(station).cloned() else { return };
        let Ok(reader) = self.ledger.reader() else { return };
        if whole {
            state.under_way = true;
            state.changed = 0;
        }
        let (flow, classifier, tell) = (self.flow.clone(), self.classifier.clone(), self.inbox.clone());
        let name = station.to_owned();
        let (station, below) = (station.to_owned(), below.clone());
        let now = self.now();
        let marks = self.marks.clone();
        let work = move || scan(&station, &below, store.as_ref(), &flow, &classifier, &marks, reader, now, &tell);
        match self.setup.host.start("scan", Box::new(work)) {
            Ok(thread) => {
                self.scan_threads.retain(|thread| !thread.is_over());
                self.scan_threads.push(thread);
            }
            // It is tried again as often as listings are due.
            Err(error) => {
                if let Some(state) = self.scans.get_mut(&name).filter(|_| whole) {
                    state.under_way = false;
                    state.due = now.checked_add(rescan_after(thalweg_flow::RESCAN, 0.0)).ok();
                }
                self.outcome.failed += 1;
                self.outcome.unlisted += 1;
                let message = format!("it cannot be listed now: {error}");
                self.say(&Event::Trouble { station: name, message });
            }
        }
    }

    pub(super) fn scanned(&mut self, whole: bool, end: Scanned) -> Result<(), EngineError> {
        let now = self.now();
        let gone = end.missing.len();
        self.vanished(end.missing)?;
        if !whole {
            return Ok(());
        }
        let station = end.station;
        let missing = end.error.as_ref().and_then(|_| self.places.missing_root(&self.flow, &station));
        // A volume may be away: its station is listed when it is back.
        let away =
            missing.is_some() && self.flow.stations.get(&station).is_some_and(|of_flow| of_flow.volume.is_some());
        let error = missing.map(|missing| missing.to_string()).or(end.error);
        let listing = NewListing {
            station: station.clone(),
            folder: RelPath::default(),
            started: end.started,
            ended: now,
            error: error.clone(),
            entries: end.entries,
        };
        let root = self.places.store(&station).and_then(|store| store.stat(&RelPath::default()).ok().flatten());
        let root = root.filter(|_| error.is_none()).map(|meta| crate::scan::root_text(&meta));
        let name = crate::scan::root_meta(&station);
        let root = if self.reader.meta(&name)? == root { None } else { root };
        let strangers = if error.is_none() { self.strangers_if_new(&station, &end.strangers)? } else { None };
        self.ledger.write(move |tx| {
            if let Some(root) = &root {
                tx.meta_set(&name, root)?;
            }
            if let Some((name, text)) = &strangers {
                tx.meta_set(name, text)?;
            }
            tx.listing_done(&listing)
        })?;
        match error {
            Some(message) => {
                self.outcome.failed += u64::from(!away);
                self.outcome.unlisted += u64::from(!away);
                self.say(&Event::Trouble { station: station.clone(), message });
            }
            None => {
                let gone = u64::try_from(gone).unwrap_or(u64::MAX);
                let changed = self.scans.get(&station).map_or(0, |scan| scan.changed);
                self.say(&Event::Listed { station: station.clone(), files: end.entries, changed, gone });
                self.trust_again(&station)?;
                self.put_aside_again(&station)?;
            }
        }
        let every = self.flow.stations.get(&station).map_or(thalweg_flow::RESCAN, |station| station.rescan);
        let share = f64::from(now.subsec_nanosecond().unsigned_abs() % 1000) / 1000.0;
        let state = self.scans.entry(station.clone()).or_default();
        state.under_way = false;
        state.due = now.checked_add(rescan_after(every, share)).ok();
        if std::mem::take(&mut state.again) {
            self.scan_below(&station, &RelPath::default());
        }
        // Waits for missing inputs run only by listings that succeeded.
        self.dirty_open_keys()?;
        self.retention_due = true;
        Ok(())
    }

    fn strangers_if_new(
        &self,
        station: &str,
        found: &crate::scan::Strangers,
    ) -> Result<Option<(String, String)>, EngineError> {
        if crate::scan::Strangers::at(&self.reader, station)? == *found {
            return Ok(None);
        }
        let text = serde_json::to_string(found).unwrap_or_default();
        Ok(Some((crate::scan::Strangers::name(station), text)))
    }

    pub(super) fn rescan_when_due(&mut self) {
        if self.mode == crate::Mode::Once || self.stopping.is_some() {
            return;
        }
        let now = self.now();
        let due: Vec<String> = self
            .scans
            .iter()
            .filter(|(_, state)| !state.under_way && state.due.is_some_and(|at| at <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for station in due {
            self.scan_below(&station, &RelPath::default());
        }
    }
}
