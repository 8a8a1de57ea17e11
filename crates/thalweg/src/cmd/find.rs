//! `find`: the files of a product.

use clap::Args;
use serde_json::{Value as Json, json};
use thalweg_ledger::{FileFilter, FileRow, FileState};

use super::where_clause::Where;
use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Cell, Table};
use crate::words::{self, plain, range, size};

/// Lists the files of a product, in order of the time they cover
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg find rawacf --from 2019-11-06 --to 2019-11-07\n  thalweg find rawacf --where site=sas --where slice=0 --at campus\n  thalweg find rawacf --from 12h --paths | xargs ls -l\n  thalweg find rawacf --json | jq -r .path"
)]
pub(crate) struct Find {
    /// The product
    #[arg(value_name = "PRODUCT")]
    product: String,
    /// Only files that cover time at or after this
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only files that cover time before this
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only where a field has a value; also !=, <, <=, >, >=; repeatable
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    wheres: Vec<String>,
    /// Also files that were removed, put aside, or are gone
    #[arg(long)]
    all: bool,
    /// Absolute paths only, one a line
    #[arg(long, conflicts_with = "json")]
    paths: bool,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Rows read at once.
const PAGE: u32 = 1000;

impl Find {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project()?;
        let product = project.product(&self.product)?;
        let wheres = Where::all(&self.wheres)?;
        let known: Vec<&str> = product.types.keys().chain(product.reads.keys()).map(String::as_str).collect();
        for condition in &wheres {
            condition.known(&known, &product.name)?;
        }
        let (from, to) = context.ends(self.from.as_deref(), self.to.as_deref())?;
        let reader = project.ledger()?.reader()?;
        let now = context.now();
        let mut filter = FileFilter {
            product: Some(product.name.clone()),
            from,
            to,
            states: if self.all { Vec::new() } else { vec![FileState::Present, FileState::Settling] },
            ..FileFilter::default()
        };
        let at = context.global.at.clone();
        if let [one] = at.as_slice() {
            filter.station = Some(one.clone());
        }
        let mut left = self.limit.unwrap_or(usize::MAX);
        loop {
            let page = reader.page(&filter, PAGE)?;
            let Some(last) = page.last() else { return Ok(Exit::Done) };
            filter.after = Some(last.id);
            let wanted = |row: &&FileRow| {
                (at.is_empty() || at.contains(&row.station))
                    && wheres.iter().all(|condition| condition.holds(&row.fields, now))
            };
            let rows: Vec<&FileRow> = page.iter().filter(wanted).take(left).collect();
            left -= rows.len();
            self.show(context, &project, &rows)?;
            if left == 0 {
                return Ok(Exit::Done);
            }
        }
    }

    fn show(&self, context: &mut Context, project: &crate::project::Project, rows: &[&FileRow]) -> Result<(), Failure> {
        if context.out.json {
            for row in rows {
                context.out.object(&object(row))?;
            }
            return Ok(());
        }
        if self.paths {
            use std::io::Write;
            for row in rows {
                let Some(station) = project.flow().stations.get(&row.station) else { continue };
                let root = thalweg_engine::root_of(&project.setup, station);
                let mut line = root.join(os(&row.path)).into_os_string();
                line.push("\n");
                context.out.write_all(line.as_encoded_bytes())?;
            }
            return Ok(());
        }
        let mut table = Table::new(&[]);
        for row in rows {
            table.row([
                row.range().map_or_else(|| "-".to_owned(), range).into(),
                row.station.as_str().into(),
                row.path.to_string().into(),
                Cell::right(size(row.stat.size)),
                Cell::state(row.state.as_str()),
                words::fields(&row.fields).into(),
            ]);
        }
        context.out.table(&table)
    }
}

fn os(path: &thalweg_core::RelPath) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(path.to_bytes())
}

/// Returns a file as JSON, its fields as plain values.
pub(super) fn object(row: &FileRow) -> Json {
    json!({
        "product": row.product,
        "station": row.station,
        "path": row.path.as_str(),
        "state": row.state,
        "why": row.why,
        "fields": plain(&row.fields),
        "start": row.start,
        "end": row.end,
        "size": row.stat.size,
        "hash": row.content,
        "first_seen": row.first_seen,
        "arrived": row.arrived,
        "state_since": row.state_at,
        "origin": row.origin,
        "run": row.run,
        "version": row.version,
        "suspect": row.suspect,
    })
}
