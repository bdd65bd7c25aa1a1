//! AES-128-GCM records of TLS 1.2 (RFC 5288).

use alloc::boxed::Box;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{KeyInit, Nonce, Tag};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, KeyBlockShape, MessageDecrypter, MessageEncrypter,
    Nonce as RecordNonce, OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls12AeadAlgorithm,
    UnsupportedOperationError, make_tls12_aad,
};
use rustls::{ConnectionTrafficSecrets, Error};

const SALT: usize = 4;
const EXPLICIT_NONCE: usize = 8;
const TAG: usize = 16;
const OVERHEAD: usize = EXPLICIT_NONCE + TAG;
/// RFC 5246 section 6.2.1.
const MAX_PLAINTEXT: usize = 1 << 14;

pub(super) struct Aes128Gcm;

impl Tls12AeadAlgorithm for Aes128Gcm {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        // RFC 5288 leaves the explicit part to the sender: start value from the key block XOR sequence number.
        let mut nonce = [0; SALT + EXPLICIT_NONCE];
        nonce[..SALT].copy_from_slice(iv);
        nonce[SALT..].copy_from_slice(extra);
        Box::new(Encrypter { cipher: cipher(&key), iv: Iv::new(nonce) })
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        let mut salt = [0; SALT];
        salt.copy_from_slice(iv);
        Box::new(Decrypter { cipher: cipher(&key), salt })
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        KeyBlockShape { enc_key_len: 16, fixed_iv_len: SALT, explicit_nonce_len: EXPLICIT_NONCE }
    }

    fn extract_keys(
        &self,
        _: AeadKey,
        _: &[u8],
        _: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// rustls cuts the key out of the key block by `key_block_shape`, so its length is right.
fn cipher(key: &AeadKey) -> aes_gcm::Aes128Gcm {
    aes_gcm::Aes128Gcm::new_from_slice(&key.as_ref()[..16]).expect("16 bytes are an AES-128 key")
}

struct Encrypter {
    cipher: aes_gcm::Aes128Gcm,
    iv: Iv,
}

impl MessageEncrypter for Encrypter {
    fn encrypt(&mut self, msg: OutboundPlainMessage<'_>, seq: u64) -> Result<OutboundOpaqueMessage, Error> {
        let nonce = RecordNonce::new(&self.iv, seq).0;
        let aad = make_tls12_aad(seq, msg.typ, msg.version, msg.payload.len());
        let mut payload = PrefixedPayload::with_capacity(self.encrypted_payload_len(msg.payload.len()));
        payload.extend_from_slice(&nonce[SALT..]);
        payload.extend_from_chunks(&msg.payload);
        let tag = self
            .cipher
            .encrypt_inout_detached(&Nonce::from(nonce), &aad, (&mut payload.as_mut()[EXPLICIT_NONCE..]).into())
            .map_err(|_| Error::EncryptError)?;
        payload.extend_from_slice(&tag);
        Ok(OutboundOpaqueMessage::new(msg.typ, msg.version, payload))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len + OVERHEAD
    }
}

struct Decrypter {
    cipher: aes_gcm::Aes128Gcm,
    salt: [u8; SALT],
}

impl MessageDecrypter for Decrypter {
    fn decrypt<'a>(&mut self, mut msg: InboundOpaqueMessage<'a>, seq: u64) -> Result<InboundPlainMessage<'a>, Error> {
        let Some(plain_len) = msg.payload.len().checked_sub(OVERHEAD) else {
            return Err(Error::DecryptError);
        };
        if plain_len > MAX_PLAINTEXT {
            return Err(Error::PeerSentOversizedRecord);
        }
        let aad = make_tls12_aad(seq, msg.typ, msg.version, plain_len);
        let (explicit, rest) = msg.payload.split_at_mut(EXPLICIT_NONCE);
        let (text, tag) = rest.split_at_mut(plain_len);
        let mut nonce = [0; SALT + EXPLICIT_NONCE];
        nonce[..SALT].copy_from_slice(&self.salt);
        nonce[SALT..].copy_from_slice(explicit);
        let tag = <[u8; TAG]>::try_from(&*tag).map_err(|_| Error::DecryptError)?;
        self.cipher
            .decrypt_inout_detached(&Nonce::from(nonce), &aad, text.into(), &Tag::from(tag))
            .map_err(|_| Error::DecryptError)?;
        Ok(msg.into_plain_message_range(EXPLICIT_NONCE..EXPLICIT_NONCE + plain_len))
    }
}
