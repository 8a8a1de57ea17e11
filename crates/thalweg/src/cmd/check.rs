//! `check`: explains every mistake of a flow file at its place.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use thalweg_flow::{Diagnostics, Severity};

use super::{Context, Done};
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::here::access::Account;
use crate::here::{self, Finding};
use crate::out::Tone;
use crate::project::{self, Project};
use crate::words::count;

/// Explains the mistakes of a flow file at their places, with what to write instead
///
/// Prints all problems, not the first, warnings too, and what the file says that nothing carries out; also roots and
/// programs that are not there and that no run makes. No station is touched. Ends with 3 if there are errors. With --here
/// this host is looked at besides: roots, mounts, rights, programs of external commands, space, watches, clock, ledger,
/// sandbox, as the account that asks; each finding with its remedy.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg check\n  thalweg check flows/superdarn/flow.toml\n  thalweg check --here -v\n  sudo -u radar thalweg check --here --flow /data/flow/flow.toml\n  thalweg check --effective\n  thalweg check flow.toml --json | jq '.problems[] | \"\\(.line):\\(.column) \\(.message)\"'"
)]
pub(crate) struct Check {
    /// The flow file [default: as for all commands]
    #[arg(value_name = "FLOW")]
    file: Option<PathBuf>,
    /// Look at this host too: what would stop the flow here (-v: also what is fine)
    #[arg(long)]
    here: bool,
    /// Show the flow as TOML with every default filled in, and parameters with the values that are set now
    #[arg(long, conflicts_with = "here")]
    effective: bool,
}

impl Check {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let path = match self.file {
            Some(path) => path,
            None => project::find(&context.global, None)?,
        };
        if self.effective {
            return effective(&path, context);
        }
        let (source, parsed) = project::read(&context.global, &path)?;
        let (problems, flow) = match parsed {
            Ok(parsed) => (parsed.warnings, Some(parsed.flow)),
            Err(diagnostics) => (diagnostics.problems, None),
        };
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        let notes = flow.as_ref().map(|flow| flow.notes.clone()).unwrap_or_default();
        let findings = match &flow {
            Some(_) if self.here => here::look(&project(&path, context)?, context.now()),
            Some(_) => glance(&path, context)?,
            None => Vec::new(),
        };
        let stops = findings.iter().any(|finding| finding.severity == here::Severity::Error);
        let stops_reading = flow.is_none();
        let exit = if flow.is_some() && !stops { Exit::Done } else { Exit::Config };
        let out = &mut context.out;
        if out.json {
            let mut document = json!({
                "file": source.name,
                "valid": flow.is_some(),
                "errors": errors,
                "warnings": problems.len() - errors,
                "problems": project::problems(&source, &problems),
                "notes": notes,
                "findings": findings,
            });
            if self.here {
                document["host"] = json!(thalweg_engine::host_name());
                document["account"] = json!(Account::Own.name());
            }
            out.document(&document)?;
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
            let counts = [
                number(flow.stations.len(), "station", "stations"),
                number(flow.products.len(), "product", "products"),
                number(flow.steps.len(), "step", "steps"),
                number(flow.keeps.len(), "keep", "keeps"),
                number(flow.checks.len(), "check", "checks"),
            ];
            out.line(format!("{}: flow {} is valid: {}", source.name, flow.name, counts.join(", ")))?;
        }
        if self.here && !stops_reading {
            tell(&findings, context)?;
        } else {
            findings.iter().try_for_each(|finding| finding.tell(&mut context.out))?;
        }
        Ok(exit)
    }
}

fn number(number: usize, one: &str, many: &str) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX), one, many)
}

fn project(path: &Path, context: &Context) -> Result<Project, Failure> {
    let global = Global { flow: Some(path.to_owned()), ..context.global.clone() };
    Project::load(&global, None, &context.clock)
}

// What a flow of another host lacks here is no mistake, and a flow that nothing here can run is none either.
fn glance(path: &Path, context: &Context) -> Result<Vec<Finding>, Failure> {
    match project(path, context) {
        Ok(project) => Ok(here::glance(&project)),
        Err(failure) if is_about_at(&failure, context) => Err(failure),
        Err(_) => Ok(Vec::new()),
    }
}

// Stations that were named on the command line are another matter: the caller means that they are there.
fn is_about_at(failure: &Failure, context: &Context) -> bool {
    failure.exit == Exit::Usage && !context.global.at.is_empty()
}

fn tell(findings: &[Finding], context: &mut Context) -> Result<(), Failure> {
    use here::Severity;
    let out = &mut context.out;
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let mut shown: Vec<&Finding> =
        findings.iter().filter(|finding| finding.severity != Severity::Fine || out.verbosity > 0).collect();
    // The gravest first.
    shown.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for finding in shown {
        finding.tell(out)?;
    }
    let [errors, warnings, fine] = [Severity::Error, Severity::Warning, Severity::Fine].map(of);
    let hint = if out.verbosity > 0 || fine == 0 { "" } else { " (-v shows them)" };
    out.line(format!(
        "host {}, as {}: {}, {}, {fine} fine{hint}",
        thalweg_engine::host_name(),
        Account::Own.name(),
        number(errors, "error", "errors"),
        number(warnings, "warning", "warnings"),
    ))
}

fn effective(path: &Path, context: &mut Context) -> Done {
    let (source, settings, around) = project::ingredients(&context.global, path)?;
    let text = thalweg_flow::effective(&source, &settings, &around).map_err(|found| project::refused(&found))?;
    if let Err(failure) = project(path, context)
        && is_about_at(&failure, context)
    {
        return Err(failure);
    }
    if context.out.json {
        context.out.document(&json!({ "file": source.name, "effective": text }))?;
    } else {
        context.out.write_all(text.as_bytes())?;
    }
    Ok(Exit::Done)
}
