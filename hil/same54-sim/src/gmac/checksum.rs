//! Checksum offload for IP, TCP and UDP (datasheet 24.6.6).

const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86DD;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What the receiver found (table 24-2, bits 23:22, and what makes it drop a frame).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Unchecked,
    Ip,
    Tcp,
    Udp,
    BadIp,
    BadTcp,
    BadUdp,
}

/// A frame's verdict, and whether it is SNAP encoded (with a VLAN tag whose CFI bit is set it does not count as such).
/// `outer` is the type of the first tag in stacked VLAN mode.
pub(super) fn verify(frame: &[u8], outer: Option<u16>) -> (Verdict, bool) {
    let is_snap = Encapsulation::parse(frame, outer).is_ok_and(|encapsulation| encapsulation.snap);
    let verdict = Layout::parse(frame, outer).map_or(Verdict::Unchecked, |layout| judge(&layout, frame));
    (verdict, is_snap)
}

fn judge(layout: &Layout, frame: &[u8]) -> Verdict {
    let ip_ok = if layout.v6 { Verdict::Unchecked } else { Verdict::Ip };
    if !layout.v6 && !is_valid(sum(0, &frame[layout.ip..layout.transport])) {
        return Verdict::BadIp;
    }
    if layout.fragment {
        return ip_ok;
    }
    let Some(field) = layout.checksum_field() else { return ip_ok };
    let Some(stored) = frame.get(field..field + 2).filter(|_| field + 2 <= layout.end) else { return ip_ok };
    let absent = layout.protocol == UDP && stored == [0, 0]; // RFC 768: the sender made no checksum
    if absent {
        return ip_ok;
    }
    let good = is_valid(layout.transport_sum(frame));
    match (layout.protocol == TCP, good) {
        (true, true) => Verdict::Tcp,
        (true, false) => Verdict::BadTcp,
        (false, true) => Verdict::Udp,
        (false, false) => Verdict::BadUdp,
    }
}

/// Writes the checksums into a frame to be sent. Returns the descriptor's code (table 24-3, bits 22:20), 0 for success.
pub(super) fn generate(frame: &mut [u8], outer: Option<u16>) -> u32 {
    let layout = match Layout::parse(frame, outer) {
        Ok(layout) => layout,
        Err(code) => return code,
    };
    if !layout.v6 {
        frame[layout.ip + 10..layout.ip + 12].fill(0);
        let checksum = !fold(sum(0, &frame[layout.ip..layout.transport]));
        frame[layout.ip + 10..layout.ip + 12].copy_from_slice(&checksum.to_be_bytes());
    }
    if layout.fragment {
        return 5;
    }
    let Some(field) = layout.checksum_field() else { return 6 };
    if field + 2 > layout.end {
        return 7;
    }
    frame[field..field + 2].fill(0);
    let mut checksum = !fold(layout.transport_sum(frame));
    if checksum == 0 && layout.protocol == UDP {
        checksum = 0xFFFF;
    }
    frame[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
    0
}

/// What is around the network layer's packet. Errors are the transmitter's codes for the descriptor.
struct Encapsulation {
    vlan: bool,
    snap: bool,
    ethertype: u16,
    /// Offset of what is inside.
    payload: usize,
}

impl Encapsulation {
    fn parse(frame: &[u8], outer: Option<u16>) -> Result<Self, u32> {
        let half = |at: usize| frame.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        let mut at = 12;
        let mut ethertype = half(at).ok_or(4_u32)?;
        let most_tags = if outer.is_some() { 2 } else { 1 };
        let mut tags = 0;
        while tags < most_tags && (ethertype == ETHERTYPE_VLAN || tags == 0 && Some(ethertype) == outer) {
            let cfi = half(at + 2).ok_or(1_u32)? & 0x1000 != 0;
            if cfi {
                return Err(1);
            }
            at += 4;
            tags += 1;
            ethertype = half(at).ok_or(1_u32)?;
        }
        // RFC 1042: LLC AA-AA-03, organisation 00-00-00, then the type.
        let snap = ethertype <= 1500 && frame.get(at + 2..at + 4) == Some(&[0xAA, 0xAA]);
        if snap {
            if frame.get(at + 4..at + 8) != Some(&[3, 0, 0, 0]) {
                return Err(2);
            }
            at += 8;
            ethertype = half(at).ok_or(2_u32)?;
        }
        Ok(Self { vlan: tags != 0, snap, ethertype, payload: at + 2 })
    }
}

/// Where things are in an IP frame.
struct Layout {
    v6: bool,
    fragment: bool,
    protocol: u8,
    /// Offsets of the IP header, of what follows it, and of the end of the IP packet.
    ip: usize,
    transport: usize,
    end: usize,
}

impl Layout {
    /// The error is the transmitter's code for the descriptor.
    fn parse(frame: &[u8], outer: Option<u16>) -> Result<Self, u32> {
        let Encapsulation { vlan, snap, ethertype, payload } = Encapsulation::parse(frame, outer)?;
        match ethertype {
            ETHERTYPE_IPV4 => Self::ipv4(frame, payload).ok_or(3),
            ETHERTYPE_IPV6 => Self::ipv6(frame, payload).ok_or(3),
            _ if vlan || snap => Err(3),
            _ => Err(4),
        }
    }

    fn ipv4(frame: &[u8], ip: usize) -> Option<Self> {
        let header: &[u8; 20] = frame.get(ip..)?.first_chunk()?;
        let header_len = usize::from(header[0] & 0xF) * 4;
        let end = ip + usize::from(u16::from_be_bytes([header[2], header[3]]));
        let transport = ip + header_len;
        if header[0] >> 4 != 4 || header_len < 20 || end > frame.len() || transport > end {
            return None;
        }
        // More fragments, or an offset.
        let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3FFF != 0;
        Some(Self { v6: false, fragment, protocol: header[9], ip, transport, end })
    }

    /// Extension headers are not followed: the packet then counts as neither TCP nor UDP.
    fn ipv6(frame: &[u8], ip: usize) -> Option<Self> {
        let header: &[u8; 40] = frame.get(ip..)?.first_chunk()?;
        let transport = ip + 40;
        let end = transport + usize::from(u16::from_be_bytes([header[4], header[5]]));
        if header[0] >> 4 != 6 || end > frame.len() {
            return None;
        }
        Some(Self { v6: true, fragment: false, protocol: header[6], ip, transport, end })
    }

    /// Offset of the TCP or UDP checksum.
    fn checksum_field(&self) -> Option<usize> {
        match self.protocol {
            TCP => Some(self.transport + 16),
            UDP => Some(self.transport + 6),
            _ => None,
        }
    }

    /// Sum over the pseudo header and the transport layer's bytes.
    fn transport_sum(&self, frame: &[u8]) -> u64 {
        let addresses = if self.v6 { self.ip + 8..self.ip + 40 } else { self.ip + 12..self.ip + 20 };
        let pseudo = (self.end - self.transport) as u64 + u64::from(self.protocol);
        sum(sum(pseudo, &frame[addresses]), &frame[self.transport..self.end])
    }
}

/// Adds big-endian 16-bit words; an odd last byte is padded with zero (RFC 1071).
fn sum(start: u64, bytes: &[u8]) -> u64 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let words = pairs.iter().map(|&pair| u64::from(u16::from_be_bytes(pair))).sum::<u64>();
    start + words + rest.first().map_or(0, |&byte| u64::from(byte) << 8)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xFFFF {
        sum = (sum >> 16) + (sum & 0xFFFF);
    }
    sum as u16
}

fn is_valid(sum: u64) -> bool {
    fold(sum) == 0xFFFF
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A UDP datagram of RFC 1071's style: addresses 10.54.0.1 and 10.54.0.100, odd payload.
    fn udp() -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 31, 0, 1, 0, 0, 64, 17, 0, 0, 10, 54, 0, 1, 10, 54, 0, 100]);
        frame.extend([0x12, 0x34, 0, 53, 0, 11, 0, 0, b'a', b'b', b'c']);
        frame.resize(60, 0);
        frame
    }

    #[test]
    fn generated_checksums_verify_and_a_flipped_bit_does_not() {
        let mut frame = udp();
        assert_eq!(generate(&mut frame, None), 0);
        assert_eq!(verify(&frame, None), (Verdict::Udp, false));
        for (byte, expected) in [(22, Verdict::BadIp), (42, Verdict::BadUdp)] {
            frame[byte] ^= 0x10;
            assert_eq!(verify(&frame, None).0, expected, "byte {byte}");
            frame[byte] ^= 0x10;
        }
        frame[59] ^= 1;
        assert_eq!(verify(&frame, None).0, Verdict::Udp, "padding does not count");
    }

    #[test]
    fn known_header_gets_its_known_checksum() {
        // The IPv4 header that textbooks sum up: 4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7.
        let mut frame = vec![0; 14 + 0x73];
        frame[12] = 8;
        frame[14..34].copy_from_slice(&[
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xC0, 0xA8, 0, 1, 0xC0, 0xA8, 0, 0xC7,
        ]);
        assert_eq!(generate(&mut frame, None), 0);
        assert_eq!(frame[24..26], [0xB8, 0x61]);
    }

    #[test]
    fn what_is_not_ip_is_left_alone() {
        let mut arp = vec![0; 60];
        arp[12..14].copy_from_slice(&[8, 6]);
        let before = arp.clone();
        assert_eq!((generate(&mut arp, None), &arp), (4, &before));
        assert_eq!(verify(&arp, None), (Verdict::Unchecked, false));
    }

    #[test]
    fn icmp_gets_an_ip_checksum_only() {
        let mut frame = udp();
        frame[23] = 1;
        assert_eq!(generate(&mut frame, None), 6);
        assert_eq!(verify(&frame, None).0, Verdict::Ip);
    }

    /// With tags of the given types behind the addresses.
    fn tagged(frame: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
        [&frame[..12], &tags.concat(), &frame[12..]].concat()
    }

    #[test]
    fn tags_are_seen_through_as_far_as_the_mode_goes() {
        let vlan = [0x81, 0, 0, 5];
        let outer = [0x88, 0xA8, 0, 9];
        let mut one = tagged(&udp(), &[vlan]);
        assert_eq!(generate(&mut one, None), 0);
        assert_eq!(verify(&one, None).0, Verdict::Udp);
        let two = tagged(&one, &[outer]);
        assert_eq!(verify(&two, None).0, Verdict::Unchecked);
        assert_eq!(verify(&two, Some(0x88A8)).0, Verdict::Udp);
        assert_eq!(verify(&tagged(&one, &[vlan]), Some(0x88A8)).0, Verdict::Udp);
        let mut cfi = tagged(&udp(), &[[0x81, 0, 0x10, 5]]);
        assert_eq!((generate(&mut cfi, None), verify(&cfi, None).0), (1, Verdict::Unchecked));
    }

    #[test]
    fn reasons_for_no_checksum_are_those_of_table_24_3() {
        let code = |mut frame: Vec<u8>| generate(&mut frame, None);
        let mut arp = udp();
        arp[12..14].copy_from_slice(&[8, 6]);
        assert_eq!(code(tagged(&arp, &[[0x81, 0, 0, 5]])), 3, "a VLAN frame, but not IP");
        assert_eq!(code(tagged(&udp(), &[[0x81, 0, 0, 5]])[..16].to_vec()), 1, "ends in the tag");
        let snap = |rest: &[u8]| [&udp()[..12], &[0, 60, 0xAA, 0xAA], rest].concat();
        assert_eq!(code(snap(&[3, 0, 0, 1, 8, 0])), 2, "another organisation");
        assert_eq!(code(snap(&[3, 0, 0, 0, 8, 6, 0, 0])), 3, "SNAP, but not IP");
        let mut long = udp();
        long[17] = 100;
        assert_eq!(code(long), 3, "longer than the frame");
        let mut fragment = udp();
        fragment[20] = 0x20;
        assert_eq!(code(fragment.clone()), 5);
        generate(&mut fragment, None);
        assert_eq!(verify(&fragment, None).0, Verdict::Ip, "its IP checksum is made nevertheless");
        let mut short = udp();
        short[17] = 26;
        assert_eq!(code(short), 7, "no room for the field");
    }

    #[test]
    fn ipv6_has_a_transport_checksum_only() {
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xDD, 0x60, 0, 0, 0, 0, 22, 6, 64]);
        frame.extend([0xFE, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].repeat(2));
        frame.extend([0, 80, 0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0, b'h', b'i']);
        assert_eq!(generate(&mut frame, None), 0);
        assert_eq!(verify(&frame, None).0, Verdict::Tcp);
        frame[74] ^= 1;
        assert_eq!(verify(&frame, None).0, Verdict::BadTcp);
        frame[20] = 0;
        assert_eq!((generate(&mut frame, None), verify(&frame, None).0), (6, Verdict::Unchecked));
    }

    #[test]
    fn datagram_without_a_checksum_is_not_checked() {
        let mut frame = udp();
        generate(&mut frame, None);
        frame[40..42].fill(0);
        assert_eq!(verify(&frame, None).0, Verdict::Ip);
    }
}
