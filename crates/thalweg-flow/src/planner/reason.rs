//! What the planner says of a key: what is there, what comes next, and why.

use serde::{Deserialize, Serialize};
use thalweg_core::Timestamp;

use super::{KeyId, Task};

/// What is there for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum There {
    /// Nothing was made.
    None,
    /// Made with this identity and present.
    Done,
    /// Done without an input that may still come.
    Partial,
    /// Made with another identity.
    Stale,
    /// Removed by a rule.
    Retired,
    /// Gone without a rule.
    Lost,
}

/// What comes next for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// A run is under way.
    Running,
    /// An input is bad.
    Quarantined,
    /// A condition on fixed facts excludes it.
    Skipped,
    /// Something that time or a later file can bring is not there.
    Waiting,
    /// Something that a person, a lock or a rule puts up is in the way.
    Blocked,
    /// The last run of this identity failed.
    Failed,
    /// It may start.
    Ready,
    /// Nothing is to be done.
    Nothing,
}

impl There {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Stale => "stale",
            Self::Retired => "retired",
            Self::Lost => "lost",
        }
    }
}

impl Next {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Quarantined => "quarantined",
            Self::Skipped => "skipped",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
            Self::Ready => "ready",
            Self::Nothing => "nothing",
        }
    }

    /// Tells if nothing but a new fact can change it: the key is finished for the time being.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Nothing | Self::Skipped | Self::Quarantined)
    }
}

impl std::fmt::Display for There {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why, in a word for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable word: `not_newest`, `missing_input`, `condition`, …
    pub code: String,
    /// The sentence: which file, product, rule or person; since when.
    pub text: String,
    /// When time alone changes it, at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Reason {
    /// Makes a reason that time alone does not change.
    pub fn new(code: &str, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), text: text.into(), until: None }
    }

    /// Makes a reason that ends at a moment.
    pub fn until(code: &str, text: impl Into<String>, until: Timestamp) -> Self {
        Self { code: code.to_owned(), text: text.into(), until: Some(until) }
    }
}

/// What the planner says of one key.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    /// The key.
    pub key: KeyId,
    /// What is there.
    pub there: There,
    /// Why it is partial, stale, retired or lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there_because: Option<Reason>,
    /// What comes next.
    pub next: Next,
    /// Why.
    pub reason: Reason,
    /// The task, when `next` is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Box<Task>>,
}
