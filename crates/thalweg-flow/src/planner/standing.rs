//! What is there for a key, compared with what would be made now.

use thalweg_core::ContentHash;

use super::gather::Gathered;
use super::reason::{Reason, There};
use super::task::identity;
use super::{Contribution, DoneRun, Facts, FileFact, FileState, KeyId, LeftFile, Origin, UsedFile};
use crate::{Flow, Late, Step};

/// What is there for a key and why.
pub(crate) struct Standing {
    pub(crate) there: There,
    pub(crate) because: Option<Reason>,
    pub(crate) last: Option<DoneRun>,
    /// An output that something else has changed.
    pub(crate) conflict: Option<String>,
}

/// Tells if a role's files are part of the identity.
pub(crate) fn counts(step: &Step, role: &str) -> bool {
    role.is_empty() || step.with.get(role).is_none_or(|with| with.late == Late::Upgrade)
}

/// Returns the counting inputs that are usable now, and those that are retired but were used last time.
pub(crate) fn counting(step: &Step, gathered: &Gathered, last: Option<&DoneRun>) -> Vec<UsedFile> {
    let mut used = Vec::new();
    let roles = gathered.roles.iter().map(|(role, files)| (role.as_str(), files));
    for (role, files) in std::iter::once(("", &gathered.driving)).chain(roles) {
        if !counts(step, role) {
            continue;
        }
        for file in files {
            let before = last.and_then(|last| before(last, role, file));
            let hash = match &file.state {
                FileState::Present => file.hash,
                FileState::Retired { .. } | FileState::Taken | FileState::Gone { .. } | FileState::Settling => {
                    before.map(|used| used.hash)
                }
                FileState::Quarantined { .. } | FileState::Withdrawn => None,
            };
            if let Some(hash) = hash {
                used.push(as_used(role, file, hash));
            }
        }
    }
    for (role, (path, hash)) in &gathered.settings {
        if let Some(hash) = hash.filter(|_| counts(step, role)) {
            used.push(UsedFile { role: role.clone(), product: String::new(), identity: path.clone(), hash });
        }
    }
    // What was used last time and is not even listed any more counts on as it was.
    for old in last.iter().flat_map(|last| &last.inputs) {
        let known = find(gathered, old).is_some() || gathered.settings.contains_key(&old.role);
        if !known && counts(step, &old.role) {
            used.push(old.clone());
        }
    }
    used.sort();
    used.dedup();
    used
}

/// Returns the identity of a key with these inputs.
pub(crate) fn identity_with(step: &Step, key: &KeyId, used: &[UsedFile]) -> ContentHash {
    identity(&step.name, &key.text(), step.version, used.iter().map(|file| (file.role.as_str(), &file.hash)))
}

fn as_used(role: &str, file: &FileFact, hash: ContentHash) -> UsedFile {
    UsedFile { role: role.to_owned(), product: file.product.clone(), identity: file.identity.clone(), hash }
}

fn before<'a>(last: &'a DoneRun, role: &str, file: &FileFact) -> Option<&'a UsedFile> {
    last.inputs.iter().find(|used| used.role == role && used.product == file.product && used.identity == file.identity)
}

/// Finds the file that a run used among a key's files.
pub(crate) fn find<'a>(gathered: &'a Gathered, used: &UsedFile) -> Option<&'a FileFact> {
    let files = if used.role.is_empty() { Some(&gathered.driving) } else { gathered.roles.get(&used.role) };
    let mut same = files?.iter().filter(|file| file.product == used.product && file.identity == used.identity);
    same.clone().find(|file| file.is_usable()).or_else(|| same.next())
}

/// Compares what is there with what would be made now.
pub(crate) fn standing(
    flow: &Flow,
    step: &Step,
    key: &KeyId,
    gathered: &Gathered,
    facts: &dyn Facts,
    rebuild: bool,
) -> Standing {
    let Some(last) = facts.last_done(key) else {
        return Standing { there: There::None, because: None, last: None, conflict: None };
    };
    let (there, because, conflict) = match stale(step, gathered, &last, rebuild) {
        Some(reason) => (There::Stale, Some(reason), None),
        None => of_outputs(flow, step, key, &last, facts),
    };
    Standing { there, because, last: Some(last), conflict }
}

fn stale(step: &Step, gathered: &Gathered, last: &DoneRun, rebuild: bool) -> Option<Reason> {
    if rebuild {
        return Some(Reason::new("rebuild", "it was asked to be made again"));
    }
    if last.step_version != step.version {
        return Some(Reason::new(
            "version",
            format!("it was made by version {} of {}, now {}", last.step_version, step.name, step.version),
        ));
    }
    for old in last.inputs.iter().filter(|old| counts(step, &old.role)) {
        if let Some((path, Some(hash))) = gathered.settings.get(&old.role)
            && (*path != old.identity || *hash != old.hash)
        {
            return Some(Reason::new("changed_input", format!("the settings file {path} has changed since")));
        }
        match find(gathered, old) {
            Some(file) if file.is_revoked() => {
                return Some(Reason::new("revoked_input", format!("its input {} was put aside", file.path)));
            }
            Some(file) if file.is_usable() && file.hash != Some(old.hash) => {
                return Some(Reason::new("changed_input", format!("its input {} has changed since", file.path)));
            }
            _ => {}
        }
    }
    let roles = gathered.roles.iter().map(|(role, files)| (role.as_str(), files));
    for (role, files) in std::iter::once(("", &gathered.driving)).chain(roles) {
        let new = files.iter().find(|file| counts(step, role) && file.is_usable() && before(last, role, file).is_none());
        if let Some(file) = new {
            return Some(Reason::new("new_input", format!("{} has come since", file.path)));
        }
    }
    None
}

fn of_outputs(
    flow: &Flow,
    step: &Step,
    key: &KeyId,
    last: &DoneRun,
    facts: &dyn Facts,
) -> (There, Option<Reason>, Option<String>) {
    let mut retired = None;
    let mut present = last.outputs.is_empty();
    for output in &last.outputs {
        match facts.file_at(&output.station, &output.path) {
            Some(file) if file.is_usable() && file.hash == Some(output.hash) => present = true,
            Some(file) if file.is_usable() => {
                present = true;
                if file.origin == Origin::Seen {
                    let text = format!("{} at {} was changed by something else", output.path, output.station);
                    return (There::Done, None, Some(text));
                }
            }
            Some(FileFact { state: FileState::Retired { by, at }, .. }) => {
                retired = Some(Reason::new("retired", format!("{} was removed by {by} at {at}", output.path)));
            }
            Some(FileFact { state: FileState::Taken, .. }) => {
                retired = Some(Reason::new("taken", format!("{} was taken away from {}", output.path, output.station)));
            }
            Some(FileFact { state: FileState::Quarantined { why }, .. }) => {
                retired = Some(Reason::new("quarantined_output", format!("{} was put aside: {why}", output.path)));
            }
            Some(FileFact { state: FileState::Withdrawn, .. }) => {
                retired = Some(Reason::new("withdrawn_output", format!("{} was withdrawn", output.path)));
            }
            Some(FileFact { state: FileState::Settling, origin: Origin::Seen, .. }) => {
                let text = format!("{} at {} was changed by something else", output.path, output.station);
                return (There::Done, None, Some(text));
            }
            Some(FileFact { state: FileState::Present | FileState::Settling, .. }) => present = true,
            Some(FileFact { state: FileState::Gone { .. }, .. }) | None => {
                let text = format!("{} at {} is gone without a rule", output.path, output.station);
                return (There::Lost, Some(Reason::new("lost", text)), None);
            }
        }
    }
    if step.updates() && let Some(reason) = outdated_contribution(flow, step, key, last, facts) {
        return (There::Stale, Some(reason), None);
    }
    if last.partial {
        let text = format!("made without {}", last.awaited.join(", "));
        return (There::Partial, Some(Reason::new("partial", text)), None);
    }
    match retired {
        Some(reason) if !present => (There::Retired, Some(reason), None),
        _ => (There::Done, None, None),
    }
}

/// Returns the contributions in the present version of an output, or of its last one if it is gone.
pub(crate) fn contributions_at(output: &LeftFile, facts: &dyn Facts) -> Vec<Contribution> {
    let hash = facts.file_at(&output.station, &output.path).and_then(|file| file.hash).unwrap_or(output.hash);
    facts.contributions(&output.product, &output.identity, &hash)
}

// An `update` product is as it should be when this key's contribution is in it, and no contribution in it was revoked
// or has changed.
fn outdated_contribution(
    flow: &Flow,
    step: &Step,
    key: &KeyId,
    last: &DoneRun,
    facts: &dyn Facts,
) -> Option<Reason> {
    let text = key.text();
    for output in &last.outputs {
        let Some(file) = facts.file_at(&output.station, &output.path).filter(FileFact::is_usable) else { continue };
        let contributions = contributions_at(output, facts);
        if !contributions.iter().any(|c| c.step == step.name && c.key == text && c.identity == last.identity) {
            let why = format!("its part is not in the present {}", file.path);
            return Some(Reason::new("not_contributed", why));
        }
        for contribution in contributions.iter().filter(|c| c.step == step.name && c.key != text) {
            if let Some(revoked) = contribution.inputs.iter().find_map(|used| revoked(flow, step, key, used, facts)) {
                let why = format!("{} holds a part from {revoked}, which was put aside", file.path);
                return Some(Reason::new("revoked_input", why));
            }
        }
    }
    None
}

fn revoked(_flow: &Flow, step: &Step, key: &KeyId, used: &UsedFile, facts: &dyn Facts) -> Option<String> {
    step.sources(&key.station)
        .into_iter()
        .flat_map(|station| facts.files_of(station, &used.product, &used.identity))
        .find(FileFact::is_revoked)
        .map(|file| file.path.to_string())
}
