//! The calls of [`Disk`], carried out on files in memory.

use std::ffi::{CStr, CString};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FileType, Mode, OFlags, RenameFlags, SeekFrom, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;
use rustix::path::Arg;
use thalweg_core::Clock;

use super::fault::Fault;
use super::files::{Files, ROOT, joined};
use super::hook::{At, CallInfo, Moment};
use crate::disk::{Disk, Entries, Facts, Listed, MountId};
use crate::{Kind, OpenWriters, Space};

/// Longest path that is looked up in one call.
const LONGEST_PATH: usize = 4095;

/// What new files and folders are not allowed.
const UMASK: u32 = 0o022;

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    clock: Arc<dyn Clock>,
    files: Arc<Mutex<Files>>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").finish_non_exhaustive()
    }
}

/// An open file or folder of a disk in memory.
pub struct SimHandle {
    disk: SimDisk,
    ino: u64,
    epoch: u64,
    /// Where it lay when it was opened.
    path: Box<[u8]>,
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        let mut files = self.disk.lock();
        if files.epoch == self.epoch {
            files.closed(self.ino);
        }
    }
}

/// What a call is told to do beside its work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Work,
    Fail,
    FailAfter,
}

impl SimDisk {
    /// Makes an empty disk with this device number.
    pub(super) fn new(clock: Arc<dyn Clock>, device: u64) -> Self {
        let disk = Self { clock, files: Arc::default() };
        disk.lock().device = device;
        disk
    }

    /// Takes the files over even from a caller that panicked: nothing is done by halves while they are locked.
    pub(super) fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`SimDisk::lock`], with the clock's time.
    pub(super) fn lock_now(&self) -> MutexGuard<'_, Files> {
        let now = i64::try_from(self.clock.now().as_nanosecond()).unwrap_or(i64::MAX);
        let mut files = self.lock();
        files.now_ns = files.now_ns.max(now);
        files
    }

    /// Does one call: counts it, tells the hook before and after, and shows the faults that are due.
    fn call<T>(
        &self,
        name: &'static str,
        at: At<'_>,
        second: Option<At<'_>>,
        work: impl FnOnce(&mut Files) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut files = self.lock_now();
        files.calls += 1;
        let number = files.calls;
        let order = order(&mut files);
        let hook = files.hook.clone();
        if let Some(hook) = &hook {
            drop(files);
            let info = CallInfo { number, name, moment: Moment::Before, at, second, changed: false, failed: false };
            hook(&info);
            files = self.lock_now();
        }
        files.changed = false;
        let mut done = if order == Order::Fail { Err(Errno::IO) } else { work(&mut files) };
        let changed = files.changed;
        // What was opened closes itself if it is not handed out: not while locked.
        drop(files);
        if order == Order::FailAfter {
            done = Err(Errno::IO);
        }
        if let Some(hook) = &hook {
            let failed = done.is_err();
            hook(&CallInfo { number, name, moment: Moment::After, at, second, changed, failed });
        }
        done
    }

    /// Does a call on something open.
    fn on<T>(
        &self,
        name: &'static str,
        handle: &SimHandle,
        work: impl FnOnce(&mut Files) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.call(name, At { folder: &handle.path, name: b"" }, None, |files| {
            usable(files, handle)?;
            work(files)
        })
    }

    /// Does a call on a name in an open folder.
    fn on_name<T>(
        &self,
        call: &'static str,
        folder: &SimHandle,
        name: &[u8],
        work: impl FnOnce(&mut Files) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.call(call, At { folder: &folder.path, name }, None, |files| {
            usable(files, folder)?;
            work(files)
        })
    }

    /// Makes a handle.
    fn handle(&self, files: &mut Files, ino: u64, path: Vec<u8>) -> SimHandle {
        files.opened(ino);
        SimHandle { disk: self.clone(), ino, epoch: files.epoch, path: path.into() }
    }
}

/// Takes the fault out that is due at this call.
fn order(files: &mut Files) -> Order {
    if files.faults.is_empty() {
        Order::Work
    } else if files.take(|fault| matches!(fault, Fault::Fail { .. })) {
        Order::Fail
    } else if files.take(|fault| matches!(fault, Fault::FailAfter { .. })) {
        Order::FailAfter
    } else {
        Order::Work
    }
}

/// Fails if the disk went away, or lost power since this was opened.
fn usable(files: &Files, handle: &SimHandle) -> Result<(), Errno> {
    if files.available && files.epoch == handle.epoch { Ok(()) } else { Err(Errno::IO) }
}

/// Returns a time to set: `None` leaves the one that is there.
fn time(files: &mut Files, times: &Timestamps) -> Option<i64> {
    let time = times.last_modification;
    match time.tv_nsec {
        UTIME_OMIT => None,
        UTIME_NOW => Some(files.tick()),
        nanoseconds => Some(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(nanoseconds)),
    }
}

fn set_time(files: &mut Files, ino: u64, times: &Timestamps) -> Result<(), Errno> {
    let time = time(files, times);
    let now = files.tick();
    let inode = files.inode_mut(ino)?;
    inode.ctime_ns = now;
    inode.mtime_ns = time.unwrap_or(inode.mtime_ns);
    Ok(())
}

fn set_mode(files: &mut Files, ino: u64, mode: Mode) -> Result<(), Errno> {
    let now = files.tick();
    let inode = files.inode_mut(ino)?;
    inode.ctime_ns = now;
    inode.mode = mode.as_raw_mode() & 0o7777;
    Ok(())
}

/// Finds or makes what is to be opened.
fn open(files: &mut Files, folder: u64, name: &[u8], flags: OFlags, mode: Mode) -> Result<u64, Errno> {
    if name == b"." {
        return files.folder(folder).map(|_| folder);
    }
    let ino = match files.look(folder, name) {
        Ok(_) if flags.contains(OFlags::CREATE | OFlags::EXCL) => return Err(Errno::EXIST),
        Err(Errno::NOENT) if flags.contains(OFlags::CREATE) => {
            return files.create(folder, name, Kind::File, mode.as_raw_mode() & !UMASK);
        }
        other => other?,
    };
    match files.inode(ino)?.kind {
        Kind::Folder if flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::CREATE) => Err(Errno::ISDIR),
        Kind::Folder => Ok(ino),
        _ if flags.contains(OFlags::DIRECTORY) => Err(Errno::NOTDIR),
        Kind::Link => Err(Errno::LOOP),
        _ => {
            if flags.contains(OFlags::TRUNC) {
                files.set_size(ino, 0)?;
            }
            Ok(ino)
        }
    }
}

/// A listing: what was in the folder when it began.
pub struct SimEntries(std::vec::IntoIter<SimEntry>);

/// One name of a listing.
pub struct SimEntry {
    name: CString,
    kind: FileType,
}

impl Entries for SimEntries {
    type Entry = SimEntry;

    fn next_entry(&mut self) -> Option<Result<SimEntry, Errno>> {
        self.0.next().map(Ok)
    }
}

impl Listed for SimEntry {
    fn name(&self) -> &CStr {
        &self.name
    }

    fn kind(&self) -> FileType {
        self.kind
    }
}

impl Disk for SimDisk {
    type Handle = SimHandle;
    type Entries = SimEntries;

    // What is simulated happens in one order, the same each time.
    const FLUSHES_AT_ONCE: usize = 1;

    fn open_root(&self, _: &Path) -> Result<SimHandle, Errno> {
        self.call("open", At { folder: b"", name: b"" }, None, |files| {
            if files.available { Ok(self.handle(files, ROOT, Vec::new())) } else { Err(Errno::NOENT) }
        })
    }

    fn open_below(&self, root: &SimHandle, path: &[u8]) -> Result<SimHandle, Errno> {
        self.on_name("openat2", root, path, |files| {
            if path.len() > LONGEST_PATH {
                return Err(Errno::NAMETOOLONG);
            }
            let mut ino = root.ino;
            for part in path.split(|&b| b == b'/') {
                ino = files.look(ino, part)?;
                match files.inode(ino)?.kind {
                    Kind::Folder => {}
                    Kind::Link => return Err(Errno::LOOP),
                    _ => return Err(Errno::NOTDIR),
                }
            }
            Ok(self.handle(files, ino, joined(&root.path, path)))
        })
    }

    fn open(&self, folder: &SimHandle, name: &[u8], flags: OFlags, mode: Mode) -> Result<SimHandle, Errno> {
        let shown = if name == b"." { b"" } else { name };
        self.on_name("openat", folder, shown, |files| {
            let ino = open(files, folder.ino, name, flags, mode)?;
            Ok(self.handle(files, ino, joined(&folder.path, shown)))
        })
    }

    fn duplicate(&self, handle: &SimHandle) -> Result<SimHandle, Errno> {
        self.on("dup", handle, |files| Ok(self.handle(files, handle.ino, handle.path.to_vec())))
    }

    fn entries_from(&self, folder: SimHandle) -> Result<SimEntries, Errno> {
        self.entries(&folder)
    }

    fn entries(&self, folder: &SimHandle) -> Result<SimEntries, Errno> {
        self.on("getdents", folder, |files| {
            let entry = |name: &[u8], ino: u64| {
                let kind = match files.inode(ino)?.kind {
                    Kind::File => FileType::RegularFile,
                    Kind::Folder => FileType::Directory,
                    Kind::Link => FileType::Symlink,
                    Kind::Other => FileType::Unknown,
                };
                Ok(SimEntry { name: CString::new(name).map_err(|_| Errno::INVAL)?, kind })
            };
            let entries: Result<Vec<SimEntry>, Errno> =
                files.folder(folder.ino)?.names.iter().map(|(name, ino)| entry(name, *ino)).collect();
            Ok(SimEntries(entries?.into_iter()))
        })
    }

    fn stat_name<P: Arg>(&self, folder: &SimHandle, name: P) -> Result<Facts, Errno> {
        name.into_with_c_str(|name| {
            let name = name.to_bytes();
            self.on_name("fstatat", folder, name, |files| files.look(folder.ino, name).and_then(|ino| files.facts(ino)))
        })
    }

    fn stat(&self, handle: &SimHandle) -> Result<Facts, Errno> {
        self.on("fstat", handle, |files| files.facts(handle.ino))
    }

    fn mount(&self, folder: &SimHandle) -> Result<MountId, Errno> {
        self.on("statx", folder, |files| Ok((0, 0, files.device)))
    }

    fn space(&self, folder: &SimHandle) -> Result<Space, Errno> {
        self.on("fstatvfs", folder, |files| Ok(files.space()))
    }

    fn read_at(&self, file: &SimHandle, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
        self.on("pread", file, |files| {
            let bytes = &files.inode(file.ino)?.bytes;
            let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
            let got = rest.len().min(buffer.len());
            buffer[..got].copy_from_slice(&rest[..got]);
            Ok(got)
        })
    }

    fn write_at(&self, file: &SimHandle, bytes: &[u8], at: u64) -> Result<usize, Errno> {
        self.on("pwrite", file, |files| {
            if files.take(|fault| matches!(fault, Fault::TornWrite { .. })) {
                files.write(file.ino, &bytes[..bytes.len() / 2], at)?;
                return Err(Errno::IO);
            }
            files.write(file.ino, bytes, at)
        })
    }

    fn set_size(&self, file: &SimHandle, size: u64) -> Result<(), Errno> {
        self.on("ftruncate", file, |files| files.set_size(file.ino, size))
    }

    fn reserve(&self, file: &SimHandle, size: u64) -> Result<(), Errno> {
        self.on("fallocate", file, |files| files.reserve(file.ino, size))
    }

    fn forget_cached(&self, file: &SimHandle) -> Result<(), Errno> {
        self.on("fadvise", file, |_| Ok(()))
    }

    fn seek(&self, file: &SimHandle, to: SeekFrom) -> Result<u64, Errno> {
        self.on("lseek", file, |files| {
            let size = files.inode(file.ino)?.bytes.len() as u64;
            match to {
                SeekFrom::Data(from) | SeekFrom::Hole(from) if from >= size => Err(Errno::NXIO),
                SeekFrom::Data(from) => Ok(from),
                SeekFrom::Hole(_) => Ok(size),
                _ => Err(Errno::INVAL),
            }
        })
    }

    fn sync(&self, handle: &SimHandle) -> Result<(), Errno> {
        self.on("fsync", handle, |files| {
            files.flush(handle.ino, false);
            Ok(())
        })
    }

    fn sync_data(&self, file: &SimHandle) -> Result<(), Errno> {
        self.on("fdatasync", file, |files| {
            files.flush(file.ino, true);
            Ok(())
        })
    }

    fn set_mode(&self, file: &SimHandle, mode: Mode) -> Result<(), Errno> {
        self.on("fchmod", file, |files| set_mode(files, file.ino, mode))
    }

    fn set_mode_name(&self, folder: &SimHandle, name: &[u8], mode: Mode) -> Result<(), Errno> {
        self.on_name("fchmodat", folder, name, |files| {
            let ino = files.look(folder.ino, name)?;
            set_mode(files, ino, mode)
        })
    }

    fn set_times(&self, file: &SimHandle, times: &Timestamps) -> Result<(), Errno> {
        self.on("futimens", file, |files| set_time(files, file.ino, times))
    }

    fn set_times_name(&self, folder: &SimHandle, name: &[u8], times: &Timestamps) -> Result<(), Errno> {
        self.on_name("utimensat", folder, name, |files| {
            let ino = files.look(folder.ino, name)?;
            set_time(files, ino, times)
        })
    }

    fn make_folder(&self, folder: &SimHandle, name: &[u8], mode: Mode) -> Result<(), Errno> {
        self.on_name("mkdirat", folder, name, |files| {
            files.create(folder.ino, name, Kind::Folder, mode.as_raw_mode() & !UMASK).map(|_| ())
        })
    }

    fn rename(&self, from: (&SimHandle, &[u8]), to: (&SimHandle, &[u8]), flags: RenameFlags) -> Result<(), Errno> {
        let (old, new) = (At { folder: &from.0.path, name: from.1 }, At { folder: &to.0.path, name: to.1 });
        let name = if flags.is_empty() { "renameat" } else { "renameat2" };
        self.call(name, old, Some(new), |files| {
            usable(files, from.0)?;
            usable(files, to.0)?;
            let lost = !new.is_private() && files.take(|fault| matches!(fault, Fault::RenameLost { .. }));
            files.rename((from.0.ino, from.1), (to.0.ino, to.1), flags, lost)
        })
    }

    fn link(&self, existing: (&SimHandle, &[u8]), new: (&SimHandle, &[u8])) -> Result<(), Errno> {
        let old = At { folder: &existing.0.path, name: existing.1 };
        self.call("linkat", old, Some(At { folder: &new.0.path, name: new.1 }), |files| {
            usable(files, existing.0)?;
            usable(files, new.0)?;
            files.link((existing.0.ino, existing.1), (new.0.ino, new.1))
        })
    }

    fn unlink(&self, folder: &SimHandle, name: &[u8]) -> Result<(), Errno> {
        self.on_name("unlinkat", folder, name, |files| files.unlink(folder.ino, name, false))
    }

    fn remove_folder(&self, folder: &SimHandle, name: &[u8]) -> Result<(), Errno> {
        self.on_name("unlinkat", folder, name, |files| files.unlink(folder.ino, name, true))
    }

    fn unique(&self) -> (u32, u64) {
        let mut files = self.lock();
        files.unique += 1;
        (1, files.unique)
    }

    fn open_writers(&self) -> OpenWriters {
        OpenWriters::default()
    }
}
