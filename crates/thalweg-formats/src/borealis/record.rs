//! One record, the same for all versions and layouts.

use std::collections::HashMap;
use std::rc::Rc;

use super::error::FieldProblem;
use super::version::{FileKind, Version};
use crate::hdf5::{Array, File};

/// What records of correlations and of beam-formed samples have in common: one averaging period.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Name of the record: milliseconds since 1970 (v0.x) or date and time (v1).
    pub name: String,
    /// Radar code, e.g. `sas`.
    pub station: String,
    /// Version text of the software.
    pub git_hash: String,
    /// Name of the experiment.
    pub experiment_name: String,
    /// Comment about the experiment.
    pub experiment_comment: String,
    /// Comment about the slice.
    pub slice_comment: String,
    /// Control program (CPID).
    pub experiment_id: i64,
    /// Slice; `None` before v0.5.
    pub slice_id: Option<i64>,
    /// Frequency, kHz.
    pub freq: i64,
    /// Distance to the first range, km.
    pub first_range: f32,
    /// Round-trip time to the first range, us.
    pub first_range_rtt: f32,
    /// Distance between ranges, km.
    pub range_sep: f32,
    /// Sampling rate, Hz.
    pub rx_sample_rate: f64,
    /// Gain of the filters.
    pub data_normalization_factor: f64,
    /// Integration time, s.
    pub int_time: f32,
    /// Number of sequences averaged.
    pub num_sequences: i64,
    /// If a scan starts here.
    pub scan_start: bool,
    /// Fault bits; 0 before v0.6.
    pub agc_status_word: i64,
    /// Low-power bits; 0 before v0.6.
    pub lp_status_word: i64,
    /// Unit of spacing between pulses, us.
    pub tau_spacing: i64,
    /// Length of a pulse, us.
    pub tx_pulse_len: i64,
    /// Noise of each sequence; `None` in v1.
    pub noise: Option<Vec<f64>>,
    /// Start of each sequence, s since 1970.
    pub sqn_timestamps: Vec<f64>,
    /// Beam numbers.
    pub beam_nums: Vec<i64>,
    /// Azimuths of the beams, degrees from boresight.
    pub beam_azms: Vec<f64>,
    /// Pulse positions, in units of tau.
    pub pulses: Vec<i64>,
    /// Pulse pair of each lag; the last is the alternate lag 0.
    pub lag_pulses: Vec<[i64; 2]>,
    /// Weight of each transmitting antenna; `None` before v0.7 and if v1 leaves it out.
    pub tx_weights: Option<Vec<[f32; 2]>>,
}

/// Correlations of all beams that were received at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Rawacf {
    /// What it is about.
    pub header: Header,
    /// Number of beams, ranges and lags.
    pub dims: [usize; 3],
    /// Correlations of the main array, `[beam, range, lag]`.
    pub main_acfs: Vec<[f32; 2]>,
    /// Correlations of both arrays, likewise; `None` without interferometer.
    pub xcfs: Option<Vec<[f32; 2]>>,
}

/// Samples of all beams that were received at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Bfiq {
    /// What it is about.
    pub header: Header,
    /// Number of antenna arrays, sequences, beams and samples.
    pub dims: [usize; 4],
    /// Names of the arrays: `main`, `intf`.
    pub arrays: Vec<String>,
    /// Number of ranges.
    pub num_ranges: i64,
    /// Phase codes of the pulses, degrees; empty if the record has none.
    pub pulse_phases: Vec<f64>,
    /// Samples, `[array, sequence, beam, sample]`.
    pub data: Vec<[f32; 2]>,
}

/// What a kind of file holds, record by record.
pub trait RecordType: Sized {
    /// The kind.
    const KIND: FileKind;
    /// Fields whose values are used besides those of the header.
    const FIELDS: &'static [&'static str];

    /// Makes a record of the values of its fields, or returns what is wrong.
    #[doc(hidden)]
    fn assemble(parts: Assembler<'_>, name: Option<&str>) -> Result<Self, Vec<FieldProblem>>;
}

/// Fields that the header is made of.
pub(super) const HEADER: &[&str] = &[
    "agc_status_word",
    "beam_azms",
    "beam_nums",
    "borealis_git_hash",
    "data_normalization_factor",
    "experiment_comment",
    "experiment_id",
    "experiment_name",
    "first_range",
    "first_range_rtt",
    "freq",
    "int_time",
    "lag_pulses",
    "lags",
    "lp_status_word",
    "noise_at_freq",
    "num_beams",
    "num_sequences",
    "pulses",
    "range_sep",
    "rx_sample_rate",
    "scan_start_marker",
    "slice_comment",
    "slice_id",
    "sqn_timestamps",
    "station",
    "tau_spacing",
    "tx_antenna_phases",
    "tx_excitations",
    "tx_pulse_len",
];

/// Values of the fields of one record.
pub type Values = HashMap<&'static str, Rc<Array>>;

/// Puts a record together, collecting everything that does not fit.
pub struct Assembler<'a> {
    pub(super) file: &'a File,
    pub(super) version: &'a Version,
    pub(super) values: &'a Values,
    pub(super) problems: Vec<FieldProblem>,
}

impl Assembler<'_> {
    fn unusable(&mut self, field: &str) {
        self.problems.push(FieldProblem::Value { field: field.to_owned() });
    }

    fn take<T>(&mut self, field: &'static str, convert: impl Fn(&Array) -> Option<T>) -> Option<T> {
        let value = convert(self.values.get(field)?);
        if value.is_none() {
            self.unusable(field);
        }
        value
    }

    fn text(&mut self, field: &'static str) -> String {
        let file = self.file;
        self.take(field, |array| file.texts(array).ok()?.into_iter().next()).unwrap_or_default()
    }

    /// Takes an array of texts.
    fn texts(&mut self, field: &'static str) -> Vec<String> {
        let file = self.file;
        self.take(field, |array| file.texts(array).ok()).unwrap_or_default()
    }

    fn int(&mut self, field: &'static str) -> Option<i64> {
        self.take(field, |array| array.to_i64s()?.first().copied())
    }

    fn float(&mut self, field: &'static str) -> f64 {
        self.take(field, |array| array.to_f64s()?.first().copied()).unwrap_or_default()
    }

    /// Takes a value that is kept in 32 bits; a wider one is rounded once.
    #[expect(clippy::cast_possible_truncation, reason = "a wider float (v1 leaves the width open) is rounded once")]
    fn short_float(&mut self, field: &'static str) -> f32 {
        self.float(field) as f32
    }

    fn ints(&mut self, field: &'static str) -> Vec<i64> {
        self.take(field, Array::to_i64s).unwrap_or_default()
    }

    fn same_length(&mut self, field: &'static str, found: usize, by: &'static str, expected: i64) {
        if i64::try_from(found) != Ok(expected) {
            self.problems.push(FieldProblem::Length { field, found, expected, by });
        }
    }

    /// Returns the shape of the numbers in `field`: their own, or the one that the dimension field gives.
    fn dims<const N: usize>(&mut self, field: &'static str, stored: &'static str) -> [usize; N] {
        let Some(values) = self.values.get(field) else { return [0; N] };
        if let Ok(dims) = <[usize; N]>::try_from(values.dims()) {
            return dims;
        }
        let length = values.len();
        let dims: Option<Vec<usize>> = self.ints(stored).iter().map(|dim| usize::try_from(*dim).ok()).collect();
        let dims = dims.and_then(|dims| <[usize; N]>::try_from(dims).ok());
        let fits = |dims: &[usize; N]| dims.iter().try_fold(1_usize, |n, dim| n.checked_mul(*dim)) == Some(length);
        dims.filter(fits).unwrap_or_else(|| {
            self.unusable(stored);
            [0; N]
        })
    }

    /// Takes what all records have in common; `beams` and `by` say how many beams the data has, and which field that is.
    fn header(&mut self, name: Option<&str>, beams: usize, by: &'static str) -> Header {
        let v1 = self.version.is_v1();
        let pairs = self.ints(self.lag_field());
        let num_sequences = self.int("num_sequences").unwrap_or_default();
        let sqn_timestamps: Vec<f64> = self.take("sqn_timestamps", Array::to_f64s).unwrap_or_default();
        let beam_nums = self.ints("beam_nums");
        let beam_azms: Vec<f64> = self.take("beam_azms", Array::to_f64s).unwrap_or_default();
        let noise: Option<Vec<f64>> = self.take("noise_at_freq", Array::to_f64s).filter(|_| !v1);

        self.same_length("beam_nums", beam_nums.len(), by, count(beams));
        self.same_length("beam_azms", beam_azms.len(), by, count(beams));
        if !sqn_timestamps.iter().all(|time| (0.0..4e9).contains(time)) {
            self.unusable("sqn_timestamps");
        }
        let first = sqn_timestamps.first().copied().unwrap_or_default();
        let weights = if v1 { "tx_excitations" } else { "tx_antenna_phases" };
        Header {
            name: name.map_or_else(|| record_name(first), str::to_owned),
            station: self.text("station"),
            git_hash: self.text("borealis_git_hash"),
            experiment_name: self.text("experiment_name"),
            experiment_comment: self.text("experiment_comment"),
            slice_comment: self.text("slice_comment"),
            experiment_id: self.int("experiment_id").unwrap_or_default(),
            slice_id: self.int("slice_id"),
            freq: self.int("freq").unwrap_or_default(),
            first_range: self.short_float("first_range"),
            first_range_rtt: self.short_float("first_range_rtt"),
            range_sep: self.short_float("range_sep"),
            rx_sample_rate: self.float("rx_sample_rate"),
            data_normalization_factor: self.float("data_normalization_factor"),
            int_time: self.short_float("int_time"),
            num_sequences,
            scan_start: self.int("scan_start_marker").unwrap_or_default() != 0,
            agc_status_word: self.int("agc_status_word").unwrap_or_default(),
            lp_status_word: self.int("lp_status_word").unwrap_or_default(),
            tau_spacing: self.int("tau_spacing").unwrap_or_default(),
            tx_pulse_len: self.int("tx_pulse_len").unwrap_or_default(),
            noise,
            sqn_timestamps,
            beam_nums,
            beam_azms,
            pulses: self.ints("pulses"),
            lag_pulses: pairs.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect(),
            tx_weights: self.take(weights, Array::to_complexes),
        }
    }

    fn lag_field(&self) -> &'static str {
        if self.version.is_v1() { "lag_pulses" } else { "lags" }
    }

    fn end<T>(self, record: T) -> Result<T, Vec<FieldProblem>> {
        if self.problems.is_empty() { Ok(record) } else { Err(self.problems) }
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl RecordType for Rawacf {
    const KIND: FileKind = FileKind::Rawacf;
    const FIELDS: &'static [&'static str] = &["correlation_dimensions", "main_acfs", "xcfs"];

    fn assemble(mut parts: Assembler<'_>, name: Option<&str>) -> Result<Self, Vec<FieldProblem>> {
        let dims: [usize; 3] = parts.dims("main_acfs", "correlation_dimensions");
        let header = parts.header(name, dims[0], "main_acfs");
        let lag_field = parts.lag_field();
        parts.same_length(lag_field, header.lag_pulses.len(), "main_acfs", count(dims[2]));
        if let Some(xcfs) = parts.values.get("xcfs").map(|array| array.len()) {
            parts.same_length("xcfs", xcfs, "main_acfs", count(dims.iter().product()));
        }
        if dims.contains(&0) || dims[2] < 2 {
            parts.unusable("main_acfs");
        }
        let main_acfs = parts.take("main_acfs", Array::to_complexes).unwrap_or_default();
        let xcfs = parts.take("xcfs", Array::to_complexes);
        parts.end(Self { header, dims, main_acfs, xcfs })
    }
}

impl RecordType for Bfiq {
    const KIND: FileKind = FileKind::Bfiq;
    const FIELDS: &'static [&'static str] = &[
        "antenna_arrays",
        "antenna_arrays_order",
        "bfiq_data",
        "data",
        "data_dimensions",
        "num_ranges",
        "pulse_phase_offset",
        "range_gates",
    ];

    fn assemble(mut parts: Assembler<'_>, name: Option<&str>) -> Result<Self, Vec<FieldProblem>> {
        let v1 = parts.version.is_v1();
        let (samples, arrays) = if v1 { ("bfiq_data", "antenna_arrays") } else { ("data", "antenna_arrays_order") };
        let dims: [usize; 4] = parts.dims(samples, "data_dimensions");
        let header = parts.header(name, dims[2], samples);
        let order = parts.texts(arrays);
        parts.same_length(arrays, order.len(), samples, count(dims[0]));
        parts.same_length("sqn_timestamps", header.sqn_timestamps.len(), samples, count(dims[1]));
        if dims.contains(&0) {
            parts.unusable(samples);
        }
        let num_ranges = if v1 {
            parts.values.get("range_gates").map_or(0, |gates| count(gates.len()))
        } else {
            parts.int("num_ranges").unwrap_or_default()
        };
        let pulse_phases = parts.take("pulse_phase_offset", Array::to_f64s).unwrap_or_default();
        let data = parts.take(samples, Array::to_complexes).unwrap_or_default();
        parts.end(Self { header, dims, arrays: order, num_ranges, pulse_phases, data })
    }
}

/// Returns the name of a v0.x record that starts at `time` (s since 1970): milliseconds, cut, of the time in rounded
/// microseconds.
pub(super) fn record_name(time: f64) -> String {
    (micros(time).div_euclid(1000)).to_string()
}

/// Returns whole microseconds since 1970, the fraction of a second rounded half to even.
#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and times are checked to lie before 2096")]
pub fn micros(time: f64) -> i64 {
    (time.trunc() as i64).saturating_mul(1_000_000).saturating_add((time.fract() * 1e6).round_ties_even() as i64)
}

impl Header {
    /// Returns the start of the first sequence in microseconds since 1970, rounded half to even.
    pub fn start_micros(&self) -> i64 {
        micros(self.sqn_timestamps.first().copied().unwrap_or_default())
    }
}
