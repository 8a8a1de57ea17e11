//! `runs`: what was tried.

use clap::Args;
use serde_json::json;
use thalweg_core::Timestamp;
use thalweg_ledger::{RunFilter, RunRow, RunState};

use super::{Context, Done};
use crate::exit::Exit;
use crate::out::{Cell, Table};
use crate::words::time;

/// Lists runs, newest first
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg runs\n  thalweg runs --failed --from 1d\n  thalweg runs --step dmap --limit 5\n  thalweg runs --json | jq -r 'select(.state == \"failed\") | .message'\n  thalweg runs --json | jq -r '[.id, .program, .verb_version] | @tsv'"
)]
pub(crate) struct Runs {
    /// Only of this step
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// Only those that failed or were cut off
    #[arg(long)]
    failed: bool,
    /// Only those started at or after this
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only those started before this
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

impl Runs {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        let (from, to) = context.ends(self.from.as_deref(), self.to.as_deref())?;
        // A step that the flow has no more still has its history.
        let reader = project.ledger()?.reader()?;
        if let Some(step) = &self.step
            && !reader.steps()?.contains(step)
        {
            project.step(step)?;
        }
        let filter = RunFilter {
            step: self.step,
            states: if self.failed { vec![RunState::Failed, RunState::Lost] } else { Vec::new() },
            from,
            to,
            ..RunFilter::default()
        };
        let runs = reader.runs(&filter, self.limit)?;
        if context.out.json {
            for run in &runs {
                context.out.object(&json!(run))?;
            }
            return Ok(Exit::Done);
        }
        let mut table = Table::new(&["run", "step", "started", "took", "", "key", "made with", "message"]);
        for run in &runs {
            table.row([
                Cell::right(run.id.to_string()),
                run.step.as_str().into(),
                time(run.started).into(),
                Cell::right(took(run, context.now())),
                Cell::state(run.state.as_str()),
                run.key.as_str().into(),
                made_with(run).into(),
                run.message.as_deref().unwrap_or_default().lines().next().unwrap_or_default().into(),
            ]);
        }
        if table.is_empty() {
            context.out.line("no run")?;
        } else {
            context.out.table(&table)?;
        }
        Ok(Exit::Done)
    }
}

/// Returns with what a run was made: the external command's version, where it was asked, else this program's.
pub(super) fn made_with(run: &RunRow) -> String {
    let said = run.verb_version.as_deref().and_then(|said| said.lines().next());
    said.map_or_else(|| format!("thalweg {}", run.program), |said| said.trim().to_owned())
}

/// Returns how long a run took, or takes so far.
pub(super) fn took(run: &RunRow, now: Timestamp) -> String {
    let span = run.ended.unwrap_or(now).duration_since(run.started);
    thalweg_core::units::format_duration(jiff::SignedDuration::from_millis(
        i64::try_from(span.as_millis()).unwrap_or(0),
    ))
}
