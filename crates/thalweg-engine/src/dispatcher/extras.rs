//! Files that an earlier run of a key left under names of its own choice, and that the newest run did not make again.
//!
//! A key made once more says what it has: what it does not make any more would else stay for ever, as if it were
//! current. It goes with a row in the audit, and only if it still is what that run left.

use thalweg_ledger::{FileRow, FileState, Origin, RunOutput};
use thalweg_store::OldContent;

use super::{Active, Dispatcher};
use crate::facts::file_fact;
use crate::scan::Sight;
use crate::{EngineError, Event};

impl Dispatcher<'_> {
    /// Returns the files of earlier runs of these keys that are not among the outputs now.
    pub(super) fn extras(&self, active: &Active, made: &[RunOutput]) -> Result<Vec<FileRow>, EngineError> {
        let mut extras = Vec::new();
        for task in &active.tasks {
            let of_many = |product: &str| {
                task.outputs.iter().any(|output| output.path.is_none() && !output.update && output.product == product)
            };
            if !task.outputs.iter().any(|output| of_many(&output.product)) {
                continue;
            }
            let Some(last) = self.reader.last_done(&task.key.step, &task.key.text())? else { continue };
            for output in self.reader.run_outputs(last.id)? {
                let again = made.iter().any(|now| now.station == output.station && now.path == output.path);
                if again || !of_many(&output.product) {
                    continue;
                }
                let Some(row) = self.reader.file_at(&output.station, &output.path)? else { continue };
                let own = row.state == FileState::Present && row.origin == Origin::Made && row.run == Some(last.id);
                let same = || {
                    let store = self.places.store(&row.station);
                    let meta = store.and_then(|store| store.stat(&row.path).ok().flatten());
                    meta.is_some_and(|meta| self.is_as_recorded(&row, &meta))
                };
                if own && same() {
                    extras.push(row);
                }
            }
        }
        Ok(extras)
    }

    /// Removes files that were recorded as retired.
    pub(super) fn remove_extras(&mut self, extras: Vec<FileRow>, by: &str) -> Result<(), EngineError> {
        let now = self.now();
        for row in extras {
            let Some(store) = self.places.store(&row.station).cloned() else { continue };
            let removed = match store.stat(&row.path) {
                // Another file has come under the name meanwhile.
                Ok(Some(meta)) if !self.is_as_recorded(&row, &meta) => {
                    let mut seen = Vec::new();
                    self.look_at(&row.station, &row.path, Sight::Listed { open: true }, &mut seen);
                    self.observe(seen)?;
                    continue;
                }
                Ok(Some(meta)) => store.remove_verified(&row.path, &meta, OldContent::Drop),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                let id = row.id;
                self.ledger.write(move |tx| tx.set_state(id, FileState::Present, None, now))?;
                let message = format!("it cannot be removed: {}", crate::runner::publish::in_full(&error));
                self.say(&Event::FileTrouble { station: row.station, path: row.path, message });
                continue;
            }
            self.say(&Event::Removed { station: row.station, path: row.path, keep: by.to_owned() });
            if let Some(row) = self.reader.file(row.id)? {
                self.changed.push(file_fact(&self.flow, row));
            }
        }
        Ok(())
    }
}
