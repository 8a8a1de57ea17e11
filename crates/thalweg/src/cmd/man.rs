//! `man`: the manual pages, made from the same definitions as the help.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_mangen::Man as Page;
use thalweg_core::RelPath;
use thalweg_store::{LocalStore, Store};

use super::{Context, Done};
use crate::cli::Cli;
use crate::exit::{Exit, TABLE};
use crate::failure::Failure;

/// Prints the manual page, or writes one page for each command into a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  thalweg man | man -l -\n  thalweg man --dir ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Folder for the pages thalweg.1, thalweg-run.1, ...
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let mut command = Cli::command();
        // The options of every command are handed down to each, to which some of its own refer.
        command.build();
        let Some(dir) = self.dir else {
            context.out.write_all(&page(&command)?)?;
            return Ok(Exit::Done);
        };
        std::fs::create_dir_all(&dir)
            .map_err(|error| Failure::config(format!("failed to make the folder {}: {error}", dir.display())))?;
        let mut written = 0;
        write(&dir, command, "thalweg", &mut written)?;
        context.out.line(format!("{written} pages in {}", dir.display()))?;
        Ok(Exit::Done)
    }
}

fn page(command: &clap::Command) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let page = Page::new(command.clone().disable_help_subcommand(true));
    page.render(&mut text)?;
    text.extend_from_slice(b".SH \"EXIT STATUS\"\n");
    for (exit, meaning) in TABLE {
        writeln!(text, ".TP\n{}\n{meaning}", exit.code())?;
    }
    Ok(text)
}

fn write(dir: &Path, command: clap::Command, name: &str, written: &mut u32) -> Result<(), Failure> {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let full = format!("{name}-{}", sub.get_name());
        write(dir, sub.clone(), &full, written)?;
    }
    // The page's name is the whole chain of words; clap wants it for as long as the program runs.
    let static_name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let text = page(&command.name(static_name))?;
    let store = LocalStore::open(std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()))?;
    store.write_atomically(&RelPath::from_text(format!("{name}.1")), &text)?;
    *written += 1;
    Ok(())
}
