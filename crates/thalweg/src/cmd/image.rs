//! `image resize`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use thalweg_steps::image::{ResizeOptions, resize};

use super::dmap::{readable, verb_context};
use super::{Context, Done};
use crate::exit::Exit;
use crate::words::size;

/// Works on pictures
#[derive(Debug, Args)]
pub(crate) struct Image {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes a picture smaller: a JPEG or PNG of a JPEG or PNG
    ///
    /// It is sharpened mildly, and what it says about itself is left out. A picture that is no wider keeps its size.
    #[command(
        after_help = "Examples:\n  thalweg image resize plot.jpg -o thumbnail-plot.jpg --width 160\n  thalweg image resize plot.png -o plot.jpg --width 1000"
    )]
    Resize {
        /// The picture
        #[arg(value_name = "IN")]
        input: PathBuf,
        /// The smaller one, .jpg or .png
        #[arg(short, long, value_name = "OUT")]
        output: PathBuf,
        /// Pixels from left to right; the height goes with it
        #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=30000))]
        width: u32,
        /// Quality of a JPEG
        #[arg(long, value_name = "1-100", default_value_t = 82, value_parser = clap::value_parser!(u8).range(1..=100))]
        quality: u8,
        /// Replace the output if it exists
        #[arg(long)]
        force: bool,
    },
}

impl Image {
    pub(crate) fn run(self, context: &mut Context) -> Done {
        let What::Resize { input, output, width, quality, force } = self.what;
        readable(&input)?;
        let bytes = resize(&input, &output, ResizeOptions { width, quality, force }, &verb_context()?)?;
        let out = &mut context.out;
        if out.json {
            out.document(&json!({ "picture": output.display().to_string(), "bytes": bytes }))?;
        } else if out.verbosity >= 0 {
            out.line(format!("{}: {}", output.display(), size(bytes)))?;
        }
        Ok(Exit::Done)
    }
}
