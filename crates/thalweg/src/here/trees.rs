//! What lies below the roots: how many folders have to be watched, and which time is the newest.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use thalweg_core::{RelPath, Timestamp};
use thalweg_engine::{Classifier, root_of};
use thalweg_store::is_own_folder;

use super::finding::Finding;
use crate::project::Project;

/// Most folders that are counted: more than any usual limit.
const MOST: u64 = 4_000_000;

/// What was found below all roots together.
#[derive(Debug, Default)]
pub(super) struct Trees {
    /// Folders, the roots among them.
    folders: u64,
    /// Not all were counted.
    more: bool,
    /// The newest modification time of a file, and which one.
    pub(super) newest: Option<(Timestamp, PathBuf)>,
}

/// Looks through the trees of this host's stations.
pub(super) fn look(project: &Project) -> Trees {
    let mut trees = Trees::default();
    let flow = project.flow();
    let classifier = Classifier::new(flow);
    for station in flow.stations.values().filter(|s| project.setup.here.contains(&s.name)) {
        let name = station.name.as_str();
        let walk = Walk {
            root: root_of(&project.setup, station),
            // As the engine decides what it watches.
            wanted: &|folder| !classifier.skips(name, folder),
            is_ours: &|path| {
                classifier.product(flow, name, path, false).is_some() || classifier.unit_of(flow, name, path).is_some()
            },
        };
        walk.through(&mut trees);
    }
    trees
}

/// One tree, and what of it counts.
struct Walk<'a> {
    root: PathBuf,
    /// Tells if a folder is watched.
    wanted: &'a dyn Fn(&RelPath) -> bool,
    /// Tells if a file is of a product.
    is_ours: &'a dyn Fn(&RelPath) -> bool,
}

impl Walk<'_> {
    fn through(&self, trees: &mut Trees) {
        let mut open = vec![RelPath::default()];
        while let Some(path) = open.pop() {
            let folder = self.root.join(OsStr::from_bytes(&path.to_bytes()));
            if trees.folders >= MOST {
                trees.more = true;
                return;
            }
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            trees.folders += 1;
            for entry in entries.flatten() {
                let Ok(kind) = entry.file_type() else { continue };
                let below = path.join(RelPath::from_bytes(entry.file_name().as_bytes()).as_str());
                if kind.is_dir() {
                    if !entry.file_name().to_str().is_some_and(is_own_folder) && (self.wanted)(&below) {
                        open.push(below);
                    }
                } else if kind.is_file()
                    && let Ok(meta) = entry.metadata()
                    && let Ok(at) = Timestamp::from_second(meta.mtime())
                    && trees.newest.as_ref().is_none_or(|(newest, _)| at > *newest)
                    && (self.is_ours)(&below)
                {
                    trees.newest = Some((at, entry.path()));
                }
            }
        }
    }
}

fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Compares the folders with what the kernel lets one account watch.
pub(super) fn watches(project: &Project, trees: &Trees) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (limit, instances) = ("fs.inotify.max_user_watches", "fs.inotify.max_user_instances");
    let read = |name: &str| number(&format!("/proc/sys/{}", name.replace('.', "/")));
    let Some(most) = read(limit) else {
        findings.push(Finding::warning(
            "no_inotify",
            "watches",
            "this kernel tells nothing of changes in folders: files are met by listings only",
            "say a short `rescan` for the stations",
        ));
        return findings;
    };
    findings.push(room_for(trees.folders, trees.more, most, limit));
    let stations = project.setup.here.len() as u64;
    if let Some(most) = read(instances).filter(|most| stations.saturating_mul(2) > *most) {
        findings.push(Finding::warning(
            "few_watchers",
            "watches",
            format!(
                "{stations} stations are watched, and the kernel gives an account {most} watchers for all its programs"
            ),
            format!("sysctl -w {instances}={} (and in /etc/sysctl.d)", stations.saturating_mul(4).max(512)),
        ));
    }
    findings
}

fn room_for(folders: u64, more: bool, most: u64, limit: &str) -> Finding {
    let than = if more { "more than " } else { "" };
    let message = format!("{than}{folders} folders, and the kernel lets an account watch {most}");
    // Other programs of the account watch as well, and trees grow.
    if folders.saturating_mul(5) < most.saturating_mul(4) && !more {
        return Finding::fine("watches", "watches", message);
    }
    let enough = folders.saturating_mul(2).max(524_288);
    Finding::warning(
        "watches",
        "watches",
        format!("{message}: what lies in the others is met by listings only"),
        format!("sysctl -w {limit}={enough} (and in /etc/sysctl.d/90-thalweg.conf, to stay)"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::here::Severity;

    #[test]
    fn more_folders_than_may_be_watched_are_told_with_the_setting_that_helps() {
        assert_eq!(room_for(100, false, 8192, "x").severity, Severity::Fine);
        for (folders, more) in [(8000, false), (9000, false), (10, true)] {
            let finding = room_for(folders, more, 8192, "fs.inotify.max_user_watches");
            assert_eq!(finding.severity, Severity::Warning);
            assert!(finding.remedy.is_some_and(|text| text.contains("fs.inotify.max_user_watches=524288")));
        }
    }
}
