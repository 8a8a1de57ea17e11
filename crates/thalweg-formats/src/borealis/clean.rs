//! Site files without their bad records.

use std::collections::BTreeSet;
use std::path::Path;

use super::error::{Error, FieldProblem, RecordProblem};
use super::read::{BorealisFile, Outcome, Wanted};
use super::version::Layout;
use crate::hdf5::{Array, File, FileWriter, GroupWriter, Object, Storage};

/// Returns the bad records of a site file: those whose number of sequences disagrees with their time stamps, and with `fields`
/// those with missing, extra or wrongly typed fields too. The second number is that of all records.
///
/// # Errors
/// Fails if the file cannot be read, or is no site file.
pub fn bad_records(path: &Path, fields: bool) -> Result<(Vec<RecordProblem>, usize), Error> {
    let mut file = BorealisFile::open(path, Wanted::Small, false)?;
    if file.layout() != Layout::Site {
        return Err(Error::NoSiteFile);
    }
    let count = file.record_count();
    let mut bad = Vec::new();
    let of_sequences = |problem: &FieldProblem| {
        matches!(problem, FieldProblem::Length { field: "sqn_timestamps", by: "num_sequences", .. })
    };
    while let Some(outcome) = file.next_record()? {
        if let Outcome::Bad(problem) = outcome
            && (fields || problem.problems.iter().any(of_sequences))
        {
            bad.push(problem);
        }
    }
    Ok((bad, count))
}

/// Writes all records of a site file but those of `left_out` into `output`, each as it is.
///
/// # Errors
/// Fails if the file cannot be read or the output cannot be written; the output is then not complete.
pub fn copy_records(path: &Path, output: &Path, left_out: &BTreeSet<String>) -> Result<(), Error> {
    let file = File::open(path)?;
    let root = file.root()?;
    let writer = FileWriter::create(output)?;
    copy_attributes(&file, &root, &writer.root())?;
    for link in file.links(&root)? {
        if left_out.contains(&link.name) {
            continue;
        }
        let group = file.open_link(&link)?;
        let copy = writer.group(&link.name)?;
        copy_attributes(&file, &group, &copy)?;
        for member in file.links(&group)? {
            let dataset = file.dataset(file.open_link(&member)?)?;
            let value = file.fixed(file.read(&dataset)?)?;
            let mut notes = Vec::new();
            for note in file.attributes(dataset.object())? {
                notes.push((note.name, file.fixed(note.value)?));
            }
            let notes: Vec<(&str, Array)> = notes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            copy.dataset(&member.name, &value, &Storage::Contiguous, &notes)?;
        }
    }
    Ok(writer.close()?)
}

fn copy_attributes(file: &File, from: &Object, to: &GroupWriter) -> Result<(), Error> {
    for attribute in file.attributes(from)? {
        to.attribute(&attribute.name, &file.fixed(attribute.value)?)?;
    }
    Ok(())
}
