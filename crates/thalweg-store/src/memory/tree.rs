//! The contents of a store in memory: names, inodes, times, and what has reached the medium.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use thalweg_core::{RelPath, Timestamp};

use super::Fault;
use crate::{Kind, Meta, StoreError};

/// The device number of every store in memory.
const DEVICE: u64 = 1;

/// What a name leads to.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) ino: u64,
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
    /// How many of the bytes have reached the medium.
    pub(super) flushed: usize,
    pub(super) mtime_ns: i64,
    pub(super) ctime_ns: i64,
    pub(super) mode: u32,
}

/// A shared inode: names and open files hold it.
#[derive(Debug, Clone)]
pub(super) struct Node(Arc<Mutex<Inode>>);

impl Node {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inode> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn meta(&self) -> Meta {
        let inode = self.lock();
        Meta {
            kind: inode.kind,
            size: inode.bytes.len() as u64,
            mtime_ns: inode.mtime_ns,
            ctime_ns: inode.ctime_ns,
            ino: inode.ino,
            dev: DEVICE,
            mode: inode.mode,
        }
    }
}

/// All of a store in memory.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) names: BTreeMap<Vec<u8>, Node>,
    pub(super) available: bool,
    pub(super) capacity: Option<u64>,
    pub(super) calls: u64,
    pub(super) faults: Vec<Fault>,
    /// Renames that a power cut undoes: (from, to).
    lost: Vec<(Vec<u8>, Vec<u8>)>,
    next_ino: u64,
    now_ns: i64,
    root: Node,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Node(Arc::new(Mutex::new(Inode {
            ino: 1,
            kind: Kind::Folder,
            bytes: Vec::new(),
            flushed: 0,
            mtime_ns: 0,
            ctime_ns: 0,
            mode: 0o755,
        })));
        Self {
            names: BTreeMap::new(),
            available: true,
            capacity: None,
            calls: 0,
            faults: Vec::new(),
            lost: Vec::new(),
            next_ino: 2,
            now_ns: 0,
            root,
        }
    }
}

/// Returns the folder part of a path in bytes; empty for the root.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&b| b == b'/').map_or(&[], |at| &path[..at])
}

/// Returns the path as a prefix of what lies below it.
fn prefix(path: &[u8]) -> Vec<u8> {
    if path.is_empty() { Vec::new() } else { [path, b"/"].concat() }
}

impl Tree {
    pub(super) fn set_now(&mut self, now: Timestamp) {
        self.now_ns = i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX);
    }

    /// Returns the present; never twice the same, so that no change hides behind a clock that stands still.
    pub(super) fn tick(&mut self) -> i64 {
        let last = self.root.lock().ctime_ns;
        let now = self.now_ns.max(last.saturating_add(1));
        self.root.lock().ctime_ns = now;
        now
    }

    /// Counts a call and lets it fail if that was asked for; tells if it shall fail after its work.
    pub(super) fn begin(&mut self, action: &'static str, path: &RelPath) -> Result<bool, StoreError> {
        self.calls += 1;
        let calls = self.calls;
        let io = || StoreError::Io { action, path: path.clone(), source: io::Error::other("a fault made on purpose") };
        if self.take(|fault| matches!(fault, Fault::Fail { call } if *call <= calls)) {
            return Err(io());
        }
        Ok(self.take(|fault| matches!(fault, Fault::FailAfter { call } if *call <= calls)))
    }

    /// Removes the first fault that is due.
    pub(super) fn take(&mut self, due: impl Fn(&Fault) -> bool) -> bool {
        let found = self.faults.iter().position(due);
        found.map(|index| self.faults.remove(index)).is_some()
    }

    pub(super) fn torn_now(&mut self) -> bool {
        let calls = self.calls;
        self.take(|fault| matches!(fault, Fault::TornWrite { call } if *call <= calls))
    }

    pub(super) fn rename_lost_now(&mut self, from: &[u8], to: &[u8]) {
        let calls = self.calls;
        if self.take(|fault| matches!(fault, Fault::RenameLost { call } if *call <= calls)) {
            self.lost.push((from.to_vec(), to.to_vec()));
        }
    }

    /// Checks that no part before the last is anything but a folder.
    pub(super) fn check_parents(&self, path: &[u8]) -> Result<(), Errno> {
        for (at, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
            match self.names.get(&path[..at]).map(|node| node.lock().kind) {
                None => return Err(Errno::NOENT),
                Some(Kind::Folder) => {}
                Some(Kind::Link) => return Err(Errno::LOOP),
                Some(_) => return Err(Errno::NOTDIR),
            }
        }
        Ok(())
    }

    /// Returns what has the name.
    pub(super) fn get(&self, path: &[u8]) -> Option<Node> {
        if path.is_empty() { Some(self.root.clone()) } else { self.names.get(path).cloned() }
    }

    pub(super) fn file(&self, path: &[u8]) -> Option<Node> {
        self.get(path).filter(|node| node.lock().kind == Kind::File)
    }

    /// Makes an inode and gives it a name.
    pub(super) fn create(&mut self, path: &[u8], kind: Kind, mode: u32) -> Node {
        let now = self.tick();
        let ino = self.next_ino;
        self.next_ino += 1;
        let inode = Inode { ino, kind, bytes: Vec::new(), flushed: 0, mtime_ns: now, ctime_ns: now, mode };
        let node = Node(Arc::new(Mutex::new(inode)));
        self.insert(path, node.clone());
        node
    }

    /// Gives an inode a name; the folder's time changes.
    pub(super) fn insert(&mut self, path: &[u8], node: Node) {
        self.names.insert(path.to_vec(), node);
        self.folder_changed(path);
    }

    /// Takes one name away.
    pub(super) fn remove(&mut self, path: &[u8]) -> Option<Node> {
        let node = self.names.remove(path);
        if node.is_some() {
            self.folder_changed(path);
        }
        node
    }

    fn folder_changed(&mut self, path: &[u8]) {
        let now = self.tick();
        if let Some(folder) = self.get(parent(path)) {
            let mut folder = folder.lock();
            folder.mtime_ns = now;
            folder.ctime_ns = now;
        }
    }

    /// Makes the folders above a path.
    pub(super) fn make_parents(&mut self, path: &[u8]) -> Result<(), Errno> {
        let ends: Vec<usize> = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).collect();
        for at in ends {
            match self.names.get(&path[..at]).map(|node| node.lock().kind) {
                None => drop(self.create(&path[..at], Kind::Folder, 0o755)),
                Some(Kind::Folder) => {}
                Some(Kind::Link) => return Err(Errno::LOOP),
                Some(_) => return Err(Errno::EXIST),
            }
        }
        Ok(())
    }

    /// Lists the names directly in a folder.
    pub(super) fn children(&self, folder: &[u8]) -> Vec<(Vec<u8>, Node)> {
        let prefix = prefix(folder);
        let below = self.names.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        below
            .filter(|(name, _)| !name[prefix.len()..].contains(&b'/'))
            .map(|(name, node)| (name.clone(), node.clone()))
            .collect()
    }

    /// Moves a name and all names below it; the new name must be free.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) {
        let old = prefix(from);
        let below: Vec<Vec<u8>> = self
            .names
            .range(old.clone()..)
            .take_while(|(name, _)| name.starts_with(&old))
            .map(|(name, _)| name.clone())
            .collect();
        for name in below {
            if let Some(node) = self.names.remove(&name) {
                self.names.insert([to, b"/", &name[old.len()..]].concat(), node);
            }
        }
        if let Some(node) = self.remove(from) {
            let now = self.tick();
            node.lock().ctime_ns = now;
            self.insert(to, node);
        }
    }

    /// Brings what has the name, and all below it, to the medium.
    pub(super) fn flush(&self, path: &[u8]) {
        let prefix = prefix(path);
        let below = self.names.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        for node in below.map(|(_, node)| node.clone()).chain(self.get(path)) {
            let mut inode = node.lock();
            inode.flushed = inode.bytes.len();
        }
    }

    /// Takes a name and all below it away; returns the number of files.
    pub(super) fn remove_tree(&mut self, path: &[u8]) -> u64 {
        let prefix = prefix(path);
        let mut gone: Vec<Vec<u8>> = self
            .names
            .range(prefix.clone()..)
            .take_while(|(name, _)| name.starts_with(&prefix))
            .map(|(name, _)| name.clone())
            .collect();
        gone.push(path.to_vec());
        let removed: Vec<Node> = gone.iter().filter_map(|name| self.remove(name)).collect();
        removed.iter().filter(|node| node.lock().kind != Kind::Folder).count() as u64
    }

    /// Returns the bytes in all files.
    pub(super) fn used(&self) -> u64 {
        self.names.values().map(|node| node.lock().bytes.len() as u64).sum()
    }

    /// Returns how many bytes still fit.
    pub(super) fn room(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    pub(super) fn power_cut(&mut self) {
        for node in self.names.values() {
            let mut inode = node.lock();
            let flushed = inode.flushed.min(inode.bytes.len());
            inode.bytes[flushed..].fill(0);
        }
        for (from, to) in std::mem::take(&mut self.lost) {
            self.rename(&to, &from);
        }
    }

    pub(super) fn put(&mut self, path: &RelPath, bytes: &[u8], append: bool) {
        assert!(path.is_confined(), "{path} leaves the store");
        let name = path.to_bytes();
        let made = self.make_parents(&name);
        assert!(made.is_ok(), "{path} passes something that is no folder");
        let node = self.file(&name).unwrap_or_else(|| self.create(&name, Kind::File, 0o644));
        let now = self.tick();
        let mut inode = node.lock();
        if !append {
            inode.bytes.clear();
        }
        inode.bytes.extend_from_slice(bytes);
        inode.flushed = inode.bytes.len();
        inode.mtime_ns = now;
        inode.ctime_ns = now;
    }

    pub(super) fn put_link(&mut self, path: &RelPath) {
        let name = path.to_bytes();
        if self.make_parents(&name).is_ok() {
            self.create(&name, Kind::Link, 0o777);
        }
    }

    pub(super) fn files(&self) -> Vec<(RelPath, Meta)> {
        let files = self.names.iter().map(|(name, node)| (RelPath::from_bytes(name), node.meta()));
        files.filter(|(_, meta)| meta.kind == Kind::File).collect()
    }
}
