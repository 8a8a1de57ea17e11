//! The calls to an operating system on which a folder's store rests.
//!
//! All that [`crate::LocalStore`] knows about order, flushing and names is written once, over this trait. It is carried
//! out by the operating system, or by a disk in memory that loses power, so that a missing flush can be seen in a test.
//! A method is one call and decides nothing; what a call means stands in its manual page.

mod os;

use std::ffi::CStr;
use std::fmt;
use std::path::Path;

pub(crate) use os::OsDisk;
use rustix::fs::{FileType, Mode, OFlags, RenameFlags, SeekFrom, Timestamps};
use rustix::io::Errno;
use rustix::path::Arg;

use crate::{Meta, OpenWriters, Space};

/// What is known of a file or folder.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// What a store tells of it.
    pub meta: Meta,
    /// Bytes of the disk that it takes.
    pub taken: u64,
}

/// Numbers of a device and of the mount through which it is seen: what a rename may not leave.
pub(crate) type MountId = (u32, u32, u64);

/// The calls; folders are open handles, names have no `/`.
pub trait Disk: Clone + fmt::Debug + Send + Sync + 'static {
    /// An open file or folder.
    type Handle: Send + Sync + 'static;
    /// A listing that is being read.
    type Entries: Entries;

    /// Flushes that may run at the same time.
    const FLUSHES_AT_ONCE: usize;

    /// Opens a root as a base of other calls; the only call that takes a path of the whole system.
    fn open_root(&self, root: &Path) -> Result<Self::Handle, Errno>;

    /// Opens a folder some parts below another one, passing no link, as a base of other calls: `openat2`.
    fn open_below(&self, root: &Self::Handle, path: &[u8]) -> Result<Self::Handle, Errno>;

    /// Opens, or makes, a file or folder: `openat`.
    fn open(&self, folder: &Self::Handle, name: &[u8], flags: OFlags, mode: Mode) -> Result<Self::Handle, Errno>;

    /// Makes a second handle of the same.
    fn duplicate(&self, handle: &Self::Handle) -> Result<Self::Handle, Errno>;

    /// Begins to list a folder that was opened for reading.
    fn entries_from(&self, folder: Self::Handle) -> Result<Self::Entries, Errno>;

    /// As [`Disk::entries_from`], keeping the handle.
    fn entries(&self, folder: &Self::Handle) -> Result<Self::Entries, Errno>;

    /// Returns the facts of a name, never following a link: `fstatat`.
    fn stat_name<P: Arg>(&self, folder: &Self::Handle, name: P) -> Result<Facts, Errno>;

    /// Returns the facts of what is open: `fstat`.
    fn stat(&self, handle: &Self::Handle) -> Result<Facts, Errno>;

    /// Returns the mount on which an open folder lies: `statx`.
    fn mount(&self, folder: &Self::Handle) -> Result<MountId, Errno>;

    /// Returns the room of the file system: `fstatvfs`.
    fn space(&self, folder: &Self::Handle) -> Result<Space, Errno>;

    /// Reads at a position: `pread`.
    fn read_at(&self, file: &Self::Handle, buffer: &mut [u8], at: u64) -> Result<usize, Errno>;

    /// Writes at a position, perhaps less than all: `pwrite`.
    fn write_at(&self, file: &Self::Handle, bytes: &[u8], at: u64) -> Result<usize, Errno>;

    /// Cuts or lengthens: `ftruncate`.
    fn set_size(&self, file: &Self::Handle, size: u64) -> Result<(), Errno>;

    /// Takes room beyond the end of the file: `fallocate` that keeps the size.
    fn reserve(&self, file: &Self::Handle, size: u64) -> Result<(), Errno>;

    /// Asks that what is cached of a file be forgotten: `posix_fadvise`.
    fn forget_cached(&self, file: &Self::Handle) -> Result<(), Errno>;

    /// Looks for data or a hole: `lseek`.
    fn seek(&self, file: &Self::Handle, to: SeekFrom) -> Result<u64, Errno>;

    /// Brings an open file or folder to the medium: `fsync`.
    fn sync(&self, handle: &Self::Handle) -> Result<(), Errno>;

    /// Brings a file's bytes and size to the medium: `fdatasync`.
    fn sync_data(&self, file: &Self::Handle) -> Result<(), Errno>;

    /// Sets permission bits: `fchmod`.
    fn set_mode(&self, file: &Self::Handle, mode: Mode) -> Result<(), Errno>;

    /// As [`Disk::set_mode`], by name: `fchmodat`.
    fn set_mode_name(&self, folder: &Self::Handle, name: &[u8], mode: Mode) -> Result<(), Errno>;

    /// Sets times: `futimens`.
    fn set_times(&self, file: &Self::Handle, times: &Timestamps) -> Result<(), Errno>;

    /// As [`Disk::set_times`], by name and of a link itself: `utimensat`.
    fn set_times_name(&self, folder: &Self::Handle, name: &[u8], times: &Timestamps) -> Result<(), Errno>;

    /// Makes a folder: `mkdirat`.
    fn make_folder(&self, folder: &Self::Handle, name: &[u8], mode: Mode) -> Result<(), Errno>;

    /// Renames: `renameat`, with flags `renameat2`.
    fn rename(&self, from: (&Self::Handle, &[u8]), to: (&Self::Handle, &[u8]), flags: RenameFlags)
    -> Result<(), Errno>;

    /// Gives a file a second name: `linkat`.
    fn link(&self, existing: (&Self::Handle, &[u8]), new: (&Self::Handle, &[u8])) -> Result<(), Errno>;

    /// Takes the name of a file away: `unlinkat`.
    fn unlink(&self, folder: &Self::Handle, name: &[u8]) -> Result<(), Errno>;

    /// Removes an empty folder: `unlinkat` with its flag.
    fn remove_folder(&self, folder: &Self::Handle, name: &[u8]) -> Result<(), Errno>;

    /// Returns numbers that no other file of this process is named by: the process and a count.
    fn unique(&self) -> (u32, u64);

    /// Returns who has files of this disk open for writing.
    fn open_writers(&self) -> OpenWriters;
}

/// A listing that is being read.
pub trait Entries {
    /// One name of it.
    type Entry: Listed;

    /// Returns the next name, `.` and `..` among them.
    fn next_entry(&mut self) -> Option<Result<Self::Entry, Errno>>;
}

/// One name of a listing.
pub trait Listed {
    /// Returns the name.
    fn name(&self) -> &CStr;

    /// Returns what it is, as far as the listing tells.
    fn kind(&self) -> FileType;
}

/// Writes all bytes at a position, going on after a signal.
pub(crate) fn write_all_at<D: Disk>(disk: &D, file: &D::Handle, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match disk.write_at(file, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                bytes = bytes.get(written..).unwrap_or_default();
                at += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
