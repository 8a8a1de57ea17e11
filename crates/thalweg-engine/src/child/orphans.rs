//! What a verb leaves behind outside its process group: a process in a session of its own survives the end of the group.
//!
//! A process whose parent ends becomes a child of the nearest ancestor that takes in orphans. When this process is one
//! ([`adopt`]), whatever is its child and was not started by it is an orphan of a verb, however often it forked. After
//! the end of a run its orphans are ended: they are known by the environment they were born with, and those without
//! that are ended when nothing else runs whose they could be.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// The variable by which the processes of a run are known.
const MARK: &str = "THALWEG_STAGING";

/// Whether this process takes in orphans.
static ADOPTS: AtomicBool = AtomicBool::new(false);

/// Held shared while a child is started: only then a child may be unknown.
static STARTING: RwLock<()> = RwLock::new(());

/// The children that were started here and not yet taken away, with the mark of their run.
static OWN: Mutex<BTreeMap<i32, Option<OsString>>> = Mutex::new(BTreeMap::new());

/// Lets this process take in the orphans of the verbs that it runs.
///
/// For a program whose only children are verbs: any other child of the process would be taken for an orphan and ended. A
/// kernel that knows no such thing leaves orphans to the system as before.
pub fn adopt() {
    let this = Pid::from_raw(i32::try_from(std::process::id()).unwrap_or(1));
    if rustix::process::set_child_subreaper(this).is_ok() {
        ADOPTS.store(true, Ordering::Relaxed);
    }
}

fn own() -> std::sync::MutexGuard<'static, BTreeMap<i32, Option<OsString>>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a child with `start` and notes it as one of ours.
pub(super) fn starting<E>(
    mark: Option<OsString>,
    start: impl FnOnce() -> Result<(std::process::Child, super::SandboxState), E>,
) -> Result<(std::process::Child, super::SandboxState), E> {
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let started = start()?;
    own().insert(Pid::from_child(&started.0).as_raw_nonzero().get(), mark);
    Ok(started)
}

/// Returns the mark of a run, as its environment has it.
pub(super) fn mark(env: &[(OsString, OsString)]) -> Option<OsString> {
    env.iter().find(|(name, _)| name == MARK).map(|(_, value)| value.clone())
}

/// Forgets a child that was taken away, and ends what it left behind; waits for that as long as `within`.
pub(super) fn end_of(leader: Pid, within: Duration) {
    let mark = own().remove(&leader.as_raw_nonzero().get()).flatten();
    end(mark.as_deref(), within);
}

/// Ends whatever orphans are nobody's.
pub(crate) fn end_rest() {
    end(None, Duration::from_secs(1));
}

fn end(mark: Option<&OsStr>, within: Duration) {
    if !ADOPTS.load(Ordering::Relaxed) {
        return;
    }
    let until = Instant::now() + within;
    // Each that ends can leave further ones.
    while end_some(mark) && Instant::now() < until {
        let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 2_000_000 }));
    }
}

// Takes ended orphans away and kills those that are nobody's now; tells if any of these was still there.
fn end_some(mark: Option<&OsStr>) -> bool {
    let Some(children) = children() else { return false };
    if children.iter().all(|pid| own().contains_key(pid)) {
        return false;
    }
    // While nothing is being started, every child that is not known is an orphan.
    let _nothing_starts = match STARTING.try_write() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // A start can take long, e.g. from a file system that does not answer.
        Err(TryLockError::WouldBlock) => return true,
    };
    let own = own();
    let mut any = false;
    for pid in children.iter().filter(|pid| !own.contains_key(pid)) {
        let Some(pid) = Pid::from_raw(*pid) else { continue };
        // It is a child of ours until it is taken away: its number cannot be another's.
        if !matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None)) {
            continue;
        }
        let of = mark_of(pid);
        let nobodys = match &of {
            Some(of) => Some(of.as_os_str()) == mark || !own.values().flatten().any(|live| live == of),
            None => own.is_empty(),
        };
        if nobodys && kill_process(pid, Signal::KILL).is_ok() {
            any = true;
        }
    }
    any
}

// The environment that a process began with.
fn mark_of(pid: Pid) -> Option<OsString> {
    let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    environment
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))
        .map(|value| OsStr::from_bytes(value).to_owned())
}

// The children that orphans are among; none where the kernel does not tell.
//
// The kernel keeps children by thread. An orphan goes to the first thread of the process that takes it in, and so does
// what was started by a thread that has ended: that is the main one, as long as it lives, which is until the end.
fn children() -> Option<Vec<i32>> {
    let main = format!("/proc/self/task/{}/children", std::process::id());
    match std::fs::read_to_string(main) {
        Ok(text) => Some(text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()),
        Err(_) => from_stat(),
    }
}

// The same from the list of all processes, for kernels built without the other.
fn from_stat() -> Option<Vec<i32>> {
    let this = std::process::id().to_string();
    let mut children = Vec::new();
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let text = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // After the name: state, parent.
        let mut fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        if fields.nth(1) == Some(&this) {
            children.push(pid);
        }
    }
    Some(children)
}
