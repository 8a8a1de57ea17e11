//! The engine as a whole: opened on a ledger, run once or for ever, asked for work.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use serde::{Deserialize, Serialize};
use thalweg_core::TimeRange;
use thalweg_flow::planner::backward::Wanted;
use thalweg_ledger::Ledger;

use crate::classify::Classifier;
use crate::control::Answer;
use crate::dispatcher::{Dispatcher, Inbox, Message, Parts};
use crate::host::Watching;
use crate::lock::{self, InstanceLock};
use crate::{EngineError, Event, Places, Setup, control, notify, recover};

/// How long an engine works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Until nothing is left to do.
    Once,
    /// Until it is stopped.
    Forever,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Tasks done.
    pub done: u64,
    /// Tasks and files that failed meanwhile.
    pub failed: u64,
    /// Files put aside.
    pub quarantined: u64,
    /// Keys that wait.
    pub waiting: u64,
    /// Keys that something blocks.
    pub blocked: u64,
    /// Keys whose last run failed.
    pub still_failed: u64,
    /// What was made, as `station/path` (for a request: keys).
    pub made: Vec<String>,
    /// What was asked for and cannot be made, with the reason.
    pub missing: Vec<String>,
    /// What was asked for and waits for a later file of its series, with the reason: nothing is missing of it.
    #[serde(default)]
    pub held: Vec<String>,
    /// Files that were asked to be taken over and are the flow's own already.
    #[serde(default)]
    pub there: u64,
    /// What a retry took up: keys that had failed, files given back, places of old files.
    #[serde(default)]
    pub retried: u64,
    /// How many of `failed` are runs.
    #[serde(default)]
    pub failed_runs: u64,
    /// How many of `failed` are listings of a station that did not succeed.
    #[serde(default)]
    pub unlisted: u64,
    /// How many of `failed` are keys that became blocked until somebody decides.
    #[serde(default)]
    pub undecided: u64,
}

/// Which outputs are to be taken over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Adopt {
    /// Of this product.
    pub product: String,
    /// Only those that cover a part of this.
    pub span: Option<TimeRange>,
    /// Only those for which this condition holds.
    pub r#where: Option<String>,
    /// Who says so.
    pub by: String,
}

/// Work that somebody asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// A product for a span of time.
    Make(Wanted),
    /// Failed keys are tried again, bad files taken back.
    Retry {
        /// Of this step.
        step: Option<String>,
        /// At this station.
        station: Option<String>,
        /// With these fields.
        r#where: Option<String>,
        /// About this path at its station.
        path: Option<String>,
        /// Files in the quarantine too.
        quarantined: bool,
        /// Old files that were left alone at the first `run` are taken up too.
        #[serde(default)]
        backlog: bool,
        /// Old files of this product alone.
        #[serde(default)]
        product: Option<String>,
    },
    /// Outputs that were there before are entered as done.
    Adopt(Adopt),
    /// Nothing new starts; answered when what runs has ended.
    Drain {
        /// Of this step or station.
        what: Option<String>,
        /// Of keys for which this condition holds.
        #[serde(default)]
        r#where: Option<String>,
    },
    /// Retention, or what it would do.
    Trim {
        /// At this station.
        station: Option<String>,
        /// Really.
        yes: bool,
    },
    /// A listing.
    Scan {
        /// Of this station.
        station: Option<String>,
    },
    /// Files are read again and compared.
    Verify {
        /// All of them.
        all: bool,
        /// Else this share, in percent.
        sample_percent: f64,
    },
    /// Holds have changed.
    Refresh,
    /// The end.
    Stop,
}

/// An engine, opened on its ledger and not yet at work.
pub struct Engine {
    pub(crate) setup: Setup,
    pub(crate) ledger: Ledger,
    pub(crate) places: Places,
    pub(crate) classifier: Arc<Classifier>,
    /// Stations at which a bad file could not be put aside.
    stayed: BTreeSet<String>,
    inbox: Inbox,
    messages: Receiver<Message>,
    _lock: InstanceLock,
}

/// A way to reach an engine from other threads.
#[derive(Clone)]
pub struct Handle {
    inbox: Inbox,
}

impl Handle {
    /// Has the engine stop: runs may end within some seconds, others are begun anew at the next start.
    pub fn stop(&self, why: &str) {
        self.inbox.send(Message::Stop { why: why.to_owned() });
    }

    /// Has the engine go on with another reading of the flow file.
    pub fn reload(&self, setup: Setup) {
        self.inbox.send(Message::Reload(Box::new(setup)));
    }
}

impl Engine {
    /// Opens the ledger, takes its lock, and brings what an earlier engine left unfinished to an end.
    ///
    /// # Errors
    ///
    /// [`EngineError::Busy`] if another engine works on it; those of ledger and stations.
    pub fn open(setup: Setup) -> Result<Self, EngineError> {
        let state = |path: PathBuf| move |source| EngineError::State { path, source };
        std::fs::create_dir_all(&setup.state).map_err(state(setup.state.clone()))?;
        if let Some(folder) = setup.ledger.parent() {
            std::fs::create_dir_all(folder).map_err(state(folder.to_owned()))?;
        }
        let lock = lock::take(&setup)?;
        let ledger = Ledger::create_with(&setup.ledger, setup.host.ledger_options())?;
        let places = Places::open(&setup, &ledger.reader()?)?;
        places.check_apart()?;
        let classifier = Arc::new(Classifier::new(&setup.flow));
        let stayed = recover::recover(&setup, &classifier, &ledger, &places)?;
        let (inbox, messages) = Inbox::new(setup.host.clone());
        Ok(Self { setup, ledger, places, classifier, stayed, inbox, messages, _lock: lock })
    }

    /// Returns a way to reach it from other threads.
    pub fn handle(&self) -> Handle {
        Handle { inbox: self.inbox.clone() }
    }

    /// Works until the mode's end or a stop.
    ///
    /// # Errors
    ///
    /// Those of the ledger; nothing is lost by them.
    pub fn run(self, mode: Mode, report: &mut dyn FnMut(&Event)) -> Result<Outcome, EngineError> {
        self.work(mode, true, report)
    }

    // A tree that cannot be watched is listed at intervals all the same.
    fn watchers(&self) -> Vec<Box<dyn Watching>> {
        let mut watchers = Vec::new();
        for (n, (station, root, _)) in self.places.stations().enumerate() {
            let (classifier, name, inbox) = (self.classifier.clone(), station.to_owned(), self.inbox.clone());
            let wanted = move |folder: &thalweg_core::RelPath| !classifier.skips(&name, folder);
            let tell = move |message| inbox.send(Message::Watch(message));
            let number = u32::try_from(n).unwrap_or(u32::MAX);
            watchers.extend(self.setup.host.watch(number, station, root, Box::new(wanted), Box::new(tell)));
        }
        watchers
    }

    fn work(self, mode: Mode, forward: bool, report: &mut dyn FnMut(&Event)) -> Result<Outcome, EngineError> {
        if self.setup.host.takes_requests() {
            control::listen(&self.setup, &self.inbox)?;
        }
        let watchers = if mode == Mode::Forever { self.watchers() } else { Vec::new() };
        let setup = self.setup.clone();
        let parts = Parts {
            setup: self.setup,
            ledger: self.ledger,
            places: self.places,
            classifier: self.classifier,
            stayed: self.stayed,
            inbox: self.inbox,
            messages: self.messages,
            mode,
            forward,
        };
        let result = Dispatcher::new(parts, report).and_then(|mut dispatcher| {
            notify::ready();
            dispatcher.work()
        });
        control::stop_listening(&setup);
        drop(watchers);
        result
    }
}

/// Returns the process id of the engine that works on this ledger, if one does.
pub fn engine_pid(setup: &Setup) -> Option<u32> {
    lock::engine_pid(setup)
}

/// Has a request carried out: by the engine that runs on this ledger, else here.
///
/// # Errors
///
/// Those of opening and running an engine; [`EngineError::Unknown`] for what the flow does not have.
pub fn carry_out(setup: &Setup, request: Request, report: &mut dyn FnMut(&Event)) -> Result<Outcome, EngineError> {
    if let Request::Verify { all, sample_percent } = request {
        return crate::verify::verify(setup, all, sample_percent, report);
    }
    if let Some(outcome) = control::ask(setup, &request, report)? {
        return Ok(outcome);
    }
    if matches!(request, Request::Stop | Request::Refresh) {
        return Ok(Outcome::default());
    }
    let engine = Engine::open(setup.clone())?;
    let (answers, wait) = channel();
    let forward = matches!(request, Request::Retry { .. });
    // The engine reports everything that happens, so that only the end is of interest here.
    engine.inbox.send(Message::Asked { request, answer: answers });
    let mut outcome = engine.work(Mode::Once, forward, report)?;
    for answer in wait.try_iter() {
        match answer {
            Answer::Done(own) => {
                outcome.done = outcome.done.max(own.done);
                outcome.failed = outcome.failed.max(own.failed);
                outcome.missing = own.missing;
                outcome.held = own.held;
                outcome.there = own.there;
                outcome.retried = own.retried;
            }
            Answer::Refused(what) => return Err(EngineError::Unknown { what }),
            Answer::Event(_) => {}
        }
    }
    Ok(outcome)
}
