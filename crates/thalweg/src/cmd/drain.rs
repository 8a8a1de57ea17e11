//! `drain`: lets what was begun end and starts nothing new.

use clap::Args;
use thalweg_engine::Request;

use super::steering::Subject;
use super::{Context, Done};
use crate::failure::Failure;
use crate::work;

/// Starts nothing new of a step or station and waits until what runs has ended
///
/// It stays so until `thalweg resume`. Without a name: everything, as before switching a host off.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  thalweg drain\n  thalweg drain campus\n  thalweg resume dmap")]
pub(crate) struct Drain {
    /// A step or a station
    #[arg(value_name = "STEP|STATION")]
    what: Option<String>,
}

impl Drain {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        let subject = Subject::parse(&project, self.what.as_deref())?;
        if subject.path.is_some() || subject.product.is_some() {
            return Err(Failure::usage("only a step or a station can be drained").help("`thalweg hold` leaves a file or a product alone"));
        }
        let request = Request::Drain {
            what: subject.step.or(subject.station),
        };
        let outcome = work::ask(&project, request, None, context)?;
        work::conclude(&outcome, &mut context.out)
    }
}
