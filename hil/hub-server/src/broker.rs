//! A Mosquitto in front of the hub instead of its own MQTT listener.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hub_broker::{Broker, BrokerError, Settings, Slot};

use crate::config::{BrokerConfig, Config};
use crate::core::Core;
use crate::error::ServerError;

/// How long the thread waits for news before it looks whether it has to end.
const LOOK: Duration = Duration::from_millis(100);
/// How soon it looks again while something that the log told waits for its message.
const SOON: Duration = Duration::from_millis(10);

/// A broker with the thread that serves it. Ends with this value.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Where devices connect, one at each.
    pub addresses: Vec<SocketAddr>,
    /// Name and version.
    pub version: String,
}

/// Where the devices of `config` connect. On loopback each has an address of its own, because SDKs know no other port than
/// 8883; elsewhere each has a port.
fn addresses(config: &Config, broker: &BrokerConfig) -> Result<Vec<SocketAddr>, ServerError> {
    let port = config.ports.mqtts;
    let failed = |address| move |why| ServerError::Broker(BrokerError::Taken { address, why });
    (0..broker.devices.max(1))
        .map(|index| {
            let next = u32::from(index);
            match config.bind {
                IpAddr::V4(ip) if ip.is_loopback() && port != 0 => {
                    Ok(SocketAddr::from((Ipv4Addr::from(u32::from(ip).wrapping_add(next)), port)))
                }
                ip if port != 0 => Ok(SocketAddr::new(ip, port.wrapping_add(index))),
                ip => {
                    let any = SocketAddr::new(ip, 0);
                    TcpListener::bind(any).and_then(|listener| listener.local_addr()).map_err(failed(any))
                }
            }
        })
        .collect()
}

/// The names and addresses that the certificate needs because of a broker.
pub(crate) fn names(config: &Config) -> Vec<String> {
    let Some(broker) = &config.broker else { return Vec::new() };
    let addresses = addresses(config, broker).unwrap_or_default();
    addresses.iter().filter(|_| config.bind.is_loopback()).map(|address| address.ip().to_string()).collect()
}

impl Running {
    /// Starts the broker. Devices are answered from [`serve`](Self::serve) on.
    ///
    /// # Errors
    /// [`ServerError::Broker`].
    pub fn start(config: &Config, broker: &BrokerConfig, keys: &hub::Keys) -> Result<(Broker, Self), ServerError> {
        let addresses = addresses(config, broker)?;
        let slot = |(index, &address): (usize, &SocketAddr)| {
            let own = index > 0 && config.bind.is_loopback();
            Slot { address, name: if own { address.ip().to_string() } else { config.host.clone() } }
        };
        let client_ca = broker.client_ca.as_ref();
        let settings = Settings {
            place: broker.place(),
            slots: addresses.iter().enumerate().map(slot).collect(),
            tls_chain_pem: keys.tls_chain_pem.clone(),
            tls_key_pem: keys.tls_key_pem.clone(),
            client_ca_pem: client_ca
                .map(|path| {
                    std::fs::read(path)
                        .map_err(|error| ServerError::Keys { path: path.clone(), why: error.to_string() })
                })
                .transpose()?,
        };
        let directory = config.data.as_ref().map(|data| data.join("mosquitto"));
        let broker = Broker::start(settings, directory.as_deref())?;
        let version = broker.version().to_owned();
        Ok((broker, Self { stop: Arc::default(), thread: None, addresses, version }))
    }

    /// Serves the devices at a broker, in a thread of its own.
    pub fn serve(&mut self, mut broker: Broker, core: Arc<Core>) {
        core.set_broker(broker.waker());
        let stop = Arc::clone(&self.stop);
        self.thread = Some(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let told = broker.wait(if broker.is_waiting() { SOON } else { LOOK });
                if !told && !broker.is_waiting() {
                    continue;
                }
                // In the store before it goes out.
                let outcome = core.call(|cloud, now| broker.step(now, cloud));
                let outcome =
                    outcome.and_then(|actions| if core.is_halted() { Ok(()) } else { broker.perform(actions) });
                if let Err(error) = outcome {
                    core.halt(error.to_string());
                    break;
                }
            }
            core.call(|cloud, now| broker.close_all(now, cloud));
        }));
    }

    /// Ends the broker; its devices are disconnected.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported.
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_addresses_on_loopback_and_ports_elsewhere() {
        let broker = BrokerConfig { devices: 3, ..BrokerConfig::default() };
        let at = |bind: &str| {
            let config = Config { bind: bind.parse().expect("an address"), ..Config::default() };
            addresses(&config, &broker).expect("fixed ports").iter().map(SocketAddr::to_string).collect::<Vec<_>>()
        };
        assert_eq!(at("127.0.0.1"), ["127.0.0.1:8883", "127.0.0.2:8883", "127.0.0.3:8883"]);
        assert_eq!(at("0.0.0.0"), ["0.0.0.0:8883", "0.0.0.0:8884", "0.0.0.0:8885"]);
        let config = Config { broker: Some(broker), ..Config::default() };
        assert_eq!(names(&config), ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    }
}
