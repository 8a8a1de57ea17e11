//! `retry`: tries again what failed.

use std::ffi::OsString;

use clap::Args;
use thalweg_engine::Request;
use thalweg_ledger::QuarantineFilter;

use super::steering::Subject;
use super::{Context, Done};
use crate::failure::Failure;
use crate::work;

/// Tries again what failed, now and not when its next try is due
///
/// Without a name: everything that failed. The attempts go on counting: once those of the step's `retry` are used up, another
/// failure is not tried again by itself. An engine that runs on the ledger is asked to; else this process does it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg retry\n  thalweg retry to-campus\n  thalweg retry dmap --where site=sas\n  thalweg retry --quarantined\n  thalweg retry --backlog dmap"
)]
pub(crate) struct Retry {
    /// A step, a station, or a path; with --backlog a step, a station or a product
    #[arg(value_name = "STEP|STATION|PATH")]
    what: Option<OsString>,
    /// Only where a field has a value, or a condition holds; repeatable
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    wheres: Vec<String>,
    /// Also files that were put aside as bad: they are given back first
    #[arg(long)]
    quarantined: bool,
    /// Also files that are older than the first `run` here, and were left alone by `run --no-backlog`
    #[arg(long)]
    backlog: bool,
}

impl Retry {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        let subject = Subject::parse(&project, self.what.as_deref())?;
        if self.backlog && (!self.wheres.is_empty() || subject.path.is_some()) {
            return Err(Failure::usage("old files are taken up by step, station or product, not by path or condition")
                .help("`thalweg make PRODUCT --from … --to …` takes those of a span of time"));
        }
        if subject.product.is_some() && !self.backlog {
            return Err(Failure::usage("a product cannot be retried").help("name the step that makes or takes it"));
        }
        if subject.product.is_some() && self.quarantined {
            return Err(Failure::usage(
                "files that are put aside are tried again by step, station or path, not by product",
            )
            .help("leave --quarantined out, or name the step that takes them"));
        }
        project.ledger()?;
        let condition = subject.condition(&project, &self.wheres)?;
        let request = Request::Retry {
            step: subject.step,
            station: subject.station,
            r#where: condition,
            path: subject.path.map(|path| path.as_str().to_owned()),
            quarantined: self.quarantined,
            backlog: self.backlog,
            product: subject.product,
        };
        let (what, quarantined) = (self.what.is_some() || !self.wheres.is_empty(), self.quarantined);
        let outcome = work::ask(&project, request, None, context)?;
        if outcome.retried == 0 && !context.out.json && context.out.verbosity >= 0 {
            let out = &mut context.out;
            let named = if what { " of what was named" } else { "" };
            out.line(format!("there was nothing to try again: nothing{named} has failed"))?;
            if self.backlog {
                out.line("no old files are left alone here: none has to be taken up")?;
            }
            out.line(
                "`thalweg status` counts what failed at each step, `thalweg plan` says what else is open and why",
            )?;
            if !quarantined && !project.ledger()?.reader()?.quarantined(&QuarantineFilter::default())?.is_empty() {
                out.line("files that are put aside are tried again with --quarantined")?;
            }
        }
        work::conclude(&outcome, &mut context.out)
    }
}
