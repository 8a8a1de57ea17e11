//! What lies at the stations, for planning before there is a ledger: listed, named, and nothing read or written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use thalweg_core::{Fields, RelPath, Timestamp};
use thalweg_engine::facts::nanoseconds;
use thalweg_engine::{Classifier, Places, Strangers, VerbVersions, root_of, settings_digests};
use thalweg_flow::planner::memory::MemoryFacts;
use thalweg_flow::planner::{
    Evidence, FileFact, FileState, Listing, Origin, Readiness, coverage_of, identity_of_file, readiness,
};
use thalweg_flow::{Flow, Product};
use thalweg_store::{Entry, Hasher, Kind, LocalStore, Meta, Store, is_own_folder};

use crate::failure::Failure;
use crate::project::Project;

/// Lists every station of this host and returns what the planner can know from that.
///
/// A file that its ready rule lets pass counts as present, with a stand-in for its content.
///
/// # Errors
///
/// Those of listing a root that is there.
pub(crate) fn survey(project: &Project, now: Timestamp) -> Result<MemoryFacts, Failure> {
    Ok(survey_all(project, now)?.0)
}

/// Does the same, and returns by station what belongs to no product.
///
/// # Errors
///
/// As [`survey`].
pub(crate) fn survey_all(
    project: &Project,
    now: Timestamp,
) -> Result<(MemoryFacts, BTreeMap<String, Strangers>), Failure> {
    let mut all_strangers = BTreeMap::new();
    let flow = project.flow();
    let mut facts = MemoryFacts {
        now,
        settings: settings_digests(&project.setup),
        verb_versions: VerbVersions::ask(&project.setup, &VerbVersions::default()).answers(),
        ..MemoryFacts::default()
    };
    let places = Places::look(&project.setup);
    for station in flow.stations.values() {
        if !project.setup.here.contains(&station.name) {
            if let Some(reach) = &station.reach {
                let why = format!(
                    "{} is reached by {}, which nothing carries out: only stations of this host are worked on",
                    station.name, reach.scheme
                );
                facts.out_of_reach.insert(station.name.clone(), why);
            } else {
                facts.elsewhere.insert(station.name.clone());
            }
            continue;
        }
        let root = root_of(&project.setup, station);
        let listing = if root.is_dir() {
            let store = LocalStore::open(&root)?;
            if let Ok(space) = store.free_space() {
                facts.space.insert(station.name.clone(), (space.free, space.total));
            }
            let mut strangers = Strangers::default();
            let listing = list(flow, &station.name, &store, &mut facts, &mut strangers)?;
            strangers.examples.sort();
            all_strangers.insert(station.name.clone(), strangers);
            listing
        } else {
            let missing = places.missing_root(flow, &station.name);
            Listing { last_ok: missing.is_none().then_some(now), failing: missing.map(|missing| missing.to_string()) }
        };
        facts.listings.insert(station.name.clone(), listing);
    }
    let ready: Vec<bool> = facts.files.iter().map(|file| is_ready(flow, file, &facts)).collect();
    for (file, ready) in facts.files.iter_mut().zip(ready) {
        if ready {
            file.state = FileState::Present;
        }
    }
    Ok((facts, all_strangers))
}

fn is_ready(flow: &Flow, file: &FileFact, facts: &MemoryFacts) -> bool {
    flow.products.get(&file.product).is_some_and(|product| readiness(product, file, facts) == Readiness::Yes)
}

fn list(
    flow: &Flow,
    station: &str,
    store: &dyn Store,
    facts: &mut MemoryFacts,
    strangers: &mut Strangers,
) -> Result<Listing, Failure> {
    let classifier = Classifier::new(flow);
    let mut troubles = None;
    let units: BTreeSet<RelPath> = BTreeSet::new();
    let units = std::cell::RefCell::new(units);
    let (markers, files, now) = (&mut facts.markers, &mut facts.files, facts.now);
    store.walk(
        &RelPath::default(),
        &mut |folder| !is_own_folder(folder.file_name()) && !units.borrow().contains(folder),
        &mut |entry| {
            match entry {
                Entry::Found { path, meta } => {
                    let is_folder = match meta.kind {
                        Kind::File => false,
                        Kind::Folder => true,
                        Kind::Link | Kind::Other => return ControlFlow::Continue(()),
                    };
                    markers.insert(format!("{station}/{}", path.as_str()));
                    if let Some((product, fields)) = classifier.product(flow, station, &path, is_folder) {
                        if is_folder {
                            units.borrow_mut().insert(path.clone());
                        }
                        files.push(fact(product, station, path, fields, &meta, now));
                    } else {
                        let folder = path.parent();
                        // The engine lists the root, and whatever folder a product's files can be in.
                        let is_listed = folder.as_str().is_empty() || !classifier.skips(station, &folder);
                        if !is_folder && is_listed {
                            strangers.add(flow, &path);
                        }
                    }
                }
                Entry::Unreadable { path, error } => troubles = Some(format!("{path}: {error}")),
                Entry::Unsettled { .. } => {}
            }
            ControlFlow::Continue(())
        },
    )?;
    Ok(Listing { last_ok: Some(now), failing: troubles })
}

fn fact(product: &Product, station: &str, path: RelPath, fields: Fields, meta: &Meta, now: Timestamp) -> FileFact {
    let mtime = nanoseconds(meta.mtime_ns);
    // Nothing is read: path, size and time stand for the content.
    let mut stand_in = Hasher::new();
    stand_in.update(format!("{} {} {}", path.as_str(), meta.size, meta.mtime_ns).as_bytes());
    FileFact {
        id: 0,
        station: station.to_owned(),
        product: product.name.clone(),
        identity: identity_of_file(product, &fields),
        coverage: coverage_of(product, &fields, None),
        fields,
        path,
        size: meta.size,
        mtime,
        hash: Some(stand_in.digest()),
        arrived: mtime.min(now),
        unchanged_since: mtime.min(now),
        evidence: Evidence::MovedIn,
        state: FileState::Settling,
        origin: Origin::Seen,
    }
}
