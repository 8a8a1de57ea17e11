//! Output files: made under a temporary name beside the target, synchronised, and only then given their name.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thalweg_formats::dmap::{self, Writer};

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

    /// Returns the temporary name, for those who write to it by themselves; it must stay the same file.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Gives the new file mode, owner and time of the one whose place it takes.
    pub(crate) fn keep_attributes(&self, file: &File) -> Result<(), Error> {
        let old = std::fs::metadata(&self.target).map_err(failed("look at", &self.target))?;
        file.set_permissions(old.permissions()).map_err(failed("set the mode of", &self.temporary))?;
        // When it was measured decides about it later, not when it was mended.
        let time = old.modified().and_then(|time| file.set_modified(time));
        time.map_err(failed("set the time of", &self.temporary))?;
        // Only root may give a file away; for others the mode is what matters.
        let _ = std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()));
        Ok(())
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

/// A DMAP file on its way to its name; compressed if that ends in `.bz2`.
pub(crate) struct DmapOutput {
    path: PathBuf,
    output: Output,
    writer: Writer<BufWriter<File>>,
}

impl DmapOutput {
    /// As [`Output::create`].
    pub(crate) fn create(path: &Path, inputs: &[PathBuf], force: bool) -> Result<Self, Error> {
        let (output, file) = Output::create(path, inputs, force)?;
        let compress = path.extension().is_some_and(|extension| extension == "bz2");
        let writer = Writer::new(BufWriter::with_capacity(256 << 10, file), compress);
        Ok(Self { path: path.to_owned(), output, writer })
    }

    /// Appends records that are already encoded.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.writer.write_bytes(bytes).map_err(unwritten(&self.path))
    }

    /// Appends a record.
    pub(crate) fn write(&mut self, record: &dmap::Record) -> Result<(), Error> {
        self.writer.write(record).map_err(unwritten(&self.path))
    }

    /// Gives the finished file its name; returns its size in bytes.
    pub(crate) fn publish(self) -> Result<u64, Error> {
        let Self { path, output, writer } = self;
        let buffer = writer.finish().map_err(unwritten(&path))?;
        let file = buffer.into_inner().map_err(|error| failed("write", &path)(error.into_error()))?;
        output.publish(&file)
    }
}

fn unwritten(path: &Path) -> impl Fn(dmap::Error) -> Error + use<'_> {
    move |source| Error::WriteDmap { path: path.to_owned(), source: Box::new(source) }
}
