//! Properties: whatever comes in whatever order, whoever runs first, and whatever becomes of it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use thalweg_core::{TimeRange, Timestamp};
use thalweg_flow::planner::{Evaluation, FileState, Occasion, evaluate};

use super::cases::flow_of;
use super::hard::{CHAIN, DAYS, LATE, MERGE, SETS, holds_what_is_there};
use super::world::{Arrival, Many, World};

/// Station, path and what the content covers.
type Coming = (&'static str, String, Option<(&'static str, &'static str)>);

/// A flow, the files that come, and the moment of it all.
struct Scene {
    flow: String,
    now: &'static str,
    files: Vec<Coming>,
}

const SCENES: usize = 6;

// A campaign says how many by `PROPTEST_CASES`; the suite has a short form.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(64)
}

fn scene(n: usize) -> Scene {
    let file = |station: &'static str, path: &str| (station, path.to_owned(), None);
    match n {
        0 => Scene {
            flow: LATE.replace("wait = \"2h\"", "wait = \"0s\""),
            now: "2008-07-05T00:00:00Z",
            files: [899_164_800, 899_168_400, 899_172_000]
                .into_iter()
                .flat_map(|gps| [("trend", gps), ("dmt", gps)])
                .filter(|(kind, gps)| !(*kind == "dmt" && *gps == 899_172_000))
                .map(|(kind, gps)| file("archive", &format!("{kind}/H-{gps}-3600.gwf")))
                .collect(),
        },
        1 => Scene {
            flow: DAYS.to_owned(),
            now: "2024-03-01T00:00:00Z",
            files: ["1_1", "1+2_2", "2_3", "2+3_4", "3_5", "1_6"]
                .map(|name| file("pipeline", &format!("tm/{name}.xml")))
                .to_vec(),
        },
        2 => Scene {
            flow: CHAIN.to_owned(),
            now: "2024-03-03T00:00:00Z",
            files: ["2024030100", "2024030101", "2024030123", "2024030200"]
                .map(|name| file("s", &format!("raw/{name}.dat")))
                .to_vec(),
        },
        3 => Scene {
            flow: SETS.to_owned(),
            now: "2025-05-05T06:00:00Z",
            files: [
                "20250505.0000.sas.0",
                "20250505.0200.sas.0",
                "20250505.0200.sas.1",
                "20250505.0400.sas.0",
                "20250505.0000.inv.0",
                "20700101.0000.sas.0",
            ]
            .map(|name| file("radar", &format!("{name}.h5")))
            .to_vec(),
        },
        4 => Scene {
            flow: MERGE.replace("or_after = \"24h\"", "or_after = \"0s\""),
            now: "2017-05-06T00:00:00Z",
            files: vec![
                ("server", "raw/a_20170504_000000.dat".into(), Some(("2017-05-04T00:00:00Z", "2017-05-04T12:00:00Z"))),
                ("server", "raw/a_20170504_120000.dat".into(), Some(("2017-05-04T12:00:00Z", "2017-05-05T00:00:00Z"))),
                ("server", "raw/b_20170504_000000.dat".into(), Some(("2017-05-04T00:00:00Z", "2017-05-04T08:30:00Z"))),
                ("server", "raw/b_20170504_160000.dat".into(), Some(("2017-05-04T16:00:00Z", "2017-05-04T17:00:00Z"))),
                ("server", "raw/c_20170504_000000.dat".into(), Some(("2017-05-04T00:00:00Z", "2017-05-04T20:00:00Z"))),
            ],
        },
        _ => Scene {
            flow: include_str!("../../planning/stix-days/flow.toml").to_owned(),
            now: "2024-03-01T00:00:00Z",
            files: ["1_1", "1+2_2", "2_3"].map(|name| file("pipeline", &format!("tm/{name}_PktTmRaw.xml"))).to_vec(),
        },
    }
}

impl Scene {
    fn world(&self) -> World {
        let texts = BTreeMap::from([("dsms.txt".to_owned(), "a\nb\nc\n".to_owned())]);
        let mut w = World::new(flow_of("flow.toml", &self.flow, &texts), self.now.parse().unwrap());
        for product in ["l0", "plain"] {
            w.many.insert(product.into(), Many::Split { from: "days".into(), to: "day".into() });
        }
        w
    }

    fn arrive(&self, w: &mut World, n: usize, content: Option<String>) {
        let (station, path, covers) = &self.files[n];
        let span = |(from, to): &(&str, &str)| TimeRange::new(from.parse().unwrap(), to.parse().unwrap());
        w.arrive(station, path, Arrival { content, covers: covers.as_ref().map(span), ..Arrival::default() });
    }
}

/// Runs up to `count` ready tasks, chosen by `seed`.
fn run_some(w: &mut World, count: usize, seed: usize) {
    w.open_rounds();
    for n in 0..count {
        let tasks = w.ready();
        if tasks.is_empty() {
            return;
        }
        let task = tasks[(seed + n) % tasks.len()].clone();
        w.run(&task);
        w.look();
    }
}

fn settle_seeded(w: &mut World, seed: usize) {
    let mut turn = seed;
    w.settle_by(&mut |_, tasks| {
        turn = turn.wrapping_mul(31).wrapping_add(7);
        turn % tasks.len()
    });
}

fn same_answer(w: &World, e: &Evaluation, at: Timestamp) -> Result<(), TestCaseError> {
    let mut later = w.facts.clone();
    later.now = at;
    let then = evaluate(&w.flow, &e.key, &later, Occasion::default());
    prop_assert_eq!(
        (e.there, e.next, &e.reason.code),
        (then.there, then.next, &then.reason.code),
        "{} changed at {} though it said {:?}",
        e.key,
        at,
        e.reason
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// The order of arrival, and what runs when, never change the end; and the end is a rest.
    #[test]
    fn order_is_irrelevant(
        n in 0..SCENES,
        order in Just((0..6usize).collect::<Vec<_>>()).prop_shuffle(),
        runs in prop::collection::vec((0..3usize, 0..100usize), 6),
        twice in 0..6usize,
    ) {
        let scene = scene(n);
        let mut straight = scene.world();
        for n in 0..scene.files.len() {
            scene.arrive(&mut straight, n, None);
        }
        straight.after(jiff::SignedDuration::from_mins(5));
        straight.settle();
        let mut w = scene.world();
        w.watch_touched = true;
        for (n, (count, seed)) in order.iter().zip(&runs) {
            if *n < scene.files.len() {
                scene.arrive(&mut w, *n, None);
            }
            if twice < scene.files.len() && *n == twice {
                scene.arrive(&mut w, twice, None);
            }
            run_some(&mut w, *count, *seed);
        }
        w.after(jiff::SignedDuration::from_mins(5));
        settle_seeded(&mut w, runs[0].1);
        prop_assert_eq!(w.end(), straight.end());
        prop_assert_eq!(w.words(), straight.words());
        if n == 1 {
            holds_what_is_there(&w);
        }
        let mut again = w.clone();
        again.story.clear();
        again.settle();
        prop_assert!(again.story.is_empty(), "a second run did {:?}", again.story);
    }

    /// After any change only touched keys have changed (the world asserts it), nothing becomes poorer (so too), it comes
    /// to rest again, and what was withdrawn is in nothing any more.
    #[test]
    fn changes_touch_what_they_change(
        n in 0..SCENES,
        changes in prop::collection::vec((0..6usize, 0..7usize, 0..3usize, 0..100usize), 1..8),
    ) {
        let scene = scene(n);
        let mut w = scene.world();
        w.watch_touched = true;
        for n in 0..scene.files.len() {
            scene.arrive(&mut w, n, None);
        }
        w.after(jiff::SignedDuration::from_mins(5));
        settle_seeded(&mut w, changes[0].3);
        for (which, what, runs, seed) in changes {
            let at = w.facts.now;
            // Sources and products alike.
            let places: Vec<(String, String)> = w.facts.files.iter().map(|f| (f.station.clone(), f.path.to_string())).collect();
            let (station, path) = places[(which * 7 + seed) % places.len()].clone();
            let source = scene.files.iter().position(|(s, p, _)| *s == station && *p == path);
            let state = match what {
                0 => Some(FileState::Retired { by: "keep".into(), at }),
                1 => Some(FileState::Gone { at }),
                2 if source.is_some() => Some(FileState::Withdrawn),
                3 if source.is_some() => Some(FileState::Quarantined { why: "bad".into() }),
                _ => None,
            };
            match (state, source) {
                (Some(state), _) => {
                    let known = w.facts.files.iter().any(|f| f.station == station && f.path.as_str() == path && f.hash.is_some());
                    if known {
                        w.state(&station, &path, state);
                    }
                }
                (None, Some(source)) => {
                    scene.arrive(&mut w, source, Some(format!("content {seed}")));
                }
                (None, None) => {}
            }
            run_some(&mut w, runs, seed);
        }
        w.after(jiff::SignedDuration::from_mins(5));
        settle_seeded(&mut w, 3);
        let mut again = w.clone();
        again.story.clear();
        again.settle();
        prop_assert!(again.story.is_empty(), "a second run did {:?}", again.story);
    }

    /// What a reason says of time holds: nothing changes before `until`, and nothing ever by time alone without it.
    #[test]
    fn time_alone_keeps_to_until(
        n in 0..SCENES,
        open in prop::collection::vec(any::<bool>(), 6),
        seed in 0..100usize,
        minutes in prop::collection::vec(1..40_000i64, 6),
    ) {
        let scene = scene(n);
        let mut w = scene.world();
        for (n, open) in open.iter().enumerate().take(scene.files.len()) {
            let (station, path, _) = scene.files[n].clone();
            scene.arrive(&mut w, n, None);
            if *open {
                w.change(station, &path, |file| file.evidence = thalweg_flow::planner::Evidence::None);
            }
        }
        if seed % 2 == 0 {
            w.after(jiff::SignedDuration::from_mins(5));
            settle_seeded(&mut w, seed);
        }
        for e in w.evaluations() {
            let end = e.reason.until;
            for span in &minutes {
                let at = w.facts.now.checked_add(jiff::SignedDuration::from_mins(*span)).unwrap();
                match end {
                    Some(until) if at >= until => {}
                    _ => same_answer(&w, &e, at)?,
                }
            }
            if let Some(until) = end {
                prop_assert!(until > w.facts.now, "{} says {:?}", e.key, e.reason);
                same_answer(&w, &e, until.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap())?;
            }
        }
    }
}
