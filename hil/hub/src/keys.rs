//! The keys under which the local services act.

use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::KeyPair as _;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use crate::CloudError;

/// Key material of the local services: a TLS server chain and a Device Update root with its signing key.
#[derive(Clone)]
pub struct Keys {
    /// TLS server certificate first, then intermediates, PEM.
    pub tls_chain_pem: Vec<u8>,
    /// PKCS#8 private key (RSA) of the TLS server certificate, PEM.
    pub tls_key_pem: Vec<u8>,
    /// The root certificate that devices must trust, DER.
    pub tls_root_der: Vec<u8>,
    /// Key id of the Device Update root key.
    pub adu_root_kid: String,
    /// PKCS#8 private key of the Device Update root (RSA-3072), PEM.
    pub adu_root_key_pem: Vec<u8>,
    /// Key id of the signing key.
    pub adu_signing_kid: String,
    /// PKCS#8 private key that signs update manifests (RSA-3072), PEM.
    pub adu_signing_key_pem: Vec<u8>,
    /// A second root with its signing key, to which the service can rotate.
    pub adu_backup: Option<BackupKeys>,
}

/// A second Device Update root key with its signing key.
#[derive(Clone)]
pub struct BackupKeys {
    /// Key id of the root key.
    pub root_kid: String,
    /// PKCS#8 private key of the root (RSA-3072), PEM.
    pub root_key_pem: Vec<u8>,
    /// Key id of the signing key.
    pub signing_kid: String,
    /// PKCS#8 private key that signs update manifests (RSA-3072), PEM.
    pub signing_key_pem: Vec<u8>,
}

/// A Device Update root key, as a device needs it to verify manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootKey {
    /// Key id, as in the header of the SJWK.
    pub kid: String,
    /// Modulus, big-endian, without a leading zero.
    pub n: Vec<u8>,
    /// Public exponent.
    pub e: u32,
}

impl Keys {
    /// The test keys of `fixtures/keys`: public, and trusted by no one.
    pub fn fixtures() -> Self {
        Self {
            tls_chain_pem: include_bytes!("../../../fixtures/keys/tls/chain.pem").to_vec(),
            tls_key_pem: include_bytes!("../../../fixtures/keys/tls/leaf.key.pem").to_vec(),
            tls_root_der: include_bytes!("../../../fixtures/keys/tls/root.der").to_vec(),
            adu_root_kid: "ADU.HIL.R".into(),
            adu_root_key_pem: include_bytes!("../../../fixtures/keys/adu/root.key.pem").to_vec(),
            adu_signing_kid: "ADU.HIL.R.S".into(),
            adu_signing_key_pem: include_bytes!("../../../fixtures/keys/adu/signing.key.pem").to_vec(),
            adu_backup: Some(BackupKeys {
                root_kid: "ADU.HIL.R2".into(),
                root_key_pem: include_bytes!("../../../fixtures/keys/adu/root2.key.pem").to_vec(),
                signing_kid: "ADU.HIL.R2.S".into(),
                signing_key_pem: include_bytes!("../../../fixtures/keys/adu/signing2.key.pem").to_vec(),
            }),
        }
    }

    /// The public half of the Device Update root key, for a device's provisioning record.
    ///
    /// # Errors
    /// [`CloudError::Key`] if the private key cannot be read.
    pub fn adu_root(&self) -> Result<RootKey, CloudError> {
        public(&self.adu_root_kid, &self.adu_root_key_pem)
    }

    /// The public halves of all Device Update root keys, the one in use at first in front.
    ///
    /// # Errors
    /// As [`adu_root`](Self::adu_root).
    pub fn adu_roots(&self) -> Result<Vec<RootKey>, CloudError> {
        let backup = self.adu_backup.iter().map(|backup| public(&backup.root_kid, &backup.root_key_pem));
        core::iter::once(self.adu_root()).chain(backup).collect()
    }
}

fn public(kid: &str, pem: &[u8]) -> Result<RootKey, CloudError> {
    let pair = rsa_key(pem, "Device Update root key")?;
    let (n, e) = modulus_exponent(&pair);
    let e = e.iter().fold(0_u32, |e, byte| e << 8 | u32::from(*byte));
    Ok(RootKey { kid: kid.to_owned(), n, e })
}

/// Reads an RSA key from PKCS#8 PEM; `what` names it in the error.
pub(crate) fn rsa_key(pem: &[u8], what: &'static str) -> Result<KeyPair, CloudError> {
    let der =
        PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|error| CloudError::Key { what, why: error.to_string() })?;
    KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|error| CloudError::Key { what, why: error.to_string() })
}

/// Modulus and exponent, big-endian without leading zeros.
pub(crate) fn modulus_exponent(pair: &KeyPair) -> (Vec<u8>, Vec<u8>) {
    let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let strip = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    (strip(n), strip(e))
}
