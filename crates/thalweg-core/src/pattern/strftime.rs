//! The strftime parts of patterns: fixed-width, UTC, readable and writable.

use jiff::civil;
use jiff::tz::TimeZone;

use crate::Timestamp;

/// A strftime text, cut into items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimeFormat {
    text: String,
    items: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Literal(char),
    Part(Part),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    YearOfCentury,
    Month,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
    /// Decimal digits of the second.
    Fraction(u8),
    /// Seconds since 1970, as many digits as there are.
    Unix,
}

impl Part {
    /// Returns the number of digits; none for as many as there are.
    fn width(self) -> Option<usize> {
        match self {
            Self::Year => Some(4),
            Self::DayOfYear => Some(3),
            Self::YearOfCentury | Self::Month | Self::Day | Self::Hour | Self::Minute | Self::Second => Some(2),
            Self::Fraction(digits) => Some(usize::from(digits)),
            Self::Unix => None,
        }
    }
}

/// What the texts of one field say about its instant.
#[derive(Debug, Default)]
pub(super) struct TimeParts {
    year: Option<i64>,
    year_of_century: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    minute: Option<i64>,
    second: Option<i64>,
    nanos: Option<(u8, i64)>,
    unix: Option<i64>,
}

/// A mistake in a strftime text, at a byte of it.
#[derive(Debug)]
pub(super) struct TimeFormatError {
    pub(super) at: usize,
    pub(super) message: String,
}

const KNOWN: &str =
    "known are %Y %y %m %d %j %H %M %S %f (microseconds; %3f, %6f, %9f) %s (seconds since 1970) %F %T %R %%";

impl TimeFormat {
    pub(super) fn parse(text: &str) -> Result<Self, TimeFormatError> {
        let mut items = Vec::new();
        let mut rest = text.char_indices();
        while let Some((at, c)) = rest.next() {
            if c != '%' {
                items.push(Item::Literal(c));
                continue;
            }
            let unknown = |directive: &str| TimeFormatError {
                at,
                message: format!("`%{directive}` is no part of a time; {KNOWN}"),
            };
            let (_, directive) = rest.next().ok_or_else(|| unknown(""))?;
            let parts: &[Part] = match directive {
                'Y' => &[Part::Year],
                'y' => &[Part::YearOfCentury],
                'm' => &[Part::Month],
                'd' => &[Part::Day],
                'j' => &[Part::DayOfYear],
                'H' => &[Part::Hour],
                'M' => &[Part::Minute],
                'S' => &[Part::Second],
                'f' => &[Part::Fraction(6)],
                's' => &[Part::Unix],
                '%' => {
                    items.push(Item::Literal('%'));
                    continue;
                }
                'F' | 'T' | 'R' => {
                    let long = match directive {
                        'F' => "%Y-%m-%d",
                        'T' => "%H:%M:%S",
                        _ => "%H:%M",
                    };
                    items.extend(Self::parse(long)?.items);
                    continue;
                }
                digit @ '1'..='9' => match rest.next() {
                    Some((_, 'f')) => {
                        items.push(Item::Part(Part::Fraction(u8::try_from(digit).unwrap_or(b'6') - b'0')));
                        continue;
                    }
                    other => {
                        return Err(unknown(&format!("{digit}{}", other.map(|o| o.1.to_string()).unwrap_or_default())));
                    }
                },
                other => return Err(unknown(&other.to_string())),
            };
            items.extend(parts.iter().map(|part| Item::Part(*part)));
        }
        let format = Self { text: text.to_owned(), items };
        if format.parts().next().is_none() {
            return Err(TimeFormatError { at: 0, message: format!("there is no part of a time in it; {KNOWN}") });
        }
        if format.parts().filter(|part| *part == Part::Unix).count() > 1 {
            return Err(TimeFormatError { at: 0, message: "`%s` may stand once only".to_owned() });
        }
        Ok(format)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    fn parts(&self) -> impl Iterator<Item = Part> {
        self.items.iter().filter_map(|item| match item {
            Item::Part(part) => Some(*part),
            Item::Literal(_) => None,
        })
    }

    /// Returns the number of different parts: how precise the format is.
    pub(super) fn precision(&self) -> usize {
        let parts: Vec<Part> = self.parts().collect();
        (0..parts.len()).filter(|n| !parts[..*n].contains(&parts[*n])).count()
    }

    /// Tells if a year can be read from it.
    pub(super) fn has_year(&self) -> bool {
        self.parts().any(|part| matches!(part, Part::Year | Part::YearOfCentury | Part::Unix))
    }

    /// Cuts the format at each `/`; a piece is a format, or literal text when it holds no part of a time.
    pub(super) fn cut_at_slashes(&self) -> Vec<Result<Self, String>> {
        self.items
            .split(|item| *item == Item::Literal('/'))
            .map(|items| {
                let piece = Self { text: items.iter().map(Item::text).collect(), items: items.to_vec() };
                if piece.parts().next().is_some() {
                    Ok(piece)
                } else {
                    Err(items
                        .iter()
                        .filter_map(|item| if let Item::Literal(c) = item { Some(*c) } else { None })
                        .collect())
                }
            })
            .collect()
    }

    /// Returns a regular expression of the texts that this format writes (among others, such as month 13).
    pub(super) fn regex(&self) -> String {
        self.items
            .iter()
            .map(|item| match item {
                Item::Literal(c) => regex::escape(&super::escaped_literal(*c)),
                Item::Part(part) => {
                    part.width().map_or_else(|| "[0-9]+?".to_owned(), |width| format!("[0-9]{{{width}}}"))
                }
            })
            .collect()
    }

    /// Adds what `text`, which matches [`TimeFormat::regex`], says to `parts`; what is known already is left.
    pub(super) fn read(&self, text: &str, parts: &mut TimeParts) -> Result<(), String> {
        let fixed: usize = self
            .items
            .iter()
            .map(|item| match item {
                Item::Literal(c) => super::escaped_literal(*c).len(),
                Item::Part(part) => part.width().unwrap_or(0),
            })
            .sum();
        let mut at = 0;
        for item in &self.items {
            let part = match item {
                Item::Literal(c) => {
                    at += super::escaped_literal(*c).len();
                    continue;
                }
                Item::Part(part) => *part,
            };
            let width = part.width().unwrap_or(text.len().saturating_sub(fixed));
            let digits = text.get(at..at + width).ok_or("the time is cut short")?;
            at += width;
            let number = digits.parse::<i64>().map_err(|_| format!("`{digits}` is no number of a time"))?;
            let place = match part {
                Part::Year => &mut parts.year,
                Part::YearOfCentury => &mut parts.year_of_century,
                Part::Month => &mut parts.month,
                Part::Day => &mut parts.day,
                Part::DayOfYear => &mut parts.day_of_year,
                Part::Hour => &mut parts.hour,
                Part::Minute => &mut parts.minute,
                Part::Second => &mut parts.second,
                Part::Unix => &mut parts.unix,
                Part::Fraction(digits) => {
                    // The most precise one wins; the others are checked by writing them again.
                    if parts.nanos.is_none_or(|(known, _)| known < digits) {
                        parts.nanos = Some((digits, number * 10_i64.pow(u32::from(9 - digits.min(9)))));
                    }
                    continue;
                }
            };
            place.get_or_insert(number);
        }
        Ok(())
    }

    /// Writes `at`.
    pub(super) fn write(&self, at: Timestamp, text: &mut String) -> Result<(), String> {
        use std::fmt::Write as _;
        let civil = TimeZone::UTC.to_datetime(at);
        for item in &self.items {
            let part = match item {
                Item::Literal(c) => {
                    text.push_str(&super::escaped_literal(*c));
                    continue;
                }
                Item::Part(part) => *part,
            };
            if part == Part::Year && civil.year() < 0 {
                return Err("a year from 0 to 9999".to_owned());
            }
            if part == Part::YearOfCentury && !(1969..=2068).contains(&civil.year()) {
                return Err("a year from 1969 to 2068, which two digits can say,".to_owned());
            }
            let number = match part {
                Part::Year => i64::from(civil.year()),
                Part::YearOfCentury => i64::from(civil.year() % 100),
                Part::Month => i64::from(civil.month()),
                Part::Day => i64::from(civil.day()),
                Part::DayOfYear => i64::from(civil.day_of_year()),
                Part::Hour => i64::from(civil.hour()),
                Part::Minute => i64::from(civil.minute()),
                Part::Second => i64::from(civil.second()),
                Part::Fraction(digits) => {
                    i64::from(civil.subsec_nanosecond()) / 10_i64.pow(u32::from(9 - digits.min(9)))
                }
                Part::Unix => at.as_nanosecond().div_euclid(1_000_000_000).try_into().unwrap_or(i64::MIN),
            };
            if number < 0 {
                return Err("a time after 1970".to_owned());
            }
            // Writing into a String cannot fail.
            let _ = write!(text, "{number:0width$}", width = part.width().unwrap_or(1));
        }
        Ok(())
    }
}

impl Item {
    fn text(&self) -> String {
        match self {
            Self::Literal('%') => "%%".to_owned(),
            Self::Literal(c) => c.to_string(),
            Self::Part(Part::Fraction(6)) => "%f".to_owned(),
            Self::Part(Part::Fraction(digits)) => format!("%{digits}f"),
            Self::Part(part) => format!(
                "%{}",
                match part {
                    Part::Year => 'Y',
                    Part::YearOfCentury => 'y',
                    Part::Month => 'm',
                    Part::Day => 'd',
                    Part::DayOfYear => 'j',
                    Part::Hour => 'H',
                    Part::Minute => 'M',
                    Part::Second => 'S',
                    Part::Unix => 's',
                    Part::Fraction(_) => 'f',
                }
            ),
        }
    }
}

impl TimeParts {
    /// Returns the instant; what is not known is the first month, day, second.
    pub(super) fn combine(&self) -> Result<Timestamp, String> {
        let nanos = self.nanos.map_or(0, |(_, nanos)| nanos);
        if let Some(unix) = self.unix {
            return Timestamp::from_nanosecond(i128::from(unix) * 1_000_000_000 + i128::from(nanos))
                .map_err(|_| format!("{unix} s since 1970 is out of range"));
        }
        let year = match (self.year, self.year_of_century) {
            (Some(year), _) => year,
            (None, Some(year)) if year >= 69 => 1900 + year,
            (None, Some(year)) => 2000 + year,
            (None, None) => return Err("the year is not known".to_owned()),
        };
        let small = |number: i64| i8::try_from(number).unwrap_or(i8::MAX);
        let year_number = i16::try_from(year).map_err(|_| format!("there is no year {year}"))?;
        let date = match (self.day_of_year, self.month) {
            (Some(day), None) => i16::try_from(day)
                .ok()
                .and_then(|day| civil::Date::new(year_number, 1, 1).ok()?.with().day_of_year(day).build().ok())
                .ok_or_else(|| format!("there is no day {day} in {year}"))?,
            (_, month) => {
                let (month, day) = (month.unwrap_or(1), self.day.unwrap_or(1));
                civil::Date::new(year_number, small(month), small(day))
                    .map_err(|_| format!("there is no date {year:04}-{month:02}-{day:02}"))?
            }
        };
        let (hour, minute, second) = (self.hour.unwrap_or(0), self.minute.unwrap_or(0), self.second.unwrap_or(0));
        let time = civil::Time::new(small(hour), small(minute), small(second), i32::try_from(nanos).unwrap_or(0))
            .map_err(|_| format!("there is no time of day {hour:02}:{minute:02}:{second:02}"))?;
        TimeZone::UTC.to_timestamp(date.to_datetime(time)).map_err(|_| "the time is out of range".to_owned())
    }
}
