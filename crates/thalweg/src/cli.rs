//! The command line: global options and the list of subcommands. Each subcommand's options stand in its own file.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::cmd;

/// Carries an instrument's data from where they arise to those who use them: one program, one flow file.
///
/// A flow file states what files mean (products), where they can be (stations) and how one becomes another (steps).
/// `thalweg run` carries it out as files arrive; `thalweg make` makes what is wanted for a span of time. Everything that
/// happened stands in a ledger, to which all other commands put questions.
///
/// Times are given as ISO 8601, `gps:N`, a span back from now (`12h`), or `now`; UTC everywhere.
#[derive(Debug, Parser)]
#[command(name = "thalweg", version = crate::VERSION, after_help = crate::exit::help(), max_term_width = 110)]
pub(crate) struct Cli {
    /// Options of every subcommand.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every subcommand.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The flow file [default: flow.toml here or in the nearest folder above]
    #[arg(long, global = true, value_name = "FILE", env = "THALWEG_FLOW", hide_env_values = true)]
    pub(crate) flow: Option<PathBuf>,
    /// A station of this host; repeatable [default: the only one, or all if none is reached over a network]
    #[arg(long, global = true, value_name = "STATION")]
    pub(crate) at: Vec<String>,
    /// The ledger [default: .thalweg/ledger.sqlite beside the flow file]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,
    /// Sets a parameter of the flow file; repeatable
    #[arg(long, global = true, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// JSON instead of text: one document, or one object a line where it streams
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// More words; twice for more still
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Only what was asked for, and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// No colours, also on a terminal (as the environment variable NO_COLOR)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

impl Global {
    /// Returns how many words are wanted.
    pub(crate) fn verbosity(&self) -> i8 {
        if self.quiet { -1 } else { i8::try_from(self.verbose).unwrap_or(i8::MAX) }
    }
}

macro_rules! commands {
    ($($(#[$meta:meta])* $name:ident => $module:ident;)*) => {
        /// The subcommands.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Command { $($(#[$meta])* $name(cmd::$module::$name),)* }

        impl Command {
            /// Does it.
            pub(crate) fn run(self, context: &mut cmd::Context) -> cmd::Done {
                match self { $(Self::$name(args) => args.run(context),)* }
            }
        }
    };
}

commands! {
    Init => init;
    Demo => demo;
    Check => check;
    Graph => graph;
    Schema => schema;
    Plan => plan;
    Run => run;
    Make => make;
    Adopt => adopt;
    Status => status;
    Why => why;
    Runs => runs;
    Log => log;
    Find => find;
    Gaps => gaps;
    Coverage => coverage;
    Lineage => lineage;
    Scan => scan;
    Checks => checks;
    Retry => retry;
    Hold => hold;
    Release => release;
    Pause => pause;
    Resume => resume;
    Drain => drain;
    Trim => trim;
    Verify => verify;
    Quarantine => quarantine;
    Send => send;
    Dmap => dmap;
    Superdarn => superdarn;
    Image => image;
    InstallService => install_service;
    Completions => completions;
    Man => man;
    #[command(hide = true)]
    Probe => probe;
}
