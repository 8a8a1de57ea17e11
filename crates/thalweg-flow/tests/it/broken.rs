//! Flow files that are wrong: every mistake is found at once, at its place, with its remedy.

use thalweg_flow::{Settings, Source, parse};

use crate::flows::surroundings;

fn settings() -> Settings {
    Settings {
        known_verbs: ["superdarn to-dmap", "dmap check"].map(str::to_owned).to_vec(),
        known_formats: vec!["borealis".to_owned(), "dmap".to_owned()],
        ..Settings::default()
    }
}

#[rstest::rstest]
fn messages_name_the_place_and_the_remedy(#[files("tests/broken/*.toml")] path: std::path::PathBuf) {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let source = Source::new(&name, std::fs::read_to_string(&path).unwrap());
    let (problems, rendered) = match parse(&source, &settings(), &surroundings()) {
        Ok(parsed) => {
            let rendered = parsed
                .warnings
                .iter()
                .map(|problem| problem.render(&source, false, 100))
                .collect::<Vec<_>>()
                .join("\n");
            (parsed.warnings, rendered)
        }
        Err(found) => {
            let rendered = found.render(false, 100);
            (found.problems, rendered)
        }
    };
    assert!(!problems.is_empty(), "{name} is accepted");
    for problem in &problems {
        assert!(problem.span.is_some(), "no place: {problem:?}");
        assert!(problem.help.is_some(), "no remedy: {problem:?}");
        let span = problem.span.clone().unwrap();
        assert!(source.text.get(span).is_some(), "place outside the text: {problem:?}");
    }
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name.trim_end_matches(".toml"), rendered);
    });
}
