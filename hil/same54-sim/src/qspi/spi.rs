//! SPI mode (37.6.7): characters on one line become the memory's frames.

use sim_base::Instant;

use super::{DRE, ENABLE, ERROR, Qspi, RXC, TXC, ctrlb};
use crate::peripheral::Context;
use crate::spi_flash::{FlashContext, Frame, Lines, SpiFlash};

/// CTRLB.CSMODE.
const LASTXFER: u32 = 1;
const SYSTEMATICALLY: u32 = 2;

/// Shift register, holding register and the frame that is being made.
#[derive(Clone, Debug, Default)]
pub(super) struct Spi {
    shifting: Option<(u32, Instant)>,
    holding: Option<u32>,
    /// Chip select rises after this character (CTRLA.LASTXFER).
    pub(super) last: bool,
    frame: Option<SpiFrame>,
}

/// A frame in the making.
#[derive(Clone, Debug, Default)]
struct SpiFrame {
    head: Vec<u8>,
    begun: bool,
}

impl SpiFrame {
    /// Sends one byte and returns the one that comes back.
    fn exchange(&mut self, byte: u8, flash: &mut dyn SpiFlash, cx: &mut FlashContext<'_>) -> u8 {
        if self.begun {
            let answer = flash.read(Lines::One, cx);
            flash.write(byte, Lines::One, cx);
            return answer;
        }
        self.head.push(byte);
        let in_place = flash.is_in_place();
        let opcode = (!in_place).then(|| self.head[0]);
        let (address_bytes, dummy, _) = flash.head(opcode);
        let rest = &self.head[usize::from(!in_place)..];
        if rest.len() < usize::from(address_bytes + dummy / 8) {
            return 0xFF;
        }
        let address = rest[..usize::from(address_bytes)].iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
        let option = rest.get(usize::from(address_bytes)).map(|byte| (*byte, 8));
        let frame = Frame {
            opcode: opcode.map(|opcode| (opcode, Lines::One)),
            address: (address_bytes != 0).then_some((address, address_bytes, Lines::One)),
            option,
            // Dummies come in whole characters here.
            dummy: 8 * (dummy / 8),
            data_lines: Lines::One,
            double_rate: false,
        };
        flash.begin(frame, cx);
        self.begun = true;
        0xFF
    }
}

impl Spi {
    pub(super) fn is_shifting(&self) -> bool {
        self.shifting.is_some()
    }

    pub(super) fn is_selected(&self) -> bool {
        self.frame.is_some()
    }

    pub(super) fn done_at(&self) -> Instant {
        self.shifting.map_or(Instant::NEVER, |(_, at)| at)
    }

    /// Ends the frame. False if there was none.
    pub(super) fn end(&mut self) -> bool {
        self.shifting = None;
        self.holding = None;
        self.last = false;
        self.frame.take().is_some()
    }
}

impl Qspi {
    /// A write to TXDATA.
    pub(super) fn put_txdata(&mut self, value: u32, cx: &mut Context<'_>) {
        if self.ctrla & ENABLE == 0 {
            cx.violation("QSPI.TXDATA written while QSPI is off");
        } else if self.uses_data_registers() {
            self.write_register_data(value, cx);
        } else if self.ctrlb & ctrlb::MEMORY != 0 {
            cx.violation("QSPI.TXDATA written in serial memory mode without CTRLB.SMEMREG");
        } else if self.intflag & DRE == 0 {
            cx.violation("QSPI.TXDATA written while DRE is 0: the character is lost");
        } else {
            self.intflag &= !TXC;
            self.spi.holding = Some(value);
            self.intflag &= !DRE;
            self.load_shift_register(cx.now, cx);
        }
    }

    /// A read of RXDATA.
    pub(super) fn take_rxdata(&mut self, cx: &mut Context<'_>) -> u32 {
        if self.uses_data_registers() {
            self.rxdata = self.read_register_data(cx);
            return self.rxdata;
        }
        self.intflag &= !RXC;
        self.load_shift_register(cx.now, cx);
        self.rxdata
    }

    /// Moves a waiting character on, unless WDRBT makes it wait for the last one to be read.
    fn load_shift_register(&mut self, at: Instant, cx: &mut Context<'_>) {
        if self.spi.shifting.is_some() || self.ctrlb & ctrlb::WDRBT != 0 && self.intflag & RXC != 0 {
            return;
        }
        let Some(value) = self.spi.holding.take() else { return };
        self.intflag |= DRE;
        let mut start = at;
        if self.spi.frame.is_none() {
            start = start + self.select_time(cx);
            self.spi.frame = Some(SpiFrame::default());
        }
        let time = self.clock_time(self.character_bits(), cx);
        self.spi.shifting = Some((value, start + time));
        cx.signals.attention = true;
    }

    /// CTRLB.DATALEN.
    fn character_bits(&self) -> u32 {
        8 + (self.ctrlb >> 8 & 15).min(8)
    }

    pub(super) fn advance_spi(&mut self, cx: &mut Context<'_>) {
        while let Some((value, at)) = self.spi.shifting.take_if(|(_, at)| *at <= cx.now) {
            self.rxdata = self.exchange(value, cx);
            if self.intflag & RXC != 0 {
                // Overrun: the older character was not read.
                self.intflag |= ERROR;
            }
            self.intflag |= RXC;
            let mode = self.ctrlb >> 4 & 3;
            let idle = self.spi.holding.is_none();
            let rises = self.spi.last && idle || mode == SYSTEMATICALLY || mode != LASTXFER && idle;
            if idle {
                self.intflag |= TXC;
            }
            if rises && self.spi.frame.take().is_some() {
                self.spi.last = false;
                self.end_frame(cx);
            }
            let pause = self.peripheral_time(32 * u64::from(self.ctrlb >> 16 & 0xFF), cx);
            self.load_shift_register(at + pause, cx);
        }
    }

    fn exchange(&mut self, value: u32, cx: &mut Context<'_>) -> u32 {
        let bits = self.character_bits();
        if self.ctrlb & ctrlb::LOOPEN != 0 {
            return value & ((1 << bits) - 1);
        }
        if !bits.is_multiple_of(8) {
            cx.violation(format!("QSPI characters of {bits} bits do not fit a memory of bytes"));
        }
        let Some(frame) = &mut self.spi.frame else { return 0xFFFF };
        let mut flash_cx = FlashContext::new(cx);
        let mut answer = 0;
        for n in (0..bits.div_ceil(8)).rev() {
            let byte = frame.exchange((value >> (8 * n)) as u8, self.flash.as_mut(), &mut flash_cx);
            answer = answer << 8 | u32::from(byte);
        }
        answer
    }
}
