//! thalweg-store
