//! `scan`: lists stations and records what is there.

use clap::Args;
use thalweg_engine::Request;

use super::{Context, Done};
use crate::failure::Failure;
use crate::words::did_you_mean;
use crate::work;

/// Lists the stations of this host and records what is there; starts no step
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  thalweg scan\n  thalweg scan campus -v")]
pub(crate) struct Scan {
    /// Only this station
    #[arg(value_name = "STATION")]
    station: Option<String>,
}

impl Scan {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        if let Some(station) = &self.station
            && !project.setup.here.contains(station)
        {
            return Err(Failure::usage(format!("{station} is no station of this host"))
                .help(did_you_mean(station, project.setup.here.iter().map(String::as_str))));
        }
        let outcome = work::ask(&project, Request::Scan { station: self.station }, None, context)?;
        work::conclude(&outcome, &mut context.out)
    }
}
