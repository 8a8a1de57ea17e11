//! One engine at a time on a ledger: a lock file that names its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::{EngineError, Setup};

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct InstanceLock {
    _file: File,
}

/// Returns the lock file in the folder of the engine's own files.
pub fn lock_path(state: &Path) -> PathBuf {
    state.join("engine.lock")
}

/// Takes the lock of a ledger's engine.
pub(crate) fn take(setup: &Setup) -> Result<InstanceLock, EngineError> {
    let path = lock_path(&setup.state);
    let state = |source| EngineError::State { path: path.clone(), source };
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(state)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(EngineError::Busy { pid: read_pid(&mut file).unwrap_or(0) });
        }
        Err(TryLockError::Error(source)) => return Err(state(source)),
    }
    file.set_len(0).map_err(state)?;
    file.rewind().map_err(state)?;
    writeln!(file, "{}", std::process::id()).map_err(state)?;
    file.sync_data().map_err(state)?;
    Ok(InstanceLock { _file: file })
}

/// Returns the process id of the engine that works on a ledger, if one does.
pub(crate) fn engine_pid(setup: &Setup) -> Option<u32> {
    let mut file = OpenOptions::new().read(true).open(lock_path(&setup.state)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => read_pid(&mut file).or(Some(0)),
        _ => None,
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
