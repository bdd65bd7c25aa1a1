//! libFuzzer around [`boot_fuzz::store::run`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| boot_fuzz::store::run(input));
