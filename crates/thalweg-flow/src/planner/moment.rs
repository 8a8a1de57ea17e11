//! Whether a key's time has come: asked for or not, its step's window, hours and moments.

use thalweg_core::Timestamp;

use super::evaluate::{Look, Stop, span_of};
use super::family::in_words;
use super::reason::{Next, Reason, There};
use super::standing::Standing;
use super::trigger::{due_round, next_within};
use crate::{GIVE_UP, When};

impl Look<'_> {
    // What nobody takes by itself waits for nothing: this comes before everything that time can bring.
    pub(super) fn by_itself(&self, standing: &Standing) -> Result<(), Stop> {
        if self.occasion.asked {
            return Ok(());
        }
        if matches!(self.step.when, When::Asked) {
            return Err((Next::Blocked, Reason::new("asked", "it is made only when asked for (`thalweg make`)")));
        }
        self.window(standing)
    }

    // Only keys that lie in the window are taken by themselves; besides, for `give_up`: gaps that lay in it when they were
    // first seen and what was made without an input, and always what was made and is lost.
    fn window(&self, standing: &Standing) -> Result<(), Stop> {
        let Some(window) = self.step.window else { return Ok(()) };
        let Some(span) = self.key.cell.or_else(|| span_of(&self.gathered.driving)) else { return Ok(()) };
        let before = |at: Timestamp, length| at.checked_sub(length).unwrap_or(Timestamp::MIN);
        if span.end > before(self.now, window) || standing.there == There::Lost {
            return Ok(());
        }
        let patience = before(self.now, self.step.give_up.unwrap_or(GIVE_UP));
        let upgrade = standing.last.as_ref().is_some_and(|last| last.partial && last.ended > patience);
        let seen_in_time =
            self.facts.opened(self.key).is_some_and(|opened| opened > patience && span.end > before(opened, window));
        if upgrade || seen_in_time {
            return Ok(());
        }
        if let Some(skip) = self.step.skip_back
            && span.end > before(self.now, skip)
            && !self.facts.made_since(&self.step.name, before(self.now, window))
        {
            return Ok(());
        }
        let text = format!("{span} lies before the window of {}: ask for it with `thalweg make`", in_words(window));
        Err((Next::Blocked, Reason::new("window", text)))
    }

    pub(super) fn moment(&self) -> Result<(), Stop> {
        if self.occasion.asked {
            return Ok(());
        }
        if let Some(hours) = self.step.hours.as_ref().filter(|hours| !hours.holds(self.now)) {
            let reason = Reason {
                code: "hours".into(),
                text: format!("it begins within {hours} only"),
                until: hours.next(self.now),
            };
            return Err((Next::Waiting, reason));
        }
        // A retry waits for its own moment, not for the step's.
        let retry = self.facts.last_failure(self.key).and_then(|failure| failure.retry_at);
        if retry.is_some_and(|at| at <= self.now) {
            return Ok(());
        }
        match &self.step.when {
            When::Arrives | When::Asked => Ok(()),
            When::Flag(flag) => match self.facts.round(&self.step.name, &self.key.station).open {
                Some(_) => Ok(()),
                None => Err((Next::Waiting, Reason::new("flag", format!("it starts when a flag {flag} appears")))),
            },
            When::Every { .. } | When::Cron { .. } => {
                if let Some(moment) = due_round(self.step, &self.key.station, self.facts) {
                    return self.own_moment(moment);
                }
                let last = self.facts.round(&self.step.name, &self.key.station).last;
                match next_within(&self.step.when, self.step.hours.as_ref(), last, self.now, &self.key.station) {
                    Some(at) => Err((Next::Waiting, Reason::until("moment", format!("it starts at {at}"), at))),
                    None => Err((Next::Blocked, Reason::new("moment", "its timer has no next moment"))),
                }
            }
        }
    }

    // A step that takes nothing has a key for each moment; one that was missed is made up by the newest.
    fn own_moment(&self, due: Timestamp) -> Result<(), Stop> {
        let own =
            self.key.cell.filter(|cell| self.step.takes.is_empty() && cell.start == cell.end).map(|cell| cell.start);
        match own {
            Some(own) if own < due => Err((
                Next::Skipped,
                Reason::new("missed_moment", format!("its moment {own} has passed: {due} makes up for it")),
            )),
            Some(own) if own > due => Err((Next::Waiting, Reason::until("moment", format!("it starts at {own}"), own))),
            _ => Ok(()),
        }
    }
}
