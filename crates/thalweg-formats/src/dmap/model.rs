//! A record as a value of its own: ordered fields, scalars before vectors.

use std::fmt;

/// Type of a scalar or of the elements of a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the format")]
pub enum Kind {
    Char,
    Short,
    Int,
    Float,
    Double,
    Text,
    Long,
    UChar,
    UShort,
    UInt,
    ULong,
}

impl Kind {
    /// Returns the kind that a type code stands for.
    pub fn from_code(code: i8) -> Option<Self> {
        Some(match code {
            1 => Self::Char,
            2 => Self::Short,
            3 => Self::Int,
            4 => Self::Float,
            8 => Self::Double,
            9 => Self::Text,
            10 => Self::Long,
            16 => Self::UChar,
            17 => Self::UShort,
            18 => Self::UInt,
            19 => Self::ULong,
            _ => return None,
        })
    }

    /// Returns the type code.
    pub fn code(self) -> u8 {
        match self {
            Self::Char => 1,
            Self::Short => 2,
            Self::Int => 3,
            Self::Float => 4,
            Self::Double => 8,
            Self::Text => 9,
            Self::Long => 10,
            Self::UChar => 16,
            Self::UShort => 17,
            Self::UInt => 18,
            Self::ULong => 19,
        }
    }

    /// Returns the bytes of one element; 0 for text.
    pub fn size(self) -> usize {
        match self {
            Self::Text => 0,
            Self::Char | Self::UChar => 1,
            Self::Short | Self::UShort => 2,
            Self::Int | Self::UInt | Self::Float => 4,
            Self::Double | Self::Long | Self::ULong => 8,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Char => "char",
            Self::Short => "short",
            Self::Int => "int",
            Self::Float => "float",
            Self::Double => "double",
            Self::Text => "string",
            Self::Long => "long",
            Self::UChar => "uchar",
            Self::UShort => "ushort",
            Self::UInt => "uint",
            Self::ULong => "ulong",
        })
    }
}

/// One typed value.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the format")]
pub enum Scalar {
    Char(i8),
    Short(i16),
    Int(i32),
    Float(f32),
    Double(f64),
    Text(String),
    Long(i64),
    UChar(u8),
    UShort(u16),
    UInt(u32),
    ULong(u64),
}

impl Scalar {
    /// Returns the type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Char(_) => Kind::Char,
            Self::Short(_) => Kind::Short,
            Self::Int(_) => Kind::Int,
            Self::Float(_) => Kind::Float,
            Self::Double(_) => Kind::Double,
            Self::Text(_) => Kind::Text,
            Self::Long(_) => Kind::Long,
            Self::UChar(_) => Kind::UChar,
            Self::UShort(_) => Kind::UShort,
            Self::UInt(_) => Kind::UInt,
            Self::ULong(_) => Kind::ULong,
        }
    }

    /// Returns a whole number, if it is one that fits.
    pub fn as_i64(&self) -> Option<i64> {
        Some(match *self {
            Self::Char(v) => v.into(),
            Self::Short(v) => v.into(),
            Self::Int(v) => v.into(),
            Self::Long(v) => v,
            Self::UChar(v) => v.into(),
            Self::UShort(v) => v.into(),
            Self::UInt(v) => v.into(),
            Self::ULong(v) => i64::try_from(v).ok()?,
            Self::Float(_) | Self::Double(_) | Self::Text(_) => return None,
        })
    }

    /// Returns a number with a fraction, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Float(v) => Some(v.into()),
            Self::Double(v) => Some(v),
            _ => None,
        }
    }
}

/// The elements of a vector, C order.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the format")]
pub enum Elements {
    Char(Vec<i8>),
    Short(Vec<i16>),
    Int(Vec<i32>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Long(Vec<i64>),
    UChar(Vec<u8>),
    UShort(Vec<u16>),
    UInt(Vec<u32>),
    ULong(Vec<u64>),
}

/// Does the same with the elements of every type.
macro_rules! each {
    ($elements:expr, $values:ident => $body:expr) => {
        match $elements {
            Elements::Char($values) => $body,
            Elements::Short($values) => $body,
            Elements::Int($values) => $body,
            Elements::Float($values) => $body,
            Elements::Double($values) => $body,
            Elements::Long($values) => $body,
            Elements::UChar($values) => $body,
            Elements::UShort($values) => $body,
            Elements::UInt($values) => $body,
            Elements::ULong($values) => $body,
        }
    };
}
pub(super) use each;

impl Elements {
    /// Returns the type of the elements.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Char(_) => Kind::Char,
            Self::Short(_) => Kind::Short,
            Self::Int(_) => Kind::Int,
            Self::Float(_) => Kind::Float,
            Self::Double(_) => Kind::Double,
            Self::Long(_) => Kind::Long,
            Self::UChar(_) => Kind::UChar,
            Self::UShort(_) => Kind::UShort,
            Self::UInt(_) => Kind::UInt,
            Self::ULong(_) => Kind::ULong,
        }
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        each!(self, values => values.len())
    }

    /// Tells if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An array with its shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector {
    /// Dimensions in C order (slowest first), the reverse of the order in the file.
    pub shape: Vec<usize>,
    /// As many elements as the product of the shape says.
    pub data: Elements,
}

/// A scalar or a vector.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// One value.
    Scalar(Scalar),
    /// An array.
    Vector(Vector),
}

/// One record. Scalars come before vectors; the order within each is kept when it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The code word of the header.
    pub code: i32,
    /// Names and values.
    pub fields: Vec<(String, Field)>,
}

impl Default for Record {
    fn default() -> Self {
        Self { code: super::write::CODE, fields: Vec::new() }
    }
}

impl Record {
    /// Returns the field called `name`; the last one if it occurs twice.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.fields.iter().rev().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// Returns the scalar called `name`.
    pub fn scalar(&self, name: &str) -> Option<&Scalar> {
        match self.get(name)? {
            Field::Scalar(scalar) => Some(scalar),
            Field::Vector(_) => None,
        }
    }

    /// Returns the vector called `name`.
    pub fn vector(&self, name: &str) -> Option<&Vector> {
        match self.get(name)? {
            Field::Vector(vector) => Some(vector),
            Field::Scalar(_) => None,
        }
    }
}
