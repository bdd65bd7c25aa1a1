//! The segment: wire, IP stack, gateway and services.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use sim_base::{EthernetLink, Instant, Rng};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::udp;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpCidr, IpEndpoint, IpProtocol,
    Ipv4Packet, Ipv4Repr, TcpPacket, UdpPacket, UdpRepr,
};

use crate::capture::Capture;
use crate::event::{LanEvent, Service};
use crate::ntp::NtpFault;
use crate::port::Port;
use crate::tcp::{Admission, ConnId, Listener, Syn, TcpService};
use crate::{dhcp, dns, ntp};

/// Gateway, DHCP, DNS and NTP server.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 54, 0, 1);
/// The network.
pub const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 54, 0, 0);
/// Length of the network's prefix, bits.
pub const PREFIX_LEN: u8 = 24;

const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
const POOL: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(10, 54, 0, 100), Ipv4Addr::new(10, 54, 0, 199));
/// Locally administered.
const MAC: [u8; 6] = [0x02, 0x54, 0x00, 0x00, 0x00, 0x01];

const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DNS_PORT: u16 = 53;
const NTP_PORT: u16 = 123;

/// 100 Mbit/s.
const NANOS_PER_BYTE: u64 = 80;
/// Preamble and start delimiter 8, FCS 4, inter-packet gap 12 (IEEE 802.3).
const FRAME_OVERHEAD: u64 = 24;
/// Shortest frame without FCS.
const MIN_FRAME: usize = 60;
/// If smoltcp has something to do "now" that it could not do, it is asked again after this time.
const RETRY: Duration = Duration::from_millis(1);

/// How a LAN is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanConfig {
    /// UTC at virtual time zero, seconds since 1970.
    pub epoch_unix: u64,
    /// Seed of TCP's initial sequence numbers.
    pub seed: u64,
    /// Time from a frame's last bit at one end to its arrival at the other, in each direction.
    pub latency: Duration,
    /// DHCP lease time, seconds.
    pub lease_seconds: u32,
}

impl Default for LanConfig {
    /// 2026-01-01 00:00:00 UTC, seed 0, 200 us, leases of an hour.
    fn default() -> Self {
        Self { epoch_unix: 1_767_225_600, seed: 0, latency: Duration::from_micros(200), lease_seconds: 3_600 }
    }
}

/// The far end of a board's Ethernet cable; see the [crate documentation](crate).
pub struct Lan {
    config: LanConfig,
    now: Instant,
    link_up: bool,

    /// Frames on the wire and the instant of their arrival, oldest first.
    to_host: VecDeque<(Instant, Vec<u8>)>,
    to_device: VecDeque<(Instant, Vec<u8>)>,
    /// When the last frame for the device has left this end.
    line_free_at: Instant,

    port: Port,
    iface: Interface,
    sockets: SocketSet<'static>,
    stack_poll_at: Instant,

    dhcp: dhcp::Server,
    dns: dns::Table,
    dns_socket: SocketHandle,
    ntp_socket: SocketHandle,
    ntp_fault: NtpFault,
    /// Names in the order of their definition, for [`Service::name`].
    names: Vec<(Ipv4Addr, String)>,
    listeners: Vec<Listener>,
    next_conn: u64,

    events: Vec<(Instant, LanEvent)>,
    capture: Option<Capture>,
}

impl Lan {
    /// A LAN with a gateway that serves DHCP, DNS and NTP, and nothing else.
    pub fn new(config: LanConfig) -> Self {
        let mut port = Port::default();
        let mut iface_config = Config::new(EthernetAddress(MAC).into());
        iface_config.random_seed = Rng::new(config.seed).fork("sim-lan").next_u64();
        let mut iface = Interface::new(iface_config, &mut port, smoltcp::time::Instant::ZERO);
        add_address(&mut iface, GATEWAY);
        let mut sockets = SocketSet::new(Vec::new());
        let dns_socket = sockets.add(udp_socket(DNS_PORT));
        let ntp_socket = sockets.add(udp_socket(NTP_PORT));
        Self {
            config,
            now: Instant::ZERO,
            link_up: true,
            to_host: VecDeque::new(),
            to_device: VecDeque::new(),
            line_free_at: Instant::ZERO,
            port,
            iface,
            sockets,
            stack_poll_at: Instant::NEVER,
            dhcp: dhcp::Server::new(GATEWAY, MASK, POOL, config.lease_seconds),
            dns: dns::Table::new(),
            dns_socket,
            ntp_socket,
            ntp_fault: NtpFault::default(),
            names: Vec::new(),
            listeners: Vec::new(),
            next_conn: 0,
            events: Vec::new(),
            capture: None,
        }
    }

    /// Gives `ip` the name `name` and answers at that address. An address may have several names.
    ///
    /// # Panics
    /// If `ip` is not a host address of [`NETWORK`], lies in the DHCP pool (.100 to .199), or is the ninth address.
    pub fn host(&mut self, name: &str, ip: Ipv4Addr) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.names.push((ip, name.clone()));
        self.dns.insert(name, ip);
        self.claim(ip);
    }

    /// The NTP server has this fault from now on, in place of an earlier one.
    pub fn set_ntp_fault(&mut self, fault: NtpFault) {
        self.ntp_fault = fault;
    }

    /// Removes `name` from the DNS; the address stays.
    pub fn forget_name(&mut self, name: &str) {
        self.dns.remove(&name.trim_end_matches('.').to_ascii_lowercase());
    }

    /// Serves TCP at `ip` and `port`. A service that listened there before is shut: its connections are reset.
    ///
    /// # Panics
    /// If `port` is 0, or for an address that [`host`](Self::host) refuses.
    pub fn listen(&mut self, ip: Ipv4Addr, port: u16, service: Box<dyn TcpService>) {
        assert_ne!(port, 0, "a TCP service needs a port");
        self.claim(ip);
        let addr = SocketAddrV4::new(ip, port);
        self.shut(addr);
        let name = self.names.iter().find(|(known, _)| *known == ip).map_or(ip.to_string(), |(_, name)| name.clone());
        self.listeners.push(Listener::new(Service { name, addr }, service, &mut self.sockets));
    }

    /// Ends the service at `addr`: its connections are reset, new ones refused. Nothing happens if there is none.
    pub fn shut(&mut self, addr: SocketAddrV4) {
        if let Some(index) = self.listeners.iter().position(|listener| listener.addr() == addr) {
            let mut listener = self.listeners.remove(index);
            listener.shut(self.now, &mut self.sockets, &mut self.events);
            self.run_stack();
            listener.discard(&mut self.sockets);
        }
    }

    /// Has every service polled at the next opportunity. For an owner that has changed what services share.
    pub fn wake(&mut self) {
        self.listeners.iter_mut().for_each(Listener::wake);
    }

    /// Plugs or unplugs the cable. Frames on an unplugged wire are lost, in both directions.
    pub fn set_link_up(&mut self, up: bool) {
        self.link_up = up;
        if !up {
            self.to_host.clear();
            self.to_device.clear();
        }
    }

    /// UTC at `at`, as time since 1970.
    pub fn utc(&self, at: Instant) -> Duration {
        Duration::from_secs(self.config.epoch_unix) + Duration::from_nanos(at.as_nanos())
    }

    /// What happened since the last call, in order.
    pub fn take_events(&mut self) -> Vec<(Instant, LanEvent)> {
        std::mem::take(&mut self.events)
    }

    /// Writes every frame from now on to `out` as a pcap file: frames from the device when they arrive here, frames for
    /// it when they leave. Replaces an earlier capture, which is flushed.
    ///
    /// # Errors
    /// If the file header cannot be written. Later errors end the capture with [`LanEvent::CaptureFailed`].
    pub fn capture(&mut self, out: Box<dyn Write + Send>) -> io::Result<()> {
        self.end_capture()?;
        self.capture = Some(Capture::new(out, self.utc(Instant::ZERO))?);
        Ok(())
    }

    /// Ends the capture.
    ///
    /// # Errors
    /// If what the writer held back cannot be written.
    pub fn end_capture(&mut self) -> io::Result<()> {
        self.capture.take().map_or(Ok(()), |mut capture| capture.flush())
    }

    /// Lets everything happen that is due by `now`, each thing at its own instant.
    fn advance(&mut self, now: Instant) {
        loop {
            let next = self.next_work();
            if next > now {
                break;
            }
            self.now = self.now.max(next);
            self.work();
        }
        self.now = self.now.max(now);
    }

    /// When something happens at this end; arrivals at the device do not count.
    fn next_work(&self) -> Instant {
        let arrival = self.to_host.front().map_or(Instant::NEVER, |&(at, _)| at);
        let services = self.listeners.iter().map(Listener::poll_at).fold(Instant::NEVER, Instant::min);
        arrival.min(self.stack_poll_at).min(services)
    }

    fn work(&mut self) {
        // One frame at a time: a second SYN needs a fresh listening socket.
        match self.to_host.front() {
            Some(&(at, _)) if at <= self.now => {
                if let Some((_, frame)) = self.to_host.pop_front() {
                    self.ingress(frame);
                }
            }
            _ => self.run_stack(),
        }
        self.serve();
    }

    /// Gives the stack one frame from the device.
    fn ingress(&mut self, frame: Vec<u8>) {
        self.record(self.now, &frame);
        if let Some(message) = dhcp_request(&frame) {
            self.serve_dhcp(message);
            return;
        }
        let syn = syn(&frame);
        let mut target = None;
        if let Some(syn) = syn {
            let local = self.iface.has_ip_addr(IpAddress::Ipv4(*syn.to.ip()));
            target = self.listeners.iter().position(|listener| listener.addr() == syn.to);
            let admission = target.map_or(Admission::Refuse, |index| {
                self.listeners[index].admit(self.now, syn, &mut self.sockets, &mut self.events)
            });
            match admission {
                Admission::Drop => return,
                Admission::Refuse if local => {
                    self.events.push((self.now, LanEvent::TcpRefused { addr: syn.to, peer: syn.from }));
                }
                Admission::Refuse | Admission::Pass => {}
            }
        }
        self.port.rx.push_back(frame);
        self.run_stack();
        if let (Some(index), Some(syn)) = (target, syn) {
            let id = ConnId(self.next_conn);
            if self.listeners[index].accept(syn, id, &mut self.sockets) {
                self.next_conn += 1;
            }
        }
    }

    /// Runs smoltcp and puts what it sends on the wire.
    fn run_stack(&mut self) {
        let now = smoltcp_time(self.now);
        self.iface.poll(now, &mut self.port, &mut self.sockets);
        while let Some(frame) = self.port.tx.pop_front() {
            self.send(frame);
        }
        self.stack_poll_at = match self.iface.poll_at(now, &self.sockets) {
            Some(at) if at > now => sim_time(at),
            Some(_) => self.now + RETRY,
            None => Instant::NEVER,
        };
    }

    /// Lets the servers answer until nothing moves any more.
    fn serve(&mut self) {
        loop {
            let mut again = self.serve_dns() | self.serve_ntp();
            let mut active = None;
            for (index, listener) in self.listeners.iter_mut().enumerate() {
                if listener.serve(self.now, &mut self.sockets, &mut self.events) {
                    active = Some(index);
                    again = true;
                }
            }
            if let Some(active) = active {
                // Services may share state: what one heard may make another speak.
                for (_, other) in self.listeners.iter_mut().enumerate().filter(|&(index, _)| index != active) {
                    other.wake();
                }
            }
            if !again {
                break;
            }
            self.run_stack();
        }
    }

    fn serve_dns(&mut self) -> bool {
        let socket = self.sockets.get_mut::<udp::Socket>(self.dns_socket);
        let Ok((query, meta)) = socket.recv() else { return false };
        if let Some(answer) = dns::answer(query, &self.dns) {
            self.events.push((self.now, LanEvent::DnsQuery { name: answer.name, answer: answer.ip }));
            // A full buffer drops the answer, as UDP may; the client asks again.
            let _ = socket.send_slice(&answer.message, meta.endpoint);
        }
        true
    }

    fn serve_ntp(&mut self) -> bool {
        let unix = self.utc(self.now);
        let socket = self.sockets.get_mut::<udp::Socket>(self.ntp_socket);
        let Ok((request, meta)) = socket.recv() else { return false };
        if let Some(request) = ntp::request(request) {
            let unix = self.ntp_fault.strike(unix);
            let reply = ntp::reply(request, unix);
            let IpAddress::Ipv4(ip) = meta.endpoint.addr;
            let peer = SocketAddrV4::new(ip, meta.endpoint.port);
            self.events.push((self.now, LanEvent::NtpReply { peer, unix_seconds: unix.as_secs() }));
            let _ = socket.send_slice(&reply, meta.endpoint);
        }
        true
    }

    fn serve_dhcp(&mut self, message: Vec<u8>) {
        let Some(outcome) = self.dhcp.handle(&message) else { return };
        let mac = outcome.mac;
        match outcome.verdict {
            dhcp::Verdict::Quiet => {}
            dhcp::Verdict::Leased(ip) => self.events.push((self.now, LanEvent::DhcpLease { ip, mac })),
            dhcp::Verdict::Refused(ip) => self.events.push((self.now, LanEvent::DhcpRefused { ip, mac })),
        }
        if let Some(reply) = outcome.reply {
            // Not through smoltcp: a client without an address cannot answer ARP.
            self.send(udp_frame(&reply));
        }
    }

    /// Puts a frame for the device on the wire.
    fn send(&mut self, mut frame: Vec<u8>) {
        frame.resize(frame.len().max(MIN_FRAME), 0);
        let start = self.line_free_at.max(self.now);
        self.record(start, &frame);
        self.line_free_at = start + Duration::from_nanos((frame.len() as u64 + FRAME_OVERHEAD) * NANOS_PER_BYTE);
        if self.link_up {
            self.to_device.push_back((self.line_free_at + self.config.latency, frame));
        }
    }

    fn record(&mut self, at: Instant, frame: &[u8]) {
        let Some(capture) = &mut self.capture else { return };
        if let Err(error) = capture.frame(at, frame) {
            self.capture = None;
            self.events.push((self.now, LanEvent::CaptureFailed { error: error.to_string() }));
        }
    }

    fn claim(&mut self, ip: Ipv4Addr) {
        let inside = u32::from(ip) & u32::from(MASK) == u32::from(NETWORK);
        assert!(inside && ip != NETWORK && ip.octets()[3] != 255, "{ip} is not a host of {NETWORK}/{PREFIX_LEN}");
        assert!(!(POOL.0..=POOL.1).contains(&ip), "{ip} belongs to the DHCP pool");
        if !self.iface.has_ip_addr(IpAddress::Ipv4(ip)) {
            add_address(&mut self.iface, ip);
        }
    }
}

impl EthernetLink for Lan {
    fn transmit(&mut self, now: Instant, frame: &[u8]) {
        self.advance(now);
        if self.link_up {
            self.to_host.push_back((self.now + self.config.latency, frame.to_vec()));
        }
    }

    fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.advance(now);
        let (_, frame) = self.to_device.pop_front_if(|(at, _)| *at <= now)?;
        Some(frame)
    }

    fn poll_at(&self) -> Instant {
        let arrival = self.to_device.front().map_or(Instant::NEVER, |&(at, _)| at);
        arrival.min(self.next_work())
    }

    fn is_up(&self) -> bool {
        self.link_up
    }
}

fn smoltcp_time(at: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros((at.as_nanos() / 1_000) as i64)
}

fn sim_time(at: smoltcp::time::Instant) -> Instant {
    Instant::from_nanos(at.total_micros() as u64 * 1_000)
}

fn add_address(iface: &mut Interface, ip: Ipv4Addr) {
    iface.update_ip_addrs(|addresses| {
        let cidr = IpCidr::new(IpAddress::Ipv4(ip), PREFIX_LEN);
        assert!(addresses.push(cidr).is_ok(), "no room for {ip}: the LAN has at most {} addresses", addresses.len());
    });
}

fn udp_socket(port: u16) -> udp::Socket<'static> {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; 16 * 1024]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    let bound = socket.bind(IpEndpoint::new(GATEWAY.into(), port));
    debug_assert!(bound.is_ok());
    socket
}

/// The IPv4 packet in a frame, header checksum verified.
fn ipv4(frame: &[u8]) -> Option<Ipv4Packet<&[u8]>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    packet.verify_checksum().then_some(packet)
}

/// The DHCP message in a frame for the server.
fn dhcp_request(frame: &[u8]) -> Option<Vec<u8>> {
    let packet = ipv4(frame)?;
    if packet.next_header() != IpProtocol::Udp || !(packet.dst_addr().is_broadcast() || packet.dst_addr() == GATEWAY) {
        return None;
    }
    let udp = UdpPacket::new_checked(packet.payload()).ok()?;
    let for_server =
        udp.dst_port() == DHCP_SERVER && udp.verify_checksum(&packet.src_addr().into(), &packet.dst_addr().into());
    for_server.then(|| udp.payload().to_vec())
}

/// The first segment of a connection.
fn syn(frame: &[u8]) -> Option<Syn> {
    let packet = ipv4(frame)?;
    if packet.next_header() != IpProtocol::Tcp {
        return None;
    }
    let tcp = TcpPacket::new_checked(packet.payload()).ok()?;
    let is_syn = tcp.syn() && !tcp.ack() && !tcp.rst();
    if !is_syn || !tcp.verify_checksum(&packet.src_addr().into(), &packet.dst_addr().into()) {
        return None;
    }
    Some(Syn {
        to: SocketAddrV4::new(packet.dst_addr(), tcp.dst_port()),
        from: SocketAddrV4::new(packet.src_addr(), tcp.src_port()),
        isn: tcp.seq_number().0,
    })
}

/// A frame from the gateway's DHCP server.
fn udp_frame(reply: &dhcp::Reply) -> Vec<u8> {
    let checksums = ChecksumCapabilities::default();
    let udp = UdpRepr { src_port: DHCP_SERVER, dst_port: DHCP_CLIENT };
    let ip = Ipv4Repr {
        src_addr: GATEWAY,
        dst_addr: reply.to_ip,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + reply.message.len(),
        hop_limit: 64,
    };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(MAC),
        dst_addr: EthernetAddress(reply.to_mac),
        ethertype: EthernetProtocol::Ipv4,
    };
    let mut bytes = vec![0; ethernet.buffer_len() + ip.buffer_len() + ip.payload_len];
    let mut frame = EthernetFrame::new_unchecked(bytes.as_mut_slice());
    ethernet.emit(&mut frame);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &checksums);
    udp.emit(
        &mut UdpPacket::new_unchecked(packet.payload_mut()),
        &ip.src_addr.into(),
        &ip.dst_addr.into(),
        reply.message.len(),
        |payload| payload.copy_from_slice(&reply.message),
        &checksums,
    );
    bytes
}
