//! RAMECC: error correction of RAM (SAM D5x/E5x datasheet, 26).
//!
//! Fidelity: errors that an observer injects are corrected or detected per byte when the core or the DMAC reads them,
//! with flags, ERRADDR, interrupt, and DBGCTRL for a debugger's reads (its meaning is assumed); whether there are codes
//! follows the fuse. A corrected byte stays wrong in RAM until it is written (assumed); one with two errors is read as it
//! is, without a bus error (assumed). ERRADDR counts bytes from the beginning of RAM (assumed). Other bus masters read
//! RAM as it is, and raise nothing. While an injected error is there, a program that strays to 0xF000_0000 finds RAM and
//! no bus error. With ECC on, the upper half of RAM would hold the codes; the model leaves it usable.

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::ram_upsets::Found;
use crate::registers::Ledger;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger::MODELLED;

const SINGLEE: u32 = 1 << 0;
const DUALE: u32 = 1 << 1;
const ERRADDR_MASK: u32 = 0x1_FFFF;
/// DBGCTRL: a debugger's reads are not corrected; its errors are logged.
const ECCDIS: u32 = 1 << 0;
const ECCELOG: u32 = 1 << 1;

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Ramecc {
    inten: u32,
    intflag: u32,
    erraddr: u32,
    dbgctrl: u32,
}

impl Ramecc {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self { inten: 0, intflag: 0, erraddr: 0, dbgctrl: 0 }
    }

    /// Whether a read is corrected and whether its errors are logged.
    pub(crate) fn treats(&self, debugger: bool) -> (bool, bool) {
        (!debugger || self.dbgctrl & ECCDIS == 0, !debugger || self.dbgctrl & ECCELOG != 0)
    }

    /// An error in the byte at `offset` in RAM. ERRADDR keeps the first one, but for a dual error after a single one
    /// (26.6.1).
    pub(crate) fn found(&mut self, offset: u32, found: Found) {
        let flag = if found == Found::Dual { DUALE } else { SINGLEE };
        if self.intflag == 0 || flag == DUALE && self.intflag == SINGLEE {
            self.erraddr = offset & ERRADDR_MASK;
        }
        self.intflag |= flag;
    }
}

impl Peripheral for Ramecc {
    fn width(&self, offset: u32) -> Size {
        if (4..8).contains(&offset) { Size::Word } else { Size::Byte }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 | 0x01 => self.inten,
            0x02 => self.intflag,
            0x03 => u32::from(!cx.memory.corrects_ram()),
            0x04 => {
                // 26.6.1: reading it clears both flags.
                self.intflag = 0;
                self.erraddr
            }
            0x0F => self.dbgctrl,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x00 => self.inten &= !w.value,
            0x01 => self.inten |= w.value & (SINGLEE | DUALE),
            0x02 => self.intflag &= !w.value,
            0x03 | 0x04 => {}
            0x0F => self.dbgctrl = w.value & (ECCDIS | ECCELOG),
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        *self = Self::new();
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::RAM_BASE;
    use crate::rig::Bench;
    use crate::{Board, BoardConfig};

    const RAMECC: u32 = 0x4102_0000;
    const AT: u32 = RAM_BASE + 0x1234;

    /// A chip whose fuse lets RAM have codes, with a word at `AT`.
    fn bench() -> Bench {
        let mut bench = Bench::new();
        bench.chip.shared.memory.user_page[4] &= 0x7F;
        bench.set(AT, 0x0102_0304);
        bench.set_byte(RAMECC + 1, 3);
        assert_eq!(bench.byte(RAMECC + 3), 0);
        bench
    }

    fn upset(bench: &mut Bench, addr: u32, bits: u8) {
        bench.chip.shared.memory.upset_ram(addr - RAM_BASE, bits);
    }

    #[test]
    fn a_single_error_is_corrected_and_told() {
        let mut bench = bench();
        upset(&mut bench, AT + 1, 0x10);
        assert_eq!((bench.byte(AT), bench.byte(RAMECC + 2), bench.irq(45)), (4, 0, false), "another byte");
        assert_eq!((bench.word(AT), bench.byte(RAMECC + 2), bench.irq(45)), (0x0102_0304, SINGLEE, true));
        assert_eq!((bench.word(RAMECC + 4), bench.byte(RAMECC + 2), bench.irq(45)), (0x1235, 0, false));
        // It is still there, until it is written.
        assert_eq!((bench.half(AT), bench.byte(RAMECC + 2)), (0x0304, SINGLEE));
        bench.set_byte(RAMECC + 2, SINGLEE);
        bench.set_byte(AT + 1, 7);
        assert_eq!((bench.word(AT), bench.byte(RAMECC + 2)), (0x0102_0704, 0));
        assert_eq!(bench.chip.shared.memory.ram_window(), RAM_BASE, "back on the short way");
    }

    #[test]
    fn a_dual_error_is_detected_and_takes_the_address() {
        let mut bench = bench();
        upset(&mut bench, AT, 1);
        upset(&mut bench, AT + 3, 0x81);
        upset(&mut bench, AT + 4, 2);
        assert_eq!(bench.byte(AT), 4);
        assert_eq!((bench.word(AT), bench.byte(RAMECC + 2)), (0x8002_0304, SINGLEE | DUALE));
        bench.byte(AT + 4);
        assert_eq!(bench.word(RAMECC + 4), 0x1237);
    }

    #[test]
    fn a_bit_that_flips_back_was_no_error() {
        let mut bench = bench();
        upset(&mut bench, AT, 1);
        upset(&mut bench, AT, 1);
        assert_eq!((bench.word(AT), bench.byte(RAMECC + 2)), (0x0102_0304, 0));
    }

    #[test]
    fn code_in_ram_is_corrected_too() {
        let mut bench = bench();
        upset(&mut bench, AT, 1);
        assert_eq!(armv7m::Bus::fetch(&mut bench.chip, AT), Ok(0x0304));
        assert_eq!(bench.byte(RAMECC + 2), SINGLEE);
    }

    #[test]
    fn a_debugger_s_reads_follow_dbgctrl() {
        let mut bench = bench();
        upset(&mut bench, AT, 1);
        let mut debug = |dbgctrl| {
            bench.set_byte(RAMECC + 0xF, dbgctrl);
            bench.chip.shared.signals.debugger = true;
            let value = bench.byte(AT);
            bench.chip.shared.signals.debugger = false;
            (value, bench.byte(RAMECC + 2))
        };
        assert_eq!([debug(0), debug(ECCDIS), debug(ECCELOG)], [(4, 0), (5, 0), (4, SINGLEE)]);
    }

    #[test]
    fn without_codes_a_flipped_bit_is_just_wrong() {
        let mut board = Board::new(BoardConfig { seed: 1, flash_timing: true });
        board.power_on();
        board.set_nreset(true, false);
        board.debug_write(AT, Size::Word, 0x0102_0304).expect("RAM");
        board.upset_ram(AT, 3);
        board.upset_ram(RAM_BASE - 1, 1);
        board.upset_ram(RAM_BASE + 0x4_0000, 1);
        assert_eq!(board.debug_read(AT, Size::Word), Ok(0x0102_0307));
        assert_eq!(board.debug_read(RAMECC + 2, Size::Byte), Ok(0));
    }

    #[test]
    fn upsets_are_part_of_a_restored_point_and_go_with_the_supply() {
        let mut bench = bench();
        upset(&mut bench, AT, 1);
        let point = bench.chip.snapshot();
        bench.set(AT, 0);
        bench.chip.restore_from(&point);
        assert_eq!((bench.word(AT), bench.byte(RAMECC + 2)), (0x0102_0304, SINGLEE));
        bench.chip.reset(ResetCause::PowerOn);
        assert!(!bench.chip.shared.memory.has_ram_upsets());
    }

    #[test]
    fn the_core_s_peripherals_are_no_way_into_ram() {
        // DMA to where RAM's window goes meanwhile.
        let mut bench = bench();
        upset(&mut bench, AT, 1);
        bench.set(RAM_BASE + 0x1000, 1 << 16 | 2 << 8 | 1);
        bench.set(RAM_BASE + 0x1004, AT);
        bench.set(RAM_BASE + 0x1008, 0xF000_0004);
        bench.set(RAM_BASE + 0x100C, 0);
        bench.set(0x4100_A034, RAM_BASE + 0x1000);
        bench.set(0x4100_A038, RAM_BASE + 0x2000);
        bench.set_half(0x4100_A000, 0xF02);
        let before = bench.chip.shared.memory.arrays.ram().to_vec();
        bench.set(0x4100_A040, 2);
        bench.set(0x4100_A010, 1);
        bench.run(10_000);
        assert_eq!(bench.byte(0x4100_A04E) & 1, 1, "TERR");
        assert!(before[..4] == bench.chip.shared.memory.arrays.ram()[..4]);
    }
}
