//! Probing a file by the name of its format.

use std::path::Path;

use serde::{Deserialize, Serialize};
use thalweg_core::{Timestamp, Value};
use thalweg_formats::{Probe, borealis, dmap};

use crate::error::Error;

/// The formats that [`probe`] knows.
pub const FORMATS: &[&str] = &["borealis", "dmap"];

/// What a probe says, ready for JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeOutput {
    /// First instant inside, UTC, ISO 8601.
    pub start: Timestamp,
    /// First instant no longer inside, UTC, ISO 8601.
    pub end: Timestamp,
    /// Fields of the file by name, as plain JSON values.
    pub fields: serde_json::Map<String, serde_json::Value>,
}

impl From<Probe> for ProbeOutput {
    fn from(probe: Probe) -> Self {
        let fields = probe.fields.into_iter().map(|(name, value)| (name, json(value))).collect();
        Self { start: probe.coverage.start, end: probe.coverage.end, fields }
    }
}

fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => value.into(),
        Value::Int(value) => value.into(),
        Value::Float(value) => value.into(),
        Value::Text(value) => value.into(),
        Value::List(values) => values.into_iter().map(json).collect(),
        other => other.to_string().into(),
    }
}

/// Reads coverage and fields from a file.
///
/// # Errors
/// Fails if the format is not one of [`FORMATS`] or the file is not a good one of it.
pub fn probe(format: &str, path: &Path) -> Result<Probe, Error> {
    match format {
        "borealis" => {
            borealis::probe(path).map_err(|source| Error::Borealis { path: path.to_owned(), source: Box::new(source) })
        }
        "dmap" => dmap::probe(path).map_err(|source| Error::Dmap { path: path.to_owned(), source: Box::new(source) }),
        _ => Err(Error::UnknownFormat { found: format.to_owned(), known: FORMATS.join(", ") }),
    }
}
