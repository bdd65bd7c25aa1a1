//! The PHY (Microchip KSZ8091RNA) over MDIO: reset, auto-negotiation, link state. IEEE 802.3 clause 22 registers.

use core::sync::atomic::Ordering;

use atsamd_hal::ehal::digital::OutputPin;
use atsamd_hal::gpio::{PC21, Pin, PushPullOutput};
use embassy_time::Timer;

use super::{LINK_UP, LINK_WAKER, registers};

const BMCR: u8 = 0;
const BMSR: u8 = 1;
const PHYID1: u8 = 2;
const ANAR: u8 = 4;
const ANLPAR: u8 = 5;

const BMCR_AUTO_NEGOTIATE: u16 = 1 << 12;
const BMCR_RESTART: u16 = 1 << 9;
const BMSR_NEGOTIATED: u16 = 1 << 5;
const BMSR_LINK: u16 = 1 << 2;
/// 100BASE-TX full, 100BASE-TX half, 10BASE-T full, 10BASE-T half; selector IEEE 802.3.
const ABILITIES: u16 = 0x01E1;
const FULL_100: u16 = 1 << 8;
const HALF_100: u16 = 1 << 7;
const FULL_10: u16 = 1 << 6;

/// PHYID1 of Micrel, later Microchip, PHYs.
const MICREL: u16 = 0x0022;

/// Reset pulse; the datasheet wants 500 microseconds.
const RESET_MS: u64 = 1;
/// From reset to the first MDIO access; the datasheet wants 100 microseconds.
const WAKE_MS: u64 = 1;
/// How often the link is looked at.
const POLL_MS: u64 = 250;

/// Speed and duplex of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkMode {
    /// 100 Mbit/s, else 10.
    pub fast: bool,
    /// Full duplex, else half.
    pub full_duplex: bool,
}

impl LinkMode {
    /// The best mode that both sides offer (IEEE 802.3, annex 28B.3).
    fn negotiated(ours: u16, theirs: u16) -> Self {
        let common = ours & theirs;
        Self {
            fast: common & (FULL_100 | HALF_100) != 0,
            full_duplex: common & FULL_100 != 0 || (common & HALF_100 == 0 && common & FULL_10 != 0),
        }
    }
}

/// The PHY side of the controller.
pub struct Link {
    reset: Pin<PC21, PushPullOutput>,
    address: u8,
}

impl Link {
    pub(super) fn new(mut reset: Pin<PC21, PushPullOutput>) -> Self {
        // Out of reset from the start: the PHY gives the controller its clock. Pin writes are infallible.
        let _ = reset.set_high();
        Self { reset, address: 0 }
    }

    /// Resets the PHY, starts auto-negotiation and follows the link for ever. `changed` is told each change: the mode
    /// of a new link, or `None` when it is lost.
    pub async fn run(mut self, mut changed: impl FnMut(Option<LinkMode>)) -> ! {
        loop {
            // Pin writes are infallible on this chip.
            let _ = self.reset.set_low();
            Timer::after_millis(RESET_MS).await;
            let _ = self.reset.set_high();
            Timer::after_millis(WAKE_MS).await;
            if let Some(address) = self.find() {
                self.address = address;
                break;
            }
            // No PHY answers: a supply that is still rising, or a broken board. Trying again costs nothing.
            Timer::after_millis(POLL_MS).await;
        }
        self.write(ANAR, ABILITIES);
        self.write(BMCR, BMCR_AUTO_NEGOTIATE | BMCR_RESTART);
        let mut mode = None;
        loop {
            let now = self.mode();
            if now != mode {
                mode = now;
                if let Some(mode) = mode {
                    registers().ncfgr().modify(|_, w| w.spd().bit(mode.fast).fd().bit(mode.full_duplex));
                }
                LINK_UP.store(mode.is_some(), Ordering::Release);
                LINK_WAKER.wake();
                changed(mode);
            }
            Timer::after_millis(POLL_MS).await;
        }
    }

    /// The first address that a Micrel PHY answers at; the board straps it to 0.
    fn find(&mut self) -> Option<u8> {
        (0..32).find(|&address| {
            self.address = address;
            self.read(PHYID1) == MICREL
        })
    }

    fn mode(&mut self) -> Option<LinkMode> {
        // The link bit latches low; the second read is the present state.
        let _ = self.read(BMSR);
        let status = self.read(BMSR);
        (status & (BMSR_NEGOTIATED | BMSR_LINK) == BMSR_NEGOTIATED | BMSR_LINK)
            .then(|| LinkMode::negotiated(self.read(ANAR), self.read(ANLPAR)))
    }

    fn read(&mut self, register: u8) -> u16 {
        self.transfer(0b10, register, 0)
    }

    fn write(&mut self, register: u8, value: u16) {
        self.transfer(0b01, register, value);
    }

    /// One clause 22 frame, 64 cycles of MDC: 26 microseconds.
    fn transfer(&mut self, operation: u8, register: u8, value: u16) -> u16 {
        let gmac = registers();
        // SAFETY: the fields of a clause 22 frame: start 01 (CLTTO), operation, addresses of five bits, turn-around
        // 10, data.
        gmac.man().write(|w| unsafe {
            w.wzo().clear_bit();
            w.cltto().set_bit();
            w.op().bits(operation);
            w.phya().bits(self.address);
            w.rega().bits(register);
            w.wtn().bits(0b10);
            w.data().bits(value)
        });
        while gmac.nsr().read().idle().bit_is_clear() {}
        gmac.man().read().data().bits()
    }
}
