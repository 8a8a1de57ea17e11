//! What external commands say of their own versions: asked at the start, and again when a program's file has changed.

use thalweg_flow::planner::VerbVersion;

use super::{Dispatcher, Message};
use crate::versions::ANSWERS;
use crate::{EngineError, Event, VerbVersions};

/// How soon a command that could not be asked is asked again.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(300);

impl Dispatcher<'_> {
    /// Asks all commands, at the start and when another flow file is taken over.
    pub(super) fn ask_versions(&mut self) -> Result<(), EngineError> {
        self.retry_what_was_edited()?;
        let before = VerbVersions::kept(&self.reader)?;
        let versions = VerbVersions::ask(&self.setup, &VerbVersions::default());
        self.versions = before;
        self.versions_said(versions, true)
    }

    /// Has those asked again whose program has changed; what waits for them is told so meanwhile.
    pub(super) fn look_at_programs(&mut self) -> Result<(), EngineError> {
        if self.asking_versions
            || self.stopping.is_some()
            || self.flow.steps.values().all(|step| step.version_from.is_empty())
        {
            return Ok(());
        }
        let outdated = self.versions.outdated(&self.setup);
        // What may have passed by itself, as a busy host, is not asked for without end.
        let again = self.versions.any_unknown() && self.versions_asked.elapsed() >= AGAIN;
        if outdated.is_empty() && !again {
            return Ok(());
        }
        let known = self.versions.clone();
        self.versions.suspend(&outdated);
        self.asking_versions = true;
        for step in outdated {
            let keys: Vec<_> = self.ready.keys().filter(|key| key.step == step).cloned().collect();
            self.dirty.extend(keys);
        }
        let (setup, inbox) = (self.setup.clone(), self.inbox.clone());
        let work = move || {
            inbox.send(Message::Versions(VerbVersions::ask(&setup, &known)));
        };
        let failed = |source| EngineError::State { path: "a thread for asking programs".into(), source };
        // It ends with its message.
        self.setup.host.start("versions", Box::new(work)).map_err(failed)?;
        Ok(())
    }

    /// Takes answers over: keys are looked at again where they are others than before.
    pub(super) fn versions_said(&mut self, versions: VerbVersions, at_start: bool) -> Result<(), EngineError> {
        self.asking_versions = false;
        self.versions_asked = std::time::Instant::now();
        let before = VerbVersions::kept(&self.reader)?;
        let mut events = Vec::new();
        for change in versions.changed(&before, &self.flow) {
            let step = change.step.name.clone();
            match (change.before, change.now) {
                (_, VerbVersion::Unknown(why)) => {
                    events.push(Event::VersionUnknown { step, why: why.clone() });
                }
                (Some(VerbVersion::Said(before)), VerbVersion::Said(now)) => {
                    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
                    let then = if change.step.stale_on_version {
                        "what was made before is made again"
                    } else {
                        "what was made before stays (`stale_on` would have it made again)"
                    };
                    let message = format!("its command is {} now, {} before: {then}", first(now), first(before));
                    events.push(Event::Note { place: format!("steps.{step}"), message });
                }
                (_, VerbVersion::Said(_)) => {}
            }
        }
        // One that cannot be asked is told at each start, not at each look.
        for (step, answer) in versions.answers() {
            let told = |event: &Event| matches!(event, Event::VersionUnknown { step: other, .. } if *other == step);
            if let VerbVersion::Unknown(why) = answer
                && at_start
                && !events.iter().any(told)
            {
                events.push(Event::VersionUnknown { step, why });
            }
        }
        let changed = self.versions != versions || before != versions;
        self.versions = versions;
        for event in &events {
            if matches!(event, Event::VersionUnknown { .. }) {
                self.outcome.failed += 1;
            }
            self.say(event);
        }
        if changed {
            let text = serde_json::to_string(&self.versions).unwrap_or_default();
            self.ledger.write(move |tx| tx.meta_set(ANSWERS, &text))?;
            self.dirty_all_keys()?;
        }
        Ok(())
    }
}
