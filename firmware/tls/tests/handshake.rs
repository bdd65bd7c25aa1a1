//! Which servers a device talks to.

mod common;

use common::*;
use device_tls::{Config, ConfigError, Error, Reason, Session};

fn refused(outcome: Result<(), Failure>) -> Reason {
    outcome.expect_err("the handshake had to fail").reason()
}

fn try_chain(of: &Leaf, platform: &'static device_tls::Platform, name: &str) -> Result<(), Failure> {
    let chain = chain(of);
    let pipe = Pipe::new(server(chain.presented, &chain.root, &ServerOptions::default()));
    with_session(platform, &chain.root, name, pipe, async |_| ())
}

#[test]
fn accepts_a_chain_as_iot_hub_has_it() {
    try_chain(&Leaf::default(), &PLATFORM, HOST).unwrap();
}

#[test]
fn accepts_a_wildcard_name() {
    let leaf = Leaf { name: "*.azure-devices.net", ..Leaf::default() };
    try_chain(&leaf, &PLATFORM, HOST).unwrap();
}

#[test]
fn refuses_another_host_name() {
    let outcome = try_chain(&Leaf::default(), &PLATFORM, "other.azure-devices.net");
    assert_eq!(refused(outcome), Reason::CertificateName);
}

#[test]
fn refuses_an_expired_certificate() {
    let leaf = Leaf { years: (2025, 2026), ..Leaf::default() };
    assert_eq!(refused(try_chain(&leaf, &PLATFORM, HOST)), Reason::CertificateTime);
}

#[test]
fn refuses_a_certificate_from_the_future() {
    let leaf = Leaf { years: (2030, 2040), ..Leaf::default() };
    assert_eq!(refused(try_chain(&leaf, &PLATFORM, HOST)), Reason::CertificateTime);
}

#[test]
fn refuses_everything_without_a_clock() {
    let outcome = try_chain(&Leaf::default(), &NO_CLOCK, HOST);
    assert_eq!(refused(outcome), Reason::CertificateTime);
}

#[test]
fn fails_without_entropy() {
    let outcome = try_chain(&Leaf::default(), &NO_RANDOM, HOST);
    assert_eq!(refused(outcome), Reason::Local);
}

#[test]
fn refuses_a_self_signed_leaf() {
    let root = chain(&Leaf::default()).root;
    let pipe = Pipe::new(server(self_signed(), &root, &ServerOptions::default()));
    let outcome = with_session(&PLATFORM, &root, HOST, pipe, async |_| ());
    assert_eq!(refused(outcome), Reason::UnknownIssuer);
}

#[test]
fn refuses_the_chain_of_another_root() {
    for (name, reason) in [("Elsewhere", Reason::UnknownIssuer), ("Root", Reason::BadCertificate)] {
        let chain = chain(&Leaf::default());
        let pipe = Pipe::new(server(chain.presented, &chain.root, &ServerOptions::default()));
        let outcome = with_session(&PLATFORM, &stranger_root(name), HOST, pipe, async |_| ());
        assert_eq!(refused(outcome), reason, "root called {name}");
    }
}

#[test]
fn refuses_a_leaf_without_its_intermediate() {
    let mut chain = chain(&Leaf::default());
    chain.presented.truncate(1);
    let pipe = Pipe::new(server(chain.presented, &chain.root, &ServerOptions::default()));
    let outcome = with_session(&PLATFORM, &chain.root, HOST, pipe, async |_| ());
    assert_eq!(refused(outcome), Reason::UnknownIssuer);
}

#[test]
fn refuses_a_server_that_does_not_own_the_certificate() {
    let chain = chain(&Leaf::default());
    let pipe = Pipe::new(impostor(chain.presented));
    let outcome = with_session(&PLATFORM, &chain.root, HOST, pipe, async |_| ());
    assert_eq!(refused(outcome), Reason::BadCertificate);
}

#[test]
fn answers_a_certificate_request_with_an_empty_list() {
    let chain = chain(&Leaf::default());
    let options = ServerOptions { request_client_certificate: true, ..ServerOptions::default() };
    let pipe = Pipe::new(server(chain.presented, &chain.root, &options));
    with_session(&PLATFORM, &chain.root, HOST, pipe, async |session| {
        let server = &session.transport().server;
        assert!(!server.is_handshaking());
        assert!(server.peer_certificates().is_none());
    })
    .unwrap();
}

#[test]
fn takes_the_suite_and_version_that_iot_hub_requires() {
    let chain = chain(&Leaf::default());
    let pipe = Pipe::new(server(chain.presented, &chain.root, &ServerOptions::default()));
    with_session(&PLATFORM, &chain.root, HOST, pipe, async |session| {
        let server = &session.transport().server;
        assert_eq!(server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
        assert_eq!(
            server.negotiated_cipher_suite().unwrap().suite(),
            rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        );
        assert_eq!(server.server_name(), Some(HOST));
    })
    .unwrap();
}

#[test]
fn a_server_without_a_common_suite_is_reported_as_a_refusal() {
    let chain = chain(&Leaf::default());
    let options = ServerOptions {
        suites: |suite| suite.suite() == rustls::CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ..ServerOptions::default()
    };
    let pipe = Pipe::new(server(chain.presented, &chain.root, &options));
    let outcome = with_session(&PLATFORM, &chain.root, HOST, pipe, async |_| ());
    assert_eq!(refused(outcome), Reason::PeerAlert);
}

#[test]
fn a_server_of_tls_13_alone_is_reported_as_a_refusal() {
    let chain = chain(&Leaf::default());
    let options = ServerOptions { versions: TLS13, ..ServerOptions::default() };
    let pipe = Pipe::new(server(chain.presented, &chain.root, &options));
    let outcome = with_session(&PLATFORM, &chain.root, HOST, pipe, async |_| ());
    assert_eq!(refused(outcome), Reason::PeerAlert);
}

#[test]
fn tells_the_server_why_it_was_refused() {
    let chain = chain(&Leaf::default());
    let pipe = Pipe::new(server(chain.presented, &chain.root, &ServerOptions::default()));
    let seen = pipe.server_error.clone();
    let outcome = with_session(&PLATFORM, &stranger_root("Elsewhere"), HOST, pipe, async |_| ());
    assert_eq!(refused(outcome), Reason::UnknownIssuer);
    assert_eq!(*seen.borrow(), Some(rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA)));
}

#[test]
fn a_stream_that_ends_in_the_handshake_is_an_error_at_every_length() {
    let chain = chain(&Leaf::default());
    for cut in [0, 1, 4, 5, 6, 100, 1000, 2500] {
        let mut pipe = Pipe::new(server(chain.presented.clone(), &chain.root, &ServerOptions::default()));
        pipe.cut_after = Some(cut);
        let outcome = with_session(&PLATFORM, &chain.root, HOST, pipe, async |_| ());
        assert_eq!(outcome, Err(Error::UnexpectedEof), "cut after {cut} bytes");
    }
}

#[test]
fn a_transport_of_single_bytes_will_do() {
    let chain = chain(&Leaf::default());
    let mut pipe = Pipe::new(server(chain.presented, &chain.root, &ServerOptions::default()));
    pipe.step = 1;
    with_session(&PLATFORM, &chain.root, HOST, pipe, async |_| ()).unwrap();
}

#[test]
fn bad_settings_are_named() {
    let chain = chain(&Leaf::default());
    assert_eq!(Config::new(&PLATFORM, []).unwrap_err(), ConfigError::NoRoots);
    assert_eq!(
        Config::new(&PLATFORM, [chain.root.as_ref(), b"not a certificate"]).unwrap_err(),
        ConfigError::BadRoot(1)
    );
    let config = Config::new(&PLATFORM, [chain.root.as_ref()]).unwrap();
    let pipe = || Pipe::new(server(chain.presented.clone(), &chain.root, &ServerOptions::default()));
    let connect = |name: &'static str, inbound: usize, outbound: usize| {
        let (mut inbound, mut outbound) = (vec![0; inbound], vec![0; outbound]);
        embassy_futures::block_on(Session::connect(pipe(), &config, name, &mut inbound, &mut outbound)).err()
    };
    assert_eq!(connect("not a name", 20_000, 2048), Some(Error::ServerName));
    assert_eq!(connect(HOST, 16_000, 2048), Some(Error::BufferTooSmall));
    assert_eq!(connect(HOST, 20_000, 512), Some(Error::BufferTooSmall));
}
