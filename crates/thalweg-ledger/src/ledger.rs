//! The handle to a ledger, and answers that are still to come.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use crate::kinds::Change;
use crate::open::{self, Options};
use crate::pool::Pool;
use crate::rows::{ObserveOutcome, Observed};
use crate::writer::{Call, Desk, Job, Writer};
use crate::{Error, Reader, Tx};

/// How many closures may wait for the writer before the caller has to.
const WAITING: usize = 4096;

/// How many files [`Ledger::bulk_observe`] puts into one transaction.
const BULK: usize = 20_000;

/// A ledger that is open; clones share it. Dropping the last one writes what waits and closes the file.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    path: PathBuf,
    options: Options,
    /// Closed before the writer: the last connection to be closed is the one that can empty the write-ahead log.
    pool: Pool,
    /// None when open for reading only.
    writer: Option<Channel>,
}

struct Channel {
    /// None while the writer is being closed.
    jobs: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    desk: Arc<Desk>,
}

/// The answer to a write that was handed to the writer.
#[must_use = "a write that nobody waits for may fail unseen"]
pub struct Pending<T> {
    answer: Receiver<Result<T, Error>>,
    path: PathBuf,
}

/// How many files of a scan were new, changed and so on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct BulkOutcome {
    /// Paths not known before.
    pub new: u64,
    /// Other versions.
    pub changed: u64,
    /// As recorded.
    pub same: u64,
    /// Recorded as absent before.
    pub reappeared: u64,
    /// The same version under another product or other fields.
    pub reclassified: u64,
}

impl Ledger {
    /// Opens the ledger at `path`, making it if it is not there; brings an older schema up to date.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::create_with(path, Options::default())
    }

    /// Opens the ledger at `path`, making it if it is not there, with options of one's own.
    pub fn create_with(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        Self::start(path.as_ref(), true, options)
    }

    /// Opens a ledger that exists; brings an older schema up to date.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, Options::default())
    }

    /// Opens a ledger that exists, with options of one's own.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        Self::start(path.as_ref(), false, options)
    }

    /// Opens a ledger for reading only, also while another process writes, also on a read-only file system.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let options = Options::default();
        open::reader(&path, &options)?;
        Ok(Self(Arc::new(Inner { path, options, writer: None, pool: Pool::default() })))
    }

    fn start(path: &Path, create: bool, options: Options) -> Result<Self, Error> {
        let db = open::writer(path, create, &options)?;
        let (jobs, waiting) = sync_channel(WAITING);
        let desk = Arc::new(Desk::new(Writer::new(db, &options)));
        let serving = desk.clone();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || serving.serve(&waiting))
            .map_err(|_| Error::Closed { path: path.to_owned() })?;
        let writer = Some(Channel { jobs: Some(jobs), thread: Some(thread), desk });
        Ok(Self(Arc::new(Inner { path: path.to_owned(), options, writer, pool: Pool::default() })))
    }

    /// Returns where the ledger lies.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Runs `body` in the writer and returns when its changes are on the disk.
    ///
    /// An error of `body` undoes its own changes and no others. A failure to commit is the answer to all of the group.
    /// While nobody else writes, that is done in the caller's thread, which spares the way to the writer's and back.
    pub fn write<T, F>(&self, body: F) -> Result<T, Error>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let writer = self.writer()?;
        let (job, pending) = self.call(body);
        if let Some(job) = writer.desk.at_once(job) {
            writer.hand(job, &self.0.path)?;
        }
        pending.wait()
    }

    /// Hands `body` to the writer; closures run in the order in which they were handed over.
    pub fn submit<T, F>(&self, body: F) -> Result<Pending<T>, Error>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let writer = self.writer()?;
        let (job, pending) = self.call(body);
        writer.hand(job, &self.0.path)?;
        Ok(pending)
    }

    // Returns the way to the writer, if it may be gone now.
    fn writer(&self) -> Result<&Channel, Error> {
        let path = || self.0.path.clone();
        let Some(writer) = &self.0.writer else { return Err(Error::ReadOnly { path: path() }) };
        if writer.desk.is_mine() {
            return Err(Error::Nested { path: path() });
        }
        if self.0.options.gate.as_ref().is_some_and(|gate| !gate.is_open()) {
            return Err(Error::Full { path: path() });
        }
        Ok(writer)
    }

    fn call<T, F>(&self, body: F) -> (Box<dyn Job>, Pending<T>)
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let path = self.0.path.clone();
        let (reply, answer) = sync_channel(1);
        (Box::new(Call::new(body, reply, path.clone())), Pending { answer, path })
    }

    /// Opens a connection for reading. It sees what was durable when each of its queries began.
    pub fn reader(&self) -> Result<Reader, Error> {
        if let Some(idle) = self.0.pool.take() {
            return Ok(Reader::new(idle));
        }
        let db = open::reader(&self.0.path, &self.0.options)?;
        Ok(Reader::new(self.0.pool.lend(db)))
    }

    /// Records the files of a scan, many in one transaction, and hands each with its outcome to `each`.
    ///
    /// What was handed to `each` is on the disk. After an error the scan is simply made again.
    pub fn bulk_observe(
        &self,
        files: impl IntoIterator<Item = Observed>,
        mut each: impl FnMut(&Observed, &ObserveOutcome),
    ) -> Result<BulkOutcome, Error> {
        type Part = (Vec<Observed>, Vec<ObserveOutcome>);
        let mut total = BulkOutcome::default();
        let mut take = |pending: Pending<Part>| -> Result<(), Error> {
            let (files, outcomes) = pending.wait()?;
            for (file, outcome) in files.iter().zip(&outcomes) {
                match outcome.change {
                    Change::New => total.new += 1,
                    Change::Changed => total.changed += 1,
                    Change::Same => total.same += 1,
                    Change::Reappeared => total.reappeared += 1,
                    Change::Reclassified => total.reclassified += 1,
                }
                each(file, outcome);
            }
            Ok(())
        };
        let mut files = files.into_iter();
        let mut before: Option<Pending<Part>> = None;
        loop {
            // The next part is gathered while the one before is written.
            let part: Vec<Observed> = files.by_ref().take(BULK).collect();
            let last = part.is_empty();
            let next = if last {
                None
            } else {
                Some(self.submit(move |tx| {
                    let outcomes = part.iter().map(|file| tx.observe(file)).collect::<Result<Vec<_>, _>>()?;
                    Ok((part, outcomes))
                })?)
            };
            if let Some(before) = std::mem::replace(&mut before, next) {
                take(before)?;
            }
            if last {
                return Ok(total);
            }
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("path", &self.0.path).field("read_only", &self.0.writer.is_none()).finish()
    }
}

impl Channel {
    // Hands a closure to the writer's thread.
    fn hand(&self, job: Box<dyn Job>, path: &Path) -> Result<(), Error> {
        let handed = self.jobs.as_ref().is_some_and(|jobs| {
            self.desk.expect_one();
            jobs.send(job).is_ok()
        });
        if handed { Ok(()) } else { Err(Error::Closed { path: path.to_owned() }) }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // The last handle may be dropped by a closure, inside the writer, which cannot wait for itself.
        if let Some(thread) = self.thread.take().filter(|_| !self.desk.is_mine()) {
            // A panic of the writer was already the answer to those who waited.
            let _ = thread.join();
        }
    }
}

impl<T> Pending<T> {
    /// Waits until the write is on the disk, or has failed.
    pub fn wait(self) -> Result<T, Error> {
        self.answer.recv().unwrap_or(Err(Error::Closed { path: self.path }))
    }

    /// Waits at most `time`; gives itself back when there is no answer yet.
    pub fn wait_for(self, time: Duration) -> Result<Result<T, Error>, Self> {
        match self.answer.recv_timeout(time) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => Err(self),
            Err(RecvTimeoutError::Disconnected) => Ok(Err(Error::Closed { path: self.path })),
        }
    }
}
