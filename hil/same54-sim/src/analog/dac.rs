//! DAC: digital-to-analog converter (SAM D5x/E5x datasheet, 47).
//!
//! Fidelity: both channels with DATA, DATABUF, start events, left adjustment, the differential mode, underrun, empty,
//! result ready and overrun flags with their five interrupt lines, events out and DMA requests are modelled; the voltage
//! is there for the board to read and at the ADC's and the AC's inputs. A channel is ready 10 us after it is enabled and
//! converts in 24 periods of its clock (assumed). References: VDDANA, the bandgap of 1 V, external ones of 3.3 V
//! (assumed). Stored only: current control, refresh, filter and oversampling (RESULT reads 0), dithering.

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use super::{Pin, VDDANA};
use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::port::Port;
use crate::registers::Ledger;

const ENABLE: u32 = 1 << 1;
const DIFF: u32 = 1 << 0;
const LEFTADJ: u32 = 1 << 0;
const UNDERRUN: u32 = 1 << 0;
const EMPTY: u32 = 1 << 2;
const RESRDY: u32 = 1 << 4;
const OVERRUN: u32 = 1 << 6;
const START_UP: Duration = Duration::from_micros(10);
/// Periods of GCLK_DAC in a conversion.
const CONVERSION: u64 = 24;
const CLOCK: usize = 42;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["DBGCTRL"], absent: &[] };

/// VOUT0 and VOUT1.
pub(crate) const PINS: [Pin; 2] = [(0, 2), (0, 5)];

#[derive(Clone, Copy, Debug)]
struct Channel {
    control: u32,
    /// The value that the output has, or will have at the end of its conversion.
    data: u32,
    buffer: Option<u32>,
    ready_at: Instant,
    /// End of the conversion under way, and its value.
    converting: Option<(u32, Instant)>,
}

impl Channel {
    const RESET: Self = Self { control: 0, data: 0, buffer: None, ready_at: Instant::NEVER, converting: None };
}

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Dac {
    ctrla: u32,
    ctrlb: u32,
    evctrl: u32,
    inten: u32,
    intflag: u32,
    dbgctrl: u32,
    channels: [Channel; 2],
    /// Bit n: VOUTn has its pin.
    connected: u32,
}

impl Dac {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self {
            ctrla: 0,
            ctrlb: 2,
            evctrl: 0,
            inten: 0,
            intflag: 0,
            dbgctrl: 0,
            channels: [Channel::RESET; 2],
            connected: 0,
        }
    }

    fn restart(&mut self) {
        *self = Self { connected: self.connected, ..Self::new() };
    }

    /// The multiplexing of the pins has changed.
    pub(crate) fn connect(&mut self, port: &Port) {
        self.connected = (0..)
            .zip(PINS)
            .fold(0, |bits, (n, pin)| bits | u32::from(port.function(pin.0, pin.1) == Some(super::FUNCTION)) << n);
    }

    fn is_on(&self, n: usize) -> bool {
        self.ctrla & ENABLE != 0 && self.channels[n].control & ENABLE != 0
    }

    /// The voltage of channel `n`, microvolts, if it is enabled.
    pub(crate) fn voltage(&self, n: usize) -> Option<i64> {
        let reference = match self.ctrlb >> 1 & 3 {
            3 => 1_000_000,
            _ => VDDANA,
        };
        if !self.is_on(n) {
            return None;
        }
        if self.ctrlb & DIFF != 0 {
            // 47.6.3.3: DATA0 is signed, VOUT1 mirrors VOUT0 about half the reference.
            let value = i64::from((self.channels[0].data << 4) as u16 as i16) / 16;
            let swing = value * reference / 4_096;
            return Some(reference / 2 + if n == 0 { swing } else { -swing });
        }
        Some(i64::from(self.channels[n].data) * reference / 4_096)
    }

    /// The voltage at the pin of channel `n`, microvolts.
    pub(crate) fn pin(&self, n: usize) -> Option<i64> {
        self.voltage(n).filter(|_| self.connected >> n & 1 != 0)
    }

    fn convert(&mut self, n: usize, value: u32, cx: &mut Context<'_>) {
        let hz = u64::from(cx.clocks.channel[CLOCK]);
        if !self.is_on(n) {
            return;
        }
        if hz == 0 {
            cx.violation("DAC converts without a generic clock");
            return;
        }
        let left = self.channels[n].control & LEFTADJ != 0;
        let value = if left { value >> 4 } else { value & 0xFFF };
        let from = cx.now.max(self.channels[n].ready_at);
        let end = from + Duration::from_nanos(CONVERSION * 1_000_000_000 / hz);
        self.channels[n].converting = Some((value, end));
    }

    /// A start event: DATABUF becomes DATA (47.6.2.4).
    fn start(&mut self, n: usize, cx: &mut Context<'_>) {
        match self.channels[n].buffer.take() {
            Some(value) => {
                self.convert(n, value, cx);
                self.intflag |= EMPTY << n;
                if self.evctrl >> (2 + n) & 1 != 0 {
                    cx.event_out(110 + n as u8);
                }
            }
            None => self.intflag |= UNDERRUN << n,
        }
    }

    fn enable(&mut self, now: Instant) {
        for n in 0..2 {
            let on = self.is_on(n);
            let channel = &mut self.channels[n];
            if on && channel.ready_at == Instant::NEVER {
                channel.ready_at = now + START_UP;
                self.intflag |= EMPTY << n;
            } else if !on {
                *channel = Channel { control: channel.control, data: channel.data, ..Channel::RESET };
            }
        }
    }
}

impl Peripheral for Dac {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x08..0x0C => Size::Word,
            0x0C..0x18 | 0x1C..0x20 => Size::Half,
            _ => Size::Byte,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        match offset {
            0x00 => self.ctrla,
            0x01 => self.ctrlb,
            0x02 => self.evctrl,
            0x04 | 0x05 => self.inten,
            0x06 => self.intflag,
            0x07 => (0..).zip(&self.channels).fold(0, |bits, (n, channel)| {
                let ready = channel.ready_at <= cx.now;
                bits | u32::from(ready) << n | u32::from(ready && channel.converting.is_none()) << (2 + n)
            }),
            0x08 | 0x10 | 0x12 | 0x14 | 0x16 | 0x1C | 0x1E => 0,
            0x0C | 0x0E => self.channels[(offset as usize - 0x0C) / 2].control,
            0x18 => self.dbgctrl,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.advance(cx);
        match offset {
            0x00 if w.value & 1 != 0 => self.restart(),
            0x00 => {
                self.ctrla = w.value & ENABLE;
                self.enable(cx.now);
            }
            0x01 => self.ctrlb = w.value & 7,
            0x02 => self.evctrl = w.value & 0xFF,
            0x04 => self.inten &= !w.value,
            0x05 => self.inten |= w.value & 0xFF,
            0x06 => self.intflag &= !w.value,
            0x0C | 0x0E => {
                let channel = &mut self.channels[(offset as usize - 0x0C) / 2];
                channel.control = w.onto_masked(channel.control, 0xEFEF);
                self.enable(cx.now);
            }
            0x10 | 0x12 => self.convert((offset as usize - 0x10) / 2, w.value, cx),
            0x14 | 0x16 => {
                let n = (offset as usize - 0x14) / 2;
                self.channels[n].buffer = Some(w.value);
                self.intflag &= !(EMPTY << n);
            }
            0x18 => self.dbgctrl = w.value & 1,
            0x07..0x0C | 0x1C | 0x1E => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        self.restart();
    }

    fn next_event(&self) -> Instant {
        let ends = self.channels.iter().filter_map(|channel| channel.converting);
        ends.map(|(_, at)| at).min().unwrap_or(Instant::NEVER)
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        for n in 0..2 {
            if let Some((value, _)) = self.channels[n].converting.filter(|(_, at)| *at <= cx.now) {
                self.channels[n].data = value;
                self.channels[n].converting = None;
            }
        }
    }

    fn irqs(&self) -> u64 {
        // Underrun and overrun, then EMPTY0, EMPTY1, RESRDY0 and RESRDY1.
        let pending = self.inten & self.intflag;
        let errors = (3 * UNDERRUN) | (3 * OVERRUN);
        u64::from(u32::from(pending & errors != 0) | (pending & ((3 * EMPTY) | (3 * RESRDY))) >> 1)
    }

    fn dma_requests(&self) -> u128 {
        let empty = |n: usize| u128::from(self.is_on(n) && self.channels[n].buffer.is_none());
        empty(0) << 72 | empty(1) << 73
    }

    fn event_in(&mut self, user: usize, cx: &mut Context<'_>) {
        self.advance(cx);
        let n = user - 61;
        if self.evctrl >> n & 1 != 0 {
            self.start(n, cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Bench;

    const DAC: u32 = 0x4300_2400;

    fn bench() -> Bench {
        let mut bench = Bench::new();
        bench.set_byte(0x4100_8031, 1);
        bench.set_byte(0x4100_8042, 1);
        bench.set_half(DAC + 0x0C, ENABLE);
        bench.set_byte(DAC, ENABLE);
        bench.run(11_000);
        assert_eq!(bench.byte(DAC + 7), 0b101, "channel 0 is ready");
        bench
    }

    #[test]
    fn data_become_a_voltage_at_the_pin_and_at_the_adc() {
        let mut bench = bench();
        bench.set_half(DAC + 0x10, 1_024);
        assert_eq!(bench.byte(DAC + 7) & 4, 0, "converting");
        bench.run(501);
        assert_eq!(bench.chip.parts.dac.pin(0), Some(VDDANA / 4));
        let adc = 0x4300_1C00;
        bench.set_byte(adc + 8, 3);
        bench.set_half(adc, ENABLE);
        bench.set_byte(adc + 0x14, 2);
        bench.run(2_000);
        assert_eq!(bench.half(adc + 0x40), 1_024);
    }

    #[test]
    fn start_events_take_the_buffer_and_an_empty_one_is_underrun() {
        let mut bench = bench();
        bench.set(0x4100_E020, 2 << 8);
        bench.set(0x4100_E120 + 4 * 61, 1);
        bench.set_byte(DAC + 2, 1);
        bench.set_byte(DAC + 5, UNDERRUN);
        bench.set_half(DAC + 0x14, 2_048);
        assert_eq!(bench.byte(DAC + 6) & EMPTY, 0);
        bench.set(0x4100_E004, 1);
        bench.run(1_000);
        assert_eq!(bench.chip.parts.dac.voltage(0), Some(VDDANA / 2));
        assert_eq!(bench.byte(DAC + 6) & (EMPTY | UNDERRUN), EMPTY);
        bench.set(0x4100_E004, 1);
        assert!(bench.irq(123));
    }
}
