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

/// The classes of failures, with the exit code of an external command that means them, and what follows.
const CLASSES: [(&str, &str, &str); 6] = [
    ("data", "65", "the input is bad: it is put aside, see `thalweg quarantine`"),
    ("not_yet", "75", "nothing is wrong: tried again later"),
    ("transient", "", "may pass, as a full disk or a timeout: tried again, as `retry` of the step says"),
    ("config", "", "a program, option or right is missing: mend it, then `thalweg retry STEP`"),
    ("refused", "", "it would overwrite something else's file: `thalweg why PATH`"),
    ("bug", "other", "the program ended otherwise: tried again, as `retry` of the step says"),
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
    text.push_str("\nClasses of a failed run, and with which exit code a program of yours says so:\n");
    for (class, code, meaning) in CLASSES {
        text.push_str(&format!("  {class:<9}  {code:>5}  {meaning}\n"));
    }
    text.push_str(
        "A program that names the class in its report is believed; `thalweg log RUN` shows class and output.",
    );
    text
}
