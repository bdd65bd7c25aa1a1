//! What a hub is told at its start: names, addresses, ports, limits. A TOML file, each entry optional.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hub_broker::Place;
use serde::Deserialize;

/// Configuration of a hub; [`Config::default`] is a hub on loopback with the ports of Azure.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address that all listeners bind to. Loopback unless told otherwise.
    pub bind: IpAddr,
    /// Name by which devices reach the hub; it stands in connection strings and in the certificate.
    pub host: String,
    /// More names and addresses for the certificate.
    pub names: Vec<String>,
    /// Id scope of the provisioning service.
    pub id_scope: String,
    /// Directory of all state; in memory if `None`.
    pub data: Option<PathBuf>,
    /// Directory of the CA and keys; the default is `keys` under `data`, or a directory of the user's.
    pub keys: Option<PathBuf>,
    /// Listeners.
    pub ports: Ports,
    /// A Mosquitto, instead of the hub's own MQTT listeners.
    pub broker: Option<BrokerConfig>,
    /// Bounds.
    pub limits: Limits,
    /// Token that changes over the API need; made at the start if it binds beyond loopback and none is given.
    pub token: Option<String>,
}

/// TCP ports; 0 lets the system choose, and the start prints which.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ports {
    /// MQTT over TLS, of IoT Hub and of the provisioning service.
    pub mqtts: u16,
    /// MQTT without TLS, which Azure does not have; for measurements.
    pub mqtt: Option<u16>,
    /// The file server of Device Update.
    pub files: u16,
    /// REST API and dashboard.
    pub admin: u16,
}

/// A Mosquitto in front of the hub (docs/hub-broker.md).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerConfig {
    /// Where it runs.
    pub kind: BrokerKind,
    /// Image of the containers.
    pub image: String,
    /// Listeners, each for one device and a process or container of its own.
    pub devices: u16,
    /// PEM file of CA certificates under one of which every device must present a certificate.
    pub client_ca: Option<PathBuf>,
}

/// Where a Mosquitto runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BrokerKind {
    /// The installed program, as child processes.
    #[default]
    Mosquitto,
    /// In containers.
    Container,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self { kind: BrokerKind::default(), image: hub_broker::DEFAULT_IMAGE.to_owned(), devices: 4, client_ca: None }
    }
}

impl BrokerConfig {
    /// The same for [`hub_broker`].
    pub fn place(&self) -> Place {
        match self.kind {
            BrokerKind::Mosquitto => Place::Process,
            BrokerKind::Container => Place::Container { image: self.image.clone() },
        }
    }
}

/// Bounds of what a client may cost.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at one time, of all listeners together.
    pub connections: usize,
    /// Seconds for a TLS handshake.
    pub handshake_seconds: u64,
    /// Seconds for which a client may leave unread what is sent to it.
    pub write_seconds: u64,
    /// Lines of the message log that are kept.
    pub log: usize,
    /// Largest body of an API request, bytes; update files come in one.
    pub body: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: IpAddr::from([127, 0, 0, 1]),
            host: "localhost".into(),
            names: Vec::new(),
            id_scope: "0ne00HIL054".into(),
            data: None,
            keys: None,
            ports: Ports::default(),
            broker: None,
            limits: Limits::default(),
            token: None,
        }
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self { mqtts: 8883, mqtt: None, files: 8880, admin: 8080 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 20_000, handshake_seconds: 30, write_seconds: 30, log: 100_000, body: 256 << 20 }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// the file cannot be read
    #[error("the configuration `{path}` cannot be read: {why}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: std::io::Error,
    },
    /// the file is not what it should be
    #[error("the configuration `{path}` is wrong: {why}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        why: String,
    },
}

impl Config {
    /// Reads a TOML file; what it leaves out has its default.
    ///
    /// # Errors
    /// [`ConfigError`], with the line in question.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|why| ConfigError::Read { path: path.into(), why })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.into(), why: error.to_string().trim_end().to_owned() })
    }
}
