//! Clearing away what runs staged and no run needs any more.
//!
//! A run discards what it staged at its end. Where that was not possible, and after a crash, it is done from here: at
//! once at the start, and again while a station cannot be reached.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use jiff::SignedDuration;
use thalweg_core::{RelPath, Timestamp};
use thalweg_store::{Entry, Kind, Meta, STAGING, Store, StoreError};

use super::Dispatcher;

/// How long the staging folders of another ledger's runs are left alone.
const ABANDONED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Pause between two tries at a station.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);

impl Dispatcher<'_> {
    /// Has all stations that can be reached swept, those that are only mounted here as well.
    pub(super) fn sweep_all(&mut self) {
        let now = self.now();
        self.unswept = self.places.all().map(|(station, _)| (station.to_owned(), now)).collect();
        self.sweep();
    }

    /// A run could not discard what it staged at this station.
    pub(super) fn is_unswept(&mut self, station: &str) {
        let at = self.now().checked_add(PAUSE).unwrap_or(Timestamp::MAX);
        self.unswept.entry(station.to_owned()).or_insert(at);
    }

    /// Sweeps where that is due.
    pub(super) fn sweep(&mut self) {
        let now = self.now();
        let mut unswept = std::mem::take(&mut self.unswept);
        let needed: BTreeSet<String> =
            self.active.values().filter_map(|active| active.runs.first()).map(|run| self.staging_of(*run)).collect();
        unswept.retain(|station, at| {
            // A clock that was set back delays no longer than the pause.
            if *at > now && at.duration_since(now) <= PAUSE {
                return true;
            }
            let Some(store) = self.places.store(station) else { return false };
            let swept = sweep(store.as_ref(), &self.staging_mark, &needed, now);
            *at = now.checked_add(PAUSE).unwrap_or(Timestamp::MAX);
            swept.is_err()
        });
        self.unswept = unswept;
    }
}

// What an earlier run of this ledger staged belongs to no run any more; what one of another ledger did, only when it has
// not been touched for so long that nobody will come back for it.
fn sweep(store: &dyn Store, mark: &str, needed: &BTreeSet<String>, now: Timestamp) -> Result<(), StoreError> {
    let staging = RelPath::from_text(STAGING);
    let mut folders = BTreeSet::new();
    let listed = store.walk(&staging, &mut |_| false, &mut |entry| {
        if let Entry::Found { path, meta } = entry
            && meta.kind == Kind::Folder
            && !needed.contains(path.file_name())
            && (path.file_name().starts_with(mark) || is_abandoned(&meta, now))
        {
            folders.insert(path);
        }
        ControlFlow::Continue(())
    });
    match listed {
        Ok(()) => folders.iter().try_for_each(|folder| store.discard_staging(folder)),
        Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_abandoned(meta: &Meta, now: Timestamp) -> bool {
    let touched = Timestamp::from_nanosecond(i128::from(meta.mtime_ns));
    touched.is_ok_and(|touched| now.duration_since(touched) > ABANDONED)
}
