//! Other content has the name.

use rstest::rstest;
use thalweg_core::ErrorClass;
use thalweg_store::{MemoryStore, Store};
use thalweg_transfer::{Conflict, Copied, CopyOptions, TransferError, copy_verified};

use super::{memory, path};

fn copy(source: &MemoryStore, destination: &MemoryStore, conflict: Conflict<'_>) -> Result<Copied, TransferError> {
    let options = CopyOptions { conflict, ..CopyOptions::new("t") };
    copy_verified(source, &path("d/a"), destination, &path("d/a"), &options)
}

fn two(here: &str, there: &str) -> (MemoryStore, MemoryStore) {
    let (source, destination) = (memory("source"), memory("destination"));
    source.put(&path("d/a"), here.as_bytes());
    destination.put(&path("d/a"), there.as_bytes());
    (source, destination)
}

#[rstest]
#[case("new content", "old content")]
#[case("longer content", "short")]
fn refused_conflicts_touch_nothing(#[case] here: &str, #[case] there: &str) {
    let (source, destination) = two(here, there);
    let before = destination.files();
    let error = copy(&source, &destination, Conflict::Refuse).unwrap_err();
    assert!(matches!(error, TransferError::Conflict { .. }));
    assert_eq!(error.class(), ErrorClass::Refused);
    assert_eq!(destination.files(), before);
    assert_eq!(destination.contents(&path("d/a")).unwrap(), there.as_bytes());
}

#[test]
fn same_size_and_time_is_not_same_content() {
    let (source, destination) = two("content 1", "content 2");
    source.set_mtime(&path("d/a"), 5).unwrap();
    destination.set_mtime(&path("d/a"), 5).unwrap();
    assert!(matches!(copy(&source, &destination, Conflict::Refuse), Err(TransferError::Conflict { .. })));
}

#[test]
fn versions_go_beside() {
    let (source, destination) = two("second", "first");
    let copied = copy(&source, &destination, Conflict::Version).unwrap();
    assert_eq!(copied.path, path("d/a.v2"));
    assert!(copy(&source, &destination, Conflict::Version).unwrap().already_there, "the same version is found again");
    source.put(&path("d/a"), b"third!");
    assert_eq!(copy(&source, &destination, Conflict::Version).unwrap().path, path("d/a.v3"));
    assert_eq!(destination.contents(&path("d/a")).unwrap(), b"first");
}

#[test]
fn quarantine_keeps_both() {
    let (source, destination) = two("second", "first");
    let folder = path("conflicts");
    let conflict = Conflict::Quarantine { folder: &folder };
    assert_eq!(copy(&source, &destination, conflict).unwrap().path, path("conflicts/d/a"));
    assert!(copy(&source, &destination, conflict).unwrap().already_there);
    source.put(&path("d/a"), b"third");
    assert_eq!(copy(&source, &destination, conflict).unwrap().path, path("conflicts/d/a.v2"));
}

#[test]
fn replacing_keeps_the_old_when_asked_and_guards_against_shrinking() {
    let (source, destination) = two("second", "first, and much longer");
    let conflict = Conflict::Replace { allow_shrink: false, keep_old: Some("2026-01-02") };
    let error = copy(&source, &destination, conflict).unwrap_err();
    assert!(matches!(error, TransferError::Shrinks { old_size: 22, new_size: 6, .. }));
    let conflict = Conflict::Replace { allow_shrink: true, keep_old: Some("2026-01-02") };
    copy(&source, &destination, conflict).unwrap();
    assert_eq!(destination.contents(&path("d/a")).unwrap(), b"second");
    assert_eq!(destination.contents(&path(".thalweg-trash/2026-01-02/d/a")).unwrap(), b"first, and much longer");
    source.put(&path("d/a"), b"third!");
    copy(&source, &destination, Conflict::Replace { allow_shrink: false, keep_old: None }).unwrap();
    assert_eq!(destination.contents(&path("d/a")).unwrap(), b"third!");
    assert_eq!(destination.files().len(), 2);
}

#[test]
fn older_content_gives_way_and_newer_stays() {
    let (source, destination) = two("here", "there");
    let conflict = Conflict::ReplaceOlder { allow_shrink: true, keep_old: None };
    source.set_mtime(&path("d/a"), 10).unwrap();
    destination.set_mtime(&path("d/a"), 20).unwrap();
    assert!(matches!(copy(&source, &destination, conflict), Err(TransferError::Conflict { .. })));
    destination.set_mtime(&path("d/a"), 9).unwrap();
    copy(&source, &destination, conflict).unwrap();
    assert_eq!(destination.contents(&path("d/a")).unwrap(), b"here");
    // Of the same time exactly one wins, whichever way it is asked.
    let (left, right) = two("left!", "right");
    left.set_mtime(&path("d/a"), 7).unwrap();
    right.set_mtime(&path("d/a"), 7).unwrap();
    let one = copy(&left, &right, conflict).is_ok();
    let (left, right) = two("left!", "right");
    left.set_mtime(&path("d/a"), 7).unwrap();
    right.set_mtime(&path("d/a"), 7).unwrap();
    assert_ne!(one, copy(&right, &left, conflict).is_ok());
}

#[test]
fn a_folder_in_the_way_is_a_conflict() {
    let (source, destination) = (memory("source"), memory("destination"));
    source.put(&path("d/a"), b"file");
    destination.put(&path("d/a/b"), b"folder");
    for conflict in [Conflict::Refuse, Conflict::Replace { allow_shrink: true, keep_old: None }] {
        assert!(matches!(copy(&source, &destination, conflict), Err(TransferError::Conflict { .. })));
    }
    assert_eq!(destination.contents(&path("d/a/b")).unwrap(), b"folder");
}
