//! Whatever stands in a flow file, it is answered, never by a panic.

use proptest::prelude::*;
use thalweg_flow::{Settings, Source, parse};

use crate::flows::{surroundings, text_of};

const FLOWS: [&str; 7] =
    ["copy.toml", "small.toml", "superdarn.toml", "isfs.toml", "ligo.toml", "stix.toml", "coordinator.toml"];

/// One change of a text: where, what is removed, what is put there.
fn change() -> impl Strategy<Value = (prop::sample::Index, usize, String)> {
    let pieces = prop_oneof![
        Just(String::new()),
        prop::sample::select(vec![
            "{", "}", "\"", "'", "[", "]", "=", "$", "\n", ".", "..", "%", "é", "{{", "\"\"\"", "0", "-1", "{in.",
            "{x:", "not ", "in "
        ])
        .prop_map(str::to_owned),
        "\\PC{1,6}",
    ];
    (any::<prop::sample::Index>(), 0_usize..12, pieces)
}

fn mutate(text: &str, changes: &[(prop::sample::Index, usize, String)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, removed, put) in changes {
        let at = at.index(chars.len() + 1);
        let end = (at + removed).min(chars.len());
        chars.splice(at..end, put.chars());
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_flow_file_never_panics(flow in 0..FLOWS.len(), changes in prop::collection::vec(change(), 1..6)) {
        let source = Source::new("f.toml", mutate(&text_of(FLOWS[flow]), &changes));
        match parse(&source, &Settings::default(), &surroundings()) {
            Ok(parsed) => {
                for warning in &parsed.warnings {
                    prop_assert!(!warning.render(&source, false, 80).is_empty());
                }
            }
            Err(found) => {
                prop_assert!(found.errors() > 0);
                prop_assert!(!found.render(false, 80).is_empty());
            }
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        let source = Source::new("f.toml", text);
        if let Err(found) = parse(&source, &Settings::default(), &surroundings()) {
            prop_assert!(!found.render(true, 80).is_empty());
        }
    }
}

#[rstest::rstest]
#[case::lists("[params]\nx = ", "[", "")]
#[case::tables("x = ", "{a=", "")]
#[case::parentheses("[keeps.k]\nat = \"a\"\nproducts = \"p\"\ndelete = \"at_once\"\nif = \"", "(", "\"")]
#[case::negations("[keeps.k]\nat = \"a\"\nproducts = \"p\"\ndelete = \"at_once\"\nif = \"", "not ", "\"")]
#[case::signs("[keeps.k]\nat = \"a\"\nproducts = \"p\"\ndelete = \"at_once\"\nif = \"", "-", "1\"")]
#[case::braces("[products.p]\npath = \"", "{", "\"")]
#[case::options("[products.p]\npath = \"", "[", "\"")]
#[case::sums("[products.p]\npath = \"{n:int}{", "(", "n}\"")]
#[case::groups("[products.p]\npath = \"{n:", "(", ")}\"")]
#[case::holes("[steps.s]\nat = \"a\"\ndoes = \"x ", "{", "\"")]
fn depth_is_answered(#[case] before: &str, #[case] deep: &str, #[case] after: &str) {
    let source = Source::new("f.toml", format!("{before}{}{after}\n", deep.repeat(20_000)));
    // An answer is all that is asked for: `{{` written often enough is a sound literal text.
    if let Err(found) = parse(&source, &Settings::default(), &surroundings()) {
        assert!(found.errors() > 0);
        assert!(!found.render(false, 80).is_empty());
    }
}
