//! Reading files record by record.
//!
//! Of a file with a group per record one record is in memory at a time. Of an array file it is, for each field, as
//! many rows as lie in one row of chunks.

use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::path::Path;
use std::rc::Rc;

use super::error::{Error, FieldProblem, RecordProblem};
use super::fields::{Expected, IGNORED, Place, Want, expected};
use super::record::{Assembler, HEADER, RecordType, Values};
use super::rows::{Column, cut_padding, texts_of_characters};
use super::version::{Detected, FileKind, Layout, Version, detect};
use crate::hdf5::{self, Array, Attribute, Dataset, Dtype, File, Link};

/// Most shared values of a v1 file that are kept.
const KEPT: usize = 256;
/// Larger values are read again for each record rather than kept.
const KEPT_BYTES: usize = 64 << 10;

/// A record, or why it is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<T> {
    /// A good record.
    Good(Box<T>),
    /// A bad one; the records after it can still be read.
    Bad(RecordProblem),
}

/// Values of the fields of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordValues {
    /// Name of the record; array files have none.
    pub name: Option<String>,
    /// Shape, type and bytes by field. Texts that are kept as characters are texts here.
    pub values: Values,
}

/// Fields that make a file large.
const LARGE: &[&str] = &["antennas_iq_data", "bfiq_data", "data", "intf_acfs", "main_acfs", "xcfs"];

/// Which values are wanted; the other fields are only checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Those of all fields.
    All,
    /// Those of all fields but correlations and samples, of which the shape alone is told.
    Small,
    /// Those of these, and of the header.
    These(&'static [&'static str]),
}

impl Wanted {
    fn has(self, field: &str) -> bool {
        match self {
            Self::All => true,
            Self::Small => !LARGE.contains(&field),
            Self::These(fields) => HEADER.contains(&field) || fields.contains(&field),
        }
    }
}

/// Reads a file of correlations or samples, of any version and layout.
#[derive(Debug)]
pub struct BorealisFile {
    file: File,
    version: Version,
    layout: Layout,
    kind: FileKind,
    fields: Vec<Expected>,
    wanted: Wanted,
    lenient: bool,
    records: Vec<Link>,
    rows: Option<Rows>,
    next: usize,
    /// v1: values of file level by the address of their object, with the type they had.
    kept: HashMap<u64, Rc<Array>>,
    widened: BTreeMap<&'static str, String>,
    unknown: BTreeMap<String, String>,
}

/// Reads a file whose records are `T`.
#[derive(Debug)]
pub struct RecordFile<T> {
    file: BorealisFile,
    records: PhantomData<T>,
}

impl<T: RecordType> RecordFile<T> {
    /// Opens a file. `lenient` accepts types that lose nothing instead of exactly those of the version.
    ///
    /// # Errors
    /// Fails if it is no HDF5 file, if version or layout cannot be told or are not known, or if it is of another kind.
    pub fn open(path: &Path, lenient: bool) -> Result<Self, Error> {
        Self::new(File::open(path)?, lenient)
    }

    /// Takes a file that is already open.
    ///
    /// # Errors
    /// As [`RecordFile::open`].
    pub fn new(file: File, lenient: bool) -> Result<Self, Error> {
        let file = BorealisFile::new(file, Wanted::These(T::FIELDS), lenient)?;
        if file.kind != T::KIND {
            return Err(Error::WrongKind { expected: T::KIND, found: file.kind });
        }
        Ok(Self { file, records: PhantomData })
    }

    /// Reads the next record; `None` after the last.
    ///
    /// # Errors
    /// Fails only if the file itself cannot be read any further; a bad record is an [`Outcome`].
    pub fn next_record(&mut self) -> Result<Option<Outcome<T>>, Error> {
        let values = match self.file.next_record()? {
            None => return Ok(None),
            Some(Outcome::Bad(problem)) => return Ok(Some(Outcome::Bad(problem))),
            Some(Outcome::Good(values)) => values,
        };
        let file = &self.file;
        let parts =
            Assembler { file: &file.file, version: &file.version, values: &values.values, problems: Vec::new() };
        Ok(Some(match T::assemble(parts, values.name.as_deref()) {
            Ok(record) => Outcome::Good(Box::new(record)),
            Err(problems) => {
                let record = values.name.unwrap_or_else(|| format!("number {}", file.next - 1));
                Outcome::Bad(RecordProblem { record, problems, incomplete_last: false })
            }
        }))
    }
}

impl<T> std::ops::Deref for RecordFile<T> {
    type Target = BorealisFile;

    fn deref(&self) -> &BorealisFile {
        &self.file
    }
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

impl BorealisFile {
    /// Opens a file. `lenient` accepts types that lose nothing instead of exactly those of the version.
    ///
    /// # Errors
    /// Fails if it is no HDF5 file, if version or layout cannot be told or are not known, or if its fields are not (rawrf).
    pub fn open(path: &Path, wanted: Wanted, lenient: bool) -> Result<Self, Error> {
        Self::new(File::open(path)?, wanted, lenient)
    }

    /// Takes a file that is already open.
    ///
    /// # Errors
    /// As [`BorealisFile::open`].
    pub fn new(file: File, wanted: Wanted, lenient: bool) -> Result<Self, Error> {
        let detected = detect(&file)?;
        if detected.kind == FileKind::Rawrf {
            return Err(Error::NoRecordsOf { kind: detected.kind });
        }
        let Detected { version, layout, kind, records, root, links } = detected;
        let mut this = Self {
            fields: expected(&version, layout, kind),
            file,
            version,
            layout,
            kind,
            wanted,
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

    /// Returns the file below.
    pub(super) fn hdf5(&self) -> &File {
        &self.file
    }

    /// Returns a dataset of the record that was read last; of an array file that of all records.
    pub(super) fn dataset_of_last(&self, field: &'static str) -> Result<Dataset, Error> {
        let group = match self.records.get(self.next.saturating_sub(1)) {
            Some(link) => self.file.open_link(link)?,
            None => self.file.root()?,
        };
        let link = self.file.links(&group)?.into_iter().find(|link| link.name == field);
        let link = link.ok_or(Error::NoValue { field })?;
        Ok(self.file.dataset(self.file.open_link(&link)?)?)
    }

    /// Returns the kind.
    pub fn kind(&self) -> FileKind {
        self.kind
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
    pub fn next_record(&mut self) -> Result<Option<Outcome<RecordValues>>, Error> {
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

    fn next_group(&mut self) -> Result<Outcome<RecordValues>, Error> {
        let link = self.records[self.next - 1].clone();
        let mut values = Values::new();
        let mut problems = Vec::new();
        if let Err(error) = self.read_group(&link, &mut values, &mut problems) {
            problems.push(unreadable(&link.name, error)?);
        }
        if problems.is_empty() {
            problems = self.lengths(&values);
        }
        if problems.is_empty() {
            return Ok(Outcome::Good(Box::new(RecordValues { name: Some(link.name), values })));
        }
        let merely_missing = problems.iter().all(|problem| matches!(problem, FieldProblem::Missing { .. }));
        let last = self.next == self.records.len();
        let incomplete_last = self.layout == Layout::V1 && last && merely_missing;
        Ok(Outcome::Bad(RecordProblem { record: link.name, problems, incomplete_last }))
    }

    /// Compares numbers of sequences and beams with the lengths that go by them.
    fn lengths(&self, values: &Values) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        let mut compare = |field: &'static str, found: Option<usize>, by: &'static str, expected: Option<i64>| {
            if let (Some(found), Some(expected)) = (found, expected)
                && i64::try_from(found) != Ok(expected)
            {
                problems.push(FieldProblem::Length { field, found, expected, by });
            }
        };
        let length = |field: &str| values.get(field).map(|value| value.len());
        let sequences = values.get("num_sequences").and_then(|value| value.to_i64s()?.first().copied());
        let beams = length("beam_nums").and_then(|beams| i64::try_from(beams).ok());
        compare("sqn_timestamps", length("sqn_timestamps"), "num_sequences", sequences);
        compare("beam_azms", length("beam_azms"), "beam_nums", beams);
        if self.layout == Layout::Site {
            compare("noise_at_freq", length("noise_at_freq"), "num_sequences", sequences);
            let by = if values.contains_key("data_dimensions") { "data_dimensions" } else { "correlation_dimensions" };
            let dims = values.get(by).and_then(|dims| dims.to_i64s());
            let product = |dims: &Vec<i64>| dims.iter().try_fold(1_i64, |product, dim| product.checked_mul(*dim));
            let volume = dims.as_ref().map(|dims| product(dims).unwrap_or(i64::MAX));
            for field in LARGE {
                compare(field, length(field), by, volume);
            }
            let dims = dims.unwrap_or_default();
            let axis = |axis: usize| dims.get(axis).and_then(|dim| usize::try_from(*dim).ok());
            match self.kind {
                FileKind::Rawacf => compare(by, axis(0), "beam_nums", beams),
                FileKind::Bfiq => compare(by, axis(2), "beam_nums", beams),
                _ => {}
            }
            if self.kind != FileKind::Rawacf {
                compare(by, axis(1), "num_sequences", sequences);
            }
        }
        problems
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
            let used = self.wanted.has(expected.name);
            let missing = || FieldProblem::Missing { field: expected.name.to_owned() };
            if expected.place == Place::Attribute {
                match attributes.remove(expected.name) {
                    Some(value) => {
                        if self.check_type(&expected, &value.dtype, problems) && used {
                            values.insert(expected.name, Rc::new(self.file.fixed(value)?));
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
        let told = used || (self.wanted == Wanted::Small && LARGE.contains(&expected.name));
        if let Some(kept) = self.kept.get(&member.address) {
            // Shared with records before, where its type was right.
            return Ok(told.then(|| Rc::clone(kept)));
        }
        let dataset = self.file.dataset(self.file.open_link(member)?)?;
        if !self.check_type(expected, dataset.dtype(), problems) {
            return Ok(None);
        }
        // What is not read still tells how large it is.
        let frame = || Array {
            dtype: dataset.dtype().clone(),
            shape: dataset.shape().map(<[usize]>::to_vec),
            bytes: Vec::new(),
        };
        let value = match (used, expected.want) {
            (false, _) => frame(),
            (true, want) => self.value(want, &dataset)?,
        };
        let value = Rc::new(value);
        // Of a v1 file most fields are links to the same few objects.
        let small = value.bytes.len() <= KEPT_BYTES && value.dtype != Dtype::Complex64;
        if self.layout == Layout::V1 && small && self.next == 1 && self.kept.len() < KEPT {
            self.kept.insert(member.address, Rc::clone(&value));
        }
        Ok(told.then_some(value))
    }

    /// Reads a dataset. Texts that are kept as a run of characters have the length that an attribute says.
    fn value(&self, want: Want, dataset: &Dataset) -> Result<Array, hdf5::Error> {
        let value = self.file.read(dataset)?;
        if want == Want::Characters && !value.dtype.is_text() {
            return Ok(texts_of_characters(&value.bytes, self.item_size(dataset)?));
        }
        self.file.fixed(value)
    }

    /// Returns the characters of each text of a run; 0 if nothing says it.
    fn item_size(&self, dataset: &Dataset) -> Result<usize, hdf5::Error> {
        let attributes = self.file.attributes(dataset.object())?;
        let size = attributes.iter().find(|attribute| attribute.name == "itemsize");
        let size = size.and_then(|size| size.value.to_i64s()?.first().copied());
        Ok(size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0))
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
            let used = self.wanted.has(name);
            if expected.place == Place::Attribute {
                match attributes.remove(name) {
                    Some(value) => {
                        if self.check_type(&expected, &value.dtype, &mut problems) {
                            rows.shared.insert(name, Rc::new(self.file.fixed(value)?));
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
                    match self.value(expected.want, &dataset) {
                        Ok(value) => {
                            rows.shared.insert(name, Rc::new(value));
                        }
                        Err(error) => problems.push(unreadable(name, error)?),
                    }
                }
                continue;
            }
            let length = dataset.shape().and_then(|shape| shape.first().copied()).unwrap_or(0);
            let mut characters = None;
            if expected.want == Want::Characters {
                // All texts are one run of characters, so that a row is a part of it.
                let size = self.item_size(&dataset).map_err(|error| unreadable(name, error));
                match size {
                    Ok(size) if size > 0 => {
                        characters = Some(size);
                        lengths.push((name, length / size.saturating_mul(4)));
                    }
                    Ok(_) => problems.push(FieldProblem::Value { field: name.to_owned() }),
                    Err(problem) => problems.push(problem?),
                }
            } else {
                lengths.push((name, length));
            }
            if used {
                rows.columns.push(Column::new(name, dataset, characters));
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

    fn next_row(&mut self) -> Result<Outcome<RecordValues>, Error> {
        let row = self.next - 1;
        let Some(rows) = &mut self.rows else { return Err(Error::NoRecords) };
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
        if problems.is_empty() {
            cut_padding(&mut values, &mut problems);
        }
        if problems.is_empty() {
            return Ok(Outcome::Good(Box::new(RecordValues { name: None, values })));
        }
        let record = format!("number {row}");
        Ok(Outcome::Bad(RecordProblem { record, problems, incomplete_last: false }))
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
