//! What a process has used, as `/proc` tells.
//!
//! The kernel gives exact numbers only to a call that takes the process away at the same moment and that has no safe
//! form here; so times are read from the ended process before it is taken away, and memory is sampled while it runs.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;

/// More than any of these files holds.
const TEXT: usize = 8 << 10;

/// Ticks per second in `/proc/PID/stat`; the same on every architecture that matters here.
const TICKS: u64 = 100;

/// Returns the text of a file of the process in one read: each further one has the kernel look at the process again.
fn text_of(pid: Pid, name: &str) -> Option<String> {
    let mut text = [0; TEXT];
    let path = format!("/proc/{}/{name}", pid.as_raw_nonzero());
    let read = File::open(Path::new(&path)).and_then(|mut file| file.read(&mut text)).ok()?;
    Some(String::from_utf8_lossy(&text[..read]).into_owned())
}

/// Returns processor time in the program and in the kernel, children that it waited for included.
pub(super) fn times(pid: Pid) -> (Duration, Duration) {
    let text = text_of(pid, "stat").unwrap_or_default();
    // The name, field 2, may hold anything; the fields after its closing bracket are numbers, from field 3 on.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = |number: usize| rest.split_whitespace().nth(number - 3).and_then(|text| text.parse::<u64>().ok());
    let seconds = |own: usize, children: usize| {
        let ticks = field(own).unwrap_or_default().saturating_add(field(children).unwrap_or_default());
        Duration::from_millis(ticks.saturating_mul(1000) / TICKS)
    };
    (seconds(14, 16), seconds(15, 17))
}

/// Returns the most memory that a running process has held so far, bytes.
pub(super) fn peak_rss(pid: Pid) -> Option<u64> {
    let text = text_of(pid, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Tells if any process of a group is still running: one that has ended and waits to be collected is not.
pub(super) fn group_runs(group: Pid) -> bool {
    let group = group.as_raw_nonzero().to_string();
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    processes.flatten().any(|process| {
        let text = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // After the name: state, parent, group.
        let mut fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        let state = fields.next();
        state.is_some_and(|state| !matches!(state, "Z" | "X")) && fields.nth(1) == Some(&group)
    })
}
