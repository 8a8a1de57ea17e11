//! Running a verb as a child process: its own process group, bounded in time, memory, output and reach.
//!
//! This module starts, watches and ends one child. It does not decide what is run, when, or what its outcome means
//! for a task, and it never reads the files that the child makes.

mod command;
mod ended;
mod error;
mod find;
mod left;
mod log;
mod orphans;
mod reports;
mod run;
mod sandbox;
mod usage;

pub use command::{Command, Sandbox};
pub use ended::{Ended, SandboxState};
pub use error::ChildError;
pub(crate) use left::end_left;
pub use orphans::adopt as adopt_orphans;
pub(crate) use orphans::end_rest as end_orphans;
pub use run::Child;

/// Returns the file that a command starts.
pub(crate) fn find_program(command: &Command) -> Result<std::path::PathBuf, ChildError> {
    find::program(command, &find::environment(command))
}

#[cfg(test)]
mod tests;
