//! See `pintle_fuzz::json_patch`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pintle_fuzz::json_patch(data));
