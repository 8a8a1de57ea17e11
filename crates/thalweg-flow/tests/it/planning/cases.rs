//! Planning cases: a folder with a flow and a story. At each stage facts change, everything that is ready is done, and
//! what was done and what is left is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thalweg_core::units::parse_duration;
use thalweg_core::{ErrorClass, Fields, TimeRange, Timestamp, Value};
use thalweg_flow::planner::backward::{BackwardPlan, Wanted, plan_backward};
use thalweg_flow::planner::keep::may_delete;
use thalweg_flow::planner::{Facts, FileQuery, FileState, Hold, Listing};
use thalweg_flow::{Flow, InMemory, Settings, Source, parse};

use super::world::{Arrival, Many, World, digest};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    now: Timestamp,
    #[serde(default)]
    about: String,
    /// Texts that the flow file refers to.
    #[serde(default)]
    texts: BTreeMap<String, String>,
    /// How `many` verbs name their outputs, by product.
    #[serde(default)]
    many: BTreeMap<String, ManyRule>,
    /// Fields that are read from what is made, by product.
    #[serde(default)]
    made: BTreeMap<String, BTreeMap<String, toml::Value>>,
    then: Vec<Stage>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ManyRule {
    Split { split: String, to: String },
    Every { every: String },
    Fixed(Vec<BTreeMap<String, toml::Value>>),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Stage {
    say: String,
    now: Option<Timestamp>,
    after: Option<String>,
    /// Nothing is done: what would be is shown.
    look: bool,
    file: Vec<FileRow>,
    change: Vec<Change>,
    /// Digest labels of settings files.
    settings: BTreeMap<String, String>,
    markers: Vec<String>,
    events: Vec<String>,
    /// Texts that replace those of the case; the flow is read anew.
    texts: BTreeMap<String, String>,
    /// Pieces of the flow's text and what stands there from now on.
    edit: Vec<(String, String)>,
    /// Stations whose listing fails, with the reason; empty: it works again.
    silent: BTreeMap<String, String>,
    out_of_reach: BTreeMap<String, String>,
    holds: BTreeMap<String, String>,
    fails: BTreeMap<String, Failing>,
    make: Option<Make>,
    /// Keeps whose files are judged; those that may go do.
    trim: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRow {
    at: String,
    paths: Vec<String>,
    content: Option<String>,
    size: Option<u64>,
    mtime: Option<Timestamp>,
    #[serde(default)]
    fields: BTreeMap<String, toml::Value>,
    covers: Option<(Timestamp, Timestamp)>,
    #[serde(default)]
    open: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    at: String,
    path: String,
    /// `gone`, `withdrawn`, `taken`, `closed`, `put aside: …`, `retired by …`, or `content …`.
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failing {
    class: String,
    message: String,
    retry: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Make {
    product: String,
    from: Timestamp,
    to: Timestamp,
    #[serde(default)]
    rebuild: bool,
    #[serde(default)]
    partial: bool,
    /// The plan is carried out, and made again until nothing is left of it.
    #[serde(default)]
    run: bool,
}

pub(crate) fn flow_of(name: &str, text: &str, texts: &BTreeMap<String, String>) -> Flow {
    let around = InMemory { files: texts.clone(), ..InMemory::default() };
    match parse(&Source::new(name, text), &Settings::default(), &around) {
        Ok(parsed) => parsed.flow,
        Err(problems) => panic!("{}", problems.render(false, 120)),
    }
}

fn value_of(value: &toml::Value) -> Value {
    match value {
        toml::Value::Integer(n) => Value::Int(*n),
        toml::Value::Boolean(b) => Value::Bool(*b),
        toml::Value::String(text) => match text.parse() {
            Ok(at) => Value::Time(at),
            Err(_) => Value::Text(text.clone()),
        },
        other => panic!("{other} is no value of a field"),
    }
}

fn fields_of(fields: &BTreeMap<String, toml::Value>) -> Fields {
    fields.iter().map(|(name, value)| (name.clone(), value_of(value))).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planning")
}

struct Teller {
    world: World,
    texts: BTreeMap<String, String>,
    text: String,
    out: String,
    shown: BTreeSet<String>,
}

impl Teller {
    fn stage(&mut self, stage: &Stage) {
        let now = stage.now.or_else(|| {
            let span = parse_duration(stage.after.as_deref()?).unwrap();
            self.world.facts.now.checked_add(span).ok()
        });
        self.out.push_str(&format!("\n== {} ==\n", stage.say));
        self.conditions(stage);
        if let Some(now) = now {
            self.world.at(now);
        }
        self.out.push_str(&format!("now {}\n", self.world.facts.now));
        for row in &stage.file {
            for path in &row.paths {
                let arrival = Arrival {
                    content: row.content.clone(),
                    size: row.size,
                    mtime: row.mtime,
                    fields: fields_of(&row.fields),
                    covers: row.covers.map(|(from, to)| TimeRange::new(from, to)),
                    open: row.open,
                };
                self.world.arrive(&row.at, path, arrival);
            }
        }
        for change in &stage.change {
            self.change(change);
        }
        if !stage.look {
            self.world.settle();
        }
        self.told();
        if let Some(make) = &stage.make {
            self.make(make);
        }
        for keep in &stage.trim {
            self.trim(keep);
        }
        self.out.push_str("--\n");
        // What is as it was is not told again.
        let table: BTreeSet<String> = self.world.table().lines().map(str::to_owned).collect();
        for line in table.difference(&self.shown) {
            self.out.push_str(line);
            self.out.push('\n');
        }
        let same = table.intersection(&self.shown).count();
        if same > 0 {
            self.out.push_str(&format!("({same} as before)\n"));
        }
        self.shown = table;
    }

    fn told(&mut self) {
        for line in std::mem::take(&mut self.world.story) {
            self.out.push_str(&line);
            self.out.push('\n');
        }
    }

    fn conditions(&mut self, stage: &Stage) {
        for (path, label) in &stage.settings {
            self.world.facts.settings.insert(path.clone(), digest(&[label]));
        }
        self.world.facts.markers.extend(stage.markers.iter().cloned());
        self.world.facts.events.extend(stage.events.iter().cloned());
        if !stage.texts.is_empty() || !stage.edit.is_empty() {
            self.texts.extend(stage.texts.clone());
            for (from, to) in &stage.edit {
                assert!(self.text.contains(from), "the flow says nowhere {from:?}");
                self.text = self.text.replace(from, to);
            }
            self.world.flow = flow_of("flow.toml", &self.text, &self.texts);
        }
        for (station, why) in &stage.silent {
            if why.is_empty() {
                self.world.facts.listings.remove(station);
            } else {
                let listing = Listing { last_ok: Some(self.world.facts.now), failing: Some(why.clone()) };
                self.world.facts.listings.insert(station.clone(), listing);
            }
        }
        for (station, why) in &stage.out_of_reach {
            if why.is_empty() {
                self.world.facts.out_of_reach.remove(station);
            } else {
                self.world.facts.out_of_reach.insert(station.clone(), why.clone());
            }
        }
        for (name, why) in &stage.holds {
            if why.is_empty() {
                self.world.facts.holds.remove(name);
            } else {
                let hold = Hold {
                    kind: "hold".into(),
                    by: "ops".into(),
                    why: why.clone(),
                    since: self.world.facts.now,
                    condition: None,
                };
                self.world.facts.holds.insert(name.clone(), hold);
            }
        }
        for (step, failing) in &stage.fails {
            if failing.class.is_empty() {
                self.world.failing.remove(step);
            } else {
                let class = ErrorClass::from_word(&failing.class).unwrap();
                let retry = failing.retry.as_deref().map(|span| parse_duration(span).unwrap());
                self.world.failing.insert(step.clone(), (class, failing.message.clone(), retry));
            }
        }
    }

    fn change(&mut self, change: &Change) {
        let at = self.world.facts.now;
        let state = match change.to.as_str() {
            "gone" => FileState::Gone { at },
            "withdrawn" => FileState::Withdrawn,
            "taken" => FileState::Taken,
            "closed" => {
                return self
                    .world
                    .change(&change.at, &change.path, |file| file.evidence = thalweg_flow::planner::Evidence::Closed);
            }
            other => {
                if let Some(why) = other.strip_prefix("put aside: ") {
                    FileState::Quarantined { why: why.to_owned() }
                } else if let Some(by) = other.strip_prefix("retired by ") {
                    FileState::Retired { by: by.to_owned(), at }
                } else {
                    panic!("{other:?} is no change")
                }
            }
        };
        self.world.state(&change.at, &change.path, state);
    }

    fn make(&mut self, make: &Make) {
        let wanted = Wanted {
            product: make.product.clone(),
            span: TimeRange::new(make.from, make.to),
            rebuild: make.rebuild,
            partial: make.partial,
        };
        let how = [(make.rebuild, " --rebuild"), (make.partial, " --partial")];
        let how: String = how.iter().filter(|(on, _)| *on).map(|(_, text)| *text).collect();
        self.out.push_str(&format!("make {} {}{how}\n", make.product, wanted.span));
        let mut made = BTreeSet::new();
        for _ in 0..100 {
            for key in self.world.keys() {
                self.world.facts.keys.insert(thalweg_flow::planner::memory::MemoryFacts::name_of(&key), key);
            }
            let plan = plan_backward(&self.world.flow, &wanted, &made, &self.world.facts);
            self.plan(&plan);
            if !make.run || plan.ready.is_empty() {
                return;
            }
            for task in &plan.ready {
                self.world.run(task);
                made.insert(task.key.clone());
            }
            self.told();
        }
        panic!("the plan is never carried out");
    }

    fn plan(&mut self, plan: &BackwardPlan) {
        for task in &plan.ready {
            let inputs: Vec<String> = task.inputs.iter().map(|input| input.path.to_string()).collect();
            let without =
                if task.awaited.is_empty() { String::new() } else { format!(" without {}", task.awaited.join(", ")) };
            self.out.push_str(&format!("  now {} from {}{without}\n", task.key, inputs.join(", ")));
        }
        for later in &plan.later {
            self.out.push_str(&format!("  later {}: {}\n", later.key, later.after));
        }
        for key in &plan.there {
            self.out.push_str(&format!("  there {key}\n"));
        }
        for missing in &plan.missing {
            self.out.push_str(&format!(
                "  not {} | {}: {}: {}\n",
                missing.key, missing.there, missing.next, missing.reason.text
            ));
        }
        for source in &plan.sources {
            self.out.push_str(&format!(
                "  no {} at {} for {}\n",
                source.product,
                source.stations.join(", "),
                source.span
            ));
        }
    }

    fn trim(&mut self, name: &str) {
        let keep = self.world.flow.keeps[name].clone();
        for station in &keep.at {
            for product in &keep.products {
                let query = FileQuery { station: Some(station), product, fields: Vec::new(), overlapping: None };
                for file in self.world.facts.files(&query) {
                    if !matches!(file.state, FileState::Present | FileState::Settling) {
                        continue;
                    }
                    let place = format!("{}/{}", file.station, file.path);
                    match may_delete(&self.world.flow, &keep, &file, &self.world.facts) {
                        Ok(proofs) => {
                            let proofs: Vec<String> = proofs
                                .iter()
                                .map(|proof| match &proof.path {
                                    Some(path) => format!("{}/{path}", proof.station),
                                    None => format!("{} had {}({})", proof.station, proof.product, proof.identity),
                                })
                                .collect();
                            self.out.push_str(&format!(
                                "trim {place}: may go{}{}\n",
                                if proofs.is_empty() { "" } else { ": " },
                                proofs.join(", ")
                            ));
                            let at = self.world.facts.now;
                            self.world.change(&file.station, file.path.as_str(), |file| {
                                file.state = FileState::Retired { by: format!("keep {name}"), at };
                            });
                        }
                        Err(reason) => {
                            let until = reason.until.map(|until| format!(" [until {until}]")).unwrap_or_default();
                            self.out.push_str(&format!("trim {place}: stays: {}{until}\n", reason.text));
                        }
                    }
                }
            }
        }
    }
}

#[rstest::rstest]
fn stories_end_as_written(#[files("tests/planning/*/case.toml")] path: PathBuf) {
    let name = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let out = tell(&name);
    insta::with_settings!({ snapshot_path => folder(), prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name.as_str(), out);
    });
}

fn tell(name: &str) -> String {
    let folder = folder().join(name);
    let text = std::fs::read_to_string(folder.join("flow.toml")).unwrap();
    let case = std::fs::read_to_string(folder.join("case.toml")).unwrap();
    let case: Case = toml::from_str(&case).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut world = World::new(flow_of(name, &text, &case.texts), case.now);
    world.watch_touched = true;
    for (product, rule) in &case.many {
        let many = match rule {
            ManyRule::Split { split, to } => Many::Split { from: split.clone(), to: to.clone() },
            ManyRule::Every { every } => Many::Every(parse_duration(every).unwrap()),
            ManyRule::Fixed(list) => Many::Fixed(list.iter().map(fields_of).collect()),
        };
        world.many.insert(product.clone(), many);
    }
    for (product, fields) in &case.made {
        world.made.insert(product.clone(), fields_of(fields));
    }
    let mut teller =
        Teller { world, texts: case.texts, text, shown: BTreeSet::new(), out: format!("{}\n", case.about.trim()) };
    for stage in &case.then {
        teller.stage(stage);
    }
    let again = teller.world.clone();
    if !case.then.last().is_some_and(|stage| stage.look) {
        // Running twice is running once.
        let mut again = again;
        again.settle();
        assert!(again.story.is_empty(), "a second run did {}", again.story.join("\n"));
    }
    teller.out
}
