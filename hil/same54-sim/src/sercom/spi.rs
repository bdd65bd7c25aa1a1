//! The SPI host (SAM D5x/E5x datasheet, 35).

use std::collections::VecDeque;

use sim_base::Instant;

use super::device::SpiDevice;
use super::pads::Pin;
use super::regs::{Regs, SYNC_CTRLB, SYNC_LENGTH};
use crate::peripheral::{Context, Write};

const DRE: u32 = 1 << 0;
const TXC: u32 = 1 << 1;
const RXC: u32 = 1 << 2;
const ERROR: u32 = 1 << 7;
const RXEN: u32 = 1 << 17;
const MSSEN: u32 = 1 << 13;
const BUFOVF: u32 = 1 << 2;
/// Words that the receiver holds before it overflows.
const RX_DEPTH: usize = 2;

/// A device and the pin of its chip select.
#[derive(Clone)]
struct Wired {
    select: Pin,
    selected: bool,
    device: Box<dyn SpiDevice>,
}

/// Shift register, buffers, and what is on the wires.
#[derive(Clone)]
pub(super) struct Spi {
    txc: bool,
    shifting: Option<(u16, Instant)>,
    waiting: VecDeque<u16>,
    received: VecDeque<u16>,
    length_left: u32,
    devices: Vec<Wired>,
}

impl std::fmt::Debug for Spi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spi").field("shifting", &self.shifting).field("devices", &self.devices.len()).finish()
    }
}

impl Spi {
    pub(super) fn new() -> Self {
        Self {
            txc: false,
            shifting: None,
            waiting: VecDeque::new(),
            received: VecDeque::new(),
            length_left: 0,
            devices: Vec::new(),
        }
    }

    pub(super) fn plug(&mut self, select: Pin, device: Box<dyn SpiDevice>) {
        self.devices.push(Wired { select, selected: false, device });
    }

    pub(super) fn has_devices(&self) -> bool {
        !self.devices.is_empty()
    }

    pub(super) fn power_on(&mut self) {
        for wired in &mut self.devices {
            wired.device.power_on();
        }
    }

    /// Levels of the pins, by group, have changed.
    pub(super) fn look_at_pins(&mut self, levels: &[u32; 4], regs: &Regs, now: Instant) {
        // A pin that is the hardware's slave select follows the transfers.
        let hardware = (regs.ctrlb & MSSEN != 0).then_some(regs.pads[2]).flatten();
        for wired in &mut self.devices {
            if hardware == Some(wired.select) {
                continue;
            }
            let selected = levels[wired.select.0] >> wired.select.1 & 1 == 0;
            if selected != wired.selected {
                wired.selected = selected;
                wired.device.select(selected, now);
            }
        }
    }

    /// MSSEN: the hardware drives slave select.
    fn hardware_select(&mut self, selected: bool, regs: &Regs, now: Instant) {
        if regs.ctrlb & MSSEN == 0 {
            return;
        }
        for wired in self.devices.iter_mut().filter(|wired| regs.pads[2] == Some(wired.select)) {
            if wired.selected != selected {
                wired.selected = selected;
                wired.device.select(selected, now);
            }
        }
    }

    fn is_wide(regs: &Regs) -> bool {
        regs.ctrlc >> 24 & 1 != 0
    }

    /// Words of the next access to DATA: four bytes with DATA32B, or what is left of LENGTH (35.6.3.8).
    fn count(&self, regs: &Regs) -> u32 {
        match Self::is_wide(regs) {
            false => 1,
            true if regs.length >> 8 & 1 != 0 => self.length_left.clamp(1, 4),
            true => 4,
        }
    }

    pub(super) fn flags(&self, regs: &Regs) -> u32 {
        if !regs.is_enabled() {
            return regs.intflag;
        }
        let word = self.received.len() >= if Self::is_wide(regs) { 4 } else { 1 }
            || !self.received.is_empty() && self.shifting.is_none() && self.waiting.is_empty();
        regs.intflag
            | if self.waiting.is_empty() { DRE } else { 0 }
            | if self.txc { TXC } else { 0 }
            | if word { RXC } else { 0 }
    }

    pub(super) fn clear_flags(&mut self, value: u32, regs: &mut Regs) {
        self.txc &= value & TXC == 0;
        regs.intflag &= !value;
    }

    pub(super) fn read_data(&mut self, regs: &Regs) -> u32 {
        let count = if Self::is_wide(regs) { 4 } else { 1 };
        (0..count).fold(0, |word, n| word | u32::from(self.received.pop_front().unwrap_or(0)) << (8 * n))
    }

    pub(super) fn write_data(&mut self, w: Write, regs: &mut Regs, cx: &mut Context<'_>) {
        if !regs.is_enabled() {
            cx.violation(format!("SERCOM{}.DATA written while the SPI is disabled", regs.n));
            return;
        }
        self.txc = false;
        let count = self.count(regs);
        if regs.length >> 8 & 1 != 0 {
            self.length_left = self.length_left.saturating_sub(count);
            if self.length_left == 0 {
                self.length_left = regs.length & 0xFF;
            }
        }
        for n in 0..count {
            let word = if Self::is_wide(regs) { (w.value >> (8 * n)) as u16 & 0xFF } else { w.value as u16 & 0x1FF };
            self.waiting.push_back(word);
        }
        if self.shifting.is_none() {
            self.hardware_select(true, regs, cx.now);
            self.shift(cx.now, regs, cx);
        }
    }

    pub(super) fn write_length(&mut self, w: Write, regs: &mut Regs, cx: &mut Context<'_>) {
        regs.length = w.onto_masked(regs.length, regs.masks().length);
        self.length_left = regs.length & 0xFF;
        regs.synchronise(SYNC_LENGTH, cx);
    }

    pub(super) fn ctrlb_written(&mut self, old: u32, regs: &mut Regs, cx: &mut Context<'_>) {
        if regs.is_enabled() && (old ^ regs.ctrlb) & RXEN != 0 {
            regs.synchronise(SYNC_CTRLB, cx);
        }
        if regs.ctrlb & RXEN == 0 {
            self.received.clear();
        }
    }

    /// The next word goes into the shift register: fSCK = fref / (2 (BAUD + 1)) (33.6.2.3), and the spaces between
    /// words (CTRLC.ICSPACE, in SCK periods).
    fn shift(&mut self, at: Instant, regs: &Regs, cx: &Context<'_>) {
        let bits = if regs.ctrlb & 7 == 1 { 9 } else { 8 } + u64::from(regs.ctrlc & 0x3F);
        let time = regs.periods(bits * 2 * (u64::from(regs.baud & 0xFF) + 1), cx);
        self.shifting = self.waiting.pop_front().map(|word| (word, time.map_or(Instant::NEVER, |time| at + time)));
    }

    /// The block is disabled: transfers under way are lost.
    pub(super) fn stop(&mut self) {
        let devices = std::mem::take(&mut self.devices);
        *self = Self { devices, ..Self::new() };
    }

    pub(super) fn next_event(&self) -> Instant {
        self.shifting.map_or(Instant::NEVER, |(_, at)| at)
    }

    pub(super) fn advance(&mut self, regs: &mut Regs, cx: &mut Context<'_>) {
        while let Some((word, at)) = self.shifting.filter(|(_, at)| *at <= cx.now) {
            let answer = self.exchange(word, regs, cx);
            if regs.ctrlb & RXEN != 0 {
                self.receive(answer, regs);
            }
            self.shift(at, regs, cx);
            if self.shifting.is_none() {
                self.txc = true;
                self.hardware_select(false, regs, at);
            }
        }
    }

    /// A word crosses the wires.
    fn exchange(&mut self, word: u16, regs: &mut Regs, cx: &mut Context<'_>) -> u16 {
        // DOPO: data out on PAD[0] or PAD[3], SCK on PAD[1].
        let out = if regs.ctrla >> 16 & 3 == 2 { 3 } else { 0 };
        let input = (regs.ctrla >> 20 & 3) as usize;
        let wired = regs.pin(1, "SCK", cx).is_some();
        let sent = regs.pads[out].is_some() || !self.has_devices() || regs.pin(out, "MOSI", cx).is_some();
        if input == out {
            // The pad hears itself.
            return word;
        }
        if !wired {
            return 0;
        }
        let (size, reverse) = (if regs.ctrlb & 7 == 1 { 9 } else { 8 }, regs.ctrla >> 30 & 1 != 0);
        let turn = |word: u16| if reverse { word.reverse_bits() >> (16 - size) } else { word };
        let outgoing = if sent { turn(word) } else { 0x1FF };
        // Nobody drives: the line floats, assumed high.
        let mut answer = (1 << size) - 1;
        for wired in self.devices.iter_mut().filter(|wired| wired.selected) {
            answer &= wired.device.transfer(outgoing, cx.now);
        }
        let received = regs.ctrlb & RXEN == 0 || regs.pin(input, "MISO", cx).is_some();
        if received { turn(answer) } else { 0 }
    }

    fn receive(&mut self, word: u16, regs: &mut Regs) {
        let depth = if Self::is_wide(regs) { 4 * RX_DEPTH } else { RX_DEPTH };
        if self.received.len() < depth {
            self.received.push_back(word);
        } else {
            regs.status |= BUFOVF;
            regs.intflag |= ERROR;
        }
    }
}
