//! Why a file is not there: the steps that would bring it, what they lack, where they failed, what blocks them.
//! A link of that chain that lies on the disk and is not taken yet is there: it is told as what it is, not as missing.

use serde::Serialize;
use thalweg_core::pattern::PatternEnv;
use thalweg_core::{Fields, RelPath, fields_text};
use thalweg_engine::{Classifier, Places};
use thalweg_flow::planner::backward::producers;
use thalweg_flow::planner::keys::keys_of_step;
use thalweg_flow::planner::{
    Evaluation, Facts, FileFact, FileState, KeyId, Occasion, Readiness, coverage_of, evaluate, identity_of_file,
    readiness, touched,
};
use thalweg_flow::{Flow, Product, Step};
use thalweg_store::OpenWriters;

use crate::cmd::Context;
use crate::failure::Failure;
use crate::out::{Cell, Table};

/// How far back causes are followed: a flow has no longer chains.
const DEPTH: usize = 8;
/// The word for a file that lies there and is not taken yet.
const THERE: &str = "there";
/// So many keys of one step are told.
const KEYS: usize = 5;

/// One thing that a missing file waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Cause {
    /// The file that is not there, as `station/path`.
    file: String,
    /// The step that would bring it; none: nothing in the flow does.
    step: Option<String>,
    /// The key, where there is one already.
    key: Option<String>,
    /// A word for how it stands.
    state: String,
    /// Why.
    text: String,
    /// The command that goes on from here.
    next: Option<String>,
}

/// Returns why a file is not there, from it back to where the chain begins.
pub(super) fn causes(flow: &Flow, facts: &dyn Facts, places: &Places, station: &str, path: &RelPath) -> Vec<Cause> {
    let mut causes = Vec::new();
    let classifier = Classifier::new(flow);
    for folder in [false, true] {
        if let Some((product, fields)) = classifier.product(flow, station, path, folder) {
            Search { flow, facts, places, causes: &mut causes }.file(product, &fields, station, path, 0);
            break;
        }
    }
    causes
}

/// Writes them for people.
pub(super) fn tell(causes: &[Cause], context: &mut Context) -> Result<(), Failure> {
    if causes.is_empty() {
        return Ok(());
    }
    let out = &mut context.out;
    out.line("")?;
    let is_there = causes.first().is_some_and(|cause| cause.state == THERE);
    out.heading(if is_there { "why nothing has come of it" } else { "why it is not there" })?;
    let mut table = Table::new(&[]).indented(2);
    for cause in causes {
        let step = cause.step.as_deref().unwrap_or("-");
        table.row([cause.file.as_str().into(), step.into(), Cell::state(&cause.state), cause.text.as_str().into()]);
    }
    out.table(&table)?;
    for next in causes.iter().filter_map(|cause| cause.next.as_ref()) {
        out.line(format!("  {next}"))?;
    }
    Ok(())
}

struct Search<'a> {
    flow: &'a Flow,
    facts: &'a dyn Facts,
    places: &'a Places,
    causes: &'a mut Vec<Cause>,
}

impl Search<'_> {
    fn file(&mut self, product: &Product, fields: &Fields, station: &str, path: &RelPath, depth: usize) {
        let shown = format!("{station}/{path}");
        if depth > DEPTH || self.causes.iter().any(|cause| cause.file == shown) {
            return;
        }
        if let Some((text, next)) = self.there(product, station, path) {
            self.causes.push(Cause { file: shown, step: None, key: None, state: THERE.into(), text, next });
            return;
        }
        let steps = producers(self.flow, &product.name, Some(station));
        // Silence is not absence: of a station that cannot be listed nothing is known.
        if let Some(failing) = self.facts.listing(station).failing {
            let text = format!("nothing is known of {station}: {failing}");
            let next = Some(format!("`thalweg scan {station}` lists it again once that is mended"));
            self.causes.push(Cause { file: shown, step: None, key: None, state: "unknown".into(), text, next });
            return;
        }
        if steps.is_empty() {
            let text = format!("no step brings {} to {station}: it comes from outside the flow", product.name);
            let next = Some(format!("put it at {shown}; a name that is a little different is of no product"));
            self.causes.push(Cause { file: shown, step: None, key: None, state: "missing".into(), text, next });
            return;
        }
        for step in steps {
            self.step(step, product, fields, &shown, depth);
        }
    }

    // What a file that lies there waits for, as the ledger or the disk has it, and the command that goes on from here.
    fn there(&self, product: &Product, station: &str, path: &RelPath) -> Option<(String, Option<String>)> {
        let meta = self.places.store(station)?.stat(path).ok()??;
        if let Some(file) = self.facts.file_at(station, path) {
            if !matches!(file.state, FileState::Settling | FileState::Present) {
                return None;
            }
            let text = match readiness(product, &file, self.facts) {
                Readiness::No(reason) => format!("it is there and not taken yet: {}", reason.text),
                Readiness::Yes => "it is there".to_owned(),
            };
            return Some((text, Some(format!("`thalweg why {station}/{path}` says more of it"))));
        }
        if let Some(process) = OpenWriters::snapshot().writer_of(&meta) {
            let text = format!("it is there, still open for writing by process {process}");
            return Some((text, Some("it is taken when its writer has closed it".to_owned())));
        }
        let next = format!("`thalweg scan {station}` takes note of it; a running engine does so by itself");
        Some(("it is there and not listed yet".to_owned(), Some(next)))
    }

    fn step(&mut self, step: &Step, product: &Product, fields: &Fields, shown: &str, depth: usize) {
        let (known, absent) = self.inputs(step, fields);
        let mut keys: Vec<KeyId> = known
            .iter()
            .flat_map(|file| touched(self.flow, file, self.facts))
            .filter(|key| key.step == step.name)
            .collect();
        if keys.is_empty() && absent.is_empty() {
            // Its inputs do not follow from the name: those keys are meant that its time or its fields agree with.
            let span = coverage_of(product, fields, None);
            let all = keys_of_step(self.flow, step, span, self.facts);
            keys.extend(all.into_iter().filter(|key| agree(&key.fields, fields)).take(KEYS));
        }
        keys.sort();
        keys.dedup();
        for key in &keys {
            let evaluation = evaluate(self.flow, key, self.facts, Occasion::default());
            self.causes.push(of_key(step, shown, &evaluation, self.facts));
        }
        if !keys.is_empty() {
            return;
        }
        let takes = step.takes.join(" and ");
        let text = match absent.first() {
            Some((input, station, path)) => {
                let there = self.flow.products.get(input).and_then(|product| self.there(product, station, path));
                let stands = if there.is_some() { "is not taken yet" } else { "is not there" };
                format!("{} makes or brings it from {station}/{path}, which {stands}", step.name)
            }
            None if takes.is_empty() => format!("{} makes it by the clock, or when it is asked to", step.name),
            None => format!("{} makes it from {takes}, and none that belongs to it is there", step.name),
        };
        let next =
            absent.is_empty().then(|| format!("`thalweg plan --step {}` says what that step waits for", step.name));
        let step = Some(step.name.clone());
        self.causes.push(Cause { file: shown.to_owned(), step, key: None, state: "waiting".into(), text, next });
        for (input, station, path) in absent {
            if let Some(product) = self.flow.products.get(&input) {
                self.file(product, fields, &station, &path, depth + 1);
            }
        }
    }

    // The driving files that a name leads to: those that are known, and where the others would be.
    fn inputs(&self, step: &Step, fields: &Fields) -> (Vec<FileFact>, Vec<(String, String, RelPath)>) {
        let (mut known, mut absent) = (Vec::new(), Vec::new());
        let env = PatternEnv { tables: &self.flow.tables };
        if step.per.is_some() {
            return (known, absent);
        }
        for product in step.takes.iter().filter_map(|name| self.flow.products.get(name)) {
            let own: Fields = fields
                .iter()
                .filter(|(name, _)| product.types.contains_key(*name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            let identity = identity_of_file(product, &own);
            for station in step.at.iter().flat_map(|at| step.sources(at)) {
                let there = self.facts.files_of(station, &product.name, &identity);
                if let (true, Ok(path)) = (there.is_empty(), product.pattern_at(station).format(&own, &env, None)) {
                    absent.push((product.name.clone(), station.to_owned(), path));
                }
                known.extend(there);
            }
        }
        // Gone is not there, and has a story of its own.
        known.retain(|file| !matches!(file.state, FileState::Withdrawn));
        if !known.is_empty() {
            absent.clear();
        }
        (known, absent)
    }
}

// Whether nothing that both say differs.
fn agree(one: &Fields, other: &Fields) -> bool {
    one.iter().all(|(name, value)| other.get(name).is_none_or(|found| found == value))
}

fn of_key(step: &Step, shown: &str, evaluation: &Evaluation, facts: &dyn Facts) -> Cause {
    let state = crate::cmd::plan::word(evaluation);
    let failure = facts.last_failure(&evaluation.key);
    let next = match (state, failure) {
        ("failed", Some(failure)) => Some(format!(
            "`thalweg log {}` shows what that run did and said; `thalweg retry {}` tries again",
            failure.run, step.name
        )),
        ("blocked", Some(failure)) => {
            Some(format!("its last run failed, too: `thalweg log {}` shows what it did and said", failure.run))
        }
        ("quarantined", _) => Some("`thalweg quarantine` says why the input was put aside".to_owned()),
        ("ready", _) => Some("`thalweg run` does it".to_owned()),
        ("done", _) => Some(format!("it made something else: `thalweg plan --step {} --all`", step.name)),
        _ => None,
    };
    Cause {
        file: shown.to_owned(),
        step: Some(step.name.clone()),
        key: Some(evaluation.key.text()),
        state: state.to_owned(),
        text: format!("{}  {}", evaluation.reason.text, fields_text(&evaluation.key.fields)).trim_end().to_owned(),
        next,
    }
}
