//! Slots: how many runs work at once. Short ones are journalled ahead and stand by, so that many begin and end in one
//! transaction and no slot waits for a disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use thalweg_core::Timestamp;

use super::{Dispatcher, Message};
use crate::host::receive_within;
use crate::runner::Go;
use crate::{Host, Setup};

/// How many runs may stand by for a slot.
const STANDING_BY: usize = 16;

/// With fewer standing by, there is no waiting for more to be written down.
const FEW: usize = 4;

/// How many runs for each slot may be written down and published while others work.
const PUBLISHING: usize = 12;

/// Runs of a step that take no longer than this may stand by: what is held or paused meanwhile is late by a moment only.
const SHORT: SignedDuration = SignedDuration::from_millis(100);

/// Most messages worked on together.
const TOGETHER: usize = 4000;

/// The line in which runs that are journalled wait for a slot. A run that has done its work gives its slot to the next by
/// itself: the dispatcher may be busy writing, and a processor would stand idle.
#[derive(Clone)]
pub(super) struct Line {
    slots: usize,
    host: Arc<dyn Host>,
    clock: Arc<dyn thalweg_core::Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Place>,
    /// Steps of the runs that have a slot, and since when, by the dispatcher's numbers of them.
    working: BTreeMap<u64, (String, Timestamp)>,
    /// How long the last run of each step worked.
    pace: BTreeMap<String, SignedDuration>,
}

/// A run's place in the line.
struct Place {
    no: u64,
    step: String,
    go: Sender<Go>,
}

impl Line {
    pub(super) fn new(slots: usize, setup: &Setup) -> Self {
        Self { slots, host: setup.host.clone(), clock: setup.clock.clone(), state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a run at the end of the line.
    pub(super) fn join(&self, no: u64, step: &str, go: &Sender<Go>) {
        self.state().waiting.push_back(Place { no, step: step.to_owned(), go: go.clone() });
    }

    /// Lets those that stand by work, the first first, as far as there are slots.
    pub(super) fn move_up(&self) {
        let mut state = self.state();
        while state.working.len() < self.slots
            && let Some(next) = state.waiting.pop_front()
        {
            // One that is over already needs no slot.
            if next.go.send(Go::Start).is_ok() {
                state.working.insert(next.no, (next.step, self.clock.now()));
            }
        }
        drop(state);
        self.host.told();
    }

    /// A run has done its work, if it had a slot for it.
    pub(super) fn leave(&self, no: u64) {
        let mut state = self.state();
        let Some((step, since)) = state.working.remove(&no) else { return };
        state.pace.insert(step, self.clock.now().duration_since(since));
        drop(state);
        self.move_up();
    }

    /// A run works on, in a slot of its own.
    pub(super) fn work_on(&self, no: u64, step: &str) {
        self.state().working.insert(no, (step.to_owned(), self.clock.now()));
    }

    /// Sends away those that stand by.
    pub(super) fn clear(&self) {
        for place in std::mem::take(&mut self.state().waiting) {
            // One that is over already need not be told.
            let _ = place.go.send(Go::Stop);
        }
        self.host.told();
    }

    /// Tells if the last run of a step was short.
    pub(super) fn is_short(&self, step: &str) -> bool {
        self.state().pace.get(step).is_some_and(|last| *last <= SHORT)
    }

    /// Tells if there is any step whose runs may stand by.
    pub(super) fn any_short(&self) -> bool {
        self.state().pace.values().any(|last| *last <= SHORT)
    }
}

impl Dispatcher<'_> {
    /// Returns how many runs may be launched: at once, and to stand by.
    pub(super) fn room(&self) -> (usize, usize) {
        let state = self.line.state();
        let (working, waiting) = (state.working.len(), state.waiting.len());
        // Their outputs are complete: they need their locks, and no slot any more.
        if self.active.len().saturating_sub(working + waiting) >= self.slots * PUBLISHING {
            return (0, 0);
        }
        (self.slots.saturating_sub(working + waiting), STANDING_BY.saturating_sub(waiting))
    }

    /// Waits for messages and takes all that are there.
    pub(super) fn gather(&mut self, wait: Duration) -> Vec<Message> {
        let mut batch = Vec::new();
        let host = self.setup.host.clone();
        let mut next = receive_within(host.as_ref(), &self.messages, wait);
        let begun = Instant::now();
        while let Some(message) = next {
            let hurry = matches!(message, Message::Stop { .. }) || batch.len() + 1 >= TOGETHER;
            batch.push(message);
            if hurry {
                break;
            }
            next = self.messages.try_recv().ok();
            if next.is_none() && self.has_time() {
                let left = host.linger().saturating_sub(begun.elapsed());
                next = Some(left)
                    .filter(|left| !left.is_zero())
                    .and_then(|left| receive_within(host.as_ref(), &self.messages, left));
            }
        }
        batch
    }

    // Nothing can be done but to write down what has happened, and more of that will come.
    fn has_time(&self) -> bool {
        let state = self.line.state();
        state.waiting.len() > FEW && state.working.len() >= self.slots
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use thalweg_core::ManualClock;

    use super::*;

    struct Bench {
        line: Line,
        clock: Arc<ManualClock>,
        runs: Vec<Receiver<Go>>,
    }

    // Runs 0, 1, 2, … that stand by.
    fn bench(slots: usize, runs: u64) -> Bench {
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let line = Line { slots, host: Arc::new(crate::ThisHost), clock: clock.clone(), state: Arc::default() };
        let runs = (0..runs)
            .map(|no| {
                let (go, wait) = channel();
                line.join(no, "copy", &go);
                wait
            })
            .collect();
        Bench { line, clock, runs }
    }

    fn heard(bench: &Bench) -> Vec<Option<Go>> {
        bench.runs.iter().map(|run| run.try_recv().ok()).collect()
    }

    #[test]
    fn a_slot_goes_to_the_first_that_stands_by() {
        let bench = bench(2, 4);
        bench.line.move_up();
        assert_eq!(heard(&bench), [Some(Go::Start), Some(Go::Start), None, None]);
        bench.line.leave(1);
        assert_eq!(heard(&bench), [None, None, Some(Go::Start), None]);
        // Its outputs are complete, and then it is over: that is one slot, not two.
        bench.line.leave(1);
        assert_eq!(heard(&bench), [const { None }; 4]);
        // One that works on has a slot beside those that there are.
        bench.line.work_on(1, "copy");
        bench.line.leave(0);
        assert_eq!(heard(&bench), [const { None }; 4]);
        bench.line.leave(1);
        assert_eq!(heard(&bench), [None, None, None, Some(Go::Start)]);
    }

    #[test]
    fn who_is_gone_takes_no_slot_and_who_is_sent_away_does_not_start() {
        let mut bench = bench(1, 3);
        drop(bench.runs.remove(0));
        bench.line.move_up();
        assert_eq!(heard(&bench), [Some(Go::Start), None]);
        bench.line.clear();
        bench.line.leave(1);
        assert_eq!(heard(&bench), [None, Some(Go::Stop)]);
    }

    #[test]
    fn the_last_run_of_a_step_tells_if_its_runs_are_short() {
        let bench = bench(2, 2);
        bench.line.move_up();
        assert!(!bench.line.any_short());
        bench.clock.set(Timestamp::UNIX_EPOCH + SHORT);
        bench.line.leave(0);
        assert!(bench.line.is_short("copy") && !bench.line.is_short("other"));
        bench.clock.set(Timestamp::UNIX_EPOCH + SHORT + SignedDuration::from_millis(1));
        bench.line.leave(1);
        assert!(!bench.line.is_short("copy") && !bench.line.any_short());
    }
}
