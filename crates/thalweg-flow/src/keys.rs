//! Every key of the language: its name, what may stand there, what it means, what holds when it is not given.
//!
//! The reader refuses what is not listed here and the schema is made from it, so that the two cannot drift apart.
//! Nothing here reads a value.

/// What may stand at a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Any text.
    Text,
    /// A pattern of paths.
    Pattern,
    /// A condition or computation.
    Condition,
    /// `30s`, `2h`, `14d`.
    Duration,
    /// `30s..10m` or one span.
    DurationRange,
    /// `8 MiB`.
    Size,
    /// `800 KiB/s`, `unlimited`.
    Rate,
    /// `40/min`.
    CountRate,
    /// `10%` or `20 GB`.
    Threshold,
    /// `5%`.
    Percent,
    /// True or false.
    Boolean,
    /// A whole number of at least this.
    Integer(i64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list.
    List(&'static Shape),
    /// One, or a list of them.
    OneOrMany(&'static Shape),
    /// A table with the keys of a section.
    Table(&'static Section),
    /// A table whose keys are names that the user chooses.
    Map(&'static Shape),
    /// Any of these.
    Any(&'static [Shape]),
    /// Text, a number, true or false, a date, or a list of them.
    Value,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) about: &'static str,
    pub(crate) required: bool,
}

impl Key {
    /// Returns what holds when the key is not given, as its sentence says: a value, or words that explain it.
    pub(crate) fn default(&self) -> Option<&'static str> {
        let (_, said) = self.about.split_once("Default: ")?;
        Some(said.strip_suffix('.').unwrap_or(said))
    }
}

/// The keys of one kind of table.
#[derive(Debug)]
pub(crate) struct Section {
    /// What messages call it, with its article.
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [Key],
}

const fn key(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, about, required: false }
}

const fn must(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, about, required: true }
}

const TEXTS: Shape = Shape::OneOrMany(&Shape::Text);
const NAMES: Shape = Shape::List(&Shape::Text);

pub(crate) static FLOW: Section = Section {
    name: "a flow file",
    keys: &[
        key("flow", Shape::Text, "Name of the flow. Default: the file's name without its ending."),
        key(
            "params",
            Shape::Map(&Shape::Any(&[Shape::Value, Shape::Table(&PARAM)])),
            "Parameters, used as `$name`; overridden by THALWEG_PARAM_NAME in the environment and, above that, by `--set name=value`.",
        ),
        key(
            "tables",
            Shape::Map(&Shape::Map(&Shape::Value)),
            "Lookup tables by range (\"815000000..875000000\" = \"S5\"), used as `{table(field)}` in patterns.",
        ),
        key(
            "stations",
            Shape::Map(&Shape::Table(&STATION)),
            "Places that hold files. A name such as \"{dsm}\" with `each` makes a family of stations.",
        ),
        key("products", Shape::Map(&Shape::Table(&PRODUCT)), "Families of files."),
        key("steps", Shape::Map(&Shape::Table(&STEP)), "What is done with files, where and when."),
        key("keeps", Shape::Map(&Shape::Table(&KEEP)), "What may be deleted, when, and under which conditions."),
        key("checks", Shape::Map(&Shape::Table(&CHECK)), "What must be true."),
        key("run", Shape::Table(&RUNNING), "How `thalweg run` works on this flow."),
        key("notify", Shape::Map(&Shape::Table(&NOTIFY)), "Whom checks tell."),
        key("serve", Shape::Map(&Shape::Table(&SERVE)), "Trees that are served to others."),
        key("log", Shape::Table(&LOG), "Logs of the engine and of runs."),
    ],
};

pub(crate) static RUNNING: Section = Section {
    name: "a run",
    keys: &[key(
        "backlog",
        Shape::Integer(0),
        "Old files above which a first `run` asks whether they are to be acted on. Default: 10000.",
    )],
};

pub(crate) static PARAM: Section = Section {
    name: "a parameter",
    keys: &[
        key("file", Shape::Text, "A file beside the flow file with one value on each line; `#` starts a comment."),
        key("env", Shape::Text, "An environment variable that holds the value."),
    ],
};

pub(crate) static STATION: Section = Section {
    name: "a station",
    keys: &[
        must("root", Shape::Text, "The folder that all paths of the station are relative to."),
        key(
            "reach",
            Shape::Text,
            "How others reach it: ssh://USER@HOST, rsync://, s3://, https://. Left out: a folder of the host that runs the flow.",
        ),
        key("link", Shape::Table(&LINK), "Limits of the link to it."),
        key("volume", Shape::Text, "Label of the removable volume that `root` lies on; its absence is no error."),
        key("domain", Shape::Text, "Failure domain: copies count once in each. Default: the station's name."),
        key(
            "dropbox",
            Shape::Boolean,
            "Its owner takes files away: gone from here means delivered, not lost. Default: false.",
        ),
        key("scratch", Shape::Boolean, "Others clean it: what lies here never satisfies a keep. Default: false."),
        key("read_only", Shape::Boolean, "Files here are never changed, moved or deleted by the flow. Default: false."),
        key("rescan", Shape::Duration, "How often the whole tree is listed, besides events. Default: 15m."),
        key("reserve", Shape::Threshold, "Free space that steps leave untouched."),
        key("by", Shape::Text, "The live station that sends to and fetches from this one."),
        key(
            "each",
            Shape::Map(&Shape::Value),
            "For a family: the values of each field in its name; one station for each.",
        ),
    ],
};

pub(crate) static LINK: Section = Section {
    name: "a link",
    keys: &[
        key("limit", Shape::Rate, "Bytes a second. Default: unlimited."),
        key(
            "zone",
            Shape::Text,
            "Time zone in which `hours` are meant, e.g. America/Regina or UTC. Needed with `hours`.",
        ),
        key(
            "hours",
            Shape::Map(&Shape::Rate),
            "Hours of the day with a limit of their own: { \"00:00-06:00\" = \"unlimited\" }.",
        ),
        key("connections", Shape::CountRate, "New connections per time: 40/min."),
    ],
};

pub(crate) static PRODUCT: Section = Section {
    name: "a product",
    keys: &[
        must("path", Shape::Pattern, "Pattern of the paths of its files, relative to a station's root."),
        key("path_at", Shape::Map(&Shape::Pattern), "Other patterns, by station."),
        key("format", Shape::Text, "The format whose probe reads coverage and fields: borealis, dmap, gwf, nidas …"),
        key("span", Shape::Text, "How long a file covers from its start: \"2h\", or \"{dur}s\" from a field."),
        key(
            "until",
            Shape::Word(&["next"]),
            "\"next\": coverage ends where the next file of the group starts, at most `span` later.",
        ),
        key("group", NAMES, "Fields that tell apart the series in which files follow each other."),
        key("covers", Shape::Word(&["content"]), "\"content\": coverage is read from the file by its format's probe."),
        key("reads", Shape::Map(&Shape::Text), "Fields read from the content: { cpid = \"cp\" }."),
        key(
            "ready",
            Shape::Any(&[Shape::OneOrMany(&Shape::Word(&["closed", "renamed", "unopened"])), Shape::Table(&READY)]),
            "When a file that something else writes is complete. Default: closed.",
        ),
        key("require", Shape::Condition, "What a sound file fulfils; others are quarantined."),
        key("ahead", Shape::Duration, "A start further in the future than this is suspect. Default: 1d."),
        key("version", Shape::Text, "The field that orders files otherwise equal."),
        key("labels", NAMES, "Fields that do not distinguish files."),
        key(
            "compare",
            Shape::Word(&["bytes", "data"]),
            "What decides that a content has changed: its bytes, or the format's digest of the data. Default: bytes.",
        ),
        key("otherwise", Shape::Boolean, "Takes what no other product matches. Default: false."),
        key("temporary", NAMES, "Further name patterns (globs) of temporary files, never taken."),
        key("was", Shape::Text, "Former name, whose history the product continues."),
    ],
};

pub(crate) static READY: Section = Section {
    name: "a ready rule",
    keys: &[
        key("closed", Shape::Boolean, "The writer has closed it. Default: true."),
        key("quiet", Shape::Duration, "Size and modification time unchanged for so long."),
        key("renamed", Shape::Boolean, "Taken only when moved onto its name. Default: false."),
        key("marker", Shape::Text, "A companion that must exist: {file}.done."),
        key(
            "not_newest",
            NAMES,
            "Held while its start is the newest of its group; the fields of the group, [] for all files.",
        ),
        key("unopened", Shape::Boolean, "No process has it open for writing. Default: false."),
        key("event", Shape::Text, "A named event must have been recorded for it."),
        key("age", Shape::Duration, "At least so old by arrival."),
        key("max_hold", Shape::Duration, "Taken after this long whatever the other rules say."),
    ],
};

pub(crate) static STEP: Section = Section {
    name: "a step",
    keys: &[
        must("at", Shape::Text, "The station (or family) where it runs."),
        key(
            "takes",
            TEXTS,
            "Driving products: their files make its keys. Left out: the moments of `when` are its keys.",
        ),
        key("from", TEXTS, "Stations where the driving files are, when not at `at`."),
        key("with", Shape::Map(&Shape::Table(&WITH)), "Inputs that are looked up, by role."),
        key(
            "per",
            Shape::Any(&[
                Shape::Text,
                Shape::Map(&Shape::Integer(1)),
                Shape::List(&Shape::Any(&[Shape::Text, Shape::Map(&Shape::Integer(1))])),
            ]),
            "What one task is about: \"8h\", \"1d\", { gps = 3600 }, a field, or a list of fields with at most one grid. Default: one driving file.",
        ),
        key(
            "by",
            Shape::Word(&["start", "overlap"]),
            "Which cells a driving file belongs to: those it overlaps, or the one it starts in. Default: overlap.",
        ),
        key("each", Shape::Map(&Shape::Value), "Multiplies keys: one for each of these values."),
        key(
            "complete",
            Shape::Any(&[Shape::Word(&["any", "covered"]), Shape::Table(&COMPLETE)]),
            "When a cell is complete. Default: any (act on what is there, again when more comes).",
        ),
        key("if", Shape::Condition, "Keys for which it does not hold are left out."),
        key("makes", Shape::OneOrMany(&Shape::Any(&[Shape::Text, Shape::Table(&MAKE)])), "The products it makes."),
        must(
            "does",
            Shape::Any(&[Shape::Text, Shape::Table(&RUN)]),
            "send, fetch, copy, move, link, a subcommand with placeholders, or { run = [\"program\", …] }.",
        ),
        key("to", TEXTS, "Stations that a send, copy, move or link goes to, all of them."),
        key("flag", Shape::Text, "A file put at each `to` after a round."),
        key("follow", Shape::Word(&["append"]), "\"append\": files that still grow are followed."),
        key("delete_extra", Shape::Table(&DELETE_EXTRA), "A send also removes at its target what a rule removed here."),
        key(
            "when",
            Shape::Any(&[Shape::Word(&["arrives", "asked"]), Shape::Table(&WHEN)]),
            "When ready keys may start. Default: arrives.",
        ),
        key(
            "order",
            Shape::Word(&["oldest_first", "newest_first"]),
            "Which ready key goes first. Default: oldest_first.",
        ),
        key("hours", TEXTS, "Hours of the day within which tasks begin: \"22:00-06:00\", or several. Default: always."),
        key(
            "zone",
            Shape::Text,
            "Time zone in which `hours` are meant, e.g. America/Regina or UTC. Needed with `hours`.",
        ),
        key("window", Shape::Duration, "Keys older than this are not taken by themselves."),
        key("skip_back", Shape::Duration, "How far beyond `window` to look while nothing was made yet."),
        key("give_up", Shape::Duration, "How long a gap is looked for. Default: 30d."),
        key("priority", Shape::Integer(i64::MIN), "Greater goes first. Default: 0."),
        key("parallel", Shape::Integer(1), "At most so many tasks of the step at once."),
        key("batch", Shape::Integer(1), "Keys in one run. Default: 1."),
        key(
            "one_at_a_time",
            Shape::Any(&[Shape::Boolean, Shape::OneOrMany(&Shape::Text)]),
            "One task at a time for each value of these fields; true: for the whole step.",
        ),
        key("exclusive", Shape::Text, "A named lock, shared by all steps that name it."),
        key("timeout", Shape::Duration, "A run longer than this is ended. Default: 6h."),
        key("memory", Shape::Size, "Memory limit of a run."),
        key("retry", Shape::Table(&RETRY), "Retries after failures that may pass."),
        key("after", TEXTS, "Not while these steps are ready or running for the same driving file."),
        key("needs", TEXTS, "Only when these steps are done for the same driving file."),
        key("on_bad", Shape::Table(&ON_BAD), "Where bad inputs go and what goes along."),
        key("edits", Shape::Boolean, "It may rewrite or rename its own input. Default: false."),
        key("executor", Shape::Word(&["local", "slurm"]), "Where tasks run. Default: local."),
        key("network", Shape::Boolean, "The verb may open network connections. Default: false."),
        key("reads", TEXTS, "Extra folders that the verb may read."),
        key("environment", Shape::Map(&Shape::Text), "Extra environment of the verb."),
        key("version", Shape::Integer(1), "Raised to make its products stale. Default: 1."),
        key(
            "version_from",
            NAMES,
            "A command that says which version the program of `does` is: [\"prog\", \"--version\"]. It is asked at the start and when the program's file changes, and the answer is recorded with each run.",
        ),
        key(
            "stale_on",
            Shape::Word(&["version_from"]),
            "\"version_from\": products made under another answer are made again. Left out: a change is only noted.",
        ),
        key("was", Shape::Text, "Former name, whose history the step continues."),
    ],
};

pub(crate) static WITH: Section = Section {
    name: "an input by role",
    keys: &[
        key("product", Shape::Text, "The product that is looked up."),
        key("from", TEXTS, "Stations where it is looked for. Default: the step's own."),
        key(
            "match",
            Shape::Any(&[Shape::Word(&["overlap", "newest"]), NAMES, Shape::Map(&Shape::Condition)]),
            "Which of its files belong to a key: fields that are equal, { field = \"expression\" }, \"overlap\" or \"newest\". Default: overlap.",
        ),
        key(
            "wait",
            Shape::Any(&[Shape::Word(&["forever"]), Shape::Duration]),
            "How long it is waited for from the driving input's arrival. Default: forever; for newest: 0s.",
        ),
        key(
            "late",
            Shape::Word(&["upgrade", "ignore"]),
            "What happens when it comes later: made again, or only recorded. Default: upgrade; for newest and file: ignore.",
        ),
        key(
            "file",
            Shape::Text,
            "Instead of a product: a settings file beside the flow file, a template over the key's fields.",
        ),
    ],
};

pub(crate) static COMPLETE: Section = Section {
    name: "a rule of completeness",
    keys: &[
        must("each", Shape::Map(&Shape::Value), "A file for each of these values: { dsm = \"$dsms\" }."),
        key("covered_past_end", Shape::Boolean, "Each series must reach past the cell's end. Default: false."),
        key(
            "or_after",
            Shape::Duration,
            "Act anyhow, so long after the later of the cell's end and its newest arrival.",
        ),
    ],
};

pub(crate) static MAKE: Section = Section {
    name: "an output",
    keys: &[
        must("product", Shape::Text, "The product."),
        key("many", Shape::Boolean, "The verb writes whatever matches into its staging folder. Default: false."),
        key("update", Shape::Boolean, "Built up from the contributions of several keys. Default: false."),
    ],
};

pub(crate) static RUN: Section = Section {
    name: "a command",
    keys: &[must(
        "run",
        Shape::List(&Shape::Text),
        "The program and its arguments, with placeholders; never a shell line.",
    )],
};

pub(crate) static WHEN: Section = Section {
    name: "a trigger",
    keys: &[
        key("every", Shape::Duration, "At regular moments."),
        key("spread", Shape::Duration, "Moments are spread over so much, by station. Default: 0s."),
        key("retry", Shape::Duration, "The next moment after a failure."),
        key("cron", Shape::Text, "Five fields: minute, hour, day, month, day of the week."),
        key("zone", Shape::Text, "Time zone of `cron`. Default: UTC."),
        key(
            "flag",
            Shape::Text,
            "A path pattern: each appearance of such a file counts, and it is removed after the round.",
        ),
    ],
};

pub(crate) static RETRY: Section = Section {
    name: "a retry rule",
    keys: &[
        key("times", Shape::Integer(0), "Further attempts. Default: 5."),
        key("wait", Shape::DurationRange, "Shortest and longest wait, doubling in between. Default: 30s..10m."),
        key("only", Shape::OneOrMany(&Shape::Word(&ERROR_CLASSES)), "The only error classes that are retried."),
    ],
};

/// The words of error classes.
pub(crate) static ERROR_CLASSES: [&str; 6] = ["config", "not_yet", "transient", "data", "refused", "bug"];

pub(crate) static ON_BAD: Section = Section {
    name: "a rule for bad inputs",
    keys: &[
        key("put", Shape::Text, "Folder below the station's root. Default: quarantine."),
        key("along", TEXTS, "Roles whose files go along."),
    ],
};

pub(crate) static DELETE_EXTRA: Section = Section {
    name: "a rule for extra files",
    keys: &[must("at_most", Shape::Percent, "Refused when more than this share of the files would go.")],
};

pub(crate) static KEEP: Section = Section {
    name: "a keep",
    keys: &[
        must("at", Shape::Text, "The station (or family) it holds for."),
        must("products", TEXTS, "The products it may delete."),
        must("delete", Shape::Any(&[Shape::Word(&["at_once"]), Shape::Table(&DELETE)]), "When it deletes."),
        key("min_age", Shape::Duration, "Never younger than this, by arrival. Default: 0s."),
        key("keep_newest", Shape::Table(&KEEP_NEWEST), "The newest files that stay."),
        key(
            "only_if",
            Shape::OneOrMany(&Shape::Condition),
            "All must hold: `receipted at STATION`, `PRODUCT receipted at STATION`, `2 copies elsewhere`, `step STEP done`.",
        ),
        key("if", Shape::Condition, "Files for which it does not hold are no concern of this rule."),
        key(
            "when",
            Shape::Any(&[Shape::Word(&["arrives", "asked"]), Shape::Table(&WHEN)]),
            "At which moments it deletes; asked: only by `thalweg trim --yes`. Default: arrives (whenever it may).",
        ),
        key("hours", TEXTS, "Hours of the day within which it deletes: \"22:00-06:00\", or several. Default: always."),
        key(
            "zone",
            Shape::Text,
            "Time zone in which `hours` are meant, e.g. America/Regina or UTC. Needed with `hours`.",
        ),
    ],
};

pub(crate) static DELETE: Section = Section {
    name: "a rule of deletion",
    keys: &[
        key("older_than", Shape::Duration, "Older than this, by start of coverage or else by arrival."),
        key("when_free_below", Shape::Threshold, "Only while free space is below this."),
        key("oldest_first", Shape::Boolean, "Oldest first; always so with `when_free_below`. Default: false."),
        key("per_hour", Shape::Size, "At most so many bytes an hour."),
    ],
};

pub(crate) static KEEP_NEWEST: Section = Section {
    name: "a rule for the newest files",
    keys: &[
        must("count", Shape::Integer(1), "How many stay."),
        key("per", TEXTS, "Of each group of these fields. Default: of all."),
    ],
};

pub(crate) static CHECK: Section = Section {
    name: "a check",
    keys: &[
        key("latency", Shape::Text, "Age of the newest file of this product."),
        key("last_success", Shape::Text, "Age of the last success of this step."),
        key("failing", Shape::Text, "Failed keys of this step."),
        key("queue", Shape::Text, "Open keys of this step that do not become fewer."),
        key("free", Shape::Text, "Free space of this station."),
        key("silent", Shape::Text, "How long this station has not been heard of."),
        key("at", Shape::Text, "Where. Default: everywhere."),
        key("per", TEXTS, "One result for each value of these fields."),
        key(
            "warning",
            Shape::Any(&[Shape::Duration, Shape::Threshold, Shape::Integer(0)]),
            "Limit of WARNING: an age above it, a number from it on, free space below it.",
        ),
        key(
            "critical",
            Shape::Any(&[Shape::Duration, Shape::Threshold, Shape::Integer(0)]),
            "Limit of CRITICAL, likewise.",
        ),
        key("notify", TEXTS, "Whom to tell."),
        key(
            "when",
            Shape::Any(&[Shape::Word(&["asked"]), Shape::Table(&WHEN)]),
            "At which moments a running engine looks; the result stands until the next. Default: asked (`thalweg checks` looks itself).",
        ),
        key(
            "hours",
            TEXTS,
            "Hours of the day within which it is looked at; outside it is OK: \"22:00-06:00\", or several. Default: always.",
        ),
        key(
            "zone",
            Shape::Text,
            "Time zone in which `hours` are meant, e.g. America/Regina or UTC. Needed with `hours`.",
        ),
    ],
};

/// The keys of [`CHECK`] that say what is looked at.
pub(crate) static CHECK_SUBJECTS: [&str; 6] = ["latency", "last_success", "failing", "queue", "free", "silent"];

const SECRET: Shape = Shape::Any(&[Shape::Text, Shape::Table(&PARAM)]);

pub(crate) static NOTIFY: Section = Section {
    name: "a notification target",
    keys: &[
        must("kind", Shape::Word(&["slack", "email", "webhook", "command"]), "How it is told."),
        key("url", SECRET, "Address of the hook."),
        key("channel", Shape::Text, "Channel."),
        key("to", TEXTS, "Receivers of mail."),
        key("from", Shape::Text, "Sender of mail."),
        key("server", Shape::Text, "Mail server, HOST or HOST:PORT."),
        key("user", SECRET, "User at the mail server or hook."),
        key("password", SECRET, "Password, by reference: { file = … } or { env = … }."),
        key("token", SECRET, "Token, by reference: { file = … } or { env = … }."),
        key("run", NAMES, "Program and arguments of a command."),
        key("repeat", Shape::Duration, "Told again after so long while it lasts."),
    ],
};

pub(crate) static SERVE: Section = Section {
    name: "a served tree",
    keys: &[
        must("at", Shape::Text, "The station."),
        key("http", Shape::Boolean, "Over HTTP. Default: false."),
        key("rsync", Shape::Text, "As an rsync module of this name."),
        key("datafind", Shape::Boolean, "As a data-find service. Default: false."),
    ],
};

/// The words of levels of a log.
pub(crate) static LOG_LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

pub(crate) static LOG: Section = Section {
    name: "the log",
    keys: &[
        key(
            "dir",
            Shape::Text,
            "The folder, relative to the flow file; made at the start. Default: logs beside the ledger (in .thalweg).",
        ),
        key("level", Shape::Word(&LOG_LEVELS), "What the engine's own log says, and what is graver. Default: info."),
        key("keep", Shape::Duration, "Logs that are older go; at least 1d. Default: 90d."),
        key("max_size", Shape::Size, "Above this the oldest logs go earlier."),
    ],
};

/// Returns every section with the path under which the schema defines it.
pub(crate) fn sections() -> Vec<&'static Section> {
    vec![
        &FLOW,
        &RUNNING,
        &PARAM,
        &STATION,
        &LINK,
        &PRODUCT,
        &READY,
        &STEP,
        &WITH,
        &COMPLETE,
        &MAKE,
        &RUN,
        &WHEN,
        &RETRY,
        &ON_BAD,
        &DELETE_EXTRA,
        &KEEP,
        &DELETE,
        &KEEP_NEWEST,
        &CHECK,
        &NOTIFY,
        &SERVE,
        &LOG,
    ]
}
