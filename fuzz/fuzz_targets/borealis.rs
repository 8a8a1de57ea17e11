//! Reads arbitrary bytes as borealis.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    thalweg_formats::borealis::read_all_for_check(bytes);
});
