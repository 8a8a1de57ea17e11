//! Verbs on DMAP files: check, dump, list, copy records, salvage.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thalweg_formats::dmap::{self, Error as Dmap, Reader, TextMode};

pub use thalweg_formats::dmap::{Gap, Head, Mode, Numbers, Problem, Report, Selection, Summary};

use crate::context::VerbContext;
use crate::error::Error;
use crate::output::DmapOutput;

fn bad(path: &Path) -> impl Fn(Dmap) -> Error {
    move |source| Error::Dmap { path: path.to_owned(), source: Box::new(source) }
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| bad(path)(Dmap::Open { path: path.to_owned(), source }))
}

/// Checks a file; its records decide which format they are checked against.
///
/// # Errors
/// Fails only if the file cannot be read; what is wrong in it stands in the report.
pub fn dmap_check(path: &Path, mode: Mode) -> Result<Report, Error> {
    dmap::check_file(path, None, mode).map_err(bad(path))
}

/// Writes every record of a file as one line of JSON; returns their number.
///
/// # Errors
/// Fails at the first bad record, after all before it have been written, or when `out` fails.
pub fn dmap_dump(path: &Path, out: &mut dyn Write, context: &VerbContext) -> Result<u64, Error> {
    let fail = |error| context.failure(error);
    let file = open(path).map_err(fail)?;
    dmap::dump(file, out).map_err(|error| fail(bad(path)(error)))
}

/// Gives what each record of a file is about to `each`, in order; returns their number.
///
/// # Errors
/// Fails at the first bad record, after all before it have been given, or when `each` does.
pub fn dmap_list<E: From<Error>>(path: &Path, mut each: impl FnMut(&Head) -> Result<(), E>) -> Result<u64, E> {
    let mut reader = Reader::new(open(path)?).map_err(bad(path))?;
    let mut count = 0;
    while let Some(raw) = reader.next_raw().map_err(bad(path))? {
        each(&Head::of(&raw).map_err(bad(path))?)?;
        count += 1;
    }
    Ok(count)
}

/// Tells what a file holds, from the scalars of its records.
///
/// # Errors
/// Fails at the first record that is bad or has no time.
pub fn dmap_summary(path: &Path) -> Result<Summary, Error> {
    dmap::summarise(open(path)?).map_err(bad(path))
}

/// Options of [`dmap_copy`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CopyOptions {
    /// Which records; of several files each is numbered by itself.
    pub selection: Selection,
    /// Fields that are left out of each record.
    pub drop_fields: Vec<String>,
    /// Replaces the output if it exists.
    pub force: bool,
}

/// What [`dmap_copy`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CopySummary {
    /// Records read.
    pub records_read: u64,
    /// Records written.
    pub records_written: u64,
    /// Size of the output in bytes.
    pub bytes: u64,
}

/// Copies records of files, one file after the other, into one file, which is compressed if its name ends in `.bz2`.
///
/// A record keeps its bytes, whatever its order and types are, unless fields are left out of it. The output appears under
/// its name when it is complete, and not at all if anything fails.
///
/// # Errors
/// Data: an input has a bad record, or no record is chosen. Refused: the output exists or is an input.
pub fn dmap_copy(
    inputs: &[PathBuf],
    output: &Path,
    options: &CopyOptions,
    context: &VerbContext,
) -> Result<CopySummary, Error> {
    copy(inputs, output, options, context).map_err(|error| context.failure(error))
}

fn copy(inputs: &[PathBuf], output: &Path, options: &CopyOptions, context: &VerbContext) -> Result<CopySummary, Error> {
    if inputs.is_empty() {
        return Err(Error::NoInput);
    }
    let mut target = DmapOutput::create(output, inputs, options.force)?;
    let mut summary = CopySummary::default();
    for input in inputs {
        // Only what counts from the end needs to know where that is.
        let count = if options.selection.from_end() { dmap_list::<Error>(input, |_| Ok(()))? } else { 0 };
        let mut reader = Reader::new(open(input)?).map_err(bad(input))?;
        while let Some(raw) = reader.next_raw().map_err(bad(input))? {
            // All its fields are looked at, so that no damaged record is handed on as a good one.
            for field in raw.fields().map_err(bad(input))? {
                field.map_err(|fault| bad(input)(raw.error(fault)))?;
            }
            summary.records_read += 1;
            if !options.selection.holds(&Head::of(&raw).map_err(bad(input))?, count) {
                continue;
            }
            if options.drop_fields.is_empty() {
                target.write_bytes(raw.bytes)?;
            } else {
                let mut record = raw.parse(TextMode::Strict).map_err(bad(input))?;
                record.fields.retain(|(name, _)| !options.drop_fields.contains(name));
                target.write(&record)?;
            }
            summary.records_written += 1;
            context.progress(summary.records_written, None, "records");
        }
    }
    if summary.records_written == 0 {
        return Err(Error::NothingChosen { path: output.to_owned(), records: summary.records_read });
    }
    summary.bytes = target.publish()?;
    context.count("records_read", summary.records_read);
    context.count("records_written", summary.records_written);
    Ok(summary)
}

/// Copies the good records of a damaged file into a new one, and tells what was lost.
///
/// The report of the check comes back; its gaps are byte ranges of the uncompressed stream. The output appears under its
/// name when it is complete.
///
/// # Errors
/// Data: there is no good record. Refused: the output exists or is the input.
pub fn dmap_salvage(input: &Path, output: &Path, force: bool, context: &VerbContext) -> Result<(Report, u64), Error> {
    let salvage = || {
        let mut target = DmapOutput::create(output, &[input.to_owned()], force)?;
        let file = open(input)?;
        let report = dmap::check_each(file, None, Mode::Salvage, bad(input), |raw| target.write_bytes(raw.bytes))?;
        if report.records == 0 {
            return Err(Error::NoRecords { path: input.to_owned() });
        }
        let bytes = target.publish()?;
        Ok((report, bytes))
    };
    let (report, bytes) = salvage().map_err(|error| context.failure(error))?;
    context.count("records_written", report.records);
    for gap in &report.gaps {
        context.warning(format!("{}: {} bytes from byte {} on are lost", input.display(), gap.length, gap.offset));
    }
    Ok((report, bytes))
}
