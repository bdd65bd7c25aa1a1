//! KSZ8091RNA, the board's PHY at MDIO address 0 (Microchip DS00002298; SAM E54 Xplained Pro user guide, 5.3.7).
//!
//! Fidelity: the register map with its read-only, self-clearing and latching bits, auto-negotiation, forced modes, forced
//! link, power-down, isolation, disabled transmitter, local and remote loopback, the interrupt pin, the clock to the MAC,
//! and LinkMD are modelled; the link follows the cable. Stored only: next pages, NAND tree, back-to-back mode, the
//! energy-detect, power-saving and LED settings, 10BASE-Te, energy-efficient Ethernet and wake-on-LAN (the registers
//! behind 0Dh and 0Eh). The receive error counter stays zero: frames from the cable have no errors of their own.
//! Assumed: a partner that offers everything up to 100BASE-TX full duplex with pause, without next pages; auto-negotiation
//! takes 1.5 s, a forced link 0.1 s, a software reset 10 us, a cable test 1 ms, and without a cable finds an open end at
//! once; revision 1; EEE is not advertised after reset; the clock stops in reset, in power-down and in 50 MHz input mode,
//! for which the board has no oscillator.

mod mmd;
mod registers;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sim_base::Instant;

use mmd::Mmd;
use registers::*;

/// MDIO address by the board's straps.
pub(super) const ADDRESS: u32 = 0;

const AUTO_NEGOTIATION_TIME: Duration = Duration::from_millis(1_500);
const FORCED_LINK_TIME: Duration = Duration::from_millis(100);
const SOFT_RESET_TIME: Duration = Duration::from_micros(10);
const CABLE_TEST_TIME: Duration = Duration::from_millis(1);
/// "After the de-assertion of reset, wait a minimum of 100 us before starting programming on the MIIM interface."
const START_UP_TIME: Duration = Duration::from_micros(100);

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
    mmd: Mmd,
    /// RESET# pin.
    in_reset: bool,
    /// When programming may begin after the pin's release.
    ready_at: Instant,
    /// End of the software reset.
    reset_until: Instant,
    /// Since when there has been a partner to talk to, with the present settings.
    since: Option<Instant>,
    /// The settings have led to a link or to none.
    resolved: bool,
    link: Option<Link>,
    /// BMSR's link bit stays low until it is read.
    link_lost: bool,
    /// End of the cable test.
    test_until: Option<Instant>,
}

impl Phy {
    pub fn new() -> Self {
        Self {
            regs: reset_values(),
            mmd: Mmd::new(),
            in_reset: false,
            ready_at: Instant::ZERO,
            reset_until: Instant::ZERO,
            since: None,
            resolved: false,
            link: None,
            link_lost: true,
            test_until: None,
        }
    }

    /// Power-on, or the pin's release.
    pub fn reset(&mut self) {
        *self = Self { in_reset: self.in_reset, ..Self::new() };
    }

    /// RESET# is low or high.
    pub fn set_reset_pin(&mut self, asserted: bool, now: Instant) {
        if asserted {
            self.reset();
        } else if self.in_reset {
            self.ready_at = now + START_UP_TIME;
        }
        self.in_reset = asserted;
    }

    /// Whether the reset pin is asserted.
    pub fn is_in_reset(&self) -> bool {
        self.in_reset
    }

    /// Whether it is too early for management frames.
    pub fn is_starting(&self, now: Instant) -> bool {
        !self.in_reset && now < self.ready_at
    }

    /// The link at `now`; `partner` tells whether the cable has a live far end.
    pub fn link(&mut self, now: Instant, partner: bool) -> Option<Link> {
        if !self.is_awake() {
            self.since = None;
            self.lose();
            return None;
        }
        if self.regs[CONTROL2] & control2::FORCE_LINK != 0 {
            if self.link.is_none() {
                self.link = Some(self.forced());
                self.regs[INTERRUPT] |= event::LINK_UP;
            }
            return self.link;
        }
        // A far end that hears nothing says nothing.
        if !partner || self.regs[CONTROL2] & control2::DISABLE_TRANSMITTER != 0 {
            self.since = None;
            self.resolved = false;
            self.lose();
            return None;
        }
        let since = *self.since.get_or_insert(now);
        if !self.resolved && now >= since + self.time_to_link() {
            self.resolve();
        }
        self.link
    }

    /// Whether frames go between MAC and cable.
    pub fn carries(&mut self, now: Instant, partner: bool) -> Option<Link> {
        let off = self.regs[BMCR] & (bmcr::ISOLATE | bmcr::LOOPBACK) != 0
            || self.regs[CONTROL1] & control1::ISOLATE != 0
            || self.regs[CONTROL2] & control2::REMOTE_LOOPBACK != 0;
        self.link(now, partner).filter(|_| partner && !off)
    }

    /// Local loopback towards the MAC, at the speed that register 0 selects.
    pub fn loops_back(&self) -> Option<Link> {
        (self.is_awake() && self.regs[BMCR] & bmcr::LOOPBACK != 0).then(|| self.forced())
    }

    /// Remote loopback: frames from the cable go back to it. For 100BASE-TX full duplex only.
    pub fn returns_frames(&mut self, now: Instant, partner: bool) -> bool {
        let on = self.regs[CONTROL2] & control2::REMOTE_LOOPBACK != 0 && partner;
        on && self.link(now, partner) == Some(Link { fast: true, full: true })
    }

    /// Whether the MAC gets its 50 MHz clock.
    pub fn gives_clock(&self) -> bool {
        self.is_awake() && self.regs[CONTROL2] & control2::CLOCK_50_MHZ == 0
    }

    /// Level of the INTRP pin; pulled up while the PHY does not drive it.
    pub fn interrupt_level(&self) -> bool {
        if self.in_reset {
            return true;
        }
        let register = self.regs[INTERRUPT];
        let asserted = register & register >> 8 & 0xFF != 0;
        asserted == (self.regs[CONTROL2] & control2::INTERRUPT_HIGH != 0)
    }

    /// When [`link`](Self::link) must be asked because the interrupt pin may depend on it.
    pub fn next_event(&self) -> Instant {
        let wanted = self.regs[INTERRUPT] >> 8 & (event::LINK_UP | event::PARTNER_ACK) != 0;
        match self.since {
            Some(since) if wanted && !self.resolved => since + self.time_to_link(),
            _ => Instant::NEVER,
        }
    }

    /// An MDIO read; nobody drives the line while RESET# is low.
    pub fn read(&mut self, register: u32, now: Instant, partner: bool) -> u16 {
        if self.in_reset {
            return 0xFFFF;
        }
        let link = self.link(now, partner);
        self.settle_cable_test(now, partner);
        let negotiated = self.is_auto() && self.resolved && link.is_some();
        match register as usize & 31 {
            BMCR if now < self.reset_until => self.regs[BMCR] | bmcr::RESET,
            BMSR => {
                let mut value = BMSR_ABILITIES;
                if negotiated {
                    value |= BMSR_NEGOTIATED;
                }
                if link.is_some() && !self.link_lost {
                    value |= BMSR_LINK;
                }
                self.link_lost = link.is_none();
                value
            }
            ANLPAR if negotiated => PARTNER,
            ANER => {
                let value = self.regs[ANER] | if negotiated { ANER_PARTNER_ABLE } else { 0 };
                self.regs[ANER] &= !ANER_PAGE_RECEIVED;
                value
            }
            MMD_CONTROL => self.mmd.control(),
            MMD_DATA => self.mmd.read(),
            RXER => std::mem::take(&mut self.regs[RXER]),
            INTERRUPT => {
                let value = self.regs[INTERRUPT];
                self.regs[INTERRUPT] &= 0xFF00;
                value
            }
            CONTROL1 => {
                let pause = ANAR_PAUSE & self.regs[ANAR] & PARTNER;
                let mode = match link {
                    None => 0,
                    Some(Link { fast: false, full: false }) => 0b001,
                    Some(Link { fast: true, full: false }) => 0b010,
                    Some(Link { fast: false, full: true }) => 0b101,
                    Some(Link { fast: true, full: true }) => 0b110,
                };
                let up = if link.is_some() { control1::LINK } else { 0 };
                let flow = if negotiated && pause != 0 { control1::PAUSE } else { 0 };
                let energy = if partner && self.is_awake() { control1::ENERGY } else { 0 };
                self.regs[CONTROL1] | mode | up | flow | energy
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
        let register = register as usize & 31;
        match register {
            BMCR if value & bmcr::RESET != 0 => self.soft_reset(now),
            BMCR => self.write_control(value, now),
            MMD_CONTROL => self.mmd.set_control(value),
            MMD_DATA => self.mmd.write(value),
            CABLE => {
                if value & CABLE_TEST != 0 {
                    self.regs[CABLE] = 0;
                    self.test_until = Some(now + CABLE_TEST_TIME);
                }
            }
            other => {
                let old = self.regs[other];
                self.regs[other] = old & !WRITABLE[other] | value & WRITABLE[other];
                if other == CONTROL2 && old & control2::FORCE_LINK != 0 && value & control2::FORCE_LINK == 0 {
                    self.start_over(now);
                }
            }
        }
        self.link(now, partner);
    }

    /// Two software resets are needed to leave power-down by them: the first one only ends it.
    fn soft_reset(&mut self, now: Instant) {
        if self.regs[BMCR] & bmcr::POWER_DOWN != 0 {
            self.regs[BMCR] &= !bmcr::POWER_DOWN;
            return;
        }
        self.reset();
        self.reset_until = now + SOFT_RESET_TIME;
        self.since = Some(self.reset_until);
    }

    fn write_control(&mut self, value: u16, now: Instant) {
        let old = self.regs[BMCR];
        let new = value & bmcr::WRITABLE;
        if old & !new & bmcr::POWER_DOWN != 0 {
            // "An internal global reset is automatically generated."
            self.reset();
        }
        self.regs[BMCR] = new;
        let settings = bmcr::AUTO | bmcr::SPEED_100 | bmcr::FULL | bmcr::POWER_DOWN;
        let restart = value & bmcr::RESTART != 0 && value & bmcr::AUTO != 0;
        if restart || (old ^ new) & settings != 0 {
            self.start_over(now);
        }
    }

    /// The way to a link begins anew, if there is somebody to have it with.
    fn start_over(&mut self, now: Instant) {
        self.since = self.since.map(|_| now);
        self.resolved = false;
        self.lose();
    }

    /// A link is found, or none.
    fn resolve(&mut self) {
        self.resolved = true;
        let auto = self.is_auto();
        self.link = if auto { self.negotiated() } else { Some(self.forced()) };
        if self.link.is_some() {
            self.regs[INTERRUPT] |= event::LINK_UP;
        }
        if auto {
            self.regs[INTERRUPT] |= event::PARTNER_ACK;
            self.regs[ANER] |= ANER_PAGE_RECEIVED;
        }
    }

    fn lose(&mut self) {
        if self.link.take().is_some() {
            self.link_lost = true;
            self.regs[INTERRUPT] |= event::LINK_DOWN;
        }
    }

    fn settle_cable_test(&mut self, now: Instant, partner: bool) {
        match self.test_until {
            Some(end) if end <= now => {
                self.test_until = None;
                self.regs[CABLE] = if partner { CABLE_NORMAL } else { CABLE_OPEN | CABLE_SHORT_OF_10_M };
            }
            Some(_) => self.regs[CABLE] = CABLE_TEST,
            None => {}
        }
    }

    fn is_awake(&self) -> bool {
        !self.in_reset && self.regs[BMCR] & bmcr::POWER_DOWN == 0
    }

    fn is_auto(&self) -> bool {
        self.regs[BMCR] & bmcr::AUTO != 0
    }

    fn time_to_link(&self) -> Duration {
        if self.is_auto() { AUTO_NEGOTIATION_TIME } else { FORCED_LINK_TIME }
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
