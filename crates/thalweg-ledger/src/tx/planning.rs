//! Writing what planning goes by: keys, timers, listings, flags, holds, requests; and events.

use rusqlite::params;
use serde_json::Value as Json;
use thalweg_core::{RelPath, Timestamp};

use super::{KeyState, Naming, Tx, opt_path};
use crate::Error;
use crate::convert::{fields_json, int, opt_us, us};
use crate::kinds::{EventId, HoldId, KeyNext, KeyThere, RequestId, RequestState};
use crate::rows::{KeyRow, NewEvent, NewHold, NewListing, NewRequest, RoundRow};

impl Tx<'_> {
    fn key_state(&self, step: i64, key: &str) -> Result<Option<KeyState>, Error> {
        let sql = "SELECT finished, there, next FROM keys WHERE step = ?1 AND key = ?2";
        self.db().first(sql, (step, key), |row| Ok((row.get()?, row.get()?, row.get()?)))
    }

    /// Counts a key whose state changes; none when it is not there before or after.
    fn recount_key(&mut self, step: i64, old: Option<KeyState>, new: Option<KeyState>) {
        for (state, sign) in [(old, -1), (new, 1)] {
            if let Some(state) = state {
                *self.key_tallies.entry((step, state)).or_default() += sign;
            }
        }
    }

    /// Records the state of a key. When it was first known is kept from the first time.
    pub fn key_put(&mut self, key: &KeyRow) -> Result<(), Error> {
        let step = self.name(Naming::Step, &key.step)?;
        let station = self.name(Naming::Station, &key.station)?;
        let driving = self.opt_name(Naming::Product, key.driving_product.as_deref())?;
        let fields = fields_json(&key.fields)
            .map_err(|_| Error::Unstorable { path: self.db().path.to_path_buf(), what: "a field's value" })?;
        // What is finished stays for ever and is kept small; what rests for another cause says why.
        let small = key.finished && key.next == KeyNext::Nothing;
        let reason = if small || key.reason.is_null() { None } else { Some(self.json(&key.reason, "a reason")?) };
        let wake = if key.finished { None } else { opt_us(key.wake) };
        let old = self.key_state(step, &key.key)?;
        self.recount_key(step, old, Some((key.finished, key.there.code(), key.next.code())));
        self.db().run(
            "INSERT INTO keys (step, key, station, cell_start, cell_end, fields, driving_product, driving_fields_key, \
             there, next, reason, since, wake_us, opened, changed, finished) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) \
             ON CONFLICT DO UPDATE SET station = excluded.station, cell_start = excluded.cell_start, \
             cell_end = excluded.cell_end, fields = excluded.fields, driving_product = excluded.driving_product, \
             driving_fields_key = excluded.driving_fields_key, there = excluded.there, next = excluded.next, \
             reason = excluded.reason, since = excluded.since, wake_us = excluded.wake_us, changed = excluded.changed, \
             finished = excluded.finished",
            params![
                step,
                key.key,
                station,
                opt_us(key.cell_start),
                opt_us(key.cell_end),
                fields,
                driving,
                key.driving_fields_key,
                key.there,
                key.next,
                reason,
                us(key.since),
                wake,
                us(key.opened),
                us(key.changed),
                key.finished
            ],
        )?;
        Ok(())
    }

    /// Records that nothing is left to do for a key.
    pub fn key_finish(&mut self, step: &str, key: &str, there: KeyThere, at: Timestamp) -> Result<(), Error> {
        let id = self.name(Naming::Step, step)?;
        let old = self.key_state(id, key)?.ok_or_else(|| self.db().no_such("key", key))?;
        self.recount_key(id, Some(old), Some((true, there.code(), KeyNext::Nothing.code())));
        self.db().run(
            "UPDATE keys SET finished = 1, there = ?3, next = ?4, reason = NULL, wake_us = NULL, changed = ?5, since = ?5 \
             WHERE step = ?1 AND key = ?2",
            params![id, key, there, KeyNext::Nothing, us(at)],
        )?;
        Ok(())
    }

    /// Forgets a key.
    pub fn key_delete(&mut self, step: &str, key: &str) -> Result<bool, Error> {
        let step = self.name(Naming::Step, step)?;
        let old = self.key_state(step, key)?;
        self.recount_key(step, old, None);
        Ok(self.db().run("DELETE FROM keys WHERE step = ?1 AND key = ?2", (step, key))? > 0)
    }

    /// Forgets all keys of a step, which are then made anew from the files; returns how many there were.
    pub fn keys_delete_step(&mut self, step: &str) -> Result<usize, Error> {
        let step = self.name(Naming::Step, step)?;
        self.key_tallies.retain(|(of, _), _| *of != step);
        self.db().run("DELETE FROM key_tallies WHERE step = ?1", [step])?;
        self.db().run("DELETE FROM keys WHERE step = ?1", [step])
    }

    /// Records the timer of a step at a station.
    pub fn round_put(&mut self, round: &RoundRow) -> Result<(), Error> {
        let step = self.name(Naming::Step, &round.step)?;
        let station = self.name(Naming::Station, &round.station)?;
        self.db().run(
            "INSERT INTO rounds (step, station, last_moment, open_moment, finished) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT DO UPDATE SET last_moment = excluded.last_moment, open_moment = excluded.open_moment, \
             finished = excluded.finished",
            params![step, station, opt_us(round.last_moment), opt_us(round.open_moment), opt_us(round.finished)],
        )?;
        Ok(())
    }

    /// Records that the round of `moment` begins.
    pub fn round_begin(&mut self, step: &str, station: &str, moment: Timestamp) -> Result<(), Error> {
        let step = self.name(Naming::Step, step)?;
        let station = self.name(Naming::Station, station)?;
        self.db().run(
            "INSERT INTO rounds (step, station, last_moment, open_moment) VALUES (?1, ?2, ?3, ?3) \
             ON CONFLICT DO UPDATE SET last_moment = max(ifnull(last_moment, ?3), ?3), open_moment = ?3",
            params![step, station, us(moment)],
        )?;
        Ok(())
    }

    /// Records that the open round of a step is finished.
    pub fn round_finish(&mut self, step: &str, station: &str, at: Timestamp) -> Result<(), Error> {
        let step = self.name(Naming::Step, step)?;
        let station = self.name(Naming::Station, station)?;
        self.db().run(
            "UPDATE rounds SET open_moment = NULL, finished = ?3 WHERE step = ?1 AND station = ?2",
            (step, station, us(at)),
        )?;
        Ok(())
    }

    /// Records a listing that ended, well or badly.
    pub fn listing_done(&mut self, listing: &NewListing) -> Result<(), Error> {
        let station = self.name(Naming::Station, &listing.station)?;
        let ok = listing.error.is_none();
        self.db().run(
            "INSERT INTO listings (station, folder, started, ended, ok, error, entries, ok_started, ok_ended) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, iif(?5, ?3, NULL), iif(?5, ?4, NULL)) \
             ON CONFLICT DO UPDATE SET started = excluded.started, ended = excluded.ended, ok = excluded.ok, \
             error = excluded.error, entries = excluded.entries, ok_started = ifnull(excluded.ok_started, ok_started), \
             ok_ended = ifnull(excluded.ok_ended, ok_ended)",
            params![
                station,
                listing.folder.as_str(),
                us(listing.started),
                us(listing.ended),
                ok,
                listing.error,
                int(listing.entries)
            ],
        )?;
        Ok(())
    }

    /// Records that a step has taken note of a flag file's appearance at `at`; tells if it is a new one.
    pub fn flag_taken(&mut self, station: &str, path: &RelPath, step: &str, at: Timestamp) -> Result<bool, Error> {
        let station = self.name(Naming::Station, station)?;
        let step = self.name(Naming::Step, step)?;
        let added = self.db().run(
            "INSERT OR IGNORE INTO flags (station, path, step, at) VALUES (?1, ?2, ?3, ?4)",
            params![station, path.as_str(), step, us(at)],
        )?;
        Ok(added > 0)
    }

    /// Forgets the appearances of a flag file that was removed.
    pub fn flag_forget(&mut self, station: &str, path: &RelPath, step: &str) -> Result<(), Error> {
        let station = self.name(Naming::Station, station)?;
        let step = self.name(Naming::Step, step)?;
        self.db().run(
            "DELETE FROM flags WHERE step = ?1 AND station = ?2 AND path = ?3",
            params![step, station, path.as_str()],
        )?;
        Ok(())
    }

    /// Records something that happened.
    pub fn event(&mut self, event: &NewEvent) -> Result<EventId, Error> {
        let station = self.opt_name(Naming::Station, event.station.as_deref())?;
        let product = self.opt_name(Naming::Product, event.product.as_deref())?;
        let data = self.opt_json(event.data.as_ref(), "the data of an event")?;
        let id = self.db().insert(
            "INSERT INTO events (at, kind, subject, station, product, fields_key, path, run, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                us(event.at),
                event.kind,
                event.subject,
                station,
                product,
                event.fields_key,
                opt_path(event.path.as_ref()),
                event.run,
                data
            ],
        )?;
        Ok(EventId(id))
    }

    /// Records a hold, pause or drain.
    pub fn hold_add(&mut self, hold: &NewHold) -> Result<HoldId, Error> {
        let step = self.opt_name(Naming::Step, hold.step.as_deref())?;
        let station = self.opt_name(Naming::Station, hold.station.as_deref())?;
        let product = self.opt_name(Naming::Product, hold.product.as_deref())?;
        let id = self.db().insert(
            "INSERT INTO holds (kind, step, station, product, path, where_text, why, by, since) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                hold.kind,
                step,
                station,
                product,
                opt_path(hold.path.as_ref()),
                hold.where_text,
                hold.why,
                hold.by,
                us(hold.since)
            ],
        )?;
        Ok(HoldId(id))
    }

    /// Lifts a hold, pause or drain; tells if it was still in force.
    pub fn hold_end(&mut self, hold: HoldId, at: Timestamp) -> Result<bool, Error> {
        Ok(self.db().run("UPDATE holds SET ended = ?2 WHERE id = ?1 AND ended IS NULL", (hold, us(at)))? > 0)
    }

    /// Records a request.
    pub fn request_add(&mut self, request: &NewRequest) -> Result<RequestId, Error> {
        let product = self.opt_name(Naming::Product, request.product.as_deref())?;
        let data = self.opt_json(request.data.as_ref(), "the data of a request")?;
        let id = self.db().insert(
            "INSERT INTO requests (kind, product, from_us, to_us, mode, by, at, state, changed, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?7, ?9)",
            params![
                request.kind,
                product,
                opt_us(request.from),
                opt_us(request.to),
                request.mode,
                request.by,
                us(request.at),
                RequestState::Open,
                data
            ],
        )?;
        Ok(RequestId(id))
    }

    /// Records how far a request is; `data` replaces its data when given.
    pub fn request_state(
        &mut self,
        request: RequestId,
        state: RequestState,
        data: Option<&Json>,
        at: Timestamp,
    ) -> Result<(), Error> {
        let data = self.opt_json(data, "the data of a request")?;
        let changed = self.db().run(
            "UPDATE requests SET state = ?2, changed = ?3, data = ifnull(?4, data) WHERE id = ?1",
            params![request, state, us(at), data],
        )?;
        if changed == 0 { Err(self.db().no_such("request", request)) } else { Ok(()) }
    }
}
