//! Records as JSON, one object a line.
//!
//! Scalars are numbers and strings, vectors nested lists in C order. Floats are written with as many digits as their
//! value widened to 64 bits needs; what JSON cannot write (NaN, infinities) becomes `null`.

use std::io::{self, Read, Write};

use super::error::Error;
use super::model::{Elements, Field, Record, Scalar};
use super::parse::TextMode;
use super::read::Reader;

/// Writes one record as a JSON object, without a newline.
///
/// # Errors
/// Fails when the sink does.
pub fn write_json(record: &Record, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"{")?;
    for (n, (name, field)) in record.fields.iter().enumerate() {
        if n > 0 {
            out.write_all(b",")?;
        }
        serde_json::to_writer(&mut *out, name)?;
        out.write_all(b":")?;
        match field {
            Field::Scalar(scalar) => write_scalar(scalar, out)?,
            Field::Vector(vector) => {
                let mut at = 0;
                nested(&vector.shape, &vector.data, &mut at, out)?;
            }
        }
    }
    out.write_all(b"}")
}

fn write_float(value: f64, out: &mut dyn Write) -> io::Result<()> {
    if value.is_finite() { Ok(serde_json::to_writer(out, &value)?) } else { out.write_all(b"null") }
}

fn write_scalar(scalar: &Scalar, out: &mut dyn Write) -> io::Result<()> {
    match scalar {
        Scalar::Char(v) => write!(out, "{v}"),
        Scalar::Short(v) => write!(out, "{v}"),
        Scalar::Int(v) => write!(out, "{v}"),
        Scalar::Long(v) => write!(out, "{v}"),
        Scalar::UChar(v) => write!(out, "{v}"),
        Scalar::UShort(v) => write!(out, "{v}"),
        Scalar::UInt(v) => write!(out, "{v}"),
        Scalar::ULong(v) => write!(out, "{v}"),
        Scalar::Float(v) => write_float((*v).into(), out),
        Scalar::Double(v) => write_float(*v, out),
        Scalar::Text(text) => Ok(serde_json::to_writer(out, text)?),
    }
}

/// Writes the elements from `at` on in brackets as `shape` says. Depth is bounded: dims of 1 in plenty are flattened.
fn nested(shape: &[usize], data: &Elements, at: &mut usize, out: &mut dyn Write) -> io::Result<()> {
    const DEEPEST: usize = 32;
    let flat = [data.len()];
    let shape = if *at == 0 && shape.len() > DEEPEST { &flat[..] } else { shape };
    let [count, inner @ ..] = shape else { return Ok(()) };
    out.write_all(b"[")?;
    for n in 0..*count {
        if n > 0 {
            out.write_all(b",")?;
        }
        if inner.is_empty() {
            element(data, *at, out)?;
            *at += 1;
        } else {
            nested(inner, data, at, out)?;
        }
    }
    out.write_all(b"]")
}

fn element(data: &Elements, at: usize, out: &mut dyn Write) -> io::Result<()> {
    match data {
        Elements::Char(v) => write!(out, "{}", v[at]),
        Elements::Short(v) => write!(out, "{}", v[at]),
        Elements::Int(v) => write!(out, "{}", v[at]),
        Elements::Long(v) => write!(out, "{}", v[at]),
        Elements::UChar(v) => write!(out, "{}", v[at]),
        Elements::UShort(v) => write!(out, "{}", v[at]),
        Elements::UInt(v) => write!(out, "{}", v[at]),
        Elements::ULong(v) => write!(out, "{}", v[at]),
        Elements::Float(v) => write_float(v[at].into(), out),
        Elements::Double(v) => write_float(v[at], out),
    }
}

/// Writes every record of `source` as a JSON object on a line of its own; returns their number.
///
/// # Errors
/// Fails at the first bad record, after all before it have been written, or when the sink fails.
pub fn dump(source: impl Read, out: &mut dyn Write) -> Result<u64, Error> {
    let mut reader = Reader::new(source)?;
    let mut count = 0;
    loop {
        let offset = reader.offset();
        let Some(raw) = reader.next_raw()? else { return Ok(count) };
        let record = raw.parse(TextMode::Replace)?;
        write_json(&record, out).and_then(|()| out.write_all(b"\n")).map_err(|source| Error::Io { offset, source })?;
        count += 1;
    }
}
