//! Hours of the day within which something may be done.

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use thalweg_core::Timestamp;

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// Days within which a range begins: one can fall into an hour that a day does not have.
const LOOK_AHEAD: usize = 3;

/// Ranges of hours of the day, in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// The zone in which they are meant.
    pub zone: TimeZone,
    /// Minutes of the day `[from, to)`; a range over midnight stands as two.
    pub ranges: Vec<(u16, u16)>,
}

impl Hours {
    /// Tells if a moment lies within them.
    pub fn holds(&self, at: Timestamp) -> bool {
        let time = at.to_zoned(self.zone.clone()).time();
        let minute = u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).unwrap_or(0);
        self.ranges.iter().any(|(from, to)| (*from..*to).contains(&minute))
    }

    /// Returns the next moment at which they begin, or this one if it lies within them.
    pub fn next(&self, at: Timestamp) -> Option<Timestamp> {
        if self.holds(at) {
            return Some(at);
        }
        let mut day = at.to_zoned(self.zone.clone()).date();
        let mut begins = Vec::new();
        for _ in 0..LOOK_AHEAD {
            begins.extend(self.ranges.iter().flat_map(|(from, _)| self.moments(day, *from)));
            day = day.tomorrow().ok()?;
        }
        // Where the zone's clock jumps, it can jump into a range.
        if let Some(last) = begins.iter().max().copied() {
            begins.extend(self.zone.following(at).map(|change| change.timestamp()).take_while(|change| *change < last));
        }
        begins.into_iter().filter(|begin| *begin > at && self.holds(*begin)).min()
    }

    // A day has a time of day once, twice (when its clock is put back), or not at all.
    fn moments(&self, day: Date, minute: u16) -> Vec<Timestamp> {
        let civil = |minute: u16| {
            let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
            Some(day.at(hour, minute, 0, 0))
        };
        let Some(civil) = civil(minute) else { return Vec::new() };
        let offsets = match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => vec![offset],
            AmbiguousOffset::Fold { before, after } => vec![before, after],
            AmbiguousOffset::Gap { .. } => Vec::new(),
        };
        offsets.into_iter().filter_map(|offset| offset.to_timestamp(civil).ok()).collect()
    }
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let mut ranges = self.ranges.clone();
        // What was written as one range over midnight is told as one.
        let over = match (ranges.first().copied(), ranges.last().copied()) {
            (Some((0, to)), Some((from, DAY))) if ranges.len() > 1 && to < from => {
                ranges.pop();
                ranges.remove(0);
                Some((from, to))
            }
            _ => None,
        };
        let all = over.into_iter().chain(ranges).map(|(from, to)| format!("{}-{}", text(from), text(to)));
        write!(f, "{}", all.collect::<Vec<_>>().join(", "))?;
        match self.zone.iana_name() {
            Some(name) => write!(f, " {name}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn hours_are_those_of_their_zone() {
        let zone = TimeZone::get("America/Regina").unwrap();
        let hours = Hours { zone, ranges: vec![(0, 6 * 60)] };
        // Six hours behind, all the year.
        assert!(hours.holds(at("2024-01-31T06:00:00Z")));
        assert!(hours.holds(at("2024-01-31T11:59:59Z")));
        assert!(!hours.holds(at("2024-01-31T12:00:00Z")));
        assert_eq!(hours.next(at("2024-01-31T12:00:00Z")), Some(at("2024-02-01T06:00:00Z")));
        assert_eq!(hours.next(at("2024-01-31T07:00:00Z")), Some(at("2024-01-31T07:00:00Z")));
        assert_eq!(hours.to_string(), "00:00-06:00 America/Regina");
    }

    #[test]
    fn a_range_over_midnight_is_one() {
        let hours = Hours { zone: TimeZone::UTC, ranges: vec![(0, 240), (22 * 60, DAY)] };
        assert!(hours.holds(at("2024-01-31T23:30:00Z")) && hours.holds(at("2024-01-31T03:59:00Z")));
        assert_eq!(hours.next(at("2024-01-31T04:00:00Z")), Some(at("2024-01-31T22:00:00Z")));
        assert_eq!(hours.to_string(), "22:00-04:00 UTC");
    }

    fn in_zurich(from: u16, to: u16) -> Hours {
        Hours { zone: TimeZone::get("Europe/Zurich").unwrap(), ranges: vec![(from, to)] }
    }

    #[test]
    fn hours_that_begin_in_one_that_a_day_does_not_have_begin_after_it() {
        // At 01:00Z it is no longer two there but three.
        let hours = in_zurich(150, 210);
        assert!(!hours.holds(at("2024-03-31T00:59:59Z")) && hours.holds(at("2024-03-31T01:00:00Z")));
        assert_eq!(hours.next(at("2024-03-31T00:00:00Z")), Some(at("2024-03-31T01:00:00Z")));
        assert_eq!(hours.next(at("2024-03-31T01:30:00Z")), Some(at("2024-04-01T00:30:00Z")));
    }

    #[test]
    fn hours_that_a_day_does_not_have_are_those_of_the_next_day() {
        assert_eq!(in_zurich(135, 165).next(at("2024-03-31T00:00:00Z")), Some(at("2024-04-01T00:15:00Z")));
    }

    #[test]
    fn hours_that_a_day_has_twice_begin_twice() {
        // At 01:00Z it is no longer three there but two again.
        let hours = in_zurich(150, 180);
        assert_eq!(hours.next(at("2024-10-27T00:00:00Z")), Some(at("2024-10-27T00:30:00Z")));
        assert!(!hours.holds(at("2024-10-27T01:00:00Z")));
        assert_eq!(hours.next(at("2024-10-27T01:00:00Z")), Some(at("2024-10-27T01:30:00Z")));
        // Into these the clock is put back.
        assert_eq!(in_zurich(90, 135).next(at("2024-10-27T00:20:00Z")), Some(at("2024-10-27T01:00:00Z")));
    }

    #[test]
    fn the_next_moment_is_the_first_that_holds() {
        let minute = jiff::SignedDuration::from_mins(1);
        for (from, to) in [(0, 60), (90, 135), (120, 180), (135, 165), (150, 210), (170, 1400)] {
            let hours = in_zurich(from, to);
            for end in ["2024-04-02T12:00:00Z", "2024-10-29T12:00:00Z"] {
                let mut now = at(end);
                let mut expected = None;
                for _ in 0..4 * 24 * 60 {
                    now = now.checked_sub(minute).unwrap();
                    expected = if hours.holds(now) { Some(now) } else { expected };
                    assert!(expected.is_none() || hours.next(now) == expected, "{hours} after {now}: {expected:?}");
                }
            }
        }
    }
}
