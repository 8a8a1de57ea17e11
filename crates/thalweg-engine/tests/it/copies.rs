//! Copies between stations, and deletions that rest on them.

use thalweg_engine::{Engine, Event, Request, carry_out};

use crate::workshop::Workshop;

const SEND: &str = r#"
flow = "send"
[stations.here]
root = "here"
[stations.there]
root = "there"
[products.raw]
path = "{day}/{name}.dat"
path_at.there = "all/{file}"
[steps.send]
at = "here"
takes = "raw"
does = "send"
to = "there"
[keeps.here]
at = "here"
products = ["raw"]
delete = "at_once"
only_if = "receipted at there"
"#;

#[test]
fn two_files_with_one_path_at_the_target_are_both_kept() {
    let shop = Workshop::new(SEND);
    shop.write("here/mon/a.dat", "monday");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    assert_eq!(shop.files("here"), Vec::<String>::new(), "what has arrived is deleted");
    shop.write("here/tue/a.dat", "tuesday");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 1), "{events:#?}");
    assert_eq!(shop.read("there/all/a.dat").as_deref(), Some("monday"));
    assert_eq!(shop.read("here/tue/a.dat").as_deref(), Some("tuesday"));
}

#[test]
fn stations_that_are_one_folder_are_refused() {
    let shop = Workshop::new(SEND);
    shop.write("there/all/x.dat", "x");
    std::os::unix::fs::symlink(shop.path("there"), shop.path("here")).expect("a link");
    let Err(error) = Engine::open(shop.setup()) else { panic!("it opens two stations that are one folder") };
    assert!(error.to_string().contains("same folder"), "{error}");
    assert_eq!(shop.files("there"), ["all/x.dat"]);
}

fn trim(shop: &Workshop) -> Vec<Event> {
    let mut events = Vec::new();
    carry_out(&shop.setup(), Request::Trim { station: None, yes: true }, &mut |event| events.push(event.clone()))
        .expect("it trims");
    events
}

#[test]
fn a_copy_of_other_content_is_no_proof() {
    let flow = SEND.replace("path_at.there = \"all/{file}\"\n", "").replace("only_if", "min_age = \"0s\"\nonly_if");
    let shop = Workshop::new(&flow.replace("delete = \"at_once\"", "delete = { older_than = \"1h\" }"));
    for name in ["a", "b", "c"] {
        shop.write(&format!("here/mon/{name}.dat"), "right content");
    }
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (3, 0), "{events:#?}");
    // Another content of the same size and time, and a folder in the place of a file.
    let times = std::fs::metadata(shop.path("there/mon/a.dat")).and_then(|meta| meta.modified()).expect("a time");
    shop.write("there/mon/a.dat", "wrong content");
    let file = std::fs::File::options().write(true).open(shop.path("there/mon/a.dat")).expect("it opens");
    file.set_modified(times).expect("the time is set");
    shop.remove("there/mon/b.dat");
    std::fs::create_dir(shop.path("there/mon/b.dat")).expect("a folder");
    let mut now = shop;
    now.flow = now.flow.replace("delete = { older_than = \"1h\" }", "delete = \"at_once\"");
    let events = trim(&now);
    assert_eq!(now.files("here"), ["mon/a.dat", "mon/b.dat"], "only what is proven goes: {events:#?}");
    assert!(now.path("here/mon").is_dir(), "the folder belongs to who writes there");
}

#[test]
fn a_move_to_another_station_leaves_nothing_behind() {
    let flow = SEND.split("[keeps.here]").next().unwrap_or_default().replace("\"send\"\nto", "\"move\"\nto");
    let shop = Workshop::new(&flow);
    shop.write("here/mon/a.dat", "monday");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 0), "{events:#?}");
    assert_eq!(shop.files("here"), Vec::<String>::new());
    assert_eq!(shop.read("there/all/a.dat").as_deref(), Some("monday"));
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 0), "{events:#?}");
}

#[test]
fn what_is_no_file_is_told_once() {
    let shop = Workshop::new(SEND);
    std::fs::create_dir_all(shop.path("here/mon/dir.dat")).expect("a folder");
    shop.write("here/mon/a.dat", "monday");
    let (outcome, events) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (1, 1), "{events:#?}");
    let (outcome, _) = shop.once();
    assert_eq!((outcome.done, outcome.failed), (0, 0));
}
