//! Where histories are lived through.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps the calling thread, and all that it starts, on one of the processors, counted round.
///
/// The threads of a history take turns. A turn that passes to another processor has to wake that one first, which takes
/// longer than most turns: histories are lived through twice as fast without. Where it is not possible nothing is lost.
pub fn stay_on_processor(number: usize) {
    let Ok(all) = sched_getaffinity(None) else { return };
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).collect();
    let mut one = CpuSet::new();
    if let Some(cpu) = allowed.get(number % allowed.len().max(1)) {
        one.set(*cpu);
        let _ = sched_setaffinity(None, &one);
    }
}
