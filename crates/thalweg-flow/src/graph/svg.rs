//! A flow as a picture.

use std::fmt::Write as _;

use super::layout::{Layout, Place, layout};
use super::mermaid::with_trigger;
use super::{Drawing, Kind, Node};
use crate::model::Flow;

/// Width of a character at the sizes used, in pixels; rather too wide, so that no text leaves its box.
const TITLE_CHAR: f64 = 7.6;
const SMALL_CHAR: f64 = 6.2;
const BOX_HEIGHT: f64 = 40.0;
const NOTE_HEIGHT: f64 = 18.0;
const ROW_GAP: f64 = 16.0;
const PASS_HEIGHT: f64 = 10.0;
const COLUMN_GAP: f64 = 56.0;
const LANE_PADDING: f64 = 18.0;
const LANE_GAP: f64 = 10.0;
const MARGIN: f64 = 16.0;
const TITLE_HEIGHT: f64 = 44.0;
const MOST_CHARS: usize = 40;
const MOST_NOTE: usize = 64;

const STYLE: &str = "
svg { font-family: 'DejaVu Sans', Verdana, 'Segoe UI', Helvetica, Arial, sans-serif; }
.paper { fill: #ffffff; }
.lane { fill: #f3f6f9; stroke: #d5dde5; }
.lane-title { fill: #1d2b38; font-size: 14px; font-weight: bold; }
.small { fill: #5a6b7b; font-size: 10px; }
.name { fill: #1d2b38; font-size: 14px; font-weight: bold; }
.product { fill: #ffffff; stroke: #2f6f9f; stroke-width: 1.5; }
.title { fill: #14202b; font-size: 12px; }
.step { fill: #e3f1e7; stroke: #3c8257; stroke-width: 1.5; }
.note { fill: #fdf6e3; stroke: #b08a2e; stroke-dasharray: 4 3; }
.note-text { fill: #6b5313; font-size: 10px; }
.arrow { fill: none; stroke: #76889a; stroke-width: 1.5; }
.cross { stroke: #2f6f9f; stroke-width: 2; }
.looked-up { stroke-dasharray: 5 4; }
.head { fill: #76889a; }
.cross-head { fill: #2f6f9f; }
@media (prefers-color-scheme: dark) {
.paper { fill: #10171e; }
.lane { fill: #18222c; stroke: #2b3a48; }
.lane-title, .name { fill: #e6edf3; }
.small { fill: #9db0c1; }
.product { fill: #10202e; stroke: #5fa8dc; }
.title { fill: #eef4f9; }
.step { fill: #16301f; stroke: #63b583; }
.note { fill: #2c2510; stroke: #c9a24a; }
.note-text { fill: #ecd9a3; }
.arrow { stroke: #8498aa; }
.cross { stroke: #5fa8dc; }
.head { fill: #8498aa; }
.cross-head { fill: #5fa8dc; }
}
";

/// Returns an SVG picture of a flow; the same flow gives the same bytes.
pub fn svg(flow: &Flow) -> String {
    let drawing = Drawing::of(flow);
    let layout = layout(&drawing);
    let sheet = Sheet::measure(&drawing, &layout);
    let mut out = String::new();
    let (width, height) = (sheet.width, sheet.height);
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">"
    );
    let _ = writeln!(out, "<title>Flow {}</title>", escaped(&flow.name));
    let _ = writeln!(out, "<style>{STYLE}</style>");
    out.push_str("<defs>\n");
    for (id, class) in [("head", "head"), ("cross-head", "cross-head")] {
        let _ = writeln!(
            out,
            "<marker id=\"{id}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"{class}\" d=\"M0,0 L8,4 L0,8 z\"/></marker>"
        );
    }
    out.push_str("</defs>\n");
    let _ = writeln!(out, "<rect class=\"paper\" width=\"{width:.0}\" height=\"{height:.0}\"/>");
    let _ = writeln!(out, "<text class=\"name\" x=\"{MARGIN}\" y=\"28\">{}</text>", escaped(&flow.name));
    lanes(&mut out, &drawing, &layout, &sheet);
    arrows(&mut out, &drawing, &layout, &sheet);
    for place in &layout.places {
        if let Some(node) = place.node {
            boxed(
                &mut out,
                &drawing.nodes[node],
                sheet.left[place.layer],
                sheet.top(place),
                sheet.width_of(&drawing.nodes[node]),
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Sizes and positions in pixels.
struct Sheet {
    /// Left edge of each column.
    left: Vec<f64>,
    /// Right edge of each column.
    right: Vec<f64>,
    /// Top of each lane, by lane.
    lane_top: Vec<f64>,
    /// Height of each lane, by lane.
    lane_height: Vec<f64>,
    /// Top of each row inside its lane, and the height below it at which arrows run, by lane.
    rows: Vec<Vec<(f64, f64)>>,
    width: f64,
    height: f64,
}

impl Sheet {
    fn measure(drawing: &Drawing, layout: &Layout) -> Self {
        let gutter = drawing
            .lanes
            .iter()
            .map(|lane| (chars(&lane.title) * TITLE_CHAR * 1.2).max(chars(&clipped(&lane.subtitle)) * SMALL_CHAR))
            .fold(60.0, f64::max)
            + 28.0;
        let mut sheet = Self {
            left: Vec::new(),
            right: Vec::new(),
            lane_top: vec![0.0; drawing.lanes.len()],
            lane_height: vec![0.0; drawing.lanes.len()],
            rows: vec![Vec::new(); drawing.lanes.len()],
            width: 0.0,
            height: 0.0,
        };
        let mut x = MARGIN + gutter;
        for layer in 0..layout.layers {
            let widest = layout
                .places
                .iter()
                .filter(|place| place.layer == layer)
                .filter_map(|place| place.node)
                .map(|node| sheet.width_of(&drawing.nodes[node]))
                .fold(24.0, f64::max);
            sheet.left.push(x);
            sheet.right.push(x + widest);
            x += widest + COLUMN_GAP;
        }
        let mut y = TITLE_HEIGHT;
        for lane in &layout.lane_order {
            sheet.lane_top[*lane] = y;
            let rows =
                layout.places.iter().filter(|place| place.lane == *lane).map(|place| place.row + 1).max().unwrap_or(0);
            let mut inner = LANE_PADDING;
            for row in 0..rows {
                let tallest = layout
                    .places
                    .iter()
                    .filter(|place| place.lane == *lane && place.row == row)
                    .map(|place| place.node.map_or(PASS_HEIGHT, |node| height_of(&drawing.nodes[node])))
                    .fold(0.0, f64::max);
                sheet.rows[*lane].push((inner, tallest.min(BOX_HEIGHT) / 2.0));
                inner += tallest + ROW_GAP;
            }
            let least = if drawing.lanes[*lane].subtitle.is_empty() { 40.0 } else { 54.0 };
            sheet.lane_height[*lane] = (inner - ROW_GAP + LANE_PADDING).max(least);
            y += sheet.lane_height[*lane] + LANE_GAP;
        }
        sheet.width = (x - COLUMN_GAP + LANE_PADDING).max(MARGIN + gutter) + MARGIN;
        sheet.height = y - LANE_GAP + MARGIN;
        sheet
    }

    fn width_of(&self, node: &Node) -> f64 {
        let subtitle = subtitle(node);
        let notes = node.notes.iter().map(|note| chars(&clipped_to(note, MOST_NOTE)) * SMALL_CHAR).fold(0.0, f64::max);
        (chars(&clipped(&node.title)) * TITLE_CHAR).max(chars(&subtitle) * SMALL_CHAR).max(notes) + 24.0
    }

    /// Returns the top of a place.
    fn top(&self, place: &Place) -> f64 {
        self.lane_top[place.lane] + self.rows[place.lane].get(place.row).map_or(LANE_PADDING, |row| row.0)
    }

    /// Returns the height at which arrows meet a place.
    fn middle(&self, place: &Place) -> f64 {
        self.top(place) + self.rows[place.lane].get(place.row).map_or(BOX_HEIGHT / 2.0, |row| row.1)
    }
}

fn lanes(out: &mut String, drawing: &Drawing, layout: &Layout, sheet: &Sheet) {
    for lane in &layout.lane_order {
        let (y, height) = (sheet.lane_top[*lane], sheet.lane_height[*lane]);
        let _ = writeln!(
            out,
            "<rect class=\"lane\" x=\"{MARGIN}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" rx=\"6\"/>",
            sheet.width - 2.0 * MARGIN
        );
        let _ = writeln!(
            out,
            "<text class=\"lane-title\" x=\"{}\" y=\"{:.1}\">{}</text>",
            MARGIN + 12.0,
            y + 24.0,
            escaped(&drawing.lanes[*lane].title)
        );
        if !drawing.lanes[*lane].subtitle.is_empty() {
            let _ = writeln!(
                out,
                "<text class=\"small\" x=\"{}\" y=\"{:.1}\">{}</text>",
                MARGIN + 12.0,
                y + 40.0,
                escaped(&clipped(&drawing.lanes[*lane].subtitle))
            );
        }
    }
}

fn arrows(out: &mut String, drawing: &Drawing, layout: &Layout, sheet: &Sheet) {
    for route in &layout.routes {
        let edge = &drawing.edges[route.edge];
        let mut path = String::new();
        let first = &layout.places[route.places[0]];
        let start = sheet.left[first.layer] + sheet.width_of(&drawing.nodes[edge.from]);
        let _ = write!(path, "M{start:.1},{:.1}", sheet.middle(first));
        for pair in route.places.windows(2) {
            let (from, to) = (&layout.places[pair[0]], &layout.places[pair[1]]);
            let (y, next) = (sheet.middle(from), sheet.middle(to));
            let (x, end) = (sheet.right[from.layer], sheet.left[to.layer]);
            if from.layer < to.layer {
                let half = x + (end - x) / 2.0;
                let _ = write!(path, " L{x:.1},{y:.1} C{half:.1},{y:.1} {half:.1},{next:.1} {end:.1},{next:.1}");
            } else {
                // Back to the left: below the boxes of both ends.
                let low = y.max(next) + BOX_HEIGHT / 2.0 + ROW_GAP / 2.0;
                let _ = write!(
                    path,
                    " L{:.1},{y:.1} L{:.1},{low:.1} L{:.1},{low:.1} L{:.1},{next:.1} L{end:.1},{next:.1}",
                    x + 10.0,
                    x + 10.0,
                    end - 14.0,
                    end - 14.0
                );
            }
        }
        let class = match (edge.crosses, edge.looked_up) {
            (true, true) => "arrow cross looked-up",
            (true, false) => "arrow cross",
            (false, true) => "arrow looked-up",
            (false, false) => "arrow",
        };
        let head = if edge.crosses { "cross-head" } else { "head" };
        let _ = writeln!(out, "<path class=\"{class}\" marker-end=\"url(#{head})\" d=\"{path}\"/>");
    }
}

fn boxed(out: &mut String, node: &Node, x: f64, y: f64, width: f64) {
    let (class, radius) = match node.kind {
        Kind::Product => ("product", 9.0),
        Kind::Step => ("step", BOX_HEIGHT / 2.0),
    };
    out.push_str("<g>");
    if !node.hint.is_empty() {
        let _ = write!(out, "<title>{}</title>", escaped(&node.hint));
    }
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BOX_HEIGHT}\" rx=\"{radius}\"/>"
    );
    let subtitle = subtitle(node);
    let centre = x + width / 2.0;
    let baseline = if subtitle.is_empty() { y + 24.5 } else { y + 17.5 };
    let _ = writeln!(
        out,
        "<text class=\"title\" text-anchor=\"middle\" x=\"{centre:.1}\" y=\"{baseline:.1}\">{}</text>",
        escaped(&clipped(&node.title))
    );
    if !subtitle.is_empty() {
        let _ = writeln!(
            out,
            "<text class=\"small\" text-anchor=\"middle\" x=\"{centre:.1}\" y=\"{:.1}\">{}</text>",
            y + 31.5,
            escaped(&subtitle)
        );
    }
    for (n, note) in (0_u32..).zip(&node.notes) {
        let top = y + BOX_HEIGHT + 4.0 + f64::from(n) * NOTE_HEIGHT;
        let _ = writeln!(
            out,
            "<rect class=\"note\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\" rx=\"3\"/>",
            NOTE_HEIGHT - 2.0
        );
        let _ = writeln!(
            out,
            "<text class=\"note-text\" text-anchor=\"middle\" x=\"{centre:.1}\" y=\"{:.1}\">{}</text>",
            top + 11.5,
            escaped(&clipped_to(note, MOST_NOTE))
        );
    }
    out.push_str("</g>\n");
}

fn height_of(node: &Node) -> f64 {
    if node.notes.is_empty() { BOX_HEIGHT } else { BOX_HEIGHT + 4.0 + chars_of(node.notes.len()) * NOTE_HEIGHT }
}

fn subtitle(node: &Node) -> String {
    match node.kind {
        Kind::Product => clipped(&node.subtitle),
        Kind::Step => clipped(&with_trigger(&node.subtitle, &node.hint)),
    }
}

fn chars(text: &str) -> f64 {
    chars_of(text.chars().count())
}

fn chars_of(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn clipped(text: &str) -> String {
    clipped_to(text, MOST_CHARS)
}

fn clipped_to(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Characters that no XML document may hold.
            c if c.is_control() && !matches!(c, '\t' | '\n' | '\r') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
