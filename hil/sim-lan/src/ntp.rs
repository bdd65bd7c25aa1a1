//! The NTP server: SNTP is enough for a client that sets its clock (RFC 4330, packet format of RFC 5905 section 7.3).

use std::time::Duration;

/// Length of a packet without extension fields and authenticator.
pub(crate) const PACKET_LEN: usize = 48;

/// Seconds from the prime epoch of NTP, 1900, to 1970.
const UNIX_TO_NTP: u64 = 2_208_988_800;

const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;

/// A server whose clock is wrong for some of its answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NtpFault {
    /// Seconds by which the server is ahead of the true time; negative, behind it. What it tells begins at 1970.
    pub ahead: i64,
    /// How many answers are right before the fault begins.
    pub after: u32,
    /// How many answers are wrong before the fault is gone; all of them if `None`.
    pub remaining: Option<u32>,
}

impl NtpFault {
    /// What the server takes for the time in its next answer, at `unix` after 1970, counted.
    pub(crate) fn strike(&mut self, unix: Duration) -> Duration {
        if self.after > 0 {
            self.after -= 1;
            return unix;
        }
        match &mut self.remaining {
            None => {}
            Some(0) => return unix,
            Some(remaining) => *remaining -= 1,
        }
        let by = Duration::from_secs(self.ahead.unsigned_abs());
        if self.ahead < 0 { unix.saturating_sub(by) } else { unix.saturating_add(by) }
    }
}

/// The request in a packet; `None` if it is not a client's.
pub(crate) fn request(packet: &[u8]) -> Option<&[u8; PACKET_LEN]> {
    let request: &[u8; PACKET_LEN] = packet.first_chunk()?;
    (request[0] & 7 == MODE_CLIENT && (1..=4).contains(&version(request))).then_some(request)
}

fn version(request: &[u8; PACKET_LEN]) -> u8 {
    request[0] >> 3 & 7
}

/// The answer to `request` at `unix` after 1970.
pub(crate) fn reply(request: &[u8; PACKET_LEN], unix: Duration) -> [u8; PACKET_LEN] {
    let now = timestamp(unix);
    let mut reply = [0; PACKET_LEN];
    reply[0] = version(request) << 3 | MODE_SERVER; // leap indicator 0: no warning
    reply[1] = 1; // stratum: primary reference
    reply[2] = request[2]; // poll interval
    reply[3] = (-20_i8) as u8; // precision: 2^-20 s, about a microsecond
    reply[12..16].copy_from_slice(b"LOCL");
    reply[16..24].copy_from_slice(&now); // reference: when the clock was last set
    reply[24..32].copy_from_slice(&request[40..48]); // origin: the client's transmit timestamp
    reply[32..40].copy_from_slice(&now); // receive
    reply[40..48].copy_from_slice(&now); // transmit
    reply
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
        let reply = reply(super::request(&request).unwrap(), Duration::from_millis(1_700_000_000_500));
        assert_eq!(reply[0], 0x24);
        assert_eq!(reply[24..32], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(u32::from_be_bytes(reply[40..44].try_into().unwrap()), 3_908_988_800);
        assert_eq!(reply[44..48], [0x80, 0, 0, 0]);
    }

    #[test]
    fn fault_strikes_the_answers_that_it_names() {
        let true_time = Duration::from_secs(1_700_000_000);
        let told = |mut fault: NtpFault| [(); 4].map(|()| fault.strike(true_time).as_secs() as i64 - 1_700_000_000);
        assert_eq!(told(NtpFault::default()), [0; 4]);
        assert_eq!(told(NtpFault { ahead: 90, ..NtpFault::default() }), [90; 4]);
        assert_eq!(told(NtpFault { ahead: -90, after: 1, remaining: Some(2) }), [0, -90, -90, 0]);
        assert_eq!(told(NtpFault { ahead: i64::MIN, after: 3, remaining: None }), [0, 0, 0, -1_700_000_000]);
    }

    #[test]
    fn other_modes_and_short_packets_get_no_answer() {
        let mut packet = [0; PACKET_LEN];
        packet[0] = 0x24;
        assert_eq!(request(&packet), None);
        assert_eq!(request(&[0x23; 40]), None);
    }

    #[test]
    fn seconds_wrap_into_the_next_era_in_2036() {
        let seconds = |unix| u32::from_be_bytes(timestamp(Duration::from_secs(unix))[..4].try_into().unwrap());
        assert_eq!(seconds(2_085_978_495), u32::MAX);
        assert_eq!(seconds(2_085_978_496), 0);
    }
}
