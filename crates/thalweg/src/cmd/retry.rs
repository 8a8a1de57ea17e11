//! `retry`: tries again what failed.

use std::ffi::OsString;

use clap::Args;
use thalweg_engine::Request;

use super::steering::Subject;
use super::{Context, Done};
use crate::failure::Failure;
use crate::work;

/// Tries again what failed, now and from the first attempt
///
/// Without a name: everything that failed. An engine that runs on the ledger is asked to; else this process does it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg retry\n  thalweg retry to-campus\n  thalweg retry dmap --where site=sas\n  thalweg retry --quarantined"
)]
pub(crate) struct Retry {
    /// A step, a station, or a path
    #[arg(value_name = "STEP|STATION|PATH")]
    what: Option<OsString>,
    /// Only where a field has a value, or a condition holds; repeatable
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    wheres: Vec<String>,
    /// Also files that were put aside as bad: they are given back first
    #[arg(long)]
    quarantined: bool,
}

impl Retry {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        let subject = Subject::parse(&project, self.what.as_deref())?;
        if subject.product.is_some() {
            return Err(Failure::usage("a product cannot be retried").help("name the step that makes or takes it"));
        }
        project.ledger()?;
        let condition = subject.condition(&project, &self.wheres)?;
        let request = Request::Retry {
            step: subject.step,
            station: subject.station,
            r#where: condition,
            path: subject.path.map(|path| path.as_str().to_owned()),
            quarantined: self.quarantined,
        };
        let outcome = work::ask(&project, request, None, context)?;
        work::conclude(&outcome, &mut context.out)
    }
}
