//! KSZ8091RNA, the board's PHY at MDIO address 0 (Microchip DS00002298; SAM E54 Xplained Pro user guide, Ethernet).
//!
//! Fidelity: basic control and status, identifiers, auto-negotiation, interrupt status (1Bh) and PHY control (1Eh, 1Fh)
//! are modelled; the link follows the cable. Registers 07h to 18h and 1Dh are stored only. Assumed: a partner that offers
//! everything up to 100BASE-TX full duplex with pause; auto-negotiation takes 1.5 s, a forced link 0.1 s; revision 1. A
//! cable that comes or goes is noticed when the PHY is next looked at: at a frame, an MDIO access or a chip reset.
//! Absent: the INTRP pin, LinkMD, wake-on-LAN, energy-efficient Ethernet.

use std::time::Duration;

use sim_base::Instant;

/// MDIO address by the board's straps.
pub(super) const ADDRESS: u32 = 0;

const AUTO_NEGOTIATION_TIME: Duration = Duration::from_millis(1_500);
const FORCED_LINK_TIME: Duration = Duration::from_millis(100);

const BMCR: usize = 0x00;
const BMSR: usize = 0x01;
const PHYID1: usize = 0x02;
const PHYID2: usize = 0x03;
const ANAR: usize = 0x04;
const ANLPAR: usize = 0x05;
const ANER: usize = 0x06;
const INTERRUPT: usize = 0x1B;
const CONTROL1: usize = 0x1E;
const CONTROL2: usize = 0x1F;

mod bmcr {
    pub const RESET: u16 = 1 << 15;
    pub const LOOPBACK: u16 = 1 << 14;
    pub const SPEED_100: u16 = 1 << 13;
    pub const AUTO: u16 = 1 << 12;
    pub const POWER_DOWN: u16 = 1 << 11;
    pub const ISOLATE: u16 = 1 << 10;
    pub const RESTART: u16 = 1 << 9;
    pub const FULL: u16 = 1 << 8;
}

/// 10 and 100 Mbit/s, half and full; preamble suppression; auto-negotiation; extended registers.
const BMSR_ABILITIES: u16 = 0x7849;
const BMSR_NEGOTIATED: u16 = 1 << 5;
const BMSR_LINK: u16 = 1 << 2;

/// Selector IEEE 802.3, 10BASE-T and 100BASE-TX in half and full duplex.
const ANAR_RESET: u16 = 0x01E1;
/// What the partner sends: the same, acknowledge and pause.
const PARTNER: u16 = 0x45E1;
const ANER_PARTNER_ABLE: u16 = 1 << 0;
const ANER_PAGE_RECEIVED: u16 = 1 << 1;

const FULL_100: u16 = 1 << 8;
const HALF_100: u16 = 1 << 7;
const FULL_10: u16 = 1 << 6;
const HALF_10: u16 = 1 << 5;

/// Low half of 1Bh: status, cleared by reading; the enables are in the high half.
const EVENT_PARTNER_ACK: u16 = 1 << 3;
const EVENT_LINK_DOWN: u16 = 1 << 2;
const EVENT_LINK_UP: u16 = 1 << 0;

/// A link as it has been found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// 100 Mbit/s, else 10.
    pub fast: bool,
    /// Full duplex, else half.
    pub full: bool,
}

/// The PHY. It is outside of the chip: a chip reset leaves it alone.
#[derive(Clone, Debug)]
pub(super) struct Phy {
    regs: [u16; 32],
    /// RESET# pin.
    in_reset: bool,
    /// Since when there has been a partner to talk to, with the present settings.
    since: Option<Instant>,
    link: Option<Link>,
    /// BMSR's link bit stays low until it is read.
    link_lost: bool,
}

impl Phy {
    pub fn new() -> Self {
        Self { regs: reset_values(), in_reset: false, since: None, link: None, link_lost: true }
    }

    /// Power-on, or the pin's release.
    pub fn reset(&mut self) {
        *self = Self { in_reset: self.in_reset, ..Self::new() };
    }

    pub fn set_reset_pin(&mut self, asserted: bool) {
        if asserted {
            self.reset();
        }
        self.in_reset = asserted;
    }

    /// The link at `now`; `partner` tells whether the cable has a live far end.
    pub fn link(&mut self, now: Instant, partner: bool) -> Option<Link> {
        let awake = !self.in_reset && self.regs[BMCR] & bmcr::POWER_DOWN == 0;
        if !partner || !awake {
            self.since = None;
            self.lose();
            return None;
        }
        let auto = self.regs[BMCR] & bmcr::AUTO != 0;
        let since = *self.since.get_or_insert(now);
        let ready = since + if auto { AUTO_NEGOTIATION_TIME } else { FORCED_LINK_TIME };
        if self.link.is_none() && now >= ready {
            self.link = if auto { self.negotiated() } else { Some(self.forced()) };
            if self.link.is_some() {
                self.regs[INTERRUPT] |= EVENT_LINK_UP;
            }
            if auto {
                self.regs[INTERRUPT] |= EVENT_PARTNER_ACK;
                self.regs[ANER] |= ANER_PAGE_RECEIVED;
            }
        }
        self.link
    }

    /// Whether frames go between MAC and cable.
    pub fn carries(&mut self, now: Instant, partner: bool) -> Option<Link> {
        let isolated = self.regs[BMCR] & (bmcr::ISOLATE | bmcr::LOOPBACK) != 0;
        self.link(now, partner).filter(|_| !isolated)
    }

    /// Digital loopback towards the MAC.
    pub fn loops_back(&self) -> bool {
        !self.in_reset && self.regs[BMCR] & bmcr::LOOPBACK != 0
    }

    /// An MDIO read; nobody drives the line while RESET# is low.
    pub fn read(&mut self, register: u32, now: Instant, partner: bool) -> u16 {
        if self.in_reset {
            return 0xFFFF;
        }
        let link = self.link(now, partner);
        let auto = self.regs[BMCR] & bmcr::AUTO != 0;
        let done = auto && link.is_some();
        match register as usize & 31 {
            BMSR => {
                let mut value = BMSR_ABILITIES;
                if done {
                    value |= BMSR_NEGOTIATED;
                }
                if link.is_some() && !self.link_lost {
                    value |= BMSR_LINK;
                }
                self.link_lost = link.is_none();
                value
            }
            ANLPAR => {
                if done {
                    PARTNER
                } else {
                    1
                }
            }
            ANER => {
                let value = self.regs[ANER] | if done { ANER_PARTNER_ABLE } else { 0 };
                self.regs[ANER] &= !ANER_PAGE_RECEIVED;
                value
            }
            INTERRUPT => {
                let value = self.regs[INTERRUPT];
                self.regs[INTERRUPT] &= 0xFF00;
                value
            }
            CONTROL1 => {
                // Bit 9: flow control, bit 8: link, bits 2:0: the mode that was found.
                let mode = match link {
                    None => 0,
                    Some(Link { fast: false, full: false }) => 0b001,
                    Some(Link { fast: true, full: false }) => 0b010,
                    Some(Link { fast: false, full: true }) => 0b101,
                    Some(Link { fast: true, full: true }) => 0b110,
                };
                mode | if link.is_some() { 1 << 8 } else { 0 }
            }
            other => self.regs[other],
        }
    }

    /// An MDIO write.
    pub fn write(&mut self, register: u32, value: u16, now: Instant, partner: bool) {
        if self.in_reset {
            return;
        }
        self.link(now, partner);
        match register as usize & 31 {
            BMCR if value & bmcr::RESET != 0 => self.reset(),
            BMCR => {
                let old = self.regs[BMCR];
                self.regs[BMCR] = value & !bmcr::RESTART & 0xFF80;
                let settings = bmcr::AUTO | bmcr::SPEED_100 | bmcr::FULL | bmcr::POWER_DOWN;
                let restart = value & bmcr::RESTART != 0 && value & bmcr::AUTO != 0;
                if restart || (old ^ value) & settings != 0 {
                    self.since = partner.then_some(now);
                    self.lose();
                }
            }
            BMSR | PHYID1 | PHYID2 | ANLPAR | ANER | CONTROL1 => {}
            INTERRUPT => self.regs[INTERRUPT] = self.regs[INTERRUPT] & 0x00FF | value & 0xFF00,
            other => self.regs[other] = value,
        }
    }

    fn lose(&mut self) {
        if self.link.take().is_some() {
            self.link_lost = true;
            self.regs[INTERRUPT] |= EVENT_LINK_DOWN;
        }
    }

    /// The best mode that both offer (IEEE 802.3, annex 28B.3).
    fn negotiated(&self) -> Option<Link> {
        let common = self.regs[ANAR] & PARTNER;
        let modes = [(FULL_100, true, true), (HALF_100, true, false), (FULL_10, false, true), (HALF_10, false, false)];
        let found = modes.into_iter().find(|(bit, ..)| common & bit != 0);
        found.map(|(_, fast, full)| Link { fast, full })
    }

    fn forced(&self) -> Link {
        Link { fast: self.regs[BMCR] & bmcr::SPEED_100 != 0, full: self.regs[BMCR] & bmcr::FULL != 0 }
    }
}

fn reset_values() -> [u16; 32] {
    let mut regs = [0; 32];
    regs[BMCR] = bmcr::SPEED_100 | bmcr::AUTO | bmcr::FULL;
    regs[PHYID1] = 0x0022;
    regs[PHYID2] = 0x1561;
    regs[ANAR] = ANAR_RESET;
    regs[ANER] = 1 << 2; // next page able
    regs[0x07] = 0x2001; // message page, null message
    regs[CONTROL2] = 0x8100; // HP Auto MDI/MDI-X, jabber counter
    regs
}
