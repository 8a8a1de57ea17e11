//! What stops an engine.

use std::path::PathBuf;

use thalweg_core::ErrorClass;

/// An engine that cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Another engine works on this ledger.
    #[error("start: the engine with process id {pid} works on this ledger already")]
    Busy {
        /// Its process id.
        pid: u32,
    },
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] thalweg_ledger::Error),
    /// The engine's own folder cannot be used.
    #[error("use {}", path.display())]
    State {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Two stations are one folder, or one lies inside the other.
    #[error("open the stations {one} and {other}: {what}")]
    Overlap {
        /// A station.
        one: String,
        /// Another.
        other: String,
        /// How they overlap.
        what: String,
    },
    /// The engine that runs did not answer as agreed.
    #[error("talk to the engine that runs: {what}")]
    Control {
        /// What went wrong.
        what: String,
    },
    /// What was asked for does not exist in the flow.
    #[error("{what}")]
    Unknown {
        /// What was asked for, and what there is.
        what: String,
    },
}

impl EngineError {
    /// Returns the class by which a caller decides.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Busy { .. } => ErrorClass::NotYet,
            Self::Ledger(error) => error.class(),
            Self::State { .. } | Self::Overlap { .. } => ErrorClass::Config,
            Self::Control { .. } => ErrorClass::Transient,
            Self::Unknown { .. } => ErrorClass::Config,
        }
    }

    /// Returns the next thing to do.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Busy { pid } => Some(format!("leave it to that one, or stop it first: kill {pid}")),
            Self::Ledger(error) => error.help(),
            Self::State { .. } => Some("check the rights of that folder and the space left".into()),
            Self::Control { .. } => Some("`thalweg status` shows if it still runs".into()),
            Self::Overlap { .. } => {
                Some("give each station a root of its own: copies in one folder are one copy".into())
            }
            Self::Unknown { .. } => None,
        }
    }
}
