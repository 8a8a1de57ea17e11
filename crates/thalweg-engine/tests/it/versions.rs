//! What external commands say of their own versions: recorded, noted, and deciding where a step says so.

use std::os::unix::fs::PermissionsExt;

use thalweg_engine::Event;
use thalweg_ledger::RunFilter;

use crate::workshop::Workshop;

const FLOW: &str = r#"
flow = "versions"
[stations.here]
root = "data"
[products.in]
path = "in/{name}.txt"
[products.out]
path = "out/{name}.txt"
[steps.make]
at = "here"
takes = "in"
makes = "out"
does = { run = ["./tool", "{in}", "{out}"] }
version_from = ["./tool", "--version"]
"#;

fn tool(shop: &Workshop, version: &str) {
    shop.write(
        "tool",
        &format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then {version}; exit; fi\n\
             cat \"$1\" > \"$2\"\n"
        ),
    );
    std::fs::set_permissions(shop.path("tool"), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}

fn notes(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Note { place, message } => Some(format!("{place}: {message}")),
            Event::VersionUnknown { step, why } => Some(format!("{step} unknown: {why}")),
            _ => None,
        })
        .collect()
}

fn recorded(shop: &Workshop) -> Vec<Option<String>> {
    let reader = shop.ledger().reader().expect("a reader");
    let mut runs = reader.runs(&RunFilter::default(), 10).expect("runs");
    runs.reverse();
    runs.into_iter().map(|run| run.verb_version).collect()
}

#[test]
fn another_version_is_noted_and_what_was_made_stays() {
    let shop = Workshop::new(FLOW);
    tool(&shop, "echo tool 1.2");
    shop.write("data/in/a.txt", "a");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    tool(&shop, "echo tool 1.30");
    shop.write("data/in/b.txt", "b");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    let told = "steps.make: its command is tool 1.30 now, tool 1.2 before: what was made before stays (`stale_on` would have it made again)";
    assert_eq!(notes(&events), [told]);
    assert_eq!(recorded(&shop), [Some("tool 1.2".to_owned()), Some("tool 1.30".to_owned())]);
    let (_, events) = shop.once();
    assert_eq!(notes(&events), Vec::<String>::new(), "the note is told once");
}

#[test]
fn another_version_makes_products_again_where_the_step_says_so() {
    let mut shop = Workshop::new(FLOW);
    tool(&shop, "echo tool 1.2");
    shop.write("data/in/a.txt", "a");
    assert_eq!(shop.once().0.done, 1);
    shop.flow.push_str("stale_on = \"version_from\"\n");
    let (outcome, events) = shop.once();
    assert_eq!(outcome.done, 0, "the same version is no reason: {events:#?}");
    tool(&shop, "echo tool 1.30");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    assert_eq!(recorded(&shop), [Some("tool 1.2".to_owned()), Some("tool 1.30".to_owned())]);
    assert_eq!(shop.once().0.done, 0);
}

#[test]
fn what_was_made_before_anybody_asked_is_not_made_again() {
    let mut shop = Workshop::new(&FLOW.replace("version_from", "#"));
    tool(&shop, "echo tool 1.2");
    shop.write("data/in/a.txt", "a");
    assert_eq!(shop.once().0.done, 1);
    shop.flow = format!("{FLOW}stale_on = \"version_from\"\n");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 0), "{events:#?}");
}

#[rstest::rstest]
#[case::no_such_program("rm tool", "no program")]
#[case::it_fails("echo no licence; exit 3", "exit code 3: no licence")]
#[case::it_is_silent("true", "it said nothing")]
fn a_command_that_cannot_be_asked_blocks_its_step_and_is_told_once(#[case] version: &str, #[case] why: &str) {
    let shop = Workshop::new(FLOW);
    tool(&shop, version);
    if version == "rm tool" {
        shop.remove("tool");
    }
    for name in ["a", "b", "c"] {
        shop.write(&format!("data/in/{name}.txt"), name);
    }
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed, outcome.blocked), (0, 1, 3), "{events:#?}");
    let told = notes(&events);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(why), "{told:?}");
    // As soon as it can be asked, all goes on by itself.
    tool(&shop, "echo tool 2");
    assert_eq!(shop.once().0.done, 3);
}

const UPDATE: &str = r#"
flow = "versions"
[stations.here]
root = "data"
[products.in]
path = "in/{day:int}-{name}.txt"
[products.out]
path = "out/{day:int}.txt"
[steps.make]
at = "here"
takes = "in"
makes = { product = "out", update = true }
does = { run = ["sh", "-c", "out=$1; shift; cat \"$@\" > $out", "sh", "{out}", "{out.previous}", "{in.new}"] }
version_from = ["./tool", "--version"]
stale_on = "version_from"
"#;

#[test]
fn an_update_is_built_afresh_when_its_command_changes_and_then_holds_each_part_once() {
    let shop = Workshop::new(UPDATE);
    tool(&shop, "echo tool 1");
    shop.write("data/in/1-a.txt", "a");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    shop.write("data/in/1-b.txt", "b");
    let (_, events) = shop.once();
    assert_eq!(shop.read("data/out/1.txt").as_deref(), Some("ab"), "{events:#?}");
    tool(&shop, "echo tool 2");
    let (_, events) = shop.once();
    let made = shop.read("data/out/1.txt").unwrap_or_default();
    let mut letters: Vec<char> = made.chars().collect();
    letters.sort_unstable();
    assert_eq!(letters, ['a', 'b'], "{events:#?}");
    assert_eq!(shop.once().0.done, 0, "it comes to rest");
}
