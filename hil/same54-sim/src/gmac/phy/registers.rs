//! Register numbers, bits and reset values of the KSZ8091RNA (DS00002298, "Register Map" and "Register Description").

pub(super) const BMCR: usize = 0x00;
pub(super) const BMSR: usize = 0x01;
pub(super) const PHYID1: usize = 0x02;
pub(super) const PHYID2: usize = 0x03;
pub(super) const ANAR: usize = 0x04;
pub(super) const ANLPAR: usize = 0x05;
pub(super) const ANER: usize = 0x06;
pub(super) const NEXT_PAGE: usize = 0x07;
pub(super) const MMD_CONTROL: usize = 0x0D;
pub(super) const MMD_DATA: usize = 0x0E;
pub(super) const RXER: usize = 0x15;
pub(super) const STRAP_OVERRIDE: usize = 0x16;
pub(super) const STRAP_STATUS: usize = 0x17;
pub(super) const EXPANDED_CONTROL: usize = 0x18;
pub(super) const INTERRUPT: usize = 0x1B;
pub(super) const CABLE: usize = 0x1D;
pub(super) const CONTROL1: usize = 0x1E;
pub(super) const CONTROL2: usize = 0x1F;

/// Basic control.
pub(super) mod bmcr {
    pub const RESET: u16 = 1 << 15;
    pub const LOOPBACK: u16 = 1 << 14;
    pub const SPEED_100: u16 = 1 << 13;
    pub const AUTO: u16 = 1 << 12;
    pub const POWER_DOWN: u16 = 1 << 11;
    pub const ISOLATE: u16 = 1 << 10;
    pub const RESTART: u16 = 1 << 9;
    pub const FULL: u16 = 1 << 8;
    /// Bits that stay as written; bit 7 is the collision test.
    pub const WRITABLE: u16 = 0x7D80;
}

/// 10 and 100 Mbit/s, half and full; preamble suppression; auto-negotiation; extended registers.
pub(super) const BMSR_ABILITIES: u16 = 0x7849;
pub(super) const BMSR_NEGOTIATED: u16 = 1 << 5;
pub(super) const BMSR_LINK: u16 = 1 << 2;

/// Selector IEEE 802.3, 10BASE-T and 100BASE-TX in half and full duplex.
const ANAR_RESET: u16 = 0x01E1;
pub(super) const ANAR_PAUSE: u16 = 1 << 10;
/// What the partner sends: the same, acknowledge and pause.
pub(super) const PARTNER: u16 = 0x45E1;
pub(super) const FULL_100: u16 = 1 << 8;
pub(super) const HALF_100: u16 = 1 << 7;
pub(super) const FULL_10: u16 = 1 << 6;
pub(super) const HALF_10: u16 = 1 << 5;
const ANER_NEXT_PAGE_ABLE: u16 = 1 << 2;
pub(super) const ANER_PAGE_RECEIVED: u16 = 1 << 1;
pub(super) const ANER_PARTNER_ABLE: u16 = 1 << 0;

/// Low half of 1Bh: status, cleared by reading; the enables are in the high half.
pub(super) mod event {
    pub const PARTNER_ACK: u16 = 1 << 3;
    pub const LINK_DOWN: u16 = 1 << 2;
    pub const LINK_UP: u16 = 1 << 0;
}

/// LinkMD: test enable, self-clearing; then the result.
pub(super) const CABLE_TEST: u16 = 1 << 15;
pub(super) const CABLE_NORMAL: u16 = 0;
pub(super) const CABLE_OPEN: u16 = 0b01 << 13;
/// The cable is shorter than 10 m.
pub(super) const CABLE_SHORT_OF_10_M: u16 = 1 << 12;

/// PHY control 1.
pub(super) mod control1 {
    pub const PAUSE: u16 = 1 << 9;
    pub const LINK: u16 = 1 << 8;
    pub const ENERGY: u16 = 1 << 4;
    pub const ISOLATE: u16 = 1 << 3;
}

/// PHY control 2.
pub(super) mod control2 {
    pub const FORCE_LINK: u16 = 1 << 11;
    pub const INTERRUPT_HIGH: u16 = 1 << 9;
    pub const CLOCK_50_MHZ: u16 = 1 << 7;
    pub const DISABLE_TRANSMITTER: u16 = 1 << 3;
    pub const REMOTE_LOOPBACK: u16 = 1 << 2;
}

/// Bits that stay as written, of the registers that are no more than that.
pub(super) const WRITABLE: [u16; 32] = {
    let mut bits = [0; 32];
    bits[ANAR] = 0xADFF;
    bits[NEXT_PAGE] = 0xB7FF;
    bits[0x10] = 1 << 4; // PLL off
    bits[0x11] = 1 << 5; // slow oscillator
    bits[0x13] = 1 << 4; // 10BASE-Te
    bits[STRAP_OVERRIDE] = 0x8262; // PME, broadcast off, back-to-back, NAND tree, RMII
    bits[EXPANDED_CONTROL] = 1 << 11; // energy-detect power-down disabled
    bits[INTERRUPT] = 0xFF00;
    bits[CONTROL1] = control1::ISOLATE;
    bits[CONTROL2] = 0xEFBF;
    bits
};

pub(super) fn reset_values() -> [u16; 32] {
    let mut regs = [0; 32];
    regs[BMCR] = bmcr::SPEED_100 | bmcr::AUTO | bmcr::FULL;
    regs[PHYID1] = 0x0022;
    regs[PHYID2] = 0x1561;
    regs[ANAR] = ANAR_RESET;
    regs[ANLPAR] = 0x0001;
    regs[ANER] = ANER_NEXT_PAGE_ABLE;
    regs[NEXT_PAGE] = 0x2001; // message page, null message
    regs[STRAP_OVERRIDE] = 1 << 1; // RMII
    regs[STRAP_STATUS] = 1 << 1; // address 0, RMII
    regs[EXPANDED_CONTROL] = 1 << 11;
    regs[CONTROL2] = 0x8100; // HP Auto MDI/MDI-X, jabber counter
    regs
}
