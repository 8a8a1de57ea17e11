//! What a child process is given.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What a sandboxed child may reach, beside the system's own folders.
///
/// Reading is always allowed below `/usr`, `/bin`, `/lib`, `/lib64`, `/etc`, `/opt`, `/proc`, in the folder of the
/// program, of its working folder and of what `read` and `write` name; writing below `write`, to the report file, and to
/// `/dev/null`, `/dev/zero`, `/dev/full`, `/dev/random` and `/dev/urandom`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sandbox {
    /// Files and folders that it may read.
    pub read: Vec<PathBuf>,
    /// Trees that it may read and run programs from, where they exist.
    pub programs: Vec<PathBuf>,
    /// Folders in which it may do everything.
    pub write: Vec<PathBuf>,
    /// Whether it may open and accept TCP connections.
    pub tcp: bool,
}

/// A verb to be run as a child process.
#[derive(Debug, Clone)]
pub struct Command {
    /// A path, or a name that is looked for in the `PATH` of `env`.
    pub program: OsString,
    /// Its arguments, handed over as they are: no shell reads them.
    pub args: Vec<OsString>,
    /// Its whole environment: nothing is inherited. `PATH`, `HOME`, `LANG=C.UTF-8` and `TZ=UTC` are added where they are
    /// missing, and `THALWEG_REPORT` is set to `report`.
    pub env: Vec<(OsString, OsString)>,
    /// Its working folder.
    pub cwd: PathBuf,
    /// Its `TMPDIR`, if it gets one.
    pub temporary: Option<PathBuf>,
    /// What it gets on standard input, any length.
    pub stdin: Vec<u8>,
    /// How long it may run; `None` means without end.
    pub timeout: Option<Duration>,
    /// How long it has between TERM and KILL.
    pub kill_after: Duration,
    /// Most bytes of private memory that each of its processes may have (`RLIMIT_DATA`).
    pub memory: Option<u64>,
    /// File that gets its standard output and standard error.
    pub log: PathBuf,
    /// Most bytes of output kept: the first and the last half of that.
    pub log_limit: usize,
    /// What it may reach; `None` leaves it unconfined.
    pub sandbox: Option<Sandbox>,
    /// The file to which it appends its report lines; made empty before the start.
    pub report: PathBuf,
}

impl Command {
    /// Makes a command without arguments, input, limits or sandbox.
    pub fn new(program: impl Into<OsString>, cwd: impl Into<PathBuf>, log: PathBuf, report: PathBuf) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: cwd.into(),
            temporary: None,
            stdin: Vec::new(),
            timeout: None,
            kill_after: Duration::from_secs(10),
            memory: None,
            log,
            log_limit: 1 << 20,
            sandbox: None,
            report,
        }
    }
}
