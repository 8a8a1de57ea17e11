//! What happens to the row of a file.

use rstest::rstest;
use thalweg_core::{RelPath, Value};
use thalweg_ledger::{Change, Error, FileState, Origin, Output, Stat};

use crate::common::*;

#[test]
fn a_file_is_seen_settled_changed_and_settled_again() {
    let place = Place::new();
    let seen = observed("site", "rawacf", "a");
    let first = {
        let seen = seen.clone();
        place.write(move |tx| tx.observe(&seen))
    };
    assert_eq!((first.change, first.state), (Change::New, FileState::Settling));
    let row = place.reader().file(first.file).unwrap().unwrap();
    assert_eq!((row.state, row.version, row.content), (FileState::Settling, 1, None));
    assert_eq!((row.stat, row.arrived, row.closed), (seen.stat, t(0), false));
    assert_eq!(place.reader().settling("site").unwrap().len(), 1);

    place.present(seen.clone(), 1);
    let row = place.reader().file_at("site", &path("a")).unwrap().unwrap();
    assert_eq!((row.id, row.state, row.content), (first.file, FileState::Present, Some(hash(1))));
    assert_eq!(row.identity_fields(), "name=a,site=sas");
    assert!(place.reader().settling("site").unwrap().is_empty());

    // The same once more, later: nothing changes.
    let mut again = seen.clone();
    again.at = t(60);
    let outcome = place.write(move |tx| tx.observe(&again));
    assert_eq!((outcome.change, outcome.state), (Change::Same, FileState::Present));
    assert_eq!(place.reader().file(first.file).unwrap().unwrap().unchanged_since, t(0));

    let mut longer = seen;
    longer.at = t(120);
    longer.stat.size = 200;
    let outcome = {
        let longer = longer.clone();
        place.write(move |tx| tx.observe(&longer))
    };
    assert_eq!((outcome.change, outcome.state, outcome.file), (Change::Changed, FileState::Settling, first.file));
    let row = place.reader().file(first.file).unwrap().unwrap();
    assert_eq!((row.version, row.content, row.arrived, row.first_seen), (2, None, t(120), t(0)));
    let copies = place.reader().copies_of("rawacf", &row.fields_key, None).unwrap();
    assert_eq!(copies.iter().map(|copy| copy.present).collect::<Vec<_>>(), [false]);

    place.present(longer, 2);
    let versions = place.reader().versions(first.file).unwrap();
    assert_eq!(
        versions.iter().map(|v| (v.no, v.content, v.size)).collect::<Vec<_>>(),
        [(1, hash(1), 100), (2, hash(2), 200)]
    );
    assert_eq!(place.reader().files_by_content(&hash(2)).unwrap().len(), 1);
    assert!(place.reader().files_by_content(&hash(1)).unwrap().is_empty());
}

trait Short {
    fn identity_fields(&self) -> String;
}

impl Short for thalweg_ledger::FileRow {
    fn identity_fields(&self) -> String {
        thalweg_core::fields_text(&self.fields)
    }
}

#[rstest]
#[case(Stat { size: 100, mtime_ns: 5, ctime_ns: 99, ino: 7, dev: 99 }, Change::Same)]
#[case(Stat { size: 100, mtime_ns: 5, ctime_ns: 6, ino: 0, dev: 8 }, Change::Same)]
#[case(Stat { size: 101, mtime_ns: 5, ctime_ns: 6, ino: 7, dev: 8 }, Change::Changed)]
#[case(Stat { size: 100, mtime_ns: 4, ctime_ns: 6, ino: 7, dev: 8 }, Change::Changed)]
#[case(Stat { size: 100, mtime_ns: 5, ctime_ns: 6, ino: u64::MAX, dev: 8 }, Change::Changed)]
fn what_makes_another_version(#[case] stat: Stat, #[case] expected: Change) {
    let place = Place::new();
    let mut seen = observed("site", "rawacf", "a");
    place.present(seen.clone(), 1);
    seen.stat = stat;
    assert_eq!(place.write(move |tx| tx.observe(&seen)).change, expected);
}

#[rstest]
#[case(FileState::Gone, Change::Reappeared, FileState::Present, true)]
#[case(FileState::Retired, Change::Reappeared, FileState::Present, true)]
#[case(FileState::Taken, Change::Reappeared, FileState::Present, true)]
#[case(FileState::Quarantined, Change::Same, FileState::Quarantined, false)]
#[case(FileState::Withdrawn, Change::Same, FileState::Withdrawn, false)]
fn seen_again_after(#[case] state: FileState, #[case] change: Change, #[case] after: FileState, #[case] copy: bool) {
    let place = Place::new();
    let seen = observed("site", "rawacf", "a");
    let file = place.present(seen.clone(), 1);
    place.write(move |tx| tx.set_state(file, state, Some("why"), t(9)));
    let row = place.reader().file(file).unwrap().unwrap();
    assert_eq!((row.state, row.why.as_deref(), row.state_at), (state, Some("why"), t(9)));
    let present = || place.reader().copies_of("rawacf", &row.fields_key, Some(&hash(1))).unwrap()[0].present;
    assert!(!present());
    let outcome = place.write(move |tx| tx.observe(&seen));
    assert_eq!((outcome.change, outcome.state), (change, after));
    assert_eq!(present(), copy);
    assert_eq!(place.reader().file(file).unwrap().unwrap().version, 1);
}

#[test]
fn a_digest_of_what_was_there_before_settles_nothing() {
    let place = Place::new();
    let seen = observed("site", "rawacf", "a");
    let file = {
        let seen = seen.clone();
        place.write(move |tx| tx.observe(&seen)).file
    };
    let mut changed = seen.clone();
    changed.stat.size += 1;
    place.write(move |tx| tx.observe(&changed));
    assert!(!place.write(move |tx| tx.settle(file, &settled(&seen, 1))));
    assert_eq!(place.reader().file(file).unwrap().unwrap().state, FileState::Settling);
}

#[test]
fn a_file_becomes_another_product_without_being_hashed_again() {
    let place = Place::new();
    let seen = observed("site", "rawacf", "a");
    let file = place.present(seen.clone(), 1);
    let mut other = seen;
    other.identity.product = "special".to_owned();
    let outcome = place.write(move |tx| tx.observe(&other));
    assert_eq!((outcome.change, outcome.state), (Change::Reclassified, FileState::Settling));
    let row = place.reader().file(file).unwrap().unwrap();
    assert_eq!((row.product.as_str(), row.content, row.version), ("special", Some(hash(1)), 1));
    assert_eq!(place.reader().count(None, "rawacf", &[]).unwrap(), 0);
    assert_eq!(place.reader().count(Some("site"), "special", &[FileState::Settling]).unwrap(), 1);
}

#[test]
fn an_output_is_present_at_once_even_when_the_watcher_saw_it_first() {
    let place = Place::new();
    for first in [false, true] {
        let name = if first { "b" } else { "a" };
        let seen = observed("site", "plot", name);
        if first {
            let seen = seen.clone();
            place.write(move |tx| tx.observe(&seen));
        }
        let output = Output {
            station: "site".to_owned(),
            path: path(name),
            identity: seen.identity.clone(),
            stat: seen.stat,
            content: hash(3),
            data_hash: Some(hash(4)),
            indexed: vec!["name".to_owned()],
            origin: Origin::Made,
            run: None,
            verify_mode: "stream".to_owned(),
            at: t(5),
        };
        let file = place.write(move |tx| tx.put_output(&output));
        let row = place.reader().file(file).unwrap().unwrap();
        assert_eq!((row.state, row.origin, row.closed), (FileState::Present, Origin::Made, true));
        assert_eq!((row.content, row.data_hash), (Some(hash(3)), Some(hash(4))));
        assert_eq!(place.write(move |tx| tx.observe(&seen)).change, Change::Same);
        let found = place.reader().files_by_field(Some("site"), "plot", "name", &Value::from(name)).unwrap();
        assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), [file]);
    }
    assert_eq!(place.reader().files_by_field(None, "plot", "site", &Value::from("sas")).unwrap().len(), 0);
}

#[test]
fn odd_values_come_back_as_they_went_in() {
    let place = Place::new();
    let name = RelPath::from_bytes(b"odd \\ \xff\n'\"%_name");
    let mut seen = observed("site", "rawacf", "x");
    seen.path = name.clone();
    seen.stat = Stat { size: 1 << 62, mtime_ns: i64::MIN, ctime_ns: -1, ino: u64::MAX, dev: u64::MAX };
    seen.identity.fields.insert("f".to_owned(), Value::Float(0.1));
    seen.identity.fields.insert("n".to_owned(), Value::Float(f64::NAN));
    seen.identity
        .fields
        .insert("l".to_owned(), Value::List(vec![Value::Int(1), Value::Float(f64::INFINITY), Value::Time(t(0))]));
    seen.identity.start = Some(thalweg_core::Timestamp::MIN);
    seen.identity.end = Some(thalweg_core::Timestamp::MAX);
    seen.identity.suspect = Some("year 9999".to_owned());
    let file = place.present(seen.clone(), 1);
    let row = place.reader().file(file).unwrap().unwrap();
    assert_eq!((row.path, row.stat), (name, seen.stat));
    assert_eq!(row.fields["f"], Value::Float(0.1));
    assert_eq!(row.fields["n"], Value::from("NaN"));
    assert_eq!(row.fields["l"], Value::List(vec![Value::Int(1), Value::from("inf"), Value::Time(t(0))]));
    assert_eq!(row.suspect.as_deref(), Some("year 9999"));
    let known: Vec<_> = place.reader().known_files("site").unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(known[0].ino, u64::MAX);
    serde_json::to_string(&place.reader().file(file).unwrap()).unwrap();
}

#[test]
fn deleting_by_a_rule_leaves_an_audit() {
    let place = Place::new();
    let file = place.present(observed("site", "rawacf", "a"), 1);
    let evidence = serde_json::json!([{ "receipt": 1 }]);
    place.write(move |tx| tx.retire(file, "radar-disk", &evidence, None, t(50)));
    let row = place.reader().file(file).unwrap().unwrap();
    assert_eq!((row.state, row.why.as_deref()), (FileState::Retired, Some("radar-disk")));
    assert_eq!(row.content, Some(hash(1)), "a retired input counts on with its last hash");
    let audit = place.reader().retirements(&Default::default()).unwrap();
    assert_eq!((audit.len(), audit[0].size, audit[0].content), (1, 100, Some(hash(1))));
    assert_eq!(audit[0].receipts[0]["receipt"], 1);
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let place = Place::new();
    let error = place.ledger.write(|tx| tx.set_state(thalweg_ledger::FileId(7), FileState::Gone, None, t(0)));
    assert!(matches!(error, Err(Error::NoSuch { what: "file", .. })), "{error:?}");
}

#[test]
fn what_is_known_below_a_folder_leaves_its_neighbours_out() {
    let place = Place::new();
    let paths = ["a", "a.b", "a/1", "a/2/3", "a0", "ab/1", "b/a/1"];
    place.ledger.bulk_observe(paths.iter().map(|path| observed("site", "rawacf", path)), |_, _| {}).unwrap();
    let below = |folder: &str| -> Vec<String> {
        let reader = place.reader();
        let files = reader.known_files_below("site", &RelPath::from_text(folder)).unwrap();
        files.map(|file| file.unwrap().path.as_str().to_owned()).collect()
    };
    assert_eq!(below("a"), ["a", "a/1", "a/2/3"]);
    assert_eq!(below("b"), ["b/a/1"]);
    assert_eq!(below("c"), [""; 0]);
    assert_eq!(below(""), paths);
}

#[test]
fn a_scan_is_recorded_in_parts_and_told_in_order() {
    let place = Place::new();
    let scan = || (0..45_000).map(|n| observed("site", "rawacf", &format!("{n:06}")));
    let mut told = 0;
    let outcome = place.ledger.bulk_observe(scan(), |seen, outcome| {
        assert_eq!(seen.path.as_str(), format!("{told:06}"));
        assert_eq!(outcome.change, Change::New);
        told += 1;
    });
    assert_eq!((outcome.unwrap().new, told), (45_000, 45_000));
    let again = place.ledger.bulk_observe(scan().take(100), |_, _| {}).unwrap();
    assert_eq!((again.new, again.same), (0, 100));
    let known: Vec<_> = place.reader().known_files("site").unwrap().map(|file| file.unwrap().path).collect();
    assert_eq!(known.len(), 45_000);
    assert!(known.is_sorted());
    assert_eq!(place.reader().tallies().unwrap()[0].bytes, 4_500_000);
}

#[test]
fn a_new_name_keeps_the_history() {
    let place = Place::new();
    let file = place.present(observed("site", "rawacf", "a"), 1);
    assert!(place.write(|tx| tx.rename_product("rawacf", "acf")));
    assert_eq!(place.reader().file(file).unwrap().unwrap().product, "acf");
    // The old name is free again and begins anew.
    let other = place.present(observed("site", "rawacf", "b"), 2);
    assert_eq!(place.reader().file(other).unwrap().unwrap().product, "rawacf");
    assert!(!place.write(|tx| tx.rename_product("never", "x")));
    let error = place.ledger.write(|tx| tx.rename_product("rawacf", "acf"));
    assert!(matches!(error, Err(Error::NameTaken { .. })), "{error:?}");
}

#[derive(Debug, Clone)]
enum Act {
    Observe { name: u8, product: bool, size: u64, settle: bool },
    State { name: u8, state: usize },
    Fail { name: u8 },
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 32, ..Default::default() })]

    #[test]
    fn counts_are_those_of_the_rows(acts in proptest::collection::vec(acts(), 0..60)) {
        let place = Place::new();
        let reader = place.reader();
        for act in acts {
            // An act on a file that is not there, and one that fails on purpose, must leave the counts alone.
            let _ = place.ledger.write(move |tx| match act {
                Act::Observe { name, product, size, settle } => {
                    let mut seen = observed("site", if product { "p" } else { "q" }, &name.to_string());
                    seen.stat.size = size;
                    let file = tx.observe(&seen)?.file;
                    if settle { tx.settle(file, &settled(&seen, size)).map(drop) } else { Ok(()) }
                }
                Act::State { name, state } => {
                    let file = tx.reader().file_at("site", &path(&name.to_string()))?.map(|row| row.id);
                    file.map_or(Ok(()), |file| tx.set_state(file, FileState::ALL[state], None, t(0)))
                }
                Act::Fail { name } => {
                    tx.observe(&observed("site", "r", &name.to_string()))?;
                    tx.set_state(thalweg_ledger::FileId(99), FileState::Gone, None, t(0))
                }
            });
        }
        let mut expected = std::collections::BTreeMap::new();
        for row in reader.page(&Default::default(), 1000).unwrap() {
            let tally: &mut (u64, u64) = expected.entry((row.product, row.state)).or_default();
            *tally = (tally.0 + 1, tally.1 + row.stat.size);
        }
        let counted: Vec<_> = reader.tallies().unwrap().into_iter().map(|t| ((t.product, t.state), (t.files, t.bytes))).collect();
        proptest::prop_assert_eq!(counted, expected.into_iter().collect::<Vec<_>>());
    }
}

fn acts() -> impl proptest::strategy::Strategy<Value = Act> {
    use proptest::prelude::*;
    prop_oneof![
        4 => (0..6_u8, any::<bool>(), 1..4_u64, any::<bool>())
            .prop_map(|(name, product, size, settle)| Act::Observe { name, product, size, settle }),
        2 => (0..6_u8, 0..FileState::ALL.len()).prop_map(|(name, state)| Act::State { name, state }),
        1 => (6..9_u8).prop_map(|name| Act::Fail { name }),
    ]
}
