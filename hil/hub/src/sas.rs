//! Shared access signatures: `SharedAccessSignature sr=…&sig=…&se=…[&skn=…]`.
//!
//! The signed text is exactly the `sr` of the wire (some clients percent-encode it, some do not), a line feed and
//! `se`; the key is the base64-decoded device key; the code is HMAC-SHA256.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

const PREFIX: &str = "SharedAccessSignature ";

/// A parsed token; the signature is not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// `sr` as it came: this text is what was signed.
    pub raw_resource: String,
    /// `sr`, percent-decoded.
    pub resource: String,
    /// `se` as it came.
    pub raw_expiry: String,
    /// Unix time at which the token expires.
    pub expiry: u64,
    /// `skn`: the name of the key or policy.
    pub key_name: Option<String>,
    signature: Vec<u8>,
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SasError {
    /// the password does not begin with `SharedAccessSignature `
    #[error("the password does not begin with `SharedAccessSignature `")]
    Prefix,
    /// a field is missing
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    /// a field is given twice
    #[error("the field `{0}` is given twice")]
    Twice(&'static str),
    /// a field is malformed
    #[error("the field `{0}` is malformed")]
    Malformed(&'static str),
    /// the token is for another resource
    #[error("the token is for `{token}`, not for `{wanted}`")]
    Scope {
        /// What the token is for.
        token: String,
        /// What it is used for.
        wanted: String,
    },
    /// the token has expired
    #[error("the token expired {0} s ago")]
    Expired(u64),
    /// the signature does not fit any key
    #[error("the signature does not fit any key of the device")]
    Signature,
}

impl Token {
    /// Parses a password; the fields may come in any order, unknown ones are skipped.
    ///
    /// # Errors
    /// [`SasError`] that names the first field in doubt.
    pub fn parse(password: &str) -> Result<Self, SasError> {
        let fields = password.strip_prefix(PREFIX).ok_or(SasError::Prefix)?;
        let (mut sr, mut sig, mut se, mut skn) = (None, None, None, None);
        for field in fields.split('&') {
            let Some((name, value)) = field.split_once('=') else { continue };
            let (slot, name) = match name {
                "sr" => (&mut sr, "sr"),
                "sig" => (&mut sig, "sig"),
                "se" => (&mut se, "se"),
                "skn" => (&mut skn, "skn"),
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(SasError::Twice(name));
            }
        }
        let raw_resource = sr.ok_or(SasError::Missing("sr"))?.to_owned();
        let resource = percent_decode(&raw_resource).ok_or(SasError::Malformed("sr"))?;
        let raw_expiry = se.ok_or(SasError::Missing("se"))?.to_owned();
        let expiry = raw_expiry.parse().map_err(|_| SasError::Malformed("se"))?;
        let signature = percent_decode(sig.ok_or(SasError::Missing("sig"))?)
            .and_then(|text| STANDARD.decode(text).ok())
            .ok_or(SasError::Malformed("sig"))?;
        let key_name = match skn {
            None | Some("") => None,
            Some(name) => Some(percent_decode(name).ok_or(SasError::Malformed("skn"))?),
        };
        Ok(Self { raw_resource, resource, raw_expiry, expiry, key_name, signature })
    }

    /// Checks scope, expiry and signature against any of `keys` (raw bytes).
    ///
    /// `wanted` is the resource, percent-decoded; host names compare without case.
    ///
    /// # Errors
    /// [`SasError`] with the first check that failed.
    pub fn verify(&self, wanted: &str, keys: &[&[u8]], now_unix: u64) -> Result<(), SasError> {
        if !self.resource.trim_end_matches('/').eq_ignore_ascii_case(wanted) {
            return Err(SasError::Scope { token: self.resource.clone(), wanted: wanted.to_owned() });
        }
        if now_unix >= self.expiry {
            return Err(SasError::Expired(now_unix - self.expiry));
        }
        let message = format!("{}\n{}", self.raw_resource, self.raw_expiry);
        let fits = keys.iter().any(|key| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            hmac::verify(&key, message.as_bytes(), &self.signature).is_ok()
        });
        if fits { Ok(()) } else { Err(SasError::Signature) }
    }
}

/// The key of a device in an enrolment group: HMAC-SHA256 of the registration id under the group's key.
pub fn derived_key(group_key: &[u8], registration_id: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, group_key);
    hmac::sign(&key, registration_id.as_bytes()).as_ref().to_vec()
}

/// Undoes percent-encoding (RFC 3986 section 2.1); `None` if an escape is cut short or the result is not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                (high * 16 + low) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Signatures of this file were computed with `openssl dgst -sha256 -mac HMAC`, key `00 01 .. 1f`.
    const KEY: [u8; 32] = {
        let mut key = [0; 32];
        let mut i = 0;
        while i < 32 {
            key[i] = i as u8;
            i += 1;
        }
        key
    };
    const HUB: &str = "SharedAccessSignature sr=hil-hub.azure-devices.net%2Fdevices%2Fe54\
        &sig=qLF7LNs214iCaN382dw6lhhlXcKkgukpKVLSm%2BfgZUY%3D&se=1767229200";
    const DPS_RAW: &str = "SharedAccessSignature sr=0ne00/registrations/e54\
        &sig=WzPJR1fgiiyOU9TBMKdDh2%2Bhj7QBDzMY8rgFKewv5Ts%3D&skn=registration&se=1767229200";

    #[test]
    fn an_encoded_resource_is_verified_over_its_raw_text() {
        let token = Token::parse(HUB).expect("parses");
        assert_eq!(token.resource, "hil-hub.azure-devices.net/devices/e54");
        assert_eq!(token.verify("hil-hub.azure-devices.net/devices/e54", &[&[9; 32], &KEY], 1_767_229_199), Ok(()));
    }

    #[test]
    fn a_plain_resource_and_another_order_are_taken_too() {
        let token = Token::parse(DPS_RAW).expect("parses");
        assert_eq!(token.key_name.as_deref(), Some("registration"));
        assert_eq!(token.verify("0ne00/registrations/e54", &[&KEY], 0), Ok(()));
    }

    #[test]
    fn every_check_refuses() {
        let wanted = "hil-hub.azure-devices.net/devices/e54";
        let token = Token::parse(HUB).expect("parses");
        assert_eq!(token.verify(wanted, &[&KEY], 1_767_229_203), Err(SasError::Expired(3)));
        assert_eq!(token.verify(wanted, &[&[0; 32]], 0), Err(SasError::Signature));
        assert!(matches!(
            token.verify("hil-hub.azure-devices.net/devices/e55", &[&KEY], 0),
            Err(SasError::Scope { .. })
        ));
        let later = Token::parse(&HUB.replace("1767229200", "1767229201")).expect("parses");
        assert_eq!(later.verify(wanted, &[&KEY], 0), Err(SasError::Signature));
        for (password, error) in [
            ("Bearer x", SasError::Prefix),
            ("SharedAccessSignature sr=a&se=1", SasError::Missing("sig")),
            ("SharedAccessSignature sr=a&sr=b&se=1&sig=", SasError::Twice("sr")),
            ("SharedAccessSignature sr=a&sig=%3&se=1", SasError::Malformed("sig")),
            ("SharedAccessSignature sr=a&sig=AAAA&se=-1", SasError::Malformed("se")),
        ] {
            assert_eq!(Token::parse(password), Err(error), "{password}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in "(SharedAccessSignature )?[ -~]{0,80}") {
            let _ = Token::parse(&text);
        }
    }
}
