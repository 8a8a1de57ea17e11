//! `resume`: ends pauses and drains.

use std::ffi::OsString;

use clap::Args;
use thalweg_ledger::HoldKind;

use super::{Context, Done, steering};
use crate::exit::Exit;

/// Ends pauses and drains
///
/// Named by number or by what they are about; without a name all of them end. With --where exactly what was paused with
/// the same name and condition ends, and nothing else.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg resume to-campus\n  thalweg resume --where dsm=b03\n  thalweg resume dmap --where site=sas\n  thalweg resume 3\n  thalweg resume"
)]
pub(crate) struct Resume {
    /// A number (see `thalweg status`), a step, a station, a product, or a path
    #[arg(value_name = "NUMBER|STEP|STATION|PRODUCT|PATH")]
    what: Option<OsString>,
    /// Exactly what was put up with this condition; repeatable
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    wheres: Vec<String>,
}

impl Resume {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        steering::take_down(
            context,
            &[HoldKind::Pause, HoldKind::Drain],
            self.what.as_deref(),
            &self.wheres,
            "resume",
        )?;
        Ok(Exit::Done)
    }
}
