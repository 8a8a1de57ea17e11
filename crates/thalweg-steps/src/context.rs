//! What a verb tells while it works.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use thalweg_core::ReportLine;

use crate::error::Error;

/// One operation on files, with its options and arguments.
pub trait Verb {
    /// The words that call it, e.g. `superdarn to-dmap`.
    const NAME: &'static str;
    /// What it says when it is done.
    type Summary: serde::Serialize;

    /// Does it.
    ///
    /// # Errors
    /// Each verb says which.
    fn run(&self, context: &VerbContext) -> Result<Self::Summary, Error>;
}

/// Carries what a verb tells to the report file, one JSON line each.
///
/// A report that cannot be written does not stop the work.
#[derive(Debug, Default)]
pub struct VerbContext {
    report: Option<RefCell<File>>,
    last_progress: RefCell<Option<Instant>>,
}

impl VerbContext {
    /// Progress lines come at most this often.
    const PAUSE: Duration = Duration::from_millis(100);

    /// Appends to the file that `THALWEG_REPORT` named, if any.
    ///
    /// # Errors
    /// Fails if the file cannot be opened.
    pub fn new(report: Option<PathBuf>) -> Result<Self, Error> {
        let Some(path) = report else { return Ok(Self::default()) };
        match OpenOptions::new().create(true).append(true).open(&path) {
            Ok(file) => Ok(Self { report: Some(RefCell::new(file)), last_progress: RefCell::default() }),
            Err(source) => Err(Error::Io { action: "open the report", path, source }),
        }
    }

    /// Appends a line.
    pub fn tell(&self, line: &ReportLine) {
        let Some(report) = &self.report else { return };
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        // One write per line, so that lines of several writers do not mix.
        let _ = report.borrow_mut().write_all(&text);
    }

    /// Tells how far the work is, but not more often than ten times a second.
    pub fn progress(&self, done: u64, total: Option<u64>, unit: &str) {
        if self.report.is_none() {
            return;
        }
        let now = Instant::now();
        let mut last = self.last_progress.borrow_mut();
        if last.is_some_and(|last| now.duration_since(last) < Self::PAUSE) {
            return;
        }
        *last = Some(now);
        self.tell(&ReportLine::Progress { done, total, unit: unit.to_owned() });
    }

    /// Tells a number worth keeping.
    pub fn count(&self, name: &str, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.tell(&ReportLine::Count { name: name.to_owned(), value });
    }

    /// Tells something odd.
    pub fn warning(&self, message: String) {
        self.tell(&ReportLine::Warning { message });
    }

    /// Tells why the verb gives up, and gives the error back.
    pub fn failure(&self, error: Error) -> Error {
        let file = error.file().map(|path| path.display().to_string());
        self.tell(&ReportLine::Error { class: error.class(), message: error.with_causes(), file });
        error
    }
}
