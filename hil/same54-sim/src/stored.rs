//! A block that keeps what is written to it and does nothing.
//!
//! Fidelity: addresses, widths, reset values and read-only bits are those of the register table; the bits that can be
//! written are kept. Where modes share an address, the first mode of the table rules.

use std::collections::BTreeMap;

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers;

#[derive(Clone, Copy, Debug)]
struct Cell {
    size: Size,
    value: u32,
    reset: u32,
    readable: bool,
    write_mask: u32,
}

/// A block of registers without behaviour.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    cells: BTreeMap<u32, Cell>,
}

impl Stored {
    /// The registers of the instance called `name`.
    pub(crate) fn new(name: &str) -> Self {
        let mut cells = BTreeMap::new();
        for register in registers::block_of(name).map_or(&[][..], |block| &block.registers) {
            for offset in register.offsets() {
                cells.entry(offset).or_insert(Cell {
                    size: register.size,
                    value: register.reset,
                    reset: register.reset,
                    readable: register.readable,
                    write_mask: if register.writable { register.write_mask } else { 0 },
                });
            }
        }
        Self { cells }
    }

    fn covering(&self, offset: u32) -> Option<&Cell> {
        let (start, cell) = self.cells.range(..=offset).next_back()?;
        (offset < start + cell.size as u32).then_some(cell)
    }
}

impl Peripheral for Stored {
    fn width(&self, offset: u32) -> Size {
        match self.covering(offset) {
            Some(cell) => cell.size,
            // A hole is looked at as wide as it is.
            None if (0..4).all(|n| self.covering(offset & !3 | n).is_none()) => Size::Word,
            None => Size::Byte,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match self.cells.get(&offset) {
            Some(cell) if cell.readable => cell.value,
            Some(_) => 0,
            None => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, value: Write, cx: &mut Context<'_>) {
        match self.cells.get_mut(&offset) {
            Some(cell) => cell.value = value.onto_masked(cell.value, cell.write_mask),
            None => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        for cell in self.cells.values_mut() {
            cell.value = cell.reset;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    #[test]
    fn writable_bits_are_kept_until_reset_and_others_are_not() {
        let (mut can, mut rig) = (Stored::new("CAN0"), Rig::new());
        // CREL is read-only, DBTP has three fields.
        can.write(0x00, Write::full(0), &mut rig.cx(0));
        assert_eq!(can.read(0x00, &mut rig.cx(0)), 0x3210_0000);
        can.write(0x0C, Write::full(u32::MAX), &mut rig.cx(0));
        assert_eq!(can.read(0x0C, &mut rig.cx(0)), 0x009F_1FFF);
        can.reset(ResetCause::System, &mut rig.cx(0));
        assert_eq!(can.read(0x0C, &mut rig.cx(0)), 0x0A33);
    }

    #[test]
    fn an_address_between_registers_is_absent() {
        let (mut can, mut rig) = (Stored::new("CAN0"), Rig::new());
        assert_eq!(can.width(0x30), Size::Word);
        can.read(0x30, &mut rig.cx(0));
        assert_eq!(rig.signals.unmodelled.len(), 1);
    }
}
