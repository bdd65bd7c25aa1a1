//! One TLS connection to a server of the cloud.

use device_tls::Session;
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{Read, Write};

use super::MQTT_PORT;
use super::error::CloudError;
use crate::net::{Connection, Port};

/// Time for the handshake: its arithmetic takes half a second, the rest is the network's.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// An established TLS connection.
pub(super) struct Link<'b>(Session<'b, Connection>);

impl<'b> Link<'b> {
    /// Connects to the MQTT port of `host`, whose certificate must be for that name.
    pub(super) async fn open(
        host: &str,
        tls: &device_tls::Config,
        port: &'static Port,
        inbound: &'b mut [u8],
        outbound: &'b mut [u8],
    ) -> Result<Self, CloudError> {
        let connection = port.connect(host, MQTT_PORT).await?;
        let handshake = Session::connect(connection, tls, host, inbound, outbound);
        match with_timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(session) => Ok(Self(session?)),
            Err(_) => Err(CloudError::Timeout),
        }
    }

    /// Sends one packet.
    pub(super) async fn send(&mut self, packet: &[u8]) -> Result<(), CloudError> {
        self.0.write_all(packet).await?;
        Ok(self.0.flush().await?)
    }

    /// Waits for bytes. Cancel-safe.
    pub(super) async fn receive(&mut self, space: &mut [u8]) -> Result<usize, CloudError> {
        match self.0.read(space).await? {
            0 => Err(CloudError::Closed),
            count => Ok(count),
        }
    }

    /// Says goodbye and waits until the network has sent it.
    pub(super) async fn close(mut self) {
        // A peer that is gone already does not matter here.
        let _ = self.0.close().await;
        self.0.into_transport().close().await;
    }
}
