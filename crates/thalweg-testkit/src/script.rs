//! What happens outside in one history: which files instruments write and when, and what must come of them.
//!
//! All of it follows from the seed. [`Script::allowed`] says which content may ever stand under a final name, and
//! [`Script::expected`] what stands where in the end, computed from the script alone.

use std::collections::BTreeMap;

use thalweg_core::Timestamp;
use thalweg_store::Hasher;

use crate::seed::Chance;

/// The moment at which every history begins.
pub const BEGIN: &str = "2026-01-03T00:00:00Z";

/// One content of a file, as its writer leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// When its writer closes it, seconds after the begin.
    pub at: i64,
    /// The bytes.
    pub content: String,
    /// It is made under another name and renamed.
    pub renamed_in: bool,
    /// Half of it is there this many seconds earlier; 0: it comes at once.
    pub half_before: i64,
}

/// A file that an instrument writes, with all its versions in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// `20260101.0400.sas.raw`: the name without folder and suffix.
    pub stem: String,
    /// Its versions.
    pub versions: Vec<Version>,
}

impl Story {
    /// Returns the path at every station that holds it.
    pub fn path(&self) -> String {
        format!("{}/{}.dat", &self.stem[..8], self.stem)
    }

    fn site(&self) -> &str {
        self.stem.split('.').nth(2).unwrap_or_default()
    }

    fn is_special(&self) -> bool {
        self.stem.ends_with(".iq")
    }

    fn last(&self) -> &str {
        self.versions.last().map_or("", |version| version.content.as_str())
    }
}

/// What happens outside.
#[derive(Debug, Clone)]
pub struct Script {
    /// The files.
    pub stories: Vec<Story>,
    /// How many ledgers share the three stations, 1 to 3.
    pub ledgers: usize,
    /// The flow file.
    pub flow: String,
}

/// Something that an instrument does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It writes the first half of a version and goes on writing.
    Half,
    /// It closes a version.
    Whole,
}

/// The flow of all histories but for what the seed chooses: `READY` is a ready rule.
const FLOW: &str = r#"
flow = "history"
[stations.radar]
root = "/sim/radar"
rescan = "2h"
[stations.site]
root = "/sim/site"
rescan = "2h"
[stations.campus]
root = "/sim/campus"
rescan = "2h"
[products.raw]
path = "{time:%Y%m%d}/{time:%Y%m%d.%H%M}.{site:[a-z]{3}}.{kind:raw|iq}.dat"
span = "2h"
ready = READY
[products.special]
path = "special/{time:%Y%m%d.%H%M}.{site:[a-z]{3}}.{kind:raw|iq}.dat"
span = "2h"
[products.calc]
path = "calc/{time:%Y%m%d.%H%M}.{site:[a-z]{3}}.calc"
span = "2h"
[products.pic]
path = "pics/{time:%Y%m%d.%H%M}.{site:[a-z]{3}}.{n:int}.pic"
span = "2h"
[products.daily]
path = "daily/{time:%Y%m%d}.{site:[a-z]{3}}.txt"
span = "1d"
[steps.to-site]
at = "radar"
takes = "raw"
does = "send"
to = "site"
retry = { times = 1000, wait = "10s..1m" }
[steps.special]
at = "site"
takes = "raw"
if = "kind == 'iq'"
makes = "special"
does = "move"
retry = { times = 1000, wait = "10s..1m" }
[steps.calc]
at = "site"
takes = "raw"
if = "kind == 'raw'"
makes = "calc"
does = { run = ["calc", "{in}", "{out}"] }
retry = { times = 1000, wait = "10s..1m" }
[steps.pics]
at = "site"
takes = "raw"
if = "kind == 'raw'"
needs = ["calc"]
makes = { product = "pic", many = true }
does = { run = ["pics", "{in}", "{out}"] }
retry = { times = 1000, wait = "10s..1m" }
[steps.daily]
at = "site"
takes = "calc"
per = ["site", "1d"]
makes = { product = "daily", update = true }
does = { run = ["daily", "{out}", "{out.previous}", "{in.new}"] }
retry = { times = 1000, wait = "10s..1m" }
[steps.to-campus]
at = "site"
takes = ["calc", "daily"]
does = "send"
to = "campus"
retry = { times = 1000, wait = "10s..1m" }
[keeps.radar-disk]
at = "radar"
products = ["raw"]
delete = "at_once"
only_if = "receipted at site"
[keeps.site-raw]
at = "site"
products = ["raw"]
delete = { older_than = "1d" }
only_if = "calc receipted at campus"
when = { every = "20m" }
[checks.calc]
last_success = "calc"
per = ["site"]
warning = "1h"
when = { every = "10m" }
[checks.late]
latency = "raw"
at = "site"
per = ["kind"]
warning = "6h"
when = { every = "30m" }
"#;

const READY: [&str; 3] =
    ["{ closed = true }", "{ closed = true, quiet = \"20s\" }", "{ renamed = true, closed = true }"];

impl Script {
    /// Makes the script of a seed.
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed).fork(1);
        let ledgers = 1 + chance.index(3);
        let flow = FLOW.replace("READY", READY[chance.index(READY.len())]);
        // Most that can go wrong does so with few files, and the more histories can be lived through.
        let count = 1 + u64::from(chance.one_in(2)) + 2 * u64::from(chance.one_in(8));
        let mut stories: Vec<Story> = Vec::new();
        for _ in 0..count {
            let day = 1 + chance.below(2);
            let hour = 2 * chance.below(12);
            let site = if chance.one_in(3) { "pgr" } else { "sas" };
            let kind = if chance.one_in(5) { "iq" } else { "raw" };
            let stem = format!("202601{day:02}.{hour:02}00.{site}.{kind}");
            if stories.iter().any(|story| story.stem == stem) {
                continue;
            }
            let mut at = 0;
            let mut versions = Vec::new();
            // What was moved away and comes once more under its old name is for a person to decide.
            for n in 0..if kind == "raw" && chance.one_in(4) { 2 } else { 1 } {
                at += i64::try_from(chance.below(2 * 3600)).unwrap_or(0) + if n > 0 { 7200 } else { 0 };
                versions.push(Version {
                    at,
                    content: content(&mut chance, &stem, n),
                    renamed_in: chance.one_in(3),
                    half_before: if chance.one_in(3) { 30 } else { 0 },
                });
            }
            stories.push(Story { stem, versions });
        }
        Self { stories, ledgers, flow }
    }

    /// Returns what instruments do, in order of time: seconds after the begin, story, version, act.
    pub fn acts(&self) -> Vec<(i64, usize, usize, Act)> {
        let mut acts = Vec::new();
        for (s, story) in self.stories.iter().enumerate() {
            for (v, version) in story.versions.iter().enumerate() {
                if version.half_before > 0 && !version.renamed_in {
                    acts.push((version.at - version.half_before, s, v, Act::Half));
                }
                acts.push((version.at, s, v, Act::Whole));
            }
        }
        acts.sort_by_key(|act| (act.0, act.1, act.2, act.3 == Act::Whole));
        acts
    }

    fn story(&self, stem: &str) -> Option<&Story> {
        self.stories.iter().find(|story| story.stem == stem)
    }

    /// Tells if this content may stand under this final name at a station that the flow writes to.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn allowed(&self, path: &str, content: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(content);
        let (folder, name) = path.split_once('/').unwrap_or(("", path));
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let any = |stem: &str, wanted: &dyn Fn(&Version) -> bool| {
            self.story(stem).is_some_and(|story| story.versions.iter().any(wanted))
        };
        let whole = match folder {
            "calc" => any(&format!("{stem}.raw"), &|version| calc(stem, &version.content) == text),
            "pics" => {
                let (key, n) = stem.rsplit_once('.').unwrap_or((stem, ""));
                any(&format!("{key}.raw"), &|version| pic(key, n, &version.content) == text)
            }
            "daily" => return self.daily_allowed(stem, &text),
            _ => any(stem, &|version| version.content == text),
        };
        if whole { Ok(()) } else { Err(format!("{path} holds what no run may have put there: {:?}", short(&text))) }
    }

    fn daily_allowed(&self, stem: &str, text: &str) -> Result<(), String> {
        let mut last = "";
        for line in text.lines() {
            let key = line.split(' ').next().unwrap_or_default();
            let own = key.get(..8) == stem.get(..8) && key.get(14..) == stem.get(9..);
            let whole = self.story(&format!("{key}.raw")).is_some_and(|story| {
                story.versions.iter().any(|version| daily_line(key, &calc(key, &version.content)) == line)
            });
            if !own || !whole || key <= last {
                return Err(format!("daily/{stem}.txt has a line that it may not have: {line:?}"));
            }
            last = line.split(' ').next().unwrap_or_default();
        }
        Ok(())
    }

    /// Returns what stands at each station in the end, `station/path` to content, and paths that may or may not be there.
    pub fn expected(&self) -> (BTreeMap<String, String>, Vec<String>) {
        let mut files = BTreeMap::new();
        let mut free = Vec::new();
        let mut days: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for story in &self.stories {
            let content = story.last();
            if story.versions.iter().any(|version| is_bad(&version.content)) {
                // One that was replaced in time was never put aside.
                free.push(format!("site/quarantine/{}", story.path()));
            }
            let key = story.stem.rsplit_once('.').map_or("", |(key, _)| key);
            if story.is_special() {
                files.insert(format!("site/special/{}.dat", story.stem), content.to_owned());
                // The file goes from its place at the site as soon as it is there; who asks later cannot see it.
                free.push(format!("radar/{}", story.path()));
                // A sender that was killed, or told that it had failed, before it had recorded what it sent sends it once
                // more.
                free.push(format!("site/{}", story.path()));
            } else if is_bad(content) {
                free.retain(|path| !path.starts_with("site/quarantine/") || !path.ends_with(&story.path()));
                files.insert(format!("site/quarantine/{}", story.path()), content.to_owned());
                free.push(format!("radar/{}", story.path()));
                if self.ledgers > 1 {
                    free.push(format!("site/{}", story.path()));
                    free.push(format!("site/quarantine/{}.2", story.path()));
                }
            } else {
                let calc = calc(key, content);
                for station in ["site", "campus"] {
                    files.insert(format!("{station}/calc/{key}.calc"), calc.clone());
                }
                for n in ["0", "1"] {
                    files.insert(format!("site/pics/{key}.{n}.pic"), pic(key, n, content));
                }
                let day = format!("{}.{}", &story.stem[..8], story.site());
                days.entry(day).or_default().push(daily_line(key, &calc));
            }
        }
        for (day, mut lines) in days {
            lines.sort();
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            for station in ["site", "campus"] {
                files.insert(format!("{station}/daily/{day}.txt"), text.clone());
            }
        }
        (files, free)
    }
}

/// Some files have the same content, some are bad; the others differ.
fn content(chance: &mut Chance, stem: &str, version: usize) -> String {
    let filler = "x".repeat(chance.index(200));
    if stem.ends_with(".iq") {
        return format!("samples of {stem}\n{filler}\n");
    }
    match chance.below(8) {
        0 if version == 0 => "the same in many files\n".to_owned(),
        1 if version == 0 => format!("bad {stem}\n{filler}\n"),
        _ => format!("measured {stem} {version}\n{filler}\n"),
    }
}

/// Tells if a verb refuses this content.
pub fn is_bad(content: &str) -> bool {
    content.starts_with("bad ")
}

fn digest(text: &str) -> String {
    let mut hasher = Hasher::new();
    hasher.update(text.as_bytes());
    hasher.digest().to_string().chars().take(20).collect()
}

/// What the verb `calc` makes of a file.
pub fn calc(key: &str, content: &str) -> String {
    format!("calc of {key}\n{}\n", digest(content))
}

/// What the verb `pics` makes of a file.
pub fn pic(key: &str, n: &str, content: &str) -> String {
    format!("picture {n} of {key}\n{}\n", digest(content))
}

/// The line that the verb `daily` writes for a file of `calc`.
pub fn daily_line(key: &str, calc: &str) -> String {
    format!("{key} {}", digest(calc))
}

/// Returns the beginning of a text.
pub fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Returns the moment some seconds after the begin.
pub fn moment(seconds: i64) -> Timestamp {
    let begin: Timestamp = BEGIN.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    begin.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(begin)
}
