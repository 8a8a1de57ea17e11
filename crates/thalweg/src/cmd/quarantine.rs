//! `quarantine`: what was put aside as bad.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::{Args, Subcommand};
use serde_json::json;
use thalweg_core::RelPath;
use thalweg_engine::Request;
use thalweg_ledger::{QuarantineFilter, QuarantineRow};

use super::{Context, Done, steering};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::{Cell, Table};
use crate::words::time;
use crate::work;

/// Lists the files that were put aside as bad, or gives one back to its product
///
/// A bad file is never deleted and never retried by itself; the report beside it says what is wrong.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg quarantine\n  thalweg quarantine list --released\n  thalweg quarantine release campus/sas_holding_dir/20191106.0000.00.sas.0.rawacf.h5"
)]
pub(crate) struct Quarantine {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists them (what happens without a word)
    #[command(after_help = "Examples:\n  thalweg quarantine list\n  thalweg quarantine list --released --json")]
    List {
        /// Also those given back since
        #[arg(long)]
        released: bool,
    },
    /// Gives a file back: it is moved to its place and taken again
    #[command(
        after_help = "Examples:\n  thalweg quarantine release campus/sas_holding_dir/20191106.0000.00.sas.0.rawacf.h5"
    )]
    Release {
        /// Where it was, as a path or STATION/PATH; a bare name will do where only one file has it
        #[arg(value_name = "PATH")]
        path: OsString,
    },
}

impl Quarantine {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        match self.what.unwrap_or(What::List { released: false }) {
            What::List { released } => list(context, released),
            What::Release { path } => release(context, &path),
        }
    }
}

fn list(context: &mut Context, released: bool) -> Done {
    let project = context.project()?;
    let reader = project.ledger()?.reader()?;
    let rows = reader.quarantined(&QuarantineFilter { released, ..QuarantineFilter::default() })?;
    if context.out.json {
        for row in &rows {
            context.out.object(&json!(row))?;
        }
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["put aside", "file", "now at", "why"]);
    for row in &rows {
        let now = match (&row.moved_to, row.released) {
            (_, Some(at)) => format!("given back {}", time(at)),
            (Some(path), None) => path.to_string(),
            (None, None) => "where it was".to_owned(),
        };
        let message = row.message.lines().next().unwrap_or_default();
        table.row([
            time(row.at).into(),
            format!("{}/{}", row.station, row.path).into(),
            now.into(),
            Cell::from(format!("{}: {message}", row.class)),
        ]);
    }
    if table.is_empty() {
        context.out.line("no file is put aside")?;
    } else {
        context.out.table(&table)?;
    }
    if let Some(row) = rows.iter().find(|row| row.released.is_none()) {
        let out = &mut context.out;
        out.line("")?;
        out.line(format!(
            "`thalweg quarantine release {}/{}` gives that one back as it is, `thalweg retry --quarantined` all of them;",
            row.station, row.path
        ))?;
        out.line("a mended one at its old name is taken as new; one that nobody needs may be removed where it is now")?;
    }
    Ok(Exit::Done)
}

fn release(context: &mut Context, path: &OsStr) -> Done {
    let project = context.project()?;
    let rows = project.ledger()?.reader()?.quarantined(&QuarantineFilter::default())?;
    let located = steering::locate(&project, path);
    let name = RelPath::from_bytes(path.as_bytes());
    let is_there = |row: &&QuarantineRow| {
        located.as_ref().is_some_and(|(station, path)| {
            row.station == *station && (row.path == *path || row.moved_to.as_ref() == Some(path))
        })
    };
    // A bare name means the file that has it, if there is only one.
    let named: Vec<&QuarantineRow> = match rows.iter().find(is_there) {
        Some(row) => vec![row],
        None => rows.iter().filter(|row| row.path.file_name() == name.as_str()).collect(),
    };
    let row = match named.as_slice() {
        [row] => *row,
        [] => {
            return Err(Failure::usage(format!("{name} is not put aside"))
                .help("`thalweg quarantine` lists the files that are"));
        }
        [first, ..] => {
            return Err(Failure::usage(format!("{} that are put aside are named {name}", named.len()))
                .help(format!("say which: `thalweg quarantine release {}/{}`", first.station, first.path)));
        }
    };
    let request = Request::Retry {
        step: None,
        station: Some(row.station.clone()),
        r#where: None,
        path: Some(row.path.as_str().to_owned()),
        quarantined: true,
        backlog: false,
        product: None,
    };
    let outcome = work::ask(&project, request, None, context)?;
    work::conclude(&outcome, &mut context.out)
}
