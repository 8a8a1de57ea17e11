//! Reading files again and comparing them with the ledger (`thalweg verify`).

use thalweg_ledger::{FileFilter, FileState};

use super::Dispatcher;
use crate::{EngineError, Event};

impl Dispatcher<'_> {
    /// Reads all files that are there, or every so many of them, and says which are not as recorded.
    pub(super) fn verify(&mut self, all: bool, sample_percent: f64) -> Result<(), EngineError> {
        let stations: Vec<String> = self.places.stations().map(|(name, _, _)| name.to_owned()).collect();
        let mut share = 0.0;
        for station in stations {
            let mut filter =
                FileFilter { station: Some(station.clone()), states: vec![FileState::Present], ..FileFilter::default() };
            loop {
                let page = self.reader.page(&filter, 1000)?;
                let Some(last) = page.last() else { break };
                filter.after = Some(last.id);
                for row in page {
                    share += sample_percent / 100.0;
                    if !all && share < 1.0 {
                        continue;
                    }
                    share -= if all { 0.0 } else { 1.0 };
                    let Some(store) = self.places.store(&station) else { continue };
                    let trouble = match store.hash(&row.path, &mut |_| {}) {
                        Ok(found) if Some(found.hash) == row.content => None,
                        Ok(found) => Some(format!(
                            "its digest is {}, recorded {}",
                            found.hash.short(),
                            row.content.map(|hash| hash.short()).unwrap_or_default()
                        )),
                        Err(error) => Some(crate::runner::publish::in_full(&error)),
                    };
                    if let Some(message) = &trouble {
                        self.outcome.failed += 1;
                        let now = self.now();
                        self.note_file("verify_failed", &row, message, now)?;
                    }
                    self.say(&Event::Verified { station: station.clone(), path: row.path.clone(), trouble });
                }
            }
        }
        Ok(())
    }
}
