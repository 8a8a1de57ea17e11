//! Files of other writers through the facade.

use thalweg_formats::hdf5::{File, Object};

use crate::data::sample;

fn find(file: &File, path: &[&str]) -> Object {
    let mut object = file.root().expect("a root");
    for name in path {
        let links = file.links(&object).expect("a group");
        let link = links.iter().find(|link| link.name == *name).expect("a member");
        object = file.open_link(link).expect("an object");
    }
    object
}

fn text(file: &File, object: &Object, name: &str) -> String {
    let attributes = file.attributes(object).expect("attributes");
    let found = attributes.iter().find(|attribute| attribute.name == name).expect("an attribute");
    file.texts(&found.value).expect("text").remove(0)
}

#[test]
fn texts_of_variable_length_and_scales_of_v1() {
    let Some(path) = sample("borealis/20250912.0000.00.sas.0.rawacf.h5") else { return };
    let file = File::open(&path).unwrap();
    let acfs = find(&file, &["20250912-0000-00.110350", "main_acfs"]);
    assert!(text(&file, &acfs, "description").starts_with("Main array autocorre"));
    let shared = ["20250912-0000-00.110350", "metadata"].map(|group| find(&file, &[group, "lags"]).address);
    assert_eq!(shared[0], shared[1], "hard links");
}

#[test]
fn null_dataspaces_are_empty_texts() {
    let Some(path) = sample("borealis/20211006.2132.00.sas.0.rawacf.hdf5") else { return };
    let file = File::open(&path).unwrap();
    let root = file.root().unwrap();
    assert_eq!(text(&file, &root, "slice_comment"), "");
    assert_eq!(text(&file, &root, "station"), "sas");
}
