//! `image resize`: a smaller picture of a picture.

use std::path::Path;

use ::image::imageops::{self, FilterType};
use ::image::{ImageReader, Limits};

use super::{encode, write};
use crate::context::VerbContext;
use crate::error::Error;

/// Most pixels of a side, and bytes in memory, of a picture that is read.
const LARGEST: u32 = 30_000;
const MEMORY: u64 = 1 << 30;

/// Options of [`resize`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResizeOptions {
    /// Pixels from left to right; the height goes with it. A picture that is no wider keeps its size.
    pub width: u32,
    /// Quality of a JPEG, 1 to 100.
    pub quality: u8,
    /// Replaces the output if it exists.
    pub force: bool,
}

/// Makes a picture smaller, sharpens it mildly, and leaves out what it says about itself. Returns its bytes.
///
/// # Errors
/// Data: the input is no picture, or too large a one. Refused: the output exists or is the input.
pub fn resize(input: &Path, output: &Path, options: ResizeOptions, context: &VerbContext) -> Result<u64, Error> {
    let work = || {
        let bad = |message: String| Error::Picture { path: input.to_owned(), message };
        let io = |source| Error::Io { action: "open", path: input.to_owned(), source };
        let mut reader = ImageReader::open(input).map_err(io)?.with_guessed_format().map_err(io)?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(LARGEST);
        limits.max_image_height = Some(LARGEST);
        limits.max_alloc = Some(MEMORY);
        reader.limits(limits);
        let picture = reader.decode().map_err(|error| bad(error.to_string()))?.into_rgb8();
        let (width, height) = picture.dimensions();
        let smaller = if options.width < width {
            let height = (u64::from(height) * u64::from(options.width) / u64::from(width)).max(1);
            let height = u32::try_from(height).unwrap_or(LARGEST);
            let small = imageops::resize(&picture, options.width, height, FilterType::Lanczos3);
            imageops::unsharpen(&small, 0.6, 2)
        } else {
            picture
        };
        write(&encode(&smaller, output, options.quality)?, output, &[input.to_owned()], options.force)
    };
    work().map_err(|error| context.failure(error))
}
