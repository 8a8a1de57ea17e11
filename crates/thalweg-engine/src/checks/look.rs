//! One look at one check: what the ledger and the stations say of it.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use thalweg_core::units::{format_duration, format_size};
use thalweg_core::{Fields, Timestamp};
use thalweg_flow::{Bound, Check, Flow, Product};
use thalweg_ledger::{
    FileFilter, FileRow, FileState, KeyFilter, KeyNext, KeyRow, KeyThere, Reader, RunFilter, RunState,
};

use super::{Finding, Level, Result};
use crate::Places;
use crate::adopted::is_adopted;

/// Rows that are held in memory at once.
const PAGE: u32 = 10_000;

type Group = BTreeMap<String, String>;

pub(super) struct Looking<'a> {
    pub flow: &'a Flow,
    pub check: &'a Check,
    pub reader: &'a Reader,
    pub places: &'a Places,
    pub now: Timestamp,
}

impl Looking<'_> {
    // The stations that are looked at one by one; none: all together. What is of another host is looked at there.
    fn stations(&self) -> Vec<Option<&str>> {
        if self.check.at.is_empty() {
            return vec![None];
        }
        self.check.at.iter().filter(|at| self.places.is_here(at)).map(|at| Some(at.as_str())).collect()
    }

    fn group(&self, station: &str, fields: &Fields) -> Group {
        let member = self.flow.stations.get(station).map(|station| &station.member_of);
        let value = |name: &String| fields.get(name).or_else(|| member?.get(name));
        self.check
            .per
            .iter()
            .map(|name| (name.clone(), value(name).map(ToString::to_string).unwrap_or_default()))
            .collect()
    }

    fn name_of(&self, what: &str, group: &Group, station: Option<&str>) -> String {
        let mut text = what.to_owned();
        for (name, value) in group {
            text.push_str(&format!(" {name}={value}"));
        }
        if let Some(station) = station {
            text.push_str(&format!(" at {station}"));
        }
        text
    }

    pub(super) fn latency(&self, product: &str) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for station in self.stations() {
            let all: Vec<String> = match station {
                Some(station) => vec![station.to_owned()],
                None => self.flow.stations.keys().cloned().collect(),
            };
            let mut newest: BTreeMap<Group, (Timestamp, bool)> = BTreeMap::new();
            for station in &all {
                self.newest(station, product, &mut newest)?;
            }
            if newest.is_empty() {
                let text = format!("no file of {} is known", self.name_of(product, &Group::new(), station));
                findings.push(Finding { station: station.map(str::to_owned), text, ..Finding::none() });
            }
            for (group, (at, timed)) in newest {
                let age = self.now.duration_since(at).max(SignedDuration::ZERO);
                let name = self.name_of(product, &group, station);
                // What has no time of its own is as old as its arrival.
                let word = if timed { "reaches to" } else { "came at" };
                let text = format!("{name}: the newest {word} {at:.0}, {} ago", in_words(age));
                findings.push(self.aged(age, group, station, text));
            }
        }
        Ok(findings)
    }

    fn newest(&self, station: &str, product: &str, newest: &mut BTreeMap<Group, (Timestamp, bool)>) -> Result<()> {
        let mut take = |row: &FileRow| {
            let time = row.end.or(row.start);
            let at = (time.unwrap_or(row.arrived), time.is_some());
            let best = newest.entry(self.group(station, &row.fields)).or_insert(at);
            *best = (*best).max(at);
        };
        let series = self.flow.products.get(product).map(Product::series).unwrap_or_default();
        if self.check.per.is_empty() {
            self.reader.newest_known(station, product, None)?.iter().for_each(&mut take);
            return Ok(());
        }
        if self.check.per.iter().all(|name| series.contains(name)) {
            for group in self.reader.groups(station, product)? {
                self.reader.newest_known(station, product, Some(&group))?.iter().for_each(&mut take);
            }
            return Ok(());
        }
        let mut filter = FileFilter {
            station: Some(station.to_owned()),
            product: Some(product.to_owned()),
            states: vec![FileState::Present, FileState::Retired, FileState::Taken],
            ..FileFilter::default()
        };
        loop {
            let page = self.reader.page(&filter, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            filter.after = Some(last.id);
            page.iter().filter(|row| row.suspect.is_none()).for_each(&mut take);
        }
    }

    pub(super) fn last_success(&self, step: &str) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for station in self.stations() {
            let mut last = if self.check.per.is_empty() {
                self.last_run(step, station)?.map(|at| (Group::new(), at)).into_iter().collect()
            } else {
                self.last_by_keys(step, station)?
            };
            self.rounds_without_work(step, station, &mut last)?;
            if last.is_empty() {
                let text = format!("{} has never succeeded", self.name_of(step, &Group::new(), station));
                findings.push(Finding { station: station.map(str::to_owned), text, ..Finding::none() });
            }
            for (group, at) in last {
                let age = self.now.duration_since(at).max(SignedDuration::ZERO);
                let name = self.name_of(step, &group, station);
                let text = format!("{name}: the last success was at {at:.0}, {} ago", in_words(age));
                findings.push(self.aged(age, group, station, text));
            }
        }
        Ok(findings)
    }

    fn last_run(&self, step: &str, station: Option<&str>) -> Result<Option<Timestamp>> {
        let mut filter = RunFilter {
            step: Some(step.to_owned()),
            station: station.map(str::to_owned),
            states: vec![RunState::Done],
            ..RunFilter::default()
        };
        // Whatever was only entered is no success.
        loop {
            let page = self.reader.runs(&filter, 100)?;
            let Some(last) = page.last() else { return Ok(None) };
            filter.before = Some(last.id);
            if let Some(run) = page.iter().find(|run| !is_adopted(run)) {
                return Ok(Some(run.ended.unwrap_or(run.started)));
            }
        }
    }

    fn last_by_keys(&self, step: &str, station: Option<&str>) -> Result<BTreeMap<Group, Timestamp>> {
        let mut last: BTreeMap<Group, Timestamp> = BTreeMap::new();
        let done = [KeyThere::Done, KeyThere::Partial];
        // The others were done at some time before they became what they are: worth asking only if that is later than
        // what is known already.
        let been = [KeyThere::Stale, KeyThere::Retired, KeyThere::Lost];
        for (there, has_time) in [(done.as_slice(), true), (been.as_slice(), false)] {
            let mut filter = KeyFilter {
                step: Some(step.to_owned()),
                station: station.map(str::to_owned),
                there: there.to_vec(),
                limit: Some(PAGE),
                ..KeyFilter::default()
            };
            loop {
                let page = self.reader.keys(&filter)?;
                let Some(end) = page.last() else { break };
                filter.after = Some((step.to_owned(), end.key.clone()));
                for key in &page {
                    let group = self.group_of_key(key)?;
                    if last.get(&group).is_some_and(|best| *best >= key.since) {
                        continue;
                    }
                    let ended = || self.reader.last_done(step, &key.key).map(|run| run.and_then(|run| run.ended));
                    let Some(at) = (if has_time { Some(key.since) } else { ended()? }) else { continue };
                    let best = last.entry(group).or_insert(at);
                    *best = (*best).max(at);
                }
            }
        }
        Ok(last)
    }

    // A round with nothing to do is a success too, of all that did not fail in it.
    fn rounds_without_work(
        &self,
        step: &str,
        station: Option<&str>,
        last: &mut BTreeMap<Group, Timestamp>,
    ) -> Result<()> {
        let rounds = self.reader.rounds(step)?;
        let finished = rounds.iter().filter(|round| station.is_none_or(|at| at == round.station));
        let Some(finished) = finished.filter_map(|round| round.finished).max() else { return Ok(()) };
        let failing = self.counted(step, station, &[KeyNext::Failed])?;
        if self.check.per.is_empty() && failing.is_empty() {
            last.entry(Group::new()).or_insert(finished);
        }
        for (group, at) in last.iter_mut() {
            if !failing.contains_key(group) {
                *at = (*at).max(finished);
            }
        }
        Ok(())
    }

    fn group_of_key(&self, key: &KeyRow) -> Result<Group> {
        let mut fields = Fields::new();
        if let (Some(product), Some(identity)) = (&key.driving_product, &key.driving_fields_key)
            && !self.check.per.iter().all(|name| key.fields.contains_key(name))
        {
            let file = self.reader.files_of(None, product, identity)?.into_iter().next();
            fields.extend(file.map(|file| file.fields).unwrap_or_default());
        }
        fields.extend(key.fields.clone());
        Ok(self.group(&key.station, &fields))
    }

    fn counted(&self, step: &str, station: Option<&str>, next: &[KeyNext]) -> Result<BTreeMap<Group, Vec<KeyRow>>> {
        let filter = KeyFilter {
            step: Some(step.to_owned()),
            station: station.map(str::to_owned),
            next: next.to_vec(),
            finished: Some(false),
            ..KeyFilter::default()
        };
        let mut counted: BTreeMap<Group, Vec<KeyRow>> = BTreeMap::new();
        for key in self.reader.keys(&filter)? {
            let group = if self.check.per.is_empty() { Group::new() } else { self.group_of_key(&key)? };
            counted.entry(group).or_default().push(key);
        }
        Ok(counted)
    }

    pub(super) fn failing(&self, step: &str) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for station in self.stations() {
            let mut failing = self.counted(step, station, &[KeyNext::Failed])?;
            if failing.is_empty() {
                failing.insert(Group::new(), Vec::new());
            }
            for (group, keys) in failing {
                let name = self.name_of(step, &group, station);
                let first = keys
                    .first()
                    .map(|key| format!("{} ({})", key.key, key.reason["text"].as_str().unwrap_or_default()));
                let first = first.unwrap_or_default();
                let text = match keys.len() {
                    0 => format!("{name}: nothing has failed"),
                    1 => format!("{name}: 1 key has failed: {first}"),
                    many => format!("{name}: {many} keys have failed, the first: {first}"),
                };
                let mut finding = self.numbered(keys.len(), group, station, text);
                // Without limits one failure is enough.
                if self.check.warning.is_none() && self.check.critical.is_none() && !keys.is_empty() {
                    finding.level = Level::Warning;
                }
                findings.push(finding);
            }
        }
        Ok(findings)
    }

    pub(super) fn queue(&self, step: &str) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let open = [KeyNext::Ready, KeyNext::Running, KeyNext::Failed, KeyNext::Blocked];
        for station in self.stations() {
            let mut queued = self.counted(step, station, &open)?;
            if queued.is_empty() {
                queued.insert(Group::new(), Vec::new());
            }
            let last = if self.check.per.is_empty() {
                self.last_run(step, station)?.map(|at| (Group::new(), at)).into_iter().collect()
            } else {
                self.last_by_keys(step, station)?
            };
            for (group, keys) in queued {
                let name = self.name_of(step, &group, station);
                // It becomes fewer whenever one is done; before the first it has grown since it began.
                let oldest = keys.iter().map(|key| key.opened).min();
                let since = oldest.map(|oldest| last.get(&group).map_or(oldest, |last| oldest.max(*last)));
                let stuck = since.map_or(SignedDuration::ZERO, |since| self.now.duration_since(since));
                let stuck = stuck.max(SignedDuration::ZERO);
                let text = match keys.len() {
                    0 => format!("{name}: nothing is queued"),
                    many => format!("{name}: {many} queued, not fewer for {}", in_words(stuck)),
                };
                let by_number = [&self.check.warning, &self.check.critical]
                    .into_iter()
                    .flatten()
                    .any(|bound| matches!(bound, Bound::Count(_)));
                findings.push(match by_number {
                    true => self.numbered(keys.len(), group, station, text),
                    false => self.aged(stuck, group, station, text),
                });
            }
        }
        Ok(findings)
    }

    pub(super) fn free(&self, name: &str) -> Vec<Finding> {
        let of = |station: &String| {
            let space = self.places.store(station).and_then(|store| store.free_space().ok());
            let Some(space) = space else {
                let text = format!("the free space of {station} cannot be told here");
                return Finding { station: Some(station.clone()), text, ..Finding::none() };
            };
            let limit = |bound: &Option<Bound>| match bound {
                Some(Bound::Space(threshold)) => Some(threshold.bytes_of(space.total)),
                _ => None,
            };
            let (warning, critical) = (limit(&self.check.warning), limit(&self.check.critical));
            let below = |limit: Option<u64>| limit.is_some_and(|limit| space.free < limit);
            Finding {
                level: level(below(warning), below(critical)),
                station: Some(station.clone()),
                value: Some(float(space.free)),
                unit: "B".to_owned(),
                warning: warning.map(float),
                critical: critical.map(float),
                text: format!("{station}: {} free of {}", format_size(space.free), format_size(space.total)),
                ..Finding::none()
            }
        };
        let members = members(self.flow, name);
        // Each member of a family can be on a host of its own.
        let here: Vec<String> = members.iter().filter(|member| self.places.store(member).is_some()).cloned().collect();
        if here.is_empty() { members.iter().map(of).collect() } else { here.iter().map(of).collect() }
    }

    pub(super) fn silent(&self, name: &str) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for station in members(self.flow, name) {
            let heard = self.reader.last_ok_listing(&station)?.and_then(|listing| listing.ok_ended);
            let Some(at) = heard else {
                let text = format!("{station} was never heard of");
                findings.push(Finding { station: Some(station), text, ..Finding::none() });
                continue;
            };
            let age = self.now.duration_since(at).max(SignedDuration::ZERO);
            let text = format!("{station}: last heard of at {at:.0}, {} ago", in_words(age));
            findings.push(self.aged(age, Group::new(), Some(&station), text));
        }
        Ok(findings)
    }

    fn aged(&self, age: SignedDuration, of: Group, station: Option<&str>, text: String) -> Finding {
        let limit = |bound: &Option<Bound>| match bound {
            Some(Bound::Age(age)) => Some(*age),
            _ => None,
        };
        let (warning, critical) = (limit(&self.check.warning), limit(&self.check.critical));
        let above = |limit: Option<SignedDuration>| limit.is_some_and(|limit| age > limit);
        Finding {
            level: level(above(warning), above(critical)),
            of,
            station: station.map(str::to_owned),
            value: Some(age.as_secs_f64().round()),
            unit: "s".to_owned(),
            warning: warning.map(|limit| limit.as_secs_f64()),
            critical: critical.map(|limit| limit.as_secs_f64()),
            text,
        }
    }

    fn numbered(&self, number: usize, of: Group, station: Option<&str>, text: String) -> Finding {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let limit = |bound: &Option<Bound>| match bound {
            Some(Bound::Count(count)) => u64::try_from(*count).ok(),
            _ => None,
        };
        let (warning, critical) = (limit(&self.check.warning), limit(&self.check.critical));
        // `warning = 1` is meant to warn of the first.
        let reached = |limit: Option<u64>| limit.is_some_and(|limit| number >= limit.max(1));
        Finding {
            level: level(reached(warning), reached(critical)),
            of,
            station: station.map(str::to_owned),
            value: Some(float(number)),
            warning: warning.map(float),
            critical: critical.map(float),
            text,
            ..Finding::none()
        }
    }
}

fn level(warning: bool, critical: bool) -> Level {
    match (warning, critical) {
        (_, true) => Level::Critical,
        (true, false) => Level::Warning,
        (false, false) => Level::Ok,
    }
}

fn in_words(span: SignedDuration) -> String {
    format_duration(SignedDuration::from_secs(span.as_secs()))
}

#[expect(clippy::cast_precision_loss, reason = "a measurement to be shown")]
fn float(number: u64) -> f64 {
    number as f64
}

// A station, or the members of a family by its name as written.
fn members(flow: &Flow, name: &str) -> Vec<String> {
    if flow.stations.contains_key(name) {
        return vec![name.to_owned()];
    }
    let is_member = |station: &&thalweg_flow::Station| {
        let mut text = name.to_owned();
        for (field, value) in &station.member_of {
            text = text.replace(&format!("{{{field}}}"), &value.to_string());
        }
        !station.member_of.is_empty() && text == station.name
    };
    flow.stations.values().filter(is_member).map(|station| station.name.clone()).collect()
}
