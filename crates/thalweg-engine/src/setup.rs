//! What an engine is given: the flow, the stations that are on this host, and where its own files lie.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thalweg_core::{Clock, RelPath};
use thalweg_flow::{Flow, Station};
use thalweg_store::{LocalStore, RootId, Store};

use crate::EngineError;

/// What an engine is given.
#[derive(Clone)]
pub struct Setup {
    /// The rules.
    pub flow: Arc<Flow>,
    /// The flow file.
    pub flow_path: PathBuf,
    /// Digest of the flow file's text, as hexadecimal digits.
    pub flow_digest: String,
    /// The folder that relative roots and settings files are relative to.
    pub base: PathBuf,
    /// The stations of this host.
    pub here: BTreeSet<String>,
    /// The ledger.
    pub ledger: PathBuf,
    /// Folder of run logs, lock and control socket.
    pub state: PathBuf,
    /// This program, for built-in verbs and probes.
    pub program: PathBuf,
    /// Version and build of this program.
    pub version: String,
    /// Formats whose probe this program has.
    pub formats: Vec<String>,
    /// Runs at once; `None`: as many as there are processors.
    pub slots: Option<usize>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

/// The stations of this host with their stores.
#[derive(Debug, Clone)]
pub struct Places {
    stores: BTreeMap<String, (PathBuf, Arc<dyn Store>)>,
}

impl Places {
    /// Opens the roots of all stations that are on this host; a root that is missing is made, unless the station is only
    /// read or lies on a volume.
    pub fn open(setup: &Setup) -> Self {
        Self::with(setup, true)
    }

    /// Opens the roots of all stations that are on this host and makes nothing.
    pub fn look(setup: &Setup) -> Self {
        Self::with(setup, false)
    }

    fn with(setup: &Setup, make: bool) -> Self {
        let mut stores: BTreeMap<String, (PathBuf, Arc<dyn Store>)> = BTreeMap::new();
        for station in setup.flow.stations.values().filter(|station| setup.here.contains(&station.name)) {
            let root = root_of(setup, station);
            if make && !station.read_only && station.volume.is_none() && !root.exists() {
                // If this fails, the station is unavailable, which the first listing tells.
                let _ = std::fs::create_dir_all(&root);
            }
            // A root that is not there now is unavailable, and no reason not to work for the others.
            let store =
                LocalStore::open(&root).unwrap_or_else(|_| LocalStore::open_as(&root, RootId { dev: 0, ino: 0 }));
            stores.insert(station.name.clone(), (root, Arc::new(store)));
        }
        Self { stores }
    }

    /// Checks that no two roots are one folder or lie inside each other, whatever names lead to them.
    ///
    /// # Errors
    ///
    /// [`EngineError::Overlap`].
    pub fn check_apart(&self) -> Result<(), EngineError> {
        use std::os::unix::fs::MetadataExt;
        let mut seen: Vec<(&str, PathBuf, (u64, u64))> = Vec::new();
        for (name, root, _) in self.stations() {
            let (Ok(real), Ok(meta)) = (root.canonicalize(), root.metadata()) else { continue };
            let id = (meta.dev(), meta.ino());
            for (other, path, other_id) in &seen {
                let what = if *other_id == id {
                    "both roots are the same folder"
                } else if real.starts_with(path) || path.starts_with(&real) {
                    "one root lies inside the other"
                } else {
                    continue;
                };
                return Err(EngineError::Overlap {
                    one: (*other).to_owned(),
                    other: name.to_owned(),
                    what: what.to_owned(),
                });
            }
            seen.push((name, real, id));
        }
        Ok(())
    }

    /// Returns the store of a station of this host.
    pub fn store(&self, station: &str) -> Option<&Arc<dyn Store>> {
        self.stores.get(station).map(|(_, store)| store)
    }

    /// Returns the root of a station of this host.
    pub fn root(&self, station: &str) -> Option<&Path> {
        self.stores.get(station).map(|(root, _)| root.as_path())
    }

    /// Returns the absolute path of a file.
    pub fn absolute(&self, station: &str, path: &RelPath) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStringExt;
        let name = std::ffi::OsString::from_vec(path.to_bytes());
        self.root(station).map(|root| root.join(name))
    }

    /// Returns station and path of an absolute path that lies below a root of this host.
    pub fn locate(&self, absolute: &Path) -> Option<(String, RelPath)> {
        use std::os::unix::ffi::OsStrExt;
        self.stores.iter().find_map(|(name, (root, _))| {
            let below = absolute.strip_prefix(root).ok()?;
            Some((name.clone(), RelPath::from_bytes(below.as_os_str().as_bytes())))
        })
    }

    /// Returns the stations of this host.
    pub fn stations(&self) -> impl Iterator<Item = (&str, &Path, &Arc<dyn Store>)> {
        self.stores.iter().map(|(name, (root, store))| (name.as_str(), root.as_path(), store))
    }
}

/// Returns the absolute root of a station.
pub fn root_of(setup: &Setup, station: &Station) -> PathBuf {
    let root = setup.base.join(&station.root);
    std::path::absolute(&root).unwrap_or(root)
}

/// Returns the name of this host.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
