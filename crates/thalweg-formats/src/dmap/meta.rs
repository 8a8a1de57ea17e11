//! What a stream is about, from its scalars alone: number of records, times, beams, programs.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use thalweg_core::{Fields as CoreFields, TimeRange, Value};

use super::error::Error;
use super::model::Scalar;
use super::parse::{FieldRef, RawRecord};
use super::read::Reader;
use super::tables::Format;
use crate::Probe;

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The format guessed from the first record; `None` for generic records.
    pub format: Option<Format>,
    /// Number of records.
    pub records: u64,
    /// Earliest record time, and latest (for records of a period: latest end).
    pub times: (Timestamp, Timestamp),
    /// Control programs (`cp`), in order of number.
    pub programs: BTreeSet<i64>,
    /// `cp` of the first record.
    pub first_program: Option<i64>,
    /// Stations (`stid`).
    pub stations: BTreeSet<i64>,
    /// Beams (`bmnum`).
    pub beams: BTreeSet<i64>,
    /// Channels (`channel`).
    pub channels: BTreeSet<i64>,
    /// Numbers of ranges (`nrang`).
    pub ranges: BTreeSet<i64>,
    /// Numbers of sequences averaged (`nave`).
    pub sequences: BTreeSet<i64>,
}

/// What one record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Number of the record, from 0.
    pub index: u64,
    /// Byte of the uncompressed stream where it starts.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
    /// Time of the record (for records of a period: start and end); `None` if it has no usable one.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Control program (`cp`).
    pub program: Option<i64>,
    /// Station (`stid`).
    pub station: Option<i64>,
    /// Beam (`bmnum`).
    pub beam: Option<i64>,
    /// Channel (`channel`).
    pub channel: Option<i64>,
    /// Frequency (`tfreq`), kHz.
    pub frequency: Option<i64>,
    /// Sequences averaged (`nave`).
    pub sequences: Option<i64>,
    /// Ranges (`nrang`).
    pub ranges: Option<i64>,
    /// Scan flag (`scan`).
    pub scan: Option<i64>,
}

/// The scalars that count here.
#[derive(Debug, Default)]
struct Scalars {
    time: [Option<i64>; 7],
    start: [Option<i64>; 5],
    start_second: Option<f64>,
    end: [Option<i64>; 5],
    end_second: Option<f64>,
    program: Option<i64>,
    station: Option<i64>,
    beam: Option<i64>,
    channel: Option<i64>,
    frequency: Option<i64>,
    sequences: Option<i64>,
    ranges: Option<i64>,
    scan: Option<i64>,
}

impl Scalars {
    fn note(&mut self, name: &str, scalar: &Scalar) {
        let whole = scalar.as_i64();
        match name {
            "time.yr" => self.time[0] = whole,
            "time.mo" => self.time[1] = whole,
            "time.dy" => self.time[2] = whole,
            "time.hr" => self.time[3] = whole,
            "time.mt" => self.time[4] = whole,
            "time.sc" => self.time[5] = whole,
            "time.us" => self.time[6] = whole,
            "start.year" => self.start[0] = whole,
            "start.month" => self.start[1] = whole,
            "start.day" => self.start[2] = whole,
            "start.hour" => self.start[3] = whole,
            "start.minute" => self.start[4] = whole,
            "start.second" => self.start_second = scalar.as_f64(),
            "end.year" => self.end[0] = whole,
            "end.month" => self.end[1] = whole,
            "end.day" => self.end[2] = whole,
            "end.hour" => self.end[3] = whole,
            "end.minute" => self.end[4] = whole,
            "end.second" => self.end_second = scalar.as_f64(),
            "cp" => self.program = whole,
            "stid" => self.station = whole,
            "bmnum" => self.beam = whole,
            "channel" => self.channel = whole,
            "tfreq" => self.frequency = whole,
            "nave" => self.sequences = whole,
            "nrang" => self.ranges = whole,
            "scan" => self.scan = whole,
            _ => {}
        }
    }

    fn times(&self) -> Option<(Timestamp, Timestamp)> {
        if let [Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second), Some(micro)] = self.time {
            let nanos = micro.checked_mul(1000)?;
            let at = timestamp([year, month, day, hour, minute], second, nanos)?;
            return Some((at, at));
        }
        Some((period(self.start, self.start_second)?, period(self.end, self.end_second)?))
    }
}

fn period(parts: [Option<i64>; 5], second: Option<f64>) -> Option<Timestamp> {
    let [Some(year), Some(month), Some(day), Some(hour), Some(minute)] = parts else { return None };
    let second = SignedDuration::try_from_secs_f64(second.filter(|second| (0.0..=60.0).contains(second))?).ok()?;
    timestamp([year, month, day, hour, minute], 0, 0)?.checked_add(second).ok()
}

fn timestamp(parts: [i64; 5], second: i64, nanos: i64) -> Option<Timestamp> {
    let [year, month, day, hour, minute] = parts;
    let small = |value: i64| i8::try_from(value).ok();
    let year = i16::try_from(year).ok()?;
    let nanos = i32::try_from(nanos).ok()?;
    let civil =
        DateTime::new(year, small(month)?, small(day)?, small(hour)?, small(minute)?, small(second)?, nanos).ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

fn scalars(raw: &RawRecord<'_>) -> Result<Scalars, Error> {
    let mut scalars = Scalars::default();
    for field in raw.fields()? {
        let (name, field) = field.map_err(|fault| raw.error(fault))?;
        match field {
            FieldRef::Number(scalar) => scalars.note(name, &scalar),
            FieldRef::Text { .. } => {}
            // Only scalars are wanted, and no scalar follows a vector.
            FieldRef::Vector(_) => break,
        }
    }
    Ok(scalars)
}

impl Head {
    /// Reads the scalars of a record.
    ///
    /// # Errors
    /// Fails if one of them is bad; vectors are not looked at.
    pub fn of(raw: &RawRecord<'_>) -> Result<Self, Error> {
        let scalars = scalars(raw)?;
        Ok(Self {
            index: raw.index,
            offset: raw.offset,
            size: raw.bytes.len() as u64,
            times: scalars.times(),
            program: scalars.program,
            station: scalars.station,
            beam: scalars.beam,
            channel: scalars.channel,
            frequency: scalars.frequency,
            sequences: scalars.sequences,
            ranges: scalars.ranges,
            scan: scalars.scan,
        })
    }
}

/// Reads the scalars of every record.
///
/// # Errors
/// Fails at the first record that is bad or has no time.
pub fn summarise(source: impl Read) -> Result<Summary, Error> {
    let mut reader = Reader::new(source)?;
    let mut summary: Option<Summary> = None;
    while let Some(raw) = reader.next_raw()? {
        let scalars = scalars(&raw)?;
        let (first, last) = scalars.times().ok_or_else(|| Error::NoTime {
            index: raw.index,
            offset: raw.offset,
            found: format!("time {:?}, start {:?}, end {:?} is no date", scalars.time, scalars.start, scalars.end),
        })?;
        let summary = match &mut summary {
            Some(summary) => summary,
            None => {
                let names: Vec<&str> = raw.fields()?.map_while(|field| field.ok().map(|(name, _)| name)).collect();
                summary.insert(Summary {
                    format: Format::guess(names),
                    records: 0,
                    times: (first, last),
                    programs: BTreeSet::new(),
                    first_program: scalars.program,
                    stations: BTreeSet::new(),
                    beams: BTreeSet::new(),
                    channels: BTreeSet::new(),
                    ranges: BTreeSet::new(),
                    sequences: BTreeSet::new(),
                })
            }
        };
        summary.records += 1;
        summary.times = (summary.times.0.min(first), summary.times.1.max(last));
        summary.programs.extend(scalars.program);
        summary.stations.extend(scalars.station);
        summary.beams.extend(scalars.beam);
        summary.channels.extend(scalars.channel);
        summary.ranges.extend(scalars.ranges);
        summary.sequences.extend(scalars.sequences);
    }
    summary.ok_or(Error::Empty)
}

/// Tells the coverage and the fields of a file: `cp` (of the first record), `stid`, `channel` (each only if the file
/// has one), `records`, `beams`, `kind` (the format in small letters).
///
/// The coverage ends one microsecond after the last record's time.
///
/// # Errors
/// As [`summarise`], and if the file cannot be opened.
pub fn probe(path: &Path) -> Result<Probe, Error> {
    let file = File::open(path).map_err(|source| Error::Open { path: path.to_owned(), source })?;
    let summary = summarise(file)?;
    let (first, last) = summary.times;
    let coverage = TimeRange::new(first, last.checked_add(SignedDuration::from_micros(1)).unwrap_or(last));
    let mut fields = CoreFields::new();
    if let Some(program) = summary.first_program {
        fields.insert("cp".to_owned(), Value::Int(program));
    }
    for (name, values) in [("stid", &summary.stations), ("channel", &summary.channels)] {
        if let (Some(value), 1) = (values.first(), values.len()) {
            fields.insert(name.to_owned(), Value::Int(*value));
        }
    }
    fields.insert("records".to_owned(), Value::Int(i64::try_from(summary.records).unwrap_or(i64::MAX)));
    fields.insert("beams".to_owned(), Value::List(summary.beams.iter().map(|beam| Value::Int(*beam)).collect()));
    let kind = summary.format.map_or_else(|| "generic".to_owned(), |format| format.name().to_ascii_lowercase());
    fields.insert("kind".to_owned(), Value::Text(kind));
    Ok(Probe { coverage, fields })
}
