//! DSU: device service unit (SAM D5x/E5x datasheet, 12).
//!
//! Fidelity: identification, ROM table, CRC32, chip erase, reset extension, debug communication channels with their DMA
//! requests and the external address space (offset 0x100, free of write protection) are modelled, and what is left of them
//! to a debugger while the security bit is in force (12.11.7): the checksum of the whole array, from a fixed seed (assumed;
//! not of SmartEEPROM alone), no memory test, no release from reset. Chip erase takes 6.4 s (54.12); memories are empty at
//! its beginning, and the protection ends with it. A memory test of RAM finds nothing, takes ten cycles a word (assumed) and
//! leaves zeros (assumed). DID is that of an ATSAME54P20A revision D.

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::memory::Memory;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

const DID: u32 = 0x6184_0300;
const DONE: u32 = 1 << 0;
const CRSTEXT: u32 = 1 << 1;
const BERR: u32 = 1 << 2;
const FAIL: u32 = 1 << 3;
const PERR: u32 = 1 << 4;
const CHIP_ERASE_TIME: Duration = Duration::from_millis(6_400);
/// ROM table: the entry that points to the core's own table at 0xE00F_F000, and its bit EPRES.
const ENTRY0: u32 = 0x9F0F_C003;
const EPRES: u32 = 1 << 0;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["DCFG[]"], absent: &[] };

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Dsu {
    statusa: u32,
    addr: u32,
    length: u32,
    data: u32,
    dcc: [u32; 2],
    dcc_dirty: u32,
    cfg: u32,
    dcfg: [u32; 2],
    erase_done_at: Instant,
    erase_requested: bool,
    release_requested: bool,
    debugger_present: bool,
}

impl Dsu {
    /// As after power-on.
    pub(crate) fn new() -> Self {
        Self {
            statusa: 0,
            addr: 0,
            length: 0,
            data: 0,
            dcc: [0; 2],
            dcc_dirty: 0,
            cfg: 2,
            dcfg: [0; 2],
            erase_done_at: Instant::NEVER,
            erase_requested: false,
            release_requested: false,
            debugger_present: false,
        }
    }

    /// A debugger has accessed the chip: STATUSB.DBGPRES.
    pub(crate) fn set_debugger_present(&mut self) {
        self.debugger_present = true;
    }

    /// The chip left external reset with SWCLK low: the core stays in reset.
    pub(crate) fn extend_reset(&mut self) {
        self.statusa |= CRSTEXT;
    }

    /// Whether the core is held in reset.
    pub(crate) fn holds_core(&self) -> bool {
        self.statusa & CRSTEXT != 0
    }

    /// Whether the core was released from reset since the last call.
    pub(crate) fn take_release(&mut self) -> bool {
        std::mem::take(&mut self.release_requested)
    }

    /// Whether a chip erase was asked for since the last call.
    pub(crate) fn take_chip_erase(&mut self) -> bool {
        std::mem::take(&mut self.erase_requested)
    }

    fn control(&mut self, value: u32, external: bool, cx: &mut Context<'_>) {
        if value & 1 != 0 {
            let (held, debugger_present) = (self.statusa & CRSTEXT, self.debugger_present);
            *self = Self { statusa: held, debugger_present, ..Self::new() };
        } else if value & 1 << 4 != 0 {
            if !external || cx.memory.chip_erase_locked {
                self.statusa |= FAIL;
                return;
            }
            self.erase_requested = true;
            self.erase_done_at = if cx.flash_timing { cx.now + CHIP_ERASE_TIME } else { cx.now };
            cx.signals.attention = true;
        } else if value & 1 << 2 != 0 {
            if external && cx.memory.protected {
                (self.addr, self.length, self.data) = (0, cx.memory.main_array(), u32::MAX);
            }
            self.crc(cx);
        } else if value & 1 << 3 != 0 {
            if external && cx.memory.protected {
                self.statusa |= PERR;
            } else {
                self.test_memory(cx);
            }
        }
    }

    /// 12.11.5: LENGTH bytes of RAM from ADDR.
    fn test_memory(&mut self, cx: &mut Context<'_>) {
        match cx.memory.ram_slice_mut(self.addr & !3, self.length as usize) {
            Some(ram) => {
                ram.fill(0);
                let cycles = 10 * u64::from(self.length / 4);
                let time = Duration::from_nanos(cycles * 1_000_000_000 / u64::from(cx.clocks.cpu.max(1)));
                self.erase_done_at = cx.now + time;
            }
            None => self.statusa |= DONE | BERR,
        }
    }

    /// 12.11.3: CRC-32 (IEEE 802.3, reflected) of LENGTH bytes from ADDR, started from DATA, not inverted.
    fn crc(&mut self, cx: &mut Context<'_>) {
        let Some(bytes) = cx.memory.slice(self.addr & !3, (self.length & !3) as usize) else {
            self.statusa |= DONE | BERR;
            return;
        };
        self.data = bytes.iter().fold(self.data, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 != 0 { 0xEDB8_8320 } else { 0 })
        });
        self.statusa |= DONE;
    }

    fn statusb(&self, memory: &Memory) -> u32 {
        // HPE: hot-plugging is always possible.
        u32::from(memory.protected)
            | u32::from(self.debugger_present) << 1
            | self.dcc_dirty << 2
            | 1 << 4
            | u32::from(memory.chip_erase_locked) << 5
    }
}

impl Peripheral for Dsu {
    fn width(&self, offset: u32) -> Size {
        if offset & 0xEFF < 4 && offset < 0x1000 { Size::Byte } else { Size::Word }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        let external = (0x100..0x200).contains(&offset);
        match if external { offset - 0x100 } else { offset } {
            0x00 | 0x03 => 0,
            0x01 => self.statusa,
            0x02 => self.statusb(cx.memory),
            0x04 => self.addr,
            0x08 => self.length,
            0x0C => self.data,
            at @ (0x10 | 0x14) => {
                let n = (at as usize - 0x10) / 4;
                self.dcc_dirty &= !(1 << n);
                self.dcc[n]
            }
            0x18 => DID,
            0x1C => self.cfg,
            at @ (0xF0 | 0xF4) => self.dcfg[(at as usize - 0xF0) / 4],
            0x1000 if cx.memory.protected => ENTRY0 & !EPRES,
            0x1000 => ENTRY0,
            0x1004..0x1FCC => 0,
            // MEMTYPE.SMEMP: a debugger may read memory.
            0x1FCC => u32::from(!cx.memory.protected),
            0x1FD0..0x1FE0 => 0,
            // Part 0xCD0, JEP106 identity 0x1F (Atmel), revision 0.
            0x1FE0 => 0xD0,
            0x1FE4 => 0xFC,
            0x1FE8 => 0x09,
            0x1FEC => 0,
            0x1FF0 => 0x0D,
            0x1FF4 => 0x10,
            0x1FF8 => 0x05,
            0x1FFC => 0xB1,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.advance(cx);
        let external = (0x100..0x200).contains(&offset);
        match if external { offset - 0x100 } else { offset } {
            0x00 => self.control(w.value, external, cx),
            0x01 => {
                let mut clear = w.value;
                if w.value & self.statusa & CRSTEXT != 0 {
                    if external && cx.memory.protected {
                        clear &= !(CRSTEXT | PERR);
                        self.statusa |= PERR;
                    } else {
                        self.release_requested = true;
                        cx.signals.attention = true;
                    }
                }
                self.statusa &= !clear;
            }
            0x04 => self.addr = w.onto(self.addr),
            0x08 => self.length = w.onto_masked(self.length, !3),
            0x0C => self.data = w.onto(self.data),
            at @ (0x10 | 0x14) => {
                let n = (at as usize - 0x10) / 4;
                self.dcc[n] = w.onto(self.dcc[n]);
                self.dcc_dirty |= 1 << n;
            }
            0x1C => self.cfg = w.onto_masked(self.cfg, 0x1F),
            at @ (0xF0 | 0xF4) => {
                let n = (at as usize - 0xF0) / 4;
                self.dcfg[n] = w.onto(self.dcfg[n]);
            }
            0x02 | 0x03 | 0x18 | 0x1000.. => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, cause: ResetCause, _: &mut Context<'_>) {
        let debugger_present = self.debugger_present && !cause.is_supply();
        *self = Self { debugger_present, ..Self::new() };
    }

    fn next_event(&self) -> Instant {
        self.erase_done_at
    }

    fn dma_requests(&self) -> u128 {
        // CFG.DCCDMALEVEL: 0 asks while a channel is empty, 1 while it is full (12.13.9). Triggers 2 and 3 (22.8.9).
        u128::from(!(self.cfg >> 2 ^ self.dcc_dirty) & 3) << 2
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.erase_done_at <= cx.now {
            self.erase_done_at = Instant::NEVER;
            self.statusa |= DONE;
            // 25.6.10.2: with the end of a chip erase, which has cleared the security bit; no reset is needed.
            cx.memory.protected &= cx.memory.secured;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    #[test]
    fn it_identifies_an_atsame54p20a() {
        let (mut dsu, mut rig) = (Dsu::new(), Rig::new());
        assert_eq!(dsu.read(0x118, &mut rig.cx(0)), DID);
        let part = dsu.read(0x1FE0, &mut rig.cx(0)) | (dsu.read(0x1FE4, &mut rig.cx(0)) & 15) << 8;
        assert_eq!(part, 0xCD0);
    }

    #[test]
    fn crc32_of_memory_is_the_ieee_one_without_the_final_inversion() {
        let (mut dsu, mut rig) = (Dsu::new(), Rig::new());
        rig.memory.arrays.ram_mut()[..4].copy_from_slice(b"1234");
        dsu.write(0x04, Write::full(0x2000_0000), &mut rig.cx(0));
        dsu.write(0x08, Write::full(4), &mut rig.cx(0));
        dsu.write(0x0C, Write::full(u32::MAX), &mut rig.cx(0));
        dsu.write(0x00, Write::full(1 << 2), &mut rig.cx(0));
        assert_eq!(dsu.read(0x01, &mut rig.cx(0)), DONE);
        assert_eq!(!dsu.read(0x0C, &mut rig.cx(0)), 0x9BE3_E0A3);
    }

    #[test]
    fn a_memory_test_passes_and_leaves_zeros() {
        let (mut dsu, mut rig) = (Dsu::new(), Rig::new());
        rig.memory.arrays.ram_mut()[..8].copy_from_slice(b"12345678");
        dsu.write(0x04, Write::full(0x2000_0000), &mut rig.cx(0));
        dsu.write(0x08, Write::full(4), &mut rig.cx(0));
        dsu.write(0x00, Write::full(1 << 3), &mut rig.cx(0));
        assert_eq!(dsu.read(0x01, &mut rig.cx(0)), 0);
        assert_eq!(dsu.read(0x01, &mut rig.cx(1_000)), DONE);
        assert_eq!(&rig.memory.arrays.ram()[..8], b"\0\0\x00\x005678");
    }

    #[test]
    fn channels_ask_for_dma_while_empty_or_while_full() {
        let (mut dsu, mut rig) = (Dsu::new(), Rig::new());
        assert_eq!(dsu.dma_requests(), 3 << 2);
        dsu.write(0x14, Write::full(5), &mut rig.cx(0));
        assert_eq!(dsu.dma_requests(), 1 << 2);
        dsu.write(0x1C, Write::full(0x0E), &mut rig.cx(0));
        assert_eq!(dsu.dma_requests(), 2 << 2);
        dsu.read(0x14, &mut rig.cx(0));
        assert_eq!(dsu.dma_requests(), 0);
    }

    #[test]
    fn clearing_crstext_releases_the_core() {
        let (mut dsu, mut rig) = (Dsu::new(), Rig::new());
        dsu.extend_reset();
        assert!(dsu.holds_core());
        dsu.write(0x101, Write::full(CRSTEXT), &mut rig.cx(0));
        assert!(!dsu.holds_core());
        assert!(dsu.take_release());
    }

    #[test]
    fn chip_erase_works_from_the_external_address_space_only_and_takes_its_time() {
        let (mut dsu, mut rig) = (Dsu::new(), Rig::new());
        dsu.write(0x00, Write::full(1 << 4), &mut rig.cx(0));
        assert!(!dsu.take_chip_erase());
        assert_eq!(dsu.read(0x01, &mut rig.cx(0)), FAIL);
        dsu.write(0x01, Write::full(FAIL), &mut rig.cx(0));
        dsu.write(0x100, Write::full(1 << 4), &mut rig.cx(0));
        assert!(dsu.take_chip_erase());
        assert_eq!(dsu.read(0x101, &mut rig.cx(6_399_999_999)), 0);
        assert_eq!(dsu.read(0x101, &mut rig.cx(6_400_000_000)), DONE);
    }
}
