//! Who this device is and whom it trusts: the provisioning record with the firmware's defaults filled in.

use alloc::vec::Vec;

use adu_agent::RootKey;
use provisioning::Record;

/// Manufacturer that updates are matched against, unless the record names one.
pub const MANUFACTURER: &str = "MICROCHIP";
/// Model that updates are matched against, unless the record names one.
pub const MODEL: &str = "SAME54";
/// Time server, unless the record names one.
const NTP_HOST: &str = "pool.ntp.org";

/// How the device gets to its hub.
#[derive(Clone, Copy)]
pub enum Route<'a> {
    /// Ask the provisioning service.
    Dps {
        /// Host name of the service.
        host: &'a str,
        /// Id scope of the enrolment.
        id_scope: &'a str,
        /// What the device calls itself.
        registration_id: &'a str,
    },
    /// Connect directly.
    Hub {
        /// Host name of the hub.
        host: &'a str,
        /// Device id there.
        device_id: &'a str,
    },
}

/// What the firmware needs to know; borrows the record.
pub struct Settings<'a> {
    /// How to get to the hub.
    pub route: Route<'a>,
    /// Symmetric key, raw bytes.
    pub key: &'a [u8],
    /// The key is an enrolment group's, from which the device's own is derived.
    pub is_group_key: bool,
    /// Ethernet address, if the record gives one.
    pub mac: Option<[u8; 6]>,
    /// Time server.
    pub ntp_host: &'a str,
    /// Host that downloads go through, if the record gives one.
    pub gateway: Option<&'a str>,
    /// Manufacturer that updates are matched against.
    pub manufacturer: &'a str,
    /// Model that updates are matched against.
    pub model: &'a str,
    /// Root keys for update manifests; empty: the compiled-in ones.
    pub root_keys: Vec<RootKey<'a>>,
    record: Record<'a>,
}

/// Why the device cannot go to its hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// No usable record.
    Record(provisioning::Error),
    /// The record names neither a hub with a device id nor a provisioning service with scope and registration.
    NoRoute,
    /// The record has no symmetric key.
    NoKey,
    /// The record has no CA certificate.
    NoAuthority,
}

impl SettingsError {
    /// What is wrong, in a few words.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Record(provisioning::Error::Missing) => "not provisioned",
            Self::Record(provisioning::Error::Version) => "provisioning record of an unknown version",
            Self::Record(provisioning::Error::Length | provisioning::Error::Checksum) => "provisioning record damaged",
            Self::Record(provisioning::Error::Field(_)) => "provisioning record malformed",
            Self::NoRoute => "provisioning record names no hub",
            Self::NoKey => "provisioning record has no key",
            Self::NoAuthority => "provisioning record has no CA certificate",
        }
    }
}

/// Length of the record at the start of `bytes`, so that no more than that has to be kept; the length of `bytes` if
/// there is no sound one.
pub fn record_len(bytes: &[u8]) -> usize {
    // The total length is a field of the record's header; see the crate `provisioning`.
    match bytes.get(8..12) {
        Some(len) if Record::parse(bytes).is_ok() => u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize,
        _ => bytes.len(),
    }
}

impl<'a> Settings<'a> {
    /// Reads the record at the start of `bytes`.
    ///
    /// # Errors
    /// See [`SettingsError`]; the device then runs without a hub.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SettingsError> {
        let record = Record::parse(bytes).map_err(SettingsError::Record)?;
        let route = match (record.hub_host(), record.device_id()) {
            (Some(host), Some(device_id)) => Route::Hub { host, device_id },
            _ => match (record.dps_host(), record.id_scope(), record.registration_id()) {
                (Some(host), Some(id_scope), Some(registration_id)) => Route::Dps { host, id_scope, registration_id },
                _ => return Err(SettingsError::NoRoute),
            },
        };
        if record.ca_certificates().next().is_none() {
            return Err(SettingsError::NoAuthority);
        }
        Ok(Self {
            route,
            key: record.symmetric_key().ok_or(SettingsError::NoKey)?,
            is_group_key: record.is_group_key(),
            mac: record.mac(),
            ntp_host: record.ntp_host().unwrap_or(NTP_HOST),
            gateway: record.gateway_host(),
            manufacturer: record.manufacturer().unwrap_or(MANUFACTURER),
            model: record.model().unwrap_or(MODEL),
            root_keys: record.root_keys().map(|key| RootKey { kid: key.kid, n: key.n, e: key.e }).collect(),
            record,
        })
    }

    /// Certificates (X.509, DER) of the authorities trusted for TLS; at least one.
    pub fn authorities(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.record.ca_certificates()
    }
}
