//! `superdarn`: to-dmap, restructure, clean.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use thalweg_steps::superdarn::{RestructureOptions, ToDmapOptions, clean, restructure, to_dmap};

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
    /// when it is complete; a file without bad records is not touched.
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
