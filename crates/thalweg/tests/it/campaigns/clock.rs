//! The clock stepped by hours, forth and back, while the engine works and between two starts.
//!
//! The system's clock is not ours to set: a library that stands between the program and the clock does it
//! (`faketime`, from the distribution's packages); without it the campaign is left out, and says so.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use thalweg_ledger::{RunFilter, RunState};

use super::world::{World, put, say, signal, wait_end, wait_until};

fn library() -> Option<PathBuf> {
    let named = std::env::var_os("THALWEG_CAMPAIGN_FAKETIME").map(PathBuf::from);
    let usual = ["x86_64-linux-gnu", "aarch64-linux-gnu", ""]
        .map(|arch| Path::new("/usr/lib").join(arch).join("faketime/libfaketime.so.1"));
    named.into_iter().chain(usual).find(|path| path.exists())
}

/// Waits of every kind that a clock could upset: quiet files, retries, a step by the clock, ages of keeps.
const FLOW: &str = r#"flow = "clock"
[stations]
radar = { root = "radar" }
site = { root = "site" }
[products.raw]
path = "in/{n}.dat"
ready = { quiet = "1s" }
[products.made]
path = "out/{n}.txt"
[steps.send]
at = "radar"
takes = "raw"
does = "send"
to = "site"
[steps.make]
at = "site"
takes = "raw"
makes = "made"
does = { run = ["sh", "-c", "[ -e $3/go ] || exit 75; cp $1 $2", "sh", "{in}", "{out}", "BASE"] }
retry = { times = 1000, wait = "1s..2s" }
[keeps.raw]
at = "radar"
products = ["raw"]
delete = { older_than = "30d" }
only_if = "made receipted at site"
"#;

fn step_clock(world: &World, by: &str) {
    put(world.at(), "faketime", format!("{by}\n").as_bytes());
}

fn start(world: &World, library: &Path, words: &[&str]) -> std::process::Child {
    let mut command = world.command(words);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", world.at().join("faketime"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
    world.spawn(command)
}

#[test]
fn a_clock_stepped_by_hours() {
    let Some(library) = library() else {
        return say("skipped: no libfaketime here (package `faketime`); THALWEG_CAMPAIGN_FAKETIME names it elsewhere");
    };
    let base = |world: &World| FLOW.replace("BASE", &world.at().display().to_string());
    for steps in [["+7h", "-5h", "+0"], ["-9h", "+2d", "-1d"]] {
        let world = World::new("flow = \"x\"\n");
        put(world.at(), "flow.toml", base(&world).as_bytes());
        step_clock(&world, "+0");
        let mut engine = start(&world, &library, &["run"]);
        let made = |n: usize| world.at().join(format!("site/out/{n}.txt"));
        put(world.at(), "go", b"");
        put(world.at(), "radar/in/0.dat", b"0");
        assert!(wait_until(Duration::from_secs(20), || made(0).exists()), "{}", world.said());
        for (n, by) in steps.iter().enumerate() {
            // A file that is settling, and a key that waits for its next try, meet the step.
            std::fs::remove_file(world.at().join("go")).expect("a file");
            let n = n * 2 + 1;
            put(world.at(), &format!("radar/in/{n}.dat"), b"waits");
            let tried = wait_until(Duration::from_secs(20), || world.at().join(format!("site/in/{n}.dat")).exists());
            assert!(tried, "{steps:?} {by}: {}", world.said());
            let failed = || {
                let reader = world.ledger().reader().expect("a reader");
                let filter =
                    RunFilter { step: Some("make".into()), states: vec![RunState::Failed], ..RunFilter::default() };
                let runs = reader.runs(&filter, 1000).expect("rows");
                runs.iter().any(|run| run.key.contains(&format!("n={n})")))
            };
            assert!(wait_until(Duration::from_secs(20), failed), "{steps:?} {by}: {}", world.said());
            put(world.at(), &format!("radar/in/{}.dat", n + 1), b"settles");
            let settles = || {
                let reader = world.ledger().reader().expect("a reader");
                reader.settling("radar").is_ok_and(|files| !files.is_empty())
            };
            wait_until(Duration::from_secs(20), settles);
            step_clock(&world, by);
            put(world.at(), "go", b"");
            let both = wait_until(Duration::from_secs(30), || made(n).exists() && made(n + 1).exists());
            assert!(both, "{steps:?} {by}: {}", world.said());
        }
        signal(&engine, Signal::TERM);
        assert_eq!(wait_end(&mut engine, Duration::from_secs(12)), Some(0), "{}", world.said());
        // And between two starts, months back: nothing is done twice, nothing deleted, what is new is taken.
        step_clock(&world, "-100d");
        put(world.at(), "radar/in/last.dat", b"last");
        let mut engine = start(&world, &library, &["run"]);
        let last = world.at().join("site/out/last.txt");
        assert!(wait_until(Duration::from_secs(30), || last.exists()), "{steps:?}: {}", world.said());
        signal(&engine, Signal::TERM);
        assert_eq!(wait_end(&mut engine, Duration::from_secs(12)), Some(0), "{}", world.said());
        assert_eq!(world.troubles(), Vec::<String>::new());
        for n in 0..7 {
            assert!(made(n).exists() && world.at().join(format!("radar/in/{n}.dat")).exists(), "{n}");
        }
    }
}
