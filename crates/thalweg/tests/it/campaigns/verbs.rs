//! Verbs that behave badly: each stops itself, leaves nothing running and nothing under a final name, and its neighbours
//! go on.

use std::time::{Duration, Instant};

use super::world::{World, put};

/// A verb that does wrong, what is told of it, and whether its output is there all the same.
struct Bad {
    name: &'static str,
    /// Run by `sh -c` with the input and the output as arguments.
    script: &'static str,
    /// Further keys of the step.
    keys: &'static str,
    told: &'static str,
    done: bool,
}

const ALL: [Bad; 13] = [
    Bad {
        name: "deaf",
        script: "trap '' TERM; echo > $TMPDIR/here; while :; do sleep 1; done",
        keys: "timeout = \"1s\"",
        told: "timeout",
        done: false,
    },
    Bad { name: "group", script: "sleep 1000 & sleep 1000 & cp $1 $2", keys: "", told: "", done: true },
    Bad {
        name: "session",
        script: "setsid sh -c 'sleep 1000 & exec sleep 1000' & cp $1 $2",
        keys: "",
        told: "",
        done: true,
    },
    Bad {
        name: "hidden",
        script: "env -i setsid sh -c 'sleep 1017 & exec sleep 1017' & cp $1 $2",
        keys: "",
        told: "",
        done: true,
    },
    Bad { name: "flood", script: "yes | head -c 40000000; cp $1 $2", keys: "", told: "", done: true },
    Bad {
        name: "eater",
        script: "head -c 2000000000 /dev/zero | tail -n 1 | cmp -s - $1 || exit 3; cp $1 $2",
        keys: "memory = \"32 MiB\"",
        told: "exit code 3",
        done: false,
    },
    Bad { name: "closer", script: "exec 0<&-; cp $1 $2", keys: "", told: "", done: true },
    Bad { name: "outside", script: "echo no > $PWD/../../x; echo no > $1; cp $1 $2", keys: "", told: "", done: true },
    Bad { name: "lazy", script: ":", keys: "", told: "did not write", done: false },
    Bad { name: "folder", script: "mkdir $2", keys: "", told: "did not write", done: false },
    Bad { name: "link", script: "ln -s /etc/passwd $2", keys: "", told: "did not write", done: false },
    Bad {
        name: "garbage",
        script: "head -c 3000000 /dev/urandom > $THALWEG_REPORT; cp $1 $2",
        keys: "",
        told: "",
        done: true,
    },
    Bad { name: "crash", script: "cp $1 $2; kill -SEGV $$", keys: "", told: "signal 11", done: false },
];

fn flow() -> String {
    let mut flow = "flow = \"bad\"\n[stations]\nhere = { root = \"site\" }\n".to_owned();
    for Bad { name, script, keys, .. } in &ALL {
        flow += &format!(
            "[products.{name}-in]\npath = \"in/{{n}}.{name}\"\n[products.{name}]\npath = \"out/{{n}}.{name}\"\n\
             [steps.{name}]\nat = \"here\"\ntakes = \"{name}-in\"\nmakes = \"{name}\"\n{keys}\nretry = {{ times = 0 }}\n\
             does = {{ run = [\"sh\", \"-c\", '''{script}''', \"sh\", \"{{in}}\", \"{{out}}\"] }}\n"
        );
    }
    flow
}

#[test]
fn a_verb_that_does_wrong_stops_itself_and_leaves_nothing() {
    let world = World::new(&flow());
    for bad in &ALL {
        put(world.at(), &format!("site/in/1.{}", bad.name), bad.name.as_bytes());
    }
    let from = Instant::now();
    let (code, said) = world.run(&["run", "--once", "--slots", "3"]);
    assert_eq!(code, Some(4), "{said}");
    assert!(from.elapsed() < Duration::from_secs(60), "{:?}", from.elapsed());
    let mut wrong = Vec::new();
    for bad in &ALL {
        let out = std::fs::read_to_string(world.at().join(format!("site/out/1.{}", bad.name))).ok();
        if out.as_deref() != bad.done.then_some(bad.name) {
            wrong.push(format!("{}: its output is {out:?}", bad.name));
        }
        let input = std::fs::read_to_string(world.at().join(format!("site/in/1.{}", bad.name))).ok();
        if input.as_deref() != Some(bad.name) {
            wrong.push(format!("{}: its input is {input:?}", bad.name));
        }
        if !bad.done {
            let told = said.lines().any(|line| line.contains(bad.name) && line.contains(bad.told));
            if !told {
                wrong.push(format!("{}: nothing is told of {:?}", bad.name, bad.told));
            }
        }
    }
    // One that gave up its environment is known by its words.
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if std::fs::read(process.path().join("cmdline")).is_ok_and(|line| line == b"sleep\x001017\0") {
            wrong.push(format!("still runs: {}", process.path().display()));
        }
    }
    wrong.extend(world.troubles());
    assert!(wrong.is_empty(), "{wrong:#?}\n{said}");
    let stray = super::world::names(world.at()).into_iter().filter(|name| name.ends_with("/x")).collect::<Vec<_>>();
    assert!(stray.is_empty(), "written outside: {stray:?}");
}

#[test]
fn a_stop_ends_all_that_verbs_left_behind() {
    let world = World::new(&flow());
    put(world.at(), "site/in/1.session", b"session");
    put(world.at(), "site/in/1.deaf", b"deaf");
    let mut engine = world.start(&["run"]);
    let up = super::world::wait_until(Duration::from_secs(15), || {
        world.at().join("site/out/1.session").exists() && !super::world::processes_below(world.at()).is_empty()
    });
    assert!(up, "{}", world.said());
    let from = Instant::now();
    super::world::signal(&engine, rustix::process::Signal::TERM);
    assert_eq!(super::world::wait_end(&mut engine, Duration::from_secs(14)), Some(0), "{}", world.said());
    assert!(from.elapsed() < Duration::from_secs(11), "{:?}", from.elapsed());
    assert_eq!(super::world::processes_below(world.at()), Vec::new());
}
