//! What can be wrong with a file of the radar software.

use std::fmt;

use thalweg_core::ErrorClass;

use super::version::FileKind;
use crate::hdf5;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file itself.
    #[error(transparent)]
    Hdf5(#[from] hdf5::Error),
    /// Nothing says which version wrote it.
    #[error("determine the version: {}", found.as_deref().map_or_else(
        || "there is no borealis_git_hash".to_owned(), |text| format!("borealis_git_hash {text:?} has no number")))]
    NoVersion {
        /// The version text, if there is one.
        found: Option<String>,
    },
    /// A version without known fields.
    #[error("determine the version: {found:?} is not known; known are v0.2 to v0.7 and v1")]
    UnknownVersion {
        /// The version text.
        found: String,
    },
    /// Version and arrangement do not go together.
    #[error("determine the layout: version {found:?} does not go with the arrangement of the file")]
    NoLayout {
        /// The version text.
        found: String,
    },
    /// Another kind of file than asked for.
    #[error("read records: the file holds {found}, not {expected}")]
    WrongKind {
        /// What was asked for.
        expected: FileKind,
        /// What it is.
        found: FileKind,
    },
    /// The two looks at a file have found different things.
    #[error("it has changed while it was read: {found} records the second time, {expected} before")]
    Changed {
        /// Records found in the end.
        found: u64,
        /// Records found first.
        expected: u64,
    },
    /// A kind whose records are not read.
    #[error("read records: those of a {kind} file are not read")]
    NoRecordsOf {
        /// The kind.
        kind: FileKind,
    },
    /// Records are bad; all of them are listed.
    #[error("{} of {records} records are bad: {}", problems.len(), problems.iter().take(20).map(ToString::to_string).collect::<Vec<_>>().join(" | "))]
    BadRecords {
        /// Records in the file.
        records: usize,
        /// What is wrong, record by record.
        problems: Vec<RecordProblem>,
    },
    /// A record cannot be used.
    #[error("record {record}: {problem}")]
    Record {
        /// Which.
        record: String,
        /// What is wrong.
        problem: FieldProblem,
    },
    /// A field that all records share has another value in one of them.
    #[error("record {record}: {field} is {found}, the first record has {expected}")]
    Differs {
        /// Which record.
        record: String,
        /// Which field.
        field: String,
        /// Its value.
        found: String,
        /// The value of the first record.
        expected: String,
    },
    /// What is done to site files only.
    #[error("it is not a file with a group per record of v0.x")]
    NoSiteFile,
    /// A version that has one layout only.
    #[error("restructure: files of version {found} have one layout only")]
    NoOtherLayout {
        /// The version text.
        found: String,
    },
    /// No record, so nothing to say about the file.
    #[error("read the first record: there is none")]
    NoRecords,
    /// Fields of an array file that all records share are bad.
    #[error("read fields shared by all records: {0}")]
    Shared(RecordProblem),
    /// A value that says what the file is about is missing or is not a usable one.
    #[error("read {field:?}: it is missing or has no usable value")]
    NoValue {
        /// The field.
        field: &'static str,
    },
}

impl Error {
    /// Says what can be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Hdf5(error) => error.class(),
            Self::Changed { .. } => ErrorClass::NotYet,
            _ => ErrorClass::Data,
        }
    }
}

/// Everything that is wrong with one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordProblem {
    /// Name of the record.
    pub record: String,
    /// What is wrong, field by field.
    pub problems: Vec<FieldProblem>,
    /// The last record of a v1 file and merely not complete: its writer stopped inside it.
    pub incomplete_last: bool,
}

impl fmt::Display for RecordProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}: ", self.record)?;
        for (n, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if n > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for RecordProblem {}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldProblem {
    /// It must be there.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        field: String,
    },
    /// It is not a field of this version.
    #[error("{field} is not a field of this version")]
    Extra {
        /// The field.
        field: String,
    },
    /// It has another type.
    #[error("{field} is {found} instead of {expected}")]
    WrongType {
        /// The field.
        field: String,
        /// Type found.
        found: String,
        /// Type expected.
        expected: String,
    },
    /// Its length disagrees with another field.
    #[error("{field} has a length of {found}, {by} says {expected}")]
    Length {
        /// The field.
        field: &'static str,
        /// Length found.
        found: usize,
        /// What the other field says.
        expected: i64,
        /// The other field.
        by: &'static str,
    },
    /// Its value cannot be used.
    #[error("{field} has no usable value")]
    Value {
        /// The field.
        field: String,
    },
    /// It cannot be read.
    #[error("{field} cannot be read: {reason}")]
    Unreadable {
        /// The field.
        field: String,
        /// Why.
        reason: String,
    },
}
