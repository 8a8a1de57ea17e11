//! What a product's definition says of one file: identity, series, coverage, and if its time can be believed.

use jiff::SignedDuration;
use thalweg_core::pattern::time_of;
use thalweg_core::{Fields, TimeRange, Timestamp, Value, fields_text};

use crate::{Product, SpanRule};

/// Returns the canonical text of the fields that make a file this one: the base fields without labels and version.
pub fn identity_of_file(product: &Product, fields: &Fields) -> String {
    fields_text(fields.iter().filter(|(name, _)| {
        product.types.contains_key(*name) && !product.labels.contains(name) && product.version.as_ref() != Some(name)
    }))
}

/// Returns the fields of the series in which this product's files follow each other, with this file's values.
pub fn series_of<'a>(product: &'a Product, fields: &'a Fields) -> Vec<(&'a str, &'a Value)> {
    product.series().iter().filter_map(|name| fields.get_key_value(name)).map(|(k, v)| (k.as_str(), v)).collect()
}

/// Returns the start that the name gives.
pub(crate) fn start_of(product: &Product, fields: &Fields) -> Option<Timestamp> {
    let name = product.time_field.as_ref()?;
    time_of(product.types.get(name)?, fields.get(name)?)
}

/// Returns the coverage that name and `span` give; `next_start` is the start of the next file of the series.
///
/// Without a `span` a file covers the one instant of its start.
pub fn coverage_of(product: &Product, fields: &Fields, next_start: Option<Timestamp>) -> Option<TimeRange> {
    let start = start_of(product, fields)?;
    let length = match &product.span {
        None => None,
        Some(SpanRule::Fixed(length)) => Some(*length),
        Some(SpanRule::Field { name, unit }) => match fields.get(name) {
            Some(Value::Int(count)) => i32::try_from(*count).ok().and_then(|count| unit.checked_mul(count)),
            _ => None,
        },
    };
    let mut end = length.and_then(|length| start.checked_add(length).ok());
    if product.until_next
        && let Some(next) = next_start
    {
        end = Some(end.map_or(next, |end| end.min(next)));
    }
    Some(TimeRange::new(start, end.unwrap_or(start)))
}

/// Returns why a file's start cannot be believed: before 1980, or too far in the future.
pub fn suspect(product: &Product, start: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let start = start?;
    if start.as_second() < 315_532_800 {
        return Some(format!("its start {start} lies before 1980: a clock was wrong"));
    }
    let limit = now.checked_add(product.ahead).unwrap_or(Timestamp::MAX);
    (start > limit).then(|| {
        format!("its start {start} lies more than {} in the future: a clock was wrong", in_words(product.ahead))
    })
}

/// Returns a span of time in words, without the part that nobody reads.
pub(crate) fn in_words(span: SignedDuration) -> String {
    let whole = match span.as_secs().unsigned_abs() {
        0 => SignedDuration::from_millis(i64::try_from(span.as_millis()).unwrap_or_default()),
        _ => SignedDuration::from_secs(span.as_secs()),
    };
    thalweg_core::units::format_duration(whole)
}
