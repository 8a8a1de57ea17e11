//! `log`: what a run wrote, and what the engine says of itself.

mod engine;
mod follow;
mod live;

use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use thalweg_engine::{log_folder_in_use, logs_pruned_to};
use thalweg_ledger::{Reader, RunId, RunRow};

use super::runs::took;
use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::harmless;
use crate::project::Project;
use crate::words::time;

/// Shows one run (its command, inputs, outputs, what it wrote), or the log of the engine
///
/// With --follow what is written from now on is shown as it comes: a run's until it has ended, the engine's until Ctrl-C.
/// Where logs lie, what they say and how long they stay is set by `[log]` in the flow file.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg log --follow\n  thalweg log --lines 200\n  thalweg log 42\n  thalweg log 42 --follow\n  thalweg log 42 --json | jq .command\n  thalweg log --json | jq 'select(.level == \"error\")'"
)]
pub(crate) struct Log {
    /// The run's number (see `thalweg runs`) [default: the engine's own log]
    #[arg(value_name = "RUN")]
    number: Option<i64>,
    /// Show also what comes
    #[arg(short, long)]
    follow: bool,
    /// So many of the last lines of the engine's log
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50, conflicts_with = "number")]
    lines: usize,
}

impl Log {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        match self.number {
            None => engine::show(&project, self.lines, self.follow, context),
            Some(number) if self.follow => live::follow(&project, RunId(number), context),
            Some(number) => one(&project, RunId(number), context),
        }
    }
}

fn unknown(id: RunId) -> Failure {
    Failure::usage(format!("there is no run {id}")).help("`thalweg runs` lists runs with their numbers")
}

/// Returns where the log of a run is.
fn log_path(project: &Project, run: &RunRow, reader: &Reader) -> Result<Option<PathBuf>, Failure> {
    if let Some(log) = &run.log {
        return Ok(Some(project.setup.state.join(log)));
    }
    let folder = log_folder(project, reader)?;
    Ok(usual_place(&folder, run))
}

/// Returns the folder of the logs: where the engine said that it is, else what the flow file says.
fn log_folder(project: &Project, reader: &Reader) -> Result<PathBuf, Failure> {
    Ok(log_folder_in_use(reader)?.unwrap_or_else(|| project.setup.log_folder()))
}

// A log that is not there was removed because it was old, or by somebody.
fn was_pruned(
    reader: &Reader,
    run: &RunRow,
    rule: &thalweg_flow::Log,
    now: thalweg_core::Timestamp,
) -> Result<bool, Failure> {
    // Whole days go; sooner only when all logs together grow too large.
    let day = |at: thalweg_core::Timestamp| at.strftime("%Y%m%d").to_string();
    let is_old = now.checked_sub(rule.keep).is_ok_and(|oldest| day(run.started) < day(oldest));
    Ok((is_old || rule.max_size.is_some()) && run.batch.unwrap_or(run.id).0 <= logs_pruned_to(reader)?)
}

fn absence(
    reader: &Reader,
    run: &RunRow,
    rule: &thalweg_flow::Log,
    now: thalweg_core::Timestamp,
) -> Result<String, Failure> {
    if !was_pruned(reader, run, rule, now)? {
        return Ok("its log is not there".to_owned());
    }
    let kept = thalweg_core::units::format_duration(rule.keep);
    let size = rule.max_size.map(|most| format!(", max_size = {:?}", crate::words::size(most))).unwrap_or_default();
    Ok(format!("its log was removed as an old one ([log] keep = {kept:?}{size} in the flow file)"))
}

fn one(project: &Project, id: RunId, context: &mut Context) -> Done {
    let reader = project.ledger()?.reader()?;
    let Some(run) = reader.run(id)? else { return Err(unknown(id)) };
    let (inputs, outputs) = (reader.run_inputs(id)?, reader.run_outputs(id)?);
    let path = log_path(project, &run, &reader)?;
    let text = path.as_deref().map(read_log).transpose()?.flatten();
    let now = context.now();
    let missing = absence(&reader, &run, &project.flow().log, now)?;
    let out = &mut context.out;
    if out.json {
        let text = text.as_ref().map(|text| String::from_utf8_lossy(text).into_owned());
        let pruned = text.is_none() && was_pruned(&reader, &run, &project.flow().log, now)?;
        out.document(
            &json!({ "run": run, "inputs": inputs, "outputs": outputs, "output": text, "log_pruned": pruned }),
        )?;
        return Ok(Exit::Done);
    }
    out.heading(&format!("run {id}: {} {}", run.step, run.key))?;
    out.line(format!(
        "  {} {}, took {}, attempt {}, on {}",
        run.state,
        time(run.started),
        took(&run, now),
        run.attempt,
        run.host
    ))?;
    if !run.command.is_empty() {
        out.line(format!("  command  {}", run.command.join(" ")))?;
    }
    for input in &inputs {
        let role = if input.role.is_empty() { String::new() } else { format!(" ({})", input.role) };
        out.line(format!("  took     {}/{}{role}", input.station, input.path))?;
    }
    for output in &outputs {
        let unpublished = if output.published { "" } else { " (not published)" };
        out.line(format!("  made     {}/{}{unpublished}", output.station, output.path))?;
    }
    out.line(format!("  program  thalweg {}", run.program))?;
    if let Some(said) = &run.verb_version {
        out.line(format!("  version  {}", said.replace('\n', "\n           ")))?;
    }
    if let Some(exit) = run.exit {
        out.line(format!("  exit     {exit}"))?;
    }
    if let Some(signal) = run.signal {
        out.line(format!("  signal   {signal}"))?;
    }
    if let Some(kib) = run.peak_kib {
        out.line(format!("  memory   {} at most", crate::words::size(kib.saturating_mul(1024))))?;
    }
    if let Some(message) = &run.message {
        out.line(format!("  message  {message}"))?;
    }
    if let Some(report) = &run.report {
        out.line(format!("  report   {report}"))?;
    }
    match text {
        Some(text) if text.is_empty() => out.line("  it wrote nothing")?,
        Some(text) => {
            out.line("")?;
            out.write_all(&shown(&text, out.terminal))?;
            if text.last() != Some(&b'\n') {
                out.line("")?;
            }
        }
        // What the engine does itself writes no log.
        None if run.exit.is_none() && run.state == thalweg_ledger::RunState::Done => {}
        None => out.line(format!("  {missing}"))?,
    }
    Ok(Exit::Done)
}

// Logs lie in a folder for each day, named by the first run of the batch.
fn usual_place(folder: &Path, run: &RunRow) -> Option<PathBuf> {
    let folder = folder.join(run.started.strftime("%Y%m%d").to_string());
    let start = format!("{}-", run.batch.unwrap_or(run.id));
    let entries = std::fs::read_dir(folder).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&start) && name.ends_with(".log")
    })
}

fn read_log(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match std::fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::config(format!("failed to read the log {}: {error}", path.display())).help("check the rights of that file")
}

/// Returns what a program has written as it is shown: on a terminal without what would steer that.
fn shown(text: &[u8], terminal: bool) -> Cow<'_, [u8]> {
    if !terminal {
        return Cow::Borrowed(text);
    }
    Cow::Owned(harmless(&String::from_utf8_lossy(text), false).into_owned().into_bytes())
}
