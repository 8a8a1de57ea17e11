//! `demo`: a system's whole flow on made-up input.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};
use thalweg_engine::{Engine, Event, Mode};

use super::{Context, Done};
use crate::cli::Global;
use crate::demo::{Folder, Story, System, system};
use crate::failure::Failure;
use crate::project::Project;
use crate::work::{Telling, tell};

/// Demonstrates a system: makes input by itself, carries the system's whole flow out, and tells what happened
///
/// Several local folders stand for the stations; no network, no server, nothing to install. The input is the same every
/// time, with a damaged file and a set that is still being written in it. The folder stays, with the flow file and the
/// ledger in it, so that every other command can be tried on it; the same command again goes on where one was
/// interrupted. Ends with 4 only if something failed that is not part of the demonstration.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg demo superdarn\n  thalweg demo superdarn --dir /tmp/radar\n  thalweg demo superdarn --json | jq .held_back"
)]
pub(crate) struct Demo {
    /// The system: superdarn
    #[arg(value_name = "SYSTEM")]
    system: String,
    /// An empty folder, or that of an earlier demonstration [default: thalweg-demo-SYSTEM among the temporary files]
    #[arg(long, value_name = "D")]
    dir: Option<PathBuf>,
}

impl Demo {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let system = system(&self.system)?;
        if context.global.ledger.is_some() || !context.global.at.is_empty() {
            return Err(Failure::usage("a demonstration has a ledger and stations of its own")
                .help("leave --ledger and --at out"));
        }
        let mut folder = Folder::open(&self.dir.unwrap_or_else(|| Folder::usual(system)), system)?;
        let spinner = spinner(context);
        let told = demonstrate(system, &mut folder, context, spinner.as_ref());
        if let Some(spinner) = spinner {
            spinner.finish_and_clear();
        }
        let story = told?;
        if context.out.json {
            context.out.document(&story)?;
        } else {
            story.tell(&mut context.out)?;
        }
        Ok(story.exit())
    }
}

// Progress is for somebody who looks on.
fn spinner(context: &Context) -> Option<ProgressBar> {
    let wanted = context.out.terminal && !context.out.json && context.out.verbosity >= 0;
    wanted.then(|| {
        let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner
    })
}

fn demonstrate(
    system: &'static System,
    folder: &mut Folder,
    context: &mut Context,
    spinner: Option<&ProgressBar>,
) -> Result<Story, Failure> {
    let say = |text: String| {
        if let Some(spinner) = spinner {
            spinner.set_message(text);
        }
    };
    if folder.put_flow(system)? {
        context
            .out
            .note(format!("{} is not as it is shipped; it is carried out as it stands", folder.flow_file().display()));
    }
    let telling = (context.out.verbosity > 0 && !context.out.json).then_some(Telling::Lines);
    let mut trouble = None;
    if !folder.has_input() {
        (system.make_input)(folder, &mut |file| {
            say(format!("written {file}"));
            if telling.is_some() {
                let told = context
                    .out
                    .line(format!("{:<11} {file}", "written"))
                    .and_then(|()| Ok(std::io::Write::flush(&mut context.out)?));
                if let Err(failure) = told {
                    trouble.get_or_insert(failure);
                }
            }
        })?;
        folder.note_input(system)?;
    }
    let global = Global { flow: Some(folder.flow_file()), ..context.global.clone() };
    let project = Project::load(&global, None, &context.clock)?;
    let begun = context.now();
    let engine = Engine::open(project.setup.clone())?;
    let outcome = engine.run(Mode::Once, &mut |event| {
        if let Event::RunStarted { step, key, .. } = event {
            say(format!("{step} {key}"));
        }
        if let Some(telling) = telling {
            let mut write = || tell(event, telling, &mut context.out);
            let told = match spinner {
                Some(spinner) => spinner.suspend(write),
                None => write(),
            };
            if let Err(failure) = told {
                trouble.get_or_insert(failure);
            }
        }
    })?;
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    let now = context.now();
    Story::gather(system, folder.path(), &project, outcome, now.duration_since(begun).as_secs_f64(), now)
}
