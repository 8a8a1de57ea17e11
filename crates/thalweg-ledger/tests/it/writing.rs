//! The writer: groups, isolation, full disks.

use std::sync::mpsc::channel;
use std::time::Duration;

use thalweg_core::ErrorClass;
use thalweg_ledger::{Error, EventFilter, Ledger, NewEvent, Options, Pending, Tx};

use crate::common::*;

fn note(tx: &mut Tx<'_>, kind: &str) -> Result<(), Error> {
    let event = NewEvent {
        at: t(0),
        kind: kind.to_owned(),
        subject: None,
        station: Some("site".to_owned()),
        product: None,
        fields_key: None,
        path: None,
        run: None,
        data: None,
    };
    tx.event(&event).map(drop)
}

fn kinds(ledger: &Ledger) -> Vec<String> {
    let mut kinds: Vec<String> = ledger
        .reader()
        .unwrap()
        .events(&EventFilter::default(), u32::MAX)
        .unwrap()
        .into_iter()
        .map(|event| event.kind)
        .collect();
    kinds.sort();
    kinds
}

/// Keeps the writer in one closure until the sender is dropped, so that others pile up behind it.
fn stop_writer(ledger: &Ledger) -> (std::sync::mpsc::Sender<()>, Pending<()>) {
    let (go, wait) = channel::<()>();
    let (inside, entered) = channel();
    let pending = ledger
        .submit(move |_| {
            inside.send(()).unwrap();
            let _ = wait.recv();
            Ok(())
        })
        .unwrap();
    entered.recv().unwrap();
    (go, pending)
}

/// A group that is never cut short by time.
fn patient() -> Options {
    Options { group_time: Duration::from_secs(600), ..Options::default() }
}

#[test]
fn what_waits_shares_one_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create_with(folder.path().join("ledger.db"), patient()).unwrap();
    let (go, first) = stop_writer(&ledger);
    let pending: Vec<_> = (0..100)
        .map(|n| {
            let reader = ledger.reader().unwrap();
            ledger
                .submit(move |tx| {
                    note(tx, &format!("{n:03}"))?;
                    // Seen from here, but by nobody else before the common commit.
                    let here = tx.reader().events(&EventFilter::default(), 1000)?.len();
                    let outside = reader.events(&EventFilter::default(), 1000)?.len();
                    Ok((here, outside))
                })
                .unwrap()
        })
        .collect();
    drop(go);
    first.wait().unwrap();
    let seen: Vec<_> = pending.into_iter().map(|pending| pending.wait().unwrap()).collect();
    assert_eq!(seen, (1..=100).map(|n| (n, 0)).collect::<Vec<_>>());
    assert_eq!(kinds(&ledger).len(), 100);
}

#[test]
fn a_group_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { group_size: 10, ..patient() };
    let ledger = Ledger::create_with(folder.path().join("ledger.db"), options).unwrap();
    let (go, first) = stop_writer(&ledger);
    let pending: Vec<_> = (0..30)
        .map(|n| {
            let reader = ledger.reader().unwrap();
            ledger
                .submit(move |tx| {
                    note(tx, &format!("{n:03}"))?;
                    reader.events(&EventFilter::default(), 1000).map(|events| events.len())
                })
                .unwrap()
        })
        .collect();
    drop(go);
    first.wait().unwrap();
    let durable: Vec<_> = pending.into_iter().map(|pending| pending.wait().unwrap()).collect();
    // The stopping closure was the first of the first ten.
    assert_eq!((durable[8], durable[9], durable[19], durable[29]), (0, 9, 19, 29));
}

#[test]
fn a_closure_that_fails_undoes_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create_with(folder.path().join("ledger.db"), patient()).unwrap();
    let (go, first) = stop_writer(&ledger);
    let good = ledger.submit(|tx| note(tx, "a good one")).unwrap();
    let bad = ledger
        .submit(|tx| {
            // A new name too, so that its number is not remembered after it was undone.
            tx.observe(&observed("station of the bad", "p", "x"))?;
            note(tx, "bad")?;
            tx.hold_end(thalweg_ledger::HoldId(1), t(0))?;
            tx.run_publishing(thalweg_ledger::RunId(99))
        })
        .unwrap();
    let panics = ledger
        .submit(|tx| -> Result<(), Error> {
            note(tx, "panicked")?;
            panic!("on purpose")
        })
        .unwrap();
    let last = ledger
        .submit(|tx| {
            tx.observe(&observed("station of the bad", "p", "y"))?;
            note(tx, "last")
        })
        .unwrap();
    drop(go);
    first.wait().unwrap();
    good.wait().unwrap();
    assert!(matches!(bad.wait(), Err(Error::NoSuch { what: "run", .. })));
    let Err(Error::Panicked { message, .. }) = panics.wait() else { panic!("no panic told") };
    assert_eq!(message, "on purpose");
    last.wait().unwrap();
    assert_eq!(kinds(&ledger), ["a good one", "last"]);
    assert!(ledger.reader().unwrap().damage().unwrap().is_empty());
    assert_eq!(ledger.reader().unwrap().stations().unwrap(), ["site", "station of the bad"]);
}

#[test]
fn the_first_closure_of_a_group_that_fails_undoes_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create_with(folder.path().join("ledger.db"), patient()).unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let bad = ledger
        .submit(move |tx| {
            tx.observe(&observed("station of the bad", "p", "x"))?;
            note(tx, "bad")?;
            // The others wait behind it by then.
            let _ = wait.recv();
            tx.run_publishing(thalweg_ledger::RunId(99))
        })
        .unwrap();
    let good = ledger.submit(|tx| note(tx, "a good one")).unwrap();
    let worse = ledger.submit(|tx| tx.run_publishing(thalweg_ledger::RunId(98))).unwrap();
    let last = ledger.submit(|tx| note(tx, "last")).unwrap();
    drop(go);
    assert!(matches!(bad.wait(), Err(Error::NoSuch { what: "run", .. })));
    good.wait().unwrap();
    assert!(worse.wait().is_err());
    last.wait().unwrap();
    assert_eq!(kinds(&ledger), ["a good one", "last"]);
    assert!(!ledger.reader().unwrap().stations().unwrap().contains(&"station of the bad".to_owned()));
}

#[test]
fn a_write_inside_a_write_is_refused_and_a_handle_may_be_dropped_there() {
    let place = Place::new();
    let inner = place.ledger.clone();
    let result = place.ledger.write(move |_| inner.write(|_| Ok(())));
    assert!(matches!(result, Err(Error::Nested { .. })), "{result:?}");
    let Place { folder, ledger } = place;
    let inside = ledger.clone();
    let (go, wait) = channel::<()>();
    let pending = ledger
        .submit(move |tx| {
            let _ = wait.recv();
            drop(inside);
            note(tx, "from the last handle")
        })
        .unwrap();
    drop(ledger);
    drop(go);
    pending.wait().unwrap();
    let again = Ledger::open(folder.path().join("ledger.db")).unwrap();
    assert_eq!(kinds(&again), ["from the last handle"]);
}

#[test]
fn closing_writes_what_waits_and_empties_the_log() {
    let Place { folder, ledger } = Place::new();
    let pending: Vec<_> = (0..50).map(|n| ledger.submit(move |tx| note(tx, &n.to_string())).unwrap()).collect();
    drop(ledger);
    for pending in pending {
        pending.wait().unwrap();
    }
    let path = folder.path().join("ledger.db");
    assert!(!folder.path().join("ledger.db-wal").exists());
    assert_eq!(kinds(&Ledger::open(path).unwrap()).len(), 50);
}

#[test]
fn a_full_disk_loses_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let options = Options { max_pages: Some(150), ..Options::default() };
    let ledger = Ledger::create_with(&path, options).unwrap();
    let mut answered = Vec::new();
    let mut full = 0;
    for round in 0..200 {
        let pending: Vec<_> = (0..20)
            .map(|n| {
                let kind = format!("{round:03} {n:02} {}", "x".repeat(500));
                (kind.clone(), ledger.submit(move |tx| note(tx, &kind)).unwrap())
            })
            .collect();
        for (kind, pending) in pending {
            match pending.wait() {
                Ok(()) => answered.push(kind),
                Err(error) => {
                    assert!(matches!(error, Error::Full { .. }), "{error:?}");
                    assert_eq!(error.class(), ErrorClass::Transient);
                    assert!(error.help().unwrap().contains("free space"));
                    full += 1;
                }
            }
        }
    }
    assert!(full > 0 && !answered.is_empty(), "{full} {}", answered.len());
    answered.sort();
    assert_eq!(kinds(&ledger), answered);
    drop(ledger);
    // With room again it goes on.
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(kinds(&ledger), answered);
    assert!(ledger.reader().unwrap().damage().unwrap().is_empty());
    ledger.write(|tx| note(tx, "room again")).unwrap();
}

#[test]
fn two_processes_may_write_and_a_lock_is_told() {
    let place = Place::new();
    let other = Ledger::open(place.path()).unwrap();
    let options = Options { busy_timeout: Duration::from_millis(50), ..Options::default() };
    let hasty = Ledger::open_with(place.path(), options).unwrap();
    place.write(|tx| note(tx, "one"));
    other.write(|tx| note(tx, "two")).unwrap();
    assert_eq!(kinds(&place.ledger), ["one", "two"]);

    let (go, first) = stop_writer(&place.ledger);
    let error = hasty.write(|tx| note(tx, "three")).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Transient);
    drop(go);
    first.wait().unwrap();
    other.write(|tx| note(tx, "four")).unwrap();

    // A name that the other process has changed is looked up again.
    other.write(|tx| tx.rename_station("site", "hut")).unwrap();
    place.write(|tx| note(tx, "five"));
    let reader = place.reader();
    let stations: Vec<_> = reader.events(&EventFilter::default(), 2).unwrap().into_iter().map(|e| e.station).collect();
    assert_eq!(stations, [Some("site".to_owned()), Some("hut".to_owned())]);
}

#[test]
fn a_snapshot_stands_still() {
    let place = Place::new();
    place.write(|tx| note(tx, "before"));
    let reader = place.reader();
    let count = |reader: &thalweg_ledger::Reader| reader.events(&EventFilter::default(), 10).map(|events| events.len());
    let counts = reader
        .snapshot(|reader| {
            place.write(|tx| note(tx, "meanwhile"));
            Ok((count(reader)?, count(&place.reader())?))
        })
        .unwrap();
    assert_eq!((counts, count(&reader).unwrap()), ((1, 2), 2));
}

#[test]
fn a_write_keeps_its_place_behind_what_was_handed_over_before() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(folder.path().join("ledger.db")).unwrap();
    for round in 0..200 {
        // Sometimes the writer has done the first by the time of the second, sometimes not.
        drop(ledger.submit(move |tx| tx.meta_set("round", &format!("{round} first"))).unwrap());
        ledger.write(move |tx| tx.meta_set("round", &format!("{round} second"))).unwrap();
        assert_eq!(ledger.reader().unwrap().meta("round").unwrap().unwrap(), format!("{round} second"));
    }
}

#[test]
fn writers_in_many_threads_all_come_through() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(folder.path().join("ledger.db")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let ledger = &ledger;
            scope.spawn(move || {
                for n in 0..100 {
                    let kind = format!("{thread} {n}");
                    ledger.write(move |tx| note(tx, &kind)).unwrap();
                }
            });
        }
    });
    assert_eq!(kinds(&ledger).len(), 400);
}
