//! Old logs go: by the day that their folder names, never by a file's own time, and never those of a run under way.
//!
//! In the folder of logs lie `DAY/RUN-STEP.log` with `.report` and `.d/` beside it, and `engine-DAY.log`. Nothing else in it
//! is looked at.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use thalweg_core::Timestamp;
use thalweg_ledger::Reader;

/// Under this name the ledger keeps where the logs are.
pub(crate) const LOG_FOLDER: &str = "log_folder";
/// Under this name the ledger keeps up to which run logs were removed.
pub(crate) const PRUNED_TO: &str = "logs_pruned_to";
/// How the name of an engine's log begins; the day follows.
pub const ENGINE_LOG_START: &str = "engine-";
/// How the name of an engine's log ends.
pub const ENGINE_LOG_END: &str = ".log";

/// Returns where the last engine said that its logs are.
///
/// # Errors
///
/// Those of the ledger.
pub fn log_folder_in_use(reader: &Reader) -> Result<Option<PathBuf>, thalweg_ledger::Error> {
    Ok(reader.meta(LOG_FOLDER)?.map(PathBuf::from))
}

/// Returns the greatest number of a run whose log was removed as an old one; 0 if none was.
///
/// # Errors
///
/// Those of the ledger.
pub fn logs_pruned_to(reader: &Reader) -> Result<i64, thalweg_ledger::Error> {
    Ok(reader.meta(PRUNED_TO)?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// What stays.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// Days older than this go.
    pub(crate) keep: SignedDuration,
    /// Above so many bytes the oldest go.
    pub(crate) max_size: Option<u64>,
    /// Runs under way.
    pub(crate) running: BTreeSet<i64>,
    /// The present moment.
    pub(crate) now: Timestamp,
}

/// What went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pruned {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// The greatest number of a run whose log went.
    pub(crate) up_to: i64,
    /// The first thing that could not be removed.
    pub(crate) trouble: Option<String>,
}

/// A file or folder that belongs to a log.
struct Part {
    day: String,
    /// None for a log of the engine.
    run: Option<i64>,
    path: PathBuf,
    bytes: u64,
    is_folder: bool,
}

fn is_day(name: &str) -> bool {
    name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_digit())
}

fn name_of(entry: &DirEntry) -> Option<String> {
    entry.file_name().into_string().ok()
}

fn part(day: &str, run: Option<i64>, entry: &DirEntry) -> Option<Part> {
    // The kind of the entry itself: a link is removed, not what it leads to.
    let kind = entry.file_type().ok()?;
    let bytes = if kind.is_dir() { bytes_below(&entry.path(), 0) } else { entry.metadata().ok()?.len() };
    Some(Part { day: day.to_owned(), run, path: entry.path(), bytes, is_folder: kind.is_dir() })
}

fn bytes_below(folder: &Path, depth: usize) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() && depth < 32 => bytes_below(&entry.path(), depth + 1),
        _ => entry.metadata().map_or(0, |meta| meta.len()),
    };
    entries.map(of).sum()
}

fn parts(folder: &Path) -> Vec<Part> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Some(name) = name_of(&entry) else { continue };
        let day = name.strip_prefix(ENGINE_LOG_START).and_then(|rest| rest.strip_suffix(ENGINE_LOG_END));
        if let Some(day) = day.filter(|day| is_day(day)) {
            found.extend(part(day, None, &entry));
        } else if is_day(&name) && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            for entry in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                let run = name_of(&entry).and_then(|name| name.split_once('-')?.0.parse::<i64>().ok());
                found.extend(run.and_then(|run| part(&name, Some(run), &entry)));
            }
        }
    }
    found.sort_by(|a, b| (&a.day, a.run.is_none(), a.run, &a.path).cmp(&(&b.day, b.run.is_none(), b.run, &b.path)));
    found
}

/// Removes what a rule does not keep.
pub(crate) fn prune(folder: &Path, rule: &Rule) -> Pruned {
    let day_of = |at: Timestamp| at.strftime("%Y%m%d").to_string();
    let oldest = day_of(rule.now.checked_sub(rule.keep).unwrap_or(Timestamp::MIN));
    let today = day_of(rule.now);
    let mut pruned = Pruned::default();
    let all = parts(folder);
    let mut over = rule.max_size.map_or(0, |most| all.iter().map(|part| part.bytes).sum::<u64>().saturating_sub(most));
    for part in all {
        let old = part.day < oldest;
        let in_use = match part.run {
            Some(run) => rule.running.contains(&run),
            // What is being written.
            None => part.day >= today,
        };
        if in_use || !(old || over > 0) {
            continue;
        }
        let gone = if part.is_folder { fs::remove_dir_all(&part.path) } else { fs::remove_file(&part.path) };
        match gone {
            Ok(()) => {
                pruned.files += 1;
                pruned.bytes += part.bytes;
                pruned.up_to = pruned.up_to.max(part.run.unwrap_or(0));
                over = over.saturating_sub(part.bytes);
            }
            Err(error) => {
                pruned.trouble.get_or_insert_with(|| format!("{}: {error}", part.path.display()));
            }
        }
        // A day with nothing left in it; one that is not empty stays.
        if let Some(day) = part.path.parent().filter(|_| part.run.is_some() && part.day != today) {
            let _ = fs::remove_dir(day);
        }
    }
    pruned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, usize)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(&path).unwrap().set_len(*bytes as u64).unwrap();
        }
        folder
    }

    fn left(folder: &Path) -> Vec<String> {
        let mut names = Vec::new();
        let mut open = vec![folder.to_owned()];
        while let Some(below) = open.pop() {
            for entry in fs::read_dir(below).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                } else {
                    names.push(entry.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        names.sort();
        names
    }

    fn rule(keep: i64, max_size: Option<u64>, running: &[i64]) -> Rule {
        Rule {
            keep: SignedDuration::from_hours(24 * keep),
            max_size,
            running: running.iter().copied().collect(),
            now: "2026-03-10T12:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn old_days_go_but_not_what_runs_nor_what_is_not_ours() {
        let folder = folder(&[
            ("20260101/1-copy.log", 10),
            ("20260101/1-copy.report", 1),
            ("20260101/1-copy.d/tmp/x", 5),
            ("20260102/2-copy.log", 10),
            ("20260102/notes.txt", 3),
            ("20260103/3-copy.log", 10),
            ("20260308/4-copy.log", 10),
            ("engine-20260101.log", 7),
            ("engine-20260310.log", 7),
            ("engine-old.log", 7),
            ("2026/9-copy.log", 7),
        ]);
        let pruned = prune(folder.path(), &rule(30, None, &[3]));
        assert_eq!(pruned, Pruned { files: 5, bytes: 33, up_to: 2, trouble: None });
        let stays = [
            "2026/9-copy.log",
            "20260102/notes.txt",
            "20260103/3-copy.log",
            "20260308/4-copy.log",
            "engine-20260310.log",
            "engine-old.log",
        ];
        assert_eq!(left(folder.path()), stays);
        assert!(!folder.path().join("20260101").exists(), "an empty day goes");
        assert_eq!(prune(folder.path(), &rule(30, None, &[3])), Pruned::default());
    }

    #[test]
    fn above_a_size_the_oldest_go_first() {
        let folder = folder(&[
            ("20260309/7-a.log", 100),
            ("20260309/8-a.log", 100),
            ("20260310/9-a.log", 100),
            ("20260310/10-a.log", 100),
            ("engine-20260310.log", 100),
        ]);
        let pruned = prune(folder.path(), &rule(30, Some(250), &[8]));
        assert_eq!((pruned.files, pruned.up_to), (3, 10));
        assert_eq!(left(folder.path()), ["20260309/8-a.log", "engine-20260310.log"]);
    }

    #[test]
    fn a_link_is_not_followed() {
        let outside = folder(&[("precious", 10)]);
        let folder = folder(&[("20260101/1-a.log", 1)]);
        std::os::unix::fs::symlink(outside.path(), folder.path().join("20260101/2-a.d")).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("20250101")).unwrap();
        prune(folder.path(), &rule(30, None, &[]));
        assert_eq!(left(outside.path()), ["precious"]);
        assert_eq!(left(folder.path()), ["20250101"]);
    }
}
