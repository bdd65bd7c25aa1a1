//! SNTP client packets (RFC 4330): 48 bytes each way, no authentication.
//!
//! The time decides which certificates are valid, so an answer must at least echo a nonce that only the asked server
//! has seen.

/// Length of a request and of the part of an answer that matters, bytes.
pub const PACKET_LEN: usize = 48;

/// UDP port of time servers.
pub const PORT: u16 = 123;

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970).
const UNIX_EPOCH: u64 = 2_208_988_800;

/// Seconds that one NTP era lasts; era 1 begins in 2036.
const ERA: u64 = 1 << 32;

/// Version 4, client mode.
const CLIENT: u8 = 4 << 3 | 3;
const SERVER_MODE: u8 = 4;
const LEAP_UNKNOWN: u8 = 3;

/// A request whose transmit timestamp is `nonce`.
pub fn request(nonce: u64) -> [u8; PACKET_LEN] {
    let mut packet = [0; PACKET_LEN];
    packet[0] = CLIENT;
    packet[40..].copy_from_slice(&nonce.to_be_bytes());
    packet
}

/// The server's time when it answered the request with `nonce`, in milliseconds since 1970-01-01 UTC.
///
/// `None` if the packet is no answer to it, or the server says that it does not know the time.
pub fn parse(packet: &[u8], nonce: u64) -> Option<u64> {
    let packet = packet.first_chunk::<PACKET_LEN>()?;
    let (leap, mode, stratum) = (packet[0] >> 6, packet[0] & 7, packet[1]);
    if mode != SERVER_MODE || leap == LEAP_UNKNOWN || !(1..=15).contains(&stratum) {
        return None;
    }
    if packet[24..32] != nonce.to_be_bytes() {
        return None;
    }
    let field = |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
    let (seconds, fraction) = (u64::from(field(40)), u64::from(field(44)));
    if seconds == 0 {
        return None;
    }
    // RFC 4330 section 3: with the top bit clear the timestamp is in era 1, from 2036 to 2104.
    let seconds = if seconds < ERA / 2 { seconds + ERA } else { seconds };
    Some((seconds - UNIX_EPOCH) * 1000 + ((fraction * 1000) >> 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: u64 = 0x0123_4567_89AB_CDEF;

    fn answer(seconds: u32, fraction: u32) -> [u8; PACKET_LEN] {
        let mut packet = [0; PACKET_LEN];
        packet[0] = 4 << 3 | SERVER_MODE;
        packet[1] = 2;
        packet[24..32].copy_from_slice(&NONCE.to_be_bytes());
        packet[40..44].copy_from_slice(&seconds.to_be_bytes());
        packet[44..48].copy_from_slice(&fraction.to_be_bytes());
        packet
    }

    #[test]
    fn answer_gives_unix_milliseconds() {
        // 2026-11-23 20:00:00 UTC.
        let seconds = (1_795_464_000 + UNIX_EPOCH) as u32;
        assert_eq!(parse(&answer(seconds, 1 << 31), NONCE), Some(1_795_464_000_500));
    }

    #[test]
    fn era_one_follows_2036() {
        // 2040-01-01 00:00:00 UTC.
        let seconds = (2_208_988_800_u64 + UNIX_EPOCH - ERA) as u32;
        assert_eq!(parse(&answer(seconds, 0), NONCE), Some(2_208_988_800_000));
    }

    #[test]
    fn unusable_answers_are_refused() {
        let good = answer(0xEE00_0000, 0);
        assert!(parse(&good, NONCE).is_some());
        assert_eq!(parse(&good, NONCE + 1), None, "someone else's nonce");
        assert_eq!(parse(&good[..47], NONCE), None, "too short");
        let with = |at: usize, value: u8| {
            let mut packet = good;
            packet[at] = value;
            parse(&packet, NONCE)
        };
        assert_eq!(with(1, 0), None, "kiss of death");
        assert_eq!(with(1, 16), None, "unsynchronised");
        assert_eq!(with(0, 0xC0 | 4 << 3 | SERVER_MODE), None, "leap indicator 3");
        assert_eq!(with(0, CLIENT), None, "not a server");
        assert_eq!(parse(&answer(0, 0), NONCE), None, "no time");
    }

    #[test]
    fn request_carries_the_nonce() {
        let packet = request(NONCE);
        assert_eq!(packet[0], 0x23);
        assert_eq!(packet[40..], NONCE.to_be_bytes());
    }
}
