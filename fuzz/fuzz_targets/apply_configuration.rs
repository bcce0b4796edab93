//! See `pintle_fuzz::apply_configuration`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pintle_fuzz::apply_configuration(data));
