//! The TLS 1.2 server as IoT Hub configures it, with seeded chance.
//!
//! One suite, ECDHE-RSA-AES128-GCM-SHA256, on P-256 and with RSA PKCS#1 SHA-256 signatures; no session tickets and no
//! resumption; a client certificate is asked for in every handshake and never required. Private randomness (server
//! random, key exchange) comes from the simulation's seed, so that a run repeats byte for byte. For tests only: the
//! seed is the secret.

mod client_certificate;
mod seeded;

pub use client_certificate::AskOnly;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring as ring_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{NoServerSessionStorage, ServerConfig, ServerConnection};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use sim_base::Rng;

use crate::CloudError;
use crate::keys::{Keys, rsa_key};

/// The suite of IoT Hub with everything random taken from `rng`: for the server here, and for clients in tests whose
/// bytes have to repeat as well. No secret is safe with it.
///
/// Each call leaks about a hundred bytes, because rustls wants its random source and key exchange group for the life
/// of the program.
pub fn seeded_provider(rng: Rng) -> CryptoProvider {
    let (secure_random, group) = seeded::leak(rng);
    CryptoProvider {
        cipher_suites: vec![ring_provider::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256],
        kx_groups: vec![group],
        secure_random,
        ..ring_provider::default_provider()
    }
}

/// Makes server connections.
#[derive(Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    clock: Arc<Clock>,
}

/// UTC as the services see it, for rustls.
#[derive(Debug, Default)]
struct Clock(AtomicU64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(core::time::Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

impl Acceptor {
    /// A server with the chain of `keys`.
    ///
    /// Each acceptor leaks what [`seeded_provider`] leaks.
    ///
    /// # Errors
    /// [`CloudError::Key`], [`CloudError::Tls`] if the chain or its key are not usable.
    pub fn new(keys: &Keys, rng: Rng) -> Result<Self, CloudError> {
        let chain = CertificateDer::pem_slice_iter(&keys.tls_chain_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| CloudError::Key { what: "TLS chain", why: error.to_string() })?;
        let signing_key = seeded::RsaSha256Key::new(rsa_key(&keys.tls_key_pem, "TLS server key")?);
        let certified = CertifiedKey::new(chain, Arc::new(signing_key));
        certified.end_entity_cert().map_err(|error| CloudError::Tls(error.to_string()))?;
        let clock = Arc::new(Clock::default());
        let provider = seeded_provider(rng);
        let algorithms = provider.signature_verification_algorithms;
        let mut config = ServerConfig::builder_with_details(Arc::new(provider), clock.clone())
            .with_protocol_versions(&[&rustls::version::TLS12])
            .map_err(|error| CloudError::Tls(error.to_string()))?
            .with_client_cert_verifier(Arc::new(client_certificate::AskOnly::new(algorithms)))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), clock })
    }

    /// Starts a connection at `now_unix`.
    ///
    /// # Errors
    /// [`CloudError::Tls`] if rustls refuses the configuration.
    pub fn accept(&self, now_unix: u64) -> Result<Stream, CloudError> {
        self.clock.0.store(now_unix, Ordering::Relaxed);
        let mut connection =
            ServerConnection::new(self.config.clone()).map_err(|error| CloudError::Tls(error.to_string()))?;
        // The session behind bounds what it queues; the limit of rustls would silently drop bytes.
        connection.set_buffer_limit(None);
        Ok(Stream { connection, established: false, failed: false })
    }
}

/// Who is at the other end of a TLS connection, by what the handshake proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Host name that the client asked for.
    pub sni: Option<String>,
    /// Certificates that the client presented, leaf first, DER; empty if none. The client has proved that it holds the
    /// key of the leaf, and nothing more.
    pub certificates: Vec<Vec<u8>>,
}

/// A completed handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Established {
    /// The client.
    pub peer: Peer,
    /// Protocol version.
    pub version: String,
    /// Cipher suite.
    pub suite: String,
}

/// What bytes from the network led to.
#[derive(Debug, Default)]
pub struct Received {
    /// The handshake was completed by these bytes.
    pub established: Option<Established>,
    /// Application data.
    pub plaintext: Vec<u8>,
    /// The client announced the end of its data.
    pub end: bool,
}

/// The server's end of one TLS connection.
#[derive(Debug)]
pub struct Stream {
    connection: ServerConnection,
    established: bool,
    failed: bool,
}

impl Stream {
    /// Takes bytes from the network.
    ///
    /// # Errors
    /// [`rustls::Error`]; the alert for the client is still queued in [`transmit`](Self::transmit).
    pub fn receive(&mut self, mut bytes: &[u8]) -> Result<Received, rustls::Error> {
        let mut received = Received::default();
        while !bytes.is_empty() && !self.failed {
            // `read_tls` takes what fits its buffer; reading from a slice cannot fail otherwise.
            let taken =
                self.connection.read_tls(&mut bytes).map_err(|error| rustls::Error::General(error.to_string()))?;
            let state = self.connection.process_new_packets().inspect_err(|_| self.failed = true)?;
            if state.plaintext_bytes_to_read() > 0 {
                let start = received.plaintext.len();
                received.plaintext.resize(start + state.plaintext_bytes_to_read(), 0);
                self.connection
                    .reader()
                    .read_exact(&mut received.plaintext[start..])
                    .map_err(|error| rustls::Error::General(error.to_string()))?;
            }
            received.end |= state.peer_has_closed();
            if taken == 0 {
                break;
            }
        }
        if !self.established && !self.connection.is_handshaking() {
            self.established = true;
            received.established = Some(self.describe());
        }
        Ok(received)
    }

    fn describe(&self) -> Established {
        let connection = &self.connection;
        Established {
            peer: Peer {
                sni: connection.server_name().map(str::to_owned),
                certificates: connection
                    .peer_certificates()
                    .unwrap_or_default()
                    .iter()
                    .map(|certificate| certificate.to_vec())
                    .collect(),
            },
            version: connection.protocol_version().map_or_else(String::new, |version| format!("{version:?}")),
            suite: connection
                .negotiated_cipher_suite()
                .map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        }
    }

    /// Queues application data.
    pub fn send(&mut self, plaintext: &[u8]) {
        if !self.failed {
            // Writing into the unlimited buffer of rustls does not fail.
            let _ = self.connection.writer().write_all(plaintext);
        }
    }

    /// Queues the closing alert.
    pub fn close(&mut self) {
        if !self.failed {
            self.connection.send_close_notify();
        }
    }

    /// Takes what is to be sent to the network.
    pub fn transmit(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.connection.wants_write() {
            if self.connection.write_tls(&mut out).is_err() {
                break;
            }
        }
        out
    }

    /// Whether [`transmit`](Self::transmit) would yield bytes.
    pub fn has_output(&self) -> bool {
        self.connection.wants_write()
    }

    /// Whether the handshake is complete.
    pub fn is_established(&self) -> bool {
        self.established
    }
}
