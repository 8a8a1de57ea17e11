//! `make`: works backward from what is wanted.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::json;
use thalweg_core::TimeRange;
use thalweg_engine::Request;
use thalweg_flow::planner::Facts;
use thalweg_flow::planner::backward::{BackwardPlan, Wanted, plan_backward, producers};

use super::{Context, Done, plan};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Cell, Table};
use crate::project::Project;
use crate::survey::survey;
use crate::view::View;
use crate::words::{range, time};
use crate::work;

/// Makes a product for a span of time: what is missing is made, what is stale is made again
///
/// What its inputs need is made first, the same way. What is there is left as it is, unless --rebuild asks for all of it
/// again. Ends with 4 if something could not be made; each gap is named with its reason.
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
    /// Say what would be made, and touch nothing
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
        if to <= from {
            return Err(Failure::usage(format!("--to {} is not after --from {}", time(to), time(from))));
        }
        if producers(project.flow(), &product, None).is_empty() {
            return Err(Failure::usage(format!("no step of the flow makes {product}: it comes from outside"))
                .help("`thalweg gaps` says which times are missing; `thalweg graph` shows what is made from what"));
        }
        let wanted = Wanted { product, span: TimeRange::new(from, to), rebuild: self.rebuild, partial: self.partial };
        let now = context.now();
        let made = BTreeSet::new();
        let backward = match project.ledger_if_any()? {
            Some(ledger) => {
                let view = View::open(&project, &ledger, now)?;
                let facts = view.facts(project.flow());
                let backward = plan_backward(project.flow(), &wanted, &made, &facts);
                facts.trouble()?;
                backward
            }
            None => {
                let facts = survey(&project, now)?;
                plan_backward(project.flow(), &wanted, &made, &facts as &dyn Facts)
            }
        };
        if self.dry_run {
            show(context, &project, &wanted, &backward)?;
            let whole = backward.missing.is_empty() && backward.sources.is_empty();
            return Ok(if whole { Exit::Done } else { Exit::Failed });
        }
        let total = (backward.ready.len() + backward.later.len()) as u64;
        let outcome = work::ask(&project, Request::Make(wanted), (total > 0).then_some(total), context)?;
        work::conclude(&outcome, &mut context.out)
    }
}

fn show(context: &mut Context, project: &Project, wanted: &Wanted, backward: &BackwardPlan) -> Result<(), Failure> {
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
            "sources": backward.sources,
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
    for source in backward.sources.iter().take(SHOWN) {
        let why = format!(
            "missing source: no file is there at {} for {}, and no step makes one",
            source.stations.join(" or "),
            range(source.span)
        );
        table.row([Cell::state("missing"), source.product.as_str().into(), "".into(), why.into()]);
    }
    context.out.table(&table)?;
    let hidden: usize = [backward.ready.len(), backward.later.len(), backward.missing.len(), backward.sources.len()]
        .into_iter()
        .map(|all| all.saturating_sub(SHOWN))
        .sum();
    if hidden > 0 {
        context.out.line(format!("  and {hidden} more: --json lists all"))?;
    }
    Ok(())
}
