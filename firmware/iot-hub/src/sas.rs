//! Shared access signature tokens.
//!
//! `SharedAccessSignature sr={resource}&sig={signature}&se={expiry}[&skn={policy}]`, where the signature is HMAC-SHA256
//! under the device's key over the resource as it is written, a line feed and the expiry, in base64.

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Error;
use crate::writer::Writer;

/// Length of a buffer that every token fits in.
pub const TOKEN_LEN: usize = 512;

/// The device's own key under a group enrolment: HMAC-SHA256 of its registration id under the group's key.
pub fn derive_device_key(group_key: &[u8], registration_id: &str) -> [u8; 32] {
    hmac(group_key, registration_id.as_bytes())
}

/// A token for `scope`, percent-encoded parts joined by encoded slashes, valid until `expiry` (Unix seconds).
///
/// `policy` names the key (`skn`): `registration` for the provisioning service, none for a device's own key.
pub(crate) fn token<'b>(
    scope: &[&str],
    policy: Option<&str>,
    key: &[u8],
    expiry: u64,
    out: &'b mut [u8],
) -> Result<&'b str, Error> {
    let mut text = Writer::text_at_start(out);
    text.text("SharedAccessSignature sr=");
    let start = text.written().len();
    for (index, part) in scope.iter().enumerate() {
        text.text(if index > 0 { "%2F" } else { "" }).encoded(part);
    }
    let end = text.written().len();
    text.text("\n").number(expiry);
    // The signed text stands in the buffer for a moment, with a line feed where the token goes on with `&sig=`.
    let signature = hmac(key, text.written().get(start..).unwrap_or_default());
    text.truncate(end);

    let mut base64 = [0; 44];
    let signature = Base64::encode(&signature, &mut base64).map_err(|_| Error::BufferTooSmall)?;
    text.text("&sig=").encoded(signature);
    text.text("&se=").number(expiry);
    if let Some(policy) = policy {
        text.text("&skn=").text(policy);
    }
    text.finish_text()
}

/// When to connect anew with a fresh token: after 85 % of the token's life, at least a minute before its end.
///
/// MQTT has no renewal within a connection; the hub closes it when the token expires. Unix seconds.
pub fn renewal_time(issued: u64, expiry: u64) -> u64 {
    let life = expiry.saturating_sub(issued);
    (issued + life * 85 / 100).min(expiry.saturating_sub(60).max(issued))
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    // A key of any length is valid for HMAC, so the error has no case.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    mac.update(message);
    mac.finalize().into_bytes().into()
}
