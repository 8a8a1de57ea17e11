//! What a command is told is what it does: conditions, names and options that say less, or more, than they seem to.

use crate::flows::{json, lines, run, write};

const TWO: &str = r#"flow = "two"
[stations.x]
root = "x"
[stations.y]
root = "y"
[products.raw]
path = "in/{n}.dat"
[products.odd]
path = "odd/{n}.dat"
[steps.look-x]
at = "x"
takes = "raw"
does = { run = ["sh", "-c", "exit 65"] }
[steps.look-y]
at = "y"
takes = "raw"
does = { run = ["sh", "-c", "exit 65"] }
[steps.fail]
at = "x"
takes = "odd"
does = { run = ["false"] }
retry = { times = 0 }
[keeps.x]
at = "x"
products = ["odd"]
delete = { older_than = "1d" }
only_if = "odd receipted at y"
[keeps.y]
at = "y"
products = ["raw"]
delete = { older_than = "1d" }
only_if = "raw receipted at x"
"#;

fn two() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "flow.toml", TWO);
    for station in ["x", "y"] {
        std::fs::create_dir(folder.path().join(station)).expect("a folder");
    }
    folder
}

#[test]
fn taking_up_old_files_of_a_product_tries_nothing_else_again() {
    let folder = two();
    let at = folder.path();
    write(at, "x/odd/1.dat", "1");
    run(at, &["run", "--once"], 4);
    // The failed one still is.
    let (out, _) = run(at, &["retry", "--backlog", "raw"], 4);
    assert!(out.contains("no old files are left alone here"), "{out}");
    assert_eq!(lines(at, &["runs"]).len(), 1, "what failed is not run again");
    let (_, err) = run(at, &["retry", "--backlog", "raw", "--quarantined"], 2);
    assert!(err.contains("leave --quarantined out"), "{err}");
    run(at, &["retry", "fail"], 4);
    assert_eq!(lines(at, &["runs"]).len(), 2);
}

#[test]
fn a_bare_name_releases_the_one_file_that_has_it() {
    let folder = two();
    let at = folder.path();
    for path in ["x/in/a.dat", "y/in/a.dat", "y/in/b.dat"] {
        write(at, path, path);
    }
    run(at, &["run", "--once"], 4);
    let put_aside = || -> Vec<String> {
        let mut names: Vec<String> = lines(at, &["quarantine"])
            .iter()
            .map(|row| {
                format!("{}/{}", row["station"].as_str().unwrap_or_default(), row["path"].as_str().unwrap_or_default())
            })
            .collect();
        names.sort();
        names
    };
    assert_eq!(put_aside(), ["x/in/a.dat", "y/in/a.dat", "y/in/b.dat"]);
    let (_, err) = run(at, &["quarantine", "release", "a.dat"], 2);
    assert!(err.contains("2 that are put aside are named a.dat") && err.contains("say which"), "{err}");
    // It is bad still, and put aside once more.
    run(at, &["quarantine", "release", "b.dat"], 4);
    run(&at.join("x/in"), &["quarantine", "release", "a.dat"], 4);
    let released: Vec<String> = lines(at, &["quarantine", "list", "--released"])
        .iter()
        .filter(|row| !row["released"].is_null())
        .map(|row| {
            format!("{}/{}", row["station"].as_str().unwrap_or_default(), row["path"].as_str().unwrap_or_default())
        })
        .collect();
    assert_eq!(released.len(), 2, "{released:?}");
    assert!(
        released.contains(&"x/in/a.dat".to_owned()),
        "the one of this folder, not of another station: {released:?}"
    );
}

#[test]
fn a_volume_that_is_away_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let flow = "flow = \"away\"\n[stations.usb]\nroot = \"usb\"\nvolume = \"RADAR\"\n[stations.here]\nroot = \"here\"\n\
                [products.raw]\npath = \"{n}.dat\"\n[steps.copy]\nat = \"here\"\ntakes = \"raw\"\ndoes = \"send\"\nto = \"usb\"\n";
    write(at, "flow.toml", flow);
    std::fs::create_dir(at.join("here")).expect("a folder");
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("the volume RADAR is not mounted"), "it is told: {out}");
    // Without the word it is one.
    write(
        at,
        "flow.toml",
        &flow
            .replace("volume = \"RADAR\"\n", "read_only = true\n")
            .replace("to = \"usb\"", "to = \"here\"")
            .replace("at = \"here\"\ntakes", "at = \"usb\"\ntakes"),
    );
    run(at, &["run", "--once"], 4);
}

#[test]
fn words_that_would_say_nothing_are_refused() {
    let folder = two();
    let at = folder.path();
    for (words, says) in [
        (&["checks", "--nagios", "c", "--json"][..], "cannot be used with"),
        (&["checks", "--check-mk", "--json"], "cannot be used with"),
        (&["release", "1", "--where", "n=2"], "a number names one hold"),
        (&["resume", "1", "--where", "n=2"], "a number names one hold"),
    ] {
        let (_, err) = run(at, words, 2);
        assert!(err.contains(says), "{words:?}: {err}");
    }
}

#[test]
fn a_listing_of_one_station_tells_of_that_one() {
    let folder = two();
    let at = folder.path();
    write(at, "y/odd/1.dat", "1");
    run(at, &["run", "--once"], 0);
    let (all, _) = run(at, &["trim"], 0);
    assert!(all.contains("x at x") && all.contains("y at y"), "{all}");
    let (one, _) = run(at, &["trim", "y"], 0);
    assert!(one.contains("y at y") && !one.contains("x at x"), "{one}");
}

#[test]
fn a_file_of_the_starter_flow_stays_what_it_is_where_names_are_alike() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    run(at, &["init"], 0);
    write(at, "in/letters.txt", "b\na\n");
    run(at, &["run", "--once"], 0);
    // Touched, it is looked at anew, and is still no list.
    write(at, "out/letters.txt", "a\nb\n");
    run(at, &["run", "--once"], 0);
    assert_eq!(lines(at, &["find", "sorted", "--at", "archive"]).len(), 1);
    assert!(lines(at, &["find", "list", "--at", "archive"]).is_empty());
    let plan = json(at, &["plan"]);
    assert!(!plan.to_string().contains("is gone without a rule"), "{plan:#}");
}
