//! `adopt`: takes outputs over that existed before.

use clap::Args;
use serde_json::json;
use thalweg_core::{TimeRange, Timestamp};
use thalweg_engine::facts::where_holds;
use thalweg_engine::{Adopt as Wanted, Outcome, Request};
use thalweg_flow::planner::adopt::{Adopting, AdoptionPlan, plan_adoption, steps_of};
use thalweg_flow::planner::{Facts, FileFact};

use super::steering::{Subject, who};
use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Cell, Table, Tone};
use crate::project::Project;
use crate::survey::survey;
use crate::view::View;
use crate::words::count;
use crate::work;

/// Enters outputs that were there before as done, without making them again
///
/// For an archive that existed before thalweg came, and where a lost ledger or a change from outside left outputs that are
/// refused as a conflict. Files are read once; the steps that make the product, or bring it somewhere, count as done
/// for them, with the inputs and versions as they are now. A copy counts only when its content is that of its source.
/// Nothing at a station is changed. What cannot be decided is left as it is and told; then it ends with 4.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg adopt rawacf --dry-run\n  thalweg adopt rawacf\n  thalweg adopt rawacf --from 2015-01-01 --to 2020-01-01 --where site=sas\n  thalweg adopt rawacf --json | jq 'select(.event == \"not_adopted\")'"
)]
pub(crate) struct Adopt {
    /// The product
    #[arg(value_name = "PRODUCT")]
    product: String,
    /// Only what covers a time from here on
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only what covers a time before this
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only where a field has a value, or a condition holds; repeatable
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    wheres: Vec<String>,
    /// Say what would be entered, and enter nothing
    #[arg(long)]
    dry_run: bool,
}

/// Lines shown of each kind.
const SHOWN: usize = 20;

impl Adopt {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        let product = project.product(&self.product)?.name.clone();
        if steps_of(project.flow(), &product).is_empty() {
            return Err(Failure::usage(format!("no step of the flow makes {product} or brings it anywhere"))
                .help("what comes from outside needs no adopting: `thalweg scan` takes note of it"));
        }
        let subject = Subject { product: Some(product.clone()), ..Subject::default() };
        let wanted = Wanted {
            product,
            span: self.span(context)?,
            r#where: subject.condition(&project, &self.wheres)?,
            by: who(),
        };
        if self.dry_run {
            return dry_run(context, &project, &wanted);
        }
        let outcome = work::ask(&project, Request::Adopt(wanted), Some(0), context)?;
        conclude(context, &outcome)
    }

    fn span(&self, context: &Context) -> Result<Option<TimeRange>, Failure> {
        let (from, to) = context.ends(self.from.as_deref(), self.to.as_deref())?;
        let span = TimeRange::new(from.unwrap_or(Timestamp::MIN), to.unwrap_or(Timestamp::MAX));
        Ok((from.is_some() || to.is_some()).then_some(span))
    }
}

fn conclude(context: &mut Context, outcome: &Outcome) -> Done {
    let left = outcome.missing.len() as u64;
    let out = &mut context.out;
    if out.json {
        out.object(&json!({
            "event": "summary", "adopted": outcome.done, "there": outcome.there, "left": left,
        }))?;
    } else if out.verbosity >= 0 {
        out.line(sums("adopted", outcome.done, outcome.there, left))?;
    }
    Ok(if left > 0 { Exit::Failed } else { Exit::Done })
}

fn sums(how: &str, adopted: u64, there: u64, left: u64) -> String {
    let mut text = format!("{} {how}, {there} the flow's own already", count(adopted, "file", "files"));
    if left > 0 {
        text.push_str(&format!(", {left} left as they are"));
    }
    text
}

fn dry_run(context: &mut Context, project: &Project, wanted: &Wanted) -> Done {
    let now = context.now();
    let plan = match View::open_if_listed(project, now)? {
        Some(view) => {
            let facts = view.facts(project.flow());
            let plan = plan(project, wanted, &facts, false);
            facts.trouble()?;
            plan
        }
        None => plan(project, wanted, &survey(project, now)?, true),
    };
    show(context, &plan)
}

fn plan(project: &Project, wanted: &Wanted, facts: &dyn Facts, by_size: bool) -> AdoptionPlan {
    let meant = |file: &FileFact| wanted.r#where.as_ref().is_none_or(|text| where_holds(text, &file.fields));
    let adopting = Adopting { product: &wanted.product, span: wanted.span, meant: &meant, by_size };
    plan_adoption(project.flow(), &adopting, facts)
}

fn show(context: &mut Context, plan: &AdoptionPlan) -> Done {
    let files: Vec<(&str, &FileFact)> = plan
        .adopt
        .iter()
        .flat_map(|adoption| adoption.outputs.iter().map(|file| (adoption.task.key.step.as_str(), file)))
        .collect();
    let exit = if plan.left.is_empty() { Exit::Done } else { Exit::Failed };
    let out = &mut context.out;
    if out.json {
        out.document(&json!({
            "would_adopt": plan.adopt.iter().map(|adoption| json!({
                "step": adoption.task.key.step,
                "key": adoption.task.key.text(),
                "outputs": adoption.outputs.iter().map(|file| json!({ "station": file.station, "path": file.path.as_str() })).collect::<Vec<_>>(),
                "inputs": adoption.task.inputs,
            })).collect::<Vec<_>>(),
            "there": plan.there.iter().map(|(station, path)| json!({ "station": station, "path": path.as_str() })).collect::<Vec<_>>(),
            "left": plan.left.iter().map(|left| json!({
                "station": left.station, "path": left.path.as_str(), "step": left.key.as_ref().map(|(step, _)| step),
                "key": left.key.as_ref().map(|(_, key)| key), "reason": left.reason,
            })).collect::<Vec<_>>(),
        }))?;
        return Ok(exit);
    }
    let mut table = Table::new(&[]);
    for (step, file) in files.iter().take(SHOWN) {
        table.row(["would adopt".into(), format!("{}/{}", file.station, file.path).into(), (*step).into()]);
    }
    for left in plan.left.iter().take(SHOWN) {
        let word = Cell::state("left");
        table.row([word, format!("{}/{}", left.station, left.path).into(), left.reason.text.as_str().into()]);
    }
    out.table(&table)?;
    let hidden = files.len().saturating_sub(SHOWN) + plan.left.len().saturating_sub(SHOWN);
    if hidden > 0 {
        out.line(format!("and {hidden} more: --json lists all"))?;
    }
    out.line(sums("would be adopted", files.len() as u64, plan.there.len() as u64, plan.left.len() as u64))?;
    let note = out.paint(Tone::Odd, "nothing was entered");
    out.line(format!("{note}: without --dry-run it is, and every file is read and compared first"))?;
    Ok(exit)
}
