//! Facts held in memory: for tests, planning cases and simulations.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thalweg_core::{ContentHash, RelPath, Timestamp, Value};

use super::{
    Contribution, DoneRun, Facts, FailedRun, FileFact, FileQuery, FileState, Hold, KeyId, Listing, Round, UsedFile,
    VerbVersion,
};

/// All facts of one moment, in plain collections.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MemoryFacts {
    /// The present moment.
    pub now: Timestamp,
    /// All files.
    pub files: Vec<FileFact>,
    /// Last successful runs by step and key text.
    pub done: BTreeMap<String, DoneRun>,
    /// Last failures by step and key text.
    pub failed: BTreeMap<String, FailedRun>,
    /// Runs under way by step and key text.
    pub running: BTreeMap<String, (i64, Timestamp)>,
    /// Contributions by product, identity and content.
    pub contributions: BTreeMap<String, Vec<Contribution>>,
    /// Holds by step name, station name, or step and key text.
    pub holds: BTreeMap<String, Hold>,
    /// Rounds by step and station.
    pub rounds: BTreeMap<String, Round>,
    /// Listings by station.
    pub listings: BTreeMap<String, Listing>,
    /// Since when keys are open, by step and key text.
    pub opened: BTreeMap<String, Timestamp>,
    /// Digests of settings files.
    pub settings: BTreeMap<String, ContentHash>,
    /// What external commands say of their own versions, by step.
    #[serde(default)]
    pub verb_versions: BTreeMap<String, VerbVersion>,
    /// Paths that exist besides, as `station/path`.
    pub markers: BTreeSet<String>,
    /// Recorded events as `name station/path`.
    pub events: BTreeSet<String>,
    /// Open keys.
    pub open: Vec<KeyId>,
    /// All keys ever looked at, by step and key text.
    #[serde(default)]
    pub keys: BTreeMap<String, KeyId>,
    /// Stations out of reach and why.
    pub out_of_reach: BTreeMap<String, String>,
    /// Stations whose steps are another engine's work.
    #[serde(default)]
    pub elsewhere: BTreeSet<String>,
    /// Free and total bytes of stations.
    pub space: BTreeMap<String, (u64, u64)>,
}

/// Tells if a file fulfils a query.
pub(crate) fn fulfils(file: &FileFact, query: &FileQuery<'_>) -> bool {
    query.station.is_none_or(|station| station == file.station)
        && file.product == query.product
        && query.fields.iter().all(|(name, value)| file.fields.get(*name) == Some(*value))
        && match (query.overlapping, file.coverage) {
            (Some(span), Some(coverage)) => span.overlaps(&coverage),
            _ => true,
        }
}

impl MemoryFacts {
    /// Returns the name under which a key's runs are kept here.
    pub fn name_of(key: &KeyId) -> String {
        format!("{} {}", key.step, key.text())
    }
}

impl Facts for MemoryFacts {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn files_of(&self, station: &str, product: &str, identity: &str) -> Vec<FileFact> {
        let same = |file: &&FileFact| file.station == station && file.product == product && file.identity == identity;
        self.files.iter().filter(same).cloned().collect()
    }

    fn files(&self, query: &FileQuery<'_>) -> Vec<FileFact> {
        let mut files: Vec<_> = self.files.iter().filter(|file| fulfils(file, query)).cloned().collect();
        files.sort_by(|a, b| (a.coverage, &a.path).cmp(&(b.coverage, &b.path)));
        files
    }

    fn file_at(&self, station: &str, path: &RelPath) -> Option<FileFact> {
        self.files.iter().find(|file| file.station == station && file.path == *path).cloned()
    }

    fn newest_start(
        &self,
        station: &str,
        product: &str,
        series: &[(&str, &Value)],
        not_after: Timestamp,
    ) -> Option<Timestamp> {
        self.files
            .iter()
            .filter(|file| file.station == station && file.product == product && !file.is_revoked())
            .filter(|file| series.iter().all(|(name, value)| file.fields.get(*name) == Some(*value)))
            .filter_map(|file| file.coverage.map(|coverage| coverage.start))
            .filter(|start| *start <= not_after)
            .max()
    }

    fn exists(&self, station: &str, path: &RelPath) -> bool {
        self.markers.contains(&format!("{station}/{}", path.as_str()))
    }

    fn event(&self, name: &str, file: &FileFact) -> bool {
        self.events.contains(&format!("{name} {}/{}", file.station, file.path.as_str()))
    }

    fn settings_file(&self, path: &str) -> Option<ContentHash> {
        self.settings.get(path).copied()
    }

    fn verb_version(&self, step: &str) -> Option<VerbVersion> {
        self.verb_versions.get(step).cloned()
    }

    fn last_done(&self, key: &KeyId) -> Option<DoneRun> {
        self.done.get(&Self::name_of(key)).cloned()
    }

    fn last_failure(&self, key: &KeyId) -> Option<FailedRun> {
        self.failed.get(&Self::name_of(key)).cloned()
    }

    fn running(&self, key: &KeyId) -> Option<(i64, Timestamp)> {
        self.running.get(&Self::name_of(key)).copied()
    }

    fn made_by(&self, station: &str, path: &RelPath) -> Option<(String, String)> {
        let (name, _) = self
            .done
            .iter()
            .filter(|(_, run)| run.outputs.iter().any(|o| o.station == station && o.path == *path))
            .max_by_key(|(_, run)| run.run)?;
        let (step, key) = name.split_once(' ')?;
        Some((step.to_owned(), key.to_owned()))
    }

    fn open_keys(&self, step: &str) -> Vec<KeyId> {
        self.open.iter().filter(|key| key.step == step).cloned().collect()
    }

    fn key_named(&self, step: &str, text: &str) -> Option<KeyId> {
        let open = || self.open.iter().find(|key| key.step == step && key.text() == text);
        self.keys.get(&format!("{step} {text}")).or_else(open).cloned()
    }

    fn contributions(&self, product: &str, identity: &str, hash: &ContentHash) -> Vec<Contribution> {
        self.contributions.get(&format!("{product}({identity}) {hash}")).cloned().unwrap_or_default()
    }

    fn hold(&self, key: &KeyId, _driving: &[FileFact]) -> Option<Hold> {
        [key.step.as_str(), key.station.as_str(), &Self::name_of(key)]
            .into_iter()
            .find_map(|name| self.holds.get(name))
            .cloned()
    }

    fn round(&self, step: &str, station: &str) -> Round {
        self.rounds.get(&format!("{step} {station}")).copied().unwrap_or_default()
    }

    fn listing(&self, station: &str) -> Listing {
        self.listings.get(station).cloned().unwrap_or(Listing { last_ok: Some(self.now), failing: None })
    }

    fn opened(&self, key: &KeyId) -> Option<Timestamp> {
        self.opened.get(&Self::name_of(key)).copied()
    }

    fn made_since(&self, step: &str, start: Timestamp) -> bool {
        let of_step = |name: &str| name.split_once(' ').is_some_and(|(first, _)| first == step);
        self.done.iter().filter(|(name, _)| of_step(name)).any(|(_, run)| {
            run.outputs.iter().any(|output| {
                let file = self.file_at(&output.station, &output.path);
                file.and_then(|file| file.coverage).is_some_and(|coverage| coverage.start >= start)
            })
        })
    }

    fn derived(&self, from: &FileFact, product: &str) -> Vec<UsedFile> {
        let Some(hash) = from.hash else { return Vec::new() };
        let mut known = BTreeSet::from([(from.product.clone(), from.identity.clone(), hash)]);
        let mut found = BTreeSet::new();
        loop {
            let before = known.len();
            for run in self.done.values() {
                if run.inputs.iter().any(|i| known.contains(&(i.product.clone(), i.identity.clone(), i.hash))) {
                    for output in &run.outputs {
                        known.insert((output.product.clone(), output.identity.clone(), output.hash));
                        if output.product == product {
                            found.insert(UsedFile {
                                role: String::new(),
                                product: output.product.clone(),
                                identity: output.identity.clone(),
                                hash: output.hash,
                            });
                        }
                    }
                }
            }
            if known.len() == before {
                return found.into_iter().collect();
            }
        }
    }

    fn users(&self, product: &str, identity: &str) -> Vec<KeyId> {
        let uses = |run: &DoneRun| {
            run.inputs.iter().any(|used| used.product == product && used.identity == identity)
                || run.outputs.iter().any(|left| left.product == product && left.identity == identity)
        };
        self.done.iter().filter(|(_, run)| uses(run)).filter_map(|(name, _)| self.keys.get(name).cloned()).collect()
    }

    fn out_of_reach(&self, station: &str) -> Option<String> {
        self.out_of_reach.get(station).cloned()
    }

    fn is_elsewhere(&self, station: &str) -> bool {
        self.elsewhere.contains(station)
    }

    fn space(&self, station: &str) -> Option<(u64, u64)> {
        self.space.get(station).copied()
    }
}

impl FileFact {
    /// Returns this file in another state.
    #[must_use]
    pub fn in_state(mut self, state: FileState) -> Self {
        self.state = state;
        self
    }
}
