//! One history: the script of a seed, engines on their hosts, everything going wrong that may, and then peace; at the
//! end everything has to stand where it belongs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use thalweg_core::{ContentHash, RelPath};
use thalweg_engine::watch::WatchKind;
use thalweg_engine::{Engine, Event, Handle, Mode, Setup};
use thalweg_flow::{Flow, Nowhere, Settings, Source, parse};
use thalweg_ledger::{Ledger, RunFilter, RunState};
use thalweg_store::Fault;

use crate::host::SimulatedHost;
use crate::schedule::{Scheduler, Turn};
use crate::script::{Act, Script};
use crate::seed::Chance;
use crate::world::World;

/// What one history showed.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Points passed.
    pub steps: u64,
    /// What went wrong on purpose.
    pub faults: u64,
    /// A number that only equal histories share.
    pub trace: u64,
    /// Broken promises; empty: all were kept.
    pub broken: Vec<String>,
    /// What happened, line by line.
    pub story: Vec<String>,
}

/// Steps after which a history that does not come to rest is given up.
const TOO_LONG: u64 = 60_000;

/// Tries at peace before the end is judged: seconds that pass at each. After a month nobody comes back for what lies about,
/// which a clock that was ahead may have touched two days later than it was.
const PEACE: [i64; 6] = [60, 120, 600, 3 * 3600, 300, 33 * 24 * 3600];

/// A time in which everything has its turn, and the pause made before it passes, seconds.
const LONG: i64 = 3600;
const PAUSE: i64 = 120;

/// What the driver has of one host.
#[derive(Default)]
struct HostState {
    /// None: it is down.
    engine: Option<Arc<Mutex<Running>>>,
}

#[derive(Default)]
struct Running {
    handle: Option<Handle>,
    /// How the engine ended.
    ended: Option<Result<(), String>>,
}

/// Something that is put right again at a time.
enum Heal {
    Start(usize),
    Link(usize, usize),
    Room(usize),
    Ledger(usize),
    Clock(usize),
    Station(usize),
    Events,
}

struct History {
    world: Arc<World>,
    folder: PathBuf,
    flow: Arc<Flow>,
    hosts: Vec<HostState>,
    chance: Chance,
    heals: Vec<(i64, Heal)>,
    faults: u64,
    is_paused: bool,
    /// A disk said that it had flushed what it had not.
    lied: bool,
}

/// Lives through the history of a seed; `faults` at most go wrong on purpose. What happened is told only with `story`.
///
/// # Errors
///
/// If the simulator itself cannot work: no room for ledgers, a flow that does not parse.
pub fn live(seed: u64, faults: u64, story: bool) -> Result<Shown, String> {
    let script = Script::new(seed);
    let flow = flow_of(&script.flow)?;
    let shared = Path::new("/dev/shm");
    let folder = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
    let folder = folder.map_err(|error| format!("no folder for ledgers: {error}"))?;
    let chance = Chance::new(seed);
    let world = World::new(script, Scheduler::new(chance.fork(2)), story);
    let hosts = (0..world.script.ledgers).map(|_| HostState::default()).collect();
    let mut history = History {
        world: world.clone(),
        folder: folder.path().to_owned(),
        flow,
        hosts,
        chance: chance.fork(3),
        heals: Vec::new(),
        faults: 0,
        is_paused: false,
        lied: false,
    };
    history.through(faults);
    for host in 0..history.hosts.len() {
        let life = world.life(host);
        world.scheduler.kill(life);
    }
    if story && !world.present().broken.is_empty() {
        world.note(format!("the ledgers are left in {}", folder.keep().display()));
    }
    world.end();
    let present = world.present();
    Ok(Shown {
        steps: world.scheduler.steps(),
        faults: history.faults,
        trace: world.scheduler.trace(),
        broken: present.broken.clone(),
        story: present.story.clone(),
    })
}

/// Reads a flow, each text once.
fn flow_of(text: &str) -> Result<Arc<Flow>, String> {
    static READ: Mutex<BTreeMap<String, Arc<Flow>>> = Mutex::new(BTreeMap::new());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(flow) = read.get(text) {
        return Ok(flow.clone());
    }
    let source = Source::new("flow.toml", text);
    let parsed = parse(&source, &Settings { set: BTreeMap::new(), ..Settings::default() }, &Nowhere)
        .map_err(|problems| problems.render(false, 100))?;
    let flow = Arc::new(parsed.flow);
    read.insert(text.to_owned(), flow.clone());
    Ok(flow)
}

impl History {
    fn through(&mut self, faults: u64) {
        for host in 0..self.hosts.len() {
            if let Err(what) = self.empty_ledger(host) {
                self.world.broken(what);
            }
            self.start(host);
        }
        let acts = self.world.script.acts();
        let mut next = 0;
        let mut left = faults;
        while self.is_whole() {
            let steps = if left > 0 { self.until_next() } else { TOO_LONG };
            let turn = self.world.scheduler.run(Some(steps));
            self.look();
            if turn == Turn::Due {
                left -= 1;
                self.fault();
                continue;
            }
            let act_at = acts.get(next).map(|act| act.0);
            let heal_at = self.heals.iter().map(|(at, _)| *at).min();
            // Much of what goes wrong does so while nothing happens.
            if left > 0 && self.chance.one_in(3) {
                left -= 1;
                self.fault();
            } else if let Some(at) = heal_at.filter(|at| act_at.is_none_or(|act| *at <= act)) {
                if self.pass_until(at) {
                    self.heal(Some(at));
                }
            } else if let Some(at) = act_at {
                if !self.pass_until(at) {
                    continue;
                }
                self.act(acts[next]);
                next += 1;
            } else {
                break;
            }
        }
        self.heal(None);
        self.peace();
        self.end();
    }

    /// Returns after how many steps the next thing goes wrong: soon, as troubles come in numbers, or much later, else all
    /// of them would lie in the first part of a history, where little is done yet.
    fn until_next(&mut self) -> u64 {
        let most = if self.chance.one_in(2) { 150 } else { 2000 };
        5 + self.chance.below(most)
    }

    fn is_whole(&self) -> bool {
        if self.world.scheduler.steps() > TOO_LONG {
            self.world.broken(format!("it did not come to rest within {TOO_LONG} steps"));
        }
        self.world.present().broken.is_empty()
    }

    /// Lets time pass; a long time not at once, that what waits for a moment has its turn before what waits for a day.
    fn pass_until(&mut self, at: i64) -> bool {
        let now = self.world.seconds();
        self.is_paused = !self.is_paused && at - now > LONG;
        if self.is_paused {
            self.world.set_seconds(now + PAUSE);
        } else if at > now {
            self.world.set_seconds(at);
        }
        !self.is_paused
    }

    /// Looks for engines that ended by themselves, and for panics.
    fn look(&mut self) {
        for panic in self.world.scheduler.panics() {
            self.world.broken(format!("a thread panicked: {panic}"));
        }
        for host in 0..self.hosts.len() {
            let ended = self.hosts[host].engine.as_ref().and_then(|running| lock(running).ended.take());
            if let Some(ended) = ended {
                self.world.note(format!("the engine of host {host} ended: {ended:?}"));
                self.down(host);
                // As a service manager does.
                self.starts_again(host, self.world.seconds() + 120);
            }
        }
    }

    fn setup(&self, host: usize, life: (usize, u64)) -> Setup {
        let here = self.world.stations.iter().filter(|s| s.host == host).map(|s| s.name.to_owned()).collect();
        let state = self.folder.join(format!("host{host}"));
        Setup {
            flow: self.flow.clone(),
            flow_path: "/sim/flow.toml".into(),
            flow_digest: "the same".into(),
            base: "/sim".into(),
            here,
            ledger: state.join("ledger.sqlite"),
            state,
            program: "/sim/thalweg".into(),
            version: "simulated".into(),
            formats: Vec::new(),
            log_dir: None,
            slots: Some(2),
            clock: self.world.clocks[host].clone(),
            host: Arc::new(SimulatedHost::new(self.world.clone(), life)),
        }
    }

    /// Gives a host a ledger without anything in it: to make one costs more than most of a history.
    fn empty_ledger(&self, host: usize) -> Result<(), String> {
        // One for each host: a ledger is known by its id.
        static EMPTY: [OnceLock<Result<Vec<u8>, String>>; 3] = [const { OnceLock::new() }; 3];
        let path = self.folder.join(format!("host{host}/ledger.sqlite"));
        let text = |error: &dyn std::error::Error| crate::in_full(error);
        std::fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(|error| text(&error))?;
        let empty = EMPTY[host].get_or_init(|| {
            drop(Ledger::create(&path).map_err(|error| text(&error))?);
            std::fs::read(&path).map_err(|error| text(&error))
        });
        let mut file = std::fs::File::create(&path).map_err(|error| text(&error))?;
        file.write_all(empty.as_ref()?).map_err(|error| text(&error))
    }

    fn start(&mut self, host: usize) {
        if self.hosts[host].engine.is_some() {
            return;
        }
        let life = self.world.next_life(host);
        let setup = self.setup(host, life);
        let running = Arc::new(Mutex::new(Running::default()));
        self.hosts[host].engine = Some(running.clone());
        self.world.note(format!("host {host} starts, life {}", life.1));
        let world = self.world.clone();
        let work = move || {
            let result = Engine::open(setup).and_then(|engine| {
                lock(&running).handle = Some(engine.handle());
                engine.run(Mode::Forever, &mut |event| {
                    if let Event::Stays { station, path, why, .. } = event
                        && why.ends_with("could not be confirmed")
                    {
                        world.present().unconfirmed.insert(format!("{station}/{path}"));
                    }
                    if world.tells {
                        world.note(format!("host {host}: {event:?}"));
                    }
                })
            });
            lock(&running).ended = Some(result.map(drop).map_err(|error| crate::in_full(&error)));
        };
        if let Err(error) = self.world.scheduler.start("engine", life, Box::new(work)) {
            self.world.broken(format!("no thread: {error}"));
        }
    }

    fn starts_again(&mut self, host: usize, at: i64) {
        self.heals.retain(|(_, heal)| !matches!(heal, Heal::Start(other) if *other == host));
        self.heals.push((at, Heal::Start(host)));
    }

    /// Ends whatever a host still does.
    fn down(&mut self, host: usize) {
        self.world.scheduler.kill(self.world.life(host));
        self.hosts[host].engine = None;
    }

    fn act(&mut self, (_, story, version, act): (i64, usize, usize, Act)) {
        let script = &self.world.script;
        let (told, path) = (&script.stories[story], RelPath::from_text(script.stories[story].path()));
        let content = told.versions[version].content.as_bytes();
        let radar = &self.world.stations[0];
        if act == Act::Half {
            self.world.note(format!("radar writes half of {path}"));
            self.world.present().closed.remove(&story);
            self.world.present().open.insert(path.clone());
            radar.store.put(&path, &content[..content.len() / 2]);
            self.world.happened("radar", &path, WatchKind::Appeared);
            return;
        }
        self.world.note(format!("radar closes {path}, version {version}"));
        if told.versions[version].renamed_in {
            radar.store.remove(&path);
        }
        radar.store.put(&path, content);
        // Whoever made it cares for its own data; ours begins here.
        radar.store.settle();
        self.world.present().closed.insert(story, version);
        self.world.present().open.remove(&path);
        let kind = if told.versions[version].renamed_in { WatchKind::MovedIn } else { WatchKind::Closed };
        self.world.happened("radar", &path, kind);
    }

    fn fault(&mut self) {
        self.faults += 1;
        let now = self.world.seconds();
        let host = self.chance.index(self.hosts.len());
        let station = self.chance.index(self.world.stations.len());
        let later = now + 10 + i64::try_from(self.chance.below(900)).unwrap_or(0);
        // The campus may be away for longer than the site has to keep what it has not confirmed there.
        let days = later + i64::try_from(self.chance.below(2)).unwrap_or(0) * 50 * 3600;
        let name = self.world.stations[station].name;
        let store = self.world.stations[station].store.clone();
        match self.chance.below(14) {
            0 | 1 => {
                self.world.note(format!("host {host} is killed"));
                self.down(host);
                self.world.check_all();
                self.starts_again(host, later);
            }
            2..=4 => {
                self.world.note(format!("the power of host {host} is cut"));
                self.down(host);
                self.world.present().betrayed |= self.lied;
                let seed = self.chance.number();
                for station in self.world.stations.iter().filter(|station| station.host == host) {
                    station.store.power_cut_seeded(seed);
                }
                self.world.check_all();
                self.starts_again(host, later);
            }
            5 if self.hosts.len() > 1 => {
                let other = (host + 1) % self.hosts.len();
                let link = (host.min(other), host.max(other));
                self.world.note(format!("the link between hosts {} and {} is cut", link.0, link.1));
                self.world.present().cut.insert(link);
                self.heals.push((if link == (1, 2) { days } else { later }, Heal::Link(link.0, link.1)));
            }
            6 => {
                let room = self.chance.below(200);
                self.world.note(format!("{room} bytes are left at {name}"));
                let used: u64 = store.files().iter().map(|(_, meta)| meta.size).sum();
                store.set_capacity(Some(used + room));
                self.heals.push((later, Heal::Room(station)));
            }
            7 => {
                self.world.note(format!("the disk of host {host}'s ledger is full"));
                self.world.present().ledger_full.insert(host);
                self.heals.push((later, Heal::Ledger(host)));
            }
            8 => {
                let count = 1 + self.chance.below(3);
                self.world.note(format!("the next {count} children fail"));
                self.world.present().failing_children += count;
            }
            9 => {
                let hours = i64::try_from(self.chance.below(60)).unwrap_or(0) - 30;
                self.world.note(format!("the clock of host {host} is stepped by {hours} h"));
                self.world.clocks[host].set_wrong_by(hours * 3600);
                self.world.all_may_look();
                self.heals.push((later, Heal::Clock(host)));
            }
            10 => {
                self.world.note(format!("{name} is away"));
                store.set_available(false);
                self.heals.push((if name == "campus" { days } else { later }, Heal::Station(station)));
            }
            11 => {
                self.world.note("events get lost".to_owned());
                self.world.present().events_lost = true;
                self.heals.push((later, Heal::Events));
            }
            12 => {
                let running = self.hosts[host].engine.clone();
                if let Some(handle) = running.and_then(|running| lock(&running).handle.clone()) {
                    self.world.note(format!("the engine of host {host} is asked to stop"));
                    handle.stop("the simulator");
                }
            }
            _ => {
                let call = store.calls() + 1 + self.chance.below(12);
                // What a disk that lies has lost is noticed by the ledger that lists it; one that sends there keeps its own
                // copy, and says that it could not confirm the other.
                let lies = self.hosts.len() == 1;
                let fault = match self.chance.below(if lies { 4 } else { 3 }) {
                    0 => Fault::Fail { call },
                    1 => Fault::FailAfter { call },
                    2 => Fault::TornWrite { call },
                    _ => Fault::RenameLost { call },
                };
                self.world.note(format!("{name}: {fault:?}"));
                self.lied |= matches!(fault, Fault::RenameLost { .. });
                store.inject(fault);
            }
        }
    }

    /// Puts right what is due at a time, or everything.
    fn heal(&mut self, until: Option<i64>) {
        let (due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.heals).into_iter().partition(|(at, _)| until.is_none_or(|until| *at <= until));
        self.heals = rest;
        for (_, heal) in due {
            match heal {
                Heal::Start(host) => self.start(host),
                Heal::Link(a, b) => {
                    self.world.note(format!("the link between hosts {a} and {b} is back"));
                    self.world.present().cut.remove(&(a, b));
                }
                Heal::Room(station) => self.world.stations[station].store.set_capacity(None),
                Heal::Ledger(host) => {
                    self.world.present().ledger_full.remove(&host);
                }
                Heal::Clock(host) => self.world.clocks[host].set_wrong_by(0),
                Heal::Station(station) => {
                    self.world.note(format!("{} is back", self.world.stations[station].name));
                    self.world.stations[station].store.set_available(true);
                }
                Heal::Events => {
                    self.world.present().events_lost = false;
                    // The kernel tells that it lost some; else the next listing finds out.
                    if self.chance.one_in(2) {
                        self.world.overflow();
                    }
                }
            }
        }
        self.world.all_may_look();
    }

    /// Nothing goes wrong any more: time passes until everything has come to rest.
    fn peace(&mut self) {
        self.world.note("peace".to_owned());
        self.world.present().failing_children = 0;
        for station in &self.world.stations {
            station.store.clear_faults();
        }
        for seconds in PEACE {
            let until = self.world.seconds() + seconds;
            while self.is_whole() {
                self.world.scheduler.run(Some(TOO_LONG));
                self.look();
                self.heal(None);
                if self.pass_until(until) {
                    break;
                }
            }
        }
        self.world.scheduler.run(Some(TOO_LONG));
        self.look();
    }

    // With several ledgers the site's copy may go, its products being at the campus, before the radar's ledger has confirmed
    // it: as long as the radar's host is down, or at once after a clock was set right by a day. It says so.
    fn may_stay(&self, name: &str) -> bool {
        self.world.script.ledgers > 1 && name.starts_with("radar/") && self.world.present().unconfirmed.contains(name)
    }

    fn end(&mut self) {
        if !self.is_whole() {
            return;
        }
        self.world.check_all();
        for host in 0..self.hosts.len() {
            let handle = self.hosts[host].engine.as_ref().and_then(|running| lock(running).handle.clone());
            if let Some(handle) = handle {
                handle.stop("the end");
            }
        }
        self.world.scheduler.run(Some(TOO_LONG));
        let (expected, free) = self.world.script.expected();
        let mut found = BTreeMap::new();
        for station in &self.world.stations {
            for (path, _) in station.store.files() {
                let name = format!("{}/{path}", station.name);
                let content = station.store.contents(&path).unwrap_or_default();
                let report = name.ends_with(".report.json");
                if report || free.contains(&name) {
                    continue;
                }
                found.insert(name, String::from_utf8_lossy(&content).into_owned());
            }
        }
        if self.world.present().betrayed {
            return;
        }
        for (name, content) in &expected {
            match found.get(name) {
                None => self.world.broken(format!("in the end {name} is missing")),
                Some(other) if other != content => {
                    let other = crate::script::short(other);
                    self.world.broken(format!("in the end {name} holds {other:?}"));
                }
                Some(_) => {}
            }
        }
        for name in found.keys().filter(|name| !expected.contains_key(*name) && !self.may_stay(name)) {
            self.world.broken(format!("in the end {name} should not be there"));
        }
        for host in 0..self.hosts.len() {
            if let Err(error) = self.once_each(host) {
                self.world.broken(format!("the ledger of host {host}: {error}"));
            }
        }
    }

    /// Every task was done once; what a disk that lies has lost is made again.
    fn once_each(&self, host: usize) -> Result<(), thalweg_ledger::Error> {
        let ledger = Ledger::open_read_only(self.folder.join(format!("host{host}/ledger.sqlite")))?;
        let filter = RunFilter { states: vec![RunState::Done], ..RunFilter::default() };
        let mut seen: BTreeSet<ContentHash> = BTreeSet::new();
        for run in ledger.reader()?.runs(&filter, 100_000)? {
            if !seen.insert(run.identity) && !self.lied {
                self.world.broken(format!("{} of {} was done twice with the same inputs", run.step, run.key));
            }
        }
        Ok(())
    }
}

fn lock(running: &Mutex<Running>) -> std::sync::MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}
