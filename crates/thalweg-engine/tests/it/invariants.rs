//! What has to hold whatever happens: deletions on proof, lost ledgers, repeated arrivals, hostile files, reasons.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use thalweg_core::RelPath;
use thalweg_engine::{Engine, Event, Mode, Outcome};
use thalweg_ledger::{FileFilter, FileState, KeyFilter, KeyNext, KeyThere, Ledger, RunFilter};

use crate::workshop::Workshop;

const KEEP: &str = r#"
flow = "keep"
[stations.here]
root = "here"
[stations.there]
root = "there"
[products.raw]
path = "in/{name}.dat"
[steps.send]
at = "here"
takes = "raw"
does = "send"
to = "there"
"#;

fn keep(at: &str, other: &str) -> String {
    format!(
        "[keeps.{at}]\nat = \"{at}\"\nproducts = [\"raw\"]\ndelete = \"at_once\"\nonly_if = \"receipted at {other}\"\n"
    )
}

/// Files are sent by a flow without a keep, so that the moment between sending and deleting is ours.
fn sent() -> Workshop {
    let shop = Workshop::new(KEEP);
    for name in ["a", "b"] {
        shop.write(&format!("here/in/{name}.dat"), name);
    }
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (2, 0), "{events:#?}");
    shop
}

#[test]
fn a_proof_copy_removed_by_hand_is_no_proof() {
    let mut shop = sent();
    shop.flow = format!("{KEEP}{}", keep("here", "there"));
    // The engine has opened, and believes the ledger, when the copy goes: at the event of a neighbour's deletion.
    let engine = Engine::open(shop.setup()).expect("the engine opens");
    std::fs::remove_file(shop.path("there/in/a.dat")).expect("the copy goes");
    let mut events = Vec::new();
    engine.run(Mode::Once, &mut |event| events.push(event.clone())).expect("it runs");
    let copies = ["here", "there"].map(|station| shop.read(&format!("{station}/in/a.dat")));
    assert!(copies.iter().flatten().any(|content| content == "a"), "{events:#?}");
    assert!(shop.read("there/in/b.dat").is_some());
    // When the first is deleted, the other's proof goes in that moment, before its own turn.
    let mut shop = sent();
    shop.flow = format!("{KEEP}{}", keep("here", "there"));
    let engine = Engine::open(shop.setup()).expect("the engine opens");
    let there = shop.path("there/in");
    let mut taken = None;
    let mut events = Vec::new();
    engine
        .run(Mode::Once, &mut |event| {
            if let Event::Removed { path, .. } = event
                && taken.is_none()
            {
                let other = if path.as_str() == "in/a.dat" { "b" } else { "a" };
                std::fs::remove_file(there.join(format!("{other}.dat"))).expect("the copy goes");
                taken = Some(other);
            }
            events.push(event.clone());
        })
        .expect("it runs");
    let other = taken.expect("one was removed");
    assert_eq!(shop.read(&format!("here/in/{other}.dat")).as_deref(), Some(other), "{events:#?}");
}

#[test]
fn a_damaged_copy_is_no_proof() {
    let mut shop = sent();
    shop.flow = format!("{KEEP}{}", keep("here", "there"));
    let engine = Engine::open(shop.setup()).expect("the engine opens");
    let there = shop.path("there/in");
    let mut damaged = None;
    let mut events = Vec::new();
    engine
        .run(Mode::Once, &mut |event| {
            if let Event::Removed { path, .. } = event
                && damaged.is_none()
            {
                let other = if path.as_str() == "in/a.dat" { "b" } else { "a" };
                // The same size, another content and time.
                let file =
                    std::fs::OpenOptions::new().write(true).open(there.join(format!("{other}.dat"))).expect("a copy");
                std::io::Write::write_all(&mut &file, b"?").expect("it is damaged");
                file.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
                    .expect("a time");
                damaged = Some(other);
            }
            events.push(event.clone());
        })
        .expect("it runs");
    let other = damaged.expect("one was removed");
    assert_eq!(shop.read(&format!("here/in/{other}.dat")).as_deref(), Some(other), "{events:#?}");
    // Seen by the next listing, it is a conflict that a person decides, and still no proof.
    shop.once();
    assert_eq!(shop.read(&format!("here/in/{other}.dat")).as_deref(), Some(other));
}

#[test]
fn a_deletion_cut_off_between_record_and_removal_is_made_up() {
    let mut shop = sent();
    let ledger = Ledger::open(shop.path(".thalweg/ledger.sqlite")).expect("the ledger opens");
    let row = ledger
        .reader()
        .and_then(|reader| reader.file_at("here", &RelPath::from_text("in/a.dat")))
        .expect("a query")
        .expect("a row");
    let at = row.state_at;
    ledger.write(move |tx| tx.retire(row.id, "keep here", &serde_json::json!([]), None, at)).expect("it is recorded");
    drop(ledger);
    shop.flow = format!("{KEEP}{}", keep("here", "there"));
    for _ in 0..2 {
        let (outcome, events) = shop.once();
        assert_eq!(outcome.failed, 0, "{events:#?}");
        assert_eq!(shop.read("there/in/a.dat").as_deref(), Some("a"), "{events:#?}");
    }
    assert_eq!(shop.files("here"), Vec::<String>::new(), "the next round takes it again");
    assert_eq!(shop.files("there"), ["in/a.dat", "in/b.dat"]);
}

#[test]
fn two_keeps_that_rest_on_each_other_leave_one_copy() {
    let mut shop = sent();
    shop.flow = format!("{KEEP}{}{}", keep("here", "there"), keep("there", "here"));
    for _ in 0..3 {
        let (_, events) = shop.once();
        for name in ["a", "b"] {
            let copies = ["here", "there"].map(|station| shop.read(&format!("{station}/in/{name}.dat")));
            assert!(copies.iter().flatten().any(|content| content == name), "{name}: {events:#?}");
        }
    }
}

/// Forgets all that the engine knows.
fn lose(shop: &Workshop) {
    std::fs::remove_dir_all(shop.path(".thalweg")).expect("the ledger is lost");
}

/// All files and contents below the given folders.
fn contents(shop: &Workshop, folders: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in folders {
        for name in shop.files(folder) {
            let path = format!("{folder}/{name}");
            let content = shop.read(&path).unwrap_or_default();
            found.insert(path, content);
        }
    }
    found
}

#[test]
fn a_ledger_lost_at_any_time_costs_work_and_no_file() {
    let flow = r#"
flow = "lost"
[stations.here]
root = "here"
[stations.there]
root = "there"
[products.raw]
path = "in/{name}.dat"
[products.made]
path = "made/{name}.txt"
[products.part]
path = "parts/{name}/{n:int}.txt"
[products.new]
path = "new/{name}.msg"
[products.sorted]
path = "sorted/{name}.msg"
[steps.make]
at = "here"
takes = "raw"
makes = "made"
does = { run = ["cp", "{in}", "{out}"] }
[steps.split]
at = "here"
takes = "raw"
makes = { product = "part", many = true }
does = { run = ["sh", "-c", "for n in 1 2 3; do sed s/^/$n/ $1 > $2/$n.txt; done", "sh", "{in}", "{out}"] }
[steps.send]
at = "here"
takes = "raw"
does = "send"
to = "there"
[steps.sort]
at = "here"
takes = "new"
makes = "sorted"
does = "move"
"#;
    let with_keep = format!("{flow}{}", keep("here", "there"));
    let mut shop = Workshop::new(flow);
    for n in 0..3 {
        shop.write(&format!("here/in/{n}.dat"), &format!("raw {n}\n"));
        shop.write(&format!("here/new/{n}.msg"), &format!("message {n}\n"));
    }
    let (outcome, events) = shop.once();
    assert_eq!(outcome.failed, 0, "{events:#?}");
    let before = contents(&shop, &["here", "there"]);
    assert_eq!(before.len(), 3 * (1 + 1 + 3 + 1 + 1));
    for _ in 0..2 {
        lose(&shop);
        let (outcome, events) = shop.once();
        assert_eq!((outcome.failed, outcome.blocked), (0, 0), "{events:#?}");
        assert_eq!(contents(&shop, &["here", "there"]), before);
    }
    // A new file of an old name for the mover does not take the place of the old one.
    lose(&shop);
    shop.write("here/new/0.msg", "something else\n");
    shop.once();
    assert_eq!(shop.read("here/sorted/0.msg").as_deref(), Some("message 0\n"));
    assert_eq!(shop.read("here/new/0.msg").as_deref(), Some("something else\n"));
    shop.remove("here/new/0.msg");
    // A keep needs its proof anew, which the other station's listing gives.
    lose(&shop);
    shop.flow = with_keep;
    for _ in 0..2 {
        shop.once();
    }
    lose(&shop);
    let (outcome, events) = shop.once();
    assert_eq!(outcome.failed, 0, "{events:#?}");
    let after = contents(&shop, &["here", "there"]);
    for (path, content) in before.iter().filter(|(path, _)| !path.starts_with("here/in/")) {
        assert_eq!(after.get(path), Some(content), "{path}: {events:#?}");
    }
}

const APPEND: &str = r#"
flow = "append"
[stations.here]
root = "data"
[products.tm]
path = "tm/{time:%Y%m%d}-{name}.txt"
[products.daily]
path = "days/{time:%Y%m%d}.txt"
[steps.daily]
at = "here"
takes = "tm"
makes = { product = "daily", update = true }
does = { run = ["sh", "-c", "out=$1; shift; sort -u -o $out \"$@\"", "sh", "{out}", "{in.new}", "{out.previous}"] }
"#;

#[test]
fn an_update_whose_ledger_was_lost_holds_all_its_parts() {
    let shop = Workshop::new(APPEND);
    for name in ["a", "b", "c"] {
        shop.write(&format!("data/tm/20260101-{name}.txt"), &format!("{name}\n"));
    }
    let (outcome, events) = shop.once();
    assert_eq!(outcome.failed, 0, "{events:#?}");
    assert_eq!(shop.read("data/days/20260101.txt").as_deref(), Some("a\nb\nc\n"), "{events:#?}");
    lose(&shop);
    shop.write("data/tm/20260101-d.txt", "d\n");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.failed, outcome.blocked), (0, 0), "{events:#?}");
    assert_eq!(shop.read("data/days/20260101.txt").as_deref(), Some("a\nb\nc\nd\n"), "{events:#?}");
    assert_eq!(shop.once().0.done, 0);
}

const COPY: &str = r#"
flow = "copy"
[stations.here]
root = "data"
[products.raw]
path  = "in/{name}.dat"
[products.copied]
path = "out/{name}.dat"
[steps.copy]
at    = "here"
takes = "raw"
makes = "copied"
does  = { run = ["cp", "{in}", "{out}"] }
"#;

#[test]
#[expect(clippy::disallowed_methods, reason = "files are named as somebody else would")]
fn two_names_are_two_keys_and_a_way_there_and_back_is_no_second_run() {
    let shop = Workshop::new(COPY);
    shop.write("data/in/a.dat", "the same");
    shop.write("data/in/b.dat", "the same");
    assert_eq!(shop.once().0.done, 2);
    std::fs::rename(shop.path("data/in/a.dat"), shop.path("a.dat")).expect("it goes");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 0), "{events:#?}");
    assert_eq!(shop.read("data/out/a.dat").as_deref(), Some("the same"));
    std::fs::rename(shop.path("a.dat"), shop.path("data/in/a.dat")).expect("it comes back");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 0), "{events:#?}");
    // Written again, with the same content and another time.
    shop.write("data/in/a.dat", "the same");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 0), "{events:#?}");
    let runs = shop.ledger().reader().and_then(|reader| reader.runs(&RunFilter::default(), 100)).expect("runs");
    assert_eq!(runs.len(), 2);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "files are named as somebody else would")]
fn a_file_met_by_event_and_by_listing_is_taken_once() {
    let mut shop = Workshop::new(COPY);
    shop.flow = COPY.replace("root = \"data\"", "root = \"data\"\nrescan = \"1s\"");
    std::fs::create_dir_all(shop.path("data/in")).expect("a folder");
    let engine = Engine::open(shop.setup()).expect("the engine opens");
    let handle = engine.handle();
    let (from, folder) = (Instant::now(), shop.path("data/in"));
    let mut listings = 0;
    let mut taken = BTreeMap::<String, usize>::new();
    let mut done = 0;
    let outcome = engine
        .run(Mode::Forever, &mut |event| {
            match event {
                Event::Listed { .. } => {
                    listings += 1;
                    if listings == 1 {
                        for n in 0..20 {
                            let part = folder.join(format!(".{n}.part"));
                            std::fs::write(&part, format!("content {n}")).expect("it is written");
                            std::fs::rename(&part, folder.join(format!("{n}.dat"))).expect("it gets its name");
                        }
                    }
                }
                Event::FileTaken { path, product, .. } if product == "raw" => {
                    *taken.entry(path.as_str().to_owned()).or_default() += 1;
                }
                Event::RunDone { .. } => done += 1,
                _ => {}
            }
            if (done >= 20 && listings >= 3) || from.elapsed() > Duration::from_secs(9) {
                handle.stop("enough");
            }
        })
        .expect("it runs");
    assert_eq!((outcome.done, outcome.failed, listings >= 3), (20, 0, true), "{listings} listings, {taken:?}");
    assert!(taken.values().all(|times| *times == 1), "{taken:?}");
}

const PROBED: &str = r#"
flow = "probed"
[stations.here]
root = "data"
[products.raw]
path = "in/{name}.dat"
format = "odd"
covers = "content"
[products.copied]
path = "out/{name}.dat"
[steps.copy]
at = "here"
takes = "raw"
makes = "copied"
does = { run = ["cp", "{in}", "{out}"] }
"#;

const PROBE: &str = r#"#!/bin/sh
# probe FORMAT FILE
case "$(head -c 5 "$3")" in
crash) kill -SEGV $$;;
abort) kill -ABRT $$;;
flood) yes 'a line that says nothing' | head -c 20000000; exit 65;;
silly) echo '{"coverage": {"start": "yesterday", "end": 7}, "fields": [1, 2]}';;
*) echo '{"coverage": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T02:00:00Z"}, "fields": {}}';;
esac
"#;

#[test]
fn a_file_that_crashes_its_probe_is_put_aside_and_neighbours_go_on() {
    let shop = Workshop::new(PROBED);
    shop.write("probe.sh", PROBE);
    std::fs::set_permissions(shop.path("probe.sh"), std::fs::Permissions::from_mode(0o755)).expect("rights");
    for name in ["crash", "abort", "flood", "good1", "good2"] {
        shop.write(&format!("data/in/{name}.dat"), name);
    }
    let mut setup = shop.setup();
    setup.program = shop.path("probe.sh");
    setup.formats = vec!["odd".into()];
    let mut events = Vec::new();
    let outcome = Engine::open(setup.clone())
        .and_then(|engine| engine.run(Mode::Once, &mut |event| events.push(event.clone())))
        .expect("it runs");
    assert_eq!((outcome.done, outcome.quarantined), (2, 3), "{events:#?}");
    let mut expected: Vec<String> =
        ["good1", "good2"].iter().flat_map(|n| [format!("in/{n}.dat"), format!("out/{n}.dat")]).collect();
    expected.extend(
        ["abort", "crash", "flood"]
            .iter()
            .flat_map(|n| [format!("quarantine/in/{n}.dat"), format!("quarantine/in/{n}.dat.report.json")]),
    );
    expected.sort();
    assert_eq!(shop.files("data"), expected);
    let again = Engine::open(setup).and_then(|engine| engine.run(Mode::Once, &mut |_| {})).expect("it runs");
    assert_eq!((again.done, again.failed, again.quarantined), (0, 0, 0), "never tried again by itself");
    every_open_key_has_a_reason(&shop);
}

#[test]
fn a_verb_that_dies_loops_or_floods_stops_itself_only() {
    let line = r#"["sh", "-c", "case $(cat $1) in die) kill -KILL $$;; loop) while :; do :; done;; flood) yes | head -c 50000000;; esac; cp $1 $2", "sh", "{in}", "{out}"]"#;
    let flow = COPY
        .replace(r#"["cp", "{in}", "{out}"]"#, line)
        .replace("makes = \"copied\"", "makes = \"copied\"\ntimeout = \"2s\"");
    let shop = Workshop::new(&flow);
    for name in ["die", "loop", "flood", "good"] {
        shop.write(&format!("data/in/{name}.dat"), name);
    }
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (2, 2), "{events:#?}");
    let told: BTreeMap<String, String> = events
        .iter()
        .filter_map(|event| match event {
            Event::RunFailed { key, message, .. } => Some((key.clone(), message.clone())),
            _ => None,
        })
        .collect();
    assert!(told.iter().any(|(key, message)| key.contains("die") && message.contains("signal")), "{told:?}");
    assert!(
        told.iter().any(|(key, message)| key.contains("loop") && (message.contains("time") || message.contains("2s"))),
        "{told:?}"
    );
    assert_eq!(shop.files("data/out"), ["flood.dat", "good.dat"]);
    let logs: u64 = shop
        .files(".thalweg/logs")
        .iter()
        .map(|name| shop.path(".thalweg/logs").join(name))
        .map(|path| path.metadata().map_or(0, |m| m.len()))
        .sum();
    assert!(logs < 40_000_000, "a flood is bounded: {logs} bytes");
    assert_eq!(shop.files("data/.thalweg-staging"), Vec::<String>::new());
    every_open_key_has_a_reason(&shop);
}

fn every_open_key_has_a_reason(shop: &Workshop) -> usize {
    let reader = shop.ledger().reader().expect("a reader");
    let keys = reader.keys(&KeyFilter::default()).expect("keys");
    let mut open = 0;
    for key in keys.iter().filter(|key| !(key.there == KeyThere::Done && key.next == KeyNext::Nothing)) {
        open += 1;
        for name in ["code", "text"] {
            let said = key.reason.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
            assert!(!said.is_empty(), "{} {}: {} {}: {}", key.step, key.key, key.there, key.next, key.reason);
        }
    }
    // Nor is a file absent, bad or unready without a word.
    let files = reader.page(&FileFilter::default(), 10_000).expect("files");
    for file in files.iter().filter(|file| matches!(file.state, FileState::Quarantined | FileState::Retired)) {
        assert!(file.why.as_deref().is_some_and(|why| !why.is_empty()), "{}", file.path);
    }
    open
}

#[test]
fn every_key_that_is_not_done_says_why() {
    let flow = r#"
flow = "reasons"
[stations.here]
root = "data"
[stations.off]
root = "off"
read_only = true
[products.raw]
path = "in/{cpid:int}-{time:%Y%m%d%H}.dat"
span = "1h"
ready = { not_newest = ["cpid"], closed = true }
[products.now]
path = "in/now-{cpid:int}-{a}.dat"
[products.other]
path = "other/{cpid:int}-{time:%Y%m%d%H}.dat"
span = "1h"
[products.made]
path = "made/{cpid:int}.dat"
[products.day]
path = "day/{time:%Y%m%d}.dat"
span = "1d"
[products.copied]
path = "copied/{cpid:int}-{time:%Y%m%d%H}.dat"
span = "1h"
[steps.excluded]
at = "here"
takes = "now"
if = "cpid == 7"
makes = "made"
does = { run = ["cp", "{in}", "{out}"] }
[steps.unfed]
at = "here"
takes = "raw"
with.other = { product = "other", match = "overlap" }
makes = "copied"
does = { run = ["cp", "{in.other}", "{out}"] }
[steps.fails]
at = "here"
takes = "now"
does = { run = ["false"] }
[steps.behind]
at = "here"
takes = "now"
needs = ["fails"]
does = { run = ["true"] }
[steps.asked]
at = "here"
takes = "raw"
per = "1d"
makes = "day"
when = "asked"
does = { run = ["sh", "-c", "cat $2 > $1", "sh", "{out}", "{in}"] }
[steps.later]
at = "here"
takes = "now"
when = { every = "1h" }
does = { run = ["true"] }
"#;
    let shop = Workshop::new(flow);
    for (name, content) in
        [("1-2026010100", "a"), ("1-2026010101", "b"), ("now-7-x", "x"), ("now-7-y", "y"), ("now-8-z", "z")]
    {
        shop.write(&format!("data/in/{name}.dat"), content);
    }
    let (_, events) = shop.once();
    // After the first round of the clock more comes.
    shop.write("data/in/now-9-late.dat", "late");
    shop.once();
    let open = every_open_key_has_a_reason(&shop);
    assert!(open >= 6, "{open} keys are open: {events:#?}");
    let reader = shop.ledger().reader().expect("a reader");
    let seen: std::collections::BTreeSet<String> =
        reader.keys(&KeyFilter::default()).expect("keys").iter().map(|key| key.next.to_string()).collect();
    for word in ["waiting", "failed", "blocked"] {
        assert!(seen.contains(word), "the flow shows {word}: {seen:?}");
    }
}

/// What a file `*.pid` somewhere below says.
fn told_pid(folder: &std::path::Path) -> Option<String> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return told_pid(&path);
        }
        path.extension().filter(|end| *end == "pid").and_then(|_| std::fs::read_to_string(&path).ok())
    })
}

#[test]
fn a_stop_ends_a_long_child_and_the_next_start_does_its_work() {
    let mut shop = Workshop::new("");
    // Beside its output it may write; the other file is never asked about.
    let line = r#"["sh", "-c", "echo $$ > $2.tmp; mv $2.tmp $2.pid; test -e $3/short || {{ trap '' TERM; while :; do sleep 60; done; }}; cp $1 $2", "sh", "{in}", "{out}", "{$folder}"]"#;
    let folder = shop.path("told");
    std::fs::create_dir_all(&folder).expect("a folder");
    shop.flow = COPY
        .replace(r#"["cp", "{in}", "{out}"]"#, line)
        .replace("takes = \"raw\"", &format!("takes = \"raw\"\nreads = [{folder:?}]"))
        + &format!("[params]\nfolder = {folder:?}\n");
    shop.write("data/in/a.dat", "x");
    let engine = Engine::open(shop.setup()).expect("the engine opens");
    let handle = engine.handle();
    let pid = Arc::new(Mutex::new(String::new()));
    let (seen, staging) = (pid.clone(), shop.path("data/.thalweg-staging"));
    let watch = std::thread::spawn(move || {
        let from = Instant::now();
        while from.elapsed() < Duration::from_secs(5) {
            if let Some(text) = told_pid(&staging) {
                *seen.lock().expect("a lock") = text.trim().to_owned();
                break;
            }
            std::thread::yield_now();
        }
        let from = Instant::now();
        handle.stop("the test says so");
        from
    });
    let outcome = engine.run(Mode::Forever, &mut |_| {}).expect("it runs");
    let stopped = watch.join().expect("it ends").elapsed();
    assert!(stopped < Duration::from_secs(10), "{stopped:?}");
    assert_eq!(outcome.done, 0);
    let pid = pid.lock().expect("a lock").clone();
    assert!(!pid.is_empty(), "the child ran");
    assert!(!std::path::Path::new("/proc").join(&pid).exists(), "the child is gone");
    assert_eq!(shop.files("data"), ["in/a.dat"]);
    shop.write("told/short", "");
    let (outcome, events): (Outcome, Vec<Event>) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    assert_eq!(shop.read("data/out/a.dat").as_deref(), Some("x"));
}
