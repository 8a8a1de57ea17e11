//! What the planner knows: the view of one moment, and nothing else.
//!
//! [`Facts`] is implemented by the engine over the ledger, and by [`crate::planner::memory::MemoryFacts`] for tests,
//! simulations and planning cases. The planner asks for the facts of the keys it looks at, never for all.

use serde::{Deserialize, Serialize};
use thalweg_core::{ContentHash, ErrorClass, Fields, RelPath, TimeRange, Timestamp, Value};

use super::key::KeyId;

/// A file that is or was at a station.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileFact {
    /// The ledger's number of it.
    pub id: i64,
    /// Where it is.
    pub station: String,
    /// What it is.
    pub product: String,
    /// Canonical text of the fields that make it this file and no other.
    pub identity: String,
    /// Its path there.
    pub path: RelPath,
    /// All its fields, from name and content.
    pub fields: Fields,
    /// The time it covers.
    pub coverage: Option<TimeRange>,
    /// Bytes.
    pub size: u64,
    /// Modification time.
    pub mtime: Timestamp,
    /// The digest by which it is known; none while it was not read.
    pub hash: Option<ContentHash>,
    /// When its present version was first seen.
    pub arrived: Timestamp,
    /// Since when size and modification time are the same, by own observations.
    pub unchanged_since: Timestamp,
    /// What was seen of its writer.
    pub evidence: Evidence,
    /// What has become of it.
    pub state: FileState,
    /// Who put it there.
    pub origin: Origin,
}

/// What was seen of a file's writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Nothing that says it is complete.
    #[default]
    None,
    /// It was closed, or found with nobody writing it.
    Closed,
    /// It was moved onto its name.
    MovedIn,
}

/// What has become of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// Seen, not yet taken: its ready rule or its reading is outstanding.
    Settling,
    /// Read and recorded.
    Present,
    /// Removed by a rule.
    Retired {
        /// The keep or step.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// Vanished without a rule.
    Gone {
        /// When that was noticed.
        at: Timestamp,
    },
    /// Bad, put aside.
    Quarantined {
        /// Why.
        why: String,
    },
    /// Revoked by the operator.
    Withdrawn,
    /// Taken away by the owner of a dropbox: delivered.
    Taken,
}

/// Who put a file where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Something else; the ready rule judges it.
    Seen,
    /// A step of this flow.
    Made,
    /// A verified copy.
    Delivered,
}

impl FileFact {
    /// Tells if its bytes can be read now and are known.
    pub fn is_usable(&self) -> bool {
        self.state == FileState::Present && self.hash.is_some()
    }

    /// Tells if it was removed in the ordinary course of things, so that its last content counts on.
    pub fn was_retired(&self) -> bool {
        matches!(self.state, FileState::Retired { .. } | FileState::Taken)
    }

    /// Tells if it must no longer count.
    pub fn is_revoked(&self) -> bool {
        matches!(self.state, FileState::Quarantined { .. } | FileState::Withdrawn)
    }
}

/// A file as a run used or made it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UsedFile {
    /// The role it had; empty for driving files.
    pub role: String,
    /// The product.
    pub product: String,
    /// Its identity.
    pub identity: String,
    /// Its content.
    pub hash: ContentHash,
}

/// A file that a run left somewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftFile {
    /// Where.
    pub station: String,
    /// The product.
    pub product: String,
    /// Its identity.
    pub identity: String,
    /// The path.
    pub path: RelPath,
    /// Its content.
    pub hash: ContentHash,
}

/// The last run of a key that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoneRun {
    /// The ledger's number of it.
    pub run: i64,
    /// The identity it had.
    pub identity: ContentHash,
    /// The step's version.
    pub step_version: u32,
    /// It went on without an input that may still come.
    pub partial: bool,
    /// The roles it went on without.
    pub awaited: Vec<String>,
    /// What went in.
    pub inputs: Vec<UsedFile>,
    /// What came out.
    pub outputs: Vec<LeftFile>,
    /// When it ended.
    pub ended: Timestamp,
    /// What the external command said of its own version then, if it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb_version: Option<String>,
}

/// The last run of a key, if it failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedRun {
    /// The ledger's number of it.
    pub run: i64,
    /// The identity it had.
    pub identity: ContentHash,
    /// What kind of failure.
    pub class: ErrorClass,
    /// What was said.
    pub message: String,
    /// How many attempts so far.
    pub attempts: u32,
    /// The next try; `None`: never by itself.
    pub retry_at: Option<Timestamp>,
}

/// One key's part in a version of an `update` product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contribution {
    /// The contributing step.
    pub step: String,
    /// Its version.
    pub step_version: u32,
    /// The contributing key, as text.
    pub key: String,
    /// The identity with which it contributed.
    pub identity: ContentHash,
    /// What it contributed.
    pub inputs: Vec<UsedFile>,
    /// What the external command said of its own version then, if it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb_version: Option<String>,
}

/// The rounds of a step that starts at moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Round {
    /// The moment of the last round that was finished.
    pub last: Option<Timestamp>,
    /// The moment of the round under way.
    pub open: Option<Timestamp>,
}

/// What stops a key, put up by a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// `hold`, `pause` or `drain`.
    pub kind: String,
    /// By whom.
    pub by: String,
    /// Why.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// Only where this condition holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

impl Hold {
    /// Returns it in a sentence: `paused by NAME since … where …: why`.
    pub fn text(&self) -> String {
        let word = match self.kind.as_str() {
            "hold" => "held",
            "pause" => "paused",
            "drain" => "drained",
            other => other,
        };
        let condition = self.condition.as_ref().map(|text| format!(" where {text}")).unwrap_or_default();
        format!("{word} by {} since {}{condition}: {}", self.by, self.since, self.why)
    }
}

/// What the external command of a step says of its own version (`version_from`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerbVersion {
    /// This.
    Said(String),
    /// It could not be asked, and why.
    Unknown(String),
}

/// How the listings of a station went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// When the last one that succeeded began.
    pub last_ok: Option<Timestamp>,
    /// Why the last one failed, if it did.
    pub failing: Option<String>,
}

/// Which files are asked for; every condition given must hold.
#[derive(Debug, Clone, Default)]
pub struct FileQuery<'a> {
    /// At this station.
    pub station: Option<&'a str>,
    /// Of this product.
    pub product: &'a str,
    /// With these field values.
    pub fields: Vec<(&'a str, &'a Value)>,
    /// Covering a part of this range. Files without coverage overlap every range.
    pub overlapping: Option<TimeRange>,
}

/// The view of one moment.
pub trait Facts {
    /// Returns the present moment.
    fn now(&self) -> Timestamp;
    /// Returns the files of a product with this identity at a station: none, one, or a conflict.
    fn files_of(&self, station: &str, product: &str, identity: &str) -> Vec<FileFact>;
    /// Returns the files that fulfil a query, in order of start and path.
    fn files(&self, query: &FileQuery<'_>) -> Vec<FileFact>;
    /// Returns the file recorded at a path.
    fn file_at(&self, station: &str, path: &RelPath) -> Option<FileFact>;
    /// Returns the greatest start among a product's files of a series at a station that is not after `not_after`.
    fn newest_start(
        &self,
        station: &str,
        product: &str,
        series: &[(&str, &Value)],
        not_after: Timestamp,
    ) -> Option<Timestamp>;
    /// Tells if a path exists at a station (markers).
    fn exists(&self, station: &str, path: &RelPath) -> bool;
    /// Tells if a named event was recorded for a file.
    fn event(&self, name: &str, file: &FileFact) -> bool;
    /// Returns since when a file that is older than the first `run` here is left alone, if it is.
    fn left_alone(&self, _file: &FileFact) -> Option<Timestamp> {
        None
    }
    /// Returns the digest of a settings file as last read.
    fn settings_file(&self, path: &str) -> Option<ContentHash>;
    /// Returns what the external command of a step says of its own version; none if nobody asked it.
    fn verb_version(&self, _step: &str) -> Option<VerbVersion> {
        None
    }
    /// Returns the last run of a key that succeeded.
    fn last_done(&self, key: &KeyId) -> Option<DoneRun>;
    /// Returns the last run of a key if it failed.
    fn last_failure(&self, key: &KeyId) -> Option<FailedRun>;
    /// Returns the run that is under way for a key.
    fn running(&self, key: &KeyId) -> Option<(i64, Timestamp)>;
    /// Returns the key, as text, whose run made the file at a path.
    fn made_by(&self, station: &str, path: &RelPath) -> Option<(String, String)>;
    /// Returns the keys of a step that are open: looked at and not finished.
    fn open_keys(&self, step: &str) -> Vec<KeyId>;
    /// Returns the key of a step that has this text.
    fn key_named(&self, step: &str, text: &str) -> Option<KeyId>;
    /// Returns the contributions in the version of an `update` product with this content.
    fn contributions(&self, product: &str, identity: &str, hash: &ContentHash) -> Vec<Contribution>;
    /// Returns what stops a key, if anything.
    fn hold(&self, key: &KeyId, driving: &[FileFact]) -> Option<Hold>;
    /// Returns what protects a file from being removed, put up by a person.
    fn file_hold(&self, _file: &FileFact) -> Option<Hold> {
        None
    }
    /// Returns the rounds of a step at a station.
    fn round(&self, step: &str, station: &str) -> Round;
    /// Returns how the listings of a station went.
    fn listing(&self, station: &str) -> Listing;
    /// Returns when a key was first looked at and found open.
    fn opened(&self, key: &KeyId) -> Option<Timestamp>;
    /// Tells if a step has made anything of a key that starts at or after this moment.
    fn made_since(&self, step: &str, start: Timestamp) -> bool;
    /// Returns the files of `product` that runs made from this content, through any number of runs.
    fn derived(&self, from: &FileFact, product: &str) -> Vec<UsedFile>;
    /// Returns the keys whose last successful run used a file or left it, in whatever version.
    ///
    /// It is asked only for products whose coverage may change with the content, so that a file may leave cells that
    /// were made from it, and for what `update` steps make, so that a part may not be in the present version any more.
    fn users(&self, _product: &str, _identity: &str) -> Vec<KeyId> {
        Vec::new()
    }
    /// Returns why nothing can be carried out at a station by this program on this host, if so.
    fn out_of_reach(&self, _station: &str) -> Option<String> {
        None
    }
    /// Tells if the steps of a station are another engine's work, while its files can be reached from here.
    fn is_elsewhere(&self, _station: &str) -> bool {
        false
    }
    /// Returns free and total bytes at a station.
    fn space(&self, station: &str) -> Option<(u64, u64)>;
}
