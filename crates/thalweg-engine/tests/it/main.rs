//! The engine on real folders.

mod backward;
mod faults;
mod forward;
mod invariants;
mod steps;
mod workshop;
