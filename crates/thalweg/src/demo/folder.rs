//! The folder of a demonstration: it is marked as ours before anything else is written there, so that a demonstration is
//! never let loose on somebody's data, and so that one that was killed goes on where it was.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use thalweg_core::RelPath;
use thalweg_store::{LocalStore, Store, write_atomically};

use super::System;
use crate::exit::Exit;
use crate::failure::Failure;

/// Name of the mark.
const MARK: &str = ".thalweg-demo";
/// Name of the flow file.
const FLOW_FILE: &str = "flow.toml";

/// The folder of a demonstration.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    mark: Mark,
}

/// How far making the input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Begun.
    Begun,
    /// Complete: it is never made again, whatever became of the files since.
    Complete,
}

impl Mark {
    fn text(self, system: &System) -> String {
        let state = match self {
            Self::Begun => "input being made",
            Self::Complete => "input complete",
        };
        format!("demonstration of {}: {state}\n", system.name)
    }
}

fn cannot(what: &str, path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::config(format!("failed to {what} {}: {error}", path.display())).help("name another folder with --dir")
}

impl Folder {
    /// Returns where a demonstration lies when no folder is named.
    pub(crate) fn usual(system: &System) -> PathBuf {
        std::env::temp_dir().join(format!("thalweg-demo-{}", system.name))
    }

    /// Opens a folder: one of this demonstration, an empty one, or one to be made.
    ///
    /// # Errors
    ///
    /// Refused, if other things are in it; configuration, if it cannot be used.
    pub(crate) fn open(path: &Path, system: &System) -> Result<Self, Failure> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        std::fs::create_dir_all(&path).map_err(|error| cannot("make", &path, &error))?;
        let others = tidy(&path)?;
        let mark = match std::fs::read_to_string(path.join(MARK)) {
            Ok(text) if text == Mark::Complete.text(system) => Mark::Complete,
            Ok(text) if text == Mark::Begun.text(system) => Mark::Begun,
            Ok(_) => return Err(refused(&path, "it holds another demonstration")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if let Some(name) = others {
                    return Err(refused(&path, &format!("it is not empty ({name})")));
                }
                let folder = Self { path, mark: Mark::Begun };
                folder.write(MARK, &Mark::Begun.text(system))?;
                return Ok(folder);
            }
            Err(error) => return Err(cannot("read", &path.join(MARK), &error)),
        };
        Ok(Self { path, mark })
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the flow file.
    pub(crate) fn flow_file(&self) -> PathBuf {
        self.path.join(FLOW_FILE)
    }

    /// Writes the shipped flow file unless one is there; tells if the one there is another.
    ///
    /// # Errors
    ///
    /// If it cannot be read or written.
    pub(crate) fn put_flow(&self, system: &System) -> Result<bool, Failure> {
        match std::fs::read_to_string(self.flow_file()) {
            Ok(text) => Ok(text != system.flow),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.write(FLOW_FILE, system.flow)?;
                Ok(false)
            }
            Err(error) => Err(cannot("read", &self.flow_file(), &error)),
        }
    }

    /// Tells if the input was made once already.
    pub(crate) fn has_input(&self) -> bool {
        self.mark == Mark::Complete
    }

    /// Notes that all input is made.
    ///
    /// # Errors
    ///
    /// If that cannot be written.
    pub(crate) fn note_input(&mut self, system: &System) -> Result<(), Failure> {
        self.write(MARK, &Mark::Complete.text(system))?;
        self.mark = Mark::Complete;
        Ok(())
    }

    /// Opens a station's folder for the files of an instrument.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub(crate) fn station(&self, root: &str) -> Result<Instrument, Failure> {
        let path = self.path.join(root);
        std::fs::create_dir_all(&path).map_err(|error| cannot("make", &path, &error))?;
        Ok(Instrument { store: LocalStore::open(&path)? })
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        write_atomically(&path, text.as_bytes()).map_err(|error| cannot("write", &path, &error))
    }
}

/// Removes files that a killed predecessor had begun to write; returns a name of something else that is there, if anything is.
fn tidy(path: &Path) -> Result<Option<String>, Failure> {
    let mut others = None;
    for entry in std::fs::read_dir(path).map_err(|error| cannot("list", path, &error))? {
        let entry = entry.map_err(|error| cannot("list", path, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(".thalweg-") && name.ends_with(".tmp") {
            std::fs::remove_file(entry.path()).map_err(|error| cannot("remove", &entry.path(), &error))?;
        } else {
            others.get_or_insert(name);
        }
    }
    Ok(others)
}

fn refused(path: &Path, why: &str) -> Failure {
    Failure::new(Exit::Refused, format!("{} is not taken for a demonstration: {why}", path.display()))
        .help("name an empty folder with --dir, or one that does not exist")
}

/// What an instrument writes at its station: every file appears whole, with the time at which it was closed.
#[derive(Debug)]
pub(crate) struct Instrument {
    store: LocalStore,
}

impl Instrument {
    /// Makes a file unless it is there; tells if it did.
    ///
    /// # Errors
    ///
    /// Those of `make` and of the store.
    pub(crate) fn file(
        &self,
        path: &RelPath,
        closed: thalweg_core::Timestamp,
        make: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        if self.store.stat(path)?.is_some() {
            return Ok(false);
        }
        let folder = path.parent();
        self.store.make_folder(&folder)?;
        // The same name every time: one left by a kill is written over.
        let temporary = folder.join(&format!(".{}.tmp", path.file_name()));
        make(&self.store.absolute(&temporary))?;
        let mtime = i64::try_from(closed.as_nanosecond()).unwrap_or_default();
        self.store.set_mtime(&temporary, mtime)?;
        self.store.move_within(&temporary, path)?;
        Ok(true)
    }
}
