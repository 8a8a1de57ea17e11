//! A task: a step bound to a key and concrete inputs.

use serde::Serialize;
use thalweg_core::{ContentHash, Fields, RelPath, TimeRange, Timestamp};

use super::facts::{FileFact, UsedFile};
use super::key::KeyId;

/// One input of a task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskInput {
    /// The role; empty for driving files.
    pub role: String,
    /// The product; empty for a settings file.
    pub product: String,
    /// The file's identity within the product.
    pub identity: String,
    /// The station; empty for a settings file.
    pub station: String,
    /// Its path there.
    pub path: RelPath,
    /// Its content.
    pub hash: ContentHash,
    /// Its size in bytes.
    pub size: u64,
    /// The time it covers.
    pub coverage: Option<TimeRange>,
    /// Its fields.
    #[serde(skip)]
    pub fields: Fields,
    /// An `update` step works it in now.
    pub new: bool,
    /// It counts for the identity. A driving file that does not is another key's part of an `update`.
    pub counts: bool,
}

/// One output of a task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskOutput {
    /// The station.
    pub station: String,
    /// The product.
    pub product: String,
    /// The path; `None`: whatever of the product the verb leaves in its staging folder.
    pub path: Option<RelPath>,
    /// The fields known beforehand.
    #[serde(skip)]
    pub fields: Fields,
    /// The content that stands there and may be replaced.
    pub replaces: Option<ContentHash>,
    /// It is built up from contributions.
    pub update: bool,
}

/// The earlier output that an `update` step works on from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Previous {
    /// The file.
    pub file: FileFact,
}

/// Whose parts an output of an `update` holds besides the key's own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutputParts {
    /// The station.
    pub station: String,
    /// The product.
    pub product: String,
    /// The output's identity within the product.
    pub identity: String,
    /// Step and key, as text, of each part.
    pub keys: std::collections::BTreeSet<(String, String)>,
}

/// A step bound to a key and concrete inputs.
#[derive(Debug, Clone, Serialize)]
pub struct Task {
    /// The key.
    pub key: KeyId,
    /// The step's version.
    pub step_version: u32,
    /// What its external command says of its own version, if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verb_version: Option<String>,
    /// Step, version, key and input contents in one digest.
    pub identity: ContentHash,
    /// What goes in.
    pub inputs: Vec<TaskInput>,
    /// What comes out.
    pub outputs: Vec<TaskOutput>,
    /// Earlier outputs to work on from.
    pub previous: Vec<Previous>,
    /// The keys, as text, whose contributions it holds besides its own, with their identities.
    pub with_contributions: Vec<super::Contribution>,
    /// Which of these belong into which output.
    pub parts: Vec<OutputParts>,
    /// Roles it goes on without.
    pub awaited: Vec<String>,
    /// All fields a placeholder can name.
    #[serde(skip)]
    pub fields: Fields,
    /// The span of the key: its cell, or its driving files' coverage.
    pub span: Option<TimeRange>,
    /// Why it is done now: new, stale, lost.
    pub because: String,
    /// When its driving input arrived.
    pub arrived: Timestamp,
    /// Values of the fields of `one_at_a_time`, as text.
    pub lane: Option<String>,
}

impl Task {
    /// Tells if another key's contribution belongs into an output: what was in there before, and is worked in again.
    pub fn belongs(&self, part: &super::Contribution, station: &str, product: &str, identity: &str) -> bool {
        let mut outputs =
            self.parts.iter().filter(|o| o.station == station && o.product == product && o.identity == identity);
        outputs.any(|output| output.keys.contains(&(part.step.clone(), part.key.clone())))
    }

    /// Returns the inputs as a run records them: those of the key itself. What an `update` takes in for other keys, to
    /// build its output afresh, is recorded as their contributions.
    pub fn used(&self) -> Vec<UsedFile> {
        let mut used: Vec<_> = self
            .inputs
            .iter()
            .filter(|input| input.counts || !input.role.is_empty())
            .map(|input| UsedFile {
                role: input.role.clone(),
                product: input.product.clone(),
                identity: input.identity.clone(),
                hash: input.hash,
            })
            .collect();
        used.sort();
        used.dedup();
        used
    }
}

/// Computes a task's identity from step, version, key and, per role, the sorted contents of its inputs; where the step is
/// stale on it, also from what its external command says of its own version.
pub(crate) fn identity<'a>(
    step: &str,
    key_text: &str,
    version: u32,
    verb_version: Option<&str>,
    inputs: impl Iterator<Item = (&'a str, &'a ContentHash)>,
) -> ContentHash {
    let mut parts: Vec<_> = inputs.collect();
    parts.sort();
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(step.as_bytes());
    add(&version.to_le_bytes());
    add(key_text.as_bytes());
    for (role, hash) in parts {
        add(role.as_bytes());
        add(&hash.0);
    }
    if let Some(said) = verb_version {
        add(b"version_from");
        add(said.as_bytes());
    }
    ContentHash(*hasher.finalize().as_bytes())
}
