//! `schema`: the JSON Schema of flow files.

use clap::Args;

use super::{Context, Done};
use crate::exit::Exit;

/// Prints the JSON Schema of flow files, for editors
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg schema > flow.schema.json\n  # first line of flow.toml, for editors with a TOML language server:\n  #:schema ./flow.schema.json"
)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        context.out.document(&thalweg_flow::schema())?;
        Ok(Exit::Done)
    }
}
