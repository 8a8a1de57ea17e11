//! What every store must do. A crate that brings a store calls [`run`] in its tests.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::ControlFlow;

use thalweg_core::RelPath;

use crate::{Entry, Hasher, Kind, Meta, OldContent, Publish, STAGING, Store, StoreError, TRASH};

/// Makes an empty store for one check.
pub type Factory<'a> = &'a dyn Fn() -> Box<dyn Store>;

/// One check and its name.
type Check = (&'static str, fn(&dyn Store));

/// Runs every check, each with a store of its own.
///
/// # Panics
///
/// With the name of the check and what differs, if the store does not do what it must.
pub fn run(factory: Factory<'_>) {
    let checks: &[Check] = &[
        ("an empty store", empty),
        ("publishing", publishing),
        ("publishing many", publishing_many),
        ("replacing", replacing),
        ("names are bytes", names),
        ("paths stay inside", confined),
        ("reading and hashing", hashing),
        ("a folder as one unit", folder_unit),
        ("a changed file is noticed", changing),
        ("resuming a staged file", resuming),
        ("holes", holes),
        ("removing", removing),
        ("walking", walking),
        ("small files and flags", small_files),
        ("folders", folders),
        ("moving and linking", moving),
    ];
    for (name, check) in checks {
        let store = factory();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&*store)));
        if let Err(panic) = outcome {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            panic!("{store:?} fails at {name:?}: {}", text.unwrap_or_default());
        }
    }
}

fn path(text: &str) -> RelPath {
    RelPath::from_text(text)
}

#[track_caller]
fn ok<T>(result: Result<T, StoreError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("unexpected error: {error} ({error:?})"),
    }
}

#[track_caller]
fn exists(store: &dyn Store, name: &RelPath) -> Meta {
    ok(store.stat(name)).unwrap_or_else(|| panic!("{name} is missing"))
}

#[track_caller]
fn stage(store: &dyn Store, task: &str, target: &RelPath, bytes: &[u8]) -> RelPath {
    let staged = ok(store.staging(task, target)).join("content");
    let mut file = ok(store.write_staged(&staged, 0, bytes.len() as u64));
    for part in bytes.chunks(100_000) {
        ok(file.append(part));
    }
    ok(file.finish(None, None));
    staged
}

#[track_caller]
fn put(store: &dyn Store, target: &RelPath, bytes: &[u8]) -> Meta {
    let staged = stage(store, "put", target, bytes);
    ok(store.publish(&staged, target, Publish::NoReplace))
}

#[track_caller]
fn read(store: &dyn Store, name: &RelPath) -> Vec<u8> {
    let mut file = ok(store.open_read(name));
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("read {name}: {error}"));
    ok(file.finish(bytes.len() as u64));
    bytes
}

fn list(store: &dyn Store, below: &RelPath) -> BTreeMap<RelPath, Kind> {
    let mut found = BTreeMap::new();
    ok(store.walk(below, &mut |_| true, &mut |entry| {
        match entry {
            Entry::Found { path, meta } => drop(found.insert(path, meta.kind)),
            Entry::Unreadable { path, error } => panic!("{path} is unreadable: {error}"),
            Entry::Unsettled { .. } => {}
        }
        ControlFlow::Continue(())
    }));
    found
}

fn empty(store: &dyn Store) {
    assert_eq!(ok(store.stat(&path("nothing"))), None);
    assert_eq!(ok(store.stat(&path("nothing/at/all"))), None);
    assert_eq!(exists(store, &RelPath::default()).kind, Kind::Folder);
    assert!(list(store, &RelPath::default()).is_empty());
    assert!(matches!(store.open_read(&path("nothing")), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.hash(&path("nothing"), &mut |_| {}), Err(StoreError::NotFound { .. })));
    let walked = store.walk(&path("nothing"), &mut |_| true, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(walked, Err(StoreError::NotFound { .. })));
    let space = ok(store.free_space());
    assert!(space.free <= space.total && space.total > 0);
    assert_eq!(ok(store.empty_trash(&|_| true)), 0);
}

fn publishing(store: &dyn Store) {
    let target = path("2026/01/a.dat");
    let staged = stage(store, "task-1", &target, b"content");
    assert_eq!(ok(store.stat(&target)), None, "nothing before the publish");
    assert!(staged.as_str().contains(STAGING));
    ok(store.set_mtime(&staged, 1_234_567_890_123_456_789));
    ok(store.set_mode(&staged, 0o640));
    let meta = ok(store.publish(&staged, &target, Publish::NoReplace));
    assert_eq!(meta, exists(store, &target));
    assert_eq!((meta.size, meta.kind, meta.mode), (7, Kind::File, 0o640));
    assert_eq!(meta.mtime_ns, 1_234_567_890_123_456_789);
    assert_eq!(read(store, &target), b"content");
    assert_eq!(ok(store.stat(&staged)), None);
    let second = stage(store, "task-1", &target, b"other");
    assert!(matches!(store.publish(&second, &target, Publish::NoReplace), Err(StoreError::AlreadyExists { .. })));
    assert_eq!(read(store, &target), b"content");
    assert_eq!(exists(store, &second).size, 5, "what was refused is still staged");
    assert!(matches!(store.publish(&target, &path("b"), Publish::NoReplace), Err(StoreError::Confined { .. })));
    assert!(matches!(store.write_staged(&target, 0, 0), Err(StoreError::Confined { .. })));
    assert!(matches!(store.discard_staging(&path("2026")), Err(StoreError::Confined { .. })));
    for id in ["", ".", "..", "a/b", ".hidden", "new\nline", &"x".repeat(201)] {
        assert!(matches!(store.staging(id, &target), Err(StoreError::BadName { .. })), "{id:?}");
    }
    ok(store.discard_staging(&second.parent()));
    ok(store.discard_staging(&second.parent()));
    assert_eq!(ok(store.stat(&second)), None);
    let missing = stage(store, "t", &target, b"").parent().join("missing");
    assert!(matches!(store.publish(&missing, &path("m"), Publish::NoReplace), Err(StoreError::NotFound { .. })));
}

fn publishing_many(store: &dyn Store) {
    let staging = ok(store.staging("batch", &path("x")));
    let mut files = Vec::new();
    for number in 0..20 {
        let staged = staging.join(&number.to_string());
        let mut file = ok(store.write_staged(&staged, 0, 0));
        ok(file.append(number.to_string().as_bytes()));
        ok(file.finish(None, None));
        files.push((staged, path(&format!("many/{}/{number}", number % 3))));
    }
    put(store, &path("many/1/7"), b"taken");
    let results = store.publish_all(&files);
    assert_eq!(results.len(), 20);
    for (number, (result, (_, target))) in results.into_iter().zip(&files).enumerate() {
        if number == 7 {
            assert!(matches!(result, Err(StoreError::AlreadyExists { .. })));
            assert_eq!(read(store, target), b"taken");
        } else {
            assert_eq!(ok(result), exists(store, target));
            assert_eq!(read(store, target), number.to_string().as_bytes());
        }
    }
    assert!(store.publish_all(&[]).is_empty());
}

fn replacing(store: &dyn Store) {
    let target = path("data/a");
    let old = put(store, &target, b"first");
    let staged = stage(store, "t", &target, b"second, longer");
    let wrong = Meta { size: 4, ..old };
    let refused = store.publish(&staged, &target, Publish::Replace { expected: &wrong, old: OldContent::Drop });
    assert!(matches!(refused, Err(StoreError::NotAsExpected { .. })));
    assert_eq!(read(store, &target), b"first");
    let day = OldContent::Trash { day: "2026-01-02" };
    let new = ok(store.publish(&staged, &target, Publish::Replace { expected: &old, old: day }));
    assert_eq!(read(store, &target), b"second, longer");
    assert_eq!(new, exists(store, &target));
    assert_eq!(read(store, &path(&format!("{TRASH}/2026-01-02/data/a"))), b"first");
    let staged = stage(store, "t", &target, b"third");
    ok(store.publish(&staged, &target, Publish::Replace { expected: &new, old: OldContent::Drop }));
    assert_eq!(read(store, &target), b"third");
    assert_eq!(ok(store.stat(&staged)), None);
    let staged = stage(store, "t", &target, b"x");
    let gone = store.publish(&staged, &path("no"), Publish::Replace { expected: &new, old: OldContent::Drop });
    assert!(matches!(gone, Err(StoreError::NotFound { .. })));
}

fn names(store: &dyn Store) {
    let long = vec![b'x'; 255];
    let list: [&[u8]; 14] = [
        b"\xff\xfe.dat",
        b"caf\xc3\xa9",
        b"cafe\xcc\x81",
        b"new\nline",
        b"-dash",
        b"--delete",
        b"*?[x]",
        b"$(touch pwn)",
        b"back\\slash",
        b"a:b",
        b"trail ",
        b".hidden",
        b"~tilde",
        &long,
    ];
    for name in list {
        let target = RelPath::from_bytes(&[b"names/", name].concat());
        put(store, &target, name);
        assert_eq!(read(store, &target), name, "{target}");
    }
    let found = self::list(store, &path("names"));
    assert_eq!(found.len(), list.len());
    for name in list {
        let target = RelPath::from_bytes(&[b"names/", name].concat());
        assert!(found.contains_key(&target), "{target}");
    }
    let too_long = RelPath::from_bytes(&[b'y'; 256]);
    assert!(matches!(store.make_folder(&too_long), Err(StoreError::BadName { .. })));
}

fn confined(store: &dyn Store) {
    for name in
        ["..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "a/", "nul\0", r"\x2e\x2e/x", r"a\x2f..\x2fb"]
    {
        let name = path(name);
        assert!(matches!(store.stat(&name), Err(StoreError::Confined { .. })), "stat {name}");
        assert!(matches!(store.open_read(&name), Err(StoreError::Confined { .. })), "read {name}");
        assert!(matches!(store.make_folder(&name), Err(StoreError::Confined { .. })), "make {name}");
        assert!(matches!(store.write_atomically(&name, b""), Err(StoreError::Confined { .. })), "write {name}");
        assert!(store.staging("t", &name).is_err(), "staging for {name}");
    }
    let staged = stage(store, "t", &path("x"), b"x");
    assert!(matches!(store.publish(&staged, &path("../x"), Publish::NoReplace), Err(StoreError::Confined { .. })));
    assert!(matches!(store.move_within(&path("../a"), &path("b")), Err(StoreError::Confined { .. })));
}

fn hashing(store: &dyn Store) {
    put(store, &path("empty"), b"");
    let hashed = ok(store.hash(&path("empty"), &mut |_| {}));
    assert_eq!(hashed.hash.to_string(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    assert_eq!(hashed.size, 0);
    let bytes: Vec<u8> = (0..3_000_001_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let meta = put(store, &path("big"), &bytes);
    let mut told = Vec::new();
    let hashed = ok(store.hash(&path("big"), &mut |read| told.push(read)));
    let mut hasher = Hasher::new();
    hasher.update(&bytes);
    assert_eq!((hashed.hash, hashed.size, hashed.meta), (hasher.digest(), 3_000_001, meta));
    assert!(told.is_sorted() && told.last() == Some(&3_000_001));
    assert_eq!(read(store, &path("big")), bytes);
    let mut back = ok(store.open_read_back(&path("big")));
    back.seek_to(3_000_000).unwrap_or_else(|error| panic!("{error}"));
    let mut last = Vec::new();
    back.read_to_end(&mut last).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(last, bytes[3_000_000..]);
}

fn folder_unit(store: &dyn Store) {
    for (name, bytes) in
        [("b/x", "one"), ("b/sub/y", "two"), ("c/sub/y", "two"), ("c/x", "one"), ("d/x", "two"), ("d/sub/y", "one")]
    {
        put(store, &path(name), bytes.as_bytes());
    }
    let hash = |name: &str| ok(store.hash(&path(name), &mut |_| {}));
    assert_eq!(hash("b").hash, hash("c").hash, "the same files give the same digest");
    assert_ne!(hash("b").hash, hash("d").hash, "exchanged contents do not");
    assert_eq!((hash("b").size, hash("b").meta.kind), (6, Kind::Folder));
    let staging = ok(store.staging("unit", &path("e")));
    for name in ["unit/x", "unit/sub/y"] {
        let mut file = ok(store.write_staged(&staging.join(name), 0, 0));
        ok(file.append(b"..."));
        ok(file.finish(None, None));
    }
    let meta = ok(store.publish(&staging.join("unit"), &path("deep/e"), Publish::NoReplace));
    assert_eq!(meta.kind, Kind::Folder);
    assert_eq!(read(store, &path("deep/e/sub/y")), b"...");
}

fn changing(store: &dyn Store) {
    let name = path("grows");
    let staged = stage(store, "t", &name, &[7; 200_000]);
    // Staged files can be read as well; and they can still be written to.
    let mut file = ok(store.open_read(&staged));
    let mut part = [0; 1000];
    file.read_exact(&mut part).unwrap_or_else(|error| panic!("{error}"));
    let mut writer = ok(store.write_staged(&staged, 200_000, 0));
    ok(writer.append(b"more"));
    ok(writer.finish(None, None));
    assert!(matches!(file.finish(200_000), Err(StoreError::ChangedWhileReading { .. })), "it grew");
    let short = ok(store.open_read(&staged));
    assert!(matches!(short.finish(5), Err(StoreError::ChangedWhileReading { .. })), "not read to its end");
    let replaced = path("replaced");
    let old = put(store, &replaced, b"same size 1");
    ok(store.set_mtime(&replaced, 1_000_000_000));
    let mut file = ok(store.open_read(&replaced));
    file.read_exact(&mut [0; 11]).unwrap_or_else(|error| panic!("{error}"));
    ok(store.remove_verified(&replaced, &Meta { mtime_ns: 1_000_000_000, ..old }, OldContent::Trash { day: "d" }));
    put(store, &replaced, b"same size 2");
    ok(store.set_mtime(&replaced, 1_000_000_000));
    assert!(matches!(file.finish(11), Err(StoreError::ChangedWhileReading { .. })), "another inode has the name");
    let gone = path("gone");
    let old = put(store, &gone, b"whole");
    let mut file = ok(store.open_read(&gone));
    ok(store.remove_verified(&gone, &old, OldContent::Drop));
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("{error}"));
    ok(file.finish(bytes.len() as u64));
    assert_eq!(bytes, b"whole", "a file removed while open is whole");
}

fn resuming(store: &dyn Store) {
    let target = path("resumed");
    let staged = stage(store, "t", &target, b"0123456789");
    let mut file = ok(store.write_staged(&staged, 4, 12));
    ok(file.append(b"abcd"));
    ok(file.flush_to_medium());
    let meta = ok(file.finish(Some(5_000_000_001), Some(0o600)));
    assert_eq!((meta.size, meta.mtime_ns, meta.mode), (8, 5_000_000_001, 0o600));
    assert!(matches!(store.write_staged(&staged, 9, 0), Err(StoreError::NotAsExpected { .. })));
    ok(store.publish(&staged, &target, Publish::NoReplace));
    assert_eq!(read(store, &target), b"0123abcd");
}

fn holes(store: &dyn Store) {
    let target = path("sparse");
    let staged = ok(store.staging("t", &target)).join("x");
    let mut file = ok(store.write_staged(&staged, 0, 0));
    ok(file.append_hole(1 << 20));
    ok(file.append(b"middle"));
    ok(file.append_hole(1 << 20));
    let meta = ok(file.finish(None, None));
    assert_eq!(meta.size, (2 << 20) + 6);
    ok(store.publish(&staged, &target, Publish::NoReplace));
    let bytes = read(store, &target);
    assert_eq!(bytes.len(), (2 << 20) + 6);
    assert_eq!(&bytes[1 << 20..(1 << 20) + 6], b"middle");
    assert_eq!(bytes.iter().filter(|b| **b != 0).count(), 6);
    let mut hasher = Hasher::new();
    hasher.update(&bytes);
    assert_eq!(ok(store.hash(&target, &mut |_| {})).hash, hasher.digest(), "the digest is over logical bytes");
}

fn removing(store: &dyn Store) {
    let name = path("data/a");
    let meta = put(store, &name, b"abc");
    for wrong in
        [Meta { size: 4, ..meta }, Meta { mtime_ns: meta.mtime_ns + 1, ..meta }, Meta { ino: meta.ino + 1, ..meta }]
    {
        let refused = store.remove_verified(&name, &wrong, OldContent::Drop);
        assert!(matches!(refused, Err(StoreError::NotAsExpected { .. })));
    }
    assert_eq!(read(store, &name), b"abc");
    ok(store.remove_verified(&name, &meta, OldContent::Drop));
    assert_eq!(ok(store.stat(&name)), None);
    assert!(matches!(store.remove_verified(&name, &meta, OldContent::Drop), Err(StoreError::NotFound { .. })));
    for content in ["one", "two"] {
        let meta = put(store, &name, content.as_bytes());
        ok(store.remove_verified(&name, &meta, OldContent::Trash { day: "2026-01-02" }));
    }
    assert_eq!(read(store, &path(&format!("{TRASH}/2026-01-02/data/a"))), b"one");
    assert!(!list(store, &RelPath::default()).keys().any(|name| name.as_str().contains(TRASH)));
    assert_eq!(ok(store.empty_trash(&|day| day == "2026-01-01")), 0);
    assert_eq!(ok(store.empty_trash(&|day| day == "2026-01-02")), 2);
    let meta = put(store, &name, b"x");
    let bad = store.remove_verified(&name, &meta, OldContent::Trash { day: "../out" });
    assert!(matches!(bad, Err(StoreError::BadName { .. })));
    assert_eq!(read(store, &name), b"x");
}

fn walking(store: &dyn Store) {
    for name in ["a", "x/b", "x/y/c", "x/skip/d", "z/e"] {
        put(store, &path(name), b"");
    }
    let mut found = Vec::new();
    ok(store.walk(&RelPath::default(), &mut |folder| folder.file_name() != "skip", &mut |entry| {
        if let Entry::Found { path, .. } = entry {
            found.push(path.as_str().to_owned());
        }
        ControlFlow::Continue(())
    }));
    found.sort();
    assert_eq!(found, ["a", "x", "x/b", "x/skip", "x/y", "x/y/c", "z", "z/e"]);
    assert_eq!(list(store, &path("x/y")).into_keys().collect::<Vec<_>>(), [path("x/y/c")]);
    let mut seen = 0;
    ok(store.walk(&RelPath::default(), &mut |_| true, &mut |_| {
        seen += 1;
        ControlFlow::Break(())
    }));
    assert_eq!(seen, 1, "a walk stops when told");
}

fn small_files(store: &dyn Store) {
    let name = path("reports/run.json");
    ok(store.write_atomically(&name, b"one"));
    let first = exists(store, &name);
    ok(store.write_atomically(&name, b"second"));
    assert_eq!(read(store, &name), b"second");
    assert_ne!(exists(store, &name).ino, first.ino, "no reader of the old one sees the new bytes");
    let flag = path("flags/go");
    ok(store.touch(&flag));
    assert_eq!(exists(store, &flag).size, 0);
    ok(store.set_mtime(&name, 1));
    ok(store.touch(&name));
    assert_ne!(exists(store, &name).mtime_ns, 1);
    assert_eq!(read(store, &name), b"second");
    assert_eq!(list(store, &path("reports")).len(), 1, "nothing temporary is left");
}

fn folders(store: &dyn Store) {
    ok(store.make_folder(&path("a/b/c")));
    ok(store.make_folder(&path("a/b/c")));
    put(store, &path("file"), b"");
    assert!(matches!(store.make_folder(&path("file")), Err(StoreError::AlreadyExists { .. })));
    assert!(store.make_folder(&path("file/below")).is_err());
    assert_eq!(ok(store.stat(&path("file/below"))), None);
    ok(store.remove_empty_folders(&path("a/b/c"), &path("a")));
    assert_eq!(list(store, &path("a")).len(), 0);
    ok(store.make_folder(&path("a/b/c")));
    put(store, &path("a/keep"), b"");
    ok(store.remove_empty_folders(&path("a/b/c"), &RelPath::default()));
    assert_eq!(list(store, &path("a")).into_keys().collect::<Vec<_>>(), [path("a/keep")]);
}

fn moving(store: &dyn Store) {
    put(store, &path("in/a"), b"a");
    put(store, &path("in/b"), b"b");
    ok(store.move_within(&path("in/a"), &path("out/deep/a")));
    assert_eq!(read(store, &path("out/deep/a")), b"a");
    assert_eq!(ok(store.stat(&path("in/a"))), None);
    let taken = store.move_within(&path("in/b"), &path("out/deep/a"));
    assert!(matches!(taken, Err(StoreError::AlreadyExists { .. })));
    ok(store.flush(&path("out/deep/a")));
    ok(store.flush(&path("out")));
    let flushed = store.flush_all(&[path("out/deep/a"), path("no"), path("in/b")]);
    assert!(matches!(&flushed[..], [Ok(()), Err(StoreError::NotFound { .. }), Ok(())]));
    assert!(matches!(store.flush(&path("no")), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.move_within(&path("no"), &path("x")), Err(StoreError::NotFound { .. })));
    ok(store.move_within(&path("out"), &path("elsewhere/out")));
    assert_eq!(read(store, &path("elsewhere/out/deep/a")), b"a");
    assert!(store.move_within(&path("elsewhere"), &path("elsewhere/in/itself")).is_err());
    match store.link(&path("in/b"), &path("second/b")) {
        Err(StoreError::NotSupported { .. }) => {}
        linked => {
            ok(linked);
            assert_eq!(exists(store, &path("second/b")).ino, exists(store, &path("in/b")).ino);
            let taken = store.link(&path("in/b"), &path("second/b"));
            assert!(matches!(taken, Err(StoreError::AlreadyExists { .. })));
        }
    }
    assert!(store.link(&path("elsewhere"), &path("y")).is_err());
}
