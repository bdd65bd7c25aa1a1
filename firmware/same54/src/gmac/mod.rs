//! Ethernet: GMAC (SAM D5x/E5x datasheet, chapter 24) over RMII, as an embassy-net driver.
//!
//! Frames go through descriptor rings in RAM (`ring`); speed and duplex follow the PHY (`phy`). Checksums are
//! left to the network stack, which then also covers the way through the controller.

mod phy;
mod ring;

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Context;

use atsamd_hal::gpio::{
    AlternateL, PA12, PA13, PA14, PA15, PA17, PA18, PA19, PC11, PC12, PC20, PC21, Pin, PushPullOutput, Reset,
};
use atsamd_hal::pac::{self, Interrupt, NVIC, interrupt};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;

pub use phy::{Link, LinkMode};
use ring::{RxRing, TxRing};

use crate::priority;

/// Longest frame without FCS, bytes.
const MTU: usize = 1514;

/// Woken for each received frame, each sent frame, each error.
static WAKER: AtomicWaker = AtomicWaker::new();
/// Woken when the link comes or goes.
static LINK_WAKER: AtomicWaker = AtomicWaker::new();
static LINK_UP: AtomicBool = AtomicBool::new(false);
/// The transmitter stopped with an error and its ring must be set up anew.
static TX_FAULT: AtomicBool = AtomicBool::new(false);

/// Controller and pins of the Ethernet port.
pub struct EthernetPort {
    pub(crate) gmac: pac::Gmac,
    pub(crate) pins: EthernetPins,
}

/// The pins of RMII, MDIO and PHY reset on the board (SAM E54 Xplained Pro user guide, 4.2.5).
#[allow(clippy::type_complexity, reason = "one type per wire")]
pub(crate) struct EthernetPins {
    _rmii: (
        Pin<PA12, AlternateL>,
        Pin<PA13, AlternateL>,
        Pin<PA14, AlternateL>,
        Pin<PA15, AlternateL>,
        Pin<PA17, AlternateL>,
        Pin<PA18, AlternateL>,
        Pin<PA19, AlternateL>,
        Pin<PC20, AlternateL>,
    ),
    _mdio: (Pin<PC11, AlternateL>, Pin<PC12, AlternateL>),
    phy_reset: Pin<PC21, PushPullOutput>,
}

impl EthernetPins {
    #[allow(clippy::too_many_arguments, reason = "one argument per wire")]
    pub(crate) fn new(
        pa12: Pin<PA12, Reset>,
        pa13: Pin<PA13, Reset>,
        pa14: Pin<PA14, Reset>,
        pa15: Pin<PA15, Reset>,
        pa17: Pin<PA17, Reset>,
        pa18: Pin<PA18, Reset>,
        pa19: Pin<PA19, Reset>,
        pc11: Pin<PC11, Reset>,
        pc12: Pin<PC12, Reset>,
        pc20: Pin<PC20, Reset>,
        pc21: Pin<PC21, Reset>,
        mclk: &mut pac::Mclk,
    ) -> Self {
        mclk.ahbmask().modify(|_, w| w.gmac_().set_bit());
        mclk.apbcmask().modify(|_, w| w.gmac_().set_bit());
        Self {
            _rmii: (
                pa12.into_alternate(),
                pa13.into_alternate(),
                pa14.into_alternate(),
                pa15.into_alternate(),
                pa17.into_alternate(),
                pa18.into_alternate(),
                pa19.into_alternate(),
                pc20.into_alternate(),
            ),
            _mdio: (pc11.into_alternate(), pc12.into_alternate()),
            phy_reset: pc21.into_push_pull_output(),
        }
    }
}

/// The controller's registers. Driver, link and interrupt handler each hold this, and each has registers of its own:
/// NCR, queues and status belong to the driver (the handler only clears status and restarts transmission, which no
/// read-modify-write can undo), MAN and NCFGR to the link.
fn registers() -> &'static pac::gmac::RegisterBlock {
    // SAFETY: `Gmac::new` consumes the controller's owner, so this module is the registers' only user; who writes
    // which register is said above.
    unsafe { &*pac::Gmac::ptr() }
}

/// The frame side of the controller.
pub struct Gmac {
    rx: RxRing,
    tx: TxRing,
    mac: [u8; 6],
}

impl Gmac {
    /// Sets the controller up. Frames flow once [`Link::run`] has found a link partner.
    pub fn new(port: EthernetPort, mac: [u8; 6], nvic: &mut NVIC) -> (Self, Link) {
        let EthernetPort { gmac, pins } = port;
        gmac.ncr().reset();
        // SAFETY: writing ones here masks every interrupt.
        gmac.idr().write(|w| unsafe { w.bits(!0) });
        let _ = gmac.isr().read();
        // 0 selects RMII.
        gmac.ur().write(|w| w.mii().clear_bit());
        gmac.ncfgr().write(|w| {
            w.spd().set_bit();
            w.fd().set_bit();
            // 1536-byte frames (VLAN), without FCS in the buffer; MDC = 120 MHz / 48 = 2.5 MHz.
            w.maxfs().set_bit();
            w.rfcs().set_bit();
            w.clk().mck48()
        });
        gmac.dcfgr().write(|w| {
            w.fbldo().incr4();
            w.rxbms().full();
            w.txpbms().set_bit();
            // Frames without a free buffer are lost, rather than delivered when the next one arrives.
            w.ddrp().set_bit();
            // SAFETY: the buffer size in units of 64 bytes.
            unsafe { w.drbs().bits((ring::BUFFER / 64) as u8) }
        });
        let (rx, tx) = ring::take(&gmac);
        // SAFETY: station address registers take any value; SAT's write enables the filter, so it comes second.
        gmac.sa(0).sab().write(|w| unsafe { w.addr().bits(u32::from_le_bytes([mac[0], mac[1], mac[2], mac[3]])) });
        // SAFETY: as above.
        gmac.sa(0).sat().write(|w| unsafe { w.addr().bits(u16::from_le_bytes([mac[4], mac[5]])) });
        gmac.ier().write(|w| {
            w.rcomp().set_bit();
            w.rxubr().set_bit();
            w.rovr().set_bit();
            w.tcomp().set_bit();
            w.tur().set_bit();
            w.rlex().set_bit();
            w.tfc().set_bit();
            w.hresp().set_bit()
        });
        gmac.ncr().write(|w| w.mpe().set_bit().rxen().set_bit().txen().set_bit());
        priority::enable(nvic, Interrupt::GMAC, priority::ETHERNET);
        let link = Link::new(pins.phy_reset);
        (Self { rx, tx, mac }, link)
    }

    /// Connects the transmitter to the receiver inside of the controller, for tests: what is sent comes back.
    pub fn set_local_loopback(&mut self, on: bool) {
        let ncr = registers().ncr();
        // Transmitter and receiver must be off while the switch is made (24.9.1, LBL).
        ncr.modify(|_, w| w.rxen().clear_bit().txen().clear_bit());
        ncr.modify(|_, w| w.lbl().bit(on));
        self.rx.restart(registers());
        self.tx.restart(registers());
        ncr.modify(|_, w| w.rxen().set_bit().txen().set_bit());
    }

    fn recover_transmitter(&mut self) {
        if TX_FAULT.swap(false, Ordering::AcqRel) {
            let ncr = registers().ncr();
            ncr.modify(|_, w| w.txen().clear_bit());
            self.tx.restart(registers());
            ncr.modify(|_, w| w.txen().set_bit());
        }
    }
}

#[interrupt]
fn GMAC() {
    let gmac = registers();
    // ISR clears itself when it is read.
    let _ = gmac.isr().read();
    let rsr = gmac.rsr().read();
    // SAFETY: writing back the bits that were read clears exactly those.
    gmac.rsr().write(|w| unsafe { w.bits(rsr.bits()) });
    let tsr = gmac.tsr().read();
    // SAFETY: as above.
    gmac.tsr().write(|w| unsafe { w.bits(tsr.bits()) });
    if tsr.und().bit_is_set() || tsr.tfc().bit_is_set() || tsr.hresp().bit_is_set() || tsr.rle().bit_is_set() {
        TX_FAULT.store(true, Ordering::Release);
    }
    WAKER.wake();
}

/// A received frame, still in its buffer.
pub struct Received<'a>(&'a mut RxRing);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        self.0.consume(f)
    }
}

/// A free buffer to send from.
pub struct Transmit<'a>(&'a mut TxRing);

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.send(registers(), len, f)
    }
}

impl Driver for Gmac {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Transmit<'a>;

    fn receive(&mut self, cx: &mut Context) -> Option<(Received<'_>, Transmit<'_>)> {
        WAKER.register(cx.waker());
        self.recover_transmitter();
        // The stack answers a received frame at once, so both must be free.
        (self.tx.is_free() && self.rx.has_frame()).then_some((Received(&mut self.rx), Transmit(&mut self.tx)))
    }

    fn transmit(&mut self, cx: &mut Context) -> Option<Transmit<'_>> {
        WAKER.register(cx.waker());
        self.recover_transmitter();
        self.tx.is_free().then_some(Transmit(&mut self.tx))
    }

    fn link_state(&mut self, cx: &mut Context) -> LinkState {
        LINK_WAKER.register(cx.waker());
        if LINK_UP.load(Ordering::Acquire) { LinkState::Up } else { LinkState::Down }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MTU;
        capabilities.max_burst_size = Some(ring::TX_COUNT);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}
