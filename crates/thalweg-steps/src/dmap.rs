//! Verbs on DMAP files: check and dump.

use std::fs::File;
use std::io::Write;
use std::path::Path;

pub use thalweg_formats::dmap::{Gap, Mode, Problem, Report};

use crate::context::VerbContext;
use crate::error::Error;

/// Checks a file; its records decide which format they are checked against.
///
/// # Errors
/// Fails only if the file cannot be read; what is wrong in it stands in the report.
pub fn dmap_check(path: &Path, mode: Mode) -> Result<Report, Error> {
    thalweg_formats::dmap::check_file(path, None, mode)
        .map_err(|source| Error::Dmap { path: path.to_owned(), source: Box::new(source) })
}

/// Writes every record of a file as one line of JSON; returns their number.
///
/// # Errors
/// Fails at the first bad record, after all before it have been written, or when `out` fails.
pub fn dmap_dump(path: &Path, out: &mut dyn Write, context: &VerbContext) -> Result<u64, Error> {
    let fail = |source| context.failure(Error::Dmap { path: path.to_owned(), source: Box::new(source) });
    let file = File::open(path)
        .map_err(|source| fail(thalweg_formats::dmap::Error::Open { path: path.to_owned(), source }))?;
    thalweg_formats::dmap::dump(file, out).map_err(fail)
}
