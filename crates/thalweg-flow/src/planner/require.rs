//! What a sound file of a product must fulfil.

use std::collections::BTreeMap;

use super::FileFact;
use super::verdict::{Names, judge};
use crate::{Flow, Product};
use thalweg_core::Timestamp;

/// Tells if a file fulfils its product's `require`; the error says which condition does not hold, with its values.
pub fn requirement(flow: &Flow, product: &Product, file: &FileFact, now: Timestamp) -> Result<(), String> {
    let Some(require) = &product.require else { return Ok(()) };
    let roles = BTreeMap::new();
    let names = Names { flow, key: None, driving: std::slice::from_ref(file), roles: &roles, now };
    match judge(require, &names) {
        Ok(verdict) if verdict.holds => Ok(()),
        Ok(verdict) => Err(format!("it does not fulfil what {} requires: {}", product.name, verdict.because)),
        Err(error) => Err(error.to_string()),
    }
}
