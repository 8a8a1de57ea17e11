//! `superdarn restructure` and `superdarn clean`.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thalweg_formats::borealis::{self, RestructureOptions, Restructured, bad_records, copy_records};
use thalweg_formats::hdf5;

use crate::context::VerbContext;
use crate::error::Error;
use crate::output::Output;

/// What [`restructure`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RestructureSummary {
    /// Records written.
    pub records: u64,
    /// Records left out, each with the reason.
    pub dropped: Vec<String>,
    /// What else was odd.
    pub warnings: Vec<String>,
    /// Size of the output in bytes.
    pub bytes: u64,
}

fn bad_file(path: &Path) -> impl Fn(borealis::Error) -> Error {
    move |source| Error::Borealis { path: path.to_owned(), source: Box::new(source) }
}

/// Tells a file that cannot be written from one that cannot be read.
fn failed(input: &Path, output: &Path) -> impl Fn(borealis::Error) -> Error {
    move |source| match source {
        borealis::Error::Hdf5(hdf5::Error::Write { .. }) => {
            Error::WriteBorealis { path: output.to_owned(), source: Box::new(source) }
        }
        source => bad_file(input)(source),
    }
}

/// Writes a site file (a group per record) as an array file (rows of datasets), or an array file as a site file.
///
/// One record is in memory at a time. The output appears under its name when it is complete, and not at all if anything
/// fails.
///
/// # Errors
/// Data: the input is damaged, has bad records (unless they are to be dropped), or a record differs from the others where the
/// array layout has one value for all. Refused: the output exists or is the input.
pub fn restructure(
    input: &Path,
    output: &Path,
    options: RestructureOptions,
    force: bool,
    context: &VerbContext,
) -> Result<RestructureSummary, Error> {
    let work = || {
        let (target, file) = Output::create(output, &[input.to_owned()], force)?;
        let mut progress = |done, total| context.progress(done, Some(total), "records");
        let done = borealis::restructure(input, target.path(), options, &mut progress);
        let done = done.map_err(failed(input, output))?;
        let bytes = target.publish(&file)?;
        let Restructured { records, dropped, warnings } = done;
        let dropped = dropped.iter().map(|problem| format!("{}: left out {problem}", input.display())).collect();
        let warnings = warnings.iter().map(|warning| format!("{}: {warning}", input.display())).collect();
        Ok(RestructureSummary { records, dropped, warnings, bytes })
    };
    let summary = work().map_err(|error| context.failure(error))?;
    context.count("records_written", summary.records);
    if !summary.dropped.is_empty() {
        context.count("records_dropped", summary.dropped.len() as u64);
    }
    for message in summary.dropped.iter().chain(&summary.warnings) {
        context.warning(message.clone());
    }
    Ok(summary)
}

/// How a file stands, as far as a writer cannot help changing it.
#[derive(PartialEq)]
struct Standing(u64, u64, std::time::SystemTime);

impl Standing {
    fn of(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { action: "look at", path: path.to_owned(), source };
        let found = std::fs::metadata(path).map_err(io)?;
        Ok(Self(found.ino(), found.len(), found.modified().map_err(io)?))
    }
}

/// What [`clean`] did to a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CleanSummary {
    /// The file.
    pub file: PathBuf,
    /// Records there were.
    pub records: u64,
    /// Records taken out, each with the reason; none: the file is as it was.
    pub dropped: Vec<String>,
}

/// Takes bad records out of a site file: those whose number of sequences disagrees with their time stamps, and with `fields`
/// those with missing, extra or wrongly typed fields too.
///
/// A new file takes the place of the old one when it is complete, with its mode, owner and time; a file without bad records
/// is not touched. With `dry_run` nothing is. A link is followed.
///
/// # Errors
/// Data: the file cannot be read, is no site file, or has no good record. Not yet: somebody writes to it.
pub fn clean(path: &Path, fields: bool, dry_run: bool, context: &VerbContext) -> Result<CleanSummary, Error> {
    let work = || {
        let path = &std::fs::canonicalize(path).map_err(|source| Error::Io {
            action: "find",
            path: path.to_owned(),
            source,
        })?;
        let before = Standing::of(path)?;
        let (bad, count) = bad_records(path, fields).map_err(bad_file(path))?;
        if !bad.is_empty() && bad.len() == count {
            return Err(Error::NoRecords { path: path.to_owned() });
        }
        if !bad.is_empty() && !dry_run {
            let left_out: BTreeSet<String> = bad.iter().map(|problem| problem.record.clone()).collect();
            let (target, file) = Output::create(path, &[], true)?;
            copy_records(path, target.path(), &left_out).map_err(failed(path, path))?;
            target.keep_attributes(&file)?;
            // What was written to it meanwhile would be lost.
            if Standing::of(path)? != before {
                return Err(Error::Changing { path: path.clone() });
            }
            target.publish(&file)?;
        }
        let dropped = bad.iter().map(ToString::to_string).collect();
        Ok(CleanSummary { file: path.to_owned(), records: count as u64, dropped })
    };
    let summary = work().map_err(|error| context.failure(error))?;
    if !summary.dropped.is_empty() {
        context.count("records_dropped", summary.dropped.len() as u64);
    }
    for dropped in &summary.dropped {
        context.warning(format!("{}: taken out {dropped}", path.display()));
    }
    Ok(summary)
}
