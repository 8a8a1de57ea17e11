//! Stations and ledgers whose disk is full, read only, or taken back, while the engine works.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::world::{World, names, put, say, signal, wait_end, wait_until};
use crate::faults::{Mounted, mount_small, with_small_disk};

/// A copy made at the first station is sent to the second; the inputs go once it is there.
const FLOW: &str = r#"flow = "disks"
[stations]
radar = { root = "radar" }
site = { root = "site" }
campus = { root = "campus" }
[products.raw]
path = "in/{n}.dat"
[products.twice]
path = "out/{n}.txt"
[steps.to-site]
at = "radar"
takes = "raw"
does = "send"
to = "site"
retry = { times = 1000, wait = "200ms..500ms" }
[steps.twice]
at = "site"
takes = "raw"
makes = "twice"
does = { run = ["sh", "-c", "cat $1 $1 > $2", "sh", "{in}", "{out}"] }
retry = { times = 1000, wait = "200ms..500ms" }
[steps.to-campus]
at = "site"
takes = "twice"
does = "send"
to = "campus"
retry = { times = 1000, wait = "200ms..500ms" }
[keeps.raw]
at = "radar"
products = ["raw"]
delete = "at_once"
only_if = "twice receipted at campus"
"#;

const FILES: usize = 12;

fn text(n: usize) -> String {
    format!("content of {n:02}\n").repeat(3000)
}

fn feed(world: &World, from: usize, to: usize) {
    for n in from..to {
        put(world.at(), &format!("radar/in/{n:02}.dat"), text(n).as_bytes());
    }
}

/// What is at the last station; a name there with another content than it should have is an error.
fn arrived(world: &World, fed: usize) -> usize {
    let mut whole = 0;
    for n in 0..fed {
        match std::fs::read_to_string(world.at().join(format!("campus/out/{n:02}.txt"))) {
            Ok(found) => {
                assert_eq!(found, text(n).repeat(2), "a final name holds what it should: {n}");
                whole += 1;
            }
            Err(_) => {
                let kept = std::fs::read_to_string(world.at().join(format!("radar/in/{n:02}.dat")));
                assert!(
                    kept.as_deref().is_ok_and(|kept| kept == text(n)),
                    "{n} is not at the end and not at the beginning any more"
                );
            }
        }
    }
    whole
}

fn all_is_well(world: &World, engine: &mut std::process::Child) {
    assert!(wait_until(Duration::from_secs(30), || arrived(world, FILES) == FILES), "{}", world.said());
    assert!(wait_until(Duration::from_secs(30), || names(&world.at().join("radar")).is_empty()), "{}", world.said());
    signal(engine, Signal::TERM);
    assert_eq!(wait_end(engine, Duration::from_secs(12)), Some(0), "{}", world.said());
    assert_eq!(world.troubles(), Vec::<String>::new(), "{}", world.said());
}

fn fill(folder: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(folder.join("ballast")).expect("a file");
    for size in [65536, 4096, 512, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

#[test]
fn a_small_disk_that_fills_and_is_freed() {
    if with_small_disk("campaigns::disks::a_small_disk_that_fills_and_is_freed").is_none() {
        return;
    }
    for station in ["site", "campus"] {
        let world = World::new(FLOW);
        mount_small(&world.at().join(station), "3m");
        let _mounted = Mounted(world.at().join(station));
        let mut engine = world.start(&["run"]);
        feed(&world, 0, 4);
        assert!(wait_until(Duration::from_secs(20), || arrived(&world, 4) == 4), "{station}: {}", world.said());
        fill(&world.at().join(station));
        feed(&world, 4, FILES);
        // It is told, and everything that arrived before stays whole.
        let told = wait_until(Duration::from_secs(10), || world.said().to_lowercase().contains("space"));
        assert!(told, "{station}: {}", world.said());
        assert!(arrived(&world, FILES) >= 4);
        std::fs::remove_file(world.at().join(station).join("ballast")).expect("space is freed");
        all_is_well(&world, &mut engine);
    }
}

#[test]
fn a_ledger_whose_disk_fills_and_is_freed() {
    if with_small_disk("campaigns::disks::a_ledger_whose_disk_fills_and_is_freed").is_none() {
        return;
    }
    let world = World::new(FLOW);
    let state = world.at().join(".thalweg");
    // Room for the write-ahead log beside it.
    mount_small(&state, "12m");
    let _mounted = Mounted(state.clone());
    let mut engine = world.start(&["run"]);
    feed(&world, 0, 4);
    assert!(wait_until(Duration::from_secs(20), || arrived(&world, 4) == 4), "{}", world.said());
    fill(&state);
    feed(&world, 4, 8);
    // Without its ledger it can promise nothing: it ends, says why, and has deleted nothing that is not there.
    let code = wait_end(&mut engine, Duration::from_secs(20));
    let said = world.said();
    assert!(matches!(code, Some(1 | 4 | 75)), "{code:?}: {said}");
    assert!(said.contains("full") || said.contains("space"), "{said}");
    assert!(said.contains("help:") && !said.contains("panicked"), "{said}");
    arrived(&world, 8);
    // Still full: refused just as clearly.
    let (code, said) = world.run(&["run", "--once"]);
    assert!(matches!(code, Some(1 | 4 | 75)), "{code:?}: {said}");
    assert!(said.contains("full") || said.contains("space"), "{said}");
    arrived(&world, 8);
    // Those that only ask still answer.
    let (code, said) = world.run(&["status"]);
    assert_eq!(code, Some(0), "{said}");
    std::fs::remove_file(state.join("ballast")).expect("space is freed");
    let mut engine = world.start(&["run"]);
    feed(&world, 8, FILES);
    all_is_well(&world, &mut engine);
}

/// Turns a station read only and back.
enum How {
    /// Its folders lose the right to be written.
    Rights,
    /// Its file system does.
    Mount,
}

fn write_protect(how: &How, folder: &Path, on: bool) {
    match how {
        How::Rights => {
            let mode = if on { 0o555 } else { 0o755 };
            let mut open = vec![folder.to_owned()];
            while let Some(folder) = open.pop() {
                for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                    if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                        open.push(entry.path());
                    }
                }
                std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).expect("rights are set");
            }
        }
        How::Mount => {
            let option = if on { "remount,ro" } else { "remount,rw" };
            let mut done = false;
            // Busy while a file is being written.
            wait_until(Duration::from_secs(5), || {
                done =
                    Command::new("mount").args(["-o", option]).arg(folder).output().is_ok_and(|o| o.status.success());
                done
            });
            assert!(done, "the station is mounted otherwise");
        }
    }
}

fn read_only_for_a_while(how: &How, user: Option<&str>) {
    for station in ["site", "campus"] {
        let world = World::new(FLOW);
        let folder = world.at().join(station);
        let _mounted = matches!(how, How::Mount).then(|| {
            mount_small(&folder, "8m");
            Mounted(folder.clone())
        });
        let mut engine = match user {
            Some(user) => {
                let owned = Command::new("chown").args(["-R", user]).arg(world.at()).status().expect("chown runs");
                assert!(owned.success());
                world.start_as(user, &["run"])
            }
            None => world.start(&["run"]),
        };
        let feed = |from, to| {
            feed(&world, from, to);
            if let Some(user) = user {
                let _ = Command::new("chown").args(["-R", user]).arg(world.at().join("radar")).status();
            }
        };
        feed(0, 4);
        assert!(wait_until(Duration::from_secs(20), || arrived(&world, 4) == 4), "{station}: {}", world.said());
        write_protect(how, &folder, true);
        feed(4, FILES);
        let told = wait_until(Duration::from_secs(15), || {
            let said = world.said().to_lowercase();
            said.contains("read-only") || said.contains("permission denied")
        });
        assert!(told, "{station}: {}", world.said());
        assert!(arrived(&world, FILES) >= 4);
        write_protect(how, &folder, false);
        // A right that is missing is for a person to mend: it is told, and tried again when asked to.
        let (code, said) = match user {
            Some(user) => world.run_as(user, &["retry"]),
            None => world.run(&["retry"]),
        };
        assert_eq!(code, Some(0), "{said}");
        all_is_well(&world, &mut engine);
    }
}

#[test]
fn a_station_that_turns_read_only() {
    if with_small_disk("campaigns::disks::a_station_that_turns_read_only").is_none() {
        return;
    }
    read_only_for_a_while(&How::Mount, None);
}

#[test]
fn a_station_whose_rights_are_taken_away() {
    if !rustix::process::geteuid().is_root() {
        return read_only_for_a_while(&How::Rights, None);
    }
    // Root may write everything: the program runs as somebody who may not.
    let nobody = "65534:65534";
    let world = World::new(FLOW);
    let (code, said) = world.run_as(nobody, &["--version"]);
    if code != Some(0) {
        return say(&format!("skipped: the program cannot be run as another user here: {said}"));
    }
    read_only_for_a_while(&How::Rights, Some(nobody));
}

#[test]
fn a_station_that_is_only_read_gets_nothing_and_loses_nothing() {
    if with_small_disk("campaigns::disks::a_station_that_is_only_read_gets_nothing_and_loses_nothing").is_none() {
        return;
    }
    let flow = FLOW.replace("radar = { root = \"radar\" }", "radar = { root = \"radar\", read_only = true }");
    let flow = flow.split("[keeps.raw]").next().expect("a part").to_owned();
    let world = World::new(&flow);
    let folder = world.at().join("radar");
    mount_small(&folder, "8m");
    let _mounted = Mounted(folder.clone());
    feed(&world, 0, FILES);
    let before: BTreeMap<String, String> = crate::demo::tree(&folder);
    write_protect(&How::Mount, &folder, true);
    let (code, said) = world.run(&["run", "--once"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(arrived(&world, FILES), FILES);
    assert_eq!(crate::demo::tree(&folder), before);
}
