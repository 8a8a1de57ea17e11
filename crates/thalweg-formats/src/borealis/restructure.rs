//! From a group per record to rows of datasets, and back. One record is in memory at a time.

use std::path::Path;
use std::rc::Rc;

use super::error::{Error, RecordProblem};
use super::fields::{Expected, Place, Want, expected};
use super::read::{BorealisFile, Outcome, RecordValues, Wanted};
use super::record::{Values, record_name};
use super::version::{FileKind, Layout};
use crate::hdf5::{Array, Dtype, FileWriter, GroupWriter, RowWriter, Storage};

/// Level of compression. Samples are noise: higher ones take five times as long, and save nothing.
const LEVEL: u32 = 1;
/// Most bytes of a field of one record.
const LARGEST_ROW: usize = 256 << 20;
/// Characters that the text of each record has in array files.
const ROW_CHARACTERS: usize = 256;

/// What is done about bad records and about fields that differ where they must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestructureOptions {
    /// Accepts types that lose nothing instead of exactly those of the version.
    pub lenient: bool,
    /// Leaves bad records out instead of failing.
    pub drop_bad_records: bool,
    /// Takes a field that all records share from the first record although another has another value.
    pub accept_differing: bool,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restructured {
    /// Records written.
    pub records: u64,
    /// Records left out.
    pub dropped: Vec<RecordProblem>,
    /// What else was odd.
    pub warnings: Vec<String>,
}

/// Writes the records of a site file as rows of datasets into `output`, or those of an array file as groups.
///
/// `progress` is told how many records of how many are written. `output` is complete when this returns without an error.
///
/// # Errors
/// Fails if the file cannot be read, has a bad record, or records that differ where the other layout has one value for all;
/// and if the output cannot be written.
pub fn restructure(
    input: &Path,
    output: &Path,
    options: RestructureOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restructured, Error> {
    // Where bad records are to be left out, the first pass has to read all, since values too may be what is bad.
    let wanted = if options.drop_bad_records { Wanted::All } else { Wanted::Small };
    let file = BorealisFile::open(input, wanted, options.lenient)?;
    match file.layout() {
        Layout::Site => to_array(file, input, output, options, progress),
        Layout::Array => to_site(input, output, options, progress),
        Layout::V1 => Err(Error::NoOtherLayout { found: file.version().text.clone() }),
    }
}

/// Reads good records; the bad ones go into what was done, or fail it when all have been looked at.
struct Good {
    file: BorealisFile,
    drop: bool,
    bad: Vec<RecordProblem>,
}

impl Good {
    fn next(&mut self) -> Result<Option<RecordValues>, Error> {
        while let Some(outcome) = self.file.next_record()? {
            match outcome {
                Outcome::Good(record) => return Ok(Some(*record)),
                Outcome::Bad(problem) => self.bad.push(problem),
            }
        }
        if !self.drop && !self.bad.is_empty() {
            let (records, problems) = (self.file.record_count(), std::mem::take(&mut self.bad));
            return Err(Error::BadRecords { records, problems });
        }
        Ok(None)
    }
}

/// A column of an array file: a field with a value per record.
struct Column {
    field: Expected,
    dtype: Dtype,
    /// Largest extents of all records.
    dims: Vec<usize>,
}

fn to_array(
    file: BorealisFile,
    input: &Path,
    output: &Path,
    options: RestructureOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restructured, Error> {
    let (version, kind) = (file.version().clone(), file.kind());
    let fields = expected(&version, Layout::Array, kind);
    let (shared, rows): (Vec<Expected>, Vec<Expected>) = fields.into_iter().partition(|field| field.shared);
    let mut done = Restructured::default();

    // The first pass looks for the largest extents, and if what is kept once is the same in all records.
    let mut good = Good { file, drop: options.drop_bad_records, bad: Vec::new() };
    let mut first: Option<Values> = None;
    let mut columns: Vec<Column> = Vec::new();
    while let Some(record) = good.next()? {
        let name = record.name.clone().unwrap_or_default();
        let sizes = extents(kind, &record.values, &rows, &name)?;
        match &first {
            None => {
                columns = rows
                    .iter()
                    .zip(sizes)
                    .map(|(field, (dtype, dims))| Column { field: *field, dtype, dims })
                    .collect();
                first = Some(record.values);
            }
            Some(first) => {
                for (column, (_, dims)) in columns.iter_mut().zip(sizes) {
                    grow(column, &dims, &name)?;
                }
                differing(first, &record.values, &shared, &name, options, &mut done)?;
            }
        }
        done.records += 1;
    }
    let Some(first) = first else { return Err(Error::NoRecords) };

    let writer = FileWriter::create(output)?;
    let root = writer.root();
    for field in &shared {
        let value = match descriptors(kind, field.name) {
            Some(texts) => Array::texts(texts),
            None => first.get(field.name).map(|value| Array::clone(value)).unwrap_or_else(|| Array::text("")),
        };
        put(&root, field, &value)?;
    }
    let count = usize::try_from(done.records).unwrap_or(usize::MAX);
    let mut writers: Vec<(Column, RowWriter)> = Vec::new();
    for column in columns {
        let characters = column.field.want == Want::Characters;
        let dims = if characters { vec![ROW_CHARACTERS * 4] } else { column.dims.clone() };
        let rows = if characters {
            root.run(column.field.name, &Dtype::U8, count, dims[0], LEVEL, &character_notes(ROW_CHARACTERS))?
        } else {
            root.rows(column.field.name, &column.dtype, count, &dims, LEVEL)?
        };
        writers.push((column, rows));
    }

    // The second one writes.
    let file = BorealisFile::open(input, Wanted::All, options.lenient)?;
    let total = done.records;
    let mut good = Good { file, drop: options.drop_bad_records, bad: Vec::new() };
    let mut written = 0;
    while let Some(record) = good.next()? {
        let name = record.name.clone().unwrap_or_default();
        if written == total {
            return Err(Error::Changed { found: written + 1, expected: total });
        }
        for (column, rows) in &mut writers {
            let value = value_of(kind, &record.values, column.field.name, &name)?;
            let bytes = if column.field.want == Want::Characters {
                let text = first_text(&value);
                if text.chars().count() > ROW_CHARACTERS {
                    done.warnings
                        .push(format!("record {name}: {} is cut to {ROW_CHARACTERS} characters", column.field.name));
                }
                characters(&[text], ROW_CHARACTERS)
            } else {
                padded(&value, &column.dims)
            };
            rows.push(&bytes)?;
        }
        written += 1;
        progress(written, total);
    }
    if written != total {
        return Err(Error::Changed { found: written, expected: total });
    }
    for (_, rows) in writers {
        rows.finish()?;
    }
    writer.close()?;
    tell(&mut done, good);
    Ok(done)
}

fn to_site(
    input: &Path,
    output: &Path,
    options: RestructureOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restructured, Error> {
    let file = BorealisFile::open(input, Wanted::All, options.lenient)?;
    let (version, kind) = (file.version().clone(), file.kind());
    let fields = expected(&version, Layout::Site, kind);
    let total = file.record_count() as u64;
    let mut good = Good { file, drop: options.drop_bad_records, bad: Vec::new() };
    let mut done = Restructured::default();
    let writer = FileWriter::create(output)?;
    while let Some(record) = good.next()? {
        let times = record.values.get("sqn_timestamps").and_then(|times| times.to_f64s()).unwrap_or_default();
        let Some(start) = times.first() else { return Err(Error::NoValue { field: "sqn_timestamps" }) };
        let group = writer.group(&record_name(*start))?;
        for field in &fields {
            let value = match descriptors_of_site(kind, field.name) {
                Some(texts) => Array::texts(texts),
                None => site_value(kind, version.minor, &record.values, field)?,
            };
            put(&group, field, &value)?;
        }
        done.records += 1;
        progress(done.records, total);
    }
    if done.records == 0 {
        return Err(Error::NoRecords);
    }
    writer.close()?;
    tell(&mut done, good);
    Ok(done)
}

fn tell(done: &mut Restructured, good: Good) {
    done.dropped = good.bad;
    let widened = good.file.widened().map(|(field, types)| format!("{field} accepted as {types}"));
    done.warnings.extend(widened);
}

/// Returns the value of a field in the other layout of site files: flat where these are, and the numbers that say the shape.
fn site_value(kind: FileKind, minor: u8, values: &Values, field: &Expected) -> Result<Array, Error> {
    let large = if kind == FileKind::Rawacf { "main_acfs" } else { "data" };
    if matches!(field.name, "correlation_dimensions" | "data_dimensions") {
        let dims = values.get(large).map(|value| value.dims().to_vec()).unwrap_or_default();
        let dims: Vec<u32> = dims.iter().map(|dim| u32::try_from(*dim).unwrap_or(u32::MAX)).collect();
        return Ok(Array::u32s(&[dims.len()], &dims));
    }
    let mut value =
        values.get(field.name).map(|value| Array::clone(value)).ok_or(Error::NoValue { field: field.name })?;
    let flat = match field.name {
        "data" => true,
        "main_acfs" | "intf_acfs" | "xcfs" => minor < 7,
        _ => false,
    };
    if flat {
        value.shape = Some(vec![value.len()]);
    }
    Ok(value)
}

/// Returns type and extents of the fields of a record that get a row each.
fn extents(
    kind: FileKind,
    values: &Values,
    rows: &[Expected],
    record: &str,
) -> Result<Vec<(Dtype, Vec<usize>)>, Error> {
    rows.iter()
        .map(|field| match field.name {
            "data" | "main_acfs" | "intf_acfs" | "xcfs" => Ok((Dtype::Complex64, large_dims(kind, values, record)?)),
            name => value_of(kind, values, name, record).map(|value| (value.dtype.clone(), value.dims().to_vec())),
        })
        .collect()
}

/// Returns the extents of correlations or samples, from the numbers that say them.
fn large_dims(kind: FileKind, values: &Values, record: &str) -> Result<Vec<usize>, Error> {
    let field = if values.contains_key("data_dimensions") { "data_dimensions" } else { "correlation_dimensions" };
    let dims = values.get(field).and_then(|dims| dims.to_i64s()).unwrap_or_default();
    let dims: Option<Vec<usize>> =
        dims.into_iter().map(|dim| usize::try_from(dim).ok().filter(|dim| *dim > 0)).collect();
    let rank = if kind == FileKind::Bfiq { 4 } else { 3 };
    dims.filter(|dims| dims.len() == rank).ok_or_else(|| unusable(record, field))
}

/// Returns the value of a field of an array file: as it stands, counted, or in its shape.
fn value_of(kind: FileKind, values: &Values, field: &'static str, record: &str) -> Result<Rc<Array>, Error> {
    let length = |of: &'static str| {
        let length = values.get(of).map(|value| value.len()).ok_or_else(|| unusable(record, of))?;
        Ok(Rc::new(Array::u32s(&[], &[u32::try_from(length).unwrap_or(u32::MAX)])))
    };
    match field {
        "num_beams" => length("beam_nums"),
        "num_blanked_samples" => length("blanked_samples"),
        "data" | "main_acfs" | "intf_acfs" | "xcfs" => {
            let value = values.get(field).ok_or_else(|| unusable(record, field))?;
            Ok(Rc::new(Array { shape: Some(large_dims(kind, values, record)?), ..Array::clone(value) }))
        }
        field => values.get(field).cloned().ok_or_else(|| unusable(record, field)),
    }
}

fn unusable(record: &str, field: &str) -> Error {
    Error::Record { record: record.to_owned(), problem: super::FieldProblem::Value { field: field.to_owned() } }
}

/// Makes room for a record. Ranges, lags, samples and antennas are as many in all records.
fn grow(column: &mut Column, dims: &[usize], record: &str) -> Result<(), Error> {
    if dims.len() != column.dims.len() {
        return Err(unusable(record, column.field.name));
    }
    let fixed: &[usize] = match (column.field.name, dims.len()) {
        ("main_acfs" | "intf_acfs" | "xcfs", _) => &[1, 2],
        ("data", 4) => &[0, 3],
        ("data", _) => &[0, 2],
        _ => &[],
    };
    for (axis, (largest, dim)) in column.dims.iter_mut().zip(dims).enumerate() {
        if fixed.contains(&axis) && largest != dim {
            return Err(Error::Differs {
                record: record.to_owned(),
                field: column.field.name.to_owned(),
                found: format!("{dims:?}"),
                expected: format!("{largest} at place {axis}"),
            });
        }
        *largest = (*largest).max(*dim);
    }
    let size = column.dims.iter().try_fold(column.dtype.size(), |size, dim| size.checked_mul(*dim));
    if size.is_none_or(|size| size > LARGEST_ROW) { Err(unusable(record, column.field.name)) } else { Ok(()) }
}

fn differing(
    first: &Values,
    values: &Values,
    shared: &[Expected],
    record: &str,
    options: RestructureOptions,
    done: &mut Restructured,
) -> Result<(), Error> {
    for field in shared {
        let (Some(expected), Some(found)) = (first.get(field.name), values.get(field.name)) else { continue };
        if same(expected, found) {
            continue;
        }
        let (found, expected) = (found.brief(), expected.brief());
        if !options.accept_differing {
            return Err(Error::Differs { record: record.to_owned(), field: field.name.to_owned(), found, expected });
        }
        done.warnings.push(format!("record {record}: {} is {found}, the first record has {expected}", field.name));
    }
    Ok(())
}

// Texts may be padded to different lengths.
fn same(a: &Array, b: &Array) -> bool {
    a == b || (a.dtype.is_text() && b.dtype.is_text() && first_text(a) == first_text(b) && a.dims() == b.dims())
}

fn first_text(value: &Array) -> String {
    let end = value.bytes.iter().position(|byte| *byte == 0).unwrap_or(value.bytes.len());
    String::from_utf8_lossy(&value.bytes[..end]).into_owned()
}

/// Writes a field where its layout has it.
fn put(group: &GroupWriter, field: &Expected, value: &Array) -> Result<(), Error> {
    if field.place == Place::Attribute {
        // All texts as long as they are, not as long as the longest.
        let value = if value.dtype.is_text() { &Array::text(&first_text(value)) } else { value };
        return Ok(group.attribute(field.name, value)?);
    }
    if field.want == Want::Characters {
        let texts = value.fixed_texts();
        let longest = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
        let bytes = characters(&texts, longest);
        let value = Array::u8s(&[bytes.len()], &bytes);
        return Ok(group.dataset(field.name, &value, &Storage::Contiguous, &character_notes(longest))?);
    }
    Ok(group.dataset(field.name, value, &Storage::Contiguous, &[])?)
}

/// Encodes texts as UTF-32 characters, each filled up with NUL or cut.
fn characters(texts: &[String], longest: usize) -> Vec<u8> {
    let padded = |text: &String| text.chars().chain(std::iter::repeat('\0')).take(longest).collect::<Vec<char>>();
    texts.iter().flat_map(padded).flat_map(|c| u32::from(c).to_le_bytes()).collect()
}

fn character_notes(longest: usize) -> Vec<(&'static str, Array)> {
    let longest = i64::try_from(longest).unwrap_or(i64::MAX);
    vec![("strtype", Array::text("unicode")), ("itemsize", Array::i64s(&[], &[longest]))]
}

fn descriptors(kind: FileKind, field: &str) -> Option<&'static [&'static str]> {
    match (field, kind) {
        ("correlation_descriptors", _) | ("data_descriptors", FileKind::Rawacf) => {
            Some(&["num_records", "max_num_beams", "num_ranges", "num_lags"])
        }
        ("data_descriptors", FileKind::Bfiq) => {
            Some(&["num_records", "num_antenna_arrays", "max_num_sequences", "max_num_beams", "num_samps"])
        }
        ("data_descriptors", _) => Some(&["num_records", "num_antennas", "max_num_sequences", "num_samps"]),
        _ => None,
    }
}

fn descriptors_of_site(kind: FileKind, field: &str) -> Option<&'static [&'static str]> {
    match (field, kind) {
        ("correlation_descriptors", _) | ("data_descriptors", FileKind::Rawacf) => {
            Some(&["num_beams", "num_ranges", "num_lags"])
        }
        ("data_descriptors", FileKind::Bfiq) => {
            Some(&["num_antenna_arrays", "num_sequences", "num_beams", "num_samps"])
        }
        ("data_descriptors", _) => Some(&["num_antennas", "num_sequences", "num_samps"]),
        _ => None,
    }
}

/// Puts a value into the low corner of a larger cell. What is left over says nothing: NaN, -1 or 0.
fn padded(value: &Array, dims: &[usize]) -> Vec<u8> {
    if value.dims() == dims {
        return value.bytes.clone();
    }
    let fill: Vec<u8> = match &value.dtype {
        Dtype::Float { size: 4 } => f32::NAN.to_le_bytes().to_vec(),
        Dtype::Float { .. } => f64::NAN.to_le_bytes().to_vec(),
        Dtype::Complex64 => [f32::NAN.to_le_bytes(), 0_f32.to_le_bytes()].concat(),
        Dtype::Int { size, signed: true } => vec![0xff; usize::from(*size)],
        dtype => vec![0; dtype.size()],
    };
    let cells: usize = dims.iter().product();
    let mut bytes = fill.repeat(cells);
    place(&value.bytes, value.dims(), dims, value.dtype.size(), &mut bytes);
    bytes
}

fn place(from: &[u8], small: &[usize], large: &[usize], element: usize, to: &mut [u8]) {
    let (Some((n, small)), Some((_, large))) = (small.split_first(), large.split_first()) else {
        to[..from.len()].copy_from_slice(from);
        return;
    };
    let step = small.iter().product::<usize>() * element;
    let stride = large.iter().product::<usize>() * element;
    if step == 0 {
        return;
    }
    if step == stride {
        to[..n * step].copy_from_slice(&from[..n * step]);
        return;
    }
    for (from, to) in from.chunks_exact(step).zip(to.chunks_exact_mut(stride)) {
        place(from, small, large, element, to);
    }
}
