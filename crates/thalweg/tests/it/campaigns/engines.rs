//! Several engines at once, and a flow that is moved to another folder.

use std::time::Duration;

use rustix::process::Signal;

use super::world::{FLOW, World, inputs, names, processes_below, put, rename, signal, wait_end, wait_until};

#[test]
fn of_engines_started_at_once_on_a_ledger_one_works() {
    let world = World::new(FLOW);
    world.feed(&inputs(0, 12));
    let mut all: Vec<_> = (0..6).map(|_| world.start(&["run", "--once", "-q"])).collect();
    let codes: Vec<_> = all.iter_mut().map(|engine| wait_end(engine, Duration::from_secs(60))).collect();
    let said = world.said();
    // One comes to its end (bad files: 4); others are told who works, or came when it was done and found nothing to do.
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 4 | 75))), "{codes:?}: {said}");
    assert!(codes.contains(&Some(4)), "{codes:?}: {said}");
    assert!(codes.contains(&Some(75)), "{codes:?}: {said}");
    assert!(said.contains("process "), "the holder is named: {said}");
    assert_eq!(world.troubles(), Vec::<String>::new(), "{said}");
}

/// A step that takes as long as the test wants.
fn slow(name: &str, from: &str) -> String {
    format!(
        "flow = \"{name}\"\n[stations]\nsite = {{ root = \"site\" }}\n[products.{name}-in]\npath = \"{from}/{{n}}.dat\"\n\
         [products.{name}]\npath = \"{name}/{{n}}.txt\"\n[steps.{name}]\nat = \"site\"\ntakes = \"{name}-in\"\n\
         makes = \"{name}\"\n\
         does = {{ run = [\"sh\", \"-c\", \"cp $1 $2; while [ -e $1.wait ]; do sleep 0.02; done\", \"sh\", \"{{in}}\", \"{{out}}\"] }}\n"
    )
}

#[test]
fn engines_of_other_ledgers_leave_each_others_staging_alone() {
    let world = World::new("flow = \"none\"\n");
    put(world.at(), "one.toml", slow("one", "in").as_bytes());
    put(world.at(), "two.toml", slow("two", "in").as_bytes());
    put(world.at(), "site/in/1.dat", b"content");
    put(world.at(), "site/in/1.dat.wait", b"");
    let mut first = world.start(&["run", "--once", "--flow", "one.toml", "--ledger", "one.sqlite"]);
    let staged = |world: &World| {
        names(&world.at().join("site/.thalweg-staging")).into_iter().filter(|name| name.ends_with("1.txt")).count()
    };
    assert!(wait_until(Duration::from_secs(15), || staged(&world) == 1), "{}", world.said());
    // A second engine starts beside it, brings what it finds unfinished to an end, and works on the same run number.
    let mut second = world.start(&["run", "--once", "--flow", "two.toml", "--ledger", "two.sqlite"]);
    assert!(wait_until(Duration::from_secs(15), || staged(&world) == 2), "both stand by: {}", world.said());
    // A shell each, and most of the time the sleep that it waits for.
    let both = || processes_below(world.at()).len() / 2 == 2;
    assert!(wait_until(Duration::from_secs(15), both), "and the first one's verb still runs");
    std::fs::remove_file(world.at().join("site/in/1.dat.wait")).expect("they may go on");
    assert_eq!(wait_end(&mut first, Duration::from_secs(20)), Some(0), "{}", world.said());
    assert_eq!(wait_end(&mut second, Duration::from_secs(20)), Some(0), "{}", world.said());
    for name in ["one", "two"] {
        let made = std::fs::read_to_string(world.at().join(format!("site/{name}/1.txt")));
        assert_eq!(made.expect("an output"), "content");
    }
    // Killed, it finds its own and only its own.
    put(world.at(), "site/in/2.dat", b"more");
    put(world.at(), "site/in/2.dat.wait", b"");
    let mut first = world.start(&["run", "--once", "--flow", "one.toml", "--ledger", "one.sqlite"]);
    let mut second = world.start(&["run", "--once", "--flow", "two.toml", "--ledger", "two.sqlite"]);
    let staged = |world: &World| {
        names(&world.at().join("site/.thalweg-staging")).into_iter().filter(|name| name.ends_with("2.txt")).count()
    };
    assert!(wait_until(Duration::from_secs(15), || staged(&world) == 2), "{}", world.said());
    first.kill().expect("it is killed");
    first.wait().expect("it ends");
    let mut first = world.start(&["run", "--once", "--flow", "one.toml", "--ledger", "one.sqlite"]);
    let again = || {
        let count = |n: &str| world.said().matches(n).count();
        staged(&world) == 2 || count("error") > 0
    };
    assert!(wait_until(Duration::from_secs(15), again), "{}", world.said());
    std::fs::remove_file(world.at().join("site/in/2.dat.wait")).expect("they may go on");
    assert_eq!(wait_end(&mut first, Duration::from_secs(20)), Some(0), "{}", world.said());
    assert_eq!(wait_end(&mut second, Duration::from_secs(20)), Some(0), "{}", world.said());
    for name in ["one", "two"] {
        let made = std::fs::read_to_string(world.at().join(format!("site/{name}/2.txt")));
        assert_eq!(made.expect("an output"), "more");
    }
    assert!(!world.at().join("site/.thalweg-staging").exists());
}

#[test]
fn a_flow_that_is_moved_goes_on_where_it_is() {
    let mut world = World::new(FLOW);
    let inner = |world: &World, name: &str| world.at().join(name);
    // The flow lies in a folder of its own, so that this can be moved.
    let all = inputs(0, 12);
    std::fs::create_dir(inner(&world, "here")).expect("a folder");
    for name in ["flow.toml", "radar", "site", "campus"] {
        rename(&inner(&world, name), &inner(&world, &format!("here/{name}")));
    }
    let feed = |world: &World, at: &str, all: &[super::world::Input]| {
        for input in all {
            put(&inner(world, at), &input.path, input.text.as_bytes());
        }
    };
    let run = |world: &mut World, at: &str, words: &[&str]| {
        let mut command = world.command(words);
        let output = command.current_dir(world.at().join(at)).output().expect("it runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    feed(&world, "here", &all[..6]);
    let (code, said) = run(&mut world, "here", &["run", "--once"]);
    assert_eq!(code, Some(0), "{said}");
    let before = crate::demo::tree(&inner(&world, "here"));
    // Moved while nothing runs: everything is where it was, and nothing is done again.
    rename(&inner(&world, "here"), &inner(&world, "there"));
    let (code, said) = run(&mut world, "there", &["run", "--once", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("run_done") && !said.contains("file_gone"), "{said}");
    assert_eq!(crate::demo::tree(&inner(&world, "there")), before);
    // Moved while it runs: that engine makes nothing of it, and above all believes no file gone.
    let mut command = world.command(&["run", "--json"]);
    let said_to = std::fs::File::create(inner(&world, "said")).expect("a file");
    command.current_dir(inner(&world, "there")).stdout(said_to.try_clone().expect("a file")).stderr(said_to);
    let mut engine = command.spawn().expect("it starts");
    let listed = |world: &World| world.said().matches("\"listed\"").count();
    assert!(wait_until(Duration::from_secs(15), || listed(&world) >= 3), "{}", world.said());
    rename(&inner(&world, "there"), &inner(&world, "third"));
    feed(&world, "third", &all[6..]);
    let told = wait_until(Duration::from_secs(15), || world.said().contains("cannot be looked at"));
    assert!(told, "{}", world.said());
    let (code, said) = run(&mut world, "third", &["run", "--once"]);
    assert_eq!(code, Some(75), "the ledger is still held: {said}");
    signal(&engine, Signal::TERM);
    assert_eq!(wait_end(&mut engine, Duration::from_secs(12)), Some(0), "{}", world.said());
    assert!(!world.said().contains("file_gone"), "{}", world.said());
    assert!(
        !inner(&world, "there").exists(),
        "nothing is made anew where it was: {:?}",
        names(&inner(&world, "there"))
    );
    for _ in 0..2 {
        let (code, said) = run(&mut world, "third", &["run", "--once"]);
        assert!(matches!(code, Some(0 | 4)), "{said}");
    }
    // The end is that of a flow that was never moved.
    let still = World::new(FLOW);
    still.feed(&all);
    for _ in 0..2 {
        let (code, said) = still.run(&["run", "--once"]);
        assert!(matches!(code, Some(0 | 4)), "{said}");
    }
    for station in ["radar", "site", "campus"] {
        let (moved, unmoved) = (inner(&world, "third").join(station), still.at().join(station));
        assert_eq!(crate::demo::tree(&moved), crate::demo::tree(&unmoved), "{station}");
    }
}
