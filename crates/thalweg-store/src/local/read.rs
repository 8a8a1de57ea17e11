//! Reading a file as one unchanged version.

use std::io::{self, Read};
use std::ops::Range;

use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use thalweg_core::RelPath;

use super::{DiskStore, Place};
use crate::disk::Disk;
use crate::{Kind, Meta, ReadStable, StoreError};

const ACTION: &str = "read";

/// An open file; reads at its own position, so that looking for holes does not disturb it.
struct LocalRead<D: Disk> {
    disk: D,
    file: D::Handle,
    place: Place<D>,
    path: RelPath,
    opened: Meta,
    dense: bool,
    at: u64,
}

/// Opens a regular file; `uncached` first asks the kernel to forget what it holds of it.
pub(super) fn open<D: Disk>(
    store: &DiskStore<D>,
    path: &RelPath,
    uncached: bool,
) -> Result<Box<dyn ReadStable>, StoreError> {
    let disk = &store.disk;
    let place = store.place(ACTION, path)?;
    let fail = |errno| StoreError::from_errno(ACTION, path, errno);
    // Opening a device or pipe can have effects of its own, so the kind is looked at before.
    if place.stat(disk).map_err(fail)?.kind != Kind::File {
        return Err(StoreError::NotSupported { action: ACTION, path: path.clone(), what: "it is not a regular file" });
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = |flags| disk.open(&place.folder, &place.name, flags, Mode::empty());
    // Only the owner may leave the access time alone.
    let file = match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        other => other,
    }
    .map_err(fail)?;
    let facts = disk.stat(&file).map_err(fail)?;
    let opened = facts.meta;
    if opened.kind != Kind::File {
        return Err(StoreError::NotSupported { action: ACTION, path: path.clone(), what: "it is not a regular file" });
    }
    if uncached {
        // Advice only: memory file systems have nowhere else to read from.
        let _ = disk.forget_cached(&file);
    }
    let dense = facts.taken >= opened.size;
    Ok(Box::new(LocalRead { disk: disk.clone(), file, place, path: path.clone(), opened, dense, at: 0 }))
}

impl<D: Disk> Read for LocalRead<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.disk.read_at(&self.file, buffer, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

impl<D: Disk> ReadStable for LocalRead<D> {
    fn opened(&self) -> &Meta {
        &self.opened
    }

    fn data_after(&mut self, from: u64) -> Result<Option<Range<u64>>, StoreError> {
        let size = self.opened.size;
        if from >= size {
            return Ok(None);
        }
        if self.dense {
            return Ok(Some(from..size));
        }
        match self.disk.seek(&self.file, SeekFrom::Data(from)) {
            Err(Errno::NXIO) => Ok(None),
            Err(Errno::INVAL | Errno::NOTSUP) => {
                self.dense = true;
                Ok(Some(from..size))
            }
            Err(errno) => Err(StoreError::from_errno(ACTION, &self.path, errno)),
            Ok(start) if start >= size => Ok(None),
            Ok(start) => {
                let end = self
                    .disk
                    .seek(&self.file, SeekFrom::Hole(start))
                    .map_err(|errno| StoreError::from_errno(ACTION, &self.path, errno))?;
                Ok(Some(start..end.clamp(start + 1, size)))
            }
        }
    }

    fn seek_to(&mut self, at: u64) -> Result<(), StoreError> {
        self.at = at;
        Ok(())
    }

    fn finish(self: Box<Self>, read: u64) -> Result<Meta, StoreError> {
        let changed = |what| StoreError::ChangedWhileReading { action: ACTION, path: self.path.clone(), what };
        let facts = self.disk.stat(&self.file).map_err(|errno| StoreError::from_errno(ACTION, &self.path, errno))?;
        let now = facts.meta;
        if let Some(what) = self.opened.difference(&now) {
            return Err(changed(what));
        }
        if read != self.opened.size {
            return Err(changed(format!("length read {read} of {} bytes", self.opened.size)));
        }
        match self.place.stat(&self.disk) {
            Ok(named) => match self.opened.difference(&named) {
                Some(what) => Err(changed(what)),
                None => Ok(named),
            },
            // Removed while open: what was read is still one whole version.
            Err(Errno::NOENT) => Ok(now),
            Err(errno) => Err(StoreError::from_errno(ACTION, &self.path, errno)),
        }
    }
}
