//! What begins at moments and within hours: steps, keeps, checks.

use std::sync::Arc;

use thalweg_core::{ManualClock, Timestamp};
use thalweg_engine::checks::{Level, last_look, stands};
use thalweg_engine::{Engine, Event, Mode, Outcome, Places, Request, carry_out};

use crate::workshop::Workshop;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

struct Turned {
    shop: Workshop,
    clock: Arc<ManualClock>,
}

impl Turned {
    fn new(flow: &str) -> Self {
        Self { shop: Workshop::new(flow), clock: Arc::new(ManualClock::new(at("2026-01-01T12:00:00Z"))) }
    }

    fn setup(&self) -> thalweg_engine::Setup {
        thalweg_engine::Setup { clock: self.clock.clone(), ..self.shop.setup() }
    }

    fn once(&self, now: &str) -> (Outcome, Vec<Event>) {
        self.clock.set(at(now));
        let mut events = Vec::new();
        let engine = Engine::open(self.setup()).expect("the engine opens");
        let outcome = engine.run(Mode::Once, &mut |event| events.push(event.clone())).expect("the engine runs");
        (outcome, events)
    }
}

const NIGHTLY: &str = r#"
flow = "nightly"
[stations.here]
root = "data"
[products.raw]
path = "raw/{n:int}.txt"
[products.made]
path = "made/{n:int}.txt"
[steps.make]
at = "here"
takes = "raw"
makes = "made"
hours = "22:00-06:00"
zone = "America/Regina"
does = { run = ["cp", "{in}", "{out}"] }
"#;

#[test]
fn a_step_begins_tasks_within_its_hours_only() {
    let turned = Turned::new(NIGHTLY);
    turned.shop.write("data/raw/1.txt", "1");
    // Six in the morning there; the hours are over.
    let (outcome, _) = turned.once("2026-01-01T12:00:00Z");
    assert_eq!((outcome.done, outcome.waiting), (0, 1));
    let reader = turned.shop.ledger().reader().expect("a reader");
    let key = reader.keys(&thalweg_ledger::KeyFilter::default()).expect("keys").remove(0);
    assert_eq!(key.reason["code"], "hours", "{key:?}");
    assert_eq!(key.wake, Some(at("2026-01-02T04:00:00Z")), "it is woken when they begin");
    let (outcome, _) = turned.once("2026-01-02T04:00:00Z");
    assert_eq!(outcome.done, 1);
    turned.shop.write("data/raw/2.txt", "2");
    let wanted = thalweg_flow::planner::backward::Wanted {
        product: "made".into(),
        span: thalweg_core::TimeRange::new(at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z")),
        rebuild: false,
        partial: false,
    };
    turned.clock.set(at("2026-01-02T15:00:00Z"));
    let made = carry_out(&turned.setup(), Request::Make(wanted), &mut |_| {}).expect("it is carried out");
    assert_eq!(made.done, 1, "who asks for it does not wait for the night");
}

#[test]
fn a_step_says_when_it_can_begin_and_not_when_its_timer_goes_off() {
    // Nine in the evening there, outside the hours.
    let flow = NIGHTLY.replace("hours =", "when = { cron = \"0 3 * * *\", zone = \"UTC\" }\nhours =");
    let turned = Turned::new(&flow);
    turned.shop.write("data/raw/1.txt", "1");
    let (outcome, _) = turned.once("2026-01-02T05:00:00Z");
    assert_eq!(outcome.done, 0);
    let reader = turned.shop.ledger().reader().expect("a reader");
    let key = reader.keys(&thalweg_ledger::KeyFilter::default()).expect("keys").remove(0);
    assert_eq!((key.reason["code"].as_str(), key.wake), (Some("moment"), Some(at("2026-01-03T04:00:00Z"))));
}

#[test]
fn a_moment_outside_the_hours_is_made_up_when_they_begin() {
    let flow = NIGHTLY.replace("hours =", "when = { cron = \"0 0 * * *\" }\nhours =");
    let turned = Turned::new(&flow);
    turned.shop.write("data/raw/1.txt", "1");
    // The day's first moment is midnight UTC: six in the evening there.
    turned.once("2026-01-01T12:00:00Z");
    assert_eq!(turned.once("2026-01-02T00:30:00Z").0.done, 0, "it is not night there yet");
    assert_eq!(turned.once("2026-01-02T04:30:00Z").0.done, 1);
    turned.shop.write("data/raw/2.txt", "2");
    assert_eq!(turned.once("2026-01-02T05:30:00Z").0.done, 0, "the moment is done");
}

fn keep(rule: &str) -> Turned {
    let flow = format!(
        "flow = \"keep\"\n[stations.here]\nroot = \"data\"\n[products.raw]\npath = \"raw/{{n:int}}.txt\"\n[keeps.raw]\nat = \"here\"\nproducts = [\"raw\"]\ndelete = \"at_once\"\n{rule}\n"
    );
    let turned = Turned::new(&flow);
    turned.shop.write("data/raw/1.txt", "1");
    turned
}

#[test]
fn a_keep_with_a_clock_deletes_at_its_moments_and_makes_up_a_missed_one_once() {
    let turned = keep("when = { cron = \"0 3 * * *\" }");
    turned.once("2026-01-01T12:00:00Z");
    turned.once("2026-01-02T02:59:00Z");
    assert_eq!(turned.shop.files("data/raw").len(), 1, "its moment has not come");
    turned.once("2026-01-05T09:00:00Z");
    assert_eq!(turned.shop.files("data/raw").len(), 0, "it was missed four times");
    turned.shop.write("data/raw/2.txt", "2");
    turned.once("2026-01-05T10:00:00Z");
    turned.once("2026-01-06T02:00:00Z");
    assert_eq!(turned.shop.files("data/raw").len(), 1, "and is made up once");
    turned.once("2026-01-06T03:00:00Z");
    assert_eq!(turned.shop.files("data/raw").len(), 0);
}

#[test]
fn a_keep_with_a_period_deletes_at_once_and_then_after_each() {
    let turned = keep("when = { every = \"1d\" }");
    turned.once("2026-01-01T12:00:00Z");
    assert_eq!(turned.shop.files("data/raw").len(), 0);
    turned.shop.write("data/raw/2.txt", "2");
    turned.once("2026-01-01T23:00:00Z");
    assert_eq!(turned.shop.files("data/raw").len(), 1);
    turned.once("2026-01-02T12:00:00Z");
    assert_eq!(turned.shop.files("data/raw").len(), 0);
}

#[test]
fn a_keep_deletes_within_its_hours_and_by_hand_at_any_time() {
    let turned = keep("hours = [\"22:00-04:00\"]\nzone = \"UTC\"");
    turned.once("2026-01-01T12:00:00Z");
    assert_eq!(turned.shop.files("data/raw").len(), 1);
    turned.once("2026-01-01T23:00:00Z");
    assert_eq!(turned.shop.files("data/raw").len(), 0);
    let asked = keep("when = \"asked\"");
    asked.once("2026-01-01T12:00:00Z");
    assert_eq!(asked.shop.files("data/raw").len(), 1);
    let trim = Request::Trim { station: None, yes: true };
    carry_out(&asked.setup(), trim, &mut |_| {}).expect("it is carried out");
    assert_eq!(asked.shop.files("data/raw").len(), 0, "`trim --yes` asks nobody for the time of day");
}

const CHECKED: &str = r#"
flow = "checked"
[stations.here]
root = "data"
[products.raw]
path = "raw/{time:%Y%m%d%H}.{site}.txt"
span = "1h"
group = ["site"]
[checks.late]
latency = "raw"
at = "here"
per = ["site"]
warning = "2h"
critical = "12h"
[checks.hourly]
latency = "raw"
warning = "2h"
when = { every = "1h" }
[checks.by-day]
latency = "raw"
critical = "2h"
hours = "08:00-18:00"
zone = "UTC"
"#;

#[test]
fn a_check_is_looked_at_now_or_at_its_moments_and_rests_outside_its_hours() {
    let turned = Turned::new(CHECKED);
    turned.shop.write("data/raw/2026010110.sas.txt", "1");
    turned.shop.write("data/raw/2026010106.cly.txt", "1");
    turned.shop.write("data/raw/2025123100.rkn.txt", "1");
    let (_, events) = turned.once("2026-01-01T12:00:00Z");
    let told = |check: &str, level: &str, events: &[Event]| {
        let found =
            |event: &&Event| matches!(event, Event::Checked { check: c, level: l, .. } if c == check && l == level);
        events.iter().filter(found).count()
    };
    assert_eq!(told("hourly", "OK", &events), 1, "it is looked at when the files are known: {events:#?}");
    let (_, events) = turned.once("2026-01-01T12:00:01Z");
    assert!(!events.iter().any(|event| matches!(event, Event::Checked { .. })), "its moment is over: {events:#?}");
    let reader = turned.shop.ledger().reader().expect("a reader");
    let setup = turned.setup();
    let places = Places::look(&setup);
    let stand = |name: &str, now: &str| {
        stands(&setup.flow, &setup.flow.checks[name], &reader, &places, at(now)).expect("it is told")
    };

    let late = stand("late", "2026-01-01T12:00:01Z");
    let levels: Vec<(&str, Level)> =
        late.findings.iter().map(|finding| (finding.of["site"].as_str(), finding.level)).collect();
    assert_eq!(levels, [("cly", Level::Warning), ("rkn", Level::Critical), ("sas", Level::Ok)], "{late:#?}");
    assert_eq!(late.level, Level::Critical);

    assert_eq!(stand("by-day", "2026-01-01T17:00:00Z").level, Level::Critical);
    assert_eq!(stand("by-day", "2026-01-01T19:00:00Z").level, Level::Ok, "nobody is there to look");

    let hourly = &setup.flow.checks["hourly"];
    let found = last_look(&reader, hourly).expect("it is read").expect("it was looked at");
    assert_eq!((found.level, found.moment), (Level::Ok, Some(at("2026-01-01T12:00:00Z"))), "{found:#?}");
    assert_eq!(stand("hourly", "2026-01-01T12:59:00Z"), found, "what was found stands until the next moment");
    // Nobody looked at the next ones: it is looked at now.
    assert_eq!(stand("hourly", "2026-01-01T16:00:00Z").level, Level::Warning);
    let (_, events) = turned.once("2026-01-01T18:00:00Z");
    assert_eq!(told("hourly", "WARNING", &events), 1, "an engine tells what changes: {events:#?}");
    let (_, events) = turned.once("2026-01-01T19:00:00Z");
    assert_eq!(told("hourly", "WARNING", &events), 0, "and nothing else: {events:#?}");
    let mut stricter = hourly.clone();
    stricter.warning = Some(thalweg_flow::Bound::Age(jiff::SignedDuration::from_mins(1)));
    assert_eq!(last_look(&reader, &stricter).expect("it is read"), None, "what another rule found is not told");
}

const AWAKE: &str = r#"
flow = "awake"
[stations.here]
root = "data"
[products.raw]
path = "raw/{n:int}.txt"
[keeps.raw]
at = "here"
products = ["raw"]
delete = "at_once"
hours = "22:00-04:00"
zone = "UTC"
[checks.quiet]
latency = "raw"
warning = "30s"
when = { every = "1m" }
"#;

#[test]
fn an_engine_that_runs_on_looks_at_its_moments_and_deletes_when_the_hours_begin() {
    let turned = Turned::new(AWAKE);
    turned.shop.write("data/raw/1.txt", "1");
    turned.clock.set(at("2026-01-01T21:58:00Z"));
    let engine = Engine::open(turned.setup()).expect("the engine opens");
    let handle = engine.handle();
    let (told, events) = std::sync::mpsc::channel();
    let working = std::thread::spawn(move || engine.run(Mode::Forever, &mut |event| drop(told.send(event.clone()))));
    let next = |wanted: &dyn Fn(&Event) -> bool| {
        let limit = std::time::Duration::from_secs(20);
        std::iter::from_fn(|| events.recv_timeout(limit).ok()).find(|event| {
            assert!(!matches!(event, Event::Removed { .. }) || wanted(event), "it is not the hour: {event:?}");
            wanted(event)
        })
    };
    let level =
        |wanted: &'static str| move |event: &Event| matches!(event, Event::Checked { level, .. } if level == wanted);
    let first = next(&|event| matches!(event, Event::Checked { .. })).expect("it is looked at");
    assert!(level("OK")(&first), "the first look waits for the files that are there: {first:?}");
    turned.clock.set(at("2026-01-01T21:59:00Z"));
    assert!(next(&level("WARNING")).is_some(), "the next moment has come");
    // Nothing has happened since, and no more than a minute has passed.
    turned.clock.set(at("2026-01-01T22:00:00Z"));
    assert!(next(&|event| matches!(event, Event::Removed { .. })).is_some(), "the hours have begun");
    handle.stop("the test is over");
    working.join().expect("it ends").expect("in order");
    assert!(turned.shop.files("data/raw").is_empty());
}

const SITES: &str = r#"
flow = "sites"
[stations.here]
root = "data"
[products.raw]
path = "raw/{site}.{n:int}.txt"
[products.made]
path = "made/{site}.{n:int}.txt"
[steps.copy]
at = "here"
takes = "raw"
if = "site != 'bad'"
makes = "made"
does = { run = ["cp", "{in}", "{out}"] }
[steps.fail]
at = "here"
takes = "raw"
if = "site == 'bad'"
does = { run = ["false"] }
retry = { times = 0 }
[keeps.made]
at = "here"
products = ["made"]
delete = "at_once"
when = { every = "1d" }
[checks.late]
latency = "raw"
per = ["site"]
warning = "1h"
[checks.done]
last_success = "copy"
per = ["site"]
warning = "1h"
[checks.stuck]
queue = "fail"
per = ["site"]
warning = "1h"
[checks.queued]
queue = "fail"
warning = 2
[checks.failing]
failing = "fail"
per = ["site"]
[checks.never]
last_success = "fail"
warning = "1h"
"#;

#[test]
fn a_check_tells_sites_apart_whatever_became_of_their_files() {
    let turned = Turned::new(SITES);
    for site in ["sas", "cly", "bad"] {
        turned.shop.write(&format!("data/raw/{site}.1.txt"), site);
    }
    turned.once("2026-01-01T12:00:00Z");
    assert!(turned.shop.files("data/made").is_empty(), "the keep has taken what was made");
    let setup = turned.setup();
    let found = |name: &str, now: &str| {
        let reader = turned.shop.ledger().reader().expect("a reader");
        let places = Places::look(&setup);
        let checked = stands(&setup.flow, &setup.flow.checks[name], &reader, &places, at(now)).expect("it is told");
        let short = |finding: &thalweg_engine::checks::Finding| {
            let site = finding.of.get("site").cloned().unwrap_or_default();
            format!("{site} {} {}", finding.value.unwrap_or(-1.0), finding.level.as_str())
        };
        checked.findings.iter().map(short).collect::<Vec<_>>()
    };
    assert_eq!(found("done", "2026-01-01T12:30:00Z"), ["cly 1800 OK", "sas 1800 OK"]);
    assert_eq!(found("stuck", "2026-01-01T12:30:00Z"), ["bad 1800 OK"]);
    assert_eq!(found("stuck", "2026-01-01T13:30:00Z"), ["bad 5400 WARNING"]);
    assert_eq!(found("queued", "2026-01-01T13:30:00Z"), [" 1 OK"]);
    assert_eq!(found("failing", "2026-01-01T13:30:00Z"), ["bad 1 WARNING"]);
    assert_eq!(found("never", "2026-01-01T13:30:00Z"), [" -1 UNKNOWN"]);
    turned.shop.write("data/raw/sas.2.txt", "2");
    turned.once("2026-01-01T14:00:00Z");
    assert_eq!(turned.shop.files("data/made"), ["sas.2.txt"]);
    assert_eq!(found("done", "2026-01-01T14:30:00Z"), ["cly 9000 WARNING", "sas 1800 OK"]);
    assert_eq!(found("late", "2026-01-01T14:30:00Z"), ["bad 9000 WARNING", "cly 9000 WARNING", "sas 1800 OK"]);
}
