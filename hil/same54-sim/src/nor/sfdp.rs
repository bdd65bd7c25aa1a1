//! Identification and the serial flash discovery parameters (JESD216).
//!
//! Fidelity: signature, header and basic flash parameter table are laid out after JESD216 and say what the model does
//! (32 MiB, 4 KiB and 64 KiB erases, the fast reads with their default dummy cycles). The data sheet calls the contents
//! still to be defined, so they are assumed. The unique id is fixed (assumed).

/// Manufacturer, type and capacity, the length of what follows, extended device id (uniform, HOLD#, standard BP scheme)
/// and fourteen bytes of factory data.
pub(super) const IDENTIFICATION: [u8; 20] = [
    0x20, 0xBA, 0x19, 0x10, 0x00, 0x00, 0x23, 0x53, 0x41, 0x4D, 0x45, 0x35, 0x34, 0x2D, 0x4E, 0x4F, 0x52, 0x00, 0x00,
    0x01,
];

/// Where the basic parameter table begins.
const TABLE: usize = 0x30;
/// Where reads begin again.
pub(super) const LENGTH: u32 = 2_048;

/// Nine double words (JESD216, 6.4).
const PARAMETERS: [u32; 9] = [
    // 4 KiB erase by 20h, 64-byte write granularity, 3 or 4 byte addresses, 1-1-2, 1-2-2, 1-4-4 and 1-1-4 reads, DTR.
    0xFFFB_20E5,
    // 256 Mbit, counted from 0.
    0x0FFF_FFFF,
    // 1-4-4: EBh, 10 wait states counted as 1 mode clock and 9; 1-1-4: 6Bh, 8 (1 and 7).
    0x6B27_EB29,
    // 1-1-2: 3Bh, 8 (1 and 7); 1-2-2: BBh, 8 (1 and 7).
    0xBB27_3B27,
    // 2-2-2 and 4-4-4 are there.
    0xFFFF_FFFF,
    // 2-2-2: BBh, 8 (1 and 7).
    0xBB27_FFFF,
    // 4-4-4: EBh, 10 (1 and 9).
    0xEB29_FFFF,
    // Erases: 4 KiB (2^12) by 20h, 64 KiB (2^16) by D8h.
    0xD810_200C,
    0x0000_0000,
];

/// The byte at `offset` of the parameter area.
pub(super) fn parameter(offset: u32) -> u8 {
    let offset = (offset % LENGTH) as usize;
    // Signature, revision 1.0, one table; then the header of that table: JEDEC, 1.0, nine double words, its address.
    const HEADER: [u8; 16] =
        [0x53, 0x46, 0x44, 0x50, 0x00, 0x01, 0x00, 0xFF, 0x00, 0x00, 0x01, 0x09, TABLE as u8, 0x00, 0x00, 0xFF];
    if let Some(byte) = HEADER.get(offset) {
        return *byte;
    }
    let in_table = offset.checked_sub(TABLE).filter(|at| *at < 4 * PARAMETERS.len());
    in_table.map_or(0xFF, |at| PARAMETERS[at / 4].to_le_bytes()[at % 4])
}
