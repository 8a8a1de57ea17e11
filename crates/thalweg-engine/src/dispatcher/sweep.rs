//! Clearing away what runs staged and no run needs any more, and what was on its way out.
//!
//! A run discards what it staged at its end. Where that was not possible, and after a crash, it is done from here: at
//! once at the start, again while a station cannot be reached, and each day.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use jiff::SignedDuration;
use thalweg_core::{RelPath, Timestamp};
use thalweg_store::{DROPPED, Entry, Kind, Meta, OldContent, STAGING, Store, StoreError};

use super::Dispatcher;

/// How long the staging folders of another ledger's runs are left alone, and files whose removal was cut off.
const ABANDONED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Pause between two tries at a station.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// Pause between two looks everywhere.
const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Dispatcher<'_> {
    /// Has all stations that can be reached swept, those that are only mounted here as well.
    pub(super) fn sweep_all(&mut self) {
        let now = self.now();
        self.swept = now;
        self.unswept = self.places.all().map(|(station, _)| (station.to_owned(), now)).collect();
        self.sweep();
    }

    /// Notes that a run could not discard what it staged at a station.
    pub(super) fn note_unswept(&mut self, station: &str) {
        let at = self.now().checked_add(PAUSE).unwrap_or(Timestamp::MAX);
        self.unswept.entry(station.to_owned()).or_insert(at);
    }

    /// Sweeps where that is due.
    pub(super) fn sweep(&mut self) {
        let now = self.now();
        if now.duration_since(self.swept).abs() > DAY {
            self.sweep_all();
            return;
        }
        let mut unswept = std::mem::take(&mut self.unswept);
        let needed: BTreeSet<String> =
            self.active.values().filter_map(|active| active.runs.first()).map(|run| self.staging_of(*run)).collect();
        unswept.retain(|station, at| {
            // A clock that was set back delays no longer than the pause.
            if *at > now && at.duration_since(now) <= PAUSE {
                return true;
            }
            let Some(store) = self.places.store(station) else { return false };
            let swept = sweep(store.as_ref(), &self.staging_mark, &needed, now)
                .and_then(|staged| Ok(staged && sweep_dropped(store.as_ref(), now)?));
            *at = now.checked_add(PAUSE).unwrap_or(Timestamp::MAX);
            !matches!(swept, Ok(true))
        });
        self.unswept = unswept;
    }
}

// What an earlier run of this ledger staged belongs to no run any more; what one of another ledger did, only when it has
// not been touched for so long that nobody will come back for it. Tells if all could be looked at.
fn sweep(store: &dyn Store, mark: &str, needed: &BTreeSet<String>, now: Timestamp) -> Result<bool, StoreError> {
    let (found, whole) = below(store, STAGING)?;
    let not_needed = found.iter().filter(|(path, meta)| {
        meta.kind == Kind::Folder
            && !needed.contains(path.file_name())
            && (path.file_name().starts_with(mark) || is_abandoned(meta, now))
    });
    not_needed.map(|(path, _)| path).try_for_each(|folder| store.discard_staging(folder))?;
    Ok(whole)
}

// A file that somebody is about to remove stands there for a moment, until it is proven to be the right one.
fn sweep_dropped(store: &dyn Store, now: Timestamp) -> Result<bool, StoreError> {
    let (found, whole) = below(store, DROPPED)?;
    for (path, meta) in found.iter().filter(|(_, meta)| is_abandoned(meta, now)) {
        store.remove_verified(path, meta, OldContent::Drop)?;
    }
    Ok(whole)
}

// What lies directly in a folder of the program's own, and if that is all of it.
fn below(store: &dyn Store, folder: &str) -> Result<(Vec<(RelPath, Meta)>, bool), StoreError> {
    let (mut found, mut whole) = (Vec::new(), true);
    let listed = store.walk(&RelPath::from_text(folder), &mut |_| false, &mut |entry| {
        match entry {
            Entry::Found { path, meta } => found.push((path, meta)),
            Entry::Unreadable { .. } | Entry::Unsettled { .. } => whole = false,
        }
        ControlFlow::Continue(())
    });
    match listed {
        Ok(()) => Ok((found, whole)),
        Err(StoreError::NotFound { .. }) => Ok((Vec::new(), true)),
        Err(error) => Err(error),
    }
}

// To be renamed changes nothing but the change time.
fn is_abandoned(meta: &Meta, now: Timestamp) -> bool {
    let touched = Timestamp::from_nanosecond(i128::from(meta.mtime_ns.max(meta.ctime_ns)));
    touched.is_ok_and(|touched| now.duration_since(touched) > ABANDONED)
}
