//! thalweg-flow
