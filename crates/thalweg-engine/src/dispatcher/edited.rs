//! Steps whose command was edited: what failed by the old one is tried again by the new one.
//!
//! The identity of a task knows no arguments, so that an edit alone never remakes what is there. What is not there, since
//! the command failed, is another matter: whoever mended the command means to have it tried.

use thalweg_flow::Step;
use thalweg_store::Hasher;

use super::Dispatcher;
use crate::{EngineError, Event};

// Everything of a step that can make a command fail or not.
fn digest(step: &Step) -> String {
    let mut hasher = Hasher::new();
    let how = (&step.does, &step.environment, &step.reads, step.timeout, step.memory, step.network, step.executor);
    hasher.update(format!("{how:?}").as_bytes());
    hasher.digest().to_string()
}

impl Dispatcher<'_> {
    /// Has keys that failed tried again where the flow file says their step's command otherwise than when it was read last.
    pub(super) fn retry_what_was_edited(&mut self) -> Result<(), EngineError> {
        let mut changed = Vec::new();
        for step in self.flow.steps.values() {
            let (name, now) = (format!("does {}", step.name), digest(step));
            let before = self.reader.meta(&name)?;
            if before.as_ref() != Some(&now) {
                changed.push((step.name.clone(), before.is_some(), name, now));
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let now = self.now();
        for (step, ..) in changed.iter().filter(|(_, known, ..)| *known) {
            let keys = self.retry(Some(step), None, None, None, now)?.len();
            if keys > 0 {
                let keys = if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") };
                let message = format!("its command was edited: {keys} that failed by the old one, now tried again");
                self.say(&Event::Note { place: format!("steps.{step}"), message });
            }
        }
        // Noted last: cut off before, it is done again.
        self.ledger.write(move |tx| changed.iter().try_for_each(|(.., name, digest)| tx.meta_set(name, digest)))?;
        Ok(())
    }
}
