//! `pause`: starts nothing of a step or station until it is resumed.

use std::ffi::OsString;

use clap::Args;
use thalweg_ledger::HoldKind;

use super::{Context, Done, steering};
use crate::exit::Exit;

/// Starts nothing of a step or station, or of one radar or logger, until it is resumed
///
/// What runs goes on to its end. With --where and no name: one radar, one logger, in all steps. A task about several files is
/// paused when the condition holds for all of them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg pause to-campus --why 'link is needed for a call'\n  thalweg pause campus\n  thalweg pause dmap --where site=sas\n  thalweg pause --where dsm=b03 --why 'logger is being changed'"
)]
pub(crate) struct Pause {
    /// A step, a station, a product, or a path (at a station of this host, or STATION/PATH)
    #[arg(value_name = "STEP|STATION|PRODUCT|PATH", required_unless_present = "wheres")]
    what: Option<OsString>,
    /// Only where a field has a value, or a condition holds; repeatable
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    wheres: Vec<String>,
    /// Why, for those who find it
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

impl Pause {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        steering::put_up(context, HoldKind::Pause, self.what.as_deref(), &self.wheres, self.why)?;
        Ok(Exit::Done)
    }
}
