//! The engine's own log: a line for each thing that happened, in a file for each day.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use thalweg_core::Timestamp;
use thalweg_engine::{ENGINE_LOG_END, ENGINE_LOG_START, Event, Setup};
use thalweg_flow::LogLevel;

use crate::out::one_line;
use crate::work::short;

/// Returns the name of the log of a day.
pub(crate) fn name_of_day(at: Timestamp) -> String {
    format!("{ENGINE_LOG_START}{}{ENGINE_LOG_END}", at.strftime("%Y%m%d"))
}

/// Tells if a name is that of a log of the engine.
pub(crate) fn is_engine_log(name: &str) -> bool {
    name.strip_prefix(ENGINE_LOG_START)
        .and_then(|rest| rest.strip_suffix(ENGINE_LOG_END))
        .is_some_and(|day| day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns how grave an event is.
pub(crate) fn level_of(event: &Event) -> LogLevel {
    match event {
        Event::RunFailed { .. }
        | Event::Trouble { .. }
        | Event::Quarantined { .. }
        | Event::VersionUnknown { .. }
        | Event::Reloaded { accepted: false, .. }
        | Event::Verified { trouble: Some(_), .. }
        | Event::LogsPruned { trouble: Some(_), .. } => LogLevel::Error,
        Event::Note { .. }
        | Event::FileGone { .. }
        | Event::FileTrouble { .. }
        | Event::Blocked { .. }
        | Event::NotAdopted { .. }
        | Event::Missing { .. } => LogLevel::Warn,
        Event::Started { .. }
        | Event::RunDone { .. }
        | Event::Removed { .. }
        | Event::Adopted { .. }
        | Event::Reloaded { .. }
        | Event::LogsPruned { .. }
        | Event::Stopping { .. } => LogLevel::Info,
        Event::Checked { level, .. } => match level.as_str() {
            "OK" => LogLevel::Info,
            "CRITICAL" => LogLevel::Error,
            _ => LogLevel::Warn,
        },
        _ => LogLevel::Debug,
    }
}

/// The log that is being written.
pub(crate) struct EngineLog {
    folder: PathBuf,
    level: LogLevel,
    open: Option<(String, File)>,
    /// That it cannot be written was told.
    told: bool,
}

impl EngineLog {
    /// Makes one for an engine; the folder is made with the first line.
    pub(crate) fn new(setup: &Setup) -> Self {
        Self { folder: setup.log_folder(), level: setup.flow.log.level, open: None, told: false }
    }

    /// Goes on as another reading of the flow file says.
    pub(crate) fn follow(&mut self, setup: &Setup) {
        *self = Self::new(setup);
    }

    /// Writes what happened. Gives back, once, why it cannot be written: that is no reason to stop the engine.
    pub(crate) fn write(&mut self, event: &Event, now: Timestamp) -> Option<String> {
        let level = level_of(event);
        if level > self.level {
            return None;
        }
        let (_, word, text) = short(event, 2)?;
        // One write for each line, so that those who read it meanwhile meet whole lines.
        let line = format!("{now:.3} {:<5} {word}: {}\n", level.as_str(), one_line(&text));
        match self.put(&line, now) {
            Ok(()) => None,
            Err(error) if !self.told => {
                self.told = true;
                Some(format!("the engine's log in {} cannot be written: {error}", self.folder.display()))
            }
            Err(_) => None,
        }
    }

    fn put(&mut self, line: &str, now: Timestamp) -> std::io::Result<()> {
        let name = name_of_day(now);
        if self.open.as_ref().is_none_or(|(open, _)| *open != name) {
            self.open = None;
            std::fs::create_dir_all(&self.folder)?;
            let file = OpenOptions::new().create(true).append(true).open(self.folder.join(&name))?;
            self.open = Some((name, file));
        }
        match &mut self.open {
            Some((_, file)) => file.write_all(line.as_bytes()),
            None => Ok(()),
        }
    }
}

/// Returns the logs of an engine in a folder, oldest first.
pub(crate) fn logs_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_engine_log))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_event_of_its_level_in_the_file_of_its_day() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EngineLog { folder: folder.path().join("made"), level: LogLevel::Info, open: None, told: false };
        let first: Timestamp = "2026-01-31T23:59:59.5Z".parse().unwrap();
        let event = Event::Stopping { why: "two\nlines".into() };
        assert_eq!(log.write(&event, first), None);
        let detail = Event::RunStarted { run: 1, step: "s".into(), key: "k".into(), attempt: 1 };
        assert_eq!(log.write(&detail, first), None);
        assert_eq!(log.write(&event, "2026-02-01T00:00:01Z".parse().unwrap()), None);
        let logs = logs_in(&folder.path().join("made"));
        let names: Vec<_> = logs.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["engine-20260131.log", "engine-20260201.log"]);
        let text = std::fs::read_to_string(&logs[0]).unwrap();
        assert_eq!(text, "2026-01-31T23:59:59.500Z info  stopping: two\\nlines\n");
    }

    #[test]
    fn a_check_that_stands_otherwise_is_as_grave_as_it_says() {
        let level =
            |level: &str| level_of(&Event::Checked { check: "c".into(), level: level.into(), text: "t".into() });
        assert_eq!(level("OK"), LogLevel::Info);
        assert_eq!([level("WARNING"), level("UNKNOWN")], [LogLevel::Warn; 2]);
        assert_eq!(level("CRITICAL"), LogLevel::Error);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        File::create(&file).unwrap();
        let mut log = EngineLog { folder: file, level: LogLevel::Info, open: None, told: false };
        let event = Event::Stopping { why: "SIGTERM".into() };
        let now = Timestamp::UNIX_EPOCH;
        assert!(log.write(&event, now).is_some_and(|why| why.contains("cannot be written")));
        assert_eq!(log.write(&event, now), None);
    }
}
