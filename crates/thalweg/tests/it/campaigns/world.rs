//! A flow with a step of every kind over three stations, its inputs, and its end state as something to be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thalweg_ledger::{KeyFilter, Ledger, QuarantineFilter, RunFilter, RunState};

use crate::demo::tree;

/// Sends, an external command, a `many`, an `update`, an `edits`, a `move`, a step that waits to be asked, bad files, and
/// keeps with receipts.
pub(super) const FLOW: &str = r#"flow = "campaign"
[stations]
radar = { root = "radar" }
site = { root = "site" }
campus = { root = "campus" }

[products.raw]
path = "in/{time:%Y%m%d}.{n:int(3)}.dat"
span = "1d"
[products.shaped]
path = "shaped/{time:%Y%m%d}.{n:int(3)}.txt"
span = "1d"
[products.part]
path = "parts/{time:%Y%m%d}.{n:int(3)}/{k:int}.txt"
span = "1d"
[products.day]
path = "day/{time:%Y%m%d}.log"
span = "1d"
[products.plot]
path = "plot/{time:%Y%m%d}.{n:int(3)}.plot"
span = "1d"
[products.note]
path = "notes/{name}.msg"
[products.filed]
path = "filed/{name}.msg"

[steps.to-site]
at = "radar"
takes = "raw"
does = "send"
to = "site"
[steps.shape]
at = "site"
takes = "raw"
makes = "shaped"
does = { run = ["sh", "-c", "case $(head -c 3 $1) in BAD) echo a bad file >&2; exit 65;; esac; sed s/^/shaped-/ $1 > $2", "sh", "{in}", "{out}"] }
[steps.split]
at = "site"
takes = "shaped"
makes = { product = "part", many = true }
does = { run = ["sh", "-c", "for k in 1 2 3; do sed s/^/$k/ $1 > $2/$k.txt; done", "sh", "{in}", "{out}"] }
[steps.day]
at = "site"
takes = "shaped"
makes = { product = "day", update = true }
does = { run = ["sh", "-c", "out=$1; shift; cat $* | sort > $out", "sh", "{out}", "{in.new}", "{out.previous}"] }
[steps.to-campus]
at = "site"
takes = ["shaped", "part", "day"]
does = "send"
to = "campus"
[steps.stamp]
at = "campus"
takes = "shaped"
edits = true
does = { run = ["sh", "-c", "grep -q stamped $1 && exit 0; cat $1 > $TMPDIR/new; echo stamped >> $TMPDIR/new; mv $TMPDIR/new $1", "sh", "{in}"] }
[steps.plot]
at = "campus"
takes = "part"
if = "k == 1"
makes = "plot"
does = { run = ["sh", "-c", "sed s/$/!/ $1 > $2", "sh", "{in}", "{out}"] }
when = "asked"
[steps.file]
at = "campus"
takes = "note"
makes = "filed"
does = "move"

[keeps.radar]
at = "radar"
products = ["raw"]
delete = "at_once"
only_if = ["receipted at site", "day receipted at campus"]
[keeps.site]
at = "site"
products = ["part"]
delete = "at_once"
only_if = "receipted at campus"
"#;

/// Numbers that look random and are the same for the same seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Self(seed ^ 0x9e37_79b9_7f4a_7c15);
        dice.below(2);
        dice
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 33) % end.max(1)
    }
}

/// The program under test: this build's, or the one that `THALWEG_CAMPAIGN_PROGRAM` names.
pub(super) fn program() -> PathBuf {
    std::env::var_os("THALWEG_CAMPAIGN_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_thalweg").into(), PathBuf::from)
}

/// A number from the environment: how long a campaign is, or the seed that it begins with.
pub(super) fn asked(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[expect(clippy::print_stderr, reason = "a test that is left out, or a long one that goes on, says so")]
pub(super) fn say(what: &str) {
    eprintln!("{what}");
}

/// Writes a file under a name of its own first, as a careful instrument does.
#[expect(clippy::disallowed_methods, reason = "an instrument writes as it likes")]
pub(super) fn put(folder: &Path, name: &str, text: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, text).expect("a file");
    std::fs::rename(temporary, path).expect("it gets its name");
}

/// Renames a file or a whole tree.
#[expect(clippy::disallowed_methods, reason = "users rename as they like")]
pub(super) fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).expect("it is renamed");
}

/// Waits until something holds; false when it does not within the time.
pub(super) fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let from = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if from.elapsed() >= limit {
            return false;
        }
        // A look now and then leaves the processor to what is waited for.
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// An input of the flow: where it comes to be, and what it holds.
#[derive(Clone)]
pub(super) struct Input {
    pub(super) path: String,
    pub(super) text: String,
}

/// The inputs number `from` to `to`; every ninth is bad, every fifth a note.
pub(super) fn inputs(from: usize, to: usize) -> Vec<Input> {
    (from..to)
        .map(|n| {
            let text = format!("line a of {n:03}\nline b of {n:03}\n").repeat(1 + n % 3);
            if n % 5 == 4 {
                return Input { path: format!("campus/notes/{n:03}.msg"), text };
            }
            let day = 1 + n % 3;
            let text = if n % 9 == 7 { format!("BAD{text}") } else { text };
            Input { path: format!("radar/in/2026010{day}.{n:03}.dat"), text }
        })
        .collect()
}

/// What a flow has come to, without what differs from one time to another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) files: BTreeMap<String, String>,
    pub(super) quarantine: BTreeSet<(String, String, String)>,
    pub(super) keys: BTreeMap<(String, String), String>,
}

/// A folder with a flow in it.
pub(super) struct World {
    pub(super) folder: TempDir,
    /// What was started here, so that a test that fails leaves nothing running.
    started: std::cell::RefCell<Vec<rustix::fd::OwnedFd>>,
}

impl Drop for World {
    fn drop(&mut self) {
        for process in self.started.borrow().iter() {
            // One that has ended is as good.
            let _ = rustix::process::pidfd_send_signal(process, rustix::process::Signal::KILL);
        }
    }
}

impl World {
    pub(super) fn new(flow: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("campaign-").tempdir().expect("a folder");
        put(folder.path(), "flow.toml", flow.as_bytes());
        for station in ["radar", "site", "campus"] {
            std::fs::create_dir_all(folder.path().join(station)).expect("a station");
        }
        Self { folder, started: std::cell::RefCell::default() }
    }

    /// Leaves the folder where it is, for somebody to look into.
    pub(super) fn keep(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.at().to_owned()
    }

    pub(super) fn at(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn feed(&self, inputs: &[Input]) {
        for input in inputs {
            put(self.at(), &input.path, input.text.as_bytes());
        }
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(words)
            .current_dir(self.at())
            .env_remove("THALWEG_FLOW")
            .env_remove("THALWEG_REPORT")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Starts the program; what it says goes to a file, so that no full pipe holds it up.
    pub(super) fn start(&self, words: &[&str]) -> Child {
        self.spawn(self.command(words))
    }

    pub(super) fn spawn(&self, mut command: Command) -> Child {
        let said = std::fs::OpenOptions::new().create(true).append(true).open(self.at().join("said")).expect("a file");
        command.stdout(said.try_clone().expect("a file")).stderr(said);
        let child = command.spawn().expect("it starts");
        let pid = rustix::process::Pid::from_child(&child);
        self.started.borrow_mut().extend(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()));
        child
    }

    /// The same as another user, given as `UID:GID`; the program is copied to where everybody may read it.
    fn as_user(&self, user: &str, words: &[&str]) -> Command {
        use std::os::unix::fs::PermissionsExt as _;
        let program = self.at().join("thalweg");
        if !program.exists() {
            std::fs::copy(self::program(), &program).expect("a copy");
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("rights");
            std::fs::set_permissions(self.at(), std::fs::Permissions::from_mode(0o755)).expect("rights");
        }
        let (uid, gid) = user.split_once(':').expect("two numbers");
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", uid, "--regid", gid, "--clear-groups"])
            .arg(program)
            .args(words)
            .current_dir(self.at())
            .env_remove("THALWEG_FLOW")
            .env("HOME", self.at())
            .stdin(Stdio::null());
        command
    }

    pub(super) fn start_as(&self, user: &str, words: &[&str]) -> Child {
        self.spawn(self.as_user(user, words))
    }

    pub(super) fn run_as(&self, user: &str, words: &[&str]) -> (Option<i32>, String) {
        match self.as_user(user, words).output() {
            Ok(output) => {
                let said = [output.stdout, output.stderr].concat();
                (output.status.code(), String::from_utf8_lossy(&said).into_owned())
            }
            Err(error) => (None, error.to_string()),
        }
    }

    pub(super) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.at().join("said")).unwrap_or_default()).into_owned()
    }

    /// Runs the program to its end; returns its exit code and all that it said.
    pub(super) fn run(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.command(words).output().expect("it runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    }

    pub(super) fn has_ledger(&self) -> bool {
        let opened = Ledger::open_read_only(self.at().join(".thalweg/ledger.sqlite"));
        !matches!(opened, Err(thalweg_ledger::Error::Missing { .. }))
    }

    pub(super) fn ledger(&self) -> Ledger {
        Ledger::open_read_only(self.at().join(".thalweg/ledger.sqlite")).expect("a ledger")
    }

    pub(super) fn state(&self) -> State {
        let reader = self.ledger().reader().expect("a reader");
        let mut files = BTreeMap::new();
        for station in ["radar", "site", "campus"] {
            for (name, hash) in tree(&self.at().join(station)) {
                files.insert(format!("{station}/{name}"), hash);
            }
        }
        let quarantine = reader
            .quarantined(&QuarantineFilter::default())
            .expect("rows")
            .into_iter()
            .map(|row| (row.station, row.path.as_str().to_owned(), row.class.to_string()))
            .collect();
        let keys = reader
            .keys(&KeyFilter::default())
            .expect("rows")
            .into_iter()
            .map(|row| ((row.step, row.key), format!("{:?} {:?}", row.there, row.next)))
            .collect();
        State { files, quarantine, keys }
    }

    /// What must hold whatever happened: no damage, no identity done twice, nothing temporary left, no process of ours.
    pub(super) fn troubles(&self) -> Vec<String> {
        let reader = self.ledger().reader().expect("a reader");
        let mut troubles = reader.damage().expect("an answer");
        let filter = RunFilter { states: vec![RunState::Done], ..RunFilter::default() };
        let mut done = BTreeMap::new();
        for run in reader.runs(&filter, u32::MAX).expect("rows") {
            *done.entry((run.step, run.key, run.identity)).or_insert(0) += 1;
        }
        troubles.extend(
            done.into_iter()
                .filter(|(_, times)| *times > 1)
                .map(|((step, key, _), n)| format!("{step} {key}: done {n} times")),
        );
        troubles
            .extend(reader.unfinished_runs().expect("rows").iter().map(|run| format!("run {} is not ended", run.id.0)));
        for station in ["radar", "site", "campus"] {
            let root = self.at().join(station);
            let temporary = names(&root).into_iter().filter(|name| is_temporary(name));
            troubles.extend(temporary.map(|name| format!("left over: {station}/{name}")));
            if root.join(".thalweg-staging").exists() {
                troubles.push(format!("left over: {station}/.thalweg-staging"));
            }
        }
        troubles.extend(
            names(&self.at().join(".thalweg/probes")).into_iter().map(|name| format!("left over: probes/{name}")),
        );
        troubles.extend(processes_below(self.at()).into_iter().map(|(pid, line)| format!("still runs: {pid} {line}")));
        troubles
    }
}

fn is_temporary(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.') || part.starts_with("run-"))
        || name.ends_with(".tmp")
        || name.ends_with(".part")
}

/// Paths of files and of empty folders below a folder.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        for entry in std::fs::read_dir(folder.join(&below)).into_iter().flatten().flatten() {
            let name = below.join(entry.file_name());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(name);
            } else {
                found.push(name.to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// Processes of verbs that work for a flow below this folder, whoever their parent is now.
pub(super) fn processes_below(folder: &Path) -> Vec<(i32, String)> {
    let mark = format!("THALWEG_STAGING={}", folder.display());
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes())) {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&line).replace('\0', " ")));
        }
    }
    found
}

pub(super) fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("it is told");
}

/// Waits for the end; `None` if it does not come.
pub(super) fn wait_end(child: &mut Child, limit: Duration) -> Option<i32> {
    let mut code = None;
    wait_until(limit, || {
        code = child.try_wait().expect("it can be asked");
        code.is_some()
    });
    code.and_then(|status| status.code())
}
