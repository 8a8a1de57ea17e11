//! One simulated host: what an engine has around it, under the scheduler's eyes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use thalweg_core::{RelPath, ReportLine};
use thalweg_engine::child::{ChildError, Command, Ended, SandboxState};
use thalweg_engine::watch::Tell;
use thalweg_engine::{Host, Watching, Working};
use thalweg_ledger::{Gate, Options};
use thalweg_store::{RootId, Store, StoreError};

use crate::schedule::{Life, Scheduler};
use crate::script;
use crate::store::SeenStore;
use crate::world::World;

/// A host in one of its lives.
#[derive(Clone)]
pub struct SimulatedHost {
    world: Arc<World>,
    life: Life,
}

struct Actor {
    scheduler: Scheduler,
    id: u64,
}

impl Working for Actor {
    fn join(self: Box<Self>) {
        while !self.scheduler.is_over(self.id) && !self.scheduler.caller_is_dying() {
            self.scheduler.wait();
        }
    }

    fn is_over(&self) -> bool {
        self.scheduler.is_over(self.id)
    }
}

struct Eyes;

impl Watching for Eyes {}

impl SimulatedHost {
    /// Makes a host in one of its lives.
    pub fn new(world: Arc<World>, life: Life) -> Self {
        Self { world, life }
    }

    fn seen(&self, station: &str) -> Option<SeenStore> {
        let station = self.world.station(station)?.clone();
        Some(SeenStore::new(self.world.clone(), station, self.life))
    }

    /// Returns the store and the path that an absolute path names.
    fn locate(&self, path: &str) -> Option<(SeenStore, RelPath)> {
        let (station, below) = path.strip_prefix("/sim/")?.split_once('/')?;
        Some((self.seen(station)?, RelPath::from_text(below)))
    }

    fn read(&self, path: &str) -> Result<String, StoreError> {
        let missing = || StoreError::NotFound { action: "read", path: RelPath::from_text(path) };
        let (store, path) = self.locate(path).ok_or_else(missing)?;
        let mut file = store.open_read(&path)?;
        let mut text = String::new();
        let failed = |source| StoreError::Io { action: "read", path: path.clone(), source };
        io::Read::read_to_string(&mut *file, &mut text).map_err(failed)?;
        Ok(text)
    }

    // As an ordinary program writes: under the name that it was given, not flushed.
    fn write(&self, path: &str, content: &str) -> Result<(), StoreError> {
        let missing = || StoreError::NotFound { action: "write", path: RelPath::from_text(path) };
        let (store, path) = self.locate(path).ok_or_else(missing)?;
        let mut file = store.write_staged(&path, 0, 0)?;
        let (first, second) = content.split_at(content.len() / 2);
        file.append(first.as_bytes())?;
        file.append(second.as_bytes())?;
        file.finish(None, None).map(drop)
    }

    /// Carries a verb out; the exit code.
    fn verb(&self, name: &str, args: &[String]) -> Result<i32, StoreError> {
        let stem =
            |path: &str| path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(s, _)| s.to_owned());
        let key = |path: &str| stem(path).and_then(|stem| stem.rsplit_once('.').map(|(key, _)| key.to_owned()));
        match (name, args) {
            ("calc", [input, output]) => {
                let content = self.read(input)?;
                if script::is_bad(&content) {
                    return Ok(65);
                }
                self.write(output, &script::calc(&key(input).unwrap_or_default(), &content))?;
            }
            ("pics", [input, folder]) => {
                let content = self.read(input)?;
                let key = key(input).unwrap_or_default();
                for n in ["0", "1"] {
                    self.write(&format!("{folder}/{key}.{n}.pic"), &script::pic(&key, n, &content))?;
                }
            }
            ("daily", [output, inputs @ ..]) => {
                let mut lines: Vec<String> = Vec::new();
                for input in inputs {
                    let content = self.read(input)?;
                    if input.ends_with(".txt") {
                        lines.extend(content.lines().map(str::to_owned));
                        continue;
                    }
                    let key = stem(input).unwrap_or_default();
                    if lines.iter().any(|line| line.starts_with(&format!("{key} "))) {
                        lines.push(format!("TWICE {key}"));
                    }
                    lines.push(script::daily_line(&key, &content));
                }
                lines.sort();
                self.write(output, &lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
            }
            _ => return Ok(2),
        }
        Ok(0)
    }

    // What goes wrong with a child that is to fail, if it is this one.
    fn fails(&self, number: u64) -> Option<(Option<i32>, Option<i32>)> {
        let mut present = self.world.present();
        if present.failing_children == 0 {
            return None;
        }
        present.failing_children -= 1;
        Some(match number % 3 {
            0 => (Some(1), None),
            1 => (Some(75), None),
            _ => (None, Some(9)),
        })
    }
}

impl Host for SimulatedHost {
    fn store(&self, station: &str, _: &Path, _: bool, _: Option<RootId>) -> Arc<dyn Store> {
        match self.seen(station) {
            Some(store) => Arc::new(store),
            None => unreachable!("the script's flow has no other stations"),
        }
    }

    fn start(&self, name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Working>> {
        let scheduler = self.world.scheduler.clone();
        let id = scheduler.start(name, self.life, work)?;
        Ok(Box::new(Actor { scheduler, id }))
    }

    fn give_way(&self, time: Option<Duration>) -> bool {
        if time == Some(Duration::ZERO) {
            self.world.scheduler.point("give way");
        } else {
            self.world.scheduler.wait();
        }
        true
    }

    fn told(&self) {
        self.world.scheduler.told(self.life.0);
    }

    fn readers(&self) -> usize {
        1
    }

    fn watch(
        &self,
        number: u32,
        station: &str,
        _: &Path,
        wanted: Box<dyn Fn(&RelPath) -> bool + Send>,
        tell: Tell,
    ) -> Option<Box<dyn Watching>> {
        self.world.watch(self.life, number, station, wanted, tell);
        Some(Box::new(Eyes))
    }

    fn child(&self, command: Command, _: &AtomicBool, _: &mut dyn FnMut(ReportLine)) -> Result<Ended, ChildError> {
        let name = PathBuf::from(&command.program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let args: Vec<String> = command.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        self.world.scheduler.point("child");
        let trouble = self.fails(self.world.scheduler.steps());
        let result = self.verb(&name, &args);
        self.world.scheduler.point("child ends");
        let (exit, signal) = trouble.unwrap_or_else(|| (Some(result.unwrap_or(1)), None));
        Ok(Ended {
            exit,
            signal,
            timed_out: false,
            cancelled: false,
            wall: Duration::ZERO,
            user: Duration::ZERO,
            system: Duration::ZERO,
            peak_rss: None,
            reports: Vec::new(),
            reports_dropped: 0,
            log_truncated: false,
            sandbox: SandboxState::NotAsked,
        })
    }

    fn end_children(&self, _: &[(i64, String)], _: &Path) {}

    fn takes_requests(&self) -> bool {
        false
    }

    // Time does not pass by itself.
    fn linger(&self) -> Duration {
        Duration::ZERO
    }

    fn ledger_options(&self) -> Options {
        let (world, host) = (self.world.clone(), self.life.0);
        let gate = Gate::new(move || {
            world.scheduler.point("ledger");
            !world.present().ledger_full.contains(&host)
        });
        Options { durable: false, gate: Some(gate), cache_kib: 256, group_time: Duration::ZERO, ..Options::default() }
    }
}
