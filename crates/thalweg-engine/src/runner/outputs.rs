//! What a verb left in its staging folders: found, named, read and hashed.

use std::ops::ControlFlow;

use thalweg_core::pattern::{Pattern, PatternEnv};
use thalweg_core::{ErrorClass, Fields, RelPath, ReportLine, Value};
use thalweg_flow::planner::{Task, TaskOutput};
use thalweg_flow::{Compare, Product};
use thalweg_store::{Entry, Kind, Meta, Store};

use super::publish::{failure, in_the_way};
use super::{Failure, How, Job, Staged};
use crate::probe;

/// Where a verb writes one output.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// The output's number within the task.
    pub(super) output: usize,
    /// The staging path: the file itself, or for a `many` the folder.
    pub(super) path: RelPath,
}

/// Reads and hashes everything that the verb was to write.
pub(super) fn collect(job: &Job, task: &Task, slots: &[Slot], reports: &[ReportLine]) -> Result<Vec<Staged>, Failure> {
    let mut staged = Vec::new();
    let mut folders_done: Vec<&RelPath> = Vec::new();
    for slot in slots {
        let output = &task.outputs[slot.output];
        let Some(store) = job.places.store(&output.station) else {
            return Err(Failure::new(ErrorClass::Config, format!("{} is not a station of this host", output.station)));
        };
        let Some(product) = job.flow.products.get(&output.product) else { continue };
        if let Some(path) = &output.path {
            let found = store.stat(&slot.path).map_err(|error| failure(path, &error))?;
            let wanted = if product.path.is_folder() { Kind::Folder } else { Kind::File };
            if found.is_none_or(|meta| meta.kind != wanted) {
                let message = format!("the verb ended well but did not write {} ({})", output.product, path);
                return Err(Failure::new(ErrorClass::Bug, message));
            }
            staged.push(one(job, task, store.as_ref(), product, output, &slot.path, path, reports)?);
            continue;
        }
        if folders_done.contains(&&slot.path) {
            continue;
        }
        folders_done.push(&slot.path);
        let many: Vec<&TaskOutput> = task
            .outputs
            .iter()
            .enumerate()
            .filter(|(n, other)| other.path.is_none() && slots.iter().any(|s| s.output == *n && s.path == slot.path))
            .map(|(_, other)| other)
            .collect();
        staged.extend(all_in(job, task, store.as_ref(), &many, &slot.path, reports)?);
    }
    Ok(staged)
}

fn all_in(
    job: &Job,
    task: &Task,
    store: &dyn Store,
    outputs: &[&TaskOutput],
    folder: &RelPath,
    reports: &[ReportLine],
) -> Result<Vec<Staged>, Failure> {
    let mut found: Vec<RelPath> = Vec::new();
    let mut unreadable = None;
    store
        .walk(folder, &mut |_| true, &mut |entry| {
            match entry {
                Entry::Found { path, meta: Meta { kind: Kind::File, .. } } => found.push(path),
                Entry::Unreadable { path, error } => unreadable = Some(failure(&path, &error)),
                _ => {}
            }
            ControlFlow::Continue(())
        })
        .map_err(|error| failure(folder, &error))?;
    if let Some(failure) = unreadable {
        return Err(failure);
    }
    found.sort();
    let mut staged = Vec::new();
    for path in found {
        let relative =
            RelPath::from_text(path.as_str().strip_prefix(folder.as_str()).unwrap_or_default().trim_start_matches('/'));
        let named = outputs.iter().find_map(|output| {
            let product = job.flow.products.get(&output.product)?;
            Some((output, product, named(job, product, output, &relative)?))
        });
        let Some((output, product, (target, fields))) = named else {
            let products: Vec<&str> = outputs.iter().map(|output| output.product.as_str()).collect();
            let message = format!("the verb wrote {relative}, which is no {}", products.join(" and no "));
            return Err(Failure::new(ErrorClass::Bug, message));
        };
        let output = TaskOutput { fields, path: None, ..(*output).clone() };
        staged.push(one(job, task, store, product, &output, &path, &target, reports)?);
    }
    Ok(staged)
}

// A `many` output is known by its whole path, by the end of it, or by its name alone when the fields of the key give the folders.
fn named(job: &Job, product: &Product, output: &TaskOutput, relative: &RelPath) -> Option<(RelPath, Fields)> {
    let env = PatternEnv { tables: &job.flow.tables };
    let pattern = product.pattern_at(&output.station);
    if let Ok(fields) = pattern.matches(relative, &env) {
        return Some((relative.clone(), fields));
    }
    // A verb's folder may stand for one of the folders that the pattern fixes.
    let mut above = pattern.fixed_folder();
    while !above.is_empty() {
        let path = RelPath::from_text(above.trim_end_matches('/')).join(relative.as_str());
        if let Ok(fields) = pattern.matches(&path, &env) {
            return Some((path, fields));
        }
        above = above.trim_end_matches('/').rsplit_once('/').map(|(up, _)| up.to_owned()).unwrap_or_default();
    }
    let mut types = product.types.clone();
    let last = last_segment(pattern.as_str());
    let own = Pattern::parse(last, &mut types).ok()?.matches(&RelPath::from_text(relative.file_name()), &env).ok()?;
    let mut fields = output.fields.clone();
    fields.extend(own);
    let path = pattern.format(&fields, &env, Some(relative.file_name())).ok()?;
    let fields = pattern.matches(&path, &env).unwrap_or(fields);
    Some((path, fields))
}

// The part of a pattern after its last `/` outside braces.
fn last_segment(pattern: &str) -> &str {
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, c) in pattern.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '/' if depth == 0 => start = at + 1,
            _ => {}
        }
    }
    &pattern[start..]
}

#[expect(clippy::too_many_arguments, reason = "the places of one output, each of another kind")]
fn one(
    job: &Job,
    task: &Task,
    store: &dyn Store,
    product: &Product,
    output: &TaskOutput,
    staged: &RelPath,
    path: &RelPath,
    reports: &[ReportLine],
) -> Result<Staged, Failure> {
    let hashed = store.hash(staged, &mut |_| {}).map_err(|error| failure(staged, &error))?;
    let mut fields = output.fields.clone();
    for line in reports {
        if let ReportLine::Output { path: named, fields: more } = line
            && (named == path.as_str() || named.ends_with(staged.file_name()))
        {
            for (name, value) in more {
                if let Some(value) = probe::field_value(value) {
                    fields.insert(name.clone(), value);
                }
            }
        }
    }
    let mut coverage = None;
    let mut data_hash = None;
    if probe::is_needed(product) {
        let absolute = job.places.absolute(&output.station, staged).unwrap_or_default();
        let told = probe::probe(&job.setup, product, &absolute)?;
        coverage = told.coverage;
        data_hash = told.data_hash;
        fields.extend(told.fields);
    }
    let standing = store.stat(path).map_err(|error| failure(path, &error))?;
    let earlier = || job.earlier.get(&(output.station.clone(), path.clone())).copied();
    let how = match (standing, output.replaces.or_else(earlier)) {
        (None, _) => How::New,
        // The dispatcher knows what that one holds, and has it worked on from if anything would be lost.
        (Some(meta), _) if output.update => How::Replace(Box::new(meta)),
        // Told now, so that none of many gets its name when one cannot.
        (Some(_), None) if output.path.is_none() => {
            if store.hash(path, &mut |_| {}).is_ok_and(|now| now.hash == hashed.hash) {
                How::There
            } else {
                return Err(in_the_way(path, &output.station, &product.name, &task.key.step));
            }
        }
        (Some(_), None) => How::New,
        (Some(meta), Some(expected)) => {
            let now = store.hash(path, &mut |_| {}).map_err(|error| failure(path, &error))?;
            if now.hash == hashed.hash {
                How::There
            } else if now.hash == expected || product.compare == Compare::Data {
                How::Replace(Box::new(meta))
            } else {
                return Err(in_the_way(path, &output.station, &product.name, &task.key.step));
            }
        }
    };
    let previous = task.previous.iter().find(|p| p.file.station == output.station && p.file.path == *path);
    Ok(Staged {
        station: output.station.clone(),
        product: product.name.clone(),
        path: path.clone(),
        fields: fields.into_iter().filter(|(_, value)| *value != Value::List(Vec::new())).collect(),
        coverage,
        hash: hashed.hash,
        data_hash,
        size: hashed.size,
        staged: staged.clone(),
        how,
        update: output.update,
        many: output.path.is_none(),
        previous: previous.and_then(|previous| previous.file.hash),
    })
}
