//! Fills a ledger with a million files and tells how long writing and the common questions take.
//!
//! `cargo run --release -p thalweg-ledger --example million [FOLDER]`; the folder (default: the system's temporary one)
//! says which disk is measured. A measurement, not a test: it judges nothing.
#![expect(clippy::print_stdout, reason = "this program is there to print")]

use std::time::{Duration, Instant};

use thalweg_core::{ContentHash, Fields, RelPath, TimeRange, Timestamp, fields_text};
use thalweg_ledger::{
    Error, FileFilter, FileId, FileState, Identity, Ledger, NewEvent, NewRun, Observed, Origin, Reader, RunEnd,
    RunInput, RunOutput, RunState, Settled, Stat,
};

const FILES: i64 = 1_000_000;
const SITES: [&str; 5] = ["sas", "rkn", "inv", "cly", "pgr"];
const MINUTES: i64 = 5;

fn t(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap_or(Timestamp::MAX)
}

/// File number n: two products, five sites each, one file in five minutes, with a gap now and then.
fn file(n: i64) -> Observed {
    let slot = n / 10 + n / 10_000;
    let (product, site) = if n % 2 == 0 { ("rawacf", n / 2 % 5) } else { ("bfiq", n / 2 % 5) };
    let site = SITES[usize::try_from(site).unwrap_or(0)];
    let start = t(slot * MINUTES * 60);
    let fields: Fields =
        [("site".to_owned(), site.into()), ("time".to_owned(), thalweg_core::Value::Time(start))].into();
    Observed {
        station: "campus".to_owned(),
        path: RelPath::from_text(format!(
            "{product}/{}/{site}.{}.{product}.h5",
            start.strftime("%Y/%m/%d"),
            start.strftime("%Y%m%d.%H%M")
        )),
        identity: Identity {
            product: product.to_owned(),
            fields_key: fields_text(&fields),
            group_key: format!("site={site}"),
            fields,
            start: Some(start),
            end: Some(t((slot + 1) * MINUTES * 60)),
            suspect: None,
        },
        stat: Stat { size: 1_000_000, mtime_ns: n, ctime_ns: n, ino: n.unsigned_abs() + 1, dev: 1 },
        closed: true,
        origin: Origin::Seen,
        at: start,
    }
}

fn hash(n: i64) -> ContentHash {
    // Spread like real digests, so that the index of contents is filled as it would be.
    let mut bytes = [0; 32];
    let mut word = n.unsigned_abs().wrapping_add(1);
    for chunk in bytes.chunks_mut(8) {
        word = (word ^ (word >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (word << 17);
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    ContentHash(bytes)
}

fn rate(what: &str, count: i64, took: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let per_second = count as f64 / took.as_secs_f64();
    println!("{what:<44} {:>9.1} s {per_second:>10.0} /s", took.as_secs_f64());
}

fn ask(reader: &Reader, what: &str, question: impl Fn(&Reader) -> Result<usize, Error>) -> Result<(), Error> {
    let mut times = Vec::new();
    let mut rows = 0;
    for _ in 0..5 {
        let begun = Instant::now();
        rows = question(reader)?;
        times.push(begun.elapsed());
    }
    let first = times[0];
    times.sort();
    println!(
        "{what:<44} first {:>8.2} ms, median {:>8.2} ms, {rows} rows",
        first.as_secs_f64() * 1e3,
        times[2].as_secs_f64() * 1e3
    );
    Ok(())
}

fn fill(ledger: &Ledger) -> Result<(), Error> {
    let begun = Instant::now();
    let mut ids = Vec::new();
    ledger.bulk_observe((0..FILES).map(file), |_, outcome| ids.push(outcome.file))?;
    rate("observe into a fresh ledger", FILES, begun.elapsed());

    let begun = Instant::now();
    ledger.bulk_observe((0..FILES).map(file), |_, _| {})?;
    rate("observe once more, nothing new", FILES, begun.elapsed());

    let begun = Instant::now();
    for part in ids.chunks(20_000) {
        let part: Vec<FileId> = part.to_vec();
        ledger.write(move |tx| {
            for id in part {
                let n = id.0 - 1;
                let seen = file(n);
                let settled = Settled {
                    identity: seen.identity,
                    stat: seen.stat,
                    content: hash(n),
                    data_hash: None,
                    indexed: Vec::new(),
                    origin: Origin::Seen,
                    run: None,
                    verify_mode: "read".to_owned(),
                    at: seen.at,
                };
                tx.settle(id, &settled)?;
                let event = NewEvent {
                    at: settled.at,
                    kind: "settled".to_owned(),
                    subject: None,
                    station: Some(seen.station),
                    product: Some(settled.identity.product),
                    fields_key: Some(settled.identity.fields_key),
                    path: Some(seen.path),
                    run: None,
                    data: None,
                };
                tx.event(&event)?;
            }
            Ok(())
        })?;
    }
    rate("settle, with content, version, copy, event", FILES, begun.elapsed());

    let begun = Instant::now();
    let runs = FILES / 5;
    for first in (0..runs).step_by(10_000) {
        ledger.write(move |tx| {
            for n in first..first + 10_000 {
                let (seen, made) = (file(n * 2), file(n * 2 + 1));
                let run = tx.run_start(&NewRun {
                    step: "convert".to_owned(),
                    step_version: 1,
                    station: seen.station.clone(),
                    key: seen.identity.fields_key.clone(),
                    identity: hash(-n),
                    inputs: vec![RunInput {
                        role: "in".to_owned(),
                        product: seen.identity.product,
                        fields_key: seen.identity.fields_key,
                        content: Some(hash(n * 2)),
                        station: seen.station,
                        path: seen.path,
                        start: seen.identity.start,
                        end: seen.identity.end,
                    }],
                    started: seen.at,
                    attempt: 1,
                    pid: Some(1),
                    host: "host".to_owned(),
                    program: "0.1.0".to_owned(),
                    verb_version: None,
                    command: vec!["convert".to_owned()],
                    log: None,
                    staging: None,
                    partial: false,
                    awaited: None,
                    fresh: false,
                    batch: None,
                })?;
                tx.run_staged(
                    run,
                    &[RunOutput {
                        product: made.identity.product,
                        fields_key: made.identity.fields_key,
                        station: made.station,
                        path: made.path,
                        content: Some(hash(n * 2 + 1)),
                        size: 5,
                        staged_name: "0".to_owned(),
                        published: true,
                    }],
                )?;
                let end = RunEnd {
                    state: RunState::Done,
                    class: None,
                    message: None,
                    ended: seen.at,
                    exit: Some(0),
                    signal: None,
                    retry_at: None,
                    user_ms: None,
                    system_ms: None,
                    peak_kib: None,
                    report: None,
                };
                tx.run_finish(run, &end)?;
            }
            Ok(())
        })?;
    }
    rate("runs, with one input and one output", runs, begun.elapsed());

    let begun = Instant::now();
    for n in 0..200 {
        ledger.write(move |tx| tx.meta_set("measure", &n.to_string()))?;
    }
    rate("durable writes, one after the other", 200, begun.elapsed());
    let begun = Instant::now();
    let pending = (0..20_000).map(|n: i32| ledger.submit(move |tx| tx.meta_set("measure", &n.to_string())));
    for pending in pending.collect::<Result<Vec<_>, _>>()? {
        pending.wait()?;
    }
    rate("durable writes, many waiting", 20_000, begun.elapsed());
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(root)?;
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::create(&path)?;
    fill(&ledger)?;
    drop(ledger);
    println!("{:<44} {:>9} MiB", "size of the ledger", std::fs::metadata(&path)?.len() >> 20);

    let begun = Instant::now();
    let ledger = Ledger::open(&path)?;
    println!("{:<44} {:>9.2} ms", "open", begun.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    let reader = ledger.reader()?;
    println!("{:<44} {:>9.2} ms", "make a reader", begun.elapsed().as_secs_f64() * 1e3);

    let day = 86_400;
    let range = |from: i64, to: i64| TimeRange::new(t(from * day), t(to * day));
    let one = file(700_001);
    ask(&reader, "find: one product, a day", |r| {
        Ok(r.files_overlapping(Some("campus"), "rawacf", range(200, 201), &[FileState::Present])?.len())
    })?;
    ask(&reader, "find: pages of 1000 in a month, the first", |r| {
        let filter = FileFilter {
            product: Some("rawacf".to_owned()),
            from: Some(t(200 * day)),
            to: Some(t(230 * day)),
            ..FileFilter::default()
        };
        Ok(r.page(&filter, 1000)?.len())
    })?;
    ask(&reader, "gaps: one product, a month", |r| Ok(r.gaps("rawacf", Some("campus"), range(200, 230), 0)?.len()))?;
    ask(&reader, "coverage: one product, a year, merged", |r| {
        Ok(r.coverage("rawacf", Some("campus"), range(0, 365))?.len())
    })?;
    ask(&reader, "why: file, its events, the runs that made it", |r| {
        let events = r.events_for_path("campus", &one.path)?.len();
        Ok(usize::from(r.file_at("campus", &one.path)?.is_some())
            + events
            + r.runs_making_path("campus", &one.path)?.len())
    })?;
    ask(&reader, "newest of a group", |r| Ok(r.newest("campus", "rawacf", Some("site=sas"), true, 1)?.len()))?;
    ask(&reader, "by content, and the runs that took it", |r| {
        Ok(r.files_by_content(&hash(300_000))?.len() + r.runs_using_content(&hash(300_000))?.len())
    })?;
    ask(&reader, "counts by product, station, state", |r| Ok(r.tallies()?.len()))?;
    ask(&reader, "all known files in order of path", |r| {
        r.known_files("campus")?.try_fold(0, |n, file| file.map(|_| n + 1))
    })?;
    Ok(())
}
