//! libFuzzer around [`boot_fuzz::image::run`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| boot_fuzz::image::run(input));
