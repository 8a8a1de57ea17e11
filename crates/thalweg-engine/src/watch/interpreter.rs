//! What raw events mean. Touches nothing, so that recordings of real writers can be played to it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use thalweg_core::RelPath;

use super::{WatchKind, WatchReason, is_temporary};

/// How long a name may stand without its writer closing it before it is told of: writers that are at work close it in
/// their own time, a hard link never does.
const UNCLOSED_FOR: Duration = Duration::from_secs(2);

/// Most names that are waited for one by one.
const MOST_WAITED_FOR: usize = 10_000;

/// What the kernel says about one name in a watched folder, or about the root itself (empty path).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawKind {
    /// A name came to be.
    Create,
    /// A file open for writing was closed.
    CloseWrite,
    /// A name was renamed away.
    MovedFrom,
    /// A name came by a rename.
    MovedTo,
    /// A name was removed.
    Delete,
    /// Time, mode or owner changed.
    Attrib,
    /// The watched folder itself was removed or renamed.
    SelfGone,
    /// The file system of the watched folder was unmounted.
    Unmount,
    /// Events were lost.
    Overflow,
}

/// One event as the kernel gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// What happened.
    pub kind: RawKind,
    /// The path below the root.
    pub path: RelPath,
    /// True if it is a folder.
    pub is_folder: bool,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Tell of a path.
    Tell(WatchKind, RelPath),
    /// Watch a folder and all below it, then tell that it is new.
    Watch(RelPath),
    /// Stop watching a folder and all below it.
    Unwatch(RelPath),
    /// Ask for a listing of a folder and all below it.
    Rescan(RelPath, WatchReason),
    /// Watch all anew, then ask for a listing of all.
    StartOver(WatchReason),
    /// Look whether the root is still what it was.
    CheckRoot,
}

/// The state between events: names that came to be and that no writer has closed yet.
pub struct Interpreter {
    wanted: Box<dyn Fn(&RelPath) -> bool + Send>,
    unclosed: BTreeMap<RelPath, Duration>,
}

impl fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interpreter").field("unclosed", &self.unclosed).finish_non_exhaustive()
    }
}

impl Interpreter {
    /// Makes one that knows nothing; `wanted` tells whether a folder can hold anything of interest.
    pub fn new(wanted: Box<dyn Fn(&RelPath) -> bool + Send>) -> Self {
        Self { wanted, unclosed: BTreeMap::new() }
    }

    /// Tells if a folder is to be watched: neither temporary nor without interest.
    pub fn watches(&self, folder: &RelPath) -> bool {
        folder.as_str().is_empty() || (!is_temporary(folder.file_name(), &[]) && (self.wanted)(folder))
    }

    /// Takes in one event at `now`, a time that never goes backwards.
    pub fn feed(&mut self, event: &RawEvent, now: Duration) -> Vec<Action> {
        let path = &event.path;
        match event.kind {
            RawKind::Overflow => {
                self.unclosed.clear();
                return vec![Action::StartOver(WatchReason::Overflow)];
            }
            RawKind::SelfGone if path.as_str().is_empty() => return vec![Action::CheckRoot],
            // The folder above tells of its folders.
            RawKind::SelfGone => return Vec::new(),
            RawKind::Unmount if path.as_str().is_empty() => return vec![Action::CheckRoot],
            RawKind::Unmount => {
                return vec![Action::Unwatch(path.clone()), Action::Rescan(path.parent(), WatchReason::Unmounted)];
            }
            _ => {}
        }
        // Also what a temporary folder holds, should events of it come.
        if path.as_str().split('/').any(|part| is_temporary(part, &[])) {
            return Vec::new();
        }
        if event.is_folder { self.folder(event) } else { self.file(event, now) }
    }

    fn folder(&mut self, event: &RawEvent) -> Vec<Action> {
        let path = event.path.clone();
        match event.kind {
            RawKind::Create | RawKind::MovedTo if !self.watches(&path) => Vec::new(),
            RawKind::Create | RawKind::MovedTo => vec![Action::Watch(path)],
            RawKind::Delete | RawKind::MovedFrom => {
                self.forget_below(&path);
                vec![Action::Unwatch(path.clone()), Action::Tell(WatchKind::Gone, path)]
            }
            _ => Vec::new(),
        }
    }

    fn file(&mut self, event: &RawEvent, now: Duration) -> Vec<Action> {
        let path = event.path.clone();
        match event.kind {
            RawKind::Create => {
                self.unclosed.insert(path, now.saturating_add(UNCLOSED_FOR));
                if self.unclosed.len() <= MOST_WAITED_FOR {
                    return Vec::new();
                }
                self.unclosed.clear();
                vec![Action::Rescan(RelPath::default(), WatchReason::Burst)]
            }
            RawKind::CloseWrite => {
                self.unclosed.remove(&path);
                vec![Action::Tell(WatchKind::Closed, path)]
            }
            RawKind::MovedTo => {
                self.unclosed.remove(&path);
                vec![Action::Tell(WatchKind::MovedIn, path)]
            }
            RawKind::MovedFrom | RawKind::Delete => {
                self.unclosed.remove(&path);
                vec![Action::Tell(WatchKind::Gone, path)]
            }
            // Its writer is at work on it: the close tells.
            RawKind::Attrib if self.unclosed.contains_key(&path) => Vec::new(),
            RawKind::Attrib => vec![Action::Tell(WatchKind::Attrib, path)],
            RawKind::SelfGone | RawKind::Unmount | RawKind::Overflow => Vec::new(),
        }
    }

    fn forget_below(&mut self, folder: &RelPath) {
        let prefix = format!("{}/", folder.as_str());
        self.unclosed.retain(|path, _| !path.as_str().starts_with(&prefix));
    }

    /// Returns what has become due: names that stand without having been closed.
    pub fn due(&mut self, now: Duration) -> Vec<Action> {
        if self.next_due().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let due: Vec<RelPath> =
            self.unclosed.iter().filter(|(_, at)| **at <= now).map(|(path, _)| path.clone()).collect();
        due.into_iter()
            .map(|path| {
                self.unclosed.remove(&path);
                Action::Tell(WatchKind::Appeared, path)
            })
            .collect()
    }

    /// Returns when [`Interpreter::due`] has something to say next.
    pub fn next_due(&self) -> Option<Duration> {
        self.unclosed.values().min().copied()
    }

    /// Forgets all names that were waited for, because a listing of all is under way.
    pub fn forget(&mut self) {
        self.unclosed.clear();
    }
}
