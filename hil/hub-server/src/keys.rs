//! The hub's own CA and keys: made at the first start, kept in a directory, readable by their owner alone.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rand_core::UnwrapErr;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::config::Config;
use crate::error::ServerError;

/// Root certificate, which devices and SDKs must trust.
pub const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key.pem";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server.key.pem";
const NAMES: &str = "server.names";
const ADU_ROOT: &str = "adu-root.key.pem";
const ADU_SIGNING: &str = "adu-signing.key.pem";

/// RSA as IoT Hub's own certificates have it, 2048 bits; Device Update signs with 3072.
const TLS_BITS: usize = 2048;
const ADU_BITS: usize = 3072;

/// Where the keys of `config` are.
pub fn directory(config: &Config) -> PathBuf {
    let user = || {
        let home = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
        let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")));
        home.unwrap_or_else(std::env::temp_dir).join("hil-hub/keys")
    };
    config.keys.clone().or_else(|| config.data.as_ref().map(|data| data.join("keys"))).unwrap_or_else(user)
}

/// Reads the keys, and makes those that are not there yet.
///
/// # Errors
/// [`ServerError::Keys`].
pub fn open(config: &Config) -> Result<hub::Keys, ServerError> {
    let directory = directory(config);
    let directory = directory.as_path();
    let failed = |why: String| ServerError::Keys { path: directory.to_owned(), why };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| failed(error.to_string()))?;
    let ca_key = rsa_key(directory, CA_KEY, TLS_BITS)?;
    let ca_pair = KeyPair::from_pem(&ca_key).map_err(|error| failed(format!("{CA_KEY}: {error}")))?;
    let ca = read_or(directory, CA, || root(&ca_pair))?;
    let server_key = rsa_key(directory, SERVER_KEY, TLS_BITS)?;
    let server_pair = KeyPair::from_pem(&server_key).map_err(|error| failed(format!("{SERVER_KEY}: {error}")))?;
    // A name that was added asks for another certificate, under the same CA.
    let names = names(config);
    let listed = names.join("\n");
    if std::fs::read_to_string(directory.join(NAMES)).is_ok_and(|had| had != listed) {
        std::fs::remove_file(directory.join(SERVER)).map_err(|error| failed(error.to_string()))?;
    }
    let server = read_or(directory, SERVER, || leaf(&names, &server_pair, ca_pair))?;
    write(directory, NAMES, &listed)?;
    let root = CertificateDer::from_pem_slice(ca.as_bytes()).map_err(|error| failed(format!("{CA}: {error}")))?;
    let mut keys = hub::Keys::fixtures();
    keys.tls_chain_pem = server.into_bytes();
    keys.tls_key_pem = server_key.into_bytes();
    keys.tls_root_der = root.to_vec();
    keys.adu_root_key_pem = rsa_key(directory, ADU_ROOT, ADU_BITS)?.into_bytes();
    keys.adu_signing_key_pem = rsa_key(directory, ADU_SIGNING, ADU_BITS)?.into_bytes();
    Ok(keys)
}

/// What the hub of `config` is called.
pub(crate) fn names(config: &Config) -> Vec<String> {
    let mut names = vec![config.host.clone(), "localhost".into(), "127.0.0.1".into(), "::1".into()];
    names.extend(config.names.iter().cloned());
    names.extend(crate::broker::names(config));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The CA but for its key: what it has issued names it so.
fn root_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "hil hub: local test CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    params
}

fn root(pair: &KeyPair) -> Result<String, String> {
    root_params().self_signed(pair).map(|certificate| certificate.pem()).map_err(|error| error.to_string())
}

fn leaf(names: &[String], pair: &KeyPair, ca_pair: KeyPair) -> Result<String, String> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("localhost", String::as_str));
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse() {
            Ok(address) => Ok(SanType::IpAddress(address)),
            Err(_) => name.as_str().try_into().map(SanType::DnsName).map_err(|_| format!("`{name}` is no host name")),
        })
        .collect::<Result<_, _>>()?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    let issuer = Issuer::new(root_params(), ca_pair);
    params.signed_by(pair, &issuer).map(|certificate| certificate.pem()).map_err(|error| error.to_string())
}

/// An RSA key, PKCS#8 PEM.
fn rsa_key(directory: &Path, name: &str, bits: usize) -> Result<String, ServerError> {
    read_or(directory, name, || {
        let mut rng = UnwrapErr(getrandom::SysRng);
        let key = rsa::PrivateKey::new(&mut rng, bits).map_err(|error| error.to_string())?;
        key.to_pkcs8_pem(LineEnding::LF).map(|pem| pem.to_string()).map_err(|error| error.to_string())
    })
}

fn read_or(directory: &Path, name: &str, make: impl FnOnce() -> Result<String, String>) -> Result<String, ServerError> {
    let path = directory.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = make().map_err(|why| ServerError::Keys { path, why })?;
            write(directory, name, &text)?;
            Ok(text)
        }
        Err(error) => Err(ServerError::Keys { path, why: error.to_string() }),
    }
}

/// Whole or not at all, and 0600 from its first byte on.
fn write(directory: &Path, name: &str, text: &str) -> Result<(), ServerError> {
    let path = directory.join(name);
    let half = directory.join(format!("{name}.new"));
    let written = || {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&half, &path)
    };
    written().map_err(|error: std::io::Error| ServerError::Keys { path: path.clone(), why: error.to_string() })
}
