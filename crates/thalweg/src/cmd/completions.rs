//! `completions`: shell completion.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::Write;

use super::{Context, Done};
use crate::cli::Cli;
use crate::exit::Exit;

/// Prints a script that completes commands in a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  thalweg completions bash > ~/.local/share/bash-completion/completions/thalweg\n  thalweg completions zsh > ~/.zfunc/_thalweg\n  thalweg completions fish > ~/.config/fish/completions/thalweg.fish"
)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        // The generator panics on a closed pipe, so it writes into memory.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "thalweg", &mut script);
        context.out.write_all(&script)?;
        Ok(Exit::Done)
    }
}
