//! Steps that build up their outputs from the parts of several keys (`update = true`): when a key's part is in, what a
//! run works on from, and what it must take in to build an output afresh.

use std::collections::{BTreeMap, BTreeSet};

use super::evaluate::{Look, Stop, input_of};
use super::gather::{Gathered, newest_version};
use super::reason::{Next, Reason, There};
use super::standing::{
    Fate, Standing, changed_outside, counting, counts, deciding, done_or_partial, fate, identity_with, stale,
};
use super::task::{OutputParts, Previous, Task};
use super::{Contribution, DoneRun, Facts, FileFact, KeyId, LeftFile, Origin, UsedFile, identity_of_file};
use crate::{Flow, Step};
use thalweg_core::Value;

/// Compares what is there of an `update` with what would be made now.
///
/// A key is done when its part, as it would be made now, is in the present version of all its outputs, and no part of
/// another key in there was revoked: who put it in does not matter.
pub(super) fn standing_of_update(
    flow: &Flow,
    step: &Step,
    key: &KeyId,
    gathered: &Gathered,
    last: &DoneRun,
    facts: &dyn Facts,
    rebuild: bool,
) -> (There, Option<Reason>, Option<String>) {
    let stale = stale(step, key, gathered, last, facts, rebuild);
    if let Some(reason) = stale.clone().filter(|reason| matches!(reason.code.as_str(), "rebuild" | "revoked_input")) {
        return (There::Stale, Some(reason), None);
    }
    let (used, verb) = (counting(step, key, gathered, Some(last), facts), deciding(step, facts));
    let identity = |part: &Contribution| {
        // While the command cannot be asked, or was not asked then, that is no change.
        let before = part.verb_version.as_ref().filter(|_| step.stale_on_version);
        identity_with(step, key, &used, before.and(verb.as_ref().or(before)).map(String::as_str))
    };
    let text = key.text();
    let mut retired = None;
    let mut present = false;
    for output in &last.outputs {
        let Some(file) = version_of(flow, output, facts) else {
            match fate(flow, last.run, output, facts) {
                Fate::Retired(reason) => retired = Some(reason),
                Fate::Lost(reason) => return (There::Lost, Some(reason), None),
                Fate::Conflict(conflict) => return (There::Done, None, Some(conflict)),
                Fate::Present => present = true,
            }
            continue;
        };
        present = true;
        let contributions = contributions_in(&file, facts);
        if contributions.is_empty() && file.origin == Origin::Seen {
            let conflict = changed_outside(&file.path, &file.station, &file.product, last.run);
            return (There::Done, None, Some(conflict));
        }
        let own = contributions.iter().find(|part| part.step == step.name && part.key == text);
        if own.is_none_or(|own| own.identity != identity(own)) {
            let reason = stale.clone().unwrap_or_else(|| {
                Reason::new("not_contributed", format!("its part is not in the present {}", file.path))
            });
            return (There::Stale, Some(reason), None);
        }
        for part in contributions.iter().filter(|part| part.step == step.name && part.key != text) {
            if let Some(bad) = part.inputs.iter().find_map(|used| revoked(step, &key.station, used, facts)) {
                let why = format!("{} holds a part from {}, which was put aside", file.path, bad.path);
                return (There::Stale, Some(Reason::new("revoked_input", why)), None);
            }
        }
    }
    if let (true, Some(reason)) = (last.outputs.is_empty(), stale) {
        return (There::Stale, Some(reason), None);
    }
    match retired {
        Some(reason) if !present => (There::Retired, Some(reason), None),
        _ => done_or_partial(last),
    }
}

// The present version of an output, under whatever name and version: none if nothing of it can be read.
fn version_of(flow: &Flow, output: &LeftFile, facts: &dyn Facts) -> Option<FileFact> {
    let mut files = facts.files_of(&output.station, &output.product, &output.identity);
    // An older version beside it does not stand for one that is lost.
    if let Some(field) = flow.products.get(&output.product).and_then(|product| product.version.as_ref()) {
        let own = facts.file_at(&output.station, &output.path).and_then(|file| file.fields.get(field).cloned());
        files.retain(|file| own.is_none() || file.fields.get(field) >= own.as_ref());
    }
    newest_version(flow, files).into_iter().find(FileFact::is_usable)
}

fn contributions_in(file: &FileFact, facts: &dyn Facts) -> Vec<Contribution> {
    file.hash.map(|hash| facts.contributions(&file.product, &file.identity, &hash)).unwrap_or_default()
}

fn files_named(step: &Step, station: &str, used: &UsedFile, facts: &dyn Facts) -> Vec<FileFact> {
    let sources = step.sources(station);
    sources.into_iter().flat_map(|source| facts.files_of(source, &used.product, &used.identity)).collect()
}

fn revoked(step: &Step, station: &str, used: &UsedFile, facts: &dyn Facts) -> Option<FileFact> {
    let files = files_named(step, station, used, facts);
    let sound = files.iter().any(|file| !file.is_revoked());
    files.into_iter().find(|file| file.is_revoked() && (file.hash == Some(used.hash) || !sound))
}

/// An output as an `update` finds it.
struct Found {
    station: String,
    product: String,
    identity: String,
    /// Its newest version, in any state.
    file: FileFact,
    parts: Vec<Contribution>,
}

impl Look<'_> {
    /// Says what an `update` step works on from, or what it must take in to build its outputs afresh.
    pub(super) fn update(&self, standing: &Standing, task: &mut Task) -> Result<(), Stop> {
        let own = self.key.text();
        if !self.step.takes.is_empty() && !self.gathered.driving.iter().any(FileFact::is_usable) {
            let text = format!("the inputs of {own} are not there any more: its part stays as it is");
            return Err((Next::Blocked, Reason::new("retired_input", text)));
        }
        let mut open: Vec<(String, String, String)> = Vec::new();
        for output in task.outputs.iter().filter(|output| output.update && output.path.is_some()) {
            let Some(product) = self.flow.products.get(&output.product) else { continue };
            open.push((output.station.clone(), output.product.clone(), identity_of_file(product, &output.fields)));
        }
        for left in standing.last.iter().flat_map(|last| &last.outputs) {
            open.push((left.station.clone(), left.product.clone(), left.identity.clone()));
        }
        let mut done = BTreeSet::new();
        let mut held = vec![true; task.inputs.len()];
        let mut outputs = 0;
        let mut afresh: BTreeMap<(String, String), Contribution> = BTreeMap::new();
        while let Some(output) = open.pop() {
            if !done.insert(output.clone()) {
                continue;
            }
            outputs += 1;
            let Some(found) = self.found(output, standing) else {
                held.fill(false);
                continue;
            };
            let mut others = found.parts.clone();
            others.retain(|part| !(part.step == self.step.name && part.key == own));
            let sound = |part: &&Contribution| !part.inputs.iter().any(|used| self.is_revoked(used));
            task.parts.push(OutputParts {
                station: found.station.clone(),
                product: found.product.clone(),
                identity: found.identity.clone(),
                keys: others.iter().filter(sound).map(|part| (part.step.clone(), part.key.clone())).collect(),
            });
            if self.goes_on(&found, task) {
                self.keep_held(&found, task, &mut held);
                task.with_contributions.extend(others);
                task.previous.push(Previous { file: found.file });
                continue;
            }
            let unavailable =
                others.iter().filter(sound).flat_map(|part| &part.inputs).find(|used| self.current(used).is_none());
            if let Some(used) = unavailable {
                let what = format!("{}({})", used.product, used.identity);
                if !found.file.is_usable() || others.iter().any(|part| !sound(&part)) {
                    let text = format!("{} cannot be built afresh: {what} is not there any more", found.file.path);
                    return Err((Next::Blocked, Reason::new("retired_input", text)));
                }
                // Never poorer: it goes on from what is there.
                task.with_contributions.extend(others);
                task.previous.push(Previous { file: found.file });
                held.fill(false);
                continue;
            }
            held.fill(false);
            // Where the version is part of the name the earlier outputs stay untouched beside the new ones.
            let versioned = self.flow.products.get(&found.product).is_some_and(|product| product.version.is_some());
            for part in others.into_iter().filter(|part| sound(&part)) {
                let beside = self.other_outputs(&found, &part);
                let name = (part.step.clone(), part.key.clone());
                if versioned && part.step_version != self.step.version {
                    let keys = BTreeSet::from([name.clone()]);
                    task.parts.extend(beside.into_iter().map(|(station, product, identity)| OutputParts {
                        station,
                        product,
                        identity,
                        keys: keys.clone(),
                    }));
                } else {
                    open.extend(beside);
                }
                afresh.insert(name, self.as_now(part));
            }
        }
        for (input, held) in task.inputs.iter_mut().zip(held) {
            input.new = outputs == 0 || !held || !input.role.is_empty();
        }
        for part in afresh.values() {
            for file in part.inputs.iter().filter_map(|used| self.current(used)) {
                let known = task.inputs.iter().any(|i| i.product == file.product && i.identity == file.identity);
                if !known {
                    task.inputs.extend(input_of("", &file, false));
                }
            }
        }
        task.with_contributions.retain(|part| !afresh.contains_key(&(part.step.clone(), part.key.clone())));
        task.with_contributions.extend(afresh.into_values());
        task.with_contributions.sort_by(|a, b| (&a.step, &a.key).cmp(&(&b.step, &b.key)));
        task.with_contributions.dedup_by(|a, b| a.step == b.step && a.key == b.key);
        Ok(())
    }

    fn found(&self, (station, product, identity): (String, String, String), standing: &Standing) -> Option<Found> {
        let mut files = self.facts.files_of(&station, &product, &identity);
        // What this version of the step made is worked on; older ones lie beside it untouched.
        if let Some(field) = self.flow.products.get(&product).and_then(|product| product.version.as_ref()) {
            let own = Value::Int(i64::from(self.step.version));
            let of_this = |file: &FileFact| file.fields.get(field) == Some(&own);
            // Before there is one, the older ones tell who contributes.
            if files.iter().any(of_this) {
                files.retain(of_this);
            }
        }
        let files = newest_version(self.flow, files);
        let file = files.iter().find(|file| file.is_usable()).or_else(|| files.first())?.clone();
        let mut parts = contributions_in(&file, self.facts);
        if parts.is_empty() {
            let left = standing.last.iter().flat_map(|last| &last.outputs);
            let hash =
                left.clone().find(|left| left.station == station && left.identity == identity).map(|left| left.hash);
            parts = hash.map(|hash| self.facts.contributions(&product, &identity, &hash)).unwrap_or_default();
        }
        Some(Found { station, product, identity, file, parts })
    }

    // The earlier output is worked on from when all that is in it still stands: parts of this version, none revoked, and
    // of this key nothing but what is taken in again just as it was.
    fn goes_on(&self, found: &Found, task: &Task) -> bool {
        if !found.file.is_usable() || self.occasion.rebuild {
            return false;
        }
        let (text, verb) = (self.key.text(), deciding(self.step, self.facts));
        found.parts.iter().filter(|part| part.step == self.step.name).all(|part| {
            let same_verb = part.verb_version.as_ref().zip(verb.as_ref()).is_none_or(|(then, now)| then == now);
            let same_version = part.step_version == self.step.version && same_verb;
            let own = part.key == text;
            let stands = part.inputs.iter().all(|used| {
                let still = || {
                    task.inputs
                        .iter()
                        .any(|i| i.product == used.product && i.identity == used.identity && i.hash == used.hash)
                };
                !self.is_revoked(used) && (!own || still() || self.current(used).is_none())
            });
            same_version && stands
        })
    }

    // What every output holds already is not new to the verb.
    fn keep_held(&self, found: &Found, task: &Task, held: &mut [bool]) {
        let text = self.key.text();
        let own = found.parts.iter().find(|part| part.step == self.step.name && part.key == text);
        for (input, held) in task.inputs.iter().zip(held) {
            *held &= own.is_some_and(|own| {
                own.inputs.iter().any(|used| {
                    used.product == input.product && used.identity == input.identity && used.hash == input.hash
                })
            });
        }
    }

    // A contributor that is worked in again works on its other outputs too: these go on, or are built afresh likewise.
    fn other_outputs(&self, found: &Found, part: &Contribution) -> Vec<(String, String, String)> {
        let key = self.facts.key_named(&part.step, &part.key);
        let last = key.and_then(|key| self.facts.last_done(&key));
        let same = |left: &LeftFile| {
            left.station == found.station && left.product == found.product && left.identity == found.identity
        };
        let outputs = last.map(|last| last.outputs).unwrap_or_default();
        outputs.into_iter().filter(|left| !same(left)).map(|left| (left.station, left.product, left.identity)).collect()
    }

    // Another key's part as it is worked in now.
    fn as_now(&self, mut part: Contribution) -> Contribution {
        for used in &mut part.inputs {
            if let Some(hash) = self.current(used).and_then(|file| file.hash) {
                used.hash = hash;
            }
        }
        part.step_version = self.step.version;
        let inputs = part.inputs.iter().filter(|used| counts(self.step, &used.role));
        let inputs = inputs.map(|used| (used.role.as_str(), &used.hash));
        let verb = deciding(self.step, self.facts);
        part.identity = super::task::identity(&part.step, &part.key, self.step.version, verb.as_deref(), inputs);
        part.verb_version = self.verb_version();
        part
    }

    fn is_revoked(&self, used: &UsedFile) -> bool {
        revoked(self.step, &self.key.station, used, self.facts).is_some()
    }

    fn current(&self, used: &UsedFile) -> Option<FileFact> {
        let files = newest_version(self.flow, files_named(self.step, &self.key.station, used, self.facts));
        files.into_iter().find(FileFact::is_usable)
    }
}
