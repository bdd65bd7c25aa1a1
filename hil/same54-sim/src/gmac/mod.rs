//! GMAC, the Ethernet controller (SAM D5x/E5x datasheet, chapter 24), and the KSZ8091RNA PHY behind it.
//!
//! Fidelity: modelled are the descriptor rings with DMA to RAM in either byte order, full and partial store and forward,
//! transmit at the line's speed with gap and gap stretch, half duplex with deferral, collisions and back pressure as far
//! as a cable that hands over whole frames allows, status and interrupt bits, address, hash, type and VLAN filters,
//! wake-on-LAN events, FCS removal and errors, checksum offload both ways, local loopback, pause frames, MDIO with its
//! shift time, the 1588 timer with comparison and event, PTP time stamps, low-power idle on the transmit side, and the
//! statistics registers that can count here. Stored only: the sync strobe registers (the chip has no such input), burst
//! length and bus width. Absent: external address match (no pins), underrun of a full store and forward transmitter,
//! alignment, symbol and carrier sense errors, low-power idle of the far end, bus contention (a frame is copied to or
//! from RAM at once). Assumed: an interrupt source sets its ISR bit only while enabled (24.9.10); the interrupt line is
//! ISR without what IMR masks, save for bits set through IMR's test function; after a transmit error the queue stays at
//! the failed frame; no frame begins while NCR.LPI is set; TLPITR and TLPITI clear when read, as RLPITR does; the pin of
//! NSR.MDIO is pulled up and seen while NCR.MPE is set. A frame passes only with UR set to RMII, the PHY's clock and link
//! up, and NCFGR.SPD as the PHY negotiated; else it is lost. Pin multiplexing is not looked at.

mod checksum;
mod dma;
mod duplex;
mod filter;
mod lpi;
mod mdio;
mod pause;
mod phy;
mod ptp;
mod regs;
mod rx;
mod stats;
#[cfg(test)]
mod tests;
mod tsu;
mod tx;
mod wake;

use std::collections::VecDeque;

use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use duplex::Arrival;
use filter::SpecificAddress;
use lpi::LowPowerIdle;
use phy::Phy;
use ptp::Captures;
use regs::*;
use rx::Pending;
use stats::Stats;
use tsu::Tsu;
use tx::InFlight;

/// What the model does not make of the block's registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["TSSSL", "TSSN"], absent: &[] };

/// Event generator "GMAC Timestamp Comparison" (datasheet 24.5.5, 31.7.8).
const EVENT_TSU_COMPARE: u8 = 0x72;

/// Registers that hold what is written and no more: offset, writable bits, reset value.
const STORED: [(u32, u32, u32); 10] = [
    (TPQ, 0xFFFF, 0xFFFF),
    (TPSF, 0x8000_03FF, 0x3FF),
    (RPSF, 0x8000_03FF, 0x3FF),
    (RJFML, 0x3FFF, 0x3FFF),
    (WOL, 0x000F_FFFF, 0),
    (IPGS, 0xFFFF, 0),
    (SVLAN, 0x8000_FFFF, 0),
    (TPFCP, 0xFFFF, 0),
    (TSSSL, u32::MAX, 0),
    (TSSN, 0x3FFF_FFFF, 0),
];

/// The controller with its PHY.
#[derive(Clone, Debug)]
pub(crate) struct Gmac {
    ncr: u32,
    ncfgr: u32,
    ur: u32,
    dcfgr: u32,
    tsr: u32,
    rsr: u32,
    isr: u32,
    imr: u32,
    /// Bits of ISR that were set through IMR's test function: they assert the interrupt, masked or not.
    forced: u32,
    hrb: u32,
    hrt: u32,
    specific: [SpecificAddress; 4],
    tidm: [u32; 4],
    samb1: u32,
    samt1: u32,
    stored: [u32; STORED.len()],
    stats: Stats,
    tsu: Tsu,
    captures: Captures,
    lpi: LowPowerIdle,

    /// MAN and the end of the shift operation that is under way.
    man: u32,
    mdio_begun: Instant,
    mdio_done: Option<Instant>,
    phy: Phy,
    /// Level of the PHY's interrupt pin, as the board was last told.
    phy_interrupt: Option<bool>,

    /// Start of the receive queue and the descriptor to use next.
    rbqb: u32,
    rx_next: u32,
    /// Packet buffer: frames that wait for a descriptor.
    rx_fifo: VecDeque<Pending>,

    /// Start of the transmit queue and the descriptor to read next.
    tbqb: u32,
    tx_next: u32,
    in_flight: Option<InFlight>,
    /// When the inter-packet gap after the last frame ends.
    line_free_at: Instant,
    /// The end of the pause that the partner asked for.
    paused_until: Option<Instant>,
    /// A priority-based pause frame has been received: 802.3 pause frames are ignored from then on (24.9.2).
    pfc_negotiated: bool,
    /// A pause frame to be sent.
    pause_request: Option<Vec<u8>>,
    /// NCR.THALT was written while a frame was being sent.
    halting: bool,
    /// The pseudo random generator of the back-off time.
    random: u16,
}

impl Gmac {
    /// The controller and its PHY as they are at power-on.
    pub(crate) fn new() -> Self {
        Self {
            ncr: 0,
            ncfgr: ncfgr::RESET,
            ur: 0,
            dcfgr: dcfgr::RESET,
            tsr: 0,
            rsr: 0,
            isr: 0,
            imr: int::ALL,
            forced: 0,
            hrb: 0,
            hrt: 0,
            specific: Default::default(),
            tidm: [0; 4],
            samb1: 0,
            samt1: 0,
            stored: STORED.map(|(_, _, reset)| reset),
            stats: Stats::new(),
            tsu: Tsu::new(),
            captures: Captures::default(),
            lpi: LowPowerIdle::default(),
            man: 0,
            mdio_begun: Instant::ZERO,
            mdio_done: None,
            phy: Phy::new(),
            phy_interrupt: None,
            rbqb: 0,
            rx_next: 0,
            rx_fifo: VecDeque::new(),
            tbqb: 0,
            tx_next: 0,
            in_flight: None,
            line_free_at: Instant::ZERO,
            paused_until: None,
            pfc_negotiated: false,
            pause_request: None,
            halting: false,
            random: 1,
        }
    }

    /// Whether the PHY's RESET# pin is asserted.
    pub(crate) fn is_phy_in_reset(&self) -> bool {
        self.phy.is_in_reset()
    }

    /// Level of the PHY's RESET# pin; the board wires it to PC21 with a pull-up.
    pub(crate) fn set_phy_reset(&mut self, asserted: bool, cx: &mut Context<'_>) {
        self.phy.set_reset_pin(asserted, cx.now);
        self.look_at_link(cx);
        // The MAC's clock comes and goes with it.
        self.start_transmit(cx);
    }

    /// The cable may have been plugged or pulled.
    pub(crate) fn look_at_link(&mut self, cx: &mut Context<'_>) {
        self.phy.link(cx.now, cx.link_is_up());
    }

    /// Level of the PHY's interrupt pin, if it is not what it was at the last call; the board wires it to PD12.
    pub(crate) fn take_phy_interrupt(&mut self) -> Option<bool> {
        let level = self.phy.interrupt_level();
        (self.phy_interrupt.replace(level) != Some(level)).then_some(level)
    }

    /// An interrupt source: its bit is set if it is enabled.
    fn raise(&mut self, bit: u32) {
        self.isr |= bit & !self.imr;
    }

    fn stored(&self, offset: u32) -> u32 {
        STORED.iter().position(|&(at, ..)| at == offset).map_or(0, |index| self.stored[index])
    }

    /// Whether frames pass between this MAC and the cable.
    fn on_wire(&mut self, cx: &Context<'_>) -> bool {
        let rmii = self.ur & 1 == 0;
        let fast = self.ncfgr & ncfgr::SPD != 0;
        let link = self.phy.carries(cx.now, cx.link_is_up());
        rmii && self.phy.gives_clock() && link.is_some_and(|link| link.fast == fast)
    }

    /// What time has brought about inside of the controller.
    fn settle(&mut self, cx: &mut Context<'_>) {
        self.settle_management(cx);
        self.settle_timer(cx);
        if self.paused_until.is_some_and(|end| end <= cx.now) {
            self.paused_until = None;
            self.raise(int::PTZ);
        }
        self.settle_transmit(cx);
    }

    fn settle_timer(&mut self, cx: &mut Context<'_>) {
        let happened = self.tsu.settle(cx.now);
        if happened.matched {
            self.raise(int::TSUCMP);
            cx.event_out(EVENT_TSU_COMPARE);
        }
        if happened.second {
            self.raise(int::SRI);
        }
    }

    fn write_ncr(&mut self, value: Write, cx: &mut Context<'_>) {
        let old = self.ncr;
        self.ncr = value.onto_masked(old, ncr::ALL & !ncr::STROBES);
        let strobes = value.value & ncr::STROBES;
        if (old ^ self.ncr) & ncr::LBL != 0 && (old | self.ncr) & (ncr::RXEN | ncr::TXEN) != 0 {
            cx.violation("GMAC: NCR.LBL switched while receiver or transmitter is enabled");
        }
        if (old ^ self.ncr) & ncr::LPI != 0 {
            self.lpi.switch(self.ncr & ncr::LPI != 0, cx.now);
        }
        if strobes & ncr::CLRSTAT != 0 {
            self.stats = Stats::new();
        }
        if strobes & ncr::INCSTAT != 0 {
            self.stats.increment_all();
        }
        if old & !self.ncr & ncr::RXEN != 0 {
            self.rx_fifo.clear();
        }
        if self.ncr & ncr::ENPBPR == 0 {
            self.pfc_negotiated = false;
        }
        if strobes & ncr::FNP != 0 {
            self.rx_fifo.pop_front();
        }
        if self.ncr & ncr::TXEN == 0 {
            self.stop_transmitter();
            return;
        }
        if strobes & ncr::TSTART != 0 {
            self.tsr |= tsr::TXGO;
            self.halting = false;
        }
        if strobes & ncr::THALT != 0 {
            self.halt_transmitter();
        }
        if self.is_full_duplex()
            && let Some(frame) = self.requested_pause(strobes)
        {
            self.pause_request = Some(frame);
        }
        self.start_transmit(cx);
    }

    /// IMR's test function (24.9.13): sets and clears bits of ISR, whatever IMR says.
    fn force_interrupts(&mut self, value: Write) {
        let lanes = value.lanes & int::SOURCES;
        self.isr = self.isr & !lanes | value.value & lanes;
        self.forced = self.forced & !lanes | value.value & lanes;
    }

    /// Whether what the MAC sends comes back from the PHY.
    fn phy_loops_back(&self) -> bool {
        let fast = self.ncfgr & ncfgr::SPD != 0;
        self.ur & 1 == 0 && self.phy.loops_back().is_some_and(|link| link.fast == fast)
    }
}

impl Peripheral for Gmac {
    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.settle(cx);
        match offset {
            NCR => self.ncr,
            NCFGR => self.ncfgr,
            NSR => self.network_status(cx),
            UR => self.ur,
            DCFGR => self.dcfgr,
            TSR => self.tsr,
            RBQB => self.rx_next,
            TBQB => self.tx_next,
            RSR => self.rsr,
            ISR => {
                cx.signals.attention = true;
                self.forced = 0;
                core::mem::take(&mut self.isr)
            }
            IER | IDR => 0,
            IMR => self.imr,
            MAN => self.shift_register(cx.now),
            RPQ => self.pause_quanta(cx.now),
            HRB => self.hrb,
            HRT => self.hrt,
            SAB1..=SAT4 => {
                let address = self.specific[((offset - SAB1) / 8) as usize];
                if offset & 4 == SAB1 & 4 { address.bottom } else { address.top }
            }
            TIDM1..=TIDM4 => self.tidm[((offset - TIDM1) / 4) as usize],
            SAMB1 => self.samb1,
            SAMT1 => self.samt1,
            OTLO..=UCE => self.stats.read(offset),
            EFTSH..=PEFRSH => self.captures.read((offset - EFTSH) / 4, 0),
            EFTSL..=PEFRN => self.captures.read((offset - EFTSL) / 8, 1 + (offset >> 2 & 1)),
            RLPITR | RLPITI => 0, // the far end never signals low-power idle
            TLPITR => self.lpi.take_transitions(),
            TLPITI => self.lpi.take_time(cx.now),
            _ if Tsu::has(offset) => self.tsu.read(offset, cx.now),
            _ if STORED.iter().any(|&(at, ..)| at == offset) => self.stored(offset),
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, value: Write, cx: &mut Context<'_>) {
        self.settle(cx);
        cx.signals.attention = true;
        match offset {
            NCR => self.write_ncr(value, cx),
            NCFGR => self.ncfgr = value.onto_masked(self.ncfgr, ncfgr::ALL),
            UR => self.ur = value.onto_masked(self.ur, 1),
            DCFGR => self.dcfgr = value.onto_masked(self.dcfgr, dcfgr::ALL),
            // Bits that software may clear; TXGO is not among them.
            TSR => self.tsr &= !(value.value & !tsr::TXGO),
            RSR => self.rsr &= !value.value,
            RBQB if self.ncr & ncr::RXEN != 0 => {
                cx.violation("GMAC: RBQB written while reception is enabled; the write is ignored");
            }
            RBQB => {
                self.rbqb = value.onto_masked(self.rbqb, !3);
                self.rx_next = self.rbqb;
            }
            TBQB if self.ncr & ncr::TXEN != 0 && self.tsr & tsr::TXGO != 0 => {
                cx.violation("GMAC: TBQB written while transmission is active; the write is ignored");
            }
            TBQB => {
                self.tbqb = value.onto_masked(self.tbqb, !3);
                self.tx_next = self.tbqb;
            }
            IER => self.imr &= !value.value,
            IDR => self.imr |= value.value & int::ALL,
            MAN => self.start_management(value.onto(self.man), cx),
            HRB => self.hrb = value.onto(self.hrb),
            HRT => self.hrt = value.onto(self.hrt),
            SAB1..=SAT4 => {
                let address = &mut self.specific[((offset - SAB1) / 8) as usize];
                if offset & 4 == SAB1 & 4 {
                    address.bottom = value.onto(address.bottom);
                    address.active = false;
                } else {
                    address.top = value.onto_masked(address.top, 0xFFFF);
                    address.active = true;
                }
            }
            TIDM1..=TIDM4 => {
                let register = &mut self.tidm[((offset - TIDM1) / 4) as usize];
                *register = value.onto_masked(*register, 0x8000_FFFF);
            }
            SAMB1 => self.samb1 = value.onto(self.samb1),
            SAMT1 => self.samt1 = value.onto_masked(self.samt1, 0xFFFF),
            OTLO..=UCE => {
                if self.ncr & ncr::WESTAT != 0 {
                    self.stats.write(offset, value.value);
                }
            }
            IMR => self.force_interrupts(value),
            NSR | ISR | RPQ | EFTSH..=PEFRSH | EFTSL..=PEFRN | RLPITR..=TLPITI => {} // read-only
            _ if Tsu::has(offset) => {
                self.tsu.write(offset, value, cx.now, cx.clocks.cpu);
                self.settle_timer(cx);
            }
            _ => match STORED.iter().position(|&(at, ..)| at == offset) {
                Some(index) => self.stored[index] = value.onto_masked(self.stored[index], STORED[index].1),
                None => {
                    cx.unmodelled(offset, true);
                }
            },
        }
    }

    fn reset(&mut self, cause: ResetCause, cx: &mut Context<'_>) {
        let mut phy = self.phy.clone();
        if cause == ResetCause::PowerOn {
            phy.reset();
        }
        // Auto-negotiation starts with the PHY's own reset, not with the first look at it.
        phy.link(cx.now, cx.link_is_up());
        *self = Self { phy, phy_interrupt: self.phy_interrupt, ..Self::new() };
        self.clocks_changed(cx);
    }

    fn next_event(&self) -> Instant {
        let sent = self.in_flight.as_ref().map_or(Instant::NEVER, |frame| frame.done_at());
        let paused = self.paused_until.unwrap_or(Instant::NEVER);
        let second = if self.imr & int::SRI == 0 { self.tsu.next_second() } else { Instant::NEVER };
        let timer = self.tsu.next_match().min(second);
        sent.min(paused).min(self.next_management_event()).min(timer).min(self.phy.next_event())
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        self.settle(cx);
        let on_wire = self.on_wire(cx);
        let returned = self.phy.returns_frames(cx.now, cx.link_is_up());
        // Frames are taken off the cable in any case: those that nobody receives are lost.
        while let Some(frame) = cx.receive_frame() {
            if returned {
                cx.transmit_frame(cx.now, &frame);
            }
            if !on_wire || self.ncr & ncr::LBL != 0 {
                continue;
            }
            let frame = Pending::good(frame);
            if self.meet(frame.wire_len(), cx) == Arrival::Whole {
                self.receive(frame, cx);
            }
        }
    }

    fn irqs(&self) -> u64 {
        u64::from(self.isr & (!self.imr | self.forced) != 0)
    }

    fn clocks_changed(&mut self, cx: &mut Context<'_>) {
        self.tsu.clock_changed(cx.clocks.cpu, cx.now);
        self.lpi.clock_is(cx.clocks.cpu, cx.now);
    }
}
