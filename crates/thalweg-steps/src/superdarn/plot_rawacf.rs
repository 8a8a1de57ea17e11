//! `superdarn plot-rawacf`: a quick look, lag-0 power against range and time, one picture for each beam.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thalweg_formats::borealis::{self, Outcome, RawacfFile};
use thalweg_formats::dmap::{self, FieldRef, Head, Kind, Reader};

use crate::context::VerbContext;
use crate::error::Error;
use crate::image::{Heatmap, encode, write};

/// Columns of colours.
const COLUMNS: usize = 1000;

/// Options of [`plot_rawacf`].
#[derive(Debug, Clone, PartialEq)]
pub struct PlotRawacfOptions {
    /// Which beams; all of the file if empty.
    pub beams: Vec<i64>,
    /// Powers of the lowest and the highest colour, dB; from the values if not given.
    pub power: Option<(f32, f32)>,
    /// Pixels from left to right.
    pub width: u32,
    /// Replaces pictures that exist.
    pub force: bool,
}

impl Default for PlotRawacfOptions {
    fn default() -> Self {
        Self { beams: Vec::new(), power: None, width: 1000, force: false }
    }
}

/// What [`plot_rawacf`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PlotRawacfSummary {
    /// The pictures.
    pub pictures: Vec<PathBuf>,
    /// Records of single beams that were read.
    pub records: u64,
    /// What was left out, or odd.
    pub warnings: Vec<String>,
}

/// One look of one beam.
struct Look {
    /// s since 1970.
    time: f64,
    /// dB, by range gate.
    power: Vec<f32>,
}

/// Draws a picture for each beam of a Borealis rawacf file or a DMAP RAWACF file into `folder`.
///
/// Names are the file's without `.rawacf` and what follows it, and the beam: `20240101.0000.00.sas.0.beam_7.png`.
///
/// # Errors
/// Data: the file is bad or of another kind. Refused: a picture exists.
pub fn plot_rawacf(
    input: &Path,
    folder: &Path,
    options: &PlotRawacfOptions,
    context: &VerbContext,
) -> Result<PlotRawacfSummary, Error> {
    plot(input, folder, options, context).map_err(|error| context.failure(error))
}

fn plot(
    input: &Path,
    folder: &Path,
    options: &PlotRawacfOptions,
    context: &VerbContext,
) -> Result<PlotRawacfSummary, Error> {
    let mut summary = PlotRawacfSummary::default();
    let looks = read(input, &mut summary)?;
    for warning in &summary.warnings {
        context.warning(warning.clone());
    }
    let wanted = |beam: i64| options.beams.is_empty() || options.beams.contains(&beam);
    let looks: BTreeMap<i64, Vec<Look>> = looks.into_iter().filter(|(beam, _)| wanted(*beam)).collect();
    if looks.is_empty() {
        return Err(Error::NothingToDraw { path: input.to_owned() });
    }
    // The same colours in all pictures of a file.
    let limits = options.power.unwrap_or_else(|| usual(&looks));
    let times = || looks.values().flatten().map(|look| look.time);
    let span = (times().fold(f64::MAX, f64::min), times().fold(f64::MIN, f64::max));
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    let base = name.split(".rawacf").next().unwrap_or(&name).to_owned();
    for (beam, looks) in &looks {
        let map = heatmap(looks, span, limits, format!("{base}: beam {beam}, lag-0 power"));
        let path = folder.join(format!("{base}.beam_{beam}.png"));
        let picture = map.draw(options.width, options.width * 5 / 10)?;
        write(&encode(&picture, &path, 100)?, &path, &[input.to_owned()], options.force)?;
        summary.pictures.push(path);
    }
    context.count("pictures", summary.pictures.len() as u64);
    Ok(summary)
}

fn read(input: &Path, summary: &mut PlotRawacfSummary) -> Result<BTreeMap<i64, Vec<Look>>, Error> {
    let io = |source| Error::Io { action: "open", path: input.to_owned(), source };
    let mut head = Vec::new();
    File::open(input).map_err(io)?.take(4).read_to_end(&mut head).map_err(io)?;
    if head == b"\x89HDF" { read_borealis(input, summary) } else { read_dmap(input, summary) }
}

fn decibel(power: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "a colour needs no more")]
    let decibel = (10.0 * power.log10()) as f32;
    // No power has no colour.
    if decibel.is_finite() { decibel } else { f32::NAN }
}

fn read_borealis(input: &Path, summary: &mut PlotRawacfSummary) -> Result<BTreeMap<i64, Vec<Look>>, Error> {
    let bad_file = |source: borealis::Error| Error::Borealis { path: input.to_owned(), source: Box::new(source) };
    let mut file = RawacfFile::open(input, true).map_err(bad_file)?;
    let mut looks: BTreeMap<i64, Vec<Look>> = BTreeMap::new();
    while let Some(outcome) = file.next_record().map_err(bad_file)? {
        let record = match outcome {
            Outcome::Good(record) => record,
            Outcome::Bad(problem) => {
                summary.warnings.push(format!("{}: left out {problem}", input.display()));
                continue;
            }
        };
        let [_, ranges, lags] = record.dims;
        let factor = record.header.data_normalization_factor;
        let k = 32767.0 * 32767.0 / (factor * factor);
        for (beam, acfs) in record.header.beam_nums.iter().zip(record.main_acfs.chunks_exact(ranges * lags)) {
            let power = |[re, im]: &[f32; 2]| decibel((f64::from(*re) * k).hypot(f64::from(*im) * k));
            let power = acfs.iter().step_by(lags).map(power).collect();
            let time = record.header.sqn_timestamps.first().copied().unwrap_or_default();
            looks.entry(*beam).or_default().push(Look { time, power });
            summary.records += 1;
        }
    }
    Ok(looks)
}

fn read_dmap(input: &Path, summary: &mut PlotRawacfSummary) -> Result<BTreeMap<i64, Vec<Look>>, Error> {
    let bad_file = |source: dmap::Error| Error::Dmap { path: input.to_owned(), source: Box::new(source) };
    let file = File::open(input).map_err(|source| bad_file(dmap::Error::Open { path: input.to_owned(), source }))?;
    let mut reader = Reader::new(file).map_err(bad_file)?;
    let mut looks: BTreeMap<i64, Vec<Look>> = BTreeMap::new();
    while let Some(raw) = reader.next_raw().map_err(bad_file)? {
        let head = Head::of(&raw).map_err(bad_file)?;
        let mut power = None;
        for field in raw.fields().map_err(bad_file)? {
            let (name, field) = field.map_err(|fault| bad_file(raw.error(fault)))?;
            if let ("pwr0", FieldRef::Vector(vector)) = (name, field)
                && vector.kind == Kind::Float
            {
                let (values, _) = vector.bytes.as_chunks();
                power = Some(values.iter().map(|value| decibel(f32::from_le_bytes(*value).into())).collect());
                break;
            }
        }
        let (Some(beam), Some((start, _)), Some(power)) = (head.beam, head.times, power) else {
            summary.warnings.push(format!("{}: record {} has no beam, time or pwr0", input.display(), head.index));
            continue;
        };
        let time = start.as_duration().as_secs_f64();
        looks.entry(beam).or_default().push(Look { time, power });
        summary.records += 1;
    }
    Ok(looks)
}

/// Returns round limits around most of the values.
fn usual(looks: &BTreeMap<i64, Vec<Look>>) -> (f32, f32) {
    let mut all: Vec<f32> =
        looks.values().flatten().flat_map(|look| &look.power).copied().filter(|power| power.is_finite()).collect();
    all.sort_unstable_by(f32::total_cmp);
    let at = |share: usize| all.get((all.len() * share / 100).min(all.len().saturating_sub(1))).copied().unwrap_or(0.0);
    let (low, high) = ((at(2) / 5.0).floor() * 5.0, (at(98) / 5.0).ceil() * 5.0);
    (low, if high > low { high } else { low + 5.0 })
}

fn heatmap(looks: &[Look], span: (f64, f64), limits: (f32, f32), title: String) -> Heatmap {
    let rows = looks.iter().map(|look| look.power.len()).max().unwrap_or(0);
    // A look is drawn until the next of its beam, but not over a gap.
    let mut steps: Vec<f64> = looks.windows(2).map(|pair| pair[1].time - pair[0].time).collect();
    steps.sort_unstable_by(f64::total_cmp);
    let step = steps.get(steps.len() / 2).copied().filter(|step| *step > 0.0).unwrap_or(1.0);
    let (from, to) = (span.0, span.1 + step);
    #[expect(clippy::cast_precision_loss, reason = "a number of columns")]
    let width = (to - from) / COLUMNS as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "limited to the columns there are")]
    let column = |time: f64| ((time - from) / width).clamp(0.0, f64::from(u16::MAX)) as usize;
    let mut cells = vec![f32::NAN; COLUMNS * rows];
    for (n, look) in looks.iter().enumerate() {
        let next = looks.get(n + 1).map_or(look.time + step, |next| next.time.min(look.time + 2.5 * step));
        for column in column(look.time)..column(next).max(column(look.time) + 1).min(COLUMNS) {
            cells[column * rows..][..look.power.len()].copy_from_slice(&look.power);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of ranges")]
    let top = rows as f64 - 0.5;
    Heatmap {
        title,
        x_label: "Time (UTC)",
        y_label: "Range gate",
        bar_label: "Power (dB)",
        x: (from, to),
        y: (-0.5, top),
        limits,
        columns: COLUMNS,
        cells,
        panel: None,
        panel_height: 0.0,
        bar_width: 0.03,
        times: true,
    }
}
