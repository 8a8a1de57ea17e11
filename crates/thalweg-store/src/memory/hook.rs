//! Telling a simulator of each call to a disk in memory.

use std::fmt;
use std::sync::Arc;

use thalweg_core::RelPath;

use crate::store::is_own_folder;

/// What is told before and after each call; it may panic to end the caller at that very moment.
pub(super) type Hook = Arc<dyn Fn(&CallInfo<'_>) + Send + Sync>;

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing has happened yet.
    Before,
    /// The work is done, or failed.
    After,
}

/// A folder and a name in it, or something open and no name; bytes below the root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct At<'a> {
    pub(super) folder: &'a [u8],
    pub(super) name: &'a [u8],
}

impl At<'_> {
    fn bytes(self) -> Vec<u8> {
        super::files::joined(self.folder, self.name)
    }

    /// Tells if it lies in staging or trash, or has a temporary name.
    pub(super) fn is_private(self) -> bool {
        let own = |part: &[u8]| std::str::from_utf8(part).is_ok_and(is_own_folder);
        let last = if self.name.is_empty() { self.folder.rsplit(|&b| b == b'/').next() } else { Some(self.name) };
        self.folder.split(|&b| b == b'/').any(own)
            || own(self.name)
            || last.is_some_and(|name| name.starts_with(b".thalweg-") && name.ends_with(b".tmp"))
    }
}

/// One call to the disk of a [`crate::MemoryStore`], as its hook is told.
pub struct CallInfo<'a> {
    pub(super) number: u64,
    pub(super) name: &'static str,
    pub(super) moment: Moment,
    pub(super) at: At<'a>,
    pub(super) second: Option<At<'a>>,
    pub(super) changed: bool,
    pub(super) failed: bool,
}

impl CallInfo<'_> {
    /// Returns the number of the call, as [`crate::Fault`] counts.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the name of the system call, such as `openat` or `fsync`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns whether the call is about to begin or has ended.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// Returns the path below the root; empty for the root.
    pub fn path(&self) -> RelPath {
        RelPath::from_bytes(&self.at.bytes())
    }

    /// Returns the new name of a rename or link.
    pub fn second_path(&self) -> Option<RelPath> {
        self.second.map(|at| RelPath::from_bytes(&at.bytes()))
    }

    /// Tells if names, bytes, times or rights changed; false before the call.
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// Tells if the caller is given an error; false before the call.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Returns the names outside staging and trash under which something else may be found since this call.
    ///
    /// Of a folder that was renamed or removed only its own name is told.
    pub fn changed_names(&self) -> impl Iterator<Item = RelPath> {
        let both = if self.changed { [Some(self.at), self.second] } else { [None, None] };
        both.into_iter().flatten().filter(|at| !at.is_private()).map(|at| RelPath::from_bytes(&at.bytes()))
    }
}

impl fmt::Debug for CallInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} call {} {} {}", self.moment, self.number, self.name, self.path())?;
        self.second_path().map_or(Ok(()), |path| write!(f, " {path}"))
    }
}
