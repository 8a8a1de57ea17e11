//! What can go wrong with a ledger, told apart by what its keeper must do.
//!
//! Errors can be cloned, since one failed commit is the answer to every closure of its group.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;
use thalweg_core::ErrorClass;

/// A failure of the ledger.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no ledger at this path: no file, or an empty one, which a making leaves that was cut off.
    #[error("open ledger {}: there is none", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is not a ledger of this program.
    #[error("open ledger {}: {found}", path.display())]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// A newer program made the ledger or has upgraded it.
    #[error("open ledger {}: its schema is version {found}, this program knows up to {known}", path.display())]
    Newer {
        /// The ledger.
        path: PathBuf,
        /// Schema version found.
        found: i64,
        /// Newest schema version that this program knows.
        known: i64,
    },
    /// An older program made the ledger, and only opening it for writing brings it up to date.
    #[error("read ledger {}: its schema is version {found}, this program reads version {known}", path.display())]
    Older {
        /// The ledger.
        path: PathBuf,
        /// Schema version found.
        found: i64,
        /// Schema version that this program reads.
        known: i64,
    },
    /// The ledger is damaged.
    #[error("use ledger {}: the database is damaged", path.display())]
    Corrupt {
        /// The ledger.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// A stored value cannot be read as what it should be.
    #[error("read ledger {}: a stored value is not what it should be", path.display())]
    Value {
        /// The ledger.
        path: PathBuf,
        /// Which column, and why.
        source: Arc<rusqlite::Error>,
    },
    /// Another process kept the ledger locked for longer than the busy timeout.
    #[error("use ledger {}: another process holds it locked", path.display())]
    Locked {
        /// The ledger.
        path: PathBuf,
    },
    /// No room is left for the ledger; nothing of the group was recorded.
    #[error("write ledger {}: no space left", path.display())]
    Full {
        /// The ledger.
        path: PathBuf,
    },
    /// The ledger, or this opening of it, is read-only.
    #[error("write ledger {}: it is open for reading only", path.display())]
    ReadOnly {
        /// The ledger.
        path: PathBuf,
    },
    /// The operating system failed to read, write, sync or open.
    #[error("read or write ledger {}", path.display())]
    Io {
        /// The ledger.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
    /// The file system cannot carry a write-ahead log.
    #[error("open ledger {}: journal mode is {found}, expected wal", path.display())]
    NoWriteAheadLog {
        /// The ledger.
        path: PathBuf,
        /// The journal mode that SQLite fell back to.
        found: String,
    },
    /// A read-only ledger has changes in its write-ahead log that cannot be read without write access.
    #[error("open ledger {}: unread changes in its -wal file need write access", path.display())]
    UnreadLog {
        /// The ledger.
        path: PathBuf,
    },
    /// A row that a call names does not exist.
    #[error("find {what} {id} in ledger {}", path.display())]
    NoSuch {
        /// The ledger.
        path: PathBuf,
        /// What was named, e.g. `file`.
        what: &'static str,
        /// Its number or name.
        id: String,
    },
    /// A name is to be changed to one that is in use.
    #[error("rename {what} {from:?} to {to:?} in ledger {}: the new name has a history of its own", path.display())]
    NameTaken {
        /// The ledger.
        path: PathBuf,
        /// `station`, `product` or `step`.
        what: &'static str,
        /// The old name.
        from: String,
        /// The new name.
        to: String,
    },
    /// The group's transaction was undone because another closure of it met a failure that undoes all.
    #[error("write ledger {}: the transaction was rolled back", path.display())]
    RolledBack {
        /// The ledger.
        path: PathBuf,
    },
    /// The writer has stopped.
    #[error("write ledger {}: it is closed", path.display())]
    Closed {
        /// The ledger.
        path: PathBuf,
    },
    /// A closure inside the writer waited for the writer.
    #[error("write ledger {}: a write was asked for inside a write", path.display())]
    Nested {
        /// The ledger.
        path: PathBuf,
    },
    /// A closure panicked; its changes were undone.
    #[error("write ledger {}: the writing code panicked: {message}", path.display())]
    Panicked {
        /// The ledger.
        path: PathBuf,
        /// What it panicked with.
        message: String,
    },
    /// A value handed in cannot be stored.
    #[error("write ledger {}: {what} cannot be stored", path.display())]
    Unstorable {
        /// The ledger.
        path: PathBuf,
        /// What it was.
        what: &'static str,
    },
    /// Any other refusal by SQLite: a fault of this crate or of its caller.
    #[error("run a statement on ledger {}", path.display())]
    Sql {
        /// The ledger.
        path: PathBuf,
        /// What SQLite says.
        source: Arc<rusqlite::Error>,
    },
}

impl Error {
    /// Returns what can be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Locked { .. } | Self::Full { .. } | Self::Io { .. } | Self::RolledBack { .. } => {
                ErrorClass::Transient
            }
            Self::Newer { .. }
            | Self::Corrupt { .. }
            | Self::Value { .. }
            | Self::NotALedger { .. }
            | Self::NameTaken { .. } => ErrorClass::Refused,
            Self::Missing { .. }
            | Self::ReadOnly { .. }
            | Self::Older { .. }
            | Self::NoWriteAheadLog { .. }
            | Self::UnreadLog { .. }
            | Self::NoSuch { .. } => ErrorClass::Config,
            Self::Closed { .. }
            | Self::Nested { .. }
            | Self::Panicked { .. }
            | Self::Unstorable { .. }
            | Self::Sql { .. } => ErrorClass::Bug,
        }
    }

    /// Returns the next thing to do, where there is one.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::Missing { .. } => "`thalweg run` makes the ledger; or name the right one with --ledger".to_owned(),
            Self::NotALedger { path, .. } => {
                format!("name another file with --ledger, or move {} away; it was not touched", path.display())
            }
            Self::Newer { .. } => "install the newer thalweg on this host; the ledger was not touched".to_owned(),
            Self::Older { .. } => {
                "`thalweg run` brings it up to date; until then use the older thalweg to read it".to_owned()
            }
            Self::Corrupt { path, .. } | Self::Value { path, .. } => format!(
                "stop thalweg, keep {} with its -wal file for study, restore a backup or start a new ledger: `thalweg scan` \
                 and `thalweg reconcile` fill it again from the files and from the other stations",
                path.display()
            ),
            Self::Locked { .. } => {
                "wait for the other process, or see which one holds the file open (`fuser`), then try again".to_owned()
            }
            Self::Full { path } => format!(
                "free space where {} lies; what was being recorded is done again, nothing recorded was lost",
                path.display()
            ),
            Self::ReadOnly { .. } => "give this user write access to the ledger and its folder".to_owned(),
            Self::Io { .. } => "look at the system log for errors of the disk or file system".to_owned(),
            Self::NoWriteAheadLog { .. } => {
                "put the ledger on a local file system; network file systems cannot share its memory".to_owned()
            }
            Self::UnreadLog { path } => {
                format!("copy {} and its -wal file to a writable folder and open the copy", path.display())
            }
            Self::NameTaken { .. } => "drop the `was` of the flow file, or give the new one another name".to_owned(),
            Self::RolledBack { .. } => "try again".to_owned(),
            _ => return None,
        };
        Some(text)
    }

    pub(crate) fn sql(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match &error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => Self::Full { path },
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Locked { path },
                ErrorCode::DatabaseCorrupt => Self::Corrupt { path, source: Arc::new(error) },
                ErrorCode::NotADatabase => Self::NotALedger { path, found: "it is not an SQLite database".to_owned() },
                ErrorCode::ReadOnly => Self::ReadOnly { path },
                ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
                    Self::Io { path, source: Arc::new(error) }
                }
                _ => Self::Sql { path, source: Arc::new(error) },
            },
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..) => Self::Value { path, source: Arc::new(error) },
            _ => Self::Sql { path, source: Arc::new(error) },
        }
    }
}
