//! How a device proves who it is: shared access keys and X.509 certificates.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use serde::{Deserialize, Serialize};

use crate::sas::Token;
use crate::x509;

/// What identifies a certificate: a digest of its DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Thumbprint {
    /// SHA-1, as portals and tools show it.
    Sha1([u8; 20]),
    /// SHA-256.
    Sha256([u8; 32]),
}

impl Thumbprint {
    /// The SHA-256 thumbprint of a certificate (DER).
    pub fn sha256(certificate: &[u8]) -> Self {
        let digest = digest::digest(&SHA256, certificate);
        Self::Sha256(core::array::from_fn(|i| digest.as_ref()[i]))
    }

    /// The SHA-1 thumbprint of a certificate (DER).
    pub fn sha1(certificate: &[u8]) -> Self {
        let digest = digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate);
        Self::Sha1(core::array::from_fn(|i| digest.as_ref()[i]))
    }

    /// Whether it is that of `certificate` (DER).
    pub fn fits(&self, certificate: &[u8]) -> bool {
        match self {
            Self::Sha1(_) => *self == Self::sha1(certificate),
            Self::Sha256(_) => *self == Self::sha256(certificate),
        }
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: &[u8] = match self {
            Self::Sha1(bytes) => bytes,
            Self::Sha256(bytes) => bytes,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl FromStr for Thumbprint {
    type Err = String;

    /// Reads 40 or 64 hexadecimal digits; colons and spaces between them are skipped.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("the thumbprint `{text}` has not 40 (SHA-1) or 64 (SHA-256) hexadecimal digits");
        let digits = text.chars().filter(|c| !matches!(c, ':' | ' '));
        let digits: Vec<u8> =
            digits.map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>().ok_or_else(wrong)?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        match digits.len() {
            40 => Ok(Self::Sha1(core::array::from_fn(|i| bytes[i]))),
            64 => Ok(Self::Sha256(core::array::from_fn(|i| bytes[i]))),
            _ => Err(wrong()),
        }
    }
}

impl From<Thumbprint> for String {
    fn from(thumbprint: Thumbprint) -> Self {
        thumbprint.to_string()
    }
}

impl TryFrom<String> for Thumbprint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// How a device proves who it is.
///
/// As JSON it has the shape of the hub's identity registry:
/// `{"type":"sas","symmetricKey":{"primaryKey":…,"secondaryKey":…}}` with base64 keys, or
/// `{"type":"selfSigned","x509Thumbprint":{"primaryThumbprint":…,"secondaryThumbprint":…}}`, or
/// `{"type":"certificateAuthority"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Wire", try_from = "Wire")]
pub enum Attestation {
    /// Shared access signatures under either of two keys (raw bytes).
    SymmetricKey {
        /// First key.
        primary: Vec<u8>,
        /// Second key, for rotation.
        secondary: Option<Vec<u8>>,
    },
    /// A TLS client certificate with one of two thumbprints.
    X509 {
        /// First certificate.
        primary: Thumbprint,
        /// Second certificate, for rotation.
        secondary: Option<Thumbprint>,
    },
    /// A TLS client certificate that a verified CA of the hub vouches for, and whose common name is the device id (of a
    /// module, `device/module`).
    X509Ca,
}

/// What a client presented.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Presented<'a> {
    /// Password of the CONNECT; `None` if it is absent or empty.
    pub password: Option<&'a str>,
    /// Who it says it is: what the common name of a certificate has to be.
    pub name: &'a str,
    /// Client certificates, leaf first, DER.
    pub certificates: &'a [Vec<u8>],
    /// CA certificates that are trusted, DER.
    pub anchors: &'a [&'a [u8]],
    /// Unix time.
    pub now: u64,
}

impl Attestation {
    /// One symmetric key.
    pub fn symmetric(key: impl Into<Vec<u8>>) -> Self {
        Self::SymmetricKey { primary: key.into(), secondary: None }
    }

    /// One certificate, by its thumbprint.
    pub fn thumbprint(primary: Thumbprint) -> Self {
        Self::X509 { primary, secondary: None }
    }

    /// `sas`, `selfSigned` or `certificateAuthority`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SymmetricKey { .. } => "sas",
            Self::X509 { .. } => "selfSigned",
            Self::X509Ca => "certificateAuthority",
        }
    }

    /// Checks what a client presented for `resource`; yields when a token expires (Unix time).
    pub(crate) fn check(&self, resource: &str, presented: Presented<'_>) -> Result<Option<u64>, String> {
        match (self, presented.password) {
            (Self::SymmetricKey { primary, secondary }, Some(password)) => {
                let token = Token::parse(password).map_err(|error| error.to_string())?;
                let keys: Vec<&[u8]> = core::iter::once(primary).chain(secondary).map(Vec::as_slice).collect();
                token.verify(resource, &keys, presented.now).map_err(|error| error.to_string())?;
                Ok(Some(token.expiry))
            }
            (Self::SymmetricKey { .. }, None) => Err("the device is enrolled with a key, but sent no password".into()),
            (Self::X509 { .. } | Self::X509Ca, Some(_)) => {
                Err("the device is enrolled with a certificate, but sent a password".into())
            }
            (Self::X509 { primary, secondary }, None) => match presented.certificates.first() {
                Some(leaf) if core::iter::once(primary).chain(secondary).any(|known| known.fits(leaf)) => {
                    // Only the digest counts; the service does not look at the dates of such a certificate either.
                    Ok(None)
                }
                Some(_) => Err("the client certificate is not the enrolled one".into()),
                None => Err("the client presented no certificate".into()),
            },
            (Self::X509Ca, None) => {
                check_named_chain(presented)?;
                Ok(None)
            }
        }
    }
}

/// Checks that the client's chain leads to a trusted CA, and that its leaf is for who the client says it is.
pub(crate) fn check_named_chain(presented: Presented<'_>) -> Result<(), String> {
    x509::check_chain(presented.certificates, presented.anchors, presented.now)?;
    let leaf = presented.certificates.first().map_or(&[][..], Vec::as_slice);
    let name = x509::common_name(leaf).map_err(|why| format!("the client certificate is unusable: {why}"))?;
    if name == presented.name {
        Ok(())
    } else {
        Err(format!("the client certificate is for `{name}`, not for `{}`", presented.name))
    }
}

/// An attestation as JSON.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    symmetric_key: Option<WireKeys>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "x509Thumbprint")]
    x509_thumbprint: Option<WireThumbprints>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireKeys {
    primary_key: String,
    secondary_key: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireThumbprints {
    primary_thumbprint: Thumbprint,
    secondary_thumbprint: Option<Thumbprint>,
}

impl From<Attestation> for Wire {
    fn from(attestation: Attestation) -> Self {
        match attestation {
            Attestation::X509Ca => Self { r#type: "certificateAuthority".into(), ..Self::default() },
            Attestation::SymmetricKey { primary, secondary } => Self {
                r#type: "sas".into(),
                symmetric_key: Some(WireKeys {
                    primary_key: STANDARD.encode(primary),
                    secondary_key: secondary.map(|key| STANDARD.encode(key)),
                }),
                ..Self::default()
            },
            Attestation::X509 { primary, secondary } => Self {
                r#type: "selfSigned".into(),
                x509_thumbprint: Some(WireThumbprints { primary_thumbprint: primary, secondary_thumbprint: secondary }),
                ..Self::default()
            },
        }
    }
}

impl TryFrom<Wire> for Attestation {
    type Error = String;

    fn try_from(wire: Wire) -> Result<Self, String> {
        let key = |text: String| STANDARD.decode(&text).map_err(|_| "a symmetric key is not base64".to_owned());
        match (wire.r#type.as_str(), wire.symmetric_key, wire.x509_thumbprint) {
            ("sas", Some(keys), _) => Ok(Self::SymmetricKey {
                primary: key(keys.primary_key)?,
                secondary: keys.secondary_key.map(key).transpose()?,
            }),
            ("selfSigned", _, Some(thumbprints)) => {
                Ok(Self::X509 { primary: thumbprints.primary_thumbprint, secondary: thumbprints.secondary_thumbprint })
            }
            ("certificateAuthority", ..) => Ok(Self::X509Ca),
            ("sas", None, _) => Err("an authentication of type `sas` needs a `symmetricKey`".into()),
            ("selfSigned", _, None) => Err("an authentication of type `selfSigned` needs an `x509Thumbprint`".into()),
            (other, ..) => {
                Err(format!("the authentication type `{other}` is not `sas`, `selfSigned` or `certificateAuthority`"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_are_read_in_both_lengths_and_with_colons() {
        // `printf abc | sha1sum` and `sha256sum`.
        let sha1 = "A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D";
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for text in [sha1, sha256] {
            let thumbprint: Thumbprint = text.parse().expect("a thumbprint");
            assert!(thumbprint.fits(b"abc") && !thumbprint.fits(b"abd"));
            assert_eq!(thumbprint.to_string(), text.replace(':', "").to_uppercase());
        }
        for text in ["", "a999", &sha256[1..], &sha256.replace('b', "g")] {
            assert!(text.parse::<Thumbprint>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_attestation_survives_json() {
        let thumbprint = Thumbprint::sha1(b"abc");
        for attestation in [
            Attestation::symmetric([7; 32]),
            Attestation::SymmetricKey { primary: vec![1; 16], secondary: Some(vec![2; 64]) },
            Attestation::thumbprint(thumbprint),
            Attestation::X509Ca,
            Attestation::X509 { primary: thumbprint, secondary: Some(Thumbprint::sha256(b"abc")) },
        ] {
            let text = serde_json::to_string(&attestation).expect("writes");
            assert_eq!(serde_json::from_str::<Attestation>(&text).expect("reads"), attestation, "{text}");
        }
        let wrong = serde_json::from_str::<Attestation>(r#"{"type":"sas","symmetricKey":{"primaryKey":"?"}}"#);
        assert!(wrong.expect_err("no base64").to_string().contains("not base64"));
    }
}
