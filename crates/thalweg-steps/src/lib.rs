//! thalweg-steps
