//! What belongs to the machine and to the engine's own files: ledger, state, logs, clock, sandbox.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use rustix::fs::statvfs;
use thalweg_core::Timestamp;
use thalweg_core::units::{format_duration, format_size};
use thalweg_engine::child::{self, Child, Sandbox, SandboxState};
use thalweg_engine::engine_pid;
use thalweg_ledger::Ledger;

use super::access::{Account, nearest};
use super::finding::Finding;
use super::mounts::Mounts;
use super::rights::Own;
use crate::project::Project;

/// A clock that shows less was never set: this program is younger.
const NO_EARLIER: i64 = 1_767_225_600;
/// A file may be so much ahead of the clock without being odd.
const AHEAD: jiff::SignedDuration = jiff::SignedDuration::from_secs(300);
/// A ledger with less room than this will soon stop everything.
const LEDGER_ROOM: u64 = 256 << 20;

/// Looks at the ledger, the folder of the engine's own files, and the logs.
pub(super) fn own_files(project: &Project, mounts: &Mounts) -> Vec<Finding> {
    let setup = &project.setup;
    let ledger = setup.ledger.parent().unwrap_or(Path::new("/"));
    let mut findings = Own::of(project, None).look(&Account::Own);
    let is_ours = findings.iter().all(|finding| finding.code != "ledger_rights");
    let there = nearest(ledger);
    let real = there.canonicalize().unwrap_or(there.clone());
    if let Some(mount) = mounts.of_path(&real).filter(|mount| mount.is_remote()) {
        findings.push(Finding::error(
            "remote_ledger",
            "ledger",
            format!(
                "{} lies on {}: a ledger needs the locks of a local file system",
                setup.ledger.display(),
                mount.kind
            ),
            "put it on a local disk: --ledger /var/lib/thalweg/ledger.sqlite",
        ));
    }
    if let Ok(of) = statvfs(&there) {
        let free = of.f_bavail.saturating_mul(of.f_frsize);
        if free < LEDGER_ROOM {
            findings.push(Finding::warning(
                "ledger_room",
                "ledger",
                format!("{} are free where it lies", format_size(free)),
                "make room there, or put it on another disk with --ledger: without room everything stops",
            ));
        }
    }
    if is_ours && setup.ledger.exists() {
        match Ledger::open_read_only(&setup.ledger) {
            Ok(_) => {
                findings.push(Finding::fine("ledger", "ledger", format!("{} can be read", setup.ledger.display())));
            }
            Err(thalweg_ledger::Error::Older { found, known, .. }) => findings.push(Finding::fine(
                "ledger_older",
                "ledger",
                format!("its schema is version {found}; the next `thalweg run` brings it to {known}"),
            )),
            Err(error) => {
                let help = error.help().unwrap_or_else(|| "`thalweg status` says more".into());
                findings.push(Finding::error("ledger", "ledger", format!("failed to {error}"), help));
            }
        }
    }
    findings.push(match engine_pid(setup) {
        Some(pid) => Finding::fine("engine", "engine", format!("an engine runs on this ledger, process {pid}")),
        None => Finding::fine("engine", "engine", "no engine runs on this ledger now"),
    });
    findings
}

/// Looks at the clock: that it was set, that something keeps it right, and that no file comes from the future.
pub(super) fn clock(now: Timestamp, newest: Option<&(Timestamp, PathBuf)>) -> Vec<Finding> {
    let mut findings = judge(now, newest);
    findings.push(match synchronised() {
        Some(true) => Finding::fine("clock", "clock", format!("{now:.0}, kept right over the network")),
        Some(false) => Finding::warning(
            "clock_alone",
            "clock",
            "nothing keeps the clock right",
            "timedatectl set-ntp true, or set chrony up: names and ages of files go by it",
        ),
        None => {
            Finding::fine("clock", "clock", format!("{now:.0}; whether something keeps it right is not known here"))
        }
    });
    findings
}

fn judge(now: Timestamp, newest: Option<&(Timestamp, PathBuf)>) -> Vec<Finding> {
    if now.as_second() < NO_EARLIER {
        let message = format!("the clock shows {now:.0}: it was never set");
        return vec![Finding::error(
            "clock_unset",
            "clock",
            message,
            "timedatectl set-time, or wait for the network's time",
        )];
    }
    let ahead = newest.map(|(at, path)| (at.duration_since(now), path)).filter(|(ahead, _)| *ahead > AHEAD);
    let told = ahead.map(|(ahead, path)| {
        let ahead = format_duration(jiff::SignedDuration::from_secs(ahead.as_secs()));
        let message =
            format!("{} was written {ahead} in the future: this clock or its writer's is wrong", path.display());
        Finding::warning("clock_behind", "clock", message, "compare both clocks with a third: timedatectl")
    });
    told.into_iter().collect()
}

// Only systemd is asked; elsewhere nobody knows.
fn synchronised() -> Option<bool> {
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    let mut command = Command::new("timedatectl");
    command.args(["show", "--property=NTPSynchronized", "--value"]).stdin(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Tries whether verbs run in a sandbox here.
pub(super) fn sandbox() -> Vec<Finding> {
    let Ok(folder) = tempfile::tempdir() else { return Vec::new() };
    let at = folder.path();
    let mut command = child::Command::new("true", at, at.join("log"), at.join("report"));
    command.sandbox = Some(Sandbox { write: vec![at.to_owned()], ..Sandbox::default() });
    let ended = Child::spawn(command).and_then(|child| child.wait(&AtomicBool::new(false), &mut |_| {}));
    vec![match ended.map(|ended| ended.sandbox) {
        Ok(SandboxState::Enforced) => {
            Finding::fine("sandbox", "sandbox", "verbs reach their inputs and their staging folder only")
        }
        Ok(SandboxState::Partial) => Finding::warning(
            "sandbox",
            "sandbox",
            "verbs are confined in part: this kernel does not keep them from the network",
            "Linux 6.7 or newer",
        ),
        Ok(SandboxState::Unsupported | SandboxState::NotAsked) => Finding::warning(
            "sandbox",
            "sandbox",
            "verbs are not confined here: this kernel has no Landlock, or it is switched off",
            "Linux 5.13 or newer with landlock among the security modules (boot with lsm=landlock,…)",
        ),
        Err(error) => Finding::warning("sandbox", "sandbox", format!("not tried: {error}"), "run `true` by hand"),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_cannot_be_right_is_told() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let codes = |now: &str, newest: Option<&str>| {
            let newest = newest.map(|text| (at(text), PathBuf::from("/data/x")));
            judge(at(now), newest.as_ref()).into_iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert_eq!(codes("1970-01-01T00:03:00Z", None), ["clock_unset"]);
        assert_eq!(codes("2026-05-01T00:00:00Z", Some("2026-05-01T00:04:00Z")), Vec::<&str>::new());
        assert_eq!(codes("2026-05-01T00:00:00Z", Some("2026-05-01T02:00:00Z")), ["clock_behind"]);
    }
}
