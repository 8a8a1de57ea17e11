//! The kinds of steps: cells, roles, `many`, `update`, `move`, `edits`, `needs`, rounds.

use crate::workshop::Workshop;

const CELLS: &str = r#"
flow = "cells"
[stations.here]
root = "data"
[products.hour]
path = "in/{site}-{time:%Y%m%d%H}.txt"
span = "1h"
[products.late]
path = "late/{site}-{time:%Y%m%d%H}.txt"
span = "1h"
[products.day]
path = "day/{site}-{time:%Y%m%d}.txt"
span = "1d"
[steps.day]
at = "here"
takes = "hour"
per = ["site", "1d"]
with.late = { product = "late", match = "overlap", wait = "0s", late = "upgrade" }
makes = "day"
does = { run = ["sh", "-c", "out=$1; shift; cat \"$@\" > $out", "sh", "{out}", "{in}", "{in.late}"] }
"#;

#[test]
fn a_cell_is_made_from_what_is_there_and_again_when_more_comes() {
    let shop = Workshop::new(CELLS);
    shop.write("data/in/sas-2026010100.txt", "a");
    shop.write("data/in/sas-2026010101.txt", "b");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    assert_eq!(shop.read("data/day/sas-20260101.txt").as_deref(), Some("ab"));
    shop.write("data/late/sas-2026010105.txt", "L");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    assert_eq!(shop.read("data/day/sas-20260101.txt").as_deref(), Some("abL"));
    let (outcome, _) = shop.once();
    assert_eq!(outcome.done, 0);
}

const MANY: &str = r#"
flow = "many"
[stations.here]
root = "data"
[products.tm]
path = "tm/{name}.txt"
[products.daily]
path = "days/{time:%Y}/{time:%Y%m%d}.txt"
span = "1d"
[steps.daily]
at = "here"
takes = "tm"
makes = { product = "daily", many = true, update = true }
does = { run = ["python3", "{$tool}", "{out}", "{in.new}"] }
[params]
tool = "TOOL"
"#;

// Reads lines `YYYYMMDD value`, and writes for each day all values that were ever given for it, sorted, once each.
const TOOL: &str = r#"
import os, sys
out, days = sys.argv[1], {}
for name in sys.argv[2:]:
    for line in open(name):
        day, value = line.split()
        days.setdefault(day, set()).add(value)
for day, values in days.items():
    path = os.path.join(out, day[:4], day + ".txt")
    if os.path.exists(path):
        values |= set(open(path).read().split())
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "w").write("\n".join(sorted(values)) + "\n")
"#;

fn many() -> Workshop {
    let mut shop = Workshop::new("");
    shop.write("tool.py", TOOL);
    let tool = shop.path("tool.py").display().to_string();
    shop.flow = MANY.replace("tool = \"TOOL\"", &format!("tool = {tool:?}"));
    shop
}

#[expect(clippy::print_stderr, reason = "what was skipped is said out loud")]
fn python() -> bool {
    let there = std::process::Command::new("python3").arg("--version").output().is_ok();
    if !there {
        eprintln!("skipped: python3 not present");
    }
    there
}

#[test]
fn an_update_product_grows_with_each_contribution_in_any_order() {
    if !python() {
        return;
    }
    let shop = many();
    shop.write("data/tm/a.txt", "20260101 1\n20260102 2\n");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    shop.write("data/tm/b.txt", "20260101 3\n");
    shop.write("data/tm/c.txt", "20260102 4\n20260103 5\n");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (2, 0), "{events:#?}");
    assert_eq!(shop.read("data/days/2026/20260101.txt").as_deref(), Some("1\n3\n"));
    assert_eq!(shop.read("data/days/2026/20260102.txt").as_deref(), Some("2\n4\n"));
    assert_eq!(shop.read("data/days/2026/20260103.txt").as_deref(), Some("5\n"));
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 0), "{events:#?}");
}

#[test]
fn a_changed_contribution_and_a_lost_file_are_built_afresh() {
    if !python() {
        return;
    }
    let shop = many();
    shop.write("data/tm/a.txt", "20260101 1\n");
    shop.write("data/tm/b.txt", "20260101 3\n");
    shop.once();
    assert_eq!(shop.read("data/days/2026/20260101.txt").as_deref(), Some("1\n3\n"));
    shop.write("data/tm/a.txt", "20260101 99\n");
    let (outcome, events) = shop.once();
    assert_eq!(outcome.failed, 0, "{events:#?}");
    assert_eq!(shop.read("data/days/2026/20260101.txt").as_deref(), Some("3\n99\n"), "{events:#?}");
    shop.remove("data/days/2026/20260101.txt");
    let (outcome, events) = shop.once();
    assert_eq!(outcome.failed, 0, "{events:#?}");
    assert_eq!(shop.read("data/days/2026/20260101.txt").as_deref(), Some("3\n99\n"), "{events:#?}");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 0), "{events:#?}");
}

const GATE: &str = r#"
flow = "gate"
[stations.here]
root = "data"
[stations.away]
root = "away"
dropbox = true
[stations.mirror]
root = "mirror"
[products.raw]
path = "in/{cpid:int}-{name}.dat"
[products.special]
path = "special/{cpid:int}-{name}.dat"
[steps.intact]
at = "here"
takes = "raw"
does = { run = ["sh", "-c", "grep -q bad $1 && exit 65; exit 0", "sh", "{in}"] }
[steps.distribute]
at = "here"
takes = "raw"
if = "cpid in [151, 157]"
needs = ["intact"]
does = "send"
to = ["away", "mirror"]
[steps.special]
at = "here"
takes = "raw"
if = "not (cpid in [151, 157])"
needs = ["intact"]
makes = "special"
does = "move"
"#;

#[test]
fn a_file_goes_on_only_when_the_step_it_needs_is_done() {
    let shop = Workshop::new(GATE);
    shop.write("data/in/151-a.dat", "good");
    shop.write("data/in/151-b.dat", "bad");
    shop.write("data/in/3800-c.dat", "other");
    let (outcome, events) = shop.once();
    assert_eq!(outcome.quarantined, 1, "{events:#?}");
    assert_eq!(shop.files("away"), ["in/151-a.dat"], "{events:#?}");
    assert_eq!(shop.files("mirror"), ["in/151-a.dat"]);
    assert_eq!(
        shop.files("data"),
        ["in/151-a.dat", "quarantine/in/151-b.dat", "quarantine/in/151-b.dat.report.json", "special/3800-c.dat"]
    );
    shop.remove("away/in/151-a.dat");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 0), "what an owner takes from a dropbox is delivered: {events:#?}");
}

const SAME: &str = r#"
flow = "same"
[stations.here]
root = "data"
[products.raw]
path = "in/{a}-{b}.dat"
[products.made]
path = "out/{a}.dat"
[steps.make]
at = "here"
takes = "raw"
makes = "made"
does = { run = ["cp", "{in}", "{out}"] }
"#;

#[test]
fn two_keys_never_write_the_same_file() {
    let shop = Workshop::new(SAME);
    shop.write("data/in/x-1.dat", "one");
    shop.write("data/in/x-2.dat", "two");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.blocked), (1, 1), "{events:#?}");
    let (outcome, _) = shop.once();
    assert_eq!((outcome.done, outcome.blocked), (0, 1));
}

const EDITS: &str = r#"
flow = "edits"
[stations.here]
root = "data"
[products.raw]
path = "in/{name}_V{version:int(2)}{u:U|}.txt"
version = "version"
labels = ["u"]
[steps.publish]
at = "here"
takes = "raw"
edits = true
does = { run = ["sh", "-c", "echo published >> $1; case $1 in *U.txt) mv $1 ${{1%U.txt}}.txt;; esac", "sh", "{in}"] }
"#;

#[test]
fn a_step_that_edits_its_input_does_so_once() {
    let shop = Workshop::new(EDITS);
    shop.write("data/in/a_V01U.txt", "A\n");
    shop.write("data/in/b_V01.txt", "B\n");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (2, 0), "{events:#?}");
    assert_eq!(shop.read("data/in/a_V01.txt").as_deref(), Some("A\npublished\n"));
    assert_eq!(shop.read("data/in/b_V01.txt").as_deref(), Some("B\npublished\n"));
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 0), "{events:#?}");
}

#[test]
fn a_step_by_the_clock_makes_up_a_missed_moment_once() {
    let flow = GATE
        .split("[steps.distribute]")
        .next()
        .unwrap_or_default()
        .replace("takes = \"raw\"\ndoes", "takes = \"raw\"\nwhen = { every = \"1h\" }\ndoes");
    let shop = Workshop::new(&flow);
    shop.write("away/owner", "");
    shop.write("mirror/owner", "");
    shop.write("data/in/1-a.dat", "x");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    shop.write("data/in/1-b.dat", "y");
    let (outcome, _) = shop.once();
    assert_eq!((outcome.done, outcome.waiting), (0, 1), "the next moment is an hour away");
}

#[test]
fn a_lost_version_is_made_again_though_an_older_one_lies_beside_it() {
    if !python() {
        return;
    }
    let mut shop = many();
    shop.flow = shop
        .flow
        .replace("path = \"days/{time:%Y}/{time:%Y%m%d}.txt\"", "path = \"days/{time:%Y%m%d}_V{version:int(2)}.txt\"")
        .replace("span = \"1d\"", "span = \"1d\"\nversion = \"version\"");
    let tool = TOOL.replace("os.path.join(out, day[:4], day + \".txt\")", "os.path.join(out, day + \"_VNN.txt\")");
    shop.write("tool.py", &tool.replace("NN", "01"));
    shop.write("data/tm/a.txt", "20260101 1\n");
    shop.write("data/tm/b.txt", "20260101 3\n");
    shop.once();
    assert_eq!(shop.read("data/days/20260101_V01.txt").as_deref(), Some("1\n3\n"));
    shop.write("tool.py", &tool.replace("NN", "02"));
    shop.flow = shop.flow.replace("takes = \"tm\"", "takes = \"tm\"\nversion = 2");
    let (_, events) = shop.once();
    assert_eq!(shop.read("data/days/20260101_V02.txt").as_deref(), Some("1\n3\n"), "{events:#?}");
    shop.remove("data/days/20260101_V02.txt");
    let (outcome, events) = shop.once();
    assert_eq!(outcome.failed, 0, "{events:#?}");
    assert_eq!(shop.read("data/days/20260101_V02.txt").as_deref(), Some("1\n3\n"), "{events:#?}");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 0), "{events:#?}");
}
