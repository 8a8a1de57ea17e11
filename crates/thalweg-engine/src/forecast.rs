//! What a plan will probably take: outputs, bytes and time, from what the past runs of each step took.

use std::collections::BTreeMap;

use serde::Serialize;
use thalweg_flow::planner::backward::BackwardPlan;
use thalweg_flow::planner::{Facts, KeyId, Task};
use thalweg_flow::{Flow, Step, Verb};
use thalweg_ledger::{Reader, RunFilter, RunRow, RunState};

use crate::EngineError;
use crate::adopted::is_adopted;

/// The newest runs of a step that are looked at.
const RUNS: u32 = 200;

/// What one step of a plan will probably take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepForecast {
    /// The step.
    pub step: String,
    /// Keys to be made.
    pub keys: u64,
    /// Files that come out; none where the verb decides and no past run tells.
    pub outputs: Option<u64>,
    /// Bytes that come out.
    pub bytes: Option<u64>,
    /// Seconds, with as many runs side by side as may be.
    pub seconds: Option<f64>,
    /// How many past runs it rests on.
    pub past_runs: u64,
}

/// What becomes of a station's space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpaceForecast {
    /// The station.
    pub station: String,
    /// Bytes that will probably be written there.
    pub bytes: u64,
    /// Bytes free now.
    pub free: u64,
    /// Bytes that steps leave untouched.
    pub reserve: u64,
    /// What is crossed, in a sentence.
    pub warning: Option<String>,
}

/// What a plan will probably take.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Forecast {
    /// Step by step, in the order of the flow.
    pub steps: Vec<StepForecast>,
    /// The same in all; what no past run tells is left out of the sums.
    pub total: Total,
    /// The stations that are written to.
    pub space: Vec<SpaceForecast>,
}

/// The sums of a forecast.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Total {
    /// Keys to be made.
    pub keys: u64,
    /// Files that come out.
    pub outputs: u64,
    /// Bytes that come out.
    pub bytes: u64,
    /// Seconds.
    pub seconds: f64,
    /// Nothing was left out of the sums.
    pub whole: bool,
}

/// What the past runs of a step tell.
#[derive(Debug, Clone, Copy, Default)]
struct Past {
    runs: u64,
    seconds: Option<f64>,
    outputs: Option<f64>,
    bytes: Option<f64>,
    /// Bytes out for each byte in.
    ratio: Option<f64>,
}

/// Forecasts a plan; without a ledger there are no past runs.
///
/// # Errors
///
/// Those of the ledger.
pub fn forecast(
    flow: &Flow,
    plan: &BackwardPlan,
    reader: Option<&Reader>,
    slots: usize,
    facts: &dyn Facts,
) -> Result<Forecast, EngineError> {
    let mut forecast = Forecast { total: Total { whole: true, ..Total::default() }, ..Forecast::default() };
    let mut written: BTreeMap<String, u64> = BTreeMap::new();
    let (mut work, mut longest) = (0.0, 0.0_f64);
    for step in flow.step_order.iter().filter_map(|name| flow.steps.get(name)) {
        let ready: Vec<&Task> = plan.ready.iter().filter(|task| task.key.step == step.name).collect();
        let later: Vec<&KeyId> =
            plan.later.iter().map(|later| &later.key).filter(|key| key.step == step.name).collect();
        if ready.is_empty() && later.is_empty() {
            continue;
        }
        let past = match reader {
            Some(reader) => past(reader, &step.name)?,
            None => Past::default(),
        };
        let keys = count(ready.len() + later.len());
        let outputs = outputs_of(step, &ready, &later, past);
        let bytes = bytes_of(step, &ready, &later, past, &mut written);
        let width = step.parallel.unwrap_or(usize::MAX).min(slots).min(ready.len() + later.len()).max(1);
        let width = if step.one_at_a_time.as_ref().is_some_and(Vec::is_empty) { 1 } else { width };
        let seconds = past.seconds.map(|one| one * float(keys) / float(count(width)));
        work += past.seconds.unwrap_or_default() * float(keys);
        longest = longest.max(seconds.unwrap_or_default());
        let total = &mut forecast.total;
        total.keys += keys;
        total.outputs += outputs.unwrap_or_default();
        total.bytes += bytes.unwrap_or_default();
        total.whole &= outputs.is_some() && bytes.is_some() && seconds.is_some();
        forecast.steps.push(StepForecast {
            step: step.name.clone(),
            keys,
            outputs,
            bytes,
            seconds,
            past_runs: past.runs,
        });
    }
    // Steps share the slots; none is done sooner than by itself.
    forecast.total.seconds = longest.max(work / float(count(slots.max(1))));
    forecast.space = written.into_iter().filter_map(|(station, bytes)| space(flow, &station, bytes, facts)).collect();
    Ok(forecast)
}

fn past(reader: &Reader, step: &str) -> Result<Past, EngineError> {
    let filter = RunFilter { step: Some(step.to_owned()), states: vec![RunState::Done], ..RunFilter::default() };
    let mut runs = reader.runs(&filter, RUNS)?;
    runs.retain(|run| !is_adopted(run));
    let mut groups: BTreeMap<i64, Vec<&RunRow>> = BTreeMap::new();
    for run in &runs {
        groups.entry(run.batch.unwrap_or(run.id).0).or_default().push(run);
    }
    let (mut seconds, mut outputs, mut bytes, mut ratios) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for group in groups.values() {
        let Some(lead) = group.first() else { continue };
        let share = float(count(group.len()));
        // The keys of a batch were carried out by one process, and each has all its outputs.
        if let Some(ended) = lead.ended {
            seconds.push(ended.duration_since(lead.started).as_secs_f64().max(0.0) / share);
        }
        let left = reader.run_outputs(lead.id)?;
        let out: u64 = left.iter().map(|output| output.size).sum();
        outputs.push(float(count(left.len())) / share);
        bytes.push(float(out) / share);
        let mut taken = 0;
        for run in group {
            taken += reader.run_input_bytes(run.id)?;
        }
        if taken > 0 {
            ratios.push(float(out) / float(taken));
        }
    }
    Ok(Past {
        runs: count(runs.len()),
        seconds: median(seconds),
        outputs: median(outputs),
        bytes: median(bytes),
        ratio: median(ratios),
    })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => values.get(middle).copied(),
        _ => Some((values.get(middle - 1)? + values.get(middle)?) / 2.0),
    }
}

fn outputs_of(step: &Step, ready: &[&Task], later: &[&KeyId], past: Past) -> Option<u64> {
    let named: usize =
        ready.iter().map(|task| task.outputs.iter().filter(|output| output.path.is_some()).count()).sum();
    let open = ready.iter().filter(|task| task.outputs.iter().any(|output| output.path.is_none())).count();
    let stations = step.to.len().max(1);
    let carries = matches!(step.does, Verb::Send | Verb::Fetch);
    let many = step.makes.iter().any(|make| make.many);
    let of_later = if carries { later.len() * stations } else { later.len() * step.makes.len() * stations };
    if !many {
        return Some(count(named + of_later));
    }
    let unknown = open + later.len();
    let each = if unknown == 0 { 0.0 } else { past.outputs? };
    Some(count(named) + whole(each * float(count(unknown))))
}

fn bytes_of(
    step: &Step,
    ready: &[&Task],
    later: &[&KeyId],
    past: Past,
    written: &mut BTreeMap<String, u64>,
) -> Option<u64> {
    let carries = matches!(step.does, Verb::Send | Verb::Fetch | Verb::Copy | Verb::Move);
    let mut all = Some(0);
    let mut add = |station: &str, bytes: Option<u64>, all: &mut Option<u64>| {
        *written.entry(station.to_owned()).or_default() += bytes.unwrap_or_default();
        *all = all.zip(bytes).map(|(all, bytes)| all + bytes);
    };
    for task in ready {
        let taken: u64 = task.inputs.iter().filter(|input| input.role.is_empty()).map(|input| input.size).sum();
        let from_all: u64 = task.inputs.iter().map(|input| input.size).sum();
        let stations = targets(step, &task.key);
        // A run's outputs are those at all its targets.
        let share = float(count(stations.len()));
        for station in &stations {
            let bytes = match step.does {
                // Another name of the same bytes.
                Verb::Link => Some(0),
                _ if carries => Some(taken),
                _ if step.makes.is_empty() => Some(0),
                _ => past.ratio.map(|ratio| ratio * float(from_all)).or(past.bytes).map(|all| whole(all / share)),
            };
            add(station, bytes, &mut all);
        }
    }
    for key in later {
        let stations = targets(step, key);
        let share = float(count(stations.len()));
        for station in &stations {
            let bytes = match step.does {
                Verb::Link => Some(0),
                _ if step.makes.is_empty() && !carries => Some(0),
                _ => past.bytes.map(|bytes| whole(bytes / share)),
            };
            add(station, bytes, &mut all);
        }
    }
    all
}

fn targets<'a>(step: &'a Step, key: &'a KeyId) -> Vec<&'a str> {
    if step.to.is_empty() { vec![&key.station] } else { step.to.iter().map(String::as_str).collect() }
}

fn space(flow: &Flow, name: &str, bytes: u64, facts: &dyn Facts) -> Option<SpaceForecast> {
    use thalweg_core::units::format_size;
    let (free, total) = facts.space(name)?;
    let threshold = flow.stations.get(name)?.reserve.as_ref();
    let reserve = threshold.map_or(0, |threshold| threshold.bytes_of(total));
    let after = free.saturating_sub(bytes);
    let keep = flow.keeps.values().filter(|keep| keep.at.iter().any(|at| at == name)).find_map(|keep| {
        let below = keep.delete.when_free_below.as_ref()?;
        (after < below.bytes_of(total)).then_some((keep, below))
    });
    let begin = format!("{name} has {} free; with about {} more", format_size(free), format_size(bytes));
    let warning = if bytes > free {
        Some(format!("{begin} it would be full"))
    } else if after < reserve {
        let threshold = threshold.map(ToString::to_string).unwrap_or_default();
        Some(format!(
            "{begin} there would be {}, less than its reserve of {threshold}: from there on steps would wait",
            format_size(after)
        ))
    } else {
        keep.map(|(keep, below)| {
            format!("{begin} there would be less than {below}: the keep {} would delete what it may", keep.name)
        })
    };
    Some(SpaceForecast { station: name.to_owned(), bytes, free, reserve, warning })
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, never negative; `as` saturates"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 200.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 90.0]), Some(3.0));
    }
}
