//! The socket by which other commands hand work to the engine that runs.
//!
//! One connection, one request: a line of JSON goes in, lines of JSON come out, the last one is the outcome.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::channel;

use serde::{Deserialize, Serialize};

use crate::dispatcher::{Inbox, Message};
use crate::{EngineError, Event, Outcome, Request, Setup};

/// One line of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Something happened.
    Event(Box<Event>),
    /// The request is over.
    Done(Outcome),
    /// The request cannot be carried out.
    Refused(String),
}

const SOCKET: &str = "control.sock";

/// Where the socket is.
fn socket_path(setup: &Setup) -> PathBuf {
    setup.state.join(SOCKET)
}

// The path of a socket may be 107 bytes long, so it is named through a descriptor of its folder.
fn through_folder<T>(setup: &Setup, act: impl FnOnce(&std::path::Path) -> std::io::Result<T>) -> std::io::Result<T> {
    let folder = std::fs::File::open(&setup.state)?;
    act(&PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(SOCKET))
}

/// Listens for requests until the process ends.
pub(crate) fn listen(setup: &Setup, inbox: &Inbox) -> Result<(), EngineError> {
    let path = socket_path(setup);
    // The lock is ours, so a socket that is there is a dead one.
    let _ = std::fs::remove_file(&path);
    let listener = through_folder(setup, |path| UnixListener::bind(path))
        .map_err(|source| EngineError::State { path: path.clone(), source })?;
    let inbox = inbox.clone();
    let serve = move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let inbox = inbox.clone();
            let _ = std::thread::Builder::new().name("control".into()).spawn(move || answer(stream, &inbox));
        }
    };
    std::thread::Builder::new()
        .name("control".into())
        .spawn(serve)
        .map_err(|source| EngineError::State { path, source })?;
    Ok(())
}

pub(crate) fn stop_listening(setup: &Setup) {
    let _ = std::fs::remove_file(socket_path(setup));
}

fn answer(stream: UnixStream, inbox: &Inbox) {
    let Ok(mut out) = stream.try_clone() else { return };
    let mut line = String::new();
    if BufReader::new(stream).read_line(&mut line).is_err() {
        return;
    }
    let mut send = |answer: &Answer| {
        let Ok(mut text) = serde_json::to_vec(answer) else { return false };
        text.push(b'\n');
        out.write_all(&text).is_ok()
    };
    let request = match serde_json::from_str::<Request>(&line) {
        Ok(request) => request,
        Err(error) => {
            send(&Answer::Refused(format!("the request is not understood: {error}")));
            return;
        }
    };
    let (answers, wait) = channel();
    if !inbox.send(Message::Asked { request, answer: answers }) {
        return;
    }
    for answer in wait {
        let last = !matches!(answer, Answer::Event(_));
        if !send(&answer) || last {
            return;
        }
    }
}

/// Hands a request to the engine that runs, if one does.
pub(crate) fn ask(
    setup: &Setup,
    request: &Request,
    report: &mut dyn FnMut(&Event),
) -> Result<Option<Outcome>, EngineError> {
    let Ok(mut stream) = through_folder(setup, |path| UnixStream::connect(path)) else { return Ok(None) };
    let broken = |error: &dyn std::fmt::Display| EngineError::Control { what: error.to_string() };
    let mut text = serde_json::to_vec(request).map_err(|error| broken(&error))?;
    text.push(b'\n');
    stream.write_all(&text).map_err(|error| broken(&error))?;
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(|error| broken(&error))?;
        match serde_json::from_str::<Answer>(&line).map_err(|error| broken(&error))? {
            Answer::Event(event) => report(&event),
            Answer::Done(outcome) => return Ok(Some(outcome)),
            Answer::Refused(what) => return Err(EngineError::Unknown { what }),
        }
    }
    Err(EngineError::Control { what: "it ended before the request was over; what was done stays done".into() })
}
