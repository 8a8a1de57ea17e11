//! The ledger as one command looks at it: a reader, the stations, and the planner's facts over both.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use thalweg_core::{ContentHash, Timestamp};
use thalweg_engine::backlog::Marks;
use thalweg_engine::facts::RunningKeys;
use thalweg_engine::{LedgerFacts, Places, Strangers, VerbVersions, settings_digests};
use thalweg_flow::{Argument, Flow};
use thalweg_ledger::{HoldRow, Ledger, Reader};

use crate::failure::Failure;
use crate::project::Project;
use crate::words::count;

/// What a command that only looks needs.
pub(crate) struct View {
    /// The ledger.
    pub(crate) reader: Reader,
    /// The stations of this host whose roots are there.
    pub(crate) places: Places,
    /// Holds in force.
    pub(crate) holds: Vec<HoldRow>,
    running: RunningKeys,
    settings: BTreeMap<String, ContentHash>,
    marks: Marks,
    versions: VerbVersions,
    now: Timestamp,
}

impl View {
    /// Opens the ledger of a project for looking; nothing is made or changed.
    ///
    /// # Errors
    ///
    /// Those of the ledger.
    pub(crate) fn open(project: &Project, ledger: &Ledger, now: Timestamp) -> Result<Self, Failure> {
        let reader = ledger.reader()?;
        let mut running: RunningKeys = HashMap::new();
        for run in reader.unfinished_runs()? {
            running.insert((run.step, run.key), (run.id.0, run.started));
        }
        let holds = reader.holds_active()?;
        let marks = Marks::read(project.flow(), &reader)?;
        // What the engine was told last holds while the programs' files are the same.
        let versions = VerbVersions::ask(&project.setup, &VerbVersions::kept(&reader)?);
        let settings = settings_digests(&project.setup);
        Ok(Self { reader, places: Places::look(&project.setup), holds, running, settings, versions, marks, now })
    }

    /// Opens the ledger of a project for looking, if any station of this host was ever listed.
    ///
    /// One that knows of no listing, as after a refused first run or a hold before it, knows nothing of files: then
    /// [`survey`](crate::survey) does.
    ///
    /// # Errors
    ///
    /// Those of the ledger.
    pub(crate) fn open_if_listed(project: &Project, now: Timestamp) -> Result<Option<Self>, Failure> {
        let Some(ledger) = project.ledger_if_any()? else { return Ok(None) };
        let reader = ledger.reader()?;
        for station in &project.setup.here {
            if reader.last_ok_listing(station)?.is_some() {
                return Self::open(project, &ledger, now).map(Some);
            }
        }
        Ok(None)
    }

    /// Returns by station what the last listing met that belongs to no product.
    ///
    /// # Errors
    ///
    /// Those of the ledger.
    pub(crate) fn strangers(&self) -> Result<BTreeMap<String, Strangers>, Failure> {
        let of = |(name, ..): (&str, &std::path::Path, _)| Ok((name.to_owned(), Strangers::at(&self.reader, name)?));
        self.places.stations().map(of).collect()
    }

    /// Returns the planner's facts.
    pub(crate) fn facts<'a>(&'a self, flow: &'a Flow) -> LedgerFacts<'a> {
        LedgerFacts {
            flow,
            reader: &self.reader,
            places: &self.places,
            now: self.now,
            running: &self.running,
            holds: &self.holds,
            settings: &self.settings,
            marks: &self.marks,
            versions: &self.versions,
            trouble: RefCell::new(None),
        }
    }
}

/// Says for each station how many files there belong to no product, with an example and what to do.
pub(crate) fn strangers_text(all: &BTreeMap<String, Strangers>) -> Vec<String> {
    let text = |(station, strangers): (&String, &Strangers)| {
        let example = strangers.examples.first()?;
        let (files, are) = (count(strangers.files, "file", "files"), if strangers.files == 1 { "is" } else { "are" });
        Some(format!(
            "{files} at {station} {are} of no product, as {example}: left alone; `thalweg scan {station}` names them, \
             `thalweg why {station}/{example}` says more"
        ))
    };
    all.iter().filter_map(text).collect()
}

/// Returns a command line as the flow file writes it.
pub(crate) fn verb_text(step: &thalweg_flow::Step) -> String {
    use thalweg_flow::Verb;
    match &step.does {
        Verb::Send => format!("send to {}", step.to.join(", ")),
        Verb::Fetch => format!("fetch from {}", step.from.join(", ")),
        Verb::Copy => "copy".to_owned(),
        Verb::Move => "move".to_owned(),
        Verb::Link => "link".to_owned(),
        Verb::Builtin(line) | Verb::Run(line) => {
            let words = line.args.iter().filter_map(|argument| match argument {
                Argument::Pieces(pieces) => pieces.iter().find_map(|piece| match piece {
                    thalweg_flow::Piece::Text(text) => Some(text.trim()),
                    thalweg_flow::Piece::Hole(_) => None,
                }),
                Argument::Flagged { .. } => None,
            });
            words.take_while(|word| !word.starts_with('-')).take(2).collect::<Vec<_>>().join(" ")
        }
    }
}
