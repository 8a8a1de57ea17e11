//! What was there before: which outputs of a product stand for which keys, as if these had been made by the flow.
//!
//! Nothing is made and nothing is compared here beyond what the facts say. What cannot be decided is left, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_core::{Fields, RelPath, TimeRange};

use super::backward::producers;
use super::evaluate::{Look, Stop, span_of};
use super::gather::gather;
use super::keys::keys_of_step;
use super::outputs::{fields_of, outputs};
use super::reason::{Reason, There};
use super::standing::{Standing, counting, deciding, identity_with, standing};
use super::{Facts, FileFact, FileQuery, FileState, KeyId, Occasion, Origin, Task, TaskOutput, identity_of_file};
use crate::{Flow, Step, Verb};

/// What is to be taken over.
pub struct Adopting<'a> {
    /// The product.
    pub product: &'a str,
    /// Only what covers a part of this; files without coverage always.
    pub span: Option<TimeRange>,
    /// Only these of its files.
    pub meant: &'a dyn Fn(&FileFact) -> bool,
    /// Contents are not known yet: sizes stand for them.
    pub by_size: bool,
}

/// A key with the outputs that stand for it.
#[derive(Debug, Clone)]
pub struct Adoption {
    /// What would have been run.
    pub task: Task,
    /// What is there of it.
    pub outputs: Vec<FileFact>,
    /// They are built up from contributions.
    pub update: bool,
    /// They are verified copies.
    pub delivered: bool,
}

/// A file that is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Where.
    pub station: String,
    /// Its path there.
    pub path: RelPath,
    /// The key that it was looked at for: step and text.
    pub key: Option<(String, String)>,
    /// Why.
    pub reason: Reason,
}

/// What can be taken over, and what cannot.
#[derive(Debug, Default)]
pub struct AdoptionPlan {
    /// Keys to be entered as done.
    pub adopt: Vec<Adoption>,
    /// Files that the flow made, brought or took over already.
    pub there: Vec<(String, RelPath)>,
    /// The others.
    pub left: Vec<LeftOut>,
}

type Place = (String, RelPath);

/// Decides which files of a product stand for which keys.
pub fn plan_adoption(flow: &Flow, wanted: &Adopting<'_>, facts: &dyn Facts) -> AdoptionPlan {
    let steps = steps_of(flow, wanted.product);
    let mut adopter =
        Adopter { flow, wanted, facts, files: BTreeMap::new(), settled: BTreeMap::new(), adopt: Vec::new() };
    adopter.collect(&steps);
    for step in &steps {
        adopter.step(step);
    }
    adopter.finish()
}

/// Returns the steps that make a product or bring it somewhere, in the order of the flow.
pub fn steps_of<'a>(flow: &'a Flow, product: &str) -> Vec<&'a Step> {
    let mut names: BTreeSet<&str> = producers(flow, product, None).into_iter().map(|step| step.name.as_str()).collect();
    for station in flow.stations.keys() {
        names.extend(producers(flow, product, Some(station)).into_iter().map(|step| step.name.as_str()));
    }
    flow.step_order
        .iter()
        .filter(|name| names.contains(name.as_str()))
        .filter_map(|name| flow.steps.get(name))
        .collect()
}

/// What was decided on a file; the first word stands, but a file that is taken over after all is taken over.
enum Word {
    There,
    Taken,
    Left(Option<(String, String)>, Reason),
}

struct Adopter<'a> {
    flow: &'a Flow,
    wanted: &'a Adopting<'a>,
    facts: &'a dyn Facts,
    files: BTreeMap<Place, FileFact>,
    settled: BTreeMap<Place, Word>,
    adopt: Vec<Adoption>,
}

impl Adopter<'_> {
    // The files meant, at the stations where a step would have put them.
    fn collect(&mut self, steps: &[&Step]) {
        let stations: BTreeSet<&String> =
            steps.iter().flat_map(|step| if step.to.is_empty() { &step.at } else { &step.to }).collect();
        for station in stations {
            let query = FileQuery {
                station: Some(station),
                product: self.wanted.product,
                fields: Vec::new(),
                overlapping: self.wanted.span,
            };
            for file in self.facts.files(&query) {
                let there = matches!(file.state, FileState::Present | FileState::Settling);
                if there && (self.wanted.meant)(&file) {
                    self.files.insert((file.station.clone(), file.path.clone()), file);
                }
            }
        }
    }

    fn say(&mut self, place: Place, word: Word) {
        let old = self.settled.get(&place);
        let stands = matches!((old, &word), (Some(Word::Taken | Word::There), _) | (Some(_), Word::Left(..)));
        if !stands {
            self.settled.insert(place, word);
        }
    }

    fn leave(&mut self, place: Place, key: &KeyId, code: &str, why: impl Into<String>) {
        let key = Some((key.step.clone(), key.text()));
        self.say(place, Word::Left(key, Reason::new(code, why)));
    }

    fn step(&mut self, step: &Step) {
        let mut open: Vec<(Adoption, Vec<Place>)> = Vec::new();
        for key in keys_of_step(self.flow, step, self.wanted.span, self.facts) {
            open.extend(self.key(step, &key));
        }
        self.share_out(open);
    }

    // Looks at one key. What its verb left under names of its own choice is for `share_out`.
    fn key(&mut self, step: &Step, key: &KeyId) -> Option<(Adoption, Vec<Place>)> {
        let gathered = gather(self.flow, step, key, self.facts);
        let named = outputs(self.flow, step, key, &gathered, self.facts).unwrap_or_default();
        let standing = standing(self.flow, step, key, &gathered, self.facts, false);
        let there: Vec<Place> = named.iter().filter_map(|output| self.place_of(output)).collect();
        let known = standing.last.iter().flat_map(|last| &last.outputs);
        let known: Vec<Place> = known.map(|left| (left.station.clone(), left.path.clone())).collect();
        if standing.conflict.is_none() && matches!(standing.there, There::Done | There::Partial | There::Retired) {
            let meant: Vec<Place> = known.into_iter().filter(|place| self.files.contains_key(place)).collect();
            meant.into_iter().for_each(|place| self.say(place, Word::There));
            return None;
        }
        let open = named.iter().any(|output| output.path.is_none() && output.product == self.wanted.product);
        let mine: Vec<Place> =
            there.iter().chain(&known).filter(|place| self.files.contains_key(*place)).cloned().collect();
        if mine.is_empty() && !open {
            return None;
        }
        let now = self.facts.now();
        let occasion = Occasion { asked: true, ..Occasion::default() };
        let look = Look { flow: self.flow, step, key, facts: self.facts, occasion, now, gathered };
        let task = match look.as_if_made(&standing, named) {
            Ok(task) => task,
            Err((_, reason)) => {
                for place in mine {
                    self.leave(place, key, &reason.code, reason.text.clone());
                }
                return None;
            }
        };
        let delivered = matches!(step.does, Verb::Send | Verb::Fetch);
        let adoption = Adoption { task, outputs: Vec::new(), update: step.updates(), delivered };
        if open {
            let found = self.of_many(&adoption.task, standing.last.is_some());
            return (!found.is_empty()).then_some((adoption, found));
        }
        self.named(step, adoption, &standing);
        None
    }

    fn place_of(&self, output: &TaskOutput) -> Option<Place> {
        Some((output.station.clone(), output.path.clone()?))
    }

    // All outputs of a key have to be there, each with a content that it can have made.
    fn named(&mut self, step: &Step, mut adoption: Adoption, standing: &Standing) {
        let task = &adoption.task;
        let key = task.key.clone();
        let mut found = Vec::new();
        let mut why = None;
        for output in &task.outputs {
            let Some(place) = self.place_of(output) else { continue };
            match self.facts.file_at(&place.0, &place.1) {
                Some(file) if matches!(file.state, FileState::Present | FileState::Settling) => {
                    if let Err(reason) = self.stands_for(step, task, output, &file, standing) {
                        self.leave(place, &key, &reason.code, reason.text.clone());
                        why.get_or_insert(reason);
                    }
                    found.push(file);
                }
                _ => {
                    let text = format!("its run also leaves {} at {}, which is not there", place.1, place.0);
                    why.get_or_insert(Reason::new("incomplete", text));
                }
            }
        }
        if let Some(why) = why {
            for file in found {
                self.leave((file.station, file.path), &key, &why.code, why.text.clone());
            }
            return;
        }
        for file in &found {
            let place = (file.station.clone(), file.path.clone());
            // Of an output that is not meant nothing is said.
            if self.files.contains_key(&place) {
                self.say(place, Word::Taken);
            }
        }
        adoption.outputs = found;
        self.adopt.push(adoption);
    }

    fn stands_for(
        &self,
        step: &Step,
        task: &Task,
        output: &TaskOutput,
        file: &FileFact,
        standing: &Standing,
    ) -> Result<(), Reason> {
        let product = self.flow.products.get(&output.product);
        let same = product.is_some_and(|product| identity_of_file(product, &output.fields) == file.identity);
        if file.product != output.product || !same {
            let text = format!("{} is {}({}), another file", file.path, file.product, file.identity);
            return Err(Reason::new("other_file", text));
        }
        if !file.is_usable() {
            return Err(Reason::new("not_read", format!("{} is not read yet: its ready rule holds it", file.path)));
        }
        if file.origin != Origin::Seen
            && let Some((other, text)) = self.facts.made_by(&file.station, &file.path)
            && (other != step.name || text != task.key.text())
            && !output.update
        {
            return Err(Reason::new("made_by_other", format!("it was made by {other} {text}")));
        }
        self.content_fits(step, task, output, file)?;
        self.old_enough(task, output.update, file, standing)
    }

    // What is carried over unchanged says by its content whether it is that.
    fn content_fits(&self, step: &Step, task: &Task, output: &TaskOutput, file: &FileFact) -> Result<(), Reason> {
        if !matches!(step.does, Verb::Send | Verb::Fetch | Verb::Copy | Verb::Link) {
            return Ok(());
        }
        let same_file = matches!(step.does, Verb::Send | Verb::Fetch);
        let mut inputs = task.inputs.iter().filter(|input| {
            input.role.is_empty() && (!same_file || input.product == output.product && input.identity == file.identity)
        });
        let equal = inputs.clone().any(|input| match self.wanted.by_size {
            true => input.size == file.size,
            false => Some(input.hash) == file.hash,
        });
        if equal {
            return Ok(());
        }
        let from = inputs
            .next()
            .map_or_else(|| "its input".to_owned(), |input| format!("{} at {}", input.path, input.station));
        Err(Reason::new(
            "other_content",
            format!("its content is not that of {from}: send that one, or remove this one"),
        ))
    }

    // An update holds an input only if it was written after it, as far as times can tell.
    fn old_enough(&self, task: &Task, update: bool, file: &FileFact, standing: &Standing) -> Result<(), Reason> {
        if !update || standing.last.is_some() {
            return Ok(());
        }
        if file.origin != Origin::Seen {
            return Err(Reason::new(
                "not_contributed",
                "the flow built it up, and without this key: its run takes it in",
            ));
        }
        let mut driving = task.inputs.iter().filter(|input| input.role.is_empty());
        let newer = driving
            .find(|input| self.facts.file_at(&input.station, &input.path).is_none_or(|input| input.mtime > file.mtime));
        match newer {
            Some(input) => {
                let text = format!("{} is newer than {}: its run takes it in", input.path, file.path);
                Err(Reason::new("newer_input", text))
            }
            None => Ok(()),
        }
    }

    // Files that a key's verb can have left: they agree in the fields that both have, and start within the key's span.
    fn of_many(&self, task: &Task, known: bool) -> Vec<Place> {
        let Some(output) = task.outputs.iter().find(|output| output.product == self.wanted.product) else {
            return Vec::new();
        };
        let Some(product) = self.flow.products.get(&output.product) else { return Vec::new() };
        let own: &Fields = &task.fields;
        let fits = |file: &FileFact| {
            let shared = file.fields.iter().filter(|(name, _)| Some(*name) != product.time_field.as_ref());
            let agree = shared.clone().all(|(name, value)| own.get(name).is_none_or(|other| other == value));
            let named = shared.into_iter().any(|(name, _)| own.contains_key(name));
            let within = match (task.span, file.coverage) {
                (Some(span), Some(coverage)) => Some(span.contains(coverage.start)),
                _ => None,
            };
            agree && within.unwrap_or(named) && (file.origin == Origin::Seen || known)
        };
        let here = self.files.iter().filter(|((station, _), _)| *station == output.station);
        here.filter(|(_, file)| fits(file)).map(|(place, _)| place.clone()).collect()
    }

    // What several keys can have left is nobody's, unless it is built up from all of them.
    fn share_out(&mut self, open: Vec<(Adoption, Vec<Place>)>) {
        let mut claims: BTreeMap<Place, Vec<String>> = BTreeMap::new();
        for (adoption, places) in &open {
            for place in places {
                claims.entry(place.clone()).or_default().push(adoption.task.key.text());
            }
        }
        for (mut adoption, places) in open {
            let key = adoption.task.key.clone();
            for place in places {
                let Some(file) = self.files.get(&place).cloned() else { continue };
                let several = claims.get(&place).map_or(0, Vec::len);
                if !file.is_usable() {
                    self.leave(
                        place,
                        &key,
                        "not_read",
                        format!("{} is not read yet: its ready rule holds it", file.path),
                    );
                } else if several > 1 && !adoption.update {
                    let text =
                        format!("any of {several} keys of {} can have left it: it cannot be told which", key.step);
                    self.leave(place, &key, "ambiguous", text);
                } else if let Err(reason) = self.old_enough_of_many(&adoption.task, adoption.update, &file) {
                    self.leave(place, &key, &reason.code, reason.text);
                } else {
                    self.say(place, Word::Taken);
                    adoption.outputs.push(file);
                }
            }
            if !adoption.outputs.is_empty() {
                self.adopt.push(adoption);
            }
        }
    }

    fn old_enough_of_many(&self, task: &Task, update: bool, file: &FileFact) -> Result<(), Reason> {
        let none = Standing { there: There::None, because: None, last: None, conflict: None };
        self.old_enough(task, update, file, &none)
    }

    fn finish(mut self) -> AdoptionPlan {
        let mut plan = AdoptionPlan { adopt: self.adopt, ..AdoptionPlan::default() };
        for (place, file) in &self.files {
            match self.settled.remove(place) {
                Some(Word::Taken) => {}
                Some(Word::There) => plan.there.push(place.clone()),
                Some(Word::Left(key, reason)) => {
                    plan.left.push(LeftOut { station: place.0.clone(), path: place.1.clone(), key, reason });
                }
                None if file.origin != Origin::Seen => plan.there.push(place.clone()),
                None => {
                    let text = "no key is known that it was made for: the inputs are not there, or its name does not tell which they are";
                    let reason = Reason::new("no_key", text);
                    plan.left.push(LeftOut { station: place.0.clone(), path: place.1.clone(), key: None, reason });
                }
            }
        }
        plan
    }
}

impl Look<'_> {
    /// Returns the task that would have left a key's outputs, as it stands now, whatever lies there.
    fn as_if_made(&self, standing: &Standing, outputs: Vec<TaskOutput>) -> Result<Task, Stop> {
        use super::reason::Next;
        if let Some((run, since)) = self.facts.running(self.key) {
            return Err((Next::Running, Reason::new("running", format!("run {run} is at it since {since}"))));
        }
        if let (There::Stale, None) = (standing.there, &standing.conflict) {
            let because = standing.because.as_ref().map(|reason| reason.text.clone()).unwrap_or_default();
            return Err((Next::Blocked, Reason::new("stale", format!("the flow made it, and it is stale: {because}"))));
        }
        let not = |text: &str| Err((Next::Blocked, Reason::new("not_adopted", text.to_owned())));
        if matches!(self.step.does, Verb::Move) {
            return not("its step moves files, and its input is still there: the next run finishes that");
        }
        if self.step.edits {
            return not("its step edits its own input: what it did cannot be told from outside");
        }
        self.bad_inputs()?;
        self.condition()?;
        let awaited = self.missing_inputs(standing)?;
        let last = standing.last.as_ref();
        let used = counting(self.step, self.key, &self.gathered, last, self.facts);
        let verb_version = deciding(self.step, self.facts);
        let fields = fields_of(self.key, &self.gathered);
        Ok(Task {
            key: self.key.clone(),
            step_version: self.step.version,
            identity: identity_with(self.step, self.key, &used, verb_version.as_deref()),
            verb_version,
            inputs: self.inputs(),
            outputs,
            previous: Vec::new(),
            with_contributions: Vec::new(),
            parts: Vec::new(),
            awaited,
            fields,
            span: self.key.cell.or_else(|| span_of(&self.gathered.driving)),
            because: "its outputs are there".into(),
            arrived: self.now,
            lane: None,
        })
    }
}
