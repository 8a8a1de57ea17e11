//! Paths inside a station, kept byte for byte.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A path relative to a station's root, parts joined by `/`.
///
/// File names are bytes, and the rest of the program wants text. The text kept here is the path itself when it is
/// UTF-8 without a backslash; a backslash is written `\\` and a byte that is not UTF-8 is written `\xNN`. The mapping
/// is reversible: [`RelPath::to_bytes`] gives the very bytes that [`RelPath::from_bytes`] was given. Control
/// characters (a newline, say) stay as they are inside and are escaped by `Display`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelPath(String);

impl RelPath {
    /// Makes a path from the bytes that the operating system gave.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            if chunk.valid().contains('\\') {
                text.push_str(&chunk.valid().replace('\\', "\\\\"));
            } else {
                text.push_str(chunk.valid());
            }
            for byte in chunk.invalid() {
                text.push_str(&format!("\\x{byte:02x}"));
            }
        }
        Self(text)
    }

    /// Makes a path from text that is already in the escaped form of [`RelPath::as_str`].
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the escaped text: what patterns match and the ledger stores.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the bytes for the operating system.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len());
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find('\\') {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            let tail = &rest[at..];
            let hex = tail.get(2..4).filter(|_| tail.starts_with("\\x"));
            if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                bytes.push(byte);
                rest = &tail[4..];
            } else {
                bytes.push(b'\\');
                rest = tail.strip_prefix("\\\\").unwrap_or(&tail[1..]);
            }
        }
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    }

    /// Returns the last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the path without its last part; empty for a path of one part.
    pub fn parent(&self) -> Self {
        Self(self.0.rsplit_once('/').map(|(parent, _)| parent.to_owned()).unwrap_or_default())
    }

    /// Returns this path with `name` below it.
    pub fn join(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}/{name}", self.0)) }
    }

    /// Tells if the path stays inside its root: not empty, not absolute, no part `.` or `..`, no NUL.
    pub fn is_confined(&self) -> bool {
        !self.0.is_empty() && !self.0.contains('\0') && self.0.split('/').all(|part| !matches!(part, "" | "." | ".."))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_went_in() {
        for bytes in [
            &b"a/b.dat"[..],
            b"back\\slash",
            b"\\x41",
            b"bad\xff\xfename",
            b"new\nline",
            b"\\",
            b"\\\\x",
            b"caf\xc3\xa9\xc3",
        ] {
            assert_eq!(RelPath::from_bytes(bytes).to_bytes(), bytes, "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_come_back(bytes: Vec<u8>) {
            proptest::prop_assert_eq!(RelPath::from_bytes(&bytes).to_bytes(), bytes);
        }
    }
}
