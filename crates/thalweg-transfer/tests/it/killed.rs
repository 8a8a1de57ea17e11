//! A copying process that is killed again and again never shows a part under the final name.

use std::io::BufRead as _;
use std::process::{Command, Stdio};

use thalweg_store::{LocalStore, Store};
use thalweg_transfer::{CopyOptions, Verify, copy_verified};

use super::{bytes, path};

const ROOT: &str = "THALWEG_TEST_KILLED_ROOT";

/// The child: copies and tells each step; runs only when started by the test below.
#[test]
fn the_process_that_copies() {
    let Ok(root) = std::env::var(ROOT) else { return };
    let store = LocalStore::open(root).unwrap();
    let tell = |done: u64, _: u64| eprintln!("at {done}");
    let options = CopyOptions { on_progress: Some(&tell), verify: Verify::Readback, ..CopyOptions::new("t") };
    eprintln!("at start");
    copy_verified(&store, &path("a"), &store, &path("out/b"), &options).unwrap();
    eprintln!("at end");
}

#[test]
fn killed_at_each_step() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path()).unwrap();
    let content = bytes(6 << 20);
    store.write_atomically(&path("a"), &content).unwrap();
    let mut finished = false;
    // The n-th child is killed after its n-th word; later ones resume what earlier ones left.
    for steps in 1..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::the_process_that_copies", "--nocapture", "--test-threads=1"])
            .env(ROOT, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let words = std::io::BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let last = words.filter(|line| line.starts_with("at ")).take(steps).last();
        child.kill().unwrap();
        child.wait().unwrap();
        match std::fs::read(folder.path().join("out/b")) {
            Ok(found) => {
                assert!(found == content, "a part of {} bytes has the final name", found.len());
                finished = true;
                break;
            }
            Err(_) => assert_ne!(last.as_deref(), Some("at end")),
        }
    }
    assert!(finished, "no attempt came to its end");
    copy_verified(&store, &path("a"), &store, &path("out/b"), &CopyOptions::new("t")).unwrap();
}
