//! The engine's own log: its last lines, and those that come.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::follow::{Growing, last_lines, pause};
use super::{log_folder, unreadable};
use crate::cmd::{Context, Done};
use crate::enginelog::logs_in;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Out, Tone};
use crate::project::Project;

/// Shows the last lines, and with `follow` those that come, until nobody reads on.
pub(super) fn show(project: &Project, lines: usize, follow: bool, context: &mut Context) -> Done {
    let folder = match project.ledger_if_any()? {
        Some(ledger) => log_folder(project, &ledger.reader()?)?,
        None => project.setup.log_folder(),
    };
    let (mut growing, last) = tail(&folder, lines)?;
    if last.is_empty() && !follow {
        context.out.note(format!("there is no log of an engine in {}: `thalweg run` writes one", folder.display()));
    }
    write(&last, &mut context.out)?;
    if !follow {
        return Ok(Exit::Done);
    }
    context.out.flush()?;
    if thalweg_engine::engine_pid(&project.setup).is_none() {
        context.out.note("no engine runs on this ledger now; what the next one says will be shown (Ctrl-C ends)");
    }
    let mut rest = Vec::new();
    loop {
        let more = growing
            .as_mut()
            .map_or(Ok(Vec::new()), Growing::more)
            .map_err(|error| unreadable(growing.as_ref().map_or(&folder, Growing::path), &error))?;
        if more.is_empty() {
            // The next day has a file of its own.
            let next = next_log(&folder, growing.as_ref().map(Growing::path));
            match next {
                Some(next) => growing = Some(Growing::new(&next)),
                None => pause(),
            }
            continue;
        }
        rest.extend(more);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        write(&rest[..whole], &mut context.out)?;
        context.out.flush()?;
        rest.drain(..whole);
    }
}

/// Returns the log that comes after one, or the first one.
fn next_log(folder: &Path, after: Option<&Path>) -> Option<PathBuf> {
    logs_in(folder).into_iter().find(|path| after.is_none_or(|after| path.as_path() > after))
}

/// Returns the last lines of the newest logs, and the newest to follow from its end.
fn tail(folder: &Path, lines: usize) -> Result<(Option<Growing>, Vec<u8>), Failure> {
    let mut text = Vec::new();
    let mut newest = None;
    for path in logs_in(folder).into_iter().rev() {
        let mut bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            // It was removed as an old one meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(&path, &error)),
        };
        if newest.is_none() {
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            bytes.truncate(whole);
            newest = Some(Growing::from(&path, whole as u64));
        }
        bytes.extend(std::mem::take(&mut text));
        text = bytes;
        if text.iter().filter(|byte| **byte == b'\n').count() >= lines {
            break;
        }
    }
    let from = last_lines(&text, lines);
    Ok((newest, text.split_off(from)))
}

fn write(bytes: &[u8], out: &mut Out) -> Result<(), Failure> {
    for line in String::from_utf8_lossy(bytes).lines() {
        if out.json {
            out.object(&as_json(line))?;
            continue;
        }
        let tone = match line.split_whitespace().nth(1) {
            Some("error") => Tone::Bad,
            Some("warn") => Tone::Odd,
            Some("debug") => Tone::Faint,
            _ => Tone::Plain,
        };
        let line = out.paint(tone, &crate::out::one_line(line));
        out.line(line)?;
    }
    Ok(())
}

fn as_json(line: &str) -> Json {
    let mut parts = line.splitn(2, ' ');
    let at = parts.next().unwrap_or_default();
    let rest = parts.next().unwrap_or_default().trim_start();
    let (level, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (what, text) = rest.trim_start().split_once(": ").unwrap_or((rest, ""));
    json!({ "at": at, "level": level, "what": what.trim(), "text": text })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn the_last_lines_reach_over_the_end_of_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            File::create(folder.path().join(name)).unwrap().write_all(text.as_bytes()).unwrap();
        };
        assert_eq!(tail(folder.path(), 3).unwrap().1, b"");
        put("engine-20260101.log", "a\nb\nc\n");
        put("engine-20260102.log", "d\ne\nhal");
        put("other.log", "x\n");
        let (growing, text) = tail(folder.path(), 3).unwrap();
        assert_eq!(text, b"c\nd\ne\n");
        let mut growing = growing.unwrap();
        assert_eq!(growing.more().unwrap(), b"hal", "an unfinished line is read when it is whole");
        let next = next_log(folder.path(), Some(growing.path()));
        assert_eq!(next, None);
        put("engine-20260103.log", "f\n");
        assert!(next_log(folder.path(), Some(growing.path())).unwrap().ends_with("engine-20260103.log"));
    }

    #[test]
    fn a_line_is_an_object_for_programs() {
        let line = "2026-01-31T23:59:59.500Z info  done: copy -> a/b: c  run 1";
        let json = as_json(line);
        assert_eq!((json["level"].as_str(), json["what"].as_str()), (Some("info"), Some("done")));
        assert_eq!(json["text"], "copy -> a/b: c  run 1");
    }
}
