//! thalweg-ledger
