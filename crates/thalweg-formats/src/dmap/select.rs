//! Choosing records by number, time, beam or channel.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use thalweg_core::Timestamp;

use super::meta::Head;

/// Numbers of records, from 0; negative ones count from the end. Written as `3`, `0..9` (both included), `-10..-1`, `5..`
/// (to the end), joined by commas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Numbers(Vec<(i64, Option<i64>)>);

impl FromStr for Numbers {
    type Err = BadNumbers;

    fn from_str(text: &str) -> Result<Self, BadNumbers> {
        let number = |part: &str| part.trim().parse::<i64>().map_err(|_| BadNumbers(text.to_owned()));
        let mut all = Vec::new();
        for part in text.split(',') {
            all.push(match part.split_once("..") {
                None => number(part).map(|one| (one, Some(one)))?,
                Some((first, "")) => (number(first)?, None),
                Some((first, last)) => (number(first)?, Some(number(last)?)),
            });
        }
        Ok(Self(all))
    }
}

/// A text that says no numbers of records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} says no numbers of records")]
pub struct BadNumbers(String);

impl Numbers {
    /// Tells if numbers count from the end, so that the number of records has to be known.
    pub fn from_end(&self) -> bool {
        self.0.iter().any(|(first, last)| *first < 0 || last.is_some_and(|last| last < 0))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn holds(&self, index: u64, count: u64) -> bool {
        let (index, count) = (i64::try_from(index).unwrap_or(i64::MAX), i64::try_from(count).unwrap_or(i64::MAX));
        let place = |n: i64| if n < 0 { count.saturating_add(n) } else { n };
        let span = |(first, last): &(i64, Option<i64>)| -> RangeInclusive<i64> {
            place(*first)..=last.map_or(i64::MAX, place)
        };
        self.0.iter().any(|one| span(one).contains(&index))
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.0.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            match last {
                Some(last) if last == first => write!(f, "{comma}{first}")?,
                Some(last) => write!(f, "{comma}{first}..{last}")?,
                None => write!(f, "{comma}{first}..")?,
            }
        }
        Ok(())
    }
}

/// Which records are meant: those that fit all that is set. The default means all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Records that begin at this time or later.
    pub from: Option<Timestamp>,
    /// Records that begin before this time.
    pub to: Option<Timestamp>,
    /// These numbers; empty: all.
    pub records: Numbers,
    /// Not these numbers.
    pub drop: Numbers,
    /// These beams; empty: all.
    pub beams: BTreeSet<i64>,
    /// These channels; empty: all.
    pub channels: BTreeSet<i64>,
}

impl Selection {
    /// Tells if the number of records has to be known before the first is looked at.
    pub fn from_end(&self) -> bool {
        self.records.from_end() || self.drop.from_end()
    }

    /// Tells if a record is meant; `count` is the number of records of its file (needed only if [`Selection::from_end`]).
    /// A record without a time is not in any span of time.
    pub fn holds(&self, head: &Head, count: u64) -> bool {
        let one_of =
            |set: &BTreeSet<i64>, value: Option<i64>| set.is_empty() || value.is_some_and(|value| set.contains(&value));
        let start = head.times.map(|(start, _)| start);
        let in_time = self.from.is_none_or(|from| start.is_some_and(|start| start >= from))
            && self.to.is_none_or(|to| start.is_some_and(|start| start < to));
        in_time
            && (self.records.is_empty() || self.records.holds(head.index, count))
            && !self.drop.holds(head.index, count)
            && one_of(&self.beams, head.beam)
            && one_of(&self.channels, head.channel)
    }
}
