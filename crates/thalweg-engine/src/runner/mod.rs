//! Carrying out one task: from its inputs to outputs under their final names.
//!
//! A runner is a thread of its own. It does everything that takes time and tells the dispatcher, which alone writes the
//! ledger: first that the outputs are complete in their staging folders, then, told to go on, that they are in place.

mod command;
mod copies;
mod outputs;
pub(crate) mod programs;
pub(crate) mod publish;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use thalweg_core::{ContentHash, ErrorClass, Fields, RelPath, ReportLine, TimeRange};
use thalweg_flow::planner::Task;
use thalweg_flow::{Flow, Step, Verb};
use thalweg_ledger::Reader;
use thalweg_store::Meta;

use crate::host::receive;
use crate::{Places, Setup};

/// One task, or several keys of one step in one run, to be carried out.
pub(crate) struct Job {
    /// The dispatcher's number of it.
    pub(crate) no: u64,
    /// The run in the ledger (of the first key, where several go together).
    pub(crate) run: i64,
    /// Name of its staging folders.
    pub(crate) staging: String,
    pub(crate) attempt: u32,
    pub(crate) tasks: Vec<Task>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) setup: Setup,
    pub(crate) places: Places,
    pub(crate) log: PathBuf,
    pub(crate) cancel: Arc<AtomicBool>,
    /// The dispatcher's word that the outputs are journalled.
    pub(crate) go: Receiver<Go>,
    pub(crate) tell: Tell,
    /// How many leading folders of a `many` product's paths its verb leaves out in the staging folder, by product, as
    /// far as earlier runs have shown it.
    pub(crate) layout: Layout,
    /// Size, modification time and inode under which the inputs were recorded.
    pub(crate) recorded: std::collections::BTreeMap<(String, RelPath), thalweg_ledger::Stat>,
    /// What earlier runs of its keys left under names that their verb chose.
    pub(crate) earlier: std::collections::BTreeMap<(String, RelPath), ContentHash>,
    /// Why it fails before anything is done.
    pub(crate) unclear: Option<Failure>,
}

/// How many leading folders of a product's paths a verb leaves out, by product.
pub(crate) type Layout = std::collections::BTreeMap<String, usize>;

/// Returns how many leading folders of `path` the staged name leaves out.
pub(crate) fn left_out(staged: &RelPath, path: &RelPath) -> usize {
    let parts = |path: &RelPath| path.as_str().split('/').count();
    let own = staged.as_str().split_once("/out/").map_or(parts(staged), |(_, own)| own.split('/').count());
    parts(path).saturating_sub(own)
}

/// The dispatcher's answer to outputs that stand by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Go {
    /// It has a slot.
    Start,
    /// They are journalled: publish them.
    Publish,
    /// These stand there already and hold parts that the run was not given: it works on from them, once more.
    WorkOn(Vec<(String, RelPath)>),
    /// Nothing is published: what stands there is not the flow's own.
    Refuse(String),
    /// Nothing is published.
    Stop,
}

/// How a runner tells the dispatcher; false when nobody listens any more.
pub(crate) struct Tell(Box<dyn Fn(Told) -> bool + Send + Sync>);

impl Tell {
    pub(crate) fn new(tell: impl Fn(Told) -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(tell))
    }

    pub(crate) fn tell(&self, told: Told) -> bool {
        (self.0)(told)
    }
}

/// What a runner tells.
pub(crate) enum Told {
    /// It has a slot and works.
    Began { no: u64, at: thalweg_core::Timestamp },
    /// It is so far.
    Progress { no: u64, done: u64, total: Option<u64>, unit: String },
    /// The outputs are complete and stand by, or are named while the work on them is still to come.
    Staged { no: u64, outputs: Vec<Staged>, worked: bool },
    /// It is over.
    Ended { no: u64, end: Box<End> },
}

impl Told {
    /// Tells if it needs its slot no more.
    pub(crate) fn is_end_of_work(&self) -> bool {
        matches!(self, Self::Staged { worked: true, .. } | Self::Ended { .. })
    }
}

/// An output that is complete under a staging name.
#[derive(Debug, Clone)]
pub(crate) struct Staged {
    pub(crate) station: String,
    pub(crate) product: String,
    pub(crate) path: RelPath,
    pub(crate) fields: Fields,
    /// Coverage as read from its content, where the product says so.
    pub(crate) coverage: Option<TimeRange>,
    pub(crate) hash: ContentHash,
    pub(crate) data_hash: Option<ContentHash>,
    pub(crate) size: u64,
    /// Where it is; for a move the source itself.
    pub(crate) staged: RelPath,
    pub(crate) how: How,
    pub(crate) update: bool,
    /// One of many that the verb named itself.
    pub(crate) many: bool,
    /// The earlier version whose contributions it carries on.
    pub(crate) previous: Option<ContentHash>,
}

/// How a staged output comes to its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum How {
    /// Nothing may stand there.
    New,
    /// It replaces this version.
    Replace(Box<Meta>),
    /// The same content stands there already.
    There,
    /// The source is renamed within its station.
    Move,
}

/// An output in its place.
#[derive(Debug, Clone)]
pub(crate) struct Left {
    pub(crate) output: Staged,
    pub(crate) meta: Meta,
    /// It was brought from another station, not made.
    pub(crate) delivered: bool,
}

/// Why a task failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) class: ErrorClass,
    pub(crate) message: String,
    /// The bad input, by station and path, where the verb named it or only one was there.
    pub(crate) bad: Option<(String, RelPath)>,
}

impl Failure {
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), bad: None }
    }
}

/// The end of a task.
#[derive(Debug, Default)]
pub(crate) struct End {
    pub(crate) left: Vec<Left>,
    pub(crate) failure: Option<Failure>,
    /// Inputs that were not the same any more after the run: it is void.
    pub(crate) changed: Vec<(String, RelPath)>,
    pub(crate) cancelled: bool,
    pub(crate) exit: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    pub(crate) peak_rss: Option<u64>,
    pub(crate) reports: Vec<ReportLine>,
    /// The command line as it was filled.
    pub(crate) command: Vec<String>,
    /// Stations where what it staged could not be removed.
    pub(crate) unswept: std::collections::BTreeSet<String>,
}

impl Job {
    pub(crate) fn step(&self) -> Option<&Step> {
        self.flow.steps.get(&self.tasks.first()?.key.step)
    }
}

/// Returns what the names of all staging folders of a ledger begin with. Engines of several ledgers may write below one
/// root, and each clears away its own alone.
pub(crate) fn staging_mark(reader: &Reader) -> Result<String, thalweg_ledger::Error> {
    let id: String = reader.ledger_id()?.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    Ok(format!("run-{}-", id.to_ascii_lowercase()))
}

/// Carries a job out and tells of it.
pub(crate) fn carry_out(job: &Job) {
    let starts = receive(job.setup.host.as_ref(), &job.go) == Some(Go::Start);
    if starts {
        // As at the end: the dispatcher may be gone.
        job.tell.tell(Told::Began { no: job.no, at: job.setup.clock.now() });
    }
    let mut end = match job.step().map(|step| step.does.clone()) {
        _ if !starts => End { cancelled: true, ..End::default() },
        _ if job.unclear.is_some() => End { failure: job.unclear.clone(), ..End::default() },
        Some(Verb::Send | Verb::Fetch) => copies::deliver(job),
        Some(Verb::Copy | Verb::Link | Verb::Move) => copies::within(job),
        Some(Verb::Builtin(line)) => command::run(job, &line, true),
        Some(Verb::Run(line)) => command::run(job, &line, false),
        None => End {
            failure: Some(Failure::new(ErrorClass::Config, "the flow has no such step any more")),
            ..End::default()
        },
    };
    end.unswept = publish::discard(job);
    // The dispatcher may be gone already; then nobody needs to know.
    job.tell.tell(Told::Ended { no: job.no, end: Box::new(end) });
}
