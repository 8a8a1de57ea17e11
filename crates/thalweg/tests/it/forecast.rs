//! What `make --dry-run` says before anything is made.

use crate::flows::{json, project, run, write};

const SPAN: [&str; 4] = ["--from", "2024-01-31", "--to", "2024-01-31T06:00:00Z"];

fn make<'a>(words: &[&'a str]) -> Vec<&'a str> {
    ["make", "copy"].iter().chain(SPAN.iter()).chain(words).copied().collect()
}

#[test]
fn a_dry_run_forecasts_from_past_runs_and_says_when_there_are_none() {
    let folder = project();
    let at = folder.path();
    let (out, _) = run(at, &make(&["--dry-run"]), 0);
    assert!(out.contains("no past runs") && out.contains("3 to run now"), "{out}");
    run(at, &["run", "--once"], 0);
    for hour in ["00", "02", "04", "06"] {
        write(at, &format!("a/in/20240201.{hour}00.sas.dat"), "0123456789");
    }
    run(at, &["scan"], 0);
    let words = ["make", "copy", "--from", "2024-02-01", "--to", "2024-02-01T06:00:00Z", "--dry-run"];
    let forecast = &json(at, &words)["forecast"];
    let step = &forecast["steps"][0];
    assert_eq!(
        (&step["step"], &step["keys"], &step["past_runs"]),
        (&"copy".into(), &3.into(), &3.into()),
        "{forecast:#}"
    );
    assert_eq!((&step["outputs"], &step["bytes"]), (&3.into(), &30.into()), "as many bytes out as in: {forecast:#}");
    assert!(step["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{forecast:#}");
    assert_eq!(forecast["total"]["whole"], true);
    let (out, _) = run(at, &words, 0);
    assert!(out.contains("by 3 past runs") && out.contains("30 B"), "{out}");
    assert!(!out.contains("warning"), "{out}");
}

#[test]
fn a_dry_run_warns_before_a_reserve_would_be_crossed() {
    let folder = project();
    let at = folder.path();
    let flow = std::fs::read_to_string(at.join("flow.toml")).expect("the flow");
    write(at, "flow.toml", &flow.replace("here = { root = \"a\" }", "here = { root = \"a\", reserve = \"100%\" }"));
    // With the reserve crossed nothing is ready; what is planned says so too.
    let (out, _) = run(at, &make(&["--dry-run"]), 4);
    assert!(out.contains("less than its reserve"), "{out}");
    write(at, "flow.toml", &flow.replace("there = { root = \"b\" }", "there = { root = \"b\", reserve = \"100%\" }"));
    let found = json(at, &make(&["--dry-run"]));
    assert!(found["forecast"]["space"][0]["warning"].is_null(), "{found:#}");
    let keep = "[keeps.copy]\nat = \"here\"\nproducts = [\"copy\"]\ndelete = { when_free_below = \"100%\" }\n";
    write(at, "flow.toml", &format!("{flow}{keep}"));
    let (out, _) = run(at, &make(&["--dry-run"]), 0);
    assert!(out.contains("warning: here has") && out.contains("the keep copy would delete what it may"), "{out}");
}

#[test]
fn the_newest_of_a_series_is_held_back_and_nothing_is_missing() {
    let folder = project();
    let at = folder.path();
    let words = ["make", "copy", "--from", "2024-01-31T08:00:00Z", "--to", "2024-01-31T10:00:00Z"];
    run(at, &make(&[]), 0);
    let found = json(at, &[&words[..], &["--dry-run"]].concat());
    assert_eq!(found["held"].as_array().map(Vec::len), Some(1), "{found:#}");
    assert_eq!(found["missing"].as_array().map(Vec::len), Some(0), "{found:#}");
    let (out, _) = run(at, words.as_slice(), 0);
    assert!(out.contains("among the newest of site sas"), "{out}");
    // What is missing is missing all the same.
    run(at, &["make", "copy", "--from", "2024-01-31", "--to", "2024-02-03"], 4);
}
