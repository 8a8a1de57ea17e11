//! What is known of a child process after its end.

use std::time::Duration;

use thalweg_core::ReportLine;

/// How far the sandbox that was asked for is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxState {
    /// None was asked for.
    NotAsked,
    /// All of it.
    Enforced,
    /// The kernel knows only some of it, e.g. files but not TCP.
    Partial,
    /// The kernel has no Landlock, or it is switched off.
    Unsupported,
}

/// The end of a child process.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Exit code, unless a signal ended it.
    pub exit: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// True if it was ended because its time was over.
    pub timed_out: bool,
    /// True if it was ended because the caller asked.
    pub cancelled: bool,
    /// Time from start to end.
    pub wall: Duration,
    /// Processor time in the program, children that it waited for included.
    pub user: Duration,
    /// Processor time in the kernel for it, children that it waited for included.
    pub system: Duration,
    /// Most memory that the process itself held, bytes, as sampled; `None` if it ended before the first sample.
    pub peak_rss: Option<u64>,
    /// Its report lines but progress, in order; at most [`Ended::MAX_REPORTS`].
    pub reports: Vec<ReportLine>,
    /// Report lines that were not JSON of the agreed form, too long, or beyond the number kept.
    pub reports_dropped: u64,
    /// True if the log holds only the first and last part of the output.
    pub log_truncated: bool,
    /// What confined it.
    pub sandbox: SandboxState,
}

impl Ended {
    /// Most report lines kept of one child.
    pub const MAX_REPORTS: usize = 100_000;
}
