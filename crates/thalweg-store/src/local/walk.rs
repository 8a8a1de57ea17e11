//! Walking a tree with one open folder at a time.

use std::ops::ControlFlow;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use thalweg_core::RelPath;

use super::{DiskStore, confine};
use crate::disk::{Disk, Entries, Listed};
use crate::{Entry, Kind, StoreError, is_own_folder};

const ACTION: &str = "list";

/// See [`crate::Store::walk`]. Only the names of folders still to be entered are kept.
pub(super) fn walk<D: Disk>(
    store: &DiskStore<D>,
    below: &RelPath,
    filter: &mut dyn FnMut(&RelPath) -> bool,
    visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut pending = vec![below.clone()];
    let mut first = true;
    while let Some(folder) = pending.pop() {
        // The root is entered anew each time: a file system that goes away in the middle is noticed here.
        let flow = match list(store, &folder, filter, visit, &mut pending) {
            Ok(flow) => flow,
            Err(error @ StoreError::Unavailable { .. }) => return Err(error),
            Err(error) if first => return Err(error),
            Err(StoreError::NotFound { .. }) => ControlFlow::Continue(()),
            Err(error) => visit(Entry::Unreadable { path: folder, error }),
        };
        if flow.is_break() {
            return Ok(());
        }
        first = false;
    }
    Ok(())
}

/// Visits what lies in one folder and remembers the folders to enter.
fn list<D: Disk>(
    store: &DiskStore<D>,
    folder: &RelPath,
    filter: &mut dyn FnMut(&RelPath) -> bool,
    visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    pending: &mut Vec<RelPath>,
) -> Result<ControlFlow<()>, StoreError> {
    let fail = |errno| StoreError::from_errno(ACTION, folder, errno);
    let disk = &store.disk;
    let root = store.enter()?;
    let base = if folder.as_str().is_empty() {
        root
    } else {
        let bytes = confine::checked(ACTION, folder)?;
        confine::open_folder(disk, &root, &bytes).map_err(fail)?
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = disk.open(&base, b".", flags, Mode::empty()).map_err(fail)?;
    let before = disk.stat(&fd).map_err(fail)?;
    let mut entries = disk.entries_from(fd).map_err(fail)?;
    while let Some(entry) = entries.next_entry() {
        let entry = match entry {
            // The folder was removed while it was listed.
            Err(Errno::NOENT) => return Ok(ControlFlow::Continue(())),
            other => other.map_err(fail)?,
        };
        let name = entry.name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let path = folder.join(RelPath::from_bytes(name.to_bytes()).as_str());
        let found = match disk.stat_name(&base, name) {
            Err(Errno::NOENT) => continue,
            Err(errno) => {
                let error = StoreError::from_errno("look at", &path, errno);
                Entry::Unreadable { path, error }
            }
            Ok(facts) => {
                let meta = facts.meta;
                if meta.kind == Kind::Folder {
                    if is_own_folder(path.file_name()) {
                        continue;
                    }
                    if filter(&path) {
                        pending.push(path.clone());
                    }
                }
                Entry::Found { path, meta }
            }
        };
        if visit(found).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    let after = disk.stat(&base).map_err(fail)?;
    if after.meta.mtime_ns == before.meta.mtime_ns {
        return Ok(ControlFlow::Continue(()));
    }
    Ok(visit(Entry::Unsettled { path: folder.clone() }))
}
