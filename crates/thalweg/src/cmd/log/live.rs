//! What a run writes, as it writes it, until it has ended.

use std::io::Write;

use serde_json::json;
use thalweg_ledger::{RunId, RunState};

use super::follow::{Growing, pause};
use super::{absence, log_path, shown, unknown, unreadable};
use crate::cmd::runs::took;
use crate::cmd::{Context, Done};
use crate::exit::Exit;
use crate::out::Tone;
use crate::project::Project;

/// Shows what a run has written and what it writes; ends with the run.
pub(super) fn follow(project: &Project, id: RunId, context: &mut Context) -> Done {
    let reader = project.ledger()?.reader()?;
    let mut growing: Option<Growing> = None;
    let mut wrote = false;
    let mut last = b'\n';
    let mut rest = Vec::new();
    loop {
        // Asked first, read then: what a run wrote before its end is not missed.
        let Some(run) = reader.run(id)? else { return Err(unknown(id)) };
        let over = !matches!(run.state, RunState::Running | RunState::Staged | RunState::Publishing);
        if growing.is_none() {
            growing = log_path(project, &run, &reader)?.filter(|path| path.exists()).map(|path| Growing::new(&path));
        }
        let mut more = Vec::new();
        if let Some(growing) = &mut growing {
            more = growing.more().map_err(|error| unreadable(growing.path(), &error))?;
        }
        let ends = more.is_empty();
        rest.extend(more);
        // A character that is not written whole yet waits for its other half, or for the end.
        let whole = if ends && over { rest.len() } else { whole_characters(&rest) };
        if whole > 0 {
            let more: Vec<u8> = rest.drain(..whole).collect();
            wrote = true;
            last = more.last().copied().unwrap_or(b'\n');
            let out = &mut context.out;
            if out.json {
                out.object(&json!({ "run": id, "output": String::from_utf8_lossy(&more) }))?;
            } else {
                out.write_all(&shown(&more, out.terminal))?;
            }
            out.flush()?;
            continue;
        }
        if !ends {
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

// Returns how many bytes come before a character at the end that is not written whole.
fn whole_characters(text: &[u8]) -> usize {
    // None is longer than four bytes.
    let start = text.len().saturating_sub(3);
    for at in (start..text.len()).rev() {
        if text[at] & 0xC0 != 0x80 {
            let length = match text[at] {
                0xC0..=0xDF => 2,
                0xE0..=0xEF => 3,
                0xF0..=0xF7 => 4,
                _ => 1,
            };
            return if at + length > text.len() { at } else { text.len() };
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::whole_characters;

    #[test]
    fn a_character_is_not_cut() {
        let text = "grün €𝄞";
        for cut in 0..=text.len() {
            let whole = whole_characters(&text.as_bytes()[..cut]);
            assert!(cut - whole < 4 && text.is_char_boundary(whole), "{cut}: {whole}");
            assert!(!text.is_char_boundary(cut) || whole == cut, "{cut}: {whole}");
        }
        // What is no text at all is not held back for ever.
        assert_eq!(whole_characters(b"\x80\x80\x80\x80"), 4);
        assert_eq!(whole_characters(b"a\xff"), 2);
    }
}
