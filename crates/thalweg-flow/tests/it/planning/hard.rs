//! What was hard on paper, each point by its name.

use std::collections::{BTreeMap, BTreeSet};

use rstest::rstest;
use thalweg_core::units::parse_duration;
use thalweg_core::{RelPath, TimeRange, Timestamp, Value};
use thalweg_flow::planner::backward::{Wanted, plan_backward};
use thalweg_flow::planner::keep::may_delete;
use thalweg_flow::planner::{Facts, FileState, Listing, Next, Origin, Readiness, There, readiness};
use thalweg_flow::{Settings, Source, parse};

use super::cases::flow_of;
use super::world::{Arrival, Many, World};

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn world(flow: &str, now: &str) -> World {
    world_with(flow, now, &[])
}

pub(super) fn world_with(flow: &str, now: &str, texts: &[(&str, &str)]) -> World {
    let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let mut world = World::new(flow_of("flow.toml", flow, &texts), at(now));
    world.watch_touched = true;
    world
}

pub(super) fn file(content: &str) -> Arrival {
    Arrival { content: Some(content.to_owned()), ..Arrival::default() }
}

pub(super) fn retired(world: &World) -> FileState {
    FileState::Retired { by: "keep".into(), at: world.facts.now }
}

pub(super) fn covering(from: &str, to: &str) -> Arrival {
    Arrival { covers: Some(TimeRange::new(at(from), at(to))), ..Arrival::default() }
}

pub(crate) const SETS: &str = r#"
flow = "sets"
[stations]
radar = { root = "/radar" }
site = { root = "/site" }
campus = { root = "/campus" }
[products.raw]
path = "{time:%Y%m%d.%H%M}.{site:[a-z]{3}}.{slice:int}.h5"
span = "2h"
ready = { not_newest = ["site"], closed = true }
[products.dmap]
path = "dmap/{time:%Y%m%d.%H%M}.{site:[a-z]{3}}.{slice:letter}.bz2"
span = "2h"
[steps.to-site]
at = "radar"
takes = "raw"
does = "send"
to = "site"
[steps.convert]
at = "site"
takes = "raw"
makes = "dmap"
does = "superdarn to-dmap {in} -o {out}"
[steps.to-campus]
at = "site"
takes = "dmap"
does = "send"
to = "campus"
[keeps.disk]
at = "radar"
products = ["raw"]
delete = "at_once"
keep_newest = { count = 1, per = ["site"] }
only_if = "dmap receipted at campus"
"#;

#[test]
fn point_1_the_newest_set_is_held() {
    let mut w = world(SETS, "2025-05-05T06:00:00Z");
    w.arrive("radar", "20250505.0400.sas.0.h5", Arrival::default());
    w.arrive("radar", "20250505.0400.sas.1.h5", Arrival { open: true, ..Arrival::default() });
    w.settle();
    assert_eq!(w.next_of("to-site", "slice=0").reason.code, "not_newest");
    assert_eq!(w.next_of("to-site", "slice=1").reason.code, "open");
    // The older set's late slice goes while the newest is held.
    w.arrive("radar", "20250505.0200.sas.0.h5", Arrival::default());
    w.settle();
    assert_eq!(w.next_of("to-site", "02:00").there, There::Done);
    // A name of 2070, or of 1970, releases nothing and is itself held.
    w.arrive("radar", "20700101.0000.sas.0.h5", Arrival::default());
    w.arrive("radar", "19700101.0000.sas.0.h5", Arrival::default());
    w.settle();
    assert_eq!(w.next_of("to-site", "2070").reason.code, "suspect");
    assert_eq!(w.next_of("to-site", "1970").reason.code, "suspect");
    assert_eq!(w.next_of("to-site", "slice=0,time=2025-05-05T04").reason.code, "not_newest");
    // A later set releases the closed slice; the other goes when it closes.
    w.arrive("radar", "20250505.0600.sas.0.h5", Arrival { open: true, ..Arrival::default() });
    w.settle();
    assert_eq!(w.next_of("to-site", "slice=0,time=2025-05-05T04").there, There::Done);
    assert_eq!(w.next_of("to-site", "slice=1,time=2025-05-05T04").reason.code, "open");
    // A delivered copy is the newest at its station and is not held there.
    let copy = w.facts.file_at("site", &RelPath::from_text("20250505.0400.sas.0.h5")).unwrap();
    assert_eq!(copy.origin, Origin::Delivered);
    assert_eq!(readiness(&w.flow.products["raw"], &copy, &w.facts), Readiness::Yes);
    assert_eq!(w.next_of("convert", "04:00").there, There::Done);
}

#[test]
fn a_file_of_the_future_is_nobodys_newest_for_a_keep() {
    let mut w = world(SETS, "2025-05-05T06:00:00Z");
    w.arrive("radar", "20250505.0200.sas.0.h5", Arrival::default());
    w.arrive("radar", "20250505.0400.sas.0.h5", Arrival::default());
    w.settle();
    let keep = w.flow.keeps["disk"].clone();
    let path = RelPath::from_text("20250505.0400.sas.0.h5");
    w.change("radar", path.as_str(), |file| {
        file.state = FileState::Present;
        file.hash = Some(super::world::digest(&["x"]));
    });
    w.settle();
    w.arrive("radar", "20700101.0000.sas.0.h5", Arrival::default());
    let held = w.facts.file_at("radar", &path).unwrap();
    assert_eq!(may_delete(&w.flow, &keep, &held, &w.facts).unwrap_err().code, "keep_newest");
}

pub(crate) const LATE: &str = r#"
flow = "late"
[stations]
archive = { root = "/archive" }
relay = { root = "/relay" }
[products.trend]
path = "trend/{site:H|L}-{gps:gps}-3600.gwf"
span = "1h"
[products.dmt]
path = "dmt/{site:H|L}-{gps:gps}-3600.gwf"
span = "1h"
[products.rds]
path = "rds/{site:H|L}-{gps:gps}-3600.gwf"
span = "1h"
[steps.minute]
at = "relay"
takes = "trend"
from = "archive"
per = ["site", { gps = 3600 }]
with.dmt = { product = "dmt", from = "archive", match = ["site", "gps"], wait = "2h" }
makes = "rds"
does = "gwf copy {-i in} {-i in.dmt} -o {out}"
[keeps.old]
at = "relay"
products = ["rds"]
delete = { older_than = "90d" }
"#;

#[test]
fn point_2_a_late_input_and_retention() {
    let mut w = world(LATE, "2008-07-04T01:00:00Z");
    w.arrive("archive", "trend/H-899164800-3600.gwf", Arrival::default());
    w.settle();
    let wait = w.next_of("minute", "site=H");
    assert_eq!((wait.next, wait.reason.until), (Next::Waiting, Some(at("2008-07-04T03:00:00Z"))));
    w.after(parse_duration("2h").unwrap());
    w.settle();
    assert_eq!(w.next_of("minute", "site=H").there, There::Partial);
    // The archive trims what was used: nothing becomes stale.
    let state = retired(&w);
    w.state("archive", "trend/H-899164800-3600.gwf", state);
    w.settle();
    assert_eq!(w.next_of("minute", "site=H").there, There::Partial);
    // What comes now cannot be taken in without losing the rest.
    w.arrive("archive", "dmt/H-899164800-3600.gwf", Arrival::default());
    w.settle();
    let e = w.next_of("minute", "site=H");
    assert_eq!((e.there, e.next, e.reason.code.as_str()), (There::Stale, Next::Blocked, "retired_input"));
    assert!(e.reason.text.contains("dmt/H-899164800-3600.gwf has come since"), "{}", e.reason.text);
    assert!(e.reason.text.contains("trend/H-899164800-3600.gwf"), "{}", e.reason.text);
    // A new version of the step makes nothing poorer either.
    w.flow.steps.get_mut("minute").unwrap().version = 2;
    assert_eq!(w.next_of("minute", "site=H").next, Next::Blocked);
    // When the source is back it is made from both.
    w.arrive("archive", "trend/H-899164800-3600.gwf", Arrival::default());
    w.settle();
    let e = w.next_of("minute", "site=H");
    assert_eq!((e.there, e.next), (There::Done, Next::Nothing));
    assert_eq!(w.facts.last_done(&e.key).unwrap().inputs.len(), 2);
}

#[test]
fn an_input_that_is_being_rewritten_is_waited_for() {
    let mut w = world(LATE, "2008-07-04T01:00:00Z");
    w.arrive("archive", "trend/H-899164800-3600.gwf", Arrival::default());
    w.after(parse_duration("2h").unwrap());
    w.settle();
    w.arrive("archive", "trend/H-899164800-3600.gwf", Arrival { open: true, ..file("more") });
    w.arrive("archive", "dmt/H-899164800-3600.gwf", Arrival::default());
    w.settle();
    let e = w.next_of("minute", "site=H");
    assert_eq!((e.there, e.next, e.reason.code.as_str()), (There::Stale, Next::Waiting, "open"));
}

#[test]
fn what_a_rule_removed_stays_removed_whatever_comes() {
    let mut w = world(LATE, "2008-07-04T01:00:00Z");
    w.arrive("archive", "trend/H-899164800-3600.gwf", Arrival::default());
    w.after(parse_duration("2h").unwrap());
    w.settle();
    let state = retired(&w);
    w.state("relay", "rds/H-899164800-3600.gwf", state);
    w.arrive("archive", "dmt/H-899164800-3600.gwf", Arrival::default());
    w.arrive("archive", "trend/H-899164800-3600.gwf", file("reprocessed"));
    w.flow.steps.get_mut("minute").unwrap().version = 2;
    w.settle();
    let e = w.next_of("minute", "site=H");
    assert_eq!((e.there, e.next), (There::Retired, Next::Nothing));
    // But what is gone without a rule is made again.
    w.state("relay", "rds/H-899164800-3600.gwf", FileState::Gone { at: at("2008-07-04T04:00:00Z") });
    assert_eq!(w.next_of("minute", "site=H").next, Next::Ready);
}

pub(crate) const MERGE: &str = r#"
flow = "merge"
[params]
dsms = { file = "dsms.txt" }
[stations.server]
root = "/data"
[products.local]
path = "raw/{dsm:[a-z]+}_{time:%Y%m%d_%H%M%S}.dat"
format = "nidas"
covers = "content"
ready = "closed"
[products.merged]
path = "merge/{time:%Y%m%d_%H%M%S}.dat"
span = "8h"
[steps.merge]
at = "server"
takes = "local"
per = "8h"
complete = { each = { dsm = "$dsms" }, covered_past_end = true, or_after = "24h" }
makes = "merged"
does = "nidas merge {-i in} -o {out}"
"#;

pub(crate) const THREE: &[(&str, &str)] = &[("dsms.txt", "a\nb\nc\n")];

fn day(w: &mut World, dsm: &str) {
    let arrival = covering("2017-05-04T00:00:00Z", "2017-05-04T08:30:00Z");
    w.arrive("server", &format!("raw/{dsm}_20170504_000000.dat"), arrival);
}

#[test]
fn point_3_a_logger_that_is_taken_off_the_list() {
    let mut w = world_with(MERGE, "2017-05-04T09:00:00Z", THREE);
    day(&mut w, "a");
    day(&mut w, "b");
    w.settle();
    let e = w.next_of("merge", "2017-05-04T00");
    assert_eq!(
        (e.next, e.reason.code.as_str(), e.reason.until),
        (Next::Waiting, "incomplete", Some(at("2017-05-05T09:00:00Z")))
    );
    let two = BTreeMap::from([("dsms.txt".to_owned(), "a\nb\n".to_owned())]);
    let mut other = w.clone();
    other.flow = flow_of("flow.toml", MERGE, &two);
    other.watch_touched = false;
    other.settle();
    assert_eq!(other.next_of("merge", "2017-05-04T00").there, There::Done);
    // What was made without it is partial while it is expected, and done when it is not any more.
    w.at(at("2017-05-05T09:00:00Z"));
    w.settle();
    let e = w.next_of("merge", "2017-05-04T00");
    assert_eq!((e.there, e.there_because.unwrap().text.as_str()), (There::Partial, "made without dsm=c"));
    w.flow = flow_of("flow.toml", MERGE, &two);
    w.watch_touched = false;
    assert_eq!(w.next_of("merge", "2017-05-04T00").there, There::Done);
    // Its files still belong to the cells that they cover.
    day(&mut w, "c");
    w.settle();
    assert_eq!(w.facts.last_done(&w.next_of("merge", "2017-05-04T00").key).unwrap().inputs.len(), 3);
}

#[rstest]
#[case::ahead("raw/c_20180504_000000.dat")]
#[case::behind("raw/c_20160504_000000.dat")]
fn point_3_a_clock_that_jumped_a_year(#[case] path: &str) {
    let mut w = world_with(MERGE, "2017-05-04T09:00:00Z", THREE);
    day(&mut w, "a");
    day(&mut w, "b");
    w.arrive("server", "raw/c_20170504_000000.dat", covering("2017-05-04T00:00:00Z", "2017-05-04T03:00:00Z"));
    w.arrive("server", path, Arrival::default());
    w.settle();
    // Neither does it count as reaching past the cell's end, nor is it in the cell.
    let e = w.next_of("merge", "2017-05-04T00");
    assert_eq!((e.next, e.reason.code.as_str()), (Next::Waiting, "incomplete"));
    assert!(e.reason.text.starts_with("dsm c does not reach past"), "{}", e.reason.text);
    let ahead = path.contains("2018");
    assert!(!w.keys().iter().any(|key| key.text().starts_with("2018")));
    assert_eq!(w.keys().iter().any(|key| key.text().starts_with("2016")), !ahead);
    // After an outage of two days the series goes on, which completes the cell in which it broke off.
    w.at(at("2017-05-06T09:00:00Z"));
    let mut late = world_with(MERGE, "2017-05-04T09:00:00Z", THREE);
    day(&mut late, "a");
    day(&mut late, "b");
    late.arrive("server", "raw/c_20170504_000000.dat", covering("2017-05-04T00:00:00Z", "2017-05-04T03:00:00Z"));
    late.settle();
    late.flow.steps.get_mut("merge").unwrap().complete = without_end(&late);
    late.at(at("2017-05-06T09:00:00Z"));
    assert_eq!(late.next_of("merge", "2017-05-04T00").next, Next::Waiting);
    late.settle();
    late.arrive("server", "raw/c_20170506_080000.dat", covering("2017-05-06T08:00:00Z", "2017-05-06T09:00:00Z"));
    late.settle();
    assert_eq!(late.next_of("merge", "2017-05-04T00").there, There::Done);
}

fn without_end(w: &World) -> thalweg_flow::Complete {
    match &w.flow.steps["merge"].complete {
        thalweg_flow::Complete::Each { each, covered_past_end, .. } => {
            thalweg_flow::Complete::Each { each: each.clone(), covered_past_end: *covered_past_end, or_after: None }
        }
        other => other.clone(),
    }
}

#[test]
fn or_after_needs_a_listing_that_succeeded() {
    let mut w = world_with(MERGE, "2017-05-04T09:00:00Z", THREE);
    day(&mut w, "a");
    w.facts
        .listings
        .insert("server".into(), Listing { last_ok: Some(w.facts.now), failing: Some("stale mount".into()) });
    w.at(at("2017-05-06T09:00:00Z"));
    let e = w.next_of("merge", "2017-05-04T00");
    assert_eq!((e.next, e.reason.code.as_str()), (Next::Waiting, "silent_station"));
}

pub(crate) const DAYS: &str = r#"
flow = "days"
[stations.pipeline]
root = "/data"
[products.tm]
path = "tm/{days}_{n:int}.xml"
[products.l0]
path = "l0/{day}_V{version:int(2)}.fits"
version = "version"
[products.plain]
path = "plain/{day}.fits"
[steps.level-0]
at = "pipeline"
takes = "tm"
makes = { product = "l0", many = true, update = true }
does = "stix process {in.new} -o {out}"
[steps.level-p]
at = "pipeline"
takes = "tm"
makes = { product = "plain", many = true, update = true }
does = "stix process {in.new} -o {out}"
"#;

pub(crate) fn days() -> World {
    let mut w = world(DAYS, "2024-03-01T00:00:00Z");
    for product in ["l0", "plain"] {
        w.many.insert(product.into(), Many::Split { from: "days".into(), to: "day".into() });
    }
    w
}

/// Every `update` file holds just the inputs that are there, whoever worked them in.
pub(crate) fn holds_what_is_there(w: &World) {
    for file in w.facts.files.iter().filter(|file| file.is_usable() && file.product != "tm") {
        let day = file.fields["day"].to_string();
        let newest = w
            .facts
            .files
            .iter()
            .filter(|other| other.is_usable() && other.identity == file.identity && other.product == file.product);
        let version = |f: &thalweg_flow::planner::FileFact| f.fields.get("version").cloned();
        if newest.clone().any(|other| version(other) > version(file)) {
            continue;
        }
        let wanted: BTreeSet<_> = w
            .facts
            .files
            .iter()
            .filter(|tm| tm.product == "tm" && (tm.is_usable() || tm.was_retired()))
            .filter(|tm| tm.fields["days"].to_string().split('+').any(|part| part == day))
            .map(|tm| tm.hash.unwrap())
            .collect();
        let held = &w.holds[&file.hash.unwrap()];
        assert_eq!(*held, wanted, "{} holds other inputs than there are", file.path);
    }
}

#[test]
fn point_4_update_products() {
    let paths = ["tm/1_1.xml", "tm/1+2_2.xml", "tm/2_3.xml", "tm/2+3_4.xml"];
    let mut ends = BTreeSet::new();
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let mut w = days();
        for n in order {
            w.arrive("pipeline", paths[n], Arrival::default());
            w.settle();
        }
        holds_what_is_there(&w);
        ends.insert(format!("{:?}", w.end()));
        // Twice the same is nothing new.
        w.arrive("pipeline", paths[order[0]], Arrival::default());
        w.story.clear();
        w.settle();
        assert!(w.story.is_empty(), "{:?}", w.story);
        // A contributor changes.
        w.arrive("pipeline", "tm/2_3.xml", file("again"));
        w.settle();
        holds_what_is_there(&w);
        // A version bump in the middle of arrivals.
        w.watch_touched = false;
        for step in w.flow.steps.values_mut() {
            step.version = 2;
        }
        w.watch_touched = true;
        w.arrive("pipeline", "tm/3_5.xml", Arrival::default());
        w.settle();
        holds_what_is_there(&w);
        // A lost file is made afresh from all, a withdrawn part leaves it.
        w.state("pipeline", "plain/2.fits", FileState::Gone { at: w.facts.now });
        w.settle();
        holds_what_is_there(&w);
        w.state("pipeline", "tm/2+3_4.xml", FileState::Withdrawn);
        w.settle();
        holds_what_is_there(&w);
        assert!(w.ready().is_empty());
        assert_eq!(w.next_of("level-p", "n=1").there, There::Done);
    }
    assert_eq!(ends.len(), 1, "the order of arrival changed the end");
}

#[test]
fn an_update_goes_on_from_its_output_when_a_part_was_trimmed() {
    let mut w = days();
    w.arrive("pipeline", "tm/1_1.xml", Arrival::default());
    w.settle();
    let state = retired(&w);
    w.state("pipeline", "tm/1_1.xml", state);
    w.arrive("pipeline", "tm/1_2.xml", Arrival::default());
    w.settle();
    holds_what_is_there(&w);
    // A changed part cannot push out what nobody can work in again: it is worked onto what is there.
    w.arrive("pipeline", "tm/1_2.xml", file("again"));
    w.settle();
    let held = w.facts.file_at("pipeline", &RelPath::from_text("plain/1.fits")).unwrap().hash.unwrap();
    assert_eq!(w.holds[&held].len(), 3);
    assert!(w.ready().is_empty());
    // A part that must go, and one that cannot be had any more: it is blocked.
    w.arrive("pipeline", "tm/1_3.xml", Arrival::default());
    w.settle();
    w.state("pipeline", "tm/1_3.xml", FileState::Withdrawn);
    w.settle();
    let e = w.next_of("level-p", "n=2");
    assert_eq!((e.there, e.next, e.reason.code.as_str()), (There::Stale, Next::Blocked, "retired_input"));
}

#[test]
fn the_identity_of_an_update_is_of_its_own_inputs() {
    let mut w = days();
    for n in 1..4 {
        w.arrive("pipeline", &format!("tm/1_{n}.xml"), Arrival::default());
    }
    w.settle();
    w.arrive("pipeline", "tm/1_1.xml", file("again"));
    w.settle();
    let done = w.facts.last_done(&w.next_of("level-p", "n=1").key).unwrap();
    assert_eq!(done.inputs.len(), 1, "inputs of other keys are not its own");
}

#[test]
fn an_update_by_day_is_given_only_what_is_new() {
    let mut w = world(
        r#"
        flow = "cells"
        [stations.s]
        root = "/s"
        [products.tm]
        path = "tm/{time:%Y%m%d_%H}.xml"
        span = "1h"
        [products.day]
        path = "day/{time:%Y%m%d}.fits"
        span = "1d"
        [steps.grow]
        at = "s"
        takes = "tm"
        per = "1d"
        makes = { product = "day", update = true }
        does = "stix process {in.new} -o {out}"
        "#,
        "2024-03-01T12:00:00Z",
    );
    for hour in ["00", "01", "02"] {
        w.arrive("s", &format!("tm/20240301_{hour}.xml"), Arrival::default());
        let task = w.ready().pop().unwrap();
        assert_eq!(task.inputs.iter().filter(|input| input.new).count(), 1);
        assert_eq!(task.previous.len(), usize::from(hour != "00"));
        w.settle();
    }
    let held = w.facts.file_at("s", &RelPath::from_text("day/20240301.fits")).unwrap().hash.unwrap();
    assert_eq!(w.holds[&held].len(), 3);
    // A change of one hour builds it afresh from all three.
    w.arrive("s", "tm/20240301_01.xml", file("again"));
    let task = w.ready().pop().unwrap();
    assert!(task.previous.is_empty() && task.inputs.iter().all(|input| input.new));
    w.settle();
    let held = w.facts.file_at("s", &RelPath::from_text("day/20240301.fits")).unwrap().hash.unwrap();
    assert_eq!(w.holds[&held].len(), 3);
}

#[test]
fn point_5_two_requests_and_the_timer_want_one_task() {
    let mut w = world(
        &LATE.replace("makes = \"rds\"", "makes = \"rds\"\nwhen = { cron = \"31 * * * *\" }"),
        "2008-07-04T01:00:00Z",
    );
    w.arrive("archive", "trend/H-899164800-3600.gwf", Arrival::default());
    w.arrive("archive", "dmt/H-899164800-3600.gwf", Arrival::default());
    w.at(at("2008-07-04T01:31:00Z"));
    let span = TimeRange::new(at("2008-07-03T23:59:46Z"), at("2008-07-04T00:59:46Z"));
    let wanted = Wanted { product: "rds".into(), span, rebuild: false, partial: false };
    let by_timer = w.ready().pop().unwrap();
    let by_request = plan_backward(&w.flow, &wanted, &BTreeSet::new(), &w.facts).ready.pop().unwrap();
    assert_eq!((&by_timer.key, by_timer.identity), (&by_request.key, by_request.identity));
    // While it runs both see it run, and once it is done both have what they want.
    let name = thalweg_flow::planner::memory::MemoryFacts::name_of(&by_timer.key);
    w.facts.running.insert(name.clone(), (1, w.facts.now));
    assert_eq!(w.next_of("minute", "site=H").next, Next::Running);
    let plan = plan_backward(&w.flow, &wanted, &BTreeSet::new(), &w.facts);
    assert_eq!((plan.running.len(), plan.ready.len()), (1, 0));
    w.facts.running.clear();
    w.run(&by_timer);
    assert!(w.ready().is_empty());
    let plan = plan_backward(&w.flow, &wanted, &BTreeSet::new(), &w.facts);
    assert_eq!((plan.there.len(), plan.ready.len()), (1, 0));
    // A rebuild that was asked for is done once for the request, too.
    let rebuild = Wanted { rebuild: true, ..wanted };
    let task = plan_backward(&w.flow, &rebuild, &BTreeSet::new(), &w.facts).ready.pop().unwrap();
    w.run(&task);
    let plan = plan_backward(&w.flow, &rebuild, &BTreeSet::from([task.key]), &w.facts);
    assert_eq!((plan.there.len(), plan.ready.len()), (1, 0));
}

#[test]
fn point_6_make_over_a_mixed_span() {
    let mut w = world(LATE, "2008-07-05T00:00:00Z");
    let hours: Vec<i64> = (0..8).map(|n| 899_164_800 + 3600 * n).collect();
    // Seven hours, of which two have no DMT file; the eighth has nothing.
    for (n, gps) in hours.iter().take(7).enumerate() {
        w.arrive("archive", &format!("trend/H-{gps}-3600.gwf"), Arrival::default());
        if n != 4 && n != 5 {
            w.arrive("archive", &format!("dmt/H-{gps}-3600.gwf"), Arrival::default());
        }
    }
    w.after(parse_duration("2h").unwrap());
    w.facts.holds.insert(
        "relay".into(),
        thalweg_flow::planner::Hold {
            kind: "hold".into(),
            by: "ops".into(),
            why: "later".into(),
            since: w.facts.now,
            condition: None,
        },
    );
    w.facts.holds.clear();
    // The seventh source is corrupt before it was used.
    w.state("archive", "trend/H-899186400-3600.gwf", FileState::Quarantined { why: "bad checksum".into() });
    w.settle();
    for gps in &hours[..4] {
        let state = retired(&w);
        w.state("relay", &format!("rds/H-{gps}-3600.gwf"), state);
    }
    let span = TimeRange::new(at("2008-07-03T23:59:46Z"), at("2008-07-04T07:59:46Z"));
    let wanted = Wanted { product: "rds".into(), span, rebuild: false, partial: false };
    let plan = plan_backward(&w.flow, &wanted, &BTreeSet::new(), &w.facts);
    let count = |what: fn(&thalweg_flow::planner::Evaluation) -> bool| plan.missing.iter().filter(|e| what(e)).count();
    assert_eq!(plan.ready.len() + plan.later.len(), 0);
    assert_eq!(plan.there.len(), 2, "two partial ones are there");
    assert_eq!(count(|e| e.there == There::Retired), 4);
    assert_eq!(count(|e| e.next == Next::Quarantined), 1);
    assert_eq!(count(|e| e.reason.code == "missing_input"), 1);
    assert!(plan.sources.iter().any(|source| source.product == "trend" && source.span.end == span.end));
    // With --rebuild the retired and the partial ones are made, the corrupt and the missing one are not.
    let wanted = Wanted { rebuild: true, ..wanted };
    let plan = plan_backward(&w.flow, &wanted, &BTreeSet::new(), &w.facts);
    let without: usize = plan.ready.iter().filter(|task| !task.awaited.is_empty()).count();
    assert_eq!((plan.ready.len(), without, plan.missing.len()), (6, 2, 2));
}

pub(crate) const CHAIN: &str = r#"
flow = "chain"
[stations.s]
root = "/s"
[products.raw]
path = "raw/{time:%Y%m%d%H}.dat"
span = "1h"
[products.mid]
path = "mid/{time:%Y%m%d%H}.dat"
span = "1h"
[products.top]
path = "top/{time:%Y%m%d}.dat"
span = "1d"
[steps.first]
at = "s"
takes = "raw"
makes = "mid"
does = { run = ["one", "{in}", "{out}"] }
[steps.second]
at = "s"
takes = "mid"
per = "1d"
makes = "top"
does = { run = ["two", "{in}", "{out}"] }
"#;

#[test]
fn a_rebuild_revives_retired_inputs_where_a_step_makes_them() {
    let mut w = world(CHAIN, "2024-03-01T06:00:00Z");
    for hour in ["00", "01"] {
        w.arrive("s", &format!("raw/20240301{hour}.dat"), Arrival::default());
    }
    w.settle();
    let top = RelPath::from_text("top/20240301.dat");
    let before = w.facts.file_at("s", &top).unwrap().hash;
    let state = retired(&w);
    w.state("s", "mid/2024030100.dat", state.clone());
    w.state("s", "top/20240301.dat", state);
    w.settle();
    let span = TimeRange::new(at("2024-03-01T00:00:00Z"), at("2024-03-02T00:00:00Z"));
    let wanted = Wanted { product: "top".into(), span, rebuild: true, partial: false };
    let mut made = BTreeSet::new();
    let plan = plan_backward(&w.flow, &wanted, &made, &w.facts);
    let ready: Vec<String> = plan.ready.iter().map(|task| task.key.to_string()).collect();
    assert_eq!(ready, ["first raw(time=2024-03-01T00:00:00Z) @s"]);
    assert_eq!(plan.later.len(), 1);
    for _ in 0..2 {
        for task in plan_backward(&w.flow, &wanted, &made, &w.facts).ready {
            made.insert(task.key.clone());
            w.run(&task);
        }
    }
    assert_eq!(w.facts.file_at("s", &top).unwrap().hash, before, "the same inputs give the same product");
    assert!(plan_backward(&w.flow, &wanted, &made, &w.facts).ready.is_empty());
}

#[test]
fn a_cell_waits_for_what_the_plan_makes_first() {
    let mut w = world(CHAIN, "2024-03-01T06:00:00Z");
    w.arrive("s", "raw/2024030100.dat", Arrival::default());
    w.settle();
    w.arrive("s", "raw/2024030101.dat", Arrival::default());
    let span = TimeRange::new(at("2024-03-01T00:00:00Z"), at("2024-03-02T00:00:00Z"));
    let wanted = Wanted { product: "top".into(), span, rebuild: true, partial: false };
    let plan = plan_backward(&w.flow, &wanted, &BTreeSet::new(), &w.facts);
    assert_eq!((plan.ready.len(), plan.later.len()), (1, 1));
    assert!(
        plan.sources.iter().any(|source| source.product == "raw" && source.span.start == at("2024-03-01T02:00:00Z"))
    );
}

#[test]
fn point_7_overlapping_patterns() {
    let text = r#"
        flow = "overlap"
        [stations.s]
        root = "/s"
        [products.a]
        path = "{name}-{rest}.dat"
        [products.b]
        path = "{name}-x.dat"
        [products.a2]
        path = "out/{name}-{rest}.dat"
        [steps.a]
        at = "s"
        takes = ["a", "b"]
        does = { run = ["true", "{in}"] }
        "#;
    let parsed = parse(&Source::new("f.toml", text), &Settings::default(), &thalweg_flow::Nowhere).unwrap();
    let warning = parsed.warnings.iter().find(|problem| problem.code == "overlapping-products").unwrap();
    assert!(warning.label.contains("-x.dat"), "an example name: {}", warning.label);
    // The shortest match of the first field, and always the same product.
    let w = world(text, "2024-01-01T00:00:00Z");
    for _ in 0..3 {
        let (product, fields) = w.classify("s", &RelPath::from_text("one-two-three.dat")).unwrap();
        assert_eq!(
            (product.as_str(), &fields["name"], &fields["rest"]),
            ("a", &Value::from("one"), &Value::from("two-three"))
        );
    }
    assert_eq!(w.classify("s", &RelPath::from_text("q-x.dat")).unwrap().0, "a");
}

#[test]
fn two_paths_of_one_file_are_a_conflict() {
    let text = SETS.replace(
        "{time:%Y%m%d.%H%M}.{site:[a-z]{3}}.{slice:int}.h5",
        "{folder:a|b|}{time:%Y%m%d.%H%M}.{site:[a-z]{3}}.{slice:int}.h5\"\nlabels = [\"folder\"]#",
    );
    let mut w = world(&text.replace("labels = [\"folder\"]#", "#"), "2025-05-05T06:00:00Z");
    w.arrive("radar", "20250505.0200.sas.0.h5", Arrival::default());
    w.arrive("radar", "20250505.0400.sas.0.h5", Arrival::default());
    let mut twin = w.facts.file_at("radar", &RelPath::from_text("20250505.0200.sas.0.h5")).unwrap();
    twin.path = RelPath::from_text("copy/20250505.0200.sas.0.h5");
    w.facts.files.push(twin);
    let e = w.next_of("to-site", "02:00");
    assert_eq!((e.next, e.reason.code.as_str()), (Next::Blocked, "conflict"));
}

#[test]
fn point_8_a_silent_station_is_not_an_empty_one() {
    let mut w = world(LATE, "2008-07-04T01:00:00Z");
    w.arrive("archive", "trend/H-899164800-3600.gwf", Arrival::default());
    w.arrive("archive", "trend/H-899168400-3600.gwf", Arrival::default());
    w.arrive("archive", "dmt/H-899168400-3600.gwf", Arrival::default());
    w.facts
        .listings
        .insert("archive".into(), Listing { last_ok: Some(at("2008-07-04T01:30:00Z")), failing: Some("hangs".into()) });
    for hours in 1..100 {
        w.at(at("2008-07-04T01:00:00Z").checked_add(jiff::SignedDuration::from_hours(hours)).unwrap());
        w.settle();
        let e = w.next_of("minute", "2008-07-03T23");
        assert_eq!(e.next, Next::Waiting);
        assert_eq!(e.reason.code, if hours < 2 { "missing_input" } else { "silent_station" });
        // What is complete goes on beside it.
        assert_eq!(w.next_of("minute", "/2008-07-04T01").there, There::Done);
    }
    // A listing of before the end of the wait proves nothing; one after it does.
    w.facts.listings.insert("archive".into(), Listing { last_ok: Some(at("2008-07-04T03:00:00Z")), failing: None });
    w.settle();
    assert_eq!(w.next_of("minute", "2008-07-03T23").there, There::Partial);
}

#[test]
fn point_8_receipts_outlive_what_they_are_for() {
    let mut w = world(SETS, "2025-05-05T06:00:00Z");
    for hour in ["0000", "0200", "0400"] {
        w.arrive("radar", &format!("20250505.{hour}.sas.0.h5"), Arrival::default());
    }
    w.facts.out_of_reach.insert("campus".into(), "no route".into());
    w.settle();
    let keep = w.flow.keeps["disk"].clone();
    let raw = |w: &World, hour: &str| {
        w.facts.file_at("radar", &RelPath::from_text(format!("20250505.{hour}.sas.0.h5"))).unwrap()
    };
    assert_eq!(may_delete(&w.flow, &keep, &raw(&w, "0000"), &w.facts).unwrap_err().code, "only_if");
    w.facts.out_of_reach.clear();
    w.settle();
    assert_eq!(may_delete(&w.flow, &keep, &raw(&w, "0000"), &w.facts).unwrap().len(), 1);
    // Campus has moved it on since, by a rule: that still counts.
    let state = retired(&w);
    w.state("campus", "dmap/20250505.0000.sas.a.bz2", state);
    let proof = may_delete(&w.flow, &keep, &raw(&w, "0000"), &w.facts).unwrap();
    assert_eq!(proof[0].path, None);
    w.settle();
    assert!(w.ready().is_empty(), "it is not sent again");
    // One that vanished there without a rule does not.
    w.state("campus", "dmap/20250505.0200.sas.a.bz2", FileState::Gone { at: w.facts.now });
    assert_eq!(may_delete(&w.flow, &keep, &raw(&w, "0200"), &w.facts).unwrap_err().code, "only_if");
    // Nor does what was made from another content of the same name.
    w.arrive("radar", "20250505.0000.sas.0.h5", file("written again"));
    w.facts.out_of_reach.insert("site".into(), "no route".into());
    w.settle();
    assert!(may_delete(&w.flow, &keep, &raw(&w, "0000"), &w.facts).is_err());
}
