//! Made by `build.rs` from PEM files.

include!(concat!(env!("OUT_DIR"), "/keys.rs"));
