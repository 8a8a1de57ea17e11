//! Slots: how many runs work at once. Short ones are journalled ahead and stand by, so that many begin and end in one
//! transaction and no slot waits for a disk.

use std::time::{Duration, Instant};

use jiff::SignedDuration;

use super::{Dispatcher, Message};
use crate::Event;
use crate::host::receive_within;
use crate::runner::{Go, Told};

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

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is journalled and waits for a slot.
    StandsBy,
    /// It has a slot.
    Works,
    /// Its outputs are complete: it needs its locks, and no slot any more.
    Publishes,
}

impl Dispatcher<'_> {
    fn count(&self, phase: Phase) -> usize {
        self.active.values().filter(|active| active.phase == phase).count()
    }

    /// Returns how many runs may be launched: at once, and to stand by.
    pub(super) fn room(&self) -> (usize, usize) {
        if self.count(Phase::Publishes) >= self.slots * PUBLISHING {
            return (0, 0);
        }
        let waiting = self.count(Phase::StandsBy);
        let free = self.slots.saturating_sub(self.count(Phase::Works) + waiting);
        (free, STANDING_BY.saturating_sub(waiting))
    }

    /// Tells if the last run of a step was short.
    pub(super) fn is_short(&self, step: &str) -> bool {
        self.pace.get(step).is_some_and(|last| *last <= SHORT)
    }

    /// Tells if there is any step whose runs may stand by.
    pub(super) fn any_short(&self) -> bool {
        self.pace.values().any(|last| *last <= SHORT)
    }

    /// Lets those that stand by work, the first first, as far as there are slots.
    pub(super) fn give_slots(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        for _ in self.count(Phase::Works)..self.slots {
            let next =
                self.active.iter().filter(|(_, active)| active.phase == Phase::StandsBy).map(|(no, _)| *no).next();
            let now = self.now();
            let Some(active) = next.and_then(|no| self.active.get_mut(&no)) else { return };
            active.phase = Phase::Works;
            active.started = now;
            active.say(Go::Start);
            let Some(first) = active.tasks.first() else { continue };
            let event = Event::RunStarted {
                run: active.runs.first().map_or(0, |run| run.0),
                step: first.key.step.clone(),
                key: first.key.text(),
                attempt: active.attempt,
            };
            self.say(&event);
        }
    }

    /// Those that stand by are not needed any more.
    pub(super) fn send_away(&mut self) {
        for active in self.active.values().filter(|active| active.phase == Phase::StandsBy) {
            active.say(Go::Stop);
        }
    }

    /// A run works on, in a slot of its own.
    pub(super) fn works_again(&mut self, no: u64) {
        if let Some(active) = self.active.get_mut(&no) {
            active.phase = Phase::Works;
        }
    }

    // A run that has done its work gives its slot to the next at once, before anything is written.
    fn heard(&mut self, message: &Message) {
        let Message::Told(Told::Staged { no, worked: true, .. } | Told::Ended { no, .. }) = message else { return };
        let now = self.now();
        let Some(active) = self.active.get_mut(no) else { return };
        if active.phase == Phase::Works {
            active.phase = Phase::Publishes;
            if let Some(first) = active.tasks.first() {
                self.pace.insert(first.key.step.clone(), now.duration_since(active.started));
            }
            self.give_slots();
        }
    }

    /// Waits for messages and takes all that are there.
    pub(super) fn gather(&mut self, wait: Duration) -> Vec<Message> {
        let mut batch = Vec::new();
        let host = self.setup.host.clone();
        let mut next = receive_within(host.as_ref(), &self.messages, wait);
        let begun = Instant::now();
        while let Some(message) = next {
            self.heard(&message);
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
        self.count(Phase::StandsBy) > FEW && self.count(Phase::Works) >= self.slots
    }
}
