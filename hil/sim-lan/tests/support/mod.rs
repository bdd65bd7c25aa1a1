//! A device at the other end of the cable: smoltcp as a client, driven in virtual time.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sim_base::{EthernetLink, Instant};
use sim_lan::{ConnId, Outbox, TcpService};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::{dhcpv4, tcp};
use smoltcp::wire::{EthernetAddress, IpCidr};

pub const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x54];

#[derive(Default)]
struct Queues {
    rx: VecDeque<Vec<u8>>,
    tx: VecDeque<Vec<u8>>,
}

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::Device for Queues {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;
    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Rx, Tx<'_>)> {
        Some((Rx(self.rx.pop_front()?), Tx(&mut self.tx)))
    }
    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.tx))
    }
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

impl phy::RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        frame.resize(frame.len().max(60), 0);
        self.0.push_back(frame);
        result
    }
}

/// The device and its cable.
pub struct Device<L> {
    pub link: L,
    pub now: Instant,
    pub iface: Interface,
    pub sockets: SocketSet<'static>,
    /// Every frame that passed the MAC, in order: when, whether it was sent, its bytes.
    pub frames: Vec<(Instant, bool, Vec<u8>)>,
    queues: Queues,
    line_free_at: Instant,
}

impl<L: EthernetLink> Device<L> {
    pub fn new(link: L) -> Self {
        Self::restarted(link, Instant::ZERO, 1)
    }

    /// A device that starts at `now` and knows nothing of earlier lives.
    pub fn restarted(link: L, now: Instant, random_seed: u64) -> Self {
        let mut queues = Queues::default();
        let mut config = Config::new(EthernetAddress(MAC).into());
        config.random_seed = random_seed;
        let iface = Interface::new(config, &mut queues, smoltcp_time(now));
        let sockets = SocketSet::new(Vec::new());
        Self { link, now, iface, sockets, frames: Vec::new(), queues, line_free_at: now }
    }

    pub fn with_address(link: L, ip: Ipv4Addr) -> Self {
        let mut device = Self::new(link);
        device.set_address(IpCidr::new(ip.into(), 24));
        device
    }

    pub fn set_address(&mut self, cidr: IpCidr) {
        self.iface.update_ip_addrs(|addresses| {
            addresses.clear();
            addresses.push(cidr).expect("room for one address");
        });
    }

    /// Runs until `done` or until `limit` has passed; returns whether it was done.
    pub fn run(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.poll();
            if done(self) {
                return true;
            }
            self.poll();
            let stack = self.iface.poll_at(smoltcp_time(self.now), &self.sockets).map_or(Instant::NEVER, |at| {
                Instant::from_nanos(at.total_micros() as u64 * 1_000).max(self.now + Duration::from_micros(1))
            });
            let next = stack.min(self.link.poll_at());
            if next > end {
                self.now = end;
                return false;
            }
            self.now = self.now.max(next);
        }
    }

    fn poll(&mut self) {
        while let Some(frame) = self.link.receive(self.now) {
            self.frames.push((self.now, false, frame.clone()));
            self.queues.rx.push_back(frame);
        }
        self.iface.poll(smoltcp_time(self.now), &mut self.queues, &mut self.sockets);
        while let Some(frame) = self.queues.tx.pop_front() {
            // The MAC sends one frame after the other; the test ignores that the stack could notice meanwhile.
            let start = self.line_free_at.max(self.now);
            self.line_free_at = start + Duration::from_nanos((frame.len() as u64 + 24) * 80);
            self.now = self.line_free_at;
            self.link.transmit(self.now, &frame);
            self.frames.push((self.now, true, frame));
        }
    }

    /// Gets an address by DHCP; returns the configuration.
    pub fn dhcp(&mut self) -> (Ipv4Addr, Option<Ipv4Addr>, Vec<Ipv4Addr>) {
        let handle = self.sockets.add(dhcpv4::Socket::new());
        let mut result = None;
        let done = self.run(Duration::from_secs(60), |device| {
            let event = device.sockets.get_mut::<dhcpv4::Socket>(handle).poll();
            if let Some(dhcpv4::Event::Configured(config)) = event {
                result = Some((config.address.address(), config.router, config.dns_servers.to_vec()));
            }
            result.is_some()
        });
        assert!(done, "no lease within a minute");
        let result = result.expect("configured");
        self.set_address(IpCidr::new(result.0.into(), 24));
        result
    }

    pub fn connect(&mut self, to: SocketAddrV4, local_port: u16) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 8 * 1024]);
        let handle = self.sockets.add(tcp::Socket::new(buffer(), buffer()));
        let endpoint = smoltcp::wire::IpEndpoint::new((*to.ip()).into(), to.port());
        let socket = self.sockets.get_mut::<tcp::Socket>(handle);
        socket.connect(self.iface.context(), endpoint, local_port).expect("connect");
        handle
    }

    pub fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }
}

pub fn smoltcp_time(at: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros((at.as_nanos() / 1_000) as i64)
}

/// What a service was told, for assertions.
pub type Calls = Arc<Mutex<Vec<String>>>;

/// Sends back what it receives; closes after the peer.
#[derive(Default)]
pub struct Echo {
    pub calls: Calls,
    waiting: Vec<(ConnId, Vec<u8>)>,
    last: Option<ConnId>,
    /// Speaks on its own at these instants, oldest first.
    pub bell: VecDeque<Instant>,
}

impl Echo {
    pub fn new(calls: &Calls) -> Self {
        Self { calls: calls.clone(), ..Self::default() }
    }

    fn note(&self, call: String) {
        self.calls.lock().expect("calls").push(call);
    }
}

impl TcpService for Echo {
    fn connected(&mut self, _: Instant, conn: ConnId, peer: SocketAddrV4) {
        self.last = Some(conn);
        self.note(format!("connected {} {peer}", conn.0));
    }
    fn received(&mut self, _: Instant, conn: ConnId, data: &[u8]) {
        self.waiting.push((conn, data.to_vec()));
    }
    fn closed(&mut self, _: Instant, conn: ConnId, reset: bool) {
        self.note(format!("closed {} {}", conn.0, if reset { "reset" } else { "fin" }));
    }
    fn poll(&mut self, now: Instant, out: &mut Outbox) {
        for (conn, data) in self.waiting.drain(..) {
            out.send(conn, &data);
            if data == b"abort" {
                out.abort(conn);
            }
            if data == b"close" {
                out.close(conn);
            }
        }
        while self.bell.front().is_some_and(|&at| at <= now) {
            self.bell.pop_front();
            if let Some(conn) = self.last {
                out.send(conn, b"ding");
            }
        }
    }
    fn poll_at(&self) -> Instant {
        self.bell.front().copied().unwrap_or(Instant::NEVER)
    }
}

/// A writer whose bytes the test keeps.
#[derive(Clone, Default)]
pub struct Sink(pub Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("sink").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
