//! Settings files that steps name (`with.ROLE = { file = "…" }`): read for their digests.

use std::collections::BTreeMap;
use std::path::Path;

use thalweg_core::ContentHash;
use thalweg_flow::WithWhat;

use crate::Setup;

/// Returns the digests of all settings files that the flow's steps name, by path relative to the flow file.
///
/// A name with fields in it stands for all files of its folder that fit it.
pub fn settings_digests(setup: &Setup) -> BTreeMap<String, ContentHash> {
    let mut digests = BTreeMap::new();
    let templates = setup.flow.steps.values().flat_map(|step| step.with.values()).filter_map(|with| match &with.what {
        WithWhat::File(template) => Some(template),
        WithWhat::Product { .. } => None,
    });
    for template in templates {
        if !template.contains('{') {
            add(&mut digests, &setup.base, template);
            continue;
        }
        let folder =
            template.split('{').next().and_then(|start| start.rsplit_once('/')).map_or("", |(folder, _)| folder);
        let Ok(entries) = std::fs::read_dir(setup.base.join(folder)) else { continue };
        for entry in entries.flatten() {
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            add(&mut digests, &setup.base, &path);
        }
    }
    digests
}

fn digest(bytes: &[u8]) -> ContentHash {
    let mut hasher = thalweg_store::Hasher::new();
    hasher.update(bytes);
    hasher.digest()
}

fn add(digests: &mut BTreeMap<String, ContentHash>, base: &Path, path: &str) {
    let file = base.join(path);
    if file.is_file()
        && let Ok(bytes) = std::fs::read(&file)
    {
        digests.insert(path.to_owned(), digest(&bytes));
    }
}
