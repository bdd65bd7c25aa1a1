//! Which frames are PTP event messages, and when they passed (datasheet 24.6.14).
//!
//! Assumed: registers and interrupts change at the end of the frame, with the time of its start frame delimiter; the
//! fields are looked for where the tables of 24.6.14 have them, so neither behind a VLAN tag nor behind IP options; the
//! version is the second byte of the message in all encapsulations, as the text says (tables 24-9 and 24-10 put it at
//! octet 94).

use super::Gmac;
use super::regs::int;
use super::tsu::Stamp;

/// Destination port of PTP event messages.
const EVENT_PORT: [u8; 2] = 319_u16.to_be_bytes();
const UDP: u8 = 17;

/// A PTP event message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Sync,
    DelayReq,
    PdelayReq,
    PdelayResp,
}

/// Times of the last PTP event messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Captures {
    /// EFTSH, EFTSL, EFTN: sync and delay_req sent; then received; then pdelay_req and pdelay_resp sent and received.
    stamps: [Stamp; 4],
}

/// The message in a frame.
pub(super) fn classify(frame: &[u8]) -> Option<Message> {
    let bytes = |range: core::ops::Range<usize>| frame.get(range);
    match bytes(12..14)? {
        [0x88, 0xF7] => {
            let is_peer_address = match frame.first_chunk::<6>()? {
                [0x01, 0x1B, 0x19, 0, 0, 0] => false,
                [0x01, 0x80, 0xC2, 0, 0, 0x0E] => true,
                _ => return None,
            };
            let message = version_2(bytes(14..16)?)?;
            let fits = match message {
                Message::Sync => true,
                Message::DelayReq => !is_peer_address,
                Message::PdelayReq | Message::PdelayResp => is_peer_address,
            };
            fits.then_some(message)
        }
        [0x08, 0x00] => {
            if *frame.get(23)? != UDP || bytes(36..38)? != EVENT_PORT {
                return None;
            }
            let primary = matches!(bytes(30..34)?, [224, 0, 1, 129..=132]);
            let peer = bytes(30..34)? == [224, 0, 0, 107];
            match *frame.get(43)? & 0xF {
                1 if primary => match *frame.get(74)? {
                    0 => Some(Message::Sync),
                    1 => Some(Message::DelayReq),
                    _ => None,
                },
                2 => of_group(version_2(bytes(42..44)?)?, primary, peer),
                _ => None,
            }
        }
        [0x86, 0xDD] => {
            if *frame.get(20)? != UDP || bytes(56..58)? != EVENT_PORT {
                return None;
            }
            // FF0x::181 and FF02::6B.
            let group = bytes(38..54)?;
            let zeros = group[2..14].iter().all(|&byte| byte == 0);
            let primary = group[0] == 0xFF && group[1] & 0xF0 == 0 && zeros && group[14..] == [0x01, 0x81];
            let peer = group[..2] == [0xFF, 0x02] && zeros && group[14..] == [0, 0x6B];
            of_group(version_2(bytes(62..64)?)?, primary, peer)
        }
        _ => None,
    }
}

fn of_group(message: Message, primary: bool, peer: bool) -> Option<Message> {
    let is_peer = matches!(message, Message::PdelayReq | Message::PdelayResp);
    (if is_peer { peer } else { primary }).then_some(message)
}

/// The first two bytes of a message: message type and version.
fn version_2(head: &[u8]) -> Option<Message> {
    if head[1] & 0xF != 2 {
        return None;
    }
    match head[0] & 0xF {
        0 => Some(Message::Sync),
        1 => Some(Message::DelayReq),
        2 => Some(Message::PdelayReq),
        3 => Some(Message::PdelayResp),
        _ => None,
    }
}

impl Captures {
    /// The registers' part `part` (0: seconds high, 1: seconds low, 2: nanoseconds) of capture `index`.
    pub fn read(&self, index: u32, part: u32) -> u32 {
        let stamp = self.stamps[index as usize & 3];
        match part {
            0 => (stamp.seconds >> 32) as u32,
            1 => stamp.seconds as u32,
            _ => stamp.nanos,
        }
    }
}

impl Gmac {
    /// A good frame whose start frame delimiter passed at `stamp`.
    pub(super) fn capture(&mut self, frame: &[u8], stamp: Stamp, sent: bool) {
        let Some(message) = classify(frame) else { return };
        let (index, source) = match (message, sent) {
            (Message::Sync, true) => (0, int::SFT),
            (Message::DelayReq, true) => (0, int::DRQFT),
            (Message::Sync, false) => (1, int::SFR),
            (Message::DelayReq, false) => (1, int::DRQFR),
            (Message::PdelayReq, true) => (2, int::PDRQFT),
            (Message::PdelayResp, true) => (2, int::PDRSFT),
            (Message::PdelayReq, false) => (3, int::PDRQFR),
            (Message::PdelayResp, false) => (3, int::PDRSFR),
        };
        self.captures.stamps[index] = stamp;
        self.raise(source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of zeros with the given bytes at the given places.
    fn frame(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut frame = vec![0; 170];
        for (at, bytes) in parts {
            frame[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        frame
    }

    #[test]
    fn version_1_over_udp_is_known_by_its_control_field() {
        // Tables 24-5 and 24-6.
        let parts: [(usize, &[u8]); 5] =
            [(12, &[8, 0]), (23, &[0x11]), (30, &[224, 0, 1, 0x84]), (36, &[1, 0x3F]), (42, &[0, 1])];
        let mut bytes = frame(&parts);
        assert_eq!(classify(&bytes), Some(Message::Sync));
        bytes[74] = 1;
        assert_eq!(classify(&bytes), Some(Message::DelayReq));
        bytes[74] = 2;
        assert_eq!(classify(&bytes), None, "follow-up");
        bytes[74] = 0;
        bytes[37] = 0x40;
        assert_eq!(classify(&bytes), None, "port 320");
        assert_eq!(classify(&bytes[..60]), None, "too short for the control field");
    }

    #[test]
    fn version_2_over_udp_is_known_by_type_and_group() {
        // Tables 24-7 to 24-10.
        let v4 = |group: &[u8], kind: u8| {
            classify(&frame(&[(12, &[8, 0]), (23, &[0x11]), (30, group), (36, &[1, 0x3F]), (42, &[kind, 2])]))
        };
        assert_eq!(v4(&[224, 0, 1, 0x81], 0), Some(Message::Sync));
        assert_eq!(v4(&[224, 0, 1, 0x81], 1), Some(Message::DelayReq));
        assert_eq!(v4(&[224, 0, 0, 0x6B], 2), Some(Message::PdelayReq));
        assert_eq!(v4(&[224, 0, 0, 0x6B], 0), None);
        assert_eq!(v4(&[224, 0, 1, 0x81], 8), None, "follow-up");
        let v6 = |scope: u8, end: [u8; 2], kind: u8| {
            let head: [u8; 2] = [0xFF, scope];
            let parts: [(usize, &[u8]); 6] =
                [(12, &[0x86, 0xDD]), (20, &[0x11]), (38, &head), (52, &end), (56, &[1, 0x3F]), (62, &[kind, 2])];
            classify(&frame(&parts))
        };
        assert_eq!(v6(0x0E, [1, 0x81], 0), Some(Message::Sync));
        assert_eq!(v6(0x02, [0, 0x6B], 3), Some(Message::PdelayResp));
        assert_eq!(v6(0x05, [0, 0x6B], 3), None);
    }

    #[test]
    fn version_2_over_ethernet_needs_the_address_of_its_type() {
        // Tables 24-11 and 24-12.
        let primary = [0x01, 0x1B, 0x19, 0, 0, 0];
        let peer = [0x01, 0x80, 0xC2, 0, 0, 0x0E];
        let classify = |to: [u8; 6], kind: u8| classify(&frame(&[(0, &to), (12, &[0x88, 0xF7]), (14, &[kind, 2])]));
        let expected = [
            (primary, [Some(Message::Sync), Some(Message::DelayReq), None, None]),
            (peer, [Some(Message::Sync), None, Some(Message::PdelayReq), Some(Message::PdelayResp)]),
        ];
        for (to, messages) in expected {
            assert_eq!([0, 1, 2, 3].map(|kind| classify(to, kind)), messages);
        }
        assert_eq!(classify(peer, 0x10), Some(Message::Sync), "802.1AS has a profile in the upper half");
        assert_eq!(classify([2; 6], 0), None);
    }
}
