//! Runs, evidence, keys and the rest: what is written comes back, and how later words change earlier ones.

use thalweg_core::{ErrorClass, RelPath};
use thalweg_ledger::*;

use crate::common::*;

fn input(role: &str, name: &str, content: u64) -> RunInput {
    RunInput {
        role: role.to_owned(),
        product: "rawacf".to_owned(),
        fields_key: name.to_owned(),
        content: Some(hash(content)),
        station: "site".to_owned(),
        path: path(name),
        start: Some(t(0)),
        end: None,
    }
}

fn output(name: &str, content: u64) -> RunOutput {
    RunOutput {
        product: "dmap".to_owned(),
        fields_key: name.to_owned(),
        station: "site".to_owned(),
        path: path(name),
        content: Some(hash(content)),
        size: 9,
        staged_name: format!("0/{name}"),
        published: false,
    }
}

fn ended(state: RunState) -> RunEnd {
    RunEnd {
        state,
        class: (state == RunState::Failed).then_some(ErrorClass::Data),
        message: None,
        ended: t(100),
        exit: Some(0),
        signal: None,
        retry_at: None,
        user_ms: Some(12),
        system_ms: None,
        peak_kib: Some(u64::MAX),
        report: Some(serde_json::json!({ "records": 3 })),
    }
}

#[test]
fn a_run_from_start_to_end() {
    let place = Place::new();
    let inputs = vec![input("in", "a", 1), input("dmt", "b", 2)];
    let run = {
        let new = new_run("to-dmap", "a", 1, inputs.clone());
        place.write(move |tx| tx.run_start(&new))
    };
    let reader = place.reader();
    let row = reader.run(run).unwrap().unwrap();
    assert_eq!(
        (row.state, row.command.as_slice(), row.pid),
        (RunState::Running, ["thalweg".to_owned(), "a b".to_owned()].as_slice(), Some(4711))
    );
    let mut taken = reader.run_inputs(run).unwrap();
    taken.sort_by_key(|input| std::cmp::Reverse(input.role.clone()));
    assert_eq!(taken, inputs);
    place.write(move |tx| {
        tx.run_pid(run, 12)?;
        tx.run_staged(run, &[output("x", 5), output("y", 6)])
    });
    assert_eq!(reader.unfinished_runs().unwrap()[0].state, RunState::Staged);
    place.write(move |tx| {
        tx.run_publishing(run)?;
        tx.run_output_published(run, "site", &path("y"))
    });
    let published: Vec<_> =
        reader.run_outputs(run).unwrap().into_iter().map(|o| (o.staged_name, o.published)).collect();
    assert_eq!(published, [("0/x".to_owned(), false), ("0/y".to_owned(), true)]);
    assert!(reader.last_done("to-dmap", "a").unwrap().is_none());
    place.write(move |tx| tx.run_finish(run, &ended(RunState::Done)));
    let row = reader.last_done("to-dmap", "a").unwrap().unwrap();
    assert_eq!((row.id, row.ended, row.report.unwrap()["records"].as_i64()), (run, Some(t(100)), Some(3)));
    assert!(reader.unfinished_runs().unwrap().is_empty());
    let ids = |rows: Vec<RunRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(reader.runs_using_content(&hash(2)).unwrap()), [run]);
    assert_eq!(ids(reader.runs_using("rawacf", "a").unwrap()), [run]);
    assert_eq!(ids(reader.runs_making_path("site", &path("x")).unwrap()), [run]);
    assert_eq!(ids(reader.runs_making("dmap", "y").unwrap()), [run]);
    assert_eq!(ids(reader.runs_making_content(&hash(5)).unwrap()), [run]);
    assert!(ids(reader.runs_making_content(&hash(1)).unwrap()).is_empty());
}

#[test]
fn attempts_are_told_apart_by_identity() {
    let place = Place::new();
    for (identity, state) in [(1, RunState::Failed), (1, RunState::Failed), (2, RunState::Done), (1, RunState::Lost)] {
        place.write(move |tx| {
            let run = tx.run_start(&new_run("s", "k", identity, Vec::new()))?;
            tx.run_finish(run, &ended(state))
        });
    }
    let reader = place.reader();
    assert_eq!(reader.attempts("s", "k", &hash(1)).unwrap().len(), 3);
    assert_eq!(reader.attempts("s", "k", &hash(1)).unwrap()[0].class, Some(ErrorClass::Data));
    assert_eq!(reader.last_done("s", "k").unwrap().unwrap().identity, hash(2));
    let filter = RunFilter {
        step: Some("s".to_owned()),
        states: vec![RunState::Failed, RunState::Lost],
        ..RunFilter::default()
    };
    let first = reader.runs(&filter, 2).unwrap();
    assert_eq!(first.iter().map(|run| run.id.0).collect::<Vec<_>>(), [4, 2]);
    let rest = reader.runs(&RunFilter { before: Some(first[1].id), ..filter }, 2).unwrap();
    assert_eq!(rest.iter().map(|run| run.id.0).collect::<Vec<_>>(), [1]);
}

#[test]
fn what_failed_runs_have_left_is_told_once_for_each_content() {
    let place = Place::new();
    let mut made = Vec::new();
    let mut attempt = |key: &'static str, content: Option<u64>, state| {
        let run = place.write(move |tx| {
            let run = tx.run_start(&new_run("s", key, 1, Vec::new()))?;
            if let Some(content) = content {
                tx.run_staged(run, &[output("x", content)])?;
            }
            tx.run_finish(run, &ended(state))?;
            Ok(run)
        });
        made.push(run);
    };
    attempt("a", Some(1), RunState::Failed);
    attempt("a", Some(1), RunState::Done);
    attempt("a", Some(2), RunState::Lost);
    attempt("a", Some(2), RunState::Failed);
    attempt("a", None, RunState::Failed);
    attempt("a", Some(3), RunState::Cancelled);
    attempt("b", Some(4), RunState::Failed);
    let reader = place.reader();
    let ids = |rows: Vec<RunRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(reader.runs_leaving("s", "a").unwrap()), [made[5], made[3]]);
    assert_eq!(ids(reader.runs_leaving("s", "b").unwrap()), [made[6]]);
    assert_eq!(ids(reader.runs_leaving_at("site", &path("x")).unwrap()), [made[6], made[5], made[3]]);
    assert!(reader.runs_leaving("s", "c").unwrap().is_empty());
    assert!(reader.runs_leaving_at("site", &path("y")).unwrap().is_empty());
}

#[test]
fn contributions_follow_the_versions() {
    let place = Place::new();
    let contribution = |content, key: &str| Contribution {
        product: "day".to_owned(),
        fields_key: "d=1".to_owned(),
        content: hash(content),
        step: "s".to_owned(),
        step_version: 2,
        key: key.to_owned(),
        identity: hash(77),
        run: None,
        inputs: vec![InputRef { product: "tm".to_owned(), fields_key: key.to_owned(), content: hash(9) }],
        verb_version: Some(format!("tool {key}")),
    };
    let (first, second) = (contribution(1, "a"), contribution(2, "b"));
    place.write(move |tx| {
        tx.contribute(&first)?;
        assert_eq!(tx.contributions_carry("day", "d=1", &hash(1), &hash(2))?, 1);
        tx.contribute(&second)
    });
    let reader = place.reader();
    assert_eq!(reader.contributions_of("day", "d=1", &hash(2)).unwrap(), [contribution(2, "a"), contribution(2, "b")]);
    assert_eq!(reader.contributions_by("s", "a").unwrap(), [contribution(1, "a"), contribution(2, "a")]);
}

fn receipt(given: i64) -> NewReceipt {
    NewReceipt {
        product: "dmap".to_owned(),
        fields_key: "x".to_owned(),
        content: hash(5),
        station: "campus".to_owned(),
        given: t(given),
        ledger: "0000".to_owned(),
        relayed_by: None,
        inputs: vec![InputRef { product: "rawacf".to_owned(), fields_key: "a".to_owned(), content: hash(1) }],
        confirmed: t(given),
    }
}

#[test]
fn a_receipt_is_one_however_often_it_comes_and_stays_taken_back() {
    let place = Place::new();
    let id = place.write(|tx| tx.receipt_add(&receipt(10)));
    assert_eq!(place.write(|tx| tx.receipt_add(&receipt(10))), id);
    let one = || place.reader().receipts_for("dmap", "x", &hash(5)).unwrap().remove(0);
    assert_eq!((one().inputs, one().revoked), (receipt(10).inputs, None));
    assert_eq!(place.reader().receipts_naming_input("rawacf", "a", &hash(1)).unwrap()[0].id, id);
    assert!(place.reader().receipts_naming_input("rawacf", "a", &hash(2)).unwrap().is_empty());
    place.write(move |tx| tx.receipt_confirm(id, t(30)));
    place.write(move |tx| tx.receipt_revoke(id, t(40)));
    assert_eq!((one().confirmed, one().revoked), (t(30), Some(t(40))));
    // The old one by a slow way does not bring it back; a new one does.
    place.write(|tx| tx.receipt_add(&receipt(10)));
    assert_eq!(one().revoked, Some(t(40)));
    place.write(|tx| tx.receipt_add(&receipt(50)));
    assert_eq!((one().revoked, one().given), (None, t(50)));
    place.write(|tx| tx.receipt_add(&receipt(20)));
    assert_eq!(one().given, t(50));
    assert_eq!(place.reader().receipts_after(ReceiptId(0), 10).unwrap().len(), 1);
}

#[test]
fn copies_come_and_go() {
    let place = Place::new();
    let copy = |at: &str, verified| NewCopy {
        product: "p".to_owned(),
        fields_key: "k".to_owned(),
        content: hash(1),
        station: at.to_owned(),
        path: path("x"),
        verified: t(verified),
        verify_mode: "have".to_owned(),
        run: None,
    };
    let (a, b, later) = (copy("a", 1), copy("b", 2), copy("a", 3));
    place.write(move |tx| {
        tx.copy_put(&a)?;
        tx.copy_put(&b)?;
        tx.copy_put(&later)
    });
    let present = || -> Vec<_> {
        let rows = place.reader().copies_of("p", "k", Some(&hash(1))).unwrap();
        rows.into_iter().map(|row| (row.station, row.verified, row.present)).collect()
    };
    assert_eq!(present(), [("a".to_owned(), t(3), true), ("b".to_owned(), t(2), true)]);
    assert!(place.write(|tx| tx.copy_absent("p", "k", &hash(1), "a")));
    assert!(!place.write(|tx| tx.copy_absent("p", "k", &hash(1), "a")));
    assert!(!present()[0].2);
}

#[test]
fn the_same_content_at_two_paths_is_one_copy_until_the_recorded_one_goes() {
    let place = Place::new();
    let first = place.present(observed("site", "p", "a"), 1);
    let mut other = observed("site", "p", "a");
    other.path = path("elsewhere/a");
    place.present(other, 1);
    // The copy is recorded under the second path, so that the first may vanish without it.
    place.write(move |tx| tx.set_state(first, FileState::Gone, None, t(1)));
    let copies = place.reader().copies_of("p", "name=a,site=sas", None).unwrap();
    assert_eq!((copies.len(), copies[0].path.as_str(), copies[0].present), (1, "elsewhere/a", true));
}

#[test]
fn quarantine_and_release() {
    let place = Place::new();
    let file = place.present(observed("site", "p", "a"), 1);
    let bad = NewQuarantine {
        file: Some(file),
        station: "site".to_owned(),
        product: "p".to_owned(),
        fields_key: "k".to_owned(),
        path: path("a"),
        moved_to: None,
        report_path: None,
        content: Some(hash(1)),
        class: "data".to_owned(),
        message: "record 41 is cut".to_owned(),
        run: None,
        at: t(5),
    };
    let id = place.write(move |tx| tx.quarantine_add(&bad));
    let state = || place.reader().file(file).unwrap().unwrap().state;
    assert_eq!(state(), FileState::Quarantined);
    place.write(move |tx| tx.quarantine_moved(id, &path("quarantine/a"), Some(&path("quarantine/a.txt"))));
    let filter = QuarantineFilter { content: Some(hash(1)), ..QuarantineFilter::default() };
    let rows = place.reader().quarantined(&filter).unwrap();
    assert_eq!((rows.len(), rows[0].moved_to.clone()), (1, Some(path("quarantine/a"))));
    place.write(move |tx| tx.quarantine_release(id, t(9)));
    assert_eq!(state(), FileState::Settling);
    assert!(place.reader().quarantined(&filter).unwrap().is_empty());
    assert_eq!(
        place.reader().quarantined(&QuarantineFilter { released: true, ..filter }).unwrap()[0].released,
        Some(t(9))
    );
    assert!(place.ledger.write(move |tx| tx.quarantine_release(id, t(9))).is_err());
}

fn key(step: &str, name: &str, next: KeyNext) -> KeyRow {
    KeyRow {
        step: step.to_owned(),
        key: name.to_owned(),
        station: "site".to_owned(),
        cell_start: Some(t(0)),
        cell_end: Some(t(100)),
        fields: [("site".to_owned(), "sas".into())].into(),
        driving_product: Some("p".to_owned()),
        driving_fields_key: Some(name.to_owned()),
        there: KeyThere::None,
        next,
        reason: serde_json::json!({ "waits_for": "dmt" }),
        since: t(1),
        wake: Some(t(50)),
        opened: t(1),
        changed: t(1),
        finished: false,
    }
}

#[test]
fn keys_open_and_finish() {
    let place = Place::new();
    let (a, b, c) = (key("s", "a", KeyNext::Waiting), key("s", "b", KeyNext::Ready), key("t", "c", KeyNext::Ready));
    let rows = [a.clone(), b.clone(), c.clone()];
    place.write(move |tx| rows.iter().try_for_each(|row| tx.key_put(row)));
    let reader = place.reader();
    assert_eq!(reader.key("s", "a").unwrap(), Some(a.clone()));
    assert_eq!(reader.keys(&KeyFilter::default()).unwrap(), [a.clone(), b.clone(), c.clone()]);
    let find = |filter: KeyFilter| reader.keys(&filter).unwrap().into_iter().map(|row| row.key).collect::<Vec<_>>();
    assert_eq!(find(KeyFilter { next: vec![KeyNext::Ready], ..KeyFilter::default() }), ["b", "c"]);
    let in_cell = KeyFilter {
        step: Some("s".to_owned()),
        overlapping: Some(thalweg_core::TimeRange::new(t(99), t(200))),
        ..KeyFilter::default()
    };
    assert_eq!(find(in_cell), ["a", "b"]);
    assert_eq!(find(KeyFilter { driving: Some(("p".to_owned(), "b".to_owned())), ..KeyFilter::default() }), ["b"]);
    assert_eq!(
        find(KeyFilter { after: Some(("s".to_owned(), "a".to_owned())), limit: Some(1), ..KeyFilter::default() }),
        ["b"]
    );
    assert_eq!((reader.due_keys(t(49)).unwrap().len(), reader.due_keys(t(50)).unwrap().len()), (0, 3));
    assert_eq!(reader.next_wake().unwrap(), Some(t(50)));

    // Put again later: the moment at which it was opened stays.
    let mut again = a;
    (again.opened, again.changed, again.next) = (t(70), t(70), KeyNext::Running);
    place.write(move |tx| {
        tx.key_put(&again)?;
        tx.key_finish("s", "b", KeyThere::Done, t(80))
    });
    let row = reader.key("s", "a").unwrap().unwrap();
    assert_eq!((row.opened, row.changed, row.next), (t(1), t(70), KeyNext::Running));
    let done = reader.key("s", "b").unwrap().unwrap();
    assert_eq!((done.finished, done.there, done.next, done.wake), (true, KeyThere::Done, KeyNext::Nothing, None));
    assert!(done.reason.is_null());
    let summary = reader.step_summary().unwrap();
    assert_eq!(
        summary.iter().map(|s| (s.step.as_str(), s.open, s.finished, s.running, s.ready)).collect::<Vec<_>>(),
        [("s", 1, 1, 1, 0), ("t", 1, 0, 0, 1)]
    );
    assert_eq!(place.write(|tx| tx.keys_delete_step("s")), 2);
    assert_eq!(reader.step_summary().unwrap().len(), 1);
    assert!(place.write(|tx| tx.key_delete("t", "c")));
    assert!(reader.step_summary().unwrap().is_empty());
}

#[test]
fn a_failed_listing_does_not_hide_the_last_good_one() {
    let place = Place::new();
    let listing = |folder: &str, started, error: Option<&str>| NewListing {
        station: "far".to_owned(),
        folder: path(folder),
        started: t(started),
        ended: t(started + 1),
        error: error.map(str::to_owned),
        entries: 3,
    };
    let all = [
        listing("", 10, None),
        listing("", 20, Some("timed out")),
        listing("d/e", 15, None),
        listing("d", 30, Some("gone")),
    ];
    place.write(move |tx| all.iter().try_for_each(|listing| tx.listing_done(listing)));
    let reader = place.reader();
    let last = reader.last_ok_listing("far").unwrap().unwrap();
    assert_eq!((last.ok, last.started, last.ok_started, last.ok_ended), (false, t(20), Some(t(10)), Some(t(11))));
    assert_eq!(last.error.as_deref(), Some("timed out"));
    let covering = |folder: &str| reader.listing_covering("far", &path(folder)).unwrap().unwrap().folder;
    assert_eq!(
        (covering("d/e/f").as_str().to_owned(), covering("d"), covering("")),
        ("d/e".to_owned(), RelPath::default(), RelPath::default())
    );
    assert!(reader.last_ok_listing("near").unwrap().is_none());
    assert_eq!(reader.listing("far", &path("d")).unwrap().unwrap().ok_started, None);
}

#[test]
fn rounds_flags_holds_requests_and_events() {
    let place = Place::new();
    let reader = place.reader();
    place.write(|tx| tx.round_begin("s", "site", t(10)));
    let round = || reader.round("s", "site").unwrap().unwrap();
    assert_eq!((round().last_moment, round().open_moment, round().finished), (Some(t(10)), Some(t(10)), None));
    place.write(|tx| tx.round_finish("s", "site", t(12)));
    place.write(|tx| tx.round_begin("s", "site", t(5)));
    assert_eq!((round().last_moment, round().open_moment, round().finished), (Some(t(10)), Some(t(5)), Some(t(12))));

    assert!(place.write(|tx| tx.flag_taken("site", &path("go"), "s", t(1))));
    assert!(!place.write(|tx| tx.flag_taken("site", &path("go"), "s", t(1))));
    assert!(place.write(|tx| tx.flag_taken("site", &path("go"), "s", t(2))));
    assert_eq!(reader.flags("s").unwrap().len(), 2);
    place.write(|tx| tx.flag_forget("site", &path("go"), "s"));
    assert!(reader.flags("s").unwrap().is_empty());

    let hold = NewHold {
        kind: HoldKind::Pause,
        step: Some("s".to_owned()),
        station: None,
        product: None,
        path: None,
        where_text: Some("site == 'sas'".to_owned()),
        why: "antenna work".to_owned(),
        by: "me".to_owned(),
        since: t(0),
    };
    let id = place.write(move |tx| tx.hold_add(&hold));
    assert_eq!(reader.holds_active().unwrap()[0].step.as_deref(), Some("s"));
    assert!(place.write(move |tx| tx.hold_end(id, t(9))));
    assert!(!place.write(move |tx| tx.hold_end(id, t(9))));
    assert_eq!((reader.holds_active().unwrap().len(), reader.holds(5).unwrap()[0].ended), (0, Some(t(9))));

    let request = NewRequest {
        kind: "make".to_owned(),
        product: Some("p".to_owned()),
        from: Some(t(0)),
        to: None,
        mode: "fill".to_owned(),
        by: "web".to_owned(),
        at: t(0),
        data: None,
    };
    let id = place.write(move |tx| tx.request_add(&request));
    place.write(move |tx| tx.request_state(id, RequestState::Active, Some(&serde_json::json!({ "done": 1 })), t(3)));
    place.write(move |tx| tx.request_state(id, RequestState::Done, None, t(4)));
    let row = reader.request(id).unwrap().unwrap();
    assert_eq!((row.state, row.changed, row.data.unwrap()["done"].as_i64()), (RequestState::Done, t(4), Some(1)));
    assert!(reader.requests(&[RequestState::Open, RequestState::Active]).unwrap().is_empty());

    for n in 0..5 {
        let event = NewEvent {
            at: t(n),
            kind: if n % 2 == 0 { "even" } else { "odd" }.to_owned(),
            subject: None,
            station: Some("site".to_owned()),
            product: None,
            fields_key: None,
            path: Some(path("a")),
            run: None,
            data: Some(serde_json::json!(n)),
        };
        place.write(move |tx| tx.event(&event));
    }
    let ids = |filter: EventFilter| {
        reader.events(&filter, 10).unwrap().into_iter().map(|event| event.id.0).collect::<Vec<_>>()
    };
    assert_eq!(ids(EventFilter { kinds: vec!["odd".to_owned()], ..EventFilter::default() }), [4, 2]);
    assert_eq!(ids(EventFilter { after: Some(EventId(3)), ..EventFilter::default() }), [4, 5]);
    assert_eq!(ids(EventFilter { from: Some(t(1)), to: Some(t(3)), ..EventFilter::default() }), [3, 2]);
    assert_eq!(reader.events_for_path("site", &path("a")).unwrap().len(), 5);
    assert!(reader.events_for_path("other", &path("a")).unwrap().is_empty());
    place.write(|tx| tx.meta_set("flow", "abc"));
    assert_eq!(reader.meta("flow").unwrap().as_deref(), Some("abc"));
}

#[test]
fn keys_of_bad_files_are_counted_although_they_are_finished() {
    let place = Place::new();
    let bad = KeyRow { finished: true, ..key("s", "bad", KeyNext::Quarantined) };
    place.write(move |tx| tx.key_put(&bad));
    let summary = place.reader().step_summary().unwrap();
    assert_eq!((summary[0].finished, summary[0].quarantined, summary[0].open), (1, 1, 0));
}
