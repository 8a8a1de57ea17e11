//! Built-in verbs and external commands: child processes that read inputs and write into a staging folder.
//!
//! The contract: arguments as the flow says; `THALWEG_STEP`, `THALWEG_KEY`, `THALWEG_RUN`, `THALWEG_ATTEMPT`,
//! `THALWEG_STAGING` and `THALWEG_REPORT` in the environment; a JSON description of the task on standard input; exit
//! code 0 done, 75 try later, 65 bad data, anything else a failure; JSON lines in the report file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use serde_json::json;
use thalweg_core::{ErrorClass, RelPath, ReportLine, VerbExit};
use thalweg_flow::planner::command::{Places as Filling, fill};
use thalweg_flow::planner::{Task, TaskInput};
use thalweg_flow::{CommandLine, Step};

use super::outputs::{Slot, collect};
use super::publish::{failure, in_full, publish_all, stand_by};
use super::{End, Failure, Go, Job, Layout, Told, left_out, programs};
use crate::child::{Command, Ended, Sandbox};

/// Rounds in which a verb is given earlier outputs that it turned out to build on.
const ROUNDS: usize = 3;

/// Runs a verb as a child process and publishes what it wrote.
pub(super) fn run(job: &Job, line: &CommandLine, builtin: bool) -> End {
    let mut task = merged(&job.tasks);
    let mut end = End::default();
    let mut layout = job.layout.clone();
    for _ in 0..ROUNDS {
        match attempt(job, &task, line, builtin, &mut layout, &mut end) {
            Ok(Some(more)) => task.previous.extend(more),
            Ok(None) => return end,
            Err(failure) => {
                end.failure = Some(failure);
                return end;
            }
        }
    }
    end.failure = Some(Failure::new(ErrorClass::Bug, "the verb builds on other earlier outputs each time it runs"));
    end
}

// Several keys in one run have all their inputs and all their outputs together.
fn merged(tasks: &[Task]) -> Task {
    let mut tasks = tasks.iter();
    let Some(first) = tasks.next() else { unreachable!("a job has at least one task") };
    let mut all = first.clone();
    for task in tasks {
        for input in &task.inputs {
            if !all.inputs.contains(input) {
                all.inputs.push(input.clone());
            }
        }
        for output in &task.outputs {
            if !all.outputs.contains(output) {
                all.outputs.push(output.clone());
            }
        }
        all.previous.extend(task.previous.clone());
        all.fields.retain(|name, value| task.fields.get(name) == Some(value));
        all.span = match (all.span, task.span) {
            (Some(a), Some(b)) => Some(thalweg_core::TimeRange::new(a.start.min(b.start), a.end.max(b.end))),
            (a, b) => a.or(b),
        };
    }
    all
}

type More = Vec<thalweg_flow::planner::Previous>;

/// Runs the verb once; gives earlier outputs that it has to work on from in another round, if there are any.
fn attempt(
    job: &Job,
    task: &Task,
    line: &CommandLine,
    builtin: bool,
    layout: &mut Layout,
    end: &mut End,
) -> Result<Option<More>, Failure> {
    let Some(step) = job.step() else { return Err(Failure::new(ErrorClass::Config, "the flow has no such step")) };
    let (slots, folder) = prepare(job, task)?;
    let placed = place_previous(job, task, &slots, layout)?;
    let command = command(job, task, step, line, builtin, &slots, &folder)?;
    end.command = std::iter::once(&command.program)
        .chain(&command.args)
        .map(|arg| RelPath::from_bytes(arg.as_encoded_bytes()).to_string())
        .collect();
    let ended = job
        .setup
        .host
        .child(command, &job.cancel, &mut |line| {
            if let ReportLine::Progress { done, total, unit } = line {
                job.tell.tell(Told::Progress { no: job.no, done, total, unit });
            }
        })
        .map_err(|error| Failure::new(error.class(), in_full(&error)))?;
    end.exit = ended.exit;
    end.signal = ended.signal;
    end.user += ended.user;
    end.system += ended.system;
    end.peak_rss = end.peak_rss.max(ended.peak_rss);
    end.reports.clone_from(&ended.reports);
    if ended.cancelled {
        end.cancelled = true;
        return Ok(None);
    }
    if !step.edits {
        end.changed = changed_inputs(job, task);
        if !end.changed.is_empty() {
            return Ok(None);
        }
    }
    verdict(job, task, &ended, builtin, step)?;
    let mut staged = collect(job, task, &slots, &ended.reports)?;
    // What the verb was given and left as it was is no output of it.
    staged.retain(|output| !(placed.contains(&output.staged) && output.previous == Some(output.hash)));
    // It wrote beside what it was given: it looks for earlier outputs in another place, and is given them there.
    let beside =
        staged.iter().filter(|output| output.previous.is_some() && output.many && !placed.contains(&output.staged));
    let beside: Vec<(String, usize)> =
        beside.map(|output| (output.product.clone(), left_out(&output.staged, &output.path))).collect();
    if !beside.is_empty() {
        layout.extend(beside);
        return Ok(Some(More::new()));
    }
    match stand_by(job, &staged, true) {
        Go::Publish => {
            end.left = publish_all(job, staged, false)?;
            Ok(None)
        }
        Go::WorkOn(standing) => {
            let mut more = More::new();
            layout.extend(staged.iter().map(|output| (output.product.clone(), left_out(&output.staged, &output.path))));
            for (station, path) in standing {
                more.extend(
                    staged.iter().filter(|o| o.station == station && o.path == path).filter_map(|o| earlier(job, o)),
                );
            }
            Ok(Some(more))
        }
        Go::Refuse(why) => Err(Failure::new(ErrorClass::Refused, why)),
        Go::Stop | Go::Start => {
            end.cancelled = true;
            Ok(None)
        }
    }
}

// What stands in an output's place, as an earlier output to work on from.
fn earlier(job: &Job, output: &super::Staged) -> Option<thalweg_flow::planner::Previous> {
    let store = job.places.store(&output.station)?;
    let found = store.hash(&output.path, &mut |_| {}).ok()?;
    let product = job.flow.products.get(&output.product)?;
    Some(thalweg_flow::planner::Previous {
        file: thalweg_flow::planner::FileFact {
            id: -1,
            station: output.station.clone(),
            product: output.product.clone(),
            identity: thalweg_flow::planner::identity_of_file(product, &output.fields),
            path: output.path.clone(),
            fields: output.fields.clone(),
            coverage: output.coverage,
            size: found.size,
            mtime: thalweg_core::Timestamp::UNIX_EPOCH,
            hash: Some(found.hash),
            arrived: thalweg_core::Timestamp::UNIX_EPOCH,
            unchanged_since: thalweg_core::Timestamp::UNIX_EPOCH,
            evidence: thalweg_flow::planner::Evidence::Closed,
            state: thalweg_flow::planner::FileState::Present,
            origin: thalweg_flow::planner::Origin::Made,
        },
    })
}

/// Makes the staging folders, empty, and says where each output goes.
fn prepare(job: &Job, task: &Task) -> Result<(Vec<Slot>, PathBuf), Failure> {
    let name = &job.staging;
    let mut slots = Vec::new();
    let mut first = None;
    for (n, output) in task.outputs.iter().enumerate() {
        let Some(store) = job.places.store(&output.station) else {
            return Err(Failure::new(ErrorClass::Config, format!("{} is not a station of this host", output.station)));
        };
        let target = output.path.clone().unwrap_or_else(|| RelPath::from_text("new"));
        let folder = store.staging(name, &target).map_err(|error| failure(&target, &error))?;
        if first.is_none() {
            store.discard_staging(&folder).map_err(|error| failure(&folder, &error))?;
            store.staging(name, &target).map_err(|error| failure(&target, &error))?;
            first = job.places.absolute(&output.station, &folder);
        }
        let path = match &output.path {
            Some(path) => {
                let own = folder.join(&format!("out{n}"));
                store.make_folder(&own).map_err(|error| failure(&own, &error))?;
                own.join(path.file_name())
            }
            None => {
                let own = folder.join("out");
                store.make_folder(&own).map_err(|error| failure(&own, &error))?;
                own
            }
        };
        slots.push(Slot { output: n, path });
    }
    // A verb that makes nothing works beside its log.
    let folder = first.unwrap_or_else(|| job.log.with_extension("d"));
    Ok((slots, folder))
}

// The earlier versions of a `many` are given as files of their own in the staging folder, for the verb to work on.
fn place_previous(job: &Job, task: &Task, slots: &[Slot], layout: &Layout) -> Result<Vec<RelPath>, Failure> {
    let mut placed = Vec::new();
    for previous in &task.previous {
        let many = task.outputs.iter().enumerate().find(|(_, output)| {
            output.path.is_none() && output.product == previous.file.product && output.station == previous.file.station
        });
        let Some(slot) = many.and_then(|(n, _)| slots.iter().find(|slot| slot.output == n)) else { continue };
        let Some(store) = job.places.store(&previous.file.station) else { continue };
        let without = layout.get(&previous.file.product).copied().unwrap_or(0);
        let own: Vec<&str> = previous.file.path.as_str().split('/').skip(without).collect();
        let target = slot.path.join(&own.join("/"));
        let copy = || -> Result<(), thalweg_store::StoreError> {
            let mut reader = store.open_read(&previous.file.path)?;
            let mut writer = store.write_staged(&target, 0, previous.file.size)?;
            let mut buffer = vec![0; 1 << 20];
            loop {
                let n = std::io::Read::read(&mut reader, &mut buffer).map_err(|source| {
                    thalweg_store::StoreError::Io { action: "read", path: previous.file.path.clone(), source }
                })?;
                if n == 0 {
                    break;
                }
                writer.append(&buffer[..n])?;
            }
            writer.finish(None, None)?;
            Ok(())
        };
        copy().map_err(|error| failure(&previous.file.path, &error))?;
        placed.push(target);
    }
    Ok(placed)
}

fn os(text: &str) -> OsString {
    OsString::from_vec(RelPath::from_text(text).to_bytes())
}

fn escaped(path: PathBuf) -> String {
    RelPath::from_bytes(&path.into_os_string().into_vec()).as_str().to_owned()
}

fn input_path(job: &Job, input: &TaskInput) -> PathBuf {
    if input.station.is_empty() {
        return job.setup.base.join(os(input.path.as_str()));
    }
    job.places.absolute(&input.station, &input.path).unwrap_or_default()
}

fn command(
    job: &Job,
    task: &Task,
    step: &Step,
    line: &CommandLine,
    builtin: bool,
    slots: &[Slot],
    folder: &std::path::Path,
) -> Result<Command, Failure> {
    let outputs: Vec<String> = slots
        .iter()
        .map(|slot| escaped(job.places.absolute(&task.outputs[slot.output].station, &slot.path).unwrap_or_default()))
        .collect();
    let previous: Vec<String> = task
        .previous
        .iter()
        .map(|previous| escaped(job.places.absolute(&previous.file.station, &previous.file.path).unwrap_or_default()))
        .collect();
    let filling = Filling {
        task,
        input: &|input| escaped(input_path(job, input)),
        outputs: &outputs,
        previous: &previous,
        params: &job.flow.params,
        tables: &job.flow.tables,
    };
    let mut args = fill(line, &filling)
        .map_err(|error| Failure::new(ErrorClass::Config, error.to_string()))?
        .into_iter()
        .map(|arg| os(&arg));
    let program = if builtin {
        job.setup.program.clone().into_os_string()
    } else {
        let name = args.next().ok_or_else(|| Failure::new(ErrorClass::Config, "the command names no program"))?;
        programs::named(&job.setup.base, name)
    };
    let mut command = Command::new(program, folder, job.log.clone(), job.log.with_extension("report"));
    command.args = args.collect();
    command.timeout = std::time::Duration::try_from(step.timeout).ok();
    command.memory = step.memory;
    command.stdin = description(job, task, &outputs, &previous).to_string().into_bytes();
    let env = |name: &str, value: OsString| (OsString::from(name), value);
    command.env = vec![
        env("THALWEG_STEP", step.name.clone().into()),
        env("THALWEG_KEY", os(&task.key.text())),
        env("THALWEG_RUN", job.run.to_string().into()),
        env("THALWEG_ATTEMPT", job.attempt.to_string().into()),
        env("THALWEG_STAGING", folder.as_os_str().to_owned()),
    ];
    command.env.extend(programs::environment(step));
    let temporary = folder.join("tmp");
    command.env.push(env("TMPDIR", temporary.clone().into_os_string()));
    command.temporary = Some(temporary);
    let mut read: Vec<PathBuf> = task.inputs.iter().map(|input| input_path(job, input)).collect();
    let programs = if builtin { Vec::new() } else { programs::needs(&job.setup.base, named(line)) };
    read.extend(previous.iter().map(|path| PathBuf::from(os(path))));
    read.extend(step.reads.iter().map(|path| job.setup.base.join(path)));
    let mut write = vec![folder.to_owned()];
    write.extend(slots.iter().filter_map(|slot| {
        let output = &task.outputs[slot.output];
        let path = if output.path.is_some() { slot.path.parent() } else { slot.path.clone() };
        job.places.absolute(&output.station, &path)
    }));
    if step.edits {
        write.extend(
            task.inputs
                .iter()
                .filter(|i| i.role.is_empty())
                .filter_map(|i| input_path(job, i).parent().map(Into::into)),
        );
    }
    command.sandbox = Some(Sandbox { read, programs, write, tcp: step.network });
    Ok(command)
}

// Scripts and settings that the flow names by their full paths.
fn named(line: &CommandLine) -> Vec<PathBuf> {
    let named = line.args.iter().filter_map(|argument| match argument {
        thalweg_flow::Argument::Pieces(pieces) => match pieces.as_slice() {
            [thalweg_flow::Piece::Text(text)] if text.starts_with('/') && text.len() > 1 => Some(PathBuf::from(text)),
            _ => None,
        },
        thalweg_flow::Argument::Flagged { .. } => None,
    });
    named.collect()
}

fn description(job: &Job, task: &Task, outputs: &[String], previous: &[String]) -> serde_json::Value {
    json!({
        "contract": 1,
        "flow": job.flow.name,
        "step": task.key.step,
        "version": task.step_version,
        "key": task.key.text(),
        "station": task.key.station,
        "span": task.span.map(|span| json!({"start": span.start, "end": span.end})),
        "fields": task.fields.iter().map(|(name, value)| (name.clone(), json!(value.to_string()))).collect::<serde_json::Map<_, _>>(),
        "inputs": task.inputs.iter().map(|input| json!({
            "role": input.role,
            "product": input.product,
            "path": escaped(input_path(job, input)),
            "hash": input.hash,
            "size": input.size,
            "coverage": input.coverage,
            "fields": input.fields.iter().map(|(n, v)| (n.clone(), json!(v.to_string()))).collect::<serde_json::Map<_, _>>(),
        })).collect::<Vec<_>>(),
        "outputs": task.outputs.iter().zip(outputs).map(|(output, path)| json!({
            "product": output.product,
            "station": output.station,
            "path": path,
            "many": output.path.is_none(),
            "update": output.update,
        })).collect::<Vec<_>>(),
        "previous": previous,
        "without": task.awaited,
        "run": job.run,
        "attempt": job.attempt,
    })
}

// An input that is not the same any more was changed while the verb read it, or since: the run is void.
fn changed_inputs(job: &Job, task: &Task) -> Vec<(String, RelPath)> {
    task.inputs
        .iter()
        .filter(|input| !input.station.is_empty())
        .filter(|input| {
            let found = job.places.store(&input.station).and_then(|store| store.stat(&input.path).ok());
            // A folder's own size says nothing; what could not be asked is not taken as changed.
            match found {
                Some(Some(meta)) if meta.kind == thalweg_store::Kind::File => {
                    let recorded = job.recorded.get(&(input.station.clone(), input.path.clone()));
                    recorded.is_none_or(|stat| {
                        meta.size != stat.size
                            || meta.mtime_ns != stat.mtime_ns
                            || (stat.ino != 0 && meta.ino != stat.ino)
                    })
                }
                Some(Some(_)) => false,
                Some(None) => true,
                None => false,
            }
        })
        .map(|input| (input.station.clone(), input.path.clone()))
        .collect()
}

/// Turns the end of a child into success or a failure with its class.
fn verdict(job: &Job, task: &Task, ended: &Ended, builtin: bool, step: &Step) -> Result<(), Failure> {
    let told = ended.reports.iter().rev().find_map(|line| match line {
        ReportLine::Error { class, message, file } => Some((*class, message.clone(), file.clone())),
        _ => None,
    });
    let driving: Vec<&TaskInput> = task.inputs.iter().filter(|input| input.role.is_empty()).collect();
    let only = || match driving.as_slice() {
        [one] => Some((one.station.clone(), one.path.clone())),
        _ => None,
    };
    if ended.timed_out {
        let limit = thalweg_core::units::format_duration(step.timeout);
        return Err(Failure::new(
            ErrorClass::Transient,
            format!("it ran longer than its timeout of {limit} and was ended"),
        ));
    }
    let code = match (ended.exit, ended.signal) {
        (Some(0), _) => return Ok(()),
        (Some(code), _) => code,
        (None, signal) => {
            let memory = step.memory.map(|_| "; perhaps its memory limit was too small").unwrap_or_default();
            let number = signal.unwrap_or_default();
            return Err(Failure::new(ErrorClass::Bug, format!("it was ended by signal {number}{memory}")));
        }
    };
    if let Some((class, message, file)) = told {
        let named = file.and_then(|file| {
            let file = PathBuf::from(file);
            task.inputs.iter().find(|input| input_path(job, input) == file).map(|i| (i.station.clone(), i.path.clone()))
        });
        let bad = if class == ErrorClass::Data { named.or_else(only) } else { None };
        return Err(Failure { class, message, bad });
    }
    let said = last_words(&job.log);
    let class = match VerbExit::from_code(code) {
        VerbExit::TryLater => ErrorClass::NotYet,
        VerbExit::BadData => ErrorClass::Data,
        _ if builtin && code == 4 => ErrorClass::Data,
        _ if builtin && (code == 2 || code == 3) => ErrorClass::Config,
        _ if builtin && code == 5 => ErrorClass::Refused,
        _ => ErrorClass::Bug,
    };
    let said = if !builtin && code == 126 {
        format!(
            "{said} (the sandbox lets it read its inputs, the flow file's folder and what `reads` of the step names)"
        )
    } else {
        said
    };
    let bad = if class == ErrorClass::Data { only() } else { None };
    Err(Failure { class, message: format!("exit code {code}: {said}"), bad })
}

fn last_words(log: &std::path::Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.split_off(lines.len().saturating_sub(3));
    if last.is_empty() { "it said nothing".into() } else { last.join(" / ") }
}
