//! A folder with a flow in it, and engines run on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thalweg_core::SystemClock;
use thalweg_engine::{Engine, Event, Mode, Outcome, Setup, ThisHost};
use thalweg_flow::{Nowhere, Settings, Source, parse};
use thalweg_ledger::{Ledger, NewRun, RunFilter, RunOutput};

/// A temporary folder with a flow.
pub(crate) struct Workshop {
    folder: tempfile::TempDir,
    pub(crate) flow: String,
}

impl Workshop {
    pub(crate) fn new(flow: &str) -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), flow: flow.to_owned() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[expect(clippy::disallowed_methods, reason = "an instrument writes its files as it likes")]
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        std::fs::write(path, content).expect("the file is written");
    }

    #[expect(clippy::disallowed_methods, reason = "an instrument renames its files as it likes")]
    pub(crate) fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).expect("the file is renamed");
    }

    pub(crate) fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(name)).ok()
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).expect("the file is removed");
    }

    pub(crate) fn setup(&self) -> Setup {
        let source = Source::new("flow.toml", &self.flow);
        let settings = Settings { set: BTreeMap::new(), ..Settings::default() };
        let parsed = match parse(&source, &settings, &Nowhere) {
            Ok(parsed) => parsed,
            Err(problems) => panic!("{}", problems.render(false, 100)),
        };
        let here = parsed.flow.stations.values().filter(|s| s.reach.is_none()).map(|s| s.name.clone()).collect();
        Setup {
            flow: Arc::new(parsed.flow),
            flow_path: self.path("flow.toml"),
            flow_digest: format!("{:x}", self.flow.len() as u64 + self.flow.bytes().map(u64::from).sum::<u64>()),
            base: self.folder.path().to_owned(),
            here,
            ledger: self.path(".thalweg/ledger.sqlite"),
            state: self.path(".thalweg"),
            program: PathBuf::from("/bin/false"),
            version: "test".into(),
            formats: Vec::new(),
            log_dir: None,
            slots: None,
            clock: Arc::new(SystemClock),
            host: Arc::new(ThisHost),
        }
    }

    pub(crate) fn once(&self) -> (Outcome, Vec<Event>) {
        let mut events = Vec::new();
        let engine = Engine::open(self.setup()).expect("the engine opens");
        let outcome = engine.run(Mode::Once, &mut |event| events.push(event.clone())).expect("the engine runs");
        (outcome, events)
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::open_read_only(self.path(".thalweg/ledger.sqlite")).expect("the ledger opens")
    }

    /// The last run, of a step or of any, as it was entered when it began, and its outputs.
    pub(crate) fn last_run(&self, step: Option<&str>) -> (NewRun, Vec<RunOutput>) {
        let reader = self.ledger().reader().expect("a reader");
        let filter = RunFilter { step: step.map(str::to_owned), ..RunFilter::default() };
        let row = reader.runs(&filter, 1).expect("rows").remove(0);
        let inputs = reader.run_inputs(row.id).expect("inputs");
        let outputs = reader.run_outputs(row.id).expect("outputs");
        let run = NewRun {
            step: row.step,
            step_version: row.step_version,
            station: row.station,
            key: row.key,
            identity: row.identity,
            inputs,
            started: row.started,
            attempt: row.attempt,
            pid: None,
            host: row.host,
            program: row.program,
            verb_version: None,
            command: Vec::new(),
            log: None,
            staging: row.staging,
            partial: row.partial,
            awaited: row.awaited,
            fresh: row.fresh,
            batch: None,
        };
        (run, outputs)
    }

    /// All files below a folder, sorted, relative to it.
    pub(crate) fn files(&self, below: &str) -> Vec<String> {
        fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    walk(&path, root, found);
                } else {
                    found.push(path.strip_prefix(root).expect("below").to_string_lossy().into_owned());
                }
            }
        }
        let root = self.path(below);
        let mut found = Vec::new();
        walk(&root, &root, &mut found);
        found.sort();
        found
    }
}
