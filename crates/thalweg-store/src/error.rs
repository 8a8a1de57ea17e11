//! What can go wrong with a store, told by what the caller can do about it.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use thalweg_core::{ErrorClass, RelPath};

/// A failed operation of a store.
///
/// `action` is a verb ("read", "publish", ...), so that the text reads after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file or folder does not exist.
    #[error("{action} {path}: it does not exist")]
    NotFound {
        /// What was tried.
        action: &'static str,
        /// The path inside the store.
        path: RelPath,
    },
    /// Something already has that name; nothing was touched.
    #[error("{action} {path}: the name is taken")]
    AlreadyExists {
        /// What was tried.
        action: &'static str,
        /// The name that is taken.
        path: RelPath,
    },
    /// The file changed between the first and the last byte, so what was read is no version of it.
    #[error("{action} {path}: it changed while it was read ({what})")]
    ChangedWhileReading {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: RelPath,
        /// What differed: `size`, `modification time`, `inode` or `length read`, with both values.
        what: String,
    },
    /// The file is not the version that the caller named; nothing was touched.
    #[error("{action} {path}: it is not the version that was expected ({what})")]
    NotAsExpected {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: RelPath,
        /// What differed.
        what: String,
    },
    /// The disk, the quota or the table of inodes is full.
    #[error("{action} {path}: no space is left")]
    Full {
        /// What was tried.
        action: &'static str,
        /// The file that did not fit.
        path: RelPath,
    },
    /// The file system is mounted read-only.
    #[error("{action} {path}: the file system is read-only")]
    ReadOnly {
        /// What was tried.
        action: &'static str,
        /// The path inside the store.
        path: RelPath,
    },
    /// The rights of the program do not allow it.
    #[error("{action} {path}: permission denied")]
    Denied {
        /// What was tried.
        action: &'static str,
        /// The path inside the store.
        path: RelPath,
    },
    /// The root of the store is missing or is not the file system that it was: nothing can be said about its files.
    #[error("reach the store at {}: {what}", root.display())]
    Unavailable {
        /// The root folder.
        root: PathBuf,
        /// What was found instead.
        what: String,
    },
    /// The store cannot do this, or not to this kind of thing.
    #[error("{action} {path}: {what}")]
    NotSupported {
        /// What was tried.
        action: &'static str,
        /// The path inside the store.
        path: RelPath,
        /// What is not supported.
        what: &'static str,
    },
    /// The path would leave the root: `..`, an absolute path, or a symbolic link on the way.
    #[error("{action} {path}: the path leaves the store or passes a symbolic link")]
    Confined {
        /// What was tried.
        action: &'static str,
        /// The path as it was given.
        path: RelPath,
    },
    /// The target cannot hold such a name.
    #[error("{action} {path}: the file system cannot hold this name")]
    BadName {
        /// What was tried.
        action: &'static str,
        /// The path as it was given.
        path: RelPath,
    },
    /// Any other error of the operating system.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The path inside the store.
        path: RelPath,
        /// What the operating system said.
        source: io::Error,
    },
}

/// What stands in [`StoreError::Unavailable`] for a root folder that is not there.
pub(crate) const ROOT_MISSING: &str = "the root folder is missing";

impl StoreError {
    /// Tells if there is no root folder at all.
    pub fn is_missing_root(&self) -> bool {
        matches!(self, Self::Unavailable { what, .. } if what == ROOT_MISSING)
    }

    /// Returns the class by which the engine decides.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } | Self::ChangedWhileReading { .. } => ErrorClass::NotYet,
            Self::Full { .. } | Self::Unavailable { .. } | Self::Io { .. } => ErrorClass::Transient,
            Self::ReadOnly { .. } | Self::Denied { .. } | Self::NotSupported { .. } => ErrorClass::Config,
            Self::AlreadyExists { .. } | Self::NotAsExpected { .. } | Self::Confined { .. } | Self::BadName { .. } => {
                ErrorClass::Refused
            }
        }
    }

    /// Returns the next thing to do, for a `help:` line; `None` where nothing helps but to wait.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::NotFound { .. } => Some("it was removed or renamed since it was seen; a rescan will tell"),
            Self::AlreadyExists { .. } => Some("compare the two; the step's conflict rule says which one stays"),
            Self::ChangedWhileReading { .. } => {
                Some("it is still being written; give the product a stricter `ready` rule if this repeats")
            }
            Self::NotAsExpected { .. } => Some("it was replaced since it was checked; nothing was touched"),
            Self::Full { .. } => Some("free space on that file system; the work goes on by itself then"),
            Self::ReadOnly { .. } => Some("remount it writable; after a disk error check the file system first"),
            Self::Denied { .. } => Some("give the user that runs thalweg the right to this path"),
            Self::Unavailable { .. } => Some("mount the file system or create the root folder"),
            Self::NotSupported { .. } => None,
            Self::Confined { .. } => Some("put a real folder in place of the link, or make it the station's root"),
            Self::BadName { .. } => Some("choose a shorter or plainer name for this station"),
            Self::Io { .. } => None,
        }
    }

    /// Sorts an error number of the operating system into the right variant.
    pub(crate) fn from_errno(action: &'static str, path: &RelPath, errno: Errno) -> Self {
        let path = path.clone();
        match errno {
            Errno::NOENT | Errno::NOTDIR => Self::NotFound { action, path },
            Errno::EXIST | Errno::NOTEMPTY => Self::AlreadyExists { action, path },
            Errno::NOSPC | Errno::DQUOT => Self::Full { action, path },
            Errno::ROFS => Self::ReadOnly { action, path },
            Errno::ACCESS | Errno::PERM => Self::Denied { action, path },
            Errno::LOOP => Self::Confined { action, path },
            Errno::NAMETOOLONG | Errno::ILSEQ => Self::BadName { action, path },
            other => Self::Io { action, path, source: other.into() },
        }
    }

    /// Sorts an error of `std` into the right variant.
    pub(crate) fn from_io(action: &'static str, path: &RelPath, error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => Self::from_errno(action, path, errno),
            None => Self::Io { action, path: path.clone(), source: error },
        }
    }
}
