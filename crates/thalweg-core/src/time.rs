//! Instants by time scale, ranges of time, and the ways people write them.

pub use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A half-open range of time, `start <= t < end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TimeRange {
    /// First instant inside.
    pub start: Timestamp,
    /// First instant no longer inside.
    pub end: Timestamp,
}

impl TimeRange {
    /// Makes a range; an end before the start is taken as the start.
    pub fn new(start: Timestamp, end: Timestamp) -> Self {
        Self { start, end: end.max(start) }
    }

    /// Tells if the two share an instant; an empty range counts as its one instant.
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.start == self.end {
            return other.contains(self.start) || *self == *other;
        }
        if other.start == other.end {
            return self.contains(other.start);
        }
        self.start < other.end && other.start < self.end
    }

    /// Tells if `at` lies inside.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

impl std::fmt::Display for TimeRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.start, self.end)
    }
}
