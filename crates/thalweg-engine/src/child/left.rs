//! Children of an engine that was killed: they go on by themselves, and their outputs would belong to nobody.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Ends the processes of these runs and waits until they are gone.
///
/// A process is known by its run and its working folder, which bears the run's name or lies among the run logs: another
/// flow's engine may have a run of the same number.
pub(crate) fn end_left(runs: &[(i64, String)], state: &Path) {
    if runs.is_empty() {
        return;
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    let mut ended = Vec::new();
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(environment) = std::fs::read(process.path().join("environ")) else { continue };
        if pid != i32::try_from(std::process::id()).unwrap_or(-1)
            && is_ours(&environment, runs, state)
            && let Some(pid) = Pid::from_raw(pid)
            && kill_process(pid, Signal::KILL).is_ok()
        {
            ended.push(pid);
        }
    }
    wait_for(&ended);
}

fn is_ours(environment: &[u8], runs: &[(i64, String)], state: &Path) -> bool {
    let variable = |name: &[u8]| environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(name));
    let (Some(run), Some(folder)) = (variable(b"THALWEG_RUN="), variable(b"THALWEG_STAGING=")) else { return false };
    let folder = Path::new(std::ffi::OsStr::from_bytes(folder));
    runs.iter().any(|(id, name)| {
        id.to_string().as_bytes() == run
            && (folder.starts_with(state) || folder.iter().any(|part| part.as_encoded_bytes() == name.as_bytes()))
    })
}

// A process that was sent KILL may still be within a call that writes; one that hangs in the kernel is not waited for.
fn wait_for(processes: &[Pid]) {
    let end = Timespec { tv_sec: 2, tv_nsec: 0 };
    for pid in processes {
        if let Ok(fd) = pidfd_open(*pid, PidfdFlags::empty()) {
            let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&end));
        }
    }
}
