//! Where the sample files are.

use std::path::PathBuf;

/// Returns the path of a sample, or says that it is skipped.
pub(crate) fn sample(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/superdarn").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {name} not present");
    None
}
