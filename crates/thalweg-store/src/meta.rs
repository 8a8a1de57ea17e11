//! What a store tells about a file without reading it.

use thalweg_core::RelPath;

use crate::StoreError;

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link; never followed.
    Link,
    /// A pipe, socket or device; never opened.
    Other,
}

/// The outer facts of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Bytes; what it means for anything but a file is up to the store.
    pub size: u64,
    /// Modification time, nanoseconds since 1970-01-01 UTC.
    pub mtime_ns: i64,
    /// Time of the last change of contents or inode, nanoseconds since 1970-01-01 UTC.
    pub ctime_ns: i64,
    /// Number of the inode, or what the store has in its place.
    pub ino: u64,
    /// Number of the device, or 0.
    pub dev: u64,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
}

impl Meta {
    /// Tells if both describe the same version of the same file: kind, size, modification time and inode agree.
    pub fn same_version(&self, other: &Self) -> bool {
        self.difference(other).is_none()
    }

    /// Returns the first fact in which another version differs, in words with both values.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.kind != other.kind {
            Some(format!("kind {:?}, then {:?}", self.kind, other.kind))
        } else if self.size != other.size {
            Some(format!("size {}, then {} bytes", self.size, other.size))
        } else if self.mtime_ns != other.mtime_ns {
            Some(format!("modification time {}, then {} ns", self.mtime_ns, other.mtime_ns))
        } else if self.ino != other.ino {
            Some(format!("inode {}, then {}", self.ino, other.ino))
        } else {
            None
        }
    }
}

/// One thing that a walk meets.
#[derive(Debug)]
pub enum Entry {
    /// A file, folder, link or other thing.
    Found {
        /// Its path below the root.
        path: RelPath,
        /// Its outer facts.
        meta: Meta,
    },
    /// A folder or name that could not be looked at; the walk goes on beside it.
    Unreadable {
        /// Its path below the root.
        path: RelPath,
        /// Why.
        error: StoreError,
    },
    /// A folder that changed while it was listed, so that names may be missing: list it again.
    Unsettled {
        /// Its path below the root; empty for the root itself.
        path: RelPath,
    },
}

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this user may still write.
    pub free: u64,
    /// The size of the file system.
    pub total: u64,
}
