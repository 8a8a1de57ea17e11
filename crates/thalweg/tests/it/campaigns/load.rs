//! Under load: the flow file read again while files pour in, more files than the kernel's queue of events takes, trees
//! renamed under the watcher's eyes, and no watches left.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::world::{Dice, World, asked, names, put, rename, say, signal, wait_end, wait_until};

const FLOW: &str = r#"flow = "load"
[stations]
radar = { root = "radar" }
site = { root = "site" }
[products.raw]
path = "in/{dir}/{n}.dat"
[products.made]
path = "out/{dir}/{n}.txt"
[steps.send]
at = "radar"
takes = "raw"
does = "send"
to = "site"
[steps.make]
at = "site"
takes = "raw"
makes = "made"
version = 1
does = { run = ["sh", "-c", "sed s/^/first/ $1 > $2", "sh", "{in}", "{out}"] }
"#;

fn made(world: &World) -> BTreeMap<String, String> {
    let folder = world.at().join("site/out");
    let read = |name: String| {
        let text = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        (name, text)
    };
    names(&folder).into_iter().map(read).collect()
}

/// `THALWEG_CAMPAIGN_RELOADS` says how often, `THALWEG_CAMPAIGN_SEED` how it begins.
#[test]
fn a_flow_read_again_under_load() {
    let seed = asked("THALWEG_CAMPAIGN_SEED", 1);
    let reloads = asked("THALWEG_CAMPAIGN_RELOADS", 8);
    let mut dice = Dice::new(seed);
    let second = FLOW.replace("version = 1", "version = 2").replace("first", "second");
    let variants = [
        FLOW.to_owned(),
        second.clone(),
        // Valid, and another in what does not matter here.
        second.replace("[steps.send]", "[steps.send]\npriority = 3\nretry = { times = 9 }"),
        // Not a flow, a mistake, and half of one: the one in force stays.
        "flow = ".to_owned(),
        second.replace("takes = \"raw\"", "takes = \"rwa\""),
        second.split("[steps.make]").next().expect("a part").to_owned() + "[steps.make]\nat = \"si",
        // A step less: what was made stays, and more is made when it comes back.
        second.split("[steps.make]").next().expect("a part").to_owned(),
        // Other stations need another start: told, and the one in force stays.
        second.replace("site = { root = \"site\" }", "site = { root = \"elsewhere\" }"),
    ];
    let world = World::new(FLOW);
    let mut engine = world.start(&["run", "-v"]);
    // A SIGHUP to a program that has only just begun ends it.
    put(world.at(), "radar/in/0/first.dat", b"first\n");
    assert!(wait_until(Duration::from_secs(20), || made(&world).len() == 1), "{}", world.said());
    let mut fed = 0;
    for n in 0..reloads {
        for _ in 0..=dice.below(12) {
            put(world.at(), &format!("radar/in/{}/{fed:04}.dat", fed % 3), format!("{fed}\n").as_bytes());
            fed += 1;
        }
        let which = usize::try_from(if n < 8 { n } else { 1 + dice.below(7) }).unwrap_or(0);
        put(world.at(), "flow.toml", variants[which].as_bytes());
        signal(&engine, Signal::HUP);
        let enough = Duration::from_millis(dice.below(300));
        let from = Instant::now();
        wait_until(Duration::from_secs(1), || from.elapsed() >= enough);
        assert!(engine.try_wait().expect("it can be asked").is_none(), "seed {seed}: {}", world.said());
    }
    put(world.at(), "flow.toml", second.as_bytes());
    signal(&engine, Signal::HUP);
    put(world.at(), "radar/in/0/last.dat", b"last\n");
    let expected: BTreeMap<String, String> = (0..fed)
        .map(|n| (format!("{}/{n:04}.txt", n % 3), format!("second{n}\n")))
        .chain(["first", "last"].map(|name| (format!("0/{name}.txt"), format!("second{name}\n"))))
        .collect();
    let whole = wait_until(Duration::from_secs(60), || made(&world) == expected);
    assert!(whole, "seed {seed}: {:#?}\n{}", made(&world), world.said());
    signal(&engine, Signal::TERM);
    assert_eq!(wait_end(&mut engine, Duration::from_secs(12)), Some(0), "{}", world.said());
    assert_eq!(world.troubles(), Vec::<String>::new(), "seed {seed}");
    let said = world.said();
    assert!(said.contains("stays in force") && said.contains("its stations are others"), "{said}");
    // A fresh start on the last flow finds nothing to do.
    let (code, said) = world.run(&["run", "--once", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("run_done"), "{said}");
}

/// Most memory that a process has held, in MiB.
fn peak(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or_default() / 1024
}

/// `THALWEG_CAMPAIGN_FILES` says how many.
#[test]
fn more_files_in_a_second_than_the_kernel_keeps_events_for() {
    let files = usize::try_from(asked("THALWEG_CAMPAIGN_FILES", 400)).expect("a number");
    // Others fill the queue of events in the short form; in the long form the files do.
    let others = 20_000_usize.saturating_sub(files);
    let flow = FLOW.split("[steps.make]").next().expect("a part").to_owned();
    let world = World::new(&flow);
    for dir in 0..4 {
        std::fs::create_dir_all(world.at().join(format!("radar/in/{dir}"))).expect("a folder");
    }
    let mut engine = world.start(&["run", "--json"]);
    put(world.at(), "radar/in/0/first.dat", b"first");
    let first = world.at().join("site/in/0/first.dat");
    assert!(wait_until(Duration::from_secs(15), || first.exists()), "{}", world.said());
    // Asleep while they are written, so that the queue is sure to overflow.
    signal(&engine, Signal::STOP);
    let from = Instant::now();
    write_many(&world.at().join("radar/in"), files, others);
    let took = from.elapsed();
    signal(&engine, Signal::CONT);
    let folder = world.at().join("site/in");
    // As long as they come they may take their time; counting them is not to take much of it.
    let pause = Duration::from_millis(50) + Duration::from_micros(40) * u32::try_from(files).expect("few");
    let (mut seen, mut moved) = (0, Instant::now());
    while seen <= files && moved.elapsed() < Duration::from_secs(60) {
        std::thread::park_timeout(pause);
        let now = names(&folder).len();
        if now != seen {
            (seen, moved) = (now, Instant::now());
        }
    }
    let all = seen > files;
    let done = from.elapsed();
    assert!(all, "{seen} of {files} after {done:?}: {}", world.said().lines().last().unwrap_or_default());
    let memory = peak(engine.id());
    say(&format!("{files} files of {} in {took:?}, all there after {done:?}, {memory} MiB at most", files + others));
    // What is ready is held in memory, some kilobytes each.
    let most = 100 + u64::try_from(files).expect("few") / 200;
    assert!(memory < most, "{memory} MiB");
    signal(&engine, Signal::TERM);
    assert_eq!(wait_end(&mut engine, Duration::from_secs(12)), Some(0));
    for n in 0..files {
        let name = format!("site/in/{}/{n:05}.dat", n % 4);
        assert_eq!(std::fs::read(world.at().join(&name)).expect("a copy"), n.to_string().as_bytes(), "{name}");
    }
    let done = world.said().lines().filter(|line| line.contains("\"run_done\"")).count();
    assert!(done <= files + 1, "each once: {done}");
    assert_eq!(world.troubles(), Vec::<String>::new());
}

#[expect(clippy::disallowed_methods, reason = "an instrument writes as it likes")]
fn write_many(folder: &Path, files: usize, others: usize) {
    for n in 0..others {
        std::fs::write(folder.join(format!("{}/{n}.no", n % 4)), b"").expect("a file");
    }
    for n in 0..files {
        let name = folder.join(format!("{}/{n:05}.dat", n % 4));
        if n % 2 == 0 {
            std::fs::write(name, n.to_string()).expect("a file");
        } else {
            let part = name.with_extension("part");
            std::fs::write(&part, n.to_string()).expect("a file");
            std::fs::rename(part, name).expect("its name");
        }
    }
}

/// `THALWEG_CAMPAIGN_RENAMES` says how many, `THALWEG_CAMPAIGN_SEED` how it begins.
#[test]
fn trees_renamed_while_they_are_listed_and_watched() {
    let seed = asked("THALWEG_CAMPAIGN_SEED", 1);
    let renames = asked("THALWEG_CAMPAIGN_RENAMES", 30);
    let mut dice = Dice::new(seed);
    let flow =
        FLOW.replace("in/{dir}/{n}.dat", "in/{dir}/{sub}/{n}.dat").replace("out/{dir}/{n}", "out/{dir}/{sub}/{n}");
    let world = World::new(&flow);
    std::fs::create_dir_all(world.at().join("outside")).expect("a folder");
    std::fs::create_dir_all(world.at().join("radar/in")).expect("a folder");
    // Where each tree is now: below the station or outside.
    let mut trees: Vec<String> = Vec::new();
    let tree = |world: &World, at: &str, n: u64| {
        for sub in 0..3 {
            for file in 0..4 {
                put(world.at(), &format!("{at}/{sub}/{file}.dat"), format!("{n} {sub} {file}\n").as_bytes());
            }
        }
    };
    for n in 0..3 {
        let at = format!("radar/in/t{n}");
        tree(&world, &at, n);
        trees.push(at);
    }
    let mut engine = world.start(&["run", "-v"]);
    for n in 0..renames {
        if dice.below(4) == 0 {
            let inside = dice.below(2) == 0;
            let at = if inside { format!("radar/in/n{n}") } else { format!("outside/n{n}") };
            tree(&world, &at, n);
            trees.push(at);
        }
        let which = usize::try_from(dice.below(trees.len() as u64)).unwrap_or(0);
        let to = if dice.below(3) == 0 { format!("outside/r{n}") } else { format!("radar/in/r{n}") };
        rename(&world.at().join(&trees[which]), &world.at().join(&to));
        trees[which] = to;
        if dice.below(6) == 0 {
            let (code, said) = world.run(&["scan"]);
            assert_eq!(code, Some(0), "seed {seed}: {said}");
        }
        let enough = Duration::from_millis(dice.below(60));
        let from = Instant::now();
        wait_until(Duration::from_secs(1), || from.elapsed() >= enough);
    }
    // What lies below the station in the end is all there at the other, under its last name.
    let expected: BTreeMap<String, String> = trees
        .iter()
        .filter(|at| at.starts_with("radar/"))
        .flat_map(|at| names(&world.at().join(at)).into_iter().map(move |name| format!("{at}/{name}")))
        .map(|path| {
            let text = std::fs::read_to_string(world.at().join(&path)).expect("a file");
            let name = path.trim_start_matches("radar/in/").trim_end_matches(".dat").to_owned();
            (format!("{name}.txt"), text.lines().map(|line| format!("first{line}\n")).collect())
        })
        .collect();
    let there = || {
        let found = made(&world);
        expected.iter().all(|(name, text)| found.get(name) == Some(text))
    };
    let all = wait_until(Duration::from_secs(40), there);
    let found = made(&world);
    let missing: Vec<&String> = expected.iter().filter(|(n, t)| found.get(*n) != Some(t)).map(|(n, _)| n).collect();
    assert!(all, "seed {seed}: missing {missing:?}\n{}", world.said());
    assert!(found.values().all(|text| text.starts_with("first")), "only whole files have names");
    signal(&engine, Signal::TERM);
    assert_eq!(wait_end(&mut engine, Duration::from_secs(12)), Some(0), "{}", world.said());
    assert_eq!(world.troubles(), Vec::<String>::new(), "seed {seed}");
    // Nothing was put aside for having been renamed.
    let (_, said) = world.run(&["quarantine", "--json"]);
    assert!(!said.contains("\"path\""), "seed {seed}: {said}");
}

#[test]
fn no_watches_left() {
    const TEST: &str = "campaigns::load::no_watches_left";
    if std::env::var_os("THALWEG_TEST_FEW_WATCHES").is_none() {
        let output = Command::new("unshare")
            .args(["-r", "sh", "-c", "echo 3 > /proc/sys/user/max_inotify_watches && exec \"$@\"", "sh"])
            .arg(std::env::current_exe().expect("this program"))
            .args(["--exact", TEST, "--nocapture"])
            .env("THALWEG_TEST_FEW_WATCHES", "1")
            .output();
        let Ok(output) = output else { return say("skipped: unshare not present") };
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !said.contains("running 1 test") {
            return say(&format!("skipped: no user namespace of its own can be had here: {}", said.trim()));
        }
        assert!(output.status.success(), "{said}");
        return;
    }
    let flow = FLOW.replace("radar = { root = \"radar\" }", "radar = { root = \"radar\", rescan = \"2s\" }");
    let flow = flow.replace("site = { root = \"site\" }", "site = { root = \"site\", rescan = \"2s\" }");
    let world = World::new(&flow);
    for dir in 0..6 {
        put(world.at(), &format!("radar/in/{dir}/0.dat"), b"0\n");
    }
    let mut engine = world.start(&["run"]);
    assert!(wait_until(Duration::from_secs(15), || made(&world).len() == 6), "{}", world.said());
    let told = wait_until(Duration::from_secs(5), || world.said().contains("listed at intervals"));
    assert!(told, "{}", world.said());
    for dir in 0..6 {
        put(world.at(), &format!("radar/in/{dir}/1.dat"), b"1\n");
    }
    put(world.at(), "radar/in/new/0.dat", b"0\n");
    assert!(wait_until(Duration::from_secs(20), || made(&world).len() == 13), "{}", world.said());
    signal(&engine, Signal::TERM);
    assert_eq!(wait_end(&mut engine, Duration::from_secs(12)), Some(0), "{}", world.said());
    assert_eq!(world.troubles(), Vec::<String>::new());
}
