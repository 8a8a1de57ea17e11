//! A first run that finds old files.

use std::path::Path;

use tempfile::TempDir;

use crate::flows::{json, project, run, write};

// Four files, and a limit below them.
fn old() -> TempDir {
    let folder = project();
    let flow = std::fs::read_to_string(folder.path().join("flow.toml")).expect("the flow");
    write(folder.path(), "flow.toml", &format!("{flow}\n[run]\nbacklog = 3\n"));
    folder
}

fn outputs(at: &Path) -> usize {
    std::fs::read_dir(at.join("a/out")).map_or(0, Iterator::count)
}

#[test]
fn without_an_answer_nothing_is_begun() {
    let folder = old();
    let at = folder.path();
    let (_, error) = run(at, &["run", "--once"], 5);
    assert!(error.contains("4 files (8 B) are there already, more than 3: copy 4 files (8 B)"), "{error}");
    assert!(error.contains("--backlog") && error.contains("--no-backlog"), "{error}");
    let (_, error) = run(at, &["run", "--once", "--json"], 5);
    let told: serde_json::Value = serde_json::from_str(&error).expect("an object");
    assert_eq!(told["backlog"]["steps"][0]["files"], 4, "{told:#}");
    let status = json(at, &["status"]);
    assert_eq!((&status["files"], &status["steps"]), (&serde_json::json!([]), &serde_json::json!([])), "{status:#}");
    assert_eq!(outputs(at), 0);
    // A listing by hand does not make them old acquaintances.
    run(at, &["scan"], 0);
    run(at, &["run", "--once"], 5);
    run(at, &["run", "--once", "--backlog-limit", "4"], 0);
    assert_eq!(outputs(at), 3);
    for hour in ["10", "12", "14", "16", "18"] {
        write(at, &format!("a/in/20240131.{hour}00.sas.dat"), hour);
    }
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("10 done"), "what comes later is no backlog: {out}");
}

#[test]
fn what_was_asked_for_before_the_first_run_is_no_answer() {
    let folder = old();
    let at = folder.path();
    run(at, &["make", "copy", "--from", "2024-01-31T04:00:00Z", "--to", "2024-01-31T06:00:00Z"], 0);
    assert_eq!(outputs(at), 1);
    run(at, &["run", "--once"], 5);
    let (out, _) = run(at, &["run", "--once", "--no-backlog"], 0);
    assert!(out.contains("files that are there already are entered as known"), "{out}");
    assert_eq!(outputs(at), 1, "what is left alone is not made");
}

#[test]
fn after_a_refused_run_the_plan_says_what_there_is_to_do() {
    let folder = old();
    run(folder.path(), &["run", "--once"], 5);
    let plan = json(folder.path(), &["plan"]);
    assert_eq!(plan["steps"][0]["counts"]["ready"], 3, "{plan:#}");
    let span = ["make", "copy", "--from", "2024-01-31", "--to", "2024-01-31T06:00:00Z", "--dry-run"];
    let dry = json(folder.path(), &span);
    assert_eq!(dry["ready"].as_array().map(Vec::len), Some(3), "{dry:#}");
}

#[test]
fn a_hold_before_the_first_run_makes_a_ledger_that_knows_no_files() {
    let folder = project();
    let at = folder.path();
    run(at, &["hold", "here/in/20240131.0800.sas.dat"], 0);
    let plan = json(at, &["plan"]);
    assert_eq!(plan["steps"][0]["counts"]["ready"], 3, "{plan:#}");
    let dry = json(at, &["make", "copy", "--from", "2024-01-31", "--to", "2024-01-31T06:00:00Z", "--dry-run"]);
    assert_eq!(dry["ready"].as_array().map(Vec::len), Some(3), "as the plan says: {dry:#}");
}

#[test]
fn with_backlog_all_are_done() {
    let folder = old();
    let (out, _) = run(folder.path(), &["run", "--once", "--backlog"], 0);
    assert!(out.contains("6 done"), "{out}");
    run(folder.path(), &["run", "--once", "--backlog", "--no-backlog"], 2);
}

#[test]
fn with_no_backlog_only_what_is_new_is_done_until_somebody_asks() {
    let folder = old();
    let at = folder.path();
    let (out, _) = run(at, &["run", "--once", "--no-backlog"], 0);
    assert!(out.contains("4 files that are there already") && out.contains("0 done"), "{out}");
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("0 done"), "it lasts: {out}");
    let (why, _) = run(at, &["why", "a/in/20240131.0000.sas.dat"], 0);
    assert!(why.contains("older than the start of thalweg here"), "{why}");
    let story = json(at, &["why", "a/in/20240131.0000.sas.dat"]);
    assert_eq!(story["file"]["hash"], serde_json::Value::Null, "it is not even read: {story:#}");
    let plan = json(at, &["plan"]);
    assert_eq!(plan["steps"][0]["counts"]["blocked"], 4, "{plan:#}");

    write(at, "a/in/20240131.1000.sas.dat", "10");
    write(at, "a/in/20240131.1200.sas.dat", "12");
    write(at, "a/in/20240131.0200.sas.dat", "changed");
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("4 done"), "the new one that is not the newest, and the changed one: {out}");
    assert_eq!(outputs(at), 2);

    let (out, _) = run(at, &["make", "copy", "--from", "2024-01-31T04:00:00Z", "--to", "2024-01-31T06:00:00Z"], 0);
    assert!(out.contains("1 done"), "{out}");
    assert_eq!(outputs(at), 3);

    run(at, &["retry", "--backlog", "--where", "site=sas"], 2);
    run(at, &["retry", "--backlog", "copy"], 0);
    run(at, &["run", "--once"], 0);
    assert_eq!(outputs(at), 5, "all but the newest");
}

#[test]
fn with_backlog_what_was_left_alone_is_taken_up() {
    let folder = old();
    let at = folder.path();
    run(at, &["run", "--once", "--no-backlog"], 0);
    let (out, _) = run(at, &["run", "--once", "--backlog"], 0);
    assert!(out.contains("6 done"), "{out}");
}

#[test]
fn a_product_that_is_new_to_the_flow_is_asked_about() {
    let folder = old();
    let at = folder.path();
    run(at, &["run", "--once", "--backlog"], 0);
    for n in 0..5 {
        write(at, &format!("a/more/{n}.txt"), "x");
    }
    let flow = std::fs::read_to_string(at.join("flow.toml")).expect("the flow");
    let more = "[products.more]\npath = \"more/{n:int}.txt\"\n[steps.more]\nat = \"here\"\ntakes = \"more\"\ndoes = \"send\"\nto = \"there\"\n";
    write(at, "flow.toml", &format!("{flow}{more}"));
    let (_, error) = run(at, &["run", "--once"], 5);
    assert!(error.contains("more 5 files"), "{error}");
    run(at, &["run", "--once", "--no-backlog"], 0);
    assert!(!at.join("b/more").exists());
}
