//! Times that were recorded by a clock that has been set back since.

use rusqlite::params;
use thalweg_core::Timestamp;

use super::Tx;
use crate::Error;
use crate::convert::us;

impl Tx<'_> {
    /// Brings recorded times that lie in the future, and that something waits for, back to now.
    ///
    /// A clock that was hours ahead and was set right would else hold up for hours what settled, failed or had its round
    /// under it. With `all` every file is looked at, not only those that settle: what waits for a partner counts from its
    /// arrival.
    pub fn clock_went_back(&mut self, now: Timestamp, all: bool) -> Result<(), Error> {
        let now = us(now);
        let files = "UPDATE files SET unchanged_since = min(unchanged_since, ?1), arrived = min(arrived, ?1), \
                     first_seen = min(first_seen, ?1) WHERE";
        if all {
            self.db().run(&format!("{files} (arrived > ?1 OR unchanged_since > ?1)"), params![now])?;
        } else {
            self.db().run(&format!("{files} state = 0 AND unchanged_since > ?1"), params![now])?;
        }
        self.db().run("UPDATE rounds SET last_moment = ?1 WHERE last_moment > ?1", params![now])?;
        // A run that ended later than now has its next try reckoned from there.
        self.db().run("UPDATE runs SET retry_at = ?1 WHERE ended > ?1 AND retry_at > ?1", params![now])?;
        Ok(())
    }
}
