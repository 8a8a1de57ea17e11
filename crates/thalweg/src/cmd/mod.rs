//! The subcommands, one file each.

pub(crate) mod adopt;
pub(crate) mod check;
pub(crate) mod checks;
pub(crate) mod completions;
pub(crate) mod coverage;
pub(crate) mod demo;
pub(crate) mod dmap;
pub(crate) mod drain;
pub(crate) mod find;
pub(crate) mod gaps;
pub(crate) mod graph;
pub(crate) mod hold;
pub(crate) mod image;
pub(crate) mod init;
pub(crate) mod install_service;
pub(crate) mod lineage;
pub(crate) mod log;
pub(crate) mod make;
pub(crate) mod man;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod probe;
pub(crate) mod quarantine;
pub(crate) mod release;
pub(crate) mod resume;
pub(crate) mod retry;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod scan;
pub(crate) mod schema;
pub(crate) mod send;
pub(crate) mod status;
mod steering;
pub(crate) mod superdarn;
pub(crate) mod trim;
pub(crate) mod verify;
mod where_clause;
pub(crate) mod why;

use std::path::Path;
use std::sync::Arc;

use thalweg_core::time::parse_instant;
use thalweg_core::{Clock, Timestamp};

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Out;
use crate::project::Project;
use crate::words::time;

/// How a command ended.
pub(crate) type Done = Result<Exit, Failure>;

/// What every command is given.
pub(crate) struct Context {
    /// Options of every subcommand.
    pub(crate) global: Global,
    /// Standard output.
    pub(crate) out: Out,
    /// Where time comes from.
    pub(crate) clock: Arc<dyn Clock>,
}

/// The ends of a span of time, as far as they are given.
pub(crate) type Ends = (Option<Timestamp>, Option<Timestamp>);

/// Refuses a span that ends before it begins.
///
/// # Errors
///
/// Usage.
pub(crate) fn in_order(from: Timestamp, to: Timestamp) -> Result<(), Failure> {
    if from < to {
        return Ok(());
    }
    Err(Failure::usage(format!("--to {} is not after --from {}", time(to), time(from))).help("change them over"))
}

impl Context {
    /// Returns the present moment.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Reads an instant of the command line.
    pub(crate) fn instant(&self, text: &str) -> Result<Timestamp, Failure> {
        Ok(parse_instant(text, self.now())?)
    }

    /// Reads an instant that may have been left out.
    pub(crate) fn opt_instant(&self, text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
        text.map(|text| self.instant(text)).transpose()
    }

    /// Reads the two ends of a span, each of which may have been left out.
    pub(crate) fn ends(&self, from: Option<&str>, to: Option<&str>) -> Result<Ends, Failure> {
        let (from, to) = (self.opt_instant(from)?, self.opt_instant(to)?);
        if let (Some(from), Some(to)) = (from, to) {
            in_order(from, to)?;
        }
        Ok((from, to))
    }

    /// Reads the flow file and sets up what belongs to it.
    pub(crate) fn project(&self) -> Result<Project, Failure> {
        Project::load(&self.global, None, &self.clock)
    }

    /// The same; the flow file is also looked for in the folders above a path.
    pub(crate) fn project_near(&self, path: &Path) -> Result<Project, Failure> {
        Project::load(&self.global, Some(path), &self.clock)
    }
}
