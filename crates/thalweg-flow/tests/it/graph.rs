//! Pictures of flows.

use thalweg_flow::graph::{mermaid, svg};

use crate::flows::{parse_text, text_of};

#[rstest::rstest]
fn pictures_are_the_same_every_time(
    #[values(
        "copy.toml",
        "small.toml",
        "superdarn.toml",
        "isfs.toml",
        "ligo.toml",
        "stix.toml",
        "coordinator.toml",
        "everything.toml"
    )]
    name: &str,
) {
    let flow = parse_text(name, &text_of(name)).flow;
    let again = parse_text(name, &text_of(name)).flow;
    assert_eq!(svg(&flow), svg(&again));
    assert_eq!(mermaid(&flow), mermaid(&again));
    // Looked at by people when a folder is given.
    if let Some(folder) = std::env::var_os("THALWEG_PICTURES") {
        use std::io::Write as _;
        let mut file =
            std::fs::File::create(std::path::Path::new(&folder).join(name.replace(".toml", ".svg"))).unwrap();
        file.write_all(svg(&flow).as_bytes()).unwrap();
    }
}

#[test]
fn the_small_flow_as_mermaid() {
    let flow = parse_text("small.toml", &text_of("small.toml")).flow;
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("mermaid", mermaid(&flow));
    });
}

/// Returns the rectangles of one class as (x, y, width, height).
fn rectangles(picture: &str, class: &str) -> Vec<(f64, f64, f64, f64)> {
    let number = |line: &str, name: &str| -> f64 {
        line.split(&format!(" {name}=\""))
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .and_then(|text| text.parse().ok())
            .expect("a number")
    };
    picture
        .lines()
        .filter(|line| line.contains(&format!("class=\"{class}\"")) && line.contains("<rect"))
        .map(|line| (number(line, "x"), number(line, "y"), number(line, "width"), number(line, "height")))
        .collect()
}

#[rstest::rstest]
fn no_box_covers_another(
    #[values("small.toml", "superdarn.toml", "isfs.toml", "ligo.toml", "stix.toml", "everything.toml")] name: &str,
) {
    let picture = svg(&parse_text(name, &text_of(name)).flow);
    let boxes: Vec<_> = ["product", "step", "note"].iter().flat_map(|class| rectangles(&picture, class)).collect();
    assert!(boxes.len() > 3);
    for (n, a) in boxes.iter().enumerate() {
        for b in &boxes[n + 1..] {
            let apart = a.0 + a.2 <= b.0 || b.0 + b.2 <= a.0 || a.1 + a.3 <= b.1 || b.1 + b.3 <= a.1;
            assert!(apart, "{name}: {a:?} covers {b:?}");
        }
    }
    let lanes = rectangles(&picture, "lane");
    for b in &boxes {
        assert!(
            lanes.iter().any(|lane| lane.1 <= b.1
                && b.1 + b.3 <= lane.1 + lane.3
                && lane.0 <= b.0
                && b.0 + b.2 <= lane.0 + lane.2),
            "{name}: {b:?} stands in no lane"
        );
    }
}
