//! Made-up files that look real: for demonstrations and tests. Equal options give equal values.

mod iq;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use crate::hdf5::{Array, Error, FileWriter, GroupWriter, Storage};

pub use iq::write_iq;

/// Which file to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SynthLayout {
    /// v0.6, site layout (`*.rawacf.hdf5.site`).
    SiteV06,
    /// v1.0 (`*.rawacf.h5`).
    V1,
}

/// What to put into it.
#[derive(Debug, Clone, PartialEq)]
pub struct SynthOptions {
    /// Start of the first record.
    pub start: Timestamp,
    /// Time from record to record.
    pub period: SignedDuration,
    /// Radar code.
    pub station: String,
    /// Slice.
    pub slice: u32,
    /// Control program (CPID).
    pub cpid: i16,
    /// Number of records.
    pub records: usize,
    /// Number of ranges.
    pub ranges: usize,
    /// Number of lags, the alternate lag 0 included; 2 to 23.
    pub lags: usize,
    /// Chooses the values.
    pub seed: u64,
    /// Leaves the correlations out of the last record, as a writer does that stops inside it.
    pub incomplete_last: bool,
}

impl Default for SynthOptions {
    fn default() -> Self {
        Self {
            start: Timestamp::UNIX_EPOCH,
            period: SignedDuration::from_millis(3500),
            station: "sas".to_owned(),
            slice: 0,
            cpid: 151,
            records: 4,
            ranges: 75,
            lags: 23,
            seed: 1,
            incomplete_last: false,
        }
    }
}

const PULSES: [u32; 7] = [0, 9, 12, 20, 22, 26, 27];
const FILTER_GAIN: f64 = 9_999_999.999_999_996;
const MAIN_ANTENNAS: u32 = 16;
const INTF_ANTENNAS: u32 = 4;

/// A small generator of numbers: fast, the same everywhere, good enough for noise.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Returns a number in 0..1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// One record's values.
struct Period {
    name: String,
    times: Vec<f64>,
    beam: u32,
    azimuth: f64,
    int_time: f32,
    scan_start: bool,
    main: Vec<[f32; 2]>,
    intf: Vec<[f32; 2]>,
    cross: Vec<[f32; 2]>,
}

/// Pulse pairs by lag, the alternate lag 0 last.
fn lag_table(lags: usize) -> Vec<[u32; 2]> {
    let mut pairs: Vec<[u32; 2]> = Vec::new();
    for (n, first) in PULSES.iter().enumerate() {
        pairs.extend(PULSES[n + 1..].iter().map(|second| [*first, *second]));
    }
    pairs.sort_by_key(|[first, second]| second - first);
    pairs.dedup_by_key(|[first, second]| *second - *first);
    pairs.truncate(lags.clamp(2, 23) - 2);
    pairs.insert(0, [0, 0]);
    pairs.push([27, 27]);
    pairs
}

#[expect(clippy::cast_possible_truncation, reason = "values are made up; 32 bits are what the file holds")]
fn narrow([re, im]: [f64; 2]) -> [f32; 2] {
    [re as f32, im as f32]
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "numbers here are small")]
fn period(options: &SynthOptions, layout: SynthLayout, table: &[[u32; 2]], n: usize) -> Period {
    let mut dice = Dice(options.seed ^ (n as u64).wrapping_mul(0x2545_f491_4f6c_dd1d));
    let offset = options.period.as_micros().saturating_mul(n as i128);
    let first = options.start.as_microsecond().saturating_add(i64::try_from(offset).unwrap_or(0)) + 110_350;
    let sequences = 28 + dice.next() % 8;
    let times: Vec<f64> = (0..sequences).map(|k| (first + 97_000 * k as i64) as f64 / 1e6).collect();
    let beam = (n % 16) as u32;
    let mut record = Period {
        name: match layout {
            SynthLayout::SiteV06 => first.div_euclid(1000).to_string(),
            SynthLayout::V1 => {
                let instant = Timestamp::from_microsecond(first).unwrap_or(options.start);
                instant.strftime("%Y%m%d-%H%M-%S.%6f").to_string()
            }
        },
        beam,
        azimuth: (f64::from(beam) - 7.5) * 3.24,
        int_time: sequences as f32 * 0.097 + 0.013,
        scan_start: beam == 0,
        main: Vec::new(),
        intf: Vec::new(),
        cross: Vec::new(),
        times,
    };
    let unit = FILTER_GAIN * FILTER_GAIN / (32767.0 * 32767.0);
    // Two patches of echoes over noise; power falls with range.
    let (near, far) = (5.0 + 10.0 * dice.unit(), 30.0 + 20.0 * dice.unit());
    for range in 0..options.ranges {
        let at = range as f64;
        let bump = |center: f64, width: f64| (-((at - center) / width).powi(2)).exp();
        let signal = 4000.0 * bump(near, 3.0) + 900.0 * bump(far, 6.0);
        let noise = 3.0 + 2.0 * dice.unit();
        let turn = 0.15 + 0.5 * bump(far, 10.0);
        let phase = 0.6 + 0.02 * at;
        for [one, other] in table {
            let lag = f64::from(other - one);
            let power = signal * (-lag / 18.0).exp() + if lag == 0.0 { noise } else { 0.0 };
            let mut value = |angle: f64, share: f64| {
                let jitter = [dice.unit() - 0.5, dice.unit() - 0.5];
                let size = power * share * unit;
                let spread = noise * 0.3 * unit;
                narrow([size * angle.cos() + spread * jitter[0], size * angle.sin() + spread * jitter[1]])
            };
            record.main.push(value(turn * lag, 1.0));
            record.intf.push(value(turn * lag, 0.25));
            record.cross.push(value(turn * lag + phase, 0.5));
        }
        let lag0 = record.main.len() - table.len();
        record.main[lag0][1] = 0.0;
        record.intf[lag0][1] = 0.0;
    }
    record
}

/// Writes a rawacf file. It is complete only when this returns.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn write(path: &Path, layout: SynthLayout, options: &SynthOptions) -> Result<(), Error> {
    let file = FileWriter::create(path)?;
    let table = lag_table(options.lags);
    if layout == SynthLayout::V1 {
        let metadata = file.group("metadata")?;
        for (name, value, note) in file_level(options, &table) {
            put(&metadata, name, &value, note)?;
        }
    }
    for n in 0..options.records {
        let record = period(options, layout, &table, n);
        let group = file.group(&record.name)?;
        let incomplete = options.incomplete_last && n + 1 == options.records;
        let left_out = |name: &str| incomplete && matches!(name, "main_acfs" | "xcfs");
        match layout {
            SynthLayout::SiteV06 => site_record(&group, options, &table, &record, left_out)?,
            SynthLayout::V1 => {
                for (name, value, note) in record_level(options, &table, &record) {
                    if !left_out(name) {
                        put(&group, name, &value, note)?;
                    }
                }
                for (name, ..) in file_level(options, &table) {
                    group.link(name, &format!("metadata/{name}"))?;
                }
            }
        }
    }
    file.close()
}

/// Writes a v1 dataset: arrays deflated at level 9 in one chunk, all with a description.
fn put(group: &GroupWriter, name: &str, value: &Array, note: &str) -> Result<(), Error> {
    let storage = Storage::Deflate { level: 9, chunk: value.dims().to_vec() };
    group.dataset(name, value, &storage, &[("description", Array::text(note))])
}

type Entry = (&'static str, Array, &'static str);

fn numbers(count: usize) -> Vec<u32> {
    (0..).take(count).collect()
}

fn pairs(table: &[[u32; 2]]) -> Array {
    Array::u32s(&[table.len(), 2], table.as_flattened())
}

fn blanked() -> Vec<u32> {
    PULSES.iter().flat_map(|pulse| [pulse * 8, pulse * 8 + 1]).collect()
}

fn f64_scalar(value: f64) -> Array {
    Array::f64s(&[], &[value])
}

fn u32_scalar(value: u32) -> Array {
    Array::u32s(&[], &[value])
}

fn file_level(options: &SynthOptions, table: &[[u32; 2]]) -> Vec<Entry> {
    let antennas = numbers(20);
    let antennas: Vec<i64> = antennas.iter().map(|n| i64::from(*n)).collect();
    let (main, intf) = antennas.split_at(16);
    let locations: Vec<f64> =
        (0..20).flat_map(|n| [f64::from(n % 16) * 15.24, f64::from(n / 16) * -100.0, 0.0]).collect();
    let differences: Vec<u32> = table.iter().map(|[one, other]| other - one).collect();
    let blanked = blanked();
    vec![
        ("antenna_locations", Array::f64s(&[20, 3], &locations), "Positions of the antennas in the local frame"),
        ("antennas", Array::u32s(&[20], &numbers(20)), "Numbers of the antennas"),
        ("averaging_method", Array::text("mean"), "How sequences were averaged"),
        ("blanked_samples", Array::u32s(&[blanked.len()], &blanked), "Samples taken while transmitting"),
        ("borealis_git_hash", Array::text("v1.0"), "Version of the software"),
        ("data_normalization_factor", f64_scalar(FILTER_GAIN), "Gain of the filters"),
        ("experiment_comment", Array::text("synthetic"), "Comment about the experiment"),
        ("experiment_id", Array::i16s(&[], &[options.cpid]), "Number of the experiment"),
        ("experiment_name", Array::text("Normalscan"), "Name of the experiment"),
        ("first_range", Array::f32s(&[], &[180.0]), "Distance to the first range, km"),
        ("first_range_rtt", Array::f32s(&[], &[1200.8307]), "Round-trip time to the first range, us"),
        ("global_coord", Array::texts(&["lat", "lon", "alt"]), "Axes of the global frame"),
        ("lag_numbers", Array::u32s(&[table.len()], &differences), "Lags in units of tau"),
        ("lag_pulse_descriptors", Array::texts(&["first pulse", "second pulse"]), "Columns of lag_pulses"),
        ("lag_pulses", pairs(table), "Pulses of each lag"),
        ("lags", Array::u32s(&[table.len()], &numbers(table.len())), "Indices of the lags"),
        ("local_coord", Array::texts(&["x", "y", "z"]), "Axes of the local frame"),
        ("num_slices", Array::i64s(&[], &[1]), "Number of slices at a time"),
        ("pulses", Array::u32s(&[PULSES.len()], &PULSES), "Pulses in units of tau"),
        ("range_gates", Array::u32s(&[options.ranges], &numbers(options.ranges)), "Indices of the ranges"),
        ("range_sep", Array::f32s(&[], &[44.96887]), "Distance between ranges, km"),
        ("rx_intf_antennas", Array::i64s(&[intf.len()], intf), "Receiving antennas of the interferometer"),
        ("rx_main_antennas", Array::i64s(&[main.len()], main), "Receiving antennas of the main array"),
        ("rx_sample_rate", f64_scalar(10_000.0 / 3.0), "Sampling rate, Hz"),
        ("samples_data_type", Array::text("complex float"), "Type of the samples"),
        ("scheduling_mode", Array::text("common"), "Type of scheduled time"),
        ("slice_comment", Array::text(""), "Comment about the slice"),
        ("slice_id", u32_scalar(options.slice), "Number of the slice"),
        ("slice_interfacing", Array::text("{}"), "Other slices of the experiment"),
        ("station", Array::text(&options.station), "Code of the radar"),
        ("station_location", Array::f32s(&[3], &[52.16, -106.53, 494.0]), "Place of the radar"),
        ("tau_spacing", u32_scalar(2400), "Unit of spacing between pulses, us"),
        ("tx_antennas", Array::i64s(&[main.len()], main), "Transmitting antennas"),
        ("tx_pulse_len", u32_scalar(300), "Length of a pulse, us"),
    ]
}

fn record_level(options: &SynthOptions, table: &[[u32; 2]], record: &Period) -> Vec<Entry> {
    let shape = [1, options.ranges, table.len()];
    let sequences = i64::try_from(record.times.len()).unwrap_or(0);
    let ones = [[1.0, 0.0]; 16];
    vec![
        ("agc_status_word", u32_scalar(0), "A bit for each transmitter with a fault"),
        ("beam_azms", Array::f64s(&[1], &[record.azimuth]), "Azimuths of the beams, degrees"),
        ("beam_nums", Array::u32s(&[1], &[record.beam]), "Numbers of the beams"),
        ("freq", u32_scalar(10_500), "Frequency, kHz"),
        ("gps_locked", Array::bools(&[], &[true]), "If the clock was locked"),
        ("gps_to_system_time_diff", f64_scalar(-0.00231), "Difference of the clocks, s"),
        ("int_time", Array::f32s(&[], &[record.int_time]), "Integration time, s"),
        ("intf_acfs", Array::complexes(&shape, &record.intf), "Correlations of the interferometer"),
        ("lp_status_word", u32_scalar(0), "A bit for each transmitter with low power"),
        ("main_acfs", Array::complexes(&shape, &record.main), "Correlations of the main array"),
        ("num_sequences", Array::i64s(&[], &[sequences]), "Number of sequences"),
        ("rx_intf_excitations", Array::complexes(&[1, 4], &ones[..4]), "Weights of the interferometer"),
        ("rx_main_excitations", Array::complexes(&[1, 16], &ones), "Weights of the main array"),
        ("scan_start_marker", Array::bools(&[], &[record.scan_start]), "If a scan starts"),
        ("sqn_timestamps", Array::f64s(&[record.times.len()], &record.times), "Starts of the sequences"),
        ("tx_excitations", Array::complexes(&[16], &ones), "Weights of the transmitting antennas"),
        ("xcfs", Array::complexes(&shape, &record.cross), "Correlations between the arrays"),
    ]
}

fn site_record(
    group: &GroupWriter,
    options: &SynthOptions,
    table: &[[u32; 2]],
    record: &Period,
    left_out: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    for (name, value) in &site_attributes(options, record) {
        group.attribute(name, value)?;
    }
    let blanked = blanked();
    let flat = [record.main.len()];
    let dims = [1, options.ranges, table.len()].map(|dim| u32::try_from(dim).unwrap_or(u32::MAX));
    let datasets = [
        ("beam_azms", Array::f64s(&[1], &[record.azimuth])),
        ("beam_nums", Array::u32s(&[1], &[record.beam])),
        ("blanked_samples", Array::u32s(&[blanked.len()], &blanked)),
        ("correlation_dimensions", Array::u32s(&[3], &dims)),
        ("intf_acfs", Array::complexes(&flat, &record.intf)),
        ("lags", pairs(table)),
        ("main_acfs", Array::complexes(&flat, &record.main)),
        ("noise_at_freq", Array::f64s(&[record.times.len()], &vec![0.0; record.times.len()])),
        ("pulses", Array::u32s(&[PULSES.len()], &PULSES)),
        ("sqn_timestamps", Array::f64s(&[record.times.len()], &record.times)),
        ("xcfs", Array::complexes(&flat, &record.cross)),
    ];
    for (name, value) in datasets.iter().filter(|(name, _)| !left_out(name)) {
        group.dataset(name, value, &Storage::Contiguous, &[])?;
    }
    characters(group, "correlation_descriptors", &["num_beams", "num_ranges", "num_lags"])
}

/// Writes texts as a run of UTF-32 characters.
fn characters(group: &GroupWriter, name: &str, texts: &[&str]) -> Result<(), Error> {
    let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    let mut characters = Vec::new();
    for text in texts {
        let padded = text.chars().chain(std::iter::repeat('\0')).take(longest);
        characters.extend(padded.flat_map(|c| u32::from(c).to_le_bytes()));
    }
    let longest = i64::try_from(longest).unwrap_or(i64::MAX);
    let notes = [("strtype", Array::text("unicode")), ("itemsize", Array::i64s(&[], &[longest]))];
    let characters = Array::u8s(&[characters.len()], &characters);
    group.dataset(name, &characters, &Storage::Contiguous, &notes)
}

fn site_attributes(options: &SynthOptions, record: &Period) -> [(&'static str, Array); 29] {
    let sequences = i64::try_from(record.times.len()).unwrap_or(0);
    [
        ("agc_status_word", u32_scalar(0)),
        ("averaging_method", Array::text("mean")),
        ("borealis_git_hash", Array::text("v0.6.1")),
        ("data_normalization_factor", f64_scalar(FILTER_GAIN)),
        ("experiment_comment", Array::text("synthetic")),
        ("experiment_id", Array::i16s(&[], &[options.cpid])),
        ("experiment_name", Array::text("Normalscan")),
        ("first_range", Array::f32s(&[], &[180.0])),
        ("first_range_rtt", Array::f32s(&[], &[1200.8307])),
        ("freq", u32_scalar(10_500)),
        ("gps_locked", Array::u8s(&[], &[1])),
        ("gps_to_system_time_diff", f64_scalar(-0.00231)),
        ("int_time", Array::f32s(&[], &[record.int_time])),
        ("intf_antenna_count", u32_scalar(INTF_ANTENNAS)),
        ("lp_status_word", u32_scalar(0)),
        ("main_antenna_count", u32_scalar(MAIN_ANTENNAS)),
        ("num_sequences", Array::i64s(&[], &[sequences])),
        ("num_slices", Array::i64s(&[], &[1])),
        ("range_sep", Array::f32s(&[], &[44.96887])),
        ("rx_sample_rate", f64_scalar(10_000.0 / 3.0)),
        ("samples_data_type", Array::text("complex float")),
        ("scan_start_marker", Array::u8s(&[], &[record.scan_start.into()])),
        ("scheduling_mode", Array::text("common")),
        ("slice_comment", Array::text("")),
        ("slice_id", u32_scalar(options.slice)),
        ("slice_interfacing", Array::text("{}")),
        ("station", Array::text(&options.station)),
        ("tau_spacing", u32_scalar(2400)),
        ("tx_pulse_len", u32_scalar(300)),
    ]
}
