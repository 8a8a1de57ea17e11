//! The roots of this host's stations: there, mounted, readable, writable, with room.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{StatVfs, statvfs};
use thalweg_core::units::{Threshold, format_size};
use thalweg_engine::{Places, root_of};
use thalweg_flow::{Station, Verb};
use thalweg_store::STAGING;

use super::access::{Account, nearest};
use super::finding::Finding;
use super::mounts::Mounts;
use super::rights;
use crate::project::Project;

/// Looks at all stations of this host.
pub(super) fn look(project: &Project, mounts: &Mounts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let setup = &project.setup;
    let here = || project.flow().stations.values().filter(|station| setup.here.contains(&station.name));
    for station in here() {
        let before = findings.len();
        one(project, station, mounts, &mut findings);
        if findings.len() == before {
            let root = root_of(setup, station);
            let what = if station.read_only { "can be read" } else { "can be read and written" };
            findings.push(Finding::fine("root", place(station), format!("{} {what}", root.display())));
        }
    }
    if let Err(error) = Places::look(setup).check_apart() {
        let remedy = error.help().unwrap_or_default();
        findings.push(Finding::error("overlap", "stations", error.to_string(), remedy));
    }
    findings.extend(links(project));
    findings
}

/// Looks only whether the roots are there that no run makes.
pub(super) fn missing(project: &Project) -> Vec<Finding> {
    let places = Places::look(&project.setup);
    let flow = project.flow();
    let stations = flow.stations.values();
    let missing = |station: &Station| {
        let missing = places.missing_root(flow, &station.name)?;
        Some(Finding::warning("no_root", place(station), missing.what, missing.remedy))
    };
    stations.filter_map(missing).collect()
}

fn place(station: &Station) -> String {
    format!("stations.{}", station.name)
}

fn one(project: &Project, station: &Station, mounts: &Mounts, findings: &mut Vec<Finding>) {
    let root = root_of(&project.setup, station);
    let (shown, place) = (root.display(), place(station));
    let real = root.canonicalize().unwrap_or_else(|_| root.clone());
    if let Some(point) = mounts.missing(&real) {
        findings.push(Finding::error(
            "not_mounted",
            &place,
            format!("{} is not mounted, so {shown} is an empty place on another disk", point.display()),
            format!("mount '{}'", point.display()),
        ));
        return;
    }
    if !root.exists() {
        if let Some(volume) = &station.volume {
            findings.push(Finding::warning(
                "no_volume",
                &place,
                format!("the volume {volume} is not there: nothing at {shown}"),
                "plug it in and mount it; until then steps that need it wait",
            ));
        } else if let Some(missing) = Places::look(&project.setup).missing_root(project.flow(), &station.name) {
            findings.push(Finding::error("no_root", &place, missing.what, missing.remedy));
        } else if let Some(finding) = rights::root(&Account::Own, project, station) {
            findings.push(finding);
        } else {
            findings.push(Finding::fine("root_made", &place, format!("{shown} is not there yet and will be made")));
        }
        return;
    }
    if !root.is_dir() {
        findings.push(Finding::error("no_folder", &place, format!("{shown} is no folder"), "correct `root`"));
        return;
    }
    let mount = mounts.of_path(&real);
    if let Some(mount) = mount.filter(|mount| mount.read_only && !station.read_only) {
        findings.push(Finding::error(
            "read_only",
            &place,
            format!("{} is mounted read-only", mount.point.display()),
            format!("mount -o remount,rw '{}', or say read_only = true for the station", mount.point.display()),
        ));
    } else {
        findings.extend(rights::root(&Account::Own, project, station));
    }
    if let Some(mount) = mount.filter(|mount| mount.is_remote()) {
        findings.push(Finding::warning(
            "remote_root",
            &place,
            format!(
                "{shown} lies on {}: what other hosts write there is met by the next listing only (every {})",
                mount.kind,
                thalweg_core::units::format_duration(station.rescan)
            ),
            "run the flow on the host that has the disk, or say rescan = \"1m\" for the station",
        ));
    }
    staging(&root, &place, findings);
    room(project, station, &root, findings);
}

// Outputs get their names by a rename, which reaches no other file system.
fn staging(root: &Path, place: &str, findings: &mut Vec<Finding>) {
    let staging = root.join(STAGING);
    let (Ok(own), Ok(of_root)) = (staging.symlink_metadata(), root.metadata()) else { return };
    if own.is_dir() && own.dev() == of_root.dev() {
        return;
    }
    findings.push(Finding::error(
        "staging",
        place,
        format!("{} is no folder of the root's own file system", staging.display()),
        "remove it (it holds unfinished outputs only); it is made anew",
    ));
}

fn space(of: &StatVfs) -> (u64, u64) {
    (of.f_bavail.saturating_mul(of.f_frsize), of.f_blocks.saturating_mul(of.f_frsize))
}

fn room(project: &Project, station: &Station, root: &Path, findings: &mut Vec<Finding>) {
    let Ok(of) = statvfs(root) else { return };
    let (free, total) = space(&of);
    if total == 0 {
        return;
    }
    let place = place(station);
    let below = |threshold: &Threshold| free < threshold.bytes_of(total);
    let words = |threshold: &Threshold| format_size(threshold.bytes_of(total));
    if let Some(reserve) = station.reserve.as_ref().filter(|reserve| below(reserve)) {
        findings.push(Finding::warning(
            "reserve",
            &place,
            format!(
                "{} are free, less than the reserve of {}: steps that write there wait",
                format_size(free),
                words(reserve)
            ),
            "make room, or lower `reserve`; `thalweg trim` says what keeps may delete",
        ));
    }
    for keep in project.flow().keeps.values().filter(|keep| keep.at.contains(&station.name)) {
        if let Some(threshold) = keep.delete.when_free_below.as_ref().filter(|threshold| below(threshold)) {
            findings.push(Finding::warning(
                "keep_deletes",
                format!("keeps.{}", keep.name),
                format!(
                    "{} are free at {}, less than {}: it deletes as soon as the engine runs",
                    format_size(free),
                    station.name,
                    words(threshold)
                ),
                "`thalweg trim` shows what, and deletes nothing",
            ));
        }
    }
    if !station.read_only && free < total / 100 {
        findings.push(Finding::warning(
            "nearly_full",
            &place,
            format!("{} of {} are free", format_size(free), format_size(total)),
            "make room: a keep with when_free_below does so by itself",
        ));
    }
    if !station.read_only && of.f_files > 0 && of.f_favail < of.f_files / 100 {
        findings.push(Finding::warning(
            "few_inodes",
            &place,
            format!("the file system has room for {} more files only", of.f_favail),
            "remove small files, or use a file system with more inodes",
        ));
    }
}

// A hard link reaches no other file system.
fn links(project: &Project) -> Vec<Finding> {
    let (setup, flow) = (&project.setup, project.flow());
    let device = |name: &String| {
        let station = flow.stations.get(name).filter(|_| setup.here.contains(name))?;
        nearest(&root_of(setup, station)).metadata().ok().map(|meta| meta.dev())
    };
    let mut findings = Vec::new();
    for step in flow.steps.values().filter(|step| matches!(step.does, Verb::Link)) {
        for (at, to) in step.at.iter().flat_map(|at| step.to.iter().map(move |to| (at, to))) {
            if let (Some(one), Some(other)) = (device(at), device(to))
                && one != other
            {
                findings.push(Finding::error(
                    "no_link",
                    format!("steps.{}", step.name),
                    format!("{at} and {to} lie on different file systems: no hard link reaches there"),
                    "write does = \"copy\" (or \"send\")",
                ));
            }
        }
    }
    findings
}
