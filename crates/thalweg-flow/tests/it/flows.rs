//! Flow files that must be accepted.

use std::path::Path;

use thalweg_flow::{InMemory, Parsed, Settings, Source, parse};

pub(crate) fn surroundings() -> InMemory {
    let mut around = InMemory::default();
    around.files.insert("dsms.txt".to_owned(), "tse04 # the ridge\ntse06\n\n# out of order\nrsw02\n".to_owned());
    around
}

pub(crate) fn text_of(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flows").join(name))
        .expect("a flow of the tests")
}

pub(crate) fn parse_text(name: &str, text: &str) -> Parsed {
    match parse(&Source::new(name, text), &Settings::default(), &surroundings()) {
        Ok(parsed) => parsed,
        Err(problems) => panic!("{}", problems.render(false, 120)),
    }
}

#[rstest::rstest]
#[case::copy("copy.toml")]
#[case::small("small.toml")]
#[case::superdarn("superdarn.toml")]
#[case::isfs("isfs.toml")]
#[case::ligo("ligo.toml")]
#[case::stix("stix.toml")]
#[case::coordinator("coordinator.toml")]
fn flow_files_of_five_systems_are_accepted(#[case] name: &str) {
    let parsed = parse_text(name, &text_of(name));
    for warning in &parsed.warnings {
        eprintln!("{name}: {warning}");
    }
    assert!(!parsed.flow.steps.is_empty());
}

#[test]
fn a_flow_that_uses_every_key_is_accepted() {
    let parsed = parse_text("everything.toml", &text_of("everything.toml"));
    let warnings: Vec<String> = parsed.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, Vec::<String>::new());
}
