//! What can go wrong with a copy.

use thalweg_core::{ContentHash, ErrorClass, RelPath};
use thalweg_store::StoreError;

/// A failed copy; nothing under a final name was touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The source could not be read.
    #[error("copy {path}: the source cannot be read")]
    Source {
        /// The path at the source.
        path: RelPath,
        /// What the store said.
        source: StoreError,
    },
    /// The destination could not be written or read.
    #[error("copy {path}: the destination cannot be written")]
    Destination {
        /// The path at the destination.
        path: RelPath,
        /// What the store said.
        source: StoreError,
    },
    /// Other content has the name at the destination.
    #[error("copy {path}: other content has that name (there {there_size} bytes, here {here_size} bytes)")]
    Conflict {
        /// The path at the destination.
        path: RelPath,
        /// Size of what stands there, bytes.
        there_size: u64,
        /// Digest of what stands there, if it had to be read.
        there_hash: Option<ContentHash>,
        /// Size of the source, bytes.
        here_size: u64,
    },
    /// Replacing would leave less than half of the old size.
    #[error("replace {path}: {new_size} bytes would take the place of {old_size} bytes")]
    Shrinks {
        /// The path at the destination.
        path: RelPath,
        /// Size of what stands there, bytes.
        old_size: u64,
        /// Size of the source, bytes.
        new_size: u64,
    },
    /// The source is not the content that the caller knows it by.
    #[error("copy {path}: the source has digest {}, expected {}", found.short(), expected.short())]
    NotExpected {
        /// The path at the source.
        path: RelPath,
        /// The digest the caller gave.
        expected: ContentHash,
        /// The digest of what was read.
        found: ContentHash,
    },
    /// What was read back is not what was written: the medium, memory or a controller is bad.
    #[error("verify {path}: read back digest {}, wrote {}", found.short(), expected.short())]
    Corrupted {
        /// The path of the staged file at the destination.
        path: RelPath,
        /// The digest of what was written.
        expected: ContentHash,
        /// The digest of what was read back.
        found: ContentHash,
    },
    /// The staged file has not the size of what was written to it.
    #[error("verify {path}: {found} bytes are there, wrote {expected}")]
    WrongSize {
        /// The path of the staged file at the destination.
        path: RelPath,
        /// Bytes written.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// The caller asked to stop; what is staged stays for a resume.
    #[error("copy {path}: cancelled")]
    Cancelled {
        /// The path at the source.
        path: RelPath,
    },
}

impl TransferError {
    /// Makes the error of a source's store.
    pub(crate) fn at_source(path: &RelPath) -> impl FnOnce(StoreError) -> Self + '_ {
        |source| Self::Source { path: path.clone(), source }
    }

    /// Makes the error of a destination's store.
    pub(crate) fn at_destination(path: &RelPath) -> impl FnOnce(StoreError) -> Self + '_ {
        |source| Self::Destination { path: path.clone(), source }
    }

    /// Returns the class by which the engine decides.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Source { source, .. } | Self::Destination { source, .. } => source.class(),
            Self::Conflict { .. } | Self::Shrinks { .. } => ErrorClass::Refused,
            Self::NotExpected { .. } | Self::Cancelled { .. } => ErrorClass::NotYet,
            Self::Corrupted { .. } | Self::WrongSize { .. } => ErrorClass::Data,
        }
    }

    /// Returns the next thing to do, for a `help:` line; `None` where nothing helps but to wait.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Source { source, .. } | Self::Destination { source, .. } => source.help(),
            Self::Conflict { .. } => Some("compare the two, then remove or rename the one that is wrong"),
            Self::Shrinks { .. } => Some("check the new file; allow shrinking only if it is right"),
            Self::NotExpected { .. } => Some("the source changed since it was seen; it settles anew"),
            Self::Corrupted { .. } | Self::WrongSize { .. } => Some("check the disk and memory of the destination"),
            Self::Cancelled { .. } => None,
        }
    }
}
