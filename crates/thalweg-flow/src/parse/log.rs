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
        level: level.and_then(|at| LogLevel::of_word(keys::LOG_LEVELS.get(at)?)).unwrap_or(usual.level),
        keep: keep.unwrap_or(usual.keep),
        max_size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_the_language_is_the_level_of_that_name() {
        for word in keys::LOG_LEVELS {
            assert_eq!(LogLevel::of_word(word).map(LogLevel::as_str), Some(word));
        }
        assert_eq!(LogLevel::of_word("loud"), None);
    }
}
