//! `dmap`: check, dump, list, copy and cut, salvage.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use thalweg_core::ReportLine;
use thalweg_steps::VerbContext;
use thalweg_steps::dmap::{
    CopyOptions, Head, Mode, Numbers, Report, Selection, Summary, dmap_check, dmap_copy, dmap_dump, dmap_list,
    dmap_salvage, dmap_summary,
};

use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Tone;
use crate::words::{count, size};

/// Checks, shows and cuts DMAP files (rawacf, fitacf, iqdat, grid, map, snd), also compressed with bzip2
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
        #[arg(long, conflicts_with_all = ["lax", "salvage"])]
        strict: bool,
        /// The records before the first bad one count as good
        #[arg(long, conflicts_with = "salvage")]
        lax: bool,
        /// As --lax, then goes on at the next record that can be read, and tells the bytes between
        #[arg(long)]
        salvage: bool,
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
    /// Shows one line a record: where it lies, its time, program, station, beam, frequency
    #[command(
        after_help = "Examples:\n  thalweg dmap ls 20191106.0000.00.sas.a.rawacf.bz2 | less\n  thalweg dmap ls --summary *.rawacf.bz2\n  thalweg dmap ls --json x.fitacf | jq -r '[.time, .bmnum, .tfreq] | @tsv'"
    )]
    Ls {
        /// One line a file instead: records, times, programs, beams
        #[arg(short, long)]
        summary: bool,
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Puts the records of files behind each other, each as it is
    ///
    /// Streams are unpacked and, if the output's name ends in .bz2, packed anew as one stream.
    #[command(
        after_help = "Examples:\n  thalweg dmap cat 20191106.*.sas.a.rawacf.bz2 -o 20191106.sas.a.rawacf.bz2\n  thalweg dmap cat x.rawacf.bz2 -o x.rawacf"
    )]
    Cat {
        /// The files, in the order of the output
        #[arg(required = true, value_name = "IN")]
        inputs: Vec<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Copies some of the records of files, each as it is
    #[command(
        after_help = "Examples:\n  thalweg dmap cut day.rawacf.bz2 -o hour.rawacf.bz2 --from 2019-11-06T02:00 --to 2019-11-06T03:00\n  thalweg dmap cut x.rawacf -o y.rawacf --records 0..9,-1\n  thalweg dmap cut x.rawacf -o y.rawacf --drop 17 --beam 7 --beam 8\n  thalweg dmap cut x.rawacf -o y.rawacf --drop-field xcfd"
    )]
    Cut {
        /// The files, in the order of the output
        #[arg(required = true, value_name = "IN")]
        inputs: Vec<PathBuf>,
        #[command(flatten)]
        output: Output,
        /// Records that begin then or later
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Records that begin before
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// Records of these numbers, from 0 in each file: 3, 0..9, 5.., -10..-1 (from the end), joined by commas
        #[arg(long, value_name = "NUMBERS", allow_hyphen_values = true)]
        records: Option<Numbers>,
        /// All records but those of these numbers
        #[arg(long, value_name = "NUMBERS", allow_hyphen_values = true)]
        drop: Option<Numbers>,
        /// Records of this beam; repeatable
        #[arg(long, value_name = "N")]
        beam: Vec<i64>,
        /// Records of this channel; repeatable
        #[arg(long, value_name = "N")]
        channel: Vec<i64>,
        /// Leaves this field out of each record; repeatable
        #[arg(long, value_name = "FIELD")]
        drop_field: Vec<String>,
    },
    /// Copies the good records of a damaged file into a new one, and tells the bytes that were lost
    #[command(after_help = "Examples:\n  thalweg dmap salvage bad.rawacf.bz2 -o good.rawacf.bz2")]
    Salvage {
        /// The damaged file
        #[arg(value_name = "IN")]
        input: PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

/// Where records go.
#[derive(Debug, Args)]
struct Output {
    /// The new file; compressed if its name ends in .bz2
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Replace the output if it exists
    #[arg(long)]
    force: bool,
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
                failure.help("to-dmap converts rawacf and bfiq files of a known version; other kinds have no DMAP form")
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
            What::Check { lax, salvage, files, .. } => {
                let mode = match (lax, salvage) {
                    (true, _) => Mode::Lax,
                    (_, true) => Mode::Salvage,
                    _ => Mode::Strict,
                };
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
            What::Ls { summary, files } => {
                for file in &files {
                    readable(file)?;
                    if summary { summarise(context, file)? } else { list(context, file, files.len() > 1)? }
                }
                Ok(Exit::Done)
            }
            What::Cat { inputs, output } => copy(context, &verb, &inputs, output, CopyOptions::default()),
            What::Cut { inputs, output, from, to, records, drop, beam, channel, drop_field } => {
                let (from, to) = context.ends(from.as_deref(), to.as_deref())?;
                let selection = Selection {
                    from,
                    to,
                    records: records.unwrap_or_default(),
                    drop: drop.unwrap_or_default(),
                    beams: beam.into_iter().collect(),
                    channels: channel.into_iter().collect(),
                };
                copy(context, &verb, &inputs, output, CopyOptions { selection, drop_fields: drop_field, force: false })
            }
            What::Salvage { input, output } => {
                readable(&input)?;
                let (report, bytes) = dmap_salvage(&input, &output.output, output.force, &verb)?;
                tell(context, &input, &report)?;
                if !context.out.json && context.out.verbosity >= 0 {
                    let records = count(report.records, "record", "records");
                    context.out.line(format!("{}: {records}, {}", output.output.display(), size(bytes)))?;
                }
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
            "gaps": report.gaps.iter().map(|gap| json!({ "offset": gap.offset, "bytes": gap.length })).collect::<Vec<_>>(),
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
    for gap in &report.gaps {
        out.line(format!("      lost: bytes {} to {}", gap.offset, gap.offset + gap.length))?;
    }
    if out.verbosity > 0 || report.is_good() {
        for warning in &report.warnings {
            out.line(format!("      odd: record {}: {}", warning.index, warning.message))?;
        }
    }
    Ok(())
}

fn copy(context: &mut Context, verb: &VerbContext, inputs: &[PathBuf], output: Output, options: CopyOptions) -> Done {
    for input in inputs {
        readable(input)?;
    }
    let options = CopyOptions { force: output.force, ..options };
    let summary = dmap_copy(inputs, &output.output, &options, verb)?;
    let out = &mut context.out;
    if out.json {
        out.document(&summary)?;
    } else if out.verbosity >= 0 {
        let (written, read) = (summary.records_written, count(summary.records_read, "record", "records"));
        out.line(format!("{}: {written} of {read}, {}", output.output.display(), size(summary.bytes)))?;
    }
    Ok(Exit::Done)
}

fn list(context: &mut Context, file: &Path, of_several: bool) -> Result<(), Failure> {
    let out = &mut context.out;
    if !out.json {
        if of_several {
            out.heading(&file.display().to_string())?;
        }
        out.heading(
            "record     byte   bytes  time                        cp  stid  beam  chan   kHz  nave  ranges  scan",
        )?;
    }
    dmap_list(file, |head| if out.json { out.object(&head_json(file, head)) } else { out.line(head_line(head)) })?;
    Ok(())
}

fn head_line(head: &Head) -> String {
    let number = |value: Option<i64>, width: usize| match value {
        Some(value) => format!("{value:>width$}"),
        None => format!("{:>width$}", "-"),
    };
    let time = head.times.map_or_else(|| "-".to_owned(), |(start, _)| format!("{start:.6}"));
    format!(
        "{:>6} {:>8} {:>7}  {time:<27} {} {} {} {} {} {} {} {}",
        head.index,
        head.offset,
        head.size,
        number(head.program, 3),
        number(head.station, 5),
        number(head.beam, 5),
        number(head.channel, 5),
        number(head.frequency, 5),
        number(head.sequences, 5),
        number(head.ranges, 7),
        number(head.scan, 5),
    )
}

fn head_json(file: &Path, head: &Head) -> serde_json::Value {
    json!({
        "file": file.display().to_string(),
        "record": head.index,
        "offset": head.offset,
        "bytes": head.size,
        "time": head.times.map(|(start, _)| start),
        "end": head.times.filter(|(start, end)| start != end).map(|(_, end)| end),
        "cp": head.program,
        "stid": head.station,
        "bmnum": head.beam,
        "channel": head.channel,
        "tfreq": head.frequency,
        "nave": head.sequences,
        "nrang": head.ranges,
        "scan": head.scan,
    })
}

fn summarise(context: &mut Context, file: &Path) -> Result<(), Failure> {
    let Summary { format, records, times, programs, stations, beams, channels, ranges, sequences, .. } =
        dmap_summary(file)?;
    let out = &mut context.out;
    let format = format.map_or("generic", |format| format.name());
    if out.json {
        return out.object(&json!({
            "file": file.display().to_string(),
            "format": format,
            "records": records,
            "first": times.0,
            "last": times.1,
            "cp": programs,
            "stid": stations,
            "beams": beams,
            "channels": channels,
            "nrang": ranges,
            "nave": [sequences.first(), sequences.last()],
        }));
    }
    let list = |set: &std::collections::BTreeSet<i64>| set.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let mut text = format!(
        "{}: {format}, {}, {:.0} to {:.0}",
        file.display(),
        count(records, "record", "records"),
        times.0,
        times.1
    );
    let sets = [("cp", &programs), ("stid", &stations), ("beams", &beams), ("channels", &channels), ("nrang", &ranges)];
    for (word, set) in sets {
        if !set.is_empty() {
            text.push_str(&format!(", {word} {}", list(set)));
        }
    }
    if let (Some(least), Some(most)) = (sequences.first(), sequences.last()) {
        text.push_str(&format!(", nave {least} to {most}"));
    }
    out.line(text)
}
