//! The trait that every kind of storage implements.

use std::fmt;
use std::io::Read;
use std::ops::{ControlFlow, Range};

use thalweg_core::RelPath;

use crate::{Entry, Hashed, Meta, OpenWriters, Space, StoreError};

/// Name of the folder in which files are made before they are published; no walk enters it.
pub const STAGING: &str = ".thalweg-staging";

/// Name of the folder that holds removed files until their time is over; no walk enters it.
pub const TRASH: &str = ".thalweg-trash";

/// Folder in the trash for files that are unlinked as soon as they are proven; left full only by a crash.
pub const DROPPED: &str = ".thalweg-trash/dropped";

/// Tells if a name belongs to the program itself: a staging or trash folder.
pub fn is_own_folder(name: &str) -> bool {
    name == STAGING || name == TRASH
}

/// What becomes of the content that a removal or a replacement takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldContent<'a> {
    /// It is unlinked.
    Drop,
    /// It is moved to `.thalweg-trash/<day>/<path>`; the day is a plain name such as `2026-01-02`.
    Trash {
        /// Name of the day's folder.
        day: &'a str,
    },
}

/// How a staged file gets its final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish<'a> {
    /// Fails with [`StoreError::AlreadyExists`] if anything has the name.
    NoReplace,
    /// Replaces exactly the version that `expected` describes, else fails with [`StoreError::NotAsExpected`].
    Replace {
        /// What stands there now, as the caller saw it.
        expected: &'a Meta,
        /// What becomes of it.
        old: OldContent<'a>,
    },
}

/// A file open for reading that can say whether it stayed the same version to the end.
pub trait ReadStable: Read + Send {
    /// Returns the facts at the moment of opening.
    fn opened(&self) -> &Meta;

    /// Returns the next range at or after `from` that holds data, `None` if only a hole follows.
    ///
    /// A store that knows no holes answers with the rest of the file.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn data_after(&mut self, from: u64) -> Result<Option<Range<u64>>, StoreError>;

    /// Continues reading at byte `at`.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn seek_to(&mut self, at: u64) -> Result<(), StoreError>;

    /// Ends the reading: compares the open file and what now has its name with the facts at opening.
    ///
    /// `read` is the number of bytes that the caller got, holes included. A file whose name is gone but whose bytes
    /// did not change is whole: that is no error.
    ///
    /// # Errors
    ///
    /// [`StoreError::ChangedWhileReading`] if size, modification time or inode differ, or `read` is not the size.
    fn finish(self: Box<Self>, read: u64) -> Result<Meta, StoreError>;
}

/// A file that is being written in a staging folder.
pub trait WriteStaged: Send {
    /// Adds bytes at the end.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] when the disk is; the staging file stays as long as it got.
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Adds `length` zero bytes at the end, as a hole where the store can.
    ///
    /// # Errors
    ///
    /// As [`WriteStaged::append`].
    fn append_hole(&mut self, length: u64) -> Result<(), StoreError>;

    /// Brings what was written to the medium.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports; the bytes must then be taken as lost.
    fn flush_to_medium(&mut self) -> Result<(), StoreError>;

    /// Ends the writing and sets modification time (nanoseconds since 1970) and permission bits where given.
    ///
    /// Does not flush: [`Store::publish`] does.
    ///
    /// # Errors
    ///
    /// Whatever the file system reports.
    fn finish(self: Box<Self>, mtime_ns: Option<i64>, mode: Option<u32>) -> Result<Meta, StoreError>;
}

/// A place that holds files below one root.
///
/// Paths are relative to the root and may not leave it. Every method fails with [`StoreError::Unavailable`] when the
/// root itself is missing or is another file system than it was, so that a vanished mount never looks like a store
/// without files.
pub trait Store: Send + Sync + fmt::Debug {
    /// Returns the facts of a file or folder, `None` if the name is free. The empty path is the root.
    ///
    /// # Errors
    ///
    /// [`StoreError::Confined`], [`StoreError::Denied`], [`StoreError::Unavailable`].
    fn stat(&self, path: &RelPath) -> Result<Option<Meta>, StoreError>;

    /// Visits everything below a folder, in no particular order and without holding the names of all in memory.
    ///
    /// Folders are visited too; then `filter` says whether to enter them. Links, pipes, sockets and devices are
    /// visited with their kind and never followed or opened. A folder that vanishes meanwhile is no error.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`], [`StoreError::NotFound`] if `below` is missing.
    fn walk(
        &self,
        below: &RelPath,
        filter: &mut dyn FnMut(&RelPath) -> bool,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Opens a regular file for reading.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], [`StoreError::NotSupported`] if it is not a regular file.
    fn open_read(&self, path: &RelPath) -> Result<Box<dyn ReadStable>, StoreError>;

    /// Opens a file for reading from the medium itself, past the cache of the operating system where that is possible.
    ///
    /// # Errors
    ///
    /// As [`Store::open_read`].
    fn open_read_back(&self, path: &RelPath) -> Result<Box<dyn ReadStable>, StoreError> {
        self.open_read(path)
    }

    /// Returns the digest of a file, or of a folder taken as one unit; `progress` is told the bytes read so far.
    ///
    /// The digest of a folder is that of its sorted list of (relative path, size, digest of the file).
    ///
    /// # Errors
    ///
    /// [`StoreError::ChangedWhileReading`] and those of [`Store::open_read`] and [`Store::walk`].
    fn hash(&self, path: &RelPath, progress: &mut dyn FnMut(u64)) -> Result<Hashed, StoreError>;

    /// Returns the staging folder of a task, made if needed, on the file system on which `target` will lie.
    ///
    /// `task_id` is a plain name: letters, digits, `-`, `_`, `.`; at most 200 bytes; no dot in front.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadName`] for another id; those of writing.
    fn staging(&self, task_id: &str, target: &RelPath) -> Result<RelPath, StoreError>;

    /// Removes a staging folder and all in it; a missing one is no error.
    ///
    /// # Errors
    ///
    /// [`StoreError::Confined`] for a path that is not a staging folder; those of writing.
    fn discard_staging(&self, staging: &RelPath) -> Result<(), StoreError>;

    /// Opens a file inside a staging folder for writing at byte `from`: 0 makes it anew or empties it, more keeps that
    /// much of what an interrupted writer left and cuts the rest.
    ///
    /// `reserve` is how many bytes the whole file will need; 0 reserves nothing. Folders on the way are made.
    ///
    /// # Errors
    ///
    /// [`StoreError::Confined`] outside a staging folder, [`StoreError::Full`], [`StoreError::NotAsExpected`] if less
    /// than `from` bytes are there.
    fn write_staged(&self, path: &RelPath, from: u64, reserve: u64) -> Result<Box<dyn WriteStaged>, StoreError>;

    /// Gives a staged file or folder its final name, after flushing it to the medium; flushes the folders as well.
    ///
    /// Missing folders on the way to `target` are made. Returns the facts of the published file.
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyExists`], [`StoreError::NotAsExpected`]; nothing has changed then.
    fn publish(&self, staged: &RelPath, target: &RelPath, how: Publish<'_>) -> Result<Meta, StoreError>;

    /// Publishes many, none replacing anything; flushes are shared. One answer for each, in order.
    fn publish_all(&self, files: &[(RelPath, RelPath)]) -> Vec<Result<Meta, StoreError>> {
        files.iter().map(|(staged, target)| self.publish(staged, target, Publish::NoReplace)).collect()
    }

    /// Brings a file, or a folder with all below it, and its name to the medium, whoever wrote it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] and whatever the file system reports.
    fn flush(&self, path: &RelPath) -> Result<(), StoreError>;

    /// Flushes many as [`Store::flush`] does, sharing what can be shared. One answer for each, in order.
    fn flush_all(&self, paths: &[RelPath]) -> Vec<Result<(), StoreError>> {
        paths.iter().map(|path| self.flush(path)).collect()
    }

    /// Removes a file if it is still the version that `expected` describes.
    ///
    /// The file is first moved aside under a private name and compared there, so that a file that takes its place in
    /// between is never lost; if it is another version it is put back. The removal is not flushed: after a power cut
    /// the file may be there again. Content that is to be kept in the trash is then here or there, never lost.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], [`StoreError::NotAsExpected`].
    fn remove_verified(&self, path: &RelPath, expected: &Meta, old: OldContent<'_>) -> Result<(), StoreError>;

    /// Unlinks what lies in the trash for the days that `is_over` names; returns the number of files unlinked.
    ///
    /// # Errors
    ///
    /// Those of writing.
    fn empty_trash(&self, is_over: &dyn Fn(&str) -> bool) -> Result<u64, StoreError>;

    /// Writes a small file whole, replacing what has the name; no reader ever sees a part of it.
    ///
    /// # Errors
    ///
    /// Those of writing.
    fn write_atomically(&self, path: &RelPath, bytes: &[u8]) -> Result<(), StoreError>;

    /// Returns the room left.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn free_space(&self) -> Result<Space, StoreError>;

    /// Makes a folder and those above it, durably; an existing folder is no error.
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyExists`] if something else has the name.
    fn make_folder(&self, path: &RelPath) -> Result<(), StoreError>;

    /// Removes `path` and the folders above it as long as they are empty, up to but without `upto`.
    ///
    /// # Errors
    ///
    /// Only unexpected ones: a folder that is not empty, or is gone, ends the work quietly.
    fn remove_empty_folders(&self, path: &RelPath, upto: &RelPath) -> Result<(), StoreError>;

    /// Renames within the store, never replacing; folders on the way are made and flushed.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], [`StoreError::AlreadyExists`].
    fn move_within(&self, from: &RelPath, to: &RelPath) -> Result<(), StoreError>;

    /// Sets the modification time, nanoseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] and those of writing.
    fn set_mtime(&self, path: &RelPath, mtime_ns: i64) -> Result<(), StoreError>;

    /// Sets the permission bits.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] and those of writing.
    fn set_mode(&self, path: &RelPath, mode: u32) -> Result<(), StoreError>;

    /// Makes an empty file if there is none, else leaves its content and makes its modification time the present.
    ///
    /// # Errors
    ///
    /// Those of writing.
    fn touch(&self, path: &RelPath) -> Result<(), StoreError>;

    /// Gives the content of `existing` a second name, never replacing.
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyExists`], [`StoreError::NotSupported`] where there are no hard links or it is no file.
    fn link(&self, existing: &RelPath, new: &RelPath) -> Result<(), StoreError>;

    /// Returns the process that has the file open for writing, as far as that can be known.
    ///
    /// For many files ask [`Store::open_writers`] once.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    fn writer(&self, path: &RelPath) -> Result<Option<u32>, StoreError> {
        let _ = path;
        Ok(None)
    }

    /// Returns who has which files open for writing at this moment, as far as that can be known; nobody by default.
    fn open_writers(&self) -> OpenWriters {
        OpenWriters::default()
    }
}
