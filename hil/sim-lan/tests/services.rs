//! The LAN as a device sees it through its cable.

mod support;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sim_base::{EthernetLink, Instant, Rng};
use sim_lan::{
    ConnId, FaultConfig, FaultyLink, GATEWAY, Lan, LanConfig, LanEvent, NtpFault, Outbox, SharedLan, TcpService,
};
use smoltcp::socket::tcp::State;
use smoltcp::socket::{dns, icmp, udp};
use smoltcp::wire::{DnsQueryType, Icmpv4Packet, Icmpv4Repr, IpAddress, IpEndpoint};
use support::{Calls, Device, Echo, MAC, Sink};

const HUB: Ipv4Addr = Ipv4Addr::new(10, 54, 0, 10);
const ECHO: SocketAddrV4 = SocketAddrV4::new(HUB, 7);
const DEVICE: Ipv4Addr = Ipv4Addr::new(10, 54, 0, 100);
const SECOND: Duration = Duration::from_secs(1);

fn lan_with_echo(calls: &Calls) -> Lan {
    let mut lan = Lan::new(LanConfig::default());
    lan.host("Hub.Example", HUB);
    lan.listen(*ECHO.ip(), ECHO.port(), Box::new(Echo::new(calls)));
    lan
}

fn kinds(lan: &SharedLan) -> Vec<LanEvent> {
    lan.lock().take_events().into_iter().map(|(_, event)| event).collect()
}

/// Sends `data` to the echo service and returns what came back.
fn echo<L: EthernetLink>(device: &mut Device<L>, data: &[u8], limit: Duration) -> Vec<u8> {
    let handle = device.connect(ECHO, 50_000);
    let (mut sent, mut back) = (0, Vec::new());
    device.run(limit, |device| {
        let socket = device.tcp(handle);
        if socket.can_send() {
            sent += socket.send_slice(&data[sent..]).expect("open");
        }
        while socket.can_recv() {
            socket
                .recv(|bytes| {
                    back.extend_from_slice(bytes);
                    (bytes.len(), ())
                })
                .expect("open");
        }
        back.len() == data.len()
    });
    device.tcp(handle).close();
    back
}

fn random_bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Rng::new(seed).fill(&mut bytes);
    bytes
}

#[test]
fn dhcp_leases_an_address_with_router_and_dns() {
    let lan = SharedLan::new(Lan::new(LanConfig::default()));
    let mut device = Device::new(lan.clone());
    assert_eq!(device.dhcp(), (DEVICE, Some(GATEWAY), vec![GATEWAY]));
    assert_eq!(kinds(&lan), [LanEvent::DhcpLease { ip: DEVICE, mac: MAC }]);
}

#[test]
fn a_restarted_device_gets_its_old_address() {
    let lan = SharedLan::new(Lan::new(LanConfig::default()));
    let mut device = Device::new(lan.clone());
    let first = device.dhcp().0;
    let mut device = Device::restarted(lan, device.now, 2);
    assert_eq!(device.dhcp().0, first);
}

#[test]
fn leases_are_renewed_before_they_end() {
    let lan = SharedLan::new(Lan::new(LanConfig { lease_seconds: 60, ..LanConfig::default() }));
    let mut device = Device::new(lan.clone());
    device.dhcp();
    device.run(SECOND * 100, |_| false);
    let leases = kinds(&lan).iter().filter(|event| matches!(event, LanEvent::DhcpLease { .. })).count();
    assert!(leases >= 3, "{leases} leases in 100 s");
}

#[test]
fn dns_knows_the_hosts_and_no_other() {
    let lan = SharedLan::new(lan_with_echo(&Calls::default()));
    let mut device = Device::new(lan.clone());
    let (_, _, servers) = device.dhcp();
    let servers: Vec<IpAddress> = servers.into_iter().map(IpAddress::Ipv4).collect();
    let handle = device.sockets.add(dns::Socket::new(&servers, vec![]));
    let mut ask = |name: &str| {
        let socket = device.sockets.get_mut::<dns::Socket>(handle);
        let query = socket.start_query(device.iface.context(), name, DnsQueryType::A).expect("query");
        let mut answer = None;
        device.run(SECOND * 30, |device| match device.sockets.get_mut::<dns::Socket>(handle).get_query_result(query) {
            Err(dns::GetQueryResultError::Pending) => false,
            result => {
                answer = Some(result.ok().map(|addresses| addresses.to_vec()));
                true
            }
        });
        answer.expect("an answer within 30 s")
    };
    assert_eq!(ask("hub.example"), Some(vec![IpAddress::Ipv4(HUB)]));
    assert_eq!(ask("nowhere.example"), None);
    assert_eq!(
        kinds(&lan)[1..],
        [
            LanEvent::DnsQuery { name: "hub.example".into(), answer: Some(HUB) },
            LanEvent::DnsQuery { name: "nowhere.example".into(), answer: None },
        ]
    );
}

/// What the NTP server of `lan` tells after 100 seconds, and what it says of that.
fn ask_for_time(lan: Lan) -> (u64, LanEvent) {
    let mut device = Device::with_address(lan, DEVICE);
    device.run(SECOND * 100, |_| false);
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 2], vec![0; 512]);
    let handle = device.sockets.add(udp::Socket::new(buffer(), buffer()));
    let socket = device.sockets.get_mut::<udp::Socket>(handle);
    socket.bind(1234).expect("bind");
    let mut request = [0; 48];
    request[0] = 0x1B; // version 3, client
    socket.send_slice(&request, IpEndpoint::new(GATEWAY.into(), 123)).expect("send");
    let mut reply = Vec::new();
    device.run(SECOND, |device| {
        if let Ok((bytes, _)) = device.sockets.get_mut::<udp::Socket>(handle).recv() {
            reply = bytes.to_vec();
        }
        !reply.is_empty()
    });
    assert_eq!(reply[0], 0x1C);
    let transmit = u64::from(u32::from_be_bytes(reply[40..44].try_into().expect("4 bytes")));
    (transmit - 2_208_988_800, device.link.take_events().pop().expect("an event").1)
}

#[test]
fn ntp_tells_epoch_plus_virtual_time_unless_it_is_wrong() {
    for (ahead, expected) in [(0, 1_900_000_100), (-1_200, 1_899_998_900), (86_400, 1_900_086_500)] {
        let mut lan = Lan::new(LanConfig { epoch_unix: 1_900_000_000, ..LanConfig::default() });
        lan.set_ntp_fault(NtpFault { ahead, ..NtpFault::default() });
        let (told, event) = ask_for_time(lan);
        assert_eq!(told, expected);
        assert!(matches!(event, LanEvent::NtpReply { unix_seconds, .. } if unix_seconds == expected), "{event}");
    }
}

#[test]
fn every_address_answers_ping() {
    let mut device = Device::with_address(lan_with_echo(&Calls::default()), DEVICE);
    let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 1024]);
    let handle = device.sockets.add(icmp::Socket::new(buffer(), buffer()));
    device.sockets.get_mut::<icmp::Socket>(handle).bind(icmp::Endpoint::Ident(9)).expect("bind");
    for target in [GATEWAY, HUB] {
        let request = Icmpv4Repr::EchoRequest { ident: 9, seq_no: 1, data: b"are you there" };
        let socket = device.sockets.get_mut::<icmp::Socket>(handle);
        let bytes = socket.send(request.buffer_len(), target.into()).expect("send");
        request.emit(&mut Icmpv4Packet::new_unchecked(bytes), &Default::default());
        let mut from = None;
        device.run(SECOND * 5, |device| {
            from = device.sockets.get_mut::<icmp::Socket>(handle).recv().ok().map(|(_, from)| from);
            from.is_some()
        });
        assert_eq!(from, Some(target.into()));
    }
}

#[test]
fn tcp_carries_300_kb_both_ways_at_less_than_wire_speed() {
    let calls = Calls::default();
    let lan = SharedLan::new(lan_with_echo(&calls));
    let mut device = Device::with_address(lan.clone(), DEVICE);
    let data = random_bytes(300_000, 11);
    let back = echo(&mut device, &data, SECOND * 60);
    assert!(back == data, "{} bytes came back", back.len());
    let least = Duration::from_nanos(data.len() as u64 * 80);
    assert!(device.now.since(Instant::ZERO) > least, "{} is faster than 100 Mbit/s", device.now);
    device.run(SECOND, |_| false);
    assert_eq!(*calls.lock().unwrap(), ["connected 0 10.54.0.100:50000", "closed 0 fin"]);
    let events = kinds(&lan);
    assert!(
        matches!(&events[..], [LanEvent::TcpOpen { service, .. }, LanEvent::TcpClose { received: 300_000, sent: 300_000, reset: false, .. }]
            if service.to_string() == "hub.example:7"),
        "{events:?}"
    );
}

#[test]
fn port_without_a_service_is_refused() {
    let mut device = Device::with_address(lan_with_echo(&Calls::default()), DEVICE);
    let nobody = SocketAddrV4::new(HUB, 8883);
    let handle = device.connect(nobody, 50_000);
    assert!(device.run(SECOND, |device| device.tcp(handle).state() == State::Closed));
    let events = device.link.take_events();
    let peer = SocketAddrV4::new(DEVICE, 50_000);
    assert_eq!(events[0].1, LanEvent::TcpRefused { addr: nobody, peer });
}

#[test]
fn connections_at_the_same_time_do_not_mix() {
    let mut device = Device::with_address(lan_with_echo(&Calls::default()), DEVICE);
    let handles: Vec<_> = (0..5).map(|index| device.connect(ECHO, 50_000 + index)).collect();
    assert!(device.run(SECOND, |device| handles.iter().all(|&handle| device.tcp(handle).can_send())));
    for (index, &handle) in handles.iter().enumerate() {
        device.tcp(handle).send_slice(&[index as u8; 100]).expect("open");
    }
    device.run(SECOND, |_| false);
    for (index, &handle) in handles.iter().enumerate() {
        let mut back = [0xFF; 200];
        let len = device.tcp(handle).recv_slice(&mut back).expect("open");
        assert_eq!(back[..len], [index as u8; 100]);
    }
}

#[test]
fn service_can_speak_close_and_abort_on_its_own() {
    let calls = Calls::default();
    let mut lan = Lan::new(LanConfig::default());
    let mut service = Echo::new(&calls);
    service.bell.push_back(Instant::from_nanos(2_000_000_000));
    lan.listen(HUB, 7, Box::new(service));
    let mut device = Device::with_address(lan, DEVICE);

    let handle = device.connect(ECHO, 50_000);
    assert!(device.run(SECOND * 3, |device| device.tcp(handle).can_recv()));
    assert_eq!(device.now.as_millis(), 2_000, "the bell rings at 2 s");
    let mut bytes = [0; 8];
    assert_eq!(device.tcp(handle).recv_slice(&mut bytes), Ok(4));

    device.tcp(handle).send_slice(b"close").expect("open");
    assert!(device.run(SECOND, |device| device.tcp(handle).state() == State::CloseWait));
    assert_eq!(device.tcp(handle).recv_slice(&mut bytes), Ok(5), "what was queued before the close arrives");
    device.tcp(handle).close();
    device.run(SECOND, |_| false);

    let handle = device.connect(ECHO, 50_001);
    assert!(device.run(SECOND, |device| device.tcp(handle).can_send()));
    device.tcp(handle).send_slice(b"abort").expect("open");
    assert!(device.run(SECOND, |device| device.tcp(handle).state() == State::Closed));
    assert_eq!(
        *calls.lock().unwrap(),
        ["connected 0 10.54.0.100:50000", "closed 0 fin", "connected 1 10.54.0.100:50001"],
        "an abort of its own is no news to the service"
    );
}

#[test]
fn restarted_device_reconnects_from_the_same_port() {
    // Seed 1 is the first life's: the same initial sequence number again.
    for seed in [1, 99] {
        let calls = Calls::default();
        let lan = SharedLan::new(lan_with_echo(&calls));
        let mut device = Device::with_address(lan.clone(), DEVICE);
        let handle = device.connect(ECHO, 50_000);
        assert!(device.run(SECOND, |device| device.tcp(handle).can_send()));

        let mut device = Device::restarted(lan, device.now + SECOND * 2, seed);
        device.set_address(smoltcp::wire::IpCidr::new(DEVICE.into(), 24));
        assert_eq!(echo(&mut device, b"again", SECOND), b"again", "seed {seed}");
        assert_eq!(
            calls.lock().unwrap()[..3],
            ["connected 0 10.54.0.100:50000", "closed 0 reset", "connected 1 10.54.0.100:50000"],
            "seed {seed}"
        );
    }
}

/// Sends on its last connection what others put into the shared queue.
struct Speaker {
    queue: Arc<Mutex<Vec<u8>>>,
    hears: bool,
    conn: Option<ConnId>,
}

impl TcpService for Speaker {
    fn connected(&mut self, _: Instant, conn: ConnId, _: SocketAddrV4) {
        self.conn = Some(conn);
    }
    fn received(&mut self, _: Instant, _: ConnId, data: &[u8]) {
        self.queue.lock().unwrap().extend(data);
    }
    fn closed(&mut self, _: Instant, _: ConnId, _: bool) {}
    fn poll(&mut self, _: Instant, out: &mut Outbox) {
        if let Some(conn) = self.conn.filter(|_| !self.hears) {
            out.send(conn, &std::mem::take(&mut *self.queue.lock().unwrap()));
        }
    }
    fn poll_at(&self) -> Instant {
        Instant::NEVER
    }
}

#[test]
fn what_one_service_hears_another_can_say() {
    let queue = Arc::new(Mutex::new(Vec::new()));
    let mut lan = Lan::new(LanConfig::default());
    for (port, hears) in [(1, false), (2, true)] {
        lan.listen(HUB, port, Box::new(Speaker { queue: queue.clone(), hears, conn: None }));
    }
    let lan = SharedLan::new(lan);
    let mut device = Device::with_address(lan.clone(), DEVICE);
    let speaker = device.connect(SocketAddrV4::new(HUB, 1), 50_000);
    let hearer = device.connect(SocketAddrV4::new(HUB, 2), 50_001);
    assert!(device.run(SECOND, |device| device.tcp(speaker).can_send() && device.tcp(hearer).can_send()));
    device.tcp(hearer).send_slice(b"pass it on").expect("open");
    assert!(device.run(SECOND, |device| device.tcp(speaker).recv_queue() == 10));

    // And what the owner of the LAN changes behind its back, once it is woken.
    device.run(SECOND, |_| false);
    queue.lock().unwrap().extend(b"!");
    lan.lock().wake();
    assert!(lan.poll_at() <= device.now);
    assert!(device.run(SECOND, |device| device.tcp(speaker).recv_queue() == 11));
}

#[test]
fn silent_device_is_given_up() {
    let calls = Calls::default();
    let lan = SharedLan::new(lan_with_echo(&calls));
    let mut device = Device::with_address(lan.clone(), DEVICE);
    let handle = device.connect(ECHO, 50_000);
    assert!(device.run(SECOND, |device| device.tcp(handle).can_send()));
    let mut lan = lan;
    let end = device.now + SECOND * 200;
    while lan.poll_at() < end {
        let at = lan.poll_at();
        while lan.receive(at).is_some() {}
    }
    assert_eq!(calls.lock().unwrap()[1..], ["closed 0 reset"]);
}

#[test]
fn shut_service_resets_its_connections() {
    let lan = SharedLan::new(lan_with_echo(&Calls::default()));
    let mut device = Device::with_address(lan.clone(), DEVICE);
    let handle = device.connect(ECHO, 50_000);
    assert!(device.run(SECOND, |device| device.tcp(handle).can_send()));
    device.run(SECOND, |_| false); // the handshake's last ACK is still on its way
    lan.lock().shut(ECHO);
    assert!(device.run(SECOND, |device| device.tcp(handle).state() == State::Closed));
    let handle = device.connect(ECHO, 50_001);
    assert!(device.run(SECOND, |device| device.tcp(handle).state() == State::Closed));
    let events = kinds(&lan);
    assert!(
        matches!(events[..], [_, LanEvent::TcpClose { reset: true, .. }, LanEvent::TcpRefused { .. }]),
        "{events:?}"
    );
}

#[test]
fn lossy_cable_still_delivers() {
    for seed in [1, 2, 3] {
        let faults = FaultConfig {
            drop_ppm: 30_000,
            duplicate_ppm: 30_000,
            corrupt_ppm: 20_000,
            delay_ppm: 50_000,
            max_delay: Duration::from_millis(20),
        };
        let calls = Calls::default();
        let link = FaultyLink::new(lan_with_echo(&calls), faults, Rng::new(seed));
        let mut device = Device::new(link);
        device.dhcp();
        let data = random_bytes(100_000, seed);
        let back = echo(&mut device, &data, SECOND * 1_000);
        assert!(back == data, "seed {seed}: {} of {} bytes came back", back.len(), data.len());
        assert!(device.link.counts().dropped > 0, "seed {seed}");
        assert_eq!(calls.lock().unwrap().len(), 1, "seed {seed}: one connection, not closed");
    }
}

#[test]
fn two_runs_give_the_same_frames_at_the_same_instants() {
    let run = |seed| {
        let faults = FaultConfig { drop_ppm: 20_000, ..FaultConfig::default() };
        let mut lan = lan_with_echo(&Calls::default());
        let capture = Sink::default();
        lan.capture(Box::new(capture.clone())).expect("header");
        let mut device = Device::new(FaultyLink::new(lan, faults, Rng::new(seed)));
        device.dhcp();
        echo(&mut device, &random_bytes(20_000, seed), SECOND * 100);
        device.run(SECOND * 30, |_| false);
        let bytes = capture.0.lock().unwrap().clone();
        (device.frames, bytes)
    };
    let (frames, capture) = run(5);
    assert!(frames.len() > 30);
    assert_eq!(run(5), (frames.clone(), capture.clone()));
    assert_ne!(run(6).0, frames);
    assert_eq!(capture[..4], [0x4D, 0x3C, 0xB2, 0xA1]);
}

#[test]
fn unplugged_cable_carries_nothing() {
    let lan = SharedLan::new(lan_with_echo(&Calls::default()));
    let mut device = Device::with_address(lan.clone(), DEVICE);
    lan.lock().set_link_up(false);
    assert!(!device.link.is_up());
    let handle = device.connect(ECHO, 50_000);
    assert!(!device.run(SECOND * 5, |device| device.tcp(handle).can_send()));
    lan.lock().set_link_up(true);
    assert!(device.run(SECOND * 30, |device| device.tcp(handle).can_send()));
}

#[test]
fn latency_and_line_speed_are_kept() {
    let mut device = Device::with_address(Lan::new(LanConfig::default()), DEVICE);
    // An ARP request leaves after 84 byte times; the reply takes as long, and each way has its latency.
    let handle = device.connect(SocketAddrV4::new(GATEWAY, 1), 50_000);
    assert!(device.run(SECOND, |device| device.frames.iter().any(|(_, sent, _)| !sent)));
    let (at, _, _) = device.frames.iter().find(|(_, sent, _)| !sent).expect("a frame came");
    assert_eq!(at.as_nanos(), 2 * (84 * 80 + 200_000));
    device.tcp(handle).abort();
}

#[test]
fn no_frame_can_break_the_lan() {
    // Frames of a real run, cut and with flipped bits; then noise.
    let mut device = Device::new(lan_with_echo(&Calls::default()));
    device.dhcp();
    echo(&mut device, &random_bytes(5_000, 1), SECOND * 10);
    let samples: Vec<Vec<u8>> =
        device.frames.iter().filter(|(_, sent, _)| *sent).map(|(_, _, frame)| frame.clone()).collect();
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let mut lan = lan_with_echo(&Calls::default());
        let mut now = Instant::ZERO;
        for _ in 0..500 {
            let mut frame = samples[rng.below(samples.len() as u64) as usize].clone();
            for _ in 0..rng.below(4) {
                let bit = rng.below(frame.len() as u64 * 8) as usize;
                frame[bit / 8] ^= 1 << (bit % 8);
            }
            match rng.below(8) {
                0 => frame.truncate(rng.below(frame.len() as u64 + 1) as usize),
                1 => rng.fill(&mut frame[12..]),
                _ => {}
            }
            now = now + Duration::from_micros(rng.below(3_000));
            lan.transmit(now, &frame);
            while let Some(frame) = lan.receive(now) {
                assert!((60..=1514).contains(&frame.len()), "seed {seed}");
            }
            assert!(lan.poll_at() > now, "seed {seed}: time would stand still");
        }
        // And it still works.
        let mut device = Device::restarted(lan, now, seed);
        device.dhcp();
        assert_eq!(echo(&mut device, b"alive", SECOND * 10), b"alive", "seed {seed}");
    }
}
