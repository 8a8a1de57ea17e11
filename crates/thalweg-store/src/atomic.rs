//! The house way of writing a small file outside any store.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use thalweg_core::RelPath;

use crate::StoreError;

/// Returns a name that nobody uses at the same time and that every scan ignores.
pub(crate) fn temporary_name() -> Vec<u8> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!(".thalweg-{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)).into_bytes()
}

/// Writes a small file whole, replacing what has the name: no reader ever sees a part of it, and after a power cut
/// either the old or the new content is there.
///
/// The folder must exist; a symbolic link under the name is replaced, not followed.
///
/// # Errors
///
/// Those of writing; the old content is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write(path, bytes)
        .map_err(|error| StoreError::from_io("write", &RelPath::from_bytes(path.as_os_str().as_bytes()), error))
}

#[expect(clippy::disallowed_methods, reason = "this is the house replacement of plain rename")]
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let (temporary, mut file) = loop {
        let temporary = folder.join(OsStr::from_bytes(&temporary_name()));
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            // Left by a process of the same number that was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => break (temporary, other?),
        }
    };
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&temporary, path));
    if let Err(error) = written {
        // If this fails too the name is at least temporary and ignored by every scan.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(folder)?.sync_all()
}
