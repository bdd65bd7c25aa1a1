//! Plain SPI mode: bytes on one line become the memory's frames.

use crate::nor::{Frame, Lines, Nor, address_and_dummy_bytes};
use crate::peripheral::Context;

/// A frame in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct SpiFrame {
    opcode: Option<u8>,
    head: Vec<u8>,
    begun: bool,
}

impl SpiFrame {
    /// Sends one byte and returns the one that comes back.
    pub(super) fn exchange(&mut self, byte: u8, nor: &mut Nor, cx: &mut Context<'_>) -> u8 {
        let Some(opcode) = self.opcode else {
            self.opcode = Some(byte);
            self.begin_when_complete(byte, nor, cx);
            return 0xFF;
        };
        if !self.begun {
            self.head.push(byte);
            self.begin_when_complete(opcode, nor, cx);
            return 0xFF;
        }
        let answer = nor.read_byte(Lines::One, cx);
        nor.write_byte(byte, Lines::One, cx);
        answer
    }

    fn begin_when_complete(&mut self, opcode: u8, nor: &mut Nor, cx: &mut Context<'_>) {
        let (address, dummy) = address_and_dummy_bytes(nor, opcode);
        if self.head.len() < usize::from(address + dummy) {
            return;
        }
        let value = self.head[..usize::from(address)].iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
        let address = (address != 0).then_some((value, address, Lines::One));
        let frame = Frame { opcode, opcode_lines: Lines::One, address, dummy: dummy * 8, data_lines: Lines::One };
        nor.begin(frame, cx);
        self.begun = true;
    }
}
