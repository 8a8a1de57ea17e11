//! Searches by time against a plain count, and the plans by which they are answered.

use proptest::prelude::*;
use thalweg_core::{TimeRange, Value};
use thalweg_ledger::{FileFilter, FileState, Observed};

use crate::common::*;

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(t(start), t(end))
}

/// One file of the model: station, start, length (none: an instant), suspect.
type Model = (bool, Option<i64>, Option<i64>, bool);

fn model() -> impl Strategy<Value = Vec<Model>> {
    let length = prop_oneof![Just(None), (0..30_i64).prop_map(Some), Just(Some(400))];
    proptest::collection::vec(
        (any::<bool>(), proptest::option::weighted(0.9, 0..300_i64), length, prop::bool::weighted(0.1)),
        0..40,
    )
}

fn station(other: bool) -> &'static str {
    if other { "b" } else { "a" }
}

fn as_seen(n: usize, &(other, start, length, suspect): &Model) -> Observed {
    let mut seen = observed(station(other), "p", &format!("{n:03}"));
    seen.identity.start = start.map(t);
    seen.identity.end = start.and_then(|start| length.map(|length| t(start + length)));
    seen.identity.suspect = suspect.then(|| "odd".to_owned());
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn searches_by_time_find_what_a_count_finds(files in model(), from in -10..310_i64, length in 0..200_i64, size in 1..7_u32) {
        let place = Place::new();
        let wanted = range(from, from + length);
        let mut rows = Vec::new();
        for (n, file) in files.iter().enumerate() {
            rows.push((file, place.present(as_seen(n, file), n as u64)));
        }
        let reader = place.reader();
        let span = |&&(_, start, length, _): &&Model| {
            start.map(|start| range(start, start + length.unwrap_or(0)))
        };
        for at in [None, Some("a"), Some("b")] {
            let here = |file: &Model| at.is_none_or(|at| at == station(file.0));
            let mut expected: Vec<_> = rows.iter()
                .filter(|(file, _)| here(file) && !file.3 && span(file).is_some_and(|span| span.overlaps(&wanted)))
                .map(|&(file, id)| (file.1, id)).collect();
            expected.sort();
            let found: Vec<_> = reader.files_overlapping(at, "p", wanted, &[FileState::Present]).unwrap()
                .iter().map(|row| row.id).collect();
            prop_assert_eq!(found, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());

            // Coverage, second by second.
            let covered = reader.coverage("p", at, wanted).unwrap();
            for second in from..from + length {
                let by_file = rows.iter().any(|(file, _)| here(file) && !file.3 && span(file).is_some_and(|span| span.contains(t(second))));
                prop_assert_eq!(covered.iter().any(|span| span.contains(t(second))), by_file, "second {}", second);
            }
            prop_assert!(covered.windows(2).all(|pair| pair[0].end < pair[1].start));
            let gaps = reader.gaps("p", at, wanted, 0).unwrap();
            let total = |spans: &[TimeRange]| spans.iter().map(|span| span.end.as_second() - span.start.as_second()).sum::<i64>();
            prop_assert_eq!(total(&covered) + total(&gaps), length);

            // Pages put together are the whole listing, in order.
            for bounded in [false, true] {
                let filter = FileFilter {
                    station: at.map(str::to_owned),
                    product: Some("p".to_owned()),
                    from: bounded.then_some(wanted.start),
                    to: bounded.then_some(wanted.end),
                    ..FileFilter::default()
                };
                let mut expected: Vec<_> = rows.iter()
                    .filter(|(file, _)| here(file) && (!bounded || span(file).is_some_and(|span| span.overlaps(&wanted))))
                    .map(|&(file, id)| (file.1, id)).collect();
                expected.sort();
                let mut listed = Vec::new();
                let mut next = filter.clone();
                loop {
                    let page = reader.page(&next, size).unwrap();
                    listed.extend(page.iter().map(|row| row.id));
                    let Some(last) = page.last() else { break };
                    next.after = Some(last.id);
                }
                prop_assert_eq!(listed, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn one_odd_long_file_hides_nothing() {
    let place = Place::new();
    place.present(covering("a", "p", "long", 0, Some(400_000_000)), 1);
    for n in 0..20 {
        place.present(covering("a", "p", &format!("{n}"), n * 10, Some(n * 10 + 10)), 2);
    }
    let found = place.reader().files_overlapping(None, "p", range(55, 65), &[]).unwrap();
    assert_eq!(found.iter().map(|row| row.path.as_str()).collect::<Vec<_>>(), ["long", "5", "6"]);
}

#[test]
fn the_newest_of_a_group() {
    let place = Place::new();
    for (name, start) in [("one", 10), ("two", 20), ("three", 30)] {
        place.present(covering("a", "p", name, start, None), 1);
    }
    let mut odd = covering("a", "p", "2070", 1_500_000_000, None);
    odd.identity.suspect = Some("in the future".to_owned());
    place.present(odd, 2);
    let reader = place.reader();
    let newest = |group, suspect, n| -> Vec<String> {
        reader.newest("a", "p", group, suspect, n).unwrap().iter().map(|row| row.path.as_str().to_owned()).collect()
    };
    assert_eq!(newest(Some("site=sas"), true, 2), ["three", "two"]);
    assert_eq!(newest(Some("site=sas"), false, 1), ["2070"]);
    assert_eq!(newest(None, true, 1), ["three"]);
    assert!(newest(Some("site=kod"), true, 1).is_empty());
    assert_eq!(reader.younger_than("a", "p", "site=sas", t(10)).unwrap(), 2);
    let gone = reader.newest("a", "p", None, true, 1).unwrap()[0].id;
    place.write(move |tx| tx.set_state(gone, FileState::Gone, None, t(0)));
    assert_eq!(newest(None, true, 1), ["two"]);
}

#[test]
fn the_newest_that_is_known_may_have_gone_by_a_rule() {
    let place = Place::new();
    for (name, start) in [("one", 10), ("two", 20), ("three", 30)] {
        place.present(covering("a", "p", name, start, None), 1);
    }
    let mut kod = covering("a", "p", "kod", 15, None);
    kod.identity.fields.insert("site".to_owned(), "kod".into());
    kod.identity.group_key = "site=kod".to_owned();
    place.present(kod, 2);
    let reader = place.reader();
    let newest = |group| reader.newest_known("a", "p", group).unwrap().map(|row| row.path.as_str().to_owned());
    assert_eq!(reader.groups("a", "p").unwrap(), ["site=kod", "site=sas"]);
    assert!(reader.groups("b", "p").unwrap().is_empty() && reader.groups("a", "q").unwrap().is_empty());
    let set = |path: &str, state| {
        let id = reader.file_at("a", &self::path(path)).unwrap().unwrap().id;
        place.write(move |tx| tx.set_state(id, state, None, t(40)));
    };
    assert_eq!(newest(None).as_deref(), Some("three"));
    set("three", FileState::Retired);
    assert_eq!(newest(Some("site=sas")).as_deref(), Some("three"), "a rule that removes it makes nothing older");
    set("three", FileState::Gone);
    assert_eq!(newest(Some("site=sas")).as_deref(), Some("two"));
    assert_eq!(newest(Some("site=kod")).as_deref(), Some("kod"));
    assert_eq!(newest(Some("site=pgr")), None);
}

#[test]
fn without_times_the_newest_is_what_came_last() {
    let place = Place::new();
    let mut last = observed("a", "p", "last");
    last.at = t(5);
    place.present(last, 1);
    place.present(observed("a", "p", "first"), 2);
    let reader = place.reader();
    let newest = reader.newest_known("a", "p", None).unwrap().expect("a file");
    assert_eq!(newest.path.as_str(), "last");
    place.write(move |tx| tx.set_state(newest.id, FileState::Gone, None, t(40)));
    let newest = reader.newest_known("a", "p", Some("site=sas")).unwrap().expect("a file");
    assert_eq!(newest.path.as_str(), "first");
    place.write(move |tx| tx.set_state(newest.id, FileState::Gone, None, t(40)));
    assert!(reader.newest_known("a", "p", None).unwrap().is_none());
}

#[test]
fn a_coverage_told_later_is_found() {
    let place = Place::new();
    let file = place.present(covering("a", "p", "x", 10, None), 1);
    assert!(place.reader().coverage("p", None, range(0, 100)).unwrap().is_empty());
    place.write(move |tx| tx.set_coverage(file, Some(t(10)), Some(t(40))));
    assert_eq!(place.reader().coverage("p", None, range(0, 100)).unwrap(), [range(10, 40)]);
    place.write(move |tx| tx.set_suspect(file, Some("odd clock")));
    assert!(place.reader().coverage("p", None, range(0, 100)).unwrap().is_empty());
    place.write(move |tx| tx.set_suspect(file, None));
    assert_eq!(place.reader().coverage("p", None, range(20, 30)).unwrap(), [range(20, 30)]);
    assert_eq!(place.reader().gaps("p", None, range(0, 100), 20_000_000).unwrap(), [range(40, 100)]);
}

#[test]
fn listings_without_a_product_go_by_path_or_by_number() {
    let place = Place::new();
    for (at, product, name) in [("a", "p", "d/2"), ("a", "q", "d/1"), ("a", "p", "e/1"), ("b", "p", "d/0")] {
        place.present(observed(at, product, name), 1);
    }
    let list = |filter: FileFilter| -> Vec<String> {
        place.reader().page(&filter, 10).unwrap().iter().map(|row| row.path.as_str().to_owned()).collect()
    };
    let filter =
        FileFilter { station: Some("a".to_owned()), path_prefix: Some("d/".to_owned()), ..FileFilter::default() };
    assert_eq!(list(filter.clone()), ["d/1", "d/2"]);
    assert_eq!(list(FileFilter { product: Some("p".to_owned()), ..filter }), ["d/2"]);
    assert_eq!(list(FileFilter::default()), ["d/2", "d/1", "e/1", "d/0"]);
}

/// A search that reads the whole table is found here, not by its users in ten years.
#[test]
fn no_question_reads_a_whole_table() {
    let place = Place::new();
    let count = 100_000;
    let names = (0..count)
        .map(|n| covering("a", if n % 2 == 0 { "p" } else { "q" }, &format!("{n:06}"), n * 60, Some(n * 60 + 60)));
    place.ledger.bulk_observe(names, |_, _| {}).unwrap();
    let reader = place.reader();
    let id = reader.file_at("a", &path("000100")).unwrap().unwrap();
    let run = place.write(|tx| tx.run_start(&new_run("s", "k", 1, Vec::new())));
    let filter = FileFilter { station: Some("a".to_owned()), ..FileFilter::default() };
    let by_product = FileFilter { product: Some("p".to_owned()), ..filter.clone() };
    let bounded = FileFilter { from: Some(t(0)), to: Some(t(3600)), ..by_product.clone() };
    let after = FileFilter { after: Some(id.id), ..by_product.clone() };
    let plans = reader
        .explain(|r| {
            let (p, k, h, month) = ("p", id.fields_key.as_str(), &hash(1), range(0, 30 * 86400));
            r.file(id.id)?;
            r.file_at("a", &id.path)?;
            r.files_of(None, p, k)?;
            r.files_overlapping(None, p, month, &[])?;
            r.files_overlapping(Some("a"), p, month, &[FileState::Present])?;
            r.files_without_coverage(Some("a"), p, &[])?;
            r.suspects("a", p)?;
            r.latest_moment()?;
            r.newest("a", p, Some("site=sas"), true, 3)?;
            r.newest("a", p, None, true, 3)?;
            r.newest("a", p, None, false, 3)?;
            r.newest_known("a", p, Some("site=sas"))?;
            r.newest_known("a", p, None)?;
            r.groups("a", p)?;
            r.younger_than("a", p, "site=sas", t(0))?;
            r.files_by_field(Some("a"), p, "site", &Value::from("sas"))?;
            r.files_by_content(h)?;
            r.versions(id.id)?;
            r.page(&filter, 5)?;
            r.page(&FileFilter { path_prefix: Some("0001".to_owned()), ..filter.clone() }, 5)?;
            r.page(&by_product, 5)?;
            r.page(&bounded, 5)?;
            r.page(&after, 5)?;
            r.count(Some("a"), p, &[])?;
            r.settling("a").map(drop)?;
            r.known_files("a")?.next().transpose()?;
            r.known_files_below("a", &id.path)?.next().transpose()?;
            r.coverage(p, None, month)?;
            r.coverage(p, Some("a"), month)?;
            r.last_done("s", "k")?;
            r.attempts("s", "k", h)?;
            r.run(run)?;
            r.unfinished_runs()?;
            r.run_inputs(run)?;
            r.run_outputs(run)?;
            r.runs_using_content(h)?;
            r.runs_using(p, k)?;
            r.runs_making_path("a", &id.path)?;
            r.runs_leaving("s", "k")?;
            r.runs_leaving_at("a", &id.path)?;
            r.runs_making(p, k)?;
            r.runs_making_content(h)?;
            r.contributions_of(p, k, h)?;
            r.contributions_by("s", "k")?;
            r.copies_of(p, k, None)?;
            r.copies_of(p, k, Some(h))?;
            r.receipts_for(p, k, h)?;
            r.receipts_naming_input(p, k, h)?;
            r.key("s", "k")?;
            r.due_keys(t(0))?;
            r.next_wake()?;
            r.rounds("s")?;
            r.listing("a", &path("d"))?;
            r.holds_active()?;
            r.events_for_path("a", &id.path)?;
            Ok(())
        })
        .unwrap();
    assert!(plans.len() > 45);
    for (query, plan) in plans {
        for line in plan {
            // Small by nature: a row for each product, station and state; each station; the holds in force.
            let small = query.contains("FROM file_tallies f")
                || query.contains("FROM stations ORDER BY")
                || line == "SCAN h USING INDEX holds_active";
            let walk = line.contains("SCAN") && !small;
            assert!(!walk, "{query}\n{line}");
            // Sorting is for what a range of time bounds; a limit alone must find its rows in order.
            let sorts = line.contains("TEMP B-TREE") && query.contains("LIMIT") && !query.contains("span_levels");
            assert!(!sorts, "{query}\n{line}");
        }
    }
    // Every row of a day in a product of many, and of a year merged.
    assert_eq!(reader.files_overlapping(Some("a"), "p", range(0, 86400), &[]).unwrap().len(), 720);
    let all = reader.coverage_in("p", Some("a"), range(0, count * 60), &[FileState::Settling]).unwrap();
    assert_eq!(all.len(), 50_000);
}
