//! Power cuts at every call of every operation that promises something.
//!
//! Each deed below is ended at each of its calls to the disk, before it and after it, and as if the call had failed; then
//! the power goes, and what the medium holds by several seeds is looked at. A flush or a rename that is left out of the
//! store's code makes these fail.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use rstest::rstest;
use thalweg_core::RelPath;
use thalweg_store::{Fault, MemoryStore, Moment, OldContent, Publish, Store, StoreError};

use super::memory::store;

/// Seeds of power cuts that are tried at each place, beside the one that leaves nothing unflushed.
const SEEDS: u64 = 5;

/// What stands under final names.
type Names = BTreeMap<&'static str, &'static str>;

/// One operation, and what may be found after it was cut off.
struct Deed {
    /// What other programs had put there long before.
    before: &'static [(&'static str, &'static str)],
    act: fn(&MemoryStore) -> Result<(), StoreError>,
    /// What stands there once it was done: what a success promises.
    after: &'static [(&'static str, &'static str)],
    /// A success promises no more than one of the two states.
    either: bool,
    /// Contents that must be somewhere in the store, in the trash at least.
    kept: &'static [&'static str],
    /// Doing it once more succeeds, whatever the first attempt left.
    repeats: bool,
}

impl Default for Deed {
    fn default() -> Self {
        Self { before: &[], act: |_| Ok(()), after: &[], either: false, kept: &[], repeats: false }
    }
}

fn path(text: &str) -> RelPath {
    RelPath::from_text(text)
}

/// Stages in small pieces, so that there is a middle.
fn stage(store: &MemoryStore, name: &str, bytes: &str) -> Result<RelPath, StoreError> {
    let staged = store.staging("t", &path("x"))?.join(name);
    let mut file = store.write_staged(&staged, 0, 0)?;
    for part in bytes.as_bytes().chunks(3) {
        file.append(part)?;
    }
    file.finish(Some(1_000_000_000), Some(0o640))?;
    Ok(staged)
}

fn replace(store: &MemoryStore, old: OldContent<'_>) -> Result<(), StoreError> {
    let staged = stage(store, "a", "the new one")?;
    let target = path("d/a");
    let expected = store.stat(&target)?.ok_or(StoreError::NotFound { action: "look", path: target.clone() })?;
    store.publish(&staged, &target, Publish::Replace { expected: &expected, old })?;
    store.discard_staging(&path(".thalweg-staging/t"))
}

fn remove(store: &MemoryStore, name: &str, old: OldContent<'_>) -> Result<(), StoreError> {
    match store.stat(&path(name))? {
        Some(expected) => store.remove_verified(&path(name), &expected, old),
        None => Ok(()),
    }
}

fn publish() -> Deed {
    Deed {
        act: |store| {
            let staged = stage(store, "a", "the content")?;
            let meta = store.publish(&staged, &path("x/y/a"), Publish::NoReplace)?;
            assert_eq!((meta.mtime_ns, meta.mode), (1_000_000_000, 0o640));
            store.discard_staging(&path(".thalweg-staging/t"))
        },
        after: &[("x/y/a", "the content")],
        ..Deed::default()
    }
}

fn publish_folder() -> Deed {
    Deed {
        act: |store| {
            stage(store, "unit/one", "first")?;
            stage(store, "unit/sub/two", "second")?;
            store.make_folder(&path(".thalweg-staging/t/unit/empty"))?;
            store.publish(&path(".thalweg-staging/t/unit"), &path("x/u"), Publish::NoReplace).map(|_| ())
        },
        after: &[("x/u/one", "first"), ("x/u/sub/two", "second"), ("x/u/empty/", "")],
        ..Deed::default()
    }
}

fn publish_all() -> Deed {
    Deed {
        act: |store| {
            let names = ["a", "x/b", "x/y/c"];
            let files: Result<Vec<_>, _> = names
                .iter()
                .map(|name| Ok((stage(store, &name.replace('/', "-"), &format!("content of {name}"))?, path(name))))
                .collect();
            store.publish_all(&files?).into_iter().try_for_each(|result| result.map(|_| ()))
        },
        after: &[("a", "content of a"), ("x/b", "content of x/b"), ("x/y/c", "content of x/y/c")],
        ..Deed::default()
    }
}

fn replace_dropping() -> Deed {
    Deed {
        before: &[("d/a", "the old one, longer")],
        act: |store| replace(store, OldContent::Drop),
        after: &[("d/a", "the new one")],
        repeats: true,
        ..Deed::default()
    }
}

fn replace_keeping() -> Deed {
    Deed {
        act: |store| replace(store, OldContent::Trash { day: "2026-01-02" }),
        kept: &["the old one, longer"],
        ..replace_dropping()
    }
}

fn remove_for_good() -> Deed {
    Deed {
        before: &[("d/a", "content"), ("d/b", "neighbour")],
        act: |store| remove(store, "d/a", OldContent::Drop),
        after: &[("d/b", "neighbour")],
        either: true,
        repeats: true,
        ..Deed::default()
    }
}

fn remove_keeping() -> Deed {
    Deed {
        act: |store| {
            remove(store, "d/a", OldContent::Trash { day: "2026-01-02" })?;
            // Flushes the folder from which it went.
            store.write_atomically(&path("d/b"), b"neighbour")
        },
        kept: &["content"],
        ..remove_for_good()
    }
}

fn move_within() -> Deed {
    Deed {
        before: &[("in/a", "content")],
        act: |store| store.move_within(&path("in/a"), &path("out/deep/a")),
        after: &[("out/deep/a", "content")],
        kept: &["content"],
        ..Deed::default()
    }
}

fn move_folder() -> Deed {
    Deed {
        before: &[("in/u/a", "content"), ("in/u/b", "other")],
        act: |store| store.move_within(&path("in/u"), &path("out/u")),
        after: &[("out/u/a", "content"), ("out/u/b", "other")],
        kept: &["content", "other"],
        ..Deed::default()
    }
}

fn write_new() -> Deed {
    Deed {
        act: |store| store.write_atomically(&path("reports/run.json"), b"{ a report }"),
        after: &[("reports/run.json", "{ a report }")],
        repeats: true,
        ..Deed::default()
    }
}

fn write_over() -> Deed {
    Deed { before: &[("reports/run.json", "old report of another length")], ..write_new() }
}

fn touch() -> Deed {
    Deed { act: |store| store.touch(&path("flags/go")), after: &[("flags/go", "")], repeats: true, ..Deed::default() }
}

fn make_folder() -> Deed {
    Deed { act: |store| store.make_folder(&path("a/b/c")), after: &[("a/b/c/", "")], repeats: true, ..Deed::default() }
}

fn link() -> Deed {
    Deed {
        before: &[("a", "content")],
        act: |store| store.link(&path("a"), &path("x/b")),
        after: &[("a", "content"), ("x/b", "content")],
        ..Deed::default()
    }
}

fn all_deeds() -> Vec<(&'static str, Deed)> {
    vec![
        ("publish", publish()),
        ("publish a folder", publish_folder()),
        ("publish many", publish_all()),
        ("replace", replace_dropping()),
        ("replace, keeping", replace_keeping()),
        ("remove", remove_for_good()),
        ("remove, keeping", remove_keeping()),
        ("move", move_within()),
        ("move a folder", move_folder()),
        ("write", write_new()),
        ("write over", write_over()),
        ("touch", touch()),
        ("make a folder", make_folder()),
        ("link", link()),
    ]
}

/// How a deed is cut off.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// The caller ends before the call.
    Before(u64),
    /// The caller ends after the call.
    After(u64),
    /// The call fails; the caller goes on as it likes.
    Fails(u64),
    /// The call works and seems to fail.
    SeemsToFail(u64),
}

/// A store with what stood there before; nothing of it is new to the medium.
fn scene(deed: &Deed, plain: bool) -> MemoryStore {
    let store = store();
    store.set_plain_renames(plain);
    for (name, bytes) in deed.before {
        store.put(&path(name), bytes.as_bytes());
    }
    store.settle();
    store
}

/// Does the deed, perhaps not to its end; tells if it was answered with success.
fn act(deed: &Deed, store: &MemoryStore, cut: Option<Cut>) -> bool {
    match cut {
        Some(Cut::Before(call) | Cut::After(call)) => {
            let moment = if matches!(cut, Some(Cut::Before(_))) { Moment::Before } else { Moment::After };
            store.set_hook(move |info| {
                if (info.number(), info.moment()) == (call, moment) {
                    // As a kill: nothing is printed and nothing tidied up.
                    resume_unwind(Box::new("killed"));
                }
            });
        }
        Some(Cut::Fails(call)) => store.inject(Fault::Fail { call }),
        Some(Cut::SeemsToFail(call)) => store.inject(Fault::FailAfter { call }),
        None => {}
    }
    let answer = catch_unwind(AssertUnwindSafe(|| (deed.act)(store)));
    store.clear_hook();
    store.clear_faults();
    matches!(answer, Ok(Ok(())))
}

fn is_private(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with(".thalweg-"))
}

/// Looks at the final names after the deed was cut off, or done.
fn look(deed: &Deed, store: &MemoryStore, done: bool, context: &str) {
    let before: Names = deed.before.iter().copied().collect();
    let after: Names = deed.after.iter().copied().collect();
    let mut found = BTreeMap::new();
    let mut contents = Vec::new();
    for (name, _) in store.files() {
        let bytes = String::from_utf8(store.contents(&name).unwrap()).unwrap();
        contents.push(bytes.clone());
        if !is_private(name.as_str()) {
            found.insert(name.as_str().to_owned(), bytes);
        }
    }
    for name in after.keys().filter(|name| name.ends_with('/')) {
        if store.stat(&path(name.trim_end_matches('/'))).unwrap().is_some() {
            found.insert((*name).to_owned(), String::new());
        }
    }
    for (name, bytes) in &found {
        let expected = [before.get(&name[..]), after.get(&name[..])];
        let good = expected.into_iter().flatten().any(|expected| expected == bytes);
        assert!(good, "{context}: {name} holds {bytes:?}");
    }
    let whole = |names: &Names| names.iter().all(|(name, bytes)| found.get(*name).is_some_and(|found| found == bytes));
    for (name, bytes) in before.iter().filter(|(name, _)| after.contains_key(*name)) {
        assert!(found.contains_key(*name), "{context}: {name} with {bytes:?} is gone");
    }
    for kept in deed.kept {
        assert!(contents.iter().any(|bytes| bytes == kept), "{context}: {kept:?} is lost");
    }
    if done {
        let is_after = whole(&after) && found.len() == after.len();
        assert!(is_after || (deed.either && whole(&before)), "{context}: a success, but there is {found:?}");
    }
}

#[rstest]
fn names_hold_old_or_new_wherever_power_goes(#[values(false, true)] plain: bool) {
    let tried: usize = all_deeds().iter().map(|(name, deed)| cut_everywhere(name, deed, plain)).sum();
    assert!(tried > 1000, "{tried} ways to be cut off");
}

/// Cuts one deed off in every way; returns in how many.
fn cut_everywhere(name: &str, deed: &Deed, plain: bool) -> usize {
    let whole = scene(deed, plain);
    let calls = whole.calls();
    assert!(act(deed, &whole, None), "{name} works when nothing fails");
    look(deed, &whole, !deed.either, name);
    let calls = calls + 1..=whole.calls();
    let mut cuts: Vec<Option<Cut>> = vec![None];
    for call in calls {
        cuts.extend([Cut::Before(call), Cut::After(call), Cut::Fails(call), Cut::SeemsToFail(call)].map(Some));
    }
    for cut in &cuts {
        for seed in std::iter::once(None).chain((0..SEEDS).map(Some)) {
            let context = format!("{name}, plain {plain}, {cut:?}, power cut {seed:?}");
            let store = scene(deed, plain);
            let done = act(deed, &store, *cut);
            match seed {
                None => store.power_cut(),
                Some(seed) => store.power_cut_seeded(seed),
            }
            look(deed, &store, done, &context);
            // The next attempt meets what the first one left, as the same process number.
            again(deed, &store, &context);
        }
        if !matches!(cut, Some(Cut::Fails(_) | Cut::SeemsToFail(_))) {
            // A killed process loses nothing that it wrote.
            let store = scene(deed, plain);
            let done = act(deed, &store, *cut);
            look(deed, &store, done, &format!("{name}, plain {plain}, {cut:?}, no power cut"));
            again(deed, &store, &format!("{name}, plain {plain}, {cut:?}, no power cut, again"));
        }
    }
    cuts.len()
}

/// Does the deed once more, to its end, after other programs brought again what is gone.
fn again(deed: &Deed, store: &MemoryStore, context: &str) {
    if deed.repeats {
        for (name, bytes) in deed.before.iter().filter(|(name, _)| store.contents(&path(name)).is_none()) {
            store.put(&path(name), bytes.as_bytes());
        }
    }
    match (deed.act)(store) {
        Ok(()) => {}
        // What the first attempt made already is no failure.
        Err(StoreError::AlreadyExists { .. } | StoreError::NotFound { .. }) if !deed.repeats => {}
        Err(error) => panic!("{context}, again: {error}"),
    }
    look(deed, store, false, context);
}

#[rstest]
#[case::one_file(&["d/a"], &["d/a"])]
#[case::a_folder_with_all_below(&["d/u/x", "d/u/sub/y"], &["d/u"])]
#[case::several(&["d/a", "e/b", "e/c"], &["d/a", "e/b", "e/c"])]
fn what_others_wrote_stays_once_it_was_flushed(#[case] written: &[&str], #[case] flushed: &[&str]) {
    let list: Vec<RelPath> = flushed.iter().map(|name| path(name)).collect();
    for seed in std::iter::once(None).chain((0..20).map(Some)) {
        for together in [false, true] {
            let store = store();
            for folder in ["d", "e"] {
                store.make_folder(&path(folder)).unwrap();
            }
            for name in written {
                store.put(&path(name), name.as_bytes());
            }
            if together {
                store.flush_all(&list).into_iter().for_each(Result::unwrap);
            } else {
                list.iter().for_each(|name| store.flush(name).unwrap());
            }
            seed.map_or_else(|| store.power_cut(), |seed| store.power_cut_seeded(seed));
            for name in written {
                assert_eq!(store.contents(&path(name)).as_deref(), Some(name.as_bytes()), "seed {seed:?}");
            }
        }
    }
}

#[rstest]
fn a_folder_that_was_found_lasts_with_what_is_named_in_it(#[values("publish", "write", "move", "flush")] deed: &str) {
    for seed in std::iter::once(None).chain((0..20).map(Some)) {
        let store = store();
        // Made a moment ago by somebody who was ended before he could flush its name.
        store.put(&path("day/hour/other"), b"other");
        let name = path("day/hour/a");
        match deed {
            "publish" => {
                let staged = stage(&store, "a", "a").unwrap();
                store.publish(&staged, &name, Publish::NoReplace).unwrap();
            }
            "write" => store.write_atomically(&name, b"a").unwrap(),
            "move" => {
                store.write_atomically(&path("a"), b"a").unwrap();
                store.move_within(&path("a"), &name).unwrap();
            }
            _ => {
                store.put(&name, b"a");
                store.flush(&name).unwrap();
            }
        }
        seed.map_or_else(|| store.power_cut(), |seed| store.power_cut_seeded(seed));
        assert_eq!(store.contents(&name).as_deref(), Some(b"a".as_slice()), "seed {seed:?}");
    }
}

#[test]
fn staged_bytes_that_were_flushed_can_be_resumed() {
    let store = store();
    store.make_folder(&path(".thalweg-staging/t")).unwrap();
    let staged = path(".thalweg-staging/t/a");
    store.put(&staged, b"");
    store.settle();
    let mut file = store.write_staged(&staged, 0, 0).unwrap();
    file.append(b"flushed").unwrap();
    file.append_hole(3).unwrap();
    file.flush_to_medium().unwrap();
    file.append(b" and not").unwrap();
    drop(file);
    store.power_cut();
    assert_eq!(store.contents(&staged).unwrap(), b"flushed\0\0\0");
}

/// Calls that change names or flush, in their order.
///
/// A rename between two folders is one thing to the disk in memory, as it is to every journal, so flushing either folder
/// is enough there. Both are flushed all the same; that and the order is what this table is for. The name of a folder that
/// was found is flushed once, in the folder above it.
#[rstest]
#[case::publish(publish(), &[
    "fsync .thalweg-staging/t/a",
    "mkdirat x", "fsync ", "mkdirat x/y", "fsync x",
    "renameat2 .thalweg-staging/t/a", "fsync x/y", "fsync .thalweg-staging/t",
])]
#[case::publish_many(publish_all(), &[
    "fsync .thalweg-staging/t/a", "fsync .thalweg-staging/t/x-b", "fsync .thalweg-staging/t/x-y-c",
    "renameat2 .thalweg-staging/t/a",
    "mkdirat x", "fsync ", "renameat2 .thalweg-staging/t/x-b",
    "fsync ", "mkdirat x/y", "fsync x", "renameat2 .thalweg-staging/t/x-y-c",
    "fsync ", "fsync .thalweg-staging/t", "fsync x", "fsync x/y",
])]
#[case::replace(replace_dropping(), &[
    "fsync .thalweg-staging/t/a", "fsync ",
    "renameat2 .thalweg-staging/t/a", "fsync d", "unlinkat .thalweg-staging/t/a",
    "fsync d", "fsync .thalweg-staging/t",
])]
#[case::replace_keeping(replace_keeping(), &[
    "fsync .thalweg-staging/t/a", "fsync ",
    "mkdirat .thalweg-trash", "fsync ", "mkdirat .thalweg-trash/2026-01-02", "fsync .thalweg-trash",
    "mkdirat .thalweg-trash/2026-01-02/d", "fsync .thalweg-trash/2026-01-02",
    "renameat2 .thalweg-staging/t/a", "renameat2 .thalweg-trash/2026-01-02/d/a",
    "fsync .thalweg-trash/2026-01-02/d", "fsync d", "fsync .thalweg-staging/t",
])]
#[case::move_within(move_within(), &[
    "mkdirat out", "fsync ", "mkdirat out/deep", "fsync out", "renameat2 in/a", "fsync out/deep", "fsync in",
])]
#[case::write(write_over(), &[
    "fsync ", "fsync reports/.thalweg-1-1.tmp", "renameat reports/.thalweg-1-1.tmp", "fsync reports",
])]
fn both_folders_are_flushed_after_a_rename(#[case] deed: Deed, #[case] expected: &[&str]) {
    let store = scene(&deed, false);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    store.set_hook(move |info| {
        let flushes = info.name().ends_with("sync");
        let names = info.changed() && ["mkdirat", "unlinkat", "linkat", "renameat", "renameat2"].contains(&info.name());
        // The staging folder itself comes and goes.
        let own = [".thalweg-staging", ".thalweg-staging/t"].contains(&info.path().as_str());
        if info.moment() == Moment::After && (flushes || (names && !own)) {
            seen.lock().unwrap().push(format!("{} {}", info.name(), info.path()));
        }
    });
    (deed.act)(&store).unwrap();
    assert_eq!(*calls.lock().unwrap(), expected);
}
