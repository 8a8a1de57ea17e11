//! Why a child process could not be started or followed.

use std::io;
use std::path::PathBuf;

use thalweg_core::ErrorClass;

/// A child process that did not come to be, or that was lost sight of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// No such program.
    #[error("find program {program:?} (PATH is {path:?})")]
    NoProgram {
        /// The name or path asked for.
        program: String,
        /// The folders that were searched.
        path: String,
    },
    /// The program exists but cannot be started: no right to, wrong format, or its interpreter is missing.
    #[error("start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file that belongs to the run could not be made.
    #[error("prepare {}", path.display())]
    Prepare {
        /// Log, report or working folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The sandbox could not be built, e.g. because a folder that it names is missing.
    #[error("confine the child process: {what}")]
    Sandbox {
        /// What failed.
        what: String,
    },
    /// The child could not be waited for.
    #[error("wait for process {pid}")]
    Wait {
        /// The child.
        pid: u32,
        /// What the operating system said.
        source: io::Error,
    },
}

impl ChildError {
    /// Returns the class by which the engine decides.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NoProgram { .. } | Self::Sandbox { .. } => ErrorClass::Config,
            Self::Start { source, .. } => match source.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::ArgumentListTooLong
                | io::ErrorKind::InvalidInput => ErrorClass::Config,
                // ENOEXEC has no kind of its own: a file that is no program stays none.
                _ if source.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => ErrorClass::Config,
                _ => ErrorClass::Transient,
            },
            Self::Prepare { .. } | Self::Wait { .. } => ErrorClass::Transient,
        }
    }
}
