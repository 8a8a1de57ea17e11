//! How a dispatcher begins, and how it takes another flow file over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use thalweg_ledger::Ledger;

use super::{AT_WORK, Dispatcher, Inbox, Message};
use crate::backlog::Marks;
use crate::classify::Classifier;
use crate::facts::RunningKeys;
use crate::intake::Intake;
use crate::{EngineError, Event, Mode, Outcome, Places, Setup};

/// What a dispatcher is made from.
pub(crate) struct Parts {
    pub(crate) setup: Setup,
    pub(crate) ledger: Ledger,
    pub(crate) places: Places,
    pub(crate) classifier: Arc<Classifier>,
    /// Stations at which a bad file could not be put aside.
    pub(crate) stayed: BTreeSet<String>,
    pub(crate) inbox: Inbox,
    pub(crate) messages: Receiver<Message>,
    pub(crate) mode: Mode,
    pub(crate) forward: bool,
}

impl<'r> Dispatcher<'r> {
    pub(crate) fn new(parts: Parts, report: &'r mut dyn FnMut(&Event)) -> Result<Self, EngineError> {
        let Parts { setup, ledger, places, classifier, stayed, inbox, messages, mode, forward } = parts;
        let flow = setup.flow.clone();
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let intake = Intake::start(&setup, &flow, &places, &inbox);
        let reader = ledger.reader()?;
        let latest = setup.clock.now();
        let holds = reader.holds_active()?;
        let staging_mark = crate::runner::staging_mark(&reader)?;
        let slots = setup.slots.unwrap_or(processors).max(1);
        let mut dispatcher = Self {
            slots,
            line: super::slots::Line::new(slots, &setup),
            settings: BTreeMap::new(),
            versions: crate::VerbVersions::default(),
            asking_versions: false,
            versions_asked: std::time::Instant::now(),
            pruned: None,
            pruning: None,
            setup,
            flow,
            ledger,
            reader,
            places,
            classifier,
            inbox,
            messages,
            report,
            mode,
            forward,
            intake,
            holds,
            marks: Arc::default(),
            asked_for: BTreeSet::new(),
            settling: BTreeMap::new(),
            settling_wakes: BTreeSet::new(),
            left_lately: BTreeMap::new(),
            changed: Vec::new(),
            dirty: BTreeSet::new(),
            ready: BTreeMap::new(),
            key_rows: Vec::new(),
            order: Vec::new(),
            order_is_old: false,
            more_ready: false,
            running: RunningKeys::new(),
            active: BTreeMap::new(),
            next_no: 1,
            scans: BTreeMap::new(),
            scan_threads: Vec::new(),
            requests: Vec::new(),
            flags: BTreeMap::new(),
            latest,
            retention_due: true,
            last_retention: None,
            looks: BTreeMap::new(),
            looking: None,
            has_taken_stock: false,
            next_turn: None,
            stopping: None,
            outcome: Outcome::default(),
            staging_mark,
            unswept: BTreeMap::new(),
            swept: latest,
            stayed,
            watchdog: crate::notify::watchdog().map(|every| (every / 2, std::time::Instant::now())),
        };
        dispatcher.begin_work()?;
        Ok(dispatcher)
    }

    // What an earlier engine left open is looked at again; everything, if the flow is another than it was.
    fn begin_work(&mut self) -> Result<(), EngineError> {
        let flow = self.flow.clone();
        let stations: Vec<String> = self.places.stations().map(|(name, _, _)| name.to_owned()).collect();
        self.say(&Event::Started { flow: flow.name.clone(), stations: stations.clone() });
        for note in &flow.notes {
            self.say(&Event::Note { place: note.place.clone(), message: note.message.clone() });
        }
        self.sweep_all();
        self.marks = Arc::new(Marks::read(&self.flow, &self.reader)?);
        self.read_settings();
        self.ask_versions()?;
        // The clock may have been set back, or set right, while no engine was at work.
        let now = self.now();
        let ahead = self.reader.latest_moment()?.is_some_and(|at| at > now);
        self.ledger.write(move |tx| tx.clock_went_back(now, ahead))?;
        for station in stations {
            for row in self.reader.settling(&station)? {
                self.settles(&row)?;
            }
        }
        // What was recorded just before an end out of order may have touched keys that nobody looked at.
        if self.reader.meta(AT_WORK)?.as_deref() == Some("yes") {
            self.dirty_all_keys()?;
        }
        self.ledger.write(|tx| tx.meta_set(AT_WORK, "yes"))?;
        self.note_flow()?;
        self.begin_logs()?;
        // Whoever asked for a listing before these began need not wait for others.
        let asked: Vec<Message> = self.messages.try_iter().collect();
        self.scan_all();
        for message in asked {
            let message = match message {
                Message::Asked { request, answer } => Message::AskedBefore { request, answer },
                other => other,
            };
            // Its other end is here.
            let _ = self.inbox.send(message);
        }
        Ok(())
    }

    fn note_flow(&mut self) -> Result<(), EngineError> {
        let digest = self.setup.flow_digest.clone();
        if self.reader.meta("flow_digest")?.as_deref() == Some(digest.as_str()) {
            return self.dirty_open_keys();
        }
        let renamed_steps: Vec<(String, String)> =
            self.flow.steps.values().filter_map(|step| Some((step.was.clone()?, step.name.clone()))).collect();
        let renamed_products: Vec<(String, String)> = self
            .flow
            .products
            .values()
            .filter_map(|product| Some((product.was.clone()?, product.name.clone())))
            .collect();
        let path = self.setup.flow_path.display().to_string();
        self.ledger.write(move |tx| {
            for (from, to) in &renamed_steps {
                tx.rename_step(from, to)?;
            }
            for (from, to) in &renamed_products {
                tx.rename_product(from, to)?;
            }
            tx.meta_set("flow_path", &path)?;
            tx.meta_set("flow_digest", &digest)
        })?;
        self.reader.forget_names();
        self.dirty_all_keys()
    }

    // Digests of the settings files that steps name; those with fields in their names are found by listing the folder.
    pub(crate) fn read_settings(&mut self) {
        self.settings = crate::settings_digests(&self.setup);
    }

    /// Takes another flow file over; runs under way end under the old rules.
    pub(super) fn reload(&mut self, setup: Setup) -> Result<(), EngineError> {
        let places = Places::open(&setup, &self.reader)?;
        let same_stations =
            places.stations().map(|(name, root, _)| (name.to_owned(), root.to_owned())).collect::<Vec<_>>()
                == self.places.stations().map(|(name, root, _)| (name.to_owned(), root.to_owned())).collect::<Vec<_>>();
        if !same_stations {
            let message = "its stations are others than before: stop and start the engine for that".to_owned();
            self.say(&Event::Reloaded { accepted: false, message });
            return Ok(());
        }
        self.flow = setup.flow.clone();
        self.classifier = Arc::new(Classifier::new(&self.flow));
        self.setup = setup;
        self.intake.stop();
        self.intake = Intake::start(&self.setup, &self.flow, &self.places, &self.inbox);
        self.settling.values_mut().for_each(|file| file.in_work = false);
        self.ready.clear();
        self.order.clear();
        self.read_settings();
        self.ask_versions()?;
        self.holds = self.reader.holds_active()?;
        self.marks = Arc::new(Marks::read(&self.flow, &self.reader)?);
        self.looks.clear();
        self.next_turn = None;
        self.last_retention = None;
        self.note_flow()?;
        self.begin_logs()?;
        self.scan_all();
        let message = format!("{} is in force", self.setup.flow_path.display());
        self.say(&Event::Reloaded { accepted: true, message });
        Ok(())
    }
}
