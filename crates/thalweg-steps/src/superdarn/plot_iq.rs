//! `superdarn plot-iq`: one picture for each antenna, power of its samples against sequence and sample number.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use thalweg_formats::borealis::{self, AntennasFile, AntennasRecord, Outcome, micros};

use crate::context::VerbContext;
use crate::error::Error;
use crate::image::{Heatmap, Panel, encode, write};

/// Columns of colours: no picture is wider.
const COLUMNS: usize = 2000;

/// Which of the two pictures that are known in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IqStyle {
    /// Since Borealis v1.0: 20 log10 of the magnitude; above it the number of sequences of each record.
    #[default]
    G2,
    /// Before: 10 log10; above it the signal to noise ratio of each sequence.
    G1,
}

/// Numbers of antennas, `0-15,18`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Antennas(Vec<(u32, u32)>);

/// A text that says no numbers of antennas.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} says no numbers of antennas")]
pub struct BadAntennas(String);

impl FromStr for Antennas {
    type Err = BadAntennas;

    fn from_str(text: &str) -> Result<Self, BadAntennas> {
        let number = |part: &str| part.trim().parse::<u32>().map_err(|_| BadAntennas(text.to_owned()));
        let mut all = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if last < first || last > 9999 {
                return Err(BadAntennas(text.to_owned()));
            }
            all.push((first, last));
        }
        Ok(Self(all))
    }
}

impl fmt::Display for Antennas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.0.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}

impl Antennas {
    fn names(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(first, last)| (*first..=*last).map(|number| format!("antenna_{number}")))
    }
}

/// Options of [`plot_iq`].
#[derive(Debug, Clone, PartialEq)]
pub struct PlotIqOptions {
    /// Which antennas; all of the file if not given.
    pub antennas: Option<Antennas>,
    /// First and last sample of a sequence.
    pub samples: (usize, usize),
    /// Powers of the lowest and the highest colour, dB.
    pub power: (f32, f32),
    /// Which picture.
    pub style: IqStyle,
    /// Pixels from left to right.
    pub width: u32,
    /// Quality of the JPEG, 1 to 100.
    pub quality: u8,
    /// Replaces pictures that exist.
    pub force: bool,
}

impl Default for PlotIqOptions {
    fn default() -> Self {
        Self {
            antennas: None,
            samples: (0, 70),
            power: (10.0, 40.0),
            style: IqStyle::G2,
            width: 1000,
            quality: 82,
            force: false,
        }
    }
}

/// What [`plot_iq`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PlotIqSummary {
    /// The pictures.
    pub pictures: Vec<PathBuf>,
    /// Records of the file.
    pub records: u64,
    /// Sequences drawn.
    pub sequences: u64,
    /// What was left out, or odd.
    pub warnings: Vec<String>,
}

/// Draws a picture for each antenna of a file into `folder`.
///
/// Names are the first six parts of the file's name, the antenna, and the first and last sample:
/// `20240101.0000.00.sas.0.antennas_iq.antenna_3_0_70.jpg`. Of the file no more is read than is drawn, record by record. An antenna that is asked for and not in
/// the file is left out, and told; so is a bad record.
///
/// # Errors
/// Data: the file is bad or holds no samples of antennas. Refused: a picture exists.
pub fn plot_iq(
    input: &Path,
    folder: &Path,
    options: &PlotIqOptions,
    context: &VerbContext,
) -> Result<PlotIqSummary, Error> {
    plot(input, folder, options, context).map_err(|error| context.failure(error))
}

fn plot(input: &Path, folder: &Path, options: &PlotIqOptions, context: &VerbContext) -> Result<PlotIqSummary, Error> {
    let bad_file = |source: borealis::Error| Error::Borealis { path: input.to_owned(), source: Box::new(source) };
    let mut summary = PlotIqSummary::default();
    // The first pass counts sequences, from which the width of a column follows.
    let mut file = AntennasFile::open(input).map_err(bad_file)?;
    let mut about: Option<AntennasRecord> = None;
    let mut starts: Vec<(u64, usize)> = Vec::new();
    let mut last = 0.0;
    while let Some(outcome) = file.next_record().map_err(bad_file)? {
        match outcome {
            Outcome::Good(record) => {
                starts.push((summary.sequences, record.times.len()));
                summary.sequences += record.times.len() as u64;
                last = record.times.last().copied().unwrap_or(last);
                about.get_or_insert(*record);
            }
            Outcome::Bad(problem) => {
                let message = format!("{}: left out {problem}", input.display());
                context.warning(message.clone());
                summary.warnings.push(message);
            }
        }
        summary.records += 1;
    }
    let about = about.filter(|_| summary.sequences > 0);
    let about = about.ok_or_else(|| Error::NoRecords { path: input.to_owned() })?;
    let wanted: Vec<String> = match &options.antennas {
        Some(antennas) => antennas.names().collect(),
        None => about.antennas.clone(),
    };
    let mut antennas = Vec::new();
    for name in wanted {
        match about.antennas.iter().position(|antenna| *antenna == name) {
            Some(place) => antennas.push((place, name)),
            None => {
                let message = format!("{}: {name} is not in the file", input.display());
                context.warning(message.clone());
                summary.warnings.push(message);
            }
        }
    }
    let (from, to) = (options.samples.0, options.samples.1.min(about.samples.saturating_sub(1)));
    if antennas.is_empty() || from > to {
        return Err(Error::NothingToDraw { path: input.to_owned() });
    }

    let total = usize::try_from(summary.sequences).unwrap_or(usize::MAX);
    let mut drawings: Vec<Drawing> = antennas.iter().map(|_| Drawing::new(total, to - from + 1)).collect();
    let places: Vec<usize> = antennas.iter().map(|(place, _)| *place).collect();
    let mut file = AntennasFile::open(input).map_err(bad_file)?;
    let mut done = 0;
    let mut sequence = 0;
    while let Some(outcome) = file.next_record().map_err(bad_file)? {
        done += 1;
        let Outcome::Good(record) = outcome else { continue };
        let same = record.antennas == about.antennas && record.samples == about.samples;
        let read = if same { file.samples(&record, &places).map_err(bad_file)? } else { Vec::new() };
        for (drawing, samples) in drawings.iter_mut().zip(&read) {
            for (n, samples) in samples.chunks_exact(record.samples).enumerate() {
                drawing.add(sequence + n, samples, from..=to, options.style);
            }
        }
        sequence += record.times.len();
        context.progress(done, Some(summary.records), "records");
    }

    let base = input.file_name().unwrap_or_default().to_string_lossy();
    let base: Vec<&str> = base.split('.').take(6).collect();
    let base = base.join(".");
    let span = (about.times.first().copied().unwrap_or_default(), last);
    for ((_, name), drawing) in antennas.iter().zip(drawings) {
        let map = drawing.heatmap(&about, name, span, (from, to), &starts, options);
        let (width, height) = match options.style {
            IqStyle::G2 => (options.width, options.width * 10 / 12),
            IqStyle::G1 => (options.width, options.width / 2),
        };
        let path = folder.join(format!("{base}.{name}_{}_{}.jpg", options.samples.0, options.samples.1));
        write(&encode(&map.draw(width, height)?, &path, options.quality)?, &path, &[input.to_owned()], options.force)?;
        summary.pictures.push(path);
    }
    context.count("pictures", summary.pictures.len() as u64);
    Ok(summary)
}

/// The picture of one antenna as it grows: mean power of the sequences that fall into a column.
struct Drawing {
    sequences: usize,
    columns: usize,
    rows: usize,
    sums: Vec<f32>,
    counts: Vec<u32>,
    /// G1: highest signal to noise ratio of a sequence in the column, dB.
    ratios: Vec<f32>,
}

impl Drawing {
    fn new(sequences: usize, rows: usize) -> Self {
        let columns = sequences.min(COLUMNS);
        Self {
            sequences,
            columns,
            rows,
            sums: vec![0.0; columns * rows],
            counts: vec![0; columns],
            ratios: vec![f32::NAN; columns],
        }
    }

    fn add(&mut self, sequence: usize, samples: &[[f32; 2]], drawn: std::ops::RangeInclusive<usize>, style: IqStyle) {
        let column = sequence * self.columns / self.sequences;
        let Some(sums) = self.sums.get_mut(column * self.rows..(column + 1) * self.rows) else { return };
        let factor = if style == IqStyle::G2 { 20.0 } else { 10.0 };
        let power = |[re, im]: &[f32; 2]| factor * re.hypot(*im).log10();
        for (sum, sample) in sums.iter_mut().zip(&samples[drawn]) {
            *sum += power(sample);
        }
        self.counts[column] += 1;
        if style == IqStyle::G1 {
            let ratio = signal_to_noise(&samples.iter().map(power).collect::<Vec<f32>>());
            self.ratios[column] = self.ratios[column].max(ratio);
        }
    }

    fn heatmap(
        self,
        about: &AntennasRecord,
        antenna: &str,
        span: (f64, f64),
        samples: (usize, usize),
        starts: &[(u64, usize)],
        options: &PlotIqOptions,
    ) -> Heatmap {
        #![expect(clippy::cast_precision_loss, reason = "numbers of sequences and samples are small")]
        let mut cells = self.sums;
        for (column, count) in self.counts.iter().enumerate() {
            for cell in &mut cells[column * self.rows..(column + 1) * self.rows] {
                *cell = if *count > 0 { *cell / *count as f32 } else { f32::NAN };
            }
        }
        let x = (-0.5, self.sequences as f64 + 0.5);
        let (first, last) = (time(span.0), time(span.1));
        let (title, panel, x_label, bar_label) = match options.style {
            IqStyle::G2 => (
                format!(
                    "{} - {}: {antenna} Power - {first} to {last} UTC",
                    about.station.to_uppercase(),
                    about.experiment_name
                ),
                Panel {
                    label: "# sequences",
                    points: starts.iter().map(|(start, count)| (*start as f64, *count as f64)).collect(),
                    from_zero: true,
                },
                "Sequence number",
                "Power (dB)",
            ),
            IqStyle::G1 => {
                let width = self.sequences as f64 / self.columns as f64;
                let ratios = self.ratios.iter().enumerate().filter(|(_, ratio)| ratio.is_finite());
                (
                    format!("{antenna} Raw Power Sequence Time {first} to {last} UT vs Range"),
                    Panel {
                        label: "Max SNR in sequence",
                        points: ratios.map(|(n, ratio)| (n as f64 * width, f64::from(*ratio))).collect(),
                        from_zero: false,
                    },
                    "Sequence number (spans time)",
                    "Raw Power (dB)",
                )
            }
        };
        let (panel_height, bar_width) = if options.style == IqStyle::G2 { (0.2, 0.03) } else { (0.25, 0.05) };
        Heatmap {
            title,
            x_label,
            y_label: "Sample number (Range)",
            bar_label,
            x,
            y: (samples.0 as f64 - 0.5, samples.1 as f64 + 0.5),
            limits: options.power,
            columns: self.columns,
            cells,
            panel: Some(panel),
            panel_height,
            bar_width,
            times: false,
        }
    }
}

/// Returns the highest power from the third sample on over the mean of the ten weakest, dB.
fn signal_to_noise(power: &[f32]) -> f32 {
    let highest = power.iter().skip(2).copied().fold(f32::MIN, f32::max);
    let mut sorted = power.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    sorted.truncate(10);
    #[expect(clippy::cast_precision_loss, reason = "at most 10")]
    let mean = sorted.iter().sum::<f32>() / sorted.len().max(1) as f32;
    highest - mean
}

fn time(seconds: f64) -> String {
    let instant = Timestamp::from_microsecond(micros(seconds)).unwrap_or(Timestamp::UNIX_EPOCH);
    TimeZone::UTC.to_datetime(instant).strftime("%Y%m%d %H:%M:%S").to_string()
}
