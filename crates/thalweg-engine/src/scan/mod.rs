//! Listing a station: the authority on what is there; events only make it faster.

mod known;
mod strangers;

use std::cmp::Ordering;
use std::ops::ControlFlow;

use thalweg_core::RelPath;
use thalweg_flow::Flow;
use thalweg_ledger::{FileId, FileState, KnownFile, Reader, Stat};
use thalweg_store::{Entry, Kind, Meta, Store, StoreError};

use crate::backlog::Marks;
use crate::classify::Classifier;
use crate::dispatcher::{Inbox, Message};
use known::Known;

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
    /// Files that belong to no product.
    pub(crate) strangers: Strangers,
}

pub use strangers::Strangers;

/// Returns what the ledger keeps of a file's outer facts.
pub(crate) fn stat_of(meta: &Meta) -> Stat {
    Stat { size: meta.size, mtime_ns: meta.mtime_ns, ctime_ns: meta.ctime_ns, ino: meta.ino, dev: meta.dev }
}

/// Returns the same the other way round, of a file.
pub(crate) fn meta_of(stat: &Stat) -> Meta {
    Meta {
        kind: Kind::File,
        size: stat.size,
        mtime_ns: stat.mtime_ns,
        ctime_ns: stat.ctime_ns,
        ino: stat.ino,
        dev: stat.dev,
        mode: 0,
    }
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

/// Reads what [`root_text`] wrote.
pub(crate) fn root_of_text(text: &str) -> Option<thalweg_store::RootId> {
    let (dev, ino) = text.split_once(':')?;
    Some(thalweg_store::RootId { dev: dev.parse().ok()?, ino: ino.parse().ok()? })
}

/// Lists a station and tells what is new, changed or missing.
///
/// Both sides come in the order of their paths, so that neither has to be held whole: what the ledger knows is read by a
/// thread of its own, and the folders are listed one by one, their entries sorted.
#[expect(clippy::too_many_arguments, reason = "a thread's whole view of the engine")]
pub(crate) fn scan(
    station: &str,
    below: &RelPath,
    store: &dyn Store,
    flow: &Flow,
    classifier: &Classifier,
    marks: &Marks,
    reader: Reader,
    started: thalweg_core::Timestamp,
    tell: &Inbox,
) {
    let told = |end| {
        tell.send(Message::Scanned { whole: below.as_str().is_empty(), end });
    };
    // What is recorded from now on is not missing because this listing does not know it.
    let reader = match reader.fixed() {
        Ok(reader) => reader,
        Err(error) => {
            let error = Some(crate::runner::publish::in_full(&error));
            return told(Scanned {
                station: station.to_owned(),
                started,
                entries: 0,
                error,
                missing: Vec::new(),
                strangers: Strangers::default(),
            });
        }
    };
    let recorded = reader.meta(&root_meta(station));
    told(std::thread::scope(|scope| {
        let mut scan = Scan {
            station,
            flow,
            classifier,
            marks,
            store,
            tell,
            known: Known::read(scope, reader, station, below),
            batch: Vec::new(),
            entries: 0,
            error: None,
            strangers: Strangers::default(),
        };
        let result = recorded
            .map_err(|error| crate::runner::publish::in_full(&error))
            .and_then(|recorded| scan.root_is_known(recorded.as_deref()))
            .and_then(|()| scan.list_all(below));
        scan.flush();
        let missing = result.and_then(|()| scan.known.missing());
        let (missing, error) = match (missing, scan.error.take()) {
            (Ok(missing), None) => (missing, None),
            (Ok(_), Some(error)) | (Err(error), _) => (Vec::new(), Some(error)),
        };
        let strangers = scan.strangers;
        Scanned { station: station.to_owned(), started, entries: scan.entries, error, missing, strangers }
    }));
}

struct Scan<'a> {
    station: &'a str,
    flow: &'a Flow,
    classifier: &'a Classifier,
    marks: &'a Marks,
    store: &'a dyn Store,
    tell: &'a Inbox,
    known: Known,
    batch: Vec<Seen>,
    entries: u64,
    error: Option<String>,
    strangers: Strangers,
}

// The order of whole paths: what lies below a folder stands where the folder's name followed by `/` does.
fn in_order(a: &RelPath, of_a: Kind, b: &RelPath, of_b: Kind) -> Ordering {
    let (x, y) = (a.as_str().as_bytes(), b.as_str().as_bytes());
    let n = x.len().min(y.len());
    let next = |text: &[u8], kind: Kind| text.get(n).copied().or((kind == Kind::Folder).then_some(b'/'));
    x[..n].cmp(&y[..n]).then_with(|| next(x, of_a).cmp(&next(y, of_b)))
}

/// The entries of one folder, in the order of the paths below it.
type Listed = std::vec::IntoIter<(RelPath, Meta)>;

impl Scan<'_> {
    // An empty mount point is not a station whose files were all deleted.
    fn root_is_known(&mut self, recorded: Option<&str>) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| crate::runner::publish::in_full(error);
        let root = self.store.stat(&RelPath::default()).map_err(|error| text(&error))?;
        let Some(root) = root else { return Err("its root is missing".into()) };
        if recorded.is_none_or(|recorded| recorded == root_text(&root)) {
            return Ok(());
        }
        let mut empty = true;
        let walked = self.store.walk(&RelPath::default(), &mut |_| false, &mut |_| {
            empty = false;
            ControlFlow::Break(())
        });
        walked.map_err(|error| text(&error))?;
        let known = if empty { self.known.missing()?.len() } else { 0 };
        if known > 0 {
            return Err(format!(
                "its root is another folder than before and is empty, while {known} files are known there: is it mounted?"
            ));
        }
        Ok(())
    }

    fn list_all(&mut self, below: &RelPath) -> Result<(), String> {
        let mut open = match self.list(below) {
            Ok(listed) => vec![listed],
            // A folder that is gone is an empty one; the root is another matter.
            Err(StoreError::NotFound { .. }) if !below.as_str().is_empty() => Vec::new(),
            Err(StoreError::Denied { .. }) if below.as_str().is_empty() => {
                return Err(
                    "its root cannot be listed: permission denied; give the user that runs thalweg the right to \
                            read it (`thalweg check --here` says which)"
                        .into(),
                );
            }
            Err(error) => return Err(crate::runner::publish::in_full(&error)),
        };
        while let Some(folder) = open.last_mut() {
            let Some((path, meta)) = folder.next() else {
                open.pop();
                continue;
            };
            if !self.meet(&path, &meta)? {
                continue;
            }
            match self.list(&path) {
                Ok(listed) => open.push(listed),
                Err(StoreError::NotFound { .. }) => {}
                Err(error @ StoreError::Unavailable { .. }) => return Err(crate::runner::publish::in_full(&error)),
                Err(error) => self.unreadable(&path, &error),
            }
        }
        Ok(())
    }

    fn list(&mut self, folder: &RelPath) -> Result<Listed, StoreError> {
        let mut entries: Vec<(RelPath, Meta)> = Vec::new();
        let store = self.store;
        store.walk(folder, &mut |_| false, &mut |entry| {
            match entry {
                Entry::Found { path, meta } => entries.push((path, meta)),
                Entry::Unreadable { path, error } => self.unreadable(&path, &error),
                Entry::Unsettled { path } => self.known.excuse(path),
            }
            ControlFlow::Continue(())
        })?;
        entries.sort_unstable_by(|(a, of_a), (b, of_b)| in_order(a, of_a.kind, b, of_b.kind));
        Ok(entries.into_iter())
    }

    // Files below it are not missing: nothing is known of them. With an error nothing is said to be missing.
    fn unreadable(&mut self, path: &RelPath, error: &StoreError) {
        self.error
            .get_or_insert_with(|| format!("{path} cannot be listed: {}", crate::runner::publish::in_full(error)));
    }

    /// Takes in one entry; tells if it is a folder to be listed.
    fn meet(&mut self, path: &RelPath, meta: &Meta) -> Result<bool, String> {
        let folder = match meta.kind {
            Kind::File => false,
            Kind::Folder => {
                self.tell_odd(path, "a folder");
                true
            }
            Kind::Link => {
                self.tell_odd(path, "a symbolic link");
                return Ok(false);
            }
            Kind::Other => {
                self.tell_odd(path, "a pipe, socket or device");
                return Ok(false);
            }
        };
        if folder && self.classifier.product(self.flow, self.station, path, true).is_none() {
            return Ok(!self.classifier.skips(self.station, path));
        }
        let known = self.known.take(path)?;
        let stat = if folder {
            match stat_of_unit(self.store, path) {
                Ok(stat) => stat,
                Err(_) => return Ok(false),
            }
        } else {
            stat_of(meta)
        };
        let unchanged = known.is_some_and(|known| {
            let same = known.size == stat.size
                && known.mtime_ns == stat.mtime_ns
                && (known.ino == stat.ino || known.ino == 0 || stat.ino == 0);
            same && (known.state == FileState::Present || self.is_left_alone(path, folder, &known))
        });
        // What it is was asked when it was recorded.
        if unchanged {
            self.entries += 1;
            return Ok(false);
        }
        if !folder && self.classifier.product(self.flow, self.station, path, false).is_none() {
            self.strangers.add(self.flow, path);
            return Ok(false);
        }
        self.entries += 1;
        let (station, path, how) = (self.station.to_owned(), path.clone(), Sight::Listed { open: false });
        self.batch.push(Seen { station, path, stat, folder, how });
        if self.batch.len() >= BATCH {
            self.flush();
        }
        Ok(false)
    }

    // An old file that nobody asks for is as it was entered.
    fn is_left_alone(&self, path: &RelPath, folder: bool, known: &KnownFile) -> bool {
        known.state == FileState::Settling
            && !self.marks.is_empty()
            && self
                .classifier
                .product(self.flow, self.station, path, folder)
                .is_some_and(|(product, _)| self.marks.has(self.station, &product.name, known.id))
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
        let writers = self.store.open_writers();
        let mut batch = std::mem::take(&mut self.batch);
        for seen in &mut batch {
            let open = writers.writer_of(&meta_of(&seen.stat)).is_some();
            seen.how = Sight::Listed { open: open && !seen.folder };
        }
        self.tell.send(Message::Seen(batch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_in_the_order_of_the_paths_below_them() {
        let mut entries =
            [("a", Kind::Folder), ("a.b", Kind::File), ("a0", Kind::File), ("ab", Kind::Folder), ("B", Kind::File)]
                .map(|(name, kind)| (RelPath::from_text(name), kind));
        entries.sort_by(|(a, of_a), (b, of_b)| in_order(a, *of_a, b, *of_b));
        let names: Vec<&str> = entries.iter().map(|(path, _)| path.as_str()).collect();
        // As `B`, `a.b`, `a/…`, `a0`, `ab/…`.
        assert_eq!(names, ["B", "a.b", "a", "a0", "ab"]);
    }
}
