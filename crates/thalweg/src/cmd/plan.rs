//! `plan`: what would be done now and why, and why not.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::json;
use thalweg_core::{TimeRange, Timestamp};
use thalweg_engine::Strangers;
use thalweg_flow::planner::keys::keys_of_step;
use thalweg_flow::planner::{Evaluation, Facts, KeyId, Next, Occasion, evaluate};
use thalweg_flow::{Flow, Verb};

use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Cell, Table, Tone};
use crate::project::Project;
use crate::survey::survey_all;
use crate::view::{View, strangers_text, verb_text};
use crate::words::{ago, count, time};

/// Says what would be done now and why, and why not; touches nothing
///
/// Works before anything has run: then the stations of this host are listed, and every file that its ready rule lets
/// pass counts as read. With a ledger it goes by what the ledger knows, which is as old as the last listing.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg plan\n  thalweg plan --step dmap --all\n  thalweg plan --json | jq '.steps[] | {step, counts}'"
)]
pub(crate) struct Plan {
    /// Only this step
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// Every key, also those with nothing to do
    #[arg(long)]
    all: bool,
}

/// Keys shown of each step unless all are asked for.
const SHOWN: usize = 20;

struct StepPlan {
    step: String,
    does: String,
    counts: BTreeMap<&'static str, u64>,
    keys: Vec<Evaluation>,
    hidden: u64,
}

impl Plan {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        if let Some(step) = &self.step {
            project.step(step)?;
        }
        let now = context.now();
        let flow = project.flow();
        let (steps, basis, strangers) = match View::open_if_listed(&project, now)? {
            Some(view) => {
                let facts = view.facts(flow);
                let steps = self.steps(&project, &facts);
                facts.trouble()?;
                (steps, listed(&project, &view, now)?, view.strangers()?)
            }
            None => {
                let (facts, strangers) = survey_all(&project, now)?;
                let basis = format!(
                    "{}: {} of this host listed now",
                    if project.setup.ledger.exists() { "nothing was ever listed" } else { "there is no ledger yet" },
                    count(facts.files.len() as u64, "file", "files")
                );
                (self.steps(&project, &facts), basis, strangers)
            }
        };
        show(context, &project, &basis, &steps, &strangers)?;
        Ok(Exit::Done)
    }

    fn steps(&self, project: &Project, facts: &dyn Facts) -> Vec<StepPlan> {
        let flow = project.flow();
        let mut plans = Vec::new();
        for name in &flow.step_order {
            let Some(step) = flow.steps.get(name) else { continue };
            let here = step.at.iter().any(|at| project.setup.here.contains(at));
            if !here || self.step.as_ref().is_some_and(|wanted| wanted != name) {
                continue;
            }
            let mut keys: BTreeSet<KeyId> = keys_of_step(flow, step, None, facts);
            keys.extend(facts.open_keys(name));
            keys.retain(|key| project.setup.here.contains(&key.station));
            let mut plan = StepPlan {
                step: name.clone(),
                does: verb_text(step),
                counts: BTreeMap::new(),
                keys: Vec::new(),
                hidden: 0,
            };
            for key in keys {
                let evaluation = evaluate(flow, &key, facts, Occasion::default());
                *plan.counts.entry(word(&evaluation)).or_default() += 1;
                let quiet = matches!(evaluation.next, Next::Nothing | Next::Skipped);
                if self.all || !quiet {
                    plan.keys.push(evaluation);
                }
            }
            // What would start comes first, then what needs a person, then what time brings.
            plan.keys.sort_by_key(|evaluation| (rank(evaluation.next), evaluation.key.cell, evaluation.key.text()));
            if !self.all {
                plan.hidden = plan.keys.len().saturating_sub(SHOWN) as u64;
                plan.keys.truncate(SHOWN);
            }
            plans.push(plan);
        }
        plans
    }
}

fn rank(next: Next) -> u8 {
    match next {
        Next::Ready => 0,
        Next::Running => 1,
        Next::Failed => 2,
        Next::Quarantined => 3,
        Next::Blocked => 4,
        Next::Waiting => 5,
        Next::Skipped => 6,
        Next::Nothing => 7,
    }
}

/// Returns the one word for a key: what comes next, or what is there when nothing comes next.
pub(super) fn word(evaluation: &Evaluation) -> &'static str {
    if evaluation.next == Next::Nothing { evaluation.there.as_str() } else { evaluation.next.as_str() }
}

fn listed(project: &Project, view: &View, now: Timestamp) -> Result<String, Failure> {
    let mut parts = Vec::new();
    for station in &project.setup.here {
        let listing = view.reader.last_ok_listing(station)?.and_then(|listing| listing.ok_started);
        parts.push(match listing {
            Some(at) => format!("{station} listed {}", ago(at, now)),
            None => format!("{station} never listed"),
        });
    }
    Ok(format!("by the ledger; {}", parts.join(", ")))
}

/// Writes what a flow says that nothing carries out, and what is odd in it.
pub(super) fn notes(context: &mut Context, project: &Project) -> Result<(), Failure> {
    for warning in &project.warnings {
        let word = context.out.paint(Tone::Odd, "warning");
        context.out.line(format!("{word}: {}", warning.message))?;
    }
    for note in &project.flow().notes {
        let word = context.out.paint(Tone::Odd, "note");
        context.out.line(format!("{word}: {}: {}", note.place, note.message))?;
    }
    Ok(())
}

fn show(
    context: &mut Context,
    project: &Project,
    basis: &str,
    steps: &[StepPlan],
    strangers: &BTreeMap<String, Strangers>,
) -> Result<(), Failure> {
    let flow = project.flow();
    let places = thalweg_engine::Places::look(&project.setup);
    let missing: BTreeMap<&String, String> =
        flow.stations.keys().filter_map(|name| Some((name, places.missing_root(flow, name)?.to_string()))).collect();
    if context.out.json {
        let steps: Vec<_> = steps
            .iter()
            .map(|plan| {
                let keys: Vec<_> = plan.keys.iter().map(|evaluation| json!({
                    "key": evaluation.key.text(),
                    "station": evaluation.key.station,
                    "there": evaluation.there,
                    "there_because": evaluation.there_because,
                    "next": evaluation.next,
                    "reason": evaluation.reason,
                    "inputs": evaluation.task.as_ref().map(|task| &task.inputs),
                    "outputs": evaluation.task.as_ref().map(|task| &task.outputs),
                })).collect();
                json!({ "step": plan.step, "does": plan.does, "counts": plan.counts, "keys": keys, "not_shown": plan.hidden })
            })
            .collect();
        return context.out.document(&json!({
            "flow": flow.name, "stations": project.setup.here, "basis": basis, "notes": flow.notes, "missing_roots": missing,
            "of_no_product": strangers,
            "warnings": project.warnings.iter().map(|warning| &warning.message).collect::<Vec<_>>(), "steps": steps,
        }));
    }
    notes(context, project)?;
    let out = &mut context.out;
    for (station, missing) in &missing {
        let word = out.paint(Tone::Bad, "waiting");
        out.line(format!("{word}: station {station}: {missing}"))?;
    }
    context.out.line(format!("{} ({basis})", flow.name))?;
    for plan in steps {
        let counts: Vec<String> = plan.counts.iter().map(|(word, number)| format!("{number} {word}")).collect();
        let counts = if counts.is_empty() { "nothing there to work on".to_owned() } else { counts.join(", ") };
        context.out.line("")?;
        let name = context.out.paint(Tone::Head, &plan.step);
        context.out.line(format!("{name}: {}: {counts}", plan.does))?;
        let mut table = Table::new(&[]).indented(2);
        for evaluation in &plan.keys {
            table.row([Cell::state(word(evaluation)), key_text(flow, &evaluation.key).into(), why(evaluation).into()]);
        }
        context.out.table(&table)?;
        if plan.hidden > 0 {
            context.out.line(format!("  and {} more: --all shows them", plan.hidden))?;
        }
    }
    for text in strangers_text(strangers) {
        context.out.line("")?;
        context.out.line(text)?;
    }
    Ok(())
}

fn why(evaluation: &Evaluation) -> String {
    let mut text = evaluation.reason.text.clone();
    if let Some(because) = &evaluation.there_because
        && because.text != text
    {
        text.push_str(&format!(" ({}: {})", evaluation.there, because.text));
    }
    if let Some(until) = evaluation.reason.until {
        text.push_str(&format!(", until {}", time(until)));
    }
    if let Some(task) = &evaluation.task {
        let outputs: Vec<String> = task
            .outputs
            .iter()
            .filter_map(|output| Some(format!("{}/{}", output.station, output.path.as_ref()?)))
            .collect();
        if !outputs.is_empty() {
            text.push_str(&format!(" -> {}", outputs.join(", ")));
        }
    }
    text
}

/// Returns a key as people read it: the path of the driving file where that says all, else its text.
pub(super) fn key_text(flow: &Flow, key: &KeyId) -> String {
    let of_one = flow.steps.get(&key.step).is_some_and(|step| matches!(step.does, Verb::Send | Verb::Fetch));
    match (&key.driving, key.cell) {
        (Some((product, identity)), _) if of_one => format!("{product}({identity}) @{}", key.station),
        (None, Some(cell)) => {
            let fields = thalweg_core::fields_text(&key.fields);
            let blank = if fields.is_empty() { "" } else { " " };
            format!("{}{blank}{fields} @{}", crate::words::range(TimeRange::new(cell.start, cell.end)), key.station)
        }
        _ => key.text(),
    }
}
