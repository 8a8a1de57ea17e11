//! What an account needs on this host to carry a flow out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thalweg_engine::{Places, root_of};

use crate::here::Finding;
use crate::here::access::{Account, Wanted, look as may};
use crate::project::Project;

/// Returns the folders into which the flow writes on this host, each with what it is.
pub(super) fn written(project: &Project, log_dir: Option<&Path>) -> Vec<(String, PathBuf)> {
    let setup = &project.setup;
    let stations = project.flow().stations.values().filter(|station| setup.here.contains(&station.name));
    let mut folders: Vec<(String, PathBuf)> = stations
        .filter(|station| !station.read_only)
        .map(|station| (format!("stations.{}", station.name), root_of(setup, station)))
        .collect();
    folders.push(("state folder".into(), setup.state.clone()));
    let ledger = setup.ledger.parent().map(Path::to_owned).unwrap_or_default();
    if ledger != setup.state {
        folders.push(("ledger".into(), ledger));
    }
    let logs = log_dir
        .map_or_else(|| setup.log_folder(), |folder| std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()));
    if !logs.starts_with(&setup.state) {
        folders.push(("log".into(), logs));
    }
    folders
}

/// Says what is missing, each with its remedy.
pub(super) fn look(project: &Project, account: &Account, log_dir: Option<&Path>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let setup = &project.setup;
    if let Account::Other(name) = account {
        let known = Command::new("id").arg("-u").arg(name).stdout(Stdio::null()).stderr(Stdio::null()).status();
        match known.map(|status| status.success()) {
            Ok(true) => {}
            Ok(false) => {
                findings.push(Finding::error(
                    "no_account",
                    "account",
                    format!("there is no account {name}"),
                    format!("useradd --system --create-home {name}"),
                ));
                return findings;
            }
            Err(error) => findings.push(Finding::warning(
                "account_unknown",
                "account",
                format!("whether there is an account {name} is not known: {error}"),
                format!("look with: getent passwd {name}"),
            )),
        }
        if account.may(Path::new("/"), Wanted::List).is_none() {
            findings.push(Finding::warning(
                "rights_unknown",
                "account",
                format!("the rights of {name} were not looked at: `runuser` does not work here"),
                format!("sudo -u {name} thalweg check --here --flow '{}'", setup.flow_path.display()),
            ));
            return findings;
        }
    }
    findings.extend(may(account, &setup.program, Wanted::Run, "program_rights", "program"));
    let flow = std::path::absolute(&setup.flow_path).unwrap_or_else(|_| setup.flow_path.clone());
    findings.extend(may(account, &flow, Wanted::Read, "flow_rights", "flow file"));
    // A root that no run makes: there is nothing to have rights on yet.
    let places = Places::look(setup);
    let mut rootless = Vec::new();
    for name in &setup.here {
        if let Some(missing) = places.missing_root(project.flow(), name) {
            let place = format!("stations.{name}");
            findings.push(Finding::error("no_root", &place, missing.what, missing.remedy));
            rootless.push(place);
        }
    }
    for (place, path) in written(project, log_dir).into_iter().filter(|(place, _)| !rootless.contains(place)) {
        findings.extend(may(account, &path, Wanted::Write, "no_writing", &place));
    }
    let read_only = project.flow().stations.values().filter(|station| station.read_only);
    for station in read_only.filter(|station| setup.here.contains(&station.name)) {
        let place = format!("stations.{}", station.name);
        if rootless.contains(&place) {
            continue;
        }
        findings.extend(may(account, &root_of(setup, station), Wanted::List, "no_reading", &place));
    }
    if let Ok(meta) = setup.ledger.metadata()
        && meta.is_file()
    {
        findings.extend(may(account, &setup.ledger, Wanted::Read, "ledger_rights", "ledger"));
    }
    findings
}
