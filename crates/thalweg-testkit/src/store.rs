//! A station's store as one engine sees it: each call is a place at which the turn may go to another, a link may be cut,
//! the host may die; and what it changed is checked at once.

use std::fmt;
use std::io::Read;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use thalweg_core::RelPath;
use thalweg_engine::watch::WatchKind;
use thalweg_store::{
    Entry, Hashed, MemoryStore, Meta, OldContent, Publish, ReadStable, Space, Store, StoreError, WriteStaged,
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

    /// Carries a call out between two points.
    fn call<T>(&self, what: &str, act: impl FnOnce(&MemoryStore) -> Answer<T>) -> Answer<T> {
        if !self.world.scheduler.caller_is_dying() {
            self.world.scheduler.point(what);
        }
        self.reachable()?;
        let answer = act(&self.station.store);
        if !self.world.scheduler.caller_is_dying() {
            self.world.scheduler.point("after");
        }
        answer
    }

    /// Carries out a call that changes names; what they hold is checked before anybody else has the turn.
    fn change<T>(
        &self,
        what: &str,
        names: &[(&RelPath, WatchKind)],
        act: impl FnOnce(&MemoryStore) -> Answer<T>,
    ) -> Answer<T> {
        self.call(what, |store| {
            let answer = act(store);
            for (path, kind) in names {
                self.world.check_name(&self.station, path);
                self.world.happened(self.station.name, path, *kind);
            }
            if what == "remove" {
                self.world.check_nothing_lost();
            }
            answer
        })
    }
}

impl Store for SeenStore {
    fn stat(&self, path: &RelPath) -> Answer<Option<Meta>> {
        self.call("stat", |store| store.stat(path))
    }

    fn walk(
        &self,
        below: &RelPath,
        filter: &mut dyn FnMut(&RelPath) -> bool,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Answer<()> {
        self.call("walk", |store| store.walk(below, filter, visit))
    }

    fn open_read(&self, path: &RelPath) -> Answer<Box<dyn ReadStable>> {
        let file = self.call("open", |store| store.open_read(path))?;
        Ok(Box::new(SeenRead { store: self.clone(), file }))
    }

    fn hash(&self, path: &RelPath, progress: &mut dyn FnMut(u64)) -> Answer<Hashed> {
        thalweg_store::hash(self, path, progress)
    }

    fn staging(&self, task_id: &str, target: &RelPath) -> Answer<RelPath> {
        self.call("staging", |store| store.staging(task_id, target))
    }

    fn discard_staging(&self, staging: &RelPath) -> Answer<()> {
        self.call("discard", |store| store.discard_staging(staging))
    }

    fn write_staged(&self, path: &RelPath, from: u64, reserve: u64) -> Answer<Box<dyn WriteStaged>> {
        let file = self.call("create", |store| store.write_staged(path, from, reserve))?;
        Ok(Box::new(SeenWrite { store: self.clone(), file }))
    }

    fn publish(&self, staged: &RelPath, target: &RelPath, how: Publish<'_>) -> Answer<Meta> {
        self.change("publish", &[(target, WatchKind::MovedIn)], |store| store.publish(staged, target, how))
    }

    fn flush(&self, path: &RelPath) -> Answer<()> {
        self.call("flush", |store| store.flush(path))
    }

    fn remove_verified(&self, path: &RelPath, expected: &Meta, old: OldContent<'_>) -> Answer<()> {
        self.change("remove", &[(path, WatchKind::Gone)], |store| store.remove_verified(path, expected, old))
    }

    fn empty_trash(&self, is_over: &dyn Fn(&str) -> bool) -> Answer<u64> {
        self.call("empty trash", |store| store.empty_trash(is_over))
    }

    fn write_atomically(&self, path: &RelPath, bytes: &[u8]) -> Answer<()> {
        self.change("write", &[(path, WatchKind::MovedIn)], |store| store.write_atomically(path, bytes))
    }

    fn free_space(&self) -> Answer<Space> {
        self.call("space", Store::free_space)
    }

    fn make_folder(&self, path: &RelPath) -> Answer<()> {
        self.call("make folder", |store| store.make_folder(path))
    }

    fn remove_empty_folders(&self, path: &RelPath, upto: &RelPath) -> Answer<()> {
        self.call("remove folders", |store| store.remove_empty_folders(path, upto))
    }

    fn move_within(&self, from: &RelPath, to: &RelPath) -> Answer<()> {
        let names = [(from, WatchKind::Gone), (to, WatchKind::MovedIn)];
        self.change("move", &names, |store| store.move_within(from, to))
    }

    fn set_mtime(&self, path: &RelPath, mtime_ns: i64) -> Answer<()> {
        self.change("set mtime", &[(path, WatchKind::Attrib)], |store| store.set_mtime(path, mtime_ns))
    }

    fn set_mode(&self, path: &RelPath, mode: u32) -> Answer<()> {
        self.change("set mode", &[(path, WatchKind::Attrib)], |store| store.set_mode(path, mode))
    }

    fn touch(&self, path: &RelPath) -> Answer<()> {
        self.change("touch", &[(path, WatchKind::Closed)], |store| store.touch(path))
    }

    fn link(&self, existing: &RelPath, new: &RelPath) -> Answer<()> {
        self.change("link", &[(new, WatchKind::Appeared)], |store| store.link(existing, new))
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
        let read = self.store.call("read", |_| Ok(file.read(&mut buffer[..end])));
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
        store.call("end reading", |_| file.finish(read))
    }
}

struct SeenWrite {
    store: SeenStore,
    file: Box<dyn WriteStaged>,
}

impl WriteStaged for SeenWrite {
    fn append(&mut self, bytes: &[u8]) -> Answer<()> {
        let file = &mut self.file;
        self.store.call("append", |_| file.append(bytes))
    }

    fn append_hole(&mut self, length: u64) -> Answer<()> {
        let file = &mut self.file;
        self.store.call("append", |_| file.append_hole(length))
    }

    fn flush_to_medium(&mut self) -> Answer<()> {
        let file = &mut self.file;
        self.store.call("flush", |_| file.flush_to_medium())
    }

    fn finish(self: Box<Self>, mtime_ns: Option<i64>, mode: Option<u32>) -> Answer<Meta> {
        let Self { store, file } = *self;
        store.call("end writing", |_| file.finish(mtime_ns, mode))
    }
}
