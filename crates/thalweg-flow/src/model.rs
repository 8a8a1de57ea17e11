//! What a flow file says, after validation: names resolved, families of stations expanded, units read.
//!
//! The defaults of every optional key live here, in `Default` implementations and constants, and nowhere else.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use thalweg_core::expr::Expr;
use thalweg_core::pattern::{FieldType, Pattern, Table};
use thalweg_core::time::Grid;
use thalweg_core::units::{CountRate, Rate, Threshold};
use thalweg_core::{ErrorClass, Fields, Value};

use crate::hours::Hours;

/// A flow file after validation.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The flow's name (`flow = "…"`).
    pub name: String,
    /// Parameters with their values in force.
    pub params: BTreeMap<String, Value>,
    /// Lookup tables by range.
    pub tables: BTreeMap<String, Table>,
    /// Stations by name; a family stands here as its members.
    pub stations: BTreeMap<String, Station>,
    /// Products by name.
    pub products: BTreeMap<String, Product>,
    /// Steps by name.
    pub steps: BTreeMap<String, Step>,
    /// Steps' names in the order of the file: the order in which `status` shows them.
    pub step_order: Vec<String>,
    /// Retention rules by name.
    pub keeps: BTreeMap<String, Keep>,
    /// Checks by name.
    pub checks: BTreeMap<String, Check>,
    /// Old files above which a first `run` asks.
    pub backlog: u64,
    /// Notification targets by name.
    pub notify: BTreeMap<String, Notify>,
    /// Ways of serving a tree, by name.
    pub serve: BTreeMap<String, Serve>,
    /// Logs of the engine and of runs.
    pub log: Log,
    /// What the file says that nothing carries out: shown by `check`, `plan` and at the start of `run`.
    pub notes: Vec<Note>,
}

/// Where logs lie, what is said in them, and how long they stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The folder, relative to the flow file; `None`: `logs` in the folder of the engine's own files.
    pub dir: Option<String>,
    /// What the engine's log says.
    pub level: LogLevel,
    /// How long logs stay.
    pub keep: SignedDuration,
    /// Above so many bytes the oldest go.
    pub max_size: Option<u64>,
}

/// Default of `keep` of the log.
pub const LOG_KEEP: SignedDuration = SignedDuration::from_hours(24 * 90);

impl Default for Log {
    fn default() -> Self {
        Self { dir: None, level: LogLevel::Info, keep: LOG_KEEP, max_size: None }
    }
}

/// How much a log says: each level what the ones before it say, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What went wrong.
    Error,
    /// What is to be looked at.
    Warn,
    /// What was done.
    Info,
    /// Everything.
    Debug,
}

impl LogLevel {
    /// The levels with their words.
    pub const WORDS: [(Self, &'static str); 4] =
        [(Self::Error, "error"), (Self::Warn, "warn"), (Self::Info, "info"), (Self::Debug, "debug")];

    /// Returns the level that a word stands for.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, of)| *of == word).map(|(level, _)| *level)
    }

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(level, _)| *level == self).map_or("", |(_, word)| word)
    }
}

/// Default of `run.backlog`.
pub const BACKLOG: u64 = 10_000;

/// Something a flow file says that this program accepts and does not carry out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Note {
    /// Where, as a dotted key: `stations.campus`, `checks.rawacf-late`.
    pub place: String,
    /// What is not carried out and what follows from it.
    pub message: String,
}

/// A place that holds files.
#[derive(Debug, Clone)]
pub struct Station {
    /// Its name; for a member of a family the member's own (`tse04`).
    pub name: String,
    /// The family's field values (`dsm = "tse04"`); empty for a station of its own.
    pub member_of: Fields,
    /// The folder all its paths are relative to, as written.
    pub root: String,
    /// How others reach it; `None`: a folder of the host that runs the flow.
    pub reach: Option<Reach>,
    /// Limits of the link to it.
    pub link: Link,
    /// Label of the removable volume that `root` lies on.
    pub volume: Option<String>,
    /// Failure domain; copies count once per domain. Default: the station's name.
    pub domain: String,
    /// Its owner takes files away: a file gone from here was delivered, not lost.
    pub dropbox: bool,
    /// Others clean it: what lies here never satisfies a keep, what vanishes is brought again.
    pub scratch: bool,
    /// Files here are never changed, moved or deleted by the flow.
    pub read_only: bool,
    /// How often the whole tree is listed, besides events.
    pub rescan: SignedDuration,
    /// Free space that steps leave untouched.
    pub reserve: Option<Threshold>,
    /// The live station that sends to and fetches from this passive one.
    pub by: Option<String>,
}

/// Default of `rescan`.
pub const RESCAN: SignedDuration = SignedDuration::from_mins(15);

/// How a station is reached from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// `ssh`, `rsync`, `s3`, `https`.
    pub scheme: String,
    /// The whole address as written.
    pub url: String,
}

/// Limits of a link.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// Bytes a second; `None`: unlimited.
    pub limit: Option<Rate>,
    /// The zone in which `hours` are meant.
    pub zone: Option<TimeZone>,
    /// Minutes of the day `[from, to)` with a rate of their own.
    pub hours: Vec<(u16, u16, Option<Rate>)>,
    /// New connections per time.
    pub connections: Option<CountRate>,
}

/// A family of files.
#[derive(Debug, Clone)]
pub struct Product {
    /// Its name.
    pub name: String,
    /// Former name whose history it continues.
    pub was: Option<String>,
    /// The path pattern.
    pub path: Pattern,
    /// Other patterns, by station name.
    pub path_at: BTreeMap<String, Pattern>,
    /// Types of all base fields.
    pub types: BTreeMap<String, FieldType>,
    /// The base field that is the start time, if any.
    pub time_field: Option<String>,
    /// The format whose probe reads coverage and fields.
    pub format: Option<String>,
    /// How long a file covers from its start.
    pub span: Option<SpanRule>,
    /// Coverage ends where the next file of the group starts (at most `span`).
    pub until_next: bool,
    /// Fields that tell apart the series in which files follow each other.
    pub group: Vec<String>,
    /// Coverage is read from the file by its format's probe.
    pub covers_content: bool,
    /// Fields read from the content: field name to the probe's name.
    pub reads: BTreeMap<String, String>,
    /// When a file seen from outside is complete.
    pub ready: Ready,
    /// A condition that a sound file fulfils; else it is quarantined.
    pub require: Option<Expr>,
    /// A start further in the future than this is suspect.
    pub ahead: SignedDuration,
    /// The field that orders files otherwise equal.
    pub version: Option<String>,
    /// Fields that do not distinguish files.
    pub labels: Vec<String>,
    /// What decides that a content has changed.
    pub compare: Compare,
    /// Takes what no other product matches.
    pub otherwise: bool,
    /// Further name patterns (globs) of temporary files, never taken.
    pub temporary: Vec<String>,
}

/// Default of `ahead`.
pub const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// How long a file covers.
#[derive(Debug, Clone)]
pub enum SpanRule {
    /// Always the same.
    Fixed(SignedDuration),
    /// So many seconds as an integer field says (`"{dur}s"`), times the unit.
    Field {
        /// The field.
        name: String,
        /// Length of one unit.
        unit: SignedDuration,
    },
}

/// What decides that a content has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compare {
    /// The bytes.
    #[default]
    Bytes,
    /// The data digest that the format's probe gives.
    Data,
}

/// When a file that something else writes is complete; all that are set must hold.
#[derive(Debug, Clone, Default)]
pub struct Ready {
    /// The writer has closed it; for a file met by a scan: nobody has it open for writing.
    pub closed: bool,
    /// Size and modification time unchanged so long, by own observations.
    pub quiet: Option<SignedDuration>,
    /// Taken only when moved onto its name (or met by a scan).
    pub renamed: bool,
    /// A companion that must exist, a template over `{file}`.
    pub marker: Option<String>,
    /// Held while its start is the newest of its group; `Some([])`: of all.
    pub not_newest: Option<Vec<String>>,
    /// No process has it open for writing.
    pub unopened: bool,
    /// A named event must have been recorded for it.
    pub event: Option<String>,
    /// At least so old by arrival.
    pub age: Option<SignedDuration>,
    /// Taken after this long whatever the other rules say.
    pub max_hold: Option<SignedDuration>,
}

/// What a step does, at a station, with which files.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Former name whose history it continues.
    pub was: Option<String>,
    /// Raised to make its products stale.
    pub version: u32,
    /// The command that says which version the external command has; empty: nobody asks.
    pub version_from: Vec<String>,
    /// What is said by `version_from` decides if its products are stale.
    pub stale_on_version: bool,
    /// The stations it runs at: one, or the members of a family.
    pub at: Vec<String>,
    /// Driving products; empty: the timer's moments are its keys.
    pub takes: Vec<String>,
    /// Stations where the driving files are looked for, when not at `at`.
    pub from: Vec<String>,
    /// Inputs looked up by role.
    pub with: BTreeMap<String, With>,
    /// The grid or fields that make its keys; `None`: one key per driving file.
    pub per: Option<Per>,
    /// Which cells a driving file belongs to.
    pub by_start: bool,
    /// Multiplies keys: one for each value.
    pub each: BTreeMap<String, Vec<Value>>,
    /// When a cell is complete.
    pub complete: Complete,
    /// Keys for which it does not hold are not made.
    pub condition: Option<Expr>,
    /// What it does.
    pub does: Verb,
    /// What it makes.
    pub makes: Vec<Make>,
    /// It may rewrite or rename its own input.
    pub edits: bool,
    /// Stations a `send` (or copy, move, link) goes to, all of them; empty: `at`.
    pub to: Vec<String>,
    /// A file put at each `to` after a round.
    pub flag: Option<String>,
    /// Growing files are followed.
    pub follow_append: bool,
    /// A `send` also removes at its target what a rule removed here, at most this share of files (percent).
    pub delete_extra: Option<f64>,
    /// When ready keys may start.
    pub when: When,
    /// Which of several ready keys goes first.
    pub order: Order,
    /// Hours of the day within which tasks begin; `None`: always.
    pub hours: Option<Hours>,
    /// Keys older than this are not taken by themselves.
    pub window: Option<SignedDuration>,
    /// How far beyond `window` to look while nothing was made yet.
    pub skip_back: Option<SignedDuration>,
    /// How long a gap is looked for.
    pub give_up: Option<SignedDuration>,
    /// Greater goes first.
    pub priority: i32,
    /// At most so many tasks of this step at once.
    pub parallel: Option<usize>,
    /// Keys in one run.
    pub batch: usize,
    /// One task at a time for each value of these fields; `Some([])`: for the whole step.
    pub one_at_a_time: Option<Vec<String>>,
    /// A named lock shared by steps.
    pub exclusive: Option<String>,
    /// A run longer than this is ended.
    pub timeout: SignedDuration,
    /// Memory limit of a run in bytes.
    pub memory: Option<u64>,
    /// Retries.
    pub retry: Retry,
    /// Not while these are ready or running for the same driving file.
    pub after: Vec<String>,
    /// Only when these are done for the same driving file.
    pub needs: Vec<String>,
    /// Where bad inputs go and what goes along.
    pub on_bad: OnBad,
    /// `local` or `slurm`.
    pub executor: Executor,
    /// The verb may open TCP connections.
    pub network: bool,
    /// Extra folders the verb may read.
    pub reads: Vec<String>,
    /// Extra environment of the verb.
    pub environment: BTreeMap<String, String>,
}

/// Default of `timeout`.
pub const TIMEOUT: SignedDuration = SignedDuration::from_hours(6);
/// Default of `give_up`.
pub const GIVE_UP: SignedDuration = SignedDuration::from_hours(24 * 30);

/// An input that is looked up.
#[derive(Debug, Clone)]
pub struct With {
    /// What is looked up.
    pub what: WithWhat,
    /// How long it is waited for from the driving input's arrival.
    pub wait: Wait,
    /// What happens when it comes later.
    pub late: Late,
}

/// What a `with` input is.
#[derive(Debug, Clone)]
pub enum WithWhat {
    /// Files of a product.
    Product {
        /// The product.
        product: String,
        /// Stations where it is looked for; empty: the step's own.
        from: Vec<String>,
        /// Which of its files belong to a key.
        on: Match,
    },
    /// A settings file: a template over the key's fields, relative to the flow file.
    File(String),
}

/// Which files of a `with` product belong to a key.
#[derive(Debug, Clone)]
pub enum Match {
    /// Those whose fields of these names equal the key's.
    Fields(Vec<String>),
    /// Those whose fields equal computed values.
    Computed(BTreeMap<String, Expr>),
    /// Those whose coverage overlaps.
    Overlap,
    /// The newest one.
    Newest,
}

/// How long an input is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It is required.
    Forever,
    /// So long, then the step goes on without it.
    For(SignedDuration),
}

/// What happens when an input comes after the step went on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The product is made again.
    Upgrade,
    /// It is recorded and nothing is made again; not part of the identity.
    Ignore,
}

/// What makes the keys of a step that groups.
#[derive(Debug, Clone, Default)]
pub struct Per {
    /// Fields of the driving files.
    pub fields: Vec<String>,
    /// A time grid.
    pub grid: Option<Grid>,
    /// The numeric field that `grid` counts on (`{ gps = 3600 }`); `None`: coverage.
    pub grid_field: Option<String>,
}

/// When a cell is complete.
#[derive(Debug, Clone, Default)]
pub enum Complete {
    /// Act on what is there, again when more comes.
    #[default]
    Any,
    /// The driving files cover the cell without gaps.
    Covered,
    /// A file for each of these values.
    Each {
        /// Field to the values expected.
        each: BTreeMap<String, Vec<Value>>,
        /// Each series must reach past the cell's end.
        covered_past_end: bool,
        /// Act anyhow, so long after the later of the cell's end and its newest arrival.
        or_after: Option<SignedDuration>,
    },
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Verb {
    /// A verified copy at other stations, under the same product.
    Send,
    /// The same seen from the other end.
    Fetch,
    /// Same content as another product of the station.
    Copy,
    /// As `Copy`, and the input is retired.
    Move,
    /// As `Copy` by a hard link.
    Link,
    /// A subcommand of this program.
    Builtin(CommandLine),
    /// Any external command.
    Run(CommandLine),
}

/// A command as a list of arguments with placeholders; never a shell line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The arguments, the program first (for a built-in: its subcommand words).
    pub args: Vec<Argument>,
}

/// One argument of a command, before filling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// Pieces that fill one argument, or, with exactly one list placeholder, one argument for each of its files.
    Pieces(Vec<Piece>),
    /// `{-i in.dmt}`: the flag before each file; nothing when there is none.
    Flagged {
        /// The flag, e.g. `-i`.
        flag: String,
        /// Whose files.
        what: Placeholder,
    },
}

/// A part of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it stands.
    Text(String),
    /// Filled from the task.
    Hole(Placeholder),
}

/// What fills a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placeholder {
    /// `{in}`: all driving files.
    In,
    /// `{in.NAME}`: driving files of that product, or the files of that role.
    InNamed(String),
    /// `{in.new}`: driving files not yet worked in.
    InNew,
    /// `{out}`: the output, or the staging folder of a `many`.
    Out,
    /// `{out.NAME}`: the output of that product.
    OutNamed(String),
    /// `{out.previous}`: the earlier output of an `update`.
    OutPrevious,
    /// `{key.start}`.
    KeyStart,
    /// `{key.end}`.
    KeyEnd,
    /// `{$name}`: a parameter.
    Param(String),
    /// Any other name: a field of the key or of the driving file, or a pattern expression over them (`{gps/1e6}`).
    Field(String),
}

/// A product that a step makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Make {
    /// The product.
    pub product: String,
    /// The verb writes whatever matches into its staging folder.
    pub many: bool,
    /// Built up from contributions of several keys.
    pub update: bool,
}

/// When ready keys may start.
#[derive(Debug, Clone)]
pub enum When {
    /// As soon as they are ready.
    Arrives,
    /// At regular moments.
    Every {
        /// The period.
        every: SignedDuration,
        /// Moments are spread over so much, by station.
        spread: SignedDuration,
        /// After a failure.
        retry: Option<SignedDuration>,
    },
    /// At the moments of a cron line.
    Cron {
        /// The five fields.
        line: String,
        /// The zone in which they are meant.
        zone: TimeZone,
    },
    /// When a file appears whose path matches; it is removed after the round.
    Flag(String),
    /// Only when asked for.
    Asked,
}

/// Which of several ready keys goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By start, oldest first.
    #[default]
    OldestFirst,
    /// By start, newest first.
    NewestFirst,
}

/// Retries after failures that may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// How many further attempts.
    pub times: u32,
    /// Shortest and longest wait; it doubles from one attempt to the next.
    pub wait: (SignedDuration, SignedDuration),
    /// The only classes retried; empty: those that may pass by themselves, and unexplained failures.
    pub only: Vec<ErrorClass>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { times: 5, wait: (SignedDuration::from_secs(30), SignedDuration::from_mins(10)), only: Vec::new() }
    }
}

/// What happens to an input that a verb found bad.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnBad {
    /// Folder below the station's root; `None`: `quarantine`.
    pub put: Option<String>,
    /// Roles whose files go along.
    pub along: Vec<String>,
}

/// Where tasks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Executor {
    /// Child processes of this host.
    #[default]
    Local,
    /// A Slurm cluster.
    Slurm,
}

/// A retention rule.
#[derive(Debug, Clone)]
pub struct Keep {
    /// Its name.
    pub name: String,
    /// The stations it holds for.
    pub at: Vec<String>,
    /// The products it may delete.
    pub products: Vec<String>,
    /// When.
    pub delete: Delete,
    /// Never younger than this, by arrival.
    pub min_age: SignedDuration,
    /// The newest files of each group stay.
    pub keep_newest: Option<KeepNewest>,
    /// All must hold for a file to be deleted.
    pub only_if: Vec<Expr>,
    /// Files for which it does not hold are no concern of this rule.
    pub condition: Option<Expr>,
    /// At which moments it deletes.
    pub when: When,
    /// Hours of the day within which it deletes; `None`: always.
    pub hours: Option<Hours>,
}

/// When a keep deletes.
#[derive(Debug, Clone, Default)]
pub struct Delete {
    /// As soon as everything else allows it.
    pub at_once: bool,
    /// Here for longer than this, by arrival (a product made today of an old span is new).
    pub older_than: Option<SignedDuration>,
    /// Only while free space is below this.
    pub when_free_below: Option<Threshold>,
    /// Oldest first (always so under `when_free_below`).
    pub oldest_first: bool,
    /// At most so many bytes an hour.
    pub per_hour: Option<u64>,
}

/// How many of the newest files stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepNewest {
    /// How many.
    pub count: u64,
    /// Of each group of these fields.
    pub per: Vec<String>,
}

/// What must be true.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// What is looked at.
    pub what: CheckWhat,
    /// Where; empty: everywhere.
    pub at: Vec<String>,
    /// One result for each value of these fields.
    pub per: Vec<String>,
    /// Above (a number: from there on; free space: below): WARNING.
    pub warning: Option<Bound>,
    /// Above (or below): CRITICAL.
    pub critical: Option<Bound>,
    /// Whom to tell.
    pub notify: Vec<String>,
    /// At which moments a running engine looks.
    pub when: When,
    /// Hours of the day within which it is looked at; `None`: always.
    pub hours: Option<Hours>,
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckWhat {
    /// Age of the newest file of a product.
    Latency(String),
    /// Age of the last success of a step.
    LastSuccess(String),
    /// Failed keys of a step.
    Failing(String),
    /// Open keys of a step that do not become fewer.
    Queue(String),
    /// Free space of a station.
    Free(String),
    /// How long a station has not been heard of.
    Silent(String),
}

/// A limit of a check.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// A span of time.
    Age(SignedDuration),
    /// A number.
    Count(i64),
    /// Space.
    Space(Threshold),
}

/// A notification target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Its name.
    pub name: String,
    /// `slack`, `email`, `webhook` or `command`.
    pub kind: String,
    /// Its settings as written; secrets by reference only.
    pub settings: BTreeMap<String, String>,
}

/// A way of serving a station's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// Its name.
    pub name: String,
    /// The station.
    pub at: String,
    /// Over HTTP.
    pub http: bool,
    /// As an rsync module of this name.
    pub rsync: Option<String>,
    /// As a data-find service.
    pub datafind: bool,
}

impl Product {
    /// Returns the pattern of this product's paths at a station.
    pub fn pattern_at(&self, station: &str) -> &Pattern {
        self.path_at.get(station).unwrap_or(&self.path)
    }

    /// Returns the fields of the series in which files follow each other: `group`, else those of `not_newest`.
    pub fn series(&self) -> &[String] {
        if self.group.is_empty() { self.ready.not_newest.as_deref().unwrap_or_default() } else { &self.group }
    }
}

impl Flow {
    /// Tells if something of this flow writes to a station: what a step makes, sends or fetches goes there.
    ///
    /// Only there is a root that is missing made: where the flow only reads, it is mistyped or not mounted.
    pub fn writes_to(&self, station: &str) -> bool {
        let of = |names: &[String]| names.iter().any(|name| name == station);
        self.steps.values().any(|step| match step.does {
            Verb::Fetch => of(&step.at),
            Verb::Send | Verb::Copy | Verb::Move | Verb::Link if !step.to.is_empty() => of(&step.to),
            Verb::Send | Verb::Copy | Verb::Move | Verb::Link => of(&step.at),
            Verb::Builtin(_) | Verb::Run(_) => !step.makes.is_empty() && of(&step.at),
        })
    }
}

impl Step {
    /// Returns the stations where driving files are looked for when the step runs at `at`.
    pub fn sources<'a>(&'a self, at: &'a str) -> Vec<&'a str> {
        if self.from.is_empty() { vec![at] } else { self.from.iter().map(String::as_str).collect() }
    }

    /// Tells if files of a product at a station are among its driving files.
    pub fn takes_from(&self, station: &str, product: &str) -> bool {
        self.takes.iter().any(|taken| taken == product) && self.at.iter().any(|at| self.sources(at).contains(&station))
    }

    /// Tells if its outputs are built up from contributions.
    pub fn updates(&self) -> bool {
        self.makes.iter().any(|make| make.update)
    }
}
