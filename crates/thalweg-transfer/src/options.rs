//! How a copy is asked for and what it answers.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use thalweg_core::{ContentHash, RelPath};

use crate::TransferError;

/// How the bytes at the destination are proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// By the digest of the bytes as they were written, and the size of the file.
    #[default]
    Stream,
    /// By reading them back from the medium after they were flushed.
    Readback,
}

/// What happens when other content already has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conflict<'a> {
    /// Nothing is touched; the copy fails with [`crate::TransferError::Conflict`].
    #[default]
    Refuse,
    /// The new content is written beside it as `NAME.v2`, or the lowest free number after that.
    Version,
    /// The new content is written to the same path below this folder.
    Quarantine {
        /// The folder, relative to the root of the destination.
        folder: &'a RelPath,
    },
    /// The new content takes the place of the old.
    Replace {
        /// Allows the new file to have less than half the size of the old.
        allow_shrink: bool,
        /// Day under which the old content is kept in the trash; `None` drops it.
        keep_old: Option<&'a str>,
    },
    /// As `Replace` if the source is greater by (modification time, then digest); else `Refuse`.
    ReplaceOlder {
        /// Allows the new file to have less than half the size of the old.
        allow_shrink: bool,
        /// Day under which the old content is kept in the trash; `None` drops it.
        keep_old: Option<&'a str>,
    },
}

/// The choices of one copy.
#[derive(Clone, Copy)]
pub struct CopyOptions<'a> {
    /// Names the staging folder; the same id finds what an interrupted copy left.
    pub task_id: &'a str,
    /// How the destination is proven.
    pub verify: Verify,
    /// Gives the copy the modification time of the source, to the nanosecond.
    pub keep_mtime: bool,
    /// Permission bits of the copy; `None` takes those of the source.
    pub mode: Option<u32>,
    /// What happens when other content has the name.
    pub conflict: Conflict<'a>,
    /// The digest that the source must have, if known.
    pub expected: Option<ContentHash>,
    /// Is told (bytes done, bytes in all) at least once per MiB.
    pub on_progress: Option<&'a (dyn Fn(u64, u64) + Sync)>,
    /// Ends the copy with [`crate::TransferError::Cancelled`] soon after it becomes true.
    pub cancel: Option<&'a AtomicBool>,
}

impl<'a> CopyOptions<'a> {
    /// Makes the default choices: stream proof, modification time kept, conflicts refused.
    pub fn new(task_id: &'a str) -> Self {
        Self {
            task_id,
            verify: Verify::Stream,
            keep_mtime: true,
            mode: None,
            conflict: Conflict::Refuse,
            expected: None,
            on_progress: None,
            cancel: None,
        }
    }
}

impl CopyOptions<'_> {
    /// Tells how far the copy is.
    pub(crate) fn progress(&self, done: u64, total: u64) {
        if let Some(tell) = self.on_progress {
            tell(done, total);
        }
    }

    /// Fails if the caller asked to stop.
    pub(crate) fn check_cancel(&self, path: &RelPath) -> Result<(), TransferError> {
        match self.cancel {
            Some(cancel) if cancel.load(Ordering::Relaxed) => Err(TransferError::Cancelled { path: path.clone() }),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for CopyOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyOptions")
            .field("task_id", &self.task_id)
            .field("verify", &self.verify)
            .field("conflict", &self.conflict)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

/// A proven copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Where it lies at the destination; differs from what was asked under [`Conflict::Version`] and
    /// [`Conflict::Quarantine`].
    pub path: RelPath,
    /// Digest of the bytes read at the source and found at the destination.
    pub hash: ContentHash,
    /// Size in bytes; of a folder unit the sum over its files.
    pub size: u64,
    /// Facts of the file at the destination.
    pub meta: thalweg_store::Meta,
    /// True if the same content had the name before, so that nothing was written.
    pub already_there: bool,
    /// Bytes taken over from an interrupted copy of the same task.
    pub resumed_from: u64,
}
