//! Files that are older than the first `run` here: how much they are, and whether they are acted on.
//!
//! A first `run` that would set out on years of old files is asked about beforehand. What is left alone is entered as known,
//! under a mark of its station and product: the greatest number that a file of it has in the ledger. A file with such a
//! number that did not change since is not taken by itself; whatever comes later has a greater one. No times are compared:
//! clocks are set back.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use thalweg_core::{RelPath, Timestamp};
use thalweg_flow::planner::{FileFact, Origin as By};
use thalweg_flow::{Flow, Step, When};
use thalweg_ledger::{FileId, FileRow, Ledger, Observed, Origin, Reader, Stat};
use thalweg_store::{Entry, Kind};

use crate::classify::{Classifier, identity};
use crate::scan::{meta_of, stat_of, stat_of_unit};
use crate::{Engine, EngineError, Places};

/// Files entered in one transaction.
const TOGETHER: usize = 2000;

/// The files of one product at one station that are left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The greatest number of theirs in the ledger.
    pub last: i64,
    /// Those that have changed or come back since: they are new.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub changed: BTreeSet<i64>,
    /// When they were entered.
    pub at: Timestamp,
    /// Who said so.
    pub by: String,
}

/// The marks, by station and product.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks(BTreeMap<(String, String), Mark>);

impl Mark {
    fn covers(&self, file: i64) -> bool {
        file <= self.last && !self.changed.contains(&file)
    }
}

fn mark_name(station: &str, product: &str) -> String {
    format!("backlog {station} {product}")
}

fn met_name(station: &str) -> String {
    format!("run {station}")
}

impl Marks {
    /// Reads the marks of a flow's stations and products.
    ///
    /// # Errors
    ///
    /// Those of the ledger.
    pub fn read(flow: &Flow, reader: &Reader) -> Result<Self, thalweg_ledger::Error> {
        let mut marks = BTreeMap::new();
        for station in flow.stations.keys() {
            for product in flow.products.keys() {
                let text = reader.meta(&mark_name(station, product))?;
                if let Some(mark) = text.and_then(|text| serde_json::from_str(&text).ok()) {
                    marks.insert((station.clone(), product.clone()), mark);
                }
            }
        }
        Ok(Self(marks))
    }

    /// Tells if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, station: &str, product: &str) -> Option<&Mark> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&(station.to_owned(), product.to_owned()))
    }

    /// Returns since when a file is left alone, if it is.
    pub fn since(&self, file: &FileFact) -> Option<Timestamp> {
        let mark = self.get(&file.station, &file.product)?;
        (file.origin == By::Seen && mark.covers(file.id)).then_some(mark.at)
    }

    /// The same of a row of the ledger.
    pub(crate) fn covers(&self, row: &FileRow) -> bool {
        row.origin == Origin::Seen && self.has(&row.station, &row.product, row.id)
    }

    /// Tells if a file of this number is left alone.
    pub(crate) fn has(&self, station: &str, product: &str, file: FileId) -> bool {
        self.get(station, product).is_some_and(|mark| mark.covers(file.0))
    }

    /// Returns the marks as they are once these files have changed; none if that makes no difference.
    pub(crate) fn without(&self, changed: &[(&str, &str, FileId)]) -> Option<Self> {
        let mut new = None;
        for (station, product, file) in changed {
            if self.has(station, product, *file) {
                let marks: &mut Self = new.get_or_insert_with(|| self.clone());
                if let Some(mark) = marks.0.get_mut(&((*station).to_owned(), (*product).to_owned())) {
                    mark.changed.insert(file.0);
                }
            }
        }
        new
    }

    /// Returns what the ledger keeps of them: names and values.
    pub(crate) fn kept(&self) -> Vec<(String, String)> {
        let of = |((station, product), mark): (&(String, String), &Mark)| {
            (mark_name(station, product), serde_json::json!(mark).to_string())
        };
        self.0.iter().map(of).collect()
    }

    /// Returns station and product of every mark.
    pub(crate) fn places(&self) -> Vec<(String, String)> {
        self.0.keys().cloned().collect()
    }
}

/// Takes marks away, so that their files are acted on.
///
/// # Errors
///
/// Those of the ledger.
pub(crate) fn lift(ledger: &Ledger, places: &[(String, String)]) -> Result<(), EngineError> {
    let names: Vec<String> = places.iter().map(|(station, product)| mark_name(station, product)).collect();
    ledger.write(move |tx| names.iter().try_for_each(|name| tx.meta_set(name, "")))?;
    Ok(())
}

/// How much one step would have to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfStep {
    /// The step.
    pub step: String,
    /// Files that it takes.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Files by station and product.
type Found = BTreeMap<(String, String), Vec<(RelPath, Stat)>>;

/// What a `run` meets for the first time.
#[derive(Debug, Default)]
pub struct FirstRun {
    /// Old files that steps take by themselves.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The same for each step that takes files from outside.
    pub steps: Vec<OfStep>,
    found: Found,
    met: BTreeMap<String, BTreeSet<String>>,
}

/// What is done with old files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldFiles {
    /// They are acted on like all others.
    Do,
    /// They are entered as known, and only what comes from now on is acted on.
    Leave,
}

impl Engine {
    /// Returns what a `run` would meet for the first time: the stations and products that no `run` has seen before are listed,
    /// and nothing is read or recorded.
    ///
    /// # Errors
    ///
    /// Those of the ledger. A station that cannot be listed is left out: it is met when it can be.
    pub fn first_run(&self) -> Result<FirstRun, EngineError> {
        let flow = &self.setup.flow;
        let reader = self.ledger.reader()?;
        let mut first = FirstRun::default();
        for station in self.places.stations().map(|(name, _, _)| name.to_owned()) {
            let known = reader.meta(&met_name(&station))?;
            let known: BTreeSet<String> =
                known.map(|text| serde_json::from_str(&text).unwrap_or_default()).unwrap_or_default();
            let all: BTreeSet<String> = flow.products.keys().cloned().collect();
            let new: BTreeSet<String> = all.difference(&known).cloned().collect();
            if new.is_empty() {
                continue;
            }
            let taken = taken_at(flow, &station, &new);
            if !taken.is_empty() {
                let Some(found) = list(flow, &self.classifier, &self.places, &station, &taken) else { continue };
                first.found.extend(found);
            }
            first.met.insert(station, &known | &all);
        }
        first.count(flow);
        Ok(first)
    }

    /// Records that this `run` has met what it met, and what is done with it.
    ///
    /// # Errors
    ///
    /// Those of the ledger.
    pub fn begin(&self, first: FirstRun, what: OldFiles, by: &str) -> Result<(), EngineError> {
        let now = self.setup.clock.now();
        if what == OldFiles::Leave {
            for ((station, product), files) in &first.found {
                self.enter(station, product, files, by, now)?;
            }
        }
        let met = first.met.into_iter();
        let met: Vec<(String, String)> =
            met.map(|(station, products)| (met_name(&station), serde_json::json!(products).to_string())).collect();
        if !met.is_empty() {
            self.ledger.write(move |tx| met.iter().try_for_each(|(name, value)| tx.meta_set(name, value)))?;
        }
        Ok(())
    }

    /// Has old files that were left alone acted on after all.
    ///
    /// # Errors
    ///
    /// Those of the ledger.
    pub fn take_up_old_files(&self) -> Result<(), EngineError> {
        let marks = Marks::read(&self.setup.flow, &self.ledger.reader()?)?;
        if marks.is_empty() {
            return Ok(());
        }
        lift(&self.ledger, &marks.places())?;
        // Nobody has looked at their keys: the engine does so as after an end out of order.
        self.ledger.write(|tx| tx.meta_set(crate::dispatcher::AT_WORK, "yes"))?;
        Ok(())
    }

    fn enter(
        &self,
        station: &str,
        product: &str,
        files: &[(RelPath, Stat)],
        by: &str,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let flow = &self.setup.flow;
        let Some(store) = self.places.store(station) else { return Ok(()) };
        let writers = store.open_writers();
        let mut last = 0;
        for some in files.chunks(TOGETHER) {
            let observed: Vec<Observed> = some
                .iter()
                .filter_map(|(path, stat)| {
                    let folder = flow.products.get(product)?.pattern_at(station).is_folder();
                    let (product, fields) = self.classifier.product(flow, station, path, folder)?;
                    Some(Observed {
                        station: station.to_owned(),
                        path: path.clone(),
                        identity: identity(product, fields, None, now),
                        stat: *stat,
                        closed: writers.writer_of(&meta_of(stat)).is_none(),
                        origin: Origin::Seen,
                        at: now,
                    })
                })
                .collect();
            let greatest = self.ledger.write(move |tx| {
                let mut greatest = 0;
                for file in &observed {
                    greatest = tx.observe(file)?.file.0.max(greatest);
                }
                Ok(greatest)
            })?;
            last = greatest.max(last);
        }
        let mark = serde_json::json!(Mark { last, changed: BTreeSet::new(), at: now, by: by.to_owned() }).to_string();
        let name = mark_name(station, product);
        self.ledger.write(move |tx| tx.meta_set(&name, &mark))?;
        Ok(())
    }
}

impl FirstRun {
    fn count(&mut self, flow: &Flow) {
        let of = |files: &[(RelPath, Stat)]| {
            (u64::try_from(files.len()).unwrap_or(u64::MAX), files.iter().map(|(_, stat)| stat.size).sum::<u64>())
        };
        for files in self.found.values() {
            let (files, bytes) = of(files);
            self.files += files;
            self.bytes += bytes;
        }
        for step in flow.step_order.iter().filter_map(|name| flow.steps.get(name)) {
            if matches!(step.when, When::Asked) {
                continue;
            }
            let mut sum = OfStep { step: step.name.clone(), files: 0, bytes: 0 };
            for ((station, product), files) in &self.found {
                if step.takes_from(station, product) {
                    let (files, bytes) = of(files);
                    sum.files += files;
                    sum.bytes += bytes;
                }
            }
            if sum.files > 0 {
                self.steps.push(sum);
            }
        }
    }
}

// Those of these products of which a step takes files at a station by itself.
fn taken_at(flow: &Flow, station: &str, among: &BTreeSet<String>) -> BTreeSet<String> {
    let by_itself = |step: &&Step| !matches!(step.when, When::Asked);
    let taken = |product: &&String| flow.steps.values().filter(by_itself).any(|step| step.takes_from(station, product));
    among.iter().filter(taken).cloned().collect()
}

fn list(
    flow: &Flow,
    classifier: &Classifier,
    places: &Places,
    station: &str,
    products: &BTreeSet<String>,
) -> Option<Found> {
    let store = places.store(station)?;
    let mut found = Found::new();
    let mut units = Vec::new();
    let mut enter = |folder: &RelPath| {
        let unit = classifier.product(flow, station, folder, true).is_some();
        !unit && !classifier.skips(station, folder)
    };
    let mut visit = |entry: Entry| {
        if let Entry::Found { path, meta } = entry {
            let folder = meta.kind == Kind::Folder;
            if matches!(meta.kind, Kind::File | Kind::Folder)
                && let Some((product, _)) = classifier.product(flow, station, &path, folder)
                && products.contains(&product.name)
            {
                let key = (station.to_owned(), product.name.clone());
                if folder {
                    units.push((key, path));
                } else {
                    found.entry(key).or_default().push((path, stat_of(&meta)));
                }
            }
        }
        ControlFlow::Continue(())
    };
    store.walk(&RelPath::default(), &mut enter, &mut visit).ok()?;
    for (key, path) in units {
        if let Ok(stat) = stat_of_unit(store.as_ref(), &path) {
            found.entry(key).or_default().push((path, stat));
        }
    }
    Some(found)
}
