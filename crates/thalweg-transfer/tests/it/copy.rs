//! What a copy that succeeds leaves behind.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rstest::rstest;
use thalweg_core::ErrorClass;
use thalweg_store::{LocalStore, Publish, Store, StoreError};
use thalweg_transfer::{CopyOptions, TransferError, Verify, copy_many, copy_verified};

use super::{bytes, memory, path};

#[rstest]
#[case(0, Verify::Stream)]
#[case(1, Verify::Readback)]
#[case(1 << 20, Verify::Stream)]
#[case((3 << 20) + 17, Verify::Readback)]
fn bytes_time_and_mode_arrive(#[case] length: usize, #[case] verify: Verify) {
    let folder = tempfile::tempdir().unwrap();
    let (source, destination) = (memory("source"), LocalStore::open(folder.path()).unwrap());
    let content = bytes(length);
    source.put(&path("in/a.dat"), &content);
    source.set_mtime(&path("in/a.dat"), 1_600_000_000_123_456_789).unwrap();
    source.set_mode(&path("in/a.dat"), 0o640).unwrap();
    let told = Mutex::new(Vec::new());
    let tell = |done, total| told.lock().unwrap().push((done, total));
    let options = CopyOptions { verify, on_progress: Some(&tell), ..CopyOptions::new("t1") };
    let copied = copy_verified(&source, &path("in/a.dat"), &destination, &path("out/2026/a.dat"), &options).unwrap();
    assert!(!copied.already_there);
    assert_eq!(copied.size, length as u64);
    assert_eq!(copied.hash, source.hash(&path("in/a.dat"), &mut |_| {}).unwrap().hash);
    assert_eq!(std::fs::read(folder.path().join("out/2026/a.dat")).unwrap(), content);
    assert_eq!((copied.meta.mtime_ns, copied.meta.mode), (1_600_000_000_123_456_789, 0o640));
    assert_eq!(std::fs::read_dir(folder.path().join(".thalweg-staging")).unwrap().count(), 0);
    if length > 0 {
        assert_eq!(told.lock().unwrap().last(), Some(&(length as u64, length as u64)));
    }
    let calls = source.calls();
    let again = copy_verified(&source, &path("in/a.dat"), &destination, &path("out/2026/a.dat"), &options).unwrap();
    assert!(again.already_there);
    assert_eq!((again.hash, again.meta.ino), (copied.hash, copied.meta.ino), "not a byte was written");
    let known = CopyOptions { expected: Some(copied.hash), ..options };
    assert!(source.calls() > calls);
    source.set_hook(|info| assert_ne!(info.name(), "pread", "with a known digest the source is not read"));
    assert!(
        copy_verified(&source, &path("in/a.dat"), &destination, &path("out/2026/a.dat"), &known).unwrap().already_there
    );
}

#[test]
fn an_unexpected_source_is_not_delivered() {
    let (source, destination) = (memory("source"), memory("destination"));
    source.put(&path("a"), b"one");
    let expected = source.hash(&path("a"), &mut |_| {}).unwrap().hash;
    source.put(&path("a"), b"two");
    let options = CopyOptions { expected: Some(expected), ..CopyOptions::new("t") };
    let error = copy_verified(&source, &path("a"), &destination, &path("a"), &options).unwrap_err();
    assert!(matches!(error, TransferError::NotExpected { .. }));
    assert_eq!(destination.files(), []);
    let missing = copy_verified(&source, &path("no"), &destination, &path("a"), &options).unwrap_err();
    assert!(matches!(missing, TransferError::Source { source: StoreError::NotFound { .. }, .. }));
}

#[test]
fn a_file_that_changes_while_read_is_never_delivered() {
    let (source, destination) = (memory("source"), memory("destination"));
    let content = bytes(3 << 20);
    source.put(&path("a"), &content);
    for change in ["same size", "grown", "shorter"] {
        let once = AtomicBool::new(true);
        let tell = |_, _| {
            if once.swap(false, Ordering::Relaxed) {
                match change {
                    "same size" => source.put(&path("a"), &content),
                    "grown" => source.append(&path("a"), b"more"),
                    _ => source.put(&path("a"), &content[..10]),
                }
            }
        };
        let options = CopyOptions { on_progress: Some(&tell), ..CopyOptions::new("t") };
        let error = copy_verified(&source, &path("a"), &destination, &path("a"), &options).unwrap_err();
        assert!(
            matches!(error, TransferError::Source { source: StoreError::ChangedWhileReading { .. }, .. }),
            "{change}"
        );
        assert_eq!(error.class(), ErrorClass::NotYet);
        assert_eq!(destination.files(), [], "{change}");
        source.put(&path("a"), &content);
    }
    assert!(
        !copy_verified(&source, &path("a"), &destination, &path("a"), &CopyOptions::new("t")).unwrap().already_there
    );
}

#[test]
fn a_cancelled_copy_is_resumed() {
    let (source, destination) = (memory("source"), memory("destination"));
    let content = bytes((5 << 20) + 3);
    source.put(&path("a"), &content);
    let cancel = AtomicBool::new(false);
    let tell = |done, _| cancel.store(done >= 3 << 20, Ordering::Relaxed);
    let options = CopyOptions { on_progress: Some(&tell), cancel: Some(&cancel), ..CopyOptions::new("t") };
    let error = copy_verified(&source, &path("a"), &destination, &path("a"), &options).unwrap_err();
    assert!(matches!(error, TransferError::Cancelled { .. }));
    assert_eq!(destination.contents(&path("a")), None);
    let copied = copy_verified(&source, &path("a"), &destination, &path("a"), &CopyOptions::new("t")).unwrap();
    assert_eq!(copied.resumed_from, 3 << 20);
    assert_eq!(destination.contents(&path("a")).unwrap(), content);
    assert_eq!(destination.files().len(), 1);
}

#[test]
fn a_wrong_prefix_is_not_resumed() {
    let (source, destination) = (memory("source"), memory("destination"));
    let content = bytes(4 << 20);
    source.put(&path("a"), &content);
    // As after a power cut: the second block is zeros.
    let mut left = content[..3 << 20].to_vec();
    left[1 << 20..2 << 20].fill(0);
    destination.put(&path(".thalweg-staging/t/content"), &left);
    let copied = copy_verified(&source, &path("a"), &destination, &path("a"), &CopyOptions::new("t")).unwrap();
    assert_eq!(copied.resumed_from, 1 << 20);
    assert_eq!(destination.contents(&path("a")).unwrap(), content);
    destination.put(&path(".thalweg-staging/u/content"), &bytes(9 << 20));
    let longer = copy_verified(&source, &path("a"), &destination, &path("b"), &CopyOptions::new("u")).unwrap();
    assert_eq!(longer.resumed_from, 4 << 20, "what is too long is cut");
    assert_eq!(destination.contents(&path("b")).unwrap(), content);
}

#[test]
fn holes_stay_holes() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, destination) = (LocalStore::open(from.path()).unwrap(), LocalStore::open(to.path()).unwrap());
    let staged = source.staging("t", &path("a")).unwrap().join("a");
    let mut file = source.write_staged(&staged, 0, 0).unwrap();
    file.append_hole(32 << 20).unwrap();
    file.append(&[1; 4096]).unwrap();
    file.append_hole(32 << 20).unwrap();
    file.finish(None, None).unwrap();
    source.publish(&staged, &path("a"), Publish::NoReplace).unwrap();
    let copied = copy_verified(&source, &path("a"), &destination, &path("a"), &CopyOptions::new("t")).unwrap();
    assert_eq!(copied.size, (64 << 20) + 4096);
    assert_eq!(copied.hash, destination.hash(&path("a"), &mut |_| {}).unwrap().hash);
    let blocks = |at: &std::path::Path| std::fs::metadata(at.join("a")).unwrap().blocks();
    if blocks(from.path()) * 512 > 1 << 20 {
        eprintln!("skipped: this file system keeps no holes");
        return;
    }
    assert!(blocks(to.path()) * 512 <= 1 << 20, "{} blocks", blocks(to.path()));
}

#[test]
fn a_folder_is_copied_as_one_unit() {
    let (source, destination) = (memory("source"), memory("destination"));
    for (name, content) in [("unit/a", "a"), ("unit/sub/b", "bb"), ("unit/sub/deep/c", "")] {
        source.put(&path(name), content.as_bytes());
    }
    source.make_folder(&path("unit/empty")).unwrap();
    source.put_link(&path("unit/link"));
    destination.put(&path(".thalweg-staging/t/content/stranger"), b"of an earlier attempt");
    let options = CopyOptions::new("t");
    let copied = copy_verified(&source, &path("unit"), &destination, &path("new/unit"), &options).unwrap();
    assert_eq!(copied.size, 3);
    assert_eq!(copied.hash, source.hash(&path("unit"), &mut |_| {}).unwrap().hash);
    assert_eq!(copied.hash, destination.hash(&path("new/unit"), &mut |_| {}).unwrap().hash);
    assert!(destination.stat(&path("new/unit/empty")).unwrap().is_some());
    assert_eq!(destination.files().len(), 3);
    assert!(copy_verified(&source, &path("unit"), &destination, &path("new/unit"), &options).unwrap().already_there);
    source.put(&path("unit/d"), b"late");
    let error = copy_verified(&source, &path("unit"), &destination, &path("new/unit"), &options).unwrap_err();
    assert!(matches!(error, TransferError::Conflict { .. }));
}

#[test]
fn many_small_files_go_together_and_each_is_answered() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, destination) = (LocalStore::open(from.path()).unwrap(), LocalStore::open(to.path()).unwrap());
    let mut files = Vec::new();
    for number in 0..300 {
        let name = path(&format!("{}/{number}", number % 7));
        source.write_atomically(&name, &bytes(number)).unwrap();
        files.push((name.clone(), path("out").join(name.as_str())));
    }
    files.push((path("missing"), path("out/missing")));
    files.push((path("1/1"), path("out/2/2")));
    destination.write_atomically(&path("out/3/3"), b"other content").unwrap();
    destination.write_atomically(&path("out/4/4"), &bytes(4)).unwrap();
    let results = copy_many(&source, &destination, &files, &CopyOptions::new("many"));
    assert_eq!(results.len(), files.len());
    for (index, ((_, to), result)) in files.iter().zip(results).enumerate() {
        match index {
            3 | 301 => assert!(matches!(result, Err(TransferError::Conflict { .. })), "{index}"),
            300 => assert!(matches!(result, Err(TransferError::Source { .. }))),
            _ => {
                let copied = result.unwrap();
                assert_eq!((copied.already_there, copied.size), (index == 4, index as u64));
                assert_eq!(destination.hash(to, &mut |_| {}).unwrap().hash, copied.hash);
            }
        }
    }
    let again = copy_many(&source, &destination, &files[5..300], &CopyOptions::new("many"));
    assert!(again.into_iter().all(|result| result.unwrap().already_there));
    assert_eq!(std::fs::read_dir(to.path().join(".thalweg-staging")).unwrap().count(), 0);
}
