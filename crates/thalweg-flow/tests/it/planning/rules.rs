//! Rules of steps, roles and moments, one by one.

use thalweg_core::{RelPath, TimeRange};
use thalweg_flow::planner::keys::{cells_of_step, timer_key};
use thalweg_flow::planner::{Facts, FileState, Next, Occasion, Origin, Round, There, due_round, evaluate};
use thalweg_flow::{Settings, Source, parse};

use super::hard::*;
use super::world::{Arrival, World};

#[test]
fn needs_and_after() {
    let text = r#"
        flow = "order"
        [stations]
        s = { root = "/s" }
        t = { root = "/t" }
        [products.f]
        path = "{name}.{kind:a|b}"
        [steps.check]
        at = "s"
        takes = "f"
        if = "kind == 'a'"
        does = { run = ["true", "{in}"] }
        [steps.out]
        at = "s"
        takes = "f"
        needs = ["check"]
        does = "send"
        to = "t"
        [steps.tidy]
        at = "s"
        takes = "f"
        after = ["out"]
        does = { run = ["true", "{in}"] }
        "#;
    let mut w = world(text, "2024-01-01T00:00:00Z");
    w.arrive("s", "x.a", Arrival::default());
    w.arrive("s", "x.b", Arrival::default());
    assert_eq!(w.next_of("out", "kind=a").next, Next::Waiting);
    // What the needed step leaves out is left out, and not waited for for ever.
    assert_eq!(w.next_of("out", "kind=b").next, Next::Skipped);
    w.failing.insert("check".into(), (thalweg_core::ErrorClass::Config, "no".into(), None));
    w.settle();
    assert_eq!(w.next_of("out", "kind=a").next, Next::Blocked);
    w.failing.clear();
    w.facts.failed.clear();
    w.facts.done.clear();
    let order: Vec<String> = {
        w.story.clear();
        w.settle();
        w.story.iter().map(|text| text.lines().next().unwrap().to_owned()).collect()
    };
    let place = |part: &str| order.iter().position(|text| text.starts_with(part) && text.contains("kind=a")).unwrap();
    assert!(place("check") < place("out") && place("out") < place("tidy"), "{order:?}");
}

#[test]
fn what_something_else_put_in_an_outputs_place_is_not_overwritten() {
    let mut w = world(CHAIN, "2024-03-01T06:00:00Z");
    w.arrive("s", "mid/2024030100.dat", file("by hand"));
    w.arrive("s", "raw/2024030100.dat", Arrival::default());
    w.settle();
    // It may be its own from before the ledger was lost: it runs, and is refused if it makes anything else.
    let e = w.next_of("first", "00:00");
    assert_eq!((e.next, e.reason.code.as_str()), (Next::Failed, "failed"));
    let there = w.facts.file_at("s", &RelPath::from_text("mid/2024030100.dat")).unwrap();
    assert_eq!((there.origin, there.hash), (Origin::Seen, Some(super::world::digest(&["by hand"]))));
    // An output that was changed from outside is a conflict too.
    w.arrive("s", "raw/2024030101.dat", Arrival::default());
    w.settle();
    w.arrive("s", "mid/2024030101.dat", file("edited"));
    w.settle();
    let e = w.next_of("first", "01:00");
    assert_eq!((e.there, e.next, e.reason.code.as_str()), (There::Done, Next::Blocked, "conflict"));
}

#[test]
fn an_equal_output_makes_no_consumer_stale() {
    let mut w = world(CHAIN, "2024-03-01T06:00:00Z");
    w.arrive("s", "raw/2024030100.dat", Arrival::default());
    w.settle();
    let before = w.facts.done.len();
    w.state("s", "mid/2024030100.dat", FileState::Gone { at: w.facts.now });
    w.story.clear();
    w.settle();
    assert_eq!(w.story.len(), 1, "{:?}", w.story);
    assert_eq!(w.facts.done.len(), before);
}

#[test]
fn a_cell_acts_on_what_is_there_while_a_file_grows() {
    let mut w = world(CHAIN, "2024-03-01T06:00:00Z");
    w.flow.steps.remove("first");
    w.arrive("s", "mid/2024030100.dat", Arrival::default());
    w.arrive("s", "mid/2024030101.dat", Arrival { open: true, ..Arrival::default() });
    w.settle();
    assert_eq!(w.next_of("second", "2024-03-01").there, There::Done);
    // The first grows again: its known version counts until the new one is read.
    w.arrive("s", "mid/2024030100.dat", Arrival { open: true, ..file("longer") });
    w.settle();
    assert_eq!(w.next_of("second", "2024-03-01").there, There::Done);
    w.change("s", "mid/2024030101.dat", |file| file.evidence = thalweg_flow::planner::Evidence::Closed);
    w.settle();
    assert_eq!(w.next_of("second", "2024-03-01").reason.code, "open");
    w.change("s", "mid/2024030100.dat", |file| file.evidence = thalweg_flow::planner::Evidence::Closed);
    w.settle();
    let e = w.next_of("second", "2024-03-01");
    assert_eq!((e.there, w.facts.last_done(&e.key).unwrap().inputs.len()), (There::Done, 2));
}

#[test]
fn a_step_that_takes_nothing_has_its_newest_moment() {
    let text = r#"
        flow = "timer"
        [stations.s]
        root = "/s"
        [products.report]
        path = "{time:%Y%m%d%H%M}.txt"
        [steps.report]
        at = "s"
        makes = "report"
        does = { run = ["report", "{out}"] }
        when = { every = "1h" }
        "#;
    let mut w = world(text, "2024-01-01T10:20:00Z");
    let step = w.flow.steps["report"].clone();
    let key = timer_key(&step, "s", &w.facts).unwrap();
    // The key stays the same until the next moment.
    w.at(at("2024-01-01T10:59:00Z"));
    assert_eq!(timer_key(&step, "s", &w.facts).unwrap(), key);
    w.settle();
    assert_eq!(w.facts.done.len(), 1);
    // Five missed moments are made up once.
    w.at(at("2024-01-01T15:30:00Z"));
    assert_eq!(due_round(&step, "s", &w.facts), Some(at("2024-01-01T15:00:00Z")));
    w.settle();
    assert_eq!(w.facts.done.len(), 2);
    let e = evaluate(&w.flow, &timer_key(&step, "s", &w.facts).unwrap(), &w.facts, Occasion::default());
    assert_eq!((e.next, e.reason.until), (Next::Waiting, Some(at("2024-01-01T16:00:00Z"))));
    // Asked for without a timer it is about the span that was asked for.
    let asked = world(&text.replace("when = { every = \"1h\" }", "when = \"asked\""), "2024-01-01T10:20:00Z");
    let span = TimeRange::new(at("2024-01-01T00:00:00Z"), at("2024-01-01T01:00:00Z"));
    let keys = cells_of_step(&asked.flow, &asked.flow.steps["report"], span, &asked.facts);
    assert_eq!(keys.iter().next().unwrap().cell, Some(span));
}

#[test]
fn moments_of_a_cron_line() {
    let text = LATE.replace("makes = \"rds\"", "makes = \"rds\"\nwhen = { cron = \"31 * * * *\" }");
    let mut w = world(&text, "2008-07-04T01:00:00Z");
    let step = w.flow.steps["minute"].clone();
    assert_eq!(due_round(&step, "relay", &w.facts), None);
    w.at(at("2008-07-04T05:35:00Z"));
    assert_eq!(due_round(&step, "relay", &w.facts), Some(at("2008-07-04T05:31:00Z")));
    w.facts.rounds.insert("minute relay".into(), Round { last: Some(at("2008-07-04T05:31:00Z")), open: None });
    assert_eq!(due_round(&step, "relay", &w.facts), None);
}

#[test]
fn a_role_is_looked_up_for_each_of_a_cells_files() {
    let text = r#"
        flow = "roles"
        [stations.s]
        root = "/s"
        [products.scan]
        path = "scan/{time:%Y%m%d%H}.{run:int}.dat"
        span = "1h"
        [products.notes]
        path = "notes/{run:int}.txt"
        [products.day]
        path = "day/{time:%Y%m%d}.dat"
        [steps.day]
        at = "s"
        takes = "scan"
        per = "1d"
        with.notes = { product = "notes", match = ["run"], wait = "0s" }
        makes = "day"
        does = { run = ["day", "{in}", "{in.notes}", "{out}"] }
        "#;
    let mut w = world(text, "2024-03-01T06:00:00Z");
    w.arrive("s", "notes/7.txt", Arrival::default());
    w.arrive("s", "scan/2024030100.7.dat", Arrival::default());
    w.arrive("s", "scan/2024030101.8.dat", Arrival::default());
    w.settle();
    w.arrive("s", "notes/8.txt", Arrival::default());
    w.arrive("s", "notes/9.txt", Arrival::default());
    w.settle();
    let e = w.next_of("day", "2024-03-01");
    assert_eq!((e.there, w.facts.last_done(&e.key).unwrap().inputs.len()), (There::Done, 4));
}

#[test]
fn a_newest_role_in_anothers_place_is_no_loss() {
    let text = r#"
        flow = "newest"
        [stations.s]
        root = "/s"
        [products.day]
        path = "in/{time:%Y%m%d}.dat"
        span = "1d"
        [products.kernel]
        path = "kernels/{time:%Y%m%d}.tm"
        [products.out]
        path = "out/{time:%Y%m%d}.dat"
        [steps.make]
        at = "s"
        takes = "day"
        with.kernel = { product = "kernel", match = "newest" }
        makes = "out"
        does = { run = ["x", "{in}", "{in.kernel}", "{out}"] }
        "#;
    let mut w = world(text, "2024-03-10T06:00:00Z");
    w.arrive("s", "kernels/20240301.tm", Arrival::default());
    w.arrive("s", "in/20240301.dat", Arrival::default());
    w.settle();
    w.arrive("s", "kernels/20240302.tm", Arrival::default());
    let state = retired(&w);
    w.state("s", "kernels/20240301.tm", state);
    w.settle();
    assert_eq!(w.next_of("make", "2024-03-01").there, There::Done);
    w.arrive("s", "in/20240301.dat", file("better"));
    w.settle();
    assert_eq!(w.next_of("make", "2024-03-01").there, There::Done);
    assert!(w.story.last().unwrap().contains("20240302.tm"));
}

#[test]
fn one_file_at_two_sources_is_taken_where_it_is_whole() {
    let text = r#"
        flow = "sticks"
        [stations]
        server = { root = "/s" }
        a = { root = "/a" }
        b = { root = "/b" }
        [products.local]
        path = "{dsm}_{time:%Y%m%d}.dat"
        [steps.pull]
        at = "server"
        takes = "local"
        from = ["a", "b"]
        does = "fetch"
        "#;
    let mut w = world(text, "2024-03-10T06:00:00Z");
    w.arrive("a", "x_20240301.dat", Arrival { size: Some(10), ..file("short") });
    w.arrive("b", "x_20240301.dat", Arrival { size: Some(99), ..file("whole") });
    let task = w.ready().pop().unwrap();
    assert_eq!((task.inputs.len(), task.inputs[0].station.as_str(), task.outputs.len()), (1, "b", 1));
    w.settle();
    // When the whole one was trimmed after use the short one does not take its place.
    let state = retired(&w);
    w.state("b", "x_20240301.dat", state);
    assert_eq!(w.next_of("pull", "dsm=x").there, There::Done);
}

#[test]
fn notes_do_not_stop_a_step() {
    let mut text = SETS.replace("to = \"site\"", "to = \"site\"\nfollow = \"append\"\nexecutor = \"slurm\"");
    text = text.replace(
        "[keeps.disk]",
        "[steps.more]\nat = \"site\"\ntakes = \"dmap\"\ndoes = \"publish {in}\"\n[keeps.disk]",
    );
    let known = vec!["superdarn to-dmap".to_owned()];
    let settings = Settings { known_verbs: known, ..Settings::default() };
    let parsed = parse(&Source::new("f.toml", text), &settings, &thalweg_flow::Nowhere);
    let Ok(parsed) = parsed else { panic!("the flow is valid, with notes") };
    let mut w = World::new(parsed.flow, at("2025-05-05T06:00:00Z"));
    w.arrive("radar", "20250505.0200.sas.0.h5", Arrival::default());
    w.arrive("radar", "20250505.0400.sas.0.h5", Arrival::default());
    w.settle();
    assert_eq!(w.next_of("to-site", "02:00").there, There::Done);
    let e = w.next_of("more", "02:00");
    assert_eq!((e.next, e.reason.code.as_str()), (Next::Blocked, "unsupported"));
}

#[test]
fn a_role_whose_fields_are_computed() {
    let text = LATE.replace("match = [\"site\", \"gps\"]", "match = { site = \"site\", gps = \"gps - 3600\" }");
    let mut w = world(&text, "2008-07-04T03:00:00Z");
    w.arrive("archive", "trend/H-899168400-3600.gwf", Arrival::default());
    w.arrive("archive", "trend/L-899168400-3600.gwf", Arrival::default());
    assert_eq!(w.next_of("minute", "site=H").next, Next::Waiting);
    // The one of its own hour does not fit, that of the hour before does; the world watches that it wakes just this key.
    w.arrive("archive", "dmt/H-899168400-3600.gwf", Arrival::default());
    assert_eq!(w.next_of("minute", "site=H").next, Next::Waiting);
    w.arrive("archive", "dmt/H-899164800-3600.gwf", Arrival::default());
    assert_eq!(w.next_of("minute", "site=H").next, Next::Ready);
    assert_eq!(w.next_of("minute", "site=L").next, Next::Waiting);
}
