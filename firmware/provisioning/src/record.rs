//! Reading a record in place.

use core::fmt;

use crate::field::{RootKey, Tag};
use crate::{HEADER_LEN, MAGIC, MAX_LEN, VERSION, checksum};

/// A checked record that borrows the flash it lies in.
///
/// `Debug` prints no key.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// The fields, all of them checked by [`Record::parse`].
    fields: &'a [u8],
}

impl<'a> Record<'a> {
    /// Checks the record at the start of `bytes`; whatever follows the record is ignored.
    ///
    /// # Errors
    /// See [`Error`]. An erased place (all 0xFF) is [`Error::Missing`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let header = bytes.first_chunk::<HEADER_LEN>().ok_or(Error::Missing)?;
        if header[..4] != MAGIC {
            return Err(Error::Missing);
        }
        if u16::from_le_bytes([header[4], header[5]]) != VERSION {
            return Err(Error::Version);
        }
        let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        if !(HEADER_LEN..=MAX_LEN).contains(&len) {
            return Err(Error::Length);
        }
        let fields = bytes.get(HEADER_LEN..len).ok_or(Error::Length)?;
        let stored = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
        if checksum(&header[..12], fields) != stored {
            return Err(Error::Checksum);
        }

        let mut iter = Fields(fields);
        for (tag, value) in iter.by_ref() {
            if Tag::from_u16(tag).is_some_and(|known| !known.accepts(value)) {
                return Err(Error::Field(tag));
            }
        }
        if !iter.0.is_empty() {
            return Err(Error::Length);
        }
        Ok(Self { fields })
    }

    /// Host name of the Device Provisioning Service, usually `global.azure-devices-provisioning.net`.
    pub fn dps_host(&self) -> Option<&'a str> {
        self.text(Tag::DpsHost)
    }

    /// Id scope of the provisioning service, for example `0ne00000000`.
    pub fn id_scope(&self) -> Option<&'a str> {
        self.text(Tag::IdScope)
    }

    /// Registration id: what the device calls itself towards the provisioning service.
    pub fn registration_id(&self) -> Option<&'a str> {
        self.text(Tag::RegistrationId)
    }

    /// Symmetric key, raw bytes (after base64 decoding): 16 to 64 bytes.
    pub fn symmetric_key(&self) -> Option<&'a [u8]> {
        self.first(Tag::SymmetricKey)
    }

    /// Whether [`symmetric_key`](Self::symmetric_key) is an enrolment group's key, from which the device's own key
    /// is derived. Meant for trials: a group key does not belong on devices in the field.
    pub fn is_group_key(&self) -> bool {
        self.first(Tag::GroupKey).is_some()
    }

    /// Host name of an IoT Hub to connect to directly, without the provisioning service.
    pub fn hub_host(&self) -> Option<&'a str> {
        self.text(Tag::HubHost)
    }

    /// Device id at [`hub_host`](Self::hub_host).
    pub fn device_id(&self) -> Option<&'a str> {
        self.text(Tag::DeviceId)
    }

    /// Certificates (X.509, DER) of the authorities trusted for TLS.
    pub fn ca_certificates(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.all(Tag::CaCertificate)
    }

    /// Device Update root keys that replace the compiled-in ones; none means: use the compiled-in ones.
    pub fn root_keys(&self) -> impl Iterator<Item = RootKey<'a>> + use<'a> {
        self.all(Tag::RootKey).filter_map(RootKey::parse)
    }

    /// Host name of the time server.
    pub fn ntp_host(&self) -> Option<&'a str> {
        self.text(Tag::NtpHost)
    }

    /// Ethernet address; none means: derive one from the chip's serial number.
    pub fn mac(&self) -> Option<[u8; 6]> {
        self.first(Tag::Mac)?.try_into().ok()
    }

    /// Host (`name` or `name:port`) that downloads go through (Microsoft Connected Cache); requests keep their
    /// original `Host`.
    pub fn gateway_host(&self) -> Option<&'a str> {
        self.text(Tag::GatewayHost)
    }

    /// Manufacturer that updates are matched against, instead of the firmware's own.
    pub fn manufacturer(&self) -> Option<&'a str> {
        self.text(Tag::Manufacturer)
    }

    /// Model that updates are matched against, instead of the firmware's own.
    pub fn model(&self) -> Option<&'a str> {
        self.text(Tag::Model)
    }

    fn all(&self, tag: Tag) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        Fields(self.fields).filter(move |(t, _)| *t == tag as u16).map(|(_, value)| value)
    }

    fn first(&self, tag: Tag) -> Option<&'a [u8]> {
        self.all(tag).next()
    }

    fn text(&self, tag: Tag) -> Option<&'a str> {
        self.first(tag).and_then(|value| core::str::from_utf8(value).ok())
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("dps_host", &self.dps_host())
            .field("id_scope", &self.id_scope())
            .field("registration_id", &self.registration_id())
            .field("hub_host", &self.hub_host())
            .field("device_id", &self.device_id())
            .field("fields_len", &self.fields.len())
            .finish_non_exhaustive()
    }
}

/// Why there is no usable record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No magic number: nothing was provisioned, or the flash is erased.
    Missing,
    /// A layout version that this firmware does not know.
    Version,
    /// The total length or a field's length does not fit.
    Length,
    /// The checksum does not match: the record is damaged.
    Checksum,
    /// The field with this tag is malformed.
    Field(u16),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no provisioning record: provision the device"),
            Self::Version => f.write_str("provisioning record of an unknown layout version"),
            Self::Length => f.write_str("provisioning record with a wrong length"),
            Self::Checksum => f.write_str("damaged provisioning record: provision the device again"),
            Self::Field(tag) => write!(f, "malformed field {tag} in the provisioning record"),
        }
    }
}

impl core::error::Error for Error {}

/// Iterates over (tag, value); on a truncated field it ends and leaves the rest.
#[derive(Clone)]
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((u16::from_le_bytes([head[0], head[1]]), value))
    }
}
