//! thalweg-transfer
