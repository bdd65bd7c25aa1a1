//! A real broker behind the virtual LAN: bytes of a TCP connection of the LAN pass to a socket of this machine and back.
//!
//! The broker lives in wall-clock time, the board in virtual time. Virtual time is not paced by the clock on the wall, but
//! held while an answer may come: after bytes went out, until the broker has done what it owes and it has been quiet
//! for a few milliseconds. What comes later than that arrives later.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as WallInstant};

use hub::{Cloud, EventKind};
use hub_broker::{Broker, BrokerError};
use sim_base::Instant;
use sim_lan::{ConnId, Outbox, TcpService};

use super::wiretap::Wiretap;

/// Wall-clock time without a sign of the broker after which time goes on.
const QUIET: Duration = Duration::from_millis(4);
/// Wall-clock time for the first sign of the broker that it has heard something.
const FIRST: Duration = Duration::from_millis(100);
/// Wall-clock time for which the broker may owe something, e.g. its part of a handshake.
const LONGEST: Duration = Duration::from_secs(5);
/// Wall-clock time between two looks at the sockets.
const LOOK: Duration = Duration::from_micros(300);
/// Virtual time between two looks for what comes late.
const LATE_LOOK: Duration = Duration::from_millis(5);

/// One connection through to the broker.
struct Tunnel {
    stream: TcpStream,
    tap: Wiretap,
    /// For the board.
    bytes: Vec<u8>,
    /// The broker has closed its end.
    ended: bool,
}

/// The broker, and every connection to it.
pub struct Bridge {
    broker: Broker,
    cloud: Arc<Mutex<Cloud>>,
    address: SocketAddr,
    tunnels: BTreeMap<ConnId, Tunnel>,
    events: Vec<(Instant, EventKind)>,
    /// Something went to the broker since time was held.
    spoken: bool,
    failed: Option<String>,
}

impl Bridge {
    /// Connections go to `address`, where `broker` listens.
    pub fn new(broker: Broker, cloud: Arc<Mutex<Cloud>>, address: SocketAddr) -> Self {
        let (tunnels, events) = (BTreeMap::new(), Vec::new());
        Self { broker, cloud, address, tunnels, events, spoken: false, failed: None }
    }

    /// Name and version of the broker.
    pub fn version(&self) -> &str {
        self.broker.version()
    }

    /// What the wire told since the last call.
    pub fn take_events(&mut self) -> Vec<(Instant, EventKind)> {
        std::mem::take(&mut self.events)
    }

    /// Why the broker is of no use any more, if so.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    fn open(&mut self, conn: ConnId) {
        let stream = TcpStream::connect(self.address)
            .and_then(|stream| stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).map(|()| stream));
        match stream {
            Ok(stream) => {
                self.tunnels.insert(conn, Tunnel { stream, tap: Wiretap::default(), bytes: Vec::new(), ended: false });
            }
            Err(error) => self.fail(format!("the broker at {} takes no connection: {error}", self.address)),
        }
    }

    fn fail(&mut self, why: String) {
        self.failed.get_or_insert(why);
    }

    fn send(&mut self, now: Instant, conn: ConnId, mut data: &[u8]) {
        let Some(tunnel) = self.tunnels.get_mut(&conn) else { return };
        self.events.extend(tunnel.tap.client_sent(data).map(|event| (now, event)));
        let end = WallInstant::now() + LONGEST;
        while !data.is_empty() {
            match tunnel.stream.write(data) {
                Ok(count) => data = &data[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock && WallInstant::now() < end => {
                    std::thread::sleep(LOOK);
                }
                Err(_) => {
                    tunnel.ended = true;
                    return;
                }
            }
        }
        self.spoken |= tunnel.tap.may_answer();
    }

    fn close(&mut self, conn: ConnId) {
        if let Some(tunnel) = self.tunnels.remove(&conn) {
            let _ = tunnel.stream.shutdown(Shutdown::Both);
            self.spoken = true;
        }
    }

    /// Takes what has arrived on the sockets; yields whether there was anything.
    fn read(&mut self, now: Instant) -> bool {
        let mut moved = false;
        let mut buffer = [0; 4096];
        for tunnel in self.tunnels.values_mut().filter(|tunnel| !tunnel.ended) {
            loop {
                match tunnel.stream.read(&mut buffer) {
                    Ok(count @ 1..) => {
                        self.events.extend(tunnel.tap.server_sent(&buffer[..count]).map(|event| (now, event)));
                        tunnel.bytes.extend_from_slice(&buffer[..count]);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Ok(0) | Err(_) => tunnel.ended = true,
                }
                moved = true;
                if tunnel.ended {
                    break;
                }
            }
        }
        moved
    }

    /// Brings cloud and broker together, as of `now`.
    fn step(&mut self, now: Instant) {
        if self.failed.is_some() {
            return;
        }
        let outcome = {
            let mut cloud = self.cloud.lock().unwrap_or_else(PoisonError::into_inner);
            for conn in cloud.ready() {
                self.broker.touch(conn);
            }
            self.broker.step(now, &mut cloud)
        };
        let outcome = outcome.and_then(|actions| {
            self.spoken |= !actions.is_empty();
            self.broker.perform(actions)
        });
        if let Err(error) = outcome {
            self.fail(BrokerError::to_string(&error));
        }
    }

    /// Holds virtual time while the broker may have something to say.
    fn hold(&mut self, now: Instant) {
        let begun = WallInstant::now();
        let (mut heard, mut sign) = (false, begun);
        while self.failed.is_none() {
            let told = self.broker.wait(LOOK);
            if told || self.broker.is_waiting() {
                self.step(now);
            }
            if self.read(now) | told {
                (heard, sign) = (true, WallInstant::now());
            }
            let handshake = self.tunnels.values().any(|tunnel| !tunnel.ended && tunnel.tap.owes_handshake());
            let limit = match (handshake || self.broker.is_owed(), heard) {
                (true, _) => LONGEST,
                (false, true) => QUIET,
                (false, false) => FIRST,
            };
            if sign.elapsed() > limit || begun.elapsed() > LONGEST {
                break;
            }
        }
        self.broker.forgive();
        self.spoken = false;
    }
}

/// A port of the LAN whose connections lead to the broker.
pub struct BridgePort {
    bridge: Arc<Mutex<Bridge>>,
    conns: Vec<ConnId>,
    /// When what comes late is next looked for.
    look_at: Instant,
}

impl BridgePort {
    /// Several ports may lead to one broker.
    pub fn new(bridge: Arc<Mutex<Bridge>>) -> Self {
        Self { bridge, conns: Vec::new(), look_at: Instant::NEVER }
    }

    fn bridge(&self) -> MutexGuard<'_, Bridge> {
        lock(&self.bridge)
    }
}

/// A panic in another user has been reported already.
pub(super) fn lock(bridge: &Mutex<Bridge>) -> MutexGuard<'_, Bridge> {
    bridge.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TcpService for BridgePort {
    fn connected(&mut self, _now: Instant, conn: ConnId, _peer: SocketAddrV4) {
        self.bridge().open(conn);
        self.conns.push(conn);
    }

    fn received(&mut self, now: Instant, conn: ConnId, data: &[u8]) {
        self.bridge().send(now, conn, data);
    }

    fn closed(&mut self, _now: Instant, conn: ConnId, _reset: bool) {
        self.bridge().close(conn);
        self.conns.retain(|other| *other != conn);
    }

    fn poll(&mut self, now: Instant, out: &mut Outbox) {
        let mut bridge = lock(&self.bridge);
        {
            let mut cloud = bridge.cloud.lock().unwrap_or_else(PoisonError::into_inner);
            cloud.poll(now);
        }
        bridge.step(now);
        bridge.read(now);
        if bridge.spoken {
            bridge.hold(now);
        }
        let mut gone = Vec::new();
        for &conn in &self.conns {
            let Some(tunnel) = bridge.tunnels.get_mut(&conn) else {
                out.abort(conn);
                gone.push(conn);
                continue;
            };
            out.send(conn, &std::mem::take(&mut tunnel.bytes));
            if tunnel.ended {
                out.close(conn);
                bridge.tunnels.remove(&conn);
                gone.push(conn);
            }
        }
        self.conns.retain(|conn| !gone.contains(conn));
        self.look_at = if self.conns.is_empty() { Instant::NEVER } else { now + LATE_LOOK };
    }

    fn poll_at(&self) -> Instant {
        let bridge = self.bridge();
        let fresh = self.conns.iter().filter_map(|conn| bridge.tunnels.get(conn));
        if fresh.clone().any(|tunnel| !tunnel.bytes.is_empty() || tunnel.ended) {
            return Instant::ZERO;
        }
        let cloud = bridge.cloud.lock().unwrap_or_else(PoisonError::into_inner);
        cloud.poll_at().min(self.look_at)
    }
}
