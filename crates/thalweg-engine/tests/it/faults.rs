//! After a crash: every state in which the ledger's journal and the files can be found, made by hand.

use thalweg_core::RelPath;
use thalweg_ledger::{Contribution, InputRef, Ledger, NewRun, RunEnd, RunFilter, RunId, RunOutput, RunState};

use crate::workshop::Workshop;

const PARTS: &str = r#"
flow = "parts"
[stations.here]
root = "data"
[products.raw]
path = "in/{name}.dat"
[products.part]
path = "out/{name}/{n:int}.txt"
[steps.split]
at = "here"
takes = "raw"
makes = { product = "part", many = true }
does = { run = ["sh", "-c", "for n in 1 2 3; do sed s/^/$n/ $1 > $2/$n.txt; done", "sh", "{in}", "{out}"] }
"#;

const MOVE: &str = r#"
flow = "move"
[stations.here]
root = "data"
[products.raw]
path = "in/{name}.dat"
[products.sorted]
path = "sorted/{name}.dat"
[steps.sort]
at = "here"
takes = "raw"
makes = "sorted"
does = "move"
"#;

/// What the last run of an undisturbed twin recorded: the same rows stand in the ledger of one that was killed.
struct Journal {
    run: NewRun,
    outputs: Vec<RunOutput>,
}

fn twin(flow: &str, content: &str) -> Journal {
    let shop = Workshop::new(flow);
    shop.write("data/in/a.dat", content);
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    last_run(&shop)
}

fn last_run(shop: &Workshop) -> Journal {
    let (run, outputs) = shop.last_run(None);
    Journal { run, outputs }
}

/// Where a run of this ledger stages its outputs.
fn staging(ledger: &Ledger, run: RunId) -> String {
    let id = ledger.reader().and_then(|reader| reader.ledger_id()).expect("a ledger has an id");
    let id: String = id.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    format!(".thalweg-staging/run-{}-{run}", id.to_ascii_lowercase())
}

/// Writes into the ledger what an engine had written that was killed in this state; returns the run and where each output
/// was staged.
fn cut_off(shop: &Workshop, journal: &Journal, state: RunState, moves: bool) -> (RunId, Vec<RunOutput>) {
    std::fs::create_dir_all(shop.path(".thalweg")).expect("a folder");
    let ledger = Ledger::create(shop.path(".thalweg/ledger.sqlite")).expect("a ledger");
    let run = journal.run.clone();
    let id = ledger.write(move |tx| tx.run_start(&run)).expect("the run is recorded");
    let outputs: Vec<RunOutput> = journal
        .outputs
        .iter()
        .map(|output| {
            let name = output.path.as_str().rsplit('/').next().unwrap_or_default();
            let staged = format!("{}/out/{name}", staging(&ledger, id));
            let staged_name = if moves { output.staged_name.clone() } else { staged };
            RunOutput { staged_name, published: false, ..output.clone() }
        })
        .collect();
    let rows = outputs.clone();
    ledger
        .write(move |tx| {
            if state != RunState::Running {
                tx.run_staged(id, &rows)?;
            }
            if state == RunState::Publishing {
                tx.run_publishing(id)?;
            }
            Ok(())
        })
        .expect("the journal is written");
    (id, outputs)
}

/// Gives a run that was cut off up, as an engine does that could not ask the station.
fn lose(shop: &Workshop, run: RunId, journal: &Journal) {
    let ledger = Ledger::open(shop.path(".thalweg/ledger.sqlite")).expect("the ledger opens");
    let output = journal.outputs[0].clone();
    let reader = ledger.reader().expect("a reader");
    let before = reader.file_at(&output.station, &output.path).expect("a query").and_then(|row| row.content);
    let NewRun { step, step_version, key, identity, inputs, started, .. } = journal.run.clone();
    let inputs = inputs.into_iter().filter_map(|input| {
        Some(InputRef { product: input.product, fields_key: input.fields_key, content: input.content? })
    });
    let part = Contribution {
        product: output.product,
        fields_key: output.fields_key,
        content: output.content.expect("it is known"),
        step,
        step_version,
        verb_version: None,
        key,
        identity,
        run: Some(run),
        inputs: inputs.collect(),
    };
    ledger
        .write(move |tx| {
            if let Some(before) = before {
                tx.contributions_carry(&part.product, &part.fields_key, &before, &part.content)?;
            }
            tx.contribute(&part)?;
            tx.run_finish(run, &RunEnd::new(RunState::Lost, started))
        })
        .expect("the run is over");
}

fn content(output: &RunOutput, raw: &str) -> String {
    format!("{}{raw}", output.path.as_str().trim_end_matches(".txt").rsplit('/').next().unwrap_or_default())
}

fn parts(shop: &Workshop) -> Vec<Option<String>> {
    (1..=3).map(|n| shop.read(&format!("data/out/a/{n}.txt"))).collect()
}

fn all(raw: &str) -> Vec<Option<String>> {
    (1..=3).map(|n| Some(format!("{n}{raw}"))).collect()
}

fn state_of(shop: &Workshop, run: RunId) -> RunState {
    shop.ledger().reader().expect("a reader").run(run).expect("a query").expect("a run").state
}

fn no_staging(shop: &Workshop) {
    let left: Vec<String> = shop.files(".").into_iter().filter(|name| name.contains(".thalweg-staging")).collect();
    assert_eq!(left, Vec::<String>::new());
    let staging = shop.path("data/.thalweg-staging");
    assert!(
        !staging.exists() || std::fs::read_dir(staging).expect("a folder").next().is_none(),
        "no empty folders either"
    );
}

#[test]
fn journalled_outputs_that_are_all_staged_are_published_together() {
    let journal = twin(PARTS, "x\n");
    for state in [RunState::Staged, RunState::Publishing] {
        let shop = Workshop::new(PARTS);
        shop.write("data/in/a.dat", "x\n");
        let (run, outputs) = cut_off(&shop, &journal, state, false);
        for output in &outputs {
            shop.write(&format!("data/{}", output.staged_name), &content(output, "x\n"));
        }
        let (outcome, events) = shop.once();
        assert_eq!((outcome.done, outcome.failed), (0, 0), "nothing is made twice: {events:#?}");
        assert_eq!(parts(&shop), all("x\n"));
        assert_eq!(state_of(&shop, run), RunState::Done);
        no_staging(&shop);
    }
}

#[test]
fn a_half_published_run_is_published_whole() {
    let journal = twin(PARTS, "x\n");
    for published in 1..=3 {
        let shop = Workshop::new(PARTS);
        shop.write("data/in/a.dat", "x\n");
        let (run, outputs) = cut_off(&shop, &journal, RunState::Publishing, false);
        for (n, output) in outputs.iter().enumerate() {
            let name = if n < published { output.path.as_str() } else { &output.staged_name };
            shop.write(&format!("data/{name}"), &content(output, "x\n"));
        }
        let (outcome, events) = shop.once();
        assert_eq!((outcome.done, outcome.failed), (0, 0), "{published} published: {events:#?}");
        assert_eq!(parts(&shop), all("x\n"));
        assert_eq!(state_of(&shop, run), RunState::Done);
        no_staging(&shop);
    }
}

#[test]
fn a_run_whose_staged_file_is_missing_or_damaged_is_made_again_whole() {
    let journal = twin(PARTS, "x\n");
    for (damage, published) in [(None, 0), (None, 1), (Some("x"), 0), (Some("9x\n"), 0), (Some("9x\n"), 1)] {
        let shop = Workshop::new(PARTS);
        shop.write("data/in/a.dat", "x\n");
        let (run, outputs) = cut_off(&shop, &journal, RunState::Publishing, false);
        for (n, output) in outputs.iter().enumerate() {
            let name = if n < published { output.path.as_str() } else { &output.staged_name };
            match (n, damage) {
                (2, None) => {}
                (2, Some(damaged)) => shop.write(&format!("data/{name}"), damaged),
                _ => shop.write(&format!("data/{name}"), &content(output, "x\n")),
            }
        }
        let engine = thalweg_engine::Engine::open(shop.setup()).expect("the engine opens");
        drop(engine);
        let there = parts(&shop).iter().filter(|part| part.is_some()).count();
        assert_eq!(there, published, "nothing more is published of what is not whole ({damage:?})");
        assert_eq!(state_of(&shop, run), RunState::Lost, "{damage:?}");
        let (outcome, events) = shop.once();
        assert_eq!((outcome.done, outcome.failed, outcome.blocked), (1, 0, 0), "{damage:?}, {published}: {events:#?}");
        assert_eq!(parts(&shop), all("x\n"));
        no_staging(&shop);
    }
}

#[test]
fn what_was_only_running_leaves_nothing() {
    let journal = twin(PARTS, "x\n");
    let shop = Workshop::new(PARTS);
    shop.write("data/in/a.dat", "x\n");
    let (run, _) = cut_off(&shop, &journal, RunState::Running, false);
    shop.write(&format!("data/{}/out/1.txt", staging(&shop.ledger(), run)), "1");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    assert_eq!(parts(&shop), all("x\n"));
    assert_eq!(state_of(&shop, run), RunState::Lost);
    no_staging(&shop);
}

#[test]
fn an_earlier_version_is_replaced_after_a_restart() {
    for published in 0..=3 {
        let shop = Workshop::new(PARTS);
        shop.write("data/in/a.dat", "x\n");
        shop.once();
        // What a second version leads to is taken from a twin that has seen the same.
        let journal = {
            let twin = Workshop::new(PARTS);
            twin.write("data/in/a.dat", "x\n");
            twin.once();
            twin.write("data/in/a.dat", "new\n");
            let (outcome, events) = twin.once();
            assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
            last_run(&twin)
        };
        shop.write("data/in/a.dat", "new\n");
        let (run, outputs) = cut_off(&shop, &journal, RunState::Publishing, false);
        for (n, output) in outputs.iter().enumerate() {
            let name = if n < published { output.path.as_str() } else { &output.staged_name };
            shop.write(&format!("data/{name}"), &content(output, "new\n"));
        }
        let (outcome, events) = shop.once();
        assert_eq!((outcome.done, outcome.failed, outcome.blocked), (0, 0, 0), "{published} published: {events:#?}");
        assert_eq!(parts(&shop), all("new\n"));
        assert_eq!(state_of(&shop, run), RunState::Done);
        no_staging(&shop);
    }
}

#[test]
fn what_somebody_else_put_at_a_final_name_meanwhile_is_not_overwritten() {
    let journal = twin(PARTS, "x\n");
    let shop = Workshop::new(PARTS);
    shop.write("data/in/a.dat", "x\n");
    let (run, outputs) = cut_off(&shop, &journal, RunState::Publishing, false);
    for output in &outputs {
        shop.write(&format!("data/{}", output.staged_name), &content(output, "x\n"));
    }
    shop.write("data/out/a/2.txt", "by somebody else");
    let (outcome, events) = shop.once();
    assert_eq!(shop.read("data/out/a/2.txt").as_deref(), Some("by somebody else"), "{events:#?}");
    assert_eq!(outcome.done, 0, "{events:#?}");
    assert_eq!(state_of(&shop, run), RunState::Lost);
    assert_eq!((shop.read("data/out/a/1.txt"), shop.read("data/out/a/3.txt")), (None, None), "all or nothing");
    no_staging(&shop);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "files are named as somebody else would")]
fn a_move_that_was_cut_off_ends_with_the_file_at_one_place() {
    let journal = twin(MOVE, "x\n");
    for moved in [false, true] {
        let shop = Workshop::new(MOVE);
        shop.write("data/in/a.dat", "x\n");
        let (run, _) = cut_off(&shop, &journal, RunState::Publishing, true);
        if moved {
            std::fs::create_dir_all(shop.path("data/sorted")).expect("a folder");
            std::fs::rename(shop.path("data/in/a.dat"), shop.path("data/sorted/a.dat")).expect("it is moved");
        }
        let (outcome, events) = shop.once();
        assert_eq!((outcome.done, outcome.failed, outcome.blocked), (0, 0, 0), "moved {moved}: {events:#?}");
        assert_eq!(shop.files("data"), ["sorted/a.dat"]);
        assert_eq!(shop.read("data/sorted/a.dat").as_deref(), Some("x\n"));
        assert_eq!(state_of(&shop, run), RunState::Done);
        let (outcome, events) = shop.once();
        assert_eq!((outcome.done, outcome.failed, outcome.blocked), (0, 0, 0), "{events:#?}");
    }
}

#[test]
fn a_move_whose_source_was_changed_meanwhile_is_no_move_of_what_was_journalled() {
    let journal = twin(MOVE, "x\n");
    let shop = Workshop::new(MOVE);
    // The same size, another content.
    shop.write("data/in/a.dat", "y\n");
    let (run, _) = cut_off(&shop, &journal, RunState::Publishing, true);
    let (outcome, events) = shop.once();
    assert_eq!(state_of(&shop, run), RunState::Lost);
    assert_eq!((outcome.done, outcome.failed), (1, 0), "the new content is moved by a run of its own: {events:#?}");
    assert_eq!(shop.read("data/sorted/a.dat").as_deref(), Some("y\n"));
    assert_eq!(shop.files("data"), ["sorted/a.dat"]);
}

#[test]
fn a_move_does_not_take_along_what_it_only_looked_up() {
    let flow = format!(
        "{MOVE}with.list = {{ product = \"list\", match = \"newest\" }}\n[products.list]\npath = \"list.txt\"\n"
    );
    let journal = {
        let twin = Workshop::new(&flow);
        twin.write("data/in/a.dat", "x\n");
        twin.write("data/list.txt", "a list");
        let (outcome, events) = twin.once();
        assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
        last_run(&twin)
    };
    let shop = Workshop::new(&flow);
    // The list is known from before.
    shop.write("data/list.txt", "a list");
    shop.once();
    shop.write("data/in/a.dat", "x\n");
    let (run, _) = cut_off(&shop, &journal, RunState::Staged, true);
    shop.once();
    assert_eq!(state_of(&shop, run), RunState::Done);
    let reader = shop.ledger().reader().expect("a reader");
    let row = reader.file_at("here", &RelPath::from_text("list.txt")).expect("a query").expect("a file");
    assert_eq!(row.state, thalweg_ledger::FileState::Present, "{:?}", row.why);
    let retired = reader.retirements(&Default::default()).expect("rows");
    assert!(retired.iter().all(|row| row.path.as_str() != "list.txt"), "{retired:?}");
    assert_eq!(shop.files("data"), ["list.txt", "sorted/a.dat"]);
}

#[test]
fn probes_of_a_killed_engine_leave_no_folders() {
    let shop = Workshop::new(PARTS);
    shop.write(".thalweg/probes/.tmpAbCdEf/log", "cut off");
    shop.once();
    let left = std::fs::read_dir(shop.path(".thalweg/probes")).map(Iterator::count).unwrap_or(0);
    assert_eq!(left, 0);
}

const BAD: &str = r#"
flow = "bad"
[stations.here]
root = "data"
[products.raw]
path = "in/{name}.dat"
[steps.look]
at = "here"
takes = "raw"
does = { run = ["sh", "-c", "grep -q bad $1 && exit 65; exit 0", "sh", "{in}"] }
on_bad = { put = "aside" }
"#;

#[test]
fn a_bad_file_at_a_station_that_is_only_read_stays_through_restarts() {
    let shop = Workshop::new(&BAD.replace("root = \"data\"", "root = \"data\"\nread_only = true"));
    shop.write("data/in/a.dat", "bad");
    for n in 0..2 {
        let (outcome, events) = shop.once();
        assert_eq!(outcome.quarantined, u64::from(n == 0), "{events:#?}");
        assert_eq!(shop.files("data"), ["in/a.dat"]);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "files are named as somebody else would")]
fn a_bad_file_is_put_aside_whole_after_a_restart() {
    for moved in [false, true] {
        let shop = Workshop::new(BAD);
        shop.write("data/in/a.dat", "good");
        shop.once();
        let ledger = Ledger::open(shop.path(".thalweg/ledger.sqlite")).expect("the ledger opens");
        let reader = ledger.reader().expect("a reader");
        let row = reader.file_at("here", &RelPath::from_text("in/a.dat")).expect("a query").expect("a row");
        let run = reader.runs(&RunFilter::default(), 1).expect("runs")[0].id;
        let bad = thalweg_ledger::NewQuarantine {
            file: Some(row.id),
            station: row.station,
            product: row.product,
            fields_key: row.fields_key,
            path: row.path,
            moved_to: None,
            report_path: None,
            content: row.content,
            class: "data".into(),
            message: "it is bad".into(),
            run: Some(run),
            at: row.state_at,
        };
        ledger.write(move |tx| tx.quarantine_add(&bad)).expect("it is recorded");
        drop((reader, ledger));
        if moved {
            std::fs::create_dir_all(shop.path("data/aside/in")).expect("a folder");
            std::fs::rename(shop.path("data/in/a.dat"), shop.path("data/aside/in/a.dat")).expect("it is moved");
        }
        shop.once();
        assert_eq!(shop.files("data"), ["aside/in/a.dat", "aside/in/a.dat.report.json"], "moved {moved}");
        let rows = shop.ledger().reader().and_then(|reader| reader.quarantined(&Default::default())).expect("rows");
        assert_eq!(rows[0].moved_to.as_ref().map(RelPath::as_str), Some("aside/in/a.dat"));
    }
}

#[test]
fn an_update_that_was_published_and_not_recorded_takes_nothing_in_twice() {
    let flow = r#"
flow = "grows"
[stations.here]
root = "data"
[products.raw]
path = "in/{name}.dat"
[products.log]
path = "log.txt"
[steps.grow]
at = "here"
takes = "raw"
makes = { product = "log", update = true }
does = { run = ["sh", "-c", "out=$1; shift; cat \"$@\" > $out", "sh", "{out}", "{out.previous}", "{in.new}"] }
"#;
    // What was lost had been published, and the station could not be asked when the engine started.
    for (published, lost) in [(false, false), (true, false), (true, true)] {
        for earlier in [false, true] {
            let before = |shop: &Workshop| {
                if earlier {
                    shop.write("data/in/0.dat", "0\n");
                    shop.once();
                }
                shop.write("data/in/a.dat", "x\n");
            };
            let journal = {
                let twin = Workshop::new(flow);
                before(&twin);
                twin.once();
                last_run(&twin)
            };
            let shop = Workshop::new(flow);
            before(&shop);
            let whole = if earlier { "0\nx\n" } else { "x\n" };
            let (run, outputs) = cut_off(&shop, &journal, RunState::Publishing, false);
            let name = if published { "log.txt" } else { &outputs[0].staged_name };
            shop.write(&format!("data/{name}"), whole);
            if lost {
                lose(&shop, run, &journal);
            }
            let (outcome, events) = shop.once();
            assert_eq!((outcome.failed, outcome.blocked), (0, 0), "{events:#?}");
            let mut lines: Vec<String> =
                shop.read("data/log.txt").unwrap_or_default().lines().map(str::to_owned).collect();
            lines.sort();
            assert_eq!(lines.join("\n") + "\n", whole, "published {published}, earlier {earlier}: {events:#?}");
            let (outcome, _) = shop.once();
            assert_eq!((outcome.done, outcome.failed), (0, 0));
        }
    }
}

#[test]
fn a_copy_that_a_lost_run_has_left_gives_way_to_the_next_version() {
    let flow = r#"
flow = "brings"
[stations.here]
root = "here"
[stations.there]
root = "there"
[products.raw]
path = "in/{name}.dat"
[steps.bring]
at = "here"
takes = "raw"
does = "send"
to = "there"
"#;
    let journal = {
        let twin = Workshop::new(flow);
        twin.write("here/in/a.dat", "one");
        twin.once();
        last_run(&twin)
    };
    let shop = Workshop::new(flow);
    shop.write("here/in/a.dat", "one");
    let (run, _) = cut_off(&shop, &journal, RunState::Publishing, true);
    lose(&shop, run, &journal);
    shop.write("there/in/a.dat", "one");
    shop.write("here/in/a.dat", "another");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.failed, outcome.blocked), (0, 0), "{events:#?}");
    assert_eq!(shop.read("there/in/a.dat").as_deref(), Some("another"));
    // What nobody sent stays.
    let shop = Workshop::new(flow);
    shop.write("there/in/a.dat", "somebody else's");
    shop.write("here/in/a.dat", "another");
    assert_eq!(shop.once().0.failed, 1);
    assert_eq!(shop.read("there/in/a.dat").as_deref(), Some("somebody else's"));
}

#[test]
fn what_a_restart_finishes_has_the_fields_of_its_content() {
    let shop = Workshop::new(
        r#"
flow = "fields"
[stations.here]
root = "data"
[stations.there]
root = "there"
[products.raw]
path = "{name}.dat"
format = "form"
reads = { kind = "k" }
[products.odd]
path = "odd/{name}.dat"
[steps.bring]
at = "here"
takes = "raw"
does = "send"
to = "there"
[steps.aside]
at = "there"
takes = "raw"
if = "not (kind in [7])"
makes = "odd"
does = "copy"
"#,
    );
    let engine = |shop: &Workshop| {
        let mut setup = shop.setup();
        setup.program = shop.path("probe");
        setup.formats = vec!["form".into()];
        thalweg_engine::Engine::open(setup)
            .and_then(|engine| engine.run(thalweg_engine::Mode::Once, &mut |_| {}))
            .expect("the engine runs")
    };
    let with_probe = |shop: &Workshop| {
        use std::os::unix::fs::PermissionsExt;
        shop.write("probe", "#!/bin/sh\necho '{\"fields\": {\"k\": 7}}'\n");
        std::fs::set_permissions(shop.path("probe"), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        shop.write("data/a.dat", "content");
    };
    with_probe(&shop);
    engine(&shop);
    let journal = last_run(&shop);
    let killed = Workshop::new(&shop.flow);
    with_probe(&killed);
    cut_off(&killed, &journal, RunState::Publishing, false);
    killed.write("there/a.dat", "content");
    let outcome = engine(&killed);
    assert_eq!(outcome.failed, 0);
    let row = killed.ledger().reader().and_then(|reader| reader.file_at("there", &RelPath::from_text("a.dat")));
    let row = row.expect("the ledger answers").expect("the file is known");
    assert_eq!(row.fields.get("kind"), Some(&thalweg_core::Value::Int(7)));
    assert_eq!(killed.files("there"), ["a.dat"], "nothing was done that its content forbids");
}
