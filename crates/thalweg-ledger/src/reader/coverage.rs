//! Which times are covered, and which are not.

use std::ops::ControlFlow;

use thalweg_core::{TimeRange, Timestamp};

use super::Reader;
use super::files::{OVERLAPS, bounds};
use crate::Error;
use crate::convert::{time, us};
use crate::kinds::FileState;

impl Reader {
    /// Returns the times within `range` that present files of a product cover, merged and in order.
    ///
    /// Without a station: covered at any of them. Files that are suspect, or that cover an instant only, count for
    /// nothing.
    pub fn coverage(&self, product: &str, station: Option<&str>, range: TimeRange) -> Result<Vec<TimeRange>, Error> {
        self.coverage_in(product, station, range, &[FileState::Present])
    }

    /// Returns the same for files in any of `states`; empty: all.
    pub fn coverage_in(
        &self,
        product: &str,
        station: Option<&str>,
        range: TimeRange,
        states: &[FileState],
    ) -> Result<Vec<TimeRange>, Error> {
        let product = self.product_id(product)?;
        let station = station.map(|station| self.station_id(station)).transpose()?;
        let (from, to) = bounds(range);
        let codes: Vec<String> = states.iter().map(|state| state.code().to_string()).collect();
        // Answered from the index files_time alone. Sorting is done here: a sort inside the database costs more.
        let sql = format!(
            "SELECT f.start_us, f.end_us FROM span_levels l CROSS JOIN files f ON f.product = l.product \
             AND f.station = l.station AND f.level = l.level AND f.start_us > ?1 - l.width - 1 AND f.start_us < ?2 \
             WHERE l.product = ?3 AND l.level >= 0 AND (?4 IS NULL OR l.station = ?4) AND {OVERLAPS} \
             AND +f.end_us IS NOT NULL {}",
            if states.is_empty() { String::new() } else { format!("AND f.state IN ({})", codes.join(", ")) }
        );
        let mut spans: Vec<(i64, i64)> = Vec::new();
        self.db.each(&sql, (from, to, product, station), |row| {
            let (start, end) = (row.get::<i64>()?.max(from), row.get::<i64>()?.min(us(range.end)));
            if start < end {
                // Files mostly come in order and touch, so that few spans are ever kept.
                match spans.last_mut() {
                    Some(last) if last.0 <= start && start <= last.1 => last.1 = last.1.max(end),
                    _ => spans.push((start, end)),
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        spans.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::new();
        for (start, end) in spans {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        Ok(merged.into_iter().map(|(start, end)| TimeRange { start: time(start), end: time(end) }).collect())
    }

    /// Returns the times within `range` that no present file covers and that last at least `min_us` microseconds.
    pub fn gaps(
        &self,
        product: &str,
        station: Option<&str>,
        range: TimeRange,
        min_us: i64,
    ) -> Result<Vec<TimeRange>, Error> {
        Ok(gaps_between(&self.coverage(product, station, range)?, range, min_us))
    }
}

fn gaps_between(covered: &[TimeRange], range: TimeRange, min_us: i64) -> Vec<TimeRange> {
    let mut gaps = Vec::new();
    let mut at = range.start;
    let mut gap = |start: Timestamp, end: Timestamp| {
        if start < end && us(end) - us(start) >= min_us {
            gaps.push(TimeRange { start, end });
        }
    };
    for span in covered {
        gap(at, span.start);
        at = at.max(span.end);
    }
    gap(at, range.end);
    gaps
}
