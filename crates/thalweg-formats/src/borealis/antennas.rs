//! Samples of single antennas, of which no more is read than is asked for.

use std::path::Path;

use super::error::{Error, FieldProblem, RecordProblem};
use super::read::{BorealisFile, Outcome, RecordValues, Wanted};
use super::version::{FileKind, Layout};
use crate::hdf5::{self, Dataset, File};

/// What a record of samples of antennas is about.
#[derive(Debug, Clone)]
pub struct AntennasRecord {
    /// Radar code.
    pub station: String,
    /// Name of the experiment.
    pub experiment_name: String,
    /// Names of the antennas: `antenna_0`, …
    pub antennas: Vec<String>,
    /// Start of each sequence, s since 1970.
    pub times: Vec<f64>,
    /// Number of samples of a sequence.
    pub samples: usize,
    dataset: Dataset,
    /// Where the record begins: a row of an array file.
    row: usize,
    /// Sequences that there is room for.
    room: usize,
}

/// Reads a file of antennas' samples.
#[derive(Debug)]
pub struct AntennasFile {
    file: BorealisFile,
    next: usize,
}

impl AntennasFile {
    /// Opens a file of any version and layout.
    ///
    /// # Errors
    /// Fails if it is no HDF5 file, if version or layout cannot be told or are not known, or if it is of another kind.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::new(File::open(path)?)
    }

    /// Takes a file that is already open.
    ///
    /// # Errors
    /// As [`AntennasFile::open`].
    pub fn new(file: File) -> Result<Self, Error> {
        let file = BorealisFile::new(file, Wanted::Small, true)?;
        if file.kind() != FileKind::AntennasIq {
            return Err(Error::WrongKind { expected: FileKind::AntennasIq, found: file.kind() });
        }
        Ok(Self { file, next: 0 })
    }

    /// Returns the number of records, good or bad.
    pub fn record_count(&self) -> usize {
        self.file.record_count()
    }

    /// Reads what the next record is about; `None` after the last.
    ///
    /// # Errors
    /// Fails only if the file itself cannot be read any further; a bad record is an [`Outcome`].
    pub fn next_record(&mut self) -> Result<Option<Outcome<AntennasRecord>>, Error> {
        let outcome = self.file.next_record()?;
        self.next += 1;
        let values = match outcome {
            None => return Ok(None),
            Some(Outcome::Bad(problem)) => return Ok(Some(Outcome::Bad(problem))),
            Some(Outcome::Good(values)) => values,
        };
        Ok(Some(match self.record(&values)? {
            Ok(record) => Outcome::Good(Box::new(record)),
            Err(problem) => {
                let record = values.name.unwrap_or_else(|| format!("number {}", self.next - 1));
                Outcome::Bad(RecordProblem { record, problems: vec![problem], incomplete_last: false })
            }
        }))
    }

    fn record(&self, values: &RecordValues) -> Result<Result<AntennasRecord, FieldProblem>, Error> {
        let v1 = self.file.version().is_v1();
        let text = |field: &str| {
            let texts = values.values.get(field).map(|value| value.fixed_texts()).unwrap_or_default();
            texts.into_iter().next().unwrap_or_default()
        };
        let unusable = |field: &str| Ok(Err(FieldProblem::Value { field: field.to_owned() }));
        let times = values.values.get("sqn_timestamps").and_then(|times| times.to_f64s()).unwrap_or_default();
        let antennas = if v1 {
            let numbers = values.values.get("rx_antennas").and_then(|antennas| antennas.to_i64s()).unwrap_or_default();
            numbers.iter().map(|number| format!("antenna_{number}")).collect()
        } else {
            values.values.get("antenna_arrays_order").map(|order| order.fixed_texts()).unwrap_or_default()
        };
        let field = if v1 { "antennas_iq_data" } else { "data" };
        let dataset = self.file.dataset_of_last(field)?;
        let shape = dataset.shape().unwrap_or_default().to_vec();
        let stored = values.values.get("data_dimensions").and_then(|dims| dims.to_i64s()).unwrap_or_default();
        let stored: Vec<usize> = stored.iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).collect();
        let (dims, row) = match (self.file.layout(), shape.as_slice()) {
            (Layout::Array, [_, dims @ ..]) => (dims.to_vec(), self.next - 1),
            (_, [length]) if stored.iter().try_fold(1_usize, |n, dim| n.checked_mul(*dim)) == Some(*length) => {
                (stored, 0)
            }
            _ => (shape, 0),
        };
        let [count, room, samples] = *dims.as_slice() else { return unusable(field) };
        if count != antennas.len() || times.len() > room || samples == 0 {
            return unusable(field);
        }
        Ok(Ok(AntennasRecord {
            station: text("station"),
            experiment_name: text("experiment_name"),
            antennas,
            times,
            samples,
            dataset,
            row,
            room,
        }))
    }

    /// Reads the samples of some antennas, by their places in the record: for each `[sequence, sample]`.
    ///
    /// # Errors
    /// Fails if they cannot be read.
    pub fn samples(&self, record: &AntennasRecord, places: &[usize]) -> Result<Vec<Vec<[f32; 2]>>, Error> {
        let one = record.room * record.samples;
        let wanted = record.times.len() * record.samples;
        let file = self.file.hdf5();
        let rank = record.dataset.shape().map_or(0, <[usize]>::len);
        // Of an array file, and where chunks reach over antennas, the whole record is read once.
        let whole = match rank {
            4 => Some(file.read_rows(&record.dataset, record.row, 1)?),
            3 if record.dataset.rows_at_once() > 1 || places.len() > 1 => {
                Some(file.read_rows(&record.dataset, 0, record.antennas.len())?)
            }
            _ => None,
        };
        let mut all = Vec::with_capacity(places.len());
        for place in places {
            let bytes = match &whole {
                Some(bytes) => bytes.get(place * one * 8..(place * one + wanted) * 8).unwrap_or_default().to_vec(),
                None if rank == 3 => file.read_rows(&record.dataset, *place, 1)?,
                None => file.read_rows(&record.dataset, place * one, wanted)?,
            };
            let mut samples = hdf5::complexes(&bytes);
            samples.truncate(wanted);
            all.push(samples);
        }
        Ok(all)
    }
}
