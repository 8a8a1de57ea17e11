//! The real program killed, stopped, started twice, out of space; and what only the binary may do.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::demo::tree;
use crate::flows::{run, write};

/// A copy, a step that writes three files for each key, and a move.
const FLOW: &str = r#"flow = "killed"
[stations]
here = { root = "a" }
[products.raw]
path = "in/{name}.dat"
[products.copied]
path = "out/{name}.txt"
[products.part]
path = "parts/{name}/{n:int}.txt"
[products.new]
path = "new/{name}.msg"
[products.sorted]
path = "sorted/{name}.msg"
[steps.copy]
at = "here"
takes = "raw"
makes = "copied"
does = { run = ["cp", "{in}", "{out}"] }
[steps.split]
at = "here"
takes = "raw"
if = "name >= '030' and name < '060'"
makes = { product = "part", many = true }
does = { run = ["sh", "-c", "for n in 1 2 3; do sed s/^/$n/ $1 > $2/$n.txt; done", "sh", "{in}", "{out}"] }
[steps.sort]
at = "here"
takes = "new"
makes = "sorted"
does = "move"
"#;

/// Files for the copy flow.
const FILES: usize = 150;

fn name(n: usize) -> String {
    format!("{n:03}")
}

/// The whole content that belongs to a final name.
fn whole(path: &str) -> Option<Vec<u8>> {
    let line = |start: &str, name: &str| format!("{start}content of {name}\n").repeat(400).into_bytes();
    let stem = Path::new(path).file_stem()?.to_str()?;
    match path.split('/').next()? {
        "parts" => Some(line(stem, path.split('/').nth(1)?)),
        "out" | "sorted" => Some(line("", stem)),
        _ => None,
    }
}

fn prepared() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "flow.toml", FLOW);
    for n in 0..FILES {
        let content = format!("content of {}\n", name(n)).repeat(400);
        write(folder.path(), &format!("a/in/{}.dat", name(n)), &content);
        if n < 30 {
            write(folder.path(), &format!("a/new/{}.msg", name(n)), &content);
        }
    }
    folder
}

pub(crate) fn start(folder: &Path, words: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(words)
        .current_dir(folder)
        .env_remove("THALWEG_FLOW")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// Waits until something holds; false when it does not within the time.
pub(crate) fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let from = Instant::now();
    while from.elapsed() < limit {
        if holds() {
            return true;
        }
        // A look now and then leaves the processor to what is waited for.
        std::thread::park_timeout(Duration::from_millis(1));
    }
    false
}

fn outputs(at: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["out", "parts", "sorted"] {
        found.extend(tree_names(&at.join("a").join(folder)).into_iter().map(|name| format!("{folder}/{name}")));
    }
    found
}

fn tree_names(folder: &Path) -> Vec<String> {
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

/// Reads every final name as it appears; returns what was not whole.
fn watch(at: &Path, over: &AtomicBool) -> (usize, Vec<String>) {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    loop {
        let last = over.load(Ordering::Relaxed);
        for path in outputs(at) {
            if seen.contains(&path) {
                continue;
            }
            let content = std::fs::read(at.join("a").join(&path)).unwrap_or_default();
            if Some(&content) != whole(&path).as_ref() {
                wrong.push(format!("{path}: {} bytes", content.len()));
            }
            seen.insert(path);
        }
        if last {
            return (seen.len(), wrong);
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

fn keys_done(at: &Path, step: &str) -> Vec<String> {
    let ledger = thalweg_ledger::Ledger::open_read_only(at.join(".thalweg/ledger.sqlite")).expect("a ledger");
    let filter = thalweg_ledger::RunFilter {
        step: Some(step.to_owned()),
        states: vec![thalweg_ledger::RunState::Done],
        ..Default::default()
    };
    ledger
        .reader()
        .and_then(|reader| reader.runs(&filter, 10_000))
        .expect("runs")
        .into_iter()
        .map(|row| row.key)
        .collect()
}

fn leftovers(at: &Path) -> Vec<String> {
    let temporary = |name: &String| {
        name.split('/').any(|part| part.starts_with('.')) || name.ends_with(".tmp") || name.ends_with(".part")
    };
    let mut left: Vec<String> = tree_names(&at.join("a")).into_iter().filter(temporary).collect();
    let staging = at.join("a/.thalweg-staging");
    left.extend(
        std::fs::read_dir(staging).into_iter().flatten().flatten().map(|entry| entry.path().display().to_string()),
    );
    left.extend(tree_names(&at.join(".thalweg/probes")));
    left
}

#[test]
fn killed_at_many_moments_the_end_is_that_of_an_undisturbed_run() {
    let undisturbed = prepared();
    run(undisturbed.path(), &["run", "--once", "--slots", "4"], 0);
    let expected = tree(&undisturbed.path().join("a"));
    assert_eq!(outputs(undisturbed.path()).len(), FILES + 90 + 30);

    let folder = prepared();
    let at = folder.path();
    let over = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (at, over) = (at.to_owned(), over.clone());
        std::thread::spawn(move || watch(&at, &over))
    };
    let from = Instant::now();
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut kills, mut moments) = (0, Vec::new());
    while kills < 12 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // So many more outputs, and then a part of a millisecond.
        let more = usize::try_from((dice >> 33) % 36).expect("few");
        let spins = (dice >> 40) % 20_000;
        let target = outputs(at).len() + more;
        let mut child = start(at, &["run", "--once", "--slots", "4"]);
        let mut ended = false;
        wait_until(Duration::from_secs(5), || {
            ended = child.try_wait().expect("it can be asked").is_some();
            ended || outputs(at).len() >= target
        });
        for _ in 0..spins {
            std::hint::spin_loop();
        }
        // SIGKILL.
        child.kill().expect("it can be killed");
        let status = child.wait().expect("it ends");
        moments.push((target, outputs(at).len()));
        if ended {
            assert!(status.success(), "{moments:?}");
            break;
        }
        kills += 1;
        // What the ledger calls done is there, whole and all of it.
        if at.join(".thalweg/ledger.sqlite").exists()
            && thalweg_ledger::Ledger::open_read_only(at.join(".thalweg/ledger.sqlite")).is_ok()
        {
            for key in keys_done(at, "split") {
                let name = key.split("name=").nth(1).and_then(|rest| rest.get(..3)).expect("a name").to_owned();
                for n in 1..=3 {
                    assert!(
                        at.join(format!("a/parts/{name}/{n}.txt")).exists(),
                        "{key} is done without {n}; {moments:?}"
                    );
                }
            }
        }
    }
    eprintln!("{kills} kills in {:?} at {moments:?}", from.elapsed());
    assert!(kills >= 8, "{moments:?}");
    run(at, &["run", "--once", "--slots", "4"], 0);
    over.store(true, Ordering::Relaxed);
    let (seen, wrong) = watcher.join().expect("the watcher ends");
    assert_eq!(wrong, Vec::<String>::new(), "a final name was partial; {moments:?}");
    assert_eq!(seen, FILES + 90 + 30);
    assert_eq!(leftovers(at), Vec::<String>::new(), "{moments:?}");
    assert_eq!(tree(&at.join("a")), expected, "{moments:?}");
    let (out, _) = run(at, &["run", "--once", "--json"], 0);
    let last: serde_json::Value = serde_json::from_str(out.lines().last().expect("a summary")).expect("an object");
    assert_eq!((&last["done"], &last["failed"]), (&0.into(), &0.into()), "nothing is left to do: {out}");
}

/// A flow with a child that runs until a file `a/stop` is there.
const LONG: &str = r#"flow = "long"
[stations]
here = { root = "a" }
[products.raw]
path = "in/{name}.dat"
[products.copied]
path = "out/{name}.txt"
[steps.copy]
at = "here"
takes = "raw"
makes = "copied"
reads = "."
does = { run = ["sh", "-c", "echo $$ > $2.tmp; mv $2.tmp $2.pid; while ! test -e FOLDER/stop; do :; done; cp $1 $2", "sh", "{in}", "{out}"] }
"#;

fn long() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let here = folder.path().display().to_string();
    write(
        folder.path(),
        "flow.toml",
        &LONG.replace("FOLDER", &here).replace("reads = \".\"", &format!("reads = {here:?}")),
    );
    write(folder.path(), "a/in/x.dat", "x");
    folder
}

fn child_pid(at: &Path) -> Option<String> {
    let staging = at.join("a/.thalweg-staging");
    let name = tree_names(&staging).into_iter().find(|name| name.ends_with(".pid"))?;
    std::fs::read_to_string(staging.join(name)).ok().map(|text| text.trim().to_owned())
}

pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a number")).expect("not 0");
    rustix::process::kill_process(pid, signal).expect("the signal is sent");
}

pub(crate) fn wait_end(child: &mut Child, limit: Duration) -> Option<i32> {
    let mut status = None;
    wait_until(limit, || {
        status = child.try_wait().expect("it can be asked");
        status.is_some()
    });
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    status.and_then(|status| status.code())
}

#[test]
fn a_stop_ends_a_long_child_within_ten_seconds_and_its_work_is_done_at_the_next_start() {
    let folder = long();
    let at = folder.path();
    let mut engine = start(at, &["run"]);
    let mut pid = None;
    assert!(wait_until(Duration::from_secs(8), || {
        pid = child_pid(at);
        pid.is_some()
    }));
    let from = Instant::now();
    signal(&engine, rustix::process::Signal::TERM);
    let code = wait_end(&mut engine, Duration::from_secs(12));
    assert!(from.elapsed() < Duration::from_secs(10), "{:?}", from.elapsed());
    assert_eq!(code, Some(0));
    assert!(!Path::new("/proc").join(pid.expect("a child")).exists(), "the child is gone");
    assert!(!at.join("a/out").exists() && leftovers(at).is_empty(), "{:?}", leftovers(at));
    write(at, "stop", "");
    run(at, &["run", "--once"], 0);
    assert_eq!(std::fs::read_to_string(at.join("a/out/x.txt")).expect("an output"), "x");
}

#[test]
fn a_second_engine_is_refused_and_names_the_first() {
    let folder = long();
    let at = folder.path();
    let mut engine = start(at, &["run"]);
    assert!(wait_until(Duration::from_secs(8), || child_pid(at).is_some()));
    let (_, err) = run(at, &["run", "--once"], 75);
    assert!(err.contains(&engine.id().to_string()), "{err}");
    write(at, "stop", "");
    assert!(wait_until(Duration::from_secs(8), || at.join("a/out/x.txt").exists()));
    signal(&engine, rustix::process::Signal::TERM);
    assert_eq!(wait_end(&mut engine, Duration::from_secs(10)), Some(0));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "an instrument gives its file a name as it likes")]
fn a_bad_flow_file_read_again_keeps_the_old_one_in_force() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let flow = FLOW.split("[steps.split]").next().expect("a part");
    write(at, "flow.toml", flow);
    write(at, "a/in/1.dat", "one");
    let mut engine = start(at, &["run"]);
    let complaints = BufReader::new(engine.stderr.take().expect("a pipe"));
    let told = std::thread::spawn(move || {
        complaints.lines().map_while(Result::ok).find(|line| line.contains("stays in force"))
    });
    assert!(wait_until(Duration::from_secs(8), || at.join("a/out/1.txt").exists()));
    write(at, "flow.toml", &flow.replace("takes = \"raw\"", "takes = \"rwa\""));
    signal(&engine, rustix::process::Signal::HUP);
    assert!(told.join().expect("it ends").is_some(), "the mistake is told");
    write(at, "a/in/part", "two");
    std::fs::rename(at.join("a/in/part"), at.join("a/in/2.dat")).expect("it gets its name");
    assert!(wait_until(Duration::from_secs(9), || at.join("a/out/2.txt").exists()), "the old flow goes on");
    signal(&engine, rustix::process::Signal::TERM);
    assert_eq!(wait_end(&mut engine, Duration::from_secs(10)), Some(0));
}

#[test]
fn a_request_is_handed_to_the_running_engine_which_tells_how_far_it_is() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    write(
        at,
        "flow.toml",
        r#"flow = "asked"
[stations]
here = { root = "a" }
[products.raw]
path = "in/{time:%Y%m%d%H}.dat"
span = "1h"
[products.copied]
path = "out/{time:%Y%m%d%H}.txt"
span = "1h"
[steps.copy]
at = "here"
takes = "raw"
makes = "copied"
when = "asked"
does = { run = ["cp", "{in}", "{out}"] }
"#,
    );
    for hour in 0..12 {
        write(at, &format!("a/in/20260101{hour:02}.dat"), "x");
    }
    let mut engine = start(at, &["run", "--json"]);
    let mut lines = BufReader::new(engine.stdout.take().expect("a pipe")).lines();
    let taken = lines.by_ref().map_while(Result::ok).filter(|line| line.contains("file_taken")).take(12).count();
    assert_eq!(taken, 12);
    let rest = std::thread::spawn(move || lines.map_while(Result::ok).count());
    let (out, err) = run(at, &["make", "copied", "--from", "2026-01-01", "--to", "2026-01-01T12:00", "--json"], 0);
    let events: Vec<serde_json::Value> = out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(events.iter().any(|event| event["event"] == "request"), "how far it is: {out}\n{err}");
    assert_eq!(events.last().map(|event| event["done"].clone()), Some(12.into()), "{out}");
    assert_eq!(tree_names(&at.join("a/out")).len(), 12);
    assert!(engine.try_wait().expect("it can be asked").is_none(), "the engine goes on");
    signal(&engine, rustix::process::Signal::TERM);
    assert_eq!(wait_end(&mut engine, Duration::from_secs(10)), Some(0));
    rest.join().expect("it ends");
}

#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
pub(crate) fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// Runs a test again within a user and mount namespace of its own, or as it is for root; `None` when neither can be.
pub(crate) fn with_small_disk(test: &str) -> Option<()> {
    let inside = std::env::var_os("THALWEG_TEST_NAMESPACE").is_some();
    if inside {
        return Some(());
    }
    let exe = std::env::current_exe().expect("this program");
    let output = Command::new("unshare")
        .args([
            "-rm",
            "--propagation",
            "private",
            "sh",
            "-c",
            "mkdir -p \"$0\" && mount -t tmpfs -o size=64k tmpfs \"$0\" && umount \"$0\" && exec \"$@\"",
        ])
        .arg(std::env::temp_dir().join(format!("thalweg-probe-{}", std::process::id())))
        .arg(&exe)
        .args(["--exact", test, "--nocapture"])
        .env("THALWEG_TEST_NAMESPACE", "1")
        .output();
    let Ok(output) = output else {
        skipped("unshare not present");
        return None;
    };
    let _ = std::fs::remove_dir(std::env::temp_dir().join(format!("thalweg-probe-{}", std::process::id())));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !said.contains("running 1 test") {
        skipped(&format!("no mount namespace of its own can be had here: {}", said.trim()));
        return None;
    }
    assert!(output.status.success(), "{said}");
    None
}

pub(crate) fn mount_small(at: &Path, size: &str) {
    std::fs::create_dir_all(at).expect("a folder");
    let done = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
        .arg(at)
        .status()
        .expect("mount runs");
    assert!(done.success(), "a small disk is mounted");
}

/// Unmounts when the test ends, also by a failure.
pub(crate) struct Mounted(pub(crate) PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_at_a_station_fails_what_needs_it_and_no_more() {
    if with_small_disk("faults::a_full_disk_at_a_station_fails_what_needs_it_and_no_more").is_none() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    mount_small(&at.join("b"), "1m");
    let _mounted = Mounted(at.join("b"));
    write(
        at,
        "flow.toml",
        r#"flow = "full"
[stations]
here = { root = "a" }
there = { root = "b" }
[products.raw]
path = "in/{name}.dat"
[steps.send]
at = "here"
takes = "raw"
does = "send"
to = "there"
retry = { times = 5, wait = "1s..1s" }
[keeps.raw]
at = "here"
products = ["raw"]
delete = "at_once"
only_if = "receipted at there"
"#,
    );
    write(at, "b/ballast", &"b".repeat(700_000));
    write(at, "a/in/big.dat", &"big".repeat(200_000));
    write(at, "a/in/small.dat", "small");
    let (out, err) = run(at, &["run", "--once", "--json"], 4);
    let said = format!("{out}{err}");
    assert!(said.contains("transient") && (said.contains("space") || said.contains("full")), "{said}");
    assert_eq!(std::fs::read(at.join("a/in/big.dat")).expect("the source").len(), 600_000, "the source stays");
    let there: BTreeSet<String> =
        tree_names(&at.join("b")).into_iter().filter(|name| !name.starts_with(".thalweg-staging")).collect();
    assert_eq!(there, BTreeSet::from(["ballast".to_owned(), "in/small.dat".to_owned()]), "nothing partial has a name");
    let ledger = thalweg_ledger::Ledger::open_read_only(at.join(".thalweg/ledger.sqlite")).expect("a ledger");
    assert_eq!(ledger.reader().and_then(|reader| reader.damage()).expect("an answer"), Vec::<String>::new());
    drop(ledger);
    std::fs::remove_file(at.join("b/ballast")).expect("space is freed");
    run(at, &["retry"], 0);
    run(at, &["run", "--once"], 0);
    assert_eq!(std::fs::read(at.join("b/in/big.dat")).expect("the copy").len(), 600_000);
    assert_eq!(tree_names(&at.join("a")), Vec::<String>::new(), "and now the sources may go");
}

#[test]
fn a_full_disk_below_the_ledger_is_told_and_deletes_nothing() {
    if with_small_disk("faults::a_full_disk_below_the_ledger_is_told_and_deletes_nothing").is_none() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let flow = FLOW.split("[steps.split]").next().expect("a part").replace("[steps.copy]", "[steps.double]")
        + "[keeps.raw]\nat = \"here\"\nproducts = [\"raw\"]\ndelete = \"at_once\"\nonly_if = \"step double done\"\n";
    write(at, "flow.toml", &flow);
    for n in 0..30 {
        write(at, &format!("a/in/{}.dat", name(n)), &name(n));
    }
    let state = at.join(".thalweg");
    // Full before it begins, and full while it works.
    for size in ["8k", "260k", "400k"] {
        mount_small(&state, size);
        let _mounted = Mounted(state.clone());
        let output = crate::flows::thalweg().args(["run", "--once"]).current_dir(at).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.code().is_some_and(|code| code != 0), "{size}: {said}");
        assert!(said.contains("space") || said.contains("full"), "{size}: {said}");
        assert!(!said.contains("panicked"), "{size}: {said}");
        for n in 0..30 {
            let source = at.join(format!("a/in/{}.dat", name(n)));
            let copy = at.join(format!("a/out/{}.txt", name(n)));
            let kept =
                [source, copy].iter().any(|path| std::fs::read_to_string(path).is_ok_and(|content| content == name(n)));
            assert!(kept, "{size}: {} is nowhere", name(n));
        }
    }
    run(at, &["run", "--once"], 0);
}

/// The lines of code of a source, without comments and without its tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tests = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..tests].lines().enumerate().map(|(n, line)| (n + 1, line.split("//").next().unwrap_or_default()))
}

#[test]
fn only_the_binary_prints() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for entry in std::fs::read_dir(crates).expect("a folder").flatten() {
        // The program itself, which is there to print; its sources are looked at by the lints.
        if entry.file_name() == "thalweg" {
            continue;
        }
        for name in tree_names(&entry.path().join("src"))
            .into_iter()
            .filter(|name| name.ends_with(".rs") && !name.ends_with("tests.rs"))
            // The simulator's program is there to print, too.
            .filter(|name| !(entry.file_name() == "thalweg-testkit" && name == "main.rs"))
        {
            let text = std::fs::read_to_string(entry.path().join("src").join(&name)).expect("a source");
            looked_at += 1;
            for (number, line) in code(&text) {
                for word in ["println!", "print!", "dbg!", "io::stdout", "io::stderr", "stdout()", "stderr()"] {
                    if line.contains(word) {
                        wrong.push(format!(
                            "{}/src/{name}:{number}: {}",
                            entry.file_name().to_string_lossy(),
                            line.trim()
                        ));
                    }
                }
            }
        }
    }
    assert!(looked_at > 100, "the sources are found: {looked_at}");
    assert_eq!(wrong, Vec::<String>::new());
}

/// Files that claim much more than they hold.
fn absurd() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    use thalweg_formats::borealis::synth::{SynthLayout, SynthOptions, write};
    let mut seeds = BTreeMap::new();
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("seed");
    write(&path, SynthLayout::SiteV06, &SynthOptions { records: 1, ranges: 4, lags: 4, ..SynthOptions::default() })
        .expect("a file");
    let mut borealis = Vec::new();
    std::fs::File::open(&path).and_then(|mut file| file.read_to_end(&mut borealis)).expect("a file just made");
    let vector =
        thalweg_formats::dmap::Vector { shape: vec![3, 2], data: thalweg_formats::dmap::Elements::Float(vec![1.0; 6]) };
    let fields = vec![
        ("cp".to_owned(), thalweg_formats::dmap::Field::Scalar(thalweg_formats::dmap::Scalar::Short(151))),
        ("acfd".to_owned(), thalweg_formats::dmap::Field::Vector(vector)),
    ];
    let mut writer = thalweg_formats::dmap::Writer::new(Vec::new(), false);
    writer.write(&thalweg_formats::dmap::Record { fields, ..Default::default() }).expect("memory takes all");
    let dmap = writer.finish().expect("memory takes all");
    for (kind, seed, step) in [("dmap", dmap, 1), ("borealis", borealis, 97)] {
        let mut files = Vec::new();
        for at in (0..seed.len()).step_by(step) {
            for number in [0x7fff_ffff_u64, 0x7fff_ffff_ffff_ffff, 0x4000_0000] {
                let mut bytes = seed.clone();
                let width = if kind == "dmap" { 4 } else { 8 };
                bytes.iter_mut().skip(at).zip(&number.to_le_bytes()[..width]).for_each(|(byte, new)| *byte = *new);
                files.push(bytes);
            }
        }
        seeds.insert(kind, files);
    }
    seeds
}

#[test]
fn readers_ask_for_no_more_memory_than_the_file_justifies() {
    const TEST: &str = "faults::readers_ask_for_no_more_memory_than_the_file_justifies";
    if std::env::var_os("THALWEG_TEST_SMALL").is_some() {
        for (kind, files) in absurd() {
            let from = Instant::now();
            for bytes in files {
                match kind {
                    "dmap" => {
                        thalweg_formats::dmap::read_all_for_check(&bytes);
                    }
                    _ => {
                        thalweg_formats::hdf5::read_all_for_check(&bytes);
                        thalweg_formats::borealis::read_all_for_check(&bytes);
                    }
                }
                if from.elapsed() > Duration::from_secs(3) {
                    break;
                }
            }
        }
        return;
    }
    // Whoever asks for more than 400 MB of addresses is refused, and dies of it.
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 400000 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", TEST, "--nocapture", "--test-threads", "1"])
        .env("THALWEG_TEST_SMALL", "1")
        .output()
        .expect("a shell");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
