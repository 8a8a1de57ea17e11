//! The local store: the suite, links on the way, other file systems, processes that hold files open.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use thalweg_core::{ErrorClass, RelPath};
use thalweg_store::{
    Entry, Kind, LocalStore, OldContent, OpenWriters, Publish, RootId, Store, StoreError, conformance, write_atomically,
};

fn path(text: &str) -> RelPath {
    RelPath::from_text(text)
}

fn fresh() -> (TempDir, LocalStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    (folder, store)
}

/// Writes as an instrument would.
fn instrument(at: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    std::fs::File::create(at).unwrap().write_all(bytes).unwrap();
}

#[test]
fn passes_the_suite() {
    let folders = Arc::new(Mutex::new(Vec::new()));
    conformance::run(&|| {
        let (folder, store) = fresh();
        folders.lock().unwrap().push(folder);
        Box::new(store)
    });
}

#[test]
fn passes_the_suite_in_memory_backed_files() {
    let Ok(base) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: /dev/shm not present");
        return;
    };
    conformance::run(&|| Box::new(LocalStore::open(tempfile::tempdir_in(&base).unwrap().keep()).unwrap()));
}

#[test]
fn links_are_seen_and_never_followed() {
    let (folder, store) = fresh();
    let outside = tempfile::tempdir().unwrap();
    instrument(&outside.path().join("secret"), b"secret");
    symlink(outside.path(), folder.path().join("out")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("file")).unwrap();
    assert!(matches!(store.stat(&path("out/secret")), Err(StoreError::Confined { .. })));
    assert!(matches!(store.open_read(&path("out/secret")), Err(StoreError::Confined { .. })));
    assert!(matches!(store.write_atomically(&path("out/new"), b""), Err(StoreError::Confined { .. })));
    assert!(matches!(store.make_folder(&path("out/new/er")), Err(StoreError::Confined { .. })));
    assert!(store.set_mode(&path("file"), 0).is_err());
    assert!(store.open_read(&path("file")).is_err());
    assert!(store.touch(&path("file")).is_err());
    assert_eq!(store.stat(&path("file")).unwrap().unwrap().kind, Kind::Link);
    let staged = store.staging("t", &path("x")).unwrap().join("x");
    store.write_staged(&staged, 0, 0).unwrap().finish(None, None).unwrap();
    assert!(matches!(store.publish(&staged, &path("out/x"), Publish::NoReplace), Err(StoreError::Confined { .. })));
    let mut kinds = Vec::new();
    store
        .walk(&RelPath::default(), &mut |_| true, &mut |entry| {
            if let Entry::Found { meta, .. } = entry {
                kinds.push(meta.kind);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(kinds, [Kind::Link, Kind::Link]);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn pipes_and_sockets_are_counted_and_not_opened() {
    let (folder, store) = fresh();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    assert_eq!(store.stat(&path("socket")).unwrap().unwrap().kind, Kind::Other);
    assert!(matches!(store.open_read(&path("socket")), Err(StoreError::NotSupported { .. })));
}

#[test]
fn a_root_that_was_never_there_is_what_is_first_found_there() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("root");
    let store = LocalStore::open_when_there(&root);
    assert!(store.stat(&path("a")).unwrap_err().is_missing_root());
    assert_eq!(store.root_id(), None);
    std::fs::create_dir(&root).unwrap();
    instrument(&root.join("a"), b"x");
    assert!(store.stat(&path("a")).unwrap().is_some());
    assert_eq!(store.root_id(), LocalStore::open(&root).unwrap().root_id());
}

#[test]
fn a_missing_or_other_root_is_unavailable() {
    let (folder, store) = fresh();
    instrument(&folder.path().join("a"), b"x");
    let other =
        LocalStore::open_as(folder.path(), RootId { dev: store.root_id().expect("it is there").dev + 1, ino: 1 });
    let walk = |store: &LocalStore| store.walk(&RelPath::default(), &mut |_| true, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(other.stat(&path("a")), Err(StoreError::Unavailable { .. })));
    assert!(matches!(walk(&other), Err(StoreError::Unavailable { .. })));
    drop(folder);
    let error = store.stat(&path("a")).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }));
    assert_eq!(error.class(), ErrorClass::Transient);
    assert!(matches!(walk(&store), Err(StoreError::Unavailable { .. })));
    assert!(matches!(store.write_atomically(&path("a"), b""), Err(StoreError::Unavailable { .. })));
    assert!(LocalStore::open("/nonexistent/root").is_err());
}

#[test]
fn real_names_come_back() {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/transfer/names.json");
    let Ok(text) = std::fs::read_to_string(&list) else {
        eprintln!("skipped: {} not present", list.display());
        return;
    };
    let (folder, store) = fresh();
    let names: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    for name in &names {
        let bytes = base64(name["b64"].as_str().unwrap());
        instrument(&folder.path().join(std::ffi::OsStr::from_bytes(&bytes)), &bytes);
        let path = RelPath::from_bytes(&bytes);
        assert_eq!(store.hash(&path, &mut |_| {}).unwrap().size, bytes.len() as u64);
        let to = path_below("copies", &path);
        store.link(&path, &to).unwrap();
        let meta = store.stat(&path).unwrap().unwrap();
        store.remove_verified(&path, &meta, OldContent::Trash { day: "d" }).unwrap();
    }
    let mut found = 0;
    store
        .walk(&path("copies"), &mut |_| true, &mut |_| {
            found += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(found, names.len());
}

fn path_below(folder: &str, path: &RelPath) -> RelPath {
    RelPath::from_text(folder).join(path.as_str())
}

fn base64(text: &str) -> Vec<u8> {
    let digit =
        |c: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|d| *d == c);
    let bits = text.bytes().filter_map(digit).fold((0_u32, 0, Vec::new()), |(bits, have, mut out), digit| {
        let (bits, have) = (bits << 6 | u32::try_from(digit).unwrap(), have + 6);
        if have >= 8 {
            out.push(u8::try_from(bits >> (have - 8) & 0xff).unwrap());
            (bits, have - 8, out)
        } else {
            (bits, have, out)
        }
    });
    bits.2
}

#[test]
fn very_long_paths_work() {
    let (_folder, store) = fresh();
    let deep = path(&vec!["x".repeat(250); 20].join("/"));
    assert!(deep.as_str().len() > 4096);
    store.write_atomically(&deep, b"deep").unwrap();
    assert_eq!(store.hash(&deep, &mut |_| {}).unwrap().size, 4);
    let meta = store.stat(&deep).unwrap().unwrap();
    store.remove_verified(&deep, &meta, OldContent::Drop).unwrap();
    store.remove_empty_folders(&deep.parent(), &RelPath::default()).unwrap();
    assert_eq!(store.stat(&path(&"x".repeat(250))).unwrap(), None);
}

#[test]
fn holes_take_no_room_and_are_found() {
    let (folder, store) = fresh();
    let staged = store.staging("t", &path("a")).unwrap().join("a");
    let mut file = store.write_staged(&staged, 0, 0).unwrap();
    file.append_hole(64 << 20).unwrap();
    file.append(&[1; 4096]).unwrap();
    file.finish(None, None).unwrap();
    store.publish(&staged, &path("a"), Publish::NoReplace).unwrap();
    let real = std::fs::metadata(folder.path().join("a")).unwrap();
    if real.blocks() * 512 > 1 << 20 {
        eprintln!("skipped: this file system keeps no holes");
        return;
    }
    let mut file = store.open_read(&path("a")).unwrap();
    assert_eq!(file.data_after(0).unwrap(), Some(64 << 20..(64 << 20) + 4096));
    assert_eq!(file.data_after((64 << 20) + 4096).unwrap(), None);
}

#[test]
fn a_writer_in_another_process_is_found() {
    let (folder, store) = fresh();
    let file = folder.path().join("held");
    let mut child = Command::new("/bin/sh")
        .args(["-c", "exec 3>held; echo ready; read _"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    assert_eq!(store.writer(&path("held")).unwrap(), Some(child.id()));
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(store.writer(&path("held")).unwrap(), None);
    let own = std::fs::File::options().append(true).open(&file).unwrap();
    let meta = store.stat(&path("held")).unwrap().unwrap();
    assert_eq!(OpenWriters::snapshot().writer_of(&meta), None, "the program itself does not count");
    drop(own);
}

#[test]
fn a_small_file_outside_any_store_is_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    write_atomically(&file, b"one").unwrap();
    write_atomically(&file, b"two").unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"two");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = write_atomically(&folder.path().join("no/such"), b"").unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o600, 0o600);
}

#[test]
fn a_folder_is_removed_as_a_whole() {
    let (folder, store) = fresh();
    instrument(&folder.path().join("unit/sub/a"), b"a");
    instrument(&folder.path().join("unit/b"), b"b");
    let meta = store.stat(&path("unit")).unwrap().unwrap();
    store.remove_verified(&path("unit"), &meta, OldContent::Drop).unwrap();
    assert!(!folder.path().join("unit").exists());
}
