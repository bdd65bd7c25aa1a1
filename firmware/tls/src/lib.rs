//! TLS 1.2 client for microcontrollers: rustls with a small RustCrypto provider.
#![no_std]
