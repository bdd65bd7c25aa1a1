//! X.509 certificates: whose they are, and whether a chain leads to one that is trusted.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use serde::Serialize;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::credentials::Thumbprint;

/// What a certificate says, for a reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateInfo {
    /// Distinguished name of its holder.
    pub subject_name: String,
    /// Distinguished name of its issuer.
    pub issuer_name: String,
    /// First moment of its validity, Unix time.
    pub not_before: i64,
    /// Last moment of its validity, Unix time.
    pub not_after: i64,
    /// Serial number, hexadecimal.
    pub serial_number: String,
    /// SHA-1 thumbprint.
    pub sha1_thumbprint: Thumbprint,
    /// SHA-256 thumbprint.
    pub sha256_thumbprint: Thumbprint,
    /// Whether it may issue certificates.
    pub is_ca: bool,
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err("bytes are left over after the certificate".into()),
        Err(error) => Err(format!("it is not an X.509 certificate in DER: {error}")),
    }
}

/// Reads a certificate in PEM or DER; yields DER.
///
/// # Errors
/// What is wrong with it, for a reader.
pub fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let der = if bytes.starts_with(&[0x30]) {
        bytes.to_vec()
    } else {
        let pem = CertificateDer::from_pem_slice(bytes);
        pem.map_err(|error| format!("it is neither PEM nor DER: {error}"))?.to_vec()
    };
    parse(&der)?;
    Ok(der)
}

/// Reads what a certificate (DER) says.
///
/// # Errors
/// What is wrong with it, for a reader.
pub fn describe(der: &[u8]) -> Result<CertificateInfo, String> {
    let certificate = parse(der)?;
    Ok(CertificateInfo {
        subject_name: certificate.subject().to_string(),
        issuer_name: certificate.issuer().to_string(),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        serial_number: certificate.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect(),
        sha1_thumbprint: Thumbprint::sha1(der),
        sha256_thumbprint: Thumbprint::sha256(der),
        is_ca: certificate.is_ca(),
    })
}

/// The common name of a certificate's holder.
///
/// # Errors
/// The certificate cannot be read, or has not exactly one.
pub(crate) fn common_name(der: &[u8]) -> Result<String, String> {
    let certificate = parse(der)?;
    let mut names = certificate.subject().iter_common_name();
    match (names.next(), names.next()) {
        (Some(name), None) => name.as_str().map(str::to_owned).map_err(|_| "its common name is not text".into()),
        _ => Err("it has not exactly one common name".into()),
    }
}

/// Checks that a chain (leaf first, DER) leads to one of `anchors` (DER), by RFC 5280: signatures, validity, CA flags,
/// path lengths, name constraints, and the use as a TLS client.
pub(crate) fn check_chain(chain: &[Vec<u8>], anchors: &[&[u8]], now_unix: u64) -> Result<(), String> {
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Err("the client presented no certificate".into());
    };
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots.add(CertificateDer::from(*anchor)).map_err(|error| format!("a CA certificate is unusable: {error}"))?;
    }
    if roots.is_empty() {
        return Err("no CA certificate is verified, so no chain is trusted".into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| error.to_string())?;
    let intermediates: Vec<CertificateDer<'_>> =
        intermediates.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let now = UnixTime::since_unix_epoch(core::time::Duration::from_secs(now_unix));
    verifier
        .verify_client_cert(&CertificateDer::from(leaf.as_slice()), &intermediates, now)
        .map(|_| ())
        .map_err(|error| format!("the client certificate is not trusted: {error}"))
}
