//! `check`: explains every mistake of a flow file at its place.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use thalweg_flow::{Diagnostics, Severity};

use super::{Context, Done};
use crate::exit::Exit;
use crate::out::Tone;
use crate::project;
use crate::words::count;

/// Explains the mistakes of a flow file at their places, with what to write instead
///
/// Prints all problems, not the first, warnings too, and what the file says that nothing carries out. No station is
/// touched. Ends with 3 if there are errors.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg check\n  thalweg check flows/superdarn/flow.toml\n  thalweg check flow.toml --json | jq '.problems[] | \"\\(.line):\\(.column) \\(.message)\"'"
)]
pub(crate) struct Check {
    /// The flow file [default: as for all commands]
    #[arg(value_name = "FLOW")]
    file: Option<PathBuf>,
}

impl Check {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let path = match self.file {
            Some(path) => path,
            None => project::find(&context.global, None)?,
        };
        let (source, parsed) = project::read(&context.global, &path)?;
        let (problems, flow) = match parsed {
            Ok(parsed) => (parsed.warnings, Some(parsed.flow)),
            Err(diagnostics) => (diagnostics.problems, None),
        };
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        let notes = flow.as_ref().map(|flow| flow.notes.clone()).unwrap_or_default();
        let exit = if flow.is_some() { Exit::Done } else { Exit::Config };
        let out = &mut context.out;
        if out.json {
            out.document(&json!({
                "file": source.name,
                "valid": flow.is_some(),
                "errors": errors,
                "warnings": problems.len() - errors,
                "problems": project::problems(&source, &problems),
                "notes": notes,
            }))?;
            return Ok(exit);
        }
        if !problems.is_empty() {
            let text = Diagnostics { source: source.clone(), problems }.render(out.colour, 100);
            out.write_all(text.as_bytes())?;
        }
        for note in &notes {
            let word = out.paint(Tone::Odd, "note");
            out.line(format!("{word}: {}: {}", note.place, note.message))?;
        }
        if let Some(flow) = flow {
            let number = |number: usize, one, many| count(u64::try_from(number).unwrap_or(u64::MAX), one, many);
            let counts = [
                number(flow.stations.len(), "station", "stations"),
                number(flow.products.len(), "product", "products"),
                number(flow.steps.len(), "step", "steps"),
                number(flow.keeps.len(), "keep", "keeps"),
                number(flow.checks.len(), "check", "checks"),
            ];
            out.line(format!("{}: flow {} is valid: {}", source.name, flow.name, counts.join(", ")))?;
        }
        Ok(exit)
    }
}
