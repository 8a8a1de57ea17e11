//! Demonstrations: the same every time, whatever interrupted them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::flows::{run, write};

/// Everything below a folder but the ledger's: path to digest. Of a report only that it is there, since it bears the time.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, String> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
            if name == ".thalweg" {
                continue;
            }
            if path.is_dir() {
                walk(&path, root, found);
            } else if name.ends_with(".report.json") {
                found.insert(name, "a report".to_owned());
            } else {
                let mut hasher = thalweg_store::Hasher::new();
                hasher.update(&std::fs::read(&path).expect("a file"));
                found.insert(name, hasher.digest().to_string());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

fn demo(folder: &Path) -> Json {
    let (out, _) = run(folder, &["demo", "superdarn", "--dir", "d", "--json"], 0);
    serde_json::from_str(&out).expect("one document")
}

#[test]
fn superdarn_tells_its_story_and_is_the_same_in_every_folder() {
    let (one, two) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let story = demo(one.path());
    assert_eq!(story["already_done"], false);
    assert_eq!(story["unexpected"], serde_json::json!([]));
    let found = tree(&one.path().join("d"));
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    insta::assert_snapshot!("demo_superdarn_files", names.join("\n"));
    demo(two.path());
    assert_eq!(found, tree(&two.path().join("d")));

    let text = |list: &str, field: &str| -> Vec<String> {
        story[list]
            .as_array()
            .expect("a list")
            .iter()
            .map(|item| item[field].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let held = text("held_back", "why");
    assert!(held.iter().filter(|why| why.contains("among the newest")).count() == 2, "{held:?}");
    assert!(held.iter().filter(|why| why.contains("cpid = 3380")).count() == 2, "{held:?}");
    assert_eq!(text("put_aside", "file"), ["site/daily/20251120.0400.00.sas.1.rawacf.h5"]);
    assert_eq!(story["put_aside"][0]["planted"], true);
    let radar = story["retention"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|keep| keep["keep"] == "radar-disk")
        .expect("the keep");
    assert_eq!((&radar["may_delete"], &radar["too_young"]), (&0.into(), &5.into()));
    assert_eq!(radar["rests_on"], serde_json::json!(["backup at site", "borealis at site", "rawacf at campus"]));

    // Again: nothing is left to do, and nothing is changed. The commands that it names work.
    let again = demo(one.path());
    assert_eq!((&again["already_done"], &again["outcome"]["done"]), (&true.into(), &0.into()));
    assert_eq!(found, tree(&one.path().join("d")));
    for command in again["commands"].as_array().expect("a list") {
        let line = command[0].as_str().expect("a line").split(" > ").next().expect("a command");
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        run(one.path(), &words, 0);
    }
    let (text, _) = run(one.path(), &["demo", "superdarn", "--dir", "d"], 0);
    assert!(text.contains("already done") && text.contains("damaged on purpose"), "{text}");
}

#[test]
fn only_an_empty_folder_is_taken() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "d/mine.txt", "data of somebody");
    let (_, err) = run(folder.path(), &["demo", "superdarn", "--dir", "d"], 5);
    assert!(err.contains("not empty (mine.txt)") && err.contains("help: "), "{err}");
    assert_eq!(tree(folder.path()).len(), 1);
    let (_, err) = run(folder.path(), &["demo", "supradarn"], 2);
    assert!(err.contains("there is: superdarn"), "{err}");
}

/// What is not to be there when all is done.
fn leftovers(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), false)];
    while let Some((folder, staging)) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let own = [".thalweg", ".thalweg-demo", ".thalweg-staging"].contains(&name.as_str());
            if staging || (name.starts_with('.') && !own) || name.ends_with(".tmp") || name.ends_with(".part") {
                found.push(entry.path().display().to_string());
            }
            if entry.path().is_dir() {
                // Probes and staging folders are empty when nothing runs.
                open.push((entry.path(), name == ".thalweg-staging" || name == "probes"));
            }
        }
    }
    found
}

/// Starts the demonstration and kills it when it has told so many lines; false if it ended before.
fn killed_after(folder: &Path, lines: u64) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(["demo", "superdarn", "-v", "--dir", "d"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let told = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let told = told.map_while(Result::ok).take(usize::try_from(lines).expect("few")).count();
    // SIGKILL.
    child.kill().expect("it can be killed");
    let status = child.wait().expect("it ends");
    told as u64 == lines && !status.success()
}

#[test]
fn a_killed_demonstration_ends_as_if_nothing_had_happened() {
    let undisturbed = TempDir::new().expect("a folder");
    demo(undisturbed.path());
    let expected = tree(&undisturbed.path().join("d"));
    let seeds = std::env::var("THALWEG_KILL_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_u64);
    for seed in 1..=seeds {
        let folder = TempDir::new().expect("a folder");
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut moments = Vec::new();
        let mut kills = 0;
        while kills < 3 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // An uninterrupted run tells some seventy lines.
            let lines = 1 + (dice >> 33) % 24;
            moments.push(lines);
            if !killed_after(folder.path(), lines) {
                break;
            }
            kills += 1;
        }
        assert!(kills > 0);
        demo(folder.path());
        let at = folder.path().join("d");
        let found = tree(&at);
        let names = |tree: &BTreeMap<String, String>| tree.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&expected), names(&found), "seed {seed}, killed after {moments:?} lines");
        assert_eq!(expected, found, "seed {seed}, killed after {moments:?} lines");
        assert_eq!(leftovers(&at), Vec::<String>::new(), "seed {seed}, killed after {moments:?} lines");
        assert_eq!(demo(folder.path())["already_done"], true);
    }
}
