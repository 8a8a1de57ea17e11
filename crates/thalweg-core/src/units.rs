//! Quantities as people write them: spans of time, sizes, rates, shares.
//!
//! A number is never of unstated unit: a bare number is refused, with help. Nothing here knows instants
//! (see [`crate::time`]).

use jiff::SignedDuration;

use crate::ErrorClass;

/// A quantity that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {found:?}: {message}")]
pub struct UnitError {
    /// What stood there.
    pub found: String,
    /// What is wrong with it.
    pub message: String,
    /// How to write it.
    pub help: String,
}

impl UnitError {
    fn new(found: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { found: found.to_owned(), message: message.into(), help: help.into() }
    }

    /// Returns what can be done about it: edit the text.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Config
    }
}

const DURATION_HELP: &str = "write a number and a unit: `90s`, `30m`, `2h`, `14d`, `1w`, `250ms`, or several: `1h30m`";
const SIZE_HELP: &str = "write a number and a unit: `100 B`, `8 MiB`, `10GB` (kB = 1000 B, KiB = 1024 B)";
const RATE_HELP: &str = "write a size per second: `800 KiB/s`, `50kB/s`, `8 Mbit/s`, or `unlimited`";

/// A number as written: `digits / 10^decimals`.
#[derive(Clone, Copy)]
struct Decimal {
    digits: i128,
    decimals: u32,
}

impl Decimal {
    /// Returns the number times `unit`, rounded down.
    fn times(self, unit: i128) -> Option<i128> {
        Some(self.digits.checked_mul(unit)? / 10_i128.checked_pow(self.decimals)?)
    }
}

/// Cuts a number off the front of `text`.
fn take_number(text: &str) -> Option<(Decimal, &str)> {
    let bytes = text.as_bytes();
    let whole = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = whole;
    if bytes.get(whole) == Some(&b'.') {
        end = whole + 1 + bytes[whole + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if end == whole + 1 {
            return None;
        }
    }
    if whole == 0 || end > 24 {
        return None;
    }
    let digits = text[..end].replace('.', "").parse().ok()?;
    let decimals = u32::try_from(end.saturating_sub(whole + 1)).ok()?;
    Some((Decimal { digits, decimals }, &text[end..]))
}

fn take_word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_alphabetic()).unwrap_or(text.len());
    text.split_at(end)
}

fn nanos_of_unit(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" | "sec" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        "w" | "week" | "weeks" => 604_800_000_000_000,
        _ => return None,
    })
}

/// Reads a span of time: `90s`, `2h`, `30m`, `14d`, `1h30m`, `250ms`, `1w`.
///
/// A day is 24 hours. Blanks between the parts are allowed.
///
/// # Errors
/// For a bare number, a negative span, an unknown unit, or a span beyond what 64 bits of seconds hold.
pub fn parse_duration(text: &str) -> Result<SignedDuration, UnitError> {
    let trimmed = text.trim();
    let error = |message: &str| UnitError::new(text, message, DURATION_HELP);
    if trimmed.is_empty() {
        return Err(error("a span of time is expected"));
    }
    if trimmed.starts_with('-') {
        return Err(error("a span of time cannot be negative"));
    }
    let mut rest = trimmed;
    let mut nanos = 0_i128;
    while !rest.is_empty() {
        let (number, tail) = take_number(rest).ok_or_else(|| error("a span of time is expected"))?;
        let (unit, tail) = take_word(tail.trim_start());
        if unit.is_empty() {
            let first = trimmed.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            return Err(if first {
                UnitError::new(
                    text,
                    "a bare number has no unit",
                    format!("write `{trimmed}s` for seconds, `{trimmed}m` for minutes, `{trimmed}h` for hours"),
                )
            } else {
                error("the last number has no unit")
            });
        }
        let scale = nanos_of_unit(unit).ok_or_else(|| error(&format!("`{unit}` is no unit of time")))?;
        nanos = number
            .times(scale)
            .and_then(|part| nanos.checked_add(part))
            .ok_or_else(|| error("the span is too long"))?;
        rest = tail.trim_start();
    }
    duration_from_nanos(nanos).ok_or_else(|| error("the span is too long"))
}

/// Returns a span of `nanos` nanoseconds, if it fits.
pub(crate) fn duration_from_nanos(nanos: i128) -> Option<SignedDuration> {
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let below = i32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?;
    SignedDuration::from_secs(seconds).checked_add(SignedDuration::new(0, below))
}

fn bytes_of_unit(unit: &str) -> Option<i128> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "b" | "byte" | "bytes" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "pb" => 1_000_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "pib" => 1 << 50,
        _ => return None,
    })
}

/// Reads a size in bytes: `10GB`, `8 MiB`, `100 B`; kB = 1000 B, KiB = 1024 B.
///
/// # Errors
/// For a bare number, a negative size, an unknown unit, or more than 64 bits hold.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let error = |message: &str| UnitError::new(text, message, SIZE_HELP);
    let trimmed = text.trim();
    if trimmed.starts_with('-') {
        return Err(error("a size cannot be negative"));
    }
    let (number, rest) = take_number(trimmed).ok_or_else(|| error("a size is expected"))?;
    let unit = rest.trim_start();
    if unit.is_empty() {
        return Err(UnitError::new(
            text,
            "a bare number has no unit",
            format!("write `{trimmed} B` for bytes, `{trimmed} MB`, `{trimmed} GiB` …"),
        ));
    }
    let scale = bytes_of_unit(unit).ok_or_else(|| error(&format!("`{unit}` is no unit of size")))?;
    number.times(scale).and_then(|bytes| u64::try_from(bytes).ok()).ok_or_else(|| error("the size is too large"))
}

/// Reads a share: `20%`, `2.5 %`; from 0 to 100.
///
/// # Errors
/// When the sign is missing or the number is not between 0 and 100.
pub fn parse_percent(text: &str) -> Result<f64, UnitError> {
    let error = |message: &str| UnitError::new(text, message, "write a number from 0 to 100 and the sign: `20%`");
    let (_, rest) = take_number(text.trim()).ok_or_else(|| error("a share is expected"))?;
    if rest.trim() != "%" {
        return Err(error("a share is written with `%`"));
    }
    let number = text.trim().trim_end_matches('%').trim_end();
    let share = number.parse::<f64>().map_err(|_| error("a share is expected"))?;
    if share > 100.0 { Err(error("a share is at most 100%")) } else { Ok(share) }
}

/// An amount of space, absolute or as a share of the whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// So many bytes.
    Bytes(u64),
    /// So many percent, 0 to 100.
    Percent(f64),
}

impl Threshold {
    /// Reads `20%` or `10GB`.
    ///
    /// # Errors
    /// As [`parse_percent`] and [`parse_size`].
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        if text.trim_end().ends_with('%') {
            parse_percent(text).map(Self::Percent)
        } else {
            parse_size(text).map(Self::Bytes)
        }
    }

    /// Returns the threshold in bytes of a place that holds `total` bytes.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a size needs no last byte, and `as` saturates"
    )]
    pub fn bytes_of(&self, total: u64) -> u64 {
        match *self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(share) => (total as f64 * (share / 100.0)) as u64,
        }
    }
}

impl std::fmt::Display for Threshold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => f.write_str(&format_size(*bytes)),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

/// How fast bytes may flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// As fast as it goes.
    Unlimited,
    /// So many bytes in a second, at least 1.
    BytesPerSecond(u64),
}

impl Rate {
    /// Returns the bytes per second, if there is a limit.
    pub fn bytes_per_second(&self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::BytesPerSecond(bytes) => Some(*bytes),
        }
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::BytesPerSecond(bytes) => write!(f, "{}/s", format_size(*bytes)),
        }
    }
}

/// Reads a rate: `800 KiB/s`, `50kB/s`, `8 Mbit/s`, `unlimited`.
///
/// # Errors
/// When the time is missing, the unit is unknown, or the rate is less than one byte in a second.
pub fn parse_rate(text: &str) -> Result<Rate, UnitError> {
    let error = |message: &str| UnitError::new(text, message, RATE_HELP);
    let trimmed = text.trim();
    if trimmed == "unlimited" {
        return Ok(Rate::Unlimited);
    }
    let (amount, per) = trimmed.split_once('/').ok_or_else(|| error("a rate says per what time"))?;
    let per = match per.trim() {
        "s" | "sec" | "second" => 1,
        "min" | "m" | "minute" => 60,
        "h" | "hour" => 3600,
        other => return Err(error(&format!("`{other}` is no time of a rate"))),
    };
    let (number, unit) = take_number(amount.trim()).ok_or_else(|| error("a rate starts with a number"))?;
    let (scale, divisor) = match unit.trim() {
        "bit" => (1, 8),
        "kbit" => (1_000, 8),
        "Mbit" => (1_000_000, 8),
        "Gbit" => (1_000_000_000, 8),
        "" => return Err(error("a bare number has no unit")),
        other => (bytes_of_unit(other).ok_or_else(|| error(&format!("`{other}` is no unit of size")))?, 1),
    };
    let bytes = number.times(scale).ok_or_else(|| error("the rate is too large"))? / divisor / per;
    match u64::try_from(bytes) {
        Ok(0) => Err(error("the rate is less than one byte per second")),
        Ok(bytes) => Ok(Rate::BytesPerSecond(bytes)),
        Err(_) => Err(error("the rate is too large")),
    }
}

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountRate {
    /// So many times, at least 1.
    pub count: u64,
    /// In this time.
    pub per: SignedDuration,
}

impl std::fmt::Display for CountRate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.count, format_duration(self.per))
    }
}

/// Reads a count per time: `40/min`, `2/s`, `100/h`, `5/10m`.
///
/// # Errors
/// When one of the halves is missing, not readable, or zero.
pub fn parse_count_rate(text: &str) -> Result<CountRate, UnitError> {
    let error = |message: &str| UnitError::new(text, message, "write a count and a time: `40/min`, `2/s`, `100/h`");
    let (count, per) = text.split_once('/').ok_or_else(|| error("a count per time is expected"))?;
    let count = count.trim().parse::<u64>().map_err(|_| error("the count is no whole number"))?;
    let per = per.trim();
    let per = if per.starts_with(|c: char| c.is_ascii_digit()) {
        parse_duration(per)?
    } else {
        parse_duration(&format!("1{per}"))?
    };
    if count == 0 || per.is_zero() { Err(error("neither half may be zero")) } else { Ok(CountRate { count, per }) }
}

/// Reads a range of spans, `30s..10m`; a single span stands for both ends.
///
/// # Errors
/// As [`parse_duration`], and when the second is shorter than the first.
pub fn parse_duration_range(text: &str) -> Result<(SignedDuration, SignedDuration), UnitError> {
    let Some((low, high)) = text.split_once("..") else {
        return parse_duration(text).map(|span| (span, span));
    };
    let (low, high) = (parse_duration(low)?, parse_duration(high)?);
    if low > high {
        return Err(UnitError::new(
            text,
            "the range ends before it starts",
            "write the shorter span first: `30s..10m`",
        ));
    }
    Ok((low, high))
}

/// Writes a span for people with its two largest units: `14d`, `1h30m`, `250ms`, `0s`.
pub fn format_duration(span: SignedDuration) -> String {
    let sign = if span.is_negative() { "-" } else { "" };
    let nanos = span.as_nanos().unsigned_abs();
    if nanos == 0 {
        return "0s".to_owned();
    }
    const UNITS: [(&str, u128); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let first = UNITS.iter().position(|(_, size)| nanos >= *size).unwrap_or(UNITS.len() - 1);
    let (unit, size) = UNITS[first];
    let mut text = format!("{sign}{}{unit}", nanos / size);
    if let Some((unit, below)) = UNITS.get(first + 1)
        && nanos % size / below > 0
    {
        text.push_str(&format!("{}{unit}", nanos % size / below));
    }
    text
}

/// Writes a size for people, with three digits at most: `512 B`, `1.5 MB`, `120 GB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn format_size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1000.0;
    let mut units = ["kB", "MB", "GB", "TB", "PB", "EB"].iter();
    let mut unit = units.next().unwrap_or(&"kB");
    // What would be shown as 1000 is shown as 1 of the next unit.
    while size >= 999.5
        && let Some(next) = units.next()
    {
        size /= 1000.0;
        unit = next;
    }
    let number = if size < 99.95 { format!("{size:.1}") } else { format!("{size:.0}") };
    format!("{} {unit}", number.trim_end_matches(".0"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("90s", 90_000)]
    #[case("2h", 7_200_000)]
    #[case("30m", 1_800_000)]
    #[case("14d", 1_209_600_000)]
    #[case("1h30m", 5_400_000)]
    #[case("1h 30 min", 5_400_000)]
    #[case("250ms", 250)]
    #[case("1w", 604_800_000)]
    #[case("1.5h", 5_400_000)]
    #[case(" 0s ", 0)]
    #[case("2 days", 172_800_000)]
    fn spans_are_read(#[case] text: &str, #[case] millis: i64) {
        assert_eq!(parse_duration(text).unwrap(), SignedDuration::from_millis(millis));
    }

    #[rstest]
    #[case("90", "bare number")]
    #[case("1h30", "no unit")]
    #[case("-2h", "negative")]
    #[case("2y", "no unit of time")]
    #[case("", "expected")]
    #[case("h", "expected")]
    #[case("1.h", "expected")]
    #[case("99999999999999999999w", "too long")]
    #[case("999999999999999999999999999999w", "expected")]
    #[case("9999999999999999w", "too long")]
    fn spans_are_refused(#[case] text: &str, #[case] expected: &str) {
        let error = parse_duration(text).unwrap_err();
        assert!(error.message.contains(expected) && !error.help.is_empty(), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Config);
    }

    #[rstest]
    #[case("10GB", Some(10_000_000_000))]
    #[case("8 MiB", Some(8 << 20))]
    #[case("100 B", Some(100))]
    #[case("1kB", Some(1000))]
    #[case("1 KiB", Some(1024))]
    #[case("1.5 kB", Some(1500))]
    #[case("10", None)]
    #[case("-1 GB", None)]
    #[case("1 GX", None)]
    #[case("99999999 PB", None)]
    fn sizes_are_read(#[case] text: &str, #[case] expected: Option<u64>) {
        assert_eq!(parse_size(text).ok(), expected);
    }

    #[rstest]
    #[case("20%", Some(Threshold::Percent(20.0)))]
    #[case("2.5 %", Some(Threshold::Percent(2.5)))]
    #[case("10GB", Some(Threshold::Bytes(10_000_000_000)))]
    #[case("101%", None)]
    #[case("%", None)]
    #[case("20", None)]
    fn thresholds_are_read(#[case] text: &str, #[case] expected: Option<Threshold>) {
        assert_eq!(Threshold::parse(text).ok(), expected);
    }

    #[test]
    fn a_share_is_of_the_whole() {
        assert_eq!(Threshold::Percent(20.0).bytes_of(1000), 200);
        assert_eq!(Threshold::Bytes(7).bytes_of(1000), 7);
    }

    #[rstest]
    #[case("800 KiB/s", Some(Rate::BytesPerSecond(819_200)))]
    #[case("50kB/s", Some(Rate::BytesPerSecond(50_000)))]
    #[case("8 Mbit/s", Some(Rate::BytesPerSecond(1_000_000)))]
    #[case("6 MB/min", Some(Rate::BytesPerSecond(100_000)))]
    #[case("unlimited", Some(Rate::Unlimited))]
    #[case("0 B/s", None)]
    #[case("800 KiB", None)]
    #[case("800/s", None)]
    #[case("fast", None)]
    #[case("1 B/year", None)]
    fn rates_are_read(#[case] text: &str, #[case] expected: Option<Rate>) {
        assert_eq!(parse_rate(text).ok(), expected);
    }

    #[rstest]
    #[case("40/min", Some((40, 60)))]
    #[case("2/s", Some((2, 1)))]
    #[case("5/10m", Some((5, 600)))]
    #[case("0/min", None)]
    #[case("40", None)]
    #[case("40/0s", None)]
    #[case("x/min", None)]
    fn counts_per_time_are_read(#[case] text: &str, #[case] expected: Option<(u64, i64)>) {
        let expected = expected.map(|(count, seconds)| CountRate { count, per: SignedDuration::from_secs(seconds) });
        assert_eq!(parse_count_rate(text).ok(), expected);
    }

    #[rstest]
    #[case("30s..10m", Some((30, 600)))]
    #[case("5m", Some((300, 300)))]
    #[case("10m..30s", None)]
    #[case("30..60", None)]
    fn ranges_of_spans_are_read(#[case] text: &str, #[case] expected: Option<(i64, i64)>) {
        let expected = expected.map(|(low, high)| (SignedDuration::from_secs(low), SignedDuration::from_secs(high)));
        assert_eq!(parse_duration_range(text).ok(), expected);
    }

    #[rstest]
    #[case(0, "0s")]
    #[case(250, "250ms")]
    #[case(5_400_000, "1h30m")]
    #[case(1_209_600_000, "14d")]
    #[case(90_061_000, "1d1h")]
    #[case(-7_200_000, "-2h")]
    #[case(61_500, "1m1s")]
    fn spans_are_written_short(#[case] millis: i64, #[case] expected: &str) {
        assert_eq!(format_duration(SignedDuration::from_millis(millis)), expected);
    }

    #[rstest]
    #[case(0, "0 B")]
    #[case(999, "999 B")]
    #[case(1000, "1 kB")]
    #[case(1500, "1.5 kB")]
    #[case(99_949, "99.9 kB")]
    #[case(99_950, "100 kB")]
    #[case(999_499, "999 kB")]
    #[case(999_500, "1 MB")]
    #[case(120_000_000_000, "120 GB")]
    #[case(u64::MAX, "18.4 EB")]
    fn sizes_are_written_short(#[case] bytes: u64, #[case] expected: &str) {
        assert_eq!(format_size(bytes), expected);
    }

    #[test]
    fn rates_and_thresholds_are_written_as_they_are_read() {
        assert_eq!(Rate::Unlimited.to_string(), "unlimited");
        assert_eq!(parse_rate("50kB/s").unwrap().to_string(), "50 kB/s");
        assert_eq!(parse_rate("unlimited").unwrap().bytes_per_second(), None);
        assert_eq!(Threshold::Percent(20.0).to_string(), "20%");
        assert_eq!(parse_count_rate("40/min").unwrap().to_string(), "40/1m");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-zA-Z .%/µ-]{0,16}") {
            let _ = (parse_duration(&text), parse_size(&text), Threshold::parse(&text), parse_rate(&text), parse_count_rate(&text), parse_duration_range(&text));
        }

        #[test]
        fn any_span_and_size_is_written(seconds: i64, nanos in 0..1_000_000_000_i32, bytes: u64) {
            let span = SignedDuration::from_secs(seconds / 2).saturating_add(SignedDuration::new(0, nanos));
            prop_assert!(!format_duration(span).is_empty() && format_size(bytes).len() <= 8);
            // What is written short is rounded down, never up.
            if !span.is_negative() {
                prop_assert!(parse_duration(&format_duration(span)).unwrap() <= span);
            }
        }
    }
}
