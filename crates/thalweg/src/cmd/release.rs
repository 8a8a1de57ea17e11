//! `release`: ends holds.

use std::ffi::OsString;

use clap::Args;
use thalweg_ledger::HoldKind;

use super::{Context, Done, steering};
use crate::exit::Exit;

/// Ends holds
///
/// Named by number or by what they are about. With --where exactly what was held with the same name and condition ends.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  thalweg release 3\n  thalweg release rawacf --where site=sas")]
pub(crate) struct Release {
    /// A number (see `thalweg status`), a step, a station, a product, or a path
    #[arg(value_name = "NUMBER|STEP|STATION|PRODUCT|PATH", required_unless_present = "wheres")]
    what: Option<OsString>,
    /// Exactly what was put up with this condition; repeatable
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    wheres: Vec<String>,
}

impl Release {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        steering::take_down(context, &[HoldKind::Hold], self.what.as_deref(), &self.wheres, "release")?;
        Ok(Exit::Done)
    }
}
