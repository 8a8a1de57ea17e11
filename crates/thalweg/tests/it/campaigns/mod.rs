//! Campaigns of faults against the real program: the binary, real folders, real processes.
//!
//! Each has a short form here in the suite and can be run at length; CONTRIBUTING.md says how. What a campaign asserts are
//! the three properties on which everything stands: nothing is lost, nothing is done twice, a step is a command.

mod clock;
mod disks;
mod engines;
mod kills;
mod load;
mod verbs;
mod world;
