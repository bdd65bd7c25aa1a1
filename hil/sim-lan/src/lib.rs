//! Virtual Ethernet with DHCP, DNS, NTP and TCP services.
//!
//! [`Lan`] is the far end of a board's Ethernet cable: a 100 Mbit/s segment with one gateway and any number of service
//! addresses, all in virtual time. Nothing here has a thread, a socket of the host, or a clock of its own: the
//! owner of the simulated MAC drives it through [`EthernetLink`](sim_base::EthernetLink), and two runs that offer the
//! same frames at the same instants get the same frames back at the same instants.
//!
//! ARP, IPv4, ICMP echo, UDP and TCP are smoltcp's. The servers on top (DHCP, DNS, NTP) are small and answer from what
//! the LAN was told; there is no route to the outside world.
//!
//! ```
//! use sim_lan::{Lan, LanConfig};
//!
//! let mut lan = Lan::new(LanConfig::default());
//! lan.host("hub.example", [10, 54, 0, 10].into());
//! ```

mod capture;
mod dhcp;
mod dns;
mod event;
mod fault;
mod lan;
mod ntp;
mod port;
mod shared;
mod tcp;

pub use event::{LanEvent, Service};
pub use fault::{FaultConfig, FaultCounts, FaultyLink};
pub use lan::{GATEWAY, Lan, LanConfig, NETWORK, PREFIX_LEN};
pub use ntp::NtpFault;
pub use shared::SharedLan;
pub use tcp::{ConnId, Outbox, TcpService};
