//! The DHCP server (RFC 2131, options of RFC 2132).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress};

/// Option 42: NTP servers.
const OPTION_NTP_SERVERS: u8 = 42;
/// Smallest BOOTP message that every client must accept (RFC 1542 section 2.1).
const MIN_MESSAGE: usize = 300;

/// What the server hands out.
pub(crate) struct Server {
    pub address: Ipv4Addr,
    pub mask: Ipv4Addr,
    pub lease_seconds: u32,
    /// Addresses to hand out, first and last.
    pub pool: (Ipv4Addr, Ipv4Addr),
    leases: BTreeMap<[u8; 6], Ipv4Addr>,
    /// Addresses that a client found in use (DHCPDECLINE).
    declined: BTreeSet<Ipv4Addr>,
}

/// What became of a message.
pub(crate) struct Outcome {
    pub mac: [u8; 6],
    /// DHCP message and the address to send it to; the hardware address is the client's or broadcast.
    pub reply: Option<Reply>,
    pub verdict: Verdict,
}

pub(crate) struct Reply {
    pub message: Vec<u8>,
    pub to_mac: [u8; 6],
    pub to_ip: Ipv4Addr,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing an observer would want to know.
    Quiet,
    Leased(Ipv4Addr),
    Refused(Option<Ipv4Addr>),
}

impl Server {
    pub fn new(address: Ipv4Addr, mask: Ipv4Addr, pool: (Ipv4Addr, Ipv4Addr), lease_seconds: u32) -> Self {
        Self { address, mask, lease_seconds, pool, leases: BTreeMap::new(), declined: BTreeSet::new() }
    }

    /// Answers a client's message; `None` if it is not one.
    pub fn handle(&mut self, message: &[u8]) -> Option<Outcome> {
        let packet = DhcpPacket::new_checked(message).ok()?;
        let request = DhcpRepr::parse(&packet).ok()?;
        let mac = request.client_hardware_address.0;
        let quiet = Outcome { mac, reply: None, verdict: Verdict::Quiet };
        Some(match request.message_type {
            DhcpMessageType::Discover => match self.choose(mac, request.requested_ip) {
                Some(ip) => Outcome { reply: self.reply(&request, DhcpMessageType::Offer, ip), ..quiet },
                None => Outcome { verdict: Verdict::Refused(request.requested_ip), ..quiet },
            },
            DhcpMessageType::Request => {
                if request.server_identifier.is_some_and(|server| server != self.address) {
                    return Some(quiet); // the client took another server's offer
                }
                // SELECTING and INIT-REBOOT name the address in an option, RENEWING and REBINDING in ciaddr.
                let wanted = request.requested_ip.or(Some(request.client_ip).filter(|ip| !ip.is_unspecified()));
                match wanted.filter(|&ip| self.is_free_for(mac, ip)) {
                    Some(ip) => {
                        self.leases.insert(mac, ip);
                        let reply = self.reply(&request, DhcpMessageType::Ack, ip);
                        Outcome { mac, reply, verdict: Verdict::Leased(ip) }
                    }
                    None => {
                        let reply = self.reply(&request, DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED);
                        Outcome { mac, reply, verdict: Verdict::Refused(wanted) }
                    }
                }
            }
            DhcpMessageType::Release => {
                self.leases.remove(&mac);
                quiet
            }
            DhcpMessageType::Decline => {
                self.leases.remove(&mac);
                self.declined.extend(request.requested_ip);
                quiet
            }
            DhcpMessageType::Inform => {
                Outcome { reply: self.reply(&request, DhcpMessageType::Ack, Ipv4Addr::UNSPECIFIED), ..quiet }
            }
            _ => return None,
        })
    }

    /// The client's present lease, else the address it asks for, else the first free one.
    fn choose(&self, mac: [u8; 6], wanted: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let present = self.leases.get(&mac).copied();
        let (first, last) = self.pool;
        present
            .into_iter()
            .chain(wanted)
            .chain((u32::from(first)..=u32::from(last)).map(Ipv4Addr::from))
            .find(|&ip| self.is_free_for(mac, ip))
    }

    fn is_free_for(&self, mac: [u8; 6], ip: Ipv4Addr) -> bool {
        let (first, last) = self.pool;
        (first..=last).contains(&ip)
            && !self.declined.contains(&ip)
            && self.leases.iter().all(|(&owner, &leased)| leased != ip || owner == mac)
    }

    fn reply(&self, request: &DhcpRepr<'_>, message_type: DhcpMessageType, ip: Ipv4Addr) -> Option<Reply> {
        let nak = message_type == DhcpMessageType::Nak;
        let inform = request.message_type == DhcpMessageType::Inform;
        let ntp = self.address.octets();
        let extra = [DhcpOption { kind: OPTION_NTP_SERVERS, data: &ntp }];
        let reply = DhcpRepr {
            message_type,
            transaction_id: request.transaction_id,
            secs: 0,
            client_hardware_address: request.client_hardware_address,
            client_ip: if nak { Ipv4Addr::UNSPECIFIED } else { request.client_ip },
            your_ip: ip,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: (!nak).then_some(self.address),
            subnet_mask: (!nak).then_some(self.mask),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: request.broadcast,
            requested_ip: None,
            client_identifier: request.client_identifier,
            server_identifier: Some(self.address),
            parameter_request_list: None,
            dns_servers: (!nak).then(|| [self.address].into_iter().collect()),
            max_size: None,
            lease_duration: (!nak && !inform).then_some(self.lease_seconds),
            renew_duration: None,
            rebind_duration: None,
            additional_options: if nak { &[] } else { &extra },
        };
        let mut message = vec![0; reply.buffer_len().max(MIN_MESSAGE)];
        // Cannot fail: the buffer has the length that the message says it needs.
        reply.emit(&mut DhcpPacket::new_unchecked(message.as_mut_slice())).ok()?;

        // RFC 2131 section 4.1: to ciaddr if the client has one, to broadcast if it asks so or is refused, else to
        // the new address at the client's hardware address.
        let client = request.client_hardware_address.0;
        let (to_mac, to_ip) = if !request.client_ip.is_unspecified() && !nak {
            (client, request.client_ip)
        } else if request.broadcast || nak {
            (EthernetAddress::BROADCAST.0, Ipv4Addr::BROADCAST)
        } else {
            (client, ip)
        };
        Some(Reply { message, to_mac, to_ip })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 54, 0, 1);
    const FIRST: Ipv4Addr = Ipv4Addr::new(10, 54, 0, 100);
    const SECOND: Ipv4Addr = Ipv4Addr::new(10, 54, 0, 101);

    fn server() -> Server {
        Server::new(SERVER, Ipv4Addr::new(255, 255, 255, 0), (FIRST, SECOND), 60)
    }

    /// A client's message, changed by `edit`.
    fn message(client: u8, message_type: DhcpMessageType, edit: impl FnOnce(&mut DhcpRepr<'_>)) -> Vec<u8> {
        let mut repr = DhcpRepr {
            message_type,
            transaction_id: 0x1234_5678,
            secs: 0,
            client_hardware_address: EthernetAddress([2, 0, 0, 0, 0, client]),
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: None,
            client_identifier: None,
            server_identifier: None,
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        edit(&mut repr);
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut DhcpPacket::new_unchecked(bytes.as_mut_slice())).expect("fits");
        bytes
    }

    fn request(server: &mut Server, client: u8, ip: Ipv4Addr) -> Outcome {
        let edit = |repr: &mut DhcpRepr<'_>| repr.requested_ip = Some(ip);
        server.handle(&message(client, DhcpMessageType::Request, edit)).expect("a client's message")
    }

    fn offered(server: &mut Server, client: u8) -> Option<Ipv4Addr> {
        let outcome = server.handle(&message(client, DhcpMessageType::Discover, |_| {})).expect("a client's message");
        let reply = outcome.reply?.message;
        let packet = DhcpPacket::new_checked(reply.as_slice()).expect("a packet");
        Some(DhcpRepr::parse(&packet).expect("a message").your_ip)
    }

    #[test]
    fn acknowledgement_has_router_mask_dns_and_ntp_server() {
        let mut server = server();
        let outcome = request(&mut server, 1, FIRST);
        assert_eq!(outcome.verdict, Verdict::Leased(FIRST));
        let reply = outcome.reply.expect("an answer");
        assert_eq!((reply.to_mac, reply.to_ip), ([2, 0, 0, 0, 0, 1], FIRST));
        let packet = DhcpPacket::new_checked(reply.message.as_slice()).expect("a packet");
        let repr = DhcpRepr::parse(&packet).expect("a message");
        assert_eq!(repr.message_type, DhcpMessageType::Ack);
        assert_eq!((repr.router, repr.server_identifier), (Some(SERVER), Some(SERVER)));
        assert_eq!((repr.subnet_mask, repr.lease_duration), (Some(Ipv4Addr::new(255, 255, 255, 0)), Some(60)));
        assert_eq!(repr.dns_servers.expect("DNS")[..], [SERVER]);
        let ntp = packet.options().find(|option| option.kind == OPTION_NTP_SERVERS).expect("NTP");
        assert_eq!(ntp.data, SERVER.octets());
    }

    #[test]
    fn address_of_another_client_or_outside_of_the_pool_is_refused() {
        let mut server = server();
        request(&mut server, 1, FIRST);
        for ip in [FIRST, Ipv4Addr::new(192, 168, 1, 5)] {
            let outcome = request(&mut server, 2, ip);
            assert_eq!(outcome.verdict, Verdict::Refused(Some(ip)));
            assert_eq!(outcome.reply.expect("a NAK").to_ip, Ipv4Addr::BROADCAST);
        }
    }

    #[test]
    fn pool_runs_out_until_an_address_is_released() {
        let mut server = server();
        assert_eq!(offered(&mut server, 1), Some(FIRST));
        request(&mut server, 1, FIRST);
        assert_eq!(offered(&mut server, 2), Some(SECOND));
        request(&mut server, 2, SECOND);
        assert_eq!(offered(&mut server, 3), None);
        server.handle(&message(1, DhcpMessageType::Release, |_| {})).expect("a client's message");
        assert_eq!(offered(&mut server, 3), Some(FIRST));
    }

    #[test]
    fn declined_address_is_not_offered_again() {
        let mut server = server();
        request(&mut server, 1, FIRST);
        let decline = message(1, DhcpMessageType::Decline, |repr| repr.requested_ip = Some(FIRST));
        server.handle(&decline).expect("a client's message");
        assert_eq!(offered(&mut server, 1), Some(SECOND));
    }

    #[test]
    fn offer_of_another_server_is_left_alone() {
        let mut server = server();
        let taken = message(1, DhcpMessageType::Request, |repr| {
            repr.requested_ip = Some(FIRST);
            repr.server_identifier = Some(Ipv4Addr::new(10, 54, 0, 9));
        });
        let outcome = server.handle(&taken).expect("a client's message");
        assert!(outcome.reply.is_none() && outcome.verdict == Verdict::Quiet);
    }
}
