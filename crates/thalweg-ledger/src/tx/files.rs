//! Writing what is known of files.

use rusqlite::params;
use thalweg_core::Timestamp;

use super::{Naming, Tx};
use crate::Error;
use crate::convert::{Columns, fields_json, int, opt_us, us};
use crate::kinds::{Change, FileId, FileState, Origin};
use crate::rows::{Identity, ObserveOutcome, Observed, Output, Settled, Stat};

/// A file row, as far as writing must know it.
struct Known {
    id: FileId,
    size: i64,
    mtime_ns: i64,
    ino: i64,
    state: FileState,
    product: i64,
    fields_key: String,
    content: Option<i64>,
    version: i64,
    station: i64,
}

macro_rules! select_known {
    ($condition:literal) => {
        concat!(
            "SELECT id, size, mtime_ns, ino, state, product, fields_key, content, version, station FROM files WHERE ",
            $condition
        )
    };
}

fn known(row: &mut Columns<'_, '_>) -> rusqlite::Result<Known> {
    Ok(Known {
        id: row.get()?,
        size: row.get()?,
        mtime_ns: row.get()?,
        ino: row.get()?,
        state: row.get()?,
        product: row.get()?,
        fields_key: row.get()?,
        content: row.get()?,
        version: row.get()?,
        station: row.get()?,
    })
}

impl Known {
    fn is_as(&self, stat: &Stat) -> bool {
        let ino = stat.ino.cast_signed();
        self.size == int(stat.size) && self.mtime_ns == stat.mtime_ns && (self.ino == ino || self.ino == 0 || ino == 0)
    }
}

/// Coverage as it stands in columns: start, end and level (see the table `span_levels`).
struct Span {
    start: Option<i64>,
    end: Option<i64>,
    level: Option<i64>,
}

/// Level of a suspect file: listed with its time, but in no coverage.
const SUSPECT: i64 = -1;

impl Span {
    fn of(identity: &Identity) -> Self {
        let start = opt_us(identity.start);
        let end = start.and_then(|start| identity.end.map(|end| us(end).max(start)));
        let level = start.map(|start| match &identity.suspect {
            Some(_) => SUSPECT,
            None => level(end.unwrap_or(start).saturating_sub(start)),
        });
        Self { start, end, level }
    }
}

/// The smallest L with length <= 2^L.
fn level(length: i64) -> i64 {
    if length <= 1 { 0 } else { i64::from(64 - (length - 1).leading_zeros()) }
}

fn width(level: i64) -> i64 {
    // Longer than all of time that can be told, for suspects too: their length is not looked at.
    1 << if level == SUSPECT { 61 } else { level.clamp(0, 61) }
}

impl Tx<'_> {
    fn known_at(&self, station: i64, path: &str) -> Result<Option<Known>, Error> {
        self.db().first(select_known!("station = ?1 AND path = ?2"), (station, path), known)
    }

    fn known(&self, file: FileId) -> Result<Known, Error> {
        self.db().first(select_known!("id = ?1"), [file], known)?.ok_or_else(|| self.db().no_such("file", file))
    }

    fn fields(&self, identity: &Identity) -> Result<String, Error> {
        fields_json(&identity.fields)
            .map_err(|_| Error::Unstorable { path: self.db().path.to_path_buf(), what: "a field's value" })
    }

    /// Counts a file that is now of this product, state and size.
    fn tally(&mut self, station: i64, product: i64, state: FileState, size: i64, sign: i64) {
        let tally = self.tallies.entry((station, product, state.code())).or_default();
        tally.0 += sign;
        // A listing may tell nonsense; the sum must fit its column all the same.
        tally.1 += size.min(1 << 50) * sign;
    }

    fn recount(&mut self, old: &Known, product: i64, state: FileState, size: i64) {
        self.tally(old.station, old.product, old.state, old.size, -1);
        self.tally(old.station, product, state, size, 1);
    }

    /// Makes searches look for files of this length of coverage.
    fn note_level(&mut self, product: i64, station: i64, level: Option<i64>) -> Result<(), Error> {
        let Some(level) = level else { return Ok(()) };
        if self.caches.levels.insert((product, station, level)) {
            self.db().run(
                "INSERT OR IGNORE INTO span_levels (product, station, level, width) VALUES (?1, ?2, ?3, ?4)",
                (product, station, level, width(level)),
            )?;
        }
        Ok(())
    }

    /// Records that a file was seen; writes nothing if it is as recorded.
    ///
    /// Another size, modification time or inode is a new version: it settles again, its content is not known, and it
    /// counts as arrived now. The same version that had been recorded as absent is present again if it was hashed.
    /// A quarantined or withdrawn file stays so until it changes.
    pub fn observe(&mut self, seen: &Observed) -> Result<ObserveOutcome, Error> {
        let station = self.name(Naming::Station, &seen.station)?;
        let product = self.name(Naming::Product, &seen.identity.product)?;
        let Some(old) = self.known_at(station, seen.path.as_str())? else {
            let file = self.insert_file(seen, station, product)?;
            return Ok(ObserveOutcome { file, change: Change::New, state: FileState::Settling });
        };
        let outcome = |change, state| Ok(ObserveOutcome { file: old.id, change, state });
        let at = us(seen.at);
        let reclassified = old.product != product || old.fields_key != seen.identity.fields_key;
        if !old.is_as(&seen.stat) {
            self.copy_left(&old)?;
            if reclassified {
                self.reclassify(&old, product, &seen.identity)?;
            }
            self.recount(&old, product, FileState::Settling, int(seen.stat.size));
            self.db().run(
                "UPDATE files SET size = ?2, mtime_ns = ?3, ctime_ns = ?4, ino = ?5, dev = ?6, arrived = ?7, \
                 unchanged_since = ?7, closed = ?8, state = ?9, state_at = ?7, why = NULL, origin = ?10, run = NULL, \
                 content = NULL, version = version + (content IS NOT NULL) WHERE id = ?1",
                params![
                    old.id,
                    int(seen.stat.size),
                    seen.stat.mtime_ns,
                    seen.stat.ctime_ns,
                    seen.stat.ino.cast_signed(),
                    seen.stat.dev.cast_signed(),
                    at,
                    seen.closed,
                    FileState::Settling,
                    seen.origin,
                ],
            )?;
            let change = if old.state.is_absent() { Change::Reappeared } else { Change::Changed };
            return outcome(change, FileState::Settling);
        }
        if reclassified {
            self.copy_left(&old)?;
            self.reclassify(&old, product, &seen.identity)?;
            self.write_state(old.id, FileState::Settling, None, at)?;
            self.recount(&old, product, FileState::Settling, old.size);
            let change = if old.state.is_absent() { Change::Reappeared } else { Change::Reclassified };
            return outcome(change, FileState::Settling);
        }
        if old.state.is_absent() {
            let state = if old.content.is_some() { FileState::Present } else { FileState::Settling };
            self.change_state(&old, state, None, at)?;
            self.copy_back(&old)?;
            return outcome(Change::Reappeared, state);
        }
        outcome(Change::Same, old.state)
    }

    fn insert_file(&mut self, seen: &Observed, station: i64, product: i64) -> Result<FileId, Error> {
        let span = Span::of(&seen.identity);
        self.note_level(product, station, span.level)?;
        let fields = self.fields(&seen.identity)?;
        let id = self.db().insert(
            "INSERT INTO files (station, product, fields_key, group_key, fields, path, start_us, end_us, level, size, \
             mtime_ns, ctime_ns, ino, dev, first_seen, arrived, unchanged_since, closed, state, state_at, origin, version, \
             suspect) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15, ?15, ?16, ?17, ?15, \
             ?18, 1, ?19)",
            params![
                station,
                product,
                seen.identity.fields_key,
                seen.identity.group_key,
                fields,
                seen.path.as_str(),
                span.start,
                span.end,
                span.level,
                int(seen.stat.size),
                seen.stat.mtime_ns,
                seen.stat.ctime_ns,
                seen.stat.ino.cast_signed(),
                seen.stat.dev.cast_signed(),
                us(seen.at),
                seen.closed,
                FileState::Settling,
                seen.origin,
                seen.identity.suspect,
            ],
        )?;
        self.tally(station, product, FileState::Settling, int(seen.stat.size), 1);
        Ok(FileId(id))
    }

    /// Gives a file another product or other fields, or what its content says of them.
    fn reclassify(&mut self, old: &Known, product: i64, identity: &Identity) -> Result<(), Error> {
        let span = Span::of(identity);
        self.note_level(product, old.station, span.level)?;
        let fields = self.fields(identity)?;
        self.db().run(
            "UPDATE files SET product = ?2, fields_key = ?3, group_key = ?4, fields = ?5, start_us = ?6, end_us = ?7, \
             level = ?8, suspect = ?9 WHERE id = ?1",
            params![
                old.id,
                product,
                identity.fields_key,
                identity.group_key,
                fields,
                span.start,
                span.end,
                span.level,
                identity.suspect,
            ],
        )?;
        Ok(())
    }

    fn change_state(&mut self, old: &Known, state: FileState, why: Option<&str>, at: i64) -> Result<(), Error> {
        self.recount(old, old.product, state, old.size);
        self.write_state(old.id, state, why, at)
    }

    fn write_state(&mut self, file: FileId, state: FileState, why: Option<&str>, at: i64) -> Result<(), Error> {
        self.db().run("UPDATE files SET state = ?2, why = ?3, state_at = ?4 WHERE id = ?1", (file, state, why, at))?;
        Ok(())
    }

    /// The copy that this row stood for is no longer there.
    fn copy_left(&mut self, old: &Known) -> Result<(), Error> {
        self.copy_presence(old, false)
    }

    fn copy_back(&mut self, old: &Known) -> Result<(), Error> {
        self.copy_presence(old, true)
    }

    fn copy_presence(&mut self, old: &Known, present: bool) -> Result<(), Error> {
        let Some(content) = old.content else { return Ok(()) };
        // Only the copy at this very path: the same content may lie at another one of the station.
        self.db().run(
            "UPDATE copies SET present = ?5 WHERE content = ?1 AND product = ?2 AND fields_key = ?3 AND station = ?4 \
             AND path = (SELECT path FROM files WHERE id = ?6)",
            (content, old.product, &old.fields_key, old.station, present, old.id),
        )?;
        Ok(())
    }

    /// Records what a file is, now that it was ready, probed and hashed; it becomes present.
    ///
    /// Tells if it did: not when the row has another stat by now, or is no longer there, or is put aside or withdrawn.
    pub fn settle(&mut self, file: FileId, settled: &Settled) -> Result<bool, Error> {
        let old = self.known(file)?;
        if !old.is_as(&settled.stat) || !matches!(old.state, FileState::Settling | FileState::Present) {
            return Ok(false);
        }
        let product = self.name(Naming::Product, &settled.identity.product)?;
        let content = self.content(&settled.content, Some(int(settled.stat.size)), settled.data_hash.as_ref())?;
        if old.content != Some(content) || old.product != product || old.fields_key != settled.identity.fields_key {
            self.copy_left(&old)?;
        }
        let span = Span::of(&settled.identity);
        self.note_level(product, old.station, span.level)?;
        let fields = self.fields(&settled.identity)?;
        // A content found under an unchanged stat where another was recorded is a version of its own.
        let no = old.version + i64::from(old.content.is_some_and(|known| known != content));
        self.db().run(
            "UPDATE files SET product = ?2, fields_key = ?3, group_key = ?4, fields = ?5, start_us = ?6, end_us = ?7, \
             level = ?8, suspect = ?9, state = ?10, state_at = ?11, why = NULL, origin = ?12, run = ?13, content = ?14, \
             version = ?15 WHERE id = ?1",
            params![
                file,
                product,
                settled.identity.fields_key,
                settled.identity.group_key,
                fields,
                span.start,
                span.end,
                span.level,
                settled.identity.suspect,
                FileState::Present,
                us(settled.at),
                settled.origin,
                settled.run,
                content,
                no,
            ],
        )?;
        self.db().run(
            "INSERT INTO versions (file, no, content, size, mtime_ns, seen, origin, run) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET content = excluded.content, \
             size = excluded.size, mtime_ns = excluded.mtime_ns, origin = excluded.origin, run = excluded.run",
            params![
                file,
                no,
                content,
                int(settled.stat.size),
                settled.stat.mtime_ns,
                us(settled.at),
                settled.origin,
                settled.run
            ],
        )?;
        self.db().run(
            "INSERT INTO copies (product, fields_key, content, station, path, verified, verify_mode, present, run) \
             SELECT ?1, ?2, ?3, station, path, ?4, ?5, 1, ?6 FROM files WHERE id = ?7 \
             ON CONFLICT DO UPDATE SET path = excluded.path, verified = excluded.verified, \
             verify_mode = excluded.verify_mode, present = 1, run = excluded.run",
            params![
                product,
                settled.identity.fields_key,
                content,
                us(settled.at),
                settled.verify_mode,
                settled.run,
                file
            ],
        )?;
        self.recount(&old, product, FileState::Present, old.size);
        self.index_fields(file, product, settled)?;
        Ok(true)
    }

    fn index_fields(&mut self, file: FileId, product: i64, settled: &Settled) -> Result<(), Error> {
        self.db().run("DELETE FROM file_fields WHERE file = ?1", [file])?;
        for name in &settled.indexed {
            if let Some(value) = settled.identity.fields.get(name) {
                self.db().run(
                    "INSERT OR IGNORE INTO file_fields (product, name, value, file) VALUES (?1, ?2, ?3, ?4)",
                    (product, name, value.to_string(), file),
                )?;
            }
        }
        Ok(())
    }

    /// Records a file that a run has put into place: seen, settled and present at once.
    pub fn put_output(&mut self, output: &Output) -> Result<FileId, Error> {
        let seen = Observed {
            station: output.station.clone(),
            path: output.path.clone(),
            identity: output.identity.clone(),
            stat: output.stat,
            closed: true,
            origin: output.origin,
            at: output.at,
        };
        let ObserveOutcome { file, state, .. } = self.observe(&seen)?;
        self.mark_closed(file)?;
        if !matches!(state, FileState::Settling | FileState::Present) {
            let old = self.known(file)?;
            self.change_state(&old, FileState::Settling, None, us(output.at))?;
        }
        let settled = Settled {
            identity: output.identity.clone(),
            stat: output.stat,
            content: output.content,
            data_hash: output.data_hash,
            indexed: output.indexed.clone(),
            origin: output.origin,
            run: output.run,
            verify_mode: output.verify_mode.clone(),
            at: output.at,
        };
        if self.settle(file, &settled)? { Ok(file) } else { Err(self.db().no_such("file", file)) }
    }

    /// Sets a file's state and why; a file that is absent, put aside or withdrawn counts as no copy any more.
    pub fn set_state(&mut self, file: FileId, state: FileState, why: Option<&str>, at: Timestamp) -> Result<(), Error> {
        let old = self.known(file)?;
        self.change_state(&old, state, why, us(at))?;
        match state {
            FileState::Present => self.copy_back(&old),
            FileState::Settling => Ok(()),
            _ => self.copy_left(&old),
        }
    }

    /// Lets a quarantined file settle again; nothing else.
    pub(super) fn release(&mut self, file: FileId, at: Timestamp) -> Result<(), Error> {
        let old = self.known(file)?;
        if old.state == FileState::Quarantined {
            self.change_state(&old, FileState::Settling, None, us(at))
        } else {
            Ok(())
        }
    }

    /// Records that no writer has the file open any more.
    pub fn mark_closed(&mut self, file: FileId) -> Result<(), Error> {
        self.db().run("UPDATE files SET closed = 1 WHERE id = ?1 AND closed = 0", [file])?;
        Ok(())
    }

    /// Sets the coverage of a file, e.g. when the next file of its group tells where it ends.
    pub fn set_coverage(
        &mut self,
        file: FileId,
        start: Option<Timestamp>,
        end: Option<Timestamp>,
    ) -> Result<(), Error> {
        let old = self.known(file)?;
        let suspect: Option<Option<String>> = self.db().value("SELECT suspect FROM files WHERE id = ?1", [file])?;
        let span = Span::of(&Identity { start, end, suspect: suspect.flatten(), ..Identity::default() });
        self.note_level(old.product, old.station, span.level)?;
        self.db().run(
            "UPDATE files SET start_us = ?2, end_us = ?3, level = ?4 WHERE id = ?1",
            (file, span.start, span.end, span.level),
        )?;
        Ok(())
    }

    /// Records why a file's time is not to be trusted, or that it is after all.
    pub fn set_suspect(&mut self, file: FileId, suspect: Option<&str>) -> Result<(), Error> {
        let old = self.known(file)?;
        let span = self.db().first("SELECT start_us, end_us FROM files WHERE id = ?1", [file], |row| {
            Ok((row.opt_time()?, row.opt_time()?))
        })?;
        let (start, end) = span.unwrap_or_default();
        let span = Span::of(&Identity { start, end, suspect: suspect.map(str::to_owned), ..Identity::default() });
        self.note_level(old.product, old.station, span.level)?;
        self.db().run("UPDATE files SET suspect = ?2, level = ?3 WHERE id = ?1", (file, suspect, span.level))?;
        Ok(())
    }

    /// Corrects how the present version came to be there, e.g. for an archive that is taken over.
    pub fn set_origin(&mut self, file: FileId, origin: Origin) -> Result<(), Error> {
        self.db().run("UPDATE files SET origin = ?2 WHERE id = ?1", (file, origin))?;
        self.db().run(
            "UPDATE versions SET origin = ?2 WHERE file = ?1 AND no = (SELECT version FROM files WHERE id = ?1)",
            (file, origin),
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(0, 0)]
    #[case(1, 0)]
    #[case(2, 1)]
    #[case(3, 2)]
    #[case(4, 2)]
    #[case(5, 3)]
    #[case(7_200_000_000, 33)]
    #[case(i64::MAX, 63)]
    fn a_level_is_wide_enough_and_no_wider(#[case] length: i64, #[case] expected: i64) {
        assert_eq!(level(length), expected);
        if expected < 62 {
            assert!(length <= width(expected));
            assert!(expected == 0 || length > width(expected - 1));
        }
    }
}
