//! What somebody meets who has read the README and `--help` only: each mishap is told, with what to do next.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::faults::{signal, start, wait_end, wait_until};
use crate::flows::{json, lines, run, write};

const FLOW: &str = r#"flow = "letters"
[stations.inbox]
root = "in"
[stations.archive]
root = "out"
[products.list]
path = "{name}.txt"
[products.sorted]
path = "sorted/{name}.txt"
[steps.send]
at = "inbox"
takes = "list"
does = "send"
to = "archive"
[steps.sort]
at = "archive"
takes = "list"
makes = "sorted"
does = { run = ["sort", "-o", "{out}", "{in}"] }
retry = { times = 0 }
"#;

fn with(flow: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "flow.toml", flow);
    folder
}

// A command that fails unless a file `ok` lies beside the flow file's inputs.
fn failing() -> TempDir {
    let flow = FLOW.replace(
        r#"["sort", "-o", "{out}", "{in}"]"#,
        r#"["sh", "-c", "grep -q ok $1 && cp $1 $2", "sh", "{in}", "{out}"]"#,
    );
    let folder = with(&flow);
    write(folder.path(), "in/a.txt", "a\n");
    folder
}

fn stop(mut engine: std::process::Child) {
    signal(&engine, Signal::TERM);
    assert_eq!(wait_end(&mut engine, Duration::from_secs(10)), Some(0));
}

fn names(folder: &Path) -> Vec<String> {
    let all = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = all.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_mistyped_root_is_told_and_not_made() {
    let folder = with(&FLOW.replace("root = \"in\"", "root = \"inn\""));
    let at = folder.path();
    write(at, "in/a.txt", "b\na\n");
    let (out, _) = run(at, &["check"], 0);
    assert!(out.contains("stations.inbox: its root") && out.contains("correct `root`"), "{out}");
    assert!(!out.contains("stations.archive"), "that one will be made: {out}");
    assert_eq!(json(at, &["check"])["findings"][0]["code"], "no_root");
    let (out, _) = run(at, &["plan"], 0);
    assert!(out.contains("station inbox: its root") && out.contains("is not there"), "{out}");
    let (out, _) = run(at, &["run", "--once"], 4);
    assert!(out.contains("inbox: its root") && out.contains("1 station not listed"), "{out}");
    assert!(!out.contains("thalweg runs"), "no run failed: {out}");
    assert_eq!(names(at), [".thalweg", "flow.toml", "in", "out"]);
    let (out, _) = run(at, &["status"], 0);
    assert!(out.contains("is not there: the flow writes nothing there"), "{out}");
    let inbox = json(at, &["status"])["stations"].as_array().expect("stations")[1].clone();
    assert!(inbox["listing_error"].as_str().is_some_and(|text| text.contains("is not there")), "{inbox}");
    write(at, "inn/a.txt", "b\na\n");
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("2 done"), "{out}");
}

#[test]
fn a_root_that_appears_is_taken_up_by_the_engine_that_runs() {
    let folder = with(FLOW);
    let at = folder.path();
    let engine = start(at, &["run"]);
    assert!(wait_until(Duration::from_secs(8), || at.join("out").exists()));
    assert!(!at.join("in").exists());
    write(at, "in/a.txt", "b\na\n");
    assert!(wait_until(Duration::from_secs(9), || at.join("out/sorted/a.txt").exists()));
    stop(engine);
}

#[test]
fn a_retry_beside_an_engine_tells_what_came_of_it() {
    let folder = failing();
    let at = folder.path();
    let engine = start(at, &["run"]);
    let failed = || crate::flows::thalweg().args(["runs", "--failed", "--json"]).current_dir(at).output();
    assert!(wait_until(Duration::from_secs(8), || failed().is_ok_and(|output| !output.stdout.is_empty())));
    let (out, _) = run(at, &["retry"], 4);
    assert!(out.contains("0 done, 1 failed, 1 still failed"), "{out}");
    assert!(out.contains("thalweg log RUN"), "{out}");
    assert_eq!(lines(at, &["runs", "--failed"]).len(), 2);
    let (out, _) = run(at, &["retry", "send"], 4);
    assert!(out.contains("nothing of what was named has failed"), "{out}");
    stop(engine);
    let (out, _) = run(at, &["retry"], 4);
    assert!(out.contains("0 done, 1 failed, 1 still failed"), "as beside an engine: {out}");
    let attempts = lines(at, &["runs", "--failed"]).iter().map(|run| run["attempt"].as_u64()).max();
    assert_eq!(attempts, Some(Some(3)), "the attempts go on counting");
}

#[test]
fn steering_that_meets_nothing_says_so_and_what_to_do() {
    let folder = failing();
    let at = folder.path();
    write(at, "in/a.txt", "ok\n");
    run(at, &["run", "--once"], 0);
    let (out, _) = run(at, &["retry"], 0);
    assert!(out.contains("nothing to try again") && out.contains("thalweg plan"), "{out}");
    run(at, &["hold", "list"], 0);
    let (out, _) = run(at, &["resume", "list"], 0);
    assert!(out.contains("nothing to resume: product list is not paused"), "{out}");
    assert!(out.contains("`thalweg release 1` ends it") && out.contains("thalweg status"), "{out}");
    run(at, &["release", "1"], 0);
    run(at, &["pause", "sort"], 0);
    let (out, _) = run(at, &["release", "sort"], 0);
    assert!(out.contains("`thalweg resume 2` ends it"), "{out}");
}
