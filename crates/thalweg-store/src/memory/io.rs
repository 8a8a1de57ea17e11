//! Open files of a store in memory.

use std::io::{self, Read};
use std::ops::Range;

use thalweg_core::RelPath;

use super::MemoryStore;
use super::tree::Node;
use crate::{Meta, ReadStable, StoreError, WriteStaged};

/// A file open for reading; sees what others write meanwhile, as a real one does.
pub(super) struct MemoryRead {
    pub(super) store: MemoryStore,
    pub(super) node: Node,
    pub(super) path: RelPath,
    pub(super) opened: Meta,
    pub(super) at: u64,
}

impl Read for MemoryRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let started = self.store.lock().begin("read", &self.path);
        started.map_err(|error| io::Error::other(error.to_string()))?;
        let inode = self.node.lock();
        let rest = usize::try_from(self.at).ok().and_then(|at| inode.bytes.get(at..)).unwrap_or_default();
        let got = rest.len().min(buffer.len());
        buffer[..got].copy_from_slice(&rest[..got]);
        self.at += got as u64;
        Ok(got)
    }
}

impl ReadStable for MemoryRead {
    fn opened(&self) -> &Meta {
        &self.opened
    }

    fn data_after(&mut self, from: u64) -> Result<Option<Range<u64>>, StoreError> {
        Ok((from < self.opened.size).then_some(from..self.opened.size))
    }

    fn seek_to(&mut self, at: u64) -> Result<(), StoreError> {
        self.at = at;
        Ok(())
    }

    fn finish(self: Box<Self>, read: u64) -> Result<Meta, StoreError> {
        let changed = |what| StoreError::ChangedWhileReading { action: "read", path: self.path.clone(), what };
        let now = self.node.meta();
        if let Some(what) = self.opened.difference(&now) {
            return Err(changed(what));
        }
        if read != self.opened.size {
            return Err(changed(format!("length read {read} of {} bytes", self.opened.size)));
        }
        let named = self.store.lock().get(&self.path.to_bytes()).map(|node| node.meta());
        match named.and_then(|named| self.opened.difference(&named)) {
            Some(what) => Err(changed(what)),
            None => Ok(now),
        }
    }
}

/// A file that is being written.
pub(super) struct MemoryWrite {
    pub(super) store: MemoryStore,
    pub(super) node: Node,
    pub(super) path: RelPath,
}

impl MemoryWrite {
    fn extend(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut tree = self.store.lock();
        let fails_after = tree.begin("write", &self.path)?;
        let room = usize::try_from(tree.room()).unwrap_or(usize::MAX);
        let torn = tree.torn_now();
        let fits = if torn { bytes.len() / 2 } else { bytes.len() }.min(room);
        let now = tree.tick();
        let mut inode = self.node.lock();
        inode.bytes.extend_from_slice(&bytes[..fits]);
        inode.mtime_ns = now;
        inode.ctime_ns = now;
        if torn || fails_after {
            let source = io::Error::other("a fault made on purpose");
            return Err(StoreError::Io { action: "write", path: self.path.clone(), source });
        }
        if fits < bytes.len() {
            return Err(StoreError::Full { action: "write", path: self.path.clone() });
        }
        Ok(())
    }
}

impl WriteStaged for MemoryWrite {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.extend(bytes)
    }

    fn append_hole(&mut self, mut length: u64) -> Result<(), StoreError> {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        while length > 0 {
            let now = usize::try_from(length).unwrap_or(usize::MAX).min(ZEROS.len());
            self.extend(&ZEROS[..now])?;
            length -= now as u64;
        }
        Ok(())
    }

    fn flush_to_medium(&mut self) -> Result<(), StoreError> {
        self.store.lock().begin("flush", &self.path)?;
        let mut inode = self.node.lock();
        inode.flushed = inode.bytes.len();
        Ok(())
    }

    fn finish(self: Box<Self>, mtime_ns: Option<i64>, mode: Option<u32>) -> Result<Meta, StoreError> {
        let mut tree = self.store.lock();
        tree.begin("write", &self.path)?;
        let now = tree.tick();
        {
            let mut inode = self.node.lock();
            inode.ctime_ns = now;
            inode.mtime_ns = mtime_ns.unwrap_or(inode.mtime_ns);
            inode.mode = mode.map_or(inode.mode, |mode| mode & 0o7777);
        }
        Ok(self.node.meta())
    }
}
