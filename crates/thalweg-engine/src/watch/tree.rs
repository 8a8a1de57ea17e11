//! The watches that the kernel keeps for one tree.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::io::Errno;
use thalweg_core::RelPath;

use super::{RawEvent, RawKind};

/// Room for events read at once: some hundred.
const EVENTS: usize = 64 << 10;

/// A folder that could not be watched.
pub(super) struct Unwatched {
    pub(super) folder: RelPath,
    pub(super) reason: String,
}

/// The watches of one tree and which folder each is for.
pub(super) struct WatchTree {
    root: PathBuf,
    kernel: Inotify,
    paths: HashMap<WatchDescriptor, RelPath>,
    watches: BTreeMap<RelPath, WatchDescriptor>,
    buffer: Vec<u8>,
}

impl WatchTree {
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: root.to_owned(),
            kernel: Inotify::init()?,
            paths: HashMap::new(),
            watches: BTreeMap::new(),
            buffer: vec![0; EVENTS],
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.kernel.as_fd()
    }

    fn absolute(&self, path: &RelPath) -> PathBuf {
        if path.as_str().is_empty() { self.root.clone() } else { self.root.join(OsStr::from_bytes(&path.to_bytes())) }
    }

    /// Watches a folder and every wanted one below it; returns those that could not be watched.
    ///
    /// Each folder is watched before it is listed: a folder made in between is seen by one of the two.
    pub(super) fn add(&mut self, folder: &RelPath, wanted: &dyn Fn(&RelPath) -> bool) -> Vec<Unwatched> {
        let mut failed = Vec::new();
        let mut pending = vec![folder.clone()];
        while let Some(folder) = pending.pop() {
            match self.add_one(&folder) {
                Ok(()) => {}
                // Removed meanwhile, or no folder any more.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => {
                    failed.push(Unwatched { folder, reason: reason(errno) });
                    if errno == Errno::NOSPC {
                        // No watch is left for the others either.
                        failed.extend(pending.drain(..).map(|folder| Unwatched { folder, reason: reason(errno) }));
                    }
                    continue;
                }
            }
            let Ok(entries) = std::fs::read_dir(self.absolute(&folder)) else { continue };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let path = folder.join(RelPath::from_bytes(entry.file_name().as_bytes()).as_str());
                    if wanted(&path) {
                        pending.push(path);
                    }
                }
            }
        }
        failed
    }

    fn add_one(&mut self, folder: &RelPath) -> Result<(), Errno> {
        let mut mask = WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::EXCL_UNLINK
            | WatchMask::ONLYDIR;
        // The root may be a link; below it none is followed.
        if !folder.as_str().is_empty() {
            mask |= WatchMask::DONT_FOLLOW;
        }
        let path = self.absolute(folder);
        let watch = self
            .kernel
            .watches()
            .add(&path, mask)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        // A folder that was renamed keeps its watch; then the new name counts.
        if let Some(old) = self.paths.insert(watch.clone(), folder.clone())
            && old != *folder
        {
            self.watches.remove(&old);
        }
        self.watches.insert(folder.clone(), watch);
        Ok(())
    }

    /// Stops watching a folder and all below it.
    pub(super) fn remove(&mut self, folder: &RelPath) {
        let below = format!("{}/", folder.as_str());
        let all = folder.as_str().is_empty();
        let gone: Vec<RelPath> = self
            .watches
            .keys()
            .filter(|path| all || *path == folder || path.as_str().starts_with(&below))
            .cloned()
            .collect();
        for path in gone {
            if let Some(watch) = self.watches.remove(&path) {
                self.paths.remove(&watch);
                // It may be gone with its folder already.
                let _ = self.kernel.watches().remove(watch);
            }
        }
    }

    /// Reads the events that are there; none is no error.
    pub(super) fn read(&mut self) -> io::Result<Vec<RawEvent>> {
        let Self { kernel, buffer, paths, watches, .. } = self;
        let events = match kernel.read_events(buffer) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        let mut raw = Vec::new();
        for event in events {
            let mask = event.mask;
            if mask.contains(EventMask::Q_OVERFLOW) {
                raw.push(RawEvent { kind: RawKind::Overflow, path: RelPath::default(), is_folder: false });
                continue;
            }
            let Some(folder) = paths.get(&event.wd) else { continue };
            let kind = kind_of(mask);
            let path = match event.name {
                Some(name) => folder.join(RelPath::from_bytes(name.as_bytes()).as_str()),
                None => folder.clone(),
            };
            // An attribute of the watched folder itself: the folder above tells of it, if it matters.
            let skip = event.name.is_none() && kind == Some(RawKind::Attrib);
            if let Some(kind) = kind.filter(|_| !skip) {
                raw.push(RawEvent { kind, path, is_folder: mask.contains(EventMask::ISDIR) });
            }
            if mask.contains(EventMask::IGNORED)
                && let Some(path) = paths.remove(&event.wd)
                && watches.get(&path) == Some(&event.wd)
            {
                watches.remove(&path);
            }
        }
        Ok(raw)
    }
}

/// Returns what an event is about; `None` for those that mean nothing here.
fn kind_of(mask: EventMask) -> Option<RawKind> {
    [
        (EventMask::UNMOUNT, RawKind::Unmount),
        (EventMask::DELETE_SELF, RawKind::SelfGone),
        (EventMask::MOVE_SELF, RawKind::SelfGone),
        (EventMask::CLOSE_WRITE, RawKind::CloseWrite),
        (EventMask::MOVED_TO, RawKind::MovedTo),
        (EventMask::MOVED_FROM, RawKind::MovedFrom),
        (EventMask::CREATE, RawKind::Create),
        (EventMask::DELETE, RawKind::Delete),
        (EventMask::ATTRIB, RawKind::Attrib),
    ]
    .into_iter()
    .find_map(|(bit, kind)| mask.contains(bit).then_some(kind))
}

fn reason(errno: Errno) -> String {
    match errno {
        Errno::NOSPC => {
            "the kernel's limit of watches is reached; raise fs.inotify.max_user_watches to get events again".to_owned()
        }
        errno => io::Error::from(errno).to_string(),
    }
}
