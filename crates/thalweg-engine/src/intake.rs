//! Taking a file that is ready: reading it once for its digest, and asking its format about it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use thalweg_core::{ErrorClass, RelPath};
use thalweg_flow::Flow;
use thalweg_ledger::FileId;
use thalweg_store::{Hashed, Meta, StoreError};

use crate::dispatcher::{Inbox, Message};
use crate::host::{Working, receive};
use crate::probe::{self, Told};
use crate::runner::Failure;
use crate::runner::publish::failure;
use crate::{Host, Places, Setup};

/// A file to be taken.
#[derive(Debug)]
pub(crate) struct Take {
    pub(crate) file: FileId,
    pub(crate) station: String,
    pub(crate) product: String,
    pub(crate) path: RelPath,
}

/// A file that was read.
#[derive(Debug)]
pub(crate) struct Took {
    pub(crate) hashed: Hashed,
    pub(crate) told: Told,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was read whole as one version.
    Took(Box<Took>),
    /// It was written to meanwhile.
    Changed(Option<Meta>),
    /// It is not there any more.
    Gone,
    /// It could not be read, or is bad.
    Failed(Failure),
}

/// Threads that take files.
pub(crate) struct Intake {
    jobs: Option<Sender<Take>>,
    threads: Vec<Box<dyn Working>>,
    host: Arc<dyn Host>,
}

impl Intake {
    pub(crate) fn start(setup: &Setup, flow: &Arc<Flow>, places: &Places, tell: &Inbox) -> Self {
        let (jobs, waiting) = channel::<Take>();
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = (0..setup.host.readers())
            .filter_map(|n| {
                let (setup, flow, places, tell, waiting) =
                    (setup.clone(), flow.clone(), places.clone(), tell.clone(), waiting.clone());
                let host = setup.host.clone();
                let work = move || serve(&setup, &flow, &places, &tell, &waiting);
                host.start(&format!("intake-{n}"), Box::new(work)).ok()
            })
            .collect();
        Self { jobs: Some(jobs), threads, host: setup.host.clone() }
    }

    /// Hands a file over; false when nobody reads any more, then it is offered again later.
    pub(crate) fn offer(&self, take: Take) -> bool {
        let taken = self.jobs.as_ref().is_some_and(|jobs| jobs.send(take).is_ok());
        self.host.told();
        taken
    }

    pub(crate) fn stop(&mut self) {
        self.jobs = None;
        self.host.told();
        for thread in self.threads.drain(..) {
            thread.join();
        }
    }
}

fn serve(setup: &Setup, flow: &Flow, places: &Places, tell: &Inbox, waiting: &Mutex<Receiver<Take>>) {
    loop {
        let next = receive(setup.host.as_ref(), &waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let Some(take) = next else { return };
        let outcome = one(setup, flow, places, &take);
        if !tell.send(Message::Taken { take, outcome }) {
            return;
        }
    }
}

fn one(setup: &Setup, flow: &Flow, places: &Places, take: &Take) -> Outcome {
    let (Some(store), Some(product)) = (places.store(&take.station), flow.products.get(&take.product)) else {
        return Outcome::Failed(Failure::new(
            ErrorClass::Config,
            "the flow does not name its station or product any more",
        ));
    };
    let hashed = match store.hash(&take.path, &mut |_| {}) {
        Ok(hashed) => hashed,
        Err(StoreError::NotFound { .. }) => return Outcome::Gone,
        Err(StoreError::ChangedWhileReading { .. }) => {
            return Outcome::Changed(store.stat(&take.path).ok().flatten());
        }
        Err(error) => return Outcome::Failed(failure(&take.path, &error)),
    };
    let told = if probe::is_needed(product) {
        let absolute = places.absolute(&take.station, &take.path).unwrap_or_default();
        match probe::probe(setup, product, &absolute) {
            Ok(told) => told,
            Err(failure) => return Outcome::Failed(failure),
        }
    } else {
        Told::default()
    };
    // The probe read it a second time.
    match store.stat(&take.path) {
        Ok(Some(meta))
            if meta.kind == hashed.meta.kind
                && (meta.kind == thalweg_store::Kind::Folder || meta.same_version(&hashed.meta)) =>
        {
            Outcome::Took(Box::new(Took { hashed, told }))
        }
        Ok(Some(meta)) => Outcome::Changed(Some(meta)),
        Ok(None) => Outcome::Gone,
        Err(error) => Outcome::Failed(failure(&take.path, &error)),
    }
}
