//! What concerns several parts of a flow at once.

use crate::parse::Draft;
use crate::reader::Reader;

/// Checks everything that the parts could not check by themselves.
pub(crate) fn validate(_reader: &mut Reader<'_>, _draft: &Draft) {}
