//! What a broker is told: its configuration file, chain and key.

use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::container;
use crate::error::BrokerError;

/// Name of the configuration in its directory.
pub(crate) const FILE: &str = "mosquitto.conf";
const CHAIN: &str = "chain.pem";
const KEY: &str = "key.pem";
const CLIENT_CA: &str = "client-ca.pem";

/// Largest packet, bytes: IoT Hub's largest message has 256 KB, and the topic comes on top.
pub(crate) const MAX_PACKET: u32 = 264 * 1024;

/// The image that containers are made of if none is named: the version that everything was seen with.
pub const DEFAULT_IMAGE: &str = "eclipse-mosquitto:2.0.11";

/// Where a broker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The installed program, as a child process.
    Process,
    /// In a container, by the engine at the socket that `DOCKER_HOST` names, or at Docker's usual one.
    Container {
        /// Name of an image with `/bin/sh` and `mosquitto`, e.g. [`DEFAULT_IMAGE`]; pulled if it is not there.
        image: String,
    },
}

/// What a broker is made from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it runs.
    pub place: Place,
    /// Where devices connect: a process for each, with one device.
    pub slots: Vec<Slot>,
    /// TLS server certificate first, then intermediates, PEM.
    pub tls_chain_pem: Vec<u8>,
    /// Private key of the TLS server certificate, PEM.
    pub tls_key_pem: Vec<u8>,
    /// CA certificates, PEM: if there, a device must present a certificate under one of them.
    pub client_ca_pem: Option<Vec<u8>>,
}

/// A listener for one device, in a process of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Where it listens.
    pub address: SocketAddr,
    /// What the provisioning service tells a device that came here about the name of its hub.
    pub name: String,
}

impl Settings {
    /// The configuration file of the process for one slot; paths in it are relative to its directory.
    pub(crate) fn text(&self, slot: &Slot, socket: &Path) -> String {
        // A container has addresses of its own; the engine connects the slot's to them.
        let (listener, socket) = match self.place {
            Place::Process => (format!("{} {}", slot.address.port(), slot.address.ip()), socket),
            Place::Container { .. } => (container::PORT.to_string(), Path::new(container::SOCKET)),
        };
        let socket = socket.display();
        let mut text = format!(
            "# Made by hil at each start; changes are lost.\n\
             per_listener_settings true\n\
             # Only looked at when started as root: files and directory belong to who started it.\n\
             user root\n\
             persistence false\n\
             sys_interval 0\n\
             set_tcp_nodelay true\n\
             # Standard output would be held back in blocks.\n\
             log_dest stderr\n\
             log_type all\n\
             log_timestamp false\n\
             connection_messages true\n\
             max_packet_size {MAX_PACKET}\n\
             max_inflight_messages 100\n\
             max_queued_messages 10000\n\
             \n\
             # The hub itself.\n\
             listener 0 {socket}\n\
             allow_anonymous true\n\
             \n\
             # The device.\n\
             listener {listener}\n\
             allow_anonymous true\n\
             max_connections 16\n\
             max_qos 1\n\
             certfile {CHAIN}\n\
             keyfile {KEY}\n\
             tls_version tlsv1.2\n"
        );
        if self.client_ca_pem.is_some() {
            let _ = writeln!(text, "cafile {CLIENT_CA}\nrequire_certificate true");
        }
        text
    }

    /// The files that a process needs, by name.
    fn files(&self, slot: &Slot, socket: &Path) -> Vec<(&'static str, Vec<u8>)> {
        let mut files = vec![
            (FILE, self.text(slot, socket).into_bytes()),
            (CHAIN, self.tls_chain_pem.clone()),
            (KEY, self.tls_key_pem.clone()),
        ];
        files.extend(self.client_ca_pem.clone().map(|pem| (CLIENT_CA, pem)));
        files
    }

    /// Writes them into a directory, for their owner alone.
    pub(crate) fn write(&self, directory: &Path, slot: &Slot, socket: &Path) -> Result<(), BrokerError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |why| BrokerError::Write { path, why }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed(directory))?;
        for (name, bytes) in self.files(slot, socket) {
            let path = directory.join(name);
            let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
            options.and_then(|mut file: File| file.write_all(&bytes)).map_err(failed(&path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_listens_for_its_device_and_for_the_hub() {
        let slot = Slot { address: SocketAddr::from(([127, 0, 0, 2], 8883)), name: String::new() };
        let mut settings = Settings {
            place: Place::Process,
            slots: vec![slot.clone()],
            tls_chain_pem: Vec::new(),
            tls_key_pem: Vec::new(),
            client_ca_pem: None,
        };
        let socket = Path::new("/run/hub.sock");
        let text = settings.text(&slot, socket);
        assert!(text.contains("listener 8883 127.0.0.2\nallow_anonymous true\n"), "{text}");
        assert!(text.contains("listener 0 /run/hub.sock\n") && !text.contains("require_certificate"), "{text}");
        assert_eq!((text.matches("\nlistener ").count(), settings.files(&slot, socket).len()), (2, 3));
        settings.client_ca_pem = Some(Vec::new());
        assert!(settings.text(&slot, socket).ends_with("require_certificate true\n"));
        assert_eq!(settings.files(&slot, socket).len(), 4);
        settings.place = Place::Container { image: DEFAULT_IMAGE.to_owned() };
        let text = settings.text(&slot, socket);
        assert!(text.contains("listener 8883\n") && text.contains("listener 0 /hil/link/hub.sock\n"), "{text}");
    }
}
