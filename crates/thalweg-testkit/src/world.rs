//! The simulated world: three stations in memory, hosts with clocks of their own, links between them, and what goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;
use thalweg_core::{Clock, ManualClock, RelPath, Timestamp};
use thalweg_engine::watch::{Tell, WatchEvent, WatchKind, WatchMessage, WatchReason};
use thalweg_store::{CallInfo, MemoryStore, Moment};

use crate::schedule::{Life, Scheduler};
use crate::script::{Script, moment};

/// A station in memory.
#[derive(Debug, Clone)]
pub struct Station {
    /// Its name.
    pub name: &'static str,
    /// The host whose engine works there.
    pub host: usize,
    /// What lies there.
    pub store: MemoryStore,
}

/// The clock of one host: the world's, set wrong by some seconds.
pub struct HostClock {
    base: Arc<ManualClock>,
    wrong_by: Mutex<i64>,
}

impl HostClock {
    /// Sets how wrong it is, in seconds.
    pub fn set_wrong_by(&self, seconds: i64) {
        *self.wrong_by.lock().unwrap_or_else(PoisonError::into_inner) = seconds;
    }
}

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        let wrong = *self.wrong_by.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.base.now();
        now.checked_add(SignedDuration::from_secs(wrong)).unwrap_or(now)
    }
}

/// A tree that an engine watches.
struct Watch {
    life: Life,
    station: String,
    number: u32,
    wanted: Box<dyn Fn(&RelPath) -> bool + Send>,
    tell: Tell,
}

/// What changes in the course of a history.
#[derive(Default)]
pub struct Present {
    /// Links that are cut, by the smaller and the larger host number.
    pub cut: BTreeSet<(usize, usize)>,
    /// Hosts whose ledger's disk is full.
    pub ledger_full: BTreeSet<usize>,
    /// How many of the next child processes fail.
    pub failing_children: u64,
    /// Events of file systems get lost.
    pub events_lost: bool,
    /// A disk that had lied lost its power: what it had promised to keep may be gone.
    pub betrayed: bool,
    /// Files that keeps could not delete, `station/path`, since a copy was not confirmed.
    pub unconfirmed: BTreeSet<String>,
    /// What was found broken.
    pub broken: Vec<String>,
    /// What happened, for the story of a failing seed.
    pub story: Vec<String>,
    /// Files at the radar that are open for writing.
    pub open: BTreeSet<RelPath>,
    /// Stories whose last version is closed, with the version's number.
    pub closed: BTreeMap<usize, usize>,
    watches: Vec<Watch>,
    lives: Vec<u64>,
}

/// The world of one history.
pub struct World {
    /// Who goes on.
    pub scheduler: Scheduler,
    /// What happens outside.
    pub script: Script,
    /// The stations.
    pub stations: Vec<Station>,
    /// The clocks of the hosts.
    pub clocks: Vec<Arc<HostClock>>,
    /// Whether the story is told.
    pub tells: bool,
    time: Arc<ManualClock>,
    present: Mutex<Present>,
}

impl World {
    /// Makes the world of a script.
    pub fn new(script: Script, scheduler: Scheduler, tells: bool) -> Arc<Self> {
        let time = Arc::new(ManualClock::new(moment(0)));
        let clocks: Vec<Arc<HostClock>> =
            (0..script.ledgers).map(|_| Arc::new(HostClock { base: time.clone(), wrong_by: Mutex::new(0) })).collect();
        let host_of = |n: usize| match script.ledgers {
            1 => 0,
            2 => n.min(1),
            _ => n,
        };
        let stations = ["radar", "site", "campus"]
            .into_iter()
            .enumerate()
            .map(|(n, name)| {
                let clock: Arc<dyn Clock> = clocks[host_of(n)].clone();
                Station { name, host: host_of(n), store: MemoryStore::new(name, clock) }
            })
            .collect();
        let present = Present { lives: vec![0; script.ledgers], ..Present::default() };
        let world = Arc::new(Self { scheduler, script, stations, clocks, tells, time, present: Mutex::new(present) });
        for (n, station) in world.stations.iter().enumerate() {
            let seen = Arc::downgrade(&world);
            station.store.set_hook(move |call| {
                if let Some(world) = seen.upgrade() {
                    world.called(n, call);
                }
            });
        }
        world
    }

    /// Each call of the system is a place at which the turn may go to another; what it changed is checked at once.
    fn called(&self, station: usize, call: &CallInfo<'_>) {
        let station = &self.stations[station];
        if call.moment() == Moment::After {
            for path in call.changed_names() {
                self.check_name(station, &path);
                let kind = match (call.name(), call.second_path()) {
                    ("unlinkat", _) => WatchKind::Gone,
                    ("renameat" | "renameat2", Some(to)) if to != path => WatchKind::Gone,
                    ("renameat" | "renameat2", _) => WatchKind::MovedIn,
                    _ => WatchKind::Closed,
                };
                if kind == WatchKind::Gone {
                    self.check_nothing_lost();
                }
                self.happened(station.name, &path, kind);
            }
        }
        self.scheduler.point(call.name());
    }

    /// Returns what changes.
    pub fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a station.
    pub fn station(&self, name: &str) -> Option<&Station> {
        self.stations.iter().find(|station| station.name == name)
    }

    /// Returns the time, seconds after the begin.
    pub fn seconds(&self) -> i64 {
        self.time.now().duration_since(moment(0)).as_secs()
    }

    /// Lets time pass until this many seconds after the begin.
    pub fn set_seconds(&self, seconds: i64) {
        self.time.set(moment(seconds));
        self.all_may_look();
    }

    /// Has everybody who waits look once more.
    pub fn all_may_look(&self) {
        for host in 0..self.script.ledgers {
            self.scheduler.told(host);
        }
    }

    /// Adds to the story.
    pub fn note(&self, what: String) {
        if !self.tells {
            return;
        }
        let line = format!("{:>7} s, step {:>5}: {what}", self.seconds(), self.scheduler.steps());
        self.present().story.push(line);
    }

    /// Records that a promise was broken.
    pub fn broken(&self, what: String) {
        self.note(format!("BROKEN: {what}"));
        self.present().broken.push(what);
    }

    /// Returns the life that a host is in.
    pub fn life(&self, host: usize) -> Life {
        (host, self.present().lives.get(host).copied().unwrap_or(0))
    }

    /// Begins the next life of a host.
    pub fn next_life(&self, host: usize) -> Life {
        let mut present = self.present();
        present.watches.retain(|watch| watch.life.0 != host);
        if let Some(life) = present.lives.get_mut(host) {
            *life += 1;
        }
        drop(present);
        self.life(host)
    }

    /// Returns the files of a station that are open for writing.
    pub fn open_at(&self, station: &str) -> Vec<RelPath> {
        if station == "radar" { self.present().open.iter().cloned().collect() } else { Vec::new() }
    }

    /// Tells if one host can reach another.
    pub fn reaches(&self, from: usize, to: usize) -> bool {
        !self.present().cut.contains(&(from.min(to), from.max(to)))
    }

    /// Begins to tell an engine of what happens at a station.
    pub fn watch(
        &self,
        life: Life,
        number: u32,
        station: &str,
        wanted: Box<dyn Fn(&RelPath) -> bool + Send>,
        tell: Tell,
    ) {
        tell(WatchMessage::Rescan { root: number, below: RelPath::default(), reason: WatchReason::Started });
        self.present().watches.push(Watch { life, station: station.to_owned(), number, wanted, tell });
    }

    /// Ends the world: whoever watches a tree in it would hold it for ever.
    pub fn end(&self) {
        let watches = std::mem::take(&mut self.present().watches);
        drop(watches);
    }

    /// Has all trees listed again, as after an overflow of events.
    pub fn overflow(&self) {
        for watch in &self.present().watches {
            let message =
                WatchMessage::Rescan { root: watch.number, below: RelPath::default(), reason: WatchReason::Overflow };
            (watch.tell)(message);
        }
    }

    /// Tells whoever watches a station that something happened to a path.
    pub fn happened(&self, station: &str, path: &RelPath, kind: WatchKind) {
        let own = path.as_str().split('/').next().is_some_and(|first| first.starts_with(".thalweg-"));
        let present = self.present();
        if own || present.events_lost {
            return;
        }
        for watch in present.watches.iter().filter(|watch| watch.station == station) {
            let parent = path.parent();
            if parent.as_str().is_empty() || (watch.wanted)(&parent) {
                (watch.tell)(WatchMessage::Event(WatchEvent { root: watch.number, path: path.clone(), kind }));
            }
        }
    }

    /// Checks that what stands under a name may stand there.
    pub fn check_name(&self, station: &Station, path: &RelPath) {
        let text = path.as_str();
        let written_by_flow = station.name != "radar" && !text.starts_with(".thalweg-");
        if !written_by_flow || text.ends_with(".report.json") {
            return;
        }
        let Some(content) = station.store.contents(path) else { return };
        // What was put aside twice has a number at the end.
        let name = text.strip_prefix("quarantine/").map_or(text, |name| name.strip_suffix(".2").unwrap_or(name));
        if let Err(what) = self.script.allowed(name, &content) {
            self.broken(format!("at {}: {what}", station.name));
        }
    }

    /// Checks all names at all stations, and that nothing that was closed is lost.
    pub fn check_all(&self) {
        for station in &self.stations {
            for (path, _) in station.store.files() {
                self.check_name(station, &path);
            }
        }
        self.check_nothing_lost();
    }

    /// Checks that the last closed version of each file is somewhere, or what was made from it is at the campus.
    pub fn check_nothing_lost(&self) {
        if self.present().betrayed {
            return;
        }
        let closed = self.present().closed.clone();
        for (story, version) in closed {
            let Some(story) = self.script.stories.get(story) else { continue };
            let Some(version) = story.versions.get(version) else { continue };
            let name = format!("{}.dat", story.stem);
            let kept = self.stations.iter().any(|station| {
                station.store.files().iter().any(|(path, _)| {
                    let text = path.as_str();
                    let right_name = text.ends_with(&name) || text.contains(&format!("{name}."));
                    let final_name = right_name && !text.starts_with(".thalweg-");
                    final_name && station.store.contents(path).is_some_and(|c| c == version.content.as_bytes())
                })
            });
            let key = story.stem.rsplit_once('.').map_or("", |(key, _)| key);
            let made = crate::script::calc(key, &version.content);
            let path = RelPath::from_text(format!("calc/{key}.calc"));
            let at_campus = self.stations[2].store.contents(&path).is_some_and(|content| content == made.as_bytes());
            if !kept && !at_campus {
                self.broken(format!("{} is lost: no station has its last version", story.path()));
            }
        }
    }
}
