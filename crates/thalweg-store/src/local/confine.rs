//! Opening folders below a root without ever leaving it.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use thalweg_core::RelPath;

use crate::StoreError;

/// Set once the kernel turns out not to know `openat2`.
static WITHOUT_OPENAT2: AtomicBool = AtomicBool::new(false);

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
pub(super) fn open_folder(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    if WITHOUT_OPENAT2.load(Ordering::Relaxed) {
        return open_by_parts(root, path);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..8 {
        match rustix::fs::openat2(root, path, FLAGS, Mode::empty(), resolve) {
            // The kernel could not tell whether a rename took the path outside: ask again.
            Err(Errno::AGAIN) => {}
            Err(Errno::NOSYS) => {
                WITHOUT_OPENAT2.store(true, Ordering::Relaxed);
                break;
            }
            // Some sandboxes refuse the call itself; a path longer than the kernel takes goes part by part.
            Err(Errno::PERM | Errno::NAMETOOLONG | Errno::XDEV | Errno::NOTDIR) => break,
            other => return other,
        }
    }
    open_by_parts(root, path)
}

/// As [`open_folder`], one part at a time, with any kernel and any length of path.
pub(super) fn open_by_parts(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let mut folder = root.try_clone().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    for part in path.split(|&b| b == b'/') {
        folder = match rustix::fs::openat(&folder, part, FLAGS, Mode::empty()) {
            Err(Errno::NOTDIR) => return Err(link_or(&folder, part, Errno::NOTDIR)),
            other => other?,
        };
    }
    Ok(folder)
}

/// Returns `LOOP` if the name is a link, else what it was.
fn link_or(folder: &OwnedFd, part: &[u8], errno: Errno) -> Errno {
    match rustix::fs::statat(folder, part, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => Errno::LOOP,
        _ => errno,
    }
}

/// Opens a folder below `root`, making each part that is missing; `durable` flushes the folder that got a new name.
pub(super) fn make_folders(root: OwnedFd, path: &[u8], durable: bool) -> Result<OwnedFd, Errno> {
    let mut folder = root;
    for part in path.split(|&b| b == b'/') {
        let next = match rustix::fs::openat(&folder, part, FLAGS, Mode::empty()) {
            Err(Errno::NOENT) => {
                match rustix::fs::mkdirat(&folder, part, super::FOLDER_MODE) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno),
                }
                if durable {
                    super::sync_folder(&folder)?;
                }
                rustix::fs::openat(&folder, part, FLAGS, Mode::empty())
            }
            other => other,
        };
        folder = match next {
            Err(Errno::NOTDIR) => return Err(link_or(&folder, part, Errno::EXIST)),
            other => other?,
        };
    }
    Ok(folder)
}
