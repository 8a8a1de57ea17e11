//! Files of the Borealis radar software: which version and layout, their records, what a file is about.
//!
//! Correlations (rawacf) and samples (bfiq, antennas_iq) are read and written record by record; of rawrf only what a file is
//! about. Nothing here knows of DMAP.
//!
//! | layout | records | scalars | arrays |
//! | --- | --- | --- | --- |
//! | site (v0.x) | a group each, named by milliseconds since 1970 | attributes of the group | datasets, acfs flattened before v0.7 |
//! | array (v0.x) | rows of datasets in the root | shared: root attributes; else `[records]` | `[records, largest ...]`, padded |
//! | v1 | a group each, named by date and time | datasets | datasets; those of file level are links to `metadata` |

mod antennas;
mod clean;
mod error;
mod fields;
mod probe;
mod read;
mod record;
mod restructure;
mod rows;
pub mod synth;
mod version;

pub use antennas::{AntennasFile, AntennasRecord};
pub use clean::{bad_records, copy_records};
pub use error::{Error, FieldProblem, RecordProblem};
pub use probe::probe;
pub use read::{BorealisFile, Outcome, RecordFile, RecordValues, Wanted};
pub use record::{Bfiq, Header, Rawacf, RecordType, Values, micros};
pub use restructure::{RestructureOptions, Restructured, restructure};
pub use version::{FileKind, Layout, Version};

/// Reads a file of correlations.
pub type RawacfFile = RecordFile<Rawacf>;
/// Reads a file of beam-formed samples.
pub type BfiqFile = RecordFile<Bfiq>;

/// Reads all records of a file in memory, as values and as what its kind has; never panics.
///
/// The entry point of the fuzz target and of the replay test. Returns the number of good records.
pub fn read_all_for_check(bytes: &[u8]) -> usize {
    fn read<T>(mut next: impl FnMut() -> Result<Option<Outcome<T>>, Error>) -> usize {
        let mut good = 0;
        for _ in 0..10_000 {
            match next() {
                Ok(Some(outcome)) => good += usize::from(matches!(outcome, Outcome::Good(_))),
                _ => break,
            }
        }
        good
    }
    let open = || {
        let mut file = crate::hdf5::File::from_bytes(bytes.to_vec()).ok()?;
        file.limit_reads(16 << 20);
        Some(file)
    };
    let mut good = 0;
    for lenient in [false, true] {
        let Some(Ok(mut file)) = open().map(|file| BorealisFile::new(file, Wanted::All, lenient)) else { return good };
        let kind = file.kind();
        good += read(|| file.next_record());
        let Some(file) = open() else { return good };
        match kind {
            FileKind::Rawacf => {
                let Ok(mut file) = RawacfFile::new(file, lenient) else { continue };
                good += read(|| file.next_record());
            }
            FileKind::Bfiq => {
                let Ok(mut file) = BfiqFile::new(file, lenient) else { continue };
                good += read(|| file.next_record());
            }
            _ => {
                let Ok(mut file) = AntennasFile::new(file) else { continue };
                good += read(|| {
                    let record = file.next_record()?;
                    if let Some(Outcome::Good(record)) = &record {
                        file.samples(record, &[0, record.antennas.len().saturating_sub(1)])?;
                    }
                    Ok(record)
                });
            }
        }
    }
    good
}
