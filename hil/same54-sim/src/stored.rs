//! A block that keeps what is written to it and does nothing.
//!
//! Fidelity: addresses, widths, reset values and read-only bits are those of the register table; the bits that can be
//! written are kept. USB has its two modes; other registers that share an address show as the first one of the table.

use std::collections::BTreeMap;

use armv7m::Size;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers;

/// USB.CTRLA.MODE: host.
const USB_MODE: u32 = 0x80;

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
    /// Cells of the mode that CTRLA.MODE does not select, for USB: device and host.
    other_mode: Option<BTreeMap<u32, Cell>>,
}

impl Stored {
    /// The registers of the instance called `name`.
    pub(crate) fn new(name: &str) -> Self {
        if name == "USB" {
            return Self { other_mode: Some(Self::cells(name, "HOST.")), cells: Self::cells(name, "DEVICE.") };
        }
        Self { cells: Self::cells(name, ""), other_mode: None }
    }

    /// The registers whose names begin with `mode`.
    fn cells(name: &str, mode: &str) -> BTreeMap<u32, Cell> {
        let mut cells = BTreeMap::new();
        let registers = registers::block_of(name).map_or(&[][..], |block| &block.registers);
        for register in registers.iter().filter(|register| register.name.starts_with(mode)) {
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
        cells
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
            Some(cell) => {
                let old = cell.value;
                cell.value = value.onto_masked(old, cell.write_mask);
                let new = cell.value;
                // USB.CTRLA.MODE: the registers of the other mode appear, CTRLA is common (38.8.1).
                if let Some(other) = self.other_mode.as_mut().filter(|_| offset == 0 && (old ^ new) & USB_MODE != 0) {
                    std::mem::swap(&mut self.cells, other);
                    self.cells.entry(0).and_modify(|cell| cell.value = new);
                }
            }
            None => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        if let Some(other) =
            self.other_mode.as_mut().filter(|_| self.cells.get(&0).is_some_and(|cell| cell.value & USB_MODE != 0))
        {
            std::mem::swap(&mut self.cells, other);
        }
        for cell in self.cells.values_mut().chain(self.other_mode.iter_mut().flat_map(BTreeMap::values_mut)) {
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
