//! Stores that fail at every single call, and power cuts at each.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use thalweg_core::ErrorClass;
use thalweg_store::{Fault, MemoryStore, Moment, Store};
use thalweg_transfer::{Conflict, CopyOptions, TransferError, Verify, copy_many, copy_verified};

use super::{bytes, memory, path};

/// A destination on which old content has the name, and the choices to replace it.
fn scene(content: &[u8]) -> (MemoryStore, MemoryStore, CopyOptions<'static>) {
    let (source, destination) = (memory("source"), memory("destination"));
    source.put(&path("a"), content);
    destination.put(&path("b"), b"old");
    source.settle();
    destination.settle();
    let conflict = Conflict::Replace { allow_shrink: false, keep_old: Some("day") };
    (source, destination, CopyOptions { conflict, verify: Verify::Readback, ..CopyOptions::new("t") })
}

#[test]
fn whatever_call_fails_the_names_hold_old_or_new_and_a_repeat_converges() {
    let content = bytes((1 << 20) + 5);
    let (source, destination, options) = scene(&content);
    copy_verified(&source, &path("a"), &destination, &path("b"), &options).unwrap();
    let (reads, writes) = (source.calls(), destination.calls());
    assert!(reads > 3 && writes > 8, "{reads} and {writes} calls");
    let mut failures = 0;
    for power_cut in [false, true] {
        for make in [|call| Fault::Fail { call }, |call| Fault::FailAfter { call }, |call| Fault::TornWrite { call }] {
            for call in 1..=writes + reads {
                let (source, destination, options) = scene(&content);
                if call <= writes {
                    destination.inject(make(call));
                } else {
                    source.inject(make(call - writes));
                }
                let outcome = copy_verified(&source, &path("a"), &destination, &path("b"), &options);
                failures += usize::from(outcome.is_err());
                source.clear_faults();
                destination.clear_faults();
                if power_cut {
                    destination.power_cut_seeded(call);
                }
                let now = destination.contents(&path("b")).unwrap();
                assert!(now == content || now == b"old", "call {call}: {} bytes under the final name", now.len());
                assert!(outcome.is_err() || now == content, "call {call}: success without the content");
                let copied = copy_verified(&source, &path("a"), &destination, &path("b"), &options).unwrap();
                assert_eq!(copied.size, content.len() as u64);
                assert_eq!(destination.contents(&path("b")).unwrap(), content);
                let kept: Vec<_> = destination.files().into_iter().map(|(name, _)| name).collect();
                assert!(kept.iter().all(|name| !name.as_str().contains("staging") || kept.len() == 3), "{kept:?}");
            }
        }
    }
    assert!(failures > 60, "{failures} faults were met");
}

/// Copies into an empty destination, one by one or together.
fn deliver(source: &MemoryStore, destination: &MemoryStore, together: bool) -> Result<(), TransferError> {
    let names = [("a", "x/a"), ("b", "x/b"), ("c", "y/z/c")].map(|(from, to)| (path(from), path(to)));
    let options = CopyOptions::new("t");
    if together {
        return copy_many(source, destination, &names, &options).into_iter().try_for_each(|copied| copied.map(|_| ()));
    }
    names.iter().try_for_each(|(from, to)| copy_verified(source, from, destination, to, &options).map(|_| ()))
}

#[test]
fn power_may_go_at_any_call_and_a_delivery_that_was_answered_stays() {
    let contents = [("x/a", &b"the first"[..]), ("x/b", b"the second"), ("y/z/c", b"the third")];
    let stores = || {
        let (source, destination) = (memory("source"), memory("destination"));
        for (name, (_, bytes)) in ["a", "b", "c"].iter().zip(contents) {
            source.put(&path(name), bytes);
        }
        (source, destination)
    };
    for together in [false, true] {
        let (source, destination) = stores();
        deliver(&source, &destination, together).unwrap();
        let calls = destination.calls();
        assert!(calls > 60, "{calls} calls");
        for (call, seed) in (1..=calls + 1).flat_map(|call| (0..4).map(move |seed| (call, seed))) {
            let (source, destination) = stores();
            destination.set_hook(move |info| {
                if info.number() == call {
                    resume_unwind(Box::new("the power goes"));
                }
            });
            let answer = catch_unwind(AssertUnwindSafe(|| deliver(&source, &destination, together)));
            destination.clear_hook();
            if seed == 0 {
                destination.power_cut();
            } else {
                destination.power_cut_seeded(seed);
            }
            let done = matches!(answer, Ok(Ok(())));
            assert_eq!(done, call > calls, "call {call} of {calls}");
            for (name, bytes) in contents {
                match destination.contents(&path(name)) {
                    Some(found) => assert_eq!(found, bytes, "{name}, call {call}, seed {seed}"),
                    None => assert!(!done, "{name} was answered and is gone, seed {seed}"),
                }
            }
            deliver(&source, &destination, together).unwrap();
            for (name, bytes) in contents {
                assert_eq!(destination.contents(&path(name)).unwrap(), bytes, "{name}, again");
            }
        }
    }
}

#[test]
fn what_was_there_already_is_flushed_before_it_counts_as_a_copy() {
    for together in [false, true] {
        let (source, destination) = (memory("source"), memory("destination"));
        source.put(&path("x/a"), b"equal");
        destination.make_folder(&path("x")).unwrap();
        destination.put(&path("x/a"), b"equal");
        let (files, options) = ([(path("x/a"), path("x/a"))], CopyOptions::new("t"));
        let copied = if together {
            copy_many(&source, &destination, &files, &options).remove(0).unwrap()
        } else {
            copy_verified(&source, &path("x/a"), &destination, &path("x/a"), &options).unwrap()
        };
        assert!(copied.already_there);
        destination.power_cut();
        assert_eq!(destination.contents(&path("x/a")).unwrap(), b"equal");
    }
}

#[test]
fn what_is_read_back_was_flushed_and_is_not_taken_from_the_cache() {
    let (source, destination) = (memory("source"), memory("destination"));
    source.put(&path("a"), b"content");
    let (calls, staged) = (Arc::new(Mutex::new(Vec::new())), path(".thalweg-staging/t/content"));
    let seen = Arc::clone(&calls);
    destination.set_hook(move |info| {
        let told = ["pwrite", "fdatasync", "fadvise", "pread", "renameat2"].contains(&info.name());
        if told && info.moment() == Moment::After && info.path() == staged {
            seen.lock().unwrap().push(info.name());
        }
    });
    let options = CopyOptions { verify: Verify::Readback, ..CopyOptions::new("t") };
    copy_verified(&source, &path("a"), &destination, &path("a"), &options).unwrap();
    assert_eq!(*calls.lock().unwrap(), ["pwrite", "fdatasync", "fadvise", "pread", "renameat2"]);
}

#[test]
fn a_full_destination_keeps_nothing_of_what_did_not_fit() {
    let (source, destination) = (memory("source"), memory("destination"));
    source.put(&path("a"), &bytes(3 << 20));
    destination.set_capacity(Some(2 << 20));
    let error = copy_verified(&source, &path("a"), &destination, &path("a"), &CopyOptions::new("t")).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    assert_eq!(destination.files(), []);
    destination.set_capacity(None);
    copy_verified(&source, &path("a"), &destination, &path("a"), &CopyOptions::new("t")).unwrap();
}

#[test]
fn a_rename_that_is_lost_is_made_again() {
    let (source, destination) = (memory("source"), memory("destination"));
    source.put(&path("a"), &bytes(2 << 20));
    destination.inject(Fault::RenameLost { call: 1 });
    copy_verified(&source, &path("a"), &destination, &path("a"), &CopyOptions::new("t")).unwrap();
    destination.power_cut();
    assert_eq!(destination.contents(&path("a")), None);
    let again = copy_verified(&source, &path("a"), &destination, &path("a"), &CopyOptions::new("t")).unwrap();
    assert_eq!(again.hash, source.hash(&path("a"), &mut |_| {}).unwrap().hash);
}

#[test]
fn a_vanished_destination_is_no_conflict() {
    let (source, destination) = (memory("source"), memory("destination"));
    source.put(&path("a"), b"x");
    destination.set_available(false);
    let error = copy_verified(&source, &path("a"), &destination, &path("a"), &CopyOptions::new("t")).unwrap_err();
    assert!(matches!(error, TransferError::Destination { .. }));
    assert_eq!(error.class(), ErrorClass::Transient);
}
