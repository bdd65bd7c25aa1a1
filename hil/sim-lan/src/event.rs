//! What an observer of the LAN is told.

use core::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::ConnId;

/// A TCP service: where it listens and the name its address has in the LAN's DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// First name given to the address by [`Lan::host`](crate::Lan::host); the address itself if it has none.
    pub name: String,
    /// Where it listens.
    pub addr: SocketAddrV4,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.addr.port())
    }
}

/// Something that happened on the LAN.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LanEvent {
    /// The DHCP server acknowledged a lease, new or renewed (RFC 2131 DHCPACK).
    DhcpLease {
        /// Address of the client.
        ip: Ipv4Addr,
        /// Hardware address of the client.
        mac: [u8; 6],
    },
    /// The DHCP server refused a request (DHCPNAK).
    DhcpRefused {
        /// Address that the client wanted, if it named one.
        ip: Option<Ipv4Addr>,
        /// Hardware address of the client.
        mac: [u8; 6],
    },
    /// The DNS server answered a query.
    DnsQuery {
        /// Name as asked, in lower case.
        name: String,
        /// The A record that was returned; `None` for an unknown name or another record type.
        answer: Option<Ipv4Addr>,
    },
    /// The NTP server answered a request.
    NtpReply {
        /// Who asked.
        peer: SocketAddrV4,
        /// The transmit timestamp that was sent, whole seconds since 1970.
        unix_seconds: u64,
    },
    /// A connection was established.
    TcpOpen {
        /// The accepting service.
        service: Service,
        /// The connection.
        conn: ConnId,
        /// The other end.
        peer: SocketAddrV4,
    },
    /// A connection ended: the peer sent FIN, or either side reset it, or it timed out.
    TcpClose {
        /// The accepting service.
        service: Service,
        /// The connection.
        conn: ConnId,
        /// The other end.
        peer: SocketAddrV4,
        /// Bytes that the service received.
        received: u64,
        /// Bytes that the service handed over for sending and TCP accepted.
        sent: u64,
        /// True unless the peer closed in an orderly way.
        reset: bool,
    },
    /// A SYN came for an address of this LAN on a port where nobody listens; it is answered with RST.
    TcpRefused {
        /// Where the SYN went.
        addr: SocketAddrV4,
        /// Who sent it.
        peer: SocketAddrV4,
    },
    /// The capture could not be written and has ended.
    CaptureFailed {
        /// Why.
        error: String,
    },
}

impl fmt::Display for LanEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DhcpLease { ip, mac } => write!(f, "DHCP lease {ip} for {}", Mac(mac)),
            Self::DhcpRefused { ip: Some(ip), mac } => write!(f, "DHCP refused {ip} to {}", Mac(mac)),
            Self::DhcpRefused { ip: None, mac } => write!(f, "DHCP refused {}", Mac(mac)),
            Self::DnsQuery { name, answer: Some(ip) } => write!(f, "DNS {name} is {ip}"),
            Self::DnsQuery { name, answer: None } => write!(f, "DNS {name} has no address"),
            Self::NtpReply { peer, unix_seconds } => write!(f, "NTP told {peer} {unix_seconds}"),
            Self::TcpOpen { service, peer, .. } => write!(f, "TCP {peer} opened {service}"),
            Self::TcpClose { service, peer, received, sent, reset, .. } => write!(
                f,
                "TCP {peer} {} {service} after {received} B in, {sent} B out",
                if *reset { "lost" } else { "closed" }
            ),
            Self::TcpRefused { addr, peer } => write!(f, "TCP {peer} was refused at {addr}"),
            Self::CaptureFailed { error } => write!(f, "capture ended: {error}"),
        }
    }
}

struct Mac<'a>(&'a [u8; 6]);

impl fmt::Display for Mac<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
