//! GMAC, the Ethernet controller (SAM D5x/E5x datasheet, chapter 24), and the KSZ8091RNA PHY behind it.
//!
//! Fidelity: modelled are the descriptor rings with DMA to RAM, transmit at the line's speed, status and interrupt bits,
//! address, hash and type filters, FCS removal and errors, checksum offload both ways, local loopback, pause frames,
//! MDIO with its shift time, and the statistics registers that can count here. Stored only: wake-on-LAN, IPG stretch,
//! stacked VLAN, PFC, partial store and forward, and the 1588 timer (it does not count). Absent: half duplex and
//! collisions, endian swap, jabber and symbol errors, low-power idle, bus contention (a frame is copied to or from RAM
//! at once). Assumed: an interrupt source sets its ISR bit only while enabled (so says the SAM E70 datasheet of the same
//! core); after a DMA error the transmit queue stays at the failed frame; the interrupt line is ISR without what IMR masks.
//! A frame passes only with UR set to RMII, the PHY's link up, and NCFGR.SPD as the PHY negotiated; else it is lost.

mod checksum;
mod filter;
mod mdio;
mod phy;
mod regs;
mod rx;
mod stats;
#[cfg(test)]
mod tests;
mod tx;

use std::collections::VecDeque;

use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use filter::SpecificAddress;
use phy::Phy;
use regs::*;
use rx::Pending;
use stats::Stats;
use tx::InFlight;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger {
    stored: &[
        "TPSF", "RPSF", "RJFML", "WOL", "IPGS", "SVLAN", "TPFCP", "NSC", "SCL", "SCH", "TISUBN", "TSH", "TSSSL",
        "TSSN", "TSL", "TN", "TI", "EFT*", "EFR*", "PEF*", "RLPIT*", "TLPIT*",
    ],
    absent: &["TA"],
};

/// Registers that the model only stores: offset, writable bits, reset value.
const STORED: [(u32, u32, u32); 18] = [
    (TPQ, 0xFFFF, 0xFFFF),
    (TPSF, 0x8000_03FF, 0x3FF),
    (RPSF, 0x8000_03FF, 0x3FF),
    (RJFML, 0x3FFF, 0x3FFF),
    (WOL, 0x000F_FFFF, 0),
    (IPGS, 0xFFFF, 0),
    (SVLAN, 0x8000_FFFF, 0),
    (TPFCP, 0xFFFF, 0),
    (NSC, 0x001F_FFFF, 0),
    (SCL, u32::MAX, 0),
    (SCH, 0xFFFF, 0),
    (TISUBN, 0xFFFF, 0),
    (TSH, 0xFFFF, 0),
    (TSSSL, u32::MAX, 0),
    (TSSN, 0x3FFF_FFFF, 0),
    (TSL, u32::MAX, 0),
    (TN, 0x3FFF_FFFF, 0),
    (TI, 0x00FF_FFFF, 0),
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
    hrb: u32,
    hrt: u32,
    specific: [SpecificAddress; 4],
    tidm: [u32; 4],
    samb1: u32,
    samt1: u32,
    stored: [u32; STORED.len()],
    stats: Stats,

    /// MAN and the end of the shift operation that is under way.
    man: u32,
    mdio_done: Option<Instant>,
    phy: Phy,

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
    /// A pause frame to be sent: its quantum.
    pause_request: Option<u16>,
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
            hrb: 0,
            hrt: 0,
            specific: Default::default(),
            tidm: [0; 4],
            samb1: 0,
            samt1: 0,
            stored: STORED.map(|(_, _, reset)| reset),
            stats: Stats::new(),
            man: 0,
            mdio_done: None,
            phy: Phy::new(),
            rbqb: 0,
            rx_next: 0,
            rx_fifo: VecDeque::new(),
            tbqb: 0,
            tx_next: 0,
            in_flight: None,
            line_free_at: Instant::ZERO,
            paused_until: None,
            pause_request: None,
        }
    }

    /// Level of the PHY's RESET# pin; the board wires it to PC21 with a pull-up.
    pub(crate) fn set_phy_reset(&mut self, asserted: bool) {
        self.phy.set_reset_pin(asserted);
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
        rmii && link.is_some_and(|link| link.fast == fast)
    }

    /// What time has brought about inside of the controller.
    fn settle(&mut self, cx: &mut Context<'_>) {
        self.settle_management(cx);
        if self.paused_until.is_some_and(|end| end <= cx.now) {
            self.paused_until = None;
            self.raise(int::PTZ);
        }
        self.settle_transmit(cx);
    }

    fn write_ncr(&mut self, value: Write, cx: &mut Context<'_>) {
        let old = self.ncr;
        self.ncr = value.onto_masked(old, ncr::ALL & !ncr::STROBES);
        let strobes = value.value & ncr::STROBES;
        if (old ^ self.ncr) & ncr::LBL != 0 && (old | self.ncr) & (ncr::RXEN | ncr::TXEN) != 0 {
            cx.violation("GMAC: NCR.LBL switched while receiver or transmitter is enabled");
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
        if strobes & ncr::FNP != 0 {
            self.rx_fifo.pop_front();
        }
        if self.ncr & ncr::TXEN == 0 {
            self.stop_transmitter();
            return;
        }
        if strobes & ncr::THALT != 0 {
            self.tsr &= !tsr::TXGO;
        }
        if self.ncfgr & ncfgr::FD != 0 && strobes & (ncr::TXPF | ncr::TXZQPF) != 0 {
            let zero = strobes & ncr::TXZQPF != 0;
            self.pause_request = Some(if zero { 0 } else { self.stored(TPQ) as u16 });
        }
        if strobes & ncr::TSTART != 0 {
            self.tsr |= tsr::TXGO;
        }
        self.start_transmit(cx);
    }
}

impl Peripheral for Gmac {
    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.settle(cx);
        match offset {
            NCR => self.ncr,
            NCFGR => self.ncfgr,
            NSR => nsr::MDIO | if self.mdio_done.is_none() { nsr::IDLE } else { 0 },
            UR => self.ur,
            DCFGR => self.dcfgr,
            TSR => self.tsr,
            RBQB => self.rx_next,
            TBQB => self.tx_next,
            RSR => self.rsr,
            ISR => {
                cx.signals.attention = true;
                core::mem::take(&mut self.isr)
            }
            IER | IDR => 0,
            IMR => self.imr,
            MAN => self.man,
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
            EFTSH..=PEFRSH | EFTSL..=PEFRN | RLPITR..=TLPITI => 0,
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
            DCFGR => {
                self.dcfgr = value.onto_masked(self.dcfgr, dcfgr::ALL);
                if self.dcfgr & dcfgr::ESMA_ESPA != 0 {
                    cx.violation("GMAC: DCFGR asks for a swap of byte order, which the model does not have");
                }
            }
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
            NSR | ISR | IMR | RPQ | EFTSH..=PEFRSH | EFTSL..=PEFRN | RLPITR..=TLPITI => {} // read-only
            TA => {
                cx.unmodelled(offset, true);
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
        *self = Self { phy, ..Self::new() };
    }

    fn next_event(&self) -> Instant {
        let sent = self.in_flight.as_ref().map_or(Instant::NEVER, |frame| frame.done_at());
        let paused = self.paused_until.unwrap_or(Instant::NEVER);
        sent.min(paused).min(self.next_management_event())
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        self.settle(cx);
        let on_wire = self.on_wire(cx);
        // Frames are taken off the cable in any case: those that nobody receives are lost.
        while let Some(frame) = cx.receive_frame() {
            if on_wire && self.ncr & ncr::LBL == 0 {
                self.receive(Pending::good(frame), cx);
            }
        }
    }

    fn irqs(&self) -> u64 {
        u64::from(self.isr & !self.imr != 0)
    }
}
