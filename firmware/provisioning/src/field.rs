//! Tags of the fields and the structure of their values.

/// What a field means. The numbers are written into flash: never renumber.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    DpsHost = 1,
    IdScope = 2,
    RegistrationId = 3,
    SymmetricKey = 4,
    GroupKey = 5,
    HubHost = 6,
    DeviceId = 7,
    CaCertificate = 8,
    RootKey = 9,
    NtpHost = 10,
    Mac = 11,
    GatewayHost = 12,
    Manufacturer = 13,
    Model = 14,
}

impl Tag {
    pub(crate) const fn from_u16(tag: u16) -> Option<Self> {
        Some(match tag {
            1 => Self::DpsHost,
            2 => Self::IdScope,
            3 => Self::RegistrationId,
            4 => Self::SymmetricKey,
            5 => Self::GroupKey,
            6 => Self::HubHost,
            7 => Self::DeviceId,
            8 => Self::CaCertificate,
            9 => Self::RootKey,
            10 => Self::NtpHost,
            11 => Self::Mac,
            12 => Self::GatewayHost,
            13 => Self::Manufacturer,
            14 => Self::Model,
            _ => return None,
        })
    }

    /// Whether `value` is well formed for this tag.
    pub(crate) fn accepts(self, value: &[u8]) -> bool {
        match self {
            Self::SymmetricKey => (16..=64).contains(&value.len()),
            Self::GroupKey => value.is_empty(),
            Self::CaCertificate => !value.is_empty(),
            Self::RootKey => RootKey::parse(value).is_some(),
            Self::Mac => value.len() == 6 && value[0] & 1 == 0,
            Self::DpsHost
            | Self::IdScope
            | Self::RegistrationId
            | Self::HubHost
            | Self::DeviceId
            | Self::NtpHost
            | Self::GatewayHost
            | Self::Manufacturer
            | Self::Model => (1..=255).contains(&value.len()) && core::str::from_utf8(value).is_ok(),
        }
    }
}

/// A Device Update root key: an RSA public key that signs signing keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootKey<'a> {
    /// Key id as it stands in the `kid` of an SJWK header, for example `ADU.200702.R`.
    pub kid: &'a str,
    /// Modulus, big endian, without leading zeros: 256 to 512 bytes.
    pub n: &'a [u8],
    /// Public exponent, usually 65537.
    pub e: u32,
}

impl<'a> RootKey<'a> {
    /// Value of the field: exponent (4 bytes), length of the id (1 byte), id, modulus.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let (e, rest) = value.split_first_chunk::<4>()?;
        let (&kid_len, rest) = rest.split_first()?;
        let (kid, n) = rest.split_at_checked(usize::from(kid_len))?;
        let key = Self { kid: core::str::from_utf8(kid).ok()?, n, e: u32::from_le_bytes(*e) };
        key.is_sound().then_some(key)
    }

    /// Whether lengths and exponent are what an RSA verifier accepts.
    pub(crate) fn is_sound(&self) -> bool {
        (1..=255).contains(&self.kid.len())
            && (256..=512).contains(&self.n.len())
            && self.n[0] != 0
            && self.n[self.n.len() - 1] & 1 == 1
            && self.e >= 3
            && self.e & 1 == 1
    }
}
