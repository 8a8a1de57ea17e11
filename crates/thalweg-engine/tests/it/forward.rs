//! Files arrive, and what follows from them is done.

use thalweg_engine::Event;

use crate::workshop::Workshop;

const COPY: &str = r#"
flow = "copy"
[stations.here]
root = "data"
[products.raw]
path  = "in/{name}.dat"
ready = "closed"
[products.copied]
path = "out/{name}.dat"
[steps.copy]
at    = "here"
takes = "raw"
makes = "copied"
does  = { run = ["cp", "{in}", "{out}"] }
"#;

#[test]
fn every_file_is_copied_once() {
    let shop = Workshop::new(COPY);
    for n in 0..20 {
        shop.write(&format!("data/in/f{n}.dat"), &format!("content {n}"));
    }
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (20, 0), "{events:#?}");
    assert!(events.iter().any(|event| matches!(event, Event::Listed { changed: 20, .. })), "{events:#?}");
    for n in 0..20 {
        assert_eq!(shop.read(&format!("data/out/f{n}.dat")), Some(format!("content {n}")));
    }
    let (again, events) = shop.once();
    assert_eq!((again.done, again.failed), (0, 0), "{events:#?}");
    assert!(events.iter().all(|event| !matches!(event, Event::Listed { changed: 1.., .. })), "{events:#?}");
    assert_eq!(shop.files("data").len(), 40, "no temporary names are left");
}

#[test]
fn a_changed_input_is_copied_again() {
    let shop = Workshop::new(COPY);
    shop.write("data/in/a.dat", "one");
    shop.once();
    shop.write("data/in/a.dat", "two and more");
    let (outcome, _) = shop.once();
    assert_eq!(outcome.done, 1);
    assert_eq!(shop.read("data/out/a.dat").as_deref(), Some("two and more"));
}

#[test]
fn a_lost_output_is_made_again_and_a_foreign_change_is_not_overwritten() {
    let shop = Workshop::new(COPY);
    shop.write("data/in/a.dat", "one");
    shop.once();
    shop.remove("data/out/a.dat");
    let (outcome, events) = shop.once();
    assert_eq!(outcome.done, 1, "{events:#?}");
    assert!(events.iter().any(|event| matches!(event, Event::FileGone { .. })));
    shop.write("data/out/a.dat", "by somebody else");
    let (outcome, _) = shop.once();
    assert_eq!((outcome.done, outcome.blocked), (0, 1));
    assert_eq!(shop.read("data/out/a.dat").as_deref(), Some("by somebody else"));
}

#[test]
fn a_lost_ledger_means_repeated_work_and_no_loss() {
    let shop = Workshop::new(COPY);
    shop.write("data/in/a.dat", "one");
    shop.once();
    std::fs::remove_dir_all(shop.path(".thalweg")).expect("the ledger is removed");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    assert_eq!(shop.read("data/out/a.dat").as_deref(), Some("one"));
}

#[test]
fn bad_data_is_put_aside_and_neighbours_go_on() {
    let flow = COPY.replace(
        r#"["cp", "{in}", "{out}"]"#,
        r#"["sh", "-c", "grep -q bad \"$1\" && {{ echo it is bad >&2; exit 65; }}; cp \"$1\" \"$2\"", "sh", "{in}", "{out}"]"#,
    );
    let shop = Workshop::new(&flow);
    shop.write("data/in/a.dat", "good");
    shop.write("data/in/b.dat", "bad");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed, outcome.quarantined), (1, 1, 1), "{events:#?}");
    assert_eq!(shop.files("data"), ["in/a.dat", "out/a.dat", "quarantine/in/b.dat", "quarantine/in/b.dat.report.json"]);
    assert!(shop.read("data/quarantine/in/b.dat.report.json").expect("a report").contains("it is bad"));
    let (again, _) = shop.once();
    assert_eq!((again.done, again.failed), (0, 0));
    shop.write("data/in/b.dat", "mended");
    let (mended, _) = shop.once();
    assert_eq!(mended.done, 1);
}

#[test]
fn a_failed_step_is_told_and_tried_later() {
    let flow = COPY.replace(r#"["cp", "{in}", "{out}"]"#, r#"["false"]"#);
    let shop = Workshop::new(&flow);
    shop.write("data/in/a.dat", "good");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 1), "{events:#?}");
    let retry = events.iter().find_map(|event| match event {
        Event::RunFailed { retry_at, .. } => *retry_at,
        _ => None,
    });
    assert!(retry.is_some());
    assert_eq!(shop.files("data"), ["in/a.dat"]);
}

const CHAIN: &str = r#"
flow = "chain"
[stations.radar]
root = "radar"
[stations.site]
root = "site"
[stations.campus]
root = "campus"
[products.raw]
path = "{time:%Y%m%d}/{time:%Y%m%d.%H%M}.{site:[a-z]{3}}.{slice:int}.raw"
path_at.site = "in/{file}"
span = "2h"
ready = { not_newest = ["site"], closed = true }
[products.made]
path = "made/{time:%Y/%m}/{time:%Y%m%d.%H%M}.{site:[a-z]{3}}.{slice:letter}.txt"
[steps.to-site]
at = "radar"
takes = "raw"
does = "send"
to = "site"
[steps.convert]
at = "site"
takes = "raw"
makes = "made"
does = { run = ["cp", "{in}", "{out}"] }
[steps.to-campus]
at = "site"
takes = "made"
does = "send"
to = "campus"
[keeps.radar]
at = "radar"
products = ["raw"]
delete = "at_once"
only_if = "made receipted at campus"
"#;

#[test]
fn a_set_goes_from_radar_to_campus_once_a_newer_one_has_come() {
    let shop = Workshop::new(CHAIN);
    shop.write("radar/20200101/20200101.0000.sas.0.raw", "zero");
    shop.write("radar/20200101/20200101.0000.sas.1.raw", "one");
    let (outcome, events) = shop.once();
    assert_eq!(outcome.done, 0, "the newest set is held: {events:#?}");
    shop.write("radar/20200101/20200101.0200.sas.0.raw", "newer");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (6, 0), "{events:#?}");
    assert_eq!(shop.files("campus"), ["made/2020/01/20200101.0000.sas.a.txt", "made/2020/01/20200101.0000.sas.b.txt"]);
    assert_eq!(shop.files("radar"), ["20200101/20200101.0200.sas.0.raw"], "what has arrived as a product is deleted");
    let (again, events) = shop.once();
    assert_eq!((again.done, again.failed), (0, 0), "{events:#?}");
    let reader = shop.ledger().reader().expect("a reader");
    assert!(reader.retirements(&Default::default()).expect("rows").len() == 2);
}
