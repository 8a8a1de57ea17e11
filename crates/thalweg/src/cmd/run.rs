//! `run`: carries the flow out as files arrive.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::Args;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use thalweg_engine::backlog::{FirstRun, OldFiles};
use thalweg_engine::{Engine, Event, Handle, Mode, Setup, makes_root, root_of};

use super::steering::who;
use super::{Context, Done, plan};
use crate::cli::Global;
use crate::enginelog::EngineLog;
use crate::exit::Exit;
use crate::failure::{Explained, Failure};
use crate::out::{Cell, Table, Tone};
use crate::project::Project;
use crate::words::{count, size};
use crate::work::{Telling, conclude, tell};

/// Carries the flow out: what arrives is taken, and what follows from it is done
///
/// Goes on until it is told to stop: SIGTERM and SIGINT let it end in order, SIGHUP has it read the flow file again. With
/// --once it ends when nothing is left to do, with 4 if anything failed.
///
/// A first run that finds more than 10000 old files says how much it would do and asks; without a terminal it ends with 5 until
/// --backlog or --no-backlog says what is to be done with them. Nothing is begun before that.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg run\n  thalweg run --once\n  thalweg run --at campus --slots 4 -v\n  thalweg run --no-backlog\n  thalweg run --log-dir /var/log/thalweg\n  thalweg run --once --json | jq 'select(.event == \"run_failed\")'"
)]
pub(crate) struct Run {
    /// Until nothing is left to do, then end
    #[arg(long)]
    once: bool,
    /// Runs at once [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    slots: Option<u16>,
    /// The folder of logs [default: `dir` of `[log]` in the flow file]
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Act on files that are older than the first `run` here, however many they are
    #[arg(long, conflicts_with = "no_backlog")]
    backlog: bool,
    /// At the first `run`, enter the files that are there as known and act only on what comes from now on
    #[arg(long)]
    no_backlog: bool,
    /// Old files above which a first `run` asks [default: `backlog` of the flow file's `[run]`, else 10000]
    #[arg(long, value_name = "N")]
    backlog_limit: Option<u64>,
}

impl Run {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let mut project = context.project()?;
        let slots = self.slots.map(usize::from);
        project.setup.slots = slots;
        let log_dir = self.log_dir.clone().map(|folder| std::path::absolute(&folder).unwrap_or(folder));
        project.setup.log_dir.clone_from(&log_dir);
        // Events carry the notes to programs.
        if !context.out.json {
            plan::notes(context, &project)?;
        }
        // Until the engine works, SIGTERM and Ctrl-C end the program as any other: nothing has begun that could suffer.
        let deaf = |error| Failure::new(Exit::Unexpected, format!("failed to listen for signals: {error}"));
        let mut signals = Signals::new([SIGHUP]).map_err(deaf)?;
        let mode = if self.once { Mode::Once } else { Mode::Forever };
        let making = roots_to_make(&project);
        let engine = Engine::open(project.setup.clone())?;
        if !context.out.json && context.out.verbosity >= 0 {
            self.begins(context, &project, &making)?;
        }
        self.old_files(context, &project, &engine)?;
        signals.add_signal(SIGTERM).and_then(|()| signals.add_signal(SIGINT)).map_err(deaf)?;
        let mut log = EngineLog::new(&project.setup);
        // What is to be in force next, once the engine has taken it over.
        let next: Arc<Mutex<Option<Setup>>> = Arc::default();
        let settled = Settled { slots, log_dir, next: Arc::clone(&next) };
        let (handle, global, clock) = (engine.handle(), context.global.clone(), Arc::clone(&context.clock));
        let stop_listening = signals.handle();
        let listener = std::thread::spawn(move || {
            for signal in signals.forever() {
                if signal == SIGHUP {
                    reload(&handle, &global, &clock, &settled);
                } else {
                    handle.stop(if signal == SIGTERM { "SIGTERM" } else { "SIGINT" });
                }
            }
        });
        let telling = Telling::of(&context.out);
        let mut trouble = None;
        let stopper = engine.handle();
        let clock = Arc::clone(&context.clock);
        let outcome = engine.run(mode, &mut |event| {
            if let Event::Reloaded { accepted: true, .. } = event
                && let Some(setup) = next.lock().ok().and_then(|mut next| next.take())
            {
                log.follow(&setup);
            }
            if let Some(why) = log.write(event, clock.now()) {
                context.out.note(why);
            }
            // The first line said it already.
            if matches!(event, Event::Started { .. }) && telling != Telling::Json {
                return;
            }
            if let Err(failure) = tell(event, telling, &mut context.out) {
                // Nobody reads on, or the output cannot be written: the engine ends in order.
                if trouble.is_none() {
                    stopper.stop("nobody reads the output on");
                }
                trouble.get_or_insert(failure);
            }
        });
        stop_listening.close();
        // The listener only waits for signals; it ends with the handle.
        let _ = listener.join();
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        let exit = conclude(&outcome?, &mut context.out)?;
        Ok(if self.once { exit } else { Exit::Done })
    }
}

/// What the command line says, however often the flow file is read.
struct Settled {
    slots: Option<usize>,
    log_dir: Option<PathBuf>,
    next: Arc<Mutex<Option<Setup>>>,
}

// Roots that are not there, and that the engine makes.
fn roots_to_make(project: &Project) -> Vec<(String, PathBuf)> {
    let stations = project.flow().stations.values().filter(|station| project.setup.here.contains(&station.name));
    stations
        .filter(|station| makes_root(project.flow(), station))
        .map(|station| (station.name.clone(), root_of(&project.setup, station)))
        .filter(|(_, root)| !root.exists())
        .collect()
}

impl Run {
    // Says what is begun, so that whoever looks knows that it works and on what.
    fn begins(&self, context: &mut Context, project: &Project, making: &[(String, PathBuf)]) -> Result<(), Failure> {
        let setup = &project.setup;
        let stations: Vec<&str> = setup.here.iter().map(String::as_str).collect();
        let until = if self.once {
            "until nothing is left to do"
        } else {
            "as files arrive, until SIGTERM or Ctrl-C; `thalweg log --follow` tells what it does"
        };
        let out = &mut context.out;
        let name = out.paint(Tone::Head, &project.flow().name);
        out.line(format!("{name} at {}: {until} (ledger {})", stations.join(", "), setup.ledger.display()))?;
        for (station, root) in making.iter().filter(|(_, root)| root.exists()) {
            out.line(format!("the root of {station} was not there and is made: {}", root.display()))?;
        }
        Ok(std::io::Write::flush(out)?)
    }

    // Before anything has begun: a first run that would set out on years of old files is asked about.
    fn old_files(&self, context: &mut Context, project: &Project, engine: &Engine) -> Result<(), Failure> {
        let first = engine.first_run()?;
        let limit = self.backlog_limit.unwrap_or(project.flow().backlog);
        let what = if self.no_backlog {
            OldFiles::Leave
        } else if self.backlog || first.files <= limit {
            OldFiles::Do
        } else {
            ask(context, &first, limit)?
        };
        if what == OldFiles::Leave && first.files > 0 && !context.out.json {
            let files = count(first.files, "file", "files");
            context.out.line(format!(
                "{files} that are there already are entered as known: only what comes from now on is acted on"
            ))?;
            std::io::Write::flush(&mut context.out)?;
        }
        engine.begin(first, what, &who())?;
        if self.backlog {
            engine.take_up_old_files()?;
        }
        Ok(())
    }
}

fn ask(context: &mut Context, first: &FirstRun, limit: u64) -> Result<OldFiles, Failure> {
    let message = format!(
        "this is the first run here, and {} ({}) are there already, more than {limit}",
        count(first.files, "file", "files"),
        size(first.bytes)
    );
    let mut table = Table::new(&[]).indented(2);
    for step in &first.steps {
        let files = count(step.files, "file", "files");
        table.row([step.step.as_str().into(), Cell::right(files), Cell::right(size(step.bytes))]);
    }
    let terminal = std::io::stdin().is_terminal() && context.out.terminal;
    if context.out.json || !terminal {
        let steps: Vec<String> = first
            .steps
            .iter()
            .map(|step| format!("{} {} ({})", step.step, count(step.files, "file", "files"), size(step.bytes)))
            .collect();
        let failure = Failure::new(Exit::Refused, format!("{message}: {}; nothing was begun", steps.join(", ")))
            .help("--backlog acts on all of them, --no-backlog only on what comes from now on; `thalweg plan` says what that is");
        let more =
            json!({ "backlog": { "files": first.files, "bytes": first.bytes, "limit": limit, "steps": first.steps } });
        let text = failure.text();
        return Err(Failure { explained: Some(Box::new(Explained { text, more })), ..failure });
    }
    let out = &mut context.out;
    out.line(format!("{message}:"))?;
    out.table(&table)?;
    std::io::Write::flush(out)?;
    loop {
        out.line("act on all of them (a), only on what comes from now on (n), or stop here (s)?")?;
        std::io::Write::flush(out)?;
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line).unwrap_or(0);
        match line.trim().to_ascii_lowercase().as_str() {
            "a" | "all" => return Ok(OldFiles::Do),
            "n" | "new" => return Ok(OldFiles::Leave),
            "s" | "stop" | "q" => break,
            _ if read == 0 => break,
            _ => {}
        }
    }
    Err(Failure::new(Exit::Refused, "nothing was begun")
        .help("--backlog acts on all of them, --no-backlog only on what comes from now on"))
}

fn reload(handle: &Handle, global: &Global, clock: &Arc<dyn thalweg_core::Clock>, settled: &Settled) {
    match Project::load(global, None, clock) {
        Ok(mut project) => {
            project.setup.slots = settled.slots;
            project.setup.log_dir.clone_from(&settled.log_dir);
            if let Ok(mut next) = settled.next.lock() {
                *next = Some(project.setup.clone());
            }
            handle.reload(project.setup);
        }
        Err(failure) => {
            use std::io::Write;
            // Standard error may be closed; the old flow stays in force either way.
            let _ = writeln!(
                std::io::stderr(),
                "the flow file was not read again, the old one stays in force\n{}",
                failure.text()
            );
        }
    }
}
