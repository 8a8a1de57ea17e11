//! What a file is about, from its first and last record.

use std::path::Path;

use jiff::Timestamp;
use thalweg_core::{Fields, TimeRange, Value};

use super::error::Error;
use super::record::micros;
use super::version::{Detected, Layout, detect, first_text};
use crate::Probe;
use crate::hdf5::{self, Array, File, Link, Object};

/// Tells the coverage and the fields of a file of any kind: `site`, `slice` (not before v0.5), `cpid`, `version`,
/// `kind`, `records`.
///
/// The coverage goes from the start of the first sequence of the first record to one microsecond after the start of
/// the last sequence of the last.
///
/// # Errors
/// Fails if the file cannot be read, its version or layout cannot be told, or first and last record have no times.
pub fn probe(path: &Path) -> Result<Probe, Error> {
    let file = File::open(path)?;
    let detected = detect(&file)?;
    let (first, last, count, object) = match detected.layout {
        Layout::Array => array_times(&file, &detected)?,
        Layout::Site | Layout::V1 => group_times(&file, &detected)?,
    };
    let instant = |time: f64| Timestamp::from_microsecond(micros(time)).ok();
    let start = instant(first).ok_or(Error::NoValue { field: "sqn_timestamps" })?;
    let end = Timestamp::from_microsecond(micros(last).saturating_add(1)).ok();
    let end = end.ok_or(Error::NoValue { field: "sqn_timestamps" })?;
    let members = file.links(&object)?;
    let value = |field: &str| value(&file, &object, &members, field);
    let int = |field: &str| Ok::<_, Error>(value(field)?.and_then(|array| array.to_i64s()?.first().copied()));
    let mut fields = Fields::new();
    if let Some(station) = value("station")? {
        fields.insert("site".to_owned(), Value::Text(first_text(&file, &station)?));
    }
    for (name, field) in [("slice", "slice_id"), ("cpid", "experiment_id")] {
        if let Some(number) = int(field)? {
            fields.insert(name.to_owned(), Value::Int(number));
        }
    }
    fields.insert("version".to_owned(), Value::Text(detected.version.text.clone()));
    fields.insert("kind".to_owned(), Value::Text(detected.kind.to_string()));
    fields.insert("records".to_owned(), Value::Int(i64::try_from(count).unwrap_or(i64::MAX)));
    Ok(Probe { coverage: TimeRange::new(start, end), fields })
}

/// Returns an attribute or small dataset.
fn value(file: &File, object: &Object, members: &[Link], field: &str) -> Result<Option<Array>, hdf5::Error> {
    if let Some(found) = file.attributes(object)?.into_iter().find(|attribute| attribute.name == field) {
        return Ok(Some(found.value));
    }
    let Some(link) = members.iter().find(|link| link.name == field) else { return Ok(None) };
    file.read(&file.dataset(file.open_link(link)?)?).map(Some)
}

fn times(file: &File, record: &Link) -> Result<Option<(f64, f64, Object)>, Error> {
    let object = file.open_link(record)?;
    let members = file.links(&object)?;
    let times = value(file, &object, &members, "sqn_timestamps")?.and_then(|array| array.to_f64s());
    let times = times.unwrap_or_default();
    Ok(match (times.first(), times.last()) {
        (Some(first), Some(last)) => Some((*first, *last, object)),
        _ => None,
    })
}

fn group_times(file: &File, detected: &Detected) -> Result<(f64, f64, usize, Object), Error> {
    let records = &detected.records;
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return Err(Error::NoRecords) };
    let (start, _, object) = times(file, first)?.ok_or(Error::NoValue { field: "sqn_timestamps" })?;
    // The last record may have been left half-written; then the one before it is the last.
    let mut end = times(file, last).ok().flatten();
    if let (None, Some(before)) = (&end, records.len().checked_sub(2)) {
        end = times(file, &records[before])?;
    }
    let (_, end, _) = end.ok_or(Error::NoValue { field: "sqn_timestamps" })?;
    Ok((start, end, records.len(), object))
}

fn array_times(file: &File, detected: &Detected) -> Result<(f64, f64, usize, Object), Error> {
    const TIMES: Error = Error::NoValue { field: "sqn_timestamps" };
    let read = |field: &str| value(file, &detected.root, &detected.links, field);
    let sequences = read("num_sequences")?.and_then(|array| array.to_i64s()).unwrap_or_default();
    let last = sequences.last().and_then(|last| usize::try_from(*last).ok());
    let last = last.filter(|last| *last > 0).ok_or(Error::NoValue { field: "num_sequences" })?;
    let link = detected.links.iter().find(|link| link.name == "sqn_timestamps").ok_or(TIMES)?;
    let dataset = file.dataset(file.open_link(link)?)?;
    let count = dataset.shape().and_then(|shape| shape.first().copied()).filter(|count| *count > 0).ok_or(TIMES)?;
    let row = |row: usize| {
        let bytes = file.read_rows(&dataset, row, 1)?;
        Ok::<_, Error>(hdf5::to_f64s(dataset.dtype(), &bytes).unwrap_or_default())
    };
    let start = row(0)?.first().copied().ok_or(TIMES)?;
    let end = row(count - 1)?.get(last - 1).copied().ok_or(TIMES)?;
    Ok((start, end, sequences.len(), detected.root.clone()))
}
