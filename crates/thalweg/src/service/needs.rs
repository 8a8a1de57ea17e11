//! What an account needs on this host to carry a flow out.

use std::path::Path;
use std::process::{Command, Stdio};

use thalweg_engine::Places;

use crate::here::Finding;
use crate::here::access::{Account, Wanted, look as may};
use crate::here::rights::{self, Own};
use crate::project::Project;

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
            findings.push(Finding::error("no_root", format!("stations.{name}"), missing.what, missing.remedy));
            rootless.push(name.clone());
        }
    }
    let here = project.flow().stations.values().filter(|station| setup.here.contains(&station.name));
    for station in here.filter(|station| !rootless.contains(&station.name)) {
        findings.extend(rights::root(account, project, station));
    }
    findings.extend(Own::of(project, log_dir).look(account));
    findings
}
