//! Opening a ledger: what is accepted, how the connection is set, and how an older schema is brought up to date.

use std::cell::RefCell;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::Error;
use crate::db::Db;

/// The newest schema version that this program knows.
#[expect(clippy::cast_possible_wrap, reason = "a handful of migrations")]
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Stands in the header of every ledger ("thlw").
const APPLICATION_ID: i64 = 0x7468_6C77;

/// Migration number n brings a ledger of version n to version n + 1.
const MIGRATIONS: &[&str] = &[include_str!("schema_v1.sql"), include_str!("schema_v2.sql")];

/// How to open a ledger.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long to wait for another process that has the ledger locked.
    pub busy_timeout: Duration,
    /// Page cache of the writer, KiB; readers take a quarter of it.
    pub cache_kib: u32,
    /// Most closures in one transaction.
    pub group_size: usize,
    /// For how long a transaction takes further closures.
    pub group_time: Duration,
    /// Upper bound of the file's size in pages of 4 KiB; beyond it writes fail with [`Error::Full`].
    pub max_pages: Option<u32>,
    /// Whether a write is answered only when it is on the disk. Off is for simulations that may lose all.
    pub durable: bool,
    /// Asked before each write.
    pub gate: Option<Gate>,
}

/// Something that is asked before each write and says whether there is room for it: for simulations of what comes between
/// two writes.
#[derive(Clone)]
pub struct Gate(Arc<dyn Fn() -> bool + Send + Sync>);

impl Gate {
    /// Makes a gate; with `false` as the answer a write fails with [`Error::Full`].
    pub fn new(is_open: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_open))
    }

    pub(crate) fn is_open(&self) -> bool {
        (self.0)()
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(10),
            cache_kib: 64 << 10,
            group_size: 2000,
            group_time: Duration::from_millis(20),
            max_pages: None,
            durable: true,
            gate: None,
        }
    }
}

/// What kind of file lies at a path.
enum Found {
    /// Nothing but an empty database.
    Empty,
    /// A ledger of this schema version.
    Version(i64),
}

/// Opens the connection of the writer; makes the ledger if it is not there and `create` is set.
pub(crate) fn writer(path: &Path, create: bool, options: &Options) -> Result<Db, Error> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    } else if !path.exists() {
        return Err(Error::Missing { path: path.to_owned() });
    }
    let mut db = connect(path, flags, options)?;
    // Look before anything is written: what is not ours is left as it is.
    // An empty one is what the making of a ledger leaves that was cut off.
    if matches!(look(&db)?, Found::Empty) && !create {
        return Err(Error::Missing { path: path.to_owned() });
    }
    let mode: Option<String> = db.value("PRAGMA journal_mode = WAL", [])?;
    let mode = mode.unwrap_or_default();
    if mode != "wal" {
        return Err(Error::NoWriteAheadLog { path: path.to_owned(), found: mode });
    }
    // Not temp_store = MEMORY: the journal of a savepoint would then be a list in memory that is walked from its head
    // after each statement, which makes a closure of many rows quadratic.
    db.batch(&format!(
        "PRAGMA synchronous = {}; PRAGMA foreign_keys = ON; PRAGMA cache_size = -{}; \
         PRAGMA journal_size_limit = {}; PRAGMA wal_autocheckpoint = 4000; PRAGMA cell_size_check = ON;",
        if options.durable { "FULL" } else { "OFF" },
        options.cache_kib,
        64 << 20,
    ))?;
    if let Some(pages) = options.max_pages {
        db.value::<i64>(&format!("PRAGMA max_page_count = {pages}"), [])?;
    }
    migrate(&mut db)?;
    Ok(db)
}

/// Opens a connection that can only read; also on a read-only file system.
pub(crate) fn reader(path: &Path, options: &Options) -> Result<Db, Error> {
    if !path.exists() {
        return Err(Error::Missing { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = connect(path, flags, options).and_then(|db| look(&db).map(|found| (db, found)));
    let (db, found) = match opened {
        Ok(opened) => opened,
        // A write-ahead log needs a shared memory file beside it. Where none can be made, nobody writes either, and the
        // file can be read as it stands, if the log holds nothing.
        Err(Error::Io { .. } | Error::ReadOnly { .. }) if !can_make_files_beside(path) => {
            if std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0) {
                return Err(Error::UnreadLog { path: path.to_owned() });
            }
            let db = connect(&immutable_uri(path), flags | OpenFlags::SQLITE_OPEN_URI, options)?;
            let db = Db { path: path.into(), ..db };
            let found = look(&db)?;
            (db, found)
        }
        Err(error) => return Err(error),
    };
    match found {
        Found::Version(SCHEMA_VERSION) => {}
        Found::Version(found) => {
            // Only the writer migrates, and the queries here know one schema.
            return Err(Error::Older { path: path.to_owned(), found, known: SCHEMA_VERSION });
        }
        // What the making of a ledger leaves that was cut off.
        Found::Empty => return Err(Error::Missing { path: path.to_owned() }),
    }
    db.batch(&format!(
        "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{};",
        options.cache_kib / 4
    ))?;
    Ok(db)
}

fn connect(path: &Path, flags: OpenFlags, options: &Options) -> Result<Db, Error> {
    let conn = Connection::open_with_flags(path, flags).map_err(|error| Error::sql(path, error))?;
    conn.busy_timeout(options.busy_timeout).map_err(|error| Error::sql(path, error))?;
    conn.set_prepared_statement_cache_capacity(256);
    // Else a statement is prepared anew whenever the values of its parameters change.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(|error| Error::sql(path, error))?;
    Ok(Db { conn, path: path.into(), queries: RefCell::default() })
}

/// Reads what the file is; refuses what is not ours or too new.
fn look(db: &Db) -> Result<Found, Error> {
    let application = db.value::<i64>("PRAGMA application_id", [])?.unwrap_or(0);
    let version = db.value::<i64>("PRAGMA user_version", [])?.unwrap_or(0);
    let tables = db.value::<i64>("SELECT count(*) FROM sqlite_schema", [])?.unwrap_or(0);
    let path = || db.path.to_path_buf();
    if application == 0 && version == 0 && tables == 0 {
        return Ok(Found::Empty);
    }
    if application != APPLICATION_ID {
        return Err(Error::NotALedger { path: path(), found: "it is the database of another program".to_owned() });
    }
    if version > SCHEMA_VERSION {
        return Err(Error::Newer { path: path(), found: version, known: SCHEMA_VERSION });
    }
    if version < 1 {
        return Err(Error::NotALedger { path: path(), found: format!("its schema version is {version}") });
    }
    Ok(Found::Version(version))
}

/// Brings the schema up to date in one transaction; another process may do the same at the same time.
fn migrate(db: &mut Db) -> Result<(), Error> {
    if matches!(look(db)?, Found::Version(SCHEMA_VERSION)) {
        return Ok(());
    }
    let path = db.path.clone();
    let sql = |error| Error::sql(&path, error);
    let tx = db.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    let version: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sql)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        tx.execute_batch(migration).map_err(sql)?;
    }
    tx.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"))
        .map_err(sql)?;
    tx.commit().map_err(sql)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Tells if a file could be made beside the ledger. Trying is the only answer that holds on every file system.
fn can_make_files_beside(path: &Path) -> bool {
    let probe = beside(path, &format!("-probe-{}", std::process::id()));
    let made = std::fs::File::create_new(&probe).is_ok();
    if made {
        // Best effort: an empty file that stays behind does no harm.
        let _ = std::fs::remove_file(&probe);
    }
    made
}

fn immutable_uri(path: &Path) -> PathBuf {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri.push_str("?immutable=1");
    PathBuf::from(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_path_survives_in_a_uri() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/a b/c?d#e%\xff.db"));
        assert_eq!(immutable_uri(path), PathBuf::from("file:/a%20b/c%3Fd%23e%25%FF.db?immutable=1"));
    }
}
