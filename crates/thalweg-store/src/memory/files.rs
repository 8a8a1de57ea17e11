//! The files of a disk in memory as programs see them: inodes and names.
//!
//! What of them has reached the medium stands in `medium.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::fault::{Fault, due};
use super::hook::Hook;
use super::medium::{Kept, Step};
use crate::disk::Facts;
use crate::{Kind, Meta, Space};

/// The inode of the root.
pub(super) const ROOT: u64 = 1;

/// Longest name of a file.
const LONGEST_NAME: usize = 255;

/// Room of a disk without a limit.
const PLENTY: u64 = 1 << 40;

/// Names of a folder and the inodes to which they lead.
pub(super) type Names = BTreeMap<Box<[u8]>, u64>;

/// A file, folder or link.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) kind: Kind,
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) mtime_ns: i64,
    pub(super) ctime_ns: i64,
    pub(super) mode: u32,
    /// Bytes of room taken beforehand.
    pub(super) reserved: u64,
    /// Names in it, if it is a folder.
    pub(super) names: Names,
    /// Names that lead here.
    pub(super) links: u32,
    /// Open handles.
    pub(super) open: u32,
    /// Everything that leads here: names, open handles, names on the medium, changes under way to it.
    pub(super) refs: u32,
    /// What of it is on the medium.
    pub(super) kept: Kept,
}

/// All of a disk.
pub(super) struct Files {
    pub(super) inodes: Vec<Option<Box<Inode>>>,
    /// Changes of names that have not reached the medium, oldest first.
    pub(super) steps: std::collections::VecDeque<Step>,
    pub(super) available: bool,
    /// Its device number.
    pub(super) device: u64,
    /// Renames neither exchange nor refuse to replace, as on NFS.
    pub(super) plain: bool,
    pub(super) capacity: Option<u64>,
    pub(super) used: u64,
    pub(super) calls: u64,
    pub(super) faults: Vec<Fault>,
    pub(super) hook: Option<Hook>,
    /// Counts power cuts: what was open before one is of no use after.
    pub(super) epoch: u64,
    pub(super) unique: u64,
    pub(super) now_ns: i64,
    /// Set by whatever changes names, bytes, times or rights.
    pub(super) changed: bool,
}

/// Returns a path of a folder and a name in it.
pub(super) fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() || name.is_empty() { [folder, name].concat() } else { [folder, b"/", name].concat() }
}

impl Default for Files {
    fn default() -> Self {
        let mut files = Self {
            inodes: vec![None],
            steps: std::collections::VecDeque::new(),
            available: true,
            device: 0,
            plain: false,
            capacity: None,
            used: 0,
            calls: 0,
            faults: Vec::new(),
            hook: None,
            epoch: 0,
            unique: 0,
            now_ns: 0,
            changed: false,
        };
        files.make(Kind::Folder, 0o755);
        if let Some(root) = files.inodes[1].as_mut() {
            (root.links, root.refs) = (1, 1);
        }
        files
    }
}

impl Files {
    /// Returns the present; never twice the same, so that no change hides behind a clock that stands still.
    pub(super) fn tick(&mut self) -> i64 {
        self.changed = true;
        self.now_ns += 1;
        self.now_ns
    }

    /// Removes the first fault of a sort that is due.
    pub(super) fn take(&mut self, sort: impl Fn(&Fault) -> bool) -> bool {
        let calls = self.calls;
        let found = self.faults.iter().position(|fault| sort(fault) && due(*fault) <= calls);
        found.map(|index| self.faults.remove(index)).is_some()
    }

    /// Returns an inode; one that is gone, as after a power cut, is an error of the disk.
    pub(super) fn inode(&self, ino: u64) -> Result<&Inode, Errno> {
        let found = usize::try_from(ino).ok().and_then(|index| self.inodes.get(index));
        found.and_then(Option::as_deref).ok_or(Errno::IO)
    }

    pub(super) fn inode_mut(&mut self, ino: u64) -> Result<&mut Inode, Errno> {
        let found = usize::try_from(ino).ok().and_then(|index| self.inodes.get_mut(index));
        found.and_then(Option::as_deref_mut).ok_or(Errno::IO)
    }

    /// Makes an inode to which nothing leads yet.
    fn make(&mut self, kind: Kind, mode: u32) -> u64 {
        let now = self.tick();
        let kept = Kept { mtime_ns: now, mode, ..Kept::default() };
        let (names, bytes) = (Names::new(), Arc::clone(&kept.bytes));
        let inode = Inode {
            kind,
            bytes,
            mtime_ns: now,
            ctime_ns: now,
            mode,
            reserved: 0,
            names,
            links: 0,
            open: 0,
            refs: 0,
            kept,
        };
        self.inodes.push(Some(Box::new(inode)));
        self.inodes.len() as u64 - 1
    }

    pub(super) fn hold(&mut self, ino: u64) {
        if let Ok(inode) = self.inode_mut(ino) {
            inode.refs += 1;
        }
    }

    /// Gives up one reference; what nothing leads to any more is forgotten.
    pub(super) fn release(&mut self, ino: u64) {
        let mut gone = vec![ino];
        while let Some(ino) = gone.pop() {
            let Ok(inode) = self.inode_mut(ino) else { continue };
            inode.refs = inode.refs.saturating_sub(1);
            if inode.refs == 0 {
                gone.extend(inode.names.values().chain(inode.kept.names.values()));
                if let Some(slot) = usize::try_from(ino).ok().and_then(|index| self.inodes.get_mut(index)) {
                    *slot = None;
                }
            }
        }
    }

    /// Counts a handle in or out.
    pub(super) fn opened(&mut self, ino: u64) {
        self.hold(ino);
        if let Ok(inode) = self.inode_mut(ino) {
            inode.open += 1;
        }
    }

    pub(super) fn closed(&mut self, ino: u64) {
        if let Ok(inode) = self.inode_mut(ino) {
            inode.open = inode.open.saturating_sub(1);
            if inode.links == 0 && inode.open == 0 {
                let taken = taken(inode);
                self.used = self.used.saturating_sub(taken);
            }
        }
        self.release(ino);
    }

    pub(super) fn facts(&self, ino: u64) -> Result<Facts, Errno> {
        let inode = self.inode(ino)?;
        let size = inode.bytes.len() as u64;
        let Inode { kind, mtime_ns, ctime_ns, mode, .. } = *inode;
        Ok(Facts { meta: Meta { kind, size, mtime_ns, ctime_ns, ino, dev: self.device, mode }, taken: size })
    }

    /// Returns what has a name in a folder.
    pub(super) fn look(&self, folder: u64, name: &[u8]) -> Result<u64, Errno> {
        let folder = self.folder(folder)?;
        check_name(name)?;
        folder.names.get(name).copied().ok_or(Errno::NOENT)
    }

    pub(super) fn folder(&self, ino: u64) -> Result<&Inode, Errno> {
        let inode = self.inode(ino)?;
        if inode.kind == Kind::Folder { Ok(inode) } else { Err(Errno::NOTDIR) }
    }

    /// Returns the inode of a path, passing no link; an error where a part is missing.
    pub(super) fn find(&self, path: &[u8]) -> Result<u64, Errno> {
        let mut ino = ROOT;
        for part in path.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
            match self.inode(ino)?.kind {
                Kind::Folder => ino = self.look(ino, part)?,
                Kind::Link => return Err(Errno::LOOP),
                _ => return Err(Errno::NOTDIR),
            }
        }
        Ok(ino)
    }

    /// Makes a name lead to something, or to nothing, as programs see it.
    pub(super) fn set_name(&mut self, folder: u64, name: &[u8], to: Option<u64>) -> Result<(), Errno> {
        let now = self.tick();
        if let Some(ino) = to {
            self.hold(ino);
            let inode = self.inode_mut(ino)?;
            inode.links += 1;
            inode.ctime_ns = now;
        }
        let parent = self.inode_mut(folder)?;
        (parent.mtime_ns, parent.ctime_ns) = (now, now);
        let before = match to {
            Some(ino) => parent.names.insert(name.into(), ino),
            None => parent.names.remove(name),
        };
        if let Some(ino) = before {
            let inode = self.inode_mut(ino)?;
            inode.links = inode.links.saturating_sub(1);
            inode.ctime_ns = now;
            if inode.links == 0 && inode.open == 0 {
                let taken = taken(inode);
                self.used = self.used.saturating_sub(taken);
            }
            self.release(ino);
        }
        Ok(())
    }

    /// Makes a file, folder or link under a free name.
    pub(super) fn create(&mut self, folder: u64, name: &[u8], kind: Kind, mode: u32) -> Result<u64, Errno> {
        check_name(name)?;
        if self.folder(folder)?.names.contains_key(name) {
            return Err(Errno::EXIST);
        }
        let ino = self.make(kind, mode);
        self.set_name(folder, name, Some(ino))?;
        self.remember(&[(folder, name, Some(ino))], false);
        Ok(ino)
    }

    /// Takes a name away, or an empty folder.
    pub(super) fn unlink(&mut self, folder: u64, name: &[u8], is_folder: bool) -> Result<(), Errno> {
        let inode = self.inode(self.look(folder, name)?)?;
        match (inode.kind == Kind::Folder, is_folder) {
            (true, false) => return Err(Errno::ISDIR),
            (false, true) => return Err(Errno::NOTDIR),
            (true, true) if !inode.names.is_empty() => return Err(Errno::NOTEMPTY),
            _ => {}
        }
        self.set_name(folder, name, None)?;
        self.remember(&[(folder, name, None)], false);
        Ok(())
    }

    /// Gives a second name.
    pub(super) fn link(&mut self, from: (u64, &[u8]), to: (u64, &[u8])) -> Result<(), Errno> {
        let ino = self.look(from.0, from.1)?;
        if self.inode(ino)?.kind == Kind::Folder {
            return Err(Errno::PERM);
        }
        match self.look(to.0, to.1) {
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
            Ok(_) => return Err(Errno::EXIST),
        }
        self.set_name(to.0, to.1, Some(ino))?;
        self.remember(&[(to.0, to.1, Some(ino))], false);
        Ok(())
    }

    /// Renames; `lost` makes it one that the next power cut undoes whatever is flushed.
    pub(super) fn rename(
        &mut self,
        from: (u64, &[u8]),
        to: (u64, &[u8]),
        flags: RenameFlags,
        lost: bool,
    ) -> Result<(), Errno> {
        if self.plain && !flags.is_empty() {
            return Err(Errno::INVAL);
        }
        let old = self.look(from.0, from.1)?;
        let there = match self.look(to.0, to.1) {
            Err(Errno::NOENT) => None,
            other => Some(other?),
        };
        if self.inode(old)?.kind == Kind::Folder && self.is_below(to.0, old) {
            return Err(Errno::INVAL);
        }
        match there {
            None if flags.contains(RenameFlags::EXCHANGE) => return Err(Errno::NOENT),
            Some(_) if flags.contains(RenameFlags::NOREPLACE) => return Err(Errno::EXIST),
            // Two names of one file: the call has nothing to do.
            Some(there) if there == old => return Ok(()),
            Some(there) if !flags.contains(RenameFlags::EXCHANGE) => {
                let there = self.inode(there)?;
                match (self.inode(old)?.kind == Kind::Folder, there.kind == Kind::Folder) {
                    (true, false) => return Err(Errno::NOTDIR),
                    (false, true) => return Err(Errno::ISDIR),
                    (true, true) if !there.names.is_empty() => return Err(Errno::NOTEMPTY),
                    _ => {}
                }
            }
            _ => {}
        }
        let back = there.filter(|_| flags.contains(RenameFlags::EXCHANGE));
        // As if open: neither may be forgotten in between.
        let kept = [Some(old), there];
        kept.into_iter().flatten().for_each(|ino| self.opened(ino));
        let changes = [(from.0, from.1, back), (to.0, to.1, Some(old))];
        let done = changes.iter().try_for_each(|(folder, name, ino)| self.set_name(*folder, name, *ino));
        self.remember(&changes, lost);
        kept.into_iter().flatten().for_each(|ino| self.closed(ino));
        done
    }

    /// Tells if a folder is, or lies somewhere below, another one.
    fn is_below(&self, folder: u64, above: u64) -> bool {
        let mut pending = vec![above];
        while let Some(ino) = pending.pop() {
            if ino == folder {
                return true;
            }
            if let Ok(inode) = self.folder(ino) {
                pending.extend(inode.names.values());
            }
        }
        false
    }

    /// Returns how many bytes still fit.
    pub(super) fn space(&self) -> Space {
        let total = self.capacity.unwrap_or(PLENTY);
        Space { free: total.saturating_sub(self.used), total }
    }

    /// Writes at a position as far as there is room; returns the bytes written.
    pub(super) fn write(&mut self, ino: u64, bytes: &[u8], at: u64) -> Result<usize, Errno> {
        let (room, now) = (self.space().free, self.tick());
        let inode = self.inode_mut(ino)?;
        let start = usize::try_from(at).map_err(|_| Errno::FBIG)?;
        let taken_before = taken(inode);
        let limit = usize::try_from(taken_before.saturating_add(room)).unwrap_or(usize::MAX);
        let end = start.checked_add(bytes.len()).ok_or(Errno::FBIG)?.min(limit.max(inode.bytes.len()));
        let Some(fits) = end.checked_sub(start).filter(|fits| *fits > 0 || bytes.is_empty()) else {
            return Err(Errno::NOSPC);
        };
        inode.kept.prefix = inode.kept.prefix.min(start).min(inode.bytes.len());
        let content = Arc::make_mut(&mut inode.bytes);
        if start == content.len() {
            content.extend_from_slice(&bytes[..fits]);
        } else {
            if content.len() < end {
                content.resize(end, 0);
            }
            content[start..end].copy_from_slice(&bytes[..fits]);
        }
        (inode.mtime_ns, inode.ctime_ns) = (now, now);
        let taken_now = taken(inode);
        self.used = self.used.saturating_sub(taken_before) + taken_now;
        Ok(fits)
    }

    /// Cuts or lengthens with zeros; gives back what was reserved.
    pub(super) fn set_size(&mut self, ino: u64, size: u64) -> Result<(), Errno> {
        let (room, now) = (self.space().free, self.tick());
        let inode = self.inode_mut(ino)?;
        let taken_before = taken(inode);
        if size > taken_before.saturating_add(room) {
            return Err(Errno::NOSPC);
        }
        let length = usize::try_from(size).map_err(|_| Errno::FBIG)?;
        inode.kept.prefix = inode.kept.prefix.min(length).min(inode.bytes.len());
        if length == 0 {
            inode.bytes = Arc::default();
        } else {
            Arc::make_mut(&mut inode.bytes).resize(length, 0);
        }
        inode.reserved = 0;
        (inode.mtime_ns, inode.ctime_ns) = (now, now);
        let taken_now = taken(inode);
        self.used = self.used.saturating_sub(taken_before) + taken_now;
        Ok(())
    }

    /// Takes room beforehand.
    pub(super) fn reserve(&mut self, ino: u64, size: u64) -> Result<(), Errno> {
        let room = self.space().free;
        let inode = self.inode_mut(ino)?;
        let taken_before = taken(inode);
        if size > taken_before.saturating_add(room) {
            return Err(Errno::NOSPC);
        }
        inode.reserved = inode.reserved.max(size);
        let taken_now = taken(inode);
        self.used = self.used.saturating_sub(taken_before) + taken_now;
        Ok(())
    }

    /// Returns the paths of all files, sorted.
    pub(super) fn files(&self) -> Vec<(Vec<u8>, Meta)> {
        let mut found = Vec::new();
        let mut pending = vec![(Vec::new(), ROOT)];
        while let Some((path, ino)) = pending.pop() {
            let Ok(folder) = self.inode(ino) else { continue };
            for (name, ino) in &folder.names {
                let Ok(facts) = self.facts(*ino) else { continue };
                let path = joined(&path, name);
                match facts.meta.kind {
                    Kind::Folder => pending.push((path, *ino)),
                    Kind::File => found.push((path, facts.meta)),
                    Kind::Link | Kind::Other => {}
                }
            }
        }
        found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        found
    }
}

/// Bytes of the disk that an inode takes.
pub(super) fn taken(inode: &Inode) -> u64 {
    (inode.bytes.len() as u64).max(inode.reserved)
}

fn check_name(name: &[u8]) -> Result<(), Errno> {
    if name.len() > LONGEST_NAME { Err(Errno::NAMETOOLONG) } else { Ok(()) }
}
