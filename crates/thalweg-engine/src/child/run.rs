//! Starting a child, following it, and ending it with all that it started.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{self, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, prlimit,
    test_kill_process_group, waitid,
};
use thalweg_core::ReportLine;

use super::log::Log;
use super::reports::Reports;
use super::{ChildError, Command, Ended, SandboxState, find, orphans, sandbox, usage};

/// Longest pause between two looks at reports, memory and the caller's wish.
const PAUSE: Duration = Duration::from_millis(50);

/// Longest time from TERM to KILL for a child that is ended because the caller asked.
const CANCELLED: Duration = Duration::from_secs(3);
/// How long the end of processes that were killed is waited for.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// Most output taken in after the leader's end.
const LAST_OUTPUT: usize = 16 << 20;

/// A running child process and all that it starts.
///
/// Dropping it kills the whole process group, and what it left outside of that where orphans are taken in.
pub struct Child {
    child: process::Child,
    pid: Pid,
    pidfd: OwnedFd,
    started: Instant,
    timeout: Option<Duration>,
    kill_after: Duration,
    output: Option<PipeReader>,
    input: Option<Input>,
    log: Option<Log>,
    reports: Option<Reports>,
    sandbox: SandboxState,
    reaped: bool,
}

/// Standard input that has still to be written.
struct Input {
    pipe: ChildStdin,
    bytes: Vec<u8>,
    at: usize,
}

/// How far the end of a child has been brought about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Asked { at: Instant },
    Killed,
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Child").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// Makes an empty file that only the name's owner sees being made: a link under the name is refused.
fn create(path: &Path) -> Result<File, ChildError> {
    let nofollow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(nofollow)
        .open(path)
        .map_err(|source| ChildError::Prepare { path: path.to_owned(), source })
}

/// Lets reads and writes of our end of a pipe return at once.
fn make_nonblocking(fd: impl std::os::fd::AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?)
}

impl Child {
    /// Starts a command.
    ///
    /// The memory limit is set just after the start: what the program takes in its first moments is not counted.
    ///
    /// # Errors
    ///
    /// [`ChildError::NoProgram`], [`ChildError::Start`], [`ChildError::Prepare`], [`ChildError::Sandbox`].
    pub fn spawn(command: Command) -> Result<Self, ChildError> {
        let env = find::environment(&command);
        let program = find::program(&command, &env)?;
        if !command.cwd.is_dir() {
            let source = io::Error::from(ErrorKind::NotFound);
            return Err(ChildError::Prepare { path: command.cwd, source });
        }
        let log = Log::new(create(&command.log)?, command.log_limit);
        let reports = Reports::new(create(&command.report)?);
        let start_failed = |source| ChildError::Start { program: program.clone(), source };

        let (output, writer) = io::pipe().map_err(start_failed)?;
        make_nonblocking(&output).map_err(start_failed)?;
        let mut process = process::Command::new(&program);
        process
            .arg0(&command.program)
            .args(&command.args)
            .env_clear()
            .envs(env)
            .current_dir(&command.cwd)
            .stdin(if command.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(writer.try_clone().map_err(start_failed)?)
            .stderr(writer)
            .process_group(0);
        let rules = match &command.sandbox {
            Some(asked) => Some(sandbox::rules(asked, &program, &command.cwd, &command.report)?),
            None => None,
        };
        let (mut child, sandbox) = orphans::starting(orphans::mark(&command.env), || match rules {
            None => Ok((process.spawn().map_err(start_failed)?, SandboxState::NotAsked)),
            Some(rules) => sandbox::spawn(&mut process, rules, &program),
        })?;
        // Our copies of the pipe's other end go with it, else the pipe would never end.
        drop(process);
        let started = Instant::now();
        let pid = Pid::from_child(&child);
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(errno) => {
                end_group(pid);
                let _ = child.wait();
                orphans::end_of(pid, GONE_WITHIN);
                return Err(ChildError::Wait { pid: child.id(), source: errno.into() });
            }
        };
        if let Some(bytes) = command.memory {
            let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
            // The only failure left is that the child has ended already.
            let _ = prlimit(Some(pid), Resource::Data, limit);
        }
        let mut this = Self {
            input: None,
            child,
            pid,
            pidfd,
            started,
            timeout: command.timeout,
            kill_after: command.kill_after,
            output: Some(output),
            log: Some(log),
            reports: Some(reports),
            sandbox,
            reaped: false,
        };
        if let Some(pipe) = this.child.stdin.take() {
            make_nonblocking(&pipe).map_err(start_failed)?;
            this.input = Some(Input { pipe, bytes: command.stdin, at: 0 });
        }
        Ok(this)
    }

    /// Returns the number of the child, which is also that of its process group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns what confines the child.
    pub fn sandbox(&self) -> &SandboxState {
        &self.sandbox
    }

    /// Follows the child to its end, and ends it when its time is over or `cancel` becomes true.
    ///
    /// Input is written, output taken in and every report line handed to `on_report` meanwhile. The group first gets
    /// TERM, after `kill_after` KILL; when the child itself has ended, what is left of its group is killed at once.
    ///
    /// # Errors
    ///
    /// [`ChildError::Wait`] if the child cannot be followed; it is killed then.
    pub fn wait(mut self, cancel: &AtomicBool, on_report: &mut dyn FnMut(ReportLine)) -> Result<Ended, ChildError> {
        let wait_failed = |pid: &Self, errno: Errno| ChildError::Wait { pid: pid.id(), source: errno.into() };
        let mut phase = Phase::Running;
        let (mut timed_out, mut cancelled) = (false, false);
        let mut peak_rss = None;
        let mut pause = Duration::from_millis(1);
        let mut next_look = self.started + pause;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let now = Instant::now();
            if now >= next_look {
                peak_rss = peak_rss.max(usage::peak_rss(self.pid));
                if let Some(reports) = &mut self.reports {
                    reports.look(on_report);
                }
                // Short runs are looked at often, long ones seldom.
                pause = (pause * 2).min(PAUSE);
                next_look = now + pause;
            }
            phase = self.advance(phase, now, cancel.load(Ordering::Relaxed), &mut timed_out, &mut cancelled);
            let ended =
                self.poll(next_look.saturating_duration_since(now)).map_err(|errno| wait_failed(&self, errno))?;
            self.write_input();
            self.read_output(&mut buffer, buffer_rounds(ended));
            if ended {
                break;
            }
        }
        let wall = self.started.elapsed();
        // The ended leader is not taken away yet, so its number and that of its group cannot be anybody else's.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), options).map_err(|errno| wait_failed(&self, errno))?;
        let (user, system) = usage::times(self.pid);
        self.input = None;
        end_group(self.pid);
        let reaped = self.child.wait();
        self.reaped = true;
        if let Err(source) = reaped {
            orphans::end_of(self.pid, GONE_WITHIN);
            return Err(ChildError::Wait { pid: self.id(), source });
        }
        self.wait_for_group();
        orphans::end_of(self.pid, GONE_WITHIN);
        self.read_output(&mut buffer, LAST_OUTPUT / (64 << 10));
        let log_truncated = self.log.take().is_some_and(Log::finish);
        let (reports, reports_dropped) =
            self.reports.take().map(|reports| reports.finish(on_report)).unwrap_or_default();
        Ok(Ended {
            exit: status.as_ref().and_then(|status| status.exit_status()),
            signal: status.as_ref().and_then(|status| status.terminating_signal()),
            timed_out,
            cancelled,
            wall,
            user,
            system,
            peak_rss,
            reports,
            reports_dropped,
            log_truncated,
            sandbox: self.sandbox.clone(),
        })
    }

    /// Moves on towards the end if it is time to.
    fn advance(&self, phase: Phase, now: Instant, cancel: bool, timed_out: &mut bool, cancelled: &mut bool) -> Phase {
        match phase {
            Phase::Running => {
                let over = self.timeout.is_some_and(|timeout| now.duration_since(self.started) >= timeout);
                if !over && !cancel {
                    return phase;
                }
                *timed_out = over;
                *cancelled = !over;
                let _ = kill_process_group(self.pid, Signal::TERM);
                // A stopped process cannot act on TERM.
                let _ = kill_process_group(self.pid, Signal::CONT);
                Phase::Asked { at: now }
            }
            // Whoever cancels waits for it, also for one that has been asked because its time was over.
            Phase::Asked { at }
                if now.duration_since(at) >= if cancel { self.kill_after.min(CANCELLED) } else { self.kill_after } =>
            {
                end_group(self.pid);
                Phase::Killed
            }
            phase => phase,
        }
    }

    /// Waits for anything to happen; tells if the child has ended.
    fn poll(&self, pause: Duration) -> Result<bool, Errno> {
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        if let Some(output) = &self.output {
            fds.push(PollFd::new(output, PollFlags::IN));
        }
        if let Some(input) = &self.input {
            fds.push(PollFd::new(&input.pipe, PollFlags::OUT));
        }
        // Pauses are short; one that would not fit is none.
        let timeout = Timespec::try_from(pause).unwrap_or_default();
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => Ok(!fds[0].revents().is_empty()),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Writes as much input as the pipe takes now.
    fn write_input(&mut self) {
        let Some(input) = &mut self.input else { return };
        while input.at < input.bytes.len() {
            match input.pipe.write(&input.bytes[input.at..]) {
                Ok(written) if written > 0 => input.at += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The child does not want the rest.
                _ => break,
            }
        }
        self.input = None;
    }

    /// Takes in the output that is there, `rounds` buffers at most.
    fn read_output(&mut self, buffer: &mut [u8], rounds: usize) {
        for _ in 0..rounds {
            let Some(output) = &mut self.output else { return };
            match output.read(buffer) {
                Ok(0) => self.output = None,
                Ok(got) => {
                    if let Some(log) = &mut self.log {
                        log.take(&buffer[..got]);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.output = None,
            }
        }
    }

    /// Waits until nothing is left of the group, so that nobody writes into the staging folder any more.
    fn wait_for_group(&self) {
        let until = Instant::now() + GONE_WITHIN;
        // Where nobody collects orphans they stay listed after their end; those write no more.
        while test_kill_process_group(self.pid).is_ok() && usage::group_runs(self.pid) && Instant::now() < until {
            let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 2_000_000 }));
        }
    }
}

/// How many buffers of output are taken in between two looks at the rest.
fn buffer_rounds(ended: bool) -> usize {
    if ended { 1 } else { 16 }
}

/// Kills all that is left of a process group.
fn end_group(pid: Pid) {
    // Nobody left is what is wanted.
    let _ = kill_process_group(pid, Signal::KILL);
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            end_group(self.pid);
            let _ = self.child.wait();
            orphans::end_of(self.pid, GONE_WITHIN);
        }
    }
}
