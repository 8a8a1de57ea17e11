//! Putting a bad file aside: under its own relative path in another folder, with a report beside it; never deleted.

use std::collections::BTreeSet;
use std::io::Read as _;

use serde_json::{Value, json};
use thalweg_core::{RelPath, Timestamp};
use thalweg_flow::{Flow, Step};
use thalweg_ledger::{FileRow, FileState, Ledger, Reader, RunId};
use thalweg_store::{Kind, OldContent, Publish, Store, StoreError};

use crate::classify::QUARANTINE;
use crate::runner::staging_mark;
use crate::{EngineError, Places};

/// Names tried for a file in the quarantine before giving up.
const NAMES: u32 = 1000;

/// Bytes that no report has.
const REPORT: u64 = 1 << 20;

/// A file, as it was when it was found to be bad, and why.
pub(crate) struct Judged<'a> {
    pub(crate) row: &'a FileRow,
    pub(crate) class: &'a str,
    pub(crate) message: &'a str,
    pub(crate) step: Option<&'a Step>,
    pub(crate) run: Option<RunId>,
    pub(crate) at: Timestamp,
    /// What the names of this ledger's staging folders begin with.
    pub(crate) staging_mark: &'a str,
}

/// What came of it.
pub(crate) enum Aside {
    /// It lies there; with its report beside it, if that could be written.
    Moved { to: RelPath, report: Result<RelPath, StoreError> },
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
        let report = self.leave_report(store, &report).map(|()| report);
        Aside::Moved { to, report }
    }

    // Through a staging folder, so that a kill leaves nothing behind but what is swept.
    fn leave_report(&self, store: &dyn Store, report: &RelPath) -> Result<(), StoreError> {
        let standing = store.stat(report)?;
        let how = match &standing {
            None => Publish::NoReplace,
            // It tells of an earlier time, or is of an engine that ended before it could write that down.
            Some(expected) if self.reported_in(store, report)? => Publish::Replace { expected, old: OldContent::Drop },
            Some(_) => return Err(StoreError::AlreadyExists { action: "report", path: report.clone() }),
        };
        let folder = store.staging(&format!("{}report", self.staging_mark), report)?;
        let staged = folder.join("report.json");
        let left = write(store, &staged, &self.report()).and_then(|()| store.publish(&staged, report, how));
        store.discard_staging(&folder)?;
        left.map(|_| ())
    }

    // Tells if what has the name of a report is one of this file: it may be a bad file itself.
    fn reported_in(&self, store: &dyn Store, report: &RelPath) -> Result<bool, StoreError> {
        let mut bytes = Vec::new();
        let text = store.open_read(report)?.take(REPORT).read_to_end(&mut bytes);
        let found: Value = text.ok().and_then(|_| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Ok(found["file"] == json!(self.row.path) && found["station"] == json!(self.row.station))
    }

    fn report(&self) -> Vec<u8> {
        let Judged { row, class, message, step, run, at, staging_mark: _ } = self;
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

fn write(store: &dyn Store, path: &RelPath, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = store.write_staged(path, 0, 0)?;
    file.append(bytes)?;
    file.finish(None, None).map(|_| ())
}

/// A bad file that was recorded and not yet put aside is put aside now; returns the stations at which one still stays.
pub(crate) fn again(
    flow: &Flow,
    ledger: &Ledger,
    reader: &Reader,
    places: &Places,
) -> Result<BTreeSet<String>, EngineError> {
    let mut stayed = BTreeSet::new();
    let staging_mark = staging_mark(reader)?;
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
        let judged = Judged {
            row: &row,
            class: &bad.class,
            message: &bad.message,
            step,
            run: bad.run,
            at: bad.at,
            staging_mark: &staging_mark,
        };
        match judged.put_aside(store.as_ref()) {
            // The report can be had from the ledger too; what cannot be written now is no reason to stop.
            Aside::Moved { to, report } => {
                let id = bad.id;
                ledger.write(move |tx| tx.quarantine_moved(id, &to, report.ok().as_ref()))?;
            }
            Aside::Another => {}
            Aside::Stays(_) => {
                stayed.insert(bad.station);
            }
        }
    }
    Ok(stayed)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::Arc;

    use thalweg_core::ManualClock;
    use thalweg_ledger::{FileId, Origin};
    use thalweg_store::{MemoryStore, Moment};

    use super::*;
    use crate::scan::stat_of;

    const MARK: &str = "run-0123456789ab-";

    fn station() -> (Arc<MemoryStore>, FileRow) {
        let store = Arc::new(MemoryStore::new("site", Arc::new(ManualClock::new(at()))));
        let path = RelPath::from_text("in/a.dat");
        store.put(&path, b"neither fish nor flesh");
        let stat = stat_of(&store.stat(&path).unwrap().unwrap());
        let row = FileRow {
            id: FileId(1),
            station: "site".into(),
            product: "raw".into(),
            fields_key: String::new(),
            group_key: String::new(),
            fields: thalweg_core::Fields::default(),
            path,
            start: None,
            end: None,
            stat,
            first_seen: at(),
            arrived: at(),
            unchanged_since: at(),
            closed: true,
            state: FileState::Quarantined,
            state_at: at(),
            why: None,
            origin: Origin::Seen,
            run: None,
            content: None,
            data_hash: None,
            version: 1,
            suspect: None,
        };
        (store, row)
    }

    fn at() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn judged(row: &FileRow) -> Judged<'_> {
        Judged { row, class: "corrupt", message: "no magic", step: None, run: None, at: at(), staging_mark: MARK }
    }

    fn names(store: &MemoryStore) -> Vec<String> {
        store.files().iter().map(|(path, _)| path.as_str().to_owned()).collect()
    }

    #[test]
    fn a_kill_at_any_moment_leaves_nothing_but_what_is_swept() {
        let (whole, row) = station();
        let before = whole.calls();
        assert!(matches!(judged(&row).put_aside(whole.as_ref()), Aside::Moved { report: Ok(_), .. }));
        let calls = whole.calls() - before;
        assert!(calls > 5, "{calls} calls");
        for killed in 1..=calls {
            for after in [false, true] {
                let (store, row) = station();
                let kill = store.calls() + killed;
                store.set_hook(move |call| {
                    let now = matches!(call.moment(), Moment::After) == after;
                    if call.number() == kill && now {
                        resume_unwind(Box::new("killed"));
                    }
                });
                let end = catch_unwind(AssertUnwindSafe(|| judged(&row).put_aside(store.as_ref())));
                assert!(end.is_err(), "call {killed} of {calls} did not come");
                store.clear_hook();
                for name in names(&store) {
                    let known = ["in/a.dat", "quarantine/in/a.dat", "quarantine/in/a.dat.report.json"];
                    assert!(
                        name.starts_with(".thalweg-staging/run-0123456789ab-") || known.contains(&&*name),
                        "{name}"
                    );
                }
                assert!(matches!(judged(&row).put_aside(store.as_ref()), Aside::Moved { report: Ok(_), .. }));
                assert_eq!(names(&store), ["quarantine/in/a.dat", "quarantine/in/a.dat.report.json"]);
            }
        }
    }

    #[test]
    fn a_bad_file_with_the_name_of_a_report_stays() {
        let (store, row) = station();
        let report = RelPath::from_text("quarantine/in/a.dat.report.json");
        store.put(&report, b"a bad file of another product");
        let aside = judged(&row).put_aside(store.as_ref());
        assert!(matches!(aside, Aside::Moved { report: Err(StoreError::AlreadyExists { .. }), .. }));
        assert_eq!(store.contents(&report).unwrap(), b"a bad file of another product");
    }
}
