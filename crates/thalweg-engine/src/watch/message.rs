//! What a watcher tells.

use thalweg_core::RelPath;

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatchKind {
    /// A writer closed the file. That is no proof that it is complete: a killed writer closes too.
    Closed,
    /// The file got its name by a rename, or a folder was moved here.
    MovedIn,
    /// A name appeared and no writer has closed it since, as a hard link does or a writer that is still at work: look
    /// at the file as at one that a scan met.
    Appeared,
    /// The file or folder is no longer there.
    Gone,
    /// A folder came to be and is watched now: scan it, its first files may have come before the watch.
    FolderNew,
    /// Time, mode or owner of the file changed; its version may have.
    Attrib,
}

/// Something that happened to one path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WatchEvent {
    /// Which watched tree, as the caller numbered it.
    pub root: u32,
    /// The path below its root.
    pub path: RelPath,
    /// What happened.
    pub kind: WatchKind,
}

/// Why a tree or a part of it has to be scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatchReason {
    /// Watching has just begun.
    Started,
    /// The kernel dropped events.
    Overflow,
    /// More names appeared at once than are followed one by one.
    Burst,
    /// The root was away and is back.
    Returned,
    /// A file system was unmounted below.
    Unmounted,
}

/// A message from a watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchMessage {
    /// Something happened to one path.
    Event(WatchEvent),
    /// Scan everything below now.
    Rescan {
        /// Which watched tree.
        root: u32,
        /// The folder; empty for all.
        below: RelPath,
        /// Why.
        reason: WatchReason,
    },
    /// No events can be had for this folder and what is below: scan it at intervals. Sent once per folder.
    Degraded {
        /// Which watched tree.
        root: u32,
        /// The folder; empty for all.
        below: RelPath,
        /// Why, for a person, with what to do.
        reason: String,
    },
    /// The root is missing or another file system: nothing is known about its files until `Rescan` comes.
    Unavailable {
        /// Which watched tree.
        root: u32,
        /// What was found instead.
        reason: String,
    },
}
