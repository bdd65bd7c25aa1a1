//! libFuzzer around [`boot_fuzz::hub::login::run`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| boot_fuzz::hub::login::run(input));
