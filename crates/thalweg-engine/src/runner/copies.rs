//! The engine's own verbs: send and fetch between stations, copy, move and link within one.

use std::collections::BTreeMap;

use thalweg_core::ErrorClass;
use thalweg_flow::Verb;
use thalweg_flow::planner::{TaskInput, TaskOutput};
use thalweg_store::Store;
use thalweg_transfer::{Conflict, CopyOptions, TransferError, Verify, copy_verified};

use super::publish::{in_full, publish_all, stand_by};
use super::{End, Failure, Go, How, Job, Left, Staged, Told};

/// Copies every input to every station it goes to; all or it is not done.
pub(super) fn deliver(job: &Job) -> End {
    let mut end = End::default();
    let total: u64 = job.tasks.iter().flat_map(|task| &task.inputs).map(|input| input.size).sum::<u64>()
        * u64::try_from(job.step().map_or(1, |step| step.to.len().max(1))).unwrap_or(1);
    let mut before = 0;
    // Journalled first: after a crash a copy that is there is known as the flow's own.
    if stand_by(job, &to_come(job), false) != Go::Publish {
        end.cancelled = true;
        return end;
    }
    for task in &job.tasks {
        let inputs: BTreeMap<(&str, &str), &TaskInput> = task
            .inputs
            .iter()
            .filter(|input| input.role.is_empty())
            .map(|input| ((input.product.as_str(), input.identity.as_str()), input))
            .collect();
        for output in &task.outputs {
            let product = job.flow.products.get(&output.product);
            let identity =
                product.map(|p| thalweg_flow::planner::identity_of_file(p, &output.fields)).unwrap_or_default();
            let Some(input) = inputs.get(&(output.product.as_str(), identity.as_str())) else { continue };
            match deliver_one(job, input, output, before, total) {
                Ok(left) => {
                    before += left.output.size;
                    end.left.push(left);
                }
                Err(Stop::Failed(failure)) => {
                    end.failure = Some(failure);
                    return end;
                }
                Err(Stop::Changed) => {
                    end.changed.push((input.station.clone(), input.path.clone()));
                    return end;
                }
                Err(Stop::Cancelled) => {
                    end.cancelled = true;
                    return end;
                }
            }
        }
    }
    end
}

// The copies that are to be, under the names and with the contents that they will have.
fn to_come(job: &Job) -> Vec<Staged> {
    let mut staged = Vec::new();
    for task in &job.tasks {
        for output in &task.outputs {
            let (Some(product), Some(path)) = (job.flow.products.get(&output.product), &output.path) else { continue };
            let identity = thalweg_flow::planner::identity_of_file(product, &output.fields);
            let input = task
                .inputs
                .iter()
                .find(|input| input.role.is_empty() && input.product == output.product && input.identity == identity);
            let Some(input) = input else { continue };
            staged.push(Staged {
                station: output.station.clone(),
                product: output.product.clone(),
                path: path.clone(),
                fields: input.fields.clone(),
                coverage: input.coverage,
                hash: input.hash,
                data_hash: None,
                size: input.size,
                staged: input.path.clone(),
                how: How::There,
                update: false,
                many: false,
                previous: None,
            });
        }
    }
    staged
}

enum Stop {
    Failed(Failure),
    Changed,
    Cancelled,
}

fn stores<'a>(job: &'a Job, from: &str, to: &str) -> Result<(&'a dyn Store, &'a dyn Store), Failure> {
    let store = |name: &str| {
        job.places
            .store(name)
            .map(AsRef::as_ref)
            .ok_or_else(|| Failure::new(ErrorClass::Config, format!("{name} is not a station of this host")))
    };
    Ok((store(from)?, store(to)?))
}

fn deliver_one(job: &Job, input: &TaskInput, output: &TaskOutput, before: u64, total: u64) -> Result<Left, Stop> {
    let Some(path) = &output.path else {
        return Err(Stop::Failed(Failure::new(ErrorClass::Bug, "a copy without a path")));
    };
    let (source, target) = stores(job, &input.station, &output.station).map_err(Stop::Failed)?;
    let (tell, no) = (&job.tell, job.no);
    let progress = move |done: u64, _: u64| {
        tell.tell(Told::Progress { no, done: before + done, total: Some(total), unit: "bytes".into() });
    };
    let by_data = job.flow.products.get(&input.product).is_some_and(|p| p.compare == thalweg_flow::Compare::Data);
    let mut options = CopyOptions::new(&job.staging);
    options.verify = Verify::Stream;
    options.expected = (!by_data).then_some(input.hash);
    options.on_progress = Some(&progress);
    options.cancel = Some(&job.cancel);
    options.conflict = match output.replaces {
        // What stands there is an earlier version that the flow itself brought.
        Some(_) => Conflict::Replace { allow_shrink: true, keep_old: None },
        None => Conflict::Refuse,
    };
    match copy_verified(source, &input.path, target, path, &options) {
        Ok(copied) => Ok(Left {
            meta: copied.meta,
            delivered: true,
            output: Staged {
                station: output.station.clone(),
                product: output.product.clone(),
                path: copied.path,
                fields: input.fields.clone(),
                coverage: input.coverage,
                hash: copied.hash,
                data_hash: by_data.then_some(input.hash),
                size: copied.size,
                staged: input.path.clone(),
                how: How::There,
                update: false,
                many: false,
                previous: None,
            },
        }),
        Err(TransferError::Cancelled { .. }) => Err(Stop::Cancelled),
        Err(TransferError::NotExpected { .. }) => Err(Stop::Changed),
        Err(error) if matches!(error.class(), ErrorClass::NotYet) => Err(Stop::Changed),
        Err(error) => {
            let help = error.help().map(|help| format!(" ({help})")).unwrap_or_default();
            Err(Stop::Failed(Failure::new(error.class(), format!("{}{help}", in_full(&error)))))
        }
    }
}

// A move to another station is a verified copy, and then the source goes, if it is still what was copied.
fn remove_source(job: &Job, input: &TaskInput) -> Result<(), Stop> {
    let (store, _) = stores(job, &input.station, &input.station).map_err(Stop::Failed)?;
    let failed = |error: &thalweg_store::StoreError| Stop::Failed(super::publish::failure(&input.path, error));
    let Some(meta) = store.stat(&input.path).map_err(|error| failed(&error))? else { return Ok(()) };
    let recorded = job.recorded.get(&(input.station.clone(), input.path.clone()));
    let same =
        recorded.is_some_and(|stat| stat.size == meta.size && stat.mtime_ns == meta.mtime_ns && stat.ino == meta.ino);
    if meta.kind == thalweg_store::Kind::File && !same {
        return Err(Stop::Changed);
    }
    store.remove_verified(&input.path, &meta, thalweg_store::OldContent::Drop).map_err(|error| failed(&error))
}

/// Gives the content of each input a place as another product of the station.
pub(super) fn within(job: &Job) -> End {
    let mut end = End::default();
    let verb = job.step().map(|step| step.does.clone());
    for task in &job.tasks {
        let Some(input) = task.inputs.iter().find(|input| input.role.is_empty()) else { continue };
        for output in &task.outputs {
            match within_one(job, verb.as_ref(), input, output) {
                Ok(left) => end.left.extend(left),
                Err(Stop::Failed(failure)) => end.failure = Some(failure),
                Err(Stop::Changed) => end.changed.push((input.station.clone(), input.path.clone())),
                Err(Stop::Cancelled) => end.cancelled = true,
            }
            if end.failure.is_some() || end.cancelled || !end.changed.is_empty() {
                return end;
            }
        }
    }
    end
}

fn within_one(job: &Job, verb: Option<&Verb>, input: &TaskInput, output: &TaskOutput) -> Result<Vec<Left>, Stop> {
    let same_station = input.station == output.station;
    if matches!(verb, Some(Verb::Copy)) || !same_station {
        let mut left = deliver_one(job, input, output, 0, input.size)?;
        left.delivered = false;
        left.output.fields.clone_from(&output.fields);
        if matches!(verb, Some(Verb::Move)) {
            remove_source(job, input)?;
        }
        return Ok(vec![left]);
    }
    let Some(path) = &output.path else {
        return Err(Stop::Failed(Failure::new(ErrorClass::Bug, "a copy without a path")));
    };
    let (store, _) = stores(job, &input.station, &output.station).map_err(Stop::Failed)?;
    let found = store.hash(&input.path, &mut |_| {}).or_else(|error| match (verb, &error) {
        // An earlier attempt had moved it and was told that it had not.
        (Some(Verb::Move), thalweg_store::StoreError::NotFound { .. }) => {
            store.hash(path, &mut |_| {}).ok().filter(|moved| moved.hash == input.hash).ok_or(error)
        }
        _ => Err(error),
    });
    let found = found.map_err(|error| Stop::Failed(super::publish::failure(&input.path, &error)))?;
    let by_data = job.flow.products.get(&input.product).is_some_and(|p| p.compare == thalweg_flow::Compare::Data);
    if !by_data && found.hash != input.hash {
        return Err(Stop::Changed);
    }
    let staged = Staged {
        station: output.station.clone(),
        product: output.product.clone(),
        path: path.clone(),
        fields: output.fields.clone(),
        coverage: input.coverage,
        hash: found.hash,
        data_hash: by_data.then_some(input.hash),
        size: found.size,
        staged: input.path.clone(),
        how: if matches!(verb, Some(Verb::Move)) { How::Move } else { How::There },
        update: false,
        many: false,
        previous: None,
    };
    if stand_by(job, std::slice::from_ref(&staged), true) != Go::Publish {
        return Err(Stop::Cancelled);
    }
    if matches!(verb, Some(Verb::Link))
        && let Err(error) = store.link(&input.path, path)
        && !matches!(error, thalweg_store::StoreError::AlreadyExists { .. })
    {
        return Err(Stop::Failed(super::publish::failure(path, &error)));
    }
    publish_all(job, vec![staged], false).map_err(Stop::Failed)
}
