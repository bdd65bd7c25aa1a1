//! The NTP server: SNTP is enough for a client that sets its clock (RFC 4330, packet format of RFC 5905 section 7.3).

use std::time::Duration;

/// Length of a packet without extension fields and authenticator.
pub(crate) const PACKET_LEN: usize = 48;

/// Seconds from the prime epoch of NTP, 1900, to 1970.
const UNIX_TO_NTP: u64 = 2_208_988_800;

const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;

/// The answer to `request` at `unix` after 1970; `None` if it is not a client's request.
pub(crate) fn reply(request: &[u8], unix: Duration) -> Option<[u8; PACKET_LEN]> {
    let request: &[u8; PACKET_LEN] = request.first_chunk()?;
    let version = request[0] >> 3 & 7;
    if request[0] & 7 != MODE_CLIENT || !(1..=4).contains(&version) {
        return None;
    }
    let now = timestamp(unix);
    let mut reply = [0; PACKET_LEN];
    reply[0] = version << 3 | MODE_SERVER; // leap indicator 0: no warning
    reply[1] = 1; // stratum: primary reference
    reply[2] = request[2]; // poll interval
    reply[3] = (-20_i8) as u8; // precision: 2^-20 s, about a microsecond
    reply[12..16].copy_from_slice(b"LOCL");
    reply[16..24].copy_from_slice(&now); // reference: when the clock was last set
    reply[24..32].copy_from_slice(&request[40..48]); // origin: the client's transmit timestamp
    reply[32..40].copy_from_slice(&now); // receive
    reply[40..48].copy_from_slice(&now); // transmit
    Some(reply)
}

/// NTP timestamp format: 32 bits of seconds in the current era and 32 bits of fraction.
fn timestamp(unix: Duration) -> [u8; 8] {
    let seconds = (unix.as_secs() + UNIX_TO_NTP) as u32; // truncation is the era
    let fraction = ((u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000) as u32;
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&seconds.to_be_bytes());
    bytes[4..].copy_from_slice(&fraction.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_echoes_origin_and_tells_the_time() {
        let mut request = [0; PACKET_LEN];
        request[0] = 0x23; // version 4, client
        request[40..48].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let reply = reply(&request, Duration::from_millis(1_700_000_000_500)).unwrap();
        assert_eq!(reply[0], 0x24);
        assert_eq!(reply[24..32], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(u32::from_be_bytes(reply[40..44].try_into().unwrap()), 3_908_988_800);
        assert_eq!(reply[44..48], [0x80, 0, 0, 0]);
    }

    #[test]
    fn other_modes_and_short_packets_get_no_answer() {
        let mut packet = [0; PACKET_LEN];
        packet[0] = 0x24;
        assert_eq!(reply(&packet, Duration::ZERO), None);
        assert_eq!(reply(&[0x23; 40], Duration::ZERO), None);
    }

    #[test]
    fn seconds_wrap_into_the_next_era_in_2036() {
        let seconds = |unix| u32::from_be_bytes(timestamp(Duration::from_secs(unix))[..4].try_into().unwrap());
        assert_eq!(seconds(2_085_978_495), u32::MAX);
        assert_eq!(seconds(2_085_978_496), 0);
    }
}
