//! `why`: the whole story of one file.

mod missing;
mod story;

use std::ffi::OsString;
use std::path::Path;

use clap::Args;

use super::{Context, Done, steering};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::view::View;

/// Tells the whole story of one file
///
/// What it is, when it was seen, why it counts as complete or not, every run that made it or was made from it with times
/// and errors, where copies are, what comes next for it and when, and what each keep says of it. Of a file that is not
/// there: which step would bring it, and what that lacks or where it failed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg why /sddata/sas_data/20191106.0000.00.sas.a.rawacf.bz2\n  thalweg why campus/sas_data/20191106.0000.00.sas.a.rawacf.bz2\n  thalweg why campus:sas_data/20191106.0000.00.sas.a.rawacf.bz2 --json | jq .next"
)]
pub(crate) struct Why {
    /// The file: a path, or STATION/PATH
    #[arg(value_name = "PATH")]
    path: OsString,
}

impl Why {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let project = context.project_near(Path::new(&self.path))?;
        let located = steering::locate(&project, &self.path);
        let ledger = project.ledger()?;
        let view = View::open(&project, &ledger, context.now())?;
        let (station, path) = match located {
            Some(found) => found,
            None => story::by_name(&view, &self.path)?.ok_or_else(|| {
                Failure::usage(format!(
                    "{} lies below no station of this host and is not known to the ledger",
                    self.path.to_string_lossy()
                ))
                .help("name it as STATION/PATH; `thalweg status` lists the stations")
            })?,
        };
        let story = story::Story::gather(&project, &view, &station, &path)?;
        if context.out.json {
            context.out.document(&story)?;
        } else {
            story.tell(context)?;
        }
        Ok(Exit::Done)
    }
}
