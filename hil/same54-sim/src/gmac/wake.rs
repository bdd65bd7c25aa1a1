//! Wake-on-LAN events (datasheet 24.6.13, 24.9.25). They set ISR.WOL; the SAM D5x/E5x has no pin for them.

use super::Gmac;
use super::regs::{WOL, int, ncfgr, wol};
use super::rx::Pending;

const BROADCAST: [u8; 6] = [0xFF; 6];
const VLAN: [u8; 2] = [0x81, 0x00];

impl Gmac {
    /// Looks at a frame from the wire, whether it is copied or not.
    pub(super) fn look_for_wake_up(&mut self, frame: &Pending) {
        let enabled = self.stored(WOL);
        let Some(destination) = frame.bytes().first_chunk::<6>() else { return };
        let own = self.specific[0];
        let to_us = own.active && *destination == own.bytes();
        let wakes =
            enabled & wol::MAG != 0 && to_us && self.is_error_free(frame) && is_magic(frame.bytes(), own.bytes())
                || enabled & wol::ARP != 0 && self.is_arp_request(frame.bytes(), enabled & wol::IP)
                || enabled & wol::SA1 != 0 && self.specific_match(*destination, 1).is_some()
                || enabled & wol::MTI != 0
                    && destination[0] & 1 != 0
                    && *destination != BROADCAST
                    && self.hash_matches(*destination);
        if wakes {
            self.raise(int::WOL);
        }
    }

    fn is_error_free(&self, frame: &Pending) -> bool {
        frame.is_good() && (super::rx::MIN_FRAME..=self.longest_frame()).contains(&frame.wire_len())
    }

    /// An ARP request for the address whose low half is `ip`.
    fn is_arp_request(&self, frame: &[u8], ip: u32) -> bool {
        let at = if frame.get(12..14) == Some(&VLAN) { 4 } else { 0 };
        let half =
            |from: usize| frame.get(at + from..at + from + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        ip != 0
            && self.ncfgr & ncfgr::NBC == 0
            && frame[..6] == BROADCAST
            && half(12) == Some(0x0806)
            && half(20) == Some(1)
            && half(40).map(u32::from) == Some(ip)
    }
}

/// Six bytes of ones, and then the address sixteen times.
fn is_magic(frame: &[u8], address: [u8; 6]) -> bool {
    let pattern = [[0xFF; 6]].into_iter().chain([address; 16]).flatten();
    frame.windows(6 * 17).any(|window| window.iter().copied().eq(pattern.clone()))
}
