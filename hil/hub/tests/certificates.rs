//! X.509 at the hub: CA certificates, proofs of possession, chains.

#[path = "support/pki.rs"]
mod pki;
mod support;

use std::collections::BTreeMap;

use hub::{Attestation, Cloud, CloudConfig, EventKind, HubError};
use support::*;

fn hub() -> Net {
    let mut net = Net::new(14);
    for id in ["e54", "e54/radio", "other"] {
        net.cloud.register_device(id, Attestation::X509Ca).expect("new");
    }
    net
}

/// Connects behind an edge with a chain; yields the CONNACK code and the reason of a refusal.
fn connect(net: &mut Net, id: &str, chain: &[&[u8]]) -> (u8, String) {
    net.kinds();
    let mut mqtt = Mqtt::new(net.edge(Some(HUB), chain));
    let user = format!("{HUB}/{id}/?api-version=2021-04-12");
    let FromServer::Connack { code, .. } = mqtt.connect(net, id, &user, None) else { panic!("no CONNACK") };
    let why = net.kinds().into_iter().find_map(|kind| match kind {
        EventKind::ConnectRefused { why, .. } => Some(why),
        _ => None,
    });
    (code, why.unwrap_or_default())
}

#[test]
fn a_chain_to_a_verified_ca_is_trusted_for_its_common_name() {
    let mut net = hub();
    let (root, stranger) = (pki::root("Root"), pki::root("Root"));
    let line = pki::intermediate("Line", &root);
    let (root_der, line_der, now) = (pki::der(&root), pki::der(&line), net.now);
    let direct = pki::device("e54", &root);
    let chained = pki::device("e54", &line);
    let foreign = pki::device("e54", &stranger);
    assert_eq!(
        connect(&mut net, "e54", &[&direct]),
        (5, "no CA certificate is verified, so no chain is trusted".into())
    );
    net.cloud.add_certificate(now, "root", &root_der, true).expect("a CA");
    for (id, chain, code, part) in [
        ("e54", &[&direct[..]][..], 0, ""),
        ("e54", &[&chained, &line_der], 0, ""),
        ("e54", &[&chained, &line_der, &root_der], 0, ""),
        ("e54", &[&chained], 5, "UnknownIssuer"),
        ("e54", &[&foreign], 5, "not trusted"),
        ("e54", &[&foreign, &pki::der(&stranger)], 5, "not trusted"),
        ("other", &[&direct], 5, "is for `e54`, not for `other`"),
        ("e54", &[&pki::device("E54", &root)], 5, "is for `E54`"),
        ("e54/radio", &[&direct], 5, "is for `e54`"),
        ("e54/radio", &[&pki::device("e54/radio", &root)], 0, ""),
        ("e54", &[&pki::server("e54", &root)], 5, "not trusted"),
        ("e54", &[&line_der], 5, "not trusted"),
        ("e54", &[b"garbage"], 5, "not trusted"),
        ("e54", &[&direct[..direct.len() - 1]], 5, "not trusted"),
        ("e54", &[], 5, "no certificate"),
    ] {
        let (seen, why) = connect(&mut net, id, chain);
        assert!(seen == code && why.contains(part), "{id}: {seen} {why:?}, expected {code} {part:?}");
    }
    net.cloud.remove_certificate("root", None).expect("exists");
    assert_eq!(connect(&mut net, "e54", &[&direct]).0, 5);
}

#[test]
fn dates_count_against_the_clouds_utc() {
    let root = pki::root("Root");
    let (leaf, ..) = pki::leaf("e54", &root, (2026, 2027));
    // 2026-01-01 and 2027-01-01.
    for (epoch, code) in [(EPOCH - 1, 5), (EPOCH, 0), (EPOCH + 31_536_000, 0), (EPOCH + 31_536_001, 5)] {
        let mut net = hub();
        net.cloud = Cloud::new(CloudConfig::new(1, epoch)).expect("the keys work");
        net.cloud.register_device("e54", Attestation::X509Ca).expect("new");
        net.cloud.add_certificate(net.now, "root", &pki::der(&root), true).expect("a CA");
        let (seen, why) = connect(&mut net, "e54", &[&leaf]);
        assert_eq!(seen, code, "{epoch}: {why}");
    }
}

#[test]
fn possession_of_a_cas_key_is_proved_by_a_code() {
    let mut net = hub();
    let (root, stranger) = (pki::root("Root"), pki::root("Stranger"));
    let device = pki::device("e54", &root);
    let pem = root.pem().into_bytes();
    net.cloud.add_certificate(net.now, "root", &pem, false).expect("PEM is taken too");
    assert_eq!(connect(&mut net, "e54", &[&device]).0, 5);
    let early = net.cloud.verify_certificate(net.now, "root", &pki::device("x", &root)).expect_err("no code");
    assert!(early.to_string().contains("no verification code"), "{early}");
    let code = net.cloud.verification_code(net.now, "root").expect("exists");
    assert_eq!(code.len(), 48);
    for (proof, part) in [
        (pki::device("another", &root), "is for `another`"),
        (pki::device(&code, &stranger), "not trusted"),
        (b"garbage".to_vec(), "neither PEM nor DER"),
    ] {
        let error = net.cloud.verify_certificate(net.now, "root", &proof).expect_err(part);
        assert!(error.to_string().contains(part) && error.status() == 400, "{error}");
    }
    assert_eq!(connect(&mut net, "e54", &[&device]).0, 5);
    let (_, proof, _) = pki::leaf(&code, &root, (2025, 2035));
    net.cloud.verify_certificate(net.now, "root", proof.as_bytes()).expect("the proof");
    assert_eq!(connect(&mut net, "e54", &[&device]), (0, String::new()));
    let utc = net.cloud.utc();
    let document = net.cloud.certificates().next().expect("one").document(utc);
    assert_eq!(document["properties"]["isVerified"], true);
    assert!(document["properties"]["subject"].as_str().expect("a name").contains("CN=Root"), "{document}");
    let mut net = net.restarted(&mut BTreeMap::new());
    assert_eq!(connect(&mut net, "e54", &[&device]), (0, String::new()), "it outlives a restart");
    // A certificate of the same name that is not verified takes its place.
    net.cloud.add_certificate(net.now, "root", &pki::der(&root), false).expect("a CA");
    assert_eq!(connect(&mut net, "e54", &[&device]).0, 5);
}

#[test]
fn what_is_no_ca_is_not_added() {
    let mut net = hub();
    let root = pki::root("Root");
    for (bytes, part) in [
        (pki::device("e54", &root), "may not issue"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(), "not an X.509"),
        (vec![0x30, 0x80], "not an X.509"),
        (Vec::new(), "neither PEM nor DER"),
    ] {
        let error = net.cloud.add_certificate(net.now, "root", &bytes, true).expect_err(part);
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(net.cloud.certificates().count(), 0);
    assert_eq!(net.cloud.remove_certificate("root", None), Err(HubError::NoCertificate("root".into())));
    let missing = net.cloud.verification_code(net.now, "root");
    assert_eq!(missing, Err(HubError::NoCertificate("root".into())));
}

#[test]
fn the_whole_chain_of_a_tls_handshake_is_judged() {
    let mut net = hub();
    let root = pki::root("Root");
    let line = pki::intermediate("Line", &root);
    net.cloud.add_certificate(net.now, "root", &pki::der(&root), true).expect("a CA");
    let (_, pem, key) = pki::leaf("e54", &line, (2025, 2035));
    for (chain, code) in [(format!("{pem}{}", line.pem()), 0), (pem.clone(), 5)] {
        let mut mqtt = Mqtt::new(net.tls_with(HUB, Some((chain.as_bytes(), key.as_bytes()))));
        let user = format!("{HUB}/e54/?api-version=2021-04-12");
        let answer = mqtt.connect(&mut net, "e54", &user, None);
        assert_eq!(answer, FromServer::Connack { code, session_present: false });
    }
}
