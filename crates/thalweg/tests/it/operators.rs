//! What operators do: begin with a template, look at the host, have the flow run as a service, read its logs.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::flows::{project, run, thalweg, write};

fn text(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_template_passes_the_checks_and_runs() {
    let folder = TempDir::new().expect("a folder");
    let (out, _) = run(folder.path(), &["init", "--list", "--json"], 0);
    let names: Vec<String> = out
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).expect("an object a line")["template"].to_string())
        .map(|name| name.trim_matches('"').to_owned())
        .collect();
    assert!(names.len() >= 2, "{names:?}");
    for name in &names {
        let at = folder.path().join(name);
        run(folder.path(), &["init", name, "--dir", name], 0);
        let (out, _) = run(&at, &["check", "--json"], 0);
        let json: Json = serde_json::from_str(&out).expect("a document");
        assert_eq!((json["valid"].as_bool(), json["warnings"].as_u64()), (Some(true), Some(0)), "{name}: {out}");
        let names_readme = text(&at, "flow.toml").contains("README.md");
        assert_eq!(at.join("README.md").exists(), names_readme, "{name}: what the flow file speaks of is there");
        run(&at, &["check", "--here"], 0);
        run(&at, &["run", "--once"], 0);
        let before = text(&at, "flow.toml");
        let (_, err) = run(folder.path(), &["init", name, "--dir", name], 5);
        assert!(err.contains("it is there already"), "{err}");
        assert_eq!(text(&at, "flow.toml"), before);
    }
    let at = folder.path().join("two-stations");
    write(&at, "in/letters.txt", "b\na\n");
    run(&at, &["run", "--once"], 0);
    assert_eq!(text(&at, "out/letters.txt"), "a\nb\n");
    let (_, err) = run(folder.path(), &["init", "superdran"], 2);
    assert!(err.contains("did you mean `superdarn`?"), "{err}");
}

#[test]
fn what_to_do_after_init_can_be_typed_as_it_stands() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    for (words, env, commands) in [
        (&["init", "--dir", "one"][..], None, ["cd one", "thalweg check  "]),
        (&["init", "--flow", "two/mine.toml"], None, ["cd two", "thalweg check --flow mine.toml "]),
        (
            &["init", "--flow", "two words/my flow.toml"],
            None,
            ["cd 'two words'", "thalweg check --flow 'my flow.toml' "],
        ),
        (&["init", "--dir", "three"], Some("/none/flow.toml"), ["cd three", "thalweg check --flow flow.toml "]),
    ] {
        let mut command = thalweg();
        command.args(words).current_dir(at);
        if let Some(env) = env {
            command.env("THALWEG_FLOW", env);
        }
        let output = command.output().expect("it runs");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{words:?}: {out}{}", String::from_utf8_lossy(&output.stderr));
        for command in commands {
            assert!(out.lines().any(|line| format!("{line}  ").trim_start().starts_with(command)), "{command}: {out}");
        }
    }
    std::fs::create_dir(at.join("four")).expect("a folder");
    std::os::unix::fs::symlink("none/none", at.join("four/radar")).expect("a link");
    let (_, err) = run(at, &["init", "superdarn", "--dir", "four"], 3);
    assert!(err.contains("failed to make the folder") && err.contains("help: "), "{err}");
}

fn findings(folder: &Path, code: i32) -> Vec<(String, String, String)> {
    let (out, _) = run(folder, &["check", "--here", "--json"], code);
    let json: Json = serde_json::from_str(&out).expect("a document");
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    let all = json["findings"].as_array().expect("findings");
    for finding in all {
        assert!(finding["severity"] == "fine" || finding["remedy"].is_string(), "no remedy: {finding}");
    }
    all.iter().map(|found| (text(&found["severity"]), text(&found["code"]), text(&found["place"]))).collect()
}

const HOST: &str = r#"flow = "host"
[stations.a]
root = "a"
[stations.b]
root = "b"
read_only = true
[stations.c]
root = "c"
reserve = "100%"
[products.x]
path = "{name}.x"
[products.y]
path = "{name}.y"
[steps.missing]
at = "a"
takes = "x"
makes = "y"
with.set = { file = "settings.txt" }
does = { run = ["no-such-program-anywhere", "{in}", "{in.set}", "{out}"] }
[steps.script]
at = "a"
takes = "x"
does = { run = ["./script", "{in}"] }
version_from = ["./script", "--version"]
"#;

#[test]
fn what_would_stop_the_flow_on_this_host_is_told_with_its_remedy() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    write(at, "flow.toml", HOST);
    write(at, "c", "no folder");
    write(at, "script", "#!/no/such/interpreter\n");
    let found = findings(at, 3);
    let errors: Vec<(&str, &str)> = found
        .iter()
        .filter(|(severity, ..)| severity == "error")
        .map(|(_, code, place)| (code.as_str(), place.as_str()))
        .collect();
    for expected in [
        ("no_root", "stations.b"),
        ("no_folder", "stations.c"),
        ("no_program", "steps.missing"),
        ("no_settings", "steps.missing.with.set"),
        ("not_executable", "steps.script"),
        ("version_unknown", "steps.script"),
    ] {
        assert!(errors.contains(&expected), "{expected:?} of {errors:?}");
    }
    let (out, _) = run(at, &["check", "--here"], 3);
    assert!(out.contains("error    steps.missing: there is no program no-such-program-anywhere"), "{out}");
    assert!(out.contains("         help: chmod +x"), "{out}");

    // Mended one after the other, it is fine.
    std::fs::set_permissions(at.join("script"), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    assert!(findings(at, 3).iter().any(|(_, code, _)| code == "no_interpreter"));
    write(at, "script", "#!/bin/sh\necho script 1\n");
    write(at, "settings.txt", "");
    std::fs::create_dir(at.join("b")).expect("a folder");
    std::fs::remove_file(at.join("c")).expect("it is ours");
    std::fs::create_dir(at.join("c")).expect("a folder");
    write(at, "flow.toml", &HOST.replace("no-such-program-anywhere", "cp"));
    let found = findings(at, 0);
    let has = |severity: &str, code: &str| found.iter().any(|(s, c, _)| s == severity && c == code);
    assert!(has("warning", "reserve") && has("fine", "version") && !has("error", "no_program"), "{found:?}");
}

#[test]
fn folders_that_no_product_reaches_are_neither_counted_nor_judged() {
    let folder = project();
    let at = folder.path();
    write(at, "a/other/1/2/3/notes.txt", "nobody's");
    write(at, "a/in/notes.txt", "nobody's, in a folder of a product");
    let ahead = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000);
    let to_come = |name: &str| {
        let file = std::fs::File::options().append(true).open(at.join(name)).expect("it is there");
        file.set_modified(ahead).expect("it is ours");
    };
    to_come("a/other/1/2/3/notes.txt");
    to_come("a/in/notes.txt");
    let looked = || {
        let (out, _) = run(at, &["check", "--here", "--json"], 0);
        let json: Json = serde_json::from_str(&out).expect("a document");
        let all = json["findings"].as_array().expect("findings").clone();
        move |code: &str| all.iter().find(|found| found["code"] == code).map(|found| found["message"].to_string())
    };
    let found = looked();
    assert!(found("watches").is_some_and(|text| text.contains("\"2 folders,")), "root and in: {:?}", found("watches"));
    assert_eq!(found("clock_behind"), None);
    to_come("a/in/20240131.0000.sas.dat");
    assert!(looked()("clock_behind").is_some_and(|text| text.contains("20240131.0000.sas.dat")));
}

#[test]
fn the_flow_in_force_is_a_flow_file() {
    let folder = project();
    let at = folder.path();
    let (out, _) = run(at, &["check", "--effective"], 0);
    assert!(out.contains("rescan = \"15m\"  # default"), "{out}");
    write(at, "again.toml", &out);
    run(at, &["check", "again.toml"], 0);
    let (again, _) = run(at, &["check", "again.toml", "--effective"], 0);
    assert_eq!(again.replace("  # default", ""), out.replace("  # default", ""));
}

fn unit_in(folder: &Path) -> String {
    text(folder, "units/thalweg-small.service")
}

#[test]
fn a_service_is_written_once_and_never_over_what_somebody_else_wrote() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path().join("two words, 50% \"quoted\" $HOME");
    std::fs::create_dir(&at).expect("a folder");
    write(&at, "flow.toml", &text(project().path(), "flow.toml"));
    let words = ["install-service", "--user", "daemon", "--unit-dir", "units", "--at", "here", "--log-dir", "logs"];
    let (dry, _) = run(&at, &[&words[..], &["--dry-run"]].concat(), 0);
    assert!(!at.join("units").exists());
    let (out, _) = run(&at, &words, 0);
    for command in ["systemctl start thalweg-small.service", "systemctl stop ", "systemctl status ", "journalctl -u "] {
        assert!(out.contains(command) && dry.contains(command), "{command}: {out}");
    }
    let unit = unit_in(&at);
    let at_text = at.display().to_string();
    let systemd = at_text.replace('%', "%%").replace('"', "\\\"").replace('$', "$$");
    for line in [
        "Type=notify",
        "User=daemon",
        "Restart=always",
        "RestartPreventExitStatus=2 5",
        "WantedBy=multi-user.target",
        &format!("WorkingDirectory={}", at_text.replace('%', "%%")),
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}\n{unit}");
    }
    let command = unit.lines().find(|line| line.starts_with("ExecStart=")).expect("a command");
    for part in [
        format!(
            "\"--flow\" \"{systemd}/flow.toml\" \"--at\" \"here\" \"--ledger\" \"{systemd}/.thalweg/ledger.sqlite\""
        ),
        format!("\"run\" \"--log-dir\" \"{systemd}/logs\""),
    ] {
        assert!(command.contains(&part), "{part}\n{command}");
    }
    verify(&at.join("units/thalweg-small.service"));

    let (out, _) = run(&at, &words, 0);
    assert!(out.contains("is there already, just so"), "{out}");
    assert_eq!(unit_in(&at), unit);
    let (out, _) = run(&at, &words[..5], 0);
    assert!(out.contains("is written anew"), "{out}");

    write(&at, "units/thalweg-small.service", &unit.replace("RestartSec=10", "RestartSec=1"));
    for more in [&[][..], &["--remove"]] {
        let (_, err) = run(&at, &[&words[..5], more].concat(), 5);
        assert!(err.contains("was edited since it was written") && err.contains("--force"), "{err}");
    }
    write(&at, "units/thalweg-small.service", "[Unit]\n");
    let (_, err) = run(&at, &words[..5], 5);
    assert!(err.contains("was not written by this program"), "{err}");
    run(&at, &[&words[..5], &["--force"]].concat(), 0);

    // Another flow of the same name is another service.
    let other = project();
    let units = at.join("units").display().to_string();
    let (_, err) = run(other.path(), &["install-service", "--user", "daemon", "--unit-dir", &units], 5);
    assert!(err.contains("is the service of another flow file"), "{err}");

    run(&at, &[&words[..5], &["--remove", "--dry-run"]].concat(), 0);
    assert!(at.join("units/thalweg-small.service").exists());
    run(&at, &[&words[..5], &["--remove"]].concat(), 0);
    assert!(!at.join("units/thalweg-small.service").exists() && at.join("flow.toml").exists());
    let (out, _) = run(&at, &[&words[..5], &["--remove"]].concat(), 0);
    assert!(out.contains("nothing to remove"), "{out}");
}

#[test]
fn a_root_that_no_run_makes_is_to_be_made_by_hand() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    write(at, "flow.toml", &text(project().path(), "flow.toml").replace("root = \"a\"", "root = \"none\""));
    let flow = text(at, "flow.toml");
    let read = "[stations.drop]\nroot = \"far/drop\"\nread_only = true\n[stations.idle]\nroot = \"far/idle\"\n";
    write(at, "flow.toml", &format!("{flow}{read}"));
    let words = ["install-service", "--unit-dir", "units", "--dry-run", "--json", "--user", "daemon"];
    let words = if rustix::process::geteuid().is_root() { &words[..] } else { &words[..5] };
    let (out, _) = run(at, words, 0);
    let told: Json = serde_json::from_str(&out).expect("a document");
    let findings = told["findings"].as_array().expect("findings");
    for place in ["stations.drop", "stations.idle"] {
        let of: Vec<_> = findings.iter().filter(|found| found["place"] == place).collect();
        let [found] = of.as_slice() else { panic!("{place}: {findings:#?}") };
        assert!(found["message"].as_str().is_some_and(|text| text.contains("no run makes it")), "{found}");
        assert!(found["remedy"].as_str().is_some_and(|text| text.starts_with("make the folder")), "{found}");
    }
    assert!(findings.iter().all(|found| found["code"] != "no_root" || found["place"] != "stations.here"), "{out}");
}

#[expect(clippy::print_stderr, reason = "a part of a test that cannot be run here says so")]
fn verify(unit: &Path) {
    let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(unit).output() else {
        eprintln!("skipped: systemd-analyze not present");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("Unknown") && !said.contains("Failed"), "{said}");
}

#[test]
fn a_service_does_not_run_as_root_unasked() {
    let folder = project();
    let words = ["install-service", "--unit-dir", "units", "--user"];
    if rustix::process::geteuid().is_root() {
        let (_, err) = run(folder.path(), &[&words[..], &["root"]].concat(), 5);
        assert!(err.contains("nothing of a flow needs root"), "{err}");
        let (_, err) = run(folder.path(), &words[..3], 2);
        assert!(err.contains("--user NAME"), "{err}");
    } else {
        eprintln!("skipped: root alone is asked for an account");
    }
    let (_, err) = run(folder.path(), &[&words[..], &["a b"]].concat(), 2);
    assert!(err.contains("no name of an account"), "{err}");
    let (out, _) = run(folder.path(), &[&words[..], &["no-such-account"]].concat(), 0);
    assert!(out.contains("there is no account no-such-account") && out.contains("useradd"), "{out}");
}

#[test]
fn the_log_of_the_engine_and_of_a_run_lie_where_the_flow_says() {
    let folder = project();
    let at = folder.path();
    let flow = text(at, "flow.toml");
    write(at, "flow.toml", &format!("{flow}\n[log]\ndir = \"my logs\"\nlevel = \"debug\"\nkeep = \"1d\"\n"));
    run(at, &["run", "--once"], 0);
    let (out, _) = run(at, &["log", "--json"], 0);
    let lines: Vec<Json> = out.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    let has = |level: &str, what: &str| lines.iter().any(|line| line["level"] == level && line["what"] == what);
    assert!(has("info", "started") && has("info", "done") && has("debug", "taken"), "{out}");
    assert_eq!(run(at, &["log", "--lines", "2"], 0).0.lines().count(), 2);
    let (out, _) = run(at, &["log", "1"], 0);
    assert!(out.contains("it wrote nothing") && out.contains("program  thalweg "), "{out}");
    let elsewhere = at.join("elsewhere").display().to_string();
    run(at, &["run", "--once", "--log-dir", &elsewhere], 0);
    assert!(at.join("elsewhere").is_dir());
    // Other commands know from the ledger where the engine said that the logs are.
    let (out, _) = run(at, &["log"], 0);
    assert!(out.lines().count() < lines.len() && out.contains("started"), "{out}");

    // A log that is old goes; the run stays, and says so.
    let day = std::fs::read_dir(at.join("my logs")).expect("the logs").flatten().find(|day| day.path().is_dir());
    let day = day.expect("a day").path();
    std::fs::create_dir_all(at.join("my logs/20200101")).expect("a folder");
    std::fs::hard_link(day.join("1-copy.log"), at.join("my logs/20200101/1-copy.log")).expect("a link");
    run(at, &["run", "--once"], 0);
    assert!(!at.join("my logs/20200101").exists());
    std::fs::remove_dir_all(&day).expect("it is ours");
    let (out, _) = run(at, &["log", "1"], 0);
    assert!(out.contains("its log is not there") && !out.contains("old"), "by hand, on the day of the run: {out}");
    let (out, _) = run(at, &["log", "1", "--json"], 0);
    assert_eq!(serde_json::from_str::<Json>(&out).expect("a document")["log_pruned"], false);
    let limited = text(at, "flow.toml").replace("keep = \"1d\"", "keep = \"1d\"\nmax_size = \"1 GiB\"");
    write(at, "flow.toml", &limited);
    let (out, _) = run(at, &["log", "1"], 0);
    assert!(out.contains("its log was removed as an old one") && out.contains("keep = \"1d\", max_size"), "{out}");
    let (out, _) = run(at, &["log", "1", "--json"], 0);
    assert_eq!(serde_json::from_str::<Json>(&out).expect("a document")["log_pruned"], true);
}

const SLOW: &str = r#"flow = "slow"
[stations.here]
root = "a"
[products.raw]
path = "in/{name}.dat"
[steps.slow]
at = "here"
takes = "raw"
does = { run = ["sh", "-c", "echo first; cat fifo; echo last"] }
reads = ["."]
"#;

#[test]
fn a_run_under_way_is_followed_until_it_ends() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    // The verb reads a pipe of ours, so that it ends when we say so.
    let fifo = at.join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: mkfifo not present");
        return;
    }
    write(at, "flow.toml", &SLOW.replace("cat fifo", &format!("cat '{}'", fifo.display())));
    write(at, "a/in/x.dat", "x");
    let mut engine = thalweg_process(at, &["run", "--once", "--json"]);
    let events = BufReader::new(engine.stdout.take().expect("a pipe"));
    let mut events = events.lines().map_while(Result::ok);
    assert!(events.any(|line| line.contains("\"run_started\"")), "no run began");
    let mut live = thalweg_process(at, &["log", "1", "--follow"]);
    let mut live_out = BufReader::new(live.stdout.take().expect("a pipe"));
    let mut line = String::new();
    live_out.read_line(&mut line).expect("a line while it runs");
    assert_eq!(line, "first\n");
    let mut whole = thalweg_process(at, &["log", "--follow"]);
    let mut whole_out = BufReader::new(whole.stdout.take().expect("a pipe"));
    line.clear();
    whole_out.read_line(&mut line).expect("a line of the engine");
    assert!(line.contains("started: slow"), "{line}");
    drop(std::fs::OpenOptions::new().write(true).open(&fifo).expect("the verb reads it"));
    let mut rest = String::new();
    live_out.read_to_string(&mut rest).expect("to the end");
    assert!(rest.starts_with("last\n") && rest.contains("done after"), "{rest}");
    assert!(live.wait().expect("it ends").success());
    line.clear();
    whole_out.read_line(&mut line).expect("a line of the engine");
    assert!(line.contains("done: slow"), "{line}");
    whole.kill().expect("it is ours");
    whole.wait().expect("it ends");
    assert!(events.last().is_some_and(|line| line.contains("summary")));
    assert!(engine.wait().expect("it ends").success());
}

fn thalweg_process(folder: &Path, words: &[&str]) -> std::process::Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thalweg"));
    command.args(words).current_dir(folder).env_remove("THALWEG_FLOW").env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs")
}

#[test]
fn a_plan_says_that_another_version_makes_products_again() {
    let folder = project();
    let at = folder.path();
    let flow = text(at, "flow.toml").replace(
        "does = { run = [\"cp\", \"{in}\", \"{out}\"] }",
        "does = { run = [\"./tool\", \"{in}\", \"{out}\"] }\nversion_from = [\"./tool\", \"--version\"]\nstale_on = \"version_from\"",
    );
    write(at, "flow.toml", &flow);
    let tool = |version: &str| {
        write(
            at,
            "tool",
            &format!("#!/bin/sh\n[ \"$1\" != --version ] || {{ echo tool {version}; exit; }}\ncp \"$1\" \"$2\"\n"),
        );
        std::fs::set_permissions(at.join("tool"), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    };
    tool("1.2");
    run(at, &["run", "--once"], 0);
    let (out, _) = run(at, &["runs", "--step", "copy"], 0);
    assert!(out.contains("tool 1.2"), "{out}");
    tool("1.30");
    let (out, _) = run(at, &["plan"], 0);
    assert!(out.contains("it was made with tool 1.2, now tool 1.30"), "{out}");
    run(at, &["run", "--once"], 0);
    let (out, _) = run(at, &["lineage", "here/out/20240131.0000.sas.txt"], 0);
    assert!(out.contains("by tool 1.30"), "{out}");
    let version = thalweg().arg("--version").output().expect("it runs").stdout;
    let version = String::from_utf8(version).expect("text");
    let (out, _) = run(at, &["runs", "--step", "send", "--limit", "1", "--json"], 0);
    let row: Json = serde_json::from_str(&out).expect("an object");
    assert_eq!(version.trim_end(), format!("thalweg {}", row["program"].as_str().unwrap_or_default()));
}
