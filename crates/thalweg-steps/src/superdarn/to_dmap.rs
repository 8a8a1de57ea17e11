//! `superdarn to-dmap`: Borealis files of any version and layout as one DMAP file: rawacf as RAWACF, bfiq as IQDAT.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thalweg_formats::borealis::{self, Bfiq, FileKind, Outcome, Rawacf, RecordFile, RecordProblem};

use super::convert::{Convert, Scratch, Settings};
use super::stations::station_id;
use crate::context::{Verb, VerbContext};
use crate::error::Error;
use crate::output::DmapOutput;

/// Options of [`to_dmap`].
#[derive(Debug, Clone, PartialEq)]
pub struct ToDmapOptions {
    /// Name of the source that is written into the comment of each record; the file's base name if not given.
    pub source_name: Option<String>,
    /// Slice of files older than v0.5, which do not say it themselves; taken from the file's name if not given.
    pub slice: Option<u8>,
    /// Factor on all correlations (v0.x only; v1 files are never scaled).
    pub scaling: f64,
    /// Gives what the reference software gives, its faults included: in IQDAT times of sequences that are 1000 times too
    /// small, and no interferometer from v0.7 on. Makes no difference for rawacf.
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

/// Converts rawacf or bfiq files to one DMAP file, record by record, one DMAP record per beam.
///
/// The output appears under its name when it is complete, and not at all if anything fails. A half-written last record
/// of a v1 file is left out and told as a warning; any other bad record fails the conversion after all have been
/// looked at, unless they are to be dropped.
///
/// # Errors
/// Data: an input is damaged, of an unknown version, has bad records, an unknown station, or values that do not fit.
/// Data: an input is of another kind than rawacf and bfiq, or than the one before it; has phase codes, which IQDAT cannot
/// hold; or does not say its slice. Refused: the output exists or is an input.
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
    let mut target = DmapOutput::create(output, inputs, options.force)?;
    let mut summary = ToDmapSummary::default();
    let mut scratch = Scratch::default();
    let mut kind = None;
    for input in inputs {
        let mut conversion = Conversion { path: input, options, context, summary: &mut summary };
        let found = conversion.run(&mut target, &mut scratch)?;
        if *kind.get_or_insert(found) != found {
            return Err(Error::MixedKinds { path: input.clone() });
        }
    }
    summary.bytes = target.publish()?;
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
    options: &'a ToDmapOptions,
    context: &'a VerbContext,
    summary: &'a mut ToDmapSummary,
}

impl Conversion<'_> {
    fn bad_file(&self) -> impl Fn(borealis::Error) -> Error + use<> {
        let path = self.path.to_owned();
        move |source| Error::Borealis { path: path.clone(), source: Box::new(source) }
    }

    /// Converts the file, whichever of the two kinds it is; returns which.
    fn run(&mut self, target: &mut DmapOutput, scratch: &mut Scratch) -> Result<FileKind, Error> {
        let lenient = self.options.lenient;
        match RecordFile::<Rawacf>::open(self.path, lenient) {
            Ok(file) => self.records(file, target, scratch).map(|()| FileKind::Rawacf),
            Err(borealis::Error::WrongKind { found: FileKind::Bfiq, .. }) => {
                let file = RecordFile::<Bfiq>::open(self.path, lenient).map_err(self.bad_file())?;
                self.records(file, target, scratch).map(|()| FileKind::Bfiq)
            }
            Err(error) => Err(self.bad_file()(error)),
        }
    }

    fn records<T: Convert>(
        &mut self,
        mut file: RecordFile<T>,
        target: &mut DmapOutput,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        let bad_file = self.bad_file();
        let base = self.path.file_name().unwrap_or_default().to_string_lossy();
        let source_name = self.options.source_name.as_deref().unwrap_or(&base);
        let version = file.version().clone();
        let slice = self.options.slice.map(i16::from).or_else(|| slice_of_name(&base));
        let total = file.record_count();
        let before = self.summary.records_written;
        let mut bad: Vec<RecordProblem> = Vec::new();
        let mut bytes = Vec::new();
        let mut station: Option<(String, i16)> = None;
        while let Some(outcome) = file.next_record().map_err(&bad_file)? {
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
                Some((code, id)) if *code == record.header().station => *id,
                _ => {
                    let id = station_id(&record.header().station, &self.options.stations);
                    let unknown = || Error::UnknownStation {
                        path: self.path.to_owned(),
                        station: record.header().station.clone(),
                    };
                    let id = id.ok_or_else(unknown)?;
                    station = Some((record.header().station.clone(), id));
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
                compat: self.options.compat,
            };
            bytes.clear();
            self.summary.records_written += record.append(&settings, scratch, &mut bytes)? as u64;
            target.write_bytes(&bytes)?;
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
