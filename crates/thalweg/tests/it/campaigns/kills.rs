//! Killed at random moments of `run`, `make`, `trim` and `scan`, the end is that of an undisturbed flow.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::world::{Dice, FLOW, Input, State, World, asked, inputs, names, say, wait_until};

const FILES: usize = 18;

/// The last commands of every world, undisturbed.
const END: [&[&str]; 5] = [
    &["run", "--once"],
    &["make", "plot", "--from", "2026-01-01", "--to", "2026-02-01"],
    &["trim", "--yes"],
    &["run", "--once"],
    &["trim", "--yes"],
];

fn ended(world: &World) -> Result<State, String> {
    for words in END {
        let (code, said) = world.run(words);
        // Bad files were put aside: that is told as 4.
        if !matches!(code, Some(0 | 4)) {
            return Err(format!("{words:?} ended with {code:?}: {said}"));
        }
    }
    let troubles = world.troubles();
    if troubles.is_empty() { Ok(world.state()) } else { Err(troubles.join("\n")) }
}

fn undisturbed(all: &[Input]) -> State {
    let world = World::new(FLOW);
    world.feed(all);
    ended(&world).expect("an undisturbed flow comes to its end")
}

/// What each final name may hold at any moment, from what it holds in the end.
fn partial_names(world: &World, expected: &State) -> Vec<String> {
    let mut wrong = Vec::new();
    for station in ["radar", "site", "campus"] {
        for name in names(&world.at().join(station)) {
            if name.starts_with('.') || name.ends_with(".report.json") || name.ends_with(".tmp") {
                continue;
            }
            let Ok(content) = std::fs::read(world.at().join(station).join(&name)) else { continue };
            let text = String::from_utf8_lossy(&content);
            let whole = match name.split('/').next().unwrap_or_default() {
                // Grows line by line, in order, no line more often than it is due in the end.
                "day" => {
                    let due = std::fs::read_to_string(world.at().join("expected").join(&name)).unwrap_or_default();
                    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
                    due.lines().for_each(|line| *left.entry(line).or_default() += 1);
                    text.ends_with('\n')
                        && text.lines().is_sorted()
                        && text.lines().all(|line| {
                            left.get_mut(line).is_some_and(|n| {
                                *n = n.wrapping_sub(1);
                                *n != usize::MAX
                            })
                        })
                }
                "shaped" => {
                    let body = text.strip_suffix("stamped\n").unwrap_or(&text);
                    let own = format!(" of {}", name.split('.').nth(1).unwrap_or_default());
                    !body.is_empty()
                        && body.lines().all(|line| line.starts_with("shaped-line ") && line.ends_with(&own))
                        && body.lines().count() == lines_of(&name)
                }
                "parts" | "plot" => text.lines().count() == lines_of(&name),
                _ => true,
            };
            if !whole {
                wrong.push(format!("{station}/{name}: {text:?}"));
            }
        }
    }
    let _ = expected;
    wrong
}

// Every input has two lines, once, twice or three times.
fn lines_of(name: &str) -> usize {
    let number: String = name.split('.').nth(1).unwrap_or_default().chars().take(3).collect();
    2 * (1 + number.parse::<usize>().unwrap_or_default() % 3)
}

struct Tally {
    kills: u64,
    by_command: BTreeMap<&'static str, u64>,
}

/// One flow, killed so many times on its way.
fn one_world(seed: u64, kills: u64, all: &[Input], expected: &State, tally: &mut Tally) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let world = World::new(FLOW);
    for (name, text) in days(all) {
        super::world::put(world.at(), &format!("expected/day/{name}"), text.as_bytes());
    }
    let mut fed = 0;
    for n in 0..kills {
        // The inputs come in portions, and all of them before the last kills.
        let upto =
            if n + 4 >= kills { all.len() } else { (fed + usize::try_from(dice.below(4)).unwrap_or(0)).min(all.len()) };
        world.feed(&all[fed..upto]);
        fed = upto;
        let (name, words): (&'static str, &[&str]) = match dice.below(10) {
            0 => ("scan", &["scan"]),
            1 => ("trim", &["trim", "--yes"]),
            2 | 3 => ("make", END[1]),
            _ => ("run", &["run", "--once", "--slots", "3"]),
        };
        let before = names(world.at()).len();
        let mut child = world.start(words);
        let from = Instant::now();
        let limit = match dice.below(3) {
            0 => Duration::from_millis(dice.below(40)),
            1 => Duration::from_millis(dice.below(300)),
            _ => {
                // When so many names have come or gone.
                let more = usize::try_from(dice.below(12)).unwrap_or(0);
                let mut over = false;
                wait_until(Duration::from_millis(500), || {
                    over = matches!(child.try_wait(), Ok(Some(_)));
                    over || names(world.at()).len().abs_diff(before) >= more
                });
                from.elapsed() + Duration::from_micros(dice.below(3000))
            }
        };
        wait_until(limit.saturating_sub(from.elapsed()), || matches!(child.try_wait(), Ok(Some(_))));
        let over = matches!(child.try_wait(), Ok(Some(_)));
        child.kill().expect("it can be killed");
        let status = child.wait().expect("it ends");
        if over {
            // Before there is a ledger there is nothing to trim; one whose making was cut off is none.
            let early = name == "trim" && status.code() == Some(3) && !world.has_ledger();
            if !early && !matches!(status.code(), Some(0 | 4)) {
                return Err(format!("{name} after {n} kills ended by itself with {status}: {}", world.said()));
            }
        } else {
            tally.kills += 1;
            *tally.by_command.entry(name).or_default() += 1;
        }
        let wrong = partial_names(&world, expected);
        if !wrong.is_empty() {
            return Err(format!("after {n} kills, the last in {name}, a final name is not whole: {wrong:#?}"));
        }
    }
    world.feed(&all[fed..]);
    let found = ended(&world)?;
    if found == *expected {
        return Ok(());
    }
    let kept = world.keep();
    Err(format!("the end is another (kept in {}): {}", kept.display(), difference(expected, &found)))
}

fn days(all: &[Input]) -> BTreeMap<String, String> {
    let mut days: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for input in all.iter().filter(|input| input.path.starts_with("radar/in/") && !input.text.starts_with("BAD")) {
        let day = input.path.trim_start_matches("radar/in/").split('.').next().unwrap_or_default();
        let lines = input.text.lines().map(|line| format!("shaped-{line}\n"));
        days.entry(format!("{day}.log")).or_default().extend(lines);
    }
    days.into_iter()
        .map(|(name, mut lines)| {
            lines.sort();
            (name, lines.concat())
        })
        .collect()
}

fn difference(expected: &State, found: &State) -> String {
    let mut lines = Vec::new();
    let mut maps = |what: &str, one: BTreeMap<String, String>, other: BTreeMap<String, String>| {
        for (name, value) in &one {
            match other.get(name) {
                Some(now) if now == value => {}
                Some(now) => lines.push(format!("{what} {name}: {value}, now {now}")),
                None => lines.push(format!("{what} {name}: {value}, now missing")),
            }
        }
        lines.extend(
            other
                .iter()
                .filter(|(name, _)| !one.contains_key(*name))
                .map(|(n, v)| format!("{what} {n}: {v}, too much")),
        );
    };
    maps("file", expected.files.clone(), found.files.clone());
    let keys = |state: &State| state.keys.iter().map(|((s, k), v)| (format!("{s} {k}"), v.clone())).collect();
    maps("key", keys(expected), keys(found));
    let bad = |state: &State| state.quarantine.iter().map(|(s, p, c)| (format!("{s}/{p}"), c.clone())).collect();
    maps("quarantine", bad(expected), bad(found));
    lines.join("\n")
}

/// `THALWEG_CAMPAIGN_KILLS` says how many, `THALWEG_CAMPAIGN_SEED` where to begin.
#[test]
fn killed_anywhere_the_end_is_that_of_an_undisturbed_flow() {
    let wanted = asked("THALWEG_CAMPAIGN_KILLS", 12);
    let per_world = 24.min(wanted);
    let all = inputs(0, FILES);
    let expected = undisturbed(&all);
    assert!(expected.files.len() > 40 && expected.quarantine.len() == 2, "{expected:#?}");
    let mut tally = Tally { kills: 0, by_command: BTreeMap::new() };
    let mut seed = asked("THALWEG_CAMPAIGN_SEED", 1);
    while tally.kills < wanted {
        let outcome = one_world(seed, per_world, &all, &expected, &mut tally);
        if let Err(why) = outcome {
            panic!(
                "seed {seed}: {why}\nto see it again: THALWEG_CAMPAIGN_SEED={seed} THALWEG_CAMPAIGN_KILLS={per_world} \
                 cargo nextest run -p thalweg campaigns::kills"
            );
        }
        say(&format!("seed {seed}: {} kills so far, {:?}", tally.kills, tally.by_command));
        seed += 1;
    }
}
