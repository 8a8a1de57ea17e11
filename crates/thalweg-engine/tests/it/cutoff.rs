//! Found by killing the program and by setting its clock: what a step had done to its own input when it was cut off, what
//! receipts for a product that grows are worth, and moments that are far away again.

use std::sync::Arc;

use thalweg_core::{ManualClock, Timestamp};
use thalweg_engine::{Engine, Mode, Outcome};
use thalweg_ledger::{KeyFilter, Ledger, NewRun, RunFilter, RunState};

use crate::workshop::Workshop;

const STAMP: &str = r#"
flow = "stamp"
[stations]
here = { root = "here" }
there = { root = "there" }
[products.raw]
path = "in/{name}.dat"
[steps.send]
at = "here"
takes = "raw"
does = "send"
to = "there"
[steps.stamp]
at = "there"
takes = "raw"
edits = true
does = { run = ["sh", "-c", "grep -q stamped $1 && exit 0; cat $1 > $TMPDIR/n; echo stamped >> $TMPDIR/n; mv $TMPDIR/n $1", "sh", "{in}"] }
"#;

#[test]
fn an_edit_whose_run_was_cut_off_is_no_change_from_outside() {
    cut_off(false);
}

#[test]
fn an_edit_that_was_complete_and_not_recorded_is_the_runs() {
    cut_off(true);
}

fn cut_off(journalled: bool) {
    // What the run looks like in the ledger of one that came to its end.
    let twin = Workshop::new(STAMP);
    twin.write("here/in/a.dat", "a\n");
    let (outcome, events) = twin.once();
    assert_eq!((outcome.done, outcome.failed), (2, 0), "{events:#?}");
    let reader = twin.ledger().reader().expect("a reader");
    let filter = RunFilter { step: Some("stamp".into()), ..RunFilter::default() };
    let row = reader.runs(&filter, 1).expect("rows").remove(0);
    let inputs = reader.run_inputs(row.id).expect("inputs");

    let mut shop = Workshop::new(STAMP.split("[steps.stamp]").next().expect("a part"));
    shop.write("here/in/a.dat", "a\n");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    let run = NewRun {
        step: row.step,
        step_version: row.step_version,
        station: row.station,
        key: row.key,
        identity: row.identity,
        inputs,
        started: row.started,
        attempt: 1,
        pid: None,
        host: row.host,
        program: row.program,
        command: Vec::new(),
        log: None,
        staging: None,
        partial: false,
        awaited: row.awaited,
        fresh: row.fresh,
        batch: None,
        verb_version: None,
    };
    let ledger = Ledger::create(shop.path(".thalweg/ledger.sqlite")).expect("a ledger");
    let id = ledger.write(move |tx| tx.run_start(&run)).expect("the run is recorded");
    if journalled {
        ledger.write(move |tx| tx.run_staged(id, &[]).and_then(|()| tx.run_publishing(id))).expect("a journal");
    }
    drop(ledger);
    shop.write("there/in/new", "a\nstamped\n");
    shop.rename("there/in/new", "there/in/a.dat");

    shop.flow = STAMP.to_owned();
    let (outcome, events) = shop.once();
    // One that had not come to its end is done again.
    assert_eq!((outcome.done, outcome.failed, outcome.blocked), (u64::from(!journalled), 0, 0), "{events:#?}");
    assert_eq!(shop.read("there/in/a.dat").as_deref(), Some("a\nstamped\n"));
    let reader = shop.ledger().reader().expect("a reader");
    assert_eq!(
        reader.run(id).expect("a query").expect("a run").state,
        if journalled { RunState::Done } else { RunState::Lost }
    );
    let states = |shop: &Workshop| -> Vec<(String, String)> {
        let reader = shop.ledger().reader().expect("a reader");
        let keys = reader.keys(&KeyFilter::default()).expect("keys");
        keys.into_iter().map(|key| (key.step, format!("{:?} {:?}", key.there, key.next))).collect()
    };
    assert_eq!(states(&shop), states(&twin), "the same as if it had never been cut off");
}

const GROWS: &str = r#"
flow = "grows"
[stations]
here = { root = "here" }
there = { root = "there" }
[products.raw]
path = "in/{day}.{name}.dat"
[products.day]
path = "day/{day}.txt"
[steps.day]
at = "here"
takes = "raw"
makes = { product = "day", update = true }
does = { run = ["sh", "-c", "out=$1; shift; cat $* | sort > $out", "sh", "{out}", "{in.new}", "{out.previous}"] }
[steps.send]
at = "here"
takes = "day"
does = "send"
to = "there"
[keeps.raw]
at = "here"
products = ["raw"]
delete = "at_once"
only_if = "day receipted at there"
"#;

#[test]
fn a_receipt_for_a_product_that_grew_counts_for_all_that_was_worked_into_it() {
    let shop = Workshop::new(GROWS);
    for name in ["a", "b", "c"] {
        shop.write(&format!("here/in/1.{name}.dat"), &format!("{name}\n"));
    }
    let (outcome, events) = shop.once();
    assert_eq!(outcome.failed, 0, "{events:#?}");
    assert_eq!(shop.read("there/day/1.txt").as_deref(), Some("a\nb\nc\n"));
    assert_eq!(shop.files("here/in"), Vec::<String>::new(), "all three have arrived in it: {events:#?}");
    // The receipt itself names them all, for who has only that.
    let reader = shop.ledger().reader().expect("a reader");
    let receipts = reader.receipts_after(thalweg_ledger::ReceiptId(0), 100).expect("receipts");
    let last = receipts.iter().rfind(|receipt| receipt.product == "day").expect("one");
    assert_eq!(last.inputs.len(), 3, "{:?}", last.inputs);
    // One that comes later goes when it has arrived, too, and not before.
    shop.write("here/in/1.d.dat", "d\n");
    let (outcome, events) = shop.once();
    assert_eq!(outcome.failed, 0, "{events:#?}");
    assert_eq!(shop.read("there/day/1.txt").as_deref(), Some("a\nb\nc\nd\n"));
    assert_eq!(shop.files("here/in"), Vec::<String>::new());
}

const CLOCK: &str = r#"
flow = "clock"
[stations.here]
root = "here"
[products.raw]
path = "in/{name}.dat"
ready = { quiet = "60s" }
[products.late]
path = "late/{name}.dat"
[products.copied]
path = "out/{name}.txt"
[products.hourly]
path = "hourly/{name}.txt"
[steps.copy]
at = "here"
takes = "late"
makes = "copied"
does = { run = ["sh", "-c", "[ -e $3 ] || exit 75; cp $1 $2", "sh", "{in}", "{out}", "GO"] }
retry = { times = 9, wait = "30s..60s" }
[steps.hourly]
at = "here"
takes = "raw"
makes = "hourly"
does = { run = ["cp", "{in}", "{out}"] }
when = { every = "1h" }
"#;

#[test]
fn a_clock_that_was_set_back_between_two_starts_holds_nothing_up() {
    let mut shop = Workshop::new("");
    shop.flow = CLOCK.replace("GO", &shop.path("go").display().to_string());
    let start: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a time");
    let clock = Arc::new(ManualClock::new(start));
    let once = |shop: &Workshop| -> Outcome {
        let mut setup = shop.setup();
        setup.clock = clock.clone();
        let engine = Engine::open(setup).expect("the engine opens");
        engine.run(Mode::Once, &mut |_| {}).expect("the engine runs")
    };
    let later = |seconds: i64| {
        clock.set(clock_now(&clock).checked_add(jiff::SignedDuration::from_secs(seconds)).expect("a time"))
    };
    shop.write("here/in/a.dat", "a");
    shop.write("here/late/b.dat", "b");
    assert_eq!(once(&shop).done, 0, "one settles, one is not yet to be made");
    later(3_601);
    assert_eq!(once(&shop).done, 1, "the next hourly round");
    shop.write("here/in/c.dat", "c");
    shop.write("go", "");
    later(61);
    let outcome = once(&shop);
    assert_eq!(outcome.done, 1, "the next try was due: {outcome:?}");
    shop.remove("go");
    shop.write("here/late/d.dat", "d");
    once(&shop);
    // Seven hours back: a file settles, a key waits for its next try, a step for its next round.
    clock.set(start.checked_sub(jiff::SignedDuration::from_hours(7)).expect("a time"));
    shop.write("go", "");
    let outcome = once(&shop);
    assert_eq!(shop.read("here/out/d.txt").as_deref(), Some("d"), "the next try: {outcome:?}");
    later(3_700);
    let outcome = once(&shop);
    assert_eq!(shop.read("here/hourly/c.txt").as_deref(), Some("c"), "settled, and the next round: {outcome:?}");
    assert_eq!(once(&shop).done, 0, "and nothing twice");
}

fn clock_now(clock: &ManualClock) -> Timestamp {
    use thalweg_core::Clock as _;
    clock.now()
}
