//! `verify`: reads files again and compares them with what was recorded.

use clap::Args;
use thalweg_core::units::parse_percent;
use thalweg_engine::Request;

use super::{Context, Done};
use crate::failure::Failure;
use crate::work;

/// Reads files again from the medium and compares them with what was recorded
///
/// A file that differs is an alarm, never overwritten. Without options: a sample of 5 %.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg verify\n  thalweg verify --sample 20%\n  thalweg verify --all --at campus"
)]
pub(crate) struct Verify {
    /// All files
    #[arg(long, conflicts_with = "sample")]
    all: bool,
    /// A share of them
    #[arg(long, value_name = "PERCENT", default_value = "5%")]
    sample: String,
}

impl Verify {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        let sample_percent = parse_percent(&self.sample)?;
        if !(sample_percent > 0.0 && sample_percent <= 100.0) {
            return Err(Failure::usage(format!("--sample {}: more than 0% and at most 100% is meant", self.sample)));
        }
        project.ledger()?;
        let outcome = work::ask(&project, Request::Verify { all: self.all, sample_percent }, None, context)?;
        work::conclude(&outcome, &mut context.out)
    }
}
