//! A flow with its defaults filled in is the same flow.

use std::path::Path;

use thalweg_flow::{Settings, Source, effective, parse};

use crate::flows::surroundings;

fn shown(name: &str, text: &str, settings: &Settings) -> String {
    match effective(&Source::new(name, text), settings, &surroundings()) {
        Ok(text) => text,
        Err(problems) => panic!("{}", problems.render(false, 120)),
    }
}

fn flow(name: &str, text: &str, settings: &Settings) -> String {
    match parse(&Source::new(name, text), settings, &surroundings()) {
        Ok(parsed) => format!("{:#?}", parsed.flow),
        Err(problems) => panic!("{}\n{text}", problems.render(false, 120)),
    }
}

#[rstest::rstest]
fn it_reads_again_to_the_same_flow(
    #[files("tests/flows/*.toml")]
    #[files("tests/planning/*/flow.toml")]
    #[files("../../flows/*/*.toml")]
    path: std::path::PathBuf,
) {
    let text = std::fs::read_to_string(&path).expect("a flow");
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    let settings = Settings::default();
    let shown = shown(name, &text, &settings);
    let (before, after) = (flow(name, &text, &settings), flow(name, &shown, &settings));
    if before != after {
        let differs = before.lines().zip(after.lines()).find(|(a, b)| a != b);
        panic!("{differs:?}\n{shown}");
    }
    let twice = self::shown(name, &shown, &settings);
    assert_eq!(flow(name, &twice, &settings), before);
}

#[test]
fn what_was_not_written_is_marked_and_what_is_set_from_outside_stands_there() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flows/copy.toml"));
    let text = format!("params = {{ n = 1, words = [\"a\"] }}\n{}", text.expect("a flow"));
    let mut settings = Settings::default();
    settings.set.insert("n".into(), "7".into());
    settings.set.insert("words".into(), "b,c".into());
    let shown = shown("copy.toml", &text, &settings);
    for line in [
        "n = 7  # from --set n",
        "words = [\"b\", \"c\"]  # from --set words",
        "rescan = \"15m\"  # default",
        "retry.wait = \"30s..10m\"  # default",
        "# per: one driving file  # default",
        "keep = \"90d\"  # default",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line}\n{shown}");
    }
    assert!(!shown.contains("takes = \"note\"  # default"), "{shown}");
    assert_eq!(flow("copy.toml", &shown, &Settings::default()), flow("copy.toml", &text, &settings));
}
