//! What goes into the ledger and comes out of it: plain data about runs and what they took and made.

use serde::Serialize;
use serde_json::Value as Json;
use thalweg_core::{ContentHash, ErrorClass, RelPath, Timestamp};

use super::InputRef;
use crate::kinds::{RunId, RunState};

/// One input of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunInput {
    /// Role in the step.
    pub role: String,
    /// Product name.
    pub product: String,
    /// Canonical text of the distinguishing fields.
    pub fields_key: String,
    /// Digest of its bytes; none for what had none, e.g. a settings file not hashed.
    pub content: Option<ContentHash>,
    /// Station name.
    pub station: String,
    /// Path at the station.
    pub path: RelPath,
    /// Start of its coverage.
    pub start: Option<Timestamp>,
    /// End of its coverage.
    pub end: Option<Timestamp>,
}

/// One output of a run, as journalled before publishing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunOutput {
    /// Product name.
    pub product: String,
    /// Canonical text of the distinguishing fields.
    pub fields_key: String,
    /// Station name.
    pub station: String,
    /// Its final path at the station.
    pub path: RelPath,
    /// Digest of its bytes.
    pub content: Option<ContentHash>,
    /// Bytes.
    pub size: u64,
    /// Its name in the staging folder.
    pub staged_name: String,
    /// Whether it has been renamed into place.
    pub published: bool,
}

/// A run about to start.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Step name.
    pub step: String,
    /// The step's version.
    pub step_version: i64,
    /// Station name.
    pub station: String,
    /// Key.
    pub key: String,
    /// Digest of step, version, key and input hashes.
    pub identity: ContentHash,
    /// Its inputs.
    pub inputs: Vec<RunInput>,
    /// When.
    pub started: Timestamp,
    /// Which attempt at this identity, from 1.
    pub attempt: u32,
    /// Process id of the child.
    pub pid: Option<u32>,
    /// Host name.
    pub host: String,
    /// Version and build of the program.
    pub program: String,
    /// What the external command says of its own version (`version_from`).
    pub verb_version: Option<String>,
    /// The command line.
    pub command: Vec<String>,
    /// Path of the log.
    pub log: Option<String>,
    /// Path of the staging folder.
    pub staging: Option<String>,
    /// Whether inputs that may still come are missing.
    pub partial: bool,
    /// Which, and until when they were awaited.
    pub awaited: Option<Json>,
    /// Whether an `update` output is built afresh.
    pub fresh: bool,
    /// First run of the batch that one process carries out.
    pub batch: Option<RunId>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// Done, failed, cancelled or lost.
    pub state: RunState,
    /// What a failure means.
    pub class: Option<ErrorClass>,
    /// What failed.
    pub message: Option<String>,
    /// When.
    pub ended: Timestamp,
    /// Exit code.
    pub exit: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// When it may be tried again.
    pub retry_at: Option<Timestamp>,
    /// Processor time in user mode, ms.
    pub user_ms: Option<u64>,
    /// Processor time in the kernel, ms.
    pub system_ms: Option<u64>,
    /// Largest resident memory, KiB.
    pub peak_kib: Option<u64>,
    /// What the verb reported.
    pub report: Option<Json>,
}

impl RunEnd {
    /// Makes the end of a run of which nothing else is known.
    pub fn new(state: RunState, ended: Timestamp) -> Self {
        Self {
            state,
            class: None,
            message: None,
            ended,
            exit: None,
            signal: None,
            retry_at: None,
            user_ms: None,
            system_ms: None,
            peak_kib: None,
            report: None,
        }
    }
}

/// One attempt at a task.
#[derive(Debug, Clone, Serialize)]
pub struct RunRow {
    /// Its number.
    pub id: RunId,
    /// Step name.
    pub step: String,
    /// The step's version.
    pub step_version: i64,
    /// Station name.
    pub station: String,
    /// Key.
    pub key: String,
    /// Digest of step, version, key and input hashes.
    pub identity: ContentHash,
    /// How far it is.
    pub state: RunState,
    /// What a failure means.
    pub class: Option<ErrorClass>,
    /// What failed.
    pub message: Option<String>,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Exit code.
    pub exit: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// Which attempt at this identity, from 1.
    pub attempt: u32,
    /// When it may be tried again.
    pub retry_at: Option<Timestamp>,
    /// Process id of the child.
    pub pid: Option<u32>,
    /// Host name.
    pub host: String,
    /// Version and build of the program.
    pub program: String,
    /// What the external command says of its own version (`version_from`).
    pub verb_version: Option<String>,
    /// The command line.
    pub command: Vec<String>,
    /// Path of the log.
    pub log: Option<String>,
    /// Path of the staging folder.
    pub staging: Option<String>,
    /// Whether inputs that may still come were missing.
    pub partial: bool,
    /// Which.
    pub awaited: Option<Json>,
    /// Processor time in user mode, ms.
    pub user_ms: Option<u64>,
    /// Processor time in the kernel, ms.
    pub system_ms: Option<u64>,
    /// Largest resident memory, KiB.
    pub peak_kib: Option<u64>,
    /// What the verb reported.
    pub report: Option<Json>,
    /// Whether an `update` output was built afresh.
    pub fresh: bool,
    /// First run of the batch that one process carried out.
    pub batch: Option<RunId>,
}

/// What is asked of [`crate::Reader::runs`]; newest first.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only of this step.
    pub step: Option<String>,
    /// Only at this station.
    pub station: Option<String>,
    /// Only of this key (with `step`).
    pub key: Option<String>,
    /// Only in these states; empty: all.
    pub states: Vec<RunState>,
    /// Only started at or after this.
    pub from: Option<Timestamp>,
    /// Only started before this.
    pub to: Option<Timestamp>,
    /// Only runs before this one: the next page.
    pub before: Option<RunId>,
}

/// What one key of a step has worked into one version of an `update` product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contribution {
    /// Product of the output.
    pub product: String,
    /// Fields of the output.
    pub fields_key: String,
    /// Digest of the version of the output.
    pub content: ContentHash,
    /// Step name.
    pub step: String,
    /// The step's version.
    pub step_version: i64,
    /// Key.
    pub key: String,
    /// Identity of the task.
    pub identity: ContentHash,
    /// The run that worked it in.
    pub run: Option<RunId>,
    /// What was worked in.
    pub inputs: Vec<InputRef>,
    /// What the external command said of its own version then.
    pub verb_version: Option<String>,
}
