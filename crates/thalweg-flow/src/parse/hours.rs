//! `hours` with their `zone`, as steps, keeps and checks have them.

use super::stations::minute;
use crate::diagnostic::Problem;
use crate::hours::Hours;
use crate::model::When;
use crate::reader::{Entries, Reader, Text};

/// Reads both keys of a table that says when something happens by itself.
pub(super) fn read_with<'s>(reader: &mut Reader<'s>, entries: &Entries<'_, 's>, when: &When) -> Option<Hours> {
    if matches!(when, When::Asked) && entries.has("hours") {
        reader.problem(
            Problem::error(
                "contradiction",
                entries.key_span("hours"),
                "`hours` mean nothing for what happens only when asked",
            )
            .label("nobody who asks is kept waiting")
            .help("remove it, or the `when` that says \"asked\""),
        );
    }
    read(reader, entries)
}

/// Reads both keys of a table.
pub(super) fn read<'s>(reader: &mut Reader<'s>, entries: &Entries<'_, 's>) -> Option<Hours> {
    let zone = reader.get(entries, "zone", Reader::zone);
    let written = reader.get_texts(entries, "hours");
    if !entries.has("hours") {
        if entries.has("zone") {
            reader.problem(
                Problem::error(
                    "contradiction",
                    entries.key_span("zone"),
                    "`zone` says in which zone `hours` are meant",
                )
                .label("there are no `hours`")
                .help("add hours = \"22:00-06:00\", or remove it; the zone of a cron line stands in `when`"),
            );
        }
        return None;
    }
    if !entries.has("zone") {
        reader.problem(
            Problem::error("missing-key", entries.key_span("hours"), "`hours` are hours of a time zone")
                .label("`zone` is missing")
                .help("add zone = \"UTC\", or another such as zone = \"Europe/Zurich\""),
        );
    }
    let written = written?;
    if written.is_empty() {
        reader.problem(
            Problem::error("bad-hours", entries.key_span("hours"), "no hours are never")
                .label("empty")
                .help("write hours = \"22:00-06:00\", or leave it out for always"),
        );
    }
    let mut ranges = Vec::new();
    for text in written {
        let Some((from, to)) = range(reader, &text) else { continue };
        // A range over midnight is two within a day.
        let parts = if from < to { vec![(from, to)] } else { vec![(from, 24 * 60), (0, to)] };
        ranges.extend(parts.into_iter().filter(|(from, to)| from < to));
    }
    ranges.sort_unstable();
    let zone = zone?;
    (!ranges.is_empty()).then_some(Hours { zone, ranges })
}

fn range(reader: &mut Reader<'_>, text: &Text) -> Option<(u16, u16)> {
    let parts = text.value.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
    let found = parts.filter(|(from, to)| from != to);
    if found.is_none() {
        let label = if parts.is_some() { "it ends where it begins" } else { "not HH:MM-HH:MM" };
        reader.problem(
            Problem::error("bad-hours", text.span.clone(), format!("`{}` is no range of hours", text.value))
                .label(label)
                .help("write \"00:00-06:00\"; a range over midnight is \"22:00-04:00\", a whole day \"00:00-24:00\""),
        );
    }
    found
}
