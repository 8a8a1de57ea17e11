//! Questions about files: where they are, what they are, in which order they are listed.

use std::collections::VecDeque;

use rusqlite::params;
use rusqlite::types::Value as Column;
use serde::Serialize;
use thalweg_core::{ContentHash, RelPath, TimeRange, Timestamp, Value};

use super::{Reader, bind};
use crate::Error;
use crate::convert::{Columns, Conditions, us};
use crate::kinds::{FileId, FileState};
use crate::rows::{FileFilter, FileRow, FileTally, VersionRow};

pub(super) const FILE: &str = "f.id, (SELECT name FROM stations WHERE id = f.station), \
    (SELECT name FROM products WHERE id = f.product), f.fields_key, f.group_key, f.fields, f.path, f.start_us, f.end_us, \
    f.size, f.mtime_ns, f.ctime_ns, f.ino, f.dev, f.first_seen, f.arrived, f.unchanged_since, f.closed, f.state, f.state_at, \
    f.why, f.origin, f.run, (SELECT hash FROM contents WHERE id = f.content), \
    (SELECT data_hash FROM contents WHERE id = f.content), f.version, f.suspect";

pub(super) fn file(row: &mut Columns<'_, '_>) -> rusqlite::Result<FileRow> {
    Ok(FileRow {
        id: row.get()?,
        station: row.get()?,
        product: row.get()?,
        fields_key: row.get()?,
        group_key: row.get()?,
        fields: row.json()?,
        path: row.path()?,
        start: row.opt_time()?,
        end: row.opt_time()?,
        stat: row.stat()?,
        first_seen: row.time()?,
        arrived: row.time()?,
        unchanged_since: row.time()?,
        closed: row.get()?,
        state: row.get()?,
        state_at: row.time()?,
        why: row.get()?,
        origin: row.get()?,
        run: row.get()?,
        content: row.opt_hash()?,
        data_hash: row.opt_hash()?,
        version: row.get()?,
        suspect: row.get()?,
    })
}

/// States in which a file counts as the newest of its group.
const COUNTED: &str = "(0, 1, 2, 6)";

/// The condition under which a file's coverage overlaps ?from ..?to, given that its start is bounded by the index.
/// An end that is not known is the start; an empty coverage counts as its one instant.
pub(super) const OVERLAPS: &str = "(f.start_us >= ?1 OR f.end_us > ?1)";

/// A range as the bounds of the queries here: an empty one counts as its one instant.
pub(super) fn bounds(range: TimeRange) -> (i64, i64) {
    let (from, to) = (us(range.start), us(range.end));
    (from, to.max(from.saturating_add(1)))
}

fn states(states: &[FileState]) -> String {
    if states.is_empty() {
        return String::new();
    }
    let codes: Vec<String> = states.iter().map(|state| state.code().to_string()).collect();
    format!(" AND f.state IN ({})", codes.join(", "))
}

impl Reader {
    /// Returns a file.
    pub fn file(&self, id: FileId) -> Result<Option<FileRow>, Error> {
        self.db.first(&format!("SELECT {FILE} FROM files f WHERE f.id = ?1"), [id], file)
    }

    /// Returns what is known of a path at a station.
    pub fn file_at(&self, station: &str, path: &RelPath) -> Result<Option<FileRow>, Error> {
        let station = self.station_id(station)?;
        let sql = format!("SELECT {FILE} FROM files f WHERE f.station = ?1 AND f.path = ?2");
        self.db.first(&sql, (station, path.as_str()), file)
    }

    /// Returns all rows of one file (product and fields): one for each station and path. Two that are present at one
    /// station are a conflict.
    pub fn files_of(&self, station: Option<&str>, product: &str, fields_key: &str) -> Result<Vec<FileRow>, Error> {
        let product = self.product_id(product)?;
        let mut found = Vec::new();
        // The index begins with the station; there are few.
        let stations = match station {
            Some(station) => vec![self.station_id(station)?],
            None => self.db.all("SELECT id FROM stations ORDER BY id", [], |row| row.get())?,
        };
        let sql = format!(
            "SELECT {FILE} FROM files f WHERE f.station = ?1 AND f.product = ?2 AND f.fields_key = ?3 ORDER BY f.id"
        );
        for station in stations {
            found.extend(self.db.all(&sql, (station, product, fields_key), file)?);
        }
        Ok(found)
    }

    /// Returns the files whose coverage overlaps `range`, in order of start; not those that are suspect or have none.
    ///
    /// `states` empty: all states.
    pub fn files_overlapping(
        &self,
        station: Option<&str>,
        product: &str,
        range: TimeRange,
        states: &[FileState],
    ) -> Result<Vec<FileRow>, Error> {
        let filter = FileFilter {
            station: station.map(str::to_owned),
            product: Some(product.to_owned()),
            states: states.to_vec(),
            ..FileFilter::default()
        };
        self.in_range(&filter, range, false, None, u32::MAX)
    }

    /// Returns the files of a product that have no coverage, which count as overlapping every span.
    pub fn files_without_coverage(
        &self,
        station: Option<&str>,
        product: &str,
        states: &[FileState],
    ) -> Result<Vec<FileRow>, Error> {
        let product = self.product_id(product)?;
        let station = station.map(|station| self.station_id(station)).transpose()?;
        let sql = format!(
            "SELECT {FILE} FROM files f WHERE f.product = ?1 AND f.start_us IS NULL AND (?2 IS NULL OR f.station = ?2){} \
             ORDER BY f.id",
            self::states(states)
        );
        self.db.all(&sql, (product, station), file)
    }

    /// Returns the files that are there and whose time was not to be trusted when they were recorded.
    pub fn suspects(&self, station: &str, product: &str) -> Result<Vec<FileRow>, Error> {
        let (station, product) = (self.station_id(station)?, self.product_id(product)?);
        let present = FileState::Present.code();
        let sql = format!(
            "SELECT {FILE} FROM files f WHERE f.product = ?1 AND f.station = ?2 AND f.level = -1 AND +f.state = {present} \
             ORDER BY f.id"
        );
        self.db.all(&sql, (product, station), file)
    }

    /// The search by time: for each length of coverage that occurs, the starts that can overlap.
    fn in_range(
        &self,
        filter: &FileFilter,
        range: TimeRange,
        suspects: bool,
        after: Option<(i64, FileId)>,
        limit: u32,
    ) -> Result<Vec<FileRow>, Error> {
        let Some(product) = &filter.product else { return Ok(Vec::new()) };
        let product = self.product_id(product)?;
        let station = filter.station.as_deref().map(|station| self.station_id(station)).transpose()?;
        let (from, to) = bounds(range);
        let sql = format!(
            "SELECT {FILE} FROM span_levels l CROSS JOIN files f ON f.product = l.product AND f.station = l.station \
             AND f.level = l.level AND f.start_us > ?1 - l.width - 1 AND f.start_us < ?2 \
             WHERE l.product = ?3 {} {} AND {OVERLAPS}{} {} {} ORDER BY f.start_us, f.id LIMIT ?8",
            if station.is_some() { "AND l.station = ?4" } else { "AND ?4 IS NULL" },
            if suspects { "" } else { "AND l.level >= 0" },
            states(&filter.states),
            if after.is_some() { "AND (f.start_us, f.id) > (?5, ?6)" } else { "AND ?5 IS NULL AND ?6 IS NULL" },
            if filter.path_prefix.is_some() { "AND substr(f.path, 1, length(?7)) = ?7" } else { "AND ?7 IS NULL" },
        );
        let (start, id) = after.unzip();
        self.db.all(&sql, params![from, to, product, station, start, id, filter.path_prefix, limit], file)
    }

    /// Returns the newest `n` files of a group that are settling or present, newest first; of the whole product if no
    /// group is given.
    pub fn newest(
        &self,
        station: &str,
        product: &str,
        group_key: Option<&str>,
        ignore_suspect: bool,
        n: u32,
    ) -> Result<Vec<FileRow>, Error> {
        let (station, product) = (self.station_id(station)?, self.product_id(product)?);
        let group = if group_key.is_some() { "f.group_key = ?3" } else { "?3 IS NULL" };
        // The plus signs keep the search on the index that is in order of start.
        let trusted = if ignore_suspect { "AND +f.level >= 0" } else { "" };
        let station_column = if group_key.is_some() { "f.station" } else { "+f.station" };
        let sql = format!(
            "SELECT {FILE} FROM files f WHERE {station_column} = ?1 AND f.product = ?2 AND {group} AND +f.state IN {COUNTED} \
             {trusted} AND f.start_us IS NOT NULL ORDER BY f.start_us DESC, f.id DESC LIMIT ?4"
        );
        self.db.all(&sql, params![station, product, group_key, n], file)
    }

    /// Returns the newest file of a group, or of the whole product, that was read and is there, or was until a rule or the
    /// owner of a dropbox took it away; suspect ones are nobody's newest. Without times by arrival.
    pub fn newest_known(
        &self,
        station: &str,
        product: &str,
        group_key: Option<&str>,
    ) -> Result<Option<FileRow>, Error> {
        let (station, product) = (self.station_id(station)?, self.product_id(product)?);
        let group = if group_key.is_some() { "f.group_key = ?3" } else { "?3 IS NULL" };
        let station_column = if group_key.is_some() { "f.station" } else { "+f.station" };
        let states = [FileState::Present, FileState::Retired, FileState::Taken].map(|state| state.code().to_string());
        let states = states.join(", ");
        let by_start = format!(
            "SELECT {FILE} FROM files f WHERE {station_column} = ?1 AND f.product = ?2 AND {group} \
             AND +f.state IN ({states}) AND +f.level >= 0 AND f.start_us IS NOT NULL \
             ORDER BY f.start_us DESC, f.id DESC LIMIT 1"
        );
        if let Some(row) = self.db.first(&by_start, params![station, product, group_key], file)? {
            return Ok(Some(row));
        }
        // No index is in order of arrival: all are walked, and the columns beside `max` are those of its row.
        let by_arrival = format!(
            "SELECT {FILE}, max(f.arrived) FROM files f WHERE f.station = ?1 AND f.product = ?2 AND {group} \
             AND f.state IN ({states}) AND f.start_us IS NULL AND f.suspect IS NULL GROUP BY f.station"
        );
        self.db.first(&by_arrival, params![station, product, group_key], file)
    }

    /// Returns the groups of a product's files at a station.
    pub fn groups(&self, station: &str, product: &str) -> Result<Vec<String>, Error> {
        let (station, product) = (self.station_id(station)?, self.product_id(product)?);
        // From one to the next: there are few of them among very many files.
        let sql = "SELECT min(group_key) FROM files WHERE station = ?1 AND product = ?2 AND group_key > ?3";
        let mut groups: Vec<String> = Vec::new();
        let first = "SELECT min(group_key) FROM files WHERE station = ?1 AND product = ?2";
        let mut next: Option<String> = self.db.value::<Option<String>>(first, (station, product))?.flatten();
        while let Some(group) = next {
            next = self.db.value::<Option<String>>(sql, params![station, product, group])?.flatten();
            groups.push(group);
        }
        Ok(groups)
    }

    /// Counts the files of a group, settling or present and not suspect, that start after `start`.
    pub fn younger_than(&self, station: &str, product: &str, group_key: &str, start: Timestamp) -> Result<u64, Error> {
        let (station, product) = (self.station_id(station)?, self.product_id(product)?);
        let sql = format!(
            "SELECT count(*) FROM files f WHERE f.station = ?1 AND f.product = ?2 AND f.group_key = ?3 AND f.start_us > ?4 \
             AND +f.state IN {COUNTED} AND +f.level >= 0"
        );
        Ok(self.db.first(&sql, params![station, product, group_key, us(start)], |row| row.count())?.unwrap_or(0))
    }

    /// Returns the files with this value of a field that was indexed when they were settled.
    pub fn files_by_field(
        &self,
        station: Option<&str>,
        product: &str,
        name: &str,
        value: &Value,
    ) -> Result<Vec<FileRow>, Error> {
        let product = self.product_id(product)?;
        let station = station.map(|station| self.station_id(station)).transpose()?;
        let sql = format!(
            "SELECT {FILE} FROM file_fields v CROSS JOIN files f ON f.id = v.file \
             WHERE v.product = ?1 AND v.name = ?2 AND v.value = ?3 AND (?4 IS NULL OR f.station = ?4) ORDER BY v.file"
        );
        self.db.all(&sql, params![product, name, value.to_string(), station], file)
    }

    /// Returns all files with this content, at any station, in any state.
    pub fn files_by_content(&self, hash: &ContentHash) -> Result<Vec<FileRow>, Error> {
        let content = self.content_id(hash)?;
        self.db.all(&format!("SELECT {FILE} FROM files f WHERE f.content = ?1 ORDER BY f.id"), [content], file)
    }

    /// Returns the settled versions of a file, oldest first.
    pub fn versions(&self, id: FileId) -> Result<Vec<VersionRow>, Error> {
        let sql = "SELECT file, no, (SELECT hash FROM contents WHERE id = content), size, mtime_ns, seen, origin, run \
                   FROM versions WHERE file = ?1 ORDER BY no";
        self.db.all(sql, [id], |row| {
            Ok(VersionRow {
                file: row.get()?,
                no: row.get()?,
                content: row.hash()?,
                size: row.count()?,
                mtime_ns: row.get()?,
                seen: row.time()?,
                origin: row.get()?,
                run: row.get()?,
            })
        })
    }

    /// Returns at most `limit` files that a filter describes.
    ///
    /// With a product: in order of start, those without coverage first. With a station only: in order of path. With
    /// neither: in the order in which they were first seen.
    pub fn page(&self, filter: &FileFilter, limit: u32) -> Result<Vec<FileRow>, Error> {
        let after = match filter.after {
            Some(id) => Some(self.file(id)?.ok_or_else(|| self.db.no_such("file", id))?),
            None => None,
        };
        if filter.product.is_some() {
            self.page_by_start(filter, after.as_ref(), limit)
        } else {
            self.page_by_path(filter, after.as_ref(), limit)
        }
    }

    fn page_by_start(&self, filter: &FileFilter, after: Option<&FileRow>, limit: u32) -> Result<Vec<FileRow>, Error> {
        let cursor = after.map(|row| (row.start.map_or(i64::MIN, us), row.id));
        if filter.from.is_some() || filter.to.is_some() {
            let range = TimeRange::new(filter.from.unwrap_or(Timestamp::MIN), filter.to.unwrap_or(Timestamp::MAX));
            return self.in_range(filter, range, true, cursor, limit);
        }
        let mut found = Vec::new();
        if after.is_none_or(|row| row.start.is_none()) {
            let mut conditions = self.conditions(filter)?;
            conditions.plain("f.start_us IS NULL");
            if let Some(row) = after {
                conditions.with("f.id > ?", [bind(row.id.0)]);
            }
            found = self.listed(&conditions, "f.id", limit)?;
        }
        let rest = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if rest > 0 {
            let mut conditions = self.conditions(filter)?;
            conditions.plain("f.start_us IS NOT NULL");
            if let Some((start, id)) = cursor {
                conditions.with("(f.start_us, f.id) > (?, ?)", [bind(start), bind(id.0)]);
            }
            found.extend(self.listed(&conditions, "f.start_us, f.id", rest)?);
        }
        Ok(found)
    }

    fn page_by_path(&self, filter: &FileFilter, after: Option<&FileRow>, limit: u32) -> Result<Vec<FileRow>, Error> {
        let mut conditions = self.conditions(filter)?;
        // Without a product no index holds times; the bounds only sift.
        if filter.from.is_some() || filter.to.is_some() {
            let range = TimeRange::new(filter.from.unwrap_or(Timestamp::MIN), filter.to.unwrap_or(Timestamp::MAX));
            let (from, to) = bounds(range);
            conditions.with("f.start_us < ?", [bind(to)]);
            conditions.with("(ifnull(f.end_us, f.start_us) > ? OR f.start_us >= ?)", [bind(from), bind(from)]);
        }
        let order = if filter.station.is_some() { "f.path" } else { "f.id" };
        if let Some(row) = after {
            let value: Column =
                if filter.station.is_some() { bind(row.path.as_str().to_owned()) } else { bind(row.id.0) };
            conditions.with(&format!("{order} > ?"), [value]);
        }
        self.listed(&conditions, order, limit)
    }

    fn conditions(&self, filter: &FileFilter) -> Result<Conditions, Error> {
        let mut conditions = Conditions::default();
        if let Some(product) = &filter.product {
            conditions.with("f.product = ?", [bind(self.product_id(product)?)]);
        }
        if let Some(station) = &filter.station {
            // With a product the order is by start, and the index of the product alone gives it.
            let column = if filter.product.is_some() { "+f.station" } else { "f.station" };
            conditions.with(&format!("{column} = ?"), [bind(self.station_id(station)?)]);
        }
        if let Some(prefix) = &filter.path_prefix {
            if filter.product.is_none() && filter.station.is_some() {
                conditions.with("f.path >= ?", [bind(prefix.clone())]);
                conditions.with("f.path < ?", [bind(format!("{prefix}\u{10FFFF}"))]);
            } else {
                conditions.with("substr(f.path, 1, length(?)) = ?", [bind(prefix.clone()), bind(prefix.clone())]);
            }
        }
        conditions.codes("f.state", filter.states.iter().map(|state| state.code()));
        Ok(conditions)
    }

    fn listed(&self, conditions: &Conditions, order: &str, limit: u32) -> Result<Vec<FileRow>, Error> {
        let sql = format!("SELECT {FILE} FROM files f{} ORDER BY {order} LIMIT {limit}", conditions.text());
        self.db.all(&sql, conditions.values().as_slice(), file)
    }

    /// Counts the files of a product at a station in these states (empty: all).
    pub fn count(&self, station: Option<&str>, product: &str, states: &[FileState]) -> Result<u64, Error> {
        let station = station.map(|station| self.station_id(station)).transpose()?;
        let sql = format!(
            "SELECT ifnull(sum(f.files), 0) FROM file_tallies f WHERE f.product = ?1 AND (?2 IS NULL OR f.station = ?2){}",
            self::states(states)
        );
        Ok(self.db.first(&sql, (self.product_id(product)?, station), |row| row.count())?.unwrap_or(0))
    }

    /// Returns how many files of each product are at each station in each state.
    pub fn tallies(&self) -> Result<Vec<FileTally>, Error> {
        let sql = "SELECT s.name, p.name, t.state, t.files, t.bytes FROM file_tallies t \
                   JOIN stations s ON s.id = t.station JOIN products p ON p.id = t.product WHERE t.files > 0 \
                   ORDER BY s.name, p.name, t.state";
        self.db.all(sql, [], |row| {
            Ok(FileTally {
                station: row.get()?,
                product: row.get()?,
                state: row.get()?,
                files: row.count()?,
                bytes: row.count()?,
            })
        })
    }

    /// Returns the files at a station that are not settled yet, those that have been quiet longest first.
    pub fn settling(&self, station: &str) -> Result<Vec<FileRow>, Error> {
        let sql =
            format!("SELECT {FILE} FROM files f WHERE f.station = ?1 AND f.state = 0 ORDER BY f.unchanged_since, f.id");
        self.db.all(&sql, [self.station_id(station)?], file)
    }

    /// Returns everything known at a station in order of path, read in parts: what a rescan is compared with.
    pub fn known_files(&self, station: &str) -> Result<KnownFiles<'_>, Error> {
        self.known_files_below(station, &RelPath::default())
    }

    /// Returns what is known of one path at a station and of all below it, as [`Reader::known_files`].
    pub fn known_files_below(&self, station: &str, below: &RelPath) -> Result<KnownFiles<'_>, Error> {
        Ok(KnownFiles {
            reader: self,
            station: self.station_id(station)?,
            below: below.as_str().to_owned(),
            last: None,
            part: VecDeque::new(),
            ended: false,
        })
    }
}

/// What a rescan must know of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownFile {
    /// Its number.
    pub id: FileId,
    /// Its path at the station.
    pub path: RelPath,
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Inode, 0 when not known.
    pub ino: u64,
    /// What is known of it.
    pub state: FileState,
}

/// The files known at a station, in order of path (bytes of the escaped text).
pub struct KnownFiles<'r> {
    reader: &'r Reader,
    station: i64,
    below: String,
    last: Option<String>,
    part: VecDeque<KnownFile>,
    ended: bool,
}

/// How many rows are read at once.
const PART: u32 = 4096;

impl KnownFiles<'_> {
    fn read_part(&mut self) -> Result<(), Error> {
        // `0` follows `/`: what lies below a folder stands between the two, and a few of its neighbours with it.
        let sql = "SELECT id, path, size, mtime_ns, ino, state FROM files \
                   WHERE station = ?1 AND path >= ?2 AND path < ?3 ORDER BY path LIMIT ?4";
        let first = self.last.as_deref().unwrap_or(&self.below);
        // Every text sorts before every blob.
        let end =
            if self.below.is_empty() { Column::Blob(Vec::new()) } else { Column::Text(format!("{}0", self.below)) };
        let mut part: VecDeque<KnownFile> = self
            .reader
            .db
            .all(sql, params![self.station, first, end, PART], |row| {
                Ok(KnownFile {
                    id: row.get()?,
                    path: row.path()?,
                    size: row.count()?,
                    mtime_ns: row.get()?,
                    ino: row.bits()?,
                    state: row.get()?,
                })
            })?
            .into();
        self.ended = part.len() < PART as usize;
        let last = part.back().map(|file| file.path.as_str().to_owned());
        // Each part but the first begins with the last of the one before.
        if part.front().is_some_and(|file| self.last.as_deref() == Some(file.path.as_str())) {
            part.pop_front();
        }
        self.last = last;
        part.retain(|file| {
            let rest = file.path.as_str().strip_prefix(self.below.as_str());
            self.below.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        self.part = part;
        Ok(())
    }
}

impl Iterator for KnownFiles<'_> {
    type Item = Result<KnownFile, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.part.is_empty() && !self.ended {
            if let Err(error) = self.read_part() {
                self.ended = true;
                return Some(Err(error));
            }
        }
        self.part.pop_front().map(Ok)
    }
}
