//! A flow as a Mermaid flowchart.

use std::fmt::Write as _;

use super::{Drawing, Kind};
use crate::model::Flow;

/// Returns a Mermaid flowchart with one subgraph for each station; the same flow gives the same text.
pub fn mermaid(flow: &Flow) -> String {
    let drawing = Drawing::of(flow);
    let mut text = String::from("flowchart LR\n");
    for (lane, station) in drawing.lanes.iter().enumerate() {
        let _ = writeln!(text, "  subgraph station{lane} [\"{}\"]", label(&station.title, &station.subtitle));
        for (id, node) in drawing.nodes.iter().enumerate().filter(|(_, node)| node.lane == lane) {
            let _ = match node.kind {
                Kind::Product => writeln!(text, "    n{id}(\"{}\")", label(&node.title, &node.subtitle)),
                Kind::Step => writeln!(
                    text,
                    "    n{id}{{{{\"{}\"}}}}",
                    label(&node.title, &with_trigger(&node.subtitle, &node.hint))
                ),
            };
            for (n, note) in node.notes.iter().enumerate() {
                let _ = writeln!(text, "    n{id}k{n}[\"{}\"]:::keep", escaped(note));
                let _ = writeln!(text, "    n{id} -.- n{id}k{n}");
            }
        }
        text.push_str("  end\n");
    }
    for edge in &drawing.edges {
        let arrow = match (edge.looked_up, edge.crosses) {
            (true, _) => "-.->",
            (false, true) => "==>",
            (false, false) => "-->",
        };
        let _ = writeln!(text, "  n{} {arrow} n{}", edge.from, edge.to);
    }
    text.push_str("  classDef keep stroke-dasharray: 4 3\n");
    text
}

pub(super) fn with_trigger(verb: &str, trigger: &str) -> String {
    if trigger.is_empty() { verb.to_owned() } else { format!("{verb} · {trigger}") }
}

fn label(title: &str, subtitle: &str) -> String {
    if subtitle.is_empty() {
        escaped(title)
    } else {
        format!("{}<br/><small>{}</small>", escaped(title), escaped(subtitle))
    }
}

/// Writes a text so that it stands inside the quotes of a label.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("#quot;"),
            '#' => escaped.push_str("#35;"),
            '<' => escaped.push_str("#lt;"),
            '>' => escaped.push_str("#gt;"),
            '&' => escaped.push_str("#amp;"),
            '{' => escaped.push_str("#123;"),
            '}' => escaped.push_str("#125;"),
            '\n' | '\r' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
