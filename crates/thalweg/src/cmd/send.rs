//! `send`: copies files with proof.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use thalweg_core::RelPath;
use thalweg_store::{Hasher, LocalStore};
use thalweg_transfer::{Copied, CopyOptions, Verify, copy_verified};

use super::{Context, Done};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::words::size;

/// Copies files or folders to another place and proves that they arrived
///
/// Each copy is made beside its place, synchronised, compared by digest and only then given its name; after an
/// interruption the same command goes on where it was. What is there with the same content is not sent again; other
/// content under the name is refused. Only paths of this host are carried out.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg send 20191106.0000.00.sas.0.rawacf.h5 /borealis_nas/rawacf/\n  thalweg send data/*.h5 /mnt/usb --readback\n  thalweg send a.dat /backup/a-2024.dat"
)]
pub(crate) struct Send {
    /// Files or folders, then where to
    #[arg(value_name = "SRC... DEST", num_args = 2.., required = true)]
    paths: Vec<PathBuf>,
    /// Read every copy back from the medium before it counts
    #[arg(long)]
    readback: bool,
}

impl Send {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let Some((dest, sources)) = self.paths.split_last() else { return Err(Failure::usage("no destination")) };
        for path in &self.paths {
            local_only(path)?;
        }
        let into = dest.is_dir() || sources.len() > 1 || dest.as_os_str().as_bytes().ends_with(b"/");
        if into && !dest.is_dir() {
            return Err(Failure::usage(format!("{} is no folder", dest.display()))
                .help("make the folder first, or name the new file without a `/` at the end"));
        }
        let mut worst = Exit::Done;
        for source in sources {
            let target = if into { dest.join(source.file_name().unwrap_or_default()) } else { dest.clone() };
            match self.one(context, source, &target) {
                Ok(copied) => tell(context, source, &target, &copied)?,
                // One that cannot be sent does not stop the others.
                Err(failure) if sources.len() > 1 && !failure.silent => {
                    let text = if context.out.json { format!("{}\n", failure.json()) } else { failure.text() };
                    context.out.note(text.trim_end());
                    worst = worst.max(failure.exit);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(worst)
    }

    fn one(&self, context: &Context, source: &Path, target: &Path) -> Result<Copied, Failure> {
        let (from, from_path) = place(source)?;
        if std::fs::symlink_metadata(source).is_err() {
            return Err(Failure::usage(format!("{}: there is no such file", source.display())));
        }
        let (to, to_path) = place(target)?;
        if !target.parent().is_none_or(|folder| folder.as_os_str().is_empty() || folder.is_dir()) {
            return Err(Failure::usage(format!("the folder of {} is not there", target.display()))
                .help("make the folder first"));
        }
        // The same command finds what an interrupted one left.
        let mut id = Hasher::new();
        for path in [source, target] {
            id.update(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).as_os_str().as_bytes());
            id.update(&[0]);
        }
        let id = format!("send-{}", id.digest().short());
        let bar = (context.out.terminal && !context.out.json && context.out.verbosity >= 0).then(|| {
            let bar = indicatif::ProgressBar::new(0);
            let style = indicatif::ProgressStyle::with_template(
                "{msg}  {wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
            );
            bar.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()));
            bar.set_message(source.file_name().unwrap_or_default().to_string_lossy().into_owned());
            bar
        });
        let progress = |done: u64, total: u64| {
            if let Some(bar) = &bar {
                bar.set_length(total);
                bar.set_position(done);
            }
        };
        let options = CopyOptions {
            verify: if self.readback { Verify::Readback } else { Verify::Stream },
            on_progress: Some(&progress),
            ..CopyOptions::new(&id)
        };
        let copied = copy_verified(&from, &from_path, &to, &to_path, &options);
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        copied.map_err(|error| {
            let failure = Failure::from(error);
            if failure.exit == Exit::Refused {
                return Failure {
                    help: Some("compare the two; remove the one at the destination if it is not wanted".to_owned()),
                    ..failure
                };
            }
            failure
        })
    }
}

fn tell(context: &mut Context, source: &Path, target: &Path, copied: &Copied) -> Result<(), Failure> {
    let out = &mut context.out;
    if out.json {
        return out.object(&json!({
            "source": source.display().to_string(),
            "target": target.display().to_string(),
            "size": copied.size,
            "hash": copied.hash,
            "already_there": copied.already_there,
            "resumed_from": copied.resumed_from,
        }));
    }
    let how = if copied.already_there { "already there" } else { "sent" };
    out.line(format!(
        "{how}  {} -> {}  {}, {}",
        source.display(),
        target.display(),
        size(copied.size),
        copied.hash.short()
    ))
}

// The folder and the name below it.
fn place(path: &Path) -> Result<(LocalStore, RelPath), Failure> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(Failure::usage(format!("{} has no name of its own", path.display())));
    };
    Ok((LocalStore::open(folder)?, RelPath::from_bytes(name.as_bytes())))
}

fn local_only(path: &Path) -> Result<(), Failure> {
    let text = path.to_string_lossy();
    let host = text.split_once(':').is_some_and(|(host, _)| !host.is_empty() && !host.contains('/'));
    if host && !path.exists() {
        return Err(Failure::config(format!("{text} names another host: only paths of this host are carried out"))
            .help("mount the other host's folder here, or write ./ before a name that holds a colon"));
    }
    Ok(())
}
