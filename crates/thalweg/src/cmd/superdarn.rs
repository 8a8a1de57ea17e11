//! `superdarn`: to-dmap, restructure, clean, plot-iq, plot-rawacf.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use thalweg_steps::superdarn::{
    Antennas, IqStyle, PlotIqOptions, PlotRawacfOptions, RestructureOptions, ToDmapOptions, clean, plot_iq,
    plot_rawacf, restructure, to_dmap,
};

use super::dmap::{readable, verb_context};
use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::words::{count, size};

/// Works on the files of the SuperDARN radars
#[derive(Debug, Args)]
pub(crate) struct Superdarn {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Converts Borealis files of any version and layout into one DMAP file: rawacf into RAWACF, bfiq into IQDAT
    ///
    /// The output appears under its name when it is complete, and not at all if anything fails.
    #[command(
        after_help = "Examples:\n  thalweg superdarn to-dmap 20191106.0000.00.sas.0.rawacf.hdf5 -o 20191106.0000.00.sas.a.rawacf.bz2\n  thalweg superdarn to-dmap a.h5 b.h5 -o day.rawacf --station xyz=99\n  thalweg superdarn to-dmap 20191106.0000.00.sas.0.bfiq.hdf5 -o 20191106.0000.00.sas.a.iqdat\n  thalweg superdarn to-dmap old.hdf5 -o old.rawacf --slice 0 --lenient"
    )]
    ToDmap(ToDmap),
    /// Turns a site file (a group per record) into an array file (rows of datasets), or an array file into a site file
    ///
    /// One record is in memory at a time. The output appears under its name when it is complete, and not at all if anything
    /// fails.
    #[command(
        after_help = "Examples:\n  thalweg superdarn restructure 20191106.0000.00.sas.0.rawacf.hdf5.site -o 20191106.0000.00.sas.0.rawacf.hdf5\n  thalweg superdarn restructure x.antennas_iq.hdf5 -o x.antennas_iq.hdf5.site"
    )]
    Restructure {
        /// The Borealis file, v0.x
        #[arg(value_name = "IN")]
        input: PathBuf,
        /// The file in the other layout
        #[arg(short, long, value_name = "OUT")]
        output: PathBuf,
        /// Accept any type that loses nothing, and say so
        #[arg(long)]
        lenient: bool,
        /// Leave bad records out, and say so, instead of failing
        #[arg(long)]
        drop_bad_records: bool,
        /// Where array files have one value for all records, take the first record's although another differs, and say so
        #[arg(long)]
        accept_differing: bool,
        /// Replace the output if it exists
        #[arg(long)]
        force: bool,
    },
    /// Takes bad records out of site files, in place
    ///
    /// Bad is a record whose number of sequences disagrees with its time stamps. A new file takes the place of the old one
    /// when it is complete, with its mode, owner and time; a file without bad records is not touched.
    #[command(
        after_help = "Examples:\n  thalweg superdarn clean --dry-run *.hdf5.site\n  thalweg superdarn clean --fields 20191106.0000.00.sas.0.rawacf.hdf5.site"
    )]
    Clean {
        /// Site files, v0.x
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Also records with missing, extra or wrongly typed fields
        #[arg(long)]
        fields: bool,
        /// Say what would be taken out, and touch nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
    /// Draws the power of the samples of each antenna against sequence and sample number, a JPEG each
    ///
    /// The pictures are named by the first six parts of the file's name, the antenna and the samples:
    /// 20240101.0000.00.sas.0.antennas_iq.antenna_3_0_70.jpg. An antenna that is asked for and not in the file is left out,
    /// and told.
    #[command(
        after_help = "Examples:\n  thalweg superdarn plot-iq 20240101.0000.00.sas.0.antennas_iq.h5 -o plots\n  thalweg superdarn plot-iq x.hdf5.site -o . --antennas 0-15,18 --samples 0-140 --min-power 30 --max-power 80\n  thalweg superdarn plot-iq x.hdf5.site -o . --style g1"
    )]
    PlotIq {
        /// A Borealis antennas_iq file of any version and layout
        #[arg(value_name = "IN")]
        input: PathBuf,
        /// The folder of the pictures
        #[arg(short, long, value_name = "FOLDER")]
        output: PathBuf,
        /// Which antennas [default: all of the file]
        #[arg(long, value_name = "NUMBERS")]
        antennas: Option<Antennas>,
        /// First and last sample of a sequence
        #[arg(long, value_name = "FIRST-LAST", default_value = "0-70")]
        samples: String,
        /// Power of the lowest colour, dB
        #[arg(long, value_name = "DB", default_value_t = 10.0, allow_hyphen_values = true)]
        min_power: f32,
        /// Power of the highest colour, dB
        #[arg(long, value_name = "DB", default_value_t = 40.0, allow_hyphen_values = true)]
        max_power: f32,
        /// g2: 20 log10, above it the number of sequences of each record; g1: 10 log10, above it the signal to noise ratio
        #[arg(long, value_name = "STYLE", default_value = "g2")]
        style: Style,
        /// Pixels from left to right
        #[arg(long, value_name = "PIXELS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(100..=8000))]
        width: u32,
        /// Quality of the JPEG
        #[arg(long, value_name = "1-100", default_value_t = 82, value_parser = clap::value_parser!(u8).range(1..=100))]
        quality: u8,
        /// Replace pictures that exist
        #[arg(long)]
        force: bool,
    },
    /// Draws the power of lag 0 against range gate and time, a PNG for each beam: a quick look
    #[command(
        after_help = "Examples:\n  thalweg superdarn plot-rawacf 20240101.0000.00.sas.a.rawacf.bz2 -o plots\n  thalweg superdarn plot-rawacf x.rawacf.h5 -o . --beam 7 --min-power 0 --max-power 60"
    )]
    PlotRawacf {
        /// A Borealis rawacf file of any version and layout, or a DMAP RAWACF file
        #[arg(value_name = "IN")]
        input: PathBuf,
        /// The folder of the pictures
        #[arg(short, long, value_name = "FOLDER")]
        output: PathBuf,
        /// Only this beam; repeatable
        #[arg(long, value_name = "N")]
        beam: Vec<i64>,
        /// Power of the lowest colour, dB [default: by the values]
        #[arg(long, value_name = "DB", allow_hyphen_values = true, requires = "max_power")]
        min_power: Option<f32>,
        /// Power of the highest colour, dB
        #[arg(long, value_name = "DB", allow_hyphen_values = true, requires = "min_power")]
        max_power: Option<f32>,
        /// Pixels from left to right
        #[arg(long, value_name = "PIXELS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(100..=8000))]
        width: u32,
        /// Replace pictures that exist
        #[arg(long)]
        force: bool,
    },
}

/// The pictures of the two generations.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Style {
    G2,
    G1,
}

/// Arguments of `to-dmap`.
#[derive(Debug, Args)]
struct ToDmap {
    /// Borealis rawacf or bfiq files, in the order of the output
    #[arg(required = true, value_name = "IN")]
    inputs: Vec<PathBuf>,
    /// The DMAP file; compressed if its name ends in .bz2
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Factor on all correlations or samples (files of v0.x only)
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    scaling: f64,
    /// Slice of files older than v0.5, which do not say it [default: from the file's name]
    #[arg(long, value_name = "N")]
    slice: Option<u8>,
    /// Accept any type that loses nothing, and say so
    #[arg(long)]
    lenient: bool,
    /// Leave bad records out, and say so, instead of failing
    #[arg(long)]
    drop_bad_records: bool,
    /// Give what the reference software gives, its faults included (IQDAT: times 1000 times too small)
    #[arg(long)]
    compat: bool,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
    /// Number of a radar that the built-in table does not know; repeatable
    #[arg(long, value_name = "CODE=ID")]
    station: Vec<String>,
    /// Name of the source in each record's comment [default: the file's name]
    #[arg(long, value_name = "NAME")]
    source_name: Option<String>,
}

impl Superdarn {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        match self.what {
            What::ToDmap(args) => args.run(context),
            What::Restructure { input, output, lenient, drop_bad_records, accept_differing, force } => {
                readable(&input)?;
                let options = RestructureOptions { lenient, drop_bad_records, accept_differing };
                let summary = restructure(&input, &output, options, force, &verb_context()?)?;
                let out = &mut context.out;
                if out.json {
                    out.document(&summary)?;
                    return Ok(Exit::Done);
                }
                for note in summary.dropped.iter().chain(&summary.warnings) {
                    out.note(note);
                }
                if out.verbosity >= 0 {
                    let records = count(summary.records, "record", "records");
                    out.line(format!("{}: {records}, {}", output.display(), size(summary.bytes)))?;
                }
                Ok(Exit::Done)
            }
            What::PlotIq { input, output, antennas, samples, min_power, max_power, style, width, quality, force } => {
                readable(&input)?;
                let ends =
                    samples.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
                let Some(samples) = ends.filter(|(first, last): &(usize, usize)| first <= last) else {
                    return Err(Failure::usage(format!("--samples {samples}: the first and the last are meant"))
                        .help("write --samples 0-70"));
                };
                let style = match style {
                    Style::G2 => IqStyle::G2,
                    Style::G1 => IqStyle::G1,
                };
                let power = limits(min_power, max_power)?;
                let options = PlotIqOptions { antennas, samples, power, style, width, quality, force };
                let summary = plot_iq(&input, &output, &options, &verb_context()?)?;
                pictures(context, &summary, &summary.pictures, &summary.warnings)
            }
            What::PlotRawacf { input, output, beam, min_power, max_power, width, force } => {
                readable(&input)?;
                let power = min_power.zip(max_power).map(|(low, high)| limits(low, high)).transpose()?;
                let options = PlotRawacfOptions { beams: beam, power, width, force };
                let summary = plot_rawacf(&input, &output, &options, &verb_context()?)?;
                pictures(context, &summary, &summary.pictures, &summary.warnings)
            }
            What::Clean { files, fields, dry_run } => {
                for file in &files {
                    readable(file)?;
                }
                let verb = verb_context()?;
                for file in &files {
                    let summary = clean(file, fields, dry_run, &verb)?;
                    let out = &mut context.out;
                    if out.json {
                        out.object(&summary)?;
                        continue;
                    }
                    let word = if dry_run { "would be taken out" } else { "taken out" };
                    for dropped in &summary.dropped {
                        out.line(format!("{}: {word}: {dropped}", file.display()))?;
                    }
                    if out.verbosity >= 0 && summary.dropped.is_empty() {
                        let records = count(summary.records, "record", "records");
                        out.line(format!("{}: {records}, none bad", file.display()))?;
                    }
                }
                Ok(Exit::Done)
            }
        }
    }
}

fn limits(low: f32, high: f32) -> Result<(f32, f32), Failure> {
    if low.is_finite() && high.is_finite() && low < high {
        return Ok((low, high));
    }
    Err(Failure::usage(format!("--min-power {low} is not below --max-power {high}")).help("change them over"))
}

fn pictures(context: &mut Context, summary: &impl serde::Serialize, pictures: &[PathBuf], odd: &[String]) -> Done {
    let out = &mut context.out;
    if out.json {
        out.document(summary)?;
        return Ok(Exit::Done);
    }
    for warning in odd {
        out.note(format!("odd: {warning}"));
    }
    if out.verbosity >= 0 {
        for picture in pictures {
            out.line(picture.display().to_string())?;
        }
    }
    Ok(Exit::Done)
}

impl ToDmap {
    fn run(self, context: &mut Context) -> Done {
        let Self { inputs, output, scaling, slice, lenient, drop_bad_records, compat, force, station, source_name } =
            self;
        let mut stations = BTreeMap::new();
        for text in &station {
            let id = text.split_once('=').and_then(|(code, id)| Some((code.to_owned(), id.parse::<i16>().ok()?)));
            let Some((code, id)) = id else {
                return Err(Failure::usage(format!("--station {text}: a code and a number are meant"))
                    .help("write --station sas=5"));
            };
            stations.insert(code, id);
        }
        if !scaling.is_finite() {
            return Err(Failure::usage("--scaling: a finite number is meant"));
        }
        for input in &inputs {
            readable(input)?;
        }
        let options = ToDmapOptions { source_name, slice, scaling, compat, lenient, drop_bad_records, force, stations };
        let summary = to_dmap(&inputs, &output, &options, &verb_context()?)?;
        let out = &mut context.out;
        if out.json {
            out.document(&summary)?;
            return Ok(Exit::Done);
        }
        for dropped in &summary.dropped {
            out.note(format!("left out: {dropped}"));
        }
        for warning in &summary.warnings {
            out.note(format!("odd: {warning}"));
        }
        if out.verbosity >= 0 {
            let read = count(summary.records_read, "record", "records");
            let written = count(summary.records_written, "beam record", "beam records");
            out.line(format!("{}: {written} of {read}, {}", output.display(), size(summary.bytes)))?;
        }
        Ok(Exit::Done)
    }
}
