//! A world for the planner to work in: files arrive, time moves, tasks are done by a make-believe engine whose verbs
//! write contents that depend on nothing but their inputs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use thalweg_core::pattern::{Pattern, PatternEnv};
use thalweg_core::{ContentHash, ErrorClass, Fields, RelPath, TimeRange, Timestamp, Value};
use thalweg_flow::planner::keys::keys_of_step;
use thalweg_flow::planner::memory::MemoryFacts;
use thalweg_flow::planner::{
    Contribution, DoneRun, Evaluation, Evidence, Facts, FailedRun, FileFact, FileState, KeyId, LeftFile, Next,
    Occasion, Origin, Readiness, Round, Task, TaskInput, UsedFile, coverage_of, dispatch, due_round, evaluate,
    identity_of_file, readiness, requirement, touched, touched_by_run,
};
use thalweg_flow::{Flow, Product, Verb, When};

/// How a `many` verb names its outputs.
#[derive(Debug, Clone)]
pub(crate) enum Many {
    /// One for each part of a field of each input, parts divided by `+`, as another field.
    Split { from: String, to: String },
    /// One for each so long of the key's span, by the product's time field.
    Every(SignedDuration),
    /// These.
    Fixed(Vec<Fields>),
}

/// A file as it arrives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrival {
    pub(crate) content: Option<String>,
    pub(crate) size: Option<u64>,
    pub(crate) mtime: Option<Timestamp>,
    pub(crate) fields: Fields,
    pub(crate) covers: Option<TimeRange>,
    pub(crate) open: bool,
}

#[derive(Debug, Clone)]
struct Inside {
    hash: ContentHash,
    fields: Fields,
    covers: Option<TimeRange>,
}

/// Station, product, path and fields of an output, whether it is built up, and what of the inputs is in it.
type Written = (String, String, RelPath, Fields, bool, Option<BTreeSet<ContentHash>>);

/// Facts and what makes them change.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) flow: Flow,
    pub(crate) facts: MemoryFacts,
    pub(crate) many: BTreeMap<String, Many>,
    /// Fields that are read from what is made of a product.
    pub(crate) made: BTreeMap<String, Fields>,
    /// Runs of these steps fail: class, message, when the next try is due.
    pub(crate) failing: BTreeMap<String, (ErrorClass, String, Option<SignedDuration>)>,
    /// What happened since it was last asked for.
    pub(crate) story: Vec<String>,
    /// After each change, keys that were not touched are compared with what they were.
    pub(crate) watch_touched: bool,
    /// What an `update` file holds: the inputs worked into it.
    pub(crate) holds: BTreeMap<ContentHash, BTreeSet<ContentHash>>,
    inside: BTreeMap<(String, RelPath), Inside>,
    changed: Vec<FileFact>,
    known: BTreeMap<KeyId, String>,
    ids: i64,
}

pub(crate) fn digest(parts: &[&str]) -> ContentHash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    ContentHash(*hasher.finalize().as_bytes())
}

fn named(key: &KeyId) -> String {
    MemoryFacts::name_of(key)
}

impl World {
    pub(crate) fn new(flow: Flow, now: Timestamp) -> Self {
        let mut facts = MemoryFacts { now, ..MemoryFacts::default() };
        for step in flow.steps.values().filter(|step| matches!(step.when, When::Cron { .. })) {
            for at in &step.at {
                facts.rounds.insert(format!("{} {at}", step.name), Round { last: Some(now), open: None });
            }
        }
        Self {
            flow,
            facts,
            many: BTreeMap::new(),
            made: BTreeMap::new(),
            failing: BTreeMap::new(),
            story: Vec::new(),
            watch_touched: false,
            holds: BTreeMap::new(),
            inside: BTreeMap::new(),
            changed: Vec::new(),
            known: BTreeMap::new(),
            ids: 0,
        }
    }

    /// Finds the product of a path; by its name alone where a station keeps names as they come.
    pub(crate) fn classify(&self, station: &str, path: &RelPath) -> Option<(String, Fields)> {
        let env = PatternEnv { tables: &self.flow.tables };
        let at_station = |product: &&Product| {
            self.flow.steps.values().any(|step| {
                let takes = step.takes.contains(&product.name);
                let makes = step.makes.iter().any(|make| make.product == product.name);
                let at = |names: &[String]| names.iter().any(|name| name == station);
                (takes && (at(&step.at) || at(&step.from) || at(&step.to)))
                    || (makes && (at(&step.at) || at(&step.to)))
                    || step.with.values().any(|with| matches!(&with.what, thalweg_flow::WithWhat::Product { product: of, from, .. } if *of == product.name && (at(from) || (from.is_empty() && at(&step.at)))))
            })
        };
        for product in self.flow.products.values().filter(at_station) {
            let pattern = product.pattern_at(station);
            if let Ok(mut fields) = pattern.matches(path, &env) {
                if pattern.uses_file_name() {
                    let last = product.path.as_str().rsplit('/').next().unwrap_or_default();
                    let mut types = product.types.clone();
                    let own = Pattern::parse(last, &mut types).ok();
                    let Some(more) = own.and_then(|own| own.matches(&RelPath::from_text(path.file_name()), &env).ok())
                    else {
                        continue;
                    };
                    fields.extend(more);
                }
                return Some((product.name.clone(), fields));
            }
        }
        None
    }

    /// A file appears, or appears anew with another content.
    pub(crate) fn arrive(&mut self, station: &str, path: &str, arrival: Arrival) {
        let path = RelPath::from_text(path);
        let Some((product, fields)) = self.classify(station, &path) else { panic!("{station}/{path} is no product's") };
        let definition = &self.flow.products[&product];
        let now = self.facts.now;
        let label = arrival.content.clone().unwrap_or_else(|| path.file_name().to_owned());
        let inside = Inside { hash: digest(&[&label]), fields: arrival.fields, covers: arrival.covers };
        let old = self.facts.files.iter().position(|file| file.station == station && file.path == path);
        let id = old.map_or_else(
            || {
                self.ids += 1;
                self.ids
            },
            |n| self.facts.files[n].id,
        );
        let file = FileFact {
            id,
            station: station.to_owned(),
            identity: identity_of_file(definition, &fields),
            coverage: coverage_of(definition, &fields, None),
            product,
            path: path.clone(),
            fields,
            size: arrival.size.unwrap_or(1000),
            mtime: arrival.mtime.unwrap_or(now),
            hash: None,
            arrived: now,
            unchanged_since: now,
            evidence: if arrival.open { Evidence::None } else { Evidence::MovedIn },
            state: FileState::Settling,
            origin: Origin::Seen,
        };
        self.inside.insert((station.to_owned(), path), inside);
        self.put(file);
        self.look();
    }

    // What all keys were like before the first of several changes.
    fn snapshot(&mut self) {
        if self.watch_touched && self.known.is_empty() {
            self.known = self
                .keys()
                .into_iter()
                .map(|key| {
                    let text = self.text_of(&key);
                    (key, text)
                })
                .collect();
        }
    }

    fn put(&mut self, file: FileFact) {
        self.snapshot();
        let same = |other: &&mut FileFact| other.station == file.station && other.path == file.path;
        match self.facts.files.iter_mut().find(same) {
            Some(old) => *old = file.clone(),
            None => self.facts.files.push(file.clone()),
        }
        self.changed.push(file);
    }

    /// Changes a file by hand.
    pub(crate) fn change(&mut self, station: &str, path: &str, how: impl FnOnce(&mut FileFact)) {
        let found = self.facts.file_at(station, &RelPath::from_text(path));
        let Some(mut file) = found else { panic!("{station}/{path} is not there") };
        how(&mut file);
        self.put(file);
        self.look();
    }

    pub(crate) fn state(&mut self, station: &str, path: &str, state: FileState) {
        self.change(station, path, |file| file.state = state);
    }

    pub(crate) fn at(&mut self, now: Timestamp) {
        self.facts.now = now;
        self.known.clear();
        self.read();
    }

    pub(crate) fn after(&mut self, span: SignedDuration) {
        self.at(self.facts.now.checked_add(span).unwrap());
    }

    /// What is ready is read and recorded, as the engine does it.
    fn read(&mut self) {
        loop {
            let settling = self.facts.files.iter().find(|file| {
                file.state == FileState::Settling
                    && self.inside.contains_key(&(file.station.clone(), file.path.clone()))
                    && readiness(&self.flow.products[&file.product], file, &self.facts) == Readiness::Yes
            });
            let Some(mut file) = settling.cloned() else { break };
            let inside = self.inside[&(file.station.clone(), file.path.clone())].clone();
            file.hash = Some(inside.hash);
            file.fields.extend(inside.fields);
            file.coverage = inside.covers.or(file.coverage);
            file.state = FileState::Present;
            let product = &self.flow.products[&file.product];
            if let Err(why) = requirement(&self.flow, product, &file, self.facts.now) {
                self.story.push(format!("put aside: {}/{}: {why}", file.station, file.path));
                file.state = FileState::Quarantined { why };
            }
            self.put(file);
            self.settle_touched();
        }
    }

    /// Everything that follows at once from what changed: reading, and keys that are looked at again.
    pub(crate) fn look(&mut self) {
        self.settle_touched();
        self.read();
    }

    fn text_of(&self, key: &KeyId) -> String {
        let e = evaluate(&self.flow, key, &self.facts, Occasion::default());
        format!("{} {} {:?} {:?}", e.there, e.next, e.reason, e.task.map(|task| task.identity))
    }

    fn settle_touched(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        if !self.watch_touched || changed.is_empty() {
            return;
        }
        let mut keys = BTreeSet::new();
        for file in &changed {
            keys.extend(touched(&self.flow, file, &self.facts));
        }
        self.compare(
            &keys,
            &format!("{:?}", changed.iter().map(|f| format!("{}/{}", f.station, f.path)).collect::<Vec<_>>()),
        );
    }

    // Keys that nobody said were touched must be as they were.
    fn compare(&mut self, touched: &BTreeSet<KeyId>, what: &str) {
        for key in touched {
            self.remember(key);
        }
        for key in self.keys() {
            let text = self.text_of(&key);
            let old = self.known.insert(key.clone(), text.clone());
            if touched.contains(&key) {
                continue;
            }
            assert_eq!(old.as_deref(), Some(text.as_str()), "{key} was not touched by {what}");
        }
    }

    // What the ledger keeps of a key that was looked at.
    fn remember(&mut self, key: &KeyId) {
        let evaluation = evaluate(&self.flow, key, &self.facts, Occasion::default());
        let by_itself = !matches!(evaluation.reason.code.as_str(), "window" | "asked");
        let open = !evaluation.next.is_finished() && by_itself;
        let name = named(key);
        self.facts.open.retain(|other| other != key);
        if open {
            self.facts.open.push(key.clone());
            self.facts.opened.entry(name.clone()).or_insert(self.facts.now);
        }
        self.facts.keys.insert(name, key.clone());
    }

    /// All keys: of the files there are, of the moments, and those that were known before.
    pub(crate) fn keys(&self) -> BTreeSet<KeyId> {
        let mut keys: BTreeSet<KeyId> = self.facts.keys.values().cloned().collect();
        for step in self.flow.steps.values() {
            keys.extend(keys_of_step(&self.flow, step, None, &self.facts));
        }
        keys
    }

    pub(crate) fn evaluations(&self) -> Vec<Evaluation> {
        self.keys().iter().map(|key| evaluate(&self.flow, key, &self.facts, Occasion::default())).collect()
    }

    pub(crate) fn ready(&self) -> Vec<Task> {
        self.evaluations().into_iter().filter_map(|e| e.task.map(|task| *task)).collect()
    }

    /// Opens the rounds that are due.
    pub(crate) fn open_rounds(&mut self) -> bool {
        let mut opened = false;
        for step in self.flow.steps.values() {
            for at in &step.at {
                let name = format!("{} {at}", step.name);
                let round = self.facts.rounds.get(&name).copied().unwrap_or_default();
                if round.open.is_none()
                    && let Some(moment) = due_round(step, at, &self.facts)
                {
                    self.facts.rounds.insert(name, Round { open: Some(moment), ..round });
                    opened = true;
                }
            }
        }
        self.known.clear();
        opened
    }

    pub(crate) fn close_rounds(&mut self) {
        for round in self.facts.rounds.values_mut() {
            if let Some(moment) = round.open.take() {
                round.last = Some(moment);
            }
        }
        self.known.clear();
    }

    /// Looks at all keys and does every ready task, in the order of the dispatcher, until nothing is ready.
    pub(crate) fn settle(&mut self) {
        self.settle_by(&mut |flow, tasks| {
            let tasks: Vec<&Task> = tasks.iter().collect();
            dispatch::order(flow, &tasks)[0]
        });
    }

    /// The same with a choice of what goes first.
    pub(crate) fn settle_by(&mut self, choose: &mut dyn FnMut(&Flow, &[Task]) -> usize) {
        self.open_rounds();
        for _ in 0..5000 {
            self.look();
            for key in self.keys() {
                self.remember(&key);
            }
            let tasks = self.ready();
            if tasks.is_empty() {
                self.close_rounds();
                return;
            }
            let n = choose(&self.flow, &tasks);
            self.run(&tasks[n]);
        }
        panic!("it does not come to rest:\n{}", self.story.join("\n"));
    }

    /// Carries out a task.
    pub(crate) fn run(&mut self, task: &Task) {
        let step = self.flow.steps[&task.key.step].clone();
        let name = named(&task.key);
        let now = self.facts.now;
        self.ids += 1;
        let run = self.ids;
        if let Some((class, message, retry)) = self.failing.get(&step.name).cloned() {
            let attempts = self.facts.failed.get(&name).map_or(0, |failed| failed.attempts) + 1;
            let retry_at = retry.map(|span| now.checked_add(span).unwrap());
            self.story.push(format!("{name} failed: {message}"));
            self.facts
                .failed
                .insert(name, FailedRun { run, identity: task.identity, class, message, attempts, retry_at });
            self.known.clear();
            return;
        }
        self.snapshot();
        let before = self.clone();
        let outputs = if matches!(step.does, Verb::Send | Verb::Fetch) { self.carry(task) } else { self.make(task) };
        let foreign = outputs.iter().find(|left| {
            before
                .facts
                .file_at(&left.station, &left.path)
                .is_some_and(|old| old.origin == Origin::Seen && old.is_usable() && old.hash != Some(left.hash))
        });
        if let Some(foreign) = foreign {
            // Nobody's file is overwritten: the run is refused.
            let message = format!("{} is there and was not made by this flow", foreign.path);
            *self = before;
            let failed = FailedRun {
                run,
                identity: task.identity,
                class: ErrorClass::Refused,
                message,
                attempts: 1,
                retry_at: None,
            };
            self.facts.failed.insert(name, failed);
            self.known.clear();
            return;
        }
        let because = &task.because;
        let shown: Vec<String> = task
            .inputs
            .iter()
            .map(|input| {
                let role = if input.role.is_empty() { String::new() } else { format!("{}: ", input.role) };
                let note = match (input.new, input.counts || !input.role.is_empty()) {
                    (_, false) => " (another key's)",
                    (false, _) => " (held already)",
                    _ => "",
                };
                format!("{role}{}{note}", input.path)
            })
            .collect();
        let mut text = format!("{name}\n    because {because}\n    from {}", shown.join(", "));
        for previous in &task.previous {
            text.push_str(&format!("\n    onto {}", previous.file.path));
        }
        if !task.with_contributions.is_empty() {
            let parts: Vec<_> = task.with_contributions.iter().map(|part| part.key.clone()).collect();
            text.push_str(&format!("\n    with the parts of {}", parts.join(", ")));
        }
        if !task.awaited.is_empty() {
            text.push_str(&format!("\n    without {}", task.awaited.join(", ")));
        }
        for output in &outputs {
            text.push_str(&format!("\n    left {}/{} {}", output.station, output.path, &output.hash.short()[..6]));
        }
        self.story.push(text);
        if let Some(last) = self.facts.done.get(&name).filter(|_| !step.updates()) {
            let counted = |used: &&UsedFile| {
                step.with.get(&used.role).is_none_or(|with| with.late == thalweg_flow::Late::Upgrade)
            };
            let before: Vec<UsedFile> = last.inputs.iter().filter(counted).cloned().collect();
            self.not_poorer(&name, &before, &task.used());
        }
        self.facts.failed.remove(&name);
        self.facts.keys.insert(name.clone(), task.key.clone());
        self.facts.done.insert(
            name,
            DoneRun {
                run,
                identity: task.identity,
                step_version: task.step_version,
                partial: !task.awaited.is_empty(),
                awaited: task.awaited.clone(),
                inputs: task.used(),
                outputs,
                ended: now,
                verb_version: task.verb_version.clone(),
            },
        );
        if matches!(step.does, Verb::Move) {
            for input in task.inputs.iter().filter(|input| input.role.is_empty()) {
                let mut file = self.facts.file_at(&input.station, &input.path).unwrap();
                file.state = FileState::Retired { by: format!("step {}", step.name), at: now };
                self.put(file);
            }
        }
        let changed = std::mem::take(&mut self.changed);
        if self.watch_touched {
            let driving: Vec<FileFact> = task
                .inputs
                .iter()
                .filter(|i| i.role.is_empty())
                .flat_map(|i| self.facts.files_of(&i.station, &i.product, &i.identity))
                .collect();
            let mut keys = touched_by_run(&self.flow, &task.key, &driving);
            for file in &changed {
                keys.extend(touched(&self.flow, file, &self.facts));
            }
            self.compare(&keys, &format!("the run of {}", task.key));
        }
    }

    // Nothing is remade from fewer inputs than before, unless one was revoked.
    fn not_poorer(&self, name: &str, before: &[UsedFile], now: &[UsedFile]) {
        for old in before.iter().filter(|old| !old.product.is_empty()) {
            let still = now
                .iter()
                .any(|used| used.role == old.role && used.product == old.product && used.identity == old.identity);
            let revoked = self
                .facts
                .files
                .iter()
                .any(|file| file.product == old.product && file.identity == old.identity && file.is_revoked());
            assert!(still || revoked, "{name} was made again without {}({})", old.product, old.identity);
        }
    }

    fn left(&mut self, like: FileFact) -> LeftFile {
        let file = LeftFile {
            station: like.station.clone(),
            product: like.product.clone(),
            identity: like.identity.clone(),
            path: like.path.clone(),
            hash: like.hash.unwrap(),
        };
        self.inside.remove(&(like.station.clone(), like.path.clone()));
        let same = self.facts.file_at(&like.station, &like.path).filter(|old| old.is_usable() && old.hash == like.hash);
        // An equal output is no new version.
        let arrived = same.map_or(like.arrived, |old| old.arrived);
        self.put(FileFact { arrived, ..like });
        file
    }

    fn new_file(
        &mut self,
        station: &str,
        product: &str,
        path: RelPath,
        fields: Fields,
        hash: ContentHash,
        origin: Origin,
    ) -> FileFact {
        let definition = &self.flow.products[product];
        let now = self.facts.now;
        let id = self.facts.file_at(station, &path).map(|file| file.id);
        let mut fields = fields;
        fields.extend(self.made.get(product).cloned().unwrap_or_default());
        FileFact {
            id: id.unwrap_or_else(|| {
                self.ids += 1;
                self.ids
            }),
            station: station.to_owned(),
            product: product.to_owned(),
            identity: identity_of_file(definition, &fields),
            coverage: coverage_of(definition, &fields, None),
            path,
            fields,
            size: 1000,
            mtime: now,
            hash: Some(hash),
            arrived: now,
            unchanged_since: now,
            evidence: Evidence::Closed,
            state: FileState::Present,
            origin,
        }
    }

    fn carry(&mut self, task: &Task) -> Vec<LeftFile> {
        let mut left = Vec::new();
        for output in &task.outputs {
            let definition = &self.flow.products[&output.product];
            let identity = identity_of_file(definition, &output.fields);
            let input = task.inputs.iter().find(|i| i.product == output.product && i.identity == identity).unwrap();
            let (hash, coverage) = (input.hash, input.coverage);
            let file = self.new_file(
                &output.station,
                &output.product,
                output.path.clone().unwrap(),
                output.fields.clone(),
                hash,
                Origin::Delivered,
            );
            left.push(self.left(FileFact { coverage, ..file }));
        }
        left
    }

    // A verb's output: by its inputs and its own fields, and the version of the step.
    fn make(&mut self, task: &Task) -> Vec<LeftFile> {
        let mut outputs: Vec<Written> = Vec::new();
        for output in &task.outputs {
            match &output.path {
                Some(path) => outputs.push((
                    output.station.clone(),
                    output.product.clone(),
                    path.clone(),
                    output.fields.clone(),
                    output.update,
                    None,
                )),
                None => {
                    for (fields, from) in self.many(task, &output.product, &output.fields) {
                        let env = PatternEnv { tables: &self.flow.tables };
                        let path = self.flow.products[&output.product]
                            .pattern_at(&output.station)
                            .format(&fields, &env, None)
                            .unwrap();
                        let known = outputs
                            .iter_mut()
                            .find(|(station, _, other, ..)| *station == output.station && *other == path);
                        match known {
                            Some((.., Some(set))) => set.extend(from),
                            _ => outputs.push((
                                output.station.clone(),
                                output.product.clone(),
                                path,
                                fields,
                                output.update,
                                Some(from),
                            )),
                        }
                    }
                }
            }
        }
        let mut left = Vec::new();
        for (station, product, path, fields, update, from) in outputs {
            let all = || task.inputs.iter().filter(|input| input.new).map(|input| input.hash).collect::<BTreeSet<_>>();
            let mut content = from.unwrap_or_else(all);
            let mut parts = Vec::new();
            if update {
                parts = self.update(task, &station, &path, &mut content);
            }
            let texts: Vec<String> = content.iter().map(ToString::to_string).collect();
            let mut seed: Vec<&str> = vec![product.as_str(), path.as_str()];
            seed.extend(texts.iter().map(String::as_str));
            let version = format!("version {}", task.step_version);
            if !update {
                seed.push(&version);
            }
            let hash = digest(&seed);
            let file = self.new_file(&station, &product, path, fields, hash, Origin::Made);
            if update {
                self.holds.insert(hash, content);
                self.facts.contributions.insert(format!("{product}({}) {hash}", file.identity), parts);
            }
            left.push(self.left(file));
        }
        left
    }

    // The verb works what is new onto the earlier version, which it is given by the task or found by the engine; the
    // ledger records whose parts are in.
    fn update(
        &mut self,
        task: &Task,
        station: &str,
        path: &RelPath,
        content: &mut BTreeSet<ContentHash>,
    ) -> Vec<Contribution> {
        let given =
            task.previous.iter().find(|previous| previous.file.station == station && previous.file.path == *path);
        let afresh = given.is_none() && task.inputs.iter().any(|input| input.role.is_empty() && !input.counts);
        let standing = self.facts.file_at(station, path).filter(FileFact::is_usable);
        let unasked =
            self.facts.last_done(&task.key).is_none_or(|last| !last.outputs.iter().any(|left| left.path == *path));
        let previous = match given {
            Some(previous) => Some(previous.file.clone()),
            None => standing.filter(|_| !afresh && unasked),
        };
        let own = Contribution {
            step: task.key.step.clone(),
            step_version: task.step_version,
            key: task.key.text(),
            identity: task.identity,
            inputs: task.used(),
            verb_version: task.verb_version.clone(),
        };
        let mut parts = vec![own];
        let (product, fields) = self.classify(station, path).unwrap();
        let identity = identity_of_file(&self.flow.products[&product], &fields);
        let belongs = |part: &&Contribution| task.belongs(part, station, &product, &identity);
        parts.extend(task.with_contributions.iter().filter(belongs).cloned());
        if let Some(file) = previous {
            let hash = file.hash.unwrap();
            content.extend(self.holds.get(&hash).into_iter().flatten().copied());
            for part in self.facts.contributions(&file.product, &file.identity, &hash) {
                if !parts.iter().any(|other| other.step == part.step && other.key == part.key) {
                    parts.push(part);
                }
            }
        }
        parts
    }

    fn many(&self, task: &Task, product: &str, fields: &Fields) -> Vec<(Fields, BTreeSet<ContentHash>)> {
        let all = || task.inputs.iter().map(|input| input.hash).collect::<BTreeSet<_>>();
        let definition = &self.flow.products[product];
        match self.many.get(product) {
            Some(Many::Split { from, to }) => {
                let parts = |input: &TaskInput| input.fields.get(from).map(ToString::to_string).unwrap_or_default();
                let mut outputs = Vec::new();
                for input in task.inputs.iter().filter(|input| input.role.is_empty() && input.new) {
                    for part in parts(input).split('+') {
                        let mut own = fields.clone();
                        own.retain(|name, _| definition.types.contains_key(name));
                        own.insert(to.clone(), Value::Text(part.to_owned()));
                        outputs.push((own, BTreeSet::from([input.hash])));
                    }
                }
                outputs
            }
            Some(Many::Every(length)) => {
                let span = task.span.unwrap();
                let name = definition.time_field.clone().unwrap();
                let mut at = span.start;
                let mut outputs = Vec::new();
                while at < span.end {
                    let mut own = fields.clone();
                    own.insert(name.clone(), Value::Time(at));
                    outputs.push((own, all()));
                    at = at.checked_add(*length).unwrap();
                }
                outputs
            }
            Some(Many::Fixed(list)) => list
                .iter()
                .map(|more| {
                    let mut own = fields.clone();
                    own.extend(more.clone());
                    (own, all())
                })
                .collect(),
            None => panic!("nothing says how {product} is named"),
        }
    }

    /// Every present file as `station/path content`, for comparing ends of stories.
    pub(crate) fn end(&self) -> BTreeMap<String, String> {
        self.facts
            .files
            .iter()
            .filter(|file| file.is_usable())
            .map(|file| (format!("{}/{}", file.station, file.path), file.hash.unwrap().short()))
            .collect()
    }

    /// What is there and what comes next, for every key.
    pub(crate) fn words(&self) -> BTreeMap<String, String> {
        self.evaluations().into_iter().map(|e| (named(&e.key), format!("{} {}", e.there, e.next))).collect()
    }

    pub(crate) fn next_of(&self, step: &str, part: &str) -> Evaluation {
        let mut found = self.evaluations().into_iter().filter(|e| e.key.step == step && e.key.text().contains(part));
        let Some(first) = found.next() else { panic!("no key of {step} holds {part}:\n{}", self.table()) };
        assert!(found.next().is_none(), "several keys of {step} hold {part}");
        first
    }

    /// What the planner says of every key that is not simply done.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        let mut done: BTreeMap<String, usize> = BTreeMap::new();
        for e in self.evaluations() {
            if e.next == Next::Nothing && e.there == thalweg_flow::planner::There::Done {
                *done.entry(e.key.step.clone()).or_default() += 1;
                continue;
            }
            let until = e.reason.until.map(|until| format!(" [until {until}]")).unwrap_or_default();
            text.push_str(&format!("{} | {}: {}: {}{until}\n", named(&e.key), e.there, e.next, e.reason.text));
        }
        for (step, count) in done {
            text.push_str(&format!("{step}: {count} done\n"));
        }
        text
    }
}
