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
    let (out, _) = run(at, &["why", "out/sorted/a.txt"], 0);
    assert!(out.contains("nothing is known of inbox: its root"), "{out}");
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

#[test]
fn a_missing_output_names_its_cause_back_to_the_beginning() {
    let folder = failing();
    let at = folder.path();
    run(at, &["run", "--once"], 4);
    let (out, _) = run(at, &["why", "out/sorted/a.txt"], 0);
    assert!(
        out.contains("sort  failed") && out.contains("thalweg log 2") && out.contains("thalweg retry sort"),
        "{out}"
    );
    let missing = json(at, &["why", "out/sorted/zz.txt"])["missing"].clone();
    let files: Vec<&str> =
        missing.as_array().expect("causes").iter().filter_map(|cause| cause["file"].as_str()).collect();
    assert_eq!(files, ["archive/sorted/zz.txt", "archive/zz.txt", "inbox/zz.txt"]);
    assert_eq!(missing[2]["step"], serde_json::Value::Null, "{missing:#}");
    run(at, &["pause", "sort", "--why", "a test"], 0);
    let (out, _) = run(at, &["why", "out/sorted/a.txt"], 0);
    assert!(out.contains("paused by tester") && out.contains("its last run failed, too: `thalweg log 2`"), "{out}");
}

#[test]
fn an_output_without_a_name_of_its_input_is_explained_by_the_keys_of_its_time() {
    let flow = FLOW
        .replace("{name}.txt", "{time:%Y%m%d%H}.txt\"\nspan = \"1h")
        .replace("sorted/{time:%Y%m%d%H}.txt\"\nspan = \"1h", "day/{time:%Y%m%d}.txt\"\nspan = \"1d")
        .replace("makes = \"sorted\"", "makes = \"sorted\"\nper = \"1d\"\ncomplete = \"covered\"");
    let folder = with(&flow);
    let at = folder.path();
    write(at, "in/2026010100.txt", "a\n");
    run(at, &["run", "--once"], 0);
    let (out, _) = run(at, &["why", "out/day/20260101.txt"], 0);
    assert!(out.contains("archive/day/20260101.txt  sort  waiting"), "{out}");
    let (out, _) = run(at, &["why", "out/day/20260105.txt"], 0);
    assert!(out.contains("none that belongs to it is there") && out.contains("thalweg plan --step sort"), "{out}");
}

#[test]
fn a_foreign_file_in_the_way_is_told_with_both_ways_out() {
    let folder = with(FLOW);
    let at = folder.path();
    for name in ["a", "b"] {
        write(at, &format!("in/{name}.txt"), "b\na\n");
        write(at, &format!("out/sorted/{name}.txt"), "foreign\n");
    }
    let (out, _) = run(at, &["run", "--once"], 4);
    assert!(out.contains("is something else's file and is not overwritten"), "{out}");
    assert!(out.contains("`thalweg adopt sorted` keeps it") && out.contains("`thalweg retry sort`"), "{out}");
    std::fs::remove_file(at.join("out/sorted/a.txt")).expect("it is removed");
    run(at, &["retry", "sort"], 4);
    assert_eq!(std::fs::read_to_string(at.join("out/sorted/a.txt")).expect("it is made"), "a\nb\n");
    let (out, _) = run(at, &["adopt", "sorted", "--dry-run"], 0);
    assert!(out.contains("1 file would be adopted") && !out.contains("1 file adopted"), "{out}");
    run(at, &["adopt", "sorted"], 0);
    run(at, &["run", "--once"], 0);
    assert_eq!(std::fs::read_to_string(at.join("out/sorted/b.txt")).expect("it stays"), "foreign\n");
}

#[test]
fn an_output_that_another_hand_changed_is_said_loudly() {
    let flow =
        format!("{FLOW}[steps.use]\nat = \"archive\"\ntakes = \"sorted\"\ndoes = {{ run = [\"cat\", \"{{in}}\"] }}\n");
    let folder = with(&flow);
    let at = folder.path();
    write(at, "in/a.txt", "b\na\n");
    run(at, &["run", "--once"], 0);
    write(at, "out/sorted/a.txt", "changed by hand\n");
    let (out, _) = run(at, &["run", "--once"], 4);
    assert!(out.contains("blocked     sort") && out.contains("changed by something else since run 2 made it"), "{out}");
    let (out, _) = run(at, &["status"], 0);
    assert!(out.contains("1 key blocked, as sort list(name=a) @archive: sorted/a.txt at archive was changed"), "{out}");
    assert!(out.contains("`thalweg plan` says what blocks"), "{out}");
    let (out, _) = run(at, &["why", "out/sorted/a.txt"], 0);
    assert!(out.lines().next().is_some_and(|line| line.contains("changed by something else since run 2")), "{out}");
    assert!(out.contains("`thalweg adopt sorted` keeps it as it is"), "{out}");
    std::fs::remove_file(at.join("out/sorted/a.txt")).expect("it is removed");
    let (out, _) = run(at, &["why", "out/sorted/a.txt"], 0);
    assert!(out.contains("it is not there now: `thalweg scan archive` takes note of that"), "{out}");
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("made again") || out.contains("2 done"), "it is made again, and used: {out}");
}

#[test]
fn a_mended_command_is_tried_again_and_a_wrong_one_is_warned_of() {
    let broken = FLOW.replace("\"sort\", \"-o\", \"{out}\"", "\"no-such-srot\", \"-o\", \"{out}\"");
    let folder = with(&broken);
    let at = folder.path();
    write(at, "in/a.txt", "b\na\n");
    let (out, _) = run(at, &["check"], 0);
    assert!(out.contains("warning  steps.sort: there is no program no-such-srot"), "{out}");
    run(at, &["run", "--once"], 4);
    let (out, _) = run(at, &["run", "--once"], 4);
    assert!(out.contains("0 done"), "the same command is not tried again by itself: {out}");
    write(at, "flow.toml", FLOW);
    let (out, _) = run(at, &["run", "--once", "-v"], 0);
    assert!(out.contains("its command was edited: 1 key") && out.contains("1 done"), "{out}");
    let (out, _) = run(at, &["check"], 0);
    assert!(!out.contains("warning"), "{out}");
    write(at, "flow.toml", &FLOW.replace("\"{out}\"", "\"out.txt\""));
    let (out, _) = run(at, &["check"], 0);
    assert!(out.contains("no argument holds {out}"), "{out}");
    write(at, "flow.toml", FLOW);
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("0 done"), "an edit remakes nothing that is there: {out}");
}

#[test]
fn status_points_to_what_helps_and_nothing_is_hidden() {
    let folder = failing();
    let at = folder.path();
    write(at, "in/README.md", "not a list");
    write(at, "in/b.TXT", "not a list either");
    let (plan, _) = run(at, &["plan"], 0);
    assert!(plan.contains("2 files at inbox are of no product, as README.md"), "{plan}");
    let (out, _) = run(at, &["run", "--once"], 4);
    assert!(out.starts_with("letters at archive, inbox: until nothing is left to do (ledger "), "{out}");
    assert!(out.contains("the root of archive was not there and is made"), "{out}");
    let (quiet, _) = run(at, &["run", "--once", "-q"], 4);
    assert_eq!(quiet, "");
    let (out, _) = run(at, &["status"], 0);
    assert!(out.contains("1 key failed, as sort list(name=a) @archive: run 2 failed"), "{out}");
    assert!(out.contains("`thalweg log RUN` shows a run, `thalweg retry` tries again"), "{out}");
    assert!(!out.contains("thalweg quarantine"), "nothing is put aside: {out}");
    assert!(out.contains("`thalweg scan inbox` names them, `thalweg why inbox/README.md`"), "{out}");
    assert_eq!(json(at, &["status"])["of_no_product"]["inbox"]["files"], 2);
    let (out, _) = run(at, &["scan", "inbox"], 4);
    assert!(out.contains("2 files at inbox of no product:\n  README.md\n  b.TXT\n"), "{out}");
    run(at, &["pause", "sort"], 0);
    run(at, &["run", "--once"], 0);
    let (out, _) = run(at, &["status"], 0);
    assert!(out.contains("1 key blocked") && out.contains("1 blocked key of sort had failed before"), "{out}");
}

#[test]
fn a_file_that_is_put_aside_says_where_it_is_and_how_it_comes_back() {
    let flow = FLOW.replace(r#"["sort", "-o", "{out}", "{in}"]"#, r#"["sh", "-c", "exit 65", "{in}", "{out}"]"#);
    let folder = with(&flow);
    let at = folder.path();
    write(at, "in/a.txt", "bad\n");
    run(at, &["run", "--once"], 4);
    for words in [&["why", "out/a.txt"][..], &["quarantine"]] {
        let (out, _) = run(at, words, 0);
        assert!(out.contains("quarantine/a.txt") && out.contains("thalweg quarantine release"), "{words:?}: {out}");
    }
    let (out, _) = run(at, &["why", "out/sorted/a.txt"], 0);
    assert!(out.contains("a.txt is put aside") && out.contains("`thalweg quarantine` says why"), "{out}");
}

#[test]
fn a_root_without_rights_is_told_as_that() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::getuid().is_root() {
        eprintln!("skipped: nothing is forbidden to root");
        return;
    }
    let folder = with(FLOW);
    let at = folder.path();
    write(at, "in/a.txt", "b\na\n");
    let rights = |mode| std::fs::set_permissions(at.join("in"), std::fs::Permissions::from_mode(mode));
    rights(0o000).expect("it is ours");
    let (out, _) = run(at, &["run", "--once"], 4);
    rights(0o755).expect("it is ours");
    assert!(out.contains("its root cannot be listed: permission denied; give the user"), "{out}");
}
