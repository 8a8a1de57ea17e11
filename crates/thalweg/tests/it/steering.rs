//! Stopping one radar or one logger alone.

use crate::flows::{json, project, run, write};

#[test]
fn one_radar_is_paused_alone_in_all_steps_and_resumed_exactly() {
    let folder = project();
    let at = folder.path();
    for hour in ["00", "02", "04"] {
        write(at, &format!("a/in/20240131.{hour}00.cly.dat"), &format!("cly {hour}"));
    }
    run(at, &["pause", "--where", "site=cly", "--why", "wrong clock"], 0);
    run(at, &["pause", "send", "--where", "site=sas"], 0);
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("3 done"), "the copies of sas alone: {out}");
    let (plan, _) = run(at, &["plan"], 0);
    assert!(plan.contains("paused by tester since") && plan.contains("where site == 'cly': wrong clock"), "{plan}");
    let (why, _) = run(at, &["why", "here/in/20240131.0000.cly.dat"], 0);
    assert!(why.contains("where site == 'cly'"), "{why}");

    let status = json(at, &["status", "--where", "site=cly"]);
    let keys = status["keys"].as_array().expect("a list");
    let blocked = keys.iter().filter(|key| key["next"] == "blocked").count();
    assert_eq!((keys.len(), blocked), (3, 2), "the newest waits for another: {status:#}");
    assert!(keys.iter().all(|key| key["key"].as_str().unwrap().contains("cly")));
    assert_eq!(status["steps"].as_array().map(Vec::len), Some(1), "nothing of cly was sent: {status:#}");
    assert!(json(at, &["status"])["keys"].is_null());
    let (text, _) = run(at, &["status", "--where", "site=cly"], 0);
    assert!(text.contains("3 keys are open where site=cly"), "{text}");

    // What was put up with a name does not end without it, nor the other way round.
    let (_, error) = run(at, &["resume", "--where", "site=sas"], 2);
    assert!(error.contains("pause of step send where site == 'sas'"), "{error}");
    let (out, _) = run(at, &["resume", "copy", "--where", "site=cly"], 2);
    assert_eq!(out, "");
    run(at, &["resume", "--where", "site=cly"], 0);
    assert_eq!(json(at, &["status"])["holds"].as_array().map(Vec::len), Some(1));
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("4 done") && out.contains("3 blocked"), "two copies, and both sent: {out}");
    run(at, &["resume", "send", "--where", "site=sas"], 0);
    let (out, _) = run(at, &["run", "--once"], 0);
    assert!(out.contains("3 done"), "{out}");
}

#[test]
fn a_condition_names_fields_that_there_are() {
    let folder = project();
    let at = folder.path();
    for words in [
        &["pause", "--where", "sites=sas"][..],
        &["hold", "raw", "--where", "sites=sas"],
        &["drain", "send", "--where", "sites=sas"],
        &["status", "--where", "sites=sas"],
    ] {
        let (_, error) = run(at, words, 2);
        assert!(error.contains("did you mean `site`?"), "{words:?}: {error}");
    }
    run(at, &["pause"], 2);
    let (_, error) = run(at, &["drain", "raw"], 2);
    assert!(error.contains("product raw cannot be drained"), "{error}");
}

#[test]
fn a_condition_says_which_failed_keys_are_tried_again() {
    let folder = project();
    let at = folder.path();
    let flow = std::fs::read_to_string(at.join("flow.toml")).expect("the flow");
    let flow = flow
        .replace("[\"cp\", \"{in}\", \"{out}\"]", "[\"sh\", \"-c\", \"test -e ok && cp $0 $1\", \"{in}\", \"{out}\"]");
    write(at, "flow.toml", &format!("{flow}\n[steps.copy.retry]\ntimes = 0\n"));
    for hour in ["00", "02", "04"] {
        write(at, &format!("a/in/20240131.{hour}00.cly.dat"), &format!("cly {hour}"));
    }
    run(at, &["run", "--once"], 4);
    let failed = |at| json(at, &["status"])["steps"][0]["failed"].as_u64();
    assert_eq!(failed(at), Some(5));
    let (text, _) = run(at, &["status", "--where", "site=sas"], 0);
    let example = text.lines().find(|line| line.contains(" failed, as copy ")).expect("an example");
    assert!(example.contains("sas") && !example.contains("cly"), "one of those asked about: {example}");
    let lines = crate::flows::lines(at, &["runs", "--failed"]).len();
    run(at, &["retry", "copy", "--where", "site=cly"], 4);
    assert_eq!(crate::flows::lines(at, &["runs", "--failed"]).len(), lines + 2, "those of cly alone");
}

#[test]
fn status_of_one_radar_tells_of_that_radar_alone() {
    let folder = project();
    let at = folder.path();
    for hour in ["00", "02", "04"] {
        write(at, &format!("a/in/20240131.{hour}00.cly.dat"), &format!("cly {hour}"));
    }
    run(at, &["pause", "--where", "site=cly", "--why", "wrong clock"], 0);
    run(at, &["pause", "copy", "--where", "site=sas", "--why", "new disk"], 0);
    run(at, &["pause", "send", "--why", "no line"], 0);
    run(at, &["run", "--once"], 0);
    for (site, own, other) in [("sas", "new disk", "wrong clock"), ("cly", "wrong clock", "new disk")] {
        let asked = format!("site={site}");
        let (text, _) = run(at, &["status", "--where", &asked], 0);
        assert!(text.contains(own) && text.contains("no line") && !text.contains(other), "{asked}: {text}");
        let example = text.lines().find(|line| line.contains("blocked, as copy")).expect("an example");
        assert!(example.contains(own), "{asked}: {text}");
        assert_eq!(json(at, &["status", "--where", &asked])["holds"].as_array().map(Vec::len), Some(2), "{asked}");
    }
    assert_eq!(json(at, &["status"])["holds"].as_array().map(Vec::len), Some(3));
}

#[test]
fn what_is_held_with_another_condition_is_told() {
    let folder = project();
    let at = folder.path();
    run(at, &["hold", "raw", "--where", "site=sas", "--why", "odd clock"], 0);
    let (out, _) = run(at, &["release", "raw", "--where", "site=pgr"], 0);
    assert!(out.contains("product raw is not held where site == 'pgr'"), "{out}");
    assert!(
        out.contains("hold of product raw where site == 'sas'") && out.contains("`thalweg release 1` ends it"),
        "{out}"
    );
    assert_eq!(json(at, &["status"])["holds"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_compares_nothing_is_no_condition() {
    let folder = project();
    let at = folder.path();
    for (text, says) in [
        ("site", "compares no field"),
        ("1", "compares no field"),
        ("true", "compares no field"),
        ("site=", "there is no value"),
        ("site=a'b", "no plain word"),
    ] {
        let (_, error) = run(at, &["pause", "--where", text], 2);
        assert!(error.contains(says) && error.contains("help: "), "{text}: {error}");
    }
    assert!(!at.join(".thalweg").exists(), "nothing was put up");
}

#[test]
fn a_file_that_lies_there_is_not_called_missing() {
    let folder = project();
    let at = folder.path();
    run(at, &["run", "--once"], 0);
    let name = "20240131.1000.sas";
    write(at, &format!("a/in/{name}.dat"), "ten");
    let file = format!("here/in/{name}.dat");
    let copy = format!("there/out/{name}.txt");
    let causes = |path: &str| json(at, &["why", path])["missing"].as_array().cloned().expect("a list");
    let states = |path: &str| -> Vec<String> {
        causes(path).iter().map(|cause| cause["state"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(states(&file), ["there"]);
    assert!(states(&copy).contains(&"there".to_owned()) && !states(&copy).contains(&"missing".to_owned()));
    for path in [&file, &copy] {
        let (text, _) = run(at, &["why", path], 0);
        assert!(text.contains("there and not listed yet") && text.contains("`thalweg scan here`"), "{text}");
        assert!(!text.contains("put it at") && !text.contains(&format!("{name}.dat, which is not there")), "{text}");
    }
    // Somebody still writes it.
    let writer = std::fs::OpenOptions::new().append(true).open(at.join(format!("a/in/{name}.dat"))).expect("a file");
    for path in [&file, &copy] {
        let (text, _) = run(at, &["why", path], 0);
        assert!(text.contains("still open for writing by process") && !text.contains("put it at"), "{text}");
    }
    drop(writer);
    // What is not there at all is missing as ever.
    let (text, _) = run(at, &["why", "there/out/20240131.1200.sas.txt"], 0);
    assert!(text.contains("put it at here/in/20240131.1200.sas.dat"), "{text}");
}
