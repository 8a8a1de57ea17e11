//! Long campaigns of simulated histories: exit 0 if every promise was kept in all of them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use thalweg_testkit::{live, stay_on_processor};

/// Live through simulated histories of engines whose hosts die, whose disks fill and whose links break.
#[derive(Debug, Parser)]
#[command(
    name = "thalweg-testkit",
    after_help = "A seed that fails is lived through again with: --first SEED --seeds 1 --story"
)]
struct Arguments {
    /// How many histories.
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Most faults in one history.
    #[arg(long, default_value_t = 6)]
    faults: u64,
    /// Histories lived through side by side; as many as there are processors if left out.
    #[arg(long)]
    jobs: Option<usize>,
    /// Tell what happened, line by line.
    #[arg(long)]
    story: bool,
    /// Go on after a broken promise.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from)).max(1);
    let began = Instant::now();
    let next = AtomicU64::new(arguments.first);
    let end = arguments.first.saturating_add(arguments.seeds);
    let (lived, steps, faults, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let print = Mutex::new(());
    let live_through = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let shown = live(seed, arguments.faults, arguments.story);
            let _one_at_a_time = print.lock();
            match shown {
                Ok(shown) => {
                    steps.fetch_add(shown.steps, Ordering::Relaxed);
                    faults.fetch_add(shown.faults, Ordering::Relaxed);
                    if arguments.story {
                        shown.story.iter().for_each(|line| println!("{line}"));
                        println!("seed {seed}: {} steps, trace {:016x}", shown.steps, shown.trace);
                    }
                    if !shown.broken.is_empty() {
                        failed.fetch_add(1, Ordering::Relaxed);
                        println!("seed {seed}: {}", shown.broken.join("; "));
                        println!("  again: cargo run -p thalweg-testkit -- --first {seed} --seeds 1 --story");
                        stop.store(!arguments.keep_going, Ordering::Relaxed);
                    }
                }
                Err(what) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                    eprintln!("seed {seed}: {what}");
                    stop.store(true, Ordering::Relaxed);
                }
            }
            let lived = lived.fetch_add(1, Ordering::Relaxed) + 1;
            if lived.is_multiple_of(5000) {
                eprintln!("{lived} histories after {} s", began.elapsed().as_secs());
            }
        }
    };
    std::thread::scope(|scope| {
        for job in 0..jobs {
            let live_through = &live_through;
            scope.spawn(move || {
                stay_on_processor(job);
                live_through();
            });
        }
    });
    let failed = failed.into_inner();
    println!(
        "{} histories, {} steps, {} faults, {failed} with a broken promise, {:.1} s",
        lived.into_inner(),
        steps.into_inner(),
        faults.into_inner(),
        began.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(4) }
}
