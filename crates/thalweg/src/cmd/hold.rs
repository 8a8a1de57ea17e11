//! `hold`: leaves files or keys alone until they are released.

use std::ffi::OsString;

use clap::Args;
use thalweg_ledger::HoldKind;

use super::{Context, Done, steering};
use crate::exit::Exit;

/// Leaves files or keys alone until they are released
///
/// Nothing that takes them starts, and no keep deletes them.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg hold campus/sas/20191106.rawacf.bz2 --why 'being looked at'\n  thalweg hold rawacf --where site=sas --why 'wrong frequency table'\n  thalweg hold --where dsm=b03"
)]
pub(crate) struct Hold {
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

impl Hold {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        steering::put_up(context, HoldKind::Hold, self.what.as_deref(), &self.wheres, self.why)?;
        Ok(Exit::Done)
    }
}
