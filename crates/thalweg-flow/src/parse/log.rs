//! The log: where, how much, for how long.

use jiff::SignedDuration;

use crate::diagnostic::Problem;
use crate::keys;
use crate::model::{Log, LogLevel};
use crate::reader::{Reader, Val};

/// Reads `log`.
pub(super) fn read<'s>(reader: &mut Reader<'s>, value: &Val<'s>) -> Option<Log> {
    let entries = reader.entries(value, &keys::LOG, "log")?;
    let usual = Log::default();
    let dir = reader.get_text(&entries, "dir");
    let level = reader.get(&entries, "level", |reader, value| reader.word(value, &keys::LOG_LEVELS));
    let keep = reader.get_duration(&entries, "keep");
    let max_size = reader.get(&entries, "max_size", Reader::size);
    if let Some(dir) = dir.as_ref().filter(|dir| dir.value.trim().is_empty()) {
        reader.problem(
            Problem::error("bad-folder", dir.span.clone(), "the log has no folder")
                .label("empty")
                .help("write dir = \"logs\", or leave it out"),
        );
    }
    if keep.is_some_and(|keep| keep < SignedDuration::from_hours(24)) {
        reader.problem(
            Problem::error("out-of-range", entries.key_span("keep"), "logs are kept for whole days")
                .label("shorter than a day")
                .help("write keep = \"1d\" or more; max_size bounds their size"),
        );
    }
    Some(Log {
        dir: dir.map(|dir| dir.value),
        level: level.map_or(usual.level, |word| LogLevel::WORDS[word].0),
        keep: keep.unwrap_or(usual.keep),
        max_size,
    })
}
