//! The program: one file per subcommand in `cmd`, wiring, text output, exit codes. It holds no logic of its own.

mod cli;
mod cmd;
mod demo;
mod enginelog;
mod exit;
mod failure;
mod here;
mod out;
mod project;
mod service;
mod survey;
mod view;
mod words;
mod work;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use clap::error::ErrorKind;
use thalweg_core::SystemClock;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Out;

/// Version and build of this program: recorded with every run.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("THALWEG_BUILD"), ")");

fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => carry_out(cli),
        Err(error) => usage(&error),
    };
    ExitCode::from(exit.code())
}

fn carry_out(cli: Cli) -> Exit {
    // All children of this program are verbs, whatever the command.
    thalweg_engine::child::adopt_orphans();
    let json = cli.global.json;
    let out = Out::new(json, cli.global.no_color, cli.global.verbosity());
    let mut context = cmd::Context { global: cli.global, out, clock: Arc::new(SystemClock) };
    let done = cli.command.run(&mut context);
    let flushed = context.out.flush().map_err(Failure::from);
    match done.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit,
        Err(failure) => {
            tell(&failure, json);
            failure.exit
        }
    }
}

// Help and version are answers, not errors.
fn usage(error: &clap::Error) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A closed pipe ends the reading, not with an error.
        let _ = error.print();
        return Exit::Done;
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        tell(&Failure::usage(message).help("see `thalweg --help`"), true);
    } else {
        let _ = error.print();
    }
    Exit::Usage
}

fn tell(failure: &Failure, json: bool) {
    if failure.silent {
        return;
    }
    let text = if json { format!("{}\n", failure.json()) } else { failure.text() };
    // Standard error may be closed; nothing can be told to anybody then.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
