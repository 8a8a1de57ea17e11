//! The engine on real folders.

mod backward;
mod clock;
mod copies;
mod cutoff;
mod faults;
mod forward;
mod hours;
mod invariants;
mod steps;
mod versions;
mod workshop;
