//! Outputs that existed before are taken over.

use std::path::Path;

use tempfile::TempDir;

use crate::flows::{json, lines, project, run, write};

fn read(at: &Path, name: &str) -> String {
    std::fs::read_to_string(at.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn an_archive_that_was_there_is_entered_and_not_made_again() {
    let folder = project();
    let at = folder.path();
    for hour in ["00", "02", "04"] {
        write(at, &format!("a/out/20240131.{hour}00.sas.txt"), &format!("made long ago {hour}"));
    }
    write(at, "b/out/20240131.0000.sas.txt", "made long ago 00");
    write(at, "b/out/20240131.0200.sas.txt", "something else");
    write(at, "a/out/20200101.0000.sas.txt", "nobody knows from what");
    let (plan, _) = run(at, &["adopt", "copy", "--dry-run"], 4);
    assert!(plan.contains("would adopt  here/out/20240131.0000.sas.txt"), "{plan}");
    assert!(!at.join(".thalweg").exists(), "a dry run enters nothing");

    let (out, _) = run(at, &["adopt", "copy", "-v"], 4);
    assert!(out.contains("4 files adopted, 0 the flow's own already, 2 left as they are"), "{out}");
    assert!(
        out.contains("there/out/20240131.0200.sas.txt: its content is not that of out/20240131.0200.sas.txt"),
        "{out}"
    );
    assert!(out.contains("here/out/20200101.0000.sas.txt: no key is known"), "{out}");
    let again = lines_of(at, &["adopt", "copy"], 4);
    let summary = again.last().expect("a summary");
    assert_eq!(
        (&summary["adopted"], &summary["there"], &summary["left"]),
        (&0.into(), &4.into(), &2.into()),
        "{summary}"
    );

    run(at, &["run", "--once"], 4);
    assert_eq!(read(at, "a/out/20240131.0200.sas.txt"), "made long ago 02", "as it was");
    assert_eq!(read(at, "b/out/20240131.0200.sas.txt"), "something else", "not overwritten");
    assert_eq!(read(at, "b/out/20240131.0400.sas.txt"), "made long ago 04", "what was not sent yet is");
    let runs = lines(at, &["runs", "--step", "copy"]);
    assert_eq!(runs.len(), 3, "the three adoptions, and no run besides");
    let (why, _) = run(at, &["why", "a/out/20240131.0000.sas.txt"], 0);
    assert!(why.contains("adopted by tester") && why.contains("from here/in/20240131.0000.sas.dat"), "{why}");
    assert!(why.contains("taken over from an archive that existed before"), "{why}");
    let lineage = json(at, &["lineage", "b/out/20240131.0000.sas.txt"]);
    assert_eq!(lineage["upstream"][0]["step"], "send", "{lineage:#}");
    assert_eq!(lineage["upstream"][0]["next"][0]["step"], "copy", "{lineage:#}");
    let story = json(at, &["why", "a/in/20240131.0000.sas.dat"]);
    assert_eq!(story["keeps"][0]["reason"]["code"], "too_young", "the adopted copy is a receipt: {story:#}");
}

// As `lines`, with another end.
fn lines_of(at: &Path, words: &[&str], code: i32) -> Vec<serde_json::Value> {
    let (out, _) = run(at, &[words, &["--json"]].concat(), code);
    out.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

#[test]
fn a_condition_and_a_span_say_which_are_taken_over() {
    let folder = project();
    let at = folder.path();
    write(at, "a/in/20240131.0000.cly.dat", "c");
    write(at, "a/in/20240131.0200.cly.dat", "c");
    for hour in ["00", "02", "04"] {
        write(at, &format!("a/out/20240131.{hour}00.sas.txt"), hour);
    }
    write(at, "a/out/20240131.0000.cly.txt", "c");
    let words =
        ["adopt", "copy", "--from", "2024-01-31T02:00:00Z", "--to", "2024-01-31T04:00:00Z", "--where", "site=sas"];
    let (out, _) = run(at, &words, 0);
    assert!(out.contains("1 file adopted"), "{out}");
    let (out, _) = run(at, &["adopt", "copy", "--where", "site=cly"], 0);
    assert!(out.contains("1 file adopted"), "{out}");
    run(at, &["adopt", "copy", "--where", "nosite=cly"], 2);
    run(at, &["adopt", "raw"], 2);
}

const STAMPED: &str = r#"flow = "stamped"
[stations]
here = { root = "a" }
[products.raw]
path = "in/{n:int}.dat"
[products.made]
path = "out/{n:int}.txt"
[steps.make]
at = "here"
takes = "raw"
makes = "made"
does = { run = ["sh", "-c", "cat $0 > $1; date +%s%N >> $1", "{in}", "{out}"] }
"#;

fn stamped() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "flow.toml", STAMPED);
    for n in 1..=3 {
        write(folder.path(), &format!("a/in/{n}.dat"), &n.to_string());
    }
    folder
}

#[test]
fn after_a_lost_ledger_what_cannot_be_made_equally_is_taken_over() {
    let folder = stamped();
    let at = folder.path();
    run(at, &["run", "--once"], 0);
    let before = read(at, "a/out/2.txt");
    std::fs::remove_dir_all(at.join(".thalweg")).expect("the ledger is lost");
    let (out, _) = run(at, &["run", "--once"], 4);
    assert!(out.contains("failed"), "what stands there is not overwritten: {out}");
    let (out, _) = run(at, &["adopt", "made"], 0);
    assert!(out.contains("3 files adopted"), "{out}");
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("0 done"), "{out}");
    assert_eq!(read(at, "a/out/2.txt"), before);
}

#[test]
fn what_was_changed_from_outside_is_taken_over_as_it_is() {
    let folder = stamped();
    let at = folder.path();
    run(at, &["run", "--once"], 0);
    write(at, "a/out/2.txt", "corrected by hand");
    run(at, &["run", "--once"], 4);
    let (why, _) = run(at, &["why", "a/in/2.dat"], 0);
    assert!(why.contains("was changed by something else"), "{why}");
    let (out, _) = run(at, &["adopt", "made"], 0);
    assert!(out.contains("1 file adopted, 2 the flow's own already"), "{out}");
    run(at, &["run", "--once"], 0);
    assert_eq!(read(at, "a/out/2.txt"), "corrected by hand");
    // A new input is news all the same.
    write(at, "a/in/2.dat", "new content");
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("1 done") && read(at, "a/out/2.txt").starts_with("new content"), "{out}");
}

const SEVERAL: &str = r#"flow = "several"
[stations]
here = { root = "a" }
[products.raw]
path = "in/{time:%Y%m%d%H}.{site}.dat"
span = "1h"
[products.sites]
path = "sites/{site}.txt"
[products.part]
path = "parts/{time:%Y%m%d%H}.{site}.{part:int}.txt"
span = "30m"
[products.loose]
path = "loose/{part:int}.txt"
[steps.parts]
at = "here"
takes = "raw"
makes = { product = "part", many = true }
does = { run = ["sh", "-c", "exit 1", "{in}", "{out}"] }
[steps.loose]
at = "here"
takes = "raw"
makes = { product = "loose", many = true }
does = { run = ["sh", "-c", "exit 1", "{in}", "{out}"] }
[steps.sites]
at = "here"
takes = "raw"
makes = { product = "sites", update = true }
does = { run = ["sh", "-c", "cat $2 $0 > $1", "{in.new}", "{out}", "{out.previous}"] }
"#;

#[test]
fn many_and_update_are_taken_over_where_it_can_be_decided() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    write(at, "flow.toml", SEVERAL);
    for hour in ["00", "01"] {
        write(at, &format!("a/in/20240131{hour}.sas.dat"), hour);
        write(at, &format!("a/parts/20240131{hour}.sas.1.txt"), "1");
        write(at, &format!("a/parts/20240131{hour}.sas.2.txt"), "2");
    }
    write(at, "a/loose/1.txt", "?");
    write(at, "a/sites/sas.txt", "0001");
    let (out, _) = run(at, &["adopt", "part"], 0);
    assert!(out.contains("4 files adopted"), "{out}");
    let (out, _) = run(at, &["adopt", "loose"], 4);
    assert!(out.contains("left as they are"), "{out}");
    let late = std::time::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000);
    let newer = std::fs::File::options().append(true).open(at.join("a/in/2024013101.sas.dat")).expect("it opens");
    newer.set_modified(late).expect("its time is set");
    drop(newer);
    let (out, _) = run(at, &["adopt", "sites", "-v"], 0);
    assert!(out.contains("1 file adopted"), "by the earlier input: {out}");
    let (told, _) = run(at, &["run", "--once", "-v"], 4);
    assert_eq!(read(at, "a/sites/sas.txt"), "000101", "the later one is worked in: {told}\n{out}");
}
