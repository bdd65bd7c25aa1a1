//! Certificates of devices and those who issue them. The keys are new in each run; no assertion depends on them.

#![allow(dead_code)] // Each test program uses another part of it.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

pub type Ca = CertifiedIssuer<'static, KeyPair>;

fn key() -> KeyPair {
    KeyPair::generate().expect("a P-256 key")
}

fn params(name: &str, years: (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name, (2020, 2060));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

pub fn root(name: &str) -> Ca {
    CertifiedIssuer::self_signed(authority(name), key()).expect("signs")
}

pub fn intermediate(name: &str, issuer: &Ca) -> Ca {
    CertifiedIssuer::signed_by(authority(name), key(), issuer).expect("signs")
}

pub fn der(ca: &Ca) -> Vec<u8> {
    ca.der().to_vec()
}

/// A device's certificate; yields DER, and PEM of certificate and key.
pub fn leaf(name: &str, issuer: &Ca, years: (i32, i32)) -> (Vec<u8>, String, String) {
    let key = key();
    let mut params = params(name, years);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, issuer).expect("signs");
    (certificate.der().to_vec(), certificate.pem(), key.serialize_pem())
}

pub fn device(name: &str, issuer: &Ca) -> Vec<u8> {
    leaf(name, issuer, (2025, 2035)).0
}

/// One for servers only.
pub fn server(name: &str, issuer: &Ca) -> Vec<u8> {
    let mut params = params(name, (2025, 2035));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.signed_by(&key(), issuer).expect("signs").der().to_vec()
}
