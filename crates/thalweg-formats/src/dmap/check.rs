//! Checking a stream record by record, against the record rules and against the fields of its format.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::{Error, FieldFault};
use super::model::Scalar;
use super::parse::{FieldRef, RawRecord};
use super::read::Reader;
use super::tables::Format;

/// Most problems and warnings that a report lists; the rest is only counted.
const LISTED: usize = 1000;

/// How damage is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Any bad record makes the stream bad; all are reported as far as records can be told apart.
    Strict,
    /// The records before the first bad one are good, nothing after it is trusted.
    Lax,
    /// As lax, then goes on at the next plausible record.
    Salvage,
}

/// Something bad or odd in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Number of the record, from 0; what follows a bad record in salvage counts on from it.
    pub index: u64,
    /// Byte of the uncompressed stream where the record starts; `None` if the envelope is to blame.
    pub offset: Option<u64>,
    /// What is wrong.
    pub message: String,
}

/// A part of the stream that was jumped over in salvage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where the bad record starts.
    pub offset: u64,
    /// Bytes up to the next good record, or to the end.
    pub length: u64,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// If the stream was bzip2-compressed.
    pub compressed: bool,
    /// The format that records were checked against; `None` = generic, no field table.
    pub format: Option<Format>,
    /// Good records: all in strict and salvage, those before the first bad one in lax.
    pub records: u64,
    /// Bad records; in lax at most 1.
    pub bad_records: u64,
    /// Where the first bad record starts; `None` if there is none or only the envelope is damaged.
    pub bad_offset: Option<u64>,
    /// What is wrong, first come first; at most 1000.
    pub problems: Vec<Problem>,
    /// What is odd but not wrong; at most 1000.
    pub warnings: Vec<Problem>,
    /// Parts jumped over in salvage.
    pub gaps: Vec<Gap>,
}

impl Report {
    /// Tells if nothing was wrong.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    fn bad(&mut self, index: u64, offset: Option<u64>, message: String) {
        self.bad_offset = if self.problems.is_empty() { offset } else { self.bad_offset };
        push(&mut self.problems, Problem { index, offset, message });
    }

    fn warn(&mut self, index: u64, offset: Option<u64>, message: String) {
        push(&mut self.warnings, Problem { index, offset, message });
    }
}

fn push(list: &mut Vec<Problem>, problem: Problem) {
    if list.len() < LISTED {
        list.push(problem);
    }
}

/// Opens `path` and checks it; see [`check`].
///
/// # Errors
/// Fails if the file cannot be opened or read.
pub fn check_file(path: &Path, format: Option<Format>, mode: Mode) -> Result<Report, Error> {
    let file = File::open(path).map_err(|source| Error::Open { path: path.to_owned(), source })?;
    check(file, format, mode)
}

/// Checks a stream. Without a `format` the first record's fields decide it for all.
///
/// # Errors
/// Fails only if the source cannot be read; all that is wrong with the bytes stands in the report.
pub fn check(source: impl Read, format: Option<Format>, mode: Mode) -> Result<Report, Error> {
    check_each(source, format, mode, |error| error, |_| Ok(()))
}

/// As [`check`], and gives each good record to `good`, in order; `failed` makes the caller's error of one of the source.
///
/// # Errors
/// As [`check`], and when `good` does.
pub fn check_each<E>(
    source: impl Read,
    format: Option<Format>,
    mode: Mode,
    failed: impl Fn(Error) -> E,
    mut good: impl FnMut(&RawRecord<'_>) -> Result<(), E>,
) -> Result<Report, E> {
    let mut report = Report {
        compressed: false,
        format,
        records: 0,
        bad_records: 0,
        bad_offset: None,
        problems: Vec::new(),
        warnings: Vec::new(),
        gaps: Vec::new(),
    };
    let mut reader = match Reader::new(source) {
        Ok(reader) => reader,
        Err(error) => return stream_error(error, 0, mode, &mut report).map(|()| report).map_err(failed),
    };
    report.compressed = reader.is_compressed();
    let mut first = format.is_none();
    let mut index = 0;
    loop {
        let bad = match reader.next_raw() {
            Ok(None) => break,
            Ok(Some(raw)) => {
                index = raw.index;
                let faults = check_record(&raw, mode, &mut first, &mut report);
                let offset = raw.offset;
                match faults {
                    Ok(()) => {
                        report.records += 1;
                        good(&raw)?;
                        continue;
                    }
                    Err(faults) => {
                        report.bad_records += 1;
                        for fault in faults {
                            report.bad(index, Some(offset), raw.error(fault).to_string());
                        }
                        mode != Mode::Strict
                    }
                }
            }
            Err(error) => {
                let index = if report.records + report.bad_records == 0 { 0 } else { index + 1 };
                let framing = error.record_offset().is_some();
                stream_error(error, index, mode, &mut report).map_err(&failed)?;
                report.bad_records += u64::from(framing);
                if !framing {
                    break;
                }
                reader.count_bad();
                true
            }
        };
        if bad && mode == Mode::Lax {
            break;
        }
        if bad && mode == Mode::Salvage {
            let offset = report.problems.last().and_then(|problem| problem.offset).unwrap_or(0);
            match reader.resume() {
                Ok(Some((offset, length))) => report.gaps.push(Gap { offset, length }),
                Ok(None) => {
                    let end = reader.end();
                    report.gaps.push(Gap { offset, length: end.saturating_sub(offset) });
                    break;
                }
                Err(error) => {
                    stream_error(error, index + 1, mode, &mut report).map_err(&failed)?;
                    break;
                }
            }
        }
    }
    Ok(report)
}

/// Puts a failure of the stream into the report; a failure of the operating system is passed on.
fn stream_error(error: Error, index: u64, mode: Mode, report: &mut Report) -> Result<(), Error> {
    if matches!(error, Error::Io { .. } | Error::Open { .. }) {
        return Err(error);
    }
    let mut message = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        message = format!("{message}: {source}");
    }
    if matches!(error, Error::Empty) && mode != Mode::Strict {
        report.warn(0, Some(0), message);
    } else {
        report.bad(index, error.record_offset(), message);
    }
    Ok(())
}

fn check_record(raw: &RawRecord<'_>, mode: Mode, first: &mut bool, report: &mut Report) -> Result<(), Vec<FieldFault>> {
    let mut fields: Vec<(&str, FieldRef<'_>)> = Vec::new();
    let walk = super::parse::Fields::new(raw.bytes).map_err(|fault| vec![fault])?;
    for field in walk {
        fields.push(field.map_err(|fault| vec![fault])?);
    }
    let mut faults = Vec::new();
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        if pair[0] == pair[1] {
            faults.push(FieldFault::Twice { field: pair[0].to_owned() });
        }
    }
    for (name, field) in &fields {
        if let FieldRef::Text { bytes, at } = field
            && std::str::from_utf8(bytes).is_err()
        {
            faults.push(FieldFault::Text { field: (*name).to_owned(), at: *at });
        }
    }
    if mode != Mode::Strict {
        for fault in faults.drain(..) {
            report.warn(raw.index, Some(raw.offset), raw.error(fault).to_string());
        }
    }
    if *first {
        *first = false;
        report.format = Format::guess(fields.iter().map(|(name, _)| *name));
    }
    if let Some(format) = report.format {
        faults.extend(format.faults(&fields));
        if format == Format::Rawacf && faults.is_empty() {
            for message in rawacf_relations(&fields) {
                report.warn(raw.index, Some(raw.offset), message);
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Tells which usual relations of a RAWACF record do not hold; nothing enforces them.
fn rawacf_relations(fields: &[(&str, FieldRef<'_>)]) -> Vec<String> {
    let scalar = |wanted: &str| {
        fields.iter().find(|(name, _)| *name == wanted).and_then(|(_, field)| match field {
            FieldRef::Number(Scalar::Short(value)) => usize::try_from(*value).ok(),
            _ => None,
        })
    };
    let dim = |wanted: &str, axis: usize| {
        fields.iter().find(|(name, _)| *name == wanted).and_then(|(_, field)| match field {
            FieldRef::Vector(vector) => vector.shape.get(axis).copied(),
            _ => None,
        })
    };
    let lags = scalar("mplgs");
    let ranges = dim("slist", 0);
    let relations = [
        ("length of ptab", dim("ptab", 0), "mppul", scalar("mppul")),
        ("rows of ltab", dim("ltab", 0), "mplgs + 1", lags.map(|lags| lags + 1)),
        ("length of pwr0", dim("pwr0", 0), "nrang", scalar("nrang")),
        ("ranges of acfd", dim("acfd", 0), "length of slist", ranges),
        ("lags of acfd", dim("acfd", 1), "mplgs", lags),
    ];
    let mut odd: Vec<String> = relations
        .into_iter()
        .filter(|(_, found, _, expected)| found != expected)
        .map(|(what, found, other, expected)| {
            let text = |value: Option<usize>| value.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
            format!("{what} is {}, {other} is {}", text(found), text(expected))
        })
        .collect();
    if let (Some(xcf), Some(ranges)) = (dim("xcfd", 0), ranges)
        && xcf != ranges
    {
        odd.push(format!("ranges of xcfd is {xcf}, length of slist is {ranges}"));
    }
    odd
}
