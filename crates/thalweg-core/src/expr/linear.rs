//! Values that move with time, and what can be done with them.
//!
//! A value is known now and moves by `slope` in each second until `bend`; spans and times move in seconds. All moments
//! are nanoseconds from now.

use std::cmp::Ordering;

use jiff::SignedDuration;

use super::parse::Comparison;
use crate::units::{duration_from_nanos, format_duration};
use crate::{Timestamp, Value};

pub(super) const NANOS: i128 = 1_000_000_000;

/// A value and how it moves.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    pub(super) value: Value,
    /// Change in one second.
    pub(super) slope: f64,
    /// When the slope changes.
    pub(super) bend: Option<i128>,
}

/// Why an operation makes no sense.
#[derive(Debug)]
pub(super) struct Nonsense {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

fn nonsense(message: impl Into<String>, help: Option<&str>) -> Nonsense {
    Nonsense { message: message.into(), help: help.map(str::to_owned) }
}

/// Returns a value as conditions show it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("'{text}'"),
        Value::Duration(span) => format_duration(*span),
        Value::List(values) => format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "true or false",
        Value::Int(_) | Value::Float(_) => "a number",
        Value::Text(_) => "a text",
        Value::Time(_) => "a time",
        Value::Duration(_) => "a span of time",
        Value::List(_) => "a list",
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "whole numbers are handled before; mixed ones are approximate")]
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

/// Returns the nanoseconds of a span, or of a time since 1970.
fn nanos(value: &Value) -> Option<i128> {
    match value {
        Value::Duration(span) => Some(span.as_nanos()),
        Value::Time(at) => Some(at.as_nanosecond()),
        _ => None,
    }
}

fn time(nanos: i128) -> Result<Value, Nonsense> {
    Timestamp::from_nanosecond(nanos).map(Value::Time).map_err(|_| nonsense("the time is out of range", None))
}

fn span(nanos: i128) -> Result<Value, Nonsense> {
    duration_from_nanos(nanos).map(Value::Duration).ok_or_else(|| nonsense("the span of time is out of range", None))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "`as` saturates, and shares of spans are approximate"
)]
fn scaled(nanos: i128, factor: f64) -> i128 {
    if factor.fract() == 0.0 && factor.abs() < 1e15 {
        nanos.saturating_mul(factor as i128)
    } else {
        (nanos as f64 * factor).round() as i128
    }
}

impl Linear {
    pub(super) fn fixed(value: Value) -> Self {
        Self { value, slope: 0.0, bend: None }
    }

    /// Returns the value after `after` nanoseconds, if it stays in range.
    pub(super) fn moved(value: &Value, slope: f64, after: i128) -> Option<Value> {
        let way = scaled(after, slope);
        match value {
            Value::Time(at) => time(at.as_nanosecond().checked_add(way)?).ok(),
            Value::Duration(length) => span(length.as_nanos().checked_add(way)?).ok(),
            other => Some(other.clone()),
        }
    }

    fn joined(value: Value, slope: f64, one: &Self, other: &Self) -> Self {
        Self { value, slope, bend: earlier(one.bend, other.bend) }
    }

    /// Returns when the difference to `other` passes zero: the first whole nanosecond at or after.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "`as` saturates; slopes of whole seconds are exact"
    )]
    fn meets(&self, other: &Self) -> Option<i128> {
        let slope = self.slope - other.slope;
        if slope == 0.0 {
            return None;
        }
        let after = if let (Some(a), Some(b)) = (nanos(&self.value), nanos(&other.value)) {
            let gap = b.checked_sub(a)?;
            let (gap, slope) = if slope < 0.0 { (-gap, -slope) } else { (gap, slope) };
            if slope.fract() == 0.0 && slope < 1e15 {
                let slope = slope as i128;
                gap.div_euclid(slope) + i128::from(gap.rem_euclid(slope) != 0)
            } else {
                (gap as f64 / slope).ceil() as i128
            }
        } else {
            ((number(&other.value)? - number(&self.value)?) / slope * NANOS as f64).ceil() as i128
        };
        (after >= 0).then_some(after)
    }

    /// Returns the moments at which a comparison with `other` can flip: where they meet, and just after.
    pub(super) fn turns(&self, other: &Self) -> impl Iterator<Item = i128> {
        let meets = self.meets(other);
        [meets, meets.map(|at| at + 1), self.bend, other.bend].into_iter().flatten()
    }

    pub(super) fn negative(&self) -> Result<Self, Nonsense> {
        let value = match &self.value {
            Value::Int(number) => {
                Value::Int(number.checked_neg().ok_or_else(|| nonsense("the number is too large", None))?)
            }
            Value::Float(number) => Value::Float(-number),
            Value::Duration(length) => span(-length.as_nanos())?,
            other => return Err(nonsense(format!("{} has no negative", kind(other)), None)),
        };
        Ok(Self { value, slope: -self.slope, bend: self.bend })
    }

    pub(super) fn absolute(&self) -> Result<Self, Nonsense> {
        let zero = match &self.value {
            Value::Int(_) | Value::Float(_) => Value::Int(0),
            Value::Duration(_) => Value::Duration(SignedDuration::ZERO),
            other => {
                return Err(nonsense(format!("`abs` takes a number or a span of time, not {}", kind(other)), None));
            }
        };
        let zero = Self::fixed(zero);
        let mut result = match order(&self.value, &zero.value) {
            Some(Ordering::Less) => self.negative()?,
            // From zero it only grows.
            Some(Ordering::Equal) => Self { slope: self.slope.abs(), ..self.clone() },
            _ => self.clone(),
        };
        result.bend = earlier(result.bend, self.meets(&zero).filter(|at| *at > 0));
        Ok(result)
    }

    /// Returns the smaller or greater one.
    pub(super) fn extreme(self, other: Self, wanted: Ordering) -> Result<Self, Nonsense> {
        let found = order(&self.value, &other.value).ok_or_else(|| unlike(&self.value, &other.value, "compare"))?;
        let bend = earlier(earlier(self.bend, other.bend), self.meets(&other).filter(|at| *at > 0));
        // Of equal ones the one that will be the wanted one decides the slope.
        let ahead =
            if found == Ordering::Equal { self.slope.partial_cmp(&other.slope).unwrap_or(found) } else { found };
        let chosen = if ahead == wanted || ahead == Ordering::Equal { self } else { other };
        Ok(Self { bend, ..chosen })
    }

    /// Computes `self operator other`.
    pub(super) fn combined(&self, operator: char, other: &Self) -> Result<Self, Nonsense> {
        let (a, b) = (&self.value, &other.value);
        if let (Value::Int(a), Value::Int(b)) = (a, b) {
            let result = match operator {
                '+' => a.checked_add(*b),
                '-' => a.checked_sub(*b),
                '*' => a.checked_mul(*b),
                '/' => a.checked_div_euclid(*b),
                _ => a.checked_rem_euclid(*b),
            };
            let failed = || nonsense(if *b == 0 { "division by zero" } else { "the number is too large" }, None);
            return result.map(|value| Self::fixed(Value::Int(value))).ok_or_else(failed);
        }
        if let (Some(a), Some(b)) = (number(a), number(b)) {
            let result = match operator {
                '+' => a + b,
                '-' => a - b,
                '*' => a * b,
                '/' => a / b,
                _ => a.rem_euclid(b),
            };
            if !result.is_finite() {
                return Err(nonsense(if b == 0.0 { "division by zero" } else { "the number is too large" }, None));
            }
            let slope = match operator {
                '+' => self.slope + other.slope,
                '-' => self.slope - other.slope,
                '*' if other.slope == 0.0 => self.slope * b,
                '*' if self.slope == 0.0 => other.slope * a,
                '/' if other.slope == 0.0 => self.slope / b,
                '%' if self.slope == 0.0 && other.slope == 0.0 => 0.0,
                _ => return Err(nonsense("both values move with time", Some("compare them with each other instead"))),
            };
            return Ok(Self::joined(Value::Float(result), slope, self, other));
        }
        let (sum, difference) = (self.slope + other.slope, self.slope - other.slope);
        let (value, slope) = match (a, operator, b) {
            (Value::Time(a), '-', Value::Time(b)) => (span(a.as_nanosecond() - b.as_nanosecond())?, difference),
            (Value::Time(a), '+', Value::Duration(b)) => (time(a.as_nanosecond() + b.as_nanos())?, sum),
            (Value::Time(a), '-', Value::Duration(b)) => (time(a.as_nanosecond() - b.as_nanos())?, difference),
            (Value::Duration(a), '+', Value::Time(b)) => (time(a.as_nanos() + b.as_nanosecond())?, sum),
            (Value::Duration(a), '+', Value::Duration(b)) => (span(a.as_nanos() + b.as_nanos())?, sum),
            (Value::Duration(a), '-', Value::Duration(b)) => (span(a.as_nanos() - b.as_nanos())?, difference),
            (Value::Duration(a), '/', Value::Duration(b)) => return self.ratio(*a, other, *b),
            (Value::Duration(a), '%', Value::Duration(b)) => return self.remainder(*a, other, *b),
            (Value::Duration(span_of), '*', factor) if number(factor).is_some() => {
                let factor = number(factor).unwrap_or(1.0);
                (span(scaled(span_of.as_nanos(), factor))?, self.slope * factor)
            }
            (factor, '*', Value::Duration(_)) if number(factor).is_some() => return other.combined('*', self),
            (Value::Duration(length), '/', divisor) if number(divisor).is_some() => {
                let divisor = number(divisor).unwrap_or(1.0);
                if divisor == 0.0 {
                    return Err(nonsense("division by zero", None));
                }
                (span(scaled(length.as_nanos(), 1.0 / divisor))?, self.slope / divisor)
            }
            _ => {
                let verb = match operator {
                    '+' => "add",
                    '-' => "subtract",
                    '*' => "multiply",
                    _ => "divide",
                };
                return Err(unlike(a, b, verb));
            }
        };
        Ok(Self::joined(value, slope, self, other))
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio is approximate")]
    fn ratio(&self, length: SignedDuration, other: &Self, unit: SignedDuration) -> Result<Self, Nonsense> {
        if unit.is_zero() {
            return Err(nonsense("division by zero", None));
        }
        if other.slope != 0.0 {
            return Err(nonsense("the divisor moves with time", Some("compare the two with each other instead")));
        }
        let unit = unit.as_nanos() as f64;
        Ok(Self::joined(Value::Float(length.as_nanos() as f64 / unit), self.slope * NANOS as f64 / unit, self, other))
    }

    fn remainder(&self, length: SignedDuration, other: &Self, unit: SignedDuration) -> Result<Self, Nonsense> {
        let (whole, unit_nanos) = (length.as_nanos(), unit.as_nanos());
        if unit_nanos <= 0 {
            return Err(nonsense("a remainder needs a divisor above zero", None));
        }
        if other.slope != 0.0 {
            return Err(nonsense("the divisor moves with time", None));
        }
        let rest = whole.rem_euclid(unit_nanos);
        let mut result = Self::joined(span(rest)?, self.slope, self, other);
        // The remainder jumps where the divisor, or zero, is passed.
        let (rest, edges) =
            (Self { value: span(rest)?, slope: self.slope, bend: None }, [Value::Duration(unit), span(-1)?]);
        for edge in edges {
            result.bend = earlier(result.bend, rest.meets(&Self::fixed(edge)).filter(|at| *at > 0));
        }
        Ok(result)
    }

    /// Tells if the comparison holds now.
    pub(super) fn compare(&self, comparison: Comparison, other: &Self) -> Result<bool, Nonsense> {
        let (a, b) = (&self.value, &other.value);
        let only_equality = matches!(comparison, Comparison::Equal | Comparison::Unequal);
        let order = match order(a, b) {
            Some(order) => order,
            None if only_equality && is_same_kind(a, b) => {
                if equal(a, b) {
                    Ordering::Equal
                } else {
                    Ordering::Less
                }
            }
            // A field that looks like a number and is text, and the other way round, are simply not equal.
            None if only_equality
                && matches!(
                    (a, b),
                    (Value::Text(_), Value::Int(_) | Value::Float(_))
                        | (Value::Int(_) | Value::Float(_), Value::Text(_))
                ) =>
            {
                Ordering::Less
            }
            None => return Err(unlike(a, b, "compare")),
        };
        Ok(match comparison {
            Comparison::Equal => order == Ordering::Equal,
            Comparison::Unequal => order != Ordering::Equal,
            Comparison::Less => order == Ordering::Less,
            Comparison::AtMost => order != Ordering::Greater,
            Comparison::Greater => order == Ordering::Greater,
            Comparison::AtLeast => order != Ordering::Less,
        })
    }
}

/// Returns the earlier moment.
pub(super) fn earlier(one: Option<i128>, other: Option<i128>) -> Option<i128> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn is_same_kind(a: &Value, b: &Value) -> bool {
    matches!(
        (a, b),
        (Value::Bool(_), Value::Bool(_))
            | (Value::List(_), Value::List(_))
            | (Value::Float(_), Value::Float(_))
            | (Value::Int(_), Value::Float(_))
            | (Value::Float(_), Value::Int(_))
    )
}

/// Tells if two values are equal as conditions see it: numbers by value, unlike kinds never.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        _ => order(a, b) == Some(Ordering::Equal),
    }
}

/// Orders values of like kinds that have an order.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (a, b) => number(a)?.partial_cmp(&number(b)?),
    }
}

fn unlike(a: &Value, b: &Value, verb: &str) -> Nonsense {
    let is_number = |value: &Value| number(value).is_some();
    let help = match (a, b) {
        (Value::Duration(_), other) | (other, Value::Duration(_)) if is_number(other) => {
            Some("a span of time has a unit: write `14d`, `2h`, `30m`")
        }
        (Value::Time(_), Value::Text(_)) | (Value::Text(_), Value::Time(_)) => {
            Some("a date is written without quotes: `2026-01-31` or `2026-01-31T06:00:00Z`")
        }
        (Value::Time(_), other) | (other, Value::Time(_)) if is_number(other) => {
            Some("a time is written as a date: `2026-01-31` or `2026-01-31T06:00:00Z`")
        }
        (Value::Time(_), Value::Duration(_)) | (Value::Duration(_), Value::Time(_)) => {
            Some("compare the time since then: `now - time > 2h`")
        }
        (Value::Text(_), other) | (other, Value::Text(_)) if is_number(other) => {
            Some("give the field a type, such as `{name:int}`, or write the number in quotes")
        }
        (Value::List(_), _) | (_, Value::List(_)) => Some("write `x in [1, 2]`"),
        _ => None,
    };
    let joint = if verb == "compare" { "with" } else { "and" };
    nonsense(format!("cannot {verb} {} ({}) {joint} {} ({})", kind(a), shown(a), kind(b), shown(b)), help)
}
