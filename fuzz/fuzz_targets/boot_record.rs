//! libFuzzer around [`boot_fuzz::boot_record::run`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| boot_fuzz::boot_record::run(input));
