//! `make`: works backward from what is wanted.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::json;
use thalweg_core::TimeRange;
use thalweg_engine::Request;
use thalweg_engine::forecast::{Forecast, forecast};
use thalweg_flow::planner::Facts;
use thalweg_flow::planner::backward::{BackwardPlan, Wanted, plan_backward, producers};

use super::{Context, Done, in_order, plan};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Cell, Table, Tone};
use crate::project::Project;
use crate::survey::survey;
use crate::view::View;
use crate::words::{count, range, size};
use crate::work;

/// Makes a product for a span of time: what is missing is made, what is stale is made again
///
/// What its inputs need is made first, the same way. What is there is left as it is, unless --rebuild asks for all of it
/// again. Ends with 4 if something could not be made; each gap is named with its reason. The newest file of a series that its
/// ready rule holds back is told and is no failure.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg make rawacf --from 2019-11-06 --to 2019-11-07\n  thalweg make rds-minute --from gps:899164800 --to gps:899251200 --dry-run\n  thalweg make stats --from 7d --to now --rebuild\n  thalweg make merged --from 12h --to now --partial"
)]
pub(crate) struct Make {
    /// The product
    #[arg(value_name = "PRODUCT")]
    product: String,
    /// Start of the span
    #[arg(long, value_name = "TIME")]
    from: String,
    /// End of it
    #[arg(long, value_name = "TIME")]
    to: String,
    /// Make what is missing or stale (what happens without a word)
    #[arg(long, conflicts_with = "rebuild")]
    fill: bool,
    /// Make everything again, also what is there
    #[arg(long)]
    rebuild: bool,
    /// Go on without inputs that are missing, as long as one that depends on the key is there
    #[arg(long)]
    partial: bool,
    /// Say what would be made and what it will probably take, by past runs; touch nothing
    #[arg(long)]
    dry_run: bool,
}

/// Lines shown of each kind.
const SHOWN: usize = 20;

impl Make {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        let product = project.product(&self.product)?.name.clone();
        let (from, to) = (context.instant(&self.from)?, context.instant(&self.to)?);
        in_order(from, to)?;
        if producers(project.flow(), &product, None).is_empty() {
            return Err(Failure::usage(format!("no step of the flow makes {product}: it comes from outside"))
                .help("`thalweg gaps` says which times are missing; `thalweg graph` shows what is made from what"));
        }
        let wanted = Wanted { product, span: TimeRange::new(from, to), rebuild: self.rebuild, partial: self.partial };
        let now = context.now();
        let made = BTreeSet::new();
        let slots = project.setup.slots.unwrap_or_else(processors);
        let (backward, forecast) = match View::open_if_listed(&project, now)? {
            Some(view) => {
                let facts = view.facts(project.flow());
                let backward = plan_backward(project.flow(), &wanted, &made, &facts);
                let forecast = forecast(project.flow(), &backward, Some(&view.reader), slots, &facts)?;
                facts.trouble()?;
                (backward, forecast)
            }
            None => {
                let facts = survey(&project, now)?;
                let backward = plan_backward(project.flow(), &wanted, &made, &facts as &dyn Facts);
                let forecast = forecast(project.flow(), &backward, None, slots, &facts)?;
                (backward, forecast)
            }
        };
        if self.dry_run {
            show(context, &project, &wanted, &backward, &forecast)?;
            let whole = backward.missing.is_empty() && backward.sources.is_empty();
            return Ok(if whole { Exit::Done } else { Exit::Failed });
        }
        let total = (backward.ready.len() + backward.later.len()) as u64;
        let outcome = work::ask(&project, Request::Make(wanted), (total > 0).then_some(total), context)?;
        work::conclude(&outcome, &mut context.out)
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

// What it will probably take.
fn tell_forecast(context: &mut Context, forecast: &Forecast) -> Result<(), Failure> {
    if forecast.steps.is_empty() {
        return Ok(());
    }
    let out = &mut context.out;
    out.line("what it will probably take:")?;
    let mut table = Table::new(&["step", "keys", "outputs", "size", "time", ""]).indented(2);
    let number = |value: Option<u64>| Cell::right(value.map_or_else(|| "?".to_owned(), |value| value.to_string()));
    let bytes = |value: Option<u64>| Cell::right(value.map_or_else(|| "?".to_owned(), size));
    let seconds = |value: Option<f64>| Cell::right(value.map_or_else(|| "?".to_owned(), about));
    for step in &forecast.steps {
        let basis = match step.past_runs {
            0 => "no past runs".to_owned(),
            runs => format!("by {}", count(runs, "past run", "past runs")),
        };
        table.row([
            step.step.as_str().into(),
            step.keys.into(),
            number(step.outputs),
            bytes(step.bytes),
            seconds(step.seconds),
            basis.into(),
        ]);
    }
    if forecast.steps.len() > 1 {
        let total = &forecast.total;
        let (outputs, all) = (number(Some(total.outputs)), bytes(Some(total.bytes)));
        let more = if total.whole { "" } else { "at least" };
        table.row(["in all".into(), total.keys.into(), outputs, all, seconds(Some(total.seconds)), more.into()]);
    }
    out.table(&table)?;
    for warning in forecast.space.iter().filter_map(|space| space.warning.as_ref()) {
        let word = out.paint(Tone::Odd, "warning");
        out.line(format!("{word}: {warning}"))?;
    }
    Ok(())
}

fn about(seconds: f64) -> String {
    let span = jiff::SignedDuration::try_from_secs_f64(seconds).unwrap_or(jiff::SignedDuration::MAX);
    // Of what takes long nobody wants the milliseconds.
    let whole = if seconds < 10.0 {
        jiff::SignedDuration::from_millis(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
    } else {
        jiff::SignedDuration::from_secs(span.as_secs())
    };
    thalweg_core::units::format_duration(whole)
}

fn show(
    context: &mut Context,
    project: &Project,
    wanted: &Wanted,
    backward: &BackwardPlan,
    forecast: &Forecast,
) -> Result<(), Failure> {
    let flow = project.flow();
    if context.out.json {
        let texts = |keys: &[thalweg_flow::planner::KeyId]| {
            keys.iter().map(|key| json!({ "step": key.step, "key": key.text() })).collect::<Vec<_>>()
        };
        return context.out.document(&json!({
            "wanted": wanted,
            "ready": backward.ready.iter().map(|task| json!({
                "step": task.key.step, "key": task.key.text(), "because": task.because,
                "inputs": task.inputs, "outputs": task.outputs,
            })).collect::<Vec<_>>(),
            "later": backward.later.iter().map(|later| json!({ "step": later.key.step, "key": later.key.text(), "after": later.after })).collect::<Vec<_>>(),
            "running": texts(&backward.running),
            "there": texts(&backward.there),
            "missing": backward.missing.iter().map(|evaluation| json!({
                "step": evaluation.key.step, "key": evaluation.key.text(), "there": evaluation.there, "next": evaluation.next, "reason": evaluation.reason,
            })).collect::<Vec<_>>(),
            "held": backward.held.iter().map(|evaluation| json!({
                "step": evaluation.key.step, "key": evaluation.key.text(), "reason": evaluation.reason,
            })).collect::<Vec<_>>(),
            "sources": backward.sources,
            "forecast": forecast,
        }));
    }
    context.out.line(format!("{} for {}", wanted.product, range(wanted.span)))?;
    context.out.line(format!(
        "{} to run now, {} after them, {} running, {} there already, {} that cannot be made",
        backward.ready.len(),
        backward.later.len(),
        backward.running.len(),
        backward.there.len(),
        backward.missing.len()
    ))?;
    if !backward.held.is_empty() {
        let held = count(backward.held.len() as u64, "key waits", "keys wait");
        context.out.line(format!("{held} for a newer file: its input is the newest of its series"))?;
    }
    let mut by_step: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for task in &backward.ready {
        by_step.entry(&task.key.step).or_default().0 += 1;
    }
    for later in &backward.later {
        by_step.entry(&later.key.step).or_default().1 += 1;
    }
    for (step, (now, later)) in by_step {
        context.out.line(format!("  {step}: {now} now, {later} later"))?;
    }
    let mut table = Table::new(&[]).indented(2);
    for task in backward.ready.iter().take(SHOWN) {
        table.row([
            Cell::state("ready"),
            task.key.step.as_str().into(),
            plan::key_text(flow, &task.key).into(),
            task.because.as_str().into(),
        ]);
    }
    for later in backward.later.iter().take(SHOWN) {
        table.row([
            Cell::from("later"),
            later.key.step.as_str().into(),
            plan::key_text(flow, &later.key).into(),
            later.after.as_str().into(),
        ]);
    }
    for evaluation in backward.missing.iter().take(SHOWN) {
        table.row([
            Cell::state(plan::word(evaluation)),
            evaluation.key.step.as_str().into(),
            plan::key_text(flow, &evaluation.key).into(),
            evaluation.reason.text.as_str().into(),
        ]);
    }
    for evaluation in backward.held.iter().take(SHOWN) {
        table.row([
            Cell::state("waiting"),
            evaluation.key.step.as_str().into(),
            plan::key_text(flow, &evaluation.key).into(),
            evaluation.reason.text.as_str().into(),
        ]);
    }
    for source in backward.sources.iter().take(SHOWN) {
        let why = format!(
            "missing source: no file is there at {} for {}, and no step makes one",
            source.stations.join(" or "),
            range(source.span)
        );
        table.row([Cell::state("missing"), source.product.as_str().into(), "".into(), why.into()]);
    }
    context.out.table(&table)?;
    let hidden: usize = [
        backward.ready.len(),
        backward.later.len(),
        backward.missing.len(),
        backward.held.len(),
        backward.sources.len(),
    ]
    .into_iter()
    .map(|all| all.saturating_sub(SHOWN))
    .sum();
    if hidden > 0 {
        context.out.line(format!("  and {hidden} more: --json lists all"))?;
    }
    tell_forecast(context, forecast)
}
