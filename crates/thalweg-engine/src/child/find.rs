//! Finding the program and completing its environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{ChildError, Command};

/// Where programs are looked for when the environment names no folders.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// Returns the whole environment of the child.
pub(super) fn environment(command: &Command) -> Vec<(OsString, OsString)> {
    let mut env: Vec<(OsString, OsString)> = vec![
        ("PATH".into(), DEFAULT_PATH.into()),
        ("HOME".into(), command.cwd.clone().into()),
        ("LANG".into(), "C.UTF-8".into()),
        ("TZ".into(), "UTC".into()),
    ];
    env.retain(|(name, _)| command.env.iter().all(|(given, _)| given != name));
    env.extend(command.env.iter().filter(|(name, _)| name != "THALWEG_REPORT").cloned());
    env.push(("THALWEG_REPORT".into(), command.report.clone().into()));
    env
}

/// Returns the file to start: a path as it is, a name from the first folder of `PATH` that has it.
pub(super) fn program(command: &Command, env: &[(OsString, OsString)]) -> Result<PathBuf, ChildError> {
    let folders = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str()).unwrap_or_default();
    let missing = || ChildError::NoProgram {
        program: command.program.to_string_lossy().into_owned(),
        path: folders.to_string_lossy().into_owned(),
    };
    let name = command.program.as_bytes();
    if name.is_empty() {
        return Err(missing());
    }
    if name.contains(&b'/') {
        let path = command.cwd.join(&command.program);
        return if path.is_file() { Ok(path) } else { Err(missing()) };
    }
    folders
        .as_bytes()
        .split(|&b| b == b':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| Path::new(OsStr::from_bytes(folder)).join(&command.program))
        .find(|path| path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0))
        .ok_or_else(missing)
}
