//! Removing exactly the file that was meant.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use thalweg_core::RelPath;

use super::publish::rename_no_replace;
use super::staging::{base_for, is_plain_name};
use super::{LocalStore, Place};
use crate::{Meta, OldContent, StoreError, TRASH};

/// Folder in the trash for files that are unlinked as soon as they are proven; left full only by a crash.
const DROPPED: &str = "dropped";

/// Tells apart the files that this process drops at the same time.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Removes a name and, if it is a folder, all below it; counts the files.
pub(super) fn tree(folder: &OwnedFd, name: &[u8], files: &mut u64) -> Result<(), Errno> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => {
            *files += 1;
            return Ok(());
        }
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    let mut entries = Dir::read_from(&fd)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            tree(&fd, entry.file_name().to_bytes(), files)?;
        }
    }
    match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Opens a place in the trash to which `path` can be renamed; `None` in `day` asks for a private one.
fn trash_place(
    store: &LocalStore,
    action: &'static str,
    path: &RelPath,
    old: OldContent<'_>,
) -> Result<Place, StoreError> {
    let trash = base_for(store, action, path)?.join(TRASH);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let unique = format!("{}-{number}", std::process::id());
    let to = match old {
        OldContent::Drop => trash.join(DROPPED).join(&unique),
        OldContent::Trash { day } => {
            if !is_plain_name(day) {
                return Err(StoreError::BadName { action, path: RelPath::from_bytes(day.as_bytes()) });
            }
            let plain = trash.join(day).join(path.as_str());
            let place = store.place_made(action, &plain, false)?;
            if place.stat() == Err(Errno::NOENT) {
                return Ok(place);
            }
            // The same name was removed before on that day.
            trash.join(day).join(&unique).join(path.as_str())
        }
    };
    store.place_made(action, &to, false)
}

/// Takes care of content that is no longer wanted and lies in an open folder under a private name.
pub(super) fn dispose(
    store: &LocalStore,
    action: &'static str,
    path: &RelPath,
    from: &Place,
    old: OldContent<'_>,
) -> Result<(), StoreError> {
    let fail = |errno| StoreError::from_errno(action, path, errno);
    match old {
        OldContent::Drop => tree(&from.folder, &from.name, &mut 0).map_err(fail),
        OldContent::Trash { .. } => {
            let to = trash_place(store, action, path, old)?;
            rename_no_replace(from, &to).map_err(fail)
        }
    }
}

/// See [`crate::Store::remove_verified`].
pub(super) fn verified(
    store: &LocalStore,
    path: &RelPath,
    expected: &Meta,
    old: OldContent<'_>,
) -> Result<(), StoreError> {
    const ACTION: &str = "remove";
    let fail = |errno| StoreError::from_errno(ACTION, path, errno);
    let differs = |what| StoreError::NotAsExpected { action: ACTION, path: path.clone(), what };
    let from = store.place(ACTION, path)?;
    if let Some(what) = expected.difference(&from.stat().map_err(fail)?) {
        return Err(differs(what));
    }
    let aside = trash_place(store, ACTION, path, old)?;
    rename_no_replace(&from, &aside).map_err(fail)?;
    // Only now nobody else can put another file under the name that is about to go.
    let moved = aside.stat().map_err(fail)?;
    if let Some(what) = expected.difference(&moved) {
        rename_no_replace(&aside, &from).map_err(fail)?;
        return Err(differs(what));
    }
    match old {
        OldContent::Drop => tree(&aside.folder, &aside.name, &mut 0).map_err(fail),
        OldContent::Trash { .. } => Ok(()),
    }
}

/// See [`crate::Store::empty_trash`]. Files that a crash left half removed are asked for as `dropped`.
pub(super) fn empty_trash(store: &LocalStore, is_over: &dyn Fn(&str) -> bool) -> Result<u64, StoreError> {
    let trash = RelPath::from_text(TRASH);
    let fail = |errno| StoreError::from_errno("empty the trash", &trash, errno);
    let root = store.enter()?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(root.as_fd(), TRASH, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(0),
        other => other.map_err(fail)?,
    };
    let mut files = 0;
    let mut entries = Dir::read_from(&fd).map_err(fail)?;
    while let Some(entry) = entries.read() {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let is_folder = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
        if is_folder && name.to_str().is_ok_and(|day| is_plain_name(day) && is_over(day)) {
            tree(&fd, name.to_bytes(), &mut files).map_err(fail)?;
        }
    }
    Ok(files)
}
