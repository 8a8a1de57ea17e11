//! Values with their shape and type, and conversions that lose nothing.

use super::dtype::Dtype;

/// Elements in C order, as little-endian bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Type of the elements.
    pub dtype: Dtype,
    /// Dimensions, slowest first; empty for a scalar; `None` for a null dataspace, which has no elements.
    pub shape: Option<Vec<usize>>,
    /// The elements. Text of variable length: places in the global heap, see [`super::File::texts`].
    pub bytes: Vec<u8>,
}

impl Array {
    /// Makes a scalar of fixed-length text; the empty text is one NUL.
    pub fn text(text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        if bytes.is_empty() {
            bytes.push(0);
        }
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Self { dtype: Dtype::Text { size }, shape: Some(Vec::new()), bytes }
    }

    /// Makes a one-dimensional array of fixed-length texts.
    pub fn texts(texts: &[&str]) -> Self {
        let size = texts.iter().map(|text| text.len()).max().unwrap_or(0).max(1);
        let mut bytes = Vec::with_capacity(size * texts.len());
        for text in texts {
            bytes.extend_from_slice(text.as_bytes());
            bytes.resize(bytes.len() + size - text.len(), 0);
        }
        let dtype = Dtype::Text { size: u32::try_from(size).unwrap_or(u32::MAX) };
        Self { dtype, shape: Some(vec![texts.len()]), bytes }
    }

    /// Makes an array of unsigned 32-bit numbers.
    pub fn u32s(shape: &[usize], values: &[u32]) -> Self {
        Self::numbers(Dtype::U32, shape, values.iter().flat_map(|value| value.to_le_bytes()))
    }

    /// Makes an array of signed 64-bit numbers.
    pub fn i64s(shape: &[usize], values: &[i64]) -> Self {
        Self::numbers(Dtype::I64, shape, values.iter().flat_map(|value| value.to_le_bytes()))
    }

    /// Makes an array of signed 16-bit numbers.
    pub fn i16s(shape: &[usize], values: &[i16]) -> Self {
        Self::numbers(Dtype::I16, shape, values.iter().flat_map(|value| value.to_le_bytes()))
    }

    /// Makes an array of bytes.
    pub fn u8s(shape: &[usize], values: &[u8]) -> Self {
        Self::numbers(Dtype::U8, shape, values.iter().copied())
    }

    /// Makes an array of 32-bit floats.
    pub fn f32s(shape: &[usize], values: &[f32]) -> Self {
        Self::numbers(Dtype::F32, shape, values.iter().flat_map(|value| value.to_le_bytes()))
    }

    /// Makes an array of 64-bit floats.
    pub fn f64s(shape: &[usize], values: &[f64]) -> Self {
        Self::numbers(Dtype::F64, shape, values.iter().flat_map(|value| value.to_le_bytes()))
    }

    /// Makes an array of truth values.
    pub fn bools(shape: &[usize], values: &[bool]) -> Self {
        Self::numbers(Dtype::Bool, shape, values.iter().map(|value| u8::from(*value)))
    }

    /// Makes an array of complex numbers.
    pub fn complexes(shape: &[usize], values: &[[f32; 2]]) -> Self {
        Self::numbers(Dtype::Complex64, shape, values.iter().flatten().flat_map(|value| value.to_le_bytes()))
    }

    fn numbers(dtype: Dtype, shape: &[usize], bytes: impl IntoIterator<Item = u8>) -> Self {
        Self { dtype, shape: Some(shape.to_vec()), bytes: bytes.into_iter().collect() }
    }

    /// Returns the dimensions; a null dataspace has one of 0.
    pub fn dims(&self) -> &[usize] {
        self.shape.as_deref().unwrap_or(&[0])
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.dims().iter().product()
    }

    /// Tells if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns texts of fixed length; none if it holds something else.
    pub fn fixed_texts(&self) -> Vec<String> {
        match self.dtype {
            Dtype::Text { size: 1.. } => self.bytes.chunks(self.dtype.size()).map(super::read::fixed_text).collect(),
            _ => Vec::new(),
        }
    }

    /// Returns the value in words for messages: a number or text, or type and shape.
    pub fn brief(&self) -> String {
        if let ([text], true) = (self.fixed_texts().as_slice(), self.dims().is_empty()) {
            return format!("{text:?}");
        }
        if self.len() <= 16 {
            if let Some(numbers) = self.to_i64s() {
                return format!("{numbers:?}");
            }
            if let Some(numbers) = self.to_f64s() {
                return format!("{numbers:?}");
            }
        }
        format!("{} {:?}", self.dtype, self.dims())
    }

    /// Keeps the first `length` places of an axis.
    pub fn cut(&mut self, axis: usize, length: usize) {
        let dims = self.dims().to_vec();
        let Some(old) = dims.get(axis).copied().filter(|old| length < *old) else { return };
        let place = dims[axis + 1..].iter().fold(self.dtype.size(), |size, dim| size.saturating_mul(*dim));
        let mut kept = Vec::new();
        if place > 0 {
            for block in self.bytes.chunks(place.saturating_mul(old)) {
                kept.extend_from_slice(&block[..(place * length).min(block.len())]);
            }
        }
        self.bytes = kept;
        if let Some(shape) = &mut self.shape {
            shape[axis] = length;
        }
    }

    /// Returns whole numbers (and truth values as 0 and 1), if all are such and fit.
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        to_i64s(&self.dtype, &self.bytes)
    }

    /// Returns floats, if they are.
    pub fn to_f64s(&self) -> Option<Vec<f64>> {
        to_f64s(&self.dtype, &self.bytes)
    }

    /// Returns 32-bit floats, if they are such.
    pub fn to_f32s(&self) -> Option<Vec<f32>> {
        let (chunks, _) = self.bytes.as_chunks();
        (self.dtype == Dtype::F32).then(|| chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
    }

    /// Returns complex numbers, if they are.
    pub fn to_complexes(&self) -> Option<Vec<[f32; 2]>> {
        (self.dtype == Dtype::Complex64).then(|| complexes(&self.bytes))
    }
}

/// Decodes whole numbers and truth values.
pub(crate) fn to_i64s(dtype: &Dtype, bytes: &[u8]) -> Option<Vec<i64>> {
    macro_rules! decode {
        ($type:ty) => {{
            let (chunks, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
            chunks.iter().map(|chunk| i64::try_from(<$type>::from_le_bytes(*chunk)).ok()).collect()
        }};
    }
    match dtype {
        Dtype::Bool => decode!(u8),
        Dtype::Int { size: 1, signed: false } => decode!(u8),
        Dtype::Int { size: 1, signed: true } => decode!(i8),
        Dtype::Int { size: 2, signed: false } => decode!(u16),
        Dtype::Int { size: 2, signed: true } => decode!(i16),
        Dtype::Int { size: 4, signed: false } => decode!(u32),
        Dtype::Int { size: 4, signed: true } => decode!(i32),
        Dtype::Int { size: 8, signed: false } => decode!(u64),
        Dtype::Int { size: 8, signed: true } => decode!(i64),
        _ => None,
    }
}

/// Decodes floats.
pub(crate) fn to_f64s(dtype: &Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    match dtype {
        Dtype::Float { size: 4 } => {
            let (chunks, _) = bytes.as_chunks();
            Some(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk).into()).collect())
        }
        Dtype::Float { size: 8 } => {
            let (chunks, _) = bytes.as_chunks();
            Some(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect())
        }
        _ => None,
    }
}

/// Decodes pairs of 32-bit floats.
pub(crate) fn complexes(bytes: &[u8]) -> Vec<[f32; 2]> {
    let (chunks, _) = bytes.as_chunks::<8>();
    chunks
        .iter()
        .map(|[a, b, c, d, e, f, g, h]| [f32::from_le_bytes([*a, *b, *c, *d]), f32::from_le_bytes([*e, *f, *g, *h])])
        .collect()
}
