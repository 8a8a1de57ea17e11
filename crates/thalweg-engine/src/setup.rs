//! What an engine is given: the flow, the stations that are on this host, and where its own files lie.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thalweg_core::{Clock, RelPath};
use thalweg_flow::{Flow, Station};
use thalweg_ledger::Reader;
use thalweg_store::{RootId, Store};

use crate::{EngineError, Host};

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
    /// Folder of logs, where it is another than the flow file says.
    pub log_dir: Option<PathBuf>,
    /// Runs at once; `None`: as many as there are processors.
    pub slots: Option<usize>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// What the engine has around it.
    pub host: Arc<dyn Host>,
}

impl Setup {
    /// Returns the folder of the logs.
    pub fn log_folder(&self) -> PathBuf {
        let said = self.log_dir.as_deref().or(self.flow.log.dir.as_deref().map(Path::new));
        said.map_or_else(|| self.state.join("logs"), |folder| self.base.join(folder))
    }
}

/// The stations of this host with their stores, and those of other ledgers whose roots are mounted here: files go there
/// and come from there, but they are neither listed nor cleared up from here.
#[derive(Debug, Clone)]
pub struct Places {
    stores: BTreeMap<String, Place>,
}

#[derive(Debug, Clone)]
struct Place {
    root: PathBuf,
    store: Arc<dyn Store>,
    here: bool,
}

/// A root that is not there and that nothing makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRoot {
    /// Which, and why it stays missing.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl std::fmt::Display for MissingRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl Places {
    /// Opens the roots of all stations that are on this host; a root that is missing is made where the flow writes
    /// ([`makes_root`]). Where it only reads, the root is mistyped or not mounted, and the station unavailable until it is
    /// there.
    ///
    /// Where the ledger knows files of a station, its root is neither made, nor is an empty folder taken for it: it is not
    /// mounted, and unavailable until it is.
    ///
    /// # Errors
    ///
    /// Those of the ledger.
    pub fn open(setup: &Setup, reader: &Reader) -> Result<Self, EngineError> {
        let mut known = BTreeMap::new();
        for station in &setup.here {
            let recorded = reader.meta(&crate::scan::root_meta(station))?;
            let root = recorded.as_deref().and_then(crate::scan::root_of_text);
            if let Some(root) = root
                && reader.known_files(station)?.next().is_some()
            {
                known.insert(station.clone(), root);
            }
        }
        Ok(Self::with(setup, true, &known))
    }

    /// Opens the roots of all stations that are on this host and makes nothing.
    pub fn look(setup: &Setup) -> Self {
        Self::with(setup, false, &BTreeMap::new())
    }

    fn with(setup: &Setup, make: bool, known: &BTreeMap<String, RootId>) -> Self {
        let mut stores = BTreeMap::new();
        for station in setup.flow.stations.values() {
            let here = setup.here.contains(&station.name);
            if !here && station.reach.is_some() {
                continue;
            }
            let root = root_of(setup, station);
            let make = make && here && makes_root(&setup.flow, station);
            let store = setup.host.store(&station.name, &root, make, known.get(&station.name).copied());
            stores.insert(station.name.clone(), Place { root, store, here });
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

    /// Returns why a station of this host has no root and will get none by itself; none where all is well.
    pub fn missing_root(&self, flow: &Flow, station: &str) -> Option<MissingRoot> {
        let place = self.stores.get(station).filter(|place| place.here)?;
        let of_flow = flow.stations.get(station)?;
        if makes_root(flow, of_flow)
            || !place.store.stat(&RelPath::default()).is_err_and(|error| error.is_missing_root())
        {
            return None;
        }
        let (why, remedy) = match &of_flow.volume {
            Some(volume) => (format!("the volume {volume} is not mounted"), "plug it in and mount it"),
            None => (
                "the flow writes nothing there, so no run makes it".to_owned(),
                "make the folder, mount what belongs there, or correct `root`",
            ),
        };
        let what = format!("its root {} is not there: {why}", place.root.display());
        Some(MissingRoot { what, remedy: format!("{remedy}; it is taken up when it is there") })
    }

    /// Returns the store of a station of this host, or of one that is mounted here.
    pub fn store(&self, station: &str) -> Option<&Arc<dyn Store>> {
        self.stores.get(station).map(|place| &place.store)
    }

    /// Tells if a station is one of this host: its steps, keeps and listings are this engine's work.
    pub fn is_here(&self, station: &str) -> bool {
        self.stores.get(station).is_some_and(|place| place.here)
    }

    /// Tells if a station is mounted here, while its steps are another engine's work.
    pub fn is_elsewhere(&self, station: &str) -> bool {
        self.stores.get(station).is_some_and(|place| !place.here)
    }

    /// Returns the root of a station of this host, or of one that is mounted here.
    pub fn root(&self, station: &str) -> Option<&Path> {
        self.stores.get(station).map(|place| place.root.as_path())
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
        self.stores.iter().find_map(|(name, place)| {
            let below = absolute.strip_prefix(&place.root).ok()?;
            Some((name.clone(), RelPath::from_bytes(below.as_os_str().as_bytes())))
        })
    }

    /// Returns the stations of this host and those that are mounted here.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Arc<dyn Store>)> {
        self.stores.iter().map(|(name, place)| (name.as_str(), &place.store))
    }

    /// Returns the stations of this host.
    pub fn stations(&self) -> impl Iterator<Item = (&str, &Path, &Arc<dyn Store>)> {
        let here = self.stores.iter().filter(|(_, place)| place.here);
        here.map(|(name, place)| (name.as_str(), place.root.as_path(), &place.store))
    }
}

/// Tells if a root that is missing is made: the flow writes there, and no volume is expected there.
pub fn makes_root(flow: &Flow, station: &Station) -> bool {
    !station.read_only && station.volume.is_none() && flow.writes_to(&station.name)
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
