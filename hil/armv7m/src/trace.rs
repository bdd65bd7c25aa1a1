//! The trace output: ITM, TPIU and the packets of both ITM and DWT (ARMv7-M ARM C1.7, C1.10 and appendix D4), as bytes
//! that leave on the SWO pin.
//!
//! The pin is as fast as it must be: the FIFO is always ready. The formatter's frames (FFCR.EnFCont) are not made.

use crate::Cycle;

/// ITM_TCR bits.
pub(crate) mod tcr {
    pub(crate) const ITMENA: u32 = 1 << 0;
    pub(crate) const TSENA: u32 = 1 << 1;
    pub(crate) const SYNCENA: u32 = 1 << 2;
    /// Forwards packets of the DWT.
    pub(crate) const TXENA: u32 = 1 << 3;
    pub(crate) const WRITABLE: u32 = 0x007F_0F1F;
}

/// ITM_LAR's key.
const UNLOCK: u32 = 0xC5AC_CE55;
/// Bytes that are kept until somebody takes them; then packets are lost, and an overflow packet says so.
const KEPT: usize = 1 << 20;
/// Overflow packet (D4.2.3).
const OVERFLOW: u8 = 0x70;
/// Synchronisation packet: 47 zeros and a one (D4.2.1).
const SYNCHRONISATION: [u8; 6] = [0, 0, 0, 0, 0, 0x80];

#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// ITM_TER.
    enabled: u32,
    /// ITM_TPR.
    privileged: u32,
    pub(crate) control: u32,
    unlocked: bool,
    /// TPIU_ACPR, SPPR, FFCR, CSPSR.
    prescaler: u32,
    protocol: u32,
    formatter: u32,
    port_size: u32,
    output: Vec<u8>,
    overflowed: bool,
    /// Cycle of the last local timestamp, and of the last synchronisation packet.
    stamped: Cycle,
    synchronised: Option<Cycle>,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            enabled: 0,
            privileged: 0,
            control: 0,
            unlocked: false,
            prescaler: 0,
            protocol: 1,
            formatter: 0x102,
            port_size: 1,
            output: Vec::new(),
            overflowed: false,
            stamped: 0,
            synchronised: None,
        }
    }
}

impl Trace {
    pub(crate) fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    /// Packets of the DWT go out.
    pub(crate) fn forwards(&self) -> bool {
        self.control & (tcr::ITMENA | tcr::TXENA) == tcr::ITMENA | tcr::TXENA
    }

    pub(crate) fn is_full(&self) -> bool {
        self.output.len() >= KEPT
    }

    /// ITM register at `offset`.
    pub(crate) fn itm_read(&self, offset: u32, debugger: bool) -> u32 {
        match offset {
            // FIFOREADY, whether the port is enabled or not (assumed).
            0..0x80 => 1,
            0xE00 => self.enabled,
            0xE40 => self.privileged,
            0xE80 => self.control,
            // SLI and SLK; a debugger sees no lock.
            0xFB4 => u32::from(!debugger) | u32::from(!debugger && !self.unlocked) << 1,
            _ => 0,
        }
    }

    /// `lit`: DEMCR.TRCENA.
    pub(crate) fn itm_write(&mut self, offset: u32, value: u32, size: u8, access: TraceAccess) {
        match offset {
            0..0x80 => self.stimulus(offset / 4, value, size, access),
            0xFB0 => self.unlocked = value == UNLOCK,
            _ if !access.debugger && (!self.unlocked || !access.privileged) => {}
            0xE00 => self.enabled = value,
            0xE40 => self.privileged = value & 0xF,
            0xE80 => {
                self.control = value & tcr::WRITABLE;
                self.synchronised = None;
                self.stamped = access.cycle;
            }
            _ => {}
        }
    }

    fn stimulus(&mut self, port: u32, value: u32, size: u8, access: TraceAccess) {
        let open = access.lit && self.control & tcr::ITMENA != 0 && self.enabled >> port & 1 != 0;
        let allowed = access.privileged || self.privileged >> (port / 8) & 1 == 0;
        if open && allowed {
            self.packet((port << 3) as u8, value, size, access.cycle);
        }
    }

    /// TPIU register at `offset`.
    pub(crate) fn tpiu_read(&self, offset: u32) -> u32 {
        match offset {
            0x000 => 0xF,
            0x004 => self.port_size,
            0x010 => self.prescaler,
            0x0F0 => self.protocol,
            // FtNonStop: the formatter cannot be stopped.
            0x300 => 8,
            0x304 => self.formatter,
            // NRZ and Manchester and the parallel port.
            0xFC8 => 0xCA1,
            0xFCC => 0x11,
            _ => 0,
        }
    }

    pub(crate) fn tpiu_write(&mut self, offset: u32, value: u32) {
        match offset {
            0x004 => self.port_size = value,
            0x010 => self.prescaler = value & 0x1FFF,
            0x0F0 => self.protocol = value & 3,
            0x304 => self.formatter = value & 2 | 0x100,
            _ => {}
        }
    }

    /// A packet with a payload of `size` bytes (1, 2 or 4), whose code goes into the header.
    pub(crate) fn packet(&mut self, header: u8, value: u32, size: u8, cycle: Cycle) {
        // A parallel port has no SWO.
        if self.protocol == 0 {
            return;
        }
        if self.is_full() {
            self.overflowed = true;
            return;
        }
        if core::mem::take(&mut self.overflowed) {
            self.output.push(OVERFLOW);
        }
        self.synchronise(cycle);
        self.output.push(header | if size == 4 { 3 } else { size });
        self.output.extend(value.to_le_bytes().iter().take(size.into()));
        self.stamp(cycle);
    }

    /// Every 2^24 cycles, as DWT_CTRL.SYNCTAP at 1 would have it; the other taps are not told apart.
    fn synchronise(&mut self, cycle: Cycle) {
        if self.control & tcr::SYNCENA != 0
            && self.synchronised.is_none_or(|last| cycle.saturating_sub(last) >= 1 << 24)
        {
            self.synchronised = Some(cycle);
            self.output.extend(SYNCHRONISATION);
        }
    }

    /// Local timestamp: the cycles since the last one, prescaled (D4.2.4).
    fn stamp(&mut self, cycle: Cycle) {
        if self.control & tcr::TSENA == 0 {
            return;
        }
        let shift = 2 * (self.control >> 8 & 3);
        // A tick of POSTCNT may be told after what came later in the same instruction.
        let delta = (cycle.saturating_sub(self.stamped) >> shift).min(0x0FFF_FFFF) as u32;
        self.stamped += Cycle::from(delta) << shift;
        if (1..=6).contains(&delta) {
            self.output.push((delta as u8) << 4);
            return;
        }
        self.output.push(0xC0);
        let mut rest = delta;
        loop {
            let more = rest >> 7 != 0;
            self.output.push(rest as u8 & 0x7F | if more { 0x80 } else { 0 });
            rest >>= 7;
            if !more {
                break;
            }
        }
    }
}

/// Who writes to the ITM, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceAccess {
    pub(crate) debugger: bool,
    pub(crate) privileged: bool,
    /// DEMCR.TRCENA.
    pub(crate) lit: bool,
    pub(crate) cycle: Cycle,
}
