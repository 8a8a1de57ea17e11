//! Writing records: copies keep their order and types, new ones are built field by field.

use std::io::{self, Write};

use super::error::Error;
use super::model::{Elements, Field, Kind, Record, Scalar, each};

/// The code word that writers put.
pub(super) const CODE: i32 = 65537;

/// Appends the bytes of `record` to `out`: the scalars in their order, then the vectors in theirs.
///
/// # Errors
/// Fails if a name or text holds a NUL, a shape disagrees with its elements or the record exceeds 2 GiB; `out` is
/// then as it was.
pub fn encode(record: &Record, out: &mut Vec<u8>) -> Result<(), Error> {
    let before = out.len();
    let result = encode_onto(record, out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

fn encode_onto(record: &Record, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut builder = RecordBuilder::with_code(out, record.code);
    for (name, field) in &record.fields {
        if let Field::Scalar(scalar) = field {
            builder.scalar(name, scalar)?;
        }
    }
    for (name, field) in &record.fields {
        if let Field::Vector(vector) = field {
            builder.vector(name, &vector.shape, &vector.data)?;
        }
    }
    builder.finish()
}

/// Writes one record field by field: scalars first, then vectors.
#[derive(Debug)]
pub struct RecordBuilder<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    scalars: i32,
    vectors: i32,
}

impl<'a> RecordBuilder<'a> {
    /// Starts a record at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self::with_code(out, CODE)
    }

    fn with_code(out: &'a mut Vec<u8>, code: i32) -> Self {
        let start = out.len();
        out.extend_from_slice(&code.to_le_bytes());
        out.extend_from_slice(&[0; 12]);
        Self { out, start, scalars: 0, vectors: 0 }
    }

    fn name(&mut self, name: &str, kind: Kind) -> Result<(), Error> {
        if name.contains('\0') {
            return Err(unwritable(name, "the name holds a NUL"));
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(&[0, kind.code()]);
        Ok(())
    }

    /// Appends a scalar.
    ///
    /// # Errors
    /// Fails after the first vector, or if the name or text holds a NUL.
    pub fn scalar(&mut self, name: &str, value: &Scalar) -> Result<(), Error> {
        if self.vectors > 0 {
            return Err(unwritable(name, "scalars stand before vectors"));
        }
        self.name(name, value.kind())?;
        match value {
            Scalar::Char(v) => self.out.extend_from_slice(&v.to_le_bytes()),
            Scalar::Short(v) => self.out.extend_from_slice(&v.to_le_bytes()),
            Scalar::Int(v) => self.out.extend_from_slice(&v.to_le_bytes()),
            Scalar::Float(v) => self.out.extend_from_slice(&v.to_le_bytes()),
            Scalar::Double(v) => self.out.extend_from_slice(&v.to_le_bytes()),
            Scalar::Long(v) => self.out.extend_from_slice(&v.to_le_bytes()),
            Scalar::UChar(v) => self.out.extend_from_slice(&v.to_le_bytes()),
            Scalar::UShort(v) => self.out.extend_from_slice(&v.to_le_bytes()),
            Scalar::UInt(v) => self.out.extend_from_slice(&v.to_le_bytes()),
            Scalar::ULong(v) => self.out.extend_from_slice(&v.to_le_bytes()),
            Scalar::Text(text) => {
                if text.contains('\0') {
                    return Err(unwritable(name, "the text holds a NUL"));
                }
                self.out.extend_from_slice(text.as_bytes());
                self.out.push(0);
            }
        }
        self.scalars += 1;
        Ok(())
    }

    /// Appends an array; `shape` in C order.
    ///
    /// # Errors
    /// Fails if the shape disagrees with the number of elements, has no dimension, or one of 0 (`slist` may).
    pub fn vector(&mut self, name: &str, shape: &[usize], data: &Elements) -> Result<(), Error> {
        self.vector_header(name, shape, data.kind(), data.len())?;
        each!(data, values => values.iter().for_each(|value| self.out.extend_from_slice(&value.to_le_bytes())));
        Ok(())
    }

    /// Appends an array of floats; `shape` in C order.
    ///
    /// # Errors
    /// As [`RecordBuilder::vector`].
    pub fn floats(&mut self, name: &str, shape: &[usize], data: &[f32]) -> Result<(), Error> {
        self.vector_header(name, shape, Kind::Float, data.len())?;
        self.out.reserve(data.len() * 4);
        self.out.extend(data.iter().flat_map(|value| value.to_le_bytes()));
        Ok(())
    }

    /// Appends an array of shorts; `shape` in C order.
    ///
    /// # Errors
    /// As [`RecordBuilder::vector`].
    pub fn shorts(&mut self, name: &str, shape: &[usize], data: &[i16]) -> Result<(), Error> {
        self.vector_header(name, shape, Kind::Short, data.len())?;
        self.out.extend(data.iter().flat_map(|value| value.to_le_bytes()));
        Ok(())
    }

    fn vector_header(&mut self, name: &str, shape: &[usize], kind: Kind, length: usize) -> Result<(), Error> {
        let product = shape.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
        if product != Some(length) {
            return Err(unwritable(name, "the shape disagrees with the number of elements"));
        }
        if shape.is_empty() || (name != "slist" && length == 0) {
            return Err(unwritable(name, "a vector needs dimensions of at least 1"));
        }
        self.name(name, kind)?;
        let count = |n: usize| i32::try_from(n).map_err(|_| unwritable(name, "a dimension exceeds 2^31 - 1"));
        self.out.extend_from_slice(&count(shape.len())?.to_le_bytes());
        for dim in shape.iter().rev() {
            self.out.extend_from_slice(&count(*dim)?.to_le_bytes());
        }
        self.vectors += 1;
        Ok(())
    }

    /// Completes the header.
    ///
    /// # Errors
    /// Fails if there is no scalar or no vector (readers insist on both) or the record exceeds 2 GiB.
    pub fn finish(self) -> Result<(), Error> {
        if self.scalars == 0 || self.vectors == 0 {
            return Err(unwritable("", "a record needs a scalar and a vector"));
        }
        let size = self.out.len() - self.start;
        let size = i32::try_from(size).map_err(|_| unwritable("", "the record exceeds 2 GiB"))?;
        for (at, value) in [(4, size), (8, self.scalars), (12, self.vectors)] {
            self.out[self.start + at..][..4].copy_from_slice(&value.to_le_bytes());
        }
        Ok(())
    }
}

fn unwritable(field: &str, reason: &'static str) -> Error {
    Error::Unwritable { field: field.to_owned(), reason }
}

/// Writes a stream of records, plain or as one bzip2 stream of level 9.
#[derive(Debug)]
pub struct Writer<W: Write> {
    target: Target<W>,
    written: u64,
    scratch: Vec<u8>,
}

enum Target<W: Write> {
    Plain(W),
    Bzip2(Box<bzip2::write::BzEncoder<W>>),
}

impl<W: Write> std::fmt::Debug for Target<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Bzip2(_) => "Bzip2",
        })
    }
}

impl<W: Write> Writer<W> {
    /// Starts a stream; `compress` chooses bzip2.
    pub fn new(inner: W, compress: bool) -> Self {
        let target = if compress {
            Target::Bzip2(Box::new(bzip2::write::BzEncoder::new(inner, bzip2::Compression::best())))
        } else {
            Target::Plain(inner)
        };
        Self { target, written: 0, scratch: Vec::new() }
    }

    /// Appends records that are already encoded.
    ///
    /// # Errors
    /// Fails when the sink does.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let result = match &mut self.target {
            Target::Plain(inner) => inner.write_all(bytes),
            Target::Bzip2(encoder) => encoder.write_all(bytes),
        };
        result.map_err(|source| Error::Io { offset: self.written, source })?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Appends a record.
    ///
    /// # Errors
    /// Fails if the record cannot be written (see [`encode`]) or the sink fails.
    pub fn write(&mut self, record: &Record) -> Result<(), Error> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let result = encode(record, &mut scratch).and_then(|()| self.write_bytes(&scratch));
        self.scratch = scratch;
        result
    }

    /// Ends the stream and gives the sink back; nothing is complete without it.
    ///
    /// # Errors
    /// Fails when the sink does.
    pub fn finish(self) -> Result<W, Error> {
        let finish = |result: io::Result<W>| result.map_err(|source| Error::Io { offset: self.written, source });
        match self.target {
            Target::Plain(mut inner) => finish(inner.flush().map(|()| inner)),
            Target::Bzip2(encoder) => finish(encoder.finish().and_then(|mut inner| inner.flush().map(|()| inner))),
        }
    }
}
