//! Bad files: recorded, then put aside.

use thalweg_core::RelPath;
use thalweg_flow::Step;
use thalweg_ledger::{FileRow, FileState, NewQuarantine, RunId};

use super::Dispatcher;
use crate::aside::{Aside, Judged};
use crate::facts::file_fact;
use crate::runner::Failure;
use crate::{EngineError, Event};

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
        let store = self.places.store(&row.station).filter(|_| !read_only).cloned();
        let judged = Judged {
            row,
            class: failure.class.as_str(),
            message: &failure.message,
            step,
            run,
            at: now,
            staging_mark: &self.staging_mark,
        };
        let mut moved_to = None;
        match store.map(|store| judged.put_aside(store.as_ref())) {
            None => {}
            Some(Aside::Moved { to, report }) => {
                if let Err(error) = &report {
                    let message = format!("it has no report: {}", crate::runner::publish::in_full(error));
                    self.trouble_with(row, &to, &message);
                }
                moved_to = Some(to.clone());
                self.ledger.write(move |tx| tx.quarantine_moved(id, &to, report.ok().as_ref()))?;
            }
            Some(Aside::Stays(error)) => {
                self.stayed.insert(row.station.clone());
                let message = format!("it stays where it is: {}", crate::runner::publish::in_full(&error));
                self.trouble_with(row, &row.path, &message);
            }
            Some(Aside::Another) => {
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
            }
        }
        let event = Event::Quarantined {
            station: row.station.clone(),
            path: row.path.clone(),
            moved_to,
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
        if self.stayed.remove(station) {
            self.stayed.extend(crate::aside::again(&self.flow, &self.ledger, &self.reader, &self.places)?);
        }
        Ok(())
    }

    fn trouble_with(&mut self, row: &FileRow, path: &RelPath, message: &str) {
        let (station, path, message) = (row.station.clone(), path.clone(), message.to_owned());
        self.say(&Event::FileTrouble { station, path, message });
    }
}
