//! `probe`: what a file's content says; the engine runs it as a child process.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use thalweg_steps::{ProbeOutput, probe};

use super::dmap::verb_context;
use super::{Context, Done};
use crate::exit::Exit;

/// Prints the coverage and the fields of a file as JSON
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  thalweg probe dmap 20191106.0000.00.sas.a.rawacf.bz2")]
pub(crate) struct Probe {
    /// The format
    #[arg(value_name = "FORMAT")]
    format: String,
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Probe {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let verb = verb_context()?;
        let found = probe(&self.format, &self.file).map_err(|error| verb.failure(error))?;
        let said = ProbeOutput::from(found);
        context.out.object(&json!({ "coverage": { "start": said.start, "end": said.end }, "fields": said.fields }))?;
        Ok(Exit::Done)
    }
}
