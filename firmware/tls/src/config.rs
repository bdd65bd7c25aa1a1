//! What all connections of a device share.

use alloc::sync::Arc;
use core::{fmt, time::Duration};

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, version};

use crate::provider;

/// The hardware's entropy source did not deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy;

/// What TLS needs from the device; a `static` of the application.
pub struct Platform {
    /// Fills the buffer with random bytes that are good enough for keys: the TRNG, or a generator seeded from it.
    pub random: fn(&mut [u8]) -> Result<(), NoEntropy>,
    /// Seconds since 1970-01-01 UTC, `None` while the wall clock is not set. Without it no certificate is accepted.
    pub unix_time: fn() -> Option<u64>,
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Platform")
    }
}

impl TimeProvider for Platform {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = (self.unix_time)()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Hands rustls the platform's clock by value: it wants to own one.
#[derive(Debug)]
struct Clock(&'static Platform);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        self.0.current_time()
    }
}

/// Trust anchors, random numbers and clock; cheap to clone.
#[derive(Clone, Debug)]
pub struct Config(pub(crate) Arc<ClientConfig>);

/// A [`Config`] could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no trust anchor: every server would be refused.
    NoRoots,
    /// The trust anchor of this index is not an X.509 certificate in DER.
    BadRoot(usize),
    /// rustls refused the cipher suite and version.
    Unsupported,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoots => f.write_str("no trust anchor given"),
            Self::BadRoot(index) => write!(f, "trust anchor {index} is not a DER certificate"),
            Self::Unsupported => f.write_str("cipher suite or protocol version not supported"),
        }
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// A configuration that trusts the given CA certificates (X.509, DER) and nobody else. They are copied in part:
    /// name, key and name constraints; their own validity times and signatures are not looked at.
    pub fn new<'a>(
        platform: &'static Platform,
        roots: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, ConfigError> {
        let mut store = RootCertStore::empty();
        for (index, der) in roots.into_iter().enumerate() {
            store.add(CertificateDer::from(der)).map_err(|_| ConfigError::BadRoot(index))?;
        }
        if store.is_empty() {
            return Err(ConfigError::NoRoots);
        }
        let mut config =
            ClientConfig::builder_with_details(Arc::new(provider::provider(platform)), Arc::new(Clock(platform)))
                .with_protocol_versions(&[&version::TLS12])
                .map_err(|_| ConfigError::Unsupported)?
                .with_root_certificates(store)
                .with_no_client_auth();
        // One connection lasts for hours: a session cache would only cost RAM.
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }
}
