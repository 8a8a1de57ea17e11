//! The moments of steps that start at moments, and the rounds they make.
//!
//! A missed moment is made up once: however many were missed, one round is due.

use std::str::FromStr;

use croner::Cron;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use thalweg_core::Timestamp;

use super::Facts;
use crate::{Hours, Step, When};

/// Returns the first moment after `last`; `None` for steps that do not start at moments.
///
/// An `every` step that never had a round is due at once, a `cron` step at its next moment. `station` spreads the moments of a family.
pub fn next_moment(when: &When, last: Option<Timestamp>, now: Timestamp, station: &str) -> Option<Timestamp> {
    match when {
        When::Every { every, spread, .. } => {
            // The first moment alone is spread: the later ones follow it at equal distances.
            let Some(last) = last else { return Some(first_moment(now, *every, spread_of(station, *spread))) };
            last.checked_add(*every).ok()
        }
        When::Cron { line, zone } => cron_after(line, zone, last.unwrap_or(now)),
        When::Arrives | When::Flag(_) | When::Asked => None,
    }
}

/// As [`next_moment`]; one outside the hours is made up when they begin.
pub(super) fn next_within(
    when: &When,
    hours: Option<&Hours>,
    last: Option<Timestamp>,
    now: Timestamp,
    station: &str,
) -> Option<Timestamp> {
    let at = next_moment(when, last, now, station)?;
    Some(hours.and_then(|hours| hours.next(at)).unwrap_or(at))
}

/// Returns the moment of the round that is due or under way for a step at a station: of those that have passed the
/// newest, so that it stays the same until the next one.
pub fn due_round(step: &Step, station: &str, facts: &dyn Facts) -> Option<Timestamp> {
    let round = facts.round(&step.name, station);
    if round.open.is_some() {
        return round.open;
    }
    // A moment outside the hours is made up when they begin.
    if step.hours.as_ref().is_some_and(|hours| !hours.holds(facts.now())) {
        return None;
    }
    due_moment(&step.when, round.last, facts.now(), station)
}

/// Returns the newest moment that has passed since the last one that was done; `None` if none has.
pub fn due_moment(when: &When, last: Option<Timestamp>, now: Timestamp, station: &str) -> Option<Timestamp> {
    let first = next_moment(when, last, now, station).filter(|moment| *moment <= now)?;
    match when {
        When::Every { every, .. } if *every > SignedDuration::ZERO => {
            let missed = now.duration_since(first).as_nanos() / every.as_nanos();
            let way = every.as_nanos().checked_mul(missed)?;
            Timestamp::from_nanosecond(first.as_nanosecond().checked_add(way)?).ok()
        }
        When::Cron { line, zone } => cron_before(line, zone, now).map(|newest| newest.max(first)),
        _ => Some(first),
    }
}

// Moments of a step that never had a round lie on whole periods, shifted by the station's share of the spread.
fn first_moment(now: Timestamp, every: SignedDuration, shift: SignedDuration) -> Timestamp {
    let (every, shift) = (every.as_nanos().max(1), shift.as_nanos());
    let since = (now.as_nanosecond() - shift).rem_euclid(every);
    Timestamp::from_nanosecond(now.as_nanosecond() - since).unwrap_or(now)
}

fn cron_before(line: &str, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let cron = Cron::from_str(line).ok()?;
    let newest = cron.find_previous_occurrence(&now.to_zoned(zone.clone()), true).ok()?;
    Some(newest.timestamp())
}

fn cron_after(line: &str, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let cron = Cron::from_str(line).ok()?;
    let next = cron.find_next_occurrence(&after.to_zoned(zone.clone()), false).ok()?;
    Some(next.timestamp())
}

// The same station always gets the same share of the spread, so that moments do not wander.
fn spread_of(station: &str, spread: SignedDuration) -> SignedDuration {
    let millis = u64::try_from(spread.as_millis()).unwrap_or(0);
    if millis == 0 {
        return SignedDuration::ZERO;
    }
    let hash = blake3::hash(station.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    SignedDuration::from_millis(i64::try_from(u64::from_le_bytes(first) % millis).unwrap_or(0))
}
