//! Simulated histories in the suite. Long campaigns are the program's: `cargo run -p thalweg-testkit -- --seeds N`.

mod histories;
