//! Listing a station: the authority on what is there; events only make it faster.

use std::collections::HashMap;
use std::ops::ControlFlow;

use thalweg_core::RelPath;
use thalweg_flow::Flow;
use thalweg_ledger::{FileId, FileState, Reader, Stat};
use thalweg_store::{Entry, Kind, Meta, OpenWriters, Store, StoreError};

use crate::classify::Classifier;
use crate::dispatcher::{Inbox, Message};

/// Files told of in one message.
const BATCH: usize = 2000;

/// Something seen at a station.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) station: String,
    pub(crate) path: RelPath,
    pub(crate) stat: Stat,
    pub(crate) folder: bool,
    pub(crate) how: Sight,
}

/// How something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Its writer closed it.
    Closed,
    /// It was moved onto its name.
    MovedIn,
    /// A listing met it; whether somebody has it open for writing.
    Listed {
        /// Somebody has.
        open: bool,
    },
}

/// The end of a listing.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) station: String,
    pub(crate) started: thalweg_core::Timestamp,
    pub(crate) entries: u64,
    pub(crate) error: Option<String>,
    /// Known files that were not met.
    pub(crate) missing: Vec<(FileId, RelPath)>,
}

/// Returns what the ledger keeps of a file's outer facts.
pub(crate) fn stat_of(meta: &Meta) -> Stat {
    Stat { size: meta.size, mtime_ns: meta.mtime_ns, ctime_ns: meta.ctime_ns, ino: meta.ino, dev: meta.dev }
}

/// Returns the outer facts of a folder that is one unit: those of its files together.
pub(crate) fn stat_of_unit(store: &dyn Store, path: &RelPath) -> Result<Stat, StoreError> {
    let mut stat = Stat::default();
    store.walk(path, &mut |_| true, &mut |entry| {
        if let Entry::Found { meta, .. } = entry
            && meta.kind == Kind::File
        {
            stat.size += meta.size;
            stat.mtime_ns = stat.mtime_ns.max(meta.mtime_ns);
            stat.ctime_ns = stat.ctime_ns.max(meta.ctime_ns);
        }
        ControlFlow::Continue(())
    })?;
    Ok(stat)
}

/// Returns the name under which the ledger keeps which folder a station's root was.
pub(crate) fn root_meta(station: &str) -> String {
    format!("root {station}")
}

/// Returns which folder a root is.
pub(crate) fn root_text(root: &Meta) -> String {
    format!("{}:{}", root.dev, root.ino)
}

/// Lists a station and tells what is new, changed or missing.
#[expect(clippy::too_many_arguments, reason = "a thread's whole view of the engine")]
pub(crate) fn scan(
    station: &str,
    below: &RelPath,
    store: &dyn Store,
    flow: &Flow,
    classifier: &Classifier,
    reader: &Reader,
    started: thalweg_core::Timestamp,
    tell: &Inbox,
) {
    let mut scan = Scan {
        station,
        flow,
        classifier,
        store,
        tell,
        known: HashMap::new(),
        batch: Vec::new(),
        entries: 0,
        error: None,
    };
    let result =
        scan.known_files(reader, below).and_then(|()| scan.root_is_known(reader)).and_then(|()| scan.walk(below));
    let error = result.err().or(scan.error.take());
    scan.flush();
    let mut missing: Vec<(FileId, RelPath)> =
        if error.is_none() { scan.known.drain().map(|(path, (id, _, _))| (id, path)).collect() } else { Vec::new() };
    missing.sort();
    let whole = below.as_str().is_empty();
    tell.send(Message::Scanned {
        whole,
        end: Scanned { station: station.to_owned(), started, entries: scan.entries, error, missing },
    });
}

struct Scan<'a> {
    station: &'a str,
    flow: &'a Flow,
    classifier: &'a Classifier,
    store: &'a dyn Store,
    tell: &'a Inbox,
    known: HashMap<RelPath, (FileId, Stat, FileState)>,
    batch: Vec<Seen>,
    entries: u64,
    error: Option<String>,
}

impl Scan<'_> {
    fn known_files(&mut self, reader: &Reader, below: &RelPath) -> Result<(), String> {
        let files = reader.known_files(self.station).map_err(|error| error.to_string())?;
        for file in files {
            let file = file.map_err(|error| error.to_string())?;
            let inside = below.as_str().is_empty()
                || file.path.as_str().starts_with(&format!("{}/", below.as_str()))
                || file.path == *below;
            let expected = matches!(file.state, FileState::Settling | FileState::Present);
            if inside && expected {
                let stat = Stat { size: file.size, mtime_ns: file.mtime_ns, ino: file.ino, ..Stat::default() };
                self.known.insert(file.path, (file.id, stat, file.state));
            }
        }
        Ok(())
    }

    // An empty mount point is not a station whose files were all deleted.
    fn root_is_known(&self, reader: &Reader) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| crate::runner::publish::in_full(error);
        let root = self.store.stat(&RelPath::default()).map_err(|error| text(&error))?;
        let Some(root) = root else { return Err("its root is missing".into()) };
        let recorded = reader.meta(&root_meta(self.station)).map_err(|error| text(&error))?;
        if self.known.is_empty() || recorded.is_none_or(|recorded| recorded == root_text(&root)) {
            return Ok(());
        }
        let mut empty = true;
        let walked = self.store.walk(&RelPath::default(), &mut |_| false, &mut |_| {
            empty = false;
            ControlFlow::Break(())
        });
        walked.map_err(|error| text(&error))?;
        if empty {
            let known = self.known.len();
            return Err(format!(
                "its root is another folder than before and is empty, while {known} files are known there: is it mounted?"
            ));
        }
        Ok(())
    }

    fn walk(&mut self, below: &RelPath) -> Result<(), String> {
        let (station, flow, classifier, store) = (self.station, self.flow, self.classifier, self.store);
        let mut filter = |folder: &RelPath| {
            !classifier.skips(station, folder) && classifier.product(flow, station, folder, true).is_none()
        };
        let mut visit = |entry: Entry| {
            self.meet(entry);
            ControlFlow::Continue(())
        };
        match store.walk(below, &mut filter, &mut visit) {
            Ok(()) => Ok(()),
            // A folder that is gone is an empty one; the root is another matter.
            Err(StoreError::NotFound { .. }) if !below.as_str().is_empty() => Ok(()),
            Err(error) => Err(crate::runner::publish::in_full(&error)),
        }
    }

    fn meet(&mut self, entry: Entry) {
        match entry {
            Entry::Found { path, meta } => {
                let folder = match meta.kind {
                    Kind::File => false,
                    Kind::Folder => {
                        self.tell_odd(&path, "a folder");
                        true
                    }
                    Kind::Link => return self.tell_odd(&path, "a symbolic link"),
                    Kind::Other => return self.tell_odd(&path, "a pipe, socket or device"),
                };
                let Some((_, _)) = self.classifier.product(self.flow, self.station, &path, folder) else { return };
                self.entries += 1;
                let stat = if folder {
                    match stat_of_unit(self.store, &path) {
                        Ok(stat) => stat,
                        Err(_) => return,
                    }
                } else {
                    stat_of(&meta)
                };
                if let Some((_, known, state)) = self.known.remove(&path) {
                    let same = known.size == stat.size
                        && known.mtime_ns == stat.mtime_ns
                        && (known.ino == stat.ino || known.ino == 0 || stat.ino == 0);
                    if same && state == FileState::Present {
                        return;
                    }
                }
                self.batch.push(Seen {
                    station: self.station.to_owned(),
                    path,
                    stat,
                    folder,
                    how: Sight::Listed { open: false },
                });
                if self.batch.len() >= BATCH {
                    self.flush();
                }
            }
            Entry::Unreadable { path, error } => {
                // Files below it are not missing: nothing is known of them.
                let prefix = format!("{}/", path.as_str());
                self.known.retain(|known, _| !known.as_str().starts_with(&prefix) && *known != path);
                self.error.get_or_insert_with(|| {
                    format!("{path} cannot be listed: {}", crate::runner::publish::in_full(&error))
                });
            }
            Entry::Unsettled { path } => {
                let prefix = if path.as_str().is_empty() { String::new() } else { format!("{}/", path.as_str()) };
                self.known.retain(|known, _| !known.as_str().starts_with(&prefix));
            }
        }
    }

    // Only a name that a product's pattern describes whole is worth a word.
    fn tell_odd(&self, path: &RelPath, what: &'static str) {
        if self.classifier.product(self.flow, self.station, path, false).is_some() {
            let station = self.station.to_owned();
            self.tell.send(Message::NotAFile { station, path: path.clone(), what });
        }
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let writers = OpenWriters::snapshot();
        let mut batch = std::mem::take(&mut self.batch);
        for seen in &mut batch {
            let meta = Meta {
                kind: Kind::File,
                size: seen.stat.size,
                mtime_ns: seen.stat.mtime_ns,
                ctime_ns: seen.stat.ctime_ns,
                ino: seen.stat.ino,
                dev: seen.stat.dev,
                mode: 0,
            };
            let open = writers.writer_of(&meta).is_some();
            seen.how = Sight::Listed { open: open && !seen.folder };
        }
        self.tell.send(Message::Seen(batch));
    }
}
