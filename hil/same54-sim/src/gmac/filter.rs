//! Which frames the receiver takes (datasheet 24.6.7 to 24.6.12).

use super::Gmac;
use super::regs::{ncfgr, rxd};

/// Multicast address of MAC control frames.
const PAUSE_ADDRESS: [u8; 6] = [0x01, 0x80, 0xC2, 0, 0, 0x01];

/// One specific address: bottom and top register, active once the top has been written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SpecificAddress {
    pub bottom: u32,
    pub top: u32,
    pub active: bool,
}

impl SpecificAddress {
    pub fn bytes(self) -> [u8; 6] {
        let [a, b, c, d] = self.bottom.to_le_bytes();
        let [e, f, ..] = self.top.to_le_bytes();
        [a, b, c, d, e, f]
    }
}

impl Gmac {
    /// The descriptor's match bits for a frame that is to be copied; `None` for one that is not.
    pub(super) fn filter(&self, frame: &[u8]) -> Option<u32> {
        let destination: [u8; 6] = *frame.first_chunk()?;
        let ethertype = u16::from_be_bytes([frame[12], frame[13]]);
        let vlan = ethertype == 0x8100;
        if self.ncfgr & ncfgr::DNVLAN != 0 && !vlan {
            return None;
        }
        if self.ncfgr & ncfgr::DCPF != 0 && is_pause(frame) {
            return None;
        }

        let mut status = 0;
        let mut matched = self.ncfgr & ncfgr::CAF != 0;
        if destination == [0xFF; 6] {
            if self.ncfgr & ncfgr::NBC == 0 {
                status |= rxd::BROADCAST;
                matched = true;
            }
        } else if self.hash_matches(destination) {
            status |= if destination[0] & 1 != 0 { rxd::MULTICAST_HASH } else { rxd::UNICAST_HASH };
            matched = true;
        }
        if let Some(index) = self.specific_match(destination) {
            status |= rxd::SPECIFIC | index << rxd::SPECIFIC_SHIFT;
            matched = true;
        }
        if let Some(index) = self.type_match(ethertype) {
            if self.ncfgr & ncfgr::RXCOEN == 0 {
                status |= rxd::TYPE_ID | index << rxd::TYPE_ID_SHIFT;
            }
            matched = true;
        }
        if vlan {
            let tag = u16::from_be_bytes([*frame.get(14)?, *frame.get(15)?]);
            status |= rxd::VLAN | u32::from(tag >> 13) << rxd::PRIORITY_SHIFT;
            if tag & 0xFFF == 0 {
                status |= rxd::PRIORITY;
            }
            if tag & 0x1000 != 0 {
                status |= rxd::CFI;
            }
        }
        matched.then_some(status)
    }

    fn specific_match(&self, destination: [u8; 6]) -> Option<u32> {
        let mask = SpecificAddress { bottom: self.samb1, top: self.samt1, active: true }.bytes();
        // The highest number is the one that is indicated.
        (0..4_u32).rev().find(|&index| {
            let address = self.specific[index as usize];
            let bytes = address.bytes();
            address.active
                && (0..6).all(|at| {
                    let ignored = if index == 0 { mask[at] } else { 0 };
                    (bytes[at] ^ destination[at]) & !ignored == 0
                })
        })
    }

    fn type_match(&self, ethertype: u16) -> Option<u32> {
        (0..4_u32).rev().find(|&index| {
            let register = self.tidm[index as usize];
            register >> 31 != 0 && register as u16 == ethertype
        })
    }

    fn hash_matches(&self, destination: [u8; 6]) -> bool {
        let enable = if destination[0] & 1 != 0 { ncfgr::MTIHEN } else { ncfgr::UNIHEN };
        let table = u64::from(self.hrt) << 32 | u64::from(self.hrb);
        self.ncfgr & enable != 0 && table >> hash_index(destination) & 1 != 0
    }
}

/// Exclusive or of every sixth bit of the destination address (24.6.9).
fn hash_index(destination: [u8; 6]) -> u32 {
    let [a, b, c, d, e, f] = destination;
    let address = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    (0..8).fold(0, |index, part| index ^ (address >> (6 * part) & 0x3F) as u32)
}

/// An 802.3 pause frame (24.6.16).
pub(super) fn is_pause(frame: &[u8]) -> bool {
    frame[..6] == PAUSE_ADDRESS && frame[12..14] == [0x88, 0x08] && frame[14..16] == [0x00, 0x01]
}

/// Destination, type and opcode of a pause frame from `source`.
pub(super) fn pause_frame(source: [u8; 6], quantum: u16) -> Vec<u8> {
    let mut frame = PAUSE_ADDRESS.to_vec();
    frame.extend(source);
    frame.extend([0x88, 0x08, 0x00, 0x01]);
    frame.extend(quantum.to_be_bytes());
    frame.resize(60, 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_index_is_the_datasheets_exclusive_or() {
        // Bit by bit as 24.6.9 writes it.
        let slow = |da: [u8; 6]| {
            let bit = |n: usize| u32::from(da[n / 8] >> (n % 8) & 1);
            (0..6).map(|i| (0..8).fold(0, |x, part| x ^ bit(i + 6 * part)) << i).sum::<u32>()
        };
        for address in [[1, 0, 0x5E, 0, 0, 0xFB], [0x33, 0x33, 0, 0, 0, 1], [0xFF, 0x12, 0x34, 0x56, 0x78, 0x9A]] {
            assert_eq!(hash_index(address), slow(address));
        }
    }
}
