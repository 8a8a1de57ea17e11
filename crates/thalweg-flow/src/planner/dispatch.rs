//! Which of the ready tasks may start beside those that run: locks, limits, order and priority. No input or output.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use thalweg_core::Timestamp;

use super::Task;
use crate::{Flow, Order};

/// What a running task holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The step.
    pub step: String,
    /// The values of its `one_at_a_time` fields.
    pub lane: Option<String>,
    /// The outputs it is writing, as `station/path`.
    pub outputs: Vec<String>,
    /// It builds up an `update` product: runs of the step take turns.
    pub updates: bool,
}

/// Why a ready task does not start now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// All slots are taken.
    Slots,
    /// The step's own `parallel` is reached.
    Parallel,
    /// Another run of the same step for the same fields.
    Lane(String),
    /// The named lock is held by another step.
    Exclusive(String),
    /// Another run writes the same output.
    Output(String),
    /// Runs of an `update` step take turns.
    Turn,
}

/// Returns what a task holds while it runs.
pub fn held_by(flow: &Flow, task: &Task) -> Held {
    let step = flow.steps.get(&task.key.step);
    Held {
        step: task.key.step.clone(),
        lane: task.lane.clone(),
        outputs: task
            .outputs
            .iter()
            .filter_map(|output| Some(format!("{}/{}", output.station, output.path.as_ref()?.as_str())))
            .collect(),
        updates: step.is_some_and(crate::Step::updates),
    }
}

/// Returns the numbers of the ready tasks in the order in which they should start: priority, urgency of what was asked
/// for, then by the step's order.
pub fn order(flow: &Flow, ready: &[&Task]) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..ready.len()).collect();
    numbers.sort_by_cached_key(|n| {
        let task = ready[*n];
        let step = flow.steps.get(&task.key.step);
        let start = task.span.map_or(task.arrived, |span| span.start);
        let by_time = match step.map(|step| step.order).unwrap_or_default() {
            Order::OldestFirst => ByTime::Up(start),
            Order::NewestFirst => ByTime::Down(Reverse(start)),
        };
        (Reverse(step.map_or(0, |step| step.priority)), task.key.step.clone(), by_time, task.key.text())
    });
    interleaved(&numbers, ready, flow)
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum ByTime {
    Up(Timestamp),
    Down(Reverse<Timestamp>),
}

// Steps of one priority take turns, so that a long queue of one does not starve another.
fn interleaved(numbers: &[usize], ready: &[&Task], flow: &Flow) -> Vec<usize> {
    let mut by_priority: BTreeMap<Reverse<i32>, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
    for n in numbers {
        let step = ready[*n].key.step.as_str();
        let priority = flow.steps.get(step).map_or(0, |step| step.priority);
        by_priority.entry(Reverse(priority)).or_default().entry(step).or_default().push(*n);
    }
    let mut ordered = Vec::with_capacity(numbers.len());
    for queues in by_priority.into_values() {
        let longest = queues.values().map(Vec::len).max().unwrap_or(0);
        for turn in 0..longest {
            ordered.extend(queues.values().filter_map(|queue| queue.get(turn)));
        }
    }
    ordered
}

/// Tells if a task may start beside those that run.
pub fn may_start(flow: &Flow, task: &Held, running: &[Held], slots: usize) -> Result<(), Why> {
    if running.len() >= slots {
        return Err(Why::Slots);
    }
    let Some(step) = flow.steps.get(&task.step) else { return Ok(()) };
    let own = running.iter().filter(|held| held.step == task.step);
    if step.parallel.is_some_and(|limit| own.clone().count() >= limit) {
        return Err(Why::Parallel);
    }
    if task.updates && own.clone().next().is_some() {
        return Err(Why::Turn);
    }
    if let Some(lane) = &task.lane
        && own.clone().any(|held| held.lane.as_ref() == Some(lane))
    {
        return Err(Why::Lane(lane.clone()));
    }
    if let Some(lock) = &step.exclusive {
        let other = running
            .iter()
            .find(|held| flow.steps.get(&held.step).is_some_and(|other| other.exclusive.as_ref() == Some(lock)));
        if let Some(other) = other {
            return Err(Why::Exclusive(other.step.clone()));
        }
    }
    if let Some(output) = running.iter().flat_map(|held| &held.outputs).find(|path| task.outputs.contains(path)) {
        return Err(Why::Output(output.clone()));
    }
    Ok(())
}
