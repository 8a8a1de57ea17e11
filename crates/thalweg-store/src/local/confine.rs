//! Opening folders below a root without ever leaving it.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use thalweg_core::RelPath;

use crate::disk::Disk;
use crate::{Kind, StoreError};

const FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// Returns the bytes of a path after making sure that none of its parts leads out of the root.
///
/// The check is on the bytes, because the escaped text of a path can spell any byte.
pub(crate) fn checked(action: &'static str, path: &RelPath) -> Result<Vec<u8>, StoreError> {
    let bytes = path.to_bytes();
    let bad =
        bytes.is_empty() || bytes.contains(&0) || bytes.split(|&b| b == b'/').any(|p| matches!(p, b"" | b"." | b".."));
    if bad { Err(StoreError::Confined { action, path: path.clone() }) } else { Ok(bytes) }
}

/// Splits into the folder (empty for the root) and the name.
pub(super) fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().rposition(|&b| b == b'/') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (&[], bytes),
    }
}

/// Opens a folder below `root` for use as a base of other calls.
///
/// A symbolic link on the way gives `LOOP`.
pub(super) fn open_folder<D: Disk>(disk: &D, root: &D::Handle, path: &[u8]) -> Result<D::Handle, Errno> {
    for _ in 0..8 {
        match disk.open_below(root, path) {
            // The kernel could not tell whether a rename took the path outside: ask again.
            Err(Errno::AGAIN) => {}
            // Some kernels do not know the call and some sandboxes refuse it; a path longer than the kernel takes goes
            // part by part.
            Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG | Errno::XDEV | Errno::NOTDIR) => break,
            other => return other,
        }
    }
    open_by_parts(disk, root, path)
}

/// As [`open_folder`], one part at a time, with any kernel and any length of path.
fn open_by_parts<D: Disk>(disk: &D, root: &D::Handle, path: &[u8]) -> Result<D::Handle, Errno> {
    let mut folder = disk.duplicate(root)?;
    for part in path.split(|&b| b == b'/') {
        folder = match disk.open(&folder, part, FLAGS, Mode::empty()) {
            Err(Errno::NOTDIR) => return Err(link_or(disk, &folder, part, Errno::NOTDIR)),
            other => other?,
        };
    }
    Ok(folder)
}

/// Returns `LOOP` if the name is a link, else what it was.
fn link_or<D: Disk>(disk: &D, folder: &D::Handle, part: &[u8], errno: Errno) -> Errno {
    match disk.stat_name(folder, part) {
        Ok(facts) if facts.meta.kind == Kind::Link => Errno::LOOP,
        _ => errno,
    }
}

/// Opens a folder below `root`, making each part that is missing; with `durable` the names of all parts are flushed, also
/// of those that were there.
pub(super) fn make_folders<D: Disk>(disk: &D, root: D::Handle, path: &[u8], durable: bool) -> Result<D::Handle, Errno> {
    let mut folder = root;
    for part in path.split(|&b| b == b'/') {
        let next = match disk.open(&folder, part, FLAGS, Mode::empty()) {
            Err(Errno::NOENT) => {
                match disk.make_folder(&folder, part, super::FOLDER_MODE) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno),
                }
                if durable {
                    super::sync_folder(disk, &folder)?;
                }
                disk.open(&folder, part, FLAGS, Mode::empty())
            }
            Ok(next) if durable => match super::sync_folder(disk, &folder) {
                // Whoever may not list it has made nothing in it either.
                Ok(()) | Err(Errno::ACCESS) => Ok(next),
                Err(errno) => return Err(errno),
            },
            other => other,
        };
        folder = match next {
            Err(Errno::NOTDIR) => return Err(link_or(disk, &folder, part, Errno::EXIST)),
            other => other?,
        };
    }
    Ok(folder)
}
