//! Old files that are left alone: read when somebody asks for what depends on them, and taken up when somebody says so.

use std::collections::BTreeSet;

use thalweg_core::TimeRange;
use thalweg_flow::planner::backward::producers;
use thalweg_flow::{Flow, WithWhat};
use thalweg_ledger::{FileRow, FileState};

use super::Dispatcher;
use crate::EngineError;
use crate::backlog::{Marks, lift};
use crate::scan::Sight;

/// Which old files are taken up; all that is given must hold.
pub(super) struct TakenUp<'a> {
    pub(super) step: Option<&'a str>,
    pub(super) station: Option<&'a str>,
    pub(super) product: Option<&'a str>,
}

impl Dispatcher<'_> {
    /// Tells if a file is left alone, unread, until somebody asks for it.
    pub(super) fn is_left_alone(&self, row: &FileRow) -> bool {
        !self.marks.is_empty() && self.marks.covers(row) && !self.asked_for.contains(&row.id)
    }

    /// Tells if old files that a request needs are still being read.
    pub(super) fn reads_old_files(&self) -> bool {
        !self.asked_for.is_empty()
            && self
                .asked_for
                .iter()
                .any(|id| self.settling.get(id).is_some_and(|file| file.in_work || file.wake.is_some()))
    }

    /// Has the old files read on which a product depends, within a span.
    pub(super) fn read_old_files(&mut self, product: &str, span: Option<TimeRange>) -> Result<(), EngineError> {
        if self.marks.is_empty() {
            return Ok(());
        }
        let needed = upstream(&self.flow, product);
        let span = span.map(|span| widened(&self.flow, span));
        for (station, product) in self.marks.places() {
            if !needed.contains(&product) {
                continue;
            }
            let states = [FileState::Settling];
            let span = span.unwrap_or(TimeRange::new(jiff::Timestamp::MIN, jiff::Timestamp::MAX));
            let mut rows = self.reader.files_overlapping(Some(&station), &product, span, &states)?;
            rows.extend(self.reader.files_without_coverage(Some(&station), &product, &states)?);
            for row in rows {
                if self.is_left_alone(&row) {
                    self.asked_for.insert(row.id);
                    if row.closed {
                        self.settles(&row)?;
                        continue;
                    }
                    // Whether somebody still writes to it is asked anew.
                    let mut seen = Vec::new();
                    self.look_at(&row.station, &row.path, Sight::Listed { open: true }, &mut seen);
                    self.observe(seen)?;
                }
            }
        }
        Ok(())
    }

    /// Has old files acted on; returns how many stations and products that concerns.
    pub(super) fn take_up(&mut self, which: &TakenUp<'_>) -> Result<u64, EngineError> {
        let step = which.step.and_then(|name| self.flow.steps.get(name));
        let mut places = self.marks.places();
        places.retain(|(station, product)| {
            which.station.is_none_or(|wanted| wanted == station)
                && which.product.is_none_or(|wanted| wanted == product)
                && step.is_none_or(|step| step.takes_from(station, product))
        });
        if places.is_empty() {
            return Ok(0);
        }
        lift(&self.ledger, &places)?;
        self.marks = std::sync::Arc::new(Marks::read(&self.flow, &self.reader)?);
        for station in places.iter().map(|(station, _)| station.clone()).collect::<BTreeSet<_>>() {
            for row in self.reader.settling(&station)? {
                if !self.settling.contains_key(&row.id) {
                    self.settles(&row)?;
                }
            }
        }
        self.dirty_all_keys()?;
        Ok(u64::try_from(places.len()).unwrap_or(u64::MAX))
    }
}

// A product and all that it is made from, through any number of steps.
fn upstream(flow: &Flow, product: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::from([product.to_owned()]);
    let mut front = vec![product.to_owned()];
    while let Some(product) = front.pop() {
        let stations = flow.stations.keys().map(|station| Some(station.as_str()));
        for step in stations.chain([None]).flat_map(|station| producers(flow, &product, station)) {
            let looked_up = step.with.values().filter_map(|with| match &with.what {
                WithWhat::Product { product, .. } => Some(product),
                WithWhat::File(_) => None,
            });
            for input in step.takes.iter().chain(looked_up) {
                if all.insert(input.clone()) {
                    front.push(input.clone());
                }
            }
        }
    }
    all
}

// The cells of a step reach beyond the span that is asked for.
fn widened(flow: &Flow, span: TimeRange) -> TimeRange {
    let grids = flow.steps.values().filter_map(|step| step.per.as_ref()?.grid.as_ref());
    grids.fold(span, |all, grid| {
        let (first, last) = (grid.cell_at(span.start), grid.cell_at(span.end));
        TimeRange::new(all.start.min(first.start), all.end.max(last.end))
    })
}
