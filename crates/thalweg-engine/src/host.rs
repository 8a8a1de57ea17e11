//! What an engine has around it on its host: storage, threads, child processes, events of the file system.
//!
//! Everything that the engine does beyond its own memory and its ledger goes through [`Host`], so that a simulation can
//! stand in for all of it and decide who goes on when. [`ThisHost`] is the machine that the program runs on.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use thalweg_core::{RelPath, ReportLine};
use thalweg_store::{LocalStore, RootId, Store};

use crate::child::{Child, ChildError, Command, Ended};
use crate::watch::{Tell, Watcher};

/// A thread that works beside the dispatcher.
pub trait Working: Send {
    /// Waits for its end.
    fn join(self: Box<Self>);

    /// Tells if it is over.
    fn is_over(&self) -> bool;
}

/// A tree that is watched until this is dropped.
pub trait Watching {}

/// What an engine has around it.
pub trait Host: Send + Sync {
    /// Opens the root of a station. With `make` a missing root is made; one that stays missing is unavailable, and no
    /// reason not to work for the others. Where the root was this folder before, with files in it, it is not made, and
    /// another folder that is empty is not taken for it.
    fn store(&self, station: &str, root: &Path, make: bool, before: Option<RootId>) -> Arc<dyn Store>;

    /// Has work done beside the dispatcher.
    ///
    /// # Errors
    ///
    /// If there is no thread for it.
    fn start(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Working>>;

    /// Gives way to others before a wait of at most `time`; false: the caller is to wait for itself.
    fn give_way(&self, time: Option<Duration>) -> bool {
        let _ = time;
        false
    }

    /// Somebody was sent a message; for a host whose waits are [`Host::give_way`].
    fn told(&self) {}

    /// How many files are read side by side.
    fn readers(&self) -> usize {
        std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(4)
    }

    /// Begins to watch the tree of a station; none where no thread can be had: it is listed at intervals all the same.
    fn watch(
        &self,
        number: u32,
        station: &str,
        root: &Path,
        wanted: Box<dyn Fn(&RelPath) -> bool + Send>,
        tell: Tell,
    ) -> Option<Box<dyn Watching>>;

    /// Runs a child process to its end.
    ///
    /// # Errors
    ///
    /// Those of [`Child::spawn`] and [`Child::wait`].
    fn child(
        &self,
        command: Command,
        cancel: &AtomicBool,
        told: &mut dyn FnMut(ReportLine),
    ) -> Result<Ended, ChildError>;

    /// Ends the children of an earlier engine that are still at work for these runs, given with the names of their staging
    /// folders; `state` is the folder of run logs.
    fn end_children(&self, runs: &[(i64, String)], state: &Path);

    /// Whether other processes may hand requests to the engine.
    fn takes_requests(&self) -> bool {
        true
    }

    /// How long messages are gathered at most while nothing can be done but to write down what they tell.
    fn linger(&self) -> Duration {
        Duration::from_millis(50)
    }

    /// How the ledger is opened.
    fn ledger_options(&self) -> thalweg_ledger::Options {
        thalweg_ledger::Options::default()
    }
}

/// Waits for a message as long as it takes; none when nobody can send one any more.
pub(crate) fn receive<T>(host: &dyn Host, messages: &Receiver<T>) -> Option<T> {
    loop {
        match messages.try_recv() {
            Ok(message) => return Some(message),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) if host.give_way(None) => {}
            Err(TryRecvError::Empty) => return messages.recv().ok(),
        }
    }
}

/// Waits for a message for at most `time`.
pub(crate) fn receive_within<T>(host: &dyn Host, messages: &Receiver<T>, time: Duration) -> Option<T> {
    match messages.try_recv() {
        Ok(message) => Some(message),
        Err(TryRecvError::Disconnected) => None,
        Err(TryRecvError::Empty) if host.give_way(Some(time)) => messages.try_recv().ok(),
        Err(TryRecvError::Empty) => messages.recv_timeout(time).ok(),
    }
}

/// The machine that this program runs on.
#[derive(Debug, Default, Clone, Copy)]
pub struct ThisHost;

struct Thread(std::thread::JoinHandle<()>);

impl Working for Thread {
    fn join(self: Box<Self>) {
        // A panic there was already told by its silence.
        let _ = self.0.join();
    }

    fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

// A root that is missing, or another folder than before and empty.
fn is_not_mounted(root: &Path, before: RootId) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(found) = std::fs::metadata(root) else { return true };
    let same = found.dev() == before.dev && found.ino() == before.ino;
    !same && std::fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_none())
}

impl Watching for Watcher {}

impl Host for ThisHost {
    fn store(&self, _: &str, root: &Path, make: bool, before: Option<RootId>) -> Arc<dyn Store> {
        if let Some(before) = before
            && is_not_mounted(root, before)
        {
            return Arc::new(LocalStore::open_as(root, before));
        }
        if make && !root.exists() {
            // If this fails, the station is unavailable, which the first listing tells.
            let _ = std::fs::create_dir_all(root);
        }
        Arc::new(LocalStore::open(root).unwrap_or_else(|_| LocalStore::open_when_there(root)))
    }

    fn start(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Working>> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Box::new(Thread(thread)))
    }

    fn watch(
        &self,
        number: u32,
        _: &str,
        root: &Path,
        wanted: Box<dyn Fn(&RelPath) -> bool + Send>,
        tell: Tell,
    ) -> Option<Box<dyn Watching>> {
        Watcher::start(number, root, wanted, tell).ok().map(|watcher| Box::new(watcher) as Box<dyn Watching>)
    }

    fn child(
        &self,
        mut command: Command,
        cancel: &AtomicBool,
        told: &mut dyn FnMut(ReportLine),
    ) -> Result<Ended, ChildError> {
        for folder in [Some(&command.cwd), command.temporary.as_ref()].into_iter().flatten() {
            std::fs::create_dir_all(folder).map_err(|source| ChildError::Prepare { path: folder.clone(), source })?;
        }
        if let Some(sandbox) = &mut command.sandbox {
            sandbox.read.retain(|path| path.exists());
        }
        Child::spawn(command)?.wait(cancel, told)
    }

    fn end_children(&self, runs: &[(i64, String)], state: &Path) {
        crate::child::end_left(runs, state);
    }
}
