//! A station's store as one engine sees it: behind a link that may be cut, and gone when the host is dead.

use std::fmt;
use std::io::Read;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use thalweg_core::RelPath;
use thalweg_store::{
    Entry, Hashed, MemoryStore, Meta, OldContent, OpenWriters, Publish, ReadStable, Space, Store, StoreError,
    WriteStaged,
};

use crate::schedule::Life;
use crate::world::{Station, World};

/// A station's store as one engine sees it.
#[derive(Clone)]
pub struct SeenStore {
    world: Arc<World>,
    station: Station,
    life: Life,
}

impl fmt::Debug for SeenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenStore").field("station", &self.station.name).field("life", &self.life).finish()
    }
}

type Answer<T> = Result<T, StoreError>;

impl SeenStore {
    /// Makes the view that a host in one of its lives has of a station.
    pub fn new(world: Arc<World>, station: Station, life: Life) -> Self {
        Self { world, station, life }
    }

    fn away(&self, what: &str) -> StoreError {
        StoreError::Unavailable { root: self.station.name.into(), what: what.to_owned() }
    }

    fn reachable(&self) -> Answer<()> {
        if self.world.scheduler.caller_is_dying() || self.world.scheduler.is_dead(self.life) {
            return Err(self.away("this host is dead"));
        }
        let far = self.station.host != self.life.0;
        let host_is_up = |host: usize| !self.world.scheduler.is_dead(self.world.life(host));
        if far && !(self.world.reaches(self.life.0, self.station.host) && host_is_up(self.station.host)) {
            return Err(self.away("the link is down"));
        }
        Ok(())
    }

    fn call<T>(&self, act: impl FnOnce(&MemoryStore) -> Answer<T>) -> Answer<T> {
        self.reachable()?;
        let answer = act(&self.station.store);
        // A link that broke meanwhile lets no answer through.
        self.reachable()?;
        answer
    }
}

impl Store for SeenStore {
    fn stat(&self, path: &RelPath) -> Answer<Option<Meta>> {
        self.call(|store| store.stat(path))
    }

    fn walk(
        &self,
        below: &RelPath,
        filter: &mut dyn FnMut(&RelPath) -> bool,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Answer<()> {
        self.call(|store| store.walk(below, filter, visit))
    }

    fn open_read(&self, path: &RelPath) -> Answer<Box<dyn ReadStable>> {
        let file = self.call(|store| store.open_read(path))?;
        Ok(Box::new(SeenRead { store: self.clone(), file }))
    }

    fn hash(&self, path: &RelPath, progress: &mut dyn FnMut(u64)) -> Answer<Hashed> {
        thalweg_store::hash(self, path, progress)
    }

    fn staging(&self, task_id: &str, target: &RelPath) -> Answer<RelPath> {
        self.call(|store| store.staging(task_id, target))
    }

    fn discard_staging(&self, staging: &RelPath) -> Answer<()> {
        self.call(|store| store.discard_staging(staging))
    }

    fn write_staged(&self, path: &RelPath, from: u64, reserve: u64) -> Answer<Box<dyn WriteStaged>> {
        let file = self.call(|store| store.write_staged(path, from, reserve))?;
        Ok(Box::new(SeenWrite { store: self.clone(), file }))
    }

    fn publish(&self, staged: &RelPath, target: &RelPath, how: Publish<'_>) -> Answer<Meta> {
        self.call(|store| store.publish(staged, target, how))
    }

    fn flush(&self, path: &RelPath) -> Answer<()> {
        self.call(|store| store.flush(path))
    }

    fn remove_verified(&self, path: &RelPath, expected: &Meta, old: OldContent<'_>) -> Answer<()> {
        self.call(|store| store.remove_verified(path, expected, old))
    }

    fn empty_trash(&self, is_over: &dyn Fn(&str) -> bool) -> Answer<u64> {
        self.call(|store| store.empty_trash(is_over))
    }

    fn write_atomically(&self, path: &RelPath, bytes: &[u8]) -> Answer<()> {
        self.call(|store| store.write_atomically(path, bytes))
    }

    fn free_space(&self) -> Answer<Space> {
        self.call(Store::free_space)
    }

    fn make_folder(&self, path: &RelPath) -> Answer<()> {
        self.call(|store| store.make_folder(path))
    }

    fn remove_empty_folders(&self, path: &RelPath, upto: &RelPath) -> Answer<()> {
        self.call(|store| store.remove_empty_folders(path, upto))
    }

    fn move_within(&self, from: &RelPath, to: &RelPath) -> Answer<()> {
        self.call(|store| store.move_within(from, to))
    }

    fn set_mtime(&self, path: &RelPath, mtime_ns: i64) -> Answer<()> {
        self.call(|store| store.set_mtime(path, mtime_ns))
    }

    fn set_mode(&self, path: &RelPath, mode: u32) -> Answer<()> {
        self.call(|store| store.set_mode(path, mode))
    }

    fn touch(&self, path: &RelPath) -> Answer<()> {
        self.call(|store| store.touch(path))
    }

    fn open_writers(&self) -> OpenWriters {
        // Who writes on another host cannot be seen.
        let here = self.station.host == self.life.0;
        let open = if here { self.world.open_at(self.station.name) } else { Vec::new() };
        if open.is_empty() {
            return OpenWriters::default();
        }
        let files = self.station.store.files().into_iter();
        OpenWriters::known(files.filter(|(path, _)| open.contains(path)).map(|(_, meta)| (meta, 1)))
    }

    fn writer(&self, path: &RelPath) -> Answer<Option<u32>> {
        Ok(self.stat(path)?.and_then(|meta| self.open_writers().writer_of(&meta)))
    }

    fn link(&self, existing: &RelPath, new: &RelPath) -> Answer<()> {
        self.call(|store| store.link(existing, new))
    }
}

struct SeenRead {
    store: SeenStore,
    file: Box<dyn ReadStable>,
}

impl Read for SeenRead {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        // A small piece at a time, so that others come in between.
        let end = buffer.len().min(90);
        let file = &mut self.file;
        let read = self.store.call(|_| Ok(file.read(&mut buffer[..end])));
        read.map_err(std::io::Error::other)?
    }
}

impl ReadStable for SeenRead {
    fn opened(&self) -> &Meta {
        self.file.opened()
    }

    fn data_after(&mut self, from: u64) -> Answer<Option<Range<u64>>> {
        self.file.data_after(from)
    }

    fn seek_to(&mut self, at: u64) -> Answer<()> {
        self.file.seek_to(at)
    }

    fn finish(self: Box<Self>, read: u64) -> Answer<Meta> {
        let Self { store, file } = *self;
        store.call(|_| file.finish(read))
    }
}

struct SeenWrite {
    store: SeenStore,
    file: Box<dyn WriteStaged>,
}

impl WriteStaged for SeenWrite {
    fn append(&mut self, bytes: &[u8]) -> Answer<()> {
        let file = &mut self.file;
        self.store.call(|_| file.append(bytes))
    }

    fn append_hole(&mut self, length: u64) -> Answer<()> {
        let file = &mut self.file;
        self.store.call(|_| file.append_hole(length))
    }

    fn flush_to_medium(&mut self) -> Answer<()> {
        let file = &mut self.file;
        self.store.call(|_| file.flush_to_medium())
    }

    fn finish(self: Box<Self>, mtime_ns: Option<i64>, mode: Option<u32>) -> Answer<Meta> {
        let Self { store, file } = *self;
        store.call(|_| file.finish(mtime_ns, mode))
    }
}
