//! A certificate authority and a TLS server inside the transport: no threads, no sockets, no clock.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, Read as _, Write as _};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use device_tls::{Config, INBOUND_LEN, NoEntropy, OUTBOUND_LEN, Platform, Session};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, PKCS_RSA_SHA384, SignatureAlgorithm, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

pub const HOST: &str = "hub.azure-devices.net";
/// 2027-01-15, inside every certificate's validity unless a test says otherwise.
pub const NOW: u64 = 1_800_000_000;

thread_local! {
    static RANDOM: Cell<u64> = const { Cell::new(0x1234_5678_9ABC_DEF1) };
}

/// xorshift64: the tests repeat.
fn random(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    for byte in bytes {
        let mut x = RANDOM.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        RANDOM.set(x);
        *byte = (x >> 32) as u8;
    }
    Ok(())
}

pub static PLATFORM: Platform = Platform { random, unix_time: || Some(NOW) };
pub static NO_CLOCK: Platform = Platform { random, unix_time: || None };
pub static NO_RANDOM: Platform = Platform { random: |_| Err(NoEntropy), unix_time: || Some(NOW) };

pub fn key_pem(name: &str) -> &'static str {
    match name {
        "root" => include_str!("../keys/root.pem"),
        "intermediate" => include_str!("../keys/intermediate.pem"),
        "leaf" => include_str!("../keys/leaf.pem"),
        _ => include_str!("../keys/stranger.pem"),
    }
}

pub fn key(name: &str, algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::from_pem_and_sign_algo(key_pem(name), algorithm).expect("a committed key")
}

/// What the server shows, and who would have signed it.
pub struct Chain {
    pub root: CertificateDer<'static>,
    pub presented: Vec<CertificateDer<'static>>,
}

pub struct Leaf {
    pub name: &'static str,
    pub years: (i32, i32),
}

impl Default for Leaf {
    fn default() -> Self {
        Self { name: HOST, years: (2025, 2075) }
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2075, 1, 1);
    params
}

fn leaf(leaf: &Leaf) -> CertificateParams {
    let mut params = CertificateParams::new([leaf.name.to_owned()]).expect("a DNS name");
    params.distinguished_name.push(DnType::CommonName, leaf.name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(leaf.years.0, 1, 1);
    params.not_after = date_time_ymd(leaf.years.1, 1, 1);
    params
}

/// Root RSA-2048 (SHA-256) -> intermediate RSA-4096 (SHA-384) -> leaf RSA-2048, as IoT Hub's.
pub fn chain(of: &Leaf) -> Chain {
    let root = CertifiedIssuer::self_signed(authority("Root"), key("root", &PKCS_RSA_SHA256)).unwrap();
    let intermediate =
        CertifiedIssuer::signed_by(authority("Intermediate"), key("intermediate", &PKCS_RSA_SHA384), &root).unwrap();
    let end = leaf(of).signed_by(&key("leaf", &PKCS_RSA_SHA256), &intermediate).unwrap();
    Chain { root: root.der().clone(), presented: vec![end.der().clone(), intermediate.der().clone()] }
}

/// The root of somebody else; ours is called "Root".
pub fn stranger_root(name: &str) -> CertificateDer<'static> {
    let root = CertifiedIssuer::self_signed(authority(name), key("stranger", &PKCS_RSA_SHA256)).unwrap();
    root.der().clone()
}

/// A leaf that signed itself.
pub fn self_signed() -> Vec<CertificateDer<'static>> {
    let cert = leaf(&Leaf::default()).self_signed(&key("leaf", &PKCS_RSA_SHA256)).unwrap();
    vec![cert.der().clone()]
}

pub static TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub static TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

pub struct ServerOptions {
    pub versions: &'static [&'static SupportedProtocolVersion],
    pub request_client_certificate: bool,
    pub suites: fn(&rustls::SupportedCipherSuite) -> bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { versions: TLS12, request_client_certificate: false, suites: |_| true }
    }
}

pub fn server(
    chain: Vec<CertificateDer<'static>>,
    root: &CertificateDer<'static>,
    options: &ServerOptions,
) -> ServerConnection {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(options.suites);
    let provider = Arc::new(provider);
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(options.versions).unwrap();
    let builder = if options.request_client_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_slice(key_pem("leaf").as_bytes()).unwrap();
    ServerConnection::new(Arc::new(builder.with_single_cert(chain, key).unwrap())).unwrap()
}

/// A server that shows `chain` but holds another certificate's key (rustls would refuse to be set up like that).
pub fn impostor(chain: Vec<CertificateDer<'static>>) -> ServerConnection {
    #[derive(Debug)]
    struct Fixed(Arc<CertifiedKey>);
    impl ResolvesServerCert for Fixed {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    let provider = rustls::crypto::ring::default_provider();
    let key = PrivateKeyDer::from_pem_slice(key_pem("stranger").as_bytes()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Fixed(Arc::new(CertifiedKey::new(chain, key)))));
    ServerConnection::new(Arc::new(config)).unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipeError;

impl core::fmt::Display for PipeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("pipe failed")
    }
}

impl core::error::Error for PipeError {}

impl embedded_io_async::Error for PipeError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// What a read finds when the server has nothing to say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum WhenIdle {
    End,
    Pend,
}

/// The client's end of a cable to a server that answers at once.
pub struct Pipe {
    pub server: ServerConnection,
    /// The server's refusal, if it did not like the client; shared, because a failed `connect` takes the pipe along.
    pub server_error: Rc<RefCell<Option<rustls::Error>>>,
    pub to_client: VecDeque<u8>,
    pub received: Vec<u8>,
    pub echo: bool,
    /// Most bytes one read or write moves.
    pub step: usize,
    /// Every read that could deliver is pending once before.
    pub hesitate: bool,
    hesitated: bool,
    pub idle: WhenIdle,
    /// Bytes that may still come from the server before the stream ends.
    pub cut_after: Option<usize>,
}

impl Pipe {
    pub fn new(server: ServerConnection) -> Self {
        Self {
            server,
            server_error: Rc::default(),
            to_client: VecDeque::new(),
            received: Vec::new(),
            echo: false,
            step: usize::MAX,
            hesitate: false,
            hesitated: false,
            idle: WhenIdle::End,
            cut_after: None,
        }
    }

    /// The server sends `data` as records of up to 16 KB.
    pub fn server_says(&mut self, data: &[u8]) {
        self.server.writer().write_all(data).unwrap();
        self.pump();
    }

    pub fn server_closes(&mut self) {
        self.server.send_close_notify();
        self.pump();
    }

    fn pump(&mut self) {
        let mut bytes = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut bytes).unwrap();
        }
        self.to_client.extend(bytes);
    }
}

impl ErrorType for Pipe {
    type Error = PipeError;
}

impl Write for Pipe {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, PipeError> {
        let n = buf.len().min(self.step);
        let mut input = &buf[..n];
        while !input.is_empty() && self.server_error.borrow().is_none() {
            self.server.read_tls(&mut input).map_err(|_| PipeError)?;
            if let Err(error) = self.server.process_new_packets() {
                *self.server_error.borrow_mut() = Some(error);
            }
            let mut chunk = [0; 4096];
            loop {
                match self.server.reader().read(&mut chunk) {
                    Ok(0) => break,
                    Ok(n) => {
                        self.received.extend_from_slice(&chunk[..n]);
                        if self.echo {
                            self.server.writer().write_all(&chunk[..n]).unwrap();
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => return Err(PipeError),
                }
            }
        }
        self.pump();
        Ok(n)
    }

    async fn flush(&mut self) -> Result<(), PipeError> {
        Ok(())
    }
}

impl Read for Pipe {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, PipeError> {
        poll_fn(|_| {
            if self.hesitate && !self.hesitated {
                self.hesitated = true;
                return Poll::Pending;
            }
            self.hesitated = false;
            let mut n = buf.len().min(self.step).min(self.to_client.len());
            if let Some(left) = &mut self.cut_after {
                n = n.min(*left);
                *left -= n;
            }
            if n == 0 && self.idle == WhenIdle::Pend {
                return Poll::Pending;
            }
            for (slot, byte) in buf.iter_mut().zip(self.to_client.drain(..n)) {
                *slot = byte;
            }
            Poll::Ready(Ok(n))
        })
        .await
    }
}

pub type Failure = device_tls::Error<PipeError>;

/// Connects to `pipe` and lets `then` use the session.
pub fn with_session<R>(
    platform: &'static Platform,
    root: &CertificateDer<'_>,
    name: &str,
    pipe: Pipe,
    then: impl AsyncFnOnce(Session<'_, Pipe>) -> R,
) -> Result<R, Failure> {
    let config = Config::new(platform, [root.as_ref()]).expect("a good root");
    let (mut inbound, mut outbound) = (vec![0; INBOUND_LEN], vec![0; OUTBOUND_LEN]);
    embassy_futures::block_on(async {
        let session = Session::connect(pipe, &config, name, &mut inbound, &mut outbound).await?;
        Ok(then(session).await)
    })
}
