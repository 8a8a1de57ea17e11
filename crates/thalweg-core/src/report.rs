//! The contract between the engine and a verb that runs as a child process.
//!
//! A verb appends JSON lines to the file that `THALWEG_REPORT` names. Each line is one [`ReportLine`].

use serde::{Deserialize, Serialize};

use crate::ErrorClass;

/// Exit codes that a child process uses to tell its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerbExit {
    /// 0: done.
    Done,
    /// 75 (`EX_TEMPFAIL`): nothing wrong, try later.
    TryLater,
    /// 65 (`EX_DATAERR`): the input is bad.
    BadData,
    /// Anything else.
    Failed(i32),
}

impl VerbExit {
    /// Reads an exit code.
    pub fn from_code(code: i32) -> Self {
        match code {
            0 => Self::Done,
            75 => Self::TryLater,
            65 => Self::BadData,
            other => Self::Failed(other),
        }
    }
}

/// One line of the report file of a verb.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReportLine {
    /// How far the work is.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all, if known.
        total: Option<u64>,
        /// What the units are, e.g. `records`.
        #[serde(default)]
        unit: String,
    },
    /// A number worth keeping with the run, e.g. records converted.
    Count {
        /// What was counted.
        name: String,
        /// How many.
        value: i64,
    },
    /// Something odd that did not stop the work.
    Warning {
        /// What was odd, where.
        message: String,
    },
    /// Why the verb gives up, and what can be done about it.
    Error {
        /// The class by which the engine decides.
        class: ErrorClass,
        /// What failed, on which file, at which byte, expected and found.
        message: String,
        /// The input that is bad, as it was given on the command line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// Fields of one output that its name does not tell.
    Output {
        /// The output's name relative to the staging folder, or its path.
        path: String,
        /// Name to JSON value.
        fields: serde_json::Map<String, serde_json::Value>,
    },
}
