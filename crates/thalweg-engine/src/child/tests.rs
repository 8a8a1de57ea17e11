//! Real children: limits, signals, output, input, reports, sandbox.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thalweg_core::{ErrorClass, ReportLine};

use super::{Child, ChildError, Command, Ended, Sandbox, SandboxState};

static NEVER: AtomicBool = AtomicBool::new(false);

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A shell script as a command; log and report lie in the folder.
fn script(folder: &Path, text: &str) -> Command {
    let mut command = Command::new("sh", folder, folder.join("log"), folder.join("report"));
    command.args = vec!["-c".into(), text.into()];
    command.kill_after = Duration::from_secs(5);
    command
}

fn run(command: Command) -> Ended {
    Child::spawn(command).unwrap().wait(&NEVER, &mut |_| {}).unwrap()
}

fn log(folder: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(folder.join("log")).unwrap()).into_owned()
}

/// Tells if a process runs; one that has ended and was not taken away by its parent does not.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn exit_codes_signals_and_output_come_back() {
    let folder = folder();
    let ended = run(script(folder.path(), "echo out; echo err >&2; exit 65"));
    assert_eq!((ended.exit, ended.signal), (Some(65), None));
    assert_eq!(log(folder.path()), "out\nerr\n");
    assert!(!ended.timed_out && !ended.cancelled && !ended.log_truncated);
    assert_eq!(ended.sandbox, SandboxState::NotAsked);
    let ended = run(script(folder.path(), "kill -SEGV $$"));
    assert_eq!((ended.exit, ended.signal), (None, Some(11)));
    assert_eq!(run(script(folder.path(), ":")).exit, Some(0));
}

#[test]
fn the_environment_is_what_is_given() {
    let folder = folder();
    let mut command = script(folder.path(), "pwd; env | sort");
    command.env = vec![("THALWEG_STEP".into(), "a b".into()), ("TZ".into(), "America/Regina".into())];
    run(command);
    let text = log(folder.path());
    let names: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split('=').next()).collect();
    let known = ["HOME", "LANG", "OLDPWD", "PATH", "PWD", "SHLVL", "THALWEG_REPORT", "THALWEG_STEP", "TZ", "_"];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    assert!(text.contains("\nTHALWEG_STEP=a b\n") && text.contains("\nTZ=America/Regina\n"), "{text}");
    assert!(text.starts_with(folder.path().canonicalize().unwrap().to_str().unwrap()), "{text}");
}

#[test]
fn a_missing_program_is_a_mistake_of_the_configuration() {
    let folder = folder();
    for program in ["no-such-program-anywhere", "./missing", "/no/such/program", ""] {
        let mut command = script(folder.path(), "");
        command.program = program.into();
        command.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
        let error = Child::spawn(command).unwrap_err();
        assert!(matches!(error, ChildError::NoProgram { .. }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Config);
        assert!(error.to_string().contains("/usr/bin:/bin") && error.to_string().contains(program), "{error}");
    }
    let text = folder.path().join("text");
    std::fs::File::create(&text).unwrap().write_all(b"#!/no/such/interpreter\n").unwrap();
    let mut command = script(folder.path(), "");
    command.program = text.into();
    assert_eq!(Child::spawn(command).unwrap_err().class(), ErrorClass::Config, "not executable");
}

#[test]
fn time_is_limited_and_term_comes_first() {
    let folder = folder();
    let mut command = script(folder.path(), "trap 'echo asked; exit 3' TERM; echo ready; while :; do :; done");
    command.timeout = Some(Duration::from_millis(300));
    let ended = run(command);
    assert!(ended.timed_out && !ended.cancelled);
    assert_eq!(ended.exit, Some(3));
    assert_eq!(log(folder.path()), "ready\nasked\n");
    assert!(ended.wall >= Duration::from_millis(300) && ended.wall < Duration::from_secs(4), "{:?}", ended.wall);
    assert!(ended.user + ended.system > Duration::ZERO);
}

#[test]
fn who_ignores_term_is_killed() {
    let folder = folder();
    let mut command = script(folder.path(), "trap '' TERM; while :; do :; done");
    command.timeout = Some(Duration::from_millis(100));
    command.kill_after = Duration::from_millis(200);
    let ended = run(command);
    assert!(ended.timed_out);
    assert_eq!(ended.signal, Some(9));
    assert!(ended.wall < Duration::from_secs(4));
}

#[test]
fn a_wish_of_the_caller_is_not_kept_waiting_by_one_whose_time_is_over() {
    let folder = folder();
    let cancel = AtomicBool::new(false);
    let mut command = script(
        folder.path(),
        r#"trap 'echo "{\"kind\":\"progress\",\"done\":1,\"total\":null}" >> $THALWEG_REPORT' TERM; while :; do sleep 0.1; done"#,
    );
    command.timeout = Some(Duration::from_millis(100));
    command.kill_after = Duration::from_secs(60);
    let child = Child::spawn(command).unwrap();
    // It says so when it has been asked to end.
    let ended = child.wait(&cancel, &mut |_| cancel.store(true, Ordering::Relaxed)).unwrap();
    assert_eq!(ended.signal, Some(9));
    assert!(ended.wall < Duration::from_secs(30), "{:?}", ended.wall);
}

#[test]
fn a_wish_of_the_caller_ends_it() {
    let folder = folder();
    let cancel = AtomicBool::new(false);
    let child = Child::spawn(script(
        folder.path(),
        r#"echo '{"kind":"progress","done":1,"total":null}' >> $THALWEG_REPORT; sleep 60"#,
    ))
    .unwrap();
    let ended = child.wait(&cancel, &mut |_| cancel.store(true, Ordering::Relaxed)).unwrap();
    assert!(ended.cancelled && !ended.timed_out);
    assert_eq!(ended.signal, Some(15));
    assert!(ended.wall < Duration::from_secs(30));
}

#[test]
fn grandchildren_do_not_survive() {
    let folder = folder();
    let began = Instant::now();
    run(script(folder.path(), "trap '' TERM; sleep 60 & echo $! > pid; (sleep 60; :) & exit 0"));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(!runs(&std::fs::read_to_string(folder.path().join("pid")).unwrap()));
}

#[test]
fn what_left_the_group_is_ended_with_its_run_and_no_other() {
    super::adopt_orphans();
    let (folder, other) = (folder(), folder());
    let of = |folder: &Path, text: &str| {
        let mut command = script(folder, text);
        command.env = vec![("THALWEG_STAGING".into(), folder.as_os_str().to_owned())];
        command
    };
    let pid = |folder: &Path, name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    // Another run, with an orphan of its own while it still works.
    let text = "setsid sh -c 'echo $$ > orphan; exec sleep 60' & until [ -s orphan ]; do :; done; echo > up; sleep 60";
    let working = Child::spawn(of(other.path(), text)).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while !other.path().join("up").exists() && Instant::now() < until {
        std::thread::yield_now();
    }
    let text = "(setsid sh -c 'echo $$ > one; setsid sh -c \"echo \\$\\$ > two; exec sleep 60\" & exec sleep 60' &)
        until [ -s one ] && [ -s two ]; do :; done";
    run(of(folder.path(), text));
    assert!(!runs(&pid(folder.path(), "one")) && !runs(&pid(folder.path(), "two")), "nothing of the run is left");
    assert!(runs(&pid(other.path(), "orphan")), "another run's is left alone");
    drop(working);
    assert!(!runs(&pid(other.path(), "orphan")));
    // One that has given up its environment is ended when nothing runs whose it could be.
    run(of(folder.path(), "env -i setsid sh -c 'echo $$ > three; exec sleep 60' & until [ -s three ]; do :; done"));
    assert!(!runs(&pid(folder.path(), "three")));
}

#[test]
fn a_dropped_child_is_killed() {
    let folder = folder();
    let child = Child::spawn(script(folder.path(), "sleep 60")).unwrap();
    let pid = child.id().to_string();
    assert!(runs(&pid));
    drop(child);
    assert!(!runs(&pid));
}

#[test]
fn output_is_bounded_and_keeps_both_ends() {
    let folder = folder();
    let mut command = script(folder.path(), "echo first; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo last");
    command.log_limit = 10_000;
    let ended = run(command);
    assert_eq!(ended.exit, Some(0));
    assert!(ended.log_truncated);
    let text = log(folder.path());
    assert!(text.starts_with("first\nxxx") && text.ends_with("xxx\nlast\n"));
    assert!(text.contains("bytes of output left out here") && text.len() < 11_000, "{}", text.len());
}

#[test]
fn large_input_and_output_do_not_lock_each_other() {
    let folder = folder();
    let mut command = script(folder.path(), "cat; cat >&2");
    command.stdin = vec![b'a'; 3_000_000];
    command.log_limit = 8_000_000;
    assert_eq!(run(command).exit, Some(0));
    assert_eq!(log(folder.path()).len(), 3_000_000);
    let mut command = script(folder.path(), "exit 4");
    command.stdin = vec![b'a'; 3_000_000];
    assert_eq!(run(command).exit, Some(4), "a child need not read its input");
    let mut command = script(folder.path(), "read line; echo \"got $line\"");
    command.stdin = b"{\"task\":1}\n".to_vec();
    run(command);
    assert_eq!(log(folder.path()), "got {\"task\":1}\n");
    run(script(folder.path(), "cat; echo end"));
    assert_eq!(log(folder.path()), "end\n", "no input ends at once");
}

#[test]
fn report_lines_are_told_as_they_come_and_kept() {
    let folder = folder();
    let text = r#"
        echo '{"kind":"progress","done":5,"total":10,"unit":"records"}' >> $THALWEG_REPORT
        echo '{"kind":"count","name":"records","value":42}' >> $THALWEG_REPORT
        echo 'no json' >> $THALWEG_REPORT
        echo >> $THALWEG_REPORT
        head -c 3000000 /dev/zero | tr '\0' x >> $THALWEG_REPORT
        echo >> $THALWEG_REPORT
        printf '{"kind":"warning","message":"no line end"}' >> $THALWEG_REPORT
    "#;
    let mut told = Vec::new();
    let child = Child::spawn(script(folder.path(), text)).unwrap();
    let ended = child.wait(&NEVER, &mut |line| told.push(line)).unwrap();
    assert_eq!(told.len(), 3, "{told:?}");
    let count = ReportLine::Count { name: "records".to_owned(), value: 42 };
    let warning = ReportLine::Warning { message: "no line end".to_owned() };
    assert_eq!(ended.reports, [count, warning]);
    assert_eq!(ended.reports_dropped, 2);
}

#[test]
fn a_report_that_is_replaced_by_a_link_leads_nowhere() {
    let folder = folder();
    let secret = folder.path().join("secret");
    std::fs::File::create(&secret).unwrap().write_all(b"{\"kind\":\"warning\",\"message\":\"secret\"}\n").unwrap();
    let ended = run(script(folder.path(), "rm $THALWEG_REPORT; ln -s secret $THALWEG_REPORT"));
    assert_eq!(ended.reports, []);
    assert!(Child::spawn(script(folder.path(), ":")).is_err(), "the next run does not write through the link");
}

#[test]
fn memory_is_limited() {
    let folder = folder();
    let hungry = "x = bytearray(400_000_000); print(len(x))";
    let mut command = script(folder.path(), "");
    command.program = "python3".into();
    command.args = vec!["-c".into(), format!("input(); {hungry}").into()];
    command.stdin = b"go\n".to_vec();
    command.env = std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME").collect();
    let free = match Child::spawn(command.clone()) {
        Ok(child) => child.wait(&NEVER, &mut |_| {}).unwrap(),
        Err(_) => return eprintln!("skipped: python3 not present"),
    };
    assert_eq!(free.exit, Some(0), "{}", log(folder.path()));
    assert!(free.peak_rss.is_some_and(|bytes| bytes > 5_000_000), "{:?}", free.peak_rss);
    command.memory = Some(150_000_000);
    let ended = run(command);
    assert_eq!(ended.exit, Some(1));
    assert!(log(folder.path()).contains("MemoryError"), "{}", log(folder.path()));
}

/// A folder with `in/`, `out/` and `secret`, and a sandbox around the first two.
fn cell() -> (TempDir, Sandbox) {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    for name in ["in", "out", "cwd"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    for name in ["secret", "in/a"] {
        std::fs::File::create(at(name)).unwrap().write_all(name.as_bytes()).unwrap();
    }
    let sandbox = Sandbox { programs: Vec::new(), read: vec![at("in")], write: vec![at("out")], tcp: false };
    (folder, sandbox)
}

/// Runs a script in the cell's own working folder; `None`, said aloud, where the kernel has no sandbox.
fn in_cell(folder: &Path, sandbox: &Sandbox, text: &str) -> Option<Ended> {
    let mut command = script(folder, text);
    command.cwd = folder.join("cwd");
    command.report = folder.join("out/report");
    command.sandbox = Some(sandbox.clone());
    let child = Child::spawn(command).unwrap();
    if *child.sandbox() == SandboxState::Unsupported {
        eprintln!("skipped: this kernel has no Landlock");
        return None;
    }
    Some(child.wait(&NEVER, &mut |_| {}).unwrap())
}

#[test]
fn a_sandbox_lets_through_what_was_named_and_nothing_else() {
    let (folder, sandbox) = cell();
    let text = r#"
        cat ../in/a > ../out/copy || exit 10
        mkdir ../out/sub && mv ../out/copy ../out/sub/copy || exit 11
        echo x > /dev/null || exit 12
        ls /usr > /dev/null || exit 13
        echo '{"kind":"count","name":"n","value":1}' >> $THALWEG_REPORT || exit 14
        cat ../secret 2> /dev/null && exit 20
        (echo x > ../in/new) 2> /dev/null && exit 21
        (echo x > ../new) 2> /dev/null && exit 22
        (echo x > new) 2> /dev/null && exit 23
        rm -f ../secret 2> /dev/null && exit 24
        ls .. 2> /dev/null && exit 25
        exit 0
    "#;
    let Some(ended) = in_cell(folder.path(), &sandbox, text) else { return };
    assert_eq!(ended.exit, Some(0), "{}", log(folder.path()));
    assert_eq!(ended.reports.len(), 1);
    assert_eq!(std::fs::read(folder.path().join("out/sub/copy")).unwrap(), b"in/a");
    assert!(folder.path().join("secret").exists());
    // The program itself is as free as before.
    std::fs::read(folder.path().join("secret")).unwrap();
}

#[test]
fn a_sandbox_without_tcp_connects_nowhere() {
    let (folder, sandbox) = cell();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let bash = Path::new("/bin/bash");
    if !bash.exists() {
        return eprintln!("skipped: bash not present");
    }
    let connect = format!("exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'");
    let Some(ended) = in_cell(folder.path(), &sandbox, &connect) else { return };
    if ended.sandbox == SandboxState::Partial && ended.exit == Some(0) {
        return eprintln!("skipped: this kernel's Landlock knows no TCP");
    }
    assert_eq!(ended.exit, Some(1), "{}", log(folder.path()));
    let open = Sandbox { tcp: true, ..sandbox };
    let ended = in_cell(folder.path(), &open, &connect).unwrap();
    assert_eq!(ended.exit, Some(0), "{}", log(folder.path()));
}

#[test]
fn a_sandbox_around_what_is_missing_is_a_mistake() {
    let folder = folder();
    let mut command = script(folder.path(), ":");
    command.sandbox =
        Some(Sandbox { programs: Vec::new(), read: vec![folder.path().join("missing")], ..Sandbox::default() });
    let error = Child::spawn(command).unwrap_err();
    assert!(matches!(error, ChildError::Sandbox { .. }));
    assert!(error.to_string().contains("missing"), "{error}");
    assert_eq!(error.class(), ErrorClass::Config);
}

#[test]
fn arguments_are_bytes() {
    use std::os::unix::ffi::OsStringExt as _;
    let folder = folder();
    let odd = OsString::from_vec(b"new\nline \xff $(touch pwn) *".to_vec());
    let mut command = script(folder.path(), "printf %s \"$1\"");
    command.args.extend(["sh".into(), odd.clone()]);
    run(command);
    assert_eq!(std::fs::read(folder.path().join("log")).unwrap(), odd.into_vec());
}
