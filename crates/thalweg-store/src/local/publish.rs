//! Giving finished contents their final name.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use thalweg_core::RelPath;

use super::staging::is_staged;
use super::{LocalStore, Place, remove, sync_folder};
use crate::{Kind, Meta, Publish, StoreError};

const ACTION: &str = "publish";

/// Flushes that run at the same time, so that the file system can join them.
const PARALLEL_FLUSHES: usize = 16;

/// Renames; fails with `EXIST` if the new name is taken.
pub(super) fn rename_no_replace(from: &Place, to: &Place) -> Result<(), Errno> {
    let (old, new) = (&from.name[..], &to.name[..]);
    match rustix::fs::renameat_with(&from.folder, old, &to.folder, new, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        other => return other,
    }
    // A file system without that flag, e.g. NFS: a second name is as good, being refused where one exists.
    match rustix::fs::linkat(&from.folder, old, &to.folder, new, AtFlags::empty()) {
        Ok(()) => return rustix::fs::unlinkat(&from.folder, old, AtFlags::empty()),
        Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS) => {}
        Err(errno) => return Err(errno),
    }
    // Folders, and file systems without second names: the one case with a gap between look and act.
    match to.stat() {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => rustix::fs::renameat(&from.folder, old, &to.folder, new),
        Err(errno) => Err(errno),
    }
}

/// Flushes a file, or a folder with all below it.
fn sync_tree(folder: &OwnedFd, name: &[u8], kind: Kind) -> Result<(), Errno> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match kind {
        Kind::File => {
            let fd = match rustix::fs::openat(folder, name, flags | OFlags::RDONLY, Mode::empty()) {
                Err(Errno::ACCESS) => rustix::fs::openat(folder, name, flags | OFlags::WRONLY, Mode::empty()),
                other => other,
            }?;
            rustix::fs::fsync(&fd)
        }
        Kind::Folder => {
            let fd = rustix::fs::openat(folder, name, flags | OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            let mut entries = Dir::read_from(&fd)?;
            while let Some(entry) = entries.read() {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if matches!(name, b"." | b"..") {
                    continue;
                }
                let kind = match entry.file_type() {
                    FileType::RegularFile => Kind::File,
                    FileType::Directory => Kind::Folder,
                    FileType::Unknown => {
                        Place { folder: fd.try_clone().map_err(|_| Errno::MFILE)?, name: name.to_vec() }.stat()?.kind
                    }
                    _ => Kind::Other,
                };
                sync_tree(&fd, name, kind)?;
            }
            sync_folder(&fd)
        }
        // A link or device has no contents of its own.
        Kind::Link | Kind::Other => Ok(()),
    }
}

/// See [`crate::Store::flush`].
pub(super) fn flush(store: &LocalStore, path: &RelPath) -> Result<(), StoreError> {
    let place = flushed(store, path)?;
    sync_folder(&place.folder).map_err(|errno| StoreError::from_errno("flush", path, errno))
}

/// Flushes contents, not yet the name; returns where it lies.
fn flushed(store: &LocalStore, path: &RelPath) -> Result<Place, StoreError> {
    const ACTION: &str = "flush";
    let place = store.place(ACTION, path)?;
    let synced = place.stat().and_then(|meta| sync_tree(&place.folder, &place.name, meta.kind));
    synced.map_err(|errno| StoreError::from_errno(ACTION, path, errno))?;
    Ok(place)
}

/// See [`crate::Store::flush_all`]: contents side by side, then each folder once.
pub(super) fn flush_all(store: &LocalStore, paths: &[RelPath]) -> Vec<Result<(), StoreError>> {
    let places = side_by_side(paths.len(), &|index| flushed(store, &paths[index]));
    let mut folders: BTreeMap<RelPath, OwnedFd> = BTreeMap::new();
    let mut results: Vec<Result<(), StoreError>> = Vec::with_capacity(paths.len());
    for (path, place) in paths.iter().zip(places) {
        results.push(place.map(|place| {
            folders.entry(path.parent()).or_insert(place.folder);
        }));
    }
    let failed = sync_folders(&folders);
    for (path, result) in paths.iter().zip(&mut results) {
        if let Some(errno) = failed.get(&path.parent()) {
            *result = Err(StoreError::from_errno("flush", path, *errno));
        }
    }
    results
}

/// Flushes folders; returns those that could not be.
fn sync_folders(folders: &BTreeMap<RelPath, OwnedFd>) -> BTreeMap<&RelPath, Errno> {
    folders.iter().filter_map(|(path, fd)| sync_folder(fd).err().map(|errno| (path, errno))).collect()
}

/// Opens a staged file's place and flushes its contents.
fn staged_and_synced(store: &LocalStore, staged: &RelPath) -> Result<Place, StoreError> {
    if !is_staged(staged, 1) {
        return Err(StoreError::Confined { action: ACTION, path: staged.clone() });
    }
    let fail = |errno| StoreError::from_errno(ACTION, staged, errno);
    let from = store.place(ACTION, staged)?;
    let kind = from.stat().map_err(fail)?.kind;
    sync_tree(&from.folder, &from.name, kind).map_err(fail)?;
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
pub(super) fn one(
    store: &LocalStore,
    staged: &RelPath,
    target: &RelPath,
    how: Publish<'_>,
) -> Result<Meta, StoreError> {
    let fail = |errno| StoreError::from_errno(ACTION, target, errno);
    let from = staged_and_synced(store, staged)?;
    let to = store.place_made(ACTION, target, true)?;
    match how {
        Publish::NoReplace => {
            rename_no_replace(&from, &to).map_err(|errno| rename_failed(ACTION, target, errno))?;
        }
        Publish::Replace { expected, old } => {
            exchange(target, &from, &to, expected)?;
            sync_folder(&to.folder).map_err(fail)?;
            // The staged name now holds what was replaced.
            remove::dispose(store, ACTION, target, &from, old)?;
        }
    }
    sync_folder(&to.folder).map_err(fail)?;
    sync_folder(&from.folder).map_err(fail)?;
    to.stat().map_err(fail)
}

/// Swaps the staged file with the one under the final name, provided that it is the expected version.
fn exchange(target: &RelPath, from: &Place, to: &Place, expected: &Meta) -> Result<(), StoreError> {
    let differs = |what| StoreError::NotAsExpected { action: ACTION, path: target.clone(), what };
    let failed = |errno| rename_failed(ACTION, target, errno);
    let present = to.stat().map_err(failed)?;
    if let Some(what) = expected.difference(&present) {
        return Err(differs(what));
    }
    let swap =
        || rustix::fs::renameat_with(&from.folder, &from.name[..], &to.folder, &to.name[..], RenameFlags::EXCHANGE);
    match swap() {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        other => {
            other.map_err(failed)?;
            let out = from.stat().map_err(failed)?;
            if let Some(what) = expected.difference(&out) {
                // Somebody replaced it after the look: swap back, theirs is not ours to remove.
                swap().map_err(failed)?;
                return Err(differs(what));
            }
            return Ok(());
        }
    }
    // Without an exchange the old content first gets a second name, so that it can still go to the trash.
    let aside = Place {
        folder: from.folder.try_clone().map_err(|_| failed(Errno::MFILE))?,
        name: crate::atomic::temporary_name(),
    };
    rustix::fs::linkat(&to.folder, &to.name[..], &aside.folder, &aside.name[..], AtFlags::empty()).map_err(failed)?;
    rustix::fs::renameat(&from.folder, &from.name[..], &to.folder, &to.name[..]).map_err(failed)?;
    rustix::fs::renameat(&aside.folder, &aside.name[..], &from.folder, &from.name[..]).map_err(failed)
}

/// Renames without replacing and flushes both folders.
pub(super) fn rename_durably(
    store: &LocalStore,
    action: &'static str,
    from: &RelPath,
    to: &RelPath,
) -> Result<(), StoreError> {
    let old = store.place(action, from)?;
    old.stat().map_err(|errno| StoreError::from_errno(action, from, errno))?;
    let new = store.place_made(action, to, true)?;
    rename_no_replace(&old, &new).map_err(|errno| rename_failed(action, to, errno))?;
    sync_folder(&new.folder)
        .and_then(|()| sync_folder(&old.folder))
        .map_err(|errno| StoreError::from_errno(action, to, errno))
}

/// See [`crate::Store::publish_all`]: all files are flushed side by side, then renamed, then each folder once.
pub(super) fn many(store: &LocalStore, files: &[(RelPath, RelPath)]) -> Vec<Result<Meta, StoreError>> {
    let mut synced = side_by_side(files.len(), &|index| staged_and_synced(store, &files[index].0));
    let mut folders: BTreeMap<RelPath, OwnedFd> = BTreeMap::new();
    let mut results = Vec::with_capacity(files.len());
    for ((staged, target), from) in files.iter().zip(synced.drain(..)) {
        results.push(from.and_then(|from| {
            let to = store.place_made(ACTION, target, true)?;
            rename_no_replace(&from, &to).map_err(|errno| rename_failed(ACTION, target, errno))?;
            let meta = to.stat().map_err(|errno| StoreError::from_errno(ACTION, target, errno))?;
            folders.entry(target.parent()).or_insert(to.folder);
            folders.entry(staged.parent()).or_insert(from.folder);
            Ok(meta)
        }));
    }
    let failed = sync_folders(&folders);
    for ((_, target), result) in files.iter().zip(&mut results) {
        if let Some(errno) = failed.get(&target.parent()) {
            *result = Err(StoreError::from_errno(ACTION, target, *errno));
        }
    }
    results
}

/// Does `count` pieces of work, each a flush, by several threads: the file system then commits many at once.
fn side_by_side<T: Send>(count: usize, work: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    if count < 2 {
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
        let threads: Vec<_> = (1..PARALLEL_FLUSHES.min(count)).map(|_| scope.spawn(take)).collect();
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
