//! A real MQTT broker in front of the hub.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use clap::{Args, ValueEnum};
use hub::Keys;
use hub_broker::{Broker, BrokerError, DEFAULT_IMAGE, Place, Settings, Slot};

use crate::error::Error;

/// How often another port is tried when somebody takes the one that was free.
const TRIES: usize = 5;

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BrokerKind {
    /// The `mosquitto` that is installed
    Mosquitto,
    /// Mosquitto in a container
    Container,
}

/// Which broker, on the command line.
#[derive(Clone, Debug, Args)]
pub struct BrokerArgs {
    /// Put this MQTT broker between devices and hub (docs/hub-broker.md)
    #[arg(long, value_name = "BROKER")]
    pub broker: Option<BrokerKind>,
    /// Image for `--broker container`; the official one without it
    #[arg(long, value_name = "IMAGE", env = "HIL_BROKER_IMAGE")]
    pub broker_image: Option<String>,
}

impl BrokerArgs {
    /// Where the broker runs, if there is to be one.
    pub fn place(&self) -> Option<Place> {
        self.broker.map(|kind| match kind {
            BrokerKind::Mosquitto => Place::Process,
            BrokerKind::Container => {
                Place::Container { image: self.broker_image.clone().unwrap_or_else(|| DEFAULT_IMAGE.to_owned()) }
            }
        })
    }
}

/// Starts one for one device, which the provisioning service tells that its hub is called `host`; yields where it listens.
///
/// # Errors
/// [`Error::Broker`].
pub fn start_one(place: &Place, keys: &Keys, host: &str) -> Result<(Broker, SocketAddr), Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let address = free_port()?;
        let settings = Settings {
            place: place.clone(),
            slots: vec![Slot { address, name: host.to_owned() }],
            tls_chain_pem: keys.tls_chain_pem.clone(),
            tls_key_pem: keys.tls_key_pem.clone(),
            client_ca_pem: None,
        };
        match Broker::start(settings, None) {
            Err(BrokerError::Taken { .. }) if tries < TRIES => {}
            other => return Ok((other?, address)),
        }
    }
}

/// A port of this machine that nobody listens on.
fn free_port() -> Result<SocketAddr, BrokerError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    TcpListener::bind(any)
        .and_then(|listener| listener.local_addr())
        .map_err(|why| BrokerError::Taken { address: any, why })
}
