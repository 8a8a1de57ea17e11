//! Output files: made under a temporary name beside the target, synchronised, and only then given their name.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A file on its way to its name. Dropped without [`Output::publish`] it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Output {
    target: PathBuf,
    temporary: PathBuf,
    force: bool,
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + use<'a> {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

impl Output {
    /// Makes the temporary file.
    ///
    /// Refuses a target that is one of `inputs`, and one that exists unless `force`.
    pub(crate) fn create(target: &Path, inputs: &[PathBuf], force: bool) -> Result<(Self, File), Error> {
        if let Ok(found) = std::fs::metadata(target) {
            let same = |input: &PathBuf| {
                std::fs::metadata(input).is_ok_and(|input| (input.dev(), input.ino()) == (found.dev(), found.ino()))
            };
            if inputs.iter().any(same) {
                return Err(Error::SourceIsTarget { path: target.to_owned() });
            }
        }
        if !force && std::fs::symlink_metadata(target).is_ok() {
            return Err(Error::TargetExists { path: target.to_owned() });
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        // Left over from a process that had the same number and was killed.
        let _ = std::fs::remove_file(&temporary);
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary);
        let file = file.map_err(failed("create", &temporary))?;
        Ok((Self { target: target.to_owned(), temporary, force }, file))
    }

    /// Gives the finished file its name; returns its size in bytes.
    #[expect(clippy::disallowed_methods, reason = "the one place of this crate that renames, with all syncs")]
    pub(crate) fn publish(self, file: &File) -> Result<u64, Error> {
        file.sync_all().map_err(failed("synchronise", &self.temporary))?;
        let size = file.metadata().map_err(failed("look at", &self.temporary))?.len();
        if self.force {
            std::fs::rename(&self.temporary, &self.target).map_err(failed("rename to", &self.target))?;
        } else {
            // A link, unlike a rename, never replaces what appeared in the meantime.
            match std::fs::hard_link(&self.temporary, &self.target) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(Error::TargetExists { path: self.target.clone() });
                }
                Err(_) if std::fs::symlink_metadata(&self.target).is_ok() => {
                    return Err(Error::TargetExists { path: self.target.clone() });
                }
                // Some file systems have no hard links.
                Err(_) => {
                    std::fs::rename(&self.temporary, &self.target).map_err(failed("rename to", &self.target))?;
                }
            }
        }
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        // Removes the temporary name first, so that one synchronisation covers both.
        drop(self);
        let handle = File::open(&folder).map_err(failed("open", &folder))?;
        handle.sync_all().map_err(failed("synchronise", &folder))?;
        Ok(size)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.temporary);
    }
}
