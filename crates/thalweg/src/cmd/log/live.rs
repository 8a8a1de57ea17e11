//! What a run writes, as it writes it, until it has ended.

use std::io::Write;

use serde_json::json;
use thalweg_ledger::{RunId, RunState};

use super::follow::{Growing, pause};
use super::{absence, log_path, unknown};
use crate::cmd::runs::took;
use crate::cmd::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Tone, harmless};
use crate::project::Project;

/// Shows what a run has written and what it writes; ends with the run.
pub(super) fn follow(project: &Project, id: RunId, context: &mut Context) -> Done {
    let reader = project.ledger()?.reader()?;
    let mut growing: Option<Growing> = None;
    let mut wrote = false;
    let mut last = b'\n';
    loop {
        // Asked first, read then: what a run wrote before its end is not missed.
        let Some(run) = reader.run(id)? else { return Err(unknown(id)) };
        let over = !matches!(run.state, RunState::Running | RunState::Staged | RunState::Publishing);
        if growing.is_none() {
            growing = log_path(project, &run, &reader)?.filter(|path| path.exists()).map(|path| Growing::new(&path));
        }
        let mut more = Vec::new();
        if let Some(growing) = &mut growing {
            more = growing.more().map_err(|error| {
                Failure::config(format!("failed to read the log {}: {error}", growing.path().display()))
                    .help("check the rights of that file")
            })?;
        }
        if !more.is_empty() {
            wrote = true;
            last = more.last().copied().unwrap_or(b'\n');
            let out = &mut context.out;
            if out.json {
                out.object(&json!({ "run": id, "output": String::from_utf8_lossy(&more) }))?;
            } else if out.terminal {
                let text = harmless(&String::from_utf8_lossy(&more), false).into_owned();
                out.write_all(text.as_bytes())?;
            } else {
                out.write_all(&more)?;
            }
            out.flush()?;
            continue;
        }
        if !over {
            pause();
            continue;
        }
        let missing = absence(&reader, &run, &project.flow().log, context.now())?;
        let out = &mut context.out;
        if out.json {
            out.object(&json!({ "run": id, "state": run.state, "exit": run.exit, "message": run.message }))?;
            return Ok(Exit::Done);
        }
        if last != b'\n' {
            out.line("")?;
        }
        if growing.is_none() {
            out.line(missing)?;
        } else if !wrote {
            out.line("it wrote nothing")?;
        }
        let state = out.paint(Tone::of_word(run.state.as_str()), run.state.as_str());
        let message = run.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        let took = took(&run, run.ended.unwrap_or(run.started));
        out.line(format!("run {id} {} {state} after {took}{message}", run.key))?;
        return Ok(Exit::Done);
    }
}
