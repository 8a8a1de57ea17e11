//! Recordings of real writers played to the interpreter, and a live watcher.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tempfile::TempDir;
use thalweg_core::RelPath;

use super::{
    Action, Interpreter, RawEvent, RawKind, WatchKind, WatchMessage, WatchReason, Watcher, glob_matches, is_temporary,
    rescan_after,
};

fn path(text: &str) -> RelPath {
    RelPath::from_text(text)
}

fn raw(kind: RawKind, name: &str, is_folder: bool) -> RawEvent {
    RawEvent { kind, path: path(name), is_folder }
}

#[test]
fn temporary_names_are_known() {
    for name in
        [".a.dat.FfpsdQ", "a.tmp", "a.part", "a.partial", "~a", ".~tmp~", "a.filepart", ".hidden", ".rsync-partial"]
    {
        assert!(is_temporary(name, &[]), "{name}");
    }
    for name in ["a.dat", "a.tmp.gz", "part", "a~", "tmp", "a.partly", "caf\u{e9}.dat", ""] {
        assert!(!is_temporary(name, &[]), "{name}");
    }
    assert!(is_temporary("a.lock", &["*.lock".to_owned()]));
}

#[test]
fn patterns_match_whole_names() {
    for (pattern, name, expected) in [
        ("*", "", true),
        ("*", "abc", true),
        ("?", "", false),
        ("?", "\u{e9}", true),
        ("a*c", "abbc", true),
        ("a*c", "abcd", false),
        ("*.??", "x.y.zz", true),
        ("*a*b*", "xxaxxbxx", true),
        ("*a*b", "ab_b_", false),
        ("", "", true),
        ("", "a", false),
        ("a", "a", true),
        ("**", "a", true),
    ] {
        assert_eq!(glob_matches(pattern, name), expected, "{pattern} {name}");
    }
    let hard = "a*".repeat(30) + "b";
    assert!(!glob_matches(&hard, &"a".repeat(2000)), "ends soon");
}

#[test]
fn listings_are_spread() {
    let every = SignedDuration::from_mins(15);
    assert_eq!(rescan_after(every, 0.0), every * 3 / 4);
    assert_eq!(rescan_after(every, 0.5), every);
    assert_eq!(rescan_after(every, 1.0), every * 5 / 4);
    assert_eq!(rescan_after(every, f64::NAN), every);
    assert_eq!(rescan_after(every, 7.0), every * 5 / 4);
}

/// What must have been told of after each recording. A killed writer closes, too: whether its file is whole is for
/// others to judge.
const EXPECTED: [(&str, &[&str]); 29] = [
    ("cp", &["a.dat"]),
    ("cp_empty", &["empty.dat"]),
    ("mv_same_fs", &["a.dat"]),
    ("rsync_default", &["a.dat"]),
    ("rsync_tree", &["src/a.dat", "src/b.dat", "src/empty.dat"]),
    ("rsync_inplace", &["a.dat"]),
    ("rsync_partial_dir", &["a.dat"]),
    ("rsync_append_verify", &["a.dat"]),
    ("rsync_delay_updates", &["a.dat", "b.dat"]),
    ("scp", &["a.dat"]),
    ("sftp_put", &["a.dat"]),
    ("rclone_local", &["a.dat"]),
    ("rclone_sftp", &["a.dat"]),
    ("tar_x", &["a.dat", "b.dat"]),
    ("gzip_in_place", &["a.dat.gz"]),
    ("append_logger", &["log.dat"]),
    ("held_open_logger", &["log.dat"]),
    ("python_tmp_rename", &["a.dat"]),
    ("touch", &["flag"]),
    ("touch_again", &["flag"]),
    ("mkdir_then_quick_file", &["2026/01/02/b.dat"]),
    ("delete", &[]),
    ("truncate_rewrite", &["a.dat"]),
    ("rename_within", &["sub/c.dat"]),
    ("rename_dir", &["z/*"]),
    ("hardlink", &["a.dat"]),
    ("kill9_writer", &["a.dat"]),
    ("rsync_killed", &[]),
    ("dd_slow", &["a.dat"]),
];

/// Reads one line of a recording; `None` for what is not listened to.
fn recorded(line: &str) -> Option<RawEvent> {
    let (words, name) = line.split_once('|')?;
    let words: Vec<&str> = words.split(',').collect();
    let of_folder_itself = name.is_empty() || name.ends_with('/');
    let kind = match words[0] {
        "CREATE" => RawKind::Create,
        "CLOSE_WRITE" => RawKind::CloseWrite,
        "MOVED_FROM" => RawKind::MovedFrom,
        "MOVED_TO" => RawKind::MovedTo,
        "DELETE" => RawKind::Delete,
        "ATTRIB" if !of_folder_itself => RawKind::Attrib,
        "DELETE_SELF" | "MOVE_SELF" => RawKind::SelfGone,
        "OPEN" | "ACCESS" | "MODIFY" | "CLOSE_NOWRITE" | "ATTRIB" => return None,
        other => panic!("unknown word {other}"),
    };
    Some(raw(kind, name.trim_end_matches('/'), words.contains(&"ISDIR")))
}

/// Files as told of so far; a listing of a folder finds the files that are expected below it.
fn apply(actions: Vec<Action>, expected: &BTreeSet<String>, told: &mut BTreeSet<String>) {
    for action in actions {
        match action {
            Action::Tell(WatchKind::Gone, gone) => {
                let below = format!("{}/", gone.as_str());
                told.retain(|name| name != gone.as_str() && !name.starts_with(&below));
            }
            Action::Tell(_, name) => drop(told.insert(name.as_str().to_owned())),
            Action::Watch(folder) => {
                let below = format!("{}/", folder.as_str());
                told.extend(expected.iter().filter(|name| name.starts_with(&below)).cloned());
            }
            Action::Unwatch(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[test]
fn every_recording_ends_with_exactly_the_complete_files() {
    let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/transfer/inotify_sequences.txt");
    let Ok(text) = fs::read_to_string(&recordings) else {
        eprintln!("skipped: {} not present", recordings.display());
        return;
    };
    let expected: BTreeMap<&str, &[&str]> = EXPECTED.into_iter().collect();
    let mut cases = 0;
    for case in text.split("# case: ").skip(1) {
        let name = case.lines().next().unwrap().trim();
        let files: BTreeSet<String> = expected
            .get(name)
            .unwrap_or_else(|| panic!("no expectation for {name}"))
            .iter()
            .map(|file| (*file).to_owned())
            .collect();
        let mut interpreter = Interpreter::new(Box::new(|_| true));
        let mut told = BTreeSet::new();
        let mut now = Duration::ZERO;
        for event in case.lines().filter(|line| !line.starts_with('#')).filter_map(recorded) {
            now += Duration::from_millis(10);
            let mut actions = interpreter.feed(&event, now);
            actions.extend(interpreter.due(now));
            for action in &actions {
                if let Action::Tell(_, path) | Action::Watch(path) = action {
                    let temporary = path.as_str().split('/').any(|part| is_temporary(part, &[]));
                    assert!(!temporary, "{name} tells of {path}");
                }
            }
            apply(actions, &files, &mut told);
        }
        apply(interpreter.due(now + Duration::from_secs(60)), &files, &mut told);
        assert_eq!(told, files, "{name}");
        assert_eq!(interpreter.next_due(), None, "{name}");
        cases += 1;
    }
    assert_eq!(cases, 29);
}

#[test]
fn lost_events_and_bursts_ask_for_listings() {
    let mut interpreter = Interpreter::new(Box::new(|folder| folder.as_str() != "uninteresting"));
    let mut feed = |kind, name: &str, is_folder| interpreter.feed(&raw(kind, name, is_folder), Duration::ZERO);
    assert_eq!(feed(RawKind::Overflow, "", false), [Action::StartOver(WatchReason::Overflow)]);
    assert_eq!(feed(RawKind::Create, "uninteresting", true), []);
    assert_eq!(feed(RawKind::Create, ".rsync-partial", true), []);
    assert_eq!(feed(RawKind::MovedTo, "in", true), [Action::Watch(path("in"))]);
    let gone = [Action::Unwatch(path("in")), Action::Tell(WatchKind::Gone, path("in"))];
    assert_eq!(feed(RawKind::MovedFrom, "in", true), gone);
    assert_eq!(feed(RawKind::SelfGone, "", true), [Action::CheckRoot]);
    assert_eq!(feed(RawKind::Unmount, "", true), [Action::CheckRoot]);
    let unmounted = [Action::Unwatch(path("a/b")), Action::Rescan(path("a"), WatchReason::Unmounted)];
    assert_eq!(feed(RawKind::Unmount, "a/b", true), unmounted);
    let mut asked = Vec::new();
    for number in 0..20_000 {
        asked.extend(feed(RawKind::Create, &format!("linked/{number}"), false));
    }
    assert_eq!(asked, [Action::Rescan(path(""), WatchReason::Burst)]);
}

/// A watcher on a fresh folder, and what it tells.
struct Live {
    folder: TempDir,
    messages: Receiver<WatchMessage>,
    _watcher: Watcher,
}

fn live(prepare: impl FnOnce(&Path)) -> Live {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let (send, messages) = channel();
    let wanted = Box::new(|folder: &RelPath| folder.as_str() != "pruned");
    let watcher =
        Watcher::start(7, folder.path(), wanted, Box::new(move |message| send.send(message).is_ok())).unwrap();
    let live = Live { folder, messages, _watcher: watcher };
    let first = WatchMessage::Rescan { root: 7, below: path(""), reason: WatchReason::Started };
    live.until(|message| *message == first);
    live
}

impl Live {
    fn next(&self, deadline: Instant) -> WatchMessage {
        match self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(message) => message,
            Err(error) => panic!("nothing came in time: {error}"),
        }
    }

    fn until(&self, wanted: impl Fn(&WatchMessage) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !wanted(&self.next(deadline)) {}
    }

    fn until_event(&self, kind: WatchKind, name: &str) {
        self.until(
            |message| matches!(message, WatchMessage::Event(event) if event.kind == kind && event.path == path(name)),
        );
    }

    /// Collects files told of, listing folders when told to, until all of them were met.
    fn until_all(&self, names: &BTreeSet<String>) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut missing = names.clone();
        while !missing.is_empty() {
            match self.next(deadline) {
                WatchMessage::Event(event) if event.kind == WatchKind::FolderNew => {
                    let mut pending = vec![event.path];
                    while let Some(folder) = pending.pop() {
                        let Ok(entries) = fs::read_dir(self.folder.path().join(folder.as_str())) else { continue };
                        for entry in entries.flatten() {
                            let below = folder.join(entry.file_name().to_str().unwrap());
                            if entry.file_type().unwrap().is_dir() {
                                pending.push(below);
                            } else {
                                missing.remove(below.as_str());
                            }
                        }
                    }
                }
                WatchMessage::Event(event) => {
                    assert!(!is_temporary(event.path.file_name(), &[]), "{event:?}");
                    missing.remove(event.path.as_str());
                }
                WatchMessage::Rescan { reason: WatchReason::Overflow, .. } => return,
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}

fn shell(folder: &Path, text: &str) {
    assert!(Command::new("sh").args(["-ec", text]).current_dir(folder).status().unwrap().success(), "{text}");
}

fn names(list: impl IntoIterator<Item = impl Into<String>>) -> BTreeSet<String> {
    list.into_iter().map(Into::into).collect()
}

#[test]
fn real_writers_are_noticed() {
    let live = live(|folder| {
        fs::create_dir_all(folder.join("sub/deep")).unwrap();
        fs::create_dir(folder.join("pruned")).unwrap();
    });
    let at = live.folder.path();
    shell(at, "echo x > /dev/null; cp /bin/sh sub/deep/copied");
    live.until_event(WatchKind::Closed, "sub/deep/copied");
    shell(at, "echo x > .hidden.tmp; mv .hidden.tmp moved");
    live.until_event(WatchKind::MovedIn, "moved");
    shell(at, "ln moved linked");
    live.until_event(WatchKind::Appeared, "linked");
    shell(at, "chmod 600 moved");
    live.until_event(WatchKind::Attrib, "moved");
    shell(at, "rm moved");
    live.until_event(WatchKind::Gone, "moved");
    shell(at, "echo x > pruned/a; mkdir -p 2026/01/02; echo x > 2026/01/02/quick; echo x > after");
    live.until_all(&names(["2026/01/02/quick", "after"]));
    shell(at, "echo x > 2026/01/02/later");
    live.until_event(WatchKind::Closed, "2026/01/02/later");
    shell(at, "mv 2026 2027; echo x > 2027/01/02/renamed");
    live.until_all(&names(["2027/01/02/quick", "2027/01/02/later", "2027/01/02/renamed"]));
    shell(at, "echo x > 2027/01/02/again");
    live.until_event(WatchKind::Closed, "2027/01/02/again");
    if Command::new("rsync").arg("--version").output().is_ok() {
        shell(at, "rsync -a /bin/sh synced");
        live.until_event(WatchKind::MovedIn, "synced");
    } else {
        eprintln!("skipped: rsync not present");
    }
}

#[test]
fn a_burst_in_new_folders_loses_nothing() {
    let live = live(|_| {});
    let mut all = BTreeSet::new();
    for number in 0..2000 {
        let folder = format!("{}/{}", number % 10, number % 7);
        fs::create_dir_all(live.folder.path().join(&folder)).unwrap();
        let name = format!("{folder}/{number}");
        File::create(live.folder.path().join(&name)).unwrap().write_all(b"x").unwrap();
        all.insert(name);
    }
    live.until_all(&all);
}

#[test]
fn a_root_that_goes_and_comes_back_is_told() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    fs::create_dir(&root).unwrap();
    let (send, messages) = channel();
    let tell = Box::new(move |message| send.send(message).is_ok());
    let watcher = Watcher::start(1, &root, Box::new(|_| true), tell).unwrap();
    let next = || messages.recv_timeout(Duration::from_secs(20)).unwrap();
    let rescan = |reason| WatchMessage::Rescan { root: 1, below: path(""), reason };
    assert_eq!(next(), rescan(WatchReason::Started));
    shell(outer.path(), "mv root away");
    assert!(matches!(next(), WatchMessage::Unavailable { root: 1, .. }));
    shell(outer.path(), "mv away root; echo x > root/a");
    assert_eq!(next(), rescan(WatchReason::Returned));
    shell(outer.path(), "echo x > root/b");
    let is_b = |message| matches!(message, WatchMessage::Event(event) if event.path == path("b"));
    assert!(is_b(next()) || is_b(next()));
    let began = Instant::now();
    drop(watcher);
    assert!(began.elapsed() < Duration::from_secs(5), "it ends promptly");
    let missing = outer.path().join("missing");
    let (send, messages) = channel();
    let tell = Box::new(move |message| send.send(message).is_ok());
    let _watcher = Watcher::start(2, &missing, Box::new(|_| true), tell).unwrap();
    let first = messages.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(first, WatchMessage::Unavailable { root: 2, .. }));
    fs::create_dir(&missing).unwrap();
    let second = messages.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(second, WatchMessage::Rescan { root: 2, .. }));
}
