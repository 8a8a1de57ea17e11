//! The engine on real folders.

mod backward;
mod faults;
mod forward;
mod steps;
mod workshop;
