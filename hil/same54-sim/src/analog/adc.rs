//! ADC: analog-to-digital converter (SAM D5x/E5x datasheet, 45).
//!
//! Fidelity: single-ended and differential conversions of the pins and of the internal channels, the three references
//! inside the chip, 8, 10 and 12 bits, accumulation and averaging, gain and offset correction, left adjustment, free
//! running, the window monitor, start and flush events, events out, overrun, both interrupt lines, DMA of results and
//! DMA sequencing are modelled. A conversion takes SAMPLEN + 1 (+ 4 with OFFCOMP, assumed) and as many CLK_ADC periods
//! as it has bits (45.6.2.8). Synchronisation and start-up are instant. Assumed: no noise, VDDANA and VBAT are 3.3 V,
//! VDDCORE 1.2 V, external references 3.3 V, the bandgap 1 V whatever SUPC.VREF says, the chip is at 25 degrees by the
//! calibration row; a pin that nobody drives is at 0 V. A pin that is not multiplexed to function B is not connected
//! (reported once). Stored only: CALIB, SLAVEEN and DUALSEL, R2R, reference compensation. Words of DSEQDATA follow the
//! layout of the registers from INPUTCTRL on (assumed).

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use super::{Inputs, Pin, VDDANA};
use crate::clocks::channel;
use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::port::Port;
use crate::registers::Ledger;

const ENABLE: u32 = 1 << 1;
/// CTRLA.RUNSTDBY.
const RUNSTDBY: u32 = 1 << 6;
/// EVCTRL.STARTEI.
const STARTEI: u32 = 1 << 1;
const RESRDY: u32 = 1 << 0;
const OVERRUN: u32 = 1 << 1;
const WINMON: u32 = 1 << 2;
const DIFFMODE: u32 = 1 << 7;
const DSEQSTOP: u32 = 1 << 15;
const LEFTADJ: u32 = 1 << 0;
const FREERUN: u32 = 1 << 1;
const CORREN: u32 = 1 << 2;
const AUTOSTART: u32 = 1 << 31;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["DBGCTRL", "CALIB"], absent: &[] };

/// The pins of AIN0 to AIN15.
const PINS: [[Pin; 16]; 2] = [
    [
        (0, 2),
        (0, 3),
        (1, 8),
        (1, 9),
        (0, 4),
        (0, 5),
        (0, 6),
        (0, 7),
        (0, 8),
        (0, 9),
        (0, 10),
        (0, 11),
        (1, 0),
        (1, 1),
        (1, 2),
        (1, 3),
    ],
    [
        (1, 8),
        (1, 9),
        (0, 8),
        (0, 9),
        (2, 2),
        (2, 3),
        (1, 4),
        (1, 5),
        (1, 6),
        (1, 7),
        (2, 0),
        (2, 1),
        (2, 30),
        (2, 31),
        (3, 0),
        (3, 1),
    ],
];

/// Registers that DMA sequencing writes, in words, and what of each DSEQCTRL selects.
const SEQUENCE: [u32; 4] = [0x003, 0x01C, 0x060, 0x180];

/// The register block of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Adc {
    n: usize,
    ctrla: u32,
    evctrl: u32,
    dbgctrl: u32,
    /// The registers from INPUTCTRL (0x04) to OFFSETCORR (0x12), as words.
    setup: [u32; 4],
    inten: u32,
    intflag: u32,
    dseqctrl: u32,
    /// The word of the sequence that DMA must bring next.
    wanted: Option<usize>,
    result: u32,
    calib: u32,
    /// End of the conversion under way, with all its samples.
    busy_until: Option<Instant>,
    inputs: Inputs,
    /// Output of DAC0, microvolts.
    dac: i64,
}

impl Adc {
    /// ADC`n` as after reset.
    pub(crate) fn new(n: usize) -> Self {
        Self {
            n,
            ctrla: 0,
            evctrl: 0,
            dbgctrl: 0,
            setup: [0; 4],
            inten: 0,
            intflag: 0,
            dseqctrl: 0,
            wanted: None,
            result: 0,
            calib: 0,
            busy_until: None,
            inputs: Inputs::default(),
            dac: 0,
        }
    }

    fn restart(&mut self) {
        let mut inputs = std::mem::take(&mut self.inputs);
        inputs.restart();
        *self = Self { inputs, dac: self.dac, ..Self::new(self.n) };
    }

    /// What the board applies to a pin.
    pub(crate) fn set_pin(&mut self, pin: Pin, microvolts: i64) {
        self.inputs.set(pin, microvolts);
    }

    /// The multiplexing of the pins has changed.
    pub(crate) fn connect(&mut self, port: &Port) {
        self.inputs.connect(&PINS[self.n], port);
    }

    /// What DAC0 puts out.
    pub(crate) fn set_dac(&mut self, microvolts: i64) {
        self.dac = microvolts;
    }

    fn inputctrl(&self) -> u32 {
        self.setup[0] & 0xFFFF
    }

    fn ctrlb(&self) -> u32 {
        self.setup[0] >> 16
    }

    fn reference(&self) -> i64 {
        match self.setup[1] & 15 {
            0 => 1_000_000,
            2 => VDDANA / 2,
            _ => VDDANA,
        }
    }

    /// log2 of the number of samples.
    fn samples(&self) -> u32 {
        (self.setup[1] >> 16 & 15).min(10)
    }

    fn bits(&self) -> u32 {
        match self.ctrlb() >> 3 & 3 {
            2 => 10,
            3 => 8,
            _ => 12,
        }
    }

    fn channel(&mut self, mux: u32, cx: &mut Context<'_>) -> i64 {
        match mux {
            0..=15 => {
                let n = mux as usize;
                match self.inputs.read(n, PINS[self.n][n]) {
                    Ok(voltage) => voltage,
                    Err((group, pin)) => {
                        let name = char::from(b'A' + group as u8);
                        cx.violation(format!("ADC{}: P{name}{pin:02} is not multiplexed to function B", self.n));
                        0
                    }
                }
            }
            24 => 300_000,
            25 | 26 => VDDANA / 4,
            27 => 1_000_000,
            // 25 degrees: VPL and VCL of the temperature log, at a reference of 1 V.
            28 => 1_696 * 1_000_000 / 4_096 + 1,
            29 => 2_176 * 1_000_000 / 4_096 + 1,
            30 => self.dac,
            _ => 0,
        }
    }

    /// CLK_ADC periods of one sample, and their time.
    fn sample_time(&self, cx: &Context<'_>) -> Option<Duration> {
        let hz = cx.clocks.channel[channel::ADC[self.n]];
        let sampctrl = self.setup[1] >> 24;
        let sampling = u64::from(sampctrl & 0x3F) + 1 + if sampctrl & 0x80 != 0 { 4 } else { 0 };
        let periods = (sampling + u64::from(self.bits())) << (1 + (self.ctrla >> 8 & 7));
        (hz != 0).then(|| Duration::from_nanos((u128::from(periods) * 1_000_000_000 / u128::from(hz)) as u64))
    }

    fn start(&mut self, at: Instant, cx: &mut Context<'_>) {
        if self.ctrla & ENABLE == 0 || self.busy_until.is_some() {
            return;
        }
        match self.sample_time(cx) {
            Some(time) => self.busy_until = Some(at + time * (1 << self.samples())),
            None => cx.violation(format!("ADC{} started without a generic clock", self.n)),
        }
    }

    /// The result of a conversion, as RESULT shows it (45.6.2.9 to 45.6.2.13).
    fn convert(&mut self, cx: &mut Context<'_>) -> i64 {
        let inputctrl = self.inputctrl();
        let positive = self.channel(inputctrl & 0x1F, cx);
        let differential = inputctrl & DIFFMODE != 0;
        let negative = if differential { self.channel(inputctrl >> 8 & 0x1F, cx) } else { 0 };
        let negative = if inputctrl >> 8 & 0x1F == 24 { 0 } else { negative };
        let full = 1_i64 << self.bits();
        let raw = if differential {
            ((positive - negative) * full / 2).div_euclid(self.reference()).clamp(-full / 2, full / 2 - 1)
        } else {
            ((positive - negative) * full).div_euclid(self.reference()).clamp(0, full - 1)
        };
        let raw = if self.ctrlb() & CORREN != 0 {
            // 12-bit two's complement offset, gain in 1/2048.
            let offset = i64::from((self.setup[3] >> 16 & 0xFFF) as i32) << 52 >> 52;
            (raw - offset) * i64::from(self.setup[3] & 0xFFF) / 2_048
        } else {
            raw
        };
        let samples = self.samples();
        // Beyond 16 samples the sum is shifted to 16 bits.
        let sum = (raw << samples) >> samples.saturating_sub(4);
        sum >> (self.setup[1] >> 20 & 7)
    }

    fn finish(&mut self, at: Instant, cx: &mut Context<'_>) {
        let value = self.convert(cx);
        let differential = self.inputctrl() & DIFFMODE != 0;
        let shift = if self.ctrlb() & LEFTADJ != 0 && self.samples() == 0 { 16 - self.bits() } else { 0 };
        self.result = (value << shift) as u32 & 0xFFFF;
        self.intflag |= if self.intflag & RESRDY != 0 { OVERRUN } else { 0 };
        self.intflag |= RESRDY;
        // Generators 103 (RESRDY) and 104 (WINMON) of ADC0, then ADC1's.
        let generator = 103 + 2 * self.n as u8;
        if self.evctrl >> 4 & 1 != 0 {
            cx.event_out(generator);
        }
        if self.is_in_window(self.result, differential) {
            self.intflag |= WINMON;
            if self.evctrl >> 5 & 1 != 0 {
                cx.event_out(generator + 1);
            }
        }
        self.busy_until = None;
        if self.ctrlb() & FREERUN != 0 {
            self.start(at, cx);
        }
        self.next_of_sequence();
    }

    /// CTRLB.WINMODE (45.6.2.12).
    fn is_in_window(&self, result: u32, signed: bool) -> bool {
        let number = |bits: u32| if signed { i64::from(bits as u16 as i16) } else { i64::from(bits as u16) };
        let (value, low, high) = (number(result), number(self.setup[2]), number(self.setup[2] >> 16));
        match self.ctrlb() >> 8 & 7 {
            1 => value > low,
            2 => value < high,
            3 => low < value && value < high,
            4 => !(low < value && value < high),
            _ => false,
        }
    }

    /// 45.6.3.3: after a conversion of a sequence, or at its beginning, DMA brings the next settings.
    fn next_of_sequence(&mut self) {
        let stops = self.inputctrl() & DSEQSTOP != 0 || self.ctrla & ENABLE == 0;
        self.wanted = self.first_word(0).filter(|_| !stops);
    }

    fn first_word(&self, from: usize) -> Option<usize> {
        (from..4).find(|n| self.dseqctrl & SEQUENCE[*n] != 0)
    }

    fn write_sequence(&mut self, value: u32, cx: &mut Context<'_>) {
        let Some(word) = self.wanted else { return };
        // What each bit of DSEQCTRL stands for, in its word.
        let lanes: [(u32, u32); 9] = [
            (0, 0xFFFF),
            (0, 0xFFFF_0000),
            (1, 0xFF),
            (1, 0xFF_0000),
            (1, 0xFF00_0000),
            (2, 0xFFFF),
            (2, 0xFFFF_0000),
            (3, 0xFFFF),
            (3, 0xFFFF_0000),
        ];
        let mask =
            lanes.iter().enumerate().filter(|(bit, (n, _))| *n as usize == word && self.dseqctrl >> bit & 1 != 0);
        let mask = mask.fold(0, |mask, (_, (_, lanes))| mask | lanes) & MASKS[word];
        self.setup[word] = self.setup[word] & !mask | value & mask;
        self.wanted = self.first_word(word + 1);
        // With start events, AUTOSTART is ignored.
        if self.wanted.is_none() && self.dseqctrl & AUTOSTART != 0 && self.evctrl & STARTEI == 0 {
            self.start(cx.now, cx);
        }
    }
}

/// Writable bits of the words from INPUTCTRL on.
const MASKS: [u32; 4] = [0x0F1F_9F9F, 0xBF7F_008F, u32::MAX, 0x0FFF_0FFF];

impl Peripheral for Adc {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x00 | 0x01 | 0x04..0x08 | 0x0C..0x14 | 0x40..0x4A => Size::Half,
            0x30..0x40 => Size::Word,
            _ => Size::Byte,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        match offset {
            0x00 => self.ctrla,
            0x02 => self.evctrl,
            0x03 => self.dbgctrl,
            0x04..0x14 => {
                self.setup[offset as usize / 4 - 1] >> (8 * (offset & 3))
                    & 0xFFFF >> if self.width(offset) == Size::Byte { 8 } else { 0 }
            }
            0x14 => 0,
            0x2C | 0x2D => self.inten,
            0x2E => self.intflag,
            0x2F => u32::from(self.busy_until.is_some()),
            0x30 | 0x34 => 0,
            0x38 => self.dseqctrl,
            0x3C => self.dseqctrl & 0x1FF | u32::from(self.wanted.is_some()) << 31,
            0x40 => {
                self.intflag &= !RESRDY;
                self.result
            }
            0x44 => self.result,
            0x48 => self.calib,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.advance(cx);
        match offset {
            0x00 if w.value & 1 != 0 => self.restart(),
            0x00 => {
                let before = self.ctrla;
                self.ctrla = w.onto_masked(before, 0x87FA);
                if (before ^ self.ctrla) & ENABLE != 0 {
                    // A sequence begins and ends with the ADC (45.6.3.3).
                    self.next_of_sequence();
                }
                if self.ctrla & ENABLE == 0 {
                    self.busy_until = None;
                } else if self.ctrlb() & FREERUN != 0 && self.busy_until.is_none() {
                    self.start(cx.now, cx);
                }
            }
            0x02 => self.evctrl = w.value & 0x3F,
            0x03 => self.dbgctrl = w.value & 1,
            0x04..0x14 => {
                let (word, shift) = (offset as usize / 4 - 1, 8 * (offset & 3));
                let size = if self.width(offset) == Size::Byte { 0xFF } else { 0xFFFF };
                let lanes = (w.lanes & size) << shift;
                let w = Write { value: w.value << shift, lanes };
                self.setup[word] = w.onto_masked(self.setup[word], MASKS[word]);
            }
            0x14 => {
                if w.value & 1 != 0 {
                    self.busy_until = None;
                }
                if w.value & 2 != 0 || w.value & 1 != 0 && self.ctrlb() & FREERUN != 0 {
                    self.start(cx.now, cx);
                }
            }
            0x2C => self.inten &= !w.value,
            0x2D => self.inten |= w.value & 7,
            0x2E => self.intflag &= !w.value,
            0x34 => self.write_sequence(w.value, cx),
            0x38 => {
                self.dseqctrl = w.onto_masked(self.dseqctrl, 0x8000_01FF);
                self.setup[0] &= !DSEQSTOP;
                self.next_of_sequence();
            }
            0x48 => self.calib = w.onto_masked(self.calib, 0x777),
            0x2F | 0x30 | 0x3C | 0x40 | 0x44 => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        self.restart();
    }

    fn next_event(&self) -> Instant {
        self.busy_until.unwrap_or(Instant::NEVER)
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        while let Some(at) = self.busy_until.filter(|at| *at <= cx.now) {
            self.finish(at, cx);
        }
    }

    /// Table 45-6.
    fn runs_in_standby(&self) -> bool {
        self.ctrla & (ENABLE | RUNSTDBY) == ENABLE | RUNSTDBY
    }

    fn irqs(&self) -> u64 {
        let pending = self.inten & self.intflag;
        u64::from(u32::from(pending & (OVERRUN | WINMON) != 0) | (pending & RESRDY) << 1)
    }

    fn dma_requests(&self) -> u128 {
        u128::from(self.intflag & RESRDY | u32::from(self.wanted.is_some()) << 1) << (68 + 2 * self.n)
    }

    fn event_in(&mut self, user: usize, cx: &mut Context<'_>) {
        self.advance(cx);
        match user - (55 + 2 * self.n) {
            0 if self.evctrl & STARTEI != 0 => self.start(cx.now, cx),
            1 if self.evctrl & 1 != 0 => {
                self.busy_until = None;
                if self.ctrlb() & FREERUN != 0 {
                    self.start(cx.now, cx);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
