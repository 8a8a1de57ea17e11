//! Giving finished contents their final name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use thalweg_core::RelPath;

use super::staging::is_staged;
use super::{DiskStore, Place, remove, small, sync_folder};
use crate::disk::{Disk, Entries, Listed};
use crate::{Kind, Meta, OldContent, Publish, StoreError};

const ACTION: &str = "publish";

/// Renames; fails with `EXIST` if the new name is taken.
pub(super) fn rename_no_replace<D: Disk>(disk: &D, from: &Place<D>, to: &Place<D>) -> Result<(), Errno> {
    match disk.rename(from.named(), to.named(), RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        other => return other,
    }
    // A file system without that flag, e.g. NFS: a second name is as good, being refused where one exists.
    match disk.link(from.named(), to.named()) {
        Ok(()) => {
            // Two changes in two folders: the new name has to last before the old one goes.
            sync_folder(disk, &to.folder)?;
            return disk.unlink(&from.folder, &from.name);
        }
        Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS) => {}
        Err(errno) => return Err(errno),
    }
    // Folders, and file systems without second names: the one case with a gap between look and act.
    match to.stat(disk) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => disk.rename(from.named(), to.named(), RenameFlags::empty()),
        Err(errno) => Err(errno),
    }
}

/// Flushes a file, or a folder with all below it.
fn sync_tree<D: Disk>(disk: &D, folder: &D::Handle, name: &[u8], kind: Kind) -> Result<(), Errno> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match kind {
        Kind::File => {
            let fd = match disk.open(folder, name, flags | OFlags::RDONLY, Mode::empty()) {
                Err(Errno::ACCESS) => disk.open(folder, name, flags | OFlags::WRONLY, Mode::empty()),
                other => other,
            }?;
            disk.sync(&fd)
        }
        Kind::Folder => {
            let fd = disk.open(folder, name, flags | OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            let mut entries = disk.entries(&fd)?;
            while let Some(entry) = entries.next_entry() {
                let entry = entry?;
                let name = entry.name().to_bytes();
                if matches!(name, b"." | b"..") {
                    continue;
                }
                let kind = match entry.kind() {
                    FileType::RegularFile => Kind::File,
                    FileType::Directory => Kind::Folder,
                    FileType::Unknown => disk.stat_name(&fd, name)?.meta.kind,
                    _ => Kind::Other,
                };
                sync_tree(disk, &fd, name, kind)?;
            }
            sync_folder(disk, &fd)
        }
        // A link or device has no contents of its own.
        Kind::Link | Kind::Other => Ok(()),
    }
}

/// See [`crate::Store::flush`].
pub(super) fn flush<D: Disk>(store: &DiskStore<D>, path: &RelPath) -> Result<(), StoreError> {
    let place = flushed(store, path)?;
    sync_folder(&store.disk, &place.folder).map_err(|errno| StoreError::from_errno("flush", path, errno))?;
    store.flush_above("flush", path)
}

/// Flushes contents, not yet the name; returns where it lies.
fn flushed<D: Disk>(store: &DiskStore<D>, path: &RelPath) -> Result<Place<D>, StoreError> {
    let disk = &store.disk;
    const ACTION: &str = "flush";
    let place = store.place(ACTION, path)?;
    let synced = place.stat(disk).and_then(|meta| sync_tree(disk, &place.folder, &place.name, meta.kind));
    synced.map_err(|errno| StoreError::from_errno(ACTION, path, errno))?;
    Ok(place)
}

/// See [`crate::Store::flush_all`]: contents side by side, then each folder once.
pub(super) fn flush_all<D: Disk>(store: &DiskStore<D>, paths: &[RelPath]) -> Vec<Result<(), StoreError>> {
    let places = side_by_side(D::FLUSHES_AT_ONCE, paths.len(), &|index| flushed(store, &paths[index]));
    let mut folders: BTreeMap<RelPath, D::Handle> = BTreeMap::new();
    let mut results: Vec<Result<(), StoreError>> = Vec::with_capacity(paths.len());
    for (path, place) in paths.iter().zip(places) {
        results.push(place.map(|place| {
            folders.entry(path.parent()).or_insert(place.folder);
        }));
    }
    let failed = sync_folders(&store.disk, &folders);
    for (path, result) in paths.iter().zip(&mut results) {
        if let Some(errno) = failed.get(&path.parent()) {
            *result = Err(StoreError::from_errno("flush", path, *errno));
        } else if result.is_ok() {
            *result = store.flush_above("flush", path);
        }
    }
    results
}

/// Flushes folders; returns those that could not be.
fn sync_folders<'a, D: Disk>(disk: &D, folders: &'a BTreeMap<RelPath, D::Handle>) -> BTreeMap<&'a RelPath, Errno> {
    folders.iter().filter_map(|(path, fd)| sync_folder(disk, fd).err().map(|errno| (path, errno))).collect()
}

/// Opens a staged file's place and flushes its contents.
fn staged_and_synced<D: Disk>(store: &DiskStore<D>, staged: &RelPath) -> Result<Place<D>, StoreError> {
    if !is_staged(staged, 1) {
        return Err(StoreError::Confined { action: ACTION, path: staged.clone() });
    }
    let fail = |errno| StoreError::from_errno(ACTION, staged, errno);
    let from = store.place(ACTION, staged)?;
    let kind = from.stat(&store.disk).map_err(fail)?.kind;
    sync_tree(&store.disk, &from.folder, &from.name, kind).map_err(fail)?;
    Ok(from)
}

/// Turns an error of a rename into the words of the store.
fn rename_failed(action: &'static str, target: &RelPath, errno: Errno) -> StoreError {
    match errno {
        Errno::XDEV => {
            StoreError::NotSupported { action, path: target.clone(), what: "a rename cannot reach another file system" }
        }
        // The new name lies below the old one.
        Errno::INVAL => {
            StoreError::NotSupported { action, path: target.clone(), what: "a folder cannot move into itself" }
        }
        errno => StoreError::from_errno(action, target, errno),
    }
}

/// See [`crate::Store::publish`].
pub(super) fn one<D: Disk>(
    store: &DiskStore<D>,
    staged: &RelPath,
    target: &RelPath,
    how: Publish<'_>,
) -> Result<Meta, StoreError> {
    let fail = |errno| StoreError::from_errno(ACTION, target, errno);
    let disk = &store.disk;
    let from = staged_and_synced(store, staged)?;
    let to = store.place_made(ACTION, target, true)?;
    match how {
        Publish::NoReplace => {
            rename_no_replace(&store.disk, &from, &to).map_err(|errno| rename_failed(ACTION, target, errno))?;
        }
        Publish::Replace { expected, old: OldContent::Drop } => {
            exchange(disk, target, &from, &to, expected)?;
            // The staged name now holds what was replaced.
            sync_folder(disk, &to.folder).map_err(fail)?;
            remove::tree(disk, &from.folder, &from.name, &mut 0).map_err(fail)?;
        }
        Publish::Replace { expected, old } => {
            // Exchanged from a place in the trash, the old content lies there from the moment on at which it is replaced.
            as_expected(disk, target, &to, expected)?;
            let aside = remove::set_aside(store, ACTION, target, &from, old)?;
            if let Err(error) = exchange(disk, target, &aside, &to, expected) {
                // What was refused stays staged, unless it is the old content that lies there all the same.
                if aside.stat(disk).is_ok_and(|meta| !expected.same_version(&meta)) {
                    let _ = rename_no_replace(disk, &aside, &from);
                }
                return Err(error);
            }
            sync_folder(disk, &aside.folder).map_err(fail)?;
        }
    }
    sync_folder(disk, &to.folder).map_err(fail)?;
    sync_folder(disk, &from.folder).map_err(fail)?;
    to.stat(disk).map_err(fail)
}

/// Fails if what has the final name is not the version that is to be replaced.
fn as_expected<D: Disk>(disk: &D, target: &RelPath, to: &Place<D>, expected: &Meta) -> Result<(), StoreError> {
    let present = to.stat(disk).map_err(|errno| rename_failed(ACTION, target, errno))?;
    match expected.difference(&present) {
        Some(what) => Err(StoreError::NotAsExpected { action: ACTION, path: target.clone(), what }),
        None => Ok(()),
    }
}

/// Swaps the staged file with the one under the final name, provided that it is the expected version.
fn exchange<D: Disk>(
    disk: &D,
    target: &RelPath,
    from: &Place<D>,
    to: &Place<D>,
    expected: &Meta,
) -> Result<(), StoreError> {
    let failed = |errno| rename_failed(ACTION, target, errno);
    as_expected(disk, target, to, expected)?;
    let swap = || disk.rename(from.named(), to.named(), RenameFlags::EXCHANGE);
    match swap() {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        other => {
            other.map_err(failed)?;
            let out = from.stat(disk).map_err(failed)?;
            if let Some(what) = expected.difference(&out) {
                // Somebody replaced it after the look: swap back, theirs is not ours to remove.
                swap().map_err(failed)?;
                return Err(StoreError::NotAsExpected { action: ACTION, path: target.clone(), what });
            }
            return Ok(());
        }
    }
    // Without an exchange the old content first gets a second name, so that it can still go to the trash.
    let aside = loop {
        let aside = small::temporary_name(disk);
        match disk.link(to.named(), (&from.folder, &aside)) {
            // Left by a process of the same number that was killed.
            Err(Errno::EXIST) => {}
            other => break other.map(|()| aside).map_err(failed)?,
        }
    };
    let aside = (&from.folder, &aside[..]);
    disk.rename(from.named(), to.named(), RenameFlags::empty()).map_err(failed)?;
    disk.rename(aside, from.named(), RenameFlags::empty()).map_err(failed)
}

/// Renames without replacing and flushes both folders.
pub(super) fn rename_durably<D: Disk>(
    store: &DiskStore<D>,
    action: &'static str,
    from: &RelPath,
    to: &RelPath,
) -> Result<(), StoreError> {
    let disk = &store.disk;
    let old = store.place(action, from)?;
    old.stat(disk).map_err(|errno| StoreError::from_errno(action, from, errno))?;
    let new = store.place_made(action, to, true)?;
    rename_no_replace(disk, &old, &new).map_err(|errno| rename_failed(action, to, errno))?;
    sync_folder(disk, &new.folder)
        .and_then(|()| sync_folder(disk, &old.folder))
        .map_err(|errno| StoreError::from_errno(action, to, errno))
}

/// See [`crate::Store::publish_all`]: all files are flushed side by side, then renamed, then each folder once.
pub(super) fn many<D: Disk>(store: &DiskStore<D>, files: &[(RelPath, RelPath)]) -> Vec<Result<Meta, StoreError>> {
    let mut synced = side_by_side(D::FLUSHES_AT_ONCE, files.len(), &|index| staged_and_synced(store, &files[index].0));
    let mut folders: BTreeMap<RelPath, D::Handle> = BTreeMap::new();
    let mut results = Vec::with_capacity(files.len());
    for ((staged, target), from) in files.iter().zip(synced.drain(..)) {
        results.push(from.and_then(|from| {
            let to = store.place_made(ACTION, target, true)?;
            rename_no_replace(&store.disk, &from, &to).map_err(|errno| rename_failed(ACTION, target, errno))?;
            let meta = to.stat(&store.disk).map_err(|errno| StoreError::from_errno(ACTION, target, errno))?;
            folders.entry(target.parent()).or_insert(to.folder);
            folders.entry(staged.parent()).or_insert(from.folder);
            Ok(meta)
        }));
    }
    let failed = sync_folders(&store.disk, &folders);
    for ((_, target), result) in files.iter().zip(&mut results) {
        if let Some(errno) = failed.get(&target.parent()) {
            *result = Err(StoreError::from_errno(ACTION, target, *errno));
        }
    }
    results
}

/// Does `count` pieces of work, each a flush, by several threads: the file system then commits many at once.
fn side_by_side<T: Send>(threads: usize, count: usize, work: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    if count < 2 || threads < 2 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return done;
            }
            done.push((index, work(index)));
        }
    };
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..threads.min(count)).map(|_| scope.spawn(take)).collect();
        let mut all = take();
        for thread in threads {
            match thread.join() {
                Ok(part) => all.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, done)| done).collect()
}
