//! The store in memory: the suite, and failures on purpose.

use std::sync::Arc;

use thalweg_core::{ManualClock, RelPath, Timestamp};
use thalweg_store::{Fault, MemoryStore, Publish, Store, StoreError, conformance};

fn store() -> MemoryStore {
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

#[test]
fn passes_the_suite() {
    conformance::run(&|| Box::new(store()));
}

#[test]
fn each_call_can_fail_and_leaves_nothing_under_the_final_name() {
    let publish = |store: &MemoryStore| store.publish(&stage(store, b"content")?, &path("a"), Publish::NoReplace);
    let whole = store();
    publish(&whole).unwrap();
    let calls = whole.calls();
    assert!(calls >= 5);
    for call in 1..=calls {
        let store = store();
        store.inject(Fault::Fail { call });
        assert!(matches!(publish(&store), Err(StoreError::Io { .. })), "call {call}");
        assert_eq!(store.contents(&path("a")), None);
        publish(&store).unwrap();
    }
}

#[test]
fn a_publish_can_happen_and_yet_seem_to_fail() {
    let store = store();
    let staged = stage(&store, b"content").unwrap();
    store.inject(Fault::FailAfter { call: store.calls() + 1 });
    assert!(store.publish(&staged, &path("a"), Publish::NoReplace).is_err());
    assert_eq!(store.contents(&path("a")).unwrap(), b"content");
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
    assert!(matches!(store.write_staged(&path(".thalweg-staging/t/b"), 0, 9), Err(StoreError::Full { .. })));
    store.set_capacity(None);
    stage(&store, b"0123456789").unwrap();
}

#[test]
fn a_power_cut_takes_what_was_not_flushed() {
    let store = store();
    let staged = stage(&store, b"unflushed").unwrap();
    store.put(&path("there"), b"before");
    store.power_cut();
    assert_eq!(store.contents(&staged).unwrap(), [0; 9]);
    assert_eq!(store.contents(&path("there")).unwrap(), b"before");
    let staged = stage(&store, b"content").unwrap();
    store.inject(Fault::RenameLost { call: 1 });
    store.publish(&staged, &path("a"), Publish::NoReplace).unwrap();
    assert!(store.contents(&path("a")).is_some());
    store.power_cut();
    assert_eq!(store.contents(&path("a")), None);
    assert_eq!(store.contents(&staged).unwrap(), b"content", "it was flushed, only its name is gone");
}

#[test]
fn a_missing_root_is_no_empty_store() {
    let store = store();
    store.put(&path("a"), b"x");
    store.set_available(false);
    assert!(matches!(store.stat(&path("a")), Err(StoreError::Unavailable { .. })));
    store.set_available(true);
    assert!(store.stat(&path("a")).unwrap().is_some());
}
