//! `log`: what a run wrote.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use thalweg_ledger::{RunId, RunRow};

use super::runs::took;
use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::words::time;

/// Shows one run: its command, inputs, outputs, and what it wrote
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  thalweg log 42\n  thalweg log 42 --json | jq .command")]
pub(crate) struct Log {
    /// The run's number (see `thalweg runs`)
    #[arg(value_name = "RUN")]
    number: i64,
}

impl Log {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        let reader = project.ledger()?.reader()?;
        let id = RunId(self.number);
        let Some(run) = reader.run(id)? else {
            return Err(
                Failure::usage(format!("there is no run {id}")).help("`thalweg runs` lists runs with their numbers")
            );
        };
        let (inputs, outputs) = (reader.run_inputs(id)?, reader.run_outputs(id)?);
        let path = run
            .log
            .as_ref()
            .map(|log| project.setup.state.join(log))
            .or_else(|| usual_place(&project.setup.state, &run));
        let text = path.as_deref().map(read_log).transpose()?.flatten();
        let now = context.now();
        let out = &mut context.out;
        if out.json {
            let text = text.as_ref().map(|text| String::from_utf8_lossy(text).into_owned());
            out.document(&json!({ "run": run, "inputs": inputs, "outputs": outputs, "output": text }))?;
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
                out.write_all(&text)?;
                if text.last() != Some(&b'\n') {
                    out.line("")?;
                }
            }
            // What the engine does itself writes no log.
            None if run.exit.is_none() && run.state == thalweg_ledger::RunState::Done => {}
            None => out.line("  its log is not there")?,
        }
        Ok(Exit::Done)
    }
}

// Logs lie in a folder for each day, named by the first run of the batch.
fn usual_place(state: &Path, run: &RunRow) -> Option<PathBuf> {
    let folder = state.join("logs").join(run.started.strftime("%Y%m%d").to_string());
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
        Err(error) => Err(Failure::config(format!("failed to read the log {}: {error}", path.display()))),
    }
}
