//! A flow as a service of systemd: the unit, and what its account needs on this host.

mod needs;
mod unit;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thalweg_store::write_atomically;

use self::unit::{Standing, Unit, standing, unit_name};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::here::Finding;
use crate::here::access::Account;
use crate::project::Project;

/// What the caller says of the service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// The account.
    pub(crate) user: Option<String>,
    /// Folder of the logs.
    pub(crate) log_dir: Option<PathBuf>,
    /// Folder of the unit.
    pub(crate) unit_dir: Option<PathBuf>,
    /// A unit that somebody edited may be replaced, and root may be the account.
    pub(crate) force: bool,
}

/// A service of one flow, thought out and not yet written.
pub(crate) struct Service {
    /// Name of the unit.
    pub(crate) name: String,
    /// Its file.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: String,
    /// The account it runs as; none: the one of the user's own manager.
    pub(crate) user: Option<String>,
    flow_path: String,
    /// systemd runs here and looks into the folder of the unit.
    pub(crate) managed: bool,
    force: bool,
}

/// What was done with the file of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Written {
    /// It was not there.
    New,
    /// It was another.
    Changed,
    /// It was just that.
    Same,
}

/// Tells if this process is root's.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Tells if systemd is what runs this host.
pub(crate) fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir() && has_program("systemctl")
}

/// Tells if a program is in the folders of PATH.
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

impl Service {
    /// Thinks a service out. Nothing is written.
    ///
    /// # Errors
    ///
    /// Usage and refusals: no account to run as, no systemd and no folder named.
    pub(crate) fn plan(project: &Project, wish: &Wish, set: &[String], stations: &[String]) -> Result<Self, Failure> {
        let for_system = is_root() || (wish.user.is_some() && wish.unit_dir.is_some());
        let user = account(wish, for_system)?;
        let setup = &project.setup;
        let flow_path = std::path::absolute(&setup.flow_path).unwrap_or_else(|_| setup.flow_path.clone());
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut command: Vec<OsString> = vec![setup.program.clone().into(), "--flow".into(), flow_path.clone().into()];
        for station in stations {
            command.extend(["--at".into(), station.into()]);
        }
        command.extend(["--ledger".into(), setup.ledger.clone().into()]);
        for value in set {
            command.extend(["--set".into(), value.into()]);
        }
        command.push("run".into());
        if let Some(folder) = &wish.log_dir {
            command.extend(["--log-dir".into(), absolute(folder).into()]);
        }
        let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .filter(|folder| folder.is_absolute() && folder.is_dir())
            .collect();
        let mut known: Vec<&Path> = Vec::new();
        for folder in folders.iter().map(PathBuf::as_path) {
            if !known.contains(&folder) {
                known.push(folder);
            }
        }
        let path = std::env::join_paths(known).unwrap_or_default().to_string_lossy().into_owned();
        for path in [&flow_path, &setup.base, &setup.state] {
            if path.to_str().is_none_or(|text| text.chars().any(char::is_control)) {
                return Err(Failure::config(format!("systemd cannot be given the path {}", path.display()))
                    .help("rename the folder: no control characters, and UTF-8"));
            }
        }
        let ours = crate::here::rights::written(project, wish.log_dir.as_deref());
        let below = |path: &Path| ["/usr", "/boot", "/efi", "/etc"].iter().any(|system| path.starts_with(system));
        let unit = Unit {
            flow: project.flow().name.clone(),
            flow_path: flow_path.clone(),
            command,
            user: user.clone(),
            folder: setup.base.clone(),
            path,
            environment: setup.state.join("service.env"),
            system_read_only: !ours.iter().any(|path| below(path)),
        };
        let name = unit_name(&unit.flow);
        let (folder, managed) = match &wish.unit_dir {
            Some(folder) => (absolute(folder), false),
            None if has_program("systemctl") => (usual_folder(for_system)?, systemd_runs()),
            None => {
                return Err(Failure::config("this host has no systemd: there is no `systemctl`")
                    .help("--unit-dir DIR writes the unit into a folder of your choice, for another host or manager"));
            }
        };
        Ok(Self {
            path: folder.join(&name),
            text: unit.text(),
            user,
            flow_path: flow_path.display().to_string(),
            managed,
            force: wish.force,
            name,
        })
    }

    /// Says what the account lacks on this host.
    pub(crate) fn needs(&self, project: &Project, wish: &Wish) -> Vec<Finding> {
        let account = match &self.user {
            Some(name) if *name != Account::Own.name() || is_root() => Account::Other(name.clone()),
            _ => Account::Own,
        };
        needs::look(project, &account, wish.log_dir.as_deref())
    }

    // What somebody else wrote, or changed, is not replaced or removed unasked.
    fn allowed(&self, what: &str) -> Result<Standing, Failure> {
        let text = match std::fs::read(&self.path) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(Failure::config(format!("failed to read {}: {error}", self.path.display()))
                    .help("check the rights of that file, or name another folder with --unit-dir"));
            }
        };
        let standing = standing(text.as_deref());
        let path = self.path.display();
        let why = match &standing {
            Standing::Own(flow) if *flow != self.flow_path => Some((
                format!("{path} is the service of another flow file, {flow}"),
                "give one of the flows another name (`flow = \"…\"`)",
            )),
            Standing::Edited => {
                Some((format!("{path} was edited since it was written"), "keep additions in `systemctl edit`"))
            }
            Standing::Foreign => {
                Some((format!("{path} was not written by this program"), "write into another folder with --unit-dir"))
            }
            Standing::Own(_) | Standing::Nothing => None,
        };
        match why {
            Some((why, help)) if !self.force => Err(Failure::new(Exit::Refused, format!("failed to {what}: {why}"))
                .help(format!("{help}, or --force to {what} all the same"))),
            _ => Ok(standing),
        }
    }

    /// Says what writing would do, and does it unless told otherwise.
    ///
    /// # Errors
    ///
    /// Refused, if something else stands there; those of writing.
    pub(crate) fn write(&self, dry: bool) -> Result<Written, Failure> {
        let standing = self.allowed("replace it")?;
        let same = std::fs::read(&self.path).is_ok_and(|bytes| bytes == self.text.as_bytes());
        let written = match standing {
            Standing::Nothing => Written::New,
            _ if same => Written::Same,
            _ => Written::Changed,
        };
        if dry || written == Written::Same {
            return Ok(written);
        }
        let failed = |error: &dyn std::fmt::Display| {
            Failure::config(format!("failed to write {}: {error}", self.path.display()))
                .help("check the rights of that folder, or name another with --unit-dir")
        };
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        }
        write_atomically(&self.path, self.text.as_bytes()).map_err(|error| failed(&error))?;
        Ok(written)
    }

    /// Tells if there is anything to remove that may be removed.
    ///
    /// # Errors
    ///
    /// Refused, if somebody else wrote or edited it.
    pub(crate) fn removable(&self) -> Result<bool, Failure> {
        Ok(self.allowed("remove it")? != Standing::Nothing)
    }

    /// Removes the unit's file.
    ///
    /// # Errors
    ///
    /// Those of removing.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        std::fs::remove_file(&self.path).map_err(|error| {
            Failure::config(format!("failed to remove {}: {error}", self.path.display()))
                .help("check the rights of that folder")
        })
    }

    /// Returns a command line for the service, as a person types it.
    pub(crate) fn line(&self, verb: &str) -> String {
        let manager = if self.user.is_some() { "" } else { " --user" };
        if verb == "logs" {
            return format!("journalctl{manager} -u {} -f", self.name);
        }
        if verb == "daemon-reload" {
            return format!("systemctl{manager} daemon-reload");
        }
        format!("systemctl{manager} {verb} {}", self.name)
    }

    /// Has systemd do something; says what went wrong if it does not.
    pub(crate) fn tell_systemd(&self, line: &str) -> Result<(), String> {
        let mut words = line.split(' ');
        let output = Command::new(words.next().unwrap_or_default()).args(words).stdin(Stdio::null()).output();
        let output = output.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    }
}

fn account(wish: &Wish, for_system: bool) -> Result<Option<String>, Failure> {
    let Some(user) = &wish.user else {
        if !for_system {
            return Ok(None);
        }
        let help = match std::env::var("SUDO_USER").ok().filter(|name| name != "root") {
            Some(name) => format!("--user {name}, or an account of its own: useradd --system --create-home thalweg"),
            None => "--user NAME; for an account of its own: useradd --system --create-home thalweg".to_owned(),
        };
        return Err(Failure::usage("as which account is the flow to run? Nothing of it needs root").help(help));
    };
    let sound = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if user.is_empty() || user.starts_with(['-', '.']) || !user.chars().all(sound) {
        return Err(Failure::usage(format!("--user {user}: this is no name of an account"))
            .help("letters, digits, `_`, `-` and `.`"));
    }
    if for_system {
        if user == "root" && !wish.force {
            return Err(Failure::new(
                Exit::Refused,
                "failed to install the service as root: nothing of a flow needs root",
            )
            .help("name another account: useradd --system --create-home thalweg; --force if it must be root"));
        }
        return Ok(Some(user.clone()));
    }
    if *user == Account::Own.name() {
        return Ok(None);
    }
    Err(Failure::usage(format!("only root can install a service that runs as {user}"))
        .help("run it with sudo; without --user the service is your own"))
}

fn usual_folder(for_system: bool) -> Result<PathBuf, Failure> {
    if for_system {
        return Ok(PathBuf::from("/etc/systemd/system"));
    }
    let settings = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
    settings.or_else(home).map(|folder| folder.join("systemd/user")).ok_or_else(|| {
        Failure::usage("neither HOME nor XDG_CONFIG_HOME is set").help("name the folder with --unit-dir")
    })
}
