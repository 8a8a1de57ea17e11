//! `scan`: lists stations and records what is there.

use clap::Args;
use serde_json::json;
use thalweg_engine::{Request, Strangers};

use super::{Context, Done};
use crate::failure::Failure;
use crate::words::{count, did_you_mean};
use crate::work;

/// Lists the stations of this host and records what is there; starts no step
///
/// Names files, in folders where products are looked for, that no product's pattern describes: the first 20 of each station.
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
        let request = Request::Scan { station: self.station.clone() };
        let outcome = work::ask(&project, request, None, context)?;
        let reader = project.ledger()?.reader()?;
        for station in project.setup.here.iter().filter(|here| self.station.as_ref().is_none_or(|only| only == *here)) {
            let strangers = Strangers::at(&reader, station)?;
            if context.out.json {
                context.out.object(&json!({ "event": "of_no_product", "station": station, "strangers": strangers }))?;
            } else if strangers.files > 0 {
                let files = count(strangers.files, "file", "files");
                context.out.line(format!("{files} at {station} of no product:"))?;
                for path in &strangers.examples {
                    context.out.line(format!("  {path}"))?;
                }
                let named = u64::try_from(strangers.examples.len()).unwrap_or(u64::MAX);
                if strangers.files > named {
                    context.out.line(format!("  and {} more", strangers.files - named))?;
                }
            }
        }
        work::conclude(&outcome, &mut context.out)
    }
}
