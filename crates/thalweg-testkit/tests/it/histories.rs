//! Histories of 2,000 seeds, in parts that run side by side.

use rstest::rstest;
use thalweg_testkit::{live, stay_on_processor};

/// Most faults in one history.
const FAULTS: u64 = 6;

fn all_promises_are_kept(seeds: std::ops::Range<u64>) {
    // The parts run side by side.
    stay_on_processor(usize::try_from(seeds.start).unwrap_or(0) / 500);
    for seed in seeds {
        let shown = live(seed, FAULTS, false).expect("the simulator works");
        assert!(
            shown.broken.is_empty(),
            "seed {seed}: {}\nagain: cargo run -p thalweg-testkit -- --first {seed} --seeds 1 --story",
            shown.broken.join("; ")
        );
    }
}

#[rstest]
#[case(1..501)]
#[case(501..1001)]
#[case(1001..1501)]
#[case(1501..2001)]
fn whatever_goes_wrong_every_promise_is_kept(#[case] seeds: std::ops::Range<u64>) {
    all_promises_are_kept(seeds);
}

#[test]
fn without_faults_everything_comes_to_its_place() {
    for seed in 1..41 {
        let shown = live(seed, 0, false).expect("the simulator works");
        assert_eq!((shown.faults, shown.broken), (0, Vec::new()), "seed {seed}");
    }
}

#[test]
fn a_seed_is_the_same_history_each_time() {
    for seed in [3, 14, 159] {
        let [one, other] = [(); 2].map(|()| live(seed, FAULTS, false).expect("the simulator works"));
        assert_eq!((one.steps, one.faults, one.trace), (other.steps, other.faults, other.trace), "seed {seed}");
    }
}
