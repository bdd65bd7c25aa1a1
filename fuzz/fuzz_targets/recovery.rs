//! libFuzzer around [`boot_fuzz::recovery::run`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| boot_fuzz::recovery::run(input));
