//! A process that is killed while it writes leaves a ledger that holds all it was told to be durable.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use thalweg_ledger::{EventFilter, Ledger};

use crate::common::*;

const WRITE_HERE: &str = "THALWEG_LEDGER_TEST_WRITE_HERE";

/// Not a test by itself: what the child of the next one does, until it is killed.
#[test]
fn child_writes() {
    let Some(path) = std::env::var_os(WRITE_HERE) else { return };
    let ledger = Ledger::create(path).unwrap();
    let first = ledger.reader().unwrap().count(None, "p", &[]).unwrap();
    let mut out = std::io::stdout();
    for n in first.. {
        // Several rows in several tables that must stand or fall together.
        let pending: Vec<_> = (0..5)
            .map(|part| {
                ledger
                    .submit(move |tx| {
                        let seen = observed("site", "p", &format!("{}-{n}-{part}", std::process::id()));
                        let file = tx.observe(&seen)?.file;
                        tx.settle(file, &settled(&seen, n))?;
                        let run = tx.run_start(&new_run("step", &format!("{n}-{part}"), n, Vec::new()))?;
                        tx.run_publishing(run)?;
                        Ok(file)
                    })
                    .unwrap()
            })
            .collect();
        for pending in pending {
            let file = pending.wait().unwrap();
            writeln!(out, "durable {file}").unwrap();
        }
        out.flush().unwrap();
    }
}

#[test]
fn what_was_answered_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut answered = Vec::new();
    for lines in [1, 7, 60, 333] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killing::child_writes", "--nocapture"])
            .env(WRITE_HERE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let number = |line: String| line.split_once("durable ").and_then(|(_, id)| id.parse::<i64>().ok());
        answered.extend(said.by_ref().map(|line| line.unwrap()).filter_map(number).take(lines));
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still said before it died counts too, but for a line that was cut.
        let mut rest: Vec<String> = said.map(|line| line.unwrap()).collect();
        rest.pop();
        answered.extend(rest.into_iter().filter_map(number));

        let ledger = Ledger::open(&path).unwrap();
        let reader = ledger.reader().unwrap();
        assert_eq!(reader.damage().unwrap(), Vec::<String>::new());
        for &id in &answered {
            let row = reader.file(thalweg_ledger::FileId(id)).unwrap().expect("an answered write was lost");
            assert_eq!(row.state, thalweg_ledger::FileState::Present);
            assert_eq!(reader.versions(row.id).unwrap().len(), 1);
        }
        // Every closure is there as a whole: as many runs, all publishing, as files, all present.
        let files = reader.count(None, "p", &[]).unwrap();
        assert_eq!(reader.count(None, "p", &[thalweg_ledger::FileState::Present]).unwrap(), files);
        let runs = reader.unfinished_runs().unwrap();
        assert_eq!(runs.len() as u64, files);
        assert!(runs.iter().all(|run| run.state == thalweg_ledger::RunState::Publishing));
        assert!(reader.events(&EventFilter::default(), 1).unwrap().is_empty());
    }
    assert!(answered.len() >= 401);
}
