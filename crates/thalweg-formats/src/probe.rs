//! What the content of a file says that its name may not.

use std::io;

use thalweg_core::{ErrorClass, Fields, TimeRange};

/// The time that a file covers, and fields read from its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// First instant inside to first instant no longer inside, UTC.
    pub coverage: TimeRange,
    /// Names and values.
    pub fields: Fields,
}

/// Says what can be done about a file that cannot be opened.
pub fn open_class(error: &io::Error) -> ErrorClass {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorClass::NotYet,
        io::ErrorKind::PermissionDenied => ErrorClass::Config,
        io::ErrorKind::IsADirectory => ErrorClass::Data,
        _ => ErrorClass::Transient,
    }
}
