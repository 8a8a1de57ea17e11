//! External programs: which file a name means, and what a program may need besides its inputs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use thalweg_flow::Step;

/// Returns the program as it is started: a path with a folder in it is meant from the flow file's folder.
pub(crate) fn named(base: &Path, name: OsString) -> OsString {
    if name.as_encoded_bytes().contains(&b'/') { base.join(name).into_os_string() } else { name }
}

/// Returns the environment that every external program of a step has.
pub(crate) fn environment(step: &Step) -> Vec<(OsString, OsString)> {
    let own = ["PATH", "HOME", "USER", "LOGNAME"];
    let own = own.into_iter().filter(|name| !step.environment.contains_key(*name));
    let own = own.filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
    let given = step.environment.iter().map(|(name, value)| (name.into(), value.into()));
    own.chain(given).collect()
}

/// Returns the trees that an external program may need besides its inputs.
///
/// That cannot be known: it may read the flow file's folder, where its scripts and settings lie, the trees that the
/// folders of PATH belong to (`~/.local` for `~/.local/bin`), and what the flow names by full paths.
pub(crate) fn needs(base: &Path, named: Vec<PathBuf>) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let trees = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).filter_map(|folder| {
        let tree = folder.parent()?;
        (tree.components().count() > 2).then(|| tree.to_owned())
    });
    let mut needs: Vec<PathBuf> = trees.chain(named).chain([base.to_owned()]).collect();
    needs.sort();
    // Sorted, what lies below a tree comes after it.
    needs.dedup_by(|later, tree| later.starts_with(tree));
    needs
}
