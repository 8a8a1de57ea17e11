//! Putting a bad file aside: under its own relative path in another folder, with a report beside it; never deleted.

use std::collections::BTreeSet;

use serde_json::json;
use thalweg_core::{RelPath, Timestamp};
use thalweg_flow::{Flow, Step};
use thalweg_ledger::{FileRow, FileState, Ledger, Reader, RunId};
use thalweg_store::{Kind, Store, StoreError};

use crate::classify::QUARANTINE;
use crate::{EngineError, Places};

/// Names tried for a file in the quarantine before giving up.
const NAMES: u32 = 1000;

/// A file, as it was when it was found to be bad, and why.
pub(crate) struct Judged<'a> {
    pub(crate) row: &'a FileRow,
    pub(crate) class: &'a str,
    pub(crate) message: &'a str,
    pub(crate) step: Option<&'a Step>,
    pub(crate) run: Option<RunId>,
    pub(crate) at: Timestamp,
}

/// What came of it.
pub(crate) enum Aside {
    /// It lies there, with its report beside it; the trouble, if that could not be written.
    Moved { to: RelPath, report: RelPath, trouble: Option<StoreError> },
    /// What stands under its name is another file, which nobody has judged: it was left alone.
    Another,
    /// It stays where it is.
    Stays(StoreError),
}

impl Judged<'_> {
    /// Puts the file aside, or finds it where it was put before.
    pub(crate) fn put_aside(&self, store: &dyn Store) -> Aside {
        let path = &self.row.path;
        let folder = self.step.and_then(|step| step.on_bad.put.as_deref()).unwrap_or(QUARANTINE).trim_end_matches('/');
        let target = RelPath::from_text(folder).join(path.as_str());
        let mut trouble = StoreError::AlreadyExists { action: "put aside", path: target.clone() };
        for n in 1..NAMES {
            let to = if n == 1 { target.clone() } else { RelPath::from_text(format!("{}.{n}", target.as_str())) };
            match store.move_within(path, &to) {
                // Somebody may have put another file there since it was looked at.
                Ok(()) if self.is_it(store, &to) == Some(false) && store.move_within(&to, path).is_ok() => {
                    return Aside::Another;
                }
                Ok(()) => return self.moved(store, to),
                Err(StoreError::AlreadyExists { .. }) => {}
                // It may have been put there by an engine that ended before it could write that down.
                Err(StoreError::NotFound { .. }) if self.is_it(store, &to) == Some(true) => {
                    return self.moved(store, to);
                }
                Err(error @ StoreError::NotFound { .. }) if matches!(store.stat(&to), Ok(Some(_))) => trouble = error,
                Err(error) => return Aside::Stays(error),
            }
        }
        Aside::Stays(trouble)
    }

    // Tells if what lies there is what was judged; a renamed file keeps all of these.
    fn is_it(&self, store: &dyn Store, path: &RelPath) -> Option<bool> {
        let meta = store.stat(path).ok().flatten()?;
        if meta.kind != Kind::File {
            return Some(
                self.row
                    .content
                    .is_none_or(|content| store.hash(path, &mut |_| {}).is_ok_and(|found| found.hash == content)),
            );
        }
        let was = &self.row.stat;
        Some(meta.size == was.size && meta.mtime_ns == was.mtime_ns && meta.ino == was.ino)
    }

    fn moved(&self, store: &dyn Store, to: RelPath) -> Aside {
        let report = RelPath::from_text(format!("{}.report.json", to.as_str()));
        let trouble = store.write_atomically(&report, &self.report()).err();
        Aside::Moved { to, report, trouble }
    }

    fn report(&self) -> Vec<u8> {
        let Judged { row, class, message, step, run, at } = self;
        let text = json!({
            "file": row.path,
            "station": row.station,
            "product": row.product,
            "size": row.stat.size,
            "hash": row.content,
            "class": class,
            "message": message,
            "step": step.map(|step| &step.name),
            "run": run.map(|run| run.0),
            "at": at,
            "help": format!(
                "mend the file and put it back under its old name, or release it as it is: thalweg quarantine release {}",
                row.path
            ),
        });
        serde_json::to_vec_pretty(&text).unwrap_or_default()
    }
}

/// A bad file that was recorded and not yet put aside is put aside now; returns the stations at which one still stays.
pub(crate) fn again(
    flow: &Flow,
    ledger: &Ledger,
    reader: &Reader,
    places: &Places,
) -> Result<BTreeSet<String>, EngineError> {
    let mut stayed = BTreeSet::new();
    for bad in reader.quarantined(&thalweg_ledger::QuarantineFilter::default())? {
        if bad.moved_to.is_some() || flow.stations.get(&bad.station).is_none_or(|station| station.read_only) {
            continue;
        }
        let Some(store) = places.store(&bad.station) else { continue };
        let row = bad.file.map(|file| reader.file(file)).transpose()?.flatten();
        let Some(row) = row.filter(|file| file.state == FileState::Quarantined) else { continue };
        let step = match bad.run {
            Some(run) => reader.run(run)?.and_then(|run| flow.steps.get(&run.step)),
            None => None,
        };
        let judged = Judged { row: &row, class: &bad.class, message: &bad.message, step, run: bad.run, at: bad.at };
        match judged.put_aside(store.as_ref()) {
            // The report can be had from the ledger too; what cannot be written now is no reason to stop.
            Aside::Moved { to, report, trouble: _ } => {
                let id = bad.id;
                ledger.write(move |tx| tx.quarantine_moved(id, &to, Some(&report)))?;
            }
            Aside::Another => {}
            Aside::Stays(_) => {
                stayed.insert(bad.station);
            }
        }
    }
    Ok(stayed)
}
