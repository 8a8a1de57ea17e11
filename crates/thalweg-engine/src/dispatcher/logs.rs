//! The folder of logs: made at the start, freed of what is old then and on each new day.

use std::collections::BTreeSet;

use super::{Dispatcher, Message};
use crate::logs::{self, LOG_FOLDER, PRUNED_TO, Pruned, Rule};
use crate::{EngineError, Event};

impl Dispatcher<'_> {
    /// Makes the folder, and tells other commands by the ledger where it is.
    pub(super) fn begin_logs(&mut self) -> Result<(), EngineError> {
        let folder = self.setup.log_folder();
        std::fs::create_dir_all(&folder).map_err(|source| EngineError::State { path: folder.clone(), source })?;
        let text = folder.to_string_lossy().into_owned();
        if self.reader.meta(LOG_FOLDER)?.as_deref() != Some(text.as_str()) {
            self.ledger.write(move |tx| tx.meta_set(LOG_FOLDER, &text))?;
        }
        // Another rule, or another folder, holds at once.
        self.pruned = None;
        Ok(())
    }

    /// Removes old logs on a thread of its own, once for each day.
    pub(super) fn prune_logs(&mut self) -> Result<(), EngineError> {
        let now = self.now();
        let today = now.strftime("%Y%m%d").to_string();
        if self.pruning.is_some() || self.stopping.is_some() || self.pruned.as_deref() == Some(today.as_str()) {
            return Ok(());
        }
        self.pruned = Some(today);
        let running: BTreeSet<i64> = self.reader.unfinished_runs()?.into_iter().map(|run| run.id.0).collect();
        let rule = Rule { keep: self.flow.log.keep, max_size: self.flow.log.max_size, running, now };
        let (folder, inbox) = (self.setup.log_folder(), self.inbox.clone());
        let work = move || {
            let pruned = logs::prune(&folder, &rule);
            inbox.send(Message::Pruned(pruned));
        };
        let thread = self.setup.host.start("logs", Box::new(work));
        let failed = |source| EngineError::State { path: "a thread for old logs".into(), source };
        self.pruning = Some(thread.map_err(failed)?);
        Ok(())
    }

    /// Notes what was removed, so that `log` can say why a log is not there.
    pub(super) fn logs_pruned(&mut self, pruned: &Pruned) -> Result<(), EngineError> {
        if let Some(thread) = self.pruning.take() {
            thread.join();
        }
        if pruned.up_to > logs::logs_pruned_to(&self.reader)? {
            let text = pruned.up_to.to_string();
            self.ledger.write(move |tx| tx.meta_set(PRUNED_TO, &text))?;
        }
        if pruned.files > 0 || pruned.trouble.is_some() {
            let (files, bytes, trouble) = (pruned.files, pruned.bytes, pruned.trouble.clone());
            self.say(&Event::LogsPruned { files, bytes, trouble });
        }
        Ok(())
    }
}
