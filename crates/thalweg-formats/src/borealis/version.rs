//! Which software wrote a file, and how it is laid out.

use std::fmt;

use super::error::Error;
use crate::hdf5::{Array, File, Link, Object};

/// Name of the field that holds the version text.
pub(super) const VERSION_FIELD: &str = "borealis_git_hash";

/// Version of the radar software, as far as it decides the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// First number.
    pub major: u8,
    /// Second number.
    pub minor: u8,
    /// The text as it stands in the file, e.g. `v0.5-233-g392d7ea`.
    pub text: String,
}

impl Version {
    /// Reads a version text: `v`, numbers joined by `.`, anything after the first `-`.
    ///
    /// # Errors
    /// Tells a text without a number from a number that is not known.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let missing = || Error::NoVersion { found: Some(text.to_owned()) };
        let numbers = text.strip_prefix('v').unwrap_or(text);
        let mut numbers = numbers.split('-').next().unwrap_or_default().split('.');
        let mut number = || numbers.next().and_then(|number| number.parse::<u8>().ok()).ok_or_else(missing);
        let (major, minor) = (number()?, number()?);
        // v0.2 and v0.3 have the fields of v0.4.
        if !(major == 1 || major == 0 && (2..=7).contains(&minor)) {
            return Err(Error::UnknownVersion { found: text.to_owned() });
        }
        Ok(Self { major, minor, text: text.to_owned() })
    }

    /// Returns the second number of the version that first had this one's fields (v0.x only).
    pub(super) fn format(&self) -> u8 {
        self.minor.max(4)
    }

    /// Tells if it is a version 1.
    pub fn is_v1(&self) -> bool {
        self.major == 1
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A group per record, v0.x.
    Site,
    /// Rows of datasets in the root, v0.x.
    Array,
    /// A group per record and `metadata`, v1.x.
    V1,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Averaged correlations.
    Rawacf,
    /// Beam-formed samples.
    Bfiq,
    /// Samples of each antenna.
    AntennasIq,
    /// Raw samples.
    Rawrf,
}

impl FileKind {
    /// Returns the word that file names use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rawacf => "rawacf",
            Self::Bfiq => "bfiq",
            Self::AntennasIq => "antennas_iq",
            Self::Rawrf => "rawrf",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What [`detect`] found out.
#[derive(Debug)]
pub(super) struct Detected {
    pub(super) version: Version,
    pub(super) layout: Layout,
    pub(super) kind: FileKind,
    /// The groups of records in order; empty in the array layout.
    pub(super) records: Vec<Link>,
    pub(super) root: Object,
    /// Everything in the root.
    pub(super) links: Vec<Link>,
}

fn version_attribute(file: &File, object: &Object) -> Result<Option<String>, Error> {
    let attributes = file.attributes(object)?;
    let Some(found) = attributes.into_iter().find(|attribute| attribute.name == VERSION_FIELD) else {
        return Ok(None);
    };
    first_text(file, &found.value).map(Some)
}

/// Returns the first text of a value, or why there is none.
pub(super) fn first_text(file: &File, value: &Array) -> Result<String, Error> {
    Ok(file.texts(value)?.into_iter().next().unwrap_or_default())
}

/// Finds out version, layout and kind.
pub(super) fn detect(file: &File) -> Result<Detected, Error> {
    let root = file.root()?;
    let links = file.links(&root)?;
    if let Some(text) = version_attribute(file, &root)? {
        let version = Version::parse(&text)?;
        if version.is_v1() {
            return Err(Error::NoLayout { found: text });
        }
        let kind = kind(&links, file, Layout::Array)?;
        return Ok(Detected { version, layout: Layout::Array, kind, records: Vec::new(), root, links });
    }
    // The first group in order of names decides; `metadata` comes after all numbers.
    let mut first = None;
    for link in &links {
        let object = file.open_link(link)?;
        if object.is_group() {
            first = Some(object);
            break;
        }
    }
    let Some(first) = first else { return Err(Error::NoVersion { found: None }) };
    let members = file.links(&first)?;
    let (text, layout) = match version_attribute(file, &first)? {
        Some(text) => (text, Layout::Site),
        None => {
            let Some(link) = members.iter().find(|link| link.name == VERSION_FIELD) else {
                return Err(Error::NoVersion { found: None });
            };
            let dataset = file.dataset(file.open_link(link)?)?;
            (first_text(file, &file.read(&dataset)?)?, Layout::V1)
        }
    };
    let version = Version::parse(&text)?;
    if version.is_v1() != (layout == Layout::V1) {
        return Err(Error::NoLayout { found: text });
    }
    let kind = kind(&members, file, layout)?;
    let records = links.iter().filter(|link| layout != Layout::V1 || link.name != "metadata").cloned().collect();
    Ok(Detected { version, layout, kind, records, root, links })
}

/// Tells the kinds apart by the fields that only they have.
fn kind(members: &[Link], file: &File, layout: Layout) -> Result<FileKind, Error> {
    let has = |name: &str| members.iter().any(|link| link.name == name);
    if layout == Layout::V1 {
        return Ok(if has("bfiq_data") {
            FileKind::Bfiq
        } else if has("antennas_iq_data") {
            FileKind::AntennasIq
        } else if has("rawrf_data") {
            FileKind::Rawrf
        } else {
            FileKind::Rawacf
        });
    }
    if has("data") {
        // Beams are numbered in all three, ranges only where beams were formed (and in v0.7 antennas_iq).
        let descriptors = members.iter().find(|link| link.name == "data_descriptors");
        let rank = match members.iter().find(|link| link.name == "data_dimensions") {
            Some(link) => file.dataset(file.open_link(link)?)?.shape().and_then(|shape| shape.first().copied()),
            None => match members.iter().find(|link| link.name == "data") {
                Some(link) => file.dataset(file.open_link(link)?)?.shape().map(|shape| shape.len() - 1),
                None => None,
            },
        };
        return Ok(match (rank, descriptors) {
            (Some(4), _) => FileKind::Bfiq,
            (Some(3), Some(_)) => FileKind::AntennasIq,
            _ => FileKind::Rawrf,
        });
    }
    Ok(FileKind::Rawacf)
}
