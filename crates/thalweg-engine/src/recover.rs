//! After a crash: runs that were cut off are brought to an end, staged outputs appear together or not at all, and no
//! temporary name stays.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;

use thalweg_core::{RelPath, Timestamp};
use thalweg_flow::Flow;
use thalweg_flow::planner::identity_of_file;
use thalweg_ledger::{FileState, Ledger, Origin, Output, Reader, RunEnd, RunOutput, RunRow, RunState};
use thalweg_store::{Entry, Kind, Meta, OldContent, Publish, STAGING, Store};

use crate::classify::{Classifier, QUARANTINE, identity};
use crate::runner::staging_name;
use crate::scan::{stat_of, stat_of_unit};
use crate::{EngineError, Places};

/// Brings everything that an earlier engine left unfinished to an end.
pub(crate) fn recover(flow: &Flow, classifier: &Classifier, ledger: &Ledger, places: &Places, now: Timestamp) -> Result<(), EngineError> {
    let reader = ledger.reader()?;
    for run in reader.unfinished_runs()? {
        end_child(run.id.0, places);
        let finished = matches!(run.state, RunState::Staged | RunState::Publishing)
            && finish(flow, classifier, ledger, &reader, places, &run, now)?;
        if !finished {
            let end = lost(now);
            let id = run.id;
            ledger.write(move |tx| tx.run_finish(id, &end))?;
        }
    }
    for (_, _, store) in places.stations() {
        remove_staging(store.as_ref());
    }
    quarantine_again(ledger, &reader, places)
}

fn lost(now: Timestamp) -> RunEnd {
    RunEnd {
        state: RunState::Lost,
        class: Some(thalweg_core::ErrorClass::Transient),
        message: Some("the engine ended before the run did".into()),
        ended: now,
        exit: None,
        signal: None,
        retry_at: None,
        user_ms: None,
        system_ms: None,
        peak_kib: None,
        report: None,
    }
}

/// One journalled output as it is found.
enum Found {
    Published(Meta),
    Staged(RelPath),
}

/// Publishes what is still staged of a journalled run, if all of it is there; tells if the run is done.
fn finish(
    flow: &Flow,
    classifier: &Classifier,
    ledger: &Ledger,
    reader: &Reader,
    places: &Places,
    run: &RunRow,
    now: Timestamp,
) -> Result<bool, EngineError> {
    let outputs = reader.run_outputs(run.id)?;
    let moves = flow.steps.get(&run.step).is_some_and(|step| matches!(step.does, thalweg_flow::Verb::Move));
    let mut found = Vec::new();
    for output in &outputs {
        let Some(store) = places.store(&output.station) else { return Ok(false) };
        match look(store.as_ref(), output) {
            Some(one) => found.push((output, store, one)),
            None => return Ok(false),
        }
    }
    let mut rows = Vec::new();
    for (output, store, one) in found {
        let meta = match one {
            Found::Published(meta) => meta,
            Found::Staged(staged) => {
                let published = if moves {
                    store.move_within(&staged, &output.path).and_then(|()| store.stat(&output.path))
                } else {
                    publish(store.as_ref(), &staged, &output.path).map(Some)
                };
                match published {
                    Ok(Some(meta)) => meta,
                    _ => return Ok(false),
                }
            }
        };
        let folder = meta.kind == Kind::Folder;
        let Some((product, fields)) = classifier.product(flow, &output.station, &output.path, folder) else { return Ok(false) };
        let mut identity = identity(product, fields, None, now);
        if identity_of_file(product, &identity.fields) != output.fields_key {
            identity.fields_key.clone_from(&output.fields_key);
        }
        let stat = if folder { stat_of_unit(store.as_ref(), &output.path).unwrap_or_default() } else { stat_of(&meta) };
        let Ok(hashed) = store.hash(&output.path, &mut |_| {}) else { return Ok(false) };
        rows.push(Output {
            station: output.station.clone(),
            path: output.path.clone(),
            identity,
            stat,
            content: hashed.hash,
            data_hash: output.content.filter(|content| *content != hashed.hash),
            indexed: crate::facts::indexed_fields(flow, &output.product).into_iter().collect(),
            origin: Origin::Made,
            run: Some(run.id),
            verify_mode: "read".into(),
            at: now,
        });
    }
    let mut sources = Vec::new();
    if moves {
        for input in reader.run_inputs(run.id)? {
            sources.extend(reader.file_at(&input.station, &input.path)?.map(|row| row.id));
        }
    }
    let updates = flow.steps.get(&run.step).is_some_and(thalweg_flow::Step::updates);
    let (id, by) = (run.id, format!("step {}", run.step));
    let published: Vec<RunOutput> = outputs.into_iter().map(|output| RunOutput { published: true, ..output }).collect();
    // The contributions of an update are not journalled: its keys run again, which gives the same.
    let end = if updates { lost(now) } else { RunEnd { state: RunState::Done, class: None, message: Some("finished after a restart".into()), ..lost(now) } };
    ledger.write(move |tx| {
        for row in &rows {
            tx.put_output(row)?;
        }
        for source in sources {
            tx.retire(source, &by, &serde_json::json!([]), Some(id), now)?;
        }
        tx.run_staged(id, &published)?;
        tx.run_finish(id, &end)
    })?;
    Ok(true)
}

fn look(store: &dyn Store, output: &RunOutput) -> Option<Found> {
    let same = |path: &RelPath| {
        let found = store.hash(path, &mut |_| {}).ok()?;
        // A product that is compared by data has another digest in the journal.
        (Some(found.hash) == output.content || (found.size == output.size && path != &output.path)).then_some(found.meta)
    };
    if let Some(meta) = same(&output.path) {
        return Some(Found::Published(meta));
    }
    if output.staged_name.is_empty() {
        return None;
    }
    let staged = RelPath::from_text(output.staged_name.clone());
    same(&staged).map(|_| Found::Staged(staged))
}

fn publish(store: &dyn Store, staged: &RelPath, path: &RelPath) -> Result<Meta, thalweg_store::StoreError> {
    match store.stat(path)? {
        None => store.publish(staged, path, Publish::NoReplace),
        Some(meta) => store.publish(staged, path, Publish::Replace { expected: &meta, old: OldContent::Drop }),
    }
}

// Whatever an earlier engine staged belongs to no run any more.
fn remove_staging(store: &dyn Store) {
    let staging = RelPath::from_text(STAGING);
    let mut folders = BTreeSet::new();
    let listed = store.walk(&staging, &mut |_| false, &mut |entry| {
        if let Entry::Found { path, meta } = entry
            && meta.kind == Kind::Folder
            && path.file_name().starts_with(&staging_name(0)[..4])
        {
            folders.insert(path);
        }
        ControlFlow::Continue(())
    });
    if listed.is_ok() {
        for folder in folders {
            let _ = store.discard_staging(&folder);
        }
    }
}

// A bad file that was recorded and not yet moved is moved now.
fn quarantine_again(ledger: &Ledger, reader: &Reader, places: &Places) -> Result<(), EngineError> {
    for row in reader.quarantined(&thalweg_ledger::QuarantineFilter::default())? {
        if row.moved_to.is_some() {
            continue;
        }
        let Some(store) = places.store(&row.station) else { continue };
        let still = row.file.map(|file| reader.file(file)).transpose()?.flatten();
        if still.is_none_or(|file| file.state != FileState::Quarantined) {
            continue;
        }
        let target = RelPath::from_text(QUARANTINE).join(row.path.as_str());
        if matches!(store.stat(&row.path), Ok(Some(_))) && store.move_within(&row.path, &target).is_ok() {
            let report = RelPath::from_text(format!("{}.report.json", target.as_str()));
            let text = serde_json::json!({ "file": row.path, "message": row.message, "class": row.class, "at": row.at });
            let _ = store.write_atomically(&report, text.to_string().as_bytes());
            let id = row.id;
            ledger.write(move |tx| tx.quarantine_moved(id, &target, Some(&report)))?;
        }
    }
    Ok(())
}

// A child of an engine that was killed goes on by itself; its outputs would belong to nobody. It is known by its run
// and by a staging folder below one of our roots: another flow's engine may have a run of the same number.
fn end_child(run: i64, places: &Places) {
    let mark = format!("THALWEG_RUN={run}");
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(environment) = std::fs::read(process.path().join("environ")) else { continue };
        let mut variables = environment.split(|byte| *byte == 0);
        let ours = variables.clone().any(|variable| variable == mark.as_bytes())
            && variables.any(|variable| {
                let staging = variable.strip_prefix(b"THALWEG_STAGING=");
                staging.is_some_and(|staging| {
                    let staging = std::path::Path::new(std::ffi::OsStr::from_bytes(staging));
                    places.stations().any(|(_, root, _)| staging.starts_with(root))
                })
            });
        if ours
            && pid != i32::try_from(std::process::id()).unwrap_or(-1)
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}
