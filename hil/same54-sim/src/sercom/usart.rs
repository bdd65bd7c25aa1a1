//! The USART (SAM D5x/E5x datasheet, 34).

use std::collections::VecDeque;
use std::time::Duration;

use sim_base::Instant;

use super::pads::Pin;
use super::regs::{Mode, Regs, SYNC_CTRLB, SYNC_LENGTH};
use crate::peripheral::{Context, Write};

pub(super) const TXEN: u32 = 1 << 16;
pub(super) const RXEN: u32 = 1 << 17;
pub(super) const DRE: u32 = 1 << 0;
pub(super) const TXC: u32 = 1 << 1;
pub(super) const RXC: u32 = 1 << 2;
const RXS: u32 = 1 << 3;
const ERROR: u32 = 1 << 7;
pub(super) const BUFOVF: u32 = 1 << 2;
const SFDE: u32 = 1 << 9;
/// Words that the receiver holds before it overflows.
const RX_DEPTH: usize = 2;
/// Where the EDBG's virtual COM port is wired: the board's transmit and receive pin on SERCOM2.
const VCOM: (usize, Pin, Pin) = (2, (1, 25), (1, 24));

/// The transmitter and the receiver.
#[derive(Clone, Debug)]
pub(super) struct Usart {
    txc: bool,
    /// Character in the shift register and when its last bit is out.
    shifting: Option<(u16, Instant)>,
    /// Characters that wait in DATA: one, or up to four of a 32-bit write.
    waiting: VecDeque<u16>,
    received: VecDeque<u16>,
    /// Characters on their way in, and when the first will be complete.
    pub(super) incoming: VecDeque<u16>,
    incoming_at: Instant,
    sent: Vec<u8>,
    /// Characters left of LENGTH, for the direction that LENEN names.
    length_left: u32,
}

impl Usart {
    pub(super) fn new() -> Self {
        Self {
            txc: false,
            shifting: None,
            waiting: VecDeque::new(),
            received: VecDeque::new(),
            incoming: VecDeque::new(),
            incoming_at: Instant::NEVER,
            sent: Vec::new(),
            length_left: 0,
        }
    }

    pub(super) fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }

    pub(super) fn send(&mut self, bytes: &[u8], regs: &Regs, cx: &Context<'_>) {
        if self.incoming.is_empty() {
            self.incoming_at = cx.now + self.character_time(regs, cx);
        }
        self.incoming.extend(bytes.iter().map(|byte| u16::from(*byte)));
    }

    /// Time of one character on the line.
    fn character_time(&self, regs: &Regs, cx: &Context<'_>) -> Duration {
        let data = match regs.ctrlb & 7 {
            0 => 8,
            1 => 9,
            size => u64::from(size),
        };
        let parity = u64::from(matches!(regs.ctrla >> 24 & 15, 1 | 5));
        bits_time(1 + data + parity + 1 + u64::from(regs.ctrlb >> 6 & 1), regs, cx)
    }

    pub(super) fn flags(&self, regs: &Regs) -> u32 {
        if !regs.is_enabled() {
            return regs.intflag;
        }
        let dre = self.waiting.is_empty() && regs.ctrlb & TXEN != 0;
        regs.intflag
            | if dre { DRE } else { 0 }
            | if self.txc { TXC } else { 0 }
            | if self.has_word(regs) { RXC } else { 0 }
    }

    pub(super) fn clear_flags(&mut self, value: u32, regs: &mut Regs) {
        self.txc &= value & TXC == 0;
        regs.intflag &= !value;
    }

    /// 34.6.3.11: a 32-bit read takes four characters, or what is left of LENGTH.
    fn has_word(&self, regs: &Regs) -> bool {
        let wanted = if regs.ctrlc >> 24 & 1 == 0 {
            1
        } else if regs.length >> 8 & 3 == 2 {
            self.length_left.clamp(1, 4) as usize
        } else {
            4
        };
        self.received.len() >= wanted
    }

    pub(super) fn read_data(&mut self, regs: &mut Regs) -> u32 {
        if regs.ctrlc >> 24 & 1 == 0 {
            self.count_down(1, 2, regs);
            return u32::from(self.received.pop_front().unwrap_or(0));
        }
        let count = if regs.length >> 8 & 3 == 2 { self.length_left.clamp(1, 4) } else { 4 };
        self.count_down(count, 2, regs);
        (0..count).fold(0, |word, n| word | u32::from(self.received.pop_front().unwrap_or(0) & 0xFF) << (8 * n))
    }

    /// LENGTH counts the characters of one direction (1 transmit, 2 receive) and begins anew after the last.
    fn count_down(&mut self, count: u32, direction: u32, regs: &Regs) {
        if regs.length >> 8 & 3 == direction {
            self.length_left = self.length_left.saturating_sub(count);
            if self.length_left == 0 {
                self.length_left = regs.length & 0xFF;
            }
        }
    }

    pub(super) fn write_data(&mut self, w: Write, regs: &mut Regs, cx: &mut Context<'_>) {
        if !regs.is_enabled() || regs.ctrlb & TXEN == 0 {
            cx.violation("SERCOM.DATA written while the transmitter is disabled");
            return;
        }
        if regs.mode() == Mode::UsartExternal {
            cx.violation(format!("SERCOM{} waits for a clock on XCK, which nothing drives", regs.n));
        }
        self.txc = false;
        let wide = regs.ctrlc >> 25 & 1 != 0;
        let count = match regs.length >> 8 & 3 {
            _ if !wide => 1,
            1 => self.length_left.clamp(1, 4),
            _ => 4,
        };
        self.count_down(count, 1, regs);
        if regs.ctrla >> 24 & 15 == 2 && regs.ctrlb >> 24 & 3 == 2 {
            // 34.6.3.6, LIN host: break and sync go out before the identifier. The break shows as a zero.
            let break_bits = [13, 17, 21, 26][(regs.ctrlc >> 8 & 3) as usize];
            self.shifting = Some((0, cx.now + bits_time(break_bits, regs, cx)));
            self.waiting.extend([0x55, w.value as u16 & 0xFF]);
            regs.ctrlb &= !(3 << 24);
            return;
        }
        for n in 0..count {
            let character = if wide { (w.value >> (8 * n)) as u16 & 0xFF } else { w.value as u16 & 0x1FF };
            self.waiting.push_back(character);
        }
        if self.shifting.is_none() {
            self.shift(cx.now, regs, cx);
        }
    }

    fn shift(&mut self, at: Instant, regs: &Regs, cx: &Context<'_>) {
        self.shifting = self.waiting.pop_front().map(|word| (word, at + self.character_time(regs, cx)));
    }

    pub(super) fn write_length(&mut self, w: Write, regs: &mut Regs, cx: &mut Context<'_>) {
        regs.length = w.onto_masked(regs.length, regs.masks().length);
        self.length_left = regs.length & 0xFF;
        regs.synchronise(SYNC_LENGTH, cx);
    }

    pub(super) fn ctrlb_written(&mut self, old: u32, regs: &mut Regs, cx: &mut Context<'_>) {
        if regs.is_enabled() && (old ^ regs.ctrlb) & (TXEN | RXEN) != 0 {
            regs.synchronise(SYNC_CTRLB, cx);
        }
        if regs.ctrlb & RXEN == 0 {
            self.received.clear();
        }
        if regs.ctrlb & TXEN == 0 {
            self.waiting.clear();
        }
    }

    /// The core clock comes back or changes: what waits for it takes a character's time from now on (assumed: a
    /// character that stood still is sent anew).
    pub(super) fn clock_changed(&mut self, regs: &Regs, cx: &Context<'_>) {
        let latest = cx.now + self.character_time(regs, cx);
        if let Some((_, at)) = &mut self.shifting {
            *at = (*at).min(latest);
        }
        if !self.incoming.is_empty() {
            self.incoming_at = self.incoming_at.min(latest);
        }
    }

    /// The block is disabled: transfers under way are lost.
    pub(super) fn stop(&mut self) {
        *self = Self { sent: self.take_sent(), ..Self::new() };
    }

    pub(super) fn next_event(&self) -> Instant {
        self.shifting.map_or(Instant::NEVER, |(_, at)| at).min(self.incoming_at)
    }

    pub(super) fn advance(&mut self, regs: &mut Regs, cx: &mut Context<'_>) {
        while let Some((word, at)) = self.shifting.filter(|(_, at)| *at <= cx.now) {
            self.leave(word, regs, cx);
            self.shift(at, regs, cx);
            self.txc = self.shifting.is_none();
        }
        while self.incoming_at <= cx.now {
            let Some(word) = self.incoming.pop_front() else { break };
            if regs.is_enabled() && regs.ctrlb & RXEN != 0 {
                let pad = (regs.ctrla >> 20 & 3) as usize;
                let wired = regs.pin(pad, "RxD", cx);
                if wired.is_some_and(|pin| regs.n != VCOM.0 || pin == VCOM.2) {
                    self.receive(word, regs);
                }
            }
            self.incoming_at = match self.incoming.is_empty() {
                true => Instant::NEVER,
                false => self.incoming_at + self.character_time(regs, cx),
            };
        }
    }

    /// A character has left the shift register. TxD is PAD[0] with every TXPO.
    fn leave(&mut self, word: u16, regs: &mut Regs, cx: &mut Context<'_>) {
        let word = word & line_mask(regs);
        let wired = regs.pin(0, "TxD", cx);
        if wired.is_some_and(|pin| regs.n != VCOM.0 || pin == VCOM.1) {
            self.sent.push(word as u8);
        }
        // 34.6.3.2 and 34.8.1: with RxD on the same pad the receiver hears it all.
        if regs.ctrla >> 20 & 3 == 0 && regs.ctrlb & RXEN != 0 {
            self.receive(word, regs);
        }
    }

    fn receive(&mut self, word: u16, regs: &mut Regs) {
        let word = word & line_mask(regs);
        if regs.ctrlb & SFDE != 0 {
            regs.intflag |= RXS;
        }
        let depth = if regs.ctrlc >> 24 & 1 != 0 { 4 * RX_DEPTH } else { RX_DEPTH };
        if self.received.len() < depth {
            self.received.push_back(word);
        } else {
            regs.status |= BUFOVF;
            regs.intflag |= ERROR;
        }
    }
}

/// The data bits of a character (CTRLB.CHSIZE).
fn line_mask(regs: &Regs) -> u16 {
    match regs.ctrlb & 7 {
        0 => 0xFF,
        1 => 0x1FF,
        size => (1 << size) - 1,
    }
}

/// Time of `bits` bits on the line (33.6.2.3).
fn bits_time(bits: u64, regs: &Regs, cx: &Context<'_>) -> Duration {
    let hz = u128::from(regs.hz(cx));
    let never = Duration::from_secs(3_600);
    if hz == 0 || regs.mode() == Mode::UsartExternal {
        return never;
    }
    let bits = u128::from(bits);
    if regs.ctrla >> 28 & 1 != 0 {
        // CMODE: synchronous.
        let baud = u128::from(regs.baud & 0xFF) + 1;
        return Duration::from_nanos((bits * 2 * baud * 1_000_000_000 / hz) as u64);
    }
    // Bit time in 1/65536 (arithmetic) or 1/8 (fractional) of the reference period.
    let (samples, fractional) = match regs.ctrla >> 13 & 7 {
        0 => (16, false),
        1 => (16, true),
        2 => (8, false),
        3 => (8, true),
        _ => (3, false),
    };
    let nanos = if fractional {
        let baud = u128::from(regs.baud & 0x1FFF) * 8 + u128::from(regs.baud >> 13 & 7);
        bits * samples * baud.max(8) * 1_000_000_000 / (8 * hz)
    } else {
        let baud = 65_536 - u128::from(regs.baud & 0xFFFF);
        bits * samples * 65_536 * 1_000_000_000 / (baud * hz)
    };
    Duration::from_nanos(nanos as u64)
}
