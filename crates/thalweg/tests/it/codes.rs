//! Exit codes, errors at the surface, and output that nobody reads on.

use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::flows::{project, run, thalweg, write};

#[test]
fn each_kind_of_refusal_has_its_code_and_says_what_to_do() {
    let folder = project();
    let at = folder.path();
    for (words, code, help) in [
        (&["find", "rwa"][..], 2, "did you mean `raw`?"),
        (&["plan", "--at", "hree"], 2, "did you mean `here`?"),
        (&["plan", "--set", "x"], 2, "--set name=value"),
        (&["make", "raw", "--from", "1d", "--to", "now"], 2, "`thalweg graph`"),
        (&["make", "copy", "--from", "12", "--to", "now"], 2, "ISO 8601"),
        (&["log", "1"], 3, "`thalweg run` makes the ledger"),
        (&["status", "--ledger", "postgres://host/db"], 3, "--ledger"),
        (&["send", "flow.toml", "host:/data"], 3, "mount"),
        (&["check", "none.toml"], 3, "--flow"),
    ] {
        let (_, err) = run(at, words, code);
        assert!(err.starts_with("error: ") && err.contains("help: ") && err.contains(help), "{words:?}\n{err}");
        let (_, err) = run(at, &[words, &["--json"]].concat(), code);
        let json: Json = serde_json::from_str(&err).unwrap_or_else(|error| panic!("{words:?}: {error}\n{err}"));
        assert_eq!(json["exit"], code);
        assert!(json["help"].as_str().is_some_and(|text| text.contains(help)), "{json}");
    }
    run(at, &["no-such-command"], 2);
    let (_, err) = run(at, &["find", "--json"], 2);
    assert_eq!(serde_json::from_str::<Json>(&err).expect("an object")["exit"], 2);
}

#[test]
fn a_mistake_in_the_flow_is_explained_at_its_place() {
    let folder = project();
    let at = folder.path();
    let text = std::fs::read_to_string(at.join("flow.toml")).expect("the flow");
    write(at, "bad.toml", &text.replace("products = [\"raw\"]", "products = [\"rwa\"]").replace("to = \"there\"", "to = \"hree\""));
    let (out, _) = run(at, &["check", "bad.toml"], 3);
    assert!(out.contains("bad.toml:21:7") && out.contains("did you mean `raw`?"), "{out}");
    assert!(out.contains("2 errors"), "all mistakes are told, not the first: {out}");
    let (out, _) = run(at, &["check", "bad.toml", "--json"], 3);
    let json: Json = serde_json::from_str(&out).expect("one document");
    assert_eq!((json["valid"].as_bool(), json["errors"].as_u64()), (Some(false), Some(2)));
    assert_eq!((json["problems"][0]["line"].as_u64(), json["problems"][0]["column"].as_u64()), (Some(21), Some(7)));
    let (_, err) = run(at, &["plan", "--flow", "bad.toml"], 3);
    assert!(err.contains("bad.toml:21:7"), "{err}");
    run(at, &["check"], 0);
}

#[test]
fn sending_refuses_other_content_and_repeats_nothing() {
    let folder = project();
    let at = folder.path();
    let (out, _) = run(at, &["send", "flow.toml", "copy.toml"], 0);
    assert!(out.starts_with("sent"), "{out}");
    let (out, _) = run(at, &["send", "flow.toml", "copy.toml"], 0);
    assert!(out.starts_with("already there"), "{out}");
    write(at, "copy.toml", "something else");
    run(at, &["send", "flow.toml", "copy.toml"], 5);
    assert_eq!(std::fs::read_to_string(at.join("copy.toml")).expect("it is there"), "something else");
}

#[test]
fn a_bad_file_ends_a_verb_with_4_and_a_report_says_why() {
    let folder = project();
    let at = folder.path();
    write(at, "bad.rawacf", "this is no DMAP file at all, but long enough to hold a header");
    for words in [&["dmap", "check", "bad.rawacf"][..], &["probe", "dmap", "bad.rawacf"]] {
        let _ = std::fs::remove_file(at.join("report"));
        let output = thalweg().args(words).current_dir(at).env("THALWEG_REPORT", at.join("report")).output().expect("it runs");
        assert_eq!(output.status.code(), Some(4), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        let report = std::fs::read_to_string(at.join("report")).expect("a report");
        assert!(report.contains("\"kind\":\"error\"") && report.contains("\"class\":\"data\""), "{report}");
    }
    run(at, &["dmap", "check", "none.rawacf"], 2);
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let folder = project();
    for words in [&["schema"][..], &["plan"], &["--help"], &["completions", "bash"], &["man"]] {
        // The pipe has no reader from the start, so that the first write already fails.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_thalweg"))
            .args(words)
            .env_remove("THALWEG_FLOW")
            .current_dir(folder.path())
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
}
