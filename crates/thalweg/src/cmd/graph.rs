//! `graph`: draws a flow.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use thalweg_flow::{Flow, Step, Verb, WithWhat, graph as drawing};

use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::project;
use crate::view::verb_text;

/// Draws a flow: products at stations and the steps between them
///
/// As a list, unless a picture is asked for.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg graph\n  thalweg graph flow.toml --svg > flow.svg\n  thalweg graph --mermaid"
)]
pub(crate) struct Graph {
    /// The flow file [default: as for all commands]
    #[arg(value_name = "FLOW")]
    file: Option<PathBuf>,
    /// As a picture
    #[arg(long, conflicts_with = "mermaid")]
    svg: bool,
    /// As a diagram for Markdown pages
    #[arg(long)]
    mermaid: bool,
}

/// A product at a station, or a step.
enum Node {
    Product { station: String, product: String },
    Step(String),
}

impl Graph {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let path = match self.file {
            Some(path) => path,
            None => project::find(&context.global, None)?,
        };
        let (_, parsed) = project::read(&context.global, &path)?;
        let flow = parsed.map_err(|diagnostics| project::refused(&diagnostics))?.flow;
        let edges = edges(&flow);
        if context.out.json {
            let object = |node: &Node| match node {
                Node::Product { station, product } => json!({ "station": station, "product": product }),
                Node::Step(step) => json!({ "step": step }),
            };
            let edges: Vec<_> =
                edges.iter().map(|(from, to)| json!({ "from": object(from), "to": object(to) })).collect();
            context.out.document(&json!({ "flow": flow.name, "edges": edges }))?;
        } else if self.svg {
            context.out.line(drawing::svg(&flow))?;
        } else if self.mermaid {
            context.out.line(drawing::mermaid(&flow))?;
        } else {
            text(&flow, context)?;
        }
        Ok(Exit::Done)
    }
}

fn inputs(step: &Step) -> BTreeSet<(String, String)> {
    let mut inputs = BTreeSet::new();
    for at in &step.at {
        for product in &step.takes {
            inputs.extend(step.sources(at).into_iter().map(|station| (station.to_owned(), product.clone())));
        }
        for with in step.with.values() {
            if let WithWhat::Product { product, from, .. } = &with.what {
                let stations = if from.is_empty() { std::slice::from_ref(at) } else { from };
                inputs.extend(stations.iter().map(|station| (station.clone(), product.clone())));
            }
        }
    }
    inputs
}

fn outputs(step: &Step) -> BTreeSet<(String, String)> {
    let stations = if step.to.is_empty() { &step.at } else { &step.to };
    let products: Vec<&String> = match step.does {
        Verb::Send | Verb::Fetch => step.takes.iter().collect(),
        _ => step.makes.iter().map(|make| &make.product).collect(),
    };
    stations.iter().flat_map(|station| products.iter().map(|product| (station.clone(), (*product).clone()))).collect()
}

fn edges(flow: &Flow) -> Vec<(Node, Node)> {
    let mut edges = Vec::new();
    let node = |(station, product): (String, String)| Node::Product { station, product };
    for name in &flow.step_order {
        let Some(step) = flow.steps.get(name) else { continue };
        edges.extend(inputs(step).into_iter().map(|input| (node(input), Node::Step(name.clone()))));
        edges.extend(outputs(step).into_iter().map(|output| (Node::Step(name.clone()), node(output))));
    }
    edges
}

fn text(flow: &Flow, context: &mut Context) -> Result<(), Failure> {
    let list = |files: BTreeSet<(String, String)>| {
        let mut by_station: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (station, product) in files {
            by_station.entry(station).or_default().push(product);
        }
        let parts: Vec<String> =
            by_station.into_iter().map(|(station, products)| format!("{} @ {station}", products.join(", "))).collect();
        if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") }
    };
    for name in &flow.step_order {
        let Some(step) = flow.steps.get(name) else { continue };
        context.out.heading(name)?;
        context.out.line(format!("  takes  {}", list(inputs(step))))?;
        context.out.line(format!("  does   {}", verb_text(step)))?;
        context.out.line(format!("  makes  {}", list(outputs(step))))?;
    }
    Ok(())
}
