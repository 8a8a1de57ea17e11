//! Writing: what a closure inside the writer can do. One module for each part of the ledger.

mod clock;
mod evidence;
mod files;
mod planning;
mod runs;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use thalweg_core::{ContentHash, RelPath};

use crate::db::Db;
use crate::{Error, Reader};

/// The open transaction, as one closure sees it.
pub struct Tx<'w> {
    reader: &'w Reader,
    caches: &'w mut Caches,
    /// Changes of the counts of files and bytes, by station, product and state, not yet in the table.
    tallies: BTreeMap<(i64, i64, i64), (i64, i64)>,
    /// The same of keys, by step and state.
    key_tallies: BTreeMap<(i64, KeyState), i64>,
}

/// Whether a key is finished, what is there and what comes next, as codes.
type KeyState = (bool, i64, i64);

/// Numbers of names that need not be looked up again; emptied whenever something is undone.
#[derive(Default)]
pub(crate) struct Caches {
    names: [HashMap<String, i64>; 3],
    levels: HashSet<(i64, i64, i64)>,
}

impl Caches {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The three kinds of names.
#[derive(Debug, Clone, Copy)]
enum Naming {
    Station,
    Product,
    Step,
}

impl Naming {
    fn table(self) -> &'static str {
        match self {
            Self::Station => "stations",
            Self::Product => "products",
            Self::Step => "steps",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Station => "station",
            Self::Product => "product",
            Self::Step => "step",
        }
    }
}

impl<'w> Tx<'w> {
    pub(crate) fn new(reader: &'w Reader, caches: &'w mut Caches) -> Self {
        Self { reader, caches, tallies: BTreeMap::new(), key_tallies: BTreeMap::new() }
    }

    /// Writes what was only counted so far; to be called when the closure has ended well.
    pub(crate) fn end(self) -> Result<(), Error> {
        for ((station, product, state), (files, bytes)) in self.tallies {
            if (files, bytes) != (0, 0) {
                self.reader.db.run(
                    "INSERT INTO file_tallies (station, product, state, files, bytes) VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes",
                    (station, product, state, files, bytes),
                )?;
            }
        }
        for ((step, (finished, there, next)), keys) in self.key_tallies {
            if keys != 0 {
                self.reader.db.run(
                    "INSERT INTO key_tallies (step, finished, there, next, keys) VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT DO UPDATE SET keys = keys + excluded.keys",
                    (step, finished, there, next, keys),
                )?;
            }
        }
        Ok(())
    }

    /// Returns all reading functions; they see what this closure has written, but for counts
    /// ([`Reader::count`], [`Reader::tallies`], [`Reader::step_summary`]), which change when it ends.
    pub fn reader(&self) -> &'w Reader {
        self.reader
    }

    fn db(&self) -> &'w Db {
        &self.reader.db
    }

    fn name(&mut self, naming: Naming, name: &str) -> Result<i64, Error> {
        if let Some(&id) = self.caches.names[naming as usize].get(name) {
            return Ok(id);
        }
        let table = naming.table();
        let known = self.db().value(&format!("SELECT id FROM {table} WHERE name = ?1"), [name])?;
        let id = match known {
            Some(id) => id,
            None => self.db().insert(&format!("INSERT INTO {table} (name) VALUES (?1)"), [name])?,
        };
        self.caches.names[naming as usize].insert(name.to_owned(), id);
        Ok(id)
    }

    fn opt_name(&mut self, naming: Naming, name: Option<&str>) -> Result<Option<i64>, Error> {
        name.map(|name| self.name(naming, name)).transpose()
    }

    fn rename(&mut self, naming: Naming, from: &str, to: &str) -> Result<bool, Error> {
        let table = naming.table();
        let id = |name: &str| self.db().value::<i64>(&format!("SELECT id FROM {table} WHERE name = ?1"), [name]);
        let Some(old) = id(from)? else { return Ok(false) };
        if from == to {
            return Ok(true);
        }
        if id(to)?.is_some() {
            let (from, to) = (from.to_owned(), to.to_owned());
            return Err(Error::NameTaken { path: self.db().path.to_path_buf(), what: naming.word(), from, to });
        }
        self.db().run(&format!("UPDATE {table} SET name = ?2 WHERE id = ?1"), (old, to))?;
        self.caches.clear();
        Ok(true)
    }

    /// Gives a step's history to its new name; tells if there was any.
    pub fn rename_step(&mut self, from: &str, to: &str) -> Result<bool, Error> {
        self.rename(Naming::Step, from, to)
    }

    /// Gives a product's history to its new name; tells if there was any.
    pub fn rename_product(&mut self, from: &str, to: &str) -> Result<bool, Error> {
        self.rename(Naming::Product, from, to)
    }

    /// Gives a station's history to its new name; tells if there was any.
    pub fn rename_station(&mut self, from: &str, to: &str) -> Result<bool, Error> {
        self.rename(Naming::Station, from, to)
    }

    /// Returns the number of a content, which is made if need be. Size and data digest are filled in once known.
    fn content(
        &mut self,
        hash: &ContentHash,
        size: Option<i64>,
        data_hash: Option<&ContentHash>,
    ) -> Result<i64, Error> {
        let known = self.db().first(
            "SELECT id, size, data_hash FROM contents WHERE hash = ?1",
            [hash.0.as_slice()],
            |row| Ok((row.get::<i64>()?, row.get::<Option<i64>>()?, row.opt_hash()?)),
        )?;
        let data = data_hash.map(|hash| hash.0.as_slice());
        let Some((id, old_size, old_data)) = known else {
            return self.db().insert(
                "INSERT INTO contents (hash, size, data_hash) VALUES (?1, ?2, ?3)",
                (hash.0.as_slice(), size, data),
            );
        };
        if (size.is_some() && size != old_size) || (data_hash.is_some() && data_hash != old_data.as_ref()) {
            self.db().run(
                "UPDATE contents SET size = ifnull(?2, size), data_hash = ifnull(?3, data_hash) WHERE id = ?1",
                (id, size, data),
            )?;
        }
        Ok(id)
    }

    fn opt_content(&mut self, hash: Option<&ContentHash>) -> Result<Option<i64>, Error> {
        hash.map(|hash| self.content(hash, None, None)).transpose()
    }

    fn json<T: Serialize + ?Sized>(&self, value: &T, what: &'static str) -> Result<String, Error> {
        serde_json::to_string(value).map_err(|_| Error::Unstorable { path: self.db().path.to_path_buf(), what })
    }

    fn opt_json<T: Serialize>(&self, value: Option<&T>, what: &'static str) -> Result<Option<String>, Error> {
        value.map(|value| self.json(value, what)).transpose()
    }

    /// Sets a value of the ledger's own book-keeping.
    pub fn meta_set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        self.db()
            .run("INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value))?;
        Ok(())
    }
}

fn opt_path(path: Option<&RelPath>) -> Option<&str> {
    path.map(RelPath::as_str)
}
