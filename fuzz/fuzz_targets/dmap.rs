//! Reads arbitrary bytes as dmap.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    thalweg_formats::dmap::read_all_for_check(bytes);
});
