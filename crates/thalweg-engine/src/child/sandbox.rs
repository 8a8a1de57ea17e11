//! Confining a child with Landlock.
//!
//! A thread made for the purpose restricts itself and starts the child, which inherits the restriction; the rest of
//! the program stays free.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::{ChildError, Sandbox, SandboxState};

/// The newest set of rights that is asked for; older kernels enforce what they know of it.
const RIGHTS: ABI = ABI::V6;

/// Folders of the system from which every program reads, libraries and interpreters among them.
const SYSTEM: [&str; 8] = ["/usr", "/bin", "/lib", "/lib64", "/etc", "/opt", "/proc", "/sys/devices/system/cpu"];

/// Devices without effect that every program may use.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// What every child may use, opened once: these never move.
static SYSTEM_OPEN: OnceLock<Vec<(PathFd, BitFlags<AccessFs>)>> = OnceLock::new();

fn system() -> Vec<(PathFd, BitFlags<AccessFs>)> {
    let folders = SYSTEM.iter().map(|folder| (folder, AccessFs::from_read(RIGHTS)));
    let devices = DEVICES.iter().map(|device| (device, AccessFs::ReadFile | AccessFs::WriteFile));
    // One that is missing is allowed to nobody.
    folders.chain(devices).filter_map(|(path, rights)| Some((PathFd::new(path).ok()?, rights))).collect()
}

fn failed(what: &dyn std::fmt::Display) -> ChildError {
    ChildError::Sandbox { what: what.to_string() }
}

/// Builds the rules for one child.
pub(super) fn rules(
    sandbox: &Sandbox,
    program: &Path,
    cwd: &Path,
    report: &Path,
) -> Result<RulesetCreated, ChildError> {
    let everything = AccessFs::from_all(RIGHTS);
    let run = AccessFs::from_read(RIGHTS);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default().handle_access(everything).map_err(|error| failed(&error))?;
    if !sandbox.tcp {
        rules = rules.handle_access(AccessNet::from_all(RIGHTS)).map_err(|error| failed(&error))?;
    }
    let mut rules = rules.scope(Scope::from_all(RIGHTS)).and_then(Ruleset::create).map_err(|error| failed(&error))?;

    let system = SYSTEM_OPEN.get_or_init(system);
    for (fd, rights) in system {
        rules = rules.add_rule(PathBeneath::new(fd, *rights)).map_err(|error| failed(&error))?;
    }
    // A link to a program leads to where its own files lie.
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let by_link = program.parent().filter(|_| program != real);
    let trees = [by_link, real.parent()].into_iter().flatten().chain(sandbox.programs.iter().map(PathBuf::as_path));
    for tree in trees.filter(|tree| !SYSTEM.iter().any(|system| tree.starts_with(system))) {
        rules = allow(rules, tree, run, false)?;
    }
    rules = allow(rules, cwd, read, true)?;
    for path in &sandbox.read {
        rules = allow(rules, path, read, true)?;
    }
    for path in &sandbox.write {
        rules = allow(rules, path, everything, true)?;
    }
    allow(rules, report, AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate, true)
}

/// Allows rights below a folder or to a file; one that is missing is an error if it was `named` by the caller.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    rights: BitFlags<AccessFs>,
    named: bool,
) -> Result<RulesetCreated, ChildError> {
    let at = |error: &dyn std::fmt::Display| failed(&format_args!("{}: {error}", path.display()));
    let fd = match PathFd::new(path) {
        Ok(fd) => fd,
        Err(_) if !named => return Ok(rules),
        Err(error) => return Err(at(&error)),
    };
    // Rights that only folders have make a rule for a file invalid.
    let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(RIGHTS) };
    rules.add_rule(PathBeneath::new(fd, rights)).map_err(|error| at(&error))
}

/// Starts a command from a thread that has confined itself.
pub(super) fn spawn(
    command: &mut process::Command,
    rules: RulesetCreated,
    program: &Path,
) -> Result<(process::Child, SandboxState), ChildError> {
    let start = || {
        let status = rules.restrict_self().map_err(|error| failed(&error))?;
        let state = match status.ruleset {
            RulesetStatus::FullyEnforced => SandboxState::Enforced,
            RulesetStatus::PartiallyEnforced => SandboxState::Partial,
            RulesetStatus::NotEnforced => SandboxState::Unsupported,
        };
        let child = command.spawn().map_err(|source| ChildError::Start { program: PathBuf::from(program), source })?;
        Ok((child, state))
    };
    let joined = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("confined start".to_owned()).spawn_scoped(scope, start);
        thread.map(std::thread::ScopedJoinHandle::join)
    });
    match joined {
        Ok(Ok(started)) => started,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(source) => Err(ChildError::Start { program: program.to_owned(), source }),
    }
}
