//! Reading rawacf files record by record.
//!
//! Of a file with a group per record one record is in memory at a time. Of an array file it is, for each field, as
//! many rows as lie in one row of chunks.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::rc::Rc;

use super::error::{Error, FieldProblem, RecordProblem};
use super::fields::{Expected, IGNORED, Place, USED, Want, expected};
use super::record::{Assembler, Rawacf, Values};
use super::version::{Detected, FileKind, Layout, Version, detect};
use crate::hdf5::{self, Array, Attribute, Dataset, Dtype, File, Link};

/// Most shared values of a v1 file that are kept.
const KEPT: usize = 256;
/// Larger values are read again for each record rather than kept.
const KEPT_BYTES: usize = 64 << 10;

/// A record, or why it is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A good record.
    Good(Box<Rawacf>),
    /// A bad one; the records after it can still be read.
    Bad(RecordProblem),
}

/// Reads a rawacf file.
#[derive(Debug)]
pub struct RawacfFile {
    file: File,
    version: Version,
    layout: Layout,
    fields: Vec<Expected>,
    lenient: bool,
    records: Vec<Link>,
    rows: Option<Rows>,
    next: usize,
    /// v1: values of file level by the address of their object, with the type they had.
    kept: HashMap<u64, Rc<Array>>,
    widened: BTreeMap<&'static str, String>,
    unknown: BTreeMap<String, String>,
}

/// The fields of an array file.
#[derive(Debug)]
struct Rows {
    shared: Values,
    columns: Vec<Column>,
    /// What is wrong with the arrangement as a whole; every record has it.
    problems: Vec<FieldProblem>,
    count: usize,
}

/// A dataset with a row per record, of which a few rows are at hand.
#[derive(Debug)]
struct Column {
    name: &'static str,
    dataset: Dataset,
    start: usize,
    bytes: Vec<u8>,
}

impl RawacfFile {
    /// Opens a file. `lenient` accepts types that lose nothing instead of exactly those of the version.
    ///
    /// # Errors
    /// Fails if it is no HDF5 file, if version or layout cannot be told or are not known, or if it is no rawacf file.
    pub fn open(path: &Path, lenient: bool) -> Result<Self, Error> {
        Self::new(File::open(path)?, lenient)
    }

    /// Takes a file that is already open; see [`RawacfFile::open`].
    ///
    /// # Errors
    /// As [`RawacfFile::open`].
    pub fn new(file: File, lenient: bool) -> Result<Self, Error> {
        let detected = detect(&file)?;
        if detected.kind != FileKind::Rawacf {
            return Err(Error::WrongKind { expected: FileKind::Rawacf, found: detected.kind });
        }
        let Detected { version, layout, records, root, links, .. } = detected;
        let mut this = Self {
            fields: expected(&version, layout),
            file,
            version,
            layout,
            lenient,
            records,
            rows: None,
            next: 0,
            kept: HashMap::new(),
            widened: BTreeMap::new(),
            unknown: BTreeMap::new(),
        };
        if layout == Layout::Array {
            let attributes = this.file.attributes(&root)?;
            this.rows = Some(this.open_rows(attributes, &links)?);
        }
        Ok(this)
    }

    /// Returns the version of the software that wrote the file.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Returns the layout.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Returns the number of records, good or bad.
    pub fn record_count(&self) -> usize {
        self.rows.as_ref().map_or(self.records.len(), |rows| rows.count)
    }

    /// Returns what was accepted although the type is not exactly that of the version: field and types.
    pub fn widened(&self) -> impl Iterator<Item = (&str, &str)> {
        self.widened.iter().map(|(field, types)| (*field, types.as_str()))
    }

    /// Returns fields of a v1 file that are not known, with the first record that has them.
    pub fn unknown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.unknown.iter().map(|(field, record)| (field.as_str(), record.as_str()))
    }

    /// Reads the next record; `None` after the last.
    ///
    /// # Errors
    /// Fails only if the file itself cannot be read any further; a bad record is an [`Outcome`].
    pub fn next_record(&mut self) -> Result<Option<Outcome>, Error> {
        if self.next >= self.record_count() {
            return Ok(None);
        }
        self.next += 1;
        if self.layout == Layout::Array { self.next_row() } else { self.next_group() }.map(Some)
    }

    /// Compares the type of a field with the one expected.
    fn check_type(&mut self, expected: &Expected, found: &Dtype, problems: &mut Vec<FieldProblem>) -> bool {
        if expected.want.accepts(found) {
            return true;
        }
        if self.lenient && expected.want.accepts_widened(found) {
            let types = || format!("{found} instead of {}", expected.want.describe());
            self.widened.entry(expected.name).or_insert_with(types);
            return true;
        }
        problems.push(FieldProblem::WrongType {
            field: expected.name.to_owned(),
            found: found.to_string(),
            expected: expected.want.describe().to_owned(),
        });
        false
    }

    fn next_group(&mut self) -> Result<Outcome, Error> {
        let link = self.records[self.next - 1].clone();
        let mut values = Values::new();
        let mut problems = Vec::new();
        if let Err(error) = self.read_group(&link, &mut values, &mut problems) {
            problems.push(unreadable(&link.name, error)?);
        }
        let result = if problems.is_empty() {
            Assembler { file: &self.file, version: &self.version, values: &values, problems }.assemble(Some(&link.name))
        } else {
            Err(problems)
        };
        Ok(match result {
            Ok(record) => Outcome::Good(Box::new(record)),
            Err(problems) => {
                let merely_missing = problems.iter().all(|problem| matches!(problem, FieldProblem::Missing { .. }));
                let last = self.next == self.records.len();
                let incomplete_last = self.layout == Layout::V1 && last && merely_missing;
                Outcome::Bad(RecordProblem { record: link.name, problems, incomplete_last })
            }
        })
    }

    fn read_group(
        &mut self,
        link: &Link,
        values: &mut Values,
        problems: &mut Vec<FieldProblem>,
    ) -> Result<(), hdf5::Error> {
        let group = self.file.open_link(link)?;
        let mut members: HashMap<String, Link> =
            self.file.links(&group)?.into_iter().map(|link| (link.name.clone(), link)).collect();
        let mut attributes: HashMap<String, Array> = HashMap::new();
        // In v1 attributes only describe.
        if self.layout == Layout::Site {
            attributes.extend(self.file.attributes(&group)?.into_iter().map(|one| (one.name, one.value)));
            attributes.retain(|name, _| !IGNORED.contains(&name.as_str()));
        }
        for expected in self.fields.clone() {
            let used = USED.contains(&expected.name);
            let missing = || FieldProblem::Missing { field: expected.name.to_owned() };
            if expected.place == Place::Attribute {
                match attributes.remove(expected.name) {
                    Some(value) => {
                        if self.check_type(&expected, &value.dtype, problems) && used {
                            values.insert(expected.name, Rc::new(value));
                        }
                    }
                    None => problems.push(missing()),
                }
                continue;
            }
            match members.remove(expected.name) {
                Some(member) => match self.read_member(&expected, &member, used, problems) {
                    Ok(Some(value)) => {
                        values.insert(expected.name, value);
                    }
                    Ok(None) => {}
                    Err(error) => problems.push(unreadable(expected.name, error)?),
                },
                None if expected.required => problems.push(missing()),
                None => {}
            }
        }
        let mut extra: Vec<String> = attributes.into_keys().chain(members.into_keys()).collect();
        extra.sort();
        if self.layout == Layout::V1 {
            // Later 1.x versions may add fields; they cannot make the known ones wrong.
            for field in extra {
                self.unknown.entry(field).or_insert_with(|| link.name.clone());
            }
        } else {
            problems.extend(extra.into_iter().map(|field| FieldProblem::Extra { field }));
        }
        Ok(())
    }

    /// Checks a dataset of a record and reads it if its value is used.
    fn read_member(
        &mut self,
        expected: &Expected,
        member: &Link,
        used: bool,
        problems: &mut Vec<FieldProblem>,
    ) -> Result<Option<Rc<Array>>, hdf5::Error> {
        if let Some(kept) = self.kept.get(&member.address) {
            // Shared with records before, where its type was right.
            return Ok(used.then(|| Rc::clone(kept)));
        }
        let dataset = self.file.dataset(self.file.open_link(member)?)?;
        if !self.check_type(expected, dataset.dtype(), problems) {
            return Ok(None);
        }
        let empty = || Array { dtype: dataset.dtype().clone(), shape: None, bytes: Vec::new() };
        let value = if used { self.file.read(&dataset)? } else { empty() };
        let value = Rc::new(value);
        // Of a v1 file most fields are links to the same few objects.
        let small = value.bytes.len() <= KEPT_BYTES && value.dtype != Dtype::Complex64;
        if self.layout == Layout::V1 && small && self.next == 1 && self.kept.len() < KEPT {
            self.kept.insert(member.address, Rc::clone(&value));
        }
        Ok(used.then_some(value))
    }

    fn open_rows(&mut self, attributes: Vec<Attribute>, links: &[Link]) -> Result<Rows, Error> {
        let mut problems = Vec::new();
        let mut members: HashMap<&str, &Link> = links.iter().map(|link| (link.name.as_str(), link)).collect();
        let mut attributes: HashMap<String, Array> = attributes.into_iter().map(|one| (one.name, one.value)).collect();
        attributes.retain(|name, _| !IGNORED.contains(&name.as_str()));
        let mut rows = Rows { shared: Values::new(), columns: Vec::new(), problems: Vec::new(), count: 0 };
        let mut lengths: Vec<(&'static str, usize)> = Vec::new();
        for expected in self.fields.clone() {
            let name = expected.name;
            let used = USED.contains(&name);
            if expected.place == Place::Attribute {
                match attributes.remove(name) {
                    Some(value) => {
                        if self.check_type(&expected, &value.dtype, &mut problems) {
                            rows.shared.insert(name, Rc::new(value));
                        }
                    }
                    None => problems.push(FieldProblem::Missing { field: name.to_owned() }),
                }
                continue;
            }
            let Some(member) = members.remove(name) else {
                problems.push(FieldProblem::Missing { field: name.to_owned() });
                continue;
            };
            let dataset = match self.file.open_link(member).and_then(|object| self.file.dataset(object)) {
                Ok(dataset) => dataset,
                Err(error) => {
                    problems.push(unreadable(name, error)?);
                    continue;
                }
            };
            if !self.check_type(&expected, dataset.dtype(), &mut problems) {
                continue;
            }
            if expected.shared {
                if used {
                    match self.file.read(&dataset) {
                        Ok(value) => {
                            rows.shared.insert(name, Rc::new(value));
                        }
                        Err(error) => problems.push(unreadable(name, error)?),
                    }
                }
                continue;
            }
            if expected.want != Want::Characters {
                lengths.push((name, dataset.shape().and_then(|shape| shape.first().copied()).unwrap_or(0)));
            }
            if used {
                rows.columns.push(Column { name, dataset, start: 0, bytes: Vec::new() });
            }
        }
        let mut extra: Vec<String> = attributes.into_keys().chain(members.into_keys().map(str::to_owned)).collect();
        extra.sort();
        problems.extend(extra.into_iter().map(|field| FieldProblem::Extra { field }));
        rows.count = lengths.iter().find(|(name, _)| *name == "num_sequences").map_or(1, |(_, length)| *length);
        for (field, found) in lengths {
            if found != rows.count {
                let expected = i64::try_from(rows.count).unwrap_or(i64::MAX);
                problems.push(FieldProblem::Length { field, found, expected, by: "num_sequences" });
            }
        }
        if !problems.is_empty() {
            // All records share the fault, so there is one problem and not one per record.
            rows.count = 1;
            rows.problems = problems;
        }
        Ok(rows)
    }

    fn next_row(&mut self) -> Result<Outcome, Error> {
        let row = self.next - 1;
        let Some(rows) = &mut self.rows else { return Err(Error::NoRecords) };
        let bad = |problems| {
            let record = format!("number {row}");
            Ok(Outcome::Bad(RecordProblem { record, problems, incomplete_last: false }))
        };
        if !rows.problems.is_empty() {
            let problems = std::mem::take(&mut rows.problems);
            return Err(Error::Shared(RecordProblem { record: "all".to_owned(), problems, incomplete_last: false }));
        }
        let mut values = rows.shared.clone();
        let mut problems = Vec::new();
        for column in &mut rows.columns {
            match column.row(&self.file, row) {
                Ok(array) => {
                    values.insert(column.name, Rc::new(array));
                }
                Err(error) => problems.push(unreadable(column.name, error)?),
            }
        }
        if !problems.is_empty() {
            return bad(problems);
        }
        cut(&mut values, "num_sequences", &["sqn_timestamps", "noise_at_freq"], &mut problems);
        cut(&mut values, "num_beams", &["beam_nums", "beam_azms", "main_acfs", "xcfs"], &mut problems);
        if !problems.is_empty() {
            return bad(problems);
        }
        match (Assembler { file: &self.file, version: &self.version, values: &values, problems }).assemble(None) {
            Ok(record) => Ok(Outcome::Good(Box::new(record))),
            Err(problems) => bad(problems),
        }
    }
}

impl Column {
    /// Returns one row, whose shape is that of the dataset without its first dimension.
    fn row(&mut self, file: &File, row: usize) -> Result<Array, hdf5::Error> {
        let dims = self.dataset.shape().unwrap_or_default();
        let inner: Vec<usize> = dims.get(1..).unwrap_or_default().to_vec();
        let size = inner.iter().fold(self.dataset.dtype().size(), |size, dim| size.saturating_mul(*dim));
        let held = self.bytes.len().checked_div(size).unwrap_or(0);
        if size > 0 && !(self.start..self.start + held).contains(&row) {
            let step = self.dataset.rows_at_once().max(1);
            let start = row / step * step;
            let count = step.min(dims.first().copied().unwrap_or(0).saturating_sub(start));
            self.bytes = file.read_rows(&self.dataset, start, count)?;
            self.start = start;
        }
        let from = (row - self.start.min(row)) * size;
        let bytes = self.bytes.get(from..from + size).unwrap_or_default().to_vec();
        Ok(Array { dtype: self.dataset.dtype().clone(), shape: Some(inner), bytes })
    }
}

/// Cuts fields of a row to the size that `by` gives for this record.
fn cut(values: &mut Values, by: &'static str, fields: &[&'static str], problems: &mut Vec<FieldProblem>) {
    let size = values.get(by).and_then(|array| array.to_i64s()).and_then(|values| values.first().copied());
    let Some(size) = size else {
        problems.push(FieldProblem::Value { field: by.to_owned() });
        return;
    };
    for field in fields {
        let Some(value) = values.get_mut(field) else { continue };
        let found = value.dims().first().copied().unwrap_or(0);
        match usize::try_from(size) {
            Ok(wanted) if wanted <= found => {
                let array = Rc::make_mut(value);
                if let Some(first) = array.shape.as_mut().and_then(|shape| shape.first_mut()) {
                    *first = wanted;
                }
                let length = array.dims().iter().fold(array.dtype.size(), |size, dim| size.saturating_mul(*dim));
                array.bytes.truncate(length);
            }
            _ => problems.push(FieldProblem::Length { field, found, expected: size, by }),
        }
    }
}

/// Turns damage of one object into a problem of its record; a failure of the operating system is passed on.
fn unreadable(field: &str, error: hdf5::Error) -> Result<FieldProblem, hdf5::Error> {
    match error {
        hdf5::Error::Object { .. } | hdf5::Error::NotFound { .. } => {
            Ok(FieldProblem::Unreadable { field: field.to_owned(), reason: error.to_string() })
        }
        other => Err(other),
    }
}
