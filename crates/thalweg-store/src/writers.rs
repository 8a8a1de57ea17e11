//! Who has a file open for writing, as far as this host can tell.
//!
//! Looks through `/proc`: processes of other users are seen only with the right to, and writers on other hosts of a
//! network file system never. Nobody found is therefore no proof.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;

use crate::Meta;

/// The files that other processes of this host had open for writing at one moment.
#[derive(Debug, Clone, Default)]
pub struct OpenWriters(HashMap<(u64, u64), u32>);

impl OpenWriters {
    /// Looks at all processes once; what cannot be looked at is left out.
    pub fn snapshot() -> Self {
        let own = std::process::id();
        let mut found = HashMap::new();
        let Ok(processes) = std::fs::read_dir("/proc") else { return Self(found) };
        for process in processes.flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if pid == own {
                continue;
            }
            let Ok(open) = std::fs::read_dir(process.path().join("fd")) else { continue };
            for fd in open.flatten() {
                // The link's own permission bits tell how the file was opened.
                let writing = std::fs::symlink_metadata(fd.path()).is_ok_and(|link| link.mode() & 0o200 != 0);
                if writing
                    && let Ok(file) = std::fs::metadata(fd.path())
                    && file.is_file()
                {
                    found.insert((file.dev(), file.ino()), pid);
                }
            }
        }
        Self(found)
    }

    /// Makes what is known of these files and processes, for a simulated host.
    pub fn known(files: impl IntoIterator<Item = (Meta, u32)>) -> Self {
        Self(files.into_iter().map(|(meta, process)| ((meta.dev, meta.ino), process)).collect())
    }

    /// Returns a process that has this file open for writing; never the own one.
    pub fn writer_of(&self, meta: &Meta) -> Option<u32> {
        self.0.get(&(meta.dev, meta.ino)).copied()
    }
}
