//! The element types that are read and written.

use std::fmt;

use super::bytes::Bytes;
use super::error::Fault;

/// Type of the elements of a dataset or attribute. All numbers are little-endian.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Whole number.
    Int {
        /// Bytes: 1, 2, 4 or 8.
        size: u8,
        /// If it has a sign.
        signed: bool,
    },
    /// IEEE 754 number.
    Float {
        /// Bytes: 4 or 8.
        size: u8,
    },
    /// Enumeration of FALSE = 0 and TRUE = 1 in one byte.
    Bool,
    /// Two 32-bit floats `r` and `i`.
    Complex64,
    /// Text of fixed length, padded with NUL or blanks, or ended by NUL.
    Text {
        /// Bytes.
        size: u32,
    },
    /// Text of variable length, kept in the global heap.
    VarText,
    /// Anything else, which is told from damage but not decoded.
    Other {
        /// Bytes of an element.
        size: u32,
        /// Number of its class in the format.
        class: u8,
    },
}

impl Dtype {
    /// Unsigned 8 bits.
    pub const U8: Self = Self::Int { size: 1, signed: false };
    /// Signed 16 bits.
    pub const I16: Self = Self::Int { size: 2, signed: true };
    /// Unsigned 32 bits.
    pub const U32: Self = Self::Int { size: 4, signed: false };
    /// Signed 64 bits.
    pub const I64: Self = Self::Int { size: 8, signed: true };
    /// 32-bit float.
    pub const F32: Self = Self::Float { size: 4 };
    /// 64-bit float.
    pub const F64: Self = Self::Float { size: 8 };

    /// Returns the bytes of one element.
    pub fn size(&self) -> usize {
        match self {
            Self::Int { size, .. } | Self::Float { size } => usize::from(*size),
            Self::Bool => 1,
            Self::Complex64 => 8,
            Self::VarText => 16,
            Self::Text { size } | Self::Other { size, .. } => usize::try_from(*size).unwrap_or(usize::MAX),
        }
    }

    /// Tells if it is text of either sort.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::VarText)
    }

    pub(super) fn decode(message: &[u8]) -> Result<Self, Fault> {
        let mut bytes = Bytes::new(message, "datatype");
        let head = bytes.u32()?;
        let size = bytes.u32()?;
        let [kind, flags, ..] = head.to_le_bytes();
        let (class, version) = (kind & 15, kind >> 4);
        let other = Self::Other { size, class };
        let small = u8::try_from(size).unwrap_or(0);
        let little = flags & 1 == 0;
        Ok(match class {
            // A bit field of full width (class 4), as PyTables keeps truth values, is an unsigned number.
            0 | 4 if little && matches!(size, 1 | 2 | 4 | 8) => {
                let (offset, precision) = (bytes.u16()?, bytes.u16()?);
                if offset != 0 || u32::from(precision) != size * 8 {
                    return Ok(other);
                }
                Self::Int { size: small, signed: class == 0 && flags & 8 != 0 }
            }
            1 if little && matches!(size, 4 | 8) => Self::Float { size: small },
            3 => Self::Text { size },
            6 if size == 8 && Self::is_complex(head, version, bytes) => Self::Complex64,
            8 if size == 1 && Self::is_bool(head, version, bytes) => Self::Bool,
            9 if flags & 15 == 1 && size == 16 => Self::VarText,
            _ => other,
        })
    }

    /// Takes a member's name; padded to 8 bytes before version 3.
    fn member_name<'a>(bytes: &mut Bytes<'a>, version: u8) -> Option<&'a [u8]> {
        let end = bytes.rest().iter().position(|byte| *byte == 0)?;
        let stored = if version < 3 { (end + 8) & !7 } else { end + 1 };
        bytes.take(stored).ok().map(|name| &name[..end])
    }

    fn is_complex(head: u32, version: u8, mut bytes: Bytes<'_>) -> bool {
        let mut member = |name: &[u8], offset: u64| {
            let found = Self::member_name(&mut bytes, version)?;
            let at: u64 = if version < 3 { bytes.u32().ok()?.into() } else { bytes.u8().ok()?.into() };
            if version == 1 {
                bytes.take(28).ok()?;
            }
            let dtype = bytes.take(20).ok()?;
            let float = dtype[0] & 15 == 1 && dtype[1] & 1 == 0 && dtype[4..8] == [4, 0, 0, 0];
            (found == name && at == offset && float).then_some(())
        };
        head >> 8 & 0xffff == 2 && member(b"r", 0).is_some() && member(b"i", 4).is_some()
    }

    fn is_bool(head: u32, version: u8, mut bytes: Bytes<'_>) -> bool {
        let mut members = || {
            let base = bytes.take(12).ok()?;
            let names = [Self::member_name(&mut bytes, version)?, Self::member_name(&mut bytes, version)?];
            let values = bytes.take(2).ok()?;
            (base[0] & 15 == 0 && names == [b"FALSE".as_slice(), b"TRUE"] && values == [0, 1]).then_some(())
        };
        head >> 8 & 0xffff == 2 && members().is_some()
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int { size, signed } => write!(f, "{}int{}", if *signed { "" } else { "u" }, u32::from(*size) * 8),
            Self::Float { size } => write!(f, "float{}", u32::from(*size) * 8),
            Self::Bool => f.write_str("bool"),
            Self::Complex64 => f.write_str("complex64"),
            Self::Text { size } => write!(f, "text of {size} bytes"),
            Self::VarText => f.write_str("text of variable length"),
            Self::Other { size, class } => write!(f, "class {class} of {size} bytes"),
        }
    }
}
