//! The rows of array files: a dataset has one for each record, as large as the largest needs it.

use std::rc::Rc;

use super::error::FieldProblem;
use super::record::Values;
use crate::hdf5::{self, Array, Dataset, File};

/// A dataset with a row per record, of which a few rows are at hand.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    dataset: Dataset,
    /// For texts: characters of one row.
    characters: Option<usize>,
    start: usize,
    bytes: Vec<u8>,
}

/// How much of the padded rows of array files is real: the field that says it, and of which axes of which fields.
const CUTS: &[(&str, &[Cut])] = &[
    (
        "num_sequences",
        &[
            ("sqn_timestamps", 1, 0),
            ("noise_at_freq", 1, 0),
            ("data", 3, 1),
            ("data", 4, 1),
            // Some software puts one row for all sequences here.
            ("pulse_phase_offset", 2, 0),
        ],
    ),
    (
        "num_beams",
        &[
            ("beam_nums", 1, 0),
            ("beam_azms", 1, 0),
            ("main_acfs", 3, 0),
            ("intf_acfs", 3, 0),
            ("xcfs", 3, 0),
            ("data", 4, 2),
        ],
    ),
    ("num_blanked_samples", &[("blanked_samples", 1, 0)]),
];

/// A field, its number of dimensions (if it has another one this is not meant), and the axis.
type Cut = (&'static str, usize, usize);

/// Cuts what is padded of a row to the size that its counts say.
pub(super) fn cut_padding(values: &mut Values, problems: &mut Vec<FieldProblem>) {
    for (by, fields) in CUTS {
        cut(values, by, fields, problems);
    }
}

impl Column {
    /// `characters`: for texts, those of one row.
    pub(super) fn new(name: &'static str, dataset: Dataset, characters: Option<usize>) -> Self {
        Self { name, dataset, characters, start: 0, bytes: Vec::new() }
    }

    /// Returns one row, whose shape is that of the dataset without its first dimension.
    pub(super) fn row(&mut self, file: &File, row: usize) -> Result<Array, hdf5::Error> {
        let dims = self.dataset.shape().unwrap_or_default();
        let inner: Vec<usize> = dims.get(1..).unwrap_or_default().to_vec();
        let element = self.dataset.dtype().size();
        if let Some(longest) = self.characters {
            let bytes = longest.saturating_mul(4);
            let text = file.read_rows(&self.dataset, row.saturating_mul(bytes), bytes)?;
            return Ok(Array { shape: Some(Vec::new()), ..texts_of_characters(&text, longest) });
        }
        let size = inner.iter().fold(element, |size, dim| size.saturating_mul(*dim));
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

/// Decodes UTF-32 characters, so many to a text, filled up with NUL.
pub(super) fn texts_of_characters(bytes: &[u8], longest: usize) -> Array {
    let (characters, _) = bytes.as_chunks();
    let characters: Vec<char> =
        characters.iter().map(|four| char::from_u32(u32::from_le_bytes(*four)).unwrap_or('\u{fffd}')).collect();
    let texts: Vec<String> = characters
        .chunks(longest.max(1))
        .map(|text| text.iter().collect::<String>().trim_end_matches('\0').to_owned())
        .collect();
    Array::texts(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Cuts fields of a row to the size that `by` gives for this record.
fn cut(values: &mut Values, by: &'static str, fields: &[Cut], problems: &mut Vec<FieldProblem>) {
    if !fields.iter().any(|(field, ..)| values.contains_key(field)) {
        return;
    }
    // What has no count of its own (blanked samples before v0.5) is not padded.
    let Some(count) = values.get(by) else { return };
    let Some(size) = count.to_i64s().and_then(|values| values.first().copied()) else {
        problems.push(FieldProblem::Value { field: by.to_owned() });
        return;
    };
    for (field, rank, axis) in fields {
        let Some(value) = values.get_mut(field).filter(|value| value.dims().len() == *rank) else { continue };
        let found = value.dims()[*axis];
        match usize::try_from(size) {
            Ok(wanted) if wanted == found => {}
            Ok(wanted) if wanted < found => Rc::make_mut(value).cut(*axis, wanted),
            _ => problems.push(FieldProblem::Length { field, found, expected: size, by }),
        }
    }
}
