//! A small flow over two stations, checked, planned, run and asked about.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value as Json;
use tempfile::TempDir;

const FLOW: &str = r#"flow = "small"
[stations]
here = { root = "a" }
there = { root = "b" }
[products.raw]
path = "in/{time:%Y%m%d.%H%M}.{site}.dat"
span = "2h"
ready = { not_newest = ["site"], closed = true }
[products.copy]
path = "out/{time:%Y%m%d.%H%M}.{site}.txt"
span = "2h"
[steps.copy]
at = "here"
takes = "raw"
makes = "copy"
does = { run = ["cp", "{in}", "{out}"] }
[steps.send]
at = "here"
takes = "copy"
does = "send"
to = "there"
[keeps.raw]
at = "here"
products = ["raw"]
delete = { older_than = "1000d" }
only_if = "copy receipted at there"
"#;

/// The program, with nothing of the caller's surroundings that could change what it says.
pub(crate) fn thalweg() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    command.env_remove("THALWEG_FLOW").env_remove("THALWEG_REPORT").env("USER", "tester").env("NO_COLOR", "1");
    command
}

/// A folder with the flow and four files, of which the newest is held back.
pub(crate) fn project() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "flow.toml", FLOW);
    for hour in ["00", "02", "04", "08"] {
        write(folder.path(), &format!("a/in/20240131.{hour}00.sas.dat"), hour);
    }
    folder
}

#[expect(clippy::disallowed_methods, reason = "input of a test, which nothing else reads meanwhile")]
pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(path, text).expect("a file");
}

/// Runs a command in the folder, expects an exit code, returns standard output and standard error.
pub(crate) fn run(folder: &Path, words: &[&str], code: i32) -> (String, String) {
    let output = thalweg().args(words).current_dir(folder).output().expect("it runs");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(code), "thalweg {}\n{out}\n{err}", words.join(" "));
    (out, err)
}

pub(crate) fn json(folder: &Path, words: &[&str]) -> Json {
    let (out, _) = run(folder, &[words, &["--json"]].concat(), 0);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words:?}: {error}\n{out}"))
}

pub(crate) fn lines(folder: &Path, words: &[&str]) -> Vec<Json> {
    let (out, _) = run(folder, &[words, &["--json"]].concat(), 0);
    out.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

#[test]
fn a_plan_before_the_first_run_says_why_and_why_not_and_touches_nothing() {
    let folder = project();
    let plan = json(folder.path(), &["plan"]);
    assert_eq!(plan["steps"][0]["counts"], serde_json::json!({ "ready": 3, "waiting": 1 }));
    let waiting = plan["steps"][0]["keys"]
        .as_array()
        .and_then(|keys| keys.iter().find(|key| key["next"] == "waiting"))
        .expect("one waits");
    assert_eq!(waiting["reason"]["code"], "not_newest");
    let (dry, _) = run(folder.path(), &["make", "copy", "--from", "2024-01-31", "--to", "2024-02-01", "--dry-run"], 4);
    assert!(dry.contains("3 to run now") && dry.contains("missing source"), "{dry}");
    let (status, _) = run(folder.path(), &["status"], 0);
    assert!(status.contains("there is no ledger yet"), "{status}");
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "flow.toml"], "planning makes nothing, not even the root of a station");
}

#[test]
fn a_plan_before_the_first_run_leaves_alone_what_the_engine_would() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let flow = "flow = \"all\"\nstations.a.root = \"a\"\nstations.b.root = \"b\"\n\
                [products.any]\npath = \"{rest:path}.dat\"\ntemporary = [\"*.half.dat\"]\n\
                [steps.copy]\nat = \"a\"\ntakes = \"any\"\ndoes = \"send\"\nto = \"b\"\n";
    write(at, "flow.toml", flow);
    for name in ["a/x.dat", "a/y.half.dat", "a/.z.dat", "a/quarantine/w.dat"] {
        write(at, name, name);
    }
    assert_eq!(json(at, &["plan"])["steps"][0]["counts"], serde_json::json!({ "ready": 1 }));
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("1 done"), "{out}");
}

#[test]
fn after_a_run_every_question_has_an_answer() {
    let folder = project();
    let at = folder.path();
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("6 done"), "{out}");
    let again = lines(at, &["run", "--once"]);
    assert_eq!(again.last().expect("a summary")["done"], 0, "running twice equals running once");

    let status = json(at, &["status"]);
    let of = |station: &str, product: &str, state: &str| {
        let tally = status["files"].as_array().and_then(|all| {
            all.iter()
                .find(|tally| tally["station"] == station && tally["product"] == product && tally["state"] == state)
        });
        tally.map(|tally| tally["files"].as_u64().unwrap_or(0))
    };
    assert_eq!(of("there", "copy", "present"), Some(3));
    assert_eq!(of("here", "raw", "settling"), Some(1));

    assert_eq!(lines(at, &["find", "copy", "--at", "there"]).len(), 3);
    assert_eq!(
        lines(
            at,
            &[
                "find",
                "copy",
                "--at",
                "there",
                "--from",
                "2024-01-31T02:00",
                "--to",
                "2024-01-31T03:00",
                "--where",
                "site=sas"
            ]
        )
        .len(),
        1
    );
    assert_eq!(lines(at, &["find", "copy", "--where", "site=cly"]).len(), 0);
    let gaps = lines(at, &["gaps", "copy", "--from", "2024-01-31", "--to", "2024-01-31T08:00"]);
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0]["start"], "2024-01-31T06:00:00Z");
    let coverage = json(at, &["coverage", "copy", "--at", "there"]);
    assert_eq!(coverage[0]["covered"], 1.0);
    // What fell silent is told up to now, however long ago that was.
    for from in ["2024-01-31", "2025-01-01"] {
        let gaps = lines(at, &["gaps", "copy", "--from", from]);
        assert!(gaps.last().and_then(|gap| gap["end"].as_str()).is_some_and(|end| end > "2026"), "{gaps:?}");
        let coverage = json(at, &["coverage", "copy", "--from", from]);
        assert!(coverage[0]["to"].as_str().is_some_and(|end| end > "2026"), "{coverage:#}");
    }
    let (out, err) = run(at, &["gaps", "copy", "--to", "2023-01-01"], 0);
    assert!(!format!("{out}{err}").contains("has no gap") && err.contains("no file of copy"), "{out}{err}");
    let (out, _) = run(at, &["coverage", "copy", "--to", "2023-01-01"], 0);
    assert!(out.contains("no file"), "{out}");

    let why = json(at, &["why", "a/in/20240131.0200.sas.dat"]);
    assert_eq!(why["used_by"][0]["outputs"][0]["path"], "out/20240131.0200.sas.txt");
    assert_eq!(why["keeps"][0]["may_delete"], false);
    assert_eq!(why["keeps"][0]["reason"]["code"], "too_young");
    let (why, _) = run(at, &["why", "here/in/20240131.0800.sas.dat"], 0);
    assert!(why.contains("seen, not taken yet") && why.contains("newest"), "{why}");
    let (why, _) = run(at, &["why", "a/in/none.txt"], 0);
    assert!(why.contains("no product's pattern matches"), "{why}");

    let lineage = json(at, &["lineage", "b/out/20240131.0200.sas.txt"]);
    assert_eq!(lineage["upstream"][0]["next"][0]["path"], "in/20240131.0200.sas.dat");
    let runs = lines(at, &["runs", "--step", "copy"]);
    assert_eq!(runs.len(), 3);
    let number = runs[0]["id"].to_string();
    assert_eq!(json(at, &["log", &number])["run"]["step"], "copy");
    assert!(lines(at, &["trim"]).iter().all(|decision| decision["delete"] == false));
    assert!(lines(at, &["quarantine"]).is_empty());

    // From anywhere above a station's root, by the path alone.
    let path = at.join("b/out/20240131.0200.sas.txt");
    let output =
        thalweg().args(["why", "--json"]).arg(path).current_dir(std::env::temp_dir()).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_paused_or_held_waits_until_it_is_released() {
    let folder = project();
    let at = folder.path();
    run(at, &["pause", "send", "--why", "the link is down"], 0);
    run(at, &["hold", "raw", "--where", "site=cly"], 0);
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("3 done") && out.contains("3 blocked"), "{out}");
    let status = json(at, &["status"]);
    assert_eq!(status["holds"].as_array().map(Vec::len), Some(2));
    assert_eq!(status["holds"][0]["why"], "the link is down");
    assert_eq!(status["holds"][0]["by"], "tester");
    let (plan, _) = run(at, &["plan", "--step", "send"], 0);
    assert!(plan.contains("blocked") && plan.contains("tester"), "{plan}");
    run(at, &["resume", "send"], 0);
    let (out, _) = run(at, &["resume"], 0);
    assert!(out.contains("nothing to resume"), "{out}");
    run(at, &["release", "2"], 0);
    run(at, &["release", "2"], 2);
    run(at, &["drain", "send"], 0);
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("0 done"), "{out}");
    run(at, &["resume"], 0);
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("3 done"), "{out}");
}
