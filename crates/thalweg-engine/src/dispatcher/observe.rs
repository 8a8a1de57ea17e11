//! What is seen at stations, and what is not there any more: recorded.

use thalweg_core::{RelPath, Timestamp};
use thalweg_flow::planner::{self, FileFact, released};
use thalweg_ledger::{Change, FileId, FileRow, FileState, NewEvent, Observed, Origin};

use super::Dispatcher;
use crate::backlog::Marks;
use crate::classify::identity;
use crate::facts::file_fact;
use crate::scan::{Seen, Sight, stat_of, stat_of_unit};
use crate::watch::{WatchKind, WatchMessage};
use crate::{EngineError, Event};

/// How long a file that was taken away is kept in mind when no listing is under way.
const LEFT_LATELY: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

impl Dispatcher<'_> {
    pub(super) fn station_of_root(&self, root: u32) -> Option<String> {
        let index = usize::try_from(root).ok()?;
        self.places.stations().nth(index).map(|(name, _, _)| name.to_owned())
    }

    pub(super) fn watched(&mut self, message: WatchMessage, seen: &mut Vec<Seen>) {
        match message {
            WatchMessage::Event(event) => {
                let Some(station) = self.station_of_root(event.root) else { return };
                let how = match event.kind {
                    WatchKind::Closed => Sight::Closed,
                    WatchKind::MovedIn => Sight::MovedIn,
                    WatchKind::FolderNew => return self.scan_below(&station, &event.path),
                    // Whether it is complete is asked of the processes that have it open.
                    WatchKind::Appeared | WatchKind::Attrib | WatchKind::Gone => Sight::Listed { open: true },
                };
                self.look_at(&station, &event.path, how, seen);
            }
            WatchMessage::Rescan { root, below, .. } => {
                if let Some(station) = self.station_of_root(root) {
                    self.scan_below(&station, &below);
                }
            }
            WatchMessage::Degraded { root, below, reason } => {
                if let Some(station) = self.station_of_root(root) {
                    let message = format!("no events for {below}: {reason}; it is listed at intervals");
                    self.say(&Event::Trouble { station, message });
                }
            }
            WatchMessage::Unavailable { root, reason } => {
                if let Some(station) = self.station_of_root(root) {
                    self.say(&Event::Trouble { station, message: reason });
                }
            }
        }
    }

    // Looks at one path that something happened to.
    pub(super) fn look_at(&mut self, station: &str, path: &RelPath, how: Sight, seen: &mut Vec<Seen>) {
        let path = self.classifier.unit_of(&self.flow, station, path).unwrap_or_else(|| path.clone());
        let Some(store) = self.places.store(station).cloned() else { return };
        match store.stat(&path) {
            Ok(Some(meta)) => {
                let folder = meta.kind == thalweg_store::Kind::Folder;
                if self.classifier.product(&self.flow, station, &path, folder).is_none() {
                    if folder {
                        self.scan_below(station, &path);
                    }
                    return;
                }
                let stat = if folder { stat_of_unit(store.as_ref(), &path) } else { Ok(stat_of(&meta)) };
                let Ok(stat) = stat else { return };
                let how = match how {
                    Sight::Listed { .. } => Sight::Listed { open: !matches!(store.writer(&path), Ok(None)) },
                    other => other,
                };
                seen.push(Seen { station: station.to_owned(), path, stat, folder, how });
            }
            Ok(None) => {
                // A folder that went away takes its files along: a listing finds out.
                let known = self.reader.file_at(station, &path).ok().flatten();
                match known {
                    Some(row) => {
                        if let Err(error) = self.vanished(vec![(row.id, path)]) {
                            self.say(&Event::Trouble { station: station.to_owned(), message: error.to_string() });
                        }
                    }
                    None if !path.as_str().is_empty() => self.scan_below(station, &path),
                    None => {}
                }
            }
            Err(_) => {}
        }
    }

    /// Records what was seen and considers what is new.
    pub(super) fn observe(&mut self, seen: Vec<Seen>) -> Result<(), EngineError> {
        if seen.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let changed = std::mem::take(&mut self.changed);
        self.note_left(&changed);
        self.changed = changed;
        let publishing: std::collections::HashSet<(&str, &str)> = self
            .active
            .values()
            .flat_map(|active| &active.outputs)
            .map(|(station, path)| (station.as_str(), path.as_str()))
            .collect();
        let mut observed = Vec::new();
        for file in &seen {
            // What a run is putting there is recorded by its end.
            if publishing.contains(&(file.station.as_str(), file.path.as_str())) {
                continue;
            }
            if self.left_since(file) {
                continue;
            }
            let Some((product, fields)) = self.classifier.product(&self.flow, &file.station, &file.path, file.folder)
            else {
                continue;
            };
            let only_renamed = product.ready.renamed && !product.ready.closed;
            let closed = match file.how {
                Sight::Closed => !only_renamed,
                Sight::MovedIn => true,
                Sight::Listed { open } => !open,
            };
            observed.push(Observed {
                station: file.station.clone(),
                path: file.path.clone(),
                identity: identity(product, fields, None, now),
                stat: file.stat,
                closed,
                origin: Origin::Seen,
                at: now,
            });
        }
        if observed.is_empty() {
            return Ok(());
        }
        let marks = self.marks.clone();
        let (observed, outcomes, marks) = self.ledger.write(move |tx| {
            let outcomes = observed.iter().map(|file| tx.observe(file)).collect::<Result<Vec<_>, _>>()?;
            // An old file that has changed is a new one, and stays so whatever happens next.
            let pairs = observed.iter().zip(&outcomes);
            let changed: Vec<_> = pairs
                .filter(|(_, outcome)| matches!(outcome.change, Change::Changed | Change::Reappeared))
                .map(|(file, outcome)| (file.station.as_str(), file.identity.product.as_str(), outcome.file))
                .collect();
            let marks = marks.without(&changed);
            for (name, value) in marks.iter().flat_map(Marks::kept) {
                tx.meta_set(&name, &value)?;
            }
            Ok((observed, outcomes, marks))
        })?;
        if let Some(marks) = marks {
            self.marks = std::sync::Arc::new(marks);
        }
        let sights: std::collections::HashMap<(&str, &str), Sight> =
            seen.iter().map(|file| ((file.station.as_str(), file.path.as_str()), file.how)).collect();
        let mut releases = std::collections::BTreeSet::new();
        for (file, outcome) in observed.iter().zip(&outcomes) {
            let by_event = matches!(
                sights.get(&(file.station.as_str(), file.path.as_str())),
                Some(Sight::Closed | Sight::MovedIn)
            );
            if outcome.change == Change::Same && outcome.state != FileState::Settling {
                // Written to, and yet of the same size and time: only its content can tell.
                let again =
                    by_event && outcome.state == FileState::Present && self.was_touched(outcome.file, &file.stat)?;
                if !again {
                    continue;
                }
            }
            let Some(row) = self.reader.file(outcome.file)? else { continue };
            if outcome.change == Change::Same && file.closed && !row.closed {
                let id = row.id;
                self.ledger.write(move |tx| tx.mark_closed(id))?;
            }
            if row.state == FileState::Settling {
                self.settles(&row)?;
            }
            if outcome.change != Change::Same {
                if let Some(scan) = self.scans.get_mut(&row.station) {
                    scan.changed += 1;
                }
                let read_now = self.settling.get(&row.id).is_some_and(|file| file.in_work);
                let fact = file_fact(&self.flow, row);
                if released(&self.flow, &fact).is_some() {
                    releases.insert((fact.station.clone(), fact.product.clone()));
                }
                // What is new and being read is told of in a moment, by what comes of that.
                if outcome.change != Change::New || !read_now {
                    self.changed.push(fact);
                }
            }
        }
        self.release_series(&releases)
    }

    // A listing, or an event, may tell of a file that a rule, a step or the quarantine has taken away since: it is not back.
    fn left_since(&self, file: &Seen) -> bool {
        let left = self.left_lately.contains_key(&(file.station.clone(), file.path.clone()));
        let found = || self.places.store(&file.station).map(|store| store.stat(&file.path));
        left && matches!(found(), Some(Ok(None)))
    }

    /// Keeps in mind which files are not there any more, for sightings that are still on their way.
    pub(super) fn note_left(&mut self, changed: &[FileFact]) {
        let now = self.now();
        if self.scans.values().all(|scan| !scan.under_way) {
            self.left_lately.retain(|_, at| now.duration_since(*at).abs() < LEFT_LATELY);
        }
        let is_there =
            |file: &&FileFact| matches!(file.state, planner::FileState::Present | planner::FileState::Settling);
        for file in changed.iter().filter(|file| !is_there(file)) {
            self.left_lately.insert((file.station.clone(), file.path.clone()), now);
        }
    }

    // A file whose change time is another than recorded settles anew, if something wrote to it.
    fn was_touched(&mut self, id: FileId, stat: &thalweg_ledger::Stat) -> Result<bool, EngineError> {
        let Some(row) = self.reader.file(id)? else { return Ok(false) };
        if row.stat.ctime_ns == stat.ctime_ns || row.origin != Origin::Seen {
            return Ok(false);
        }
        let now = self.now();
        self.ledger.write(move |tx| tx.set_state(id, FileState::Settling, Some("written to again"), now))?;
        Ok(true)
    }

    /// Tells once of something that stands under a product's name and is no file, or no folder.
    pub(super) fn not_a_file(&mut self, station: &str, path: &RelPath, what: &str) -> Result<(), EngineError> {
        let known = self.reader.events_for_path(station, path)?;
        if known.iter().any(|event| event.kind == "not_a_file") {
            return Ok(());
        }
        let message = format!("it is {what}, where a file is expected: it is left where it is");
        let event = NewEvent {
            station: Some(station.to_owned()),
            path: Some(path.clone()),
            data: Some(serde_json::json!({ "message": message })),
            ..NewEvent::new("not_a_file", self.now())
        };
        self.ledger.write(move |tx| tx.event(&event).map(drop))?;
        self.outcome.failed += 1;
        self.say(&Event::FileTrouble { station: station.to_owned(), path: path.clone(), message });
        Ok(())
    }

    pub(super) fn note_file(
        &self,
        kind: &str,
        row: &FileRow,
        message: &str,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let event = NewEvent {
            station: Some(row.station.clone()),
            product: Some(row.product.clone()),
            fields_key: Some(row.fields_key.clone()),
            path: Some(row.path.clone()),
            data: Some(serde_json::json!({ "message": message })),
            ..NewEvent::new(kind, now)
        };
        self.ledger.write(move |tx| tx.event(&event).map(drop))?;
        Ok(())
    }

    /// Records files that are not there any more, after looking once more.
    pub(super) fn vanished(&mut self, missing: Vec<(FileId, RelPath)>) -> Result<(), EngineError> {
        let now = self.now();
        for (id, path) in missing {
            let Some(row) = self.reader.file(id)? else { continue };
            if !matches!(row.state, FileState::Present | FileState::Settling) {
                continue;
            }
            let moving = self.active.values().any(|active| {
                active
                    .tasks
                    .iter()
                    .flat_map(|task| &task.inputs)
                    .any(|input| input.station == row.station && input.path == path)
                    && active
                        .tasks
                        .first()
                        .and_then(|task| self.flow.steps.get(&task.key.step))
                        .is_some_and(|step| step.edits || matches!(step.does, thalweg_flow::Verb::Move))
            });
            let Some(store) = self.places.store(&row.station) else { continue };
            if moving || !matches!(store.stat(&path), Ok(None)) {
                continue;
            }
            let dropbox = self.flow.stations.get(&row.station).is_some_and(|station| station.dropbox);
            let settled = row.state == FileState::Present;
            let (state, why) = if dropbox && settled {
                (FileState::Taken, "taken away by its owner")
            } else {
                (FileState::Gone, "vanished without a rule")
            };
            self.ledger.write(move |tx| tx.set_state(id, state, Some(why), now))?;
            self.settling.remove(&id);
            self.note_file(if state == FileState::Taken { "taken" } else { "gone" }, &row, why, now)?;
            if state == FileState::Gone && settled {
                self.say(&Event::FileGone { station: row.station.clone(), path });
            }
            if let Some(row) = self.reader.file(id)? {
                self.changed.push(file_fact(&self.flow, row));
            }
        }
        Ok(())
    }
}
