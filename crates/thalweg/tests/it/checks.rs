//! Whether all is as it must be.

use crate::flows::{lines, project, run, write};

const CHECKS: &str = r#"
[checks.late]
latency = "raw"
at = "here"
per = ["site"]
warning = "1h"
critical = "100000d"
[checks.done]
last_success = "copy"
warning = "1h"
[checks.failing]
failing = "copy"
warning = 1
critical = 3
[checks.queue]
queue = "send"
warning = 1
[checks.disk]
free = "here"
warning = "0%"
critical = "0 B"
[checks.silent]
silent = "there"
warning = "1h"
"#;

#[test]
fn checks_end_with_the_worst_and_speak_to_monitoring_programs() {
    let folder = project();
    let at = folder.path();
    let flow = std::fs::read_to_string(at.join("flow.toml")).expect("the flow");
    write(at, "flow.toml", &format!("{flow}{CHECKS}"));
    let (out, _) = run(at, &["checks"], 3);
    assert!(out.contains("UNKNOWN  late") && out.contains("there is no ledger yet"), "{out}");
    run(at, &["run", "--once"], 0);
    let (out, _) = run(at, &["checks"], 1);
    assert!(
        out.contains("WARNING  late     raw site=sas at here: the newest reaches to 2024-01-31T06:00:00Z"),
        "{out}"
    );
    assert!(out.contains("OK       failing  copy: nothing has failed (warning 1, critical 3)"), "{out}");
    assert!(out.contains("OK       disk") && out.contains("OK       silent") && out.contains("OK       done"), "{out}");
    let (out, _) = run(at, &["checks", "done", "queue"], 0);
    assert_eq!(out.lines().count(), 2, "{out}");

    let (line, _) = run(at, &["checks", "--nagios", "late"], 1);
    assert!(line.starts_with("WARNING late: raw site=sas at here") && line.contains(" | 'sas_here'="), "{line}");
    assert!(line.trim_end().ends_with("s;3600;8640000000"), "{line}");
    assert_eq!((line.lines().count(), line.matches('|').count()), (1, 1), "{line}");
    let (line, _) = run(at, &["checks", "--nagios", "lat"], 3);
    assert!(line.starts_with("UNKNOWN lat:"), "{line}");
    let (lines, _) = run(at, &["checks", "--check-mk"], 0);
    assert!(lines.contains("1 \"thalweg late\" sas_here=") && lines.contains("0 \"thalweg disk\" here="), "{lines}");
    run(at, &["checks", "nothing"], 2);

    let (out, _) = run(at, &["--at", "there", "checks"], 0);
    assert!(out.contains("OK  queue") && !out.contains("late"), "what is of another host is looked at there: {out}");
    let (line, _) = run(at, &["--at", "there", "checks", "--nagios", "late"], 3);
    assert!(line.starts_with("UNKNOWN late: it is looked at where here is"), "{line}");

    run(at, &["pause", "send"], 0);
    let broken = flow.replace("[\"cp\", \"{in}\", \"{out}\"]", "[\"false\"]");
    write(at, "flow.toml", &format!("{broken}[steps.copy.retry]\ntimes = 0\n{CHECKS}"));
    for hour in ["10", "12"] {
        write(at, &format!("a/in/20240131.{hour}00.sas.dat"), hour);
    }
    run(at, &["run", "--once"], 4);
    let (line, _) = run(at, &["checks", "--nagios", "failing"], 1);
    assert!(line.contains("copy: 2 keys have failed") && line.contains("'value'=2;1;3"), "{line}");
    let (out, _) = run(at, &["checks", "--json"], 1);
    let told: serde_json::Value = serde_json::from_str(&out).expect("a document");
    assert_eq!(told["level"], "WARNING");
    assert_eq!(told["checks"].as_array().map(Vec::len), Some(6), "{told:#}");
}

#[test]
fn a_listing_of_what_may_go_says_when_it_goes() {
    let folder = project();
    let at = folder.path();
    let flow = std::fs::read_to_string(at.join("flow.toml")).expect("the flow");
    let flow = flow.replace("{ older_than = \"1000d\" }", "\"at_once\"");
    let keep = "when = { cron = \"0 3 * * *\" }\nhours = \"02:00-04:00\"\nzone = \"UTC\"\n";
    write(at, "flow.toml", &format!("{flow}{keep}"));
    run(at, &["run", "--once"], 0);
    let (out, _) = run(at, &["trim"], 0);
    assert!(out.contains("here: by itself it deletes at ") && out.contains("--yes does not wait"), "{out}");
    let files = lines(at, &["trim"]);
    assert!(!files.is_empty() && files.iter().all(|file| file["waits_for"]["code"] == "moment"), "{files:#?}");
    write(at, "flow.toml", &format!("{flow}when = \"asked\"\n"));
    let (out, _) = run(at, &["trim"], 0);
    assert!(out.contains("  here: it deletes only when asked to (`thalweg trim --yes`)\n"), "{out}");
    run(at, &["trim", "--yes"], 0);
    let gone = lines(at, &["trim"]);
    assert!(gone.iter().all(|file| file["delete"] == false) && gone.len() < files.len(), "{gone:#?}");
}

#[test]
fn an_agent_of_check_mk_gets_a_line_whatever_is_wrong() {
    let folder = project();
    let at = folder.path();
    write(at, "broken.toml", "flow = \"x\"\nstations = 3\n");
    for flow in ["broken.toml", "none.toml"] {
        let (lines, error) = run(at, &["--flow", flow, "checks", "--check-mk"], 0);
        assert!(lines.starts_with("3 \"thalweg\" - ") && lines.contains(flow), "{lines}");
        assert_eq!((lines.lines().count(), error.as_str()), (1, ""), "{lines}");
        let (out, _) = run(at, &["--flow", flow, "checks"], 3);
        assert_eq!(out, "", "without it as ever");
    }
}
