//! Whether an account may work where the engine works: the roots of stations, and the engine's own folders and files.
//!
//! Asked of this account by `check --here`, of that of a service by `install-service`.

use std::path::{Path, PathBuf};

use thalweg_engine::{lock_path, root_of};
use thalweg_flow::Station;

use super::access::{Account, Wanted, look, look_within};
use super::finding::Finding;
use crate::project::Project;

/// Says what an account may not do with the root of a station.
pub(crate) fn root(account: &Account, project: &Project, station: &Station) -> Option<Finding> {
    let root = root_of(&project.setup, station);
    let wanted = if station.read_only { Wanted::List } else { Wanted::Write };
    look(account, &root, wanted, "no_rights", &format!("stations.{}", station.name))
}

/// Returns the folders into which a flow writes on this host.
pub(crate) fn written(project: &Project, log_dir: Option<&Path>) -> Vec<PathBuf> {
    let setup = &project.setup;
    let stations = project.flow().stations.values().filter(|station| setup.here.contains(&station.name));
    let roots = stations.filter(|station| !station.read_only).map(|station| root_of(setup, station));
    let own = Own::of(project, log_dir);
    let ledger = own.ledger_folder().to_owned();
    roots.chain([own.state, ledger, own.logs]).collect()
}

/// What belongs to the engine itself.
pub(crate) struct Own {
    /// The folder of lock and socket, and usually of ledger and logs: nobody else's.
    state: PathBuf,
    ledger: PathBuf,
    logs: PathBuf,
}

impl Own {
    /// Returns that of a flow; `log_dir` as it will be said to `run`.
    pub(crate) fn of(project: &Project, log_dir: Option<&Path>) -> Self {
        let setup = &project.setup;
        let logs = log_dir.map_or_else(
            || setup.log_folder(),
            |folder| std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
        );
        Self { state: setup.state.clone(), ledger: setup.ledger.clone(), logs }
    }

    fn ledger_folder(&self) -> &Path {
        self.ledger.parent().unwrap_or(Path::new("/"))
    }

    /// Says what an account may not do with it: folders first, and what is in them only where they are in order.
    pub(crate) fn look(&self, account: &Account) -> Vec<Finding> {
        // The state folder is the engine's alone, so that it can be given to an account whole.
        let ask = |path: &Path, wanted, code, place| {
            let whole = if path.starts_with(&self.state) { &self.state } else { path };
            let all = path.starts_with(&self.state) || path.parent() == Some(&self.logs);
            if all {
                look_within(account, path, wanted, code, place, whole)
            } else {
                look(account, path, wanted, code, place)
            }
        };
        let ledger_folder = self.ledger_folder();
        let mut findings = Vec::new();
        findings.extend(ask(&self.state, Wanted::Write, "state_rights", "state folder"));
        if ledger_folder != self.state {
            findings.extend(ask(ledger_folder, Wanted::Write, "ledger_rights", "ledger"));
        }
        if !findings.is_empty() {
            return findings;
        }
        if !self.logs.starts_with(&self.state) || self.logs.exists() {
            findings.extend(ask(&self.logs, Wanted::Write, "log_rights", "log"));
        }
        let lock = lock_path(&self.state);
        if lock.exists() {
            findings.extend(ask(&lock, Wanted::Change, "state_rights", "state folder"));
        }
        let beside = ["", "-wal", "-shm"].map(|end| {
            let mut name = self.ledger.clone().into_os_string();
            name.push(end);
            PathBuf::from(name)
        });
        // One remedy mends all of them.
        let ledger = beside.iter().filter(|path| path.is_file());
        findings.extend(ledger.filter_map(|path| ask(path, Wanted::Change, "ledger_rights", "ledger")).take(1));
        for path in newest(&self.logs) {
            let wanted = if path.is_dir() { Wanted::Write } else { Wanted::Change };
            findings.extend(ask(&path, wanted, "log_rights", "log"));
        }
        findings
    }
}

// Logs are by day: the newest folder and the newest file are those that are still written to.
fn newest(logs: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(logs).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let entries: Vec<PathBuf> = entries.unwrap_or_default();
    let of = |folder: bool| entries.iter().filter(|path| path.is_dir() == folder).max().cloned();
    [of(true), of(false)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    // One whose rights modes of files can take away.
    fn account() -> Account {
        if rustix::process::geteuid().is_root() { Account::Other("nobody".into()) } else { Account::Own }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "input of a test, which nothing else reads meanwhile")]
    fn files_that_somebody_else_left_in_a_folder_of_ones_own_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let account = account();
        if account.may(Path::new("/"), Wanted::List).is_none() {
            // Nobody can be asked here.
            return;
        }
        let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let state = folder.path().join(".thalweg");
        let own = Own { state: state.clone(), ledger: state.join("ledger.sqlite"), logs: state.join("logs") };
        let day = own.logs.join("20260501");
        std::fs::create_dir_all(&day).unwrap();
        for path in [folder.path(), &state, &own.logs, &day] {
            mode(path, 0o777);
        }
        let names = ["engine.lock", "ledger.sqlite", "ledger.sqlite-wal", "logs/engine-20260501.log"];
        let paths: Vec<PathBuf> = names.iter().map(|name| state.join(name)).collect();
        for path in &paths {
            std::fs::write(path, "").unwrap();
            mode(path, 0o666);
        }
        assert_eq!(own.look(&account), Vec::new());
        let codes = ["state_rights", "ledger_rights", "ledger_rights", "log_rights"];
        for (path, code) in paths.iter().zip(codes).chain([(&own.logs, "log_rights"), (&day, "log_rights")]) {
            let before = path.metadata().unwrap().permissions();
            mode(path, if path.is_dir() { 0o555 } else { 0o444 });
            let found = own.look(&account);
            let [finding] = found.as_slice() else { panic!("{}: {found:#?}", path.display()) };
            assert_eq!(finding.code, code);
            assert!(finding.message.contains(&path.display().to_string()), "{}", finding.message);
            let remedy = finding.remedy.as_deref().unwrap_or_default();
            assert_eq!(remedy, format!("chown -R {}: '{}'", account.name(), state.display()));
            std::fs::set_permissions(path, before).unwrap();
        }
        // A ledger elsewhere lies among other people's files: only it is given away.
        let other = Own { ledger: folder.path().join("l.sqlite"), ..own };
        std::fs::write(&other.ledger, "").unwrap();
        mode(&other.ledger, 0o444);
        let found = other.look(&account);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found.iter().all(|one| one.remedy.as_ref().is_some_and(|text| !text.contains("-R"))), "{found:#?}");
    }
}
