//! Replacing a small file whole.

use rustix::fs::{Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::sync_folder;
use crate::disk::{Disk, write_all_at};

/// Returns a name that nobody uses at the same time and that every scan ignores.
pub(super) fn temporary_name<D: Disk>(disk: &D) -> Vec<u8> {
    let (process, number) = disk.unique();
    format!(".thalweg-{process}-{number}.tmp").into_bytes()
}

/// Writes a file under a temporary name, flushes it, gives it its name and flushes the folder.
pub(crate) fn replace<D: Disk>(disk: &D, folder: &D::Handle, name: &[u8], bytes: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (temporary, file) = loop {
        let temporary = temporary_name(disk);
        match disk.open(folder, &temporary, flags, Mode::from_raw_mode(0o666)) {
            // Left by a process of the same number that was killed.
            Err(Errno::EXIST) => {}
            other => break (temporary, other?),
        }
    };
    let written = write_all_at(disk, &file, bytes, 0)
        .and_then(|()| disk.sync(&file))
        .and_then(|()| disk.rename((folder, &temporary), (folder, name), RenameFlags::empty()));
    if let Err(errno) = written {
        // Nothing better can be done if this fails too: the name is temporary and ignored by every scan.
        let _ = disk.unlink(folder, &temporary);
        return Err(errno);
    }
    sync_folder(disk, folder)
}
