//! `drain`: lets what was begun end and starts nothing new.

use std::ffi::OsString;

use clap::Args;
use thalweg_ledger::HoldKind;

use super::{Context, Done, steering};
use crate::exit::Exit;

/// Starts nothing new of a step or station and waits until what runs has ended
///
/// It stays so until `thalweg resume`. With --where only runs that the condition holds for are waited for. Without a name: everything, as before switching a host off.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg drain --why 'new disk'\n  thalweg drain campus\n  thalweg drain dmap --where site=sas\n  thalweg resume dmap"
)]
pub(crate) struct Drain {
    /// A step or a station
    #[arg(value_name = "STEP|STATION")]
    what: Option<OsString>,
    /// Only where a field has a value, or a condition holds; repeatable
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    wheres: Vec<String>,
    /// Why, for those who find it
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

impl Drain {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        steering::put_up(context, HoldKind::Drain, self.what.as_deref(), &self.wheres, self.why)?;
        Ok(Exit::Done)
    }
}
