//! What happens in an engine, as typed events: reporters, logs and pages consume them and never look inside.

use serde::{Deserialize, Serialize};
use thalweg_core::{ErrorClass, RelPath, Timestamp};

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The engine has started.
    Started {
        /// The flow's name.
        flow: String,
        /// Its stations on this host.
        stations: Vec<String>,
    },
    /// Something the flow says is not carried out.
    Note {
        /// Where in the flow file.
        place: String,
        /// What.
        message: String,
    },
    /// A station was listed.
    Listed {
        /// The station.
        station: String,
        /// Files met that belong to a product.
        files: u64,
        /// New or changed ones.
        changed: u64,
        /// Files gone since the last listing.
        gone: u64,
    },
    /// A station cannot be listed or watched.
    Trouble {
        /// The station.
        station: String,
        /// What and why.
        message: String,
    },
    /// A file was read and recorded.
    FileTaken {
        /// The station.
        station: String,
        /// The product.
        product: String,
        /// The path.
        path: RelPath,
        /// Bytes.
        size: u64,
    },
    /// A file was put aside as bad.
    Quarantined {
        /// The station.
        station: String,
        /// Where it was.
        path: RelPath,
        /// Where it is; none if it was only recorded.
        moved_to: Option<RelPath>,
        /// What is wrong.
        message: String,
    },
    /// A file cannot be read at this time.
    FileTrouble {
        /// The station.
        station: String,
        /// The path.
        path: RelPath,
        /// Why.
        message: String,
    },
    /// A file vanished without a rule.
    FileGone {
        /// The station.
        station: String,
        /// The path.
        path: RelPath,
    },
    /// A run began.
    RunStarted {
        /// Its number.
        run: i64,
        /// The step.
        step: String,
        /// The key.
        key: String,
        /// Which attempt.
        attempt: u32,
    },
    /// A run tells how far it is.
    RunProgress {
        /// Its number.
        run: i64,
        /// Units done.
        done: u64,
        /// Units in all.
        total: Option<u64>,
        /// The unit.
        unit: String,
    },
    /// A run ended well.
    RunDone {
        /// Its number.
        run: i64,
        /// The step.
        step: String,
        /// The key.
        key: String,
        /// What it left, as `station/path`.
        outputs: Vec<String>,
        /// Bytes of that.
        bytes: u64,
        /// Seconds it took.
        seconds: f64,
        /// It went on without an input that may still come.
        partial: bool,
    },
    /// A run failed.
    RunFailed {
        /// Its number.
        run: i64,
        /// The step.
        step: String,
        /// The key.
        key: String,
        /// The class by which it is decided.
        class: ErrorClass,
        /// What was said.
        message: String,
        /// The next try.
        retry_at: Option<Timestamp>,
        /// Its log.
        log: Option<String>,
    },
    /// The external command of a step does not say which version it is: its keys are blocked.
    VersionUnknown {
        /// The step.
        step: String,
        /// Why.
        why: String,
    },
    /// A key cannot be made before somebody decides.
    Blocked {
        /// The step.
        step: String,
        /// The key.
        key: String,
        /// Why.
        why: String,
    },
    /// A file was removed by a rule.
    Removed {
        /// The station.
        station: String,
        /// The path.
        path: RelPath,
        /// The keep.
        keep: String,
    },
    /// A keep would remove a file now.
    WouldRemove {
        /// The station.
        station: String,
        /// The path.
        path: RelPath,
        /// The keep.
        keep: String,
        /// Bytes.
        size: u64,
        /// The stations whose copies it rests on.
        copies: Vec<String>,
    },
    /// A keep leaves a file, and why.
    Stays {
        /// The station.
        station: String,
        /// The path.
        path: RelPath,
        /// The keep.
        keep: String,
        /// Why.
        why: String,
    },
    /// A file's content was read again and compared with the ledger.
    Verified {
        /// The station.
        station: String,
        /// The path.
        path: RelPath,
        /// It is as recorded; else what differs.
        trouble: Option<String>,
    },
    /// A key that a request asked for cannot be made.
    Missing {
        /// The step.
        step: String,
        /// The key.
        key: String,
        /// What comes next for it.
        next: String,
        /// Why.
        why: String,
    },
    /// A file that was there before was taken over as an output.
    Adopted {
        /// The station.
        station: String,
        /// The path.
        path: RelPath,
        /// The step.
        step: String,
        /// The key.
        key: String,
    },
    /// A file that was there before was not taken over.
    NotAdopted {
        /// The station.
        station: String,
        /// The path.
        path: RelPath,
        /// Why.
        why: String,
    },
    /// A check stands otherwise than at its last moment.
    Checked {
        /// The check.
        check: String,
        /// How it stands: OK, WARNING, CRITICAL or UNKNOWN.
        level: String,
        /// The worst that was found.
        text: String,
    },
    /// How far a request is.
    Request {
        /// Keys made since it was asked.
        made: u64,
        /// Keys that were there already.
        there: u64,
        /// Keys ready or running.
        open: u64,
        /// Keys that follow from those.
        later: u64,
    },
    /// Old logs were removed.
    LogsPruned {
        /// Files that went.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// What could not be removed, and why.
        trouble: Option<String>,
    },
    /// The flow file was read again.
    Reloaded {
        /// It is in force; else the old one stays.
        accepted: bool,
        /// What was wrong with it.
        message: String,
    },
    /// The engine is stopping.
    Stopping {
        /// Why.
        why: String,
    },
}
