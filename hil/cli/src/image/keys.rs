//! Key files.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use update_image::PublicKey;
use update_image::sign::SecretKey;

use super::{ImageError, hex};

const TEST_KEY: &str = include_str!("../../../../fixtures/keys/image/test-only.pub.pem");

/// Public keys that a bootloader has room for.
pub const KEYS_MAX: usize = 4;

/// A new key and where it lies.
#[derive(Debug)]
pub struct KeyFiles {
    /// Private key: PKCS#8 PEM, readable by its owner alone.
    pub private: PathBuf,
    /// Public key: SubjectPublicKeyInfo PEM.
    pub public: PathBuf,
    /// The public key.
    pub key: PublicKey,
}

/// Makes an Ed25519 key of the operating system's randomness and writes it to `private`, and its public half beside
/// it. Both files are new, or neither is written.
///
/// # Errors
/// One of the files exists or cannot be written.
pub fn generate(private: &Path) -> Result<KeyFiles, ImageError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|why| ImageError::Random(why.to_string()))?;
    let secret = SecretKey::from_seed(seed);
    let (public, key) = (public_path(private), secret.public());
    // Before the private key: a public key without its private half is no loss and no leak.
    create(&public, 0o644, &key.to_pem())?;
    if let Err(error) = create(private, 0o600, &secret.to_pem()) {
        let _ = fs::remove_file(&public);
        return Err(error);
    }
    Ok(KeyFiles { private: private.to_owned(), public, key })
}

/// Where the public half of `private` goes: `key.pem` has `key.pub.pem`.
pub fn public_path(private: &Path) -> PathBuf {
    if private.extension().is_some_and(|extension| extension == "pem") {
        return private.with_extension("pub.pem");
    }
    let mut name = private.as_os_str().to_owned();
    name.push(".pub.pem");
    name.into()
}

fn create(path: &Path, mode: u32, text: &str) -> Result<(), ImageError> {
    let opened = File::options().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.map_err(|why| match why.kind() {
        io::ErrorKind::AlreadyExists => ImageError::KeyExists(path.to_owned()),
        _ => ImageError::write(path, why),
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|why| {
        let _ = fs::remove_file(path);
        ImageError::write(path, why)
    })
}

/// Reads a private key.
///
/// # Errors
/// The file cannot be read or holds no unencrypted Ed25519 key.
pub fn secret_key(path: &Path) -> Result<SecretKey, ImageError> {
    let text = text(path)?;
    SecretKey::from_pem(&text)
        .map_err(|_| ImageError::Key { path: path.to_owned(), why: explain(&text, Half::Private) })
}

/// Reads a public key.
///
/// # Errors
/// The file cannot be read or holds no Ed25519 public key.
pub fn public_key(path: &Path) -> Result<PublicKey, ImageError> {
    let text = text(path)?;
    PublicKey::from_pem(&text).map_err(|_| ImageError::Key { path: path.to_owned(), why: explain(&text, Half::Public) })
}

fn text(path: &Path) -> Result<String, ImageError> {
    let bytes = super::read(path)?;
    String::from_utf8(bytes).map_err(|_| ImageError::Key {
        path: path.to_owned(),
        why: "not a key in PEM form; make one with `hil image keygen`".to_owned(),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Private,
    Public,
}

/// What a key file is that is not what was asked for.
fn explain(text: &str, wanted: Half) -> String {
    let has = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
    match wanted {
        Half::Private if has("ENCRYPTED PRIVATE KEY") => {
            "the key is protected by a password; decrypt it with `openssl pkcs8` first"
        }
        Half::Private if has("PUBLIC KEY") => "a public key; give its private half",
        Half::Private => "not an Ed25519 private key in PKCS#8 PEM form; make one with `hil image keygen`",
        Half::Public if text.contains("PRIVATE KEY-----") => "a private key; give its public half (.pub.pem)",
        Half::Public => "not an Ed25519 public key in PEM form; make one with `hil image keygen`",
    }
    .to_owned()
}

/// The key that this repository publishes, and everybody has.
pub fn test_key() -> PublicKey {
    PublicKey::from_pem(TEST_KEY).expect("the file is part of this program")
}

/// A key's hash, marked if it is the published one.
pub(super) fn with_note(key_hash: &str) -> String {
    let is_test_key = hex(&test_key().hash()) == key_hash;
    let note = if is_test_key { " (test key of this repository, known to everybody)" } else { "" };
    format!("{key_hash}{note}")
}
