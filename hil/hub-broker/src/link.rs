//! The hub's own connection to the broker, and how it closes a device's.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet};
use rumqttc::v5::{Client, Event, MqttOptions};
use rumqttc::{Transport, v5};

use crate::Input;
use crate::error::BrokerError;
use crate::settings::MAX_PACKET;

/// User name of the hub's own connections; in the log it tells them from devices.
pub(crate) const USER: &str = "hil-hub";
/// Client id of the hub: no device id has a slash in front.
pub(crate) const ID: &str = "/hil-hub";
/// Time for a connection on this machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// Messages on their way to the broker.
const ROOM: usize = 10_000;

/// What devices publish: a wildcard in front leaves out what begins with `$` (MQTT 4.7.2).
const FILTERS: [&str; 3] = ["#", "$iothub/#", "$dps/#"];

/// The hub's connection to the broker of one slot.
pub(crate) struct Link {
    client: Client,
    socket: PathBuf,
}

impl Link {
    /// Connects and subscribes to everything that devices publish; messages arrive as inputs from then on.
    pub fn open(slot: usize, socket: &Path, inputs: Sender<Input>) -> Result<Self, BrokerError> {
        // Version 5 for its `no local`: what the hub sends to devices does not come back.
        let mut options = MqttOptions::new(ID, socket.to_string_lossy(), 0);
        options.set_transport(Transport::Unix);
        options.set_credentials(USER, "");
        options.set_max_packet_size(Some(2 * MAX_PACKET));
        options.set_keep_alive(Duration::from_secs(60));
        let (client, mut connection) = Client::new(options, ROOM);
        let failed = |why: String| BrokerError::Link(why);
        let filter = |filter| Filter { nolocal: true, ..Filter::new(filter, QoS::AtLeastOnce) };
        client.subscribe_many(FILTERS.map(filter)).map_err(|error| failed(error.to_string()))?;
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match connection.recv_timeout(left) {
                Ok(Ok(Event::Incoming(Packet::SubAck(_)))) => break,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(failed(error.to_string())),
                Err(_) => return Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
            }
        }
        std::thread::spawn(move || {
            for event in connection.iter() {
                let input = match event {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                        // Kept from before: the device did not say it now.
                        if publish.retain {
                            continue;
                        }
                        Input::Message { slot, topic, body: publish.payload.to_vec() }
                    }
                    Ok(_) => continue,
                    Err(error) => Input::LinkDown(error.to_string()),
                };
                let over = matches!(input, Input::LinkDown(_));
                if inputs.send(input).is_err() || over {
                    return;
                }
            }
        });
        Ok(Self { client, socket: socket.to_owned() })
    }

    /// Sends a message to the device.
    pub fn publish(&self, topic: &str, body: Vec<u8>, qos: u8) -> Result<(), BrokerError> {
        let qos = if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        self.client.publish(topic, qos, false, body).map_err(|error| BrokerError::Link(error.to_string()))
    }

    /// Closes a client's connection: a broker evicts whose id comes a second time. Its session lives on if it had asked
    /// for one.
    pub fn kick(&self, id: &str, clean: bool) {
        let mut options = rumqttc::MqttOptions::new(id, self.socket.to_string_lossy(), 0);
        options.set_transport(Transport::Unix);
        options.set_credentials(USER, "").set_clean_session(clean).set_keep_alive(Duration::from_secs(5));
        // Whatever waits for the device is not to be acknowledged here.
        options.set_manual_acks(true);
        options.set_max_packet_size(2 * MAX_PACKET as usize, 2 * MAX_PACKET as usize);
        std::thread::spawn(move || {
            let (client, mut connection) = rumqttc::Client::new(options, 4);
            let end = Instant::now() + PATIENCE;
            while let Ok(Ok(event)) = connection.recv_timeout(end.saturating_duration_since(Instant::now())) {
                match event {
                    rumqttc::Event::Incoming(rumqttc::Packet::ConnAck(_)) => {
                        let _ = client.disconnect();
                    }
                    rumqttc::Event::Outgoing(rumqttc::Outgoing::Disconnect) => return,
                    _ => {}
                }
            }
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Ends the thread as well.
        let _: Result<(), v5::ClientError> = self.client.try_disconnect();
    }
}
