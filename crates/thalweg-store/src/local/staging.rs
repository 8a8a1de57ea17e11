//! The folders and files in which contents are made before they are published.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use thalweg_core::RelPath;

use super::{DiskStore, confine, mtime_only, remove};
use crate::disk::{Disk, write_all_at};
use crate::{Kind, Meta, STAGING, StoreError, WriteStaged};

/// Files smaller than this are written without reserving their space before.
const RESERVE_FROM: u64 = 1 << 20;

/// Tells if a text can stand as a folder's name in staging or trash.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Tells if a path lies below the staging folder of a task, `depth` parts below it at least.
pub(crate) fn is_staged(path: &RelPath, depth: usize) -> bool {
    let mut parts = path.as_str().split('/');
    parts.by_ref().any(|part| part == STAGING) && parts.count() > depth
}

/// Returns the topmost folder below the root, or the root, from which a rename can reach `target`.
pub(super) fn base_for<D: Disk>(
    store: &DiskStore<D>,
    action: &'static str,
    target: &RelPath,
) -> Result<RelPath, StoreError> {
    let disk = &store.disk;
    let bytes = confine::checked(action, target)?;
    let fail = |errno| StoreError::from_errno(action, target, errno);
    let mut folder = store.enter()?;
    let mut mount = disk.mount(&folder).map_err(fail)?;
    let mut base = 0;
    let (parent, _) = confine::split(&bytes);
    let mut end = 0;
    if parent.is_empty() {
        return Ok(RelPath::default());
    }
    for part in parent.split(|&b| b == b'/') {
        end += part.len() + usize::from(end > 0);
        folder = match confine::open_folder(disk, &folder, part) {
            Err(Errno::NOENT) => break,
            other => other.map_err(fail)?,
        };
        let here = disk.mount(&folder).map_err(fail)?;
        if here != mount {
            mount = here;
            base = end;
        }
    }
    Ok(RelPath::from_bytes(&bytes[..base]))
}

/// See [`crate::Store::staging`].
pub(super) fn folder<D: Disk>(store: &DiskStore<D>, task_id: &str, target: &RelPath) -> Result<RelPath, StoreError> {
    const ACTION: &str = "make the staging folder for";
    if !is_plain_name(task_id) {
        return Err(StoreError::BadName { action: ACTION, path: RelPath::from_bytes(task_id.as_bytes()) });
    }
    let path = base_for(store, ACTION, target)?.join(STAGING).join(task_id);
    let place = store.place_made(ACTION, &path, false)?;
    match store.disk.make_folder(&place.folder, &place.name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => Ok(path),
        Err(errno) => Err(StoreError::from_errno(ACTION, &path, errno)),
    }
}

/// See [`crate::Store::discard_staging`].
pub(super) fn discard<D: Disk>(store: &DiskStore<D>, staging: &RelPath) -> Result<(), StoreError> {
    const ACTION: &str = "discard";
    if !is_staged(staging, 0) {
        return Err(StoreError::Confined { action: ACTION, path: staging.clone() });
    }
    let place = match store.place(ACTION, staging) {
        Err(StoreError::NotFound { .. }) => return Ok(()),
        other => other?,
    };
    // Nearly always it is empty by now.
    match store.disk.remove_folder(&place.folder, &place.name) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(_) => remove::tree(&store.disk, &place.folder, &place.name, &mut 0)
            .map_err(|errno| StoreError::from_errno(ACTION, staging, errno)),
    }
}

/// A file that is being written.
struct LocalWrite<D: Disk> {
    disk: D,
    file: D::Handle,
    path: RelPath,
    at: u64,
    ends_in_hole: bool,
}

/// See [`crate::Store::write_staged`].
pub(super) fn write<D: Disk>(
    store: &DiskStore<D>,
    path: &RelPath,
    from: u64,
    reserve: u64,
) -> Result<Box<dyn WriteStaged>, StoreError> {
    const ACTION: &str = "write";
    if !is_staged(path, 1) {
        return Err(StoreError::Confined { action: ACTION, path: path.clone() });
    }
    let fail = |errno| StoreError::from_errno(ACTION, path, errno);
    let disk = &store.disk;
    let place = store.place_made(ACTION, path, false)?;
    let mut flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if from == 0 {
        flags |= OFlags::CREATE | OFlags::TRUNC;
    }
    let file = disk.open(&place.folder, &place.name, flags, Mode::from_raw_mode(0o666)).map_err(fail)?;
    if from > 0 {
        let meta = disk.stat(&file).map_err(fail)?.meta;
        if meta.kind != Kind::File || meta.size < from {
            let what = format!("{} bytes are there, {from} were to be kept", meta.size);
            return Err(StoreError::NotAsExpected { action: ACTION, path: path.clone(), what });
        }
        disk.set_size(&file, from).map_err(fail)?;
    }
    if reserve >= RESERVE_FROM {
        // Every other error means that this file system cannot reserve.
        let reserved = disk.reserve(&file, reserve);
        if let Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) = reserved {
            // Give back what the attempt took.
            let _ = disk.set_size(&file, from);
            return Err(fail(errno));
        }
    }
    Ok(Box::new(LocalWrite { disk: disk.clone(), file, path: path.clone(), at: from, ends_in_hole: false }))
}

impl<D: Disk> LocalWrite<D> {
    fn fail(&self, errno: Errno) -> StoreError {
        StoreError::from_errno("write", &self.path, errno)
    }

    /// Gives a file that ends in a hole its length.
    fn settle_length(&mut self) -> Result<(), StoreError> {
        if self.ends_in_hole {
            self.disk.set_size(&self.file, self.at).map_err(|errno| self.fail(errno))?;
            self.ends_in_hole = false;
        }
        Ok(())
    }
}

impl<D: Disk> WriteStaged for LocalWrite<D> {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.is_empty() {
            return Ok(());
        }
        write_all_at(&self.disk, &self.file, bytes, self.at).map_err(|errno| self.fail(errno))?;
        self.at += bytes.len() as u64;
        self.ends_in_hole = false;
        Ok(())
    }

    fn append_hole(&mut self, length: u64) -> Result<(), StoreError> {
        self.at = self.at.saturating_add(length);
        self.ends_in_hole |= length > 0;
        Ok(())
    }

    fn flush_to_medium(&mut self) -> Result<(), StoreError> {
        self.settle_length()?;
        self.disk.sync_data(&self.file).map_err(|errno| self.fail(errno))
    }

    fn finish(mut self: Box<Self>, mtime_ns: Option<i64>, mode: Option<u32>) -> Result<Meta, StoreError> {
        self.settle_length()?;
        let fail = |errno| StoreError::from_errno("write", &self.path, errno);
        if let Some(mode) = mode {
            self.disk.set_mode(&self.file, Mode::from_raw_mode(mode & 0o7777)).map_err(fail)?;
        }
        if let Some(mtime_ns) = mtime_ns {
            self.disk.set_times(&self.file, &mtime_only(mtime_ns)).map_err(fail)?;
        }
        Ok(self.disk.stat(&self.file).map_err(fail)?.meta)
    }
}
