//! Who goes on: the threads of all simulated hosts, one at a time, in an order that a seed decides.
//!
//! Each thread of an engine is an *actor*. An actor runs until it comes to a [`Scheduler::point`] (a call of a store, a
//! write of a ledger) or has nothing to do ([`Scheduler::wait`]); there the turn goes to another. The *driver*, the
//! thread that made the scheduler, has the turn when nobody else can use it, and between points whenever it asked for
//! that; it alone kills actors.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::seed::Chance;

/// A host in one of its lives: a kill ends it, the next start is another life.
pub type Life = (usize, u64);

/// Why the turn came back to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nobody has anything to do.
    Idle,
    /// The step came at which the driver wanted the turn.
    Due,
}

thread_local! {
    static ACTOR: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The reason for which a killed actor's thread unwinds.
struct Killed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ready,
    /// It waits for a message; none had come when this many had been sent in all.
    Waiting {
        mail: u64,
    },
}

struct Actor {
    life: Life,
    status: Status,
    wake: Arc<Condvar>,
}

const DRIVER: u64 = 0;

struct State {
    chance: Chance,
    actors: BTreeMap<u64, Actor>,
    next_actor: u64,
    turn: u64,
    steps: u64,
    due: Option<u64>,
    /// Messages sent so far on each host.
    mail: BTreeMap<usize, u64>,
    dead: BTreeSet<Life>,
    killing: bool,
    trace: u64,
    panics: Vec<String>,
}

struct Inner {
    state: Mutex<State>,
    driver: Condvar,
}

/// Gives the turn to one actor at a time. Clones are the same scheduler.
#[derive(Clone)]
pub struct Scheduler(Arc<Inner>);

impl Scheduler {
    /// Makes a scheduler; the calling thread is its driver and has the turn.
    pub fn new(chance: Chance) -> Self {
        let state = State {
            chance,
            actors: BTreeMap::new(),
            next_actor: 1,
            turn: DRIVER,
            steps: 0,
            due: None,
            mail: BTreeMap::new(),
            dead: BTreeSet::new(),
            killing: false,
            trace: 0,
            panics: Vec::new(),
        };
        Self(Arc::new(Inner { state: Mutex::new(state), driver: Condvar::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many points were passed.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Returns a number that two histories share only if they went the same way.
    pub fn trace(&self) -> u64 {
        self.lock().trace
    }

    /// Returns the messages of actors that panicked since the last call.
    pub fn panics(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().panics)
    }

    /// Tells that a message was sent on a host: who waits there may look.
    pub fn told(&self, host: usize) {
        *self.lock().mail.entry(host).or_default() += 1;
    }

    /// Tells if a life was ended.
    pub fn is_dead(&self, life: Life) -> bool {
        self.lock().dead.contains(&life)
    }

    /// Tells if the caller is an actor of this scheduler that has to run through; at its end nothing it does counts.
    pub fn caller_is_dying(&self) -> bool {
        std::thread::panicking() && ACTOR.get().is_some()
    }

    /// Starts an actor; it comes to its turn later.
    ///
    /// # Errors
    ///
    /// If there is no thread for it.
    pub fn start(&self, name: &str, life: Life, work: Box<dyn FnOnce() + Send>) -> std::io::Result<u64> {
        let id = {
            let mut state = self.lock();
            let id = state.next_actor;
            state.next_actor += 1;
            state.actors.insert(id, Actor { life, status: Status::Ready, wake: Arc::new(Condvar::new()) });
            id
        };
        let own = self.clone();
        let thread = std::thread::Builder::new().name(format!("{name} of host {}", life.0)).spawn(move || {
            ACTOR.set(Some(id));
            let result = catch_unwind(AssertUnwindSafe(|| {
                own.await_turn(own.lock(), id);
                work();
            }));
            own.end(id, result.err());
        });
        if let Err(error) = thread {
            self.lock().actors.remove(&id);
            return Err(error);
        }
        Ok(id)
    }

    /// Tells if an actor is over.
    pub fn is_over(&self, actor: u64) -> bool {
        !self.lock().actors.contains_key(&actor)
    }

    /// A place at which the turn may go to another, and at which a host may be killed.
    pub fn point(&self, what: &str) {
        let Some(id) = ACTOR.get() else { return };
        if std::thread::panicking() {
            return;
        }
        let mut state = self.lock();
        state.steps += 1;
        state.note(id, what);
        if state.due.is_some_and(|due| state.steps >= due) {
            state.due = None;
            self.hand_over(&mut state, DRIVER);
        } else if state.chance.one_in(16) {
            let ready: Vec<u64> = state.able().collect();
            let next = ready[state.chance.index(ready.len())];
            self.hand_over(&mut state, next);
        } else {
            return;
        }
        self.await_turn(state, id);
    }

    /// Gives the turn away until a message was sent, or the driver says that time has passed.
    pub fn wait(&self) {
        let Some(id) = ACTOR.get() else { return };
        if std::thread::panicking() {
            return;
        }
        let mut state = self.lock();
        let host = state.actors.get(&id).map_or(0, |actor| actor.life.0);
        let mail = state.mail.get(&host).copied().unwrap_or(0);
        if let Some(actor) = state.actors.get_mut(&id) {
            actor.status = Status::Waiting { mail };
        }
        self.pass_on(&mut state);
        self.await_turn(state, id);
    }

    /// Runs the actors until none can do anything, or until `steps` more points were passed.
    pub fn run(&self, steps: Option<u64>) -> Turn {
        let mut state = self.lock();
        state.due = steps.map(|more| state.steps + more);
        self.pass_on(&mut state);
        while state.turn != DRIVER {
            state = self.0.driver.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let idle = state.able().next().is_none();
        state.due = None;
        if idle { Turn::Idle } else { Turn::Due }
    }

    /// Ends all actors of a life where they are; what they had in memory is gone.
    pub fn kill(&self, life: Life) {
        let mut state = self.lock();
        state.dead.insert(life);
        state.killing = true;
        while let Some(id) = state.actors.iter().find(|(_, actor)| actor.life == life).map(|(id, _)| *id) {
            self.hand_over(&mut state, id);
            while state.turn != DRIVER {
                state = self.0.driver.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        state.killing = false;
    }

    fn end(&self, id: u64, panic: Option<Box<dyn std::any::Any + Send>>) {
        let mut state = self.lock();
        if let Some(panic) = panic
            && !panic.is::<Killed>()
        {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            state.panics.push(text.unwrap_or_else(|| "a panic without words".to_owned()));
        }
        if let Some(actor) = state.actors.remove(&id) {
            *state.mail.entry(actor.life.0).or_default() += 1;
        }
        if state.killing {
            self.hand_over(&mut state, DRIVER);
        } else {
            self.pass_on(&mut state);
        }
    }

    /// Gives the turn to an actor that can use it, else to the driver.
    fn pass_on(&self, state: &mut State) {
        let ready: Vec<u64> = state.able().collect();
        let next = if ready.is_empty() { DRIVER } else { ready[state.chance.index(ready.len())] };
        self.hand_over(state, next);
    }

    fn hand_over(&self, state: &mut State, to: u64) {
        state.turn = to;
        match state.actors.get_mut(&to) {
            Some(actor) => {
                actor.status = Status::Ready;
                actor.wake.notify_one();
            }
            None => self.0.driver.notify_one(),
        }
    }

    fn await_turn(&self, mut state: MutexGuard<'_, State>, id: u64) {
        let Some((wake, life)) = state.actors.get(&id).map(|actor| (actor.wake.clone(), actor.life)) else { return };
        while state.turn != id {
            state = wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let dead = state.dead.contains(&life);
        drop(state);
        if dead {
            resume_unwind(Box::new(Killed));
        }
    }
}

impl State {
    /// The actors that can do something.
    fn able(&self) -> impl Iterator<Item = u64> {
        self.actors.iter().filter_map(|(id, actor)| match actor.status {
            Status::Ready => Some(*id),
            Status::Waiting { mail } => (self.mail.get(&actor.life.0).copied().unwrap_or(0) > mail).then_some(*id),
        })
    }

    fn note(&mut self, id: u64, what: &str) {
        for byte in id.to_le_bytes().into_iter().chain(what.bytes()) {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
}
