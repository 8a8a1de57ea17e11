//! Removing exactly the file that was meant.

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use thalweg_core::RelPath;

use super::publish::rename_no_replace;
use super::staging::{base_for, is_plain_name};
use super::{DiskStore, Place};
use crate::disk::{Disk, Entries, Listed};
use crate::{DROPPED, Meta, OldContent, StoreError, TRASH};

/// Removes a name and, if it is a folder, all below it; counts the files.
pub(super) fn tree<D: Disk>(disk: &D, folder: &D::Handle, name: &[u8], files: &mut u64) -> Result<(), Errno> {
    match disk.unlink(folder, name) {
        Ok(()) => {
            *files += 1;
            return Ok(());
        }
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = disk.open(folder, name, flags, Mode::empty())?;
    let mut entries = disk.entries(&fd)?;
    while let Some(entry) = entries.next_entry() {
        let entry = entry?;
        if !matches!(entry.name().to_bytes(), b"." | b"..") {
            tree(disk, &fd, entry.name().to_bytes(), files)?;
        }
    }
    match disk.remove_folder(folder, name) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Opens a place in the trash to which `path` can be renamed.
///
/// What is to be kept must be found there after a power cut, so its folders are made durably.
fn trash_place<D: Disk>(
    store: &DiskStore<D>,
    action: &'static str,
    path: &RelPath,
    old: OldContent<'_>,
) -> Result<Place<D>, StoreError> {
    let base = base_for(store, action, path)?;
    let trash = base.join(TRASH);
    let (process, number) = store.disk.unique();
    let unique = format!("{process}-{number}");
    let (to, durable) = match old {
        OldContent::Drop => (base.join(DROPPED).join(&unique), false),
        OldContent::Trash { day } => {
            if !is_plain_name(day) {
                return Err(StoreError::BadName { action, path: RelPath::from_bytes(day.as_bytes()) });
            }
            let plain = trash.join(day).join(path.as_str());
            let place = store.place_made(action, &plain, true)?;
            if matches!(place.stat(&store.disk), Err(Errno::NOENT)) {
                return Ok(place);
            }
            // The same name was removed before on that day.
            (trash.join(day).join(&unique).join(path.as_str()), true)
        }
    };
    store.place_made(action, &to, durable)
}

/// Moves what has a name to a place in the trash that nothing has yet.
pub(super) fn set_aside<D: Disk>(
    store: &DiskStore<D>,
    action: &'static str,
    path: &RelPath,
    from: &Place<D>,
    old: OldContent<'_>,
) -> Result<Place<D>, StoreError> {
    loop {
        let aside = trash_place(store, action, path, old)?;
        match rename_no_replace(&store.disk, from, &aside) {
            Ok(()) => return Ok(aside),
            // Left by a process of the same number that was killed; the next place has another number.
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(StoreError::from_errno(action, path, errno)),
        }
    }
}

/// See [`crate::Store::remove_verified`].
pub(super) fn verified<D: Disk>(
    store: &DiskStore<D>,
    path: &RelPath,
    expected: &Meta,
    old: OldContent<'_>,
) -> Result<(), StoreError> {
    const ACTION: &str = "remove";
    let fail = |errno| StoreError::from_errno(ACTION, path, errno);
    let differs = |what| StoreError::NotAsExpected { action: ACTION, path: path.clone(), what };
    let from = store.place(ACTION, path)?;
    if let Some(what) = expected.difference(&from.stat(&store.disk).map_err(fail)?) {
        return Err(differs(what));
    }
    let aside = set_aside(store, ACTION, path, &from, old)?;
    // Only now nobody else can put another file under the name that is about to go.
    let moved = aside.stat(&store.disk).map_err(fail)?;
    if let Some(what) = expected.difference(&moved) {
        rename_no_replace(&store.disk, &aside, &from).map_err(fail)?;
        return Err(differs(what));
    }
    match old {
        OldContent::Drop => tree(&store.disk, &aside.folder, &aside.name, &mut 0).map_err(fail),
        OldContent::Trash { .. } => Ok(()),
    }
}

/// See [`crate::Store::empty_trash`].
pub(super) fn empty_trash<D: Disk>(store: &DiskStore<D>, is_over: &dyn Fn(&str) -> bool) -> Result<u64, StoreError> {
    let trash = RelPath::from_text(TRASH);
    let fail = |errno| StoreError::from_errno("empty the trash", &trash, errno);
    let disk = &store.disk;
    let root = store.enter()?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match disk.open(&root, TRASH.as_bytes(), flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(0),
        other => other.map_err(fail)?,
    };
    let mut files = 0;
    let mut entries = disk.entries(&fd).map_err(fail)?;
    while let Some(entry) = entries.next_entry() {
        let entry = entry.map_err(fail)?;
        let name = entry.name();
        let is_folder = matches!(entry.kind(), FileType::Directory | FileType::Unknown);
        if is_folder && name.to_str().is_ok_and(|day| is_plain_name(day) && is_over(day)) {
            tree(disk, &fd, name.to_bytes(), &mut files).map_err(fail)?;
        }
    }
    Ok(files)
}
