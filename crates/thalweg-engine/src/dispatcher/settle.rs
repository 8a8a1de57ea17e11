//! Files that are seen and not taken yet: held until their ready rule allows it, read, and recorded as taken.

use thalweg_core::{ErrorClass, Timestamp};
use thalweg_flow::planner::{Readiness, readiness, requirement};
use thalweg_ledger::{FileId, FileRow, FileState, Settled};

use super::{Dispatcher, Settling};
use crate::classify::identity;
use crate::facts::file_fact;
use crate::intake::{Outcome as Taken, Take};
use crate::runner::Failure;
use crate::scan::{Seen, Sight, stat_of};
use crate::{EngineError, Event};

/// Waits after a file could not be read, doubled each time up to the longest.
const READ_AGAIN: (i64, i64) = (5, 600);

impl Dispatcher<'_> {
    // A later start releases what was held as the newest of its series.
    pub(super) fn release_series(
        &mut self,
        series: &std::collections::BTreeSet<(String, String)>,
    ) -> Result<(), EngineError> {
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
}
