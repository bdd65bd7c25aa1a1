//! The cloud on the LAN: a TCP port of the virtual network whose bytes go to the hub.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, PoisonError};

use hub::{Cloud, Endpoint};
use sim_base::Instant;
use sim_lan::{ConnId, Outbox, TcpService};

/// One listening port of the cloud.
pub struct CloudPort {
    cloud: Arc<Mutex<Cloud>>,
    endpoint: Endpoint,
    conns: BTreeMap<ConnId, hub::ConnId>,
}

impl CloudPort {
    /// Bytes of this port's connections are `endpoint`'s.
    pub fn new(cloud: Arc<Mutex<Cloud>>, endpoint: Endpoint) -> Self {
        Self { cloud, endpoint, conns: BTreeMap::new() }
    }

    fn cloud(&self) -> std::sync::MutexGuard<'_, Cloud> {
        self.cloud.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TcpService for CloudPort {
    fn connected(&mut self, now: Instant, conn: ConnId, _peer: SocketAddrV4) {
        let id = self.cloud().open(now, self.endpoint);
        self.conns.insert(conn, id);
    }

    fn received(&mut self, now: Instant, conn: ConnId, data: &[u8]) {
        if let Some(&id) = self.conns.get(&conn) {
            self.cloud().receive(now, id, data);
        }
    }

    fn closed(&mut self, now: Instant, conn: ConnId, _reset: bool) {
        if let Some(id) = self.conns.remove(&conn) {
            self.cloud().closed(now, id);
        }
    }

    fn poll(&mut self, now: Instant, out: &mut Outbox) {
        self.cloud().poll(now);
        let mut gone = Vec::new();
        for (&conn, &id) in &self.conns {
            let mut cloud = self.cloud();
            let bytes = cloud.transmit(now, id);
            if !bytes.is_empty() {
                out.send(conn, &bytes);
            }
            if cloud.wants_close(id) {
                cloud.closed(now, id);
                gone.push(conn);
            }
        }
        for conn in gone {
            self.conns.remove(&conn);
            out.close(conn);
        }
    }

    fn poll_at(&self) -> Instant {
        self.cloud().poll_at()
    }
}
