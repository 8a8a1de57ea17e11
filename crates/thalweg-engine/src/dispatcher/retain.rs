//! Retention: what keeps allow to be deleted, deleted one by one with the copies confirmed at that moment.

use jiff::SignedDuration;
use thalweg_core::Timestamp;
use thalweg_flow::planner::keep::{Proof, may_delete};
use thalweg_flow::planner::{FileFact, Reason};
use thalweg_flow::{Keep, When};
use thalweg_ledger::{FileFilter, FileState, RetirementFilter};
use thalweg_store::OldContent;

use super::Dispatcher;
use crate::facts::{LedgerFacts, file_fact};
use crate::scan::stat_of;
use crate::turns::{keep_name, turn_of_keep};
use crate::{EngineError, Event};

/// Shortest time between two looks at what may be deleted.
const BETWEEN: SignedDuration = SignedDuration::from_secs(10);
/// How long after the time that they cover the folders of files are left standing.
const FOLDERS_STAY: SignedDuration = SignedDuration::from_hours(48);
/// Longest time between two looks, with nothing happening.
const AT_LEAST: SignedDuration = SignedDuration::from_mins(5);

impl Dispatcher<'_> {
    pub(super) fn retention(&mut self) -> Result<(), EngineError> {
        if !self.forward || self.flow.keeps.is_empty() || self.stopping.is_some() || self.mode == crate::Mode::Once {
            return Ok(());
        }
        let now = self.now();
        let since = self.last_retention.map(|last| now.duration_since(last));
        let due = since.is_none_or(|since| (self.retention_due && since >= BETWEEN) || since >= AT_LEAST);
        let due = due || self.next_turn.is_some_and(|at| at <= now);
        let busy = self.scans.values().any(|scan| scan.under_way) || !self.dirty.is_empty() || !self.changed.is_empty();
        if due && !busy { self.retention_now(None, false, false) } else { Ok(()) }
    }

    /// Carries out all keeps once, at one station or at all, or only says what they would do. By hand nobody is asked for
    /// the time of day.
    pub(super) fn retention_now(&mut self, only: Option<&str>, dry: bool, by_hand: bool) -> Result<(), EngineError> {
        if only.is_none() {
            self.retention_due = false;
            self.last_retention = Some(self.now());
        }
        let keeps: Vec<Keep> = self.flow.keeps.values().cloned().collect();
        let mut next: Option<Timestamp> = None;
        for keep in &keeps {
            for station in &keep.at {
                if !self.places.is_here(station) || only.is_some_and(|only| only != station) {
                    continue;
                }
                if dry || by_hand {
                    self.keep_at(keep, station, dry, by_hand)?;
                } else if let Some(until) = self.turn(keep, station)? {
                    next = Some(next.map_or(until, |next| next.min(until)));
                }
            }
        }
        if only.is_none() && !dry && !by_hand {
            self.next_turn = next;
        }
        Ok(())
    }

    // Carries a keep out if it is its turn; returns when that is the next time, where time alone brings it.
    fn turn(&mut self, keep: &Keep, station: &str) -> Result<Option<Timestamp>, EngineError> {
        let now = self.now();
        let name = keep_name(&keep.name, station);
        if matches!(keep.when, When::Cron { .. }) && self.reader.meta(&name)?.is_none() {
            // A clock's moments count from the day the keep was first seen.
            self.ledger.write(move |tx| tx.meta_set(&name, &now.to_string()))?;
            return Ok(turn_of_keep(&self.reader, keep, station, now)?.err().and_then(|reason| reason.until));
        }
        match turn_of_keep(&self.reader, keep, station, now)? {
            Ok(moment) => {
                let whole = self.keep_at(keep, station, false, false)?;
                // What was cut short by the hour or by what may go in an hour goes on with the same moment.
                if let Some(moment) = moment.filter(|_| whole) {
                    self.ledger.write(move |tx| tx.meta_set(&name, &moment.to_string()))?;
                }
                let again = turn_of_keep(&self.reader, keep, station, self.now())?;
                Ok(again.err().and_then(|reason| reason.until))
            }
            Err(reason) => Ok(reason.until),
        }
    }

    // Tells if everything that may go was looked at.
    fn keep_at(&mut self, keep: &Keep, station: &str, dry: bool, by_hand: bool) -> Result<bool, EngineError> {
        if self.enough_space(keep, station) && !dry {
            return Ok(true);
        }
        let mut budget = self.budget(keep, station)?;
        for file in candidates(&self.facts(), keep, station)? {
            if self.enough_space(keep, station) && !dry {
                return Ok(true);
            }
            let over = keep.hours.as_ref().is_some_and(|hours| !hours.holds(self.now()));
            if over && !dry && !by_hand {
                return Ok(false);
            }
            let facts = self.facts();
            let verdict = may_delete(&self.flow, keep, &file, &facts);
            facts.trouble()?;
            match verdict {
                Ok(proofs) if dry => {
                    let copies = proofs.iter().map(|proof| proof.station.clone()).collect();
                    let event = Event::WouldRemove {
                        station: station.to_owned(),
                        path: file.path.clone(),
                        keep: keep.name.clone(),
                        size: file.size,
                        copies,
                    };
                    self.say(&event);
                }
                Ok(proofs) => {
                    if let Some(left) = &mut budget {
                        if *left < file.size {
                            return Ok(false);
                        }
                        *left -= file.size;
                    }
                    self.remove(keep, &file, &proofs)?;
                }
                Err(reason) if dry => self.stays(keep, &file, reason),
                Err(_) => {}
            }
        }
        Ok(true)
    }

    fn stays(&mut self, keep: &Keep, file: &FileFact, reason: Reason) {
        let event = Event::Stays {
            station: file.station.clone(),
            path: file.path.clone(),
            keep: keep.name.clone(),
            why: reason.text,
        };
        self.say(&event);
    }

    fn enough_space(&self, keep: &Keep, station: &str) -> bool {
        let Some(threshold) = &keep.delete.when_free_below else { return false };
        let space = self.places.store(station).and_then(|store| store.free_space().ok());
        // With the space unknown nothing is deleted for its sake.
        space.is_none_or(|space| space.free >= threshold.bytes_of(space.total))
    }

    // How many bytes may still go within the hour.
    fn budget(&self, keep: &Keep, station: &str) -> Result<Option<u64>, EngineError> {
        let Some(limit) = keep.delete.per_hour else { return Ok(None) };
        let name = format!("keep {}", keep.name);
        let since = self.now().checked_sub(SignedDuration::from_hours(1)).ok();
        let filter = RetirementFilter { station: Some(station.to_owned()), from: since, ..Default::default() };
        let gone: u64 =
            self.reader.retirements(&filter)?.iter().filter(|row| row.keep == name).map(|row| row.size).sum();
        Ok(Some(limit.saturating_sub(gone)))
    }

    fn remove(&mut self, keep: &Keep, file: &FileFact, proofs: &[Proof]) -> Result<(), EngineError> {
        let now = self.now();
        let Some(row) = self.reader.file_at(&file.station, &file.path)? else { return Ok(()) };
        let Some(store) = self.places.store(&file.station).cloned() else { return Ok(()) };
        let meta = match store.stat(&file.path) {
            Ok(Some(meta)) if self.is_as_recorded(&row, &meta) => meta,
            // It is not what was judged: it is looked at again by the next listing.
            _ => return Ok(()),
        };
        if let Some(missing) = self.unconfirmed(proofs, &meta)? {
            self.stays(keep, file, Reason::new("unconfirmed", missing));
            return Ok(());
        }
        let (id, name, receipts) =
            (row.id, format!("keep {}", keep.name), serde_json::to_value(proofs).unwrap_or_default());
        // Recorded first: a crash in between leaves the file, and the next round deletes it.
        self.ledger.write(move |tx| tx.retire(id, &name, &receipts, None, now))?;
        if let Err(error) = store.remove_verified(&file.path, &meta, OldContent::Drop) {
            self.ledger.write(move |tx| tx.set_state(id, FileState::Present, None, now))?;
            let message = format!("it cannot be removed: {}", crate::runner::publish::in_full(&error));
            self.say(&Event::FileTrouble { station: file.station.clone(), path: file.path.clone(), message });
            return Ok(());
        }
        self.remove_folders(store.as_ref(), file);
        self.say(&Event::Removed { station: file.station.clone(), path: file.path.clone(), keep: keep.name.clone() });
        if let Some(row) = self.reader.file(id)? {
            self.changed.push(file_fact(&self.flow, row));
        }
        Ok(())
    }

    // Tells if a file is the version that the ledger knows; where only its change time or inode differ, it is read.
    pub(super) fn is_as_recorded(&self, row: &thalweg_ledger::FileRow, meta: &thalweg_store::Meta) -> bool {
        let folder = self.flow.products.get(&row.product).is_some_and(|product| product.path.is_folder());
        let wanted = if folder { thalweg_store::Kind::Folder } else { thalweg_store::Kind::File };
        if meta.kind != wanted {
            return false;
        }
        let stat = stat_of(meta);
        if !folder && (stat.size != row.stat.size || stat.mtime_ns != row.stat.mtime_ns) {
            return false;
        }
        if !folder && stat.ino == row.stat.ino && stat.ctime_ns == row.stat.ctime_ns {
            return true;
        }
        let store = self.places.store(&row.station);
        store.is_some_and(|store| store.hash(&row.path, &mut |_| {}).is_ok_and(|found| Some(found.hash) == row.content))
    }

    // Folders named for a time long past go with their last file; the others belong to whoever writes there.
    fn remove_folders(&self, store: &dyn thalweg_store::Store, file: &FileFact) {
        let past = self.now().checked_sub(FOLDERS_STAY).ok();
        let is_past = file.coverage.is_some_and(|coverage| Some(coverage.end) < past);
        let Some(product) = self.flow.products.get(&file.product).filter(|_| is_past) else { return };
        let fixed = product.pattern_at(&file.station).fixed_folder();
        let fixed = thalweg_core::RelPath::from_text(fixed.trim_end_matches('/'));
        // One that cannot be removed stays.
        let _ = store.remove_empty_folders(&file.path.parent(), &fixed);
    }

    // The copies that a deletion rests on, looked at in this moment.
    fn unconfirmed(&self, proofs: &[Proof], own: &thalweg_store::Meta) -> Result<Option<String>, EngineError> {
        for proof in proofs {
            let Some(path) = &proof.path else { continue };
            let row = self.reader.file_at(&proof.station, path)?;
            let found = self.places.store(&proof.station).map(|store| store.stat(path));
            let same = match (row, found) {
                (Some(row), Some(Ok(Some(meta)))) => self.is_as_recorded(&row, &meta) && !is_same_file(&meta, own),
                _ => false,
            };
            if !same {
                return Ok(Some(format!("the copy {path} at {} could not be confirmed", proof.station)));
            }
        }
        Ok(None)
    }
}

// Two names of one file are no two copies.
fn is_same_file(a: &thalweg_store::Meta, b: &thalweg_store::Meta) -> bool {
    a.kind == thalweg_store::Kind::File && a.dev == b.dev && a.ino == b.ino
}

/// Returns the files that a keep is about at a station, oldest first.
pub(crate) fn candidates(facts: &LedgerFacts<'_>, keep: &Keep, station: &str) -> Result<Vec<FileFact>, EngineError> {
    let mut files = Vec::new();
    for product in &keep.products {
        let mut filter = FileFilter {
            station: Some(station.to_owned()),
            product: Some(product.clone()),
            states: vec![FileState::Present],
            ..FileFilter::default()
        };
        loop {
            let page = facts.reader.page(&filter, 10_000)?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.id);
            files.extend(page.into_iter().map(|row| file_fact(facts.flow, row)));
        }
    }
    files.sort_by(|a, b| {
        (a.coverage.map(|c| c.start), a.arrived, &a.path).cmp(&(b.coverage.map(|c| c.start), b.arrived, &b.path))
    });
    Ok(files)
}
