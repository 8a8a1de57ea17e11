//! What a failure means for the one who has to act on it.

use serde::{Deserialize, Serialize};

/// Says what can be done about an error; the engine decides on this alone and never parses text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// A person must edit the configuration, rights or keys; retrying alone cannot help.
    Config,
    /// Nothing is wrong: the thing waited for is not there yet.
    NotYet,
    /// May go away by itself: retry with back-off.
    Transient,
    /// This input is bad: set it aside and go on with the others.
    Data,
    /// Doing it would destroy or overwrite something.
    Refused,
    /// A fault of the program itself.
    Bug,
}

impl ErrorClass {
    /// Returns the word used in reports, the ledger and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::NotYet => "not_yet",
            Self::Transient => "transient",
            Self::Data => "data",
            Self::Refused => "refused",
            Self::Bug => "bug",
        }
    }

    /// Returns the class that `word` names.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Config, Self::NotYet, Self::Transient, Self::Data, Self::Refused, Self::Bug]
            .into_iter()
            .find(|class| class.as_str() == word)
    }
}

impl std::fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
