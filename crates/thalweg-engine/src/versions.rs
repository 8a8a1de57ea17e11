//! What external commands say of their own versions (`version_from`): asked at the start and when a program's file has
//! changed, never for each task.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thalweg_flow::planner::VerbVersion;
use thalweg_flow::{Flow, Step};
use thalweg_ledger::Reader;

use crate::Setup;
use crate::child::{Command, Sandbox};
use crate::runner::programs;

/// How long a program may take to say its version.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most of an answer that is kept.
const ANSWER: usize = 4096;

/// What the external commands of a flow say of their own versions, by step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerbVersions(BTreeMap<String, Asked>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    /// The command that was asked, and with which environment.
    command: Vec<String>,
    environment: BTreeMap<String, String>,
    /// The files of the program as they were then.
    files: String,
    answer: VerbVersion,
}

/// Under this name the ledger keeps the last answers.
pub(crate) const ANSWERS: &str = "verb_versions";

impl VerbVersions {
    /// Returns what the last engine was told.
    ///
    /// # Errors
    ///
    /// Those of the ledger.
    pub fn kept(reader: &Reader) -> Result<Self, thalweg_ledger::Error> {
        Ok(reader.meta(ANSWERS)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Returns what the command of a step says; none if the step has nothing to ask.
    pub fn of(&self, step: &str) -> Option<VerbVersion> {
        self.0.get(step).map(|asked| asked.answer.clone())
    }

    /// Returns the answers of all steps, by step.
    pub fn answers(&self) -> BTreeMap<String, VerbVersion> {
        self.0.iter().map(|(step, asked)| (step.clone(), asked.answer.clone())).collect()
    }

    /// Returns the steps whose command, or the file of its program, is another than when it was asked.
    pub(crate) fn outdated(&self, setup: &Setup) -> Vec<String> {
        let asks = setup.flow.steps.values().filter(|step| !step.version_from.is_empty());
        asks.filter(|step| self.0.get(&step.name).is_none_or(|asked| !asked.holds(setup, step)))
            .map(|step| step.name.clone())
            .collect()
    }

    /// Tells if a command could not be asked.
    pub(crate) fn any_unknown(&self) -> bool {
        self.0.values().any(|asked| matches!(asked.answer, VerbVersion::Unknown(_)))
    }

    /// Says of steps that they are being asked, so that nothing is recorded under an answer that may be old.
    pub(crate) fn suspend(&mut self, steps: &[String]) {
        for step in steps {
            if let Some(asked) = self.0.get_mut(step) {
                asked.answer = VerbVersion::Unknown("its program has changed and is being asked".into());
            }
        }
    }

    /// Asks the commands of all steps, except where an answer of `known` still holds; commands that are the same are asked once.
    pub fn ask(setup: &Setup, known: &Self) -> Self {
        let mut versions = BTreeMap::new();
        let mut questions: Vec<(&Step, Vec<String>)> = Vec::new();
        for step in setup.flow.steps.values().filter(|step| !step.version_from.is_empty()) {
            let still = |asked: &&Asked| matches!(asked.answer, VerbVersion::Said(_)) && asked.holds(setup, step);
            if let Some(asked) = known.0.get(&step.name).filter(still) {
                versions.insert(step.name.clone(), asked.clone());
                continue;
            }
            let same = questions
                .iter_mut()
                .find(|(other, _)| other.version_from == step.version_from && other.environment == step.environment);
            match same {
                Some((_, names)) => names.push(step.name.clone()),
                None => questions.push((step, vec![step.name.clone()])),
            }
        }
        let answers: Vec<Asked> = std::thread::scope(|scope| {
            let asking: Vec<_> =
                questions.iter().map(|(step, _)| (step, scope.spawn(|| Asked::of(setup, step)))).collect();
            asking
                .into_iter()
                .map(|(step, thread)| {
                    thread.join().unwrap_or_else(|_| Asked::with(setup, step, Err("asking it failed".into())))
                })
                .collect()
        });
        for ((_, names), asked) in questions.iter().zip(answers) {
            versions.extend(names.iter().map(|name| (name.clone(), asked.clone())));
        }
        Self(versions)
    }

    /// Tells which steps of the flow have other answers than before, with the answer before if there was one.
    pub(crate) fn changed<'a>(&'a self, before: &'a Self, flow: &'a Flow) -> Vec<Change<'a>> {
        let changes = self.0.iter().filter_map(|(name, asked)| {
            let before = before.0.get(name).map(|asked| &asked.answer);
            let step = flow.steps.get(name)?;
            (before != Some(&asked.answer)).then_some(Change { step, before, now: &asked.answer })
        });
        changes.collect()
    }
}

/// Another answer than before.
pub(crate) struct Change<'a> {
    pub(crate) step: &'a Step,
    pub(crate) before: Option<&'a VerbVersion>,
    pub(crate) now: &'a VerbVersion,
}

impl Asked {
    fn holds(&self, setup: &Setup, step: &Step) -> bool {
        self.command == step.version_from && self.environment == step.environment && self.files == files(setup, step)
    }

    fn of(setup: &Setup, step: &Step) -> Self {
        Self::with(setup, step, say(setup, step))
    }

    fn with(setup: &Setup, step: &Step, answer: Result<String, String>) -> Self {
        Self {
            command: step.version_from.clone(),
            environment: step.environment.clone(),
            files: files(setup, step),
            answer: answer.map_or_else(VerbVersion::Unknown, VerbVersion::Said),
        }
    }
}

/// Returns the file that is started for a name, as a step of the flow starts it: what `PATH` leads to.
///
/// # Errors
///
/// Why there is none.
pub fn program_of(setup: &Setup, step: &Step, name: &str) -> Result<PathBuf, String> {
    let named = programs::named(&setup.base, name.into());
    let mut command = Command::new(named, &setup.base, PathBuf::new(), PathBuf::new());
    command.env = programs::environment(step);
    let folders = command.env.iter().rfind(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    crate::child::find_program(&command).map_err(|_| match command.program.as_encoded_bytes().contains(&b'/') {
        true => format!("there is no program {}", command.program.to_string_lossy()),
        false => {
            let folders = folders.unwrap_or_default();
            format!("there is no program {name} in the folders of PATH ({})", folders.to_string_lossy())
        }
    })
}

// The program's file, and every argument that is a file: a script is what an interpreter's answer depends on.
fn files(setup: &Setup, step: &Step) -> String {
    let Some((program, args)) = step.version_from.split_first() else { return String::new() };
    let program = program_of(setup, step, program).ok();
    let scripts = args.iter().map(|arg| setup.base.join(arg)).filter(|path| path.is_file());
    let stamp = |path: &Path| {
        let meta = path.metadata().ok()?;
        Some(format!("{} {} {} {}.{}", path.display(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
    };
    program.into_iter().chain(scripts).filter_map(|path| stamp(&path)).collect::<Vec<_>>().join("\n")
}

fn say(setup: &Setup, step: &Step) -> Result<String, String> {
    let Some((program, args)) = step.version_from.split_first() else { return Err("nothing to ask".into()) };
    let line = step.version_from.join(" ");
    program_of(setup, step, program)?;
    let failed = |what: &dyn std::fmt::Display| format!("`{line}`: {what}");
    // Commands that only look may have no right to write into the state folder.
    let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
    let named = programs::named(&setup.base, program.into());
    let mut command = Command::new(named, folder.path(), folder.path().join(".log"), folder.path().join(".report"));
    command.args = args.iter().map(|arg| setup_path(setup, arg)).collect();
    command.env = programs::environment(step);
    command.timeout = Some(TIMEOUT);
    command.kill_after = Duration::from_secs(1);
    command.log_limit = 64 << 10;
    let reads = step.reads.iter().map(|path| setup.base.join(path));
    let absolute = step.version_from.iter().filter(|arg| arg.starts_with('/')).map(PathBuf::from);
    command.sandbox = Some(Sandbox {
        read: reads.collect(),
        programs: programs::needs(&setup.base, absolute.collect()),
        write: vec![folder.path().to_owned()],
        tcp: step.network,
    });
    let never = AtomicBool::new(false);
    let ended = setup.host.child(command, &never, &mut |_| {});
    let ended = ended.map_err(|error| failed(&crate::runner::publish::in_full(&error)))?;
    let said = std::fs::read(folder.path().join(".log")).unwrap_or_default();
    let said = String::from_utf8_lossy(&said[..said.len().min(ANSWER)]);
    let said = said.trim();
    if ended.timed_out {
        return Err(failed(&format!("no answer within {} s", TIMEOUT.as_secs())));
    }
    if ended.exit != Some(0) {
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        let how = ended.exit.map_or_else(|| "ended by a signal".to_owned(), |code| format!("exit code {code}"));
        return Err(failed(&format!("{how}: {last}")));
    }
    if said.is_empty() {
        return Err(failed(&"it said nothing"));
    }
    Ok(said.to_owned())
}

// It works in an empty folder, so a script named from the flow file's folder is given by its full path.
fn setup_path(setup: &Setup, arg: &str) -> OsString {
    let path = setup.base.join(arg);
    if !arg.is_empty() && path.is_file() { path.into_os_string() } else { arg.into() }
}
