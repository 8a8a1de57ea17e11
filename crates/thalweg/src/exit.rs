//! The exit codes: one table, from which help and manual are made.

use thalweg_core::ErrorClass;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// Something unexpected: a fault of the program or of the system.
    Unexpected,
    /// Wrong usage of the command line.
    Usage,
    /// Invalid configuration: a person must edit something.
    Config,
    /// Some work failed.
    Failed,
    /// Refused for safety.
    Refused,
    /// Nothing is wrong: try later.
    TryLater,
    /// The code of a monitoring plug-in.
    Monitoring(u8),
}

/// Every code with its meaning.
pub(crate) const TABLE: [(Exit, &str); 7] = [
    (Exit::Done, "done"),
    (Exit::Unexpected, "unexpected: a fault of the program or of the system"),
    (Exit::Usage, "wrong usage"),
    (Exit::Config, "invalid configuration"),
    (Exit::Failed, "some work failed"),
    (Exit::Refused, "refused for safety"),
    (Exit::TryLater, "try later"),
];

impl Exit {
    /// Returns the number given to the caller.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Failed => 4,
            Self::Refused => 5,
            Self::TryLater => 75,
            Self::Monitoring(code) => code,
        }
    }

    /// Returns the code for a class of errors.
    pub(crate) fn of_class(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Config => Self::Config,
            ErrorClass::NotYet | ErrorClass::Transient => Self::TryLater,
            ErrorClass::Data => Self::Failed,
            ErrorClass::Refused => Self::Refused,
            ErrorClass::Bug => Self::Unexpected,
        }
    }
}

/// Returns the table as text for `--help`.
pub(crate) fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (exit, meaning) in TABLE {
        text.push_str(&format!("  {:>2}  {meaning}\n", exit.code()));
    }
    text.pop();
    text
}
