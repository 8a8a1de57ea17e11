//! `dmap check` and `dmap dump`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use thalweg_core::ReportLine;
use thalweg_steps::VerbContext;
use thalweg_steps::dmap::{Mode, Report, dmap_check, dmap_dump};

use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Tone;
use crate::words::count;

/// Checks and shows DMAP files (rawacf, fitacf, iqdat, grid, map, snd), also compressed with bzip2
#[derive(Debug, Args)]
pub(crate) struct Dmap {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Checks files record by record against their format; ends with 4 if one is bad
    #[command(
        after_help = "Examples:\n  thalweg dmap check 20191106.0000.00.sas.a.rawacf.bz2\n  thalweg dmap check --lax *.rawacf\n  thalweg dmap check --json *.bz2 | jq 'select(.good | not)'"
    )]
    Check {
        /// Any bad record makes the file bad (what happens without a word)
        #[arg(long, conflicts_with = "lax")]
        strict: bool,
        /// The records before the first bad one count as good
        #[arg(long)]
        lax: bool,
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Writes every record as one line of JSON
    #[command(
        after_help = "Examples:\n  thalweg dmap dump 20191106.0000.00.sas.a.rawacf.bz2 | head -1 | jq .\n  thalweg dmap dump x.fitacf | jq -r '[.bmnum, .nrang] | @tsv'"
    )]
    Dump {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Makes the context of a verb: its report file is named by the environment.
///
/// # Errors
///
/// When the report cannot be opened.
pub(super) fn verb_context() -> Result<VerbContext, Failure> {
    let report = std::env::var_os("THALWEG_REPORT").filter(|path| !path.is_empty()).map(PathBuf::from);
    Ok(VerbContext::new(report)?)
}

impl From<thalweg_steps::Error> for Failure {
    fn from(error: thalweg_steps::Error) -> Self {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(at) = cause {
            if at.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe) {
                return std::io::Error::from(std::io::ErrorKind::BrokenPipe).into();
            }
            cause = at.source();
        }
        let failure = Self::of(&error, error.class());
        match &error {
            thalweg_steps::Error::NoInput | thalweg_steps::Error::UnknownFormat { .. } => {
                Self { exit: Exit::Usage, ..failure }
            }
            // A missing input is the caller's slip; only the engine knows that it may still come.
            thalweg_steps::Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Self { exit: Exit::Usage, ..failure }
            }
            thalweg_steps::Error::NoSlice { .. } => failure.help("--slice N says it"),
            thalweg_steps::Error::UnknownStation { station, .. } => {
                failure.help(format!("--station {station}=ID gives the radar its number"))
            }
            thalweg_steps::Error::Borealis { source, .. }
                if matches!(**source, thalweg_formats::borealis::Error::WrongKind { .. }) =>
            {
                failure.help("to-dmap converts rawacf files of a known version; other kinds have no DMAP form here")
            }
            thalweg_steps::Error::TargetExists { .. } => failure.help("--force replaces it"),
            _ => failure,
        }
    }
}

impl Dmap {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let verb = verb_context()?;
        match self.what {
            What::Check { lax, files, .. } => {
                let mode = if lax { Mode::Lax } else { Mode::Strict };
                let mut worst = Exit::Done;
                for file in &files {
                    worst = worst.max(check(context, &verb, file, mode)?);
                }
                Ok(worst)
            }
            What::Dump { file } => {
                readable(&file)?;
                dmap_dump(&file, &mut context.out, &verb)?;
                Ok(Exit::Done)
            }
        }
    }
}

/// Says plainly that a file is not there or may not be read.
///
/// # Errors
///
/// Usage or configuration.
pub(super) fn readable(path: &Path) -> Result<(), Failure> {
    match std::fs::File::open(path) {
        Ok(file) if file.metadata().is_ok_and(|meta| meta.is_dir()) => {
            Err(Failure::usage(format!("{} is a folder, and a file is meant", path.display()))
                .help("name the files in it"))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::usage(format!("{}: there is no such file", path.display())))
        }
        Err(error) => Err(Failure::config(format!("failed to open {}: {error}", path.display()))),
    }
}

fn check(context: &mut Context, verb: &VerbContext, file: &Path, mode: Mode) -> Result<Exit, Failure> {
    readable(file)?;
    let report = dmap_check(file, mode).map_err(|error| verb.failure(error))?;
    verb.count("records", report.records);
    for warning in &report.warnings {
        verb.warning(format!("record {}: {}", warning.index, warning.message));
    }
    if !report.is_good() {
        let first = report.problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
        verb.tell(&ReportLine::Error {
            class: thalweg_core::ErrorClass::Data,
            message: format!("{}: {first}", file.display()),
            file: Some(file.display().to_string()),
        });
    }
    tell(context, file, &report)?;
    Ok(if report.is_good() { Exit::Done } else { Exit::Failed })
}

fn tell(context: &mut Context, file: &Path, report: &Report) -> Result<(), Failure> {
    let out = &mut context.out;
    let format = report.format.map(|format| format.name());
    if out.json {
        let problems = |list: &[thalweg_steps::dmap::Problem]| {
            list.iter()
                .map(|problem| json!({ "record": problem.index, "offset": problem.offset, "message": problem.message }))
                .collect::<Vec<_>>()
        };
        return out.object(&json!({
            "file": file.display().to_string(),
            "good": report.is_good(),
            "format": format,
            "compressed": report.compressed,
            "records": report.records,
            "bad_records": report.bad_records,
            "problems": problems(&report.problems),
            "warnings": problems(&report.warnings),
        }));
    }
    let word = if report.is_good() { out.paint(Tone::Good, "good") } else { out.paint(Tone::Bad, "bad ") };
    let bad = if report.bad_records > 0 { format!(", {} bad", report.bad_records) } else { String::new() };
    let records = count(report.records, "good record", "good records");
    out.line(format!("{word}  {}: {}, {records}{bad}", file.display(), format.unwrap_or("no known format")))?;
    for problem in &report.problems {
        let at = problem.offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default();
        out.line(format!("      record {}{at}: {}", problem.index, problem.message))?;
    }
    if out.verbosity > 0 || report.is_good() {
        for warning in &report.warnings {
            out.line(format!("      odd: record {}: {}", warning.index, warning.message))?;
        }
    }
    Ok(())
}
