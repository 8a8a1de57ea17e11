//! The thread that listens to the kernel for one tree.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use thalweg_core::RelPath;

use super::tree::{Unwatched, WatchTree};
use super::{Action, Interpreter, WatchEvent, WatchKind, WatchMessage, WatchReason};

/// Pause between two looks at the root: no event tells that something was mounted over it.
const LOOK_AT_ROOT: Duration = Duration::from_secs(1);

/// File systems whose files other hosts or programs change without the kernel here knowing, by their magic numbers:
/// NFS, FUSE, CIFS, SMB2, 9p, Ceph, Lustre, AFS, GPFS.
const REMOTE: [u64; 9] =
    [0x6969, 0x6573_5546, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x00c3_6400, 0x0bd0_0bd0, 0x5346_414f, 0x4750_4653];

/// Takes messages; tells if it wants more.
pub type Tell = Box<dyn Fn(WatchMessage) -> bool + Send>;

/// Watches one tree in a thread of its own until it is dropped.
pub struct Watcher {
    thread: Option<JoinHandle<()>>,
    stop: Arc<OwnedFd>,
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

impl Watcher {
    /// Begins to watch the tree below `path` and tells of it as number `root`.
    ///
    /// `wanted` says whether a folder can hold anything of interest; the others are not watched. The first message is
    /// [`WatchMessage::Rescan`], sent once every folder is watched, or [`WatchMessage::Unavailable`]. A `tell` that
    /// answers false ends the watching.
    ///
    /// # Errors
    ///
    /// If no thread can be had. A kernel that gives no events is no error: it is told as [`WatchMessage::Degraded`].
    pub fn start(root: u32, path: &Path, wanted: Box<dyn Fn(&RelPath) -> bool + Send>, tell: Tell) -> io::Result<Self> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let mut work = Work {
            root,
            path: path.to_owned(),
            tell,
            interpreter: Interpreter::new(wanted),
            tree: None,
            identity: None,
            device: None,
            told_unavailable: false,
            degraded: BTreeSet::new(),
            stop: Arc::clone(&stop),
            began: Instant::now(),
        };
        let thread = std::thread::Builder::new().name(format!("watch {root}")).spawn(move || {
            // The other end has gone: so does this one.
            let _ = work.run();
        })?;
        Ok(Self { thread: Some(thread), stop })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Should the word not get through, the thread still sees that nobody listens at its next message.
        let told = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        if let (Ok(_), Some(thread)) = (told, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// Nobody listens any more.
struct Unheard;

/// The state of the thread.
struct Work {
    root: u32,
    path: PathBuf,
    tell: Tell,
    interpreter: Interpreter,
    /// The watches; `None` while the root is away or the kernel gives none.
    tree: Option<WatchTree>,
    /// Device and inode of the root that is watched.
    identity: Option<(u64, u64)>,
    /// The device on which the root first lay: an empty mount point is not its return.
    device: Option<u64>,
    told_unavailable: bool,
    /// Folders of which it was told that no events come.
    degraded: BTreeSet<RelPath>,
    stop: Arc<OwnedFd>,
    began: Instant,
}

impl Work {
    fn run(&mut self) -> Result<(), Unheard> {
        self.look_at_root(WatchReason::Started)?;
        let mut looked = Instant::now();
        loop {
            let due = self.interpreter.next_due().map(|due| due.saturating_sub(self.began.elapsed()));
            let look = LOOK_AT_ROOT.saturating_sub(looked.elapsed());
            if self.wait(due.map_or(look, |due| due.min(look))) {
                return Ok(());
            }
            let events = match self.tree.as_mut().map(WatchTree::read) {
                Some(Ok(events)) => events,
                // An unreadable queue is as good as an overflow.
                Some(Err(_)) => {
                    self.start_over(WatchReason::Overflow)?;
                    Vec::new()
                }
                None => Vec::new(),
            };
            for event in events {
                let actions = self.interpreter.feed(&event, self.began.elapsed());
                self.act(actions)?;
            }
            let actions = self.interpreter.due(self.began.elapsed());
            self.act(actions)?;
            if looked.elapsed() >= LOOK_AT_ROOT {
                looked = Instant::now();
                self.look_at_root(WatchReason::Returned)?;
            }
        }
    }

    /// Waits for events; tells if it is time to stop.
    fn wait(&self, pause: Duration) -> bool {
        let mut fds = vec![PollFd::new(&*self.stop, PollFlags::IN)];
        let kernel = self.tree.as_ref().map(WatchTree::fd);
        if let Some(kernel) = &kernel {
            fds.push(PollFd::new(kernel, PollFlags::IN));
        }
        let timeout = Timespec::try_from(pause).unwrap_or_default();
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => !fds[0].revents().is_empty(),
            Err(errno) => errno != Errno::INTR,
        }
    }

    fn tell(&self, message: WatchMessage) -> Result<(), Unheard> {
        if (self.tell)(message) { Ok(()) } else { Err(Unheard) }
    }

    fn act(&mut self, actions: Vec<Action>) -> Result<(), Unheard> {
        for action in actions {
            match action {
                Action::Tell(kind, path) => {
                    self.tell(WatchMessage::Event(WatchEvent { root: self.root, path, kind }))?;
                }
                Action::Watch(folder) => {
                    self.watch(&folder)?;
                    let event = WatchEvent { root: self.root, path: folder, kind: WatchKind::FolderNew };
                    self.tell(WatchMessage::Event(event))?;
                }
                Action::Unwatch(folder) => {
                    if let Some(tree) = &mut self.tree {
                        tree.remove(&folder);
                    }
                }
                Action::Rescan(below, reason) => {
                    self.tell(WatchMessage::Rescan { root: self.root, below, reason })?;
                }
                Action::StartOver(reason) => self.start_over(reason)?,
                Action::CheckRoot => self.look_at_root(WatchReason::Returned)?,
            }
        }
        Ok(())
    }

    /// Watches a folder with all below it and tells once of what cannot be watched.
    fn watch(&mut self, folder: &RelPath) -> Result<(), Unheard> {
        let Some(tree) = &mut self.tree else { return Ok(()) };
        let interpreter = &self.interpreter;
        for Unwatched { folder, reason } in tree.add(folder, &|path| interpreter.watches(path)) {
            self.degrade(folder, reason)?;
        }
        Ok(())
    }

    fn degrade(&mut self, below: RelPath, reason: String) -> Result<(), Unheard> {
        // One word for a folder also covers those below it.
        let mut above = below.clone();
        loop {
            if self.degraded.contains(&above) {
                return Ok(());
            }
            if above.as_str().is_empty() {
                break;
            }
            above = above.parent();
        }
        self.degraded.insert(below.clone());
        self.tell(WatchMessage::Degraded { root: self.root, below, reason })
    }

    /// Watches everything anew and asks for a listing of all.
    fn start_over(&mut self, reason: WatchReason) -> Result<(), Unheard> {
        self.interpreter.forget();
        match WatchTree::new(&self.path) {
            Ok(tree) => {
                self.tree = Some(tree);
                self.watch(&RelPath::default())?;
            }
            Err(error) => {
                self.tree = None;
                self.degrade(RelPath::default(), format!("the kernel gives no watches: {error}"))?;
            }
        }
        if is_remote(&self.path) {
            let reason = "on this kind of file system changes made elsewhere give no events".to_owned();
            self.degrade(RelPath::default(), reason)?;
        }
        self.tell(WatchMessage::Rescan { root: self.root, below: RelPath::default(), reason })
    }

    /// Compares the root with what it was, and begins or ends to watch it accordingly.
    fn look_at_root(&mut self, reason: WatchReason) -> Result<(), Unheard> {
        let found = match std::fs::metadata(&self.path) {
            Ok(meta) if !meta.is_dir() => Err("the root is not a folder".to_owned()),
            Ok(meta) if self.device.is_some_and(|device| device != meta.dev()) => {
                Err("another file system lies at the root; is the right one mounted?".to_owned())
            }
            Ok(meta) => Ok((meta.dev(), meta.ino())),
            Err(error) => Err(format!("the root cannot be looked at: {error}")),
        };
        match found {
            Ok(identity) if self.identity == Some(identity) => Ok(()),
            Ok(identity) => {
                // A root that was replaced between two looks has been away, too.
                if self.identity.is_some() {
                    self.unavailable("the root was replaced".to_owned())?;
                }
                self.identity = Some(identity);
                self.device = Some(identity.0);
                self.told_unavailable = false;
                self.start_over(reason)
            }
            Err(reason) => self.unavailable(reason),
        }
    }

    fn unavailable(&mut self, reason: String) -> Result<(), Unheard> {
        self.identity = None;
        self.tree = None;
        self.interpreter.forget();
        if std::mem::replace(&mut self.told_unavailable, true) {
            return Ok(());
        }
        self.tell(WatchMessage::Unavailable { root: self.root, reason })
    }
}

/// Tells if a file system is one whose changes the kernel does not see all.
fn is_remote(path: &Path) -> bool {
    rustix::fs::statfs(path)
        .is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| REMOTE.contains(&(kind & 0xffff_ffff))))
}
