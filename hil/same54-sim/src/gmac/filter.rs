//! Which frames the receiver takes (datasheet 24.6.7 to 24.6.12, 24.9.24, 24.9.27 to 24.9.29).
//!
//! Assumed: behind a VLAN tag or a SNAP header the type registers look at the type there (the datasheet speaks of bytes
//! 13 and 14 for frames with neither); a frame with one tag only is told as tagged in stacked VLAN mode too. 24.6.11 and
//! 24.9.2 differ on NCFGR.DCPF; here, as 24.9.2 says, a pause frame that matches a specific address is copied.

use super::Gmac;
use super::regs::{SVLAN, ncfgr, rxd};

const TYPE_VLAN: u16 = 0x8100;
/// Up to here bytes 13 and 14 are a length.
const MAX_LENGTH: u16 = 1500;
/// RFC 1042: LLC AA-AA-03, organisation 00-00-00.
const SNAP: [u8; 6] = [0xAA, 0xAA, 3, 0, 0, 0];

/// One specific address: bottom and top register, active once the top has been written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SpecificAddress {
    pub bottom: u32,
    pub top: u32,
    pub active: bool,
}

/// VLAN tags of a frame.
struct Tags {
    count: usize,
    /// Tag control information for the descriptor.
    reported: Option<u16>,
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
    pub(super) fn filter(&self, frame: &[u8], is_control: bool) -> Option<u32> {
        let destination: [u8; 6] = *frame.first_chunk()?;
        let tags = self.tags(frame);
        if self.ncfgr & ncfgr::DNVLAN != 0 && tags.count == 0 {
            return None;
        }
        let specific = self.specific_match(destination, 4);
        if self.ncfgr & ncfgr::DCPF != 0 && is_control && specific.is_none() {
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
        if let Some(index) = specific {
            status |= rxd::SPECIFIC | index << rxd::SPECIFIC_SHIFT;
            matched = true;
        }
        if let Some(index) = self.type_match(frame, tags.count) {
            if self.ncfgr & ncfgr::RXCOEN == 0 {
                status |= rxd::TYPE_ID | index << rxd::TYPE_ID_SHIFT;
            }
            matched = true;
        }
        if let Some(tag) = tags.reported {
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

    /// SVLAN.VLAN_TYPE in stacked VLAN mode.
    pub(super) fn outer_vlan_type(&self) -> Option<u16> {
        let svlan = self.stored(SVLAN);
        (svlan >> 31 != 0).then_some(svlan as u16)
    }

    fn tags(&self, frame: &[u8]) -> Tags {
        let half = |at: usize| frame.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        let stacked = self.outer_vlan_type();
        let Some(first) = half(12).filter(|&kind| kind == TYPE_VLAN || Some(kind) == stacked) else {
            return Tags { count: 0, reported: None };
        };
        if stacked.is_some() && half(16) == Some(TYPE_VLAN) {
            return Tags { count: 2, reported: half(18) };
        }
        Tags { count: 1, reported: half(14).filter(|_| first == TYPE_VLAN) }
    }

    /// Which of the first `count` specific addresses matches: the highest number is the one that is indicated.
    pub(super) fn specific_match(&self, destination: [u8; 6], count: u32) -> Option<u32> {
        let mask = SpecificAddress { bottom: self.samb1, top: self.samt1, active: true }.bytes();
        (0..count).rev().find(|&index| {
            let address = self.specific[index as usize];
            let bytes = address.bytes();
            address.active
                && (0..6).all(|at| {
                    let ignored = if index == 0 { mask[at] } else { 0 };
                    (bytes[at] ^ destination[at]) & !ignored == 0
                })
        })
    }

    fn type_match(&self, frame: &[u8], tags: usize) -> Option<u32> {
        let at = 12 + 4 * tags;
        let half = |at: usize| frame.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        let mut ethertype = half(at)?;
        if ethertype <= MAX_LENGTH && frame.get(at + 2..at + 8) == Some(&SNAP) {
            ethertype = half(at + 8)?;
        }
        (0..4_u32).rev().find(|&index| {
            let register = self.tidm[index as usize];
            register >> 31 != 0 && register as u16 == ethertype
        })
    }

    pub(super) fn hash_matches(&self, destination: [u8; 6]) -> bool {
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
