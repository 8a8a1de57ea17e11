//! Found by killing the program and by setting its clock: what a step had done to its own input when it was cut off, what
//! receipts for a product that grows are worth, and moments that are far away again.

use std::sync::Arc;

use thalweg_core::{ManualClock, Timestamp};
use thalweg_engine::{Engine, Event, Mode, Outcome};
use thalweg_ledger::{KeyFilter, Ledger, NewRun, RunState};

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
    let (run, _) = twin.last_run(Some("stamp"));

    let mut shop = Workshop::new(STAMP.split("[steps.stamp]").next().expect("a part"));
    shop.write("here/in/a.dat", "a\n");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    let run = NewRun { attempt: 1, staging: None, ..run };
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
        clock.set(clock_now(&clock).checked_add(jiff::SignedDuration::from_secs(seconds)).expect("a time"));
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

const LEAVES: &str = r#"
flow = "leaves"
[stations.here]
root = "here"
[products.raw]
path = "in/{name}.dat"
[products.made]
path = "out/{name}.txt"
[steps.make]
at = "here"
takes = "raw"
makes = "made"
does = { run = ["sh", "-c", "cp $1 $2; until [ -e GO ]; do sleep 0.01; done", "sh", "{in}", "{out}"] }
"#;

#[test]
fn a_run_whose_step_left_the_flow_meanwhile_is_recorded() {
    let mut shop = Workshop::new("");
    shop.flow = LEAVES.replace("GO", &shop.path("go").display().to_string());
    shop.write("here/in/a.dat", "a");
    let engine = Engine::open(shop.setup()).expect("the engine opens");
    let handle = engine.handle();
    let (told, events) = std::sync::mpsc::channel();
    let working = std::thread::spawn(move || engine.run(Mode::Forever, &mut |event| drop(told.send(event.clone()))));
    let next = |wanted: &dyn Fn(&Event) -> bool| {
        let limit = std::time::Duration::from_secs(20);
        std::iter::from_fn(|| events.recv_timeout(limit).ok()).any(|event| wanted(&event))
    };
    assert!(next(&|event| matches!(event, Event::RunStarted { .. })));
    let whole = std::mem::replace(&mut shop.flow, LEAVES.split("[steps.make]").next().expect("a part").to_owned());
    handle.reload(shop.setup());
    assert!(next(&|event| matches!(event, Event::Reloaded { accepted: true, .. })));
    shop.write("go", "");
    assert!(next(&|event| matches!(event, Event::RunDone { .. })), "it ends under the rules under which it began");
    handle.stop("the test is over");
    working.join().expect("it ends").expect("in order");
    assert_eq!(shop.read("here/out/a.txt").as_deref(), Some("a"));
    let reader = shop.ledger().reader().expect("a reader");
    assert!(reader.unfinished_runs().expect("rows").is_empty());
    // With the step back, its work is known to be done.
    shop.flow = whole;
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed, outcome.blocked), (0, 0, 0), "{events:#?}");
}

const FEWER: &str = r#"
flow = "fewer"
[stations.here]
root = "here"
[products.raw]
path = "in/{name}.txt"
[products.word]
path = "out/{name}/{word}.txt"
[steps.words]
at = "here"
takes = "raw"
makes = { product = "word", many = true }
does = { run = ["sh", "-c", "for word in $(cat $1); do echo $word > $2/$word.txt; done", "sh", "{in}", "{out}"] }
"#;

#[test]
fn what_a_key_does_not_make_any_more_goes_with_an_audit() {
    let shop = Workshop::new(FEWER);
    shop.write("here/in/a.txt", "one two three");
    shop.write("here/in/b.txt", "two");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (2, 0), "{events:#?}");
    assert_eq!(shop.files("here/out"), ["a/one.txt", "a/three.txt", "a/two.txt", "b/two.txt"]);
    shop.write("here/in/a.txt", "two four");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    assert_eq!(shop.files("here/out"), ["a/four.txt", "a/two.txt", "b/two.txt"]);
    let reader = shop.ledger().reader().expect("a reader");
    let audit = reader.retirements(&thalweg_ledger::RetirementFilter::default()).expect("rows");
    let mut gone: Vec<(&str, &str)> = audit.iter().map(|row| (row.path.as_str(), row.keep.as_str())).collect();
    gone.sort_unstable();
    assert_eq!(gone, [("out/a/one.txt", "step words"), ("out/a/three.txt", "step words")]);
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 0), "{events:#?}");
}
