//! Writing a record.

use core::fmt;

use crate::field::{RootKey, Tag};
use crate::{HEADER_LEN, MAGIC, MAX_LEN, VERSION, checksum};

/// Writes a record into a caller's buffer.
///
/// ```
/// # fn main() -> Result<(), provisioning::BuildError> {
/// let mut buffer = [0; 1024];
/// let record = provisioning::Builder::new(&mut buffer)
///     .dps_host("global.azure-devices-provisioning.net")
///     .id_scope("0ne00000000")
///     .registration_id("same54-1")
///     .symmetric_key(&[7; 32])
///     .finish()?;
/// assert_eq!(provisioning::Record::parse(record).unwrap().id_scope(), Some("0ne00000000"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a record is complete only after `finish`"]
pub struct Builder<'b> {
    buffer: &'b mut [u8],
    len: usize,
    error: Option<BuildError>,
}

impl<'b> Builder<'b> {
    /// Starts an empty record at the start of `buffer`.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        let error = (buffer.len() < HEADER_LEN).then_some(BuildError::TooLong);
        Self { buffer, len: HEADER_LEN, error }
    }

    /// See [`Record::dps_host`](crate::Record::dps_host).
    pub fn dps_host(self, host: &str) -> Self {
        self.field(Tag::DpsHost, host.as_bytes())
    }

    /// See [`Record::id_scope`](crate::Record::id_scope).
    pub fn id_scope(self, scope: &str) -> Self {
        self.field(Tag::IdScope, scope.as_bytes())
    }

    /// See [`Record::registration_id`](crate::Record::registration_id).
    pub fn registration_id(self, id: &str) -> Self {
        self.field(Tag::RegistrationId, id.as_bytes())
    }

    /// The device's own key: raw bytes, not base64.
    pub fn symmetric_key(self, key: &[u8]) -> Self {
        self.field(Tag::SymmetricKey, key)
    }

    /// The key of an enrolment group instead of the device's own. Not for devices in the field.
    pub fn group_key(self, key: &[u8]) -> Self {
        self.field(Tag::SymmetricKey, key).field(Tag::GroupKey, &[])
    }

    /// Connect to this hub as this device, without the provisioning service.
    pub fn hub(self, host: &str, device_id: &str) -> Self {
        self.field(Tag::HubHost, host.as_bytes()).field(Tag::DeviceId, device_id.as_bytes())
    }

    /// Adds a certificate authority (X.509, DER).
    pub fn ca_certificate(self, der: &[u8]) -> Self {
        self.field(Tag::CaCertificate, der)
    }

    /// Adds a Device Update root key.
    pub fn root_key(mut self, key: &RootKey<'_>) -> Self {
        if !key.is_sound() {
            self.error.get_or_insert(BuildError::Field(Tag::RootKey as u16));
            return self;
        }
        let kid_len = [key.kid.len() as u8]; // `is_sound` bounds it
        self.parts(Tag::RootKey, &[&key.e.to_le_bytes(), &kid_len, key.kid.as_bytes(), key.n]);
        self
    }

    /// See [`Record::ntp_host`](crate::Record::ntp_host).
    pub fn ntp_host(self, host: &str) -> Self {
        self.field(Tag::NtpHost, host.as_bytes())
    }

    /// See [`Record::mac`](crate::Record::mac). Must be a unicast address.
    pub fn mac(self, mac: [u8; 6]) -> Self {
        self.field(Tag::Mac, &mac)
    }

    /// See [`Record::gateway_host`](crate::Record::gateway_host).
    pub fn gateway_host(self, host: &str) -> Self {
        self.field(Tag::GatewayHost, host.as_bytes())
    }

    /// See [`Record::manufacturer`](crate::Record::manufacturer).
    pub fn manufacturer(self, name: &str) -> Self {
        self.field(Tag::Manufacturer, name.as_bytes())
    }

    /// See [`Record::model`](crate::Record::model).
    pub fn model(self, name: &str) -> Self {
        self.field(Tag::Model, name.as_bytes())
    }

    /// Completes the header; the returned bytes are the record.
    ///
    /// # Errors
    /// The first error of any field.
    pub fn finish(self) -> Result<&'b [u8], BuildError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let (record, _) = self.buffer.split_at_mut(self.len);
        let (header, fields) = record.split_at_mut(HEADER_LEN);
        header[..4].copy_from_slice(&MAGIC);
        header[4..6].copy_from_slice(&VERSION.to_le_bytes());
        header[6..8].fill(0);
        header[8..12].copy_from_slice(&(self.len as u32).to_le_bytes());
        let sum = checksum(&header[..12], fields);
        header[12..].copy_from_slice(&sum.to_le_bytes());
        Ok(record)
    }

    fn field(mut self, tag: Tag, value: &[u8]) -> Self {
        if tag.accepts(value) {
            self.parts(tag, &[value]);
        } else {
            self.error.get_or_insert(BuildError::Field(tag as u16));
        }
        self
    }

    fn parts(&mut self, tag: Tag, parts: &[&[u8]]) {
        let value_len: usize = parts.iter().map(|part| part.len()).sum();
        let end = self.len + 4 + value_len;
        if self.error.is_some() || end > self.buffer.len().min(MAX_LEN) {
            self.error.get_or_insert(BuildError::TooLong);
            return;
        }
        let mut put = |bytes: &[u8]| {
            self.buffer[self.len..self.len + bytes.len()].copy_from_slice(bytes);
            self.len += bytes.len();
        };
        put(&(tag as u16).to_le_bytes());
        put(&(value_len as u16).to_le_bytes()); // MAX_LEN bounds it
        for part in parts {
            put(part);
        }
    }
}

/// Why a record cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// The record does not fit the buffer or [`MAX_LEN`].
    TooLong,
    /// The value for the field with this tag is empty, too long or otherwise not allowed.
    Field(u16),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the provisioning record is too long"),
            Self::Field(tag) => write!(f, "value not allowed for provisioning field {tag}"),
        }
    }
}

impl core::error::Error for BuildError {}
