//! The store in memory: the suite, failures on purpose, and what its hook is told.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use rstest::rstest;
use thalweg_core::{ManualClock, RelPath, Timestamp};
use thalweg_store::{Fault, Kind, MemoryStore, Moment, OldContent, Publish, Store, StoreError, conformance};

pub(crate) fn store() -> MemoryStore {
    MemoryStore::new("memory", Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)))
}

fn path(text: &str) -> RelPath {
    RelPath::from_text(text)
}

fn stage(store: &MemoryStore, bytes: &[u8]) -> Result<RelPath, StoreError> {
    let staged = store.staging("t", &path("a"))?.join("a");
    let mut file = store.write_staged(&staged, 0, 0)?;
    file.append(bytes)?;
    file.finish(None, None)?;
    Ok(staged)
}

#[rstest]
#[case::as_on_a_disk(false)]
#[case::as_on_nfs(true)]
fn passes_the_suite(#[case] plain: bool) {
    conformance::run(&|| {
        let store = store();
        store.set_plain_renames(plain);
        Box::new(store)
    });
}

#[test]
fn each_call_can_fail_and_the_final_name_holds_nothing_or_all() {
    let publish = |store: &MemoryStore| store.publish(&stage(store, b"content")?, &path("a"), Publish::NoReplace);
    let whole = store();
    publish(&whole).unwrap();
    let calls = whole.calls();
    assert!(calls >= 20, "{calls}");
    let (mut failed, mut absent) = (0, 0);
    for call in 1..=calls {
        let store = store();
        store.inject(Fault::Fail { call });
        let outcome = publish(&store);
        failed += usize::from(outcome.is_err());
        match store.contents(&path("a")) {
            Some(found) => assert_eq!(found, b"content", "call {call}"),
            None => absent += 1,
        }
        match outcome {
            Ok(_) => assert!(store.contents(&path("a")).is_some(), "call {call}"),
            Err(StoreError::Io { .. } | StoreError::Unavailable { .. }) => {}
            Err(error) => panic!("call {call}: {error}"),
        }
        store.clear_faults();
        match publish(&store) {
            Ok(_) | Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => panic!("call {call}, again: {error}"),
        }
        assert_eq!(store.contents(&path("a")).unwrap(), b"content");
    }
    assert!(failed >= 20 && absent >= 15, "{failed} failed, {absent} times nothing was there");
}

#[test]
fn a_publish_can_happen_and_yet_seem_to_fail() {
    let happened = |ahead| {
        let store = store();
        let staged = stage(&store, b"content").unwrap();
        store.inject(Fault::FailAfter { call: store.calls() + ahead });
        store.publish(&staged, &path("a"), Publish::NoReplace).is_err() && store.contents(&path("a")).is_some()
    };
    assert!((1..30).any(happened));
}

#[test]
fn a_torn_write_leaves_half_in_staging() {
    let store = store();
    store.inject(Fault::TornWrite { call: 1 });
    assert!(stage(&store, b"0123456789").is_err());
    assert_eq!(store.contents(&path(".thalweg-staging/t/a")).unwrap(), b"01234");
}

#[test]
fn a_full_disk_says_so() {
    let store = store();
    store.set_capacity(Some(8));
    assert!(matches!(stage(&store, b"0123456789"), Err(StoreError::Full { .. })));
    assert_eq!(store.contents(&path(".thalweg-staging/t/a")).unwrap(), b"01234567", "as far as there was room");
    let large = 1 << 20;
    assert!(matches!(store.write_staged(&path(".thalweg-staging/t/b"), 0, large), Err(StoreError::Full { .. })));
    assert_eq!(store.free_space().unwrap().free, 0);
    store.set_capacity(None);
    stage(&store, b"0123456789").unwrap();
    store.discard_staging(&path(".thalweg-staging/t")).unwrap();
    store.set_capacity(Some(8));
    assert_eq!(store.free_space().unwrap().free, 8, "what is removed takes no room");
}

#[test]
fn a_power_cut_takes_what_was_not_flushed() {
    let store = store();
    store.put(&path("settled"), b"before");
    store.settle();
    store.append(&path("settled"), b" and after");
    store.put(&path("flushed/file"), b"before");
    store.flush(&path("flushed/file")).unwrap();
    store.flush(&path("flushed")).unwrap();
    store.put(&path("unflushed"), b"before");
    let staged = stage(&store, b"unflushed").unwrap();
    store.power_cut();
    assert_eq!(store.contents(&path("settled")).unwrap(), b"before");
    assert_eq!(store.contents(&path("flushed/file")).unwrap(), b"before");
    assert_eq!(store.contents(&path("unflushed")), None);
    assert_eq!(store.contents(&staged), None);
    let staged = stage(&store, b"content").unwrap();
    store.publish(&staged, &path("a"), Publish::NoReplace).unwrap();
    store.power_cut();
    assert_eq!(store.contents(&path("a")).unwrap(), b"content", "what was published stays");
}

#[test]
fn a_rename_that_the_disk_loses_is_undone() {
    let store = store();
    let staged = stage(&store, b"content").unwrap();
    store.inject(Fault::RenameLost { call: 1 });
    store.publish(&staged, &path("a"), Publish::NoReplace).unwrap();
    assert!(store.contents(&path("a")).is_some());
    store.power_cut_seeded(7);
    assert_eq!(store.contents(&path("a")), None);
}

#[test]
fn seeds_choose_what_a_power_cut_leaves() {
    let left = |seed| {
        let store = store();
        store.put(&path("a"), b"kept");
        store.settle();
        store.append(&path("a"), b"12345678");
        store.put(&path("b"), b"b");
        store.put(&path("c"), b"c");
        store.power_cut_seeded(seed);
        let names = ["b", "c"].map(|name| store.stat(&path(name)).unwrap().map(|meta| meta.kind));
        (store.contents(&path("a")).unwrap(), names)
    };
    let all: Vec<_> = (0..200).map(left).collect();
    assert_eq!(all[3], left(3), "the same seed leaves the same");
    assert!(all.iter().all(|(bytes, _)| bytes.starts_with(b"kept")), "flushed bytes stay");
    type Way = (&'static str, fn(&[u8]) -> bool);
    let ways: [Way; 5] = [
        ("nothing of it", |bytes| bytes == b"kept"),
        ("all of it", |bytes| bytes == b"kept12345678"),
        ("some first part", |bytes| bytes.len() < 12 && bytes.starts_with(b"kept1")),
        ("the size and no bytes", |bytes| bytes == b"kept\0\0\0\0\0\0\0\0"),
        ("the size and some bytes", |bytes| bytes.starts_with(b"kept1") && bytes.ends_with(b"\0")),
    ];
    for (what, wanted) in ways {
        assert!(all.iter().any(|(bytes, _)| wanted(bytes)), "{what} is never left");
    }
    let names = |wanted| all.iter().any(|(_, names)| *names == wanted);
    let there = Some(Kind::File);
    assert!(names([None, None]) && names([there, None]) && names([there, there]));
    assert!(!names([None, there]), "changes of names survive in their order");
}

#[test]
fn what_was_open_before_a_power_cut_is_of_no_use() {
    let store = store();
    store.put(&path("a"), b"content");
    store.settle();
    let mut file = store.open_read(&path("a")).unwrap();
    store.power_cut();
    assert!(file.read(&mut [0; 4]).is_err());
    drop(file);
    assert_eq!(store.contents(&path("a")).unwrap(), b"content");
}

#[test]
fn a_missing_root_is_no_empty_store() {
    let store = store();
    store.put(&path("a"), b"x");
    let mut open = store.open_read(&path("a")).unwrap();
    store.set_available(false);
    assert!(matches!(store.stat(&path("a")), Err(StoreError::Unavailable { .. })));
    assert!(open.read(&mut [0; 4]).is_err());
    store.set_available(true);
    assert!(store.stat(&path("a")).unwrap().is_some());
}

#[test]
fn the_hook_tells_of_each_call_and_of_changed_names() {
    let store = store();
    store.put(&path("old"), b"old");
    let (numbers, names) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (all, changed, inside) = (Arc::clone(&numbers), Arc::clone(&names), store.clone());
    store.set_hook(move |info| {
        all.lock().unwrap().push((info.number(), info.moment()));
        for name in info.changed_names() {
            // The store may be used from inside.
            changed.lock().unwrap().push((info.name(), name.as_str().to_owned(), inside.contents(&name).is_some()));
        }
    });
    let staged = stage(&store, b"content").unwrap();
    store.publish(&staged, &path("x/a"), Publish::NoReplace).unwrap();
    store.move_within(&path("x/a"), &path("b")).unwrap();
    store.write_atomically(&path("note"), b"n").unwrap();
    let meta = store.stat(&path("b")).unwrap().unwrap();
    store.remove_verified(&path("b"), &meta, OldContent::Drop).unwrap();
    store.put(&path("outside"), b"is not told");
    let told: Vec<(&str, String, bool)> = names.lock().unwrap().clone();
    let expected = [
        ("mkdirat", "x", false),
        ("renameat2", "x/a", true),
        ("renameat2", "x/a", false),
        ("renameat2", "b", true),
        ("renameat", "note", true),
        ("renameat2", "b", false),
    ];
    assert_eq!(told, expected.map(|(call, name, there)| (call, name.to_owned(), there)));
    let pairs = numbers.lock().unwrap().clone();
    assert_eq!(pairs.len() as u64, 2 * store.calls());
    for (index, pair) in pairs.chunks(2).enumerate() {
        let number = index as u64 + 1;
        assert_eq!(pair, [(number, Moment::Before), (number, Moment::After)]);
    }
}

#[test]
fn a_caller_that_is_ended_in_the_middle_leaves_a_store_that_works() {
    let store = store();
    let limit = store.calls() + 7;
    store.set_hook(move |info| {
        if info.number() == limit {
            resume_unwind(Box::new("ended"));
        }
    });
    let ended = catch_unwind(AssertUnwindSafe(|| stage(&store, b"content")));
    assert!(ended.is_err());
    store.clear_hook();
    let staged = stage(&store, b"content").unwrap();
    store.publish(&staged, &path("a"), Publish::NoReplace).unwrap();
    assert_eq!(store.contents(&path("a")).unwrap(), b"content");
    assert!(store.open_writers().writer_of(&store.stat(&path("a")).unwrap().unwrap()).is_none());
}
