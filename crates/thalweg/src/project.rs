//! The flow file of a command, and what belongs to it: the stations of this host, the ledger, the surroundings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thalweg_core::Clock;
use thalweg_engine::Setup;
use thalweg_flow::{Diagnostics, Flow, Parsed, Problem, Settings, Source, Surroundings, parse};
use thalweg_ledger::Ledger;
use thalweg_store::Hasher;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Explained, Failure};
use crate::words::did_you_mean;

/// Name of the flow file that is looked for.
const FLOW_FILE: &str = "flow.toml";
/// Folder of the ledger and of the engine's own files, beside the flow file.
const STATE: &str = ".thalweg";
/// The ledger's name in that folder.
const LEDGER: &str = "ledger.sqlite";

/// Groups of subcommands that can stand in a `does` line.
const GROUPS: [&str; 3] = ["dmap", "image", "superdarn"];

/// Returns the subcommands that can stand in a `does` line, as this program has them.
fn verbs() -> Vec<String> {
    use clap::CommandFactory;
    let program = crate::cli::Cli::command();
    let of = |group: &str| program.find_subcommand(group).into_iter().flat_map(clap::Command::get_subcommands);
    GROUPS.iter().flat_map(|group| of(group).map(move |verb| format!("{group} {}", verb.get_name()))).collect()
}

/// A flow with everything that belongs to it.
pub(crate) struct Project {
    /// What the engine is given.
    pub(crate) setup: Setup,
    /// What is probably not meant as the flow file says it.
    pub(crate) warnings: Vec<Problem>,
}

/// Files beside the flow file, and the environment.
pub(crate) struct Beside(PathBuf);

impl Surroundings for Beside {
    fn environment(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(self.0.join(path)).map_err(|error| error.to_string())
    }
}

/// Returns the settings of the command line for the parser.
///
/// # Errors
///
/// Usage, if a `--set` has no `=`.
pub(crate) fn settings(global: &Global) -> Result<Settings, Failure> {
    let mut set = BTreeMap::new();
    for text in &global.set {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Failure::usage(format!("--set {text}: no `=`")).help("write --set name=value"));
        };
        set.insert(name.trim().to_owned(), value.to_owned());
    }
    let known_formats = thalweg_steps::FORMATS.iter().map(|format| (*format).to_owned()).collect();
    Ok(Settings { set, known_verbs: verbs(), known_formats })
}

/// Reads and validates a flow file; the diagnostics are for the caller to show.
///
/// # Errors
///
/// If the file cannot be read, or `--set` is wrong.
pub(crate) fn read(global: &Global, path: &Path) -> Result<(Source, Result<Parsed, Diagnostics>), Failure> {
    let (source, settings, around) = ingredients(global, path)?;
    let parsed = parse(&source, &settings, &around);
    Ok((source, parsed))
}

/// Reads a flow file and what belongs to it for the parser.
///
/// # Errors
///
/// As [`read`].
pub(crate) fn ingredients(global: &Global, path: &Path) -> Result<(Source, Settings, Beside), Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::config(format!("failed to read the flow file {}: {error}", path.display()))
            .help("name the flow file with --flow")
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::config(format!(
            "the flow file {} is not UTF-8: the byte at offset {at} belongs to no character",
            path.display()
        ))
        .help("save the file as UTF-8")
    })?;
    let source = Source::new(path.display().to_string(), text);
    Ok((source, settings(global)?, Beside(folder_of(path))))
}

/// Returns the flow file: the one named, else `flow.toml` here or above, else above `near`.
///
/// # Errors
///
/// Usage, if there is none.
pub(crate) fn find(global: &Global, near: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = &global.flow {
        return Ok(path.clone());
    }
    let here = std::env::current_dir().ok();
    let near = near.and_then(|path| std::path::absolute(path).ok());
    for start in here.iter().chain(near.iter()) {
        if let Some(found) = start.ancestors().map(|folder| folder.join(FLOW_FILE)).find(|path| path.is_file()) {
            // In the working folder itself the bare name is what people expect to read.
            let bare = here.as_ref().is_some_and(|here| found.parent() == Some(here));
            return Ok(if bare { PathBuf::from(FLOW_FILE) } else { found });
        }
    }
    Err(Failure::usage(format!("there is no {FLOW_FILE} here or in a folder above"))
        .help("name the flow file with --flow FILE or the environment variable THALWEG_FLOW"))
}

fn folder_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

impl Project {
    /// Finds and reads the flow file and sets up what belongs to it. Nothing is made or opened yet.
    ///
    /// # Errors
    ///
    /// Usage and configuration.
    pub(crate) fn load(global: &Global, near: Option<&Path>, clock: &Arc<dyn Clock>) -> Result<Self, Failure> {
        let path = find(global, near)?;
        let (source, parsed) = read(global, &path)?;
        let parsed = parsed.map_err(|diagnostics| refused(&diagnostics))?;
        let base = folder_of(&path);
        let ledger = ledger_path(global, &base)?;
        let here = stations_here(global, &parsed.flow)?;
        let mut digest = Hasher::new();
        digest.update(source.text.as_bytes());
        let program = std::env::current_exe().map_err(|error| {
            Failure::new(Exit::Unexpected, format!("failed to find this program's own file: {error}"))
        })?;
        let setup = Setup {
            flow: Arc::new(parsed.flow),
            flow_path: path,
            flow_digest: digest.digest().to_string(),
            here,
            state: state_folder(&ledger),
            ledger,
            base,
            program,
            version: crate::VERSION.to_owned(),
            formats: thalweg_steps::FORMATS.iter().map(|format| (*format).to_owned()).collect(),
            log_dir: None,
            slots: None,
            clock: Arc::clone(clock),
            host: Arc::new(thalweg_engine::ThisHost),
        };
        Ok(Self { setup, warnings: parsed.warnings })
    }

    /// Returns the flow.
    pub(crate) fn flow(&self) -> &Flow {
        &self.setup.flow
    }

    /// Opens the ledger for reading; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// Those of opening one that is there.
    pub(crate) fn ledger_if_any(&self) -> Result<Option<Ledger>, Failure> {
        match Ledger::open_read_only(&self.setup.ledger) {
            Ok(ledger) => Ok(Some(ledger)),
            Err(thalweg_ledger::Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the ledger for reading.
    ///
    /// # Errors
    ///
    /// Configuration, if there is none yet.
    pub(crate) fn ledger(&self) -> Result<Ledger, Failure> {
        Ok(Ledger::open_read_only(&self.setup.ledger)?)
    }

    /// Opens the ledger for writing.
    ///
    /// # Errors
    ///
    /// Configuration, if there is none yet.
    pub(crate) fn ledger_for_writing(&self) -> Result<Ledger, Failure> {
        Ok(Ledger::open(&self.setup.ledger)?)
    }

    /// Checks the name of a product.
    ///
    /// # Errors
    ///
    /// Usage, with a near name.
    pub(crate) fn product(&self, name: &str) -> Result<&thalweg_flow::Product, Failure> {
        self.flow().products.get(name).ok_or_else(|| {
            Failure::usage(format!("the flow has no product `{name}`"))
                .help(did_you_mean(name, self.flow().products.keys().map(String::as_str)))
        })
    }

    /// Checks the name of a step.
    ///
    /// # Errors
    ///
    /// Usage, with a near name.
    pub(crate) fn step(&self, name: &str) -> Result<&thalweg_flow::Step, Failure> {
        self.flow().steps.get(name).ok_or_else(|| {
            Failure::usage(format!("the flow has no step `{name}`"))
                .help(did_you_mean(name, self.flow().steps.keys().map(String::as_str)))
        })
    }
}

/// Makes a failure of diagnostics: their text for people, the list of problems for programs.
pub(crate) fn refused(diagnostics: &Diagnostics) -> Failure {
    use std::io::IsTerminal;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let failure = Failure::config(diagnostics.to_string()).help("`thalweg check` shows every mistake at its place");
    let more = serde_json::json!({ "problems": problems(&diagnostics.source, &diagnostics.problems) });
    Failure { explained: Some(Box::new(Explained { text: diagnostics.render(colour, 100), more })), ..failure }
}

/// Returns problems as JSON, with line and column.
pub(crate) fn problems(source: &Source, problems: &[Problem]) -> Vec<serde_json::Value> {
    let place = |span: &std::ops::Range<usize>, label: &str| {
        let (line, column) = source.line_column(span.start);
        let (end_line, end_column) = source.line_column(span.end);
        serde_json::json!({
            "line": line, "column": column, "end_line": end_line, "end_column": end_column, "label": label,
        })
    };
    let one = |problem: &Problem| {
        let at = problem.span.as_ref().map(|span| source.line_column(span.start));
        serde_json::json!({
            "severity": problem.severity,
            "code": problem.code,
            "message": problem.message,
            "file": source.name,
            "line": at.map(|at| at.0),
            "column": at.map(|at| at.1),
            "place": problem.span.as_ref().map(|span| place(span, &problem.label)),
            "more": problem.more.iter().map(|(span, label)| place(span, label)).collect::<Vec<_>>(),
            "help": problem.help,
        })
    };
    problems.iter().map(one).collect()
}

fn ledger_path(global: &Global, base: &Path) -> Result<PathBuf, Failure> {
    let Some(path) = &global.ledger else { return Ok(base.join(STATE).join(LEDGER)) };
    let text = path.to_string_lossy();
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Err(Failure::config(
            "a ledger in PostgreSQL is not carried out by this program: it has the embedded ledger only",
        )
        .help("name a file: --ledger /var/lib/thalweg/ledger.sqlite"));
    }
    Ok(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
}

/// Returns the folder of logs, lock and socket that belongs to a ledger.
fn state_folder(ledger: &Path) -> PathBuf {
    match ledger.parent() {
        Some(folder) if folder.file_name().is_some_and(|name| name == STATE) => folder.to_owned(),
        _ => {
            let mut name = ledger.as_os_str().to_owned();
            name.push(".d");
            PathBuf::from(name)
        }
    }
}

fn stations_here(global: &Global, flow: &Flow) -> Result<BTreeSet<String>, Failure> {
    if !global.at.is_empty() {
        let mut here = BTreeSet::new();
        for name in &global.at {
            if !flow.stations.contains_key(name) {
                return Err(Failure::usage(format!("--at {name}: the flow has no such station"))
                    .help(did_you_mean(name, flow.stations.keys().map(String::as_str))));
            }
            here.insert(name.clone());
        }
        return Ok(here);
    }
    if flow.stations.len() == 1 {
        return Ok(flow.stations.keys().cloned().collect());
    }
    let local: BTreeSet<String> =
        flow.stations.values().filter(|station| station.reach.is_none()).map(|station| station.name.clone()).collect();
    if local.is_empty() && !flow.stations.is_empty() {
        let names: Vec<&str> = flow.stations.keys().map(String::as_str).collect();
        return Err(Failure::usage("every station of this flow is reached over a network: which one is this host?")
            .help(format!("say --at STATION, one of: {}", names.join(", "))));
    }
    Ok(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ledger_has_a_state_folder_of_its_own() {
        assert_eq!(state_folder(Path::new("/x/.thalweg/ledger.sqlite")), Path::new("/x/.thalweg"));
        assert_eq!(state_folder(Path::new("/var/a.sqlite")), Path::new("/var/a.sqlite.d"));
    }
}
