//! This host as a flow finds it: what would stop it, or let it down later, each with its remedy.
//!
//! Everything is looked at as the engine would use it, by the account that asks. Nothing is made or changed at a station;
//! programs are asked for their versions, and the confinement of children is tried.

pub(crate) mod access;
mod finding;
mod machine;
mod mounts;
mod programs;
pub(crate) mod rights;
mod stations;
mod trees;

pub(crate) use finding::{Finding, Severity};

use thalweg_core::Timestamp;

use crate::project::Project;

/// Looks at what a mistyped word in the flow file makes missing: roots that no run makes, programs of commands.
pub(crate) fn glance(project: &Project) -> Vec<Finding> {
    let mut findings = stations::missing(project);
    findings.extend(programs::missing(project));
    findings
}

/// Looks at everything.
pub(crate) fn look(project: &Project, now: Timestamp) -> Vec<Finding> {
    let mounts = mounts::Mounts::read();
    let trees = trees::look(project);
    let mut findings = stations::look(project, &mounts);
    findings.extend(programs::look(project));
    findings.extend(machine::own_files(project, &mounts));
    findings.extend(trees::watches(project, &trees));
    findings.extend(machine::clock(now, trees.newest.as_ref()));
    findings.extend(machine::sandbox());
    findings
}
