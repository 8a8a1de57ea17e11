//! The writer: the only one with a connection that can write, at a desk where one thread at a time is served.
//!
//! Closures that wait share one transaction, since a sync of the disk costs more than all of their statements. Each has
//! a savepoint of its own, and none is answered before the transaction is on the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crate::db::Db;
use crate::open::Options;
use crate::pool::Pool;
use crate::tx::Caches;
use crate::{Error, Reader, Tx};

/// A closure that waits for the writer, with whoever waits for its answer.
pub(crate) trait Job: Send {
    /// Runs the closure; tells the error it ended with, if any.
    fn run(&mut self, tx: Tx<'_>) -> Option<Error>;
    /// Makes `error` the answer, unless the closure has failed by itself.
    fn fail(&mut self, error: &Error);
    /// Sends the answer.
    fn answer(self: Box<Self>);
}

pub(crate) struct Call<T, F> {
    body: Option<F>,
    result: Option<Result<T, Error>>,
    reply: SyncSender<Result<T, Error>>,
    path: PathBuf,
}

impl<T, F> Call<T, F> {
    pub(crate) fn new(body: F, reply: SyncSender<Result<T, Error>>, path: PathBuf) -> Self {
        Self { body: Some(body), result: None, reply, path }
    }
}

impl<T, F> Job for Call<T, F>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, Error> + Send,
    T: Send,
{
    fn run(&mut self, mut tx: Tx<'_>) -> Option<Error> {
        let body = self.body.take()?;
        // The closure's changes are undone after a panic and nothing else of it is looked at again.
        let result = catch_unwind(AssertUnwindSafe(move || {
            let value = body(&mut tx)?;
            tx.end()?;
            Ok(value)
        }))
        .unwrap_or_else(|panic| {
            let message = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned());
            Err(Error::Panicked { path: self.path.clone(), message })
        });
        let error = result.as_ref().err().cloned();
        self.result = Some(result);
        error
    }

    fn fail(&mut self, error: &Error) {
        if !matches!(self.result, Some(Err(_))) {
            self.result = Some(Err(error.clone()));
        }
    }

    fn answer(self: Box<Self>) {
        let path = self.path;
        // Nobody may be waiting any more, which is theirs to decide.
        let _ = self.reply.send(self.result.unwrap_or(Err(Error::Closed { path })));
    }
}

pub(crate) struct Writer {
    reader: Reader,
    caches: Caches,
    group_size: usize,
    group_time: Duration,
    data_version: i64,
}

/// Where the writer is found by the thread of its own and, while that has nothing to do, by those who write.
pub(crate) struct Desk {
    writer: Mutex<Writer>,
    /// Who is with the writer now.
    with: Mutex<Option<ThreadId>>,
    /// Closures that were handed to the thread and are not answered yet.
    waiting: AtomicUsize,
}

impl Desk {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { writer: Mutex::new(writer), with: Mutex::new(None), waiting: AtomicUsize::new(0) }
    }

    /// Tells if the calling thread is inside the writer.
    pub(crate) fn is_mine(&self) -> bool {
        *lock(&self.with) == Some(std::thread::current().id())
    }

    /// Counts a closure that is about to be handed to the thread.
    pub(crate) fn expect_one(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
    }

    /// Runs a closure in the calling thread; gives it back if others were before it.
    pub(crate) fn at_once(&self, job: Box<dyn Job>) -> Option<Box<dyn Job>> {
        let mut writer = match self.writer.try_lock() {
            Ok(writer) => writer,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Some(job),
        };
        if self.waiting.load(Ordering::SeqCst) > 0 {
            return Some(job);
        }
        *lock(&self.with) = Some(std::thread::current().id());
        writer.group(job, || None);
        *lock(&self.with) = None;
        None
    }

    /// Serves closures until every handle is gone, then closes the file.
    pub(crate) fn serve(&self, jobs: &Receiver<Box<dyn Job>>) {
        while let Ok(first) = jobs.recv() {
            let mut writer = lock(&self.writer);
            *lock(&self.with) = Some(std::thread::current().id());
            let count = writer.group(first, || jobs.try_recv().ok());
            *lock(&self.with) = None;
            self.waiting.fetch_sub(count, Ordering::SeqCst);
        }
        // Best effort: what stays in the log is found there at the next opening. No ANALYZE: without statistics the
        // plans of all queries are the same on every host, and a test looks at them.
        let _ = lock(&self.writer).reader.db.value::<i64>("PRAGMA wal_checkpoint(TRUNCATE)", []);
    }
}

// A panic of a closure was caught where it ran: nothing is left half done behind a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    pub(crate) fn new(db: Db, options: &Options) -> Self {
        Self {
            reader: Reader::of_writer(Pool::default().lend(db)),
            caches: Caches::default(),
            group_size: options.group_size.max(1),
            group_time: options.group_time,
            data_version: -1,
        }
    }

    // Runs closures in one transaction and answers them; returns how many.
    fn group(&mut self, first: Box<dyn Job>, mut more: impl FnMut() -> Option<Box<dyn Job>>) -> usize {
        let begun = Instant::now();
        let mut done: Vec<Box<dyn Job>> = Vec::new();
        if let Err(error) = self.begin() {
            // Those who wait behind would wait out the same lock one by one.
            let mut failed = 0;
            for mut job in std::iter::once(first).chain(std::iter::from_fn(more).take(self.group_size)) {
                job.fail(&error);
                job.answer();
                failed += 1;
            }
            return failed;
        }
        let mut next = Some(first);
        let mut ended = Ok(());
        let mut untouched = true;
        while let Some(mut job) = next.take() {
            let outcome = if untouched { self.first(job.as_mut()) } else { self.further(job.as_mut()).map(|()| false) };
            done.push(job);
            match outcome {
                Ok(still) => untouched = still,
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
            if done.len() < self.group_size && begun.elapsed() < self.group_time {
                next = more();
            }
        }
        if let Err(error) = ended.and_then(|()| self.reader.db.run("COMMIT", []).map(drop)) {
            if !self.reader.db.conn.is_autocommit() {
                // If even this fails, the next BEGIN tells.
                let _ = self.reader.db.batch("ROLLBACK");
            }
            self.caches.clear();
            for job in &mut done {
                job.fail(&error);
            }
        }
        let count = done.len();
        for job in done {
            job.answer();
        }
        count
    }

    fn begin(&mut self) -> Result<(), Error> {
        if !self.reader.db.conn.is_autocommit() {
            self.reader.db.batch("ROLLBACK")?;
        }
        self.reader.db.run("BEGIN IMMEDIATE", [])?;
        // Another process may have renamed what is cached here.
        let version = self.reader.db.value::<i64>("PRAGMA data_version", [])?.unwrap_or(-1);
        if version != self.data_version {
            self.data_version = version;
            self.caches.clear();
        }
        Ok(())
    }

    /// Runs the first closure of a transaction; tells if the transaction is as new, because it failed and was undone.
    ///
    /// It needs no savepoint, for which the old content of every page that it changes would be written aside.
    fn first(&mut self, job: &mut dyn Job) -> Result<bool, Error> {
        let failed = self.run(job)?;
        if failed {
            self.reader.db.batch("ROLLBACK")?;
            self.begin()?;
        }
        Ok(failed)
    }

    /// Runs one closure in its savepoint.
    fn further(&mut self, job: &mut dyn Job) -> Result<(), Error> {
        self.reader.db.run("SAVEPOINT closure", [])?;
        if self.run(job)? {
            self.reader.db.run("ROLLBACK TO closure", [])?;
        }
        self.reader.db.run("RELEASE closure", [])?;
        Ok(())
    }

    /// Runs one closure and tells if it failed; an error means that the whole transaction is lost.
    fn run(&mut self, job: &mut dyn Job) -> Result<bool, Error> {
        let failure = job.run(Tx::new(&self.reader, &mut self.caches));
        if self.reader.db.conn.is_autocommit() {
            // Some failures (disk full, input or output) make SQLite undo the transaction at once.
            let path = self.reader.db.path.to_path_buf();
            return Err(failure.unwrap_or(Error::RolledBack { path }));
        }
        if failure.is_some() {
            self.caches.clear();
        }
        Ok(failure.is_some())
    }
}
