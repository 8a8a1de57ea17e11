//! What of a disk in memory has reached the medium, and what a power cut leaves.
//!
//! Bytes of a file are on the medium once the file was flushed. Names are on the medium once their folder was flushed,
//! together with all earlier changes of names in that folder; a rename is on the medium in both its folders at once.
//! What was not flushed may be there after a power cut or not: some first part of the changes of names, in their order,
//! and of each file some version between the flushed one and the last, perhaps with zeros at its end.

use std::sync::Arc;

use super::files::{Files, Names, ROOT, taken};
use crate::Kind;

/// Most changes of names that wait; older ones are written back, as every system does after some time.
const MOST_STEPS: usize = 256;

/// What of an inode is on the medium.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) bytes: Arc<Vec<u8>>,
    /// Bytes at the start that are the same there as programs see them.
    pub(super) prefix: usize,
    pub(super) mtime_ns: i64,
    pub(super) mode: u32,
    /// Names in it, if it is a folder.
    pub(super) names: Names,
}

/// A name in a folder and what it leads to from now on.
pub(super) type NameChange<'a> = (u64, &'a [u8], Option<u64>);

#[derive(Debug)]
struct Change {
    folder: u64,
    name: Box<[u8]>,
    to: Option<u64>,
}

/// One change of names that happens wholly or not at all: a rename has two parts.
#[derive(Debug)]
pub(super) struct Step {
    first: Change,
    second: Option<Change>,
    lost: bool,
}

impl Step {
    fn changes(&self) -> impl Iterator<Item = &Change> {
        std::iter::once(&self.first).chain(&self.second)
    }
}

/// A small source of numbers, the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from `low` to `high`; both ends come up often.
    fn between(&mut self, low: usize, high: usize) -> usize {
        let span = (high.saturating_sub(low) as u64).saturating_add(1);
        match self.next() % 4 {
            0 => low,
            1 => high,
            _ => low + usize::try_from(self.next() % span).unwrap_or_default(),
        }
    }
}

impl Files {
    /// Remembers a change of names until its folder is flushed.
    pub(super) fn remember(&mut self, changes: &[NameChange<'_>], lost: bool) {
        let mut made =
            changes.iter().map(|(folder, name, to)| Change { folder: *folder, name: (*name).into(), to: *to });
        let Some(first) = made.next() else { return };
        let step = Step { first, second: made.next(), lost };
        for change in step.changes() {
            self.hold(change.folder);
            change.to.into_iter().for_each(|ino| self.hold(ino));
        }
        self.steps.push_back(step);
        if self.steps.len() > MOST_STEPS
            && let Some(step) = self.steps.pop_front()
        {
            self.write_back(&step);
        }
    }

    /// Brings one change of names to the medium, unless it is one that never gets there.
    fn write_back(&mut self, step: &Step) {
        for change in step.changes() {
            if !step.lost
                && let Ok(folder) = self.inode_mut(change.folder)
            {
                let before = match change.to {
                    Some(ino) => folder.kept.names.insert(change.name.clone(), ino),
                    None => folder.kept.names.remove(&change.name),
                };
                change.to.into_iter().for_each(|ino| self.hold(ino));
                before.into_iter().for_each(|ino| self.release(ino));
            }
            change.to.into_iter().for_each(|ino| self.release(ino));
            self.release(change.folder);
        }
    }

    /// Brings an open file, or the names in an open folder, to the medium.
    pub(super) fn flush(&mut self, ino: u64, data_only: bool) {
        let Ok(inode) = self.inode_mut(ino) else { return };
        if inode.kind == Kind::Folder {
            self.flush_names(ino);
            return;
        }
        inode.kept.bytes = Arc::clone(&inode.bytes);
        inode.kept.prefix = inode.bytes.len();
        if !data_only {
            (inode.kept.mtime_ns, inode.kept.mode) = (inode.mtime_ns, inode.mode);
        }
    }

    /// Brings the changes of names in one folder to the medium, and what must be there before them.
    fn flush_names(&mut self, folder: u64) {
        let mut folders = vec![folder];
        let mut chosen = Vec::new();
        for (index, step) in self.steps.iter().enumerate().rev() {
            if !step.lost && step.changes().any(|change| folders.contains(&change.folder)) {
                chosen.push(index);
                for change in step.changes() {
                    if !folders.contains(&change.folder) {
                        folders.push(change.folder);
                    }
                }
            }
        }
        if chosen.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.steps);
        if chosen.len() == waiting.len() {
            waiting.drain(..).for_each(|step| self.write_back(&step));
            self.steps = waiting;
            return;
        }
        for (index, step) in waiting.into_iter().enumerate() {
            if chosen.last() == Some(&index) {
                chosen.pop();
                self.write_back(&step);
            } else {
                self.steps.push_back(step);
            }
        }
    }

    /// Brings everything to the medium, as time does.
    pub(super) fn settle(&mut self) {
        while let Some(step) = self.steps.pop_front() {
            self.write_back(&step);
        }
        for ino in 0..self.inodes.len() as u64 {
            if self.inode(ino).is_ok_and(|inode| inode.kind != Kind::Folder) {
                self.flush(ino, false);
            }
        }
    }

    /// Loses what has not reached the medium; without a seed all of it, with one what the seed chooses.
    pub(super) fn power_cut(&mut self, seed: Option<u64>) {
        let mut numbers = seed.map(Numbers);
        let survive = numbers.as_mut().map_or(0, |numbers| numbers.between(0, self.steps.len()));
        let mut steps = std::mem::take(&mut self.steps);
        for step in steps.drain(..survive) {
            self.write_back(&step);
        }
        drop(steps);
        self.epoch += 1;
        self.unique = 0;
        self.used = 0;
        self.restart_from_medium(numbers.as_mut());
    }

    /// Makes what is on the medium what programs see, and forgets all that cannot be reached there.
    fn restart_from_medium(&mut self, mut numbers: Option<&mut Numbers>) {
        let mut old = std::mem::take(&mut self.inodes);
        self.inodes.resize_with(old.len(), || None);
        let slot = |ino: u64| usize::try_from(ino).unwrap_or(usize::MAX);
        let mut pending = vec![ROOT];
        while let Some(ino) = pending.pop() {
            let Some(mut inode) = old.get_mut(slot(ino)).and_then(Option::take) else { continue };
            (inode.links, inode.refs, inode.open, inode.reserved) = (0, 0, 0, 0);
            if inode.kind == Kind::Folder {
                inode.names = inode.kept.names.clone();
                pending.extend(inode.names.values());
            } else {
                let now = inode.ctime_ns;
                survive(&mut inode, numbers.as_deref_mut());
                inode.ctime_ns = now;
            }
            if let Some(place) = self.inodes.get_mut(slot(ino)) {
                *place = Some(inode);
            }
        }
        // Everything is counted anew; a folder that two names lead to keeps the first.
        let mut seen = vec![false; self.inodes.len()];
        let mut pending = vec![ROOT];
        while let Some(ino) = pending.pop() {
            let Ok(inode) = self.inode(ino) else { continue };
            let names: Vec<(Box<[u8]>, u64)> = inode.names.iter().map(|(name, ino)| (name.clone(), *ino)).collect();
            for (name, child) in names {
                let is_folder = self.inode(child).is_ok_and(|inode| inode.kind == Kind::Folder);
                let again = seen.get_mut(slot(child)).is_none_or(|seen| std::mem::replace(seen, true));
                if (is_folder && again) || self.inode(child).is_err() {
                    if let Ok(inode) = self.inode_mut(ino) {
                        inode.names.remove(&name);
                        inode.kept.names.remove(&name);
                    }
                    continue;
                }
                if let Ok(inode) = self.inode_mut(child) {
                    inode.links += 1;
                    inode.refs += 2;
                    if !again {
                        let taken = taken(inode);
                        self.used += taken;
                        if is_folder {
                            pending.push(child);
                        }
                    }
                }
            }
        }
        if let Ok(root) = self.inode_mut(ROOT) {
            (root.links, root.refs) = (1, 1);
        }
    }
}

/// Chooses what of a file survives, between what was flushed and what was written.
fn survive(inode: &mut super::files::Inode, numbers: Option<&mut Numbers>) {
    let kept = &mut inode.kept;
    let same_bytes = kept.prefix == inode.bytes.len() && kept.bytes.len() == inode.bytes.len();
    match numbers {
        None => {
            inode.bytes = Arc::clone(&kept.bytes);
            (inode.mtime_ns, inode.mode) = (kept.mtime_ns, kept.mode);
        }
        Some(numbers) => {
            if !same_bytes {
                let whole = inode.bytes.len();
                let good = numbers.between(kept.prefix.min(whole), whole);
                match numbers.next() % 4 {
                    // Nothing of it got there.
                    0 => inode.bytes = Arc::clone(&kept.bytes),
                    // All of it did.
                    1 => {}
                    // The size did, the last bytes did not.
                    2 => Arc::make_mut(&mut inode.bytes)[good..].fill(0),
                    // Some first part did.
                    _ => Arc::make_mut(&mut inode.bytes).truncate(good),
                }
            }
            if numbers.next().is_multiple_of(2) {
                (inode.mtime_ns, inode.mode) = (kept.mtime_ns, kept.mode);
            }
        }
    }
    kept.bytes = Arc::clone(&inode.bytes);
    kept.prefix = inode.bytes.len();
    (kept.mtime_ns, kept.mode) = (inode.mtime_ns, inode.mode);
}
