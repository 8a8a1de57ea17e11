//! Bad files: recorded, put aside under their own relative path with a report beside them, never deleted.

use serde_json::json;
use thalweg_core::RelPath;
use thalweg_flow::Step;
use thalweg_ledger::{FileRow, FileState, NewQuarantine, RunId};
use thalweg_store::{Kind, Meta};

use super::Dispatcher;
use crate::classify::QUARANTINE;
use crate::facts::file_fact;
use crate::runner::Failure;
use crate::{EngineError, Event};

/// What was to be put aside is another file than the one that was judged, and stands where it was.
struct Another;

/// Names tried for a file in the quarantine before giving up.
const NAMES: u32 = 1000;

impl Dispatcher<'_> {
    /// Puts a bad file aside. At a station that is only read it is recorded alone.
    pub(super) fn put_aside(
        &mut self,
        row: &FileRow,
        failure: &Failure,
        step: Option<&Step>,
        run: Option<RunId>,
    ) -> Result<(), EngineError> {
        if row.state == FileState::Quarantined {
            return Ok(());
        }
        let now = self.now();
        let bad = NewQuarantine {
            file: Some(row.id),
            station: row.station.clone(),
            product: row.product.clone(),
            fields_key: row.fields_key.clone(),
            path: row.path.clone(),
            moved_to: None,
            report_path: None,
            content: row.content,
            class: failure.class.as_str().to_owned(),
            message: failure.message.clone(),
            run,
            at: now,
        };
        // Recorded first: a crash in between leaves the file where it is, known as bad.
        let id = self.ledger.write(move |tx| tx.quarantine_add(&bad))?;
        self.outcome.quarantined += 1;
        self.outcome.failed += u64::from(run.is_none());
        let read_only = self.flow.stations.get(&row.station).is_some_and(|station| station.read_only);
        let moved = if read_only { None } else { self.move_aside(row, failure, step, run) };
        let Ok(moved) = moved.transpose() else {
            let file = row.id;
            self.outcome.quarantined -= 1;
            self.outcome.failed -= u64::from(run.is_none());
            self.ledger.write(move |tx| {
                tx.quarantine_release(id, now)?;
                tx.set_state(file, FileState::Settling, Some("replaced while it was judged"), now)
            })?;
            if let Some(row) = self.reader.file(file)? {
                self.settles(&row)?;
            }
            return Ok(());
        };
        if let Some((moved_to, report)) = moved.clone() {
            self.ledger.write(move |tx| tx.quarantine_moved(id, &moved_to, Some(&report)))?;
        }
        let event = Event::Quarantined {
            station: row.station.clone(),
            path: row.path.clone(),
            moved_to: moved.map(|(path, _)| path),
            message: failure.message.clone(),
        };
        self.say(&event);
        self.note_file("quarantined", row, &failure.message, now)?;
        if let Some(row) = self.reader.file(row.id)? {
            self.changed.push(file_fact(&self.flow, row));
        }
        Ok(())
    }

    /// Puts aside what could not be when it was judged; to be called when the station can be listed.
    pub(super) fn put_aside_again(&mut self, station: &str) -> Result<(), EngineError> {
        if !self.stayed.remove(station) {
            return Ok(());
        }
        crate::recover::quarantine_again(&self.setup, &self.ledger, &self.reader, &self.places)
    }

    fn move_aside(
        &mut self,
        row: &FileRow,
        failure: &Failure,
        step: Option<&Step>,
        run: Option<RunId>,
    ) -> Option<Result<(RelPath, RelPath), Another>> {
        let store = self.places.store(&row.station)?.clone();
        let folder = step.and_then(|step| step.on_bad.put.as_deref()).unwrap_or(QUARANTINE).trim_end_matches('/');
        let target = RelPath::from_text(folder).join(row.path.as_str());
        for n in 1..NAMES {
            let numbered = if n == 1 { target.clone() } else { RelPath::from_text(format!("{}.{n}", target.as_str())) };
            match store.move_within(&row.path, &numbered) {
                Ok(()) => {
                    // Somebody may have put another file there since it was looked at: that one was never judged.
                    let moved = store.stat(&numbered).ok().flatten();
                    let another = |meta: Meta| {
                        meta.kind == Kind::File
                            && (meta.size != row.stat.size
                                || meta.mtime_ns != row.stat.mtime_ns
                                || meta.ino != row.stat.ino)
                    };
                    if moved.is_some_and(another) && store.move_within(&numbered, &row.path).is_ok() {
                        return Some(Err(Another));
                    }
                    let report = RelPath::from_text(format!("{}.report.json", numbered.as_str()));
                    let text = json!({
                        "file": row.path,
                        "station": row.station,
                        "product": row.product,
                        "size": row.stat.size,
                        "hash": row.content,
                        "class": failure.class,
                        "message": failure.message,
                        "step": step.map(|step| step.name.clone()),
                        "run": run.map(|run| run.0),
                        "at": self.now(),
                        "help": format!(
                            "mend the file and put it back under its old name, or release it as it is: thalweg quarantine release {}",
                            row.path
                        ),
                    });
                    let text = serde_json::to_vec_pretty(&text).unwrap_or_default();
                    if let Err(error) = store.write_atomically(&report, &text) {
                        let message = crate::runner::publish::in_full(&error);
                        self.say(&Event::FileTrouble { station: row.station.clone(), path: report.clone(), message });
                    }
                    return Some(Ok((numbered, report)));
                }
                Err(thalweg_store::StoreError::AlreadyExists { .. }) => {}
                Err(error) => {
                    self.stayed.insert(row.station.clone());
                    let message = format!("it stays where it is: {}", crate::runner::publish::in_full(&error));
                    self.say(&Event::FileTrouble { station: row.station.clone(), path: row.path.clone(), message });
                    return None;
                }
            }
        }
        None
    }
}
