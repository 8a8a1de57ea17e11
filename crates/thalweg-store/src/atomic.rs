//! The house way of writing a small file outside any store.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::io::Errno;
use thalweg_core::RelPath;

use crate::StoreError;
use crate::disk::{Disk, OsDisk};

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
        .map_err(|errno| StoreError::from_errno("write", &RelPath::from_bytes(path.as_os_str().as_bytes()), errno))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Errno> {
    let name = path.file_name().ok_or(Errno::ISDIR)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = OsDisk.open_root(folder)?;
    crate::local::replace_small(&OsDisk, &folder, name.as_bytes(), bytes)
}
