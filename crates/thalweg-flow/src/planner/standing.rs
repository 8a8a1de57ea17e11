//! What is there for a key, compared with what would be made now.

use thalweg_core::{ContentHash, RelPath};

use super::gather::Gathered;
use super::reason::{Reason, There};
use super::task::identity;
use super::{DoneRun, Facts, FileFact, FileState, KeyId, LeftFile, Origin, UsedFile, VerbVersion};
use crate::{Flow, Late, Match, Step, Verb, WithWhat};

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

/// Tells if a role is looked up as the newest of its product: another one in its place is no loss.
pub(crate) fn is_newest_role(step: &Step, role: &str) -> bool {
    matches!(step.with.get(role).map(|with| &with.what), Some(WithWhat::Product { on: Match::Newest, .. }))
}

/// Returns the counting inputs that are usable now, and those that are retired but were used last time.
pub(crate) fn counting(
    step: &Step,
    key: &KeyId,
    gathered: &Gathered,
    last: Option<&DoneRun>,
    facts: &dyn Facts,
) -> Vec<UsedFile> {
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
        if !known && counts(step, &old.role) && !is_newest_role(step, &old.role) && !has_left(step, key, old, facts) {
            used.push(old.clone());
        }
    }
    used.sort();
    used.dedup();
    used
}

/// Returns the identity of a key with these inputs and this answer of its external command.
pub(crate) fn identity_with(step: &Step, key: &KeyId, used: &[UsedFile], deciding: Option<&str>) -> ContentHash {
    let inputs = used.iter().map(|file| (file.role.as_str(), &file.hash));
    identity(&step.name, &key.text(), step.version, deciding, inputs)
}

/// Returns what the external command of a step says of its own version, where the step is stale on that.
pub(crate) fn deciding(step: &Step, facts: &dyn Facts) -> Option<String> {
    match facts.verb_version(&step.name) {
        Some(VerbVersion::Said(said)) if step.stale_on_version => Some(said),
        _ => None,
    }
}

// The first line is what people know a program's version by.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim()
}

// What was made before anybody asked the command was made with the one that was there, whichever it is.
fn other_verb(step: &Step, last: &DoneRun, facts: &dyn Facts) -> Option<Reason> {
    let (before, now) = (last.verb_version.as_ref()?, deciding(step, facts)?);
    let text = match (first_line(before), first_line(&now)) {
        _ if *before == now => return None,
        (before, now) if before == now => format!("it was made with another {now} than there is now"),
        (before, now) => format!("it was made with {before}, now {now}"),
    };
    Some(Reason::new("verb_version", text))
}

fn as_used(role: &str, file: &FileFact, hash: ContentHash) -> UsedFile {
    UsedFile { role: role.to_owned(), product: file.product.clone(), identity: file.identity.clone(), hash }
}

fn before<'a>(last: &'a DoneRun, role: &str, file: &FileFact) -> Option<&'a UsedFile> {
    last.inputs.iter().find(|used| used.role == role && used.product == file.product && used.identity == file.identity)
}

/// Tells if a run used a file in a role, in whatever version.
pub(crate) fn used_before(last: &DoneRun, role: &str, file: &FileFact) -> bool {
    before(last, role, file).is_some()
}

/// Finds the file that a run used for a cell and that lies in it no more, by what is known of its coverage now.
pub(crate) fn outside(step: &Step, key: &KeyId, used: &UsedFile, facts: &dyn Facts) -> Option<FileFact> {
    if key.driving.is_some() || !used.role.is_empty() {
        return None;
    }
    let stations = step.sources(&key.station);
    let mut files = stations.into_iter().flat_map(|station| facts.files_of(station, &used.product, &used.identity));
    files.find(|file| matches!(file.state, FileState::Present | FileState::Settling))
}

// A file that was rewritten may cover other cells than before.
fn has_left(step: &Step, key: &KeyId, used: &UsedFile, facts: &dyn Facts) -> bool {
    outside(step, key, used, facts).is_some_and(|file| file.is_usable() && file.hash != Some(used.hash))
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
    let (there, because, conflict) = if step.updates() {
        super::update::standing_of_update(flow, step, key, gathered, &last, facts, rebuild)
    } else {
        let stale = stale(step, key, gathered, &last, facts, rebuild);
        let outputs = of_outputs(flow, &last, facts);
        match (stale, outputs) {
            (Some(reason), (There::Retired, because, _)) if !revives(step, &reason) => (There::Retired, because, None),
            (Some(reason), (_, _, None)) => (There::Stale, Some(reason), None),
            (_, outputs) => outputs,
        }
    };
    Standing { there, because, last: Some(last), conflict }
}

// What a rule removed stays removed, whatever comes later; but a content that was never sent or copied is another file.
fn revives(step: &Step, reason: &Reason) -> bool {
    let carries = matches!(step.does, Verb::Send | Verb::Fetch | Verb::Copy | Verb::Link | Verb::Move);
    reason.code == "rebuild" || (carries && matches!(reason.code.as_str(), "changed_input" | "new_input"))
}

/// Returns why what is there would be made otherwise now.
pub(crate) fn stale(
    step: &Step,
    key: &KeyId,
    gathered: &Gathered,
    last: &DoneRun,
    facts: &dyn Facts,
    rebuild: bool,
) -> Option<Reason> {
    if rebuild {
        return Some(Reason::new("rebuild", "it was asked to be made again"));
    }
    if last.step_version != step.version {
        return Some(Reason::new(
            "version",
            format!("it was made by version {} of {}, now {}", last.step_version, step.name, step.version),
        ));
    }
    if let Some(reason) = other_verb(step, last, facts) {
        return Some(reason);
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
            Some(file) if file.is_usable() && file.hash != Some(old.hash) && !edited_by(step, last, file) => {
                return Some(Reason::new("changed_input", format!("its input {} has changed since", file.path)));
            }
            None if has_left(step, key, old, facts) => {
                let what = format!("{}({})", old.product, old.identity);
                return Some(Reason::new(
                    "changed_input",
                    format!("its input {what} has changed and covers it no more"),
                ));
            }
            _ => {}
        }
    }
    let roles = gathered.roles.iter().map(|(role, files)| (role.as_str(), files));
    for (role, files) in std::iter::once(("", &gathered.driving)).chain(roles) {
        // Another newest one in the place of the one that was used is a change of it.
        let new =
            files.iter().find(|file| counts(step, role) && file.is_usable() && before(last, role, file).is_none());
        if let Some(file) = new {
            return Some(Reason::new("new_input", format!("{} has come since", file.path)));
        }
    }
    None
}

// A step that edits leaves its own input in a new version: that is no news to it.
fn edited_by(step: &Step, last: &DoneRun, file: &FileFact) -> bool {
    step.edits
        && last.outputs.iter().any(|left| {
            left.station == file.station
                && left.product == file.product
                && left.identity == file.identity
                && Some(left.hash) == file.hash
        })
}

type There3 = (There, Option<Reason>, Option<String>);

/// What became of one output.
pub(crate) enum Fate {
    Present,
    Retired(Reason),
    Lost(Reason),
    Conflict(String),
}

/// Says that another hand changed an output, and what to do.
pub(crate) fn changed_outside(path: &RelPath, station: &str, product: &str, run: i64) -> String {
    format!(
        "{path} at {station} was changed by something else since run {run} made it, and is not overwritten: \
         `thalweg adopt {product}` keeps it as it is; if it is removed, it is made again"
    )
}

/// Returns what became of an output of a run. A step may have given it another name since.
pub(crate) fn fate(flow: &Flow, run: i64, output: &LeftFile, facts: &dyn Facts) -> Fate {
    let (path, station) = (&output.path, &output.station);
    let foreign = || Fate::Conflict(changed_outside(path, station, &output.product, run));
    let file = facts.file_at(station, path).filter(|file| file.product == output.product);
    let state = file.as_ref().map(|file| &file.state);
    if !matches!(state, Some(FileState::Present | FileState::Settling)) {
        let renamed = facts.files_of(station, &output.product, &output.identity);
        // Another version beside it is no other name of it.
        let version = flow.products.get(&output.product).and_then(|product| product.version.as_ref());
        let same_version = |other: &FileFact| match (version, &file) {
            (Some(field), Some(file)) => other.fields.get(field) >= file.fields.get(field),
            _ => true,
        };
        if renamed.iter().any(|other| other.is_usable() && other.origin != Origin::Seen && same_version(other)) {
            return Fate::Present;
        }
    }
    match file {
        Some(file) if file.is_usable() && file.hash == Some(output.hash) => Fate::Present,
        // Somebody wrote to it, or only touched it: that is known when it has been read.
        Some(FileFact { state: FileState::Settling, .. }) => Fate::Present,
        Some(FileFact { state: FileState::Present, origin: Origin::Seen, .. }) => foreign(),
        Some(FileFact { state: FileState::Present, .. }) => Fate::Present,
        Some(FileFact { state: FileState::Retired { by, at }, .. }) => {
            Fate::Retired(Reason::new("retired", format!("{path} at {station} was removed by {by} at {at}")))
        }
        Some(FileFact { state: FileState::Taken, .. }) => {
            Fate::Retired(Reason::new("taken", format!("{path} was taken away from {station}")))
        }
        Some(FileFact { state: FileState::Quarantined { why }, .. }) => {
            Fate::Retired(Reason::new("quarantined_output", format!("{path} at {station} was put aside: {why}")))
        }
        Some(FileFact { state: FileState::Withdrawn, .. }) => {
            Fate::Retired(Reason::new("withdrawn_output", format!("{path} at {station} was withdrawn")))
        }
        Some(FileFact { state: FileState::Gone { .. }, .. }) | None => {
            Fate::Lost(Reason::new("lost", format!("{path} at {station} is gone without a rule")))
        }
    }
}

fn of_outputs(flow: &Flow, last: &DoneRun, facts: &dyn Facts) -> There3 {
    let mut retired = None;
    let mut lost = None;
    let mut present = last.outputs.is_empty();
    for output in &last.outputs {
        match fate(flow, last.run, output, facts) {
            Fate::Present => present = true,
            Fate::Conflict(text) => return (There::Done, None, Some(text)),
            Fate::Retired(reason) => retired = Some(reason),
            Fate::Lost(reason) => lost = Some(reason),
        }
    }
    match (lost, retired) {
        (Some(reason), _) => (There::Lost, Some(reason), None),
        (None, Some(reason)) if !present => (There::Retired, Some(reason), None),
        _ => done_or_partial(last),
    }
}

/// Returns that it is done, or partial while something it went on without may still come.
pub(crate) fn done_or_partial(last: &DoneRun) -> There3 {
    if !last.partial {
        return (There::Done, None, None);
    }
    let text = format!("made without {}", last.awaited.join(", "));
    (There::Partial, Some(Reason::new("partial", text)), None)
}
