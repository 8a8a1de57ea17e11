//! A Borealis record as DMAP records, one per beam: rawacf as RAWACF, bfiq as IQDAT.
//!
//! All arithmetic is in 64 bits; correlations are rounded once to 32, samples cut to 16.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use thalweg_formats::borealis::{Bfiq, Header, Rawacf, RecordType, Version, micros as micros_of};
use thalweg_formats::dmap::{self, Elements, RecordBuilder, Scalar};

use crate::error::Error;

/// What is the same for all records of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings<'a> {
    /// The file, for errors.
    pub(super) path: &'a Path,
    pub(super) version: &'a Version,
    /// Name that is written into the comment.
    pub(super) source_name: &'a str,
    pub(super) station: i16,
    /// Slice to use when the record does not say.
    pub(super) slice: Option<i16>,
    pub(super) scaling: f64,
    /// Give what the reference software gives, its faults included.
    pub(super) compat: bool,
}

/// Room that is used again for each record.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    floats: Vec<f32>,
    power: Vec<f32>,
    ranges: Vec<i16>,
    pairs: Vec<i16>,
    samples: Vec<i16>,
}

/// A record that DMAP has a form for.
pub(super) trait Convert: RecordType {
    fn header(&self) -> &Header;

    /// Appends the DMAP records of all beams to `out`; returns how many.
    ///
    /// # Errors
    /// Fails if a value does not fit its field or one that is needed is missing.
    fn append(&self, settings: &Settings<'_>, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<usize, Error>;
}

struct Beam<'a, 'b> {
    settings: &'a Settings<'a>,
    record: &'a Header,
    out: RecordBuilder<'b>,
}

impl Beam<'_, '_> {
    fn unfit(&self, field: &'static str, value: impl ToString) -> Error {
        let (path, record) = (self.settings.path.to_owned(), self.record.name.clone());
        Error::OutOfRange { path, record, field, value: value.to_string() }
    }

    fn put(&mut self, field: &'static str, value: Scalar) -> Result<(), Error> {
        self.out.scalar(field, &value).map_err(|source| self.unwritable(source))
    }

    fn unwritable(&self, source: dmap::Error) -> Error {
        Error::WriteDmap { path: self.settings.path.to_owned(), source: Box::new(source) }
    }

    fn char(&mut self, field: &'static str, value: i8) -> Result<(), Error> {
        self.put(field, Scalar::Char(value))
    }

    fn short(&mut self, field: &'static str, value: i64) -> Result<(), Error> {
        let value = i16::try_from(value).map_err(|_| self.unfit(field, value))?;
        self.put(field, Scalar::Short(value))
    }

    fn length(&mut self, field: &'static str, value: usize) -> Result<(), Error> {
        self.short(field, i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// Puts a float without its fraction.
    fn cut(&mut self, field: &'static str, value: f64) -> Result<(), Error> {
        match whole(value.trunc()) {
            Some(cut) => self.short(field, cut),
            None => Err(self.unfit(field, value)),
        }
    }

    fn int(&mut self, field: &'static str, value: i32) -> Result<(), Error> {
        self.put(field, Scalar::Int(value))
    }

    fn float(&mut self, field: &'static str, value: f32) -> Result<(), Error> {
        self.put(field, Scalar::Float(value))
    }

    fn vector(&mut self, field: &'static str, shape: &[usize], data: Elements) -> Result<(), Error> {
        self.out.vector(field, shape, &data).map_err(|source| self.unwritable(source))
    }

    fn finish(self) -> Result<(), Error> {
        let path = self.settings.path;
        self.out.finish().map_err(|source| Error::WriteDmap { path: path.to_owned(), source: Box::new(source) })
    }

    fn text(&mut self, field: &'static str, value: String) -> Result<(), Error> {
        self.put(field, Scalar::Text(value))
    }
}

/// Returns a whole float as a number if it is small enough for any field.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(value: f64) -> Option<i64> {
    (value.abs() < 2e9).then_some(value as i64)
}

#[expect(clippy::cast_possible_truncation, reason = "rounding once to 32 bits is what is asked for")]
fn round(value: f64) -> f32 {
    value as f32
}

fn civil(micros: i64) -> Option<DateTime> {
    Timestamp::from_microsecond(micros).ok().map(|instant| TimeZone::UTC.to_datetime(instant))
}

/// Tells which antennas transmitted: bit i for antenna i, modulo 16 bits.
fn antennas(weights: &[[f32; 2]]) -> i16 {
    let mut bits = 0_u16;
    for (n, [re, im]) in weights.iter().take(16).enumerate() {
        bits |= u16::from(re.hypot(*im) > 0.0) << n;
    }
    bits.cast_signed()
}

impl Convert for Rawacf {
    fn header(&self) -> &Header {
        &self.header
    }

    fn append(&self, settings: &Settings<'_>, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<usize, Error> {
        let [beams, ranges, _] = self.dims;
        for beam in 0..beams {
            let mut w = Beam { settings, record: &self.header, out: RecordBuilder::new(out) };
            let version = settings.version;
            let transmitting = match (&self.header.tx_weights, version.is_v1() || version.minor >= 7) {
                (_, false) => -1,
                (Some(weights), true) => antennas(weights),
                (None, true) => {
                    let field = if version.is_v1() { "tx_excitations" } else { "tx_antenna_phases" };
                    let (path, record) = (settings.path.to_owned(), self.header.name.clone());
                    return Err(Error::Needed { path, record, field });
                }
            };
            common(&mut w, beam, Common { transmitting, ranges, cross: self.xcfs.is_some() })?;
            w.int("rawacf.revision.major", 1)?;
            w.int("rawacf.revision.minor", 0)?;
            w.text("combf", comment(settings, &self.header, beams))?;
            w.float("thr", 0.0)?;
            correlations(&mut w, self, beam, scratch)?;
            w.finish()?;
        }
        Ok(beams)
    }
}

impl Convert for Bfiq {
    fn header(&self) -> &Header {
        &self.header
    }

    fn append(&self, settings: &Settings<'_>, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<usize, Error> {
        let [arrays, sequences, beams, samples] = self.dims;
        let header = &self.header;
        if self.pulse_phases.iter().any(|phase| *phase != 0.0) {
            let (path, record) = (settings.path.to_owned(), header.name.clone());
            return Err(Error::PhaseCodes { path, record });
        }
        let version = settings.version;
        // The reference compares text with bytes there, and finds no interferometer.
        let blind = settings.compat && (version.is_v1() || version.minor >= 7);
        let cross = !blind && self.arrays.iter().any(|array| array == "intf");
        for beam in 0..beams {
            let mut w = Beam { settings, record: header, out: RecordBuilder::new(out) };
            let ranges = usize::try_from(self.num_ranges).map_err(|_| w.unfit("nrang", self.num_ranges))?;
            common(&mut w, beam, Common { transmitting: -1, ranges, cross })?;
            w.text("combf", comment(settings, header, beams))?;
            w.int("iqdata.revision.major", 1)?;
            w.int("iqdata.revision.minor", 0)?;
            let count = |w: &Beam<'_, '_>, field, n: usize| i32::try_from(n).map_err(|_| w.unfit(field, n));
            for (field, n) in [("seqnum", sequences), ("chnnum", arrays), ("smpnum", samples)] {
                let n = count(&w, field, n)?;
                w.int(field, n)?;
            }
            let skipped = whole(f64::from(header.first_range / header.range_sep).trunc());
            let skipped = skipped.and_then(|skipped| i32::try_from(skipped).ok());
            w.int("skpnum", skipped.ok_or_else(|| w.unfit("skpnum", header.first_range))?)?;
            iq_vectors(&mut w, self, beam, scratch)?;
            w.finish()?;
        }
        Ok(beams)
    }
}

/// What differs between the kinds, of the scalars that both have.
struct Common {
    transmitting: i16,
    ranges: usize,
    cross: bool,
}

fn common(w: &mut Beam<'_, '_>, beam: usize, of: Common) -> Result<(), Error> {
    let (settings, record) = (w.settings, w.record);
    let version = settings.version;
    let micros = record.start_micros();
    let start = civil(micros).ok_or_else(|| w.unfit("time.yr", micros))?;
    let channel = match (record.slice_id, settings.slice) {
        (Some(slice), _) => slice,
        (None, Some(slice)) => slice.into(),
        (None, None) => return Err(Error::NoSlice { path: settings.path.to_owned() }),
    };
    let revision = |number: u8| i8::try_from(number).unwrap_or(-1);
    let int_time = record.int_time;

    w.char("radar.revision.major", revision(version.major))?;
    w.char("radar.revision.minor", revision(version.minor))?;
    w.char("origin.code", 100)?;
    w.text("origin.time", start.strftime("%a %b %e %H:%M:%S %Y").to_string())?;
    w.text("origin.command", format!("Borealis {} {}", record.git_hash, record.experiment_name))?;
    w.short("cp", record.experiment_id)?;
    w.short("stid", settings.station.into())?;
    w.short("time.yr", start.year().into())?;
    w.short("time.mo", start.month().into())?;
    w.short("time.dy", start.day().into())?;
    w.short("time.hr", start.hour().into())?;
    w.short("time.mt", start.minute().into())?;
    w.short("time.sc", start.second().into())?;
    w.int("time.us", start.subsec_nanosecond() / 1000)?;
    w.short("txpow", of.transmitting.into())?;
    w.short("nave", record.num_sequences)?;
    w.short("atten", 0)?;
    w.cut("lagfr", record.first_range_rtt.into())?;
    w.cut("smsep", 1e6 / record.rx_sample_rate)?;
    w.short("ercod", 0)?;
    w.short("stat.agc", record.agc_status_word)?;
    w.short("stat.lopwr", record.lp_status_word)?;
    let noise = record.noise.as_ref().and_then(|noise| noise.first().copied());
    w.float("noise.search", round(noise.unwrap_or(0.0)))?;
    w.float("noise.mean", 0.0)?;
    w.short("channel", channel)?;
    w.short("bmnum", record.beam_nums[beam])?;
    w.float("bmazm", round(record.beam_azms[beam]))?;
    w.short("scan", record.scan_start.into())?;
    w.short("offset", 0)?;
    w.short("rxrise", 0)?;
    w.cut("intt.sc", int_time.floor().into())?;
    let rest = whole(f64::from((int_time % 1.0) * 1e6).trunc()).and_then(|micros| i32::try_from(micros).ok());
    let rest = rest.ok_or_else(|| w.unfit("intt.us", int_time))?;
    w.int("intt.us", rest)?;
    w.short("txpl", record.tx_pulse_len)?;
    w.short("mpinc", record.tau_spacing)?;
    w.length("mppul", record.pulses.len())?;
    w.length("mplgs", record.lag_pulses.len().saturating_sub(1))?;
    w.length("nrang", of.ranges)?;
    w.cut("frang", record.first_range.round_ties_even().into())?;
    w.cut("rsep", record.range_sep.round_ties_even().into())?;
    w.short("xcf", of.cross.into())?;
    w.short("tfreq", record.freq)?;
    w.int("mxpwr", -1)?;
    w.int("lvmax", 20000)
}

fn comment(settings: &Settings<'_>, record: &Header, beams: usize) -> String {
    let detail = if settings.version.is_v1() {
        String::new()
    } else {
        format!(" record {} with scaling factor = {}", record.name, settings.scaling)
    };
    format!(
        "Converted from Borealis file: {}{detail} ; Number of beams in record: {beams} ; {} ; {}",
        settings.source_name, record.experiment_comment, record.slice_comment
    )
}

/// The tables of pulses and lags.
fn tables(w: &mut Beam<'_, '_>, scratch: &mut Scratch) -> Result<(), Error> {
    let record = w.record;
    let lags = record.lag_pulses.len();
    shorts(w, "ptab", &mut scratch.pairs, record.pulses.iter().copied(), &[record.pulses.len()])?;
    shorts(w, "ltab", &mut scratch.pairs, record.lag_pulses.iter().flatten().copied(), &[lags, 2])
}

fn correlations(w: &mut Beam<'_, '_>, record: &Rawacf, beam: usize, scratch: &mut Scratch) -> Result<(), Error> {
    let settings = w.settings;
    let [_, ranges, lags] = record.dims;
    let scaling = if settings.version.is_v1() { 1.0 } else { settings.scaling };
    let factor = record.header.data_normalization_factor;
    let k = 32767.0 * 32767.0 * scaling / (factor * factor);

    tables(w, scratch)?;
    let plane = ranges * lags;
    let acfs = &record.main_acfs[beam * plane..][..plane];
    scratch.power.clear();
    let lag0 = acfs.iter().step_by(lags);
    scratch.power.extend(lag0.map(|[re, im]| round((f64::from(*re) * k).hypot(f64::from(*im) * k))));
    w.out.floats("pwr0", &[ranges], &scratch.power).map_err(|source| w.unwritable(source))?;

    if i16::try_from(ranges).is_err() {
        return Err(w.unfit("nrang", ranges));
    }
    scratch.ranges.clear();
    scratch.ranges.extend((0_i16..).take(ranges));
    w.out.shorts("slist", &[ranges], &scratch.ranges).map_err(|source| w.unwritable(source))?;

    let mut correlations = |name: &str, values: &[[f32; 2]]| {
        scratch.floats.clear();
        scratch.floats.reserve(ranges * (lags - 1) * 2);
        for range in values.chunks_exact(lags) {
            // The alternate lag 0 is left out.
            let kept = range[..lags - 1].as_flattened();
            scratch.floats.extend(kept.iter().map(|value| round(f64::from(*value) * k)));
        }
        w.out.floats(name, &[ranges, lags - 1, 2], &scratch.floats)
    };
    let result = correlations("acfd", acfs);
    let result = match &record.xcfs {
        Some(xcfs) => result.and_then(|()| correlations("xcfd", &xcfs[beam * plane..][..plane])),
        None => result,
    };
    result.map_err(|source| w.unwritable(source))
}

/// Times and places of the sequences, and the samples: for each sequence one array after the other.
fn iq_vectors(w: &mut Beam<'_, '_>, record: &Bfiq, beam: usize, scratch: &mut Scratch) -> Result<(), Error> {
    let (settings, header) = (w.settings, w.record);
    let [arrays, sequences, beams, samples] = record.dims;
    tables(w, scratch)?;
    let mut seconds = Vec::with_capacity(sequences);
    let mut rest = Vec::with_capacity(sequences);
    for time in &header.sqn_timestamps {
        let (second, micros) = if settings.compat {
            // The reference takes seconds for milliseconds.
            (whole((time / 1000.0).floor()), whole(((time % 1000.0) * 1000.0).trunc()))
        } else {
            let micros = micros_of(*time);
            (Some(micros.div_euclid(1_000_000)), Some(micros.rem_euclid(1_000_000)))
        };
        let fit = |value: Option<i64>| value.and_then(|value| i32::try_from(value).ok());
        seconds.push(fit(second).ok_or_else(|| w.unfit("tsc", time))?);
        rest.push(fit(micros).ok_or_else(|| w.unfit("tus", time))?);
    }
    let noise: Vec<f32> = match &header.noise {
        Some(noise) => noise.iter().copied().map(round).collect(),
        None => vec![0.0; sequences],
    };
    let width = 2 * arrays * samples;
    let total = width.checked_mul(sequences).and_then(|total| i32::try_from(total).ok());
    let total = total.ok_or_else(|| w.unfit("toff", width))?;
    let width = i32::try_from(width).map_err(|_| w.unfit("tsze", width))?;
    let offsets: Vec<i32> = (0..total).step_by(usize::try_from(width).unwrap_or(1).max(1)).collect();
    let each = [sequences];
    w.vector("tsc", &each, Elements::Int(seconds))?;
    w.vector("tus", &each, Elements::Int(rest))?;
    w.vector("tatten", &each, Elements::Short(vec![0; sequences]))?;
    w.vector("tnoise", &each, Elements::Float(noise))?;
    w.vector("toff", &each, Elements::Int(offsets))?;
    w.vector("tsze", &each, Elements::Int(vec![width; sequences]))?;

    let scaling = if settings.version.is_v1() { 1.0 } else { settings.scaling };
    let factor = header.data_normalization_factor;
    scratch.samples.clear();
    for sequence in 0..sequences {
        for array in 0..arrays {
            let from = ((array * sequences + sequence) * beams + beam) * samples;
            let values = record.data[from..][..samples].as_flattened();
            scratch
                .samples
                .extend(values.iter().map(|value| cut_sample(f64::from(*value) / factor * 32767.0 * scaling)));
        }
    }
    let length = scratch.samples.len();
    w.out.shorts("data", &[length], &scratch.samples).map_err(|source| w.unwritable(source))
}

#[expect(clippy::cast_possible_truncation, reason = "the range is limited before, and the fraction is to go")]
fn cut_sample(value: f64) -> i16 {
    value.clamp(-32768.0, 32767.0) as i16
}

fn shorts(
    w: &mut Beam<'_, '_>,
    field: &'static str,
    scratch: &mut Vec<i16>,
    values: impl Iterator<Item = i64>,
    shape: &[usize],
) -> Result<(), Error> {
    scratch.clear();
    for value in values {
        scratch.push(i16::try_from(value).map_err(|_| w.unfit(field, value))?);
    }
    w.out.shorts(field, shape, scratch).map_err(|source| w.unwritable(source))
}
