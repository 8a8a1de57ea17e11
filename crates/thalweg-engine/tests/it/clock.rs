//! A clock that was wrong, and is set right.

use std::sync::Arc;

use thalweg_core::ManualClock;
use thalweg_engine::{Engine, Mode};

use crate::workshop::Workshop;

const FLOW: &str = r#"
flow = "clock"
[stations.here]
root = "data"
[products.raw]
path = "in/{time:%Y%m%d}.dat"
span = "1d"
ahead = "10d"
[products.calc]
path = "calc/{time:%Y%m%d}.dat"
span = "1d"
[products.daily]
path = "daily/{time:%Y%m%d}.dat"
span = "1d"
[steps.calc]
at = "here"
takes = "raw"
makes = "calc"
does = "copy"
[steps.daily]
at = "here"
takes = "calc"
per = ["1d"]
makes = "daily"
does = { run = ["cp", "{in}", "{out}"] }
"#;

#[test]
fn what_was_made_while_the_clock_was_behind_counts_when_it_is_set_right() {
    let workshop = Workshop::new(FLOW);
    workshop.write("data/in/20260103.dat", "measured");
    let clock = Arc::new(ManualClock::new("2026-01-01T12:00:00Z".parse().expect("a time")));
    let run = || {
        let mut setup = workshop.setup();
        setup.clock = clock.clone();
        Engine::open(setup).expect("the engine opens").run(Mode::Once, &mut |_| {}).expect("the engine runs");
    };
    run();
    assert_eq!(workshop.files("data/calc"), ["20260103.dat"]);
    assert!(workshop.files("data/daily").is_empty(), "its day seems to lie in the future");
    clock.set("2026-01-04T12:00:00Z".parse().expect("a time"));
    run();
    assert_eq!(workshop.read("data/daily/20260103.dat").as_deref(), Some("measured"));
}
