//! What can be wrong with an HDF5 file.

use std::io;
use std::path::PathBuf;

use thalweg_core::ErrorClass;

/// Why reading or writing an HDF5 file failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened.
    #[error("open {}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The operating system could not read.
    #[error("read byte {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// There is no HDF5 signature.
    #[error("read the file of {length} bytes: it is not HDF5 (no signature at the start)")]
    NotHdf5 {
        /// Length of the file.
        length: u64,
    },
    /// The file ends before the end that is stored in it.
    #[error("read the file: it is truncated, {length} bytes are there, it should have {stored_end}")]
    Truncated {
        /// Length of the file.
        length: u64,
        /// The end as stored in the superblock.
        stored_end: u64,
    },
    /// An object cannot be read.
    #[error("read {name:?} at byte {address}: {fault}")]
    Object {
        /// Path of the object.
        name: String,
        /// Address of its header.
        address: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// There is no such object.
    #[error("find {name:?}: there is no such object")]
    NotFound {
        /// What was looked for.
        name: String,
    },
    /// A file could not be written.
    #[error("write {name:?}: {message}")]
    Write {
        /// Path of the object, or of the file.
        name: String,
        /// What the writer said.
        message: String,
    },
}

impl Error {
    /// Says what can be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Open { source, .. } => crate::probe::open_class(source),
            Self::Io { .. } | Self::Write { .. } => ErrorClass::Transient,
            _ => ErrorClass::Data,
        }
    }
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It reaches beyond the end of the file.
    #[error("{needed} bytes at byte {at} reach beyond the end of the file at {length}")]
    BeyondEnd {
        /// Where.
        at: u64,
        /// How much.
        needed: u64,
        /// Length of the file.
        length: u64,
    },
    /// A structure does not begin as it should.
    #[error("at byte {at} there is no {expected}")]
    Signature {
        /// Where.
        at: u64,
        /// What should be there.
        expected: &'static str,
    },
    /// A structure ends too early.
    #[error("the {what} is cut short")]
    CutShort {
        /// Which.
        what: &'static str,
    },
    /// A structure contradicts itself or its surroundings.
    #[error("the {what} is damaged")]
    Damaged {
        /// Which.
        what: &'static str,
    },
    /// A valid feature that is not read here.
    #[error("{what} is not supported")]
    Unsupported {
        /// Which.
        what: &'static str,
    },
    /// It is larger than a reader may allocate.
    #[error("{size} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A chunk cannot be unpacked.
    #[error("unpack the chunk at byte {at}: {message}")]
    Chunk {
        /// Where.
        at: u64,
        /// Why.
        message: String,
    },
    /// The object is of another kind than asked for.
    #[error("it is no {expected}")]
    Kind {
        /// What was asked for.
        expected: &'static str,
    },
}
