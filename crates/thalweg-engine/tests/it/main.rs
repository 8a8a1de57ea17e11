//! The engine on real folders.

mod backward;
mod forward;
mod steps;
mod workshop;
