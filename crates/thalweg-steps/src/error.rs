//! Why a verb gives up.

use std::io;
use std::path::{Path, PathBuf};

use thalweg_core::ErrorClass;
use thalweg_formats::borealis::{self, RecordProblem};
use thalweg_formats::dmap;

/// Why a verb gives up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// A Borealis file is bad.
    #[error("read {}", path.display())]
    Borealis {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<borealis::Error>,
    },
    /// Borealis output failed.
    #[error("write {}", path.display())]
    WriteBorealis {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<borealis::Error>,
    },
    /// Somebody writes to a file.
    #[error("clean {}: somebody is writing to it", path.display())]
    Changing {
        /// Which.
        path: PathBuf,
    },
    /// A DMAP file is bad.
    #[error("read {}", path.display())]
    Dmap {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<dmap::Error>,
    },
    /// DMAP output failed.
    #[error("write {}", path.display())]
    WriteDmap {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<dmap::Error>,
    },
    /// Records of a file are bad; all of them are listed.
    #[error("convert {}: {} of {records} records are bad: {}", path.display(), problems.len(), list(problems))]
    BadRecords {
        /// Which file.
        path: PathBuf,
        /// Records in it.
        records: usize,
        /// What is wrong, record by record.
        problems: Vec<RecordProblem>,
    },
    /// A file without any good record.
    #[error("read {}: it has no good record", path.display())]
    NoRecords {
        /// Which.
        path: PathBuf,
    },
    /// No record was chosen of those there are.
    #[error("write {}: none of {records} records is chosen", path.display())]
    NothingChosen {
        /// The output.
        path: PathBuf,
        /// Records in the inputs.
        records: u64,
    },
    /// A picture whose name says no format.
    #[error("write {}: pictures are .jpg or .png", path.display())]
    PictureName {
        /// The name.
        path: PathBuf,
    },
    /// A picture that cannot be read or encoded.
    #[error("picture {}: {message}", path.display())]
    Picture {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// Drawing itself fails.
    #[error("draw: {message}")]
    Drawing {
        /// Why.
        message: String,
    },
    /// Nothing of what is asked for is in the file.
    #[error("draw {}: nothing of what is asked for is in it", path.display())]
    NothingToDraw {
        /// The file.
        path: PathBuf,
    },
    /// A radar code without a number.
    #[error("convert {}: station code {station:?} has no DMAP station id", path.display())]
    UnknownStation {
        /// Which file.
        path: PathBuf,
        /// The code.
        station: String,
    },
    /// The slice is not known.
    #[error("convert {}: files of this version do not say which slice they hold; give the slice", path.display())]
    NoSlice {
        /// Which file.
        path: PathBuf,
    },
    /// A value does not fit its DMAP field.
    #[error("convert {}: record {record}: {field} = {value} does not fit", path.display())]
    OutOfRange {
        /// Which file.
        path: PathBuf,
        /// The record.
        record: String,
        /// The DMAP field.
        field: &'static str,
        /// The value.
        value: String,
    },
    /// Samples with phase codes.
    #[error("convert {}: record {record}: pulse_phase_offset is not zero, and IQDAT cannot hold phase codes", path.display())]
    PhaseCodes {
        /// Which file.
        path: PathBuf,
        /// The record.
        record: String,
    },
    /// Files of different kinds for one output.
    #[error("convert {}: it is of another kind than the file before it", path.display())]
    MixedKinds {
        /// Which file.
        path: PathBuf,
    },
    /// A value that the conversion needs is missing.
    #[error("convert {}: record {record}: {field} is needed and missing", path.display())]
    Needed {
        /// Which file.
        path: PathBuf,
        /// The record.
        record: String,
        /// The field.
        field: &'static str,
    },
    /// Input and output are the same file.
    #[error("write {}: it is also an input", path.display())]
    SourceIsTarget {
        /// Which.
        path: PathBuf,
    },
    /// The output exists and may not be replaced.
    #[error("write {}: it exists", path.display())]
    TargetExists {
        /// Which.
        path: PathBuf,
    },
    /// No input was given.
    #[error("convert: no input file was given")]
    NoInput,
    /// A format that is not known.
    #[error("probe: format {found:?} is not known; known are {known}")]
    UnknownFormat {
        /// What was asked for.
        found: String,
        /// The known ones.
        known: String,
    },
}

fn list(problems: &[RecordProblem]) -> String {
    const SHOWN: usize = 20;
    let mut text = problems.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(" | ");
    if problems.len() > SHOWN {
        text.push_str(&format!(" | and {} more", problems.len() - SHOWN));
    }
    text
}

impl Error {
    /// Says what can be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Io { source, .. } => match source.kind() {
                // What is opened here is the output's folder or the report.
                io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory | io::ErrorKind::NotFound => {
                    ErrorClass::Config
                }
                _ => ErrorClass::Transient,
            },
            Self::Borealis { source, .. } | Self::WriteBorealis { source, .. } => source.class(),
            Self::Changing { .. } => ErrorClass::NotYet,
            Self::Dmap { source, .. } | Self::WriteDmap { source, .. } => source.class(),
            Self::BadRecords { .. }
            | Self::NoRecords { .. }
            | Self::NothingChosen { .. }
            | Self::NothingToDraw { .. }
            | Self::Picture { .. }
            | Self::PhaseCodes { .. }
            | Self::MixedKinds { .. }
            | Self::UnknownStation { .. }
            | Self::NoSlice { .. }
            | Self::OutOfRange { .. }
            | Self::Needed { .. } => ErrorClass::Data,
            Self::SourceIsTarget { .. } | Self::TargetExists { .. } => ErrorClass::Refused,
            Self::NoInput | Self::UnknownFormat { .. } | Self::PictureName { .. } => ErrorClass::Config,
            Self::Drawing { .. } => ErrorClass::Bug,
        }
    }

    /// Returns the file that is to blame.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::Borealis { path, .. }
            | Self::WriteBorealis { path, .. }
            | Self::Changing { path }
            | Self::Dmap { path, .. }
            | Self::WriteDmap { path, .. }
            | Self::BadRecords { path, .. }
            | Self::NoRecords { path }
            | Self::NothingChosen { path, .. }
            | Self::NothingToDraw { path }
            | Self::Picture { path, .. }
            | Self::PictureName { path }
            | Self::PhaseCodes { path, .. }
            | Self::MixedKinds { path }
            | Self::UnknownStation { path, .. }
            | Self::NoSlice { path }
            | Self::OutOfRange { path, .. }
            | Self::Needed { path, .. }
            | Self::SourceIsTarget { path }
            | Self::TargetExists { path } => Some(path),
            Self::NoInput | Self::UnknownFormat { .. } | Self::Drawing { .. } => None,
        }
    }

    /// Returns the message followed by those of its causes.
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
