//! Work that the engine does: what is told while it goes on, and how it ended.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use thalweg_engine::{EngineError, Event, Outcome, Request, carry_out};

use crate::cmd::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Out, Tone};
use crate::project::Project;
use crate::words::{count, size};

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let help = error.help();
        let failure = Self::of(&error, error.class());
        match error {
            EngineError::Busy { pid } => {
                Self::new(Exit::TryLater, format!("an engine runs on this ledger already, process {pid}"))
                    .help("wait for it, or stop it with SIGTERM; questions and `make`, `scan`, `retry` work beside it")
            }
            _ => Self { help, ..failure },
        }
    }
}

/// How much of what happens is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Every event, one object a line.
    Json,
    /// A line for each thing done.
    Lines,
    /// Failures only.
    Failures,
}

impl Telling {
    /// Returns what suits a command's options and its output.
    pub(crate) fn of(out: &Out) -> Self {
        if out.json {
            Self::Json
        } else if out.verbosity > 0 || (out.terminal && out.verbosity == 0) {
            Self::Lines
        } else {
            Self::Failures
        }
    }
}

/// Tells an event.
///
/// # Errors
///
/// Those of writing.
pub(crate) fn tell(event: &Event, telling: Telling, out: &mut Out) -> Result<(), Failure> {
    if telling == Telling::Json {
        out.object(event)?;
        return Ok(std::io::Write::flush(out)?);
    }
    let Some((tone, word, text)) = short(event, out.verbosity) else { return Ok(()) };
    if telling == Telling::Lines || tone == Tone::Bad {
        let word = out.paint(tone, &format!("{word:<11}"));
        out.line(format!("{word} {text}"))?;
        std::io::Write::flush(out)?;
    }
    Ok(())
}

/// Returns an event in one line: how it is to be taken, a word, and a text; none for what is told by others.
pub(crate) fn short(event: &Event, verbosity: i8) -> Option<(Tone, &'static str, String)> {
    Some(match event {
        Event::Started { flow, stations } => (Tone::Head, "started", format!("{flow} at {}", stations.join(", "))),
        Event::Note { place, message } => (Tone::Odd, "note", format!("{place}: {message}")),
        Event::Listed { station, files, changed, gone } if verbosity > 1 || *changed + *gone > 0 => (
            Tone::Faint,
            "listed",
            format!("{station}: {}, {changed} new or changed, {gone} gone", count(*files, "file", "files")),
        ),
        Event::Listed { .. } => return None,
        Event::Trouble { station, message } => (Tone::Bad, "trouble", format!("{station}: {message}")),
        Event::FileTaken { station, product, path, size: bytes } => {
            (Tone::Plain, "taken", format!("{station}/{path}  {product}, {}", size(*bytes)))
        }
        Event::Quarantined { station, path, message, .. } => {
            (Tone::Bad, "quarantined", format!("{station}/{path}: {message}"))
        }
        Event::VersionUnknown { step, why } => {
            (Tone::Bad, "blocked", format!("{step}: its version is not known: {why}"))
        }
        Event::FileTrouble { station, path, message } => {
            (Tone::Bad, "unreadable", format!("{station}/{path}: {message}"))
        }
        Event::FileGone { station, path } => {
            (Tone::Bad, "gone", format!("{station}/{path}: removed by no rule of the flow"))
        }
        Event::RunStarted { run, step, key, attempt } if verbosity > 1 => {
            (Tone::Faint, "begun", format!("{step} {key}  run {run}, attempt {attempt}"))
        }
        Event::RunStarted { .. } | Event::RunProgress { .. } => return None,
        Event::RunDone { run, step, outputs, bytes, seconds, partial, .. } => {
            let what = match outputs.as_slice() {
                [] => "no output".to_owned(),
                [one] => one.clone(),
                [one, rest @ ..] => format!("{one} and {} more", rest.len()),
            };
            let partial = if *partial { ", partial" } else { "" };
            (Tone::Good, "done", format!("{step} -> {what}  run {run}, {}, {seconds:.1} s{partial}", size(*bytes)))
        }
        Event::RunFailed { run, step, key, class, message, retry_at, .. } => {
            let next = retry_at.map_or_else(
                || "not tried again by itself".to_owned(),
                |at| format!("next try {}", crate::words::time(at)),
            );
            (Tone::Bad, "failed", format!("{step} {key}: {message}  run {run}, {class}, {next}"))
        }
        Event::Blocked { step, key, why } => (Tone::Bad, "blocked", format!("{step} {key}: {why}")),
        Event::WouldRemove { station, path, keep, size: bytes, .. } => {
            (Tone::Plain, "would go", format!("{station}/{path} by {keep}, {}", size(*bytes)))
        }
        Event::Stays { station, path, keep, why } => (Tone::Faint, "stays", format!("{station}/{path}: {keep}: {why}")),
        Event::Verified { station, path, trouble: Some(trouble) } => {
            (Tone::Bad, "differs", format!("{station}/{path}: {trouble}"))
        }
        Event::Verified { station, path, trouble: None } => (Tone::Good, "verified", format!("{station}/{path}")),
        Event::Missing { step, key, next, why } => (Tone::Odd, "not made", format!("{step} {key}: {next}: {why}")),
        Event::Checked { check, level, text } => {
            let tone = if level == "OK" { Tone::Good } else { Tone::Bad };
            (tone, "check", format!("{check}: {level}: {text}"))
        }
        Event::Adopted { station, path, step, .. } => (Tone::Good, "adopted", format!("{station}/{path}  {step}")),
        Event::NotAdopted { station, path, why } => (Tone::Bad, "not adopted", format!("{station}/{path}: {why}")),
        Event::Removed { station, path, keep } => (Tone::Plain, "removed", format!("{station}/{path} by {keep}")),
        Event::Reloaded { accepted: true, .. } => (Tone::Head, "reloaded", "the flow file is in force".to_owned()),
        Event::Reloaded { message, .. } => (Tone::Bad, "not loaded", format!("the old flow stays in force: {message}")),
        Event::LogsPruned { files, bytes, trouble: None } => {
            (Tone::Faint, "old logs", format!("{} removed, {}", count(*files, "file", "files"), size(*bytes)))
        }
        Event::LogsPruned { trouble: Some(trouble), .. } => {
            (Tone::Bad, "old logs", format!("not all could be removed: {trouble}"))
        }
        Event::Stopping { why } => (Tone::Head, "stopping", why.clone()),
        _ => return None,
    })
}

// Where to look further: for each kind of trouble the command that tells of it.
fn next_steps(outcome: &Outcome) -> Vec<&'static str> {
    let kinds = [
        (outcome.failed_runs + outcome.still_failed, FAILED),
        (outcome.quarantined, PUT_ASIDE),
        (outcome.undecided, BLOCKED),
        (outcome.unlisted, "`thalweg status` says which station is not to be had, and why"),
    ];
    let steps: Vec<&str> = kinds.iter().filter(|(number, _)| *number > 0).map(|(_, step)| *step).collect();
    match steps.is_empty() && outcome.failed > 0 {
        true => vec!["`thalweg log` says what went wrong"],
        false => steps,
    }
}

/// What to do about runs that failed.
pub(crate) const FAILED: &str =
    "`thalweg runs --failed` lists what failed, `thalweg log RUN` shows a run, `thalweg retry` tries again";
/// What to do about files that are put aside.
pub(crate) const PUT_ASIDE: &str = "`thalweg quarantine` lists the files put aside, where they are and why";
/// What to do about keys that are blocked.
pub(crate) const BLOCKED: &str = "`thalweg plan` says what blocks, `thalweg why PATH` all about one file";

/// Tells how work ended and returns the exit code for it.
///
/// # Errors
///
/// Those of writing.
pub(crate) fn conclude(outcome: &Outcome, out: &mut Out) -> Result<Exit, Failure> {
    let bad = outcome.failed > 0 || outcome.quarantined > 0 || outcome.still_failed > 0 || !outcome.missing.is_empty();
    if out.json {
        out.object(&json!({
            "event": "summary",
            "done": outcome.done,
            "failed": outcome.failed,
            "quarantined": outcome.quarantined,
            "waiting": outcome.waiting,
            "blocked": outcome.blocked,
            "still_failed": outcome.still_failed,
            "made": outcome.made,
            "missing": outcome.missing,
            "held": outcome.held,
            "retried": outcome.retried,
        }))?;
    } else {
        for missing in &outcome.missing {
            let word = out.paint(Tone::Bad, "missing    ");
            out.line(format!("{word} {missing}"))?;
        }
        let quiet = out.verbosity < 0;
        for held in outcome.held.iter().filter(|_| !quiet) {
            let word = out.paint(Tone::Odd, "waiting    ");
            out.line(format!("{word} {held}"))?;
        }
        if out.verbosity >= 0 {
            let mut parts = vec![format!("{} done", outcome.done)];
            let unlisted = outcome.unlisted.min(outcome.failed);
            if unlisted > 0 {
                let text = format!("{} not listed", count(unlisted, "station", "stations"));
                parts.push(out.paint(Tone::Bad, &text));
            }
            for (number, word) in [
                (outcome.failed - unlisted, "failed"),
                (outcome.quarantined, "quarantined"),
                (outcome.waiting, "waiting"),
                (outcome.blocked, "blocked"),
                (outcome.still_failed, "still failed"),
            ] {
                if number > 0 {
                    parts.push(out.paint(Tone::of_word(word), &format!("{number} {word}")));
                }
            }
            out.line(parts.join(", "))?;
            for next in next_steps(outcome) {
                out.line(next)?;
            }
        }
    }
    Ok(if bad { Exit::Failed } else { Exit::Done })
}

/// Has a request carried out, by the engine that runs on the ledger or by this process, and tells what happens.
///
/// # Errors
///
/// Those of the engine and of writing.
pub(crate) fn ask(
    project: &Project,
    request: Request,
    total: Option<u64>,
    context: &mut Context,
) -> Result<Outcome, Failure> {
    let telling = match Telling::of(&context.out) {
        // Beside a progress bar only what went wrong is told.
        Telling::Lines if total.is_some() && context.out.terminal && context.out.verbosity == 0 => Telling::Failures,
        telling => telling,
    };
    let bar =
        total.filter(|_| context.out.terminal && !context.out.json && context.out.verbosity >= 0).map(progress_bar);
    let mut trouble = None;
    let mut report = |event: &Event| {
        if let (Some(bar), Event::Request { made, open, later, .. }) = (&bar, event) {
            bar.set_length(made + open + later);
            bar.set_position(*made);
        }
        let mut told = Ok(());
        let mut write = || told = tell(event, telling, &mut context.out);
        match &bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
        if let Err(failure) = told {
            trouble.get_or_insert(failure);
        }
    };
    let outcome = carry_out(&project.setup, request, &mut report);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    match trouble {
        Some(trouble) => Err(trouble),
        None => Ok(outcome?),
    }
}

/// Makes a bar that shows how far work is, its rate and the time left.
pub(crate) fn progress_bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {per_sec}  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
