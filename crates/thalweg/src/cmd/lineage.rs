//! `lineage`: what a file was made from, and what was made from it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use clap::Args;
use serde_json::{Value as Json, json};
use thalweg_core::{ContentHash, RelPath};
use thalweg_ledger::{Reader, RunRow, RunState};

use super::runs::made_with;
use super::{Context, Done, steering};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::words::time;

/// Shows what a file was made from, and what was made from it, as a tree
///
/// Follows content: copies under other names and at other stations count as the same.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg lineage campus/sas_data/20191106.0000.00.sas.a.rawacf.bz2\n  thalweg lineage merge/isfs_20170430_000000.dat --json | jq .upstream"
)]
pub(crate) struct Lineage {
    /// The file: a path, or STATION/PATH
    #[arg(value_name = "PATH")]
    path: OsString,
    /// At most so many runs deep
    #[arg(long, value_name = "N", default_value_t = 20)]
    depth: usize,
}

/// A file in the tree.
struct Leaf {
    station: String,
    path: RelPath,
    product: String,
    content: Option<ContentHash>,
    run: Option<RunRow>,
    role: String,
    /// What it was made from, or what was made from it.
    next: Vec<Leaf>,
    /// It stands further up in the tree already.
    again: bool,
}

impl Lineage {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project_near(Path::new(&self.path))?;
        let reader = project.ledger()?.reader()?;
        let found = match steering::locate(&project, &self.path) {
            Some((station, path)) => reader.file_at(&station, &path)?,
            None => None,
        };
        let row = found.ok_or_else(|| {
            Failure::usage(format!("the ledger does not know {}", self.path.to_string_lossy()))
                .help("name it by its path, or as STATION/PATH; `thalweg why` says more")
        })?;
        let leaf = |next| Leaf {
            station: row.station.clone(),
            path: row.path.clone(),
            product: row.product.clone(),
            content: row.content,
            run: None,
            role: String::new(),
            next,
            again: false,
        };
        let (mut up, mut down) = (leaf(Vec::new()), leaf(Vec::new()));
        let mut seen = BTreeSet::new();
        upstream(&reader, &mut up, self.depth, &mut seen)?;
        seen.clear();
        downstream(&reader, &mut down, self.depth, &mut seen)?;
        let out = &mut context.out;
        if out.json {
            let list = |leaves: &[Leaf]| leaves.iter().map(object).collect::<Vec<Json>>();
            out.document(&json!({
                "station": row.station, "path": row.path.as_str(), "product": row.product, "hash": row.content,
                "upstream": list(&up.next), "downstream": list(&down.next),
            }))?;
            return Ok(Exit::Done);
        }
        out.heading(&format!("{}/{} ({})", row.station, row.path, row.product))?;
        for (title, leaf) in [("made from", &up), ("used for", &down)] {
            if leaf.next.is_empty() {
                out.line(format!("{title}: nothing that is recorded"))?;
                continue;
            }
            out.line(title)?;
            let mut lines = Vec::new();
            branches(&leaf.next, "", &mut lines);
            for line in lines {
                out.line(line)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn object(leaf: &Leaf) -> Json {
    json!({
        "station": leaf.station,
        "path": leaf.path.as_str(),
        "product": leaf.product,
        "hash": leaf.content,
        "step": leaf.run.as_ref().map(|run| &run.step),
        "run": leaf.run.as_ref().map(|run| run.id),
        "program": leaf.run.as_ref().map(|run| &run.program),
        "verb_version": leaf.run.as_ref().and_then(|run| run.verb_version.as_ref()),
        "at": leaf.run.as_ref().map(|run| run.ended),
        "role": leaf.role,
        "shown_before": leaf.again,
        "next": leaf.next.iter().map(object).collect::<Vec<_>>(),
    })
}

fn branches(leaves: &[Leaf], before: &str, lines: &mut Vec<String>) {
    for (at, leaf) in leaves.iter().enumerate() {
        let last = at + 1 == leaves.len();
        let (corner, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let run = leaf
            .run
            .as_ref()
            .map(|run| {
                let at = time(run.ended.unwrap_or(run.started));
                format!("  {} run {} {at} by {}", run.step, run.id, made_with(run))
            })
            .unwrap_or_default();
        let role = if leaf.role.is_empty() { String::new() } else { format!(" as {}", leaf.role) };
        let again = if leaf.again { "  (see above)" } else { "" };
        lines.push(format!("{before}{corner}{}/{} ({}){role}{run}{again}", leaf.station, leaf.path, leaf.product));
        branches(&leaf.next, &format!("{before}{below}"), lines);
    }
}

type Seen = BTreeSet<(String, String)>;

fn first_time(leaf: &mut Leaf, depth: usize, seen: &mut Seen) -> bool {
    leaf.again = !seen.insert((leaf.station.clone(), leaf.path.as_str().to_owned()));
    !leaf.again && depth > 0
}

fn upstream(reader: &Reader, leaf: &mut Leaf, depth: usize, seen: &mut Seen) -> Result<(), Failure> {
    if !first_time(leaf, depth, seen) {
        return Ok(());
    }
    let mut runs = reader.runs_making_path(&leaf.station, &leaf.path)?;
    runs.retain(|run| run.state == RunState::Done);
    // Only the newest run that left what is there.
    let Some(run) = runs.into_iter().next() else { return Ok(()) };
    for input in reader.run_inputs(run.id)? {
        let mut next = Leaf {
            station: input.station,
            path: input.path,
            product: input.product,
            content: input.content,
            run: Some(run.clone()),
            role: input.role,
            next: Vec::new(),
            again: false,
        };
        upstream(reader, &mut next, depth - 1, seen)?;
        leaf.next.push(next);
    }
    Ok(())
}

fn downstream(reader: &Reader, leaf: &mut Leaf, depth: usize, seen: &mut Seen) -> Result<(), Failure> {
    if !first_time(leaf, depth, seen) {
        return Ok(());
    }
    let Some(content) = leaf.content else { return Ok(()) };
    let mut runs = reader.runs_using_content(&content)?;
    runs.retain(|run| run.state == RunState::Done);
    for run in runs {
        let took = reader
            .run_inputs(run.id)?
            .into_iter()
            .any(|input| input.station == leaf.station && input.path == leaf.path);
        if !took {
            continue;
        }
        for output in reader.run_outputs(run.id)? {
            let mut next = Leaf {
                station: output.station,
                path: output.path,
                product: output.product,
                content: output.content,
                run: Some(run.clone()),
                role: String::new(),
                next: Vec::new(),
                again: false,
            };
            downstream(reader, &mut next, depth - 1, seen)?;
            leaf.next.push(next);
        }
    }
    Ok(())
}
