//! `superdarn to-dmap`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use thalweg_steps::superdarn::{ToDmapOptions, to_dmap};

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
    /// Converts Borealis rawacf files of any version and layout into one DMAP file
    ///
    /// The output appears under its name when it is complete, and not at all if anything fails.
    #[command(
        after_help = "Examples:\n  thalweg superdarn to-dmap 20191106.0000.00.sas.0.rawacf.hdf5 -o 20191106.0000.00.sas.a.rawacf.bz2\n  thalweg superdarn to-dmap a.h5 b.h5 -o day.rawacf --station xyz=99\n  thalweg superdarn to-dmap old.hdf5 -o old.rawacf --slice 0 --lenient"
    )]
    ToDmap {
        /// Borealis rawacf files, in the order of the output
        #[arg(required = true, value_name = "IN")]
        inputs: Vec<PathBuf>,
        /// The DMAP file; compressed if its name ends in .bz2
        #[arg(short, long, value_name = "OUT")]
        output: PathBuf,
        /// Factor on all correlations (files of v0.x only)
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
        /// Give what the reference software gives, its faults included
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
    },
}

impl Superdarn {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let What::ToDmap {
            inputs,
            output,
            scaling,
            slice,
            lenient,
            drop_bad_records,
            compat,
            force,
            station,
            source_name,
        } = self.what;
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
