//! Pictures of a flow: stations as lanes, products where they are, steps between them.
//!
//! [`mermaid()`] writes the picture for others to lay out, [`svg()`] lays it out itself.

mod layout;
mod mermaid;
mod svg;

use std::collections::BTreeMap;

use crate::model::{Flow, Keep, Product, Station, Step, Verb, When, WithWhat};

pub use mermaid::mermaid;
pub use svg::svg;

/// What is in a picture of a flow.
pub(crate) struct Drawing {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: Vec<Edge>,
}

/// A station, or the members of a family together.
pub(crate) struct Lane {
    pub(crate) title: String,
    pub(crate) subtitle: String,
}

/// A product at a station, or a step.
pub(crate) struct Node {
    pub(crate) lane: usize,
    pub(crate) kind: Kind,
    pub(crate) title: String,
    pub(crate) subtitle: String,
    /// What keeps say about the product here.
    pub(crate) notes: Vec<String>,
    /// What stands nowhere in the picture and is shown on pointing at it.
    pub(crate) hint: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Product,
    Step,
}

/// An arrow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// An input that is looked up.
    pub(crate) looked_up: bool,
    /// From one station to another.
    pub(crate) crosses: bool,
}

impl Drawing {
    pub(crate) fn of(flow: &Flow) -> Self {
        let mut builder = Builder {
            flow,
            lanes: Vec::new(),
            lane_of: BTreeMap::new(),
            products: BTreeMap::new(),
            nodes: Vec::new(),
            edges: Vec::new(),
        };
        for step in flow.step_order.iter().filter_map(|name| flow.steps.get(name)) {
            builder.step(step);
        }
        for station in flow.stations.values() {
            builder.lane(&station.name);
        }
        for keep in flow.keeps.values() {
            builder.keep(keep);
        }
        Drawing { lanes: builder.lanes, nodes: builder.nodes, edges: builder.edges }
    }
}

struct Builder<'a> {
    flow: &'a Flow,
    lanes: Vec<Lane>,
    lane_of: BTreeMap<String, usize>,
    products: BTreeMap<(usize, &'a str), usize>,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

impl<'a> Builder<'a> {
    /// Returns the lane of a station; members of a family share one.
    fn lane(&mut self, station: &str) -> usize {
        let found = self.flow.stations.get(station);
        let family = found.filter(|station| !station.member_of.is_empty()).map(family);
        let key = family.clone().unwrap_or_else(|| station.to_owned());
        if let Some(lane) = self.lane_of.get(&key) {
            return *lane;
        }
        let subtitle = match (found, &family) {
            (Some(_), Some(own)) => {
                let members = self
                    .flow
                    .stations
                    .values()
                    .filter(|station| !station.member_of.is_empty() && family_is(station, own))
                    .count();
                format!("{members} station{}", if members == 1 { "" } else { "s" })
            }
            (Some(station), None) => station.reach.as_ref().map_or(station.root.clone(), |reach| reach.url.clone()),
            (None, _) => String::new(),
        };
        self.lanes.push(Lane { title: key.clone(), subtitle });
        self.lane_of.insert(key, self.lanes.len() - 1);
        self.lanes.len() - 1
    }

    fn lanes_of(&mut self, stations: &[String]) -> Vec<usize> {
        let mut lanes: Vec<usize> = Vec::new();
        for station in stations {
            let lane = self.lane(station);
            if !lanes.contains(&lane) {
                lanes.push(lane);
            }
        }
        lanes
    }

    fn product(&mut self, lane: usize, name: &'a str) -> usize {
        if let Some(node) = self.products.get(&(lane, name)) {
            return *node;
        }
        let product = self.flow.products.get(name);
        self.nodes.push(Node {
            lane,
            kind: Kind::Product,
            title: name.to_owned(),
            subtitle: product.and_then(|product| product.format.clone()).unwrap_or_default(),
            notes: Vec::new(),
            hint: product.map_or(String::new(), |product| pattern_in(product, &self.lanes[lane].title).to_owned()),
        });
        self.products.insert((lane, name), self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn step(&mut self, step: &'a Step) {
        for lane in self.lanes_of(&step.at) {
            let sources = if step.from.is_empty() { vec![lane] } else { self.lanes_of(&step.from) };
            let inputs: Vec<usize> = sources
                .iter()
                .flat_map(|source| step.takes.iter().map(move |name| (*source, name)))
                .collect::<Vec<_>>()
                .into_iter()
                .map(|(source, name)| self.product(source, name))
                .collect();
            let mut looked_up = Vec::new();
            for with in step.with.values() {
                if let WithWhat::Product { product, from, .. } = &with.what {
                    let places = if from.is_empty() { vec![lane] } else { self.lanes_of(from) };
                    for place in places {
                        looked_up.push(self.product(place, product));
                    }
                }
            }
            self.nodes.push(Node {
                lane,
                kind: Kind::Step,
                title: step.name.clone(),
                subtitle: verb(step),
                notes: Vec::new(),
                hint: trigger(step),
            });
            let own = self.nodes.len() - 1;
            let mut outputs = Vec::new();
            match step.does {
                Verb::Send | Verb::Fetch => {
                    let places = if matches!(step.does, Verb::Send) { self.lanes_of(&step.to) } else { vec![lane] };
                    for place in places {
                        for name in &step.takes {
                            outputs.push(self.product(place, name));
                        }
                    }
                }
                _ => {
                    let places = if step.to.is_empty() { vec![lane] } else { self.lanes_of(&step.to) };
                    for place in places {
                        for make in &step.makes {
                            outputs.push(self.product(place, &make.product));
                        }
                    }
                }
            }
            for input in inputs {
                self.edge(input, own, false);
            }
            for input in looked_up {
                self.edge(input, own, true);
            }
            for output in outputs {
                self.edge(own, output, false);
            }
        }
    }

    fn edge(&mut self, from: usize, to: usize, looked_up: bool) {
        let edge = Edge { from, to, looked_up, crosses: self.nodes[from].lane != self.nodes[to].lane };
        if !self.edges.iter().any(|other| other.from == from && other.to == to) {
            self.edges.push(edge);
        }
    }

    fn keep(&mut self, keep: &'a Keep) {
        for lane in self.lanes_of(&keep.at) {
            for name in &keep.products {
                let node = self.product(lane, name);
                self.nodes[node].notes.push(format!("keep {}: {}", keep.name, deletion(keep)));
            }
        }
    }
}

/// Returns the name that stands for a member's family: the fields that tell its members apart.
fn family(station: &Station) -> String {
    station.member_of.keys().map(|field| format!("{{{field}}}")).collect()
}

fn family_is(station: &Station, name: &str) -> bool {
    family(station) == name
}

fn pattern_in<'a>(product: &'a Product, station: &str) -> &'a str {
    product.pattern_at(station).as_str()
}

fn verb(step: &Step) -> String {
    let words = |args: &[crate::model::Argument], most: usize| {
        use crate::model::{Argument, Piece};
        args.iter()
            .take(most)
            .map_while(|arg| match arg {
                Argument::Pieces(pieces) => match pieces.as_slice() {
                    [Piece::Text(text)] if !text.starts_with('-') => Some(text.clone()),
                    _ => None,
                },
                Argument::Flagged { .. } => None,
            })
            .collect::<Vec<_>>()
            .join(" ")
    };
    match &step.does {
        Verb::Send => "send".to_owned(),
        Verb::Fetch => "fetch".to_owned(),
        Verb::Copy => "copy".to_owned(),
        Verb::Move => "move".to_owned(),
        Verb::Link => "link".to_owned(),
        Verb::Builtin(line) => words(&line.args, 2),
        Verb::Run(line) => format!("run {}", words(&line.args, 1).rsplit('/').next().unwrap_or_default()),
    }
}

fn trigger(step: &Step) -> String {
    use thalweg_core::units::format_duration;
    match &step.when {
        When::Arrives => String::new(),
        When::Every { every, .. } => format!("every {}", format_duration(*every)),
        When::Cron { line, .. } => format!("cron {line}"),
        When::Flag(pattern) => format!("on {pattern}"),
        When::Asked => "asked".to_owned(),
    }
}

fn deletion(keep: &Keep) -> String {
    use thalweg_core::units::format_duration;
    let mut parts = Vec::new();
    if keep.delete.at_once {
        parts.push("at once".to_owned());
    }
    if let Some(age) = keep.delete.older_than {
        parts.push(format!("older than {}", format_duration(age)));
    }
    if let Some(free) = keep.delete.when_free_below {
        parts.push(format!("free below {free}"));
    }
    parts.join(", ")
}
