//! The calls, carried out by the operating system.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{
    Advice, AtFlags, CWD, Dir, DirEntry, FallocateFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, SeekFrom,
    Stat, StatxFlags, Timestamps,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::path::Arg;

use super::{Disk, Entries, Facts, Listed, MountId};
use crate::{Kind, Meta, OpenWriters, Space};

/// Set once the kernel turns out not to know `openat2`.
static WITHOUT_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Tells apart the names that this process makes.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// The mounted file systems of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    type Handle = OwnedFd;
    type Entries = Dir;

    const FLUSHES_AT_ONCE: usize = 16;

    fn open_root(&self, root: &Path) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    }

    fn open_below(&self, root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
        if WITHOUT_OPENAT2.load(Ordering::Relaxed) {
            return Err(Errno::NOSYS);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve);
        if matches!(opened, Err(Errno::NOSYS)) {
            WITHOUT_OPENAT2.store(true, Ordering::Relaxed);
        }
        opened
    }

    fn open(&self, folder: &OwnedFd, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(folder, name, flags, mode)
    }

    fn duplicate(&self, handle: &OwnedFd) -> Result<OwnedFd, Errno> {
        handle.try_clone().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::MFILE))
    }

    fn entries_from(&self, folder: OwnedFd) -> Result<Dir, Errno> {
        Dir::new(folder)
    }

    fn entries(&self, folder: &OwnedFd) -> Result<Dir, Errno> {
        Dir::read_from(folder)
    }

    fn stat_name<P: Arg>(&self, folder: &OwnedFd, name: P) -> Result<Facts, Errno> {
        rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| facts_of(&stat))
    }

    fn stat(&self, handle: &OwnedFd) -> Result<Facts, Errno> {
        rustix::fs::fstat(handle).map(|stat| facts_of(&stat))
    }

    fn mount(&self, folder: &OwnedFd) -> Result<MountId, Errno> {
        let flags = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        match rustix::fs::statx(folder, c"", AtFlags::EMPTY_PATH, flags) {
            Ok(stat) => Ok((stat.stx_dev_major, stat.stx_dev_minor, stat.stx_mnt_id)),
            Err(Errno::NOSYS) => {
                let stat = rustix::fs::fstat(folder)?;
                Ok((rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev), 0))
            }
            Err(errno) => Err(errno),
        }
    }

    fn space(&self, folder: &OwnedFd) -> Result<Space, Errno> {
        let stat = rustix::fs::fstatvfs(folder)?;
        Ok(Space {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    fn read_at(&self, file: &OwnedFd, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
        rustix::io::pread(file, buffer, at)
    }

    fn write_at(&self, file: &OwnedFd, bytes: &[u8], at: u64) -> Result<usize, Errno> {
        rustix::io::pwrite(file, bytes, at)
    }

    fn set_size(&self, file: &OwnedFd, size: u64) -> Result<(), Errno> {
        retry_on_intr(|| rustix::fs::ftruncate(file, size))
    }

    fn reserve(&self, file: &OwnedFd, size: u64) -> Result<(), Errno> {
        rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, size)
    }

    fn forget_cached(&self, file: &OwnedFd) -> Result<(), Errno> {
        rustix::fs::fadvise(file, 0, None, Advice::DontNeed)
    }

    fn seek(&self, file: &OwnedFd, to: SeekFrom) -> Result<u64, Errno> {
        rustix::fs::seek(file, to)
    }

    fn sync(&self, handle: &OwnedFd) -> Result<(), Errno> {
        retry_on_intr(|| rustix::fs::fsync(handle))
    }

    fn sync_data(&self, file: &OwnedFd) -> Result<(), Errno> {
        retry_on_intr(|| rustix::fs::fdatasync(file))
    }

    fn set_mode(&self, file: &OwnedFd, mode: Mode) -> Result<(), Errno> {
        rustix::fs::fchmod(file, mode)
    }

    fn set_mode_name(&self, folder: &OwnedFd, name: &[u8], mode: Mode) -> Result<(), Errno> {
        rustix::fs::chmodat(folder, name, mode, AtFlags::empty())
    }

    fn set_times(&self, file: &OwnedFd, times: &Timestamps) -> Result<(), Errno> {
        rustix::fs::futimens(file, times)
    }

    fn set_times_name(&self, folder: &OwnedFd, name: &[u8], times: &Timestamps) -> Result<(), Errno> {
        rustix::fs::utimensat(folder, name, times, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn make_folder(&self, folder: &OwnedFd, name: &[u8], mode: Mode) -> Result<(), Errno> {
        rustix::fs::mkdirat(folder, name, mode)
    }

    fn rename(&self, from: (&OwnedFd, &[u8]), to: (&OwnedFd, &[u8]), flags: RenameFlags) -> Result<(), Errno> {
        // The older call where it is enough: not every kernel and file system knows the other.
        if flags.is_empty() {
            rustix::fs::renameat(from.0, from.1, to.0, to.1)
        } else {
            rustix::fs::renameat_with(from.0, from.1, to.0, to.1, flags)
        }
    }

    fn link(&self, existing: (&OwnedFd, &[u8]), new: (&OwnedFd, &[u8])) -> Result<(), Errno> {
        rustix::fs::linkat(existing.0, existing.1, new.0, new.1, AtFlags::empty())
    }

    fn unlink(&self, folder: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::unlinkat(folder, name, AtFlags::empty())
    }

    fn remove_folder(&self, folder: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
    }

    fn unique(&self) -> (u32, u64) {
        (std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
    }

    fn open_writers(&self) -> OpenWriters {
        OpenWriters::snapshot()
    }
}

impl Entries for Dir {
    type Entry = DirEntry;

    fn next_entry(&mut self) -> Option<Result<DirEntry, Errno>> {
        self.read()
    }
}

impl Listed for DirEntry {
    fn name(&self) -> &CStr {
        self.file_name()
    }

    fn kind(&self) -> FileType {
        self.file_type()
    }
}

/// Joins seconds and nanoseconds; times beyond the year 2262 are taken as the last that fits.
fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.checked_mul(1_000_000_000).and_then(|ns| ns.checked_add(nanoseconds)).unwrap_or(if seconds < 0 {
        i64::MIN
    } else {
        i64::MAX
    })
}

fn facts_of(stat: &Stat) -> Facts {
    let meta = Meta {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        },
        size: u64::try_from(stat.st_size).unwrap_or_default(),
        mtime_ns: nanoseconds(stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or_default()),
        ctime_ns: nanoseconds(stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or_default()),
        ino: stat.st_ino,
        dev: stat.st_dev,
        mode: stat.st_mode & 0o7777,
    };
    Facts { meta, taken: u64::try_from(stat.st_blocks).unwrap_or_default().saturating_mul(512) }
}
