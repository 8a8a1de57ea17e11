//! What the tests share: a ledger in a temporary folder, and rows that differ only where a test says so.

use std::path::PathBuf;

use tempfile::TempDir;
use thalweg_core::{ContentHash, Fields, RelPath, Timestamp, fields_text};
use thalweg_ledger::{Error, FileId, Identity, Ledger, NewRun, Observed, Origin, Reader, RunInput, Settled, Stat, Tx};

/// An instant `seconds` after the start of 2024.
pub(crate) fn t(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_704_067_200 + seconds).unwrap()
}

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::from_text(text)
}

pub(crate) fn hash(n: u64) -> ContentHash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    ContentHash(bytes)
}

pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) ledger: Ledger,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(folder.path().join("ledger.db")).unwrap();
        Self { folder, ledger }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    pub(crate) fn reader(&self) -> Reader {
        self.ledger.reader().unwrap()
    }

    pub(crate) fn write<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> T {
        self.ledger.write(body).unwrap()
    }

    /// Observes and settles a file.
    pub(crate) fn present(&self, seen: Observed, content: u64) -> FileId {
        self.write(move |tx| {
            let file = tx.observe(&seen)?.file;
            assert!(tx.settle(file, &settled(&seen, content))?);
            Ok(file)
        })
    }
}

pub(crate) fn identity(product: &str, name: &str) -> Identity {
    let fields: Fields = [("name".to_owned(), name.into()), ("site".to_owned(), "sas".into())].into();
    Identity {
        product: product.to_owned(),
        fields_key: fields_text(&fields),
        group_key: "site=sas".to_owned(),
        fields,
        ..Identity::default()
    }
}

pub(crate) fn observed(station: &str, product: &str, name: &str) -> Observed {
    Observed {
        station: station.to_owned(),
        path: path(name),
        identity: identity(product, name),
        stat: Stat { size: 100, mtime_ns: 5, ctime_ns: 6, ino: 7, dev: 8 },
        closed: false,
        origin: Origin::Seen,
        at: t(0),
    }
}

/// The same with a coverage in seconds after the start of 2024.
pub(crate) fn covering(station: &str, product: &str, name: &str, start: i64, end: Option<i64>) -> Observed {
    let mut seen = observed(station, product, name);
    seen.identity.start = Some(t(start));
    seen.identity.end = end.map(t);
    seen
}

pub(crate) fn settled(seen: &Observed, content: u64) -> Settled {
    Settled {
        identity: seen.identity.clone(),
        stat: seen.stat,
        content: hash(content),
        data_hash: None,
        indexed: vec!["site".to_owned()],
        origin: Origin::Seen,
        run: None,
        verify_mode: "read".to_owned(),
        at: seen.at,
    }
}

pub(crate) fn new_run(step: &str, key: &str, identity: u64, inputs: Vec<RunInput>) -> NewRun {
    NewRun {
        step: step.to_owned(),
        step_version: 1,
        station: "site".to_owned(),
        key: key.to_owned(),
        identity: hash(identity),
        inputs,
        started: t(0),
        attempt: 1,
        pid: Some(4711),
        host: "here".to_owned(),
        program: "0.1.0".to_owned(),
        verb_version: None,
        command: vec!["thalweg".to_owned(), "a b".to_owned()],
        log: Some("log/1".to_owned()),
        staging: None,
        partial: false,
        awaited: None,
        fresh: false,
        batch: None,
    }
}
