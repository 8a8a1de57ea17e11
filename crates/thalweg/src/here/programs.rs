//! External commands: found, executable, with their interpreters; settings files; what they say of their versions.

use std::io::Read;
use std::path::Path;

use rustix::fs::{Access, access};
use thalweg_engine::{VerbVersions, program_of};
use thalweg_flow::planner::VerbVersion;
use thalweg_flow::{Argument, Executor, Piece, Placeholder, Step, Verb, WithWhat};

use super::access::{Account, Wanted, look as may};
use super::finding::{Finding, Severity};
use crate::project::Project;

/// Looks at the commands of all steps of this host.
pub(super) fn look(project: &Project) -> Vec<Finding> {
    let setup = &project.setup;
    let versions = VerbVersions::ask(setup, &VerbVersions::default());
    let mut findings = Vec::new();
    for step in project.flow().steps.values() {
        if !step.at.iter().any(|at| setup.here.contains(at)) {
            continue;
        }
        if let Some(name) = named(project, step) {
            findings.push(program(project, step, &name));
        }
        settings(project, step, &mut findings);
        let place = format!("steps.{}", step.name);
        match versions.of(&step.name) {
            Some(VerbVersion::Said(said)) => {
                let first = said.lines().next().unwrap_or_default().to_owned();
                findings.push(Finding::fine("version", place, format!("its command is {first}")));
            }
            Some(VerbVersion::Unknown(why)) => findings.push(Finding::error(
                "version_unknown",
                place,
                format!("its command does not say which version it is: {why}"),
                "correct `version_from`, or leave it out: until then its keys are blocked",
            )),
            None => {}
        }
    }
    findings
}

/// Looks only whether the programs are there.
pub(super) fn missing(project: &Project) -> Vec<Finding> {
    let steps = project.flow().steps.values();
    let here = steps.filter(|step| step.at.iter().any(|at| project.setup.here.contains(at)));
    let found = here.filter_map(|step| Some(program(project, step, &named(project, step)?)));
    // For a host that is meant to run the flow it is an error, and `check --here` says so.
    let warned = |finding| Finding { severity: Severity::Warning, ..finding };
    found.filter(|finding| finding.severity == Severity::Error).map(warned).collect()
}

// The program of an external command that runs here, as far as it is known before there is a task.
fn named(project: &Project, step: &Step) -> Option<String> {
    let Verb::Run(line) = &step.does else { return None };
    line.args.first().filter(|_| step.executor == Executor::Local).and_then(|argument| plain(project, argument))
}

// A first word that is filled from a task is known only then.
fn plain(project: &Project, argument: &Argument) -> Option<String> {
    let Argument::Pieces(pieces) = argument else { return None };
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => Some(text.clone()),
        Piece::Hole(Placeholder::Param(name)) => project.flow().params.get(name).map(ToString::to_string),
        Piece::Hole(_) => None,
    };
    pieces.iter().map(text).collect()
}

fn program(project: &Project, step: &Step, name: &str) -> Finding {
    let place = format!("steps.{}", step.name);
    let found = match program_of(&project.setup, step, name) {
        Ok(found) => found,
        Err(why) => {
            let remedy = if name.contains('/') {
                "put it there: a path is meant from the flow file's folder"
            } else {
                "install it, give its full path, or set `environment = { PATH = \"…\" }` of the step"
            };
            return Finding::error("no_program", place, why, remedy);
        }
    };
    let shown = found.display();
    if access(&found, Access::EXEC_OK).is_err() {
        let message = format!("{shown} is not executable");
        return Finding::error("not_executable", place, message, format!("chmod +x '{shown}'"));
    }
    if let Some(missing) = interpreter(project, step, &found) {
        let message = format!("{shown} needs {missing}, which is not there");
        return Finding::error("no_interpreter", place, message, "install it, or correct the first line of the script");
    }
    Finding::fine("program", place, format!("its command is {shown}"))
}

/// Returns what the first line of a script names and is not there.
fn interpreter(project: &Project, step: &Step, script: &Path) -> Option<String> {
    let mut head = Vec::new();
    std::fs::File::open(script).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?;
    let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
    let mut words = line.split_whitespace();
    let program = words.next()?;
    if !Path::new(program).exists() {
        return Some(program.to_owned());
    }
    if !program.ends_with("/env") {
        return None;
    }
    let named = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    program_of(&project.setup, step, named).is_err().then(|| named.to_owned())
}

fn settings(project: &Project, step: &Step, findings: &mut Vec<Finding>) {
    let place = format!("steps.{}", step.name);
    for (role, with) in &step.with {
        let WithWhat::File(template) = &with.what else { continue };
        let place = format!("{place}.with.{role}");
        // One with fields in its name is known key by key; its folder has to be there.
        let path = match template.split_once('{') {
            None => project.setup.base.join(template),
            Some((start, _)) => project.setup.base.join(start.rsplit_once('/').map_or("", |(folder, _)| folder)),
        };
        let wanted = if template.contains('{') { Wanted::List } else { Wanted::Read };
        if !path.exists() {
            let message = format!("the settings file {} is not there", project.setup.base.join(template).display());
            findings.push(Finding::error(
                "no_settings",
                place,
                message,
                "put it there: the path is meant from the flow file's folder",
            ));
        } else {
            findings.extend(may(&Account::Own, &path, wanted, "settings_rights", &place));
        }
    }
    for folder in &step.reads {
        let path = project.setup.base.join(folder);
        if !path.exists() {
            let message = format!("{} of `reads` is not there", path.display());
            findings.push(Finding::warning(
                "no_reads",
                &place,
                message,
                "correct `reads`: what is not there is left out",
            ));
        }
    }
}
