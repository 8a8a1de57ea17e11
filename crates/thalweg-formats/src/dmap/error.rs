//! What can be wrong with a DMAP stream. Offsets count bytes of the uncompressed stream unless they say otherwise.

use std::io;
use std::path::PathBuf;

use thalweg_core::ErrorClass;

use crate::bunzip::BunzipError;

/// Why reading or writing DMAP failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system could not read or write.
    #[error("read or write the stream at byte {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// A file could not be opened.
    #[error("open {}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The bzip2 envelope is damaged.
    #[error("decompress the bzip2 stream after {offset} good bytes")]
    Bzip2 {
        /// Bytes that came out well before the damage.
        offset: u64,
        /// What is wrong with it.
        #[source]
        source: BunzipError,
    },
    /// The stream holds no bytes, or a compressed stream of none.
    #[error("read the first record: the stream is empty")]
    Empty,
    /// Fewer than 16 bytes are left.
    #[error("read dmap record {index} at byte {offset}: {left} bytes are left, a record header has 16")]
    HeaderCutShort {
        /// Number of the record, from 0.
        index: u64,
        /// Where it starts.
        offset: u64,
        /// Bytes left.
        left: u64,
    },
    /// The size in the header cannot be.
    #[error("read dmap record {index} at byte {offset}: size {size} is not possible")]
    BadSize {
        /// Number of the record, from 0.
        index: u64,
        /// Where it starts.
        offset: u64,
        /// The size in its header.
        size: i32,
    },
    /// The record is larger than the rest of the stream.
    #[error("read dmap record {index} at byte {offset}: size {size} is more than the {left} bytes left")]
    BeyondEnd {
        /// Number of the record, from 0.
        index: u64,
        /// Where it starts.
        offset: u64,
        /// The size in its header.
        size: u64,
        /// Bytes left.
        left: u64,
    },
    /// The record is larger than the reader accepts.
    #[error("read dmap record {index} at byte {offset}: size {size} is more than the limit of {limit} bytes")]
    TooLarge {
        /// Number of the record, from 0.
        index: u64,
        /// Where it starts.
        offset: u64,
        /// The size in its header.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The stream unpacks to more than the reader accepts.
    #[error("read the stream: it unpacks to more than the limit of {limit} bytes")]
    OutputLimit {
        /// The limit.
        limit: u64,
    },
    /// A field of a record is bad.
    #[error("read dmap record {index} at byte {offset}: {fault}")]
    Field {
        /// Number of the record, from 0.
        index: u64,
        /// Where the record starts.
        offset: u64,
        /// What is wrong.
        fault: FieldFault,
    },
    /// A record cannot be written.
    #[error("write field {field:?}: {reason}")]
    Unwritable {
        /// The field.
        field: String,
        /// Why.
        reason: &'static str,
    },
    /// A record has no usable time of its own.
    #[error("read the time of dmap record {index} at byte {offset}: {found}")]
    NoTime {
        /// Number of the record, from 0.
        index: u64,
        /// Where the record starts.
        offset: u64,
        /// What stands there.
        found: String,
    },
}

impl Error {
    /// Says what can be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Io { .. } => ErrorClass::Transient,
            Self::Bzip2 { source, .. } => source.class(),
            Self::Open { source, .. } => crate::probe::open_class(source),
            _ => ErrorClass::Data,
        }
    }

    /// Returns the byte of the uncompressed stream where the bad record starts, if a record is to blame.
    pub fn record_offset(&self) -> Option<u64> {
        match self {
            Self::HeaderCutShort { offset, .. }
            | Self::BadSize { offset, .. }
            | Self::BeyondEnd { offset, .. }
            | Self::TooLarge { offset, .. }
            | Self::Field { offset, .. } => Some(*offset),
            _ => None,
        }
    }
}

/// What is wrong with a field, or with the sum of the fields, of one record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldFault {
    /// The counts of the header cannot be.
    #[error("{scalars} scalars and {vectors} vectors are not possible in {size} bytes")]
    Counts {
        /// Number of scalars in the header.
        scalars: i32,
        /// Number of vectors in the header.
        vectors: i32,
        /// Size of the record.
        size: usize,
    },
    /// Fields do not end where the record ends.
    #[error("the fields end at byte {end} of the record, its size is {size}")]
    End {
        /// Where the fields end.
        end: usize,
        /// Size of the record.
        size: usize,
    },
    /// A name or text without its NUL.
    #[error("field {number} at byte {at} of the record: text is not terminated")]
    Unterminated {
        /// Number of the field, from 0.
        number: usize,
        /// Byte of the record.
        at: usize,
    },
    /// A name that is not UTF-8.
    #[error("field {number} at byte {at} of the record: the name is not UTF-8")]
    Name {
        /// Number of the field, from 0.
        number: usize,
        /// Byte of the record.
        at: usize,
    },
    /// A text that is not UTF-8.
    #[error("scalar {field:?} at byte {at} of the record: the text is not UTF-8")]
    Text {
        /// The field.
        field: String,
        /// Byte of the record.
        at: usize,
    },
    /// A type code that does not exist, or does not exist for vectors.
    #[error("{kind} {field:?} has type code {code}; known codes are {known}")]
    TypeCode {
        /// `scalar` or `vector`.
        kind: &'static str,
        /// The field.
        field: String,
        /// What stands there.
        code: i8,
        /// The codes that may stand there.
        known: &'static str,
    },
    /// Bytes end inside a field.
    #[error("field {field:?} at byte {at} of the record: {needed} bytes are needed, {left} are left")]
    CutShort {
        /// The field.
        field: String,
        /// Byte of the record.
        at: usize,
        /// Bytes needed.
        needed: usize,
        /// Bytes left in the record.
        left: usize,
    },
    /// A number of dimensions that cannot be.
    #[error("vector {field:?} has {found} dimensions in a record of {size} bytes")]
    Dimensions {
        /// The field.
        field: String,
        /// What stands there.
        found: i32,
        /// Size of the record.
        size: usize,
    },
    /// A dimension that cannot be.
    #[error("vector {field:?} has a dimension of {found} in a record of {size} bytes")]
    Dimension {
        /// The field.
        field: String,
        /// What stands there.
        found: i32,
        /// Size of the record.
        size: usize,
    },
    /// More data than the record can hold.
    #[error("vector {field:?} has more data than its record of {size} bytes can hold")]
    Volume {
        /// The field.
        field: String,
        /// Size of the record.
        size: usize,
    },
    /// A name that occurs twice.
    #[error("field {field:?} occurs twice")]
    Twice {
        /// The field.
        field: String,
    },
    /// A field that the format does not know.
    #[error("field {field:?} is not a field of {format}")]
    NotInFormat {
        /// The field.
        field: String,
        /// The format.
        format: &'static str,
    },
    /// A field that the format requires.
    #[error("field {field:?} of {format} is missing")]
    Missing {
        /// The field.
        field: &'static str,
        /// The format.
        format: &'static str,
    },
    /// A field of another kind or type than the format says.
    #[error("field {field:?} is a {found}, {format} has a {expected}")]
    WrongType {
        /// The field.
        field: String,
        /// Kind and type found.
        found: String,
        /// Kind and type expected.
        expected: String,
        /// The format.
        format: &'static str,
    },
    /// Vectors that belong together have different shapes.
    #[error(
        "vectors {first:?} of shape {first_shape:?} and {second:?} of shape {second_shape:?} must have equal shapes"
    )]
    Shapes {
        /// One of them.
        first: String,
        /// Its shape, C order.
        first_shape: Vec<usize>,
        /// The other.
        second: String,
        /// Its shape, C order.
        second_shape: Vec<usize>,
    },
}
