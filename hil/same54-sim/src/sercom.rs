//! SERCOM as USART (SAM D5x/E5x datasheet, 33 and 34).
//!
//! Fidelity: the USART with internal clock is modelled: character time from BAUD (arithmetic and fractional), 5 to 9
//! bits, parity and stop bits as far as they take time, DRE, TXC, RXC, buffer overflow, interrupts. Synchronisation is
//! instant. SPI, I2C, LIN, IrDA, RS-485 and hardware handshake are absent: their registers are stored at most.

use std::collections::VecDeque;
use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use crate::clocks::channel::SERCOM_CORE;
use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger =
    Ledger { stored: &["I2C*", "SPI*"], absent: &["I2CM.DATA", "I2CS.DATA", "SPIM.DATA", "SPIS.DATA"] };

const SWRST: u32 = 1;
const ENABLE: u32 = 1 << 1;
const TXEN: u32 = 1 << 16;
const RXEN: u32 = 1 << 17;
const DRE: u32 = 1 << 0;
const TXC: u32 = 1 << 1;
const RXC: u32 = 1 << 2;
const BUFOVF: u32 = 1 << 2;
/// Characters that the receiver holds before it overflows.
const RX_DEPTH: usize = 2;

/// Bits of the registers that software can write.
struct Masks {
    ctrla: u32,
    ctrlb: u32,
    ctrlc: u32,
    baud: u32,
    interrupts: u32,
    length: u32,
    addr: u32,
}

/// The registers of CTRLA.MODE `mode`: USART, SPI, I2C slave and master (33.8 to 36.10).
fn masks(mode: u32) -> Masks {
    let (ctrla, ctrlb, ctrlc, baud, interrupts, length, addr) = match mode {
        2 | 3 => (0x7F33_019F, 0x0002_E247, 0x0100_003F, 0xFF, 0x8F, 0x01FF, 0x00FF_00FF),
        4 => (0x4BB1_009F, 0x0007_C700, 0x0100_000F, 0, 0x87, 0x01FF, 0x07FE_87FF),
        5 => (0x7BF1_009F, 0x0007_0300, 0x0100_0000, u32::MAX, 0x83, 0, 0x00FF_E7FF),
        _ => (0x7FF3_E79F, 0x0303_2747, 0x0373_0F07, 0xFFFF, 0xBF, 0x03FF, 0),
    };
    Masks { ctrla, ctrlb, ctrlc, baud, interrupts, length, addr }
}

/// The register block of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Sercom {
    /// Generic clock channel of the core clock.
    channel: usize,
    /// DMA trigger source of the receiver; the transmitter's follows.
    trigger: u32,
    ctrla: u32,
    ctrlb: u32,
    ctrlc: u32,
    baud: u32,
    addr: u32,
    rxpl: u32,
    length: u32,
    dbgctrl: u32,
    inten: u32,
    txc: bool,
    status: u32,
    /// Character in the shift register and when its last bit is out.
    shifting: Option<(u8, Instant)>,
    /// Character that waits in DATA.
    waiting: Option<u8>,
    received: VecDeque<u8>,
    /// Characters on their way in, and when the first will be complete.
    incoming: VecDeque<u8>,
    incoming_at: Instant,
    sent: Vec<u8>,
}

impl Sercom {
    /// SERCOM`n` as after reset.
    pub(crate) fn new(n: usize) -> Self {
        Self {
            channel: SERCOM_CORE[n],
            trigger: 4 + 2 * n as u32,
            ctrla: 0,
            ctrlb: 0,
            ctrlc: 0,
            baud: 0,
            addr: 0,
            rxpl: 0,
            length: 0,
            dbgctrl: 0,
            inten: 0,
            txc: false,
            status: 0,
            shifting: None,
            waiting: None,
            received: VecDeque::new(),
            incoming: VecDeque::new(),
            incoming_at: Instant::NEVER,
            sent: Vec::new(),
        }
    }

    /// Characters that have left the transmitter since the last call.
    pub(crate) fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }

    /// Sends characters to the receiver, one after the other.
    pub(crate) fn send(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        if self.incoming.is_empty() {
            self.incoming_at = cx.now + self.character_time(cx);
        }
        self.incoming.extend(bytes);
    }

    fn masks(&self) -> Masks {
        masks(self.ctrla >> 2 & 7)
    }

    fn is_usart(&self) -> bool {
        matches!(self.ctrla >> 2 & 7, 0 | 1)
    }

    /// Time of one character on the line.
    fn character_time(&self, cx: &Context<'_>) -> Duration {
        let hz = u128::from(cx.clocks.channel[self.channel]);
        if hz == 0 {
            return Duration::from_secs(3_600);
        }
        let data = match self.ctrlb & 7 {
            0 => 8,
            1 => 9,
            size => u128::from(size),
        };
        let parity = u128::from(self.ctrla >> 24 & 15 == 1);
        let bits = 1 + data + parity + 1 + u128::from(self.ctrlb >> 6 & 1);
        // 33.6.2.3: bit time in 1/65536 (arithmetic) or 1/8 (fractional) of the reference period.
        let (samples, fractional) = match self.ctrla >> 13 & 7 {
            0 => (16, false),
            1 => (16, true),
            2 => (8, false),
            3 => (8, true),
            _ => (3, false),
        };
        let nanos = if fractional {
            let baud = u128::from(self.baud & 0x1FFF) * 8 + u128::from(self.baud >> 13);
            bits * samples * baud.max(8) * 1_000_000_000 / (8 * hz)
        } else {
            let baud = 65_536 - u128::from(self.baud & 0xFFFF);
            bits * samples * 65_536 * 1_000_000_000 / (baud * hz)
        };
        Duration::from_nanos(nanos as u64)
    }

    fn flags(&self) -> u32 {
        let mut flags = 0;
        if self.ctrla & ENABLE != 0 {
            if self.waiting.is_none() && self.ctrlb & TXEN != 0 {
                flags |= DRE;
            }
            if self.txc {
                flags |= TXC;
            }
            if !self.received.is_empty() {
                flags |= RXC;
            }
        }
        flags
    }

    fn transmit(&mut self, byte: u8, cx: &mut Context<'_>) {
        if self.ctrla & ENABLE == 0 || self.ctrlb & TXEN == 0 {
            cx.violation("SERCOM.DATA written while the transmitter is disabled");
            return;
        }
        self.txc = false;
        if self.shifting.is_none() {
            self.shifting = Some((byte, cx.now + self.character_time(cx)));
        } else {
            self.waiting = Some(byte);
        }
    }
}

impl Peripheral for Sercom {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x0C..0x10 if self.ctrla >> 2 & 7 == 5 => Size::Word,
            0x0C..0x10 if !self.is_usart() => Size::Byte,
            0x0C | 0x0D | 0x1A | 0x1B | 0x22 | 0x23 => Size::Half,
            0x0E | 0x0F | 0x14..0x1A | 0x20 | 0x21 | 0x30 => Size::Byte,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        match offset {
            0x00 => self.ctrla,
            0x04 => self.ctrlb,
            0x08 => self.ctrlc,
            0x0C => self.baud,
            0x0E => self.rxpl,
            0x14 | 0x16 => self.inten,
            0x18 => self.flags(),
            0x1A => self.status,
            0x1C | 0x20 => 0,
            0x22 => self.length,
            0x24 if !self.is_usart() => self.addr,
            0x28 if !self.is_usart() => cx.unmodelled(offset, false),
            0x28 => u32::from(self.received.pop_front().unwrap_or(0)),
            0x30 => self.dbgctrl,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.advance(cx);
        match offset {
            0x00 if w.value & SWRST != 0 => {
                let sent = self.take_sent();
                *self = Self { sent, ..Self::new((self.trigger as usize - 4) / 2) };
            }
            0x00 => {
                let old = self.ctrla;
                self.ctrla = w.onto_masked(old, masks(w.onto(old) >> 2 & 7).ctrla);
                if self.ctrla & !old & ENABLE != 0 && !self.is_usart() {
                    // Say so instead of letting software wait in the dark.
                    cx.violation("SERCOM enabled as SPI or I2C, which the model does not have");
                }
            }
            0x04 => self.ctrlb = w.onto_masked(self.ctrlb, self.masks().ctrlb),
            0x08 => self.ctrlc = w.onto_masked(self.ctrlc, self.masks().ctrlc),
            0x0C => self.baud = w.onto_masked(self.baud, self.masks().baud),
            0x0E => self.rxpl = w.value & 0xFF,
            0x14 => self.inten &= !w.value,
            0x16 => self.inten |= w.value & self.masks().interrupts,
            0x18 => {
                if w.value & TXC != 0 {
                    self.txc = false;
                }
            }
            0x1A => self.status &= !w.value,
            0x1C | 0x20 => {}
            0x22 => self.length = w.value & self.masks().length,
            0x24 if !self.is_usart() => self.addr = w.onto_masked(self.addr, self.masks().addr),
            0x28 if !self.is_usart() => {
                cx.unmodelled(offset, true);
            }
            0x28 => self.transmit(w.value as u8, cx),
            0x30 => self.dbgctrl = w.value & 1,
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        let sent = self.take_sent();
        *self = Self { sent, ..Self::new((self.trigger as usize - 4) / 2) };
    }

    fn next_event(&self) -> Instant {
        let transmitter = self.shifting.map_or(Instant::NEVER, |(_, at)| at);
        transmitter.min(self.incoming_at)
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        while let Some((byte, at)) = self.shifting.filter(|(_, at)| *at <= cx.now) {
            self.sent.push(byte);
            let next = self.waiting.take();
            self.txc = next.is_none();
            self.shifting = next.map(|byte| (byte, at + self.character_time(cx)));
        }
        while self.incoming_at <= cx.now {
            let Some(byte) = self.incoming.pop_front() else { break };
            if self.ctrla & ENABLE != 0 && self.ctrlb & RXEN != 0 {
                if self.received.len() < RX_DEPTH {
                    self.received.push_back(byte);
                } else {
                    self.status |= BUFOVF;
                }
            }
            self.incoming_at =
                if self.incoming.is_empty() { Instant::NEVER } else { self.incoming_at + self.character_time(cx) };
        }
    }

    fn dma_requests(&self) -> u128 {
        let flags = self.flags();
        let (rx, tx) = (flags & RXC != 0, flags & DRE != 0);
        u128::from(rx) << self.trigger | u128::from(tx) << (self.trigger + 1)
    }

    fn irqs(&self) -> u64 {
        // DRE, TXC and RXC have lines of their own, the rest shares the fourth.
        let pending = self.inten & self.flags();
        u64::from(pending & 7)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    fn usart() -> (Sercom, Rig) {
        let (mut sercom, mut rig) = (Sercom::new(2), Rig::new());
        rig.clocks.channel[23] = 48_000_000;
        // 115200 baud, 16x arithmetic: BAUD = 65536 * (1 - 16 * 115200 / 48 MHz) = 63019.
        sercom.write(0x0C, Write::full(63_019), &mut rig.cx(0));
        sercom.write(0x04, Write::full(TXEN | RXEN), &mut rig.cx(0));
        sercom.write(0x00, Write::full(1 << 2 | ENABLE), &mut rig.cx(0));
        (sercom, rig)
    }

    #[test]
    fn a_character_takes_ten_bit_times_at_115200_baud() {
        let (mut sercom, mut rig) = usart();
        sercom.write(0x28, Write::full(0x41), &mut rig.cx(0));
        let done = sercom.next_event().as_nanos();
        assert!((86_700..86_900).contains(&done), "{done}");
        assert_eq!(sercom.read(0x18, &mut rig.cx(done - 1)), DRE);
        assert_eq!(sercom.read(0x18, &mut rig.cx(done)), DRE | TXC);
        assert_eq!(sercom.take_sent(), b"A");
    }

    #[test]
    fn data_register_empty_falls_while_a_second_character_waits() {
        let (mut sercom, mut rig) = usart();
        sercom.write(0x16, Write::full(DRE), &mut rig.cx(0));
        sercom.write(0x28, Write::full(0x41), &mut rig.cx(0));
        assert_eq!(sercom.irqs(), DRE.into());
        sercom.write(0x28, Write::full(0x42), &mut rig.cx(0));
        assert_eq!(sercom.irqs(), 0);
        sercom.advance(&mut rig.cx(90_000));
        assert_eq!(sercom.irqs(), DRE.into());
        sercom.advance(&mut rig.cx(200_000));
        assert_eq!(sercom.take_sent(), b"AB");
    }

    #[test]
    fn the_receiver_overflows_when_nobody_reads() {
        let (mut sercom, mut rig) = usart();
        sercom.send(b"xyz", &mut rig.cx(0));
        sercom.advance(&mut rig.cx(1_000_000));
        assert_eq!(sercom.read(0x1A, &mut rig.cx(1_000_000)), BUFOVF);
        assert_eq!(sercom.read(0x28, &mut rig.cx(1_000_000)), u32::from(b'x'));
        assert_eq!(sercom.read(0x28, &mut rig.cx(1_000_000)), u32::from(b'y'));
        assert_eq!(sercom.read(0x18, &mut rig.cx(1_000_000)) & RXC, 0);
    }
}
