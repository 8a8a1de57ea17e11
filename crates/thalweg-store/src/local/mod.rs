//! A store that is a folder of this machine.
//!
//! Every operation opens the root anew, so that the store never keeps a file system from being unmounted and notices
//! when it was. Below the root no symbolic link is followed.

mod confine;
mod publish;
mod read;
mod remove;
mod staging;
mod walk;

pub(crate) use confine::checked;
pub(crate) use staging::{is_plain_name, is_staged};

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;
use thalweg_core::RelPath;

use crate::atomic::temporary_name;
use crate::{
    Entry, Hashed, Kind, Meta, OldContent, OpenWriters, Publish, ReadStable, Space, Store, StoreError, WriteStaged,
};

/// Permission bits of new folders, less the umask.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);

/// Which folder of which file system a root is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootId {
    /// Number of the device.
    pub dev: u64,
    /// Number of the inode.
    pub ino: u64,
}

/// A store below a folder of this machine, of any mounted file system.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
    id: RootId,
}

/// An open folder and a name in it.
struct Place {
    folder: OwnedFd,
    name: Vec<u8>,
}

impl LocalStore {
    /// Opens the store at `root` and remembers which file system lies there now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if `root` is no folder.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        let id = match open_root(&root).and_then(|fd| rustix::fs::fstat(&fd)) {
            Ok(stat) => RootId { dev: stat.st_dev, ino: stat.st_ino },
            Err(errno) => return Err(unavailable(&root, errno)),
        };
        Ok(Self { root, id })
    }

    /// Makes the store at `root` that was known as `id`, whether it is there now or not.
    pub fn open_as(root: impl Into<PathBuf>, id: RootId) -> Self {
        Self { root: root.into(), id }
    }

    /// Returns the root folder as it was given.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns which folder of which file system the root was when the store was opened.
    pub fn root_id(&self) -> RootId {
        self.id
    }

    /// Returns the path for the operating system, e.g. to hand it to a child process.
    pub fn absolute(&self, path: &RelPath) -> PathBuf {
        self.root.join(OsStr::from_bytes(&path.to_bytes()))
    }

    /// Opens the root and makes sure that it is the file system that it was.
    fn enter(&self) -> Result<OwnedFd, StoreError> {
        let fd = open_root(&self.root).map_err(|errno| unavailable(&self.root, errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| unavailable(&self.root, errno))?;
        if stat.st_dev != self.id.dev {
            let what = format!("another file system lies there (device {}, was {})", stat.st_dev, self.id.dev);
            return Err(StoreError::Unavailable { root: self.root.clone(), what });
        }
        Ok(fd)
    }

    /// Opens the folder that holds `path`.
    fn place(&self, action: &'static str, path: &RelPath) -> Result<Place, StoreError> {
        let bytes = confine::checked(action, path)?;
        let root = self.enter()?;
        let (parent, name) = confine::split(&bytes);
        let fail = |errno| StoreError::from_errno(action, path, errno);
        let folder = if parent.is_empty() { root } else { confine::open_folder(&root, parent).map_err(fail)? };
        Ok(Place { folder, name: name.to_vec() })
    }

    /// Opens the folder that holds `path`, making it and those above it.
    fn place_made(&self, action: &'static str, path: &RelPath, durable: bool) -> Result<Place, StoreError> {
        let bytes = confine::checked(action, path)?;
        let root = self.enter()?;
        let (parent, name) = confine::split(&bytes);
        let fail = |errno| StoreError::from_errno(action, path, errno);
        let folder = if parent.is_empty() {
            root
        } else {
            match confine::open_folder(&root, parent) {
                Err(Errno::NOENT) => confine::make_folders(root, parent, durable).map_err(fail)?,
                other => other.map_err(fail)?,
            }
        };
        Ok(Place { folder, name: name.to_vec() })
    }
}

impl Place {
    /// Returns the facts of the name, never following a link.
    fn stat(&self) -> Result<Meta, Errno> {
        rustix::fs::statat(&self.folder, &self.name[..], AtFlags::SYMLINK_NOFOLLOW).map(|stat| meta_of(&stat))
    }
}

fn open_root(root: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn unavailable(root: &Path, errno: Errno) -> StoreError {
    let what = match errno {
        Errno::NOENT => "the root folder is missing".to_owned(),
        Errno::NOTDIR => "the root is not a folder".to_owned(),
        other => std::io::Error::from(other).to_string(),
    };
    StoreError::Unavailable { root: root.to_owned(), what }
}

/// Joins seconds and nanoseconds; times beyond the year 2262 are taken as the last that fits.
fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.checked_mul(1_000_000_000).and_then(|ns| ns.checked_add(nanoseconds)).unwrap_or(if seconds < 0 {
        i64::MIN
    } else {
        i64::MAX
    })
}

fn meta_of(stat: &Stat) -> Meta {
    Meta {
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
    }
}

/// Returns time stamps that set the modification time and leave the other.
fn mtime_only(mtime_ns: i64) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: mtime_ns.div_euclid(1_000_000_000),
            tv_nsec: mtime_ns.rem_euclid(1_000_000_000),
        },
    }
}

/// Flushes a folder; a file system that knows no such thing needs none.
fn sync_folder(folder: impl AsFd) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(folder, c".", flags, Mode::empty())?;
    match rustix::fs::fsync(&fd) {
        Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
        other => other,
    }
}

impl Store for LocalStore {
    fn stat(&self, path: &RelPath) -> Result<Option<Meta>, StoreError> {
        if path.as_str().is_empty() {
            let root = self.enter()?;
            let stat = rustix::fs::fstat(&root).map_err(|errno| StoreError::from_errno("look at", path, errno))?;
            return Ok(Some(meta_of(&stat)));
        }
        let place = match self.place("look at", path) {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        match place.stat() {
            Ok(meta) => Ok(Some(meta)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(StoreError::from_errno("look at", path, errno)),
        }
    }

    fn walk(
        &self,
        below: &RelPath,
        filter: &mut dyn FnMut(&RelPath) -> bool,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        walk::walk(self, below, filter, visit)
    }

    fn open_read(&self, path: &RelPath) -> Result<Box<dyn ReadStable>, StoreError> {
        read::open(self, path, false)
    }

    fn open_read_back(&self, path: &RelPath) -> Result<Box<dyn ReadStable>, StoreError> {
        read::open(self, path, true)
    }

    fn hash(&self, path: &RelPath, progress: &mut dyn FnMut(u64)) -> Result<Hashed, StoreError> {
        crate::hash(self, path, progress)
    }

    fn staging(&self, task_id: &str, target: &RelPath) -> Result<RelPath, StoreError> {
        staging::folder(self, task_id, target)
    }

    fn discard_staging(&self, staging: &RelPath) -> Result<(), StoreError> {
        staging::discard(self, staging)
    }

    fn write_staged(&self, path: &RelPath, from: u64, reserve: u64) -> Result<Box<dyn WriteStaged>, StoreError> {
        staging::write(self, path, from, reserve)
    }

    fn publish(&self, staged: &RelPath, target: &RelPath, how: Publish<'_>) -> Result<Meta, StoreError> {
        publish::one(self, staged, target, how)
    }

    fn publish_all(&self, files: &[(RelPath, RelPath)]) -> Vec<Result<Meta, StoreError>> {
        publish::many(self, files)
    }

    fn flush(&self, path: &RelPath) -> Result<(), StoreError> {
        publish::flush(self, path)
    }

    fn flush_all(&self, paths: &[RelPath]) -> Vec<Result<(), StoreError>> {
        publish::flush_all(self, paths)
    }

    fn remove_verified(&self, path: &RelPath, expected: &Meta, old: OldContent<'_>) -> Result<(), StoreError> {
        remove::verified(self, path, expected, old)
    }

    fn empty_trash(&self, is_over: &dyn Fn(&str) -> bool) -> Result<u64, StoreError> {
        remove::empty_trash(self, is_over)
    }

    fn write_atomically(&self, path: &RelPath, bytes: &[u8]) -> Result<(), StoreError> {
        const ACTION: &str = "write";
        let place = self.place_made(ACTION, path, true)?;
        let fail = |errno| StoreError::from_errno(ACTION, path, errno);
        let name = temporary_name();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&place.folder, &name[..], flags, Mode::from_raw_mode(0o666)).map_err(fail)?;
        let mut file = File::from(fd);
        let result = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(|error| StoreError::from_io(ACTION, path, error))
            .and_then(|()| {
                rustix::fs::renameat(&place.folder, &name[..], &place.folder, &place.name[..]).map_err(fail)
            });
        if result.is_err() {
            // Nothing better can be done if this fails too: the name is temporary and ignored by every scan.
            let _ = rustix::fs::unlinkat(&place.folder, &name[..], AtFlags::empty());
        }
        result?;
        sync_folder(&place.folder).map_err(fail)
    }

    fn free_space(&self) -> Result<Space, StoreError> {
        let root = self.enter()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let stat = rustix::fs::openat(&root, c".", flags, Mode::empty())
            .and_then(|fd| rustix::fs::fstatvfs(&fd))
            .map_err(|errno| StoreError::from_errno("ask the free space of", &RelPath::default(), errno))?;
        Ok(Space {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    fn make_folder(&self, path: &RelPath) -> Result<(), StoreError> {
        const ACTION: &str = "make folder";
        let place = self.place_made(ACTION, path, true)?;
        let fail = |errno| StoreError::from_errno(ACTION, path, errno);
        match rustix::fs::mkdirat(&place.folder, &place.name[..], FOLDER_MODE) {
            Ok(()) => sync_folder(&place.folder).map_err(fail),
            Err(Errno::EXIST) if place.stat().is_ok_and(|meta| meta.kind == Kind::Folder) => Ok(()),
            Err(errno) => Err(fail(errno)),
        }
    }

    fn remove_empty_folders(&self, path: &RelPath, upto: &RelPath) -> Result<(), StoreError> {
        let mut path = path.clone();
        while !path.as_str().is_empty() && path != *upto {
            match self.place("remove folder", &path) {
                Err(StoreError::NotFound { .. }) => {}
                other => {
                    let place = other?;
                    match rustix::fs::unlinkat(&place.folder, &place.name[..], AtFlags::REMOVEDIR) {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::NOTDIR) => return Ok(()),
                        Err(errno) => return Err(StoreError::from_errno("remove folder", &path, errno)),
                    }
                }
            }
            path = path.parent();
        }
        Ok(())
    }

    fn move_within(&self, from: &RelPath, to: &RelPath) -> Result<(), StoreError> {
        publish::rename_durably(self, "move", from, to)
    }

    fn set_mtime(&self, path: &RelPath, mtime_ns: i64) -> Result<(), StoreError> {
        const ACTION: &str = "set the time of";
        let place = self.place(ACTION, path)?;
        let times = mtime_only(mtime_ns);
        rustix::fs::utimensat(&place.folder, &place.name[..], &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| StoreError::from_errno(ACTION, path, errno))
    }

    fn set_mode(&self, path: &RelPath, mode: u32) -> Result<(), StoreError> {
        const ACTION: &str = "set the mode of";
        let place = self.place(ACTION, path)?;
        let fail = |errno| StoreError::from_errno(ACTION, path, errno);
        // Following a link here would change something outside.
        if place.stat().map_err(fail)?.kind == Kind::Link {
            return Err(fail(Errno::LOOP));
        }
        let mode = Mode::from_raw_mode(mode & 0o7777);
        rustix::fs::chmodat(&place.folder, &place.name[..], mode, AtFlags::empty()).map_err(fail)
    }

    fn touch(&self, path: &RelPath) -> Result<(), StoreError> {
        const ACTION: &str = "touch";
        let place = self.place_made(ACTION, path, true)?;
        let fail = |errno| StoreError::from_errno(ACTION, path, errno);
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&place.folder, &place.name[..], flags, Mode::from_raw_mode(0o666)).map_err(fail)?;
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        rustix::fs::futimens(&fd, &times).map_err(fail)?;
        sync_folder(&place.folder).map_err(fail)
    }

    fn link(&self, existing: &RelPath, new: &RelPath) -> Result<(), StoreError> {
        const ACTION: &str = "link";
        let from = self.place(ACTION, existing)?;
        let meta = from.stat().map_err(|errno| StoreError::from_errno(ACTION, existing, errno))?;
        let unsupported = |what| StoreError::NotSupported { action: ACTION, path: existing.clone(), what };
        if meta.kind != Kind::File {
            return Err(unsupported("only regular files can have a second name"));
        }
        let to = self.place_made(ACTION, new, true)?;
        match rustix::fs::linkat(&from.folder, &from.name[..], &to.folder, &to.name[..], AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::NOTSUP | Errno::MLINK) => {
                return Err(unsupported("the file system gives this file no second name"));
            }
            Err(Errno::XDEV) => return Err(unsupported("the two names lie on different file systems")),
            Err(errno) => return Err(StoreError::from_errno(ACTION, new, errno)),
        }
        sync_folder(&to.folder).map_err(|errno| StoreError::from_errno(ACTION, new, errno))
    }

    fn writer(&self, path: &RelPath) -> Result<Option<u32>, StoreError> {
        Ok(self.stat(path)?.and_then(|meta| OpenWriters::snapshot().writer_of(&meta)))
    }
}
