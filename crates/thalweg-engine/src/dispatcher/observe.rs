//! What is seen at stations: recorded, held until its ready rule allows it, taken.

use thalweg_core::{ErrorClass, RelPath, Timestamp};
use thalweg_flow::planner::{self, FileFact, Readiness, readiness, released, requirement};
use thalweg_ledger::{Change, FileId, FileRow, FileState, NewEvent, NewListing, Observed, Origin, Settled};

use super::{Dispatcher, Settling};
use crate::backlog::Marks;
use crate::classify::identity;
use crate::facts::file_fact;
use crate::intake::{Outcome as Taken, Take};
use crate::runner::Failure;
use crate::scan::{Scanned, Seen, Sight, scan, stat_of, stat_of_unit};
use crate::watch::{WatchKind, WatchMessage, rescan_after};
use crate::{EngineError, Event};

/// How long a file that was taken away is kept in mind when no listing is under way.
const LEFT_LATELY: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// Waits after a file could not be read, doubled each time up to the longest.
const READ_AGAIN: (i64, i64) = (5, 600);

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
        let left = self.left_lately.contains_key(&(file.station.clone(), file.path.clone()))
            || self.changed.iter().any(|one| {
                one.station == file.station && one.path == file.path && one.state != planner::FileState::Present
            });
        let found = || self.places.store(&file.station).map(|store| store.stat(&file.path));
        left && matches!(found(), Some(Ok(None)))
    }

    /// Keeps in mind which files are not there any more, for sightings that are still on their way.
    pub(super) fn note_left(&mut self, changed: &[FileFact]) {
        let now = self.now();
        if self.scans.values().all(|scan| !scan.under_way) {
            self.left_lately.retain(|_, at| now.duration_since(*at).abs() < LEFT_LATELY);
        }
        for file in changed.iter().filter(|file| file.state != planner::FileState::Present) {
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

    // A later start releases what was held as the newest of its series.
    fn release_series(&mut self, series: &std::collections::BTreeSet<(String, String)>) -> Result<(), EngineError> {
        let held: Vec<FileId> = self
            .settling
            .iter()
            .filter(|(_, file)| !file.in_work && series.contains(&(file.station.clone(), file.product.clone())))
            .map(|(id, _)| *id)
            .collect();
        for id in held {
            self.consider(id)?;
        }
        Ok(())
    }

    /// Keeps a file in mind until it is taken.
    pub(super) fn settles(&mut self, row: &FileRow) -> Result<(), EngineError> {
        if self.is_left_alone(row) {
            return Ok(());
        }
        let in_work = self.settling.get(&row.id).is_some_and(|file| file.in_work);
        let tries = self.settling.get(&row.id).map_or(0, |file| file.tries);
        self.settling.insert(
            row.id,
            Settling {
                station: row.station.clone(),
                product: row.product.clone(),
                path: row.path.clone(),
                in_work,
                wake: None,
                tries,
            },
        );
        if in_work { Ok(()) } else { self.consider(row.id) }
    }

    /// Hands a file to the intake if its ready rule allows it, else notes when to look again.
    pub(super) fn consider(&mut self, id: FileId) -> Result<(), EngineError> {
        let Some(row) = self.reader.file(id)? else { return Ok(()) };
        if row.state != FileState::Settling {
            self.settling.remove(&id);
            return Ok(());
        }
        let Some(product) = self.flow.products.get(&row.product).cloned() else { return Ok(()) };
        let unread = product.format.as_ref().filter(|format| {
            crate::probe::is_needed(&product) && !self.setup.formats.iter().any(|known| known == *format)
        });
        if unread.is_some() {
            // Said by the flow's notes; nothing that time brings can change it.
            return Ok(());
        }
        let fact = file_fact(&self.flow, row);
        let facts = self.facts();
        let answer = readiness(&product, &fact, &facts);
        facts.trouble()?;
        let wake = match answer {
            Readiness::Yes => None,
            Readiness::No(reason) => Some(reason.until),
        };
        let Some(file) = self.settling.get_mut(&id) else { return Ok(()) };
        match wake {
            None => {
                let take = Take {
                    file: id,
                    station: file.station.clone(),
                    product: file.product.clone(),
                    path: file.path.clone(),
                };
                if self.intake.offer(take) {
                    file.in_work = true;
                } else {
                    let at = self.setup.clock.now();
                    self.settling_wakes.insert((at, id));
                }
            }
            Some(None) => {}
            Some(Some(at)) => {
                if let Some(old) = file.wake.replace(at) {
                    self.settling_wakes.remove(&(old, id));
                }
                self.settling_wakes.insert((at, id));
            }
        }
        Ok(())
    }

    pub(super) fn take_what_is_ready(&mut self) -> Result<(), EngineError> {
        let now = self.now();
        // Each once: a clock that is set back meanwhile puts them all before `now` again.
        let due: Vec<_> = self.settling_wakes.iter().copied().take_while(|(at, _)| *at <= now).collect();
        for (at, id) in due {
            if !self.settling_wakes.remove(&(at, id)) {
                continue;
            }
            let Some(file) = self.settling.get_mut(&id) else { continue };
            file.wake = None;
            if file.in_work {
                continue;
            }
            // `quiet` counts from an own observation: it is looked at again before it is taken.
            let (station, path) = (file.station.clone(), file.path.clone());
            let mut seen = Vec::new();
            self.look_at(&station, &path, Sight::Listed { open: true }, &mut seen);
            self.observe(seen)?;
            self.consider(id)?;
        }
        Ok(())
    }

    /// Records what the intake has read.
    pub(super) fn taken(&mut self, taken: Vec<(Take, Taken)>) -> Result<(), EngineError> {
        if taken.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut settled = Vec::new();
        let mut bad = Vec::new();
        for (take, outcome) in taken {
            let tries = self.settling.get_mut(&take.file).map_or(0, |file| {
                file.in_work = false;
                file.tries
            });
            let Some(row) = self.reader.file(take.file)? else { continue };
            if row.state != FileState::Settling {
                self.settling.remove(&take.file);
                continue;
            }
            match outcome {
                Taken::Took(took) => match self.settled(&row, *took, now) {
                    Ok(one) => settled.push((take, one)),
                    Err(failure) => bad.push((row, failure)),
                },
                Taken::Changed(meta) => {
                    if let Some(meta) = meta {
                        let folder = meta.kind == thalweg_store::Kind::Folder;
                        let how = Sight::Listed { open: true };
                        let file = Seen {
                            station: row.station.clone(),
                            path: row.path.clone(),
                            stat: stat_of(&meta),
                            folder,
                            how,
                        };
                        self.observe(vec![file])?;
                        self.again(take.file, tries, now);
                    }
                }
                Taken::Gone => self.vanished(vec![(take.file, take.path)])?,
                Taken::Failed(failure) if failure.class == ErrorClass::Data => bad.push((row, failure)),
                Taken::Failed(failure) => {
                    let event = Event::FileTrouble {
                        station: row.station.clone(),
                        path: row.path.clone(),
                        message: failure.message.clone(),
                    };
                    self.say(&event);
                    self.outcome.failed += 1;
                    self.note_file("file_trouble", &row, &failure.message, now)?;
                    self.again(take.file, tries, now);
                    self.changed.push(file_fact(&self.flow, row));
                }
            }
        }
        self.record_settled(settled)?;
        for (row, failure) in bad {
            self.settling.remove(&row.id);
            self.put_aside(&row, &failure, None, None)?;
        }
        Ok(())
    }

    fn again(&mut self, id: FileId, tries: u32, now: Timestamp) {
        let wait = (READ_AGAIN.0 << tries.min(10)).min(READ_AGAIN.1);
        let at = now.checked_add(jiff::SignedDuration::from_secs(wait)).unwrap_or(now);
        if let Some(file) = self.settling.get_mut(&id) {
            file.tries += 1;
            file.wake = Some(at);
            self.settling_wakes.insert((at, id));
        }
    }

    /// Tells once of something that stands under a product's name and is no file, or no folder.
    pub(super) fn not_a_file(&mut self, station: &str, path: &RelPath, what: &str) -> Result<(), EngineError> {
        let known = self.reader.events_for_path(station, path)?;
        if known.iter().any(|event| event.kind == "not_a_file") {
            return Ok(());
        }
        let message = format!("it is {what}, where a file is expected: it is left where it is");
        let event = NewEvent {
            at: self.now(),
            kind: "not_a_file".into(),
            subject: None,
            station: Some(station.to_owned()),
            product: None,
            fields_key: None,
            path: Some(path.clone()),
            run: None,
            data: Some(serde_json::json!({ "message": message })),
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
            at: now,
            kind: kind.to_owned(),
            subject: None,
            station: Some(row.station.clone()),
            product: Some(row.product.clone()),
            fields_key: Some(row.fields_key.clone()),
            path: Some(row.path.clone()),
            run: None,
            data: Some(serde_json::json!({ "message": message })),
        };
        self.ledger.write(move |tx| tx.event(&event).map(drop))?;
        Ok(())
    }

    fn settled(&self, row: &FileRow, took: crate::intake::Took, now: Timestamp) -> Result<Settled, Failure> {
        let data = |message: String| Failure::new(ErrorClass::Data, message);
        let product =
            self.flow.products.get(&row.product).ok_or_else(|| data("its product is gone from the flow".into()))?;
        let mut fields = row.fields.clone();
        fields.extend(took.told.fields);
        let identity = identity(
            product,
            fields,
            took.told.coverage.or_else(|| row.range().filter(|_| product.covers_content)),
            now,
        );
        let mut fact = file_fact(&self.flow, row.clone());
        fact.fields.clone_from(&identity.fields);
        fact.coverage = identity.start.map(|start| thalweg_core::TimeRange::new(start, identity.end.unwrap_or(start)));
        requirement(&self.flow, product, &fact, now).map_err(data)?;
        // The digest of a folder goes with the facts of its files together.
        let stat =
            if took.hashed.meta.kind == thalweg_store::Kind::Folder { row.stat } else { stat_of(&took.hashed.meta) };
        Ok(Settled {
            identity,
            stat,
            content: took.hashed.hash,
            data_hash: took.told.data_hash,
            indexed: crate::facts::indexed_fields(&self.flow, &row.product).into_iter().collect(),
            origin: row.origin,
            run: row.run,
            verify_mode: "read".into(),
            at: now,
        })
    }

    fn record_settled(&mut self, settled: Vec<(Take, Settled)>) -> Result<(), EngineError> {
        if settled.is_empty() {
            return Ok(());
        }
        let (settled, recorded) = self.ledger.write(move |tx| {
            let recorded =
                settled.iter().map(|(take, one)| tx.settle(take.file, one)).collect::<Result<Vec<_>, _>>()?;
            Ok((settled, recorded))
        })?;
        for ((take, one), recorded) in settled.into_iter().zip(recorded) {
            if !recorded {
                // It changed between reading and recording: the row says so, and it settles anew.
                let mut seen = Vec::new();
                self.look_at(&take.station, &take.path, Sight::Listed { open: true }, &mut seen);
                self.observe(seen)?;
                self.consider(take.file)?;
                continue;
            }
            self.settling.remove(&take.file);
            let event = Event::FileTaken {
                station: take.station.clone(),
                product: take.product.clone(),
                path: take.path.clone(),
                size: one.stat.size,
            };
            self.say(&event);
            if let Some(row) = self.reader.file(take.file)? {
                self.until_next(&row)?;
                self.changed.push(file_fact(&self.flow, row));
            }
            self.retention_due = true;
        }
        Ok(())
    }

    // With `until = "next"` the file before this one in its series ends where this one starts.
    fn until_next(&mut self, row: &FileRow) -> Result<(), EngineError> {
        let Some(product) = self.flow.products.get(&row.product).filter(|product| product.until_next) else {
            return Ok(());
        };
        let Some(start) = row.start else { return Ok(()) };
        let around = self.reader.newest(&row.station, &row.product, Some(&row.group_key), true, 1000)?;
        let mut starts: Vec<&FileRow> = around.iter().filter(|other| other.start.is_some()).collect();
        starts.sort_by_key(|other| other.start);
        let later = starts.iter().find(|other| other.start > Some(start)).and_then(|other| other.start);
        let before = starts.iter().rev().find(|other| other.start < Some(start));
        let mut ends = Vec::new();
        for (file, next) in [(Some(row), later), (before.copied(), Some(start))] {
            let (Some(file), Some(next)) = (file, next) else { continue };
            let coverage = thalweg_flow::planner::coverage_of(product, &file.fields, Some(next));
            if let Some(coverage) = coverage
                && file.end != Some(coverage.end)
            {
                ends.push((file.id, coverage));
            }
        }
        for (id, coverage) in ends {
            self.ledger.write(move |tx| tx.set_coverage(id, Some(coverage.start), Some(coverage.end)))?;
            if let Some(row) = self.reader.file(id)? {
                self.changed.push(file_fact(&self.flow, row));
            }
        }
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

    /// Begins listings of all stations of this host.
    pub(super) fn scan_all(&mut self) {
        let stations: Vec<String> = self.places.stations().map(|(name, _, _)| name.to_owned()).collect();
        for station in stations {
            self.scan_below(&station, &RelPath::default());
        }
    }

    /// Begins a listing, or has one that is under way followed by another.
    pub(super) fn scan_below(&mut self, station: &str, below: &RelPath) {
        let state = self.scans.entry(station.to_owned()).or_default();
        let whole = below.as_str().is_empty();
        if state.under_way && whole {
            state.again = true;
            return;
        }
        let Some(store) = self.places.store(station).cloned() else { return };
        let Ok(reader) = self.ledger.reader() else { return };
        if whole {
            state.under_way = true;
        }
        let (flow, classifier, tell) = (self.flow.clone(), self.classifier.clone(), self.inbox.clone());
        let (station, below) = (station.to_owned(), below.clone());
        let now = self.now();
        let marks = self.marks.clone();
        let work = move || scan(&station, &below, store.as_ref(), &flow, &classifier, &marks, reader, now, &tell);
        if let Ok(thread) = self.setup.host.start("scan", Box::new(work)) {
            self.scan_threads.retain(|thread| !thread.is_over());
            self.scan_threads.push(thread);
        }
    }

    pub(super) fn scanned(&mut self, whole: bool, end: Scanned) -> Result<(), EngineError> {
        let now = self.now();
        let gone = end.missing.len();
        self.vanished(end.missing)?;
        if !whole {
            return Ok(());
        }
        let station = end.station;
        let missing = end.error.as_ref().and_then(|_| self.places.missing_root(&self.flow, &station));
        let error = missing.map(|missing| missing.to_string()).or(end.error);
        let listing = NewListing {
            station: station.clone(),
            folder: RelPath::default(),
            started: end.started,
            ended: now,
            error: error.clone(),
            entries: end.entries,
        };
        let root = self.places.store(&station).and_then(|store| store.stat(&RelPath::default()).ok().flatten());
        let root = root.filter(|_| error.is_none()).map(|meta| crate::scan::root_text(&meta));
        let name = crate::scan::root_meta(&station);
        let root = if self.reader.meta(&name)? == root { None } else { root };
        let strangers = if error.is_none() { self.strangers_if_new(&station, &end.strangers)? } else { None };
        self.ledger.write(move |tx| {
            if let Some(root) = &root {
                tx.meta_set(&name, root)?;
            }
            if let Some((name, text)) = &strangers {
                tx.meta_set(name, text)?;
            }
            tx.listing_done(&listing)
        })?;
        match error {
            Some(message) => {
                self.outcome.failed += 1;
                self.outcome.unlisted += 1;
                self.say(&Event::Trouble { station: station.clone(), message });
            }
            None => {
                let gone = u64::try_from(gone).unwrap_or(u64::MAX);
                self.say(&Event::Listed { station: station.clone(), files: end.entries, changed: 0, gone });
                self.trust_again(&station)?;
                self.put_aside_again(&station)?;
            }
        }
        let every = self.flow.stations.get(&station).map_or(thalweg_flow::RESCAN, |station| station.rescan);
        let share = f64::from(now.subsec_nanosecond().unsigned_abs() % 1000) / 1000.0;
        let state = self.scans.entry(station.clone()).or_default();
        state.under_way = false;
        state.due = now.checked_add(rescan_after(every, share)).ok();
        if std::mem::take(&mut state.again) {
            self.scan_below(&station, &RelPath::default());
        }
        // Waits for missing inputs run only by listings that succeeded.
        self.dirty_open_keys()?;
        self.retention_due = true;
        Ok(())
    }

    fn strangers_if_new(
        &self,
        station: &str,
        found: &crate::scan::Strangers,
    ) -> Result<Option<(String, String)>, EngineError> {
        if crate::scan::Strangers::at(&self.reader, station)? == *found {
            return Ok(None);
        }
        let text = serde_json::to_string(found).unwrap_or_default();
        Ok(Some((crate::scan::Strangers::name(station), text)))
    }

    pub(super) fn rescan_when_due(&mut self) {
        if self.mode == crate::Mode::Once || self.stopping.is_some() {
            return;
        }
        let now = self.now();
        let due: Vec<String> = self
            .scans
            .iter()
            .filter(|(_, state)| !state.under_way && state.due.is_some_and(|at| at <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for station in due {
            self.scan_below(&station, &RelPath::default());
        }
    }
}
