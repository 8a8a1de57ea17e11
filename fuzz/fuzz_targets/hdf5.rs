//! Reads arbitrary bytes as hdf5.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    thalweg_formats::hdf5::read_all_for_check(bytes);
});
