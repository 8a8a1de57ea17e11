//! The fields inside the bytes of one record, borrowed; nothing is copied until it is asked for.

use std::borrow::Cow;
use std::collections::HashSet;

use super::error::{Error, FieldFault};
use super::model::{Elements, Field, Kind, Record, Scalar, Vector};

const SCALAR_CODES: &str = "1-4, 8-10, 16-19";
const VECTOR_CODES: &str = "1-4, 8, 10, 16-19";

/// What to do with text that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextMode {
    /// It makes the record bad.
    Strict,
    /// Bad bytes become U+FFFD.
    Replace,
}

/// The bytes of one record and where they come from.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// Number of the record, from 0.
    pub index: u64,
    /// Byte of the uncompressed stream where it starts.
    pub offset: u64,
    /// The whole record, header included.
    pub bytes: &'a [u8],
}

impl<'a> RawRecord<'a> {
    /// Walks the fields.
    ///
    /// # Errors
    /// Fails if the header's counts cannot be.
    pub fn fields(&self) -> Result<Fields<'a>, Error> {
        Fields::new(self.bytes).map_err(|fault| self.error(fault))
    }

    /// Makes an owned record.
    ///
    /// # Errors
    /// Fails if any field is bad, if the fields do not end with the record, or if a name occurs twice (the last wins
    /// with [`TextMode::Replace`]).
    pub fn parse(&self, text: TextMode) -> Result<Record, Error> {
        let fields = self.fields()?;
        let mut record = Record { code: int(self.bytes, 0), fields: Vec::with_capacity(fields.left.min(128)) };
        let mut seen = HashSet::new();
        for field in fields {
            let (name, field) = field.map_err(|fault| self.error(fault))?;
            if text == TextMode::Strict && !seen.insert(name) {
                return Err(self.error(FieldFault::Twice { field: name.to_owned() }));
            }
            let field = field.to_owned(name, text).map_err(|fault| self.error(fault))?;
            record.fields.push((name.to_owned(), field));
        }
        Ok(record)
    }

    /// Puts a fault of a field into the error that names this record.
    pub fn error(&self, fault: FieldFault) -> Error {
        Error::Field { index: self.index, offset: self.offset, fault }
    }
}

/// One field, borrowed from the record.
#[derive(Debug, Clone)]
pub enum FieldRef<'a> {
    /// A number.
    Number(Scalar),
    /// The bytes of a text, without the NUL.
    Text {
        /// Not checked to be UTF-8.
        bytes: &'a [u8],
        /// Where it starts in the record.
        at: usize,
    },
    /// An array.
    Vector(VectorRef<'a>),
}

/// An array, borrowed from the record.
#[derive(Debug, Clone)]
pub struct VectorRef<'a> {
    /// Type of the elements; never text.
    pub kind: Kind,
    /// Dimensions in C order.
    pub shape: Vec<usize>,
    /// Little-endian elements in C order.
    pub bytes: &'a [u8],
}

impl FieldRef<'_> {
    /// Returns the type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Number(scalar) => scalar.kind(),
            Self::Text { .. } => Kind::Text,
            Self::Vector(vector) => vector.kind,
        }
    }

    /// Copies the field.
    ///
    /// # Errors
    /// Fails if a text is not UTF-8 and `mode` is strict.
    pub fn to_owned(&self, name: &str, mode: TextMode) -> Result<Field, FieldFault> {
        Ok(match self {
            Self::Number(scalar) => Field::Scalar(scalar.clone()),
            Self::Text { bytes, at } => match (String::from_utf8_lossy(bytes), mode) {
                (Cow::Owned(_), TextMode::Strict) => {
                    return Err(FieldFault::Text { field: name.to_owned(), at: *at });
                }
                (text, _) => Field::Scalar(Scalar::Text(text.into_owned())),
            },
            Self::Vector(vector) => {
                Field::Vector(Vector { shape: vector.shape.clone(), data: elements(vector.kind, vector.bytes) })
            }
        })
    }
}

/// Decodes little-endian elements. A text has no elements and gives none.
pub(super) fn elements(kind: Kind, bytes: &[u8]) -> Elements {
    macro_rules! decode {
        ($variant:ident, $type:ty) => {{
            let (chunks, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
            Elements::$variant(chunks.iter().map(|chunk| <$type>::from_le_bytes(*chunk)).collect())
        }};
    }
    match kind {
        Kind::Char => decode!(Char, i8),
        Kind::Short => decode!(Short, i16),
        Kind::Int => decode!(Int, i32),
        Kind::Float => decode!(Float, f32),
        Kind::Double => decode!(Double, f64),
        Kind::Long => decode!(Long, i64),
        Kind::UChar => decode!(UChar, u8),
        Kind::UShort => decode!(UShort, u16),
        Kind::UInt => decode!(UInt, u32),
        Kind::ULong => decode!(ULong, u64),
        Kind::Text => Elements::Char(Vec::new()),
    }
}

/// Reads an i32; 0 where there are no four bytes (callers have checked).
fn int(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| i32::from_le_bytes(*chunk))
}

/// Walks the fields of a record; ends after the first fault.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    record: &'a [u8],
    at: usize,
    number: usize,
    scalars: usize,
    left: usize,
    done: bool,
}

impl<'a> Fields<'a> {
    /// Starts at the header of `record`.
    ///
    /// # Errors
    /// Fails if the header is cut short or its counts cannot be.
    pub fn new(record: &'a [u8]) -> Result<Self, FieldFault> {
        if record.len() < 16 {
            return Err(FieldFault::CutShort { field: String::new(), at: 0, needed: 16, left: record.len() });
        }
        let (scalars, vectors) = (int(record, 8), int(record, 12));
        let counts = || FieldFault::Counts { scalars, vectors, size: record.len() };
        if scalars <= 0 || vectors <= 0 {
            return Err(counts());
        }
        let scalars = usize::try_from(scalars).map_err(|_| counts())?;
        let total =
            usize::try_from(vectors).ok().and_then(|vectors| scalars.checked_add(vectors)).ok_or_else(counts)?;
        if total > record.len() {
            return Err(counts());
        }
        Ok(Self { record, at: 16, number: 0, scalars, left: total, done: false })
    }

    fn terminated(&mut self) -> Result<&'a [u8], FieldFault> {
        let rest = &self.record[self.at..];
        let Some(end) = rest.iter().position(|byte| *byte == 0) else {
            return Err(FieldFault::Unterminated { number: self.number, at: self.at });
        };
        self.at += end + 1;
        Ok(&rest[..end])
    }

    fn take(&mut self, needed: usize, field: &str) -> Result<&'a [u8], FieldFault> {
        let rest = &self.record[self.at..];
        let Some(bytes) = rest.get(..needed) else {
            return Err(FieldFault::CutShort { field: field.to_owned(), at: self.at, needed, left: rest.len() });
        };
        self.at += needed;
        Ok(bytes)
    }

    fn field(&mut self) -> Result<(&'a str, FieldRef<'a>), FieldFault> {
        let at = self.at;
        let name = self.terminated()?;
        let name = std::str::from_utf8(name).map_err(|_| FieldFault::Name { number: self.number, at })?;
        let code = i8::from_le_bytes([self.take(1, name)?[0]]);
        let kind = Kind::from_code(code);
        if self.number < self.scalars {
            let Some(kind) = kind else {
                return Err(FieldFault::TypeCode { kind: "scalar", field: name.to_owned(), code, known: SCALAR_CODES });
            };
            return Ok((name, self.scalar(name, kind)?));
        }
        let Some(kind) = kind.filter(|kind| *kind != Kind::Text) else {
            return Err(FieldFault::TypeCode { kind: "vector", field: name.to_owned(), code, known: VECTOR_CODES });
        };
        Ok((name, FieldRef::Vector(self.vector(name, kind)?)))
    }

    fn scalar(&mut self, name: &str, kind: Kind) -> Result<FieldRef<'a>, FieldFault> {
        if kind == Kind::Text {
            let at = self.at;
            return Ok(FieldRef::Text { bytes: self.terminated()?, at });
        }
        let bytes = self.take(kind.size(), name)?;
        macro_rules! decode {
            ($variant:ident, $type:ty) => {
                bytes.first_chunk().map(|chunk| Scalar::$variant(<$type>::from_le_bytes(*chunk)))
            };
        }
        let scalar = match kind {
            Kind::Char => decode!(Char, i8),
            Kind::Short => decode!(Short, i16),
            Kind::Int => decode!(Int, i32),
            Kind::Float => decode!(Float, f32),
            Kind::Double => decode!(Double, f64),
            Kind::Long => decode!(Long, i64),
            Kind::UChar => decode!(UChar, u8),
            Kind::UShort => decode!(UShort, u16),
            Kind::UInt => decode!(UInt, u32),
            Kind::ULong => decode!(ULong, u64),
            Kind::Text => None,
        };
        let left = bytes.len();
        let short = || FieldFault::CutShort { field: name.to_owned(), at: self.at, needed: kind.size(), left };
        scalar.map(FieldRef::Number).ok_or_else(short)
    }

    fn vector(&mut self, name: &str, kind: Kind) -> Result<VectorRef<'a>, FieldFault> {
        let size = self.record.len();
        let found = int(self.take(4, name)?, 0);
        let count = usize::try_from(found)
            .ok()
            .filter(|count| (1..=size).contains(count))
            .ok_or_else(|| FieldFault::Dimensions { field: name.to_owned(), found, size })?;
        let volume = || FieldFault::Volume { field: name.to_owned(), size };
        let mut shape = Vec::with_capacity(count.min(8));
        let mut length = kind.size();
        for _ in 0..count {
            let found = int(self.take(4, name)?, 0);
            // A record without ranges has `slist` of no elements: the one vector that may be empty.
            let smallest = usize::from(name != "slist");
            let dim = usize::try_from(found)
                .ok()
                .filter(|dim| (smallest..=size).contains(dim))
                .ok_or_else(|| FieldFault::Dimension { field: name.to_owned(), found, size })?;
            length = length.checked_mul(dim).filter(|length| *length <= size).ok_or_else(volume)?;
            shape.push(dim);
        }
        shape.reverse();
        Ok(VectorRef { kind, shape, bytes: self.take(length, name)? })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(&'a str, FieldRef<'a>), FieldFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if self.left == 0 {
            self.done = true;
            let (end, size) = (self.at, self.record.len());
            return (end != size).then_some(Err(FieldFault::End { end, size }));
        }
        let field = self.field();
        self.done = field.is_err();
        self.left -= 1;
        self.number += 1;
        Some(field)
    }
}
