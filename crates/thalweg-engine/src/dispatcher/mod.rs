//! The dispatcher: the single owner of the truth. It alone writes the ledger and decides what runs.
//!
//! Everything that happens comes to it as a [`Message`]; it takes all that wait, writes them in few transactions, asks
//! the planner about the keys they touch, and starts what may start. Threads that read, copy and run verbs only tell.

mod adopt;
mod aside;
mod backlog;
mod begin;
mod checks;
mod clock;
mod closing;
mod edited;
mod extras;
mod keys;
mod leftovers;
mod listings;
mod logs;
mod observe;
mod parts;
mod requests;
mod retain;
mod retry;
mod rounds;
mod settle;
mod slots;
mod start;
mod sweep;
mod tasks;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use thalweg_core::{ContentHash, RelPath, Timestamp};
use thalweg_flow::Flow;
use thalweg_flow::planner::dispatch::Held;
use thalweg_flow::planner::{FileFact, KeyId, Task};
use thalweg_ledger::{FileId, HoldRow, KeyRow, Ledger, Reader, RunId};

use crate::backlog::Marks;
use crate::classify::Classifier;
use crate::control::Answer;
use crate::edits::Look;
use crate::facts::{LedgerFacts, RunningKeys};
use crate::host::Working;
use crate::intake::{Intake, Outcome as Taken, Take};
use crate::runner::{Go, Told};
use crate::scan::{Scanned, Seen};
use crate::watch::WatchMessage;
use crate::{EngineError, Event, Host, Mode, Outcome, Places, Request, Setup};

pub(crate) use begin::Parts;
pub(crate) use requests::ActiveRequest;
use slots::Line;

/// Where everybody tells the dispatcher.
#[derive(Clone)]
pub(crate) struct Inbox {
    messages: Sender<Message>,
    host: Arc<dyn Host>,
}

impl Inbox {
    /// Makes an inbox, and the end at which the dispatcher takes the messages.
    pub(crate) fn new(host: Arc<dyn Host>) -> (Self, Receiver<Message>) {
        let (messages, receiver) = channel();
        (Self { messages, host }, receiver)
    }

    /// Tells the dispatcher; false when it is gone.
    pub(crate) fn send(&self, message: Message) -> bool {
        let heard = self.messages.send(message).is_ok();
        self.host.told();
        heard
    }
}

/// Longest wait for a message: timers, flags and the watchdog are looked at as often.
const TICK: Duration = Duration::from_secs(1);

/// How long a stop waits for runs to end.
const STOP: Duration = Duration::from_secs(8);

/// Key of the ledger's book-keeping that says whether an engine is at work, or ended out of order.
pub(crate) const AT_WORK: &str = "engine_at_work";

/// Something that the dispatcher is told.
pub(crate) enum Message {
    Watch(WatchMessage),
    Seen(Vec<Seen>),
    Scanned {
        whole: bool,
        end: Scanned,
    },
    /// Something that is no file stands under a product's name.
    NotAFile {
        station: String,
        path: RelPath,
        what: &'static str,
    },
    Taken {
        take: Take,
        outcome: Taken,
    },
    Told(Told),
    Asked {
        request: Request,
        answer: Sender<Answer>,
    },
    /// External commands were asked for their versions.
    Versions(crate::VerbVersions),
    /// What was asked for before the first listings began.
    AskedBefore {
        request: Request,
        answer: Sender<Answer>,
    },
    /// Old logs were removed.
    Pruned(crate::logs::Pruned),
    /// Checks were looked at.
    Looked(Vec<checks::Looked>),
    Reload(Box<Setup>),
    Stop {
        why: String,
    },
}

/// A run under way.
pub(crate) struct Active {
    tasks: Vec<Task>,
    /// The flow under whose rules it was begun, and ends.
    flow: Arc<Flow>,
    runs: Vec<RunId>,
    held: Held,
    go: Sender<Go>,
    cancel: Arc<AtomicBool>,
    started: Timestamp,
    outputs: Vec<(String, RelPath)>,
    log: std::path::PathBuf,
    attempt: u32,
    thread: Option<Box<dyn Working>>,
    host: Arc<dyn Host>,
}

impl Active {
    /// Gives the runner the word it waits for; one that is over needs none.
    fn say(&self, word: Go) {
        let _ = self.go.send(word);
        self.host.told();
    }
}

/// A task that may start.
struct Ready {
    task: Task,
    /// When it was found to be ready, by the rules alone.
    looked_at: Option<Timestamp>,
}

/// A file that is not taken yet.
struct Settling {
    station: String,
    product: String,
    path: RelPath,
    in_work: bool,
    wake: Option<Timestamp>,
    tries: u32,
}

/// The dispatcher's state.
pub(crate) struct Dispatcher<'r> {
    pub(crate) setup: Setup,
    pub(crate) flow: Arc<Flow>,
    pub(crate) ledger: Ledger,
    pub(crate) reader: Reader,
    pub(crate) places: Places,
    classifier: Arc<Classifier>,
    inbox: Inbox,
    messages: Receiver<Message>,
    report: &'r mut dyn FnMut(&Event),
    mode: Mode,
    /// Steps start by themselves; else only what requests ask for.
    forward: bool,
    intake: Intake,
    holds: Vec<HoldRow>,
    settings: BTreeMap<String, ContentHash>,
    pub(crate) versions: crate::VerbVersions,
    /// External commands are being asked for their versions.
    asking_versions: bool,
    versions_asked: std::time::Instant,
    /// The day on which old logs were removed last.
    pruned: Option<String>,
    pruning: Option<Box<dyn Working>>,
    /// Old files that are left alone.
    marks: Arc<Marks>,
    /// Those of them that requests need.
    asked_for: BTreeSet<FileId>,
    settling: BTreeMap<FileId, Settling>,
    settling_wakes: BTreeSet<(Timestamp, FileId)>,
    /// Files that were taken away, and when: a listing that is under way may still tell of them.
    left_lately: BTreeMap<(String, RelPath), Timestamp>,
    changed: Vec<FileFact>,
    dirty: BTreeSet<KeyId>,
    ready: BTreeMap<KeyId, Ready>,
    /// Decisions about keys that are not written down yet.
    key_rows: Vec<KeyRow>,
    order: Vec<KeyId>,
    order_is_old: bool,
    /// The ledger may know ready keys that memory had no room for.
    more_ready: bool,
    running: RunningKeys,
    active: BTreeMap<u64, Active>,
    line: Line,
    next_no: u64,
    scans: BTreeMap<String, ScanState>,
    scan_threads: Vec<Box<dyn Working>>,
    requests: Vec<ActiveRequest>,
    flags: BTreeMap<(String, String), (RelPath, thalweg_store::Meta)>,
    /// What the clock said last.
    latest: Timestamp,
    retention_due: bool,
    last_retention: Option<Timestamp>,
    /// Before when a check need not be asked whether it is due.
    looks: BTreeMap<String, Timestamp>,
    looking: Option<Box<dyn Working>>,
    /// Tells if the files that were there at the start are known, so that checks can be looked at.
    has_taken_stock: bool,
    /// When a keep sets out next that goes by the clock.
    next_turn: Option<Timestamp>,
    stopping: Option<(String, std::time::Instant)>,
    outcome: Outcome,
    slots: usize,
    staging_mark: String,
    /// Stations where something staged may be left, and when they are looked at again.
    unswept: BTreeMap<String, Timestamp>,
    /// When all were swept last.
    swept: Timestamp,
    /// Stations at which a bad file could not be put aside.
    stayed: BTreeSet<String>,
    watchdog: Option<(Duration, std::time::Instant)>,
}

#[derive(Debug, Default)]
struct ScanState {
    under_way: bool,
    /// Files new or changed since it began.
    changed: u64,
    again: bool,
    due: Option<Timestamp>,
}

impl Dispatcher<'_> {
    fn feed_watchdog(&mut self) {
        if let Some((every, last)) = &mut self.watchdog
            && last.elapsed() >= *every
        {
            *last = std::time::Instant::now();
            crate::notify::alive();
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.setup.clock.now()
    }

    fn say(&mut self, event: &Event) {
        (self.report)(event);
        for request in &self.requests {
            request.tell(event);
        }
    }

    fn look(&self) -> Look<'_> {
        Look {
            setup: &self.setup,
            flow: &self.flow,
            classifier: &self.classifier,
            reader: &self.reader,
            places: &self.places,
            now: self.now(),
        }
    }

    fn facts(&self) -> LedgerFacts<'_> {
        LedgerFacts {
            flow: &self.flow,
            reader: &self.reader,
            places: &self.places,
            now: self.now(),
            running: &self.running,
            holds: &self.holds,
            settings: &self.settings,
            versions: &self.versions,
            marks: &self.marks,
            trouble: std::cell::RefCell::new(None),
        }
    }

    /// Works until the mode's end, a stop, or an error of the ledger.
    pub(crate) fn work(&mut self) -> Result<Outcome, EngineError> {
        let worked = self.work_to_the_end();
        if worked.is_err() {
            // Nobody is left to write down what would begin now.
            self.line.clear();
        }
        worked
    }

    fn work_to_the_end(&mut self) -> Result<Outcome, EngineError> {
        loop {
            self.receive()?;
            self.look_at_clock()?;
            self.take_what_is_ready()?;
            self.rounds()?;
            self.look_at_programs()?;
            self.look_at_keys()?;
            self.plan_requests()?;
            self.start_tasks()?;
            self.write_keys()?;
            self.retention()?;
            self.checks()?;
            self.sweep();
            self.prune_logs()?;
            self.feed_watchdog();
            if self.stopping.is_some() {
                if self.may_leave() {
                    break;
                }
            } else if self.is_idle() && self.finish_when_idle()? {
                break;
            }
        }
        self.close()?;
        Ok(self.outcome.clone())
    }

    fn receive(&mut self) -> Result<(), EngineError> {
        let pending = !self.dirty.is_empty() || !self.changed.is_empty();
        let wait = if pending { Duration::ZERO } else { self.next_wait() };
        let batch = self.gather(wait);
        self.rescan_when_due();
        let mut seen = Vec::new();
        let mut taken = Vec::new();
        let mut told = Vec::new();
        for message in batch {
            match message {
                Message::Watch(message) => self.watched(message, &mut seen),
                Message::Seen(files) => seen.extend(files),
                Message::Scanned { whole, end } => {
                    // What it met comes before what it missed.
                    self.observe(std::mem::take(&mut seen))?;
                    self.scanned(whole, end)?;
                }
                Message::NotAFile { station, path, what } => self.not_a_file(&station, &path, what)?,
                Message::Taken { take, outcome } => taken.push((take, outcome)),
                Message::Told(what) => told.push(what),
                Message::Versions(versions) => self.versions_said(versions, false)?,
                Message::Asked { request, answer } => self.asked(request, answer, false)?,
                Message::AskedBefore { request, answer } => self.asked(request, answer, true)?,
                Message::Pruned(pruned) => self.logs_pruned(&pruned)?,
                Message::Looked(looked) => self.looked(looked)?,
                Message::Reload(setup) => self.reload(*setup)?,
                Message::Stop { why } => self.stop(why),
            }
        }
        self.observe(seen)?;
        self.taken(taken)?;
        self.told(told)
    }

    fn next_wait(&self) -> Duration {
        if self.mode == Mode::Once && self.is_idle() {
            return Duration::ZERO;
        }
        let now = self.now();
        let until = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
        let settling = self.settling_wakes.first().map(|(at, _)| until(*at));
        settling.map_or(TICK, |wait| wait.min(TICK))
    }

    /// Tells if nothing is under way that will tell of itself.
    fn is_idle(&self) -> bool {
        self.active.is_empty()
            && !self.asking_versions
            && self.pruning.is_none()
            && self.looking.is_none()
            && self.dirty.is_empty()
            && self.changed.is_empty()
            && self.scans.values().all(|scan| !scan.under_way && !scan.again)
            && self.settling.values().all(|file| !file.in_work)
            && (self.ready.is_empty() || self.stopping.is_some())
    }

    /// With nothing left to do, says whether that is the end.
    fn finish_when_idle(&mut self) -> Result<bool, EngineError> {
        if self.mode == Mode::Forever {
            return Ok(false);
        }
        // What rules may delete now is deleted before the end; that can touch keys.
        if self.forward && self.retention_due {
            self.retention_now(None, false, false)?;
            return Ok(false);
        }
        self.look_at_checks()?;
        if self.looking.is_some() {
            return Ok(false);
        }
        self.finish_requests()?;
        if self.requests.iter().any(ActiveRequest::is_adopting) {
            return Ok(false);
        }
        self.count_what_is_left()?;
        Ok(true)
    }

    fn stop(&mut self, why: String) {
        if self.stopping.is_none() {
            self.say(&Event::Stopping { why: why.clone() });
            crate::notify::stopping();
            self.stopping = Some((why, std::time::Instant::now()));
            self.ready.clear();
            self.order.clear();
            self.line.clear();
        }
    }

    // Runs that are nearly done may end; after a while they are cancelled, and begun anew at the next start.
    fn may_leave(&mut self) -> bool {
        let waited = self.stopping.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed());
        if self.active.is_empty() {
            let looked_at = self.dirty.is_empty() && self.changed.is_empty();
            return looked_at || waited > STOP / 2;
        }
        if waited > STOP / 2 {
            for active in self.active.values() {
                active.cancel.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        waited > STOP
    }

    fn close(&mut self) -> Result<(), EngineError> {
        self.intake.stop();
        self.line.clear();
        for active in self.active.values_mut() {
            active.cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        for (_, active) in std::mem::take(&mut self.active) {
            // A runner that waits for leave to publish is told to give up.
            drop(active.go);
            if let Some(thread) = active.thread {
                thread.join();
            }
        }
        for thread in self.scan_threads.drain(..) {
            thread.join();
        }
        if let Some(thread) = self.looking.take() {
            thread.join();
        }
        if let Some(thread) = self.pruning.take() {
            thread.join();
        }
        crate::child::end_orphans();
        let now = self.now();
        self.unswept.values_mut().for_each(|at| *at = now);
        self.sweep();
        // Empty folders of the program's own go; one that is not empty stays.
        let own = [thalweg_store::STAGING, thalweg_store::DROPPED].map(RelPath::from_text);
        for (_, _, store) in self.places.stations() {
            for folder in &own {
                let _ = store.remove_empty_folders(folder, &RelPath::default());
            }
        }
        // Only an engine that had nothing left to look at leaves nothing to the next.
        if self.changed.is_empty() && self.dirty.is_empty() {
            self.ledger.write(|tx| tx.meta_set(AT_WORK, "no"))?;
        }
        Ok(())
    }
}
