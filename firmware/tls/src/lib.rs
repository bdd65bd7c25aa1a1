//! TLS 1.2 client for microcontrollers: the protocol is rustls', the cryptography is RustCrypto's.
//!
//! [`Config`] holds what all connections share: trust anchors and the [`Platform`]'s random numbers and wall clock.
//! [`Session`] is one connection over any [`embedded_io_async`] transport, and is such a transport itself.
//!
//! What Azure IoT Hub and its Device Provisioning Service need is what is here, and no more:
//! `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` over P-256, RSA certificate chains of 2048 to 4096 bits with PKCS#1 v1.5
//! or PSS signatures over SHA-256, SHA-384 and SHA-512, validity times, server name verification. A server may ask
//! for a client certificate; it gets an empty list (RFC 5246 section 7.4.6) and the device authenticates by token.
//!
//! `no_std`, needs a global allocator. [`rsa_pkcs1_sha256_verify`] is the same RSA code for other users, so that it
//! is in a program once.
#![no_std]

extern crate alloc;

mod config;
mod error;
mod provider;
mod session;

pub use config::{Config, ConfigError, NoEntropy, Platform};
pub use error::{Error, Reason};
pub use provider::{rsa_pkcs1_sha256_verify, rsa_pkcs1_sha256_verify_digest};
pub use rustls;
pub use session::{INBOUND_LEN, OUTBOUND_LEN, Session};
