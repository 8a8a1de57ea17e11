//! What the ledger knows of a station, read ahead in the order of paths while the station is listed.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use thalweg_core::RelPath;
use thalweg_ledger::{FileId, FileState, KnownFile, Reader};

use crate::runner::publish::in_full;

/// Files handed over at once, and how many such parts may wait.
const PART: usize = 2000;
const AHEAD: usize = 2;

type Part = Result<Vec<KnownFile>, String>;

/// The files that a listing may meet.
pub(super) struct Known {
    parts: Receiver<Part>,
    part: std::vec::IntoIter<KnownFile>,
    /// Those that the listing has passed without meeting them: mostly what is missing.
    passed: HashMap<RelPath, KnownFile>,
    /// Folders that changed while they were listed: what was not met there may be there all the same.
    excused: Vec<RelPath>,
    error: Option<String>,
}

impl Known {
    /// Begins to read what is known below a folder.
    pub(super) fn read<'scope>(
        scope: &'scope Scope<'scope, '_>,
        reader: Reader,
        station: &'scope str,
        below: &'scope RelPath,
    ) -> Self {
        let (hand_over, parts) = sync_channel(AHEAD);
        scope.spawn(move || read(&reader, station, below, &hand_over));
        Self { parts, part: Vec::new().into_iter(), passed: HashMap::new(), excused: Vec::new(), error: None }
    }

    fn peek(&mut self) -> Result<Option<&KnownFile>, String> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        while self.part.as_slice().is_empty() {
            match self.parts.recv() {
                Ok(Ok(part)) => self.part = part.into_iter(),
                Ok(Err(error)) => {
                    self.error = Some(error.clone());
                    return Err(error);
                }
                Err(_) => return Ok(None),
            }
        }
        Ok(self.part.as_slice().first())
    }

    /// Returns what is known under a path that was met. Paths may come in any order; in theirs nothing is held back.
    pub(super) fn take(&mut self, path: &RelPath) -> Result<Option<KnownFile>, String> {
        while let Some(next) = self.peek()? {
            match next.path.as_str().cmp(path.as_str()) {
                Ordering::Equal => return Ok(self.part.next()),
                Ordering::Greater => break,
                Ordering::Less => {
                    if let Some(file) = self.part.next() {
                        self.passed.insert(file.path.clone(), file);
                    }
                }
            }
        }
        Ok(if self.passed.is_empty() { None } else { self.passed.remove(path) })
    }

    /// Nothing directly in this folder, or below it, counts as missing.
    pub(super) fn excuse(&mut self, folder: RelPath) {
        self.excused.push(folder);
    }

    /// Returns the files that were not met.
    pub(super) fn missing(&mut self) -> Result<Vec<(FileId, RelPath)>, String> {
        while self.peek()?.is_some() {
            self.passed.extend(self.part.by_ref().map(|file| (file.path.clone(), file)));
        }
        let excused = |path: &RelPath| {
            self.excused.iter().any(|folder| {
                let rest = path.as_str().strip_prefix(folder.as_str());
                rest.is_some_and(|rest| folder.as_str().is_empty() || rest.starts_with('/'))
            })
        };
        let missing = self.passed.values().filter(|file| !excused(&file.path));
        let mut missing: Vec<(FileId, RelPath)> = missing.map(|file| (file.id, file.path.clone())).collect();
        missing.sort();
        Ok(missing)
    }
}

fn read(reader: &Reader, station: &str, below: &RelPath, hand_over: &SyncSender<Part>) {
    let files = match reader.known_files_below(station, below) {
        Ok(files) => files,
        Err(error) => {
            let _ = hand_over.send(Err(in_full(&error)));
            return;
        }
    };
    let mut part = Vec::with_capacity(PART);
    for file in files {
        match file {
            Ok(file) if matches!(file.state, FileState::Settling | FileState::Present) => part.push(file),
            Ok(_) => {}
            Err(error) => {
                let _ = hand_over.send(Err(in_full(&error)));
                return;
            }
        }
        // A listing that has ended early needs no more.
        if part.len() >= PART && hand_over.send(Ok(std::mem::replace(&mut part, Vec::with_capacity(PART)))).is_err() {
            return;
        }
    }
    let _ = hand_over.send(Ok(part));
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn known(paths: &[&str]) -> Known {
        let (hand_over, parts) = sync_channel(paths.len() + 1);
        for path in paths {
            let file = KnownFile {
                id: FileId(1),
                path: RelPath::from_text(*path),
                size: 0,
                mtime_ns: 0,
                ino: 0,
                state: FileState::Present,
            };
            hand_over.send(Ok(vec![file])).unwrap();
        }
        Known { parts, part: Vec::new().into_iter(), passed: HashMap::new(), excused: Vec::new(), error: None }
    }

    #[rstest]
    #[case::in_order(&["a/1", "b", "c"], &[])]
    #[case::in_another(&["c", "a/1", "b"], &[])]
    #[case::one_is_new(&["a/1", "a/2", "b", "c"], &[])]
    #[case::some_are_missing(&["b"], &["a/1", "c"])]
    #[case::none_is_there(&[], &["a/1", "b", "c"])]
    fn what_is_not_met_is_missing(#[case] met: &[&str], #[case] missing: &[&str]) {
        let mut known = known(&["a/1", "b", "c"]);
        for path in met {
            let found = known.take(&RelPath::from_text(*path)).unwrap();
            assert_eq!(found.is_some(), *path != "a/2", "{path}");
        }
        let mut left: Vec<String> =
            known.missing().unwrap().into_iter().map(|(_, path)| path.as_str().to_owned()).collect();
        left.sort();
        assert_eq!(left, missing);
    }

    #[rstest]
    #[case::one("a", &["ab/1", "b"])]
    #[case::the_root("", &[])]
    fn what_changed_while_it_was_listed_is_not_missing(#[case] folder: &str, #[case] missing: &[&str]) {
        let mut known = known(&["a/1", "a/b/2", "ab/1", "b"]);
        known.excuse(RelPath::from_text(folder));
        let mut left: Vec<String> =
            known.missing().unwrap().into_iter().map(|(_, path)| path.as_str().to_owned()).collect();
        left.sort();
        assert_eq!(left, missing);
    }

    #[test]
    fn a_ledger_that_cannot_be_read_leaves_nothing_missing() {
        let (hand_over, parts) = sync_channel(1);
        hand_over.send(Err("unreadable".to_owned())).unwrap();
        drop(hand_over);
        let mut known =
            Known { parts, part: Vec::new().into_iter(), passed: HashMap::new(), excused: Vec::new(), error: None };
        assert!(known.take(&RelPath::from_text("a")).is_err());
        assert!(known.missing().is_err(), "said once, it stays said");
    }
}
