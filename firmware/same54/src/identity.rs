//! Who this chip is: its serial number and a MAC address made from it.

use atsamd_hal::serial_number;

/// The chip's 128-bit serial number; unique only as a whole (SAM D5x/E5x datasheet, 9.6).
pub fn serial() -> [u8; 16] {
    serial_number()
}

/// A locally administered unicast MAC address that this chip has at every start, for boards without one of their own.
pub fn local_mac() -> [u8; 6] {
    mac_of(&serial())
}

/// FNV-1a over the serial number, spread over the 46 free bits.
fn mac_of(serial: &[u8; 16]) -> [u8; 6] {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = serial.iter().fold(OFFSET, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let hash = (hash ^ (hash >> 48)).to_le_bytes();
    let mut mac = [hash[0], hash[1], hash[2], hash[3], hash[4], hash[5]];
    // Bit 0 of the first byte is multicast, bit 1 locally administered (IEEE 802, 8.2).
    mac[0] = (mac[0] & !0b01) | 0b10;
    mac
}
