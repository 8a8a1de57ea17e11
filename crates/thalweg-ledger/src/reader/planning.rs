//! Questions about what planning goes by: keys, timers, listings, flags, holds, requests; and events.

use rusqlite::params;
use thalweg_core::{RelPath, Timestamp};

use super::files::bounds;
use super::{Reader, bind};
use crate::Error;
use crate::convert::{Columns, Conditions, us};
use crate::kinds::{KeyNext, KeyThere, RequestId, RequestState};
use crate::rows::{
    EventFilter, EventRow, FlagRow, HoldRow, KeyFilter, KeyRow, ListingRow, RequestRow, RoundRow, StepSummary,
    StepTally,
};

const KEY: &str = "(SELECT name FROM steps WHERE id = k.step), k.key, (SELECT name FROM stations WHERE id = k.station), \
    k.cell_start, k.cell_end, k.fields, (SELECT name FROM products WHERE id = k.driving_product), k.driving_fields_key, \
    k.there, k.next, ifnull(k.reason, 'null'), k.since, k.wake_us, k.opened, k.changed, k.finished";

fn key(row: &mut Columns<'_, '_>) -> rusqlite::Result<KeyRow> {
    Ok(KeyRow {
        step: row.get()?,
        key: row.get()?,
        station: row.get()?,
        cell_start: row.opt_time()?,
        cell_end: row.opt_time()?,
        fields: row.json()?,
        driving_product: row.get()?,
        driving_fields_key: row.get()?,
        there: row.get()?,
        next: row.get()?,
        reason: row.json()?,
        since: row.time()?,
        wake: row.opt_time()?,
        opened: row.time()?,
        changed: row.time()?,
        finished: row.get()?,
    })
}

const EVENT: &str = "e.id, e.at, e.kind, e.subject, (SELECT name FROM stations WHERE id = e.station), \
    (SELECT name FROM products WHERE id = e.product), e.fields_key, e.path, e.run, e.data";

fn event(row: &mut Columns<'_, '_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        id: row.get()?,
        at: row.time()?,
        kind: row.get()?,
        subject: row.get()?,
        station: row.get()?,
        product: row.get()?,
        fields_key: row.get()?,
        path: row.opt_path()?,
        run: row.get()?,
        data: row.opt_json()?,
    })
}

const LISTING: &str = "(SELECT name FROM stations WHERE id = l.station), l.folder, l.started, l.ended, l.ok, l.error, \
    l.entries, l.ok_started, l.ok_ended";

fn listing(row: &mut Columns<'_, '_>) -> rusqlite::Result<ListingRow> {
    Ok(ListingRow {
        station: row.get()?,
        folder: row.path()?,
        started: row.time()?,
        ended: row.time()?,
        ok: row.get()?,
        error: row.get()?,
        entries: row.count()?,
        ok_started: row.opt_time()?,
        ok_ended: row.opt_time()?,
    })
}

const HOLD: &str = "h.id, h.kind, (SELECT name FROM steps WHERE id = h.step), \
    (SELECT name FROM stations WHERE id = h.station), (SELECT name FROM products WHERE id = h.product), h.path, \
    h.where_text, h.why, h.by, h.since, h.ended";

fn hold(row: &mut Columns<'_, '_>) -> rusqlite::Result<HoldRow> {
    Ok(HoldRow {
        id: row.get()?,
        kind: row.get()?,
        step: row.get()?,
        station: row.get()?,
        product: row.get()?,
        path: row.opt_path()?,
        where_text: row.get()?,
        why: row.get()?,
        by: row.get()?,
        since: row.time()?,
        ended: row.opt_time()?,
    })
}

const REQUEST: &str = "q.id, q.kind, (SELECT name FROM products WHERE id = q.product), q.from_us, q.to_us, q.mode, q.by, \
    q.at, q.state, q.changed, q.data";

fn request(row: &mut Columns<'_, '_>) -> rusqlite::Result<RequestRow> {
    Ok(RequestRow {
        id: row.get()?,
        kind: row.get()?,
        product: row.get()?,
        from: row.opt_time()?,
        to: row.opt_time()?,
        mode: row.get()?,
        by: row.get()?,
        at: row.time()?,
        state: row.get()?,
        changed: row.time()?,
        data: row.opt_json()?,
    })
}

fn round(row: &mut Columns<'_, '_>) -> rusqlite::Result<RoundRow> {
    Ok(RoundRow {
        step: row.get()?,
        station: row.get()?,
        last_moment: row.opt_time()?,
        open_moment: row.opt_time()?,
        finished: row.opt_time()?,
    })
}

impl Reader {
    /// Returns the state of a key.
    pub fn key(&self, step: &str, name: &str) -> Result<Option<KeyRow>, Error> {
        let sql = format!("SELECT {KEY} FROM keys k WHERE k.step = ?1 AND k.key = ?2");
        self.db.first(&sql, (self.step_id(step)?, name), key)
    }

    /// Returns the keys that a filter describes, in order of step and key.
    pub fn keys(&self, filter: &KeyFilter) -> Result<Vec<KeyRow>, Error> {
        let mut conditions = Conditions::default();
        if let Some(step) = &filter.step {
            conditions.with("k.step = ?", [bind(self.step_id(step)?)]);
        }
        if let Some(station) = &filter.station {
            conditions.with("k.station = ?", [bind(self.station_id(station)?)]);
        }
        conditions.codes("k.there", filter.there.iter().map(|there| there.code()));
        conditions.codes("k.next", filter.next.iter().map(|next| next.code()));
        match filter.finished {
            Some(true) => conditions.plain("k.finished = 1"),
            Some(false) => conditions.plain("k.finished = 0"),
            None => {}
        }
        if let Some(range) = filter.overlapping {
            let (from, to) = bounds(range);
            conditions.with("k.cell_start < ?", [bind(to)]);
            conditions.with("(ifnull(k.cell_end, k.cell_start) > ? OR k.cell_start >= ?)", [bind(from), bind(from)]);
        }
        if let Some((product, fields_key)) = &filter.driving {
            conditions.with("k.driving_product = ?", [bind(self.product_id(product)?)]);
            conditions.with("k.driving_fields_key = ?", [bind(fields_key.clone())]);
        }
        if let Some((step, name)) = &filter.after {
            conditions.with("(k.step, k.key) > (?, ?)", [bind(self.step_id(step)?), bind(name.clone())]);
        }
        let sql = format!(
            "SELECT {KEY} FROM keys k{} ORDER BY k.step, k.key LIMIT {}",
            conditions.text(),
            filter.limit.map_or(-1, i64::from)
        );
        self.db.all(&sql, conditions.values().as_slice(), key)
    }

    /// Returns the keys whose moment has come, earliest first.
    pub fn due_keys(&self, now: Timestamp) -> Result<Vec<KeyRow>, Error> {
        self.db.all(&format!("SELECT {KEY} FROM keys k WHERE k.wake_us <= ?1 ORDER BY k.wake_us"), [us(now)], key)
    }

    /// Returns the earliest moment at which time alone changes a key.
    pub fn next_wake(&self) -> Result<Option<Timestamp>, Error> {
        let sql = "SELECT min(wake_us) FROM keys WHERE wake_us IS NOT NULL";
        Ok(self.db.first(sql, [], |row| row.opt_time())?.flatten())
    }

    /// Returns the latest moment that the newest rows tell of.
    pub fn latest_moment(&self) -> Result<Option<Timestamp>, Error> {
        let sql = "SELECT max(at) FROM (SELECT max(arrived, first_seen) AS at FROM files \
                   WHERE id = (SELECT max(id) FROM files) \
                   UNION ALL SELECT started FROM runs WHERE id = (SELECT max(id) FROM runs) \
                   UNION ALL SELECT at FROM events WHERE id = (SELECT max(id) FROM events))";
        Ok(self.db.first(sql, [], |row| row.opt_time())?.flatten())
    }

    /// Returns how many keys of each step are in which state.
    pub fn step_summary(&self) -> Result<Vec<StepSummary>, Error> {
        let sql = "SELECT s.name, t.finished, t.there, t.next, t.keys FROM key_tallies t JOIN steps s ON s.id = t.step \
                   WHERE t.keys > 0 ORDER BY s.name, t.finished, t.there, t.next";
        let tallies = self.db.all(sql, [], |row| {
            Ok(StepTally {
                step: row.get()?,
                finished: row.get()?,
                there: row.get()?,
                next: row.get()?,
                keys: row.count()?,
            })
        })?;
        let mut summaries: Vec<StepSummary> = Vec::new();
        for tally in tallies {
            if summaries.last().is_none_or(|last| last.step != tally.step) {
                summaries.push(StepSummary { step: tally.step.clone(), ..StepSummary::default() });
            }
            if let Some(summary) = summaries.last_mut() {
                summary.add(tally);
            }
        }
        Ok(summaries)
    }

    /// Returns the timer of a step at a station.
    pub fn round(&self, step: &str, station: &str) -> Result<Option<RoundRow>, Error> {
        Ok(self.rounds(step)?.into_iter().find(|round| round.station == station))
    }

    /// Returns the timers of a step at all stations.
    pub fn rounds(&self, step: &str) -> Result<Vec<RoundRow>, Error> {
        let sql = "SELECT (SELECT name FROM steps WHERE id = r.step), (SELECT name FROM stations WHERE id = r.station), \
                   r.last_moment, r.open_moment, r.finished FROM rounds r WHERE r.step = ?1 ORDER BY r.station";
        self.db.all(sql, [self.step_id(step)?], round)
    }

    /// Returns the last listing of a folder.
    pub fn listing(&self, station: &str, folder: &RelPath) -> Result<Option<ListingRow>, Error> {
        let sql = format!("SELECT {LISTING} FROM listings l WHERE l.station = ?1 AND l.folder = ?2");
        self.db.first(&sql, (self.station_id(station)?, folder.as_str()), listing)
    }

    /// Returns the last listings of all folders of a station.
    pub fn listings(&self, station: &str) -> Result<Vec<ListingRow>, Error> {
        let sql = format!("SELECT {LISTING} FROM listings l WHERE l.station = ?1 ORDER BY l.folder");
        self.db.all(&sql, [self.station_id(station)?], listing)
    }

    /// Returns the listing of a whole station, if one has ever succeeded.
    pub fn last_ok_listing(&self, station: &str) -> Result<Option<ListingRow>, Error> {
        Ok(self.listing(station, &RelPath::default())?.filter(|listing| listing.ok_started.is_some()))
    }

    /// Returns the listing that last showed a folder: of itself or of one above it, the newest that succeeded.
    pub fn listing_covering(&self, station: &str, folder: &RelPath) -> Result<Option<ListingRow>, Error> {
        let mut best: Option<ListingRow> = None;
        let mut at = folder.clone();
        loop {
            if let Some(found) = self.listing(station, &at)?.filter(|found| found.ok_started.is_some())
                && best.as_ref().is_none_or(|best| best.ok_started < found.ok_started)
            {
                best = Some(found);
            }
            if at.as_str().is_empty() {
                return Ok(best);
            }
            at = at.parent();
        }
    }

    /// Returns the appearances of flag files that a step has taken note of.
    pub fn flags(&self, step: &str) -> Result<Vec<FlagRow>, Error> {
        let sql = "SELECT (SELECT name FROM stations WHERE id = f.station), f.path, \
                   (SELECT name FROM steps WHERE id = f.step), f.at FROM flags f WHERE f.step = ?1 \
                   ORDER BY f.station, f.path, f.at";
        self.db.all(sql, [self.step_id(step)?], |row| {
            Ok(FlagRow { station: row.get()?, path: row.path()?, step: row.get()?, at: row.time()? })
        })
    }

    /// Returns the holds, pauses and drains in force.
    pub fn holds_active(&self) -> Result<Vec<HoldRow>, Error> {
        self.db.all(&format!("SELECT {HOLD} FROM holds h WHERE h.ended IS NULL ORDER BY h.since, h.id"), [], hold)
    }

    /// Returns all holds, pauses and drains, newest first.
    pub fn holds(&self, limit: u32) -> Result<Vec<HoldRow>, Error> {
        self.db.all(&format!("SELECT {HOLD} FROM holds h ORDER BY h.id DESC LIMIT ?1"), [limit], hold)
    }

    /// Returns a request.
    pub fn request(&self, id: RequestId) -> Result<Option<RequestRow>, Error> {
        self.db.first(&format!("SELECT {REQUEST} FROM requests q WHERE q.id = ?1"), [id], request)
    }

    /// Returns the requests in any of `states` (empty: all), oldest first.
    pub fn requests(&self, states: &[RequestState]) -> Result<Vec<RequestRow>, Error> {
        let mut conditions = Conditions::default();
        conditions.codes("q.state", states.iter().map(|state| state.code()));
        self.db.all(&format!("SELECT {REQUEST} FROM requests q{} ORDER BY q.id", conditions.text()), [], request)
    }

    /// Returns at most `limit` events that a filter describes, newest first; with `after`, oldest first.
    pub fn events(&self, filter: &EventFilter, limit: u32) -> Result<Vec<EventRow>, Error> {
        let mut conditions = Conditions::default();
        if !filter.kinds.is_empty() {
            // JSON carries any number of words in one value.
            let kinds = serde_json::to_string(&filter.kinds).unwrap_or_default();
            conditions.with("e.kind IN (SELECT value FROM json_each(?))", [bind(kinds)]);
        }
        if let Some(subject) = &filter.subject {
            conditions.with("e.subject = ?", [bind(subject.clone())]);
        }
        if let Some(station) = &filter.station {
            conditions.with("e.station = ?", [bind(self.station_id(station)?)]);
        }
        if let Some(from) = filter.from {
            conditions.with("e.at >= ?", [bind(us(from))]);
        }
        if let Some(to) = filter.to {
            conditions.with("e.at < ?", [bind(us(to))]);
        }
        let order = match filter.after {
            Some(after) => {
                conditions.with("e.id > ?", [bind(after.0)]);
                "e.id"
            }
            None => "e.at DESC, e.id DESC",
        };
        let sql = format!("SELECT {EVENT} FROM events e{} ORDER BY {order} LIMIT {limit}", conditions.text());
        self.db.all(&sql, conditions.values().as_slice(), event)
    }

    /// Returns the whole story of a path at a station, oldest first.
    pub fn events_for_path(&self, station: &str, path: &RelPath) -> Result<Vec<EventRow>, Error> {
        let sql = format!("SELECT {EVENT} FROM events e WHERE e.path = ?1 AND +e.station = ?2 ORDER BY e.at, e.id");
        self.db.all(&sql, params![path.as_str(), self.station_id(station)?], event)
    }
}

impl StepSummary {
    fn add(&mut self, tally: StepTally) {
        let keys = tally.keys;
        if tally.finished {
            self.finished += keys;
        } else {
            self.open += keys;
        }
        match tally.next {
            KeyNext::Skipped => self.skipped += keys,
            // Nothing more is done for them by themselves, so they are finished, and bad all the same.
            KeyNext::Quarantined => self.quarantined += keys,
            _ if tally.finished => {}
            KeyNext::Nothing => {}
            KeyNext::Ready => self.ready += keys,
            KeyNext::Running => self.running += keys,
            KeyNext::Waiting => self.waiting += keys,
            KeyNext::Blocked => self.blocked += keys,
            KeyNext::Failed => self.failed += keys,
        }
        match tally.there {
            KeyThere::Partial => self.partial += keys,
            KeyThere::Stale => self.stale += keys,
            KeyThere::Lost => self.lost += keys,
            KeyThere::None | KeyThere::Done | KeyThere::Retired => {}
        }
        self.tallies.push(tally);
    }
}
