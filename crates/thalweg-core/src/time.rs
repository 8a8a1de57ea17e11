//! Instants by time scale, ranges and grids of time, and the ways people write them.
//!
//! GPS time has no leap seconds; it is 0 at 1980-01-06T00:00:00Z. The table of leap seconds is that of the IERS up to
//! the last one, at the end of 2016.

use jiff::SignedDuration;
pub use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ErrorClass;
use crate::units::{duration_from_nanos, parse_duration};

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

const NANOS: i128 = 1_000_000_000;

/// Unix time of the GPS epoch, 1980-01-06T00:00:00Z, in seconds.
pub const GPS_EPOCH_UNIX: i64 = 315_964_800;

/// Leap seconds that had been inserted when GPS time started.
const LEAPS_BEFORE_GPS: i64 = 9;

/// Unix time of the first second after each leap second, 1972-07-01 to 2017-01-01.
pub const LEAP_SECONDS: [i64; 27] = [
    78_796_800,
    94_694_400,
    126_230_400,
    157_766_400,
    189_302_400,
    220_924_800,
    252_460_800,
    283_996_800,
    315_532_800,
    362_793_600,
    394_329_600,
    425_865_600,
    489_024_000,
    567_993_600,
    631_152_000,
    662_688_000,
    709_948_800,
    741_484_800,
    773_020_800,
    820_454_400,
    867_715_200,
    915_148_800,
    1_136_073_600,
    1_230_768_000,
    1_341_100_800,
    1_435_708_800,
    1_483_228_800,
];

/// A text that is no instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read time {found:?}: {message}")]
pub struct TimeError {
    /// What stood there.
    pub found: String,
    /// What is wrong with it.
    pub message: String,
    /// How to write it.
    pub help: String,
}

impl TimeError {
    /// Returns what can be done about it: edit the text.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Config
    }
}

/// An instant by GPS time: the span since 1980-01-06T00:00:00Z, leap seconds counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GpsTime(pub SignedDuration);

impl GpsTime {
    /// Makes an instant from whole seconds.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(SignedDuration::from_secs(seconds))
    }

    /// Returns the whole seconds, rounded down.
    pub fn seconds(self) -> i64 {
        if self.0.subsec_nanos() < 0 { self.0.as_secs().saturating_sub(1) } else { self.0.as_secs() }
    }

    /// Tells if the instant lies in a leap second, 23:59:60 UTC, which [`Timestamp`] cannot say.
    pub fn is_leap_second(self) -> bool {
        let second = self.seconds();
        (LEAPS_BEFORE_GPS..)
            .zip(&LEAP_SECONDS[9..])
            .any(|(count, unix)| second == unix - GPS_EPOCH_UNIX + count - LEAPS_BEFORE_GPS)
    }

    /// Returns the instant in UTC; see [`utc_from_gps`].
    pub fn to_utc(self) -> Timestamp {
        utc_from_gps(self)
    }
}

impl std::fmt::Display for GpsTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "gps:{}", self.seconds())?;
        let nanos = self.0.as_nanos().rem_euclid(NANOS);
        if nanos != 0 {
            write!(f, ".{}", format!("{nanos:09}").trim_end_matches('0'))?;
        }
        Ok(())
    }
}

impl From<Timestamp> for GpsTime {
    fn from(at: Timestamp) -> Self {
        gps_from_utc(at)
    }
}

/// Returns the GPS time of a UTC instant.
pub fn gps_from_utc(at: Timestamp) -> GpsTime {
    let unix = at.as_nanosecond();
    let leaps = LEAP_SECONDS.iter().take_while(|leap| i128::from(**leap) * NANOS <= unix).count();
    let nanos = unix - i128::from(GPS_EPOCH_UNIX) * NANOS + (leaps as i128 - i128::from(LEAPS_BEFORE_GPS)) * NANOS;
    GpsTime(duration_from_nanos(nanos).unwrap_or_default())
}

/// Returns the UTC instant of a GPS time.
///
/// The leap second itself, 23:59:60, comes out as the second after it; what lies beyond the years -9999 to 9999 comes
/// out as the nearest instant that can be said.
pub fn utc_from_gps(gps: GpsTime) -> Timestamp {
    let nanos = gps.0.as_nanos();
    let leaps = (0_i128..)
        .zip(&LEAP_SECONDS)
        // The k-th leap second starts where the count of those before it puts it, and is over one second later.
        .take_while(|(count, unix)| {
            nanos
                >= (i128::from(**unix) - i128::from(GPS_EPOCH_UNIX) + count + 1 - i128::from(LEAPS_BEFORE_GPS)) * NANOS
        })
        .count();
    let unix = nanos + i128::from(GPS_EPOCH_UNIX) * NANOS - (leaps as i128 - i128::from(LEAPS_BEFORE_GPS)) * NANOS;
    saturating_timestamp(unix)
}

/// Returns the instant `nanos` nanoseconds after 1970, or the nearest that can be said.
pub(crate) fn saturating_timestamp(nanos: i128) -> Timestamp {
    Timestamp::from_nanosecond(nanos).unwrap_or(if nanos < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Returns the instant `seconds` after `base`, counted as UTC counts (no leap seconds), if it can be said.
pub fn since_epoch(base: Timestamp, seconds: i64) -> Option<Timestamp> {
    Timestamp::from_nanosecond(base.as_nanosecond() + i128::from(seconds) * NANOS).ok()
}

/// Returns the whole seconds from `base` to `at`, rounded down, counted as UTC counts.
pub fn seconds_since(base: Timestamp, at: Timestamp) -> i64 {
    i64::try_from((at.as_nanosecond() - base.as_nanosecond()).div_euclid(NANOS)).unwrap_or(i64::MAX)
}

/// Reads an instant: ISO 8601, `gps:N`, a span back from now (`12h`), or `now`.
///
/// A date alone is its midnight; without zone it is UTC. GPS seconds may have a decimal fraction.
///
/// # Errors
/// For anything else, bare numbers included, and for instants beyond the years -9999 to 9999.
pub fn parse_instant(text: &str, now: Timestamp) -> Result<Timestamp, TimeError> {
    let error = |message: &str| {
        TimeError {
        found: text.to_owned(),
        message: message.to_owned(),
        help: "write ISO 8601 (`2024-01-31`, `2024-01-31T06:00`, UTC without zone), `gps:899164800`, a span back from now (`12h`), or `now`".to_owned(),
    }
    };
    let trimmed = text.trim();
    if trimmed == "now" {
        return Ok(now);
    }
    if let Some(seconds) = trimmed.strip_prefix("gps:") {
        let gps = parse_gps(seconds).ok_or_else(|| error("`gps:` is followed by a number of seconds"))?;
        let at = utc_from_gps(gps);
        return if at == Timestamp::MAX || at == Timestamp::MIN {
            Err(error("the time is out of range"))
        } else {
            Ok(at)
        };
    }
    if !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(error("a bare number does not say by which clock"));
    }
    if let Ok(span) = parse_duration(trimmed) {
        return now.checked_sub(span).map_err(|_| error("the time is out of range"));
    }
    if let Ok(at) = trimmed.parse::<Timestamp>() {
        return Ok(at);
    }
    // A time without zone only: one with a zone that failed above must not be taken as UTC.
    let civil = trimmed.parse::<jiff::civil::DateTime>().map_err(|_| error("this is no time"))?;
    jiff::tz::TimeZone::UTC.to_timestamp(civil).map_err(|_| error("the time is out of range"))
}

fn parse_gps(text: &str) -> Option<GpsTime> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let seconds = whole.parse::<i64>().ok()?;
    let nanos = format!("{:0<9}", &fraction[..fraction.len().min(9)]).parse::<i128>().ok()?;
    let nanos = i128::from(seconds) * NANOS + nanos;
    duration_from_nanos(if negative { -nanos } else { nanos }).map(GpsTime)
}

/// A division of time into cells of equal length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grid {
    /// Cells of this length, one of which starts at 1970-01-01T00:00:00Z.
    Period(SignedDuration),
    /// Cells of this many GPS seconds, one of which starts at GPS time 0.
    Gps(i64),
}

impl Grid {
    /// Returns the cell that holds `at`. A length under one nanosecond (or one GPS second) is taken as that.
    pub fn cell_at(&self, at: Timestamp) -> TimeRange {
        match *self {
            Self::Period(length) => {
                let length = length.as_nanos().max(1);
                let start = at.as_nanosecond().div_euclid(length) * length;
                TimeRange::new(saturating_timestamp(start), saturating_timestamp(start.saturating_add(length)))
            }
            Self::Gps(length) => {
                let length = length.max(1);
                let start = gps_from_utc(at).seconds().div_euclid(length).saturating_mul(length);
                let end = start.saturating_add(length);
                TimeRange::new(utc_from_gps(GpsTime::from_seconds(start)), utc_from_gps(GpsTime::from_seconds(end)))
            }
        }
    }

    /// Returns the cells that share an instant with `range`, in order of time, the first `limit` of them.
    pub fn cells_overlapping(&self, range: TimeRange, limit: usize) -> Vec<TimeRange> {
        let mut cells = Vec::new();
        let mut at = range.start;
        while cells.len() < limit {
            let cell = self.cell_at(at);
            let next = cell.end;
            cells.push(cell);
            if next >= range.end || next <= at {
                break;
            }
            at = next;
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[rstest]
    #[case(0, "1980-01-06T00:00:00Z")]
    #[case(1_167_264_016, "2016-12-31T23:59:59Z")]
    #[case(1_167_264_018, "2017-01-01T00:00:00Z")]
    #[case(899_164_814, "2008-07-04T00:00:00Z")]
    #[case(925_484_675, "2009-05-04T15:04:20Z")]
    #[case(1_000_000_000, "2011-09-14T01:46:25Z")]
    #[case(-1, "1980-01-05T23:59:59Z")]
    fn gps_and_utc_agree(#[case] gps: i64, #[case] utc: &str) {
        assert_eq!(utc_from_gps(GpsTime::from_seconds(gps)), at(utc));
        assert_eq!(GpsTime::from(at(utc)), GpsTime::from_seconds(gps));
        assert!(!GpsTime::from_seconds(gps).is_leap_second());
    }

    #[test]
    fn leap_seconds_are_where_they_were() {
        let listed = [
            46_828_800,
            78_364_801,
            109_900_802,
            173_059_203,
            252_028_804,
            315_187_205,
            346_723_206,
            393_984_007,
            425_520_008,
            457_056_009,
            504_489_610,
            551_750_411,
            599_184_012,
            820_108_813,
            914_803_214,
            1_025_136_015,
            1_119_744_016,
            1_167_264_017,
        ];
        for (gps, unix) in listed.into_iter().zip(&LEAP_SECONDS[9..]) {
            let leap = GpsTime::from_seconds(gps);
            assert!(leap.is_leap_second(), "{gps}");
            assert!(
                !GpsTime::from_seconds(gps + 1).is_leap_second() && !GpsTime::from_seconds(gps - 1).is_leap_second()
            );
            assert_eq!(leap.to_utc().as_second(), *unix);
            assert_eq!(GpsTime::from_seconds(gps + 1).to_utc().as_second(), *unix);
            assert_eq!(GpsTime::from_seconds(gps - 1).to_utc().as_second(), unix - 1);
        }
        assert_eq!(at("1972-07-01T00:00:00Z").as_second(), LEAP_SECONDS[0]);
        assert_eq!(at("2017-01-01T00:00:00Z").as_second(), LEAP_SECONDS[26]);
    }

    #[test]
    fn gps_time_is_written_as_it_is_read() {
        for text in ["gps:899164814", "gps:899164814.5", "gps:0", "gps:-5"] {
            let now = Timestamp::UNIX_EPOCH;
            assert_eq!(GpsTime::from(parse_instant(text, now).unwrap()).to_string(), text);
        }
    }

    #[test]
    fn times_beyond_all_are_held_at_the_edge() {
        assert_eq!(utc_from_gps(GpsTime::from_seconds(i64::MAX)), Timestamp::MAX);
        assert_eq!(utc_from_gps(GpsTime(SignedDuration::MIN)), Timestamp::MIN);
        assert_eq!(since_epoch(Timestamp::UNIX_EPOCH, i64::MAX), None);
        assert_eq!(since_epoch(at("2000-01-01T00:00:00Z"), 86_400), Some(at("2000-01-02T00:00:00Z")));
        assert_eq!(seconds_since(at("2000-01-01T00:00:00Z"), at("1999-12-31T23:59:59.5Z")), -1);
        let _ = (gps_from_utc(Timestamp::MIN), gps_from_utc(Timestamp::MAX));
    }

    #[rstest]
    #[case("2024-01-31", "2024-01-31T00:00:00Z")]
    #[case("2024-01-31T06:00", "2024-01-31T06:00:00Z")]
    #[case("2024-01-31T06:00:00.25", "2024-01-31T06:00:00.25Z")]
    #[case("2024-01-31T06:00:00Z", "2024-01-31T06:00:00Z")]
    #[case("2024-01-31T06:00:00+02:00", "2024-01-31T04:00:00Z")]
    #[case("2024-01-31 06:00:00", "2024-01-31T06:00:00Z")]
    #[case("gps:899164814", "2008-07-04T00:00:00Z")]
    #[case("gps:899164814.25", "2008-07-04T00:00:00.25Z")]
    #[case("12h", "2024-06-01T00:00:00Z")]
    #[case("1d12h", "2024-05-31T00:00:00Z")]
    #[case("now", "2024-06-01T12:00:00Z")]
    fn instants_are_read(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(parse_instant(text, at("2024-06-01T12:00:00Z")).unwrap(), at(expected));
    }

    #[rstest]
    #[case("899164814", "which clock")]
    #[case("gps:", "followed by a number")]
    #[case("gps:1e9", "followed by a number")]
    #[case("gps:99999999999999", "out of range")]
    #[case("gps:9999999999999999999999", "followed by a number")]
    #[case("2024-13-01", "no time")]
    #[case("yesterday", "no time")]
    #[case("", "no time")]
    #[case("100000000w", "out of range")]
    fn instants_are_refused(#[case] text: &str, #[case] expected: &str) {
        let error = parse_instant(text, at("2024-06-01T12:00:00Z")).unwrap_err();
        assert!(error.message.contains(expected) && !error.help.is_empty(), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Config);
    }

    #[rstest]
    #[case(
        Grid::Period(SignedDuration::from_hours(8)),
        "2024-01-31T09:00:00Z",
        "2024-01-31T08:00:00Z",
        "2024-01-31T16:00:00Z"
    )]
    #[case(
        Grid::Period(SignedDuration::from_hours(24)),
        "2024-01-31T00:00:00Z",
        "2024-01-31T00:00:00Z",
        "2024-02-01T00:00:00Z"
    )]
    #[case(
        Grid::Period(SignedDuration::from_hours(24)),
        "1969-12-31T23:59:59Z",
        "1969-12-31T00:00:00Z",
        "1970-01-01T00:00:00Z"
    )]
    // 899164800 GPS is 14 seconds before midnight.
    #[case(Grid::Gps(3600), "2008-07-04T00:00:00Z", "2008-07-03T23:59:46Z", "2008-07-04T00:59:46Z")]
    fn cells_hold_their_instant(#[case] grid: Grid, #[case] inside: &str, #[case] start: &str, #[case] end: &str) {
        assert_eq!(grid.cell_at(at(inside)), TimeRange::new(at(start), at(end)));
    }

    #[test]
    fn cells_of_a_range_are_listed_up_to_the_limit() {
        let grid = Grid::Period(SignedDuration::from_hours(8));
        let day = TimeRange::new(at("2024-01-31T00:00:00Z"), at("2024-02-01T00:00:00Z"));
        assert_eq!(grid.cells_overlapping(day, 100).len(), 3);
        assert_eq!(grid.cells_overlapping(day, 2).len(), 2);
        assert!(grid.cells_overlapping(day, 0).is_empty());
        let moment = TimeRange::new(day.start, day.start);
        assert_eq!(grid.cells_overlapping(moment, 100), [grid.cell_at(day.start)]);
        let over = TimeRange::new(at("2024-01-31T07:59:59Z"), at("2024-01-31T08:00:01Z"));
        assert_eq!(grid.cells_overlapping(over, 100).len(), 2);
    }

    #[test]
    fn grids_without_length_or_at_the_edge_of_time_end() {
        let all = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
        for grid in [
            Grid::Period(SignedDuration::ZERO),
            Grid::Period(SignedDuration::MAX),
            Grid::Gps(0),
            Grid::Gps(i64::MAX),
            Grid::Gps(-5),
            Grid::Period(SignedDuration::MIN),
        ] {
            assert!(grid.cells_overlapping(all, 10).len() <= 10);
            let edge = TimeRange::new(Timestamp::MAX, Timestamp::MAX);
            assert_eq!(grid.cells_overlapping(edge, 10).len(), 1);
        }
    }

    proptest! {
        #[test]
        fn gps_comes_back(seconds in -2_000_000_000_i64..4_000_000_000, nanos in 0_i32..1_000_000_000) {
            let gps = GpsTime(SignedDuration::new(seconds, 0).checked_add(SignedDuration::new(0, nanos)).unwrap());
            // 1972 to 1980 have leap seconds that are not told apart either.
            if !gps.is_leap_second() && seconds > 0 {
                prop_assert_eq!(gps_from_utc(utc_from_gps(gps)), gps);
            }
            let unix = Timestamp::new(seconds, nanos.max(if seconds < 0 { 0 } else { nanos })).unwrap_or_default();
            prop_assert_eq!(utc_from_gps(gps_from_utc(unix)), unix);
        }

        #[test]
        fn cells_cut_time_without_gap(seconds in 0_i64..4_000_000_000, length in 1_i64..100_000) {
            let at = Timestamp::from_second(seconds).unwrap();
            for grid in [Grid::Gps(length), Grid::Period(SignedDuration::from_secs(length))] {
                let cell = grid.cell_at(at);
                prop_assert!(cell.contains(at));
                let next = grid.cell_at(cell.end);
                // A cell of one second may be the leap second, which has no length in UTC.
                prop_assert!(next.start == cell.end || matches!(grid, Grid::Gps(_)) && next.start >= cell.end);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9TZ:.+ gps-]{0,24}") {
            let _ = parse_instant(&text, Timestamp::UNIX_EPOCH);
        }
    }
}
