//! Pictures: values as colours under axes, encoded as JPEG or PNG. Equal input gives equal bytes.

mod colour;
mod heatmap;
mod resize;

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use ::image::codecs::jpeg::JpegEncoder;
use ::image::{ImageFormat, RgbImage};

use crate::error::Error;
use crate::output::Output;

pub(crate) use heatmap::{Heatmap, Panel};
pub use resize::{ResizeOptions, resize};

/// Encodes a picture by what its name ends in.
///
/// # Errors
/// Config: the name ends in neither `.jpg` nor `.png`.
pub(crate) fn encode(picture: &RgbImage, path: &Path, quality: u8) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
    let result = match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some("jpg" | "jpeg") => JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(picture),
        Some("png") => picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png),
        _ => return Err(Error::PictureName { path: path.to_owned() }),
    };
    result.map_err(|source| Error::Picture { path: path.to_owned(), message: source.to_string() })?;
    Ok(bytes)
}

/// Writes bytes under a name, which holds them all or is not there.
pub(crate) fn write(bytes: &[u8], path: &Path, inputs: &[PathBuf], force: bool) -> Result<u64, Error> {
    let (output, mut file) = Output::create(path, inputs, force)?;
    file.write_all(bytes).map_err(|source| Error::Io { action: "write", path: path.to_owned(), source })?;
    output.publish(&file)
}
