//! `superdarn restructure` and `superdarn clean`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thalweg_formats::borealis::{self, RestructureOptions, Restructured, bad_records, copy_records};

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
        let done = borealis::restructure(input, target.path(), options, &mut progress).map_err(bad_file(input))?;
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
/// A new file takes the place of the old one when it is complete; a file without bad records is not touched. With `dry_run`
/// nothing is.
///
/// # Errors
/// Data: the file cannot be read, is no site file, or has no good record.
pub fn clean(path: &Path, fields: bool, dry_run: bool, context: &VerbContext) -> Result<CleanSummary, Error> {
    let work = || {
        let (bad, count) = bad_records(path, fields).map_err(bad_file(path))?;
        if !bad.is_empty() && bad.len() == count {
            return Err(Error::NoRecords { path: path.to_owned() });
        }
        if !bad.is_empty() && !dry_run {
            let left_out: BTreeSet<String> = bad.iter().map(|problem| problem.record.clone()).collect();
            let (target, file) = Output::create(path, &[], true)?;
            copy_records(path, target.path(), &left_out).map_err(bad_file(path))?;
            target.keep_mode(&file)?;
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
