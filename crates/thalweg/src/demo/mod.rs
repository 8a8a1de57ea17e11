//! Demonstrations: input that is made up, the shipped flow of a system carried out on it, and the story of what happened.
//!
//! A system is an entry of [`SYSTEMS`]. What it demonstrates is done by the engine and told by the ledger and the planner;
//! nothing here decides about files.

mod folder;
mod story;
mod superdarn;

pub(crate) use folder::Folder;
pub(crate) use story::Story;

use crate::failure::Failure;

/// Makes the input of a system in a folder, telling each file.
pub(crate) type MakeInput = fn(&Folder, &mut dyn FnMut(&str)) -> Result<(), Failure>;

/// A system that can be demonstrated.
#[derive(Debug)]
pub(crate) struct System {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What is shown, in a sentence.
    pub(crate) about: &'static str,
    /// The shipped flow file.
    pub(crate) flow: &'static str,
    /// Makes the input, the same every time, telling each file when it is there; what is there already stays.
    pub(crate) make_input: MakeInput,
    /// Files that are bad on purpose, by the last part of their names.
    pub(crate) damaged: &'static [&'static str],
    /// Steps of which it is told when their condition leaves a file out.
    pub(crate) choosing: &'static [&'static str],
    /// A file whose whole story is worth reading, as STATION/PATH.
    pub(crate) example: &'static str,
    /// What `coverage` is asked: a product and the span of the input.
    pub(crate) coverage: &'static str,
}

/// The systems.
pub(crate) static SYSTEMS: &[System] = &[superdarn::SYSTEM];

/// Returns a system by its name.
///
/// # Errors
///
/// Usage, with the names that there are.
pub(crate) fn system(name: &str) -> Result<&'static System, Failure> {
    SYSTEMS.iter().find(|system| system.name == name).ok_or_else(|| {
        let names: Vec<String> = SYSTEMS.iter().map(|system| format!("{} ({})", system.name, system.about)).collect();
        Failure::usage(format!("there is no demonstration of `{name}`")).help(format!("there is: {}", names.join("; ")))
    })
}
