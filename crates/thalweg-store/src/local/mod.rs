//! A store that is a folder of this machine.
//!
//! Every operation opens the root anew, so that the store never keeps a file system from being unmounted and notices
//! when it was. Below the root no symbolic link is followed.

mod confine;
mod lasting;
mod publish;
mod read;
mod remove;
mod small;
mod staging;
mod walk;

pub(crate) use small::replace as replace_small;

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;
use thalweg_core::RelPath;

use self::lasting::Lasting;
use crate::disk::{Disk, OsDisk};
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
pub type LocalStore = DiskStore<OsDisk>;

/// A store below a folder of a disk; see [`LocalStore`] and [`crate::MemoryStore`].
#[derive(Debug, Clone)]
pub struct DiskStore<D: Disk> {
    pub(crate) disk: D,
    root: PathBuf,
    /// Not set while a root that was never there is still missing.
    id: Arc<OnceLock<RootId>>,
    lasting: Lasting,
}

/// An open folder and a name in it.
struct Place<D: Disk> {
    folder: D::Handle,
    name: Vec<u8>,
}

impl DiskStore<OsDisk> {
    /// Opens the store at `root` and remembers which file system lies there now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if `root` is no folder.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        let id = match OsDisk.open_root(&root).and_then(|fd| OsDisk.stat(&fd)) {
            Ok(facts) => RootId { dev: facts.meta.dev, ino: facts.meta.ino },
            Err(errno) => return Err(unavailable(&root, errno)),
        };
        Ok(Self::open_on(OsDisk, root, id))
    }

    /// Makes the store at `root` that was known as `id`, whether it is there now or not.
    pub fn open_as(root: impl Into<PathBuf>, id: RootId) -> Self {
        Self::open_on(OsDisk, root.into(), id)
    }

    /// Makes the store at a `root` that is not there yet: the folder that it first finds there is the one.
    pub fn open_when_there(root: impl Into<PathBuf>) -> Self {
        Self { disk: OsDisk, root: root.into(), id: Arc::default(), lasting: Lasting::default() }
    }

    /// Returns the root folder as it was given.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns which folder of which file system the root was when the store was opened; none while it is missing.
    pub fn root_id(&self) -> Option<RootId> {
        self.id.get().copied()
    }

    /// Returns the path for the operating system, e.g. to hand it to a child process.
    pub fn absolute(&self, path: &RelPath) -> PathBuf {
        self.root.join(OsStr::from_bytes(&path.to_bytes()))
    }
}

impl<D: Disk> DiskStore<D> {
    /// Makes the store at `root` of a disk.
    pub(crate) fn open_on(disk: D, root: PathBuf, id: RootId) -> Self {
        Self { disk, root, id: Arc::new(id.into()), lasting: Lasting::default() }
    }

    /// Opens the root and makes sure that it is the file system that it was.
    fn enter(&self) -> Result<D::Handle, StoreError> {
        let fd = self.disk.open_root(&self.root).map_err(|errno| unavailable(&self.root, errno))?;
        let found = self.disk.stat(&fd).map_err(|errno| unavailable(&self.root, errno))?.meta;
        let known = self.id.get_or_init(|| RootId { dev: found.dev, ino: found.ino });
        if found.dev != known.dev {
            let what = format!("another file system lies there (device {}, was {})", found.dev, known.dev);
            return Err(StoreError::Unavailable { root: self.root.clone(), what });
        }
        Ok(fd)
    }

    /// Opens the folder that holds `path`.
    fn place(&self, action: &'static str, path: &RelPath) -> Result<Place<D>, StoreError> {
        let bytes = confine::checked(action, path)?;
        let root = self.enter()?;
        let (parent, name) = confine::split(&bytes);
        let fail = |errno| StoreError::from_errno(action, path, errno);
        let folder =
            if parent.is_empty() { root } else { confine::open_folder(&self.disk, &root, parent).map_err(fail)? };
        Ok(Place { folder, name: name.to_vec() })
    }

    /// Opens the folder that holds `path`, making it and those above it; with `durable` their names are on the disk then.
    fn place_made(&self, action: &'static str, path: &RelPath, durable: bool) -> Result<Place<D>, StoreError> {
        let bytes = confine::checked(action, path)?;
        let root = self.enter()?;
        let (parent, name) = confine::split(&bytes);
        let fail = |errno| StoreError::from_errno(action, path, errno);
        let folder = if parent.is_empty() {
            root
        } else {
            match confine::open_folder(&self.disk, &root, parent) {
                Ok(folder) if durable => self.made_lasting(root, parent, folder).map_err(fail)?,
                Err(Errno::NOENT) if durable => self.lasting(root, parent).map_err(fail)?,
                Err(Errno::NOENT) => confine::make_folders(&self.disk, root, parent, false).map_err(fail)?,
                other => other.map_err(fail)?,
            }
        };
        Ok(Place { folder, name: name.to_vec() })
    }

    /// Flushes the names of a folder that was found, and of those above it, unless they are known to last.
    fn made_lasting(&self, root: D::Handle, path: &[u8], folder: D::Handle) -> Result<D::Handle, Errno> {
        let ino = self.disk.stat(&folder)?.meta.ino;
        if self.lasting.holds(path, ino) { Ok(folder) } else { self.lasting(root, path) }
    }

    fn lasting(&self, root: D::Handle, path: &[u8]) -> Result<D::Handle, Errno> {
        let folder = confine::make_folders(&self.disk, root, path, true)?;
        self.lasting.note(path, self.disk.stat(&folder)?.meta.ino);
        Ok(folder)
    }

    /// Flushes the names of the folders that `path` lies in, unless they are known to last.
    fn flush_above(&self, action: &'static str, path: &RelPath) -> Result<(), StoreError> {
        let bytes = confine::checked(action, path)?;
        let (parent, _) = confine::split(&bytes);
        if parent.is_empty() {
            return Ok(());
        }
        let root = self.enter()?;
        confine::open_folder(&self.disk, &root, parent)
            .and_then(|folder| self.made_lasting(root, parent, folder))
            .map(drop)
            .map_err(|errno| StoreError::from_errno(action, path, errno))
    }
}

impl<D: Disk> Place<D> {
    /// Returns the facts of the name, never following a link.
    fn stat(&self, disk: &D) -> Result<Meta, Errno> {
        disk.stat_name(&self.folder, &self.name[..]).map(|facts| facts.meta)
    }

    /// Returns both as a call takes them.
    fn named(&self) -> (&D::Handle, &[u8]) {
        (&self.folder, &self.name)
    }
}

fn unavailable(root: &Path, errno: Errno) -> StoreError {
    let what = match errno {
        Errno::NOENT => crate::error::ROOT_MISSING.to_owned(),
        Errno::NOTDIR => "the root is not a folder".to_owned(),
        other => std::io::Error::from(other).to_string(),
    };
    StoreError::Unavailable { root: root.to_owned(), what }
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
fn sync_folder<D: Disk>(disk: &D, folder: &D::Handle) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = disk.open(folder, b".", flags, Mode::empty())?;
    match disk.sync(&fd) {
        Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
        other => other,
    }
}

impl<D: Disk> Store for DiskStore<D> {
    fn stat(&self, path: &RelPath) -> Result<Option<Meta>, StoreError> {
        if path.as_str().is_empty() {
            let root = self.enter()?;
            let facts = self.disk.stat(&root).map_err(|errno| StoreError::from_errno("look at", path, errno))?;
            return Ok(Some(facts.meta));
        }
        let place = match self.place("look at", path) {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        match place.stat(&self.disk) {
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
        small::replace(&self.disk, &place.folder, &place.name, bytes)
            .map_err(|errno| StoreError::from_errno(ACTION, path, errno))
    }

    fn free_space(&self) -> Result<Space, StoreError> {
        let root = self.enter()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.disk
            .open(&root, b".", flags, Mode::empty())
            .and_then(|fd| self.disk.space(&fd))
            .map_err(|errno| StoreError::from_errno("ask the free space of", &RelPath::default(), errno))
    }

    fn make_folder(&self, path: &RelPath) -> Result<(), StoreError> {
        const ACTION: &str = "make folder";
        let place = self.place_made(ACTION, path, true)?;
        let fail = |errno| StoreError::from_errno(ACTION, path, errno);
        match self.disk.make_folder(&place.folder, &place.name, FOLDER_MODE) {
            Ok(()) => sync_folder(&self.disk, &place.folder).map_err(fail),
            Err(Errno::EXIST) if place.stat(&self.disk).is_ok_and(|meta| meta.kind == Kind::Folder) => Ok(()),
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
                    match self.disk.remove_folder(&place.folder, &place.name) {
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
        self.disk
            .set_times_name(&place.folder, &place.name, &times)
            .map_err(|errno| StoreError::from_errno(ACTION, path, errno))
    }

    fn set_mode(&self, path: &RelPath, mode: u32) -> Result<(), StoreError> {
        const ACTION: &str = "set the mode of";
        let place = self.place(ACTION, path)?;
        let fail = |errno| StoreError::from_errno(ACTION, path, errno);
        // Following a link here would change something outside.
        if place.stat(&self.disk).map_err(fail)?.kind == Kind::Link {
            return Err(fail(Errno::LOOP));
        }
        let mode = Mode::from_raw_mode(mode & 0o7777);
        self.disk.set_mode_name(&place.folder, &place.name, mode).map_err(fail)
    }

    fn touch(&self, path: &RelPath) -> Result<(), StoreError> {
        const ACTION: &str = "touch";
        let place = self.place_made(ACTION, path, true)?;
        let fail = |errno| StoreError::from_errno(ACTION, path, errno);
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = self.disk.open(&place.folder, &place.name, flags, Mode::from_raw_mode(0o666)).map_err(fail)?;
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        self.disk.set_times(&fd, &times).map_err(fail)?;
        sync_folder(&self.disk, &place.folder).map_err(fail)
    }

    fn link(&self, existing: &RelPath, new: &RelPath) -> Result<(), StoreError> {
        const ACTION: &str = "link";
        let from = self.place(ACTION, existing)?;
        let meta = from.stat(&self.disk).map_err(|errno| StoreError::from_errno(ACTION, existing, errno))?;
        let unsupported = |what| StoreError::NotSupported { action: ACTION, path: existing.clone(), what };
        if meta.kind != Kind::File {
            return Err(unsupported("only regular files can have a second name"));
        }
        let to = self.place_made(ACTION, new, true)?;
        match self.disk.link(from.named(), to.named()) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::NOTSUP | Errno::MLINK) => {
                return Err(unsupported("the file system gives this file no second name"));
            }
            Err(Errno::XDEV) => return Err(unsupported("the two names lie on different file systems")),
            Err(errno) => return Err(StoreError::from_errno(ACTION, new, errno)),
        }
        sync_folder(&self.disk, &to.folder).map_err(|errno| StoreError::from_errno(ACTION, new, errno))
    }

    fn writer(&self, path: &RelPath) -> Result<Option<u32>, StoreError> {
        Ok(self.stat(path)?.and_then(|meta| self.open_writers().writer_of(&meta)))
    }

    fn open_writers(&self) -> OpenWriters {
        self.disk.open_writers()
    }
}
