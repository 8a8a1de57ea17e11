//! `superdarn to-dmap`: Borealis rawacf files of any version and layout as one DMAP RAWACF file.

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thalweg_formats::borealis::{Outcome, RawacfFile, RecordProblem};
use thalweg_formats::dmap::Writer;

use super::convert::{Scratch, Settings, append_record};
use super::stations::station_id;
use crate::context::{Verb, VerbContext};
use crate::error::Error;
use crate::output::Output;

/// Options of [`to_dmap`].
#[derive(Debug, Clone, PartialEq)]
pub struct ToDmapOptions {
    /// Name of the source that is written into the comment of each record; the file's base name if not given.
    pub source_name: Option<String>,
    /// Slice of files older than v0.5, which do not say it themselves; taken from the file's name if not given.
    pub slice: Option<u8>,
    /// Factor on all correlations (v0.x only; v1 files are never scaled).
    pub scaling: f64,
    /// Gives what the reference software gives, its faults included. Makes no difference for rawacf.
    pub compat: bool,
    /// Accepts any type that loses nothing, and says so, instead of exactly those of the version.
    pub lenient: bool,
    /// Leaves bad records out, and says so, instead of failing.
    pub drop_bad_records: bool,
    /// Replaces the output if it exists.
    pub force: bool,
    /// Station ids of radars that the built-in table does not know, by radar code.
    pub stations: BTreeMap<String, i16>,
}

impl Default for ToDmapOptions {
    fn default() -> Self {
        Self {
            source_name: None,
            slice: None,
            scaling: 1.0,
            compat: false,
            lenient: false,
            drop_bad_records: false,
            force: false,
            stations: BTreeMap::new(),
        }
    }
}

/// What [`to_dmap`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ToDmapSummary {
    /// Borealis records read.
    pub records_read: u64,
    /// DMAP records written, one per beam.
    pub records_written: u64,
    /// Records left out, each with the reason.
    pub dropped: Vec<String>,
    /// What else was odd.
    pub warnings: Vec<String>,
    /// Size of the output in bytes.
    pub bytes: u64,
}

/// [`to_dmap`] with its arguments.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToDmap {
    /// Borealis files, in the order of the output.
    pub inputs: Vec<PathBuf>,
    /// The DMAP file; compressed if its name ends in `.bz2`.
    pub output: PathBuf,
    /// Options.
    pub options: ToDmapOptions,
}

impl Verb for ToDmap {
    const NAME: &'static str = "superdarn to-dmap";
    type Summary = ToDmapSummary;

    fn run(&self, context: &VerbContext) -> Result<ToDmapSummary, Error> {
        to_dmap(&self.inputs, &self.output, &self.options, context)
    }
}

/// Converts rawacf files to one DMAP file, record by record, one DMAP record per beam.
///
/// The output appears under its name when it is complete, and not at all if anything fails. A half-written last record
/// of a v1 file is left out and told as a warning; any other bad record fails the conversion after all have been
/// looked at, unless they are to be dropped.
///
/// # Errors
/// Data: an input is damaged, of an unknown version, has bad records, an unknown station, or values that do not fit.
/// Data: an input is bad, is not rawacf, or does not say its slice. Refused: the output exists or is an input.
pub fn to_dmap(
    inputs: &[PathBuf],
    output: &Path,
    options: &ToDmapOptions,
    context: &VerbContext,
) -> Result<ToDmapSummary, Error> {
    convert(inputs, output, options, context).map_err(|error| context.failure(error))
}

fn convert(
    inputs: &[PathBuf],
    output: &Path,
    options: &ToDmapOptions,
    context: &VerbContext,
) -> Result<ToDmapSummary, Error> {
    if inputs.is_empty() {
        return Err(Error::NoInput);
    }
    let (target, file) = Output::create(output, inputs, options.force)?;
    let compress = output.extension().is_some_and(|extension| extension == "bz2");
    let mut writer = Writer::new(BufWriter::with_capacity(256 << 10, file), compress);
    let mut summary = ToDmapSummary::default();
    let mut scratch = Scratch::default();
    for input in inputs {
        let mut conversion = Conversion { path: input, output, options, context, summary: &mut summary };
        conversion.run(&mut writer, &mut scratch)?;
    }
    let write = |source| Error::WriteDmap { path: output.to_owned(), source: Box::new(source) };
    let buffer = writer.finish().map_err(write)?;
    let file = buffer.into_inner().map_err(|error| {
        let source = error.into_error();
        Error::Io { action: "write", path: output.to_owned(), source }
    })?;
    summary.bytes = target.publish(&file)?;
    context.count("records_read", summary.records_read);
    context.count("records_written", summary.records_written);
    if !summary.dropped.is_empty() {
        context.count("records_dropped", summary.dropped.len() as u64);
    }
    Ok(summary)
}

/// One input on its way.
struct Conversion<'a> {
    path: &'a Path,
    output: &'a Path,
    options: &'a ToDmapOptions,
    context: &'a VerbContext,
    summary: &'a mut ToDmapSummary,
}

impl Conversion<'_> {
    fn run<W: std::io::Write>(&mut self, writer: &mut Writer<W>, scratch: &mut Scratch) -> Result<(), Error> {
        let bad_file = |source| Error::Borealis { path: self.path.to_owned(), source: Box::new(source) };
        let mut file = RawacfFile::open(self.path, self.options.lenient).map_err(bad_file)?;
        let base = self.path.file_name().unwrap_or_default().to_string_lossy();
        let source_name = self.options.source_name.as_deref().unwrap_or(&base);
        let version = file.version().clone();
        let slice = self.options.slice.map(i16::from).or_else(|| slice_of_name(&base));
        let total = file.record_count();
        let before = self.summary.records_written;
        let mut bad: Vec<RecordProblem> = Vec::new();
        let mut bytes = Vec::new();
        let mut station: Option<(String, i16)> = None;
        while let Some(outcome) = file.next_record().map_err(bad_file)? {
            self.summary.records_read += 1;
            let record = match outcome {
                Outcome::Good(record) => record,
                Outcome::Bad(problem) => {
                    if problem.incomplete_last || self.options.drop_bad_records {
                        self.drop_record(&problem);
                    } else {
                        bad.push(problem);
                    }
                    continue;
                }
            };
            if !bad.is_empty() {
                // Nothing will be published; the rest is read only to find all that is bad.
                continue;
            }
            let id = match &station {
                Some((code, id)) if *code == record.station => *id,
                _ => {
                    let id = station_id(&record.station, &self.options.stations);
                    let unknown =
                        || Error::UnknownStation { path: self.path.to_owned(), station: record.station.clone() };
                    let id = id.ok_or_else(unknown)?;
                    station = Some((record.station.clone(), id));
                    id
                }
            };
            let settings = Settings {
                path: self.path,
                version: &version,
                source_name,
                station: id,
                slice,
                scaling: self.options.scaling,
            };
            bytes.clear();
            self.summary.records_written += append_record(&settings, &record, scratch, &mut bytes)? as u64;
            writer
                .write_bytes(&bytes)
                .map_err(|source| Error::WriteDmap { path: self.output.to_owned(), source: Box::new(source) })?;
            self.context.progress(self.summary.records_read, Some(total as u64), "records");
        }
        if !bad.is_empty() {
            return Err(Error::BadRecords { path: self.path.to_owned(), records: total, problems: bad });
        }
        for (field, types) in file.widened() {
            self.warn(format!("{}: {field} accepted as {types}", self.path.display()));
        }
        for (field, record) in file.unknown() {
            self.warn(format!("{}: unknown field {field}, first in record {record}", self.path.display()));
        }
        if self.summary.records_written == before {
            return Err(Error::NoRecords { path: self.path.to_owned() });
        }
        Ok(())
    }

    fn warn(&mut self, message: String) {
        self.context.warning(message.clone());
        self.summary.warnings.push(message);
    }

    fn drop_record(&mut self, problem: &RecordProblem) {
        let message = format!("{}: left out {problem}", self.path.display());
        self.context.warning(message.clone());
        self.summary.dropped.push(message);
    }
}

/// Returns the slice number of a name like `20221018.1200.00.sas.1.rawacf.hdf5.site`.
fn slice_of_name(name: &str) -> Option<i16> {
    name.split('.').nth(4)?.parse().ok().filter(|slice| (0..26).contains(slice))
}
