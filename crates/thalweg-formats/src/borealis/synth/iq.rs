//! Made-up files of samples, v0.6 in site layout.

use std::path::Path;

use super::{Dice, FILTER_GAIN, INTF_ANTENNAS, MAIN_ANTENNAS, PULSES, Period, SynthLayout, SynthOptions};
use super::{blanked, lag_table, narrow, pairs, period, site_attributes, u32_scalar};
use crate::borealis::FileKind;
use crate::hdf5::{Array, Error, FileWriter, Storage};

/// Writes a file of beam-formed samples (`*.bfiq.hdf5.site`) or of samples of antennas (`*.antennas_iq.hdf5.site`), with
/// so many samples in a sequence. It is complete only when this returns.
///
/// # Errors
/// Fails if the file cannot be written, or for another kind.
pub fn write_iq(path: &Path, kind: FileKind, options: &SynthOptions, samples: usize) -> Result<(), Error> {
    let channels: Vec<String> = match kind {
        FileKind::Bfiq => vec!["main".to_owned(), "intf".to_owned()],
        FileKind::AntennasIq => (0..MAIN_ANTENNAS + INTF_ANTENNAS).map(|n| format!("antenna_{n}")).collect(),
        other => {
            let (name, message) = (path.display().to_string(), format!("{other} files are not made up"));
            return Err(Error::Write { name, message });
        }
    };
    let file = FileWriter::create(path)?;
    let table = lag_table(options.lags);
    // Only what they are about is taken of the correlations.
    let empty = SynthOptions { ranges: 0, ..options.clone() };
    for n in 0..options.records {
        let record = period(&empty, SynthLayout::SiteV06, &table, n);
        let group = file.group(&record.name)?;
        let left_out: &[&str] = match kind {
            FileKind::Bfiq => &["averaging_method"],
            _ => &["averaging_method", "first_range", "first_range_rtt", "range_sep"],
        };
        for (name, value) in site_attributes(options, &record).iter().filter(|(name, _)| !left_out.contains(name)) {
            group.attribute(name, value)?;
        }
        group.attribute("num_samps", &u32_scalar(u32::try_from(samples).unwrap_or(u32::MAX)))?;
        if kind == FileKind::Bfiq {
            group.attribute("num_ranges", &u32_scalar(u32::try_from(options.ranges).unwrap_or(u32::MAX)))?;
            group.dataset("lags", &pairs(&table), &Storage::Contiguous, &[])?;
        }
        let sequences = record.times.len();
        let dims: &[usize] = match kind {
            FileKind::Bfiq => &[channels.len(), sequences, 1, samples],
            _ => &[channels.len(), sequences, samples],
        };
        let stored: Vec<u32> = dims.iter().map(|dim| u32::try_from(*dim).unwrap_or(u32::MAX)).collect();
        let data = noise_and_echoes(options.seed, n, &record, channels.len(), samples);
        let blanked = blanked();
        let phases = vec![0.0; sequences * PULSES.len()];
        let datasets = [
            ("beam_azms", Array::f64s(&[1], &[record.azimuth])),
            ("beam_nums", Array::u32s(&[1], &[record.beam])),
            ("blanked_samples", Array::u32s(&[blanked.len()], &blanked)),
            ("data", Array::complexes(&[data.len()], &data)),
            ("data_dimensions", Array::u32s(&[stored.len()], &stored)),
            ("noise_at_freq", Array::f64s(&[sequences], &vec![0.0; sequences])),
            ("pulse_phase_offset", Array::f32s(&[sequences, PULSES.len()], &phases)),
            ("pulses", Array::u32s(&[PULSES.len()], &PULSES)),
            ("sqn_timestamps", Array::f64s(&[sequences], &record.times)),
        ];
        for (name, value) in &datasets {
            group.dataset(name, value, &Storage::Contiguous, &[])?;
        }
        let names: Vec<&str> = channels.iter().map(String::as_str).collect();
        super::characters(&group, "antenna_arrays_order", &names)?;
        let words: &[&str] = match kind {
            FileKind::Bfiq => &["num_antenna_arrays", "num_sequences", "num_beams", "num_samps"],
            _ => &["num_antennas", "num_sequences", "num_samps"],
        };
        super::characters(&group, "data_descriptors", words)?;
    }
    file.close()
}

/// Returns samples `[channel, sequence, sample]`: noise, two patches of echoes, and the pulses that are heard as they leave.
#[expect(clippy::cast_precision_loss, reason = "numbers here are small")]
fn noise_and_echoes(seed: u64, n: usize, record: &Period, channels: usize, samples: usize) -> Vec<[f32; 2]> {
    let mut dice = Dice(seed ^ (n as u64).wrapping_mul(0x9e6c_63d0_876a_3f6b));
    let (near, far) = (12.0 + 10.0 * dice.unit(), 40.0 + 15.0 * dice.unit());
    let unit = FILTER_GAIN / 32767.0;
    let mut data = Vec::with_capacity(channels * record.times.len() * samples);
    for channel in 0..channels {
        for sequence in 0..record.times.len() {
            for sample in 0..samples {
                let bump = |center: f64, width: f64| (-((sample as f64 - center) / width).powi(2)).exp();
                let leaving = if sample < 2 { 300.0 } else { 0.0 };
                let size = leaving + 40.0 * bump(near, 4.0) + 12.0 * bump(far, 9.0);
                let angle = 0.3 * channel as f64 + 0.2 * sequence as f64 + 0.05 * sample as f64;
                let jitter = [dice.unit() - 0.5, dice.unit() - 0.5];
                data.push(narrow([
                    (size * angle.cos() + 3.0 * jitter[0]) * unit,
                    (size * angle.sin() + 3.0 * jitter[1]) * unit,
                ]));
            }
        }
    }
    data
}
