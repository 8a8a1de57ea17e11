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
        (&["make", "copy", "--from", "now", "--to", "1d"], 2, "change them over"),
        (&["gaps", "copy", "--from", "now", "--to", "1d"], 2, "change them over"),
        (&["adopt", "copy", "--from", "now", "--to", "1d"], 2, "change them over"),
        (&["coverage", "--from", "now", "--to", "1d"], 2, "change them over"),
        (&["find", "raw", "--from", "now", "--to", "1d"], 2, "change them over"),
        (&["runs", "--from", "now", "--to", "1d"], 2, "change them over"),
        (&["gaps", "copy", "--from", "2200-01-01"], 2, "--to"),
        (&["coverage", "--from", "2200-01-01"], 2, "--to"),
        (&["check", "--at", "hree"], 2, "did you mean `here`?"),
        (&["check", "--effective", "--at", "hree"], 2, "did you mean `here`?"),
        (&["init", "--flow", "mine.toml", "--dir", "new"], 2, "--flow new/"),
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
    let (_, err) = run(at, &["log", "1", "--lines", "5"], 2);
    assert!(err.contains("cannot be used with"), "lines are those of the engine's log: {err}");
    let (_, err) = run(at, &["find", "--json"], 2);
    assert_eq!(serde_json::from_str::<Json>(&err).expect("an object")["exit"], 2);
}

#[test]
fn a_mistake_in_the_flow_is_explained_at_its_place() {
    let folder = project();
    let at = folder.path();
    let text = std::fs::read_to_string(at.join("flow.toml")).expect("the flow");
    write(
        at,
        "bad.toml",
        &text.replace("products = [\"raw\"]", "products = [\"rwa\"]").replace("to = \"there\"", "to = \"hree\""),
    );
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
        let output =
            thalweg().args(words).current_dir(at).env("THALWEG_REPORT", at.join("report")).output().expect("it runs");
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

#[test]
#[expect(clippy::disallowed_methods, reason = "input of a test, which nothing else reads meanwhile")]
fn what_cannot_be_meant_is_refused() {
    let folder = project();
    let at = folder.path();
    std::fs::write(at.join("latin.toml"), b"flow = \"caf\xe9\"\n").expect("a file");
    run(at, &["run", "--once"], 0);
    for (words, code, text) in [
        (&["check", "latin.toml"][..], 3, "offset 11"),
        (&["gaps", "raw", "--from", "2024-01-02", "--to", "2024-01-01"], 2, "change them over"),
        (&["find", "raw", "--where", "nofield=3"], 2, "fields: "),
        (&["dmap", "check", "."], 2, "name the files in it"),
    ] {
        let (_, err) = run(at, words, code);
        assert!(err.starts_with("error: ") && err.contains("help: ") && err.contains(text), "{words:?}\n{err}");
    }
}

#[test]
fn what_cannot_be_made_ends_make_with_4_and_is_told() {
    let folder = project();
    let at = folder.path();
    let span = ["make", "copy", "--from", "2024-01-30", "--to", "2024-01-31T02:00:00Z"];
    let (out, _) = run(at, &[&span[..], &["--dry-run"]].concat(), 4);
    assert!(out.contains("missing source") && out.contains("2024-01-30T00:00:00Z .. 2024-01-31T00:00:00Z"), "{out}");
    let (out, _) = run(at, &span, 4);
    assert!(out.contains("no raw is there at here for 2024-01-30T00:00:00Z"), "{out}");
    assert!(!out.contains("runs --failed"), "nothing failed: {out}");
}

#[test]
fn only_verbs_that_there_are_can_be_in_a_flow() {
    let folder = project();
    let at = folder.path();
    let text = std::fs::read_to_string(at.join("flow.toml")).expect("the flow");
    let with = |verb: &str| format!("{text}\n[steps.extra]\nat = \"here\"\ntakes = \"raw\"\ndoes = \"{verb}\"\n");
    write(at, "typo.toml", &with("dmap chek {in}"));
    let (out, _) = run(at, &["check", "typo.toml"], 3);
    assert!(out.contains("did you mean `dmap check`?"), "{out}");
    let (_, err) = run(at, &["plan", "--flow", "typo.toml"], 3);
    assert!(err.contains("there is no verb"), "{err}");
    write(at, "planned.toml", &with("gwf inspect {in}"));
    let (out, _) = run(at, &["check", "planned.toml"], 0);
    assert!(out.contains("note: steps.extra: `gwf inspect`"), "{out}");
    write(at, "good.toml", &with("dmap check {in}"));
    let (out, _) = run(at, &["check", "good.toml"], 0);
    assert!(!out.contains("note: steps.extra"), "{out}");
}

#[test]
fn a_file_whose_name_is_no_text_can_be_asked_about() {
    use std::os::unix::ffi::OsStrExt;
    let folder = project();
    let at = folder.path();
    run(at, &["run", "--once"], 0);
    let name = std::ffi::OsStr::from_bytes(b"here/caf\xe9");
    for (command, code) in [("why", 0), ("lineage", 2), ("hold", 0)] {
        let output = thalweg().arg(command).arg(name).current_dir(at).output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        assert_eq!(output.status.code(), Some(code), "{command}: {}", String::from_utf8_lossy(&text));
        assert!(std::str::from_utf8(&text).is_ok());
    }
}
