//! Facts about a million files, indexed by product and start as a ledger has them, that count what they are asked.

use std::cell::Cell;
use std::collections::BTreeMap;

use jiff::SignedDuration;
use thalweg_core::{ContentHash, RelPath, TimeRange, Timestamp, Value};
use thalweg_flow::planner::{
    Contribution, DoneRun, Evidence, Facts, FailedRun, FileFact, FileQuery, FileState, Hold, KeyId, Listing, Origin,
    Round, UsedFile, coverage_of, identity_of_file,
};
use thalweg_flow::{Flow, InMemory, Settings, Source, parse};

/// A relay of two products matched by site and time, and sets of files that hold back the newest.
pub(crate) const FLOW: &str = r#"
flow = "million"
[stations]
archive = { root = "/archive" }
relay = { root = "/relay" }
radar = { root = "/radar" }
site = { root = "/site" }
[products.trend]
path = "trend/{site:H|L}-{gps:gps}-3600.gwf"
span = "1h"
[products.dmt]
path = "dmt/{site:H|L}-{gps:gps}-3600.gwf"
span = "1h"
[products.rds]
path = "rds/{site:H|L}-{gps:gps}-3600.gwf"
span = "1h"
[products.day]
path = "day/{site:H|L}-{gps:gps}.txt"
[products.raw]
path = "{gps:gps}.{site:H|L}.h5"
span = "1h"
ready = { not_newest = ["site"], closed = true }
[steps.minute]
at = "relay"
takes = "trend"
from = "archive"
per = ["site", { gps = 3600 }]
with.dmt = { product = "dmt", from = "archive", match = ["site", "gps"], wait = "2h" }
makes = "rds"
does = "gwf copy {-i in} {-i in.dmt} -o {out}"
[steps.days]
at = "relay"
takes = "trend"
from = "archive"
per = ["site", { gps = 86400 }]
with.near = { product = "dmt", from = "archive", match = "overlap", wait = "0s" }
makes = "day"
does = { run = ["day", "{in}", "{in.near}", "{out}"] }
[steps.to-site]
at = "radar"
takes = "raw"
does = "send"
to = "site"
"#;

/// Reads [`FLOW`].
pub(crate) fn flow() -> Flow {
    let parsed = parse(&Source::new("million.toml", FLOW), &Settings::default(), &InMemory::default());
    parsed.unwrap_or_else(|problems| panic!("{}", problems.render(false, 120))).flow
}

/// First hour of all files.
pub(crate) const FIRST: i64 = 100_800_000;

/// The files, by product and hour; what else is known of them is written out when they are asked for.
pub(crate) struct Million {
    flow: Flow,
    now: Timestamp,
    by_start: BTreeMap<(&'static str, i64, &'static str), bool>,
    /// Questions asked.
    pub(crate) calls: Cell<usize>,
    /// Files looked at: what the index by start gives, before the fields are compared.
    pub(crate) rows: Cell<usize>,
}

const STATIONS: [(&str, &str); 3] = [("trend", "archive"), ("dmt", "archive"), ("raw", "radar")];

impl Million {
    /// Makes `hours` hours of two sites' trends and DMT files and one radar's raw files.
    pub(crate) fn new(flow: Flow, hours: i64) -> Self {
        let mut by_start = BTreeMap::new();
        for n in 0..hours {
            let gps = FIRST + 3600 * n;
            for site in ["H", "L"] {
                by_start.insert(("trend", gps, site), true);
                by_start.insert(("dmt", gps, site), true);
            }
            by_start.insert(("raw", gps, "H"), n + 1 < hours);
        }
        let now =
            thalweg_core::time::utc_from_gps(thalweg_core::time::GpsTime::from_seconds(FIRST + 3600 * (hours + 2)));
        Self { flow, now, by_start, calls: Cell::new(0), rows: Cell::new(0) }
    }

    /// How many files there are.
    pub(crate) fn len(&self) -> usize {
        self.by_start.len()
    }

    /// Adds a file and returns it.
    pub(crate) fn arrive(&mut self, product: &'static str, gps: i64, site: &'static str) -> FileFact {
        self.by_start.insert((product, gps, site), true);
        self.file(product, gps, site)
    }

    fn file(&self, product: &str, gps: i64, site: &str) -> FileFact {
        let definition = &self.flow.products[product];
        let fields = [("gps".to_owned(), Value::Int(gps)), ("site".to_owned(), Value::from(site))].into();
        let settling = product == "raw" && self.by_start.get(&("raw", gps, "H")) == Some(&false);
        let path =
            if product == "raw" { format!("{gps}.{site}.h5") } else { format!("{product}/{site}-{gps}-3600.gwf") };
        FileFact {
            id: gps,
            station: STATIONS
                .iter()
                .find(|(name, _)| *name == product)
                .map(|(_, at)| (*at).to_owned())
                .unwrap_or_default(),
            product: product.to_owned(),
            identity: identity_of_file(definition, &fields),
            path: RelPath::from_text(path),
            coverage: coverage_of(definition, &fields, None),
            fields,
            size: 1,
            mtime: self.now,
            hash: (!settling).then(|| ContentHash([u8::try_from(gps / 3600 % 251).unwrap_or(0); 32])),
            arrived: self.now,
            unchanged_since: self.now,
            evidence: Evidence::Closed,
            state: if settling { FileState::Settling } else { FileState::Present },
            origin: Origin::Seen,
        }
    }

    fn asked(&self, rows: usize) {
        self.calls.set(self.calls.get() + 1);
        self.rows.set(self.rows.get() + rows);
    }
}

fn gps(at: Timestamp) -> i64 {
    thalweg_core::time::gps_from_utc(at).seconds()
}

impl Facts for Million {
    fn now(&self) -> Timestamp {
        self.now
    }
    fn files_of(&self, station: &str, product: &str, identity: &str) -> Vec<FileFact> {
        let part = |name: &str| identity.split(',').find_map(|part| part.strip_prefix(name));
        let (Some(at), Some(site)) = (part("gps=").and_then(|text| text.parse().ok()), part("site=")) else {
            return Vec::new();
        };
        let here = STATIONS.contains(&(product_of(product), station_of(station)));
        let known = here && self.by_start.contains_key(&(product_of(product), at, site_of(site)));
        self.asked(usize::from(known));
        if known { vec![self.file(product, at, site)] } else { Vec::new() }
    }
    fn files(&self, query: &FileQuery<'_>) -> Vec<FileFact> {
        let product = product_of(query.product);
        if query.station.is_some_and(|station| !STATIONS.contains(&(product, station_of(station)))) {
            self.asked(0);
            return Vec::new();
        }
        let (from, to) = match query.overlapping {
            Some(span) => (gps(span.start) - 3600, gps(span.end) + 1),
            None => (i64::MIN, i64::MAX),
        };
        let files: Vec<FileFact> = self
            .by_start
            .range((product, from, "")..(product, to, ""))
            .inspect(|_| self.rows.set(self.rows.get() + 1))
            .map(|((_, at, site), _)| self.file(product, *at, site))
            .filter(|file| query.fields.iter().all(|(name, value)| file.fields.get(*name) == Some(*value)))
            .filter(|file| query.overlapping.is_none_or(|span| file.coverage.is_some_and(|c| span.overlaps(&c))))
            .collect();
        self.asked(0);
        files
    }
    fn file_at(&self, _station: &str, _path: &RelPath) -> Option<FileFact> {
        self.asked(0);
        None
    }
    fn newest_start(
        &self,
        station: &str,
        product: &str,
        series: &[(&str, &Value)],
        not_after: Timestamp,
    ) -> Option<Timestamp> {
        self.asked(1);
        let product = product_of(product);
        if !STATIONS.contains(&(product, station_of(station))) {
            return None;
        }
        let mut newest = self.by_start.range((product, i64::MIN, "")..(product, gps(not_after) + 1, "")).rev();
        let (_, at, _) =
            newest.find(|((_, _, site), _)| series.iter().all(|(_, value)| **value == Value::from(*site)))?.0;
        Some(thalweg_core::time::utc_from_gps(thalweg_core::time::GpsTime::from_seconds(*at)))
    }
    fn exists(&self, _station: &str, _path: &RelPath) -> bool {
        false
    }
    fn event(&self, _name: &str, _file: &FileFact) -> bool {
        false
    }
    fn settings_file(&self, _path: &str) -> Option<ContentHash> {
        None
    }
    fn last_done(&self, _key: &KeyId) -> Option<DoneRun> {
        self.asked(0);
        None
    }
    fn last_failure(&self, _key: &KeyId) -> Option<FailedRun> {
        self.asked(0);
        None
    }
    fn running(&self, _key: &KeyId) -> Option<(i64, Timestamp)> {
        None
    }
    fn made_by(&self, _station: &str, _path: &RelPath) -> Option<(String, String)> {
        self.asked(0);
        None
    }
    fn open_keys(&self, _step: &str) -> Vec<KeyId> {
        self.asked(0);
        Vec::new()
    }
    fn key_named(&self, _step: &str, _text: &str) -> Option<KeyId> {
        None
    }
    fn contributions(&self, _product: &str, _identity: &str, _hash: &ContentHash) -> Vec<Contribution> {
        Vec::new()
    }
    fn hold(&self, _key: &KeyId, _driving: &[FileFact]) -> Option<Hold> {
        None
    }
    fn round(&self, _step: &str, _station: &str) -> Round {
        Round::default()
    }
    fn listing(&self, _station: &str) -> Listing {
        Listing { last_ok: Some(self.now), failing: None }
    }
    fn opened(&self, _key: &KeyId) -> Option<Timestamp> {
        None
    }
    fn made_since(&self, _step: &str, _start: Timestamp) -> bool {
        false
    }
    fn derived(&self, _from: &FileFact, _product: &str) -> Vec<UsedFile> {
        Vec::new()
    }
    fn space(&self, _station: &str) -> Option<(u64, u64)> {
        None
    }
}

fn product_of(name: &str) -> &'static str {
    ["trend", "dmt", "raw"].into_iter().find(|known| *known == name).unwrap_or("")
}

fn station_of(name: &str) -> &'static str {
    ["archive", "radar"].into_iter().find(|known| *known == name).unwrap_or("")
}

fn site_of(name: &str) -> &'static str {
    ["H", "L"].into_iter().find(|known| *known == name).unwrap_or("")
}

/// Returns a span of so many hours from the first.
pub(crate) fn hours(from: i64, count: i64) -> TimeRange {
    let start = thalweg_core::time::utc_from_gps(thalweg_core::time::GpsTime::from_seconds(FIRST + 3600 * from));
    let length = SignedDuration::from_hours(count);
    TimeRange::new(start, start.checked_add(length).unwrap_or(start))
}
