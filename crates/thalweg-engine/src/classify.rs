//! Which product a path belongs to, and what its name says.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_core::pattern::{Pattern, PatternEnv};
use thalweg_core::{Fields, RelPath, Timestamp, fields_text};
use thalweg_flow::planner::{coverage_of, identity_of_file, series_of, suspect};
use thalweg_flow::{Flow, Product};
use thalweg_ledger::Identity;

use crate::watch::is_temporary;

/// The patterns of one flow, by station.
#[derive(Debug)]
pub struct Classifier {
    by_station: BTreeMap<String, Vec<(String, Pattern)>>,
    /// Folders in which nothing is looked for: bad files are put there.
    aside: BTreeSet<String>,
}

/// The default folder for bad files, below a station's root.
pub(crate) const QUARANTINE: &str = "quarantine";

impl Classifier {
    /// Gathers the patterns of a flow.
    pub fn new(flow: &Flow) -> Self {
        let mut by_station: BTreeMap<String, Vec<(String, Pattern)>> = BTreeMap::new();
        let presence = thalweg_flow::presence(flow);
        for station in flow.stations.keys() {
            let mut products: Vec<&Product> = flow.products.values().collect();
            // What no step brings to a station comes after what one does, and what takes the rest last; otherwise the
            // order of names decides, so that it is always the same.
            products.sort_by_key(|product| {
                let is_met = presence.get(product.name.as_str()).is_some_and(|at| at.contains(station.as_str()));
                (product.otherwise, !is_met, &product.name)
            });
            let patterns = products.iter().map(|product| (product.name.clone(), product.pattern_at(station).clone()));
            by_station.insert(station.clone(), patterns.collect());
        }
        let put = flow.steps.values().filter_map(|step| step.on_bad.put.clone());
        let aside = put.chain([QUARANTINE.to_owned()]).map(|folder| folder.trim_end_matches('/').to_owned()).collect();
        Self { by_station, aside }
    }

    /// Tells if nothing below a folder can be of interest.
    pub fn skips(&self, station: &str, folder: &RelPath) -> bool {
        if self.is_aside(folder) {
            return true;
        }
        let Some(patterns) = self.by_station.get(station) else { return true };
        !patterns.iter().any(|(_, pattern)| pattern.folder_may_match(folder.as_str()))
    }

    fn is_aside(&self, path: &RelPath) -> bool {
        self.aside.iter().any(|folder| {
            path.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Returns the folder that is taken as one unit and holds a path, if there is one.
    pub fn unit_of(&self, flow: &Flow, station: &str, path: &RelPath) -> Option<RelPath> {
        let units = self.by_station.get(station)?.iter().filter(|(_, pattern)| pattern.is_folder());
        let env = PatternEnv { tables: &flow.tables };
        for (_, pattern) in units {
            let mut folder = path.parent();
            while !folder.as_str().is_empty() {
                if pattern.matches(&folder, &env).is_ok() {
                    return Some(folder);
                }
                folder = folder.parent();
            }
        }
        None
    }

    /// Returns the product of a path and the fields of its name.
    pub fn product<'a>(
        &self,
        flow: &'a Flow,
        station: &str,
        path: &RelPath,
        folder: bool,
    ) -> Option<(&'a Product, Fields)> {
        if self.is_aside(path) {
            return None;
        }
        let env = PatternEnv { tables: &flow.tables };
        self.by_station.get(station)?.iter().find_map(|(name, pattern)| {
            if pattern.is_folder() != folder {
                return None;
            }
            let fields = pattern.matches(path, &env).ok()?;
            let product = flow.products.get(name)?;
            (!is_temporary(path.file_name(), &product.temporary)).then_some((product, fields))
        })
    }
}

/// Returns what the ledger records of a file with these fields; coverage from the name unless the content gave one.
pub(crate) fn identity(
    product: &Product,
    fields: Fields,
    coverage: Option<thalweg_core::TimeRange>,
    now: Timestamp,
) -> Identity {
    let coverage = coverage.or_else(|| coverage_of(product, &fields, None));
    Identity {
        product: product.name.clone(),
        fields_key: identity_of_file(product, &fields),
        group_key: {
            let series: Fields =
                series_of(product, &fields).into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
            fields_text(&series)
        },
        start: coverage.map(|coverage| coverage.start),
        end: coverage.map(|coverage| coverage.end),
        suspect: suspect(product, coverage.map(|coverage| coverage.start), now),
        fields,
    }
}
