//! What is accepted as a ledger, and what is said of everything else.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use thalweg_core::ErrorClass;
use thalweg_ledger::{Error, Ledger, SCHEMA_VERSION};

use crate::common::*;

#[test]
fn a_ledger_knows_itself() {
    let place = Place::new();
    let id = place.reader().ledger_id().unwrap();
    assert_eq!(id.len(), 36);
    assert_eq!((&id[14..15], id.matches('-').count()), ("4", 4));
    let path = place.path();
    drop(place.ledger);
    let conn = Connection::open(&path).unwrap();
    let pragma = |name: &str| conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((pragma("user_version"), pragma("application_id")), (SCHEMA_VERSION, 0x7468_6C77));
    drop(conn);
    assert_eq!(Ledger::open(&path).unwrap().reader().unwrap().ledger_id().unwrap(), id);
}

#[test]
fn one_whose_making_was_cut_off_is_none_yet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    // What SQLite leaves when the first transaction did not come to its end.
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA journal_mode = WAL; VACUUM").unwrap();
    drop(conn);
    assert!(path.exists());
    assert!(matches!(Ledger::open_read_only(&path), Err(Error::Missing { .. })));
    assert!(matches!(Ledger::open(&path), Err(Error::Missing { .. })));
    Ledger::create(&path).unwrap();
    assert!(Ledger::open_read_only(&path).is_ok());
}

#[test]
fn a_missing_ledger_is_made_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    for error in [Ledger::open(&path).unwrap_err(), Ledger::open_read_only(&path).unwrap_err()] {
        assert!(matches!(error, Error::Missing { .. }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Config);
    }
    assert!(!path.exists());
    drop(Ledger::create(&path).unwrap());
    Ledger::open(&path).unwrap();
}

#[test]
fn a_newer_ledger_is_refused_and_left_alone() {
    let place = Place::new();
    let path = place.path();
    drop(place.ledger);
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let before = std::fs::read(&path).unwrap();
    for error in [
        Ledger::create(&path).unwrap_err(),
        Ledger::open(&path).unwrap_err(),
        Ledger::open_read_only(&path).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Newer { found: 99, known: SCHEMA_VERSION, .. }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Refused);
        assert!(error.to_string().contains("version 99"), "{error}");
        assert!(error.help().unwrap().contains("newer thalweg"));
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_ledger_of_the_first_version_is_brought_up_to_date_with_all_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(include_str!("../../src/schema_v1.sql")).unwrap();
    conn.execute_batch(
        "PRAGMA application_id = 0x74686C77; PRAGMA user_version = 1; \
         INSERT INTO steps (id, name) VALUES (1, 's'); INSERT INTO stations (id, name) VALUES (1, 'a'); \
         INSERT INTO runs (step, step_version, station, key, identity, state, started, attempt, host, program, command, \
         partial, fresh) VALUES (1, 1, 1, 'k', zeroblob(32), 3, 0, 1, 'h', '0.1.0', '[]', 0, 0);",
    )
    .unwrap();
    drop(conn);
    let error = Ledger::open_read_only(&path).unwrap_err();
    assert!(matches!(error, Error::Older { found: 1, .. }), "{error:?}");
    let ledger = Ledger::open(&path).unwrap();
    let runs = ledger.reader().unwrap().runs(&thalweg_ledger::RunFilter::default(), 9).unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].program.as_str(), runs[0].verb_version.as_deref()), ("0.1.0", None));
    drop(ledger);
    let version = Connection::open(&path).unwrap().query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    assert_eq!(version.unwrap(), SCHEMA_VERSION);
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::File::create(&text)
        .unwrap()
        .write_all(&b"not a database at all, whatever its name says\n".repeat(100))
        .unwrap();
    let foreign = folder.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    for path in [&text, &foreign] {
        let before = std::fs::read(path).unwrap();
        for error in [Ledger::create(path).unwrap_err(), Ledger::open_read_only(path).unwrap_err()] {
            assert!(matches!(error, Error::NotALedger { .. }), "{error:?}");
            assert_eq!(error.class(), ErrorClass::Refused);
        }
        assert_eq!(&std::fs::read(path).unwrap(), &before);
    }
    let error = Ledger::create(folder.path().join("no/such/folder/ledger.db")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
}

#[test]
fn damage_is_told_as_such() {
    let place = Place::new();
    let path = place.path();
    place.ledger.bulk_observe((0..3000).map(|n| observed("site", "p", &format!("{n}"))), |_, _| {}).unwrap();
    drop(place.ledger);
    let length = std::fs::metadata(&path).unwrap().len();
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    // The header and the schema stay readable, as after a disk has lost some sectors.
    file.seek(SeekFrom::Start(length / 2)).unwrap();
    file.write_all(&vec![0xA5; usize::try_from(length - length / 2).unwrap()]).unwrap();
    drop(file);
    let ledger = Ledger::open_read_only(&path).unwrap();
    let reader = ledger.reader().unwrap();
    let error = reader.known_files("site").unwrap().find_map(Result::err).unwrap();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Refused);
    assert!(error.help().unwrap().contains("backup"));
}

#[test]
fn reading_only_works_beside_a_writer_and_writes_nothing() {
    let place = Place::new();
    let file = place.present(observed("site", "p", "a"), 1);
    let beside = Ledger::open_read_only(place.path()).unwrap();
    let reader = beside.reader().unwrap();
    assert!(reader.file(file).unwrap().is_some());
    let later = place.present(observed("site", "p", "b"), 2);
    assert!(reader.file(later).unwrap().is_some());
    let error = beside.write(|tx| tx.meta_set("a", "b")).unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Config);
}

const READ_HERE: &str = "THALWEG_LEDGER_TEST_READ_HERE";

/// Not a test by itself: what the child of the next one does.
#[test]
fn child_reads() {
    let Some(path) = std::env::var_os(READ_HERE) else { return };
    let path = Path::new(&path);
    assert!(std::fs::File::create(path.with_extension("probe")).is_err(), "the file system is writable");
    let reader = Ledger::open_read_only(path).unwrap().reader().unwrap();
    assert_eq!(reader.count(None, "p", &[]).unwrap(), 1);
    assert!(Ledger::open(path).is_err());
    println!("read it");
}

#[test]
fn a_read_only_file_system_is_enough_for_reading() {
    let place = Place::new();
    place.present(observed("site", "p", "a"), 1);
    let Place { folder, ledger } = place;
    drop(ledger);
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let mut child = Command::new("unshare");
    child.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg("sh").arg(folder.path());
    child.arg(std::env::current_exe().unwrap()).args(["--exact", "opening::child_reads", "--nocapture"]);
    child.env(READ_HERE, folder.path().join("ledger.db"));
    let Ok(output) = child.output() else {
        eprintln!("skipped: unshare not present");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if !said.contains("running 1 test") {
        eprintln!("skipped: no mount namespace of one's own here: {errors}");
        return;
    }
    assert!(output.status.success() && said.contains("read it"), "{said}\n{errors}");
}
