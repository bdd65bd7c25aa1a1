//! AES: advanced encryption standard (SAM D5x/E5x datasheet, 42).
//!
//! Fidelity: ECB, CBC, OFB, CFB with all its block sizes, CTR, CCM (counter mode, and CBC-MAC with LOD) and GCM (counter
//! mode with GHASH, and multiplications alone), all key sizes, manual and automatic start, the data pointer, both flags
//! with their interrupt and the two DMA requests are modelled. A block takes 57, 67 or 77 clocks of the bus by key size,
//! 77, 93 or 109 with countermeasures; KEYGEN adds as many (assumed), a multiplication takes 32 (assumed). Assumed:
//! KEYWORD is the cipher's key for decryption too, with or without KEYGEN; CTR counts in all 128 bits, GCM in the last
//! 32. XORKEY is modelled. Countermeasures and RANDSEED have no other effect than the time.

mod cipher;

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use cipher::{Key, ghash};

const ENABLE: u32 = 1 << 1;
const ENCRYPT: u32 = 1 << 10;
const AUTO: u32 = 1 << 11;
const LOD: u32 = 1 << 12;
const KEYGEN: u32 = 1 << 13;
const XORKEY: u32 = 1 << 14;
const START: u32 = 1 << 0;
const NEWMSG: u32 = 1 << 1;
const EOM: u32 = 1 << 2;
const GFMUL: u32 = 1 << 3;
const ENCCMP: u32 = 1 << 0;
const GFMCMP: u32 = 1 << 1;
const MULTIPLICATION: u64 = 32;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &["DBGCTRL", "RANDSEED"], absent: &[] };

/// CTRLA.AESMODE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Ecb,
    Cbc,
    Ofb,
    Cfb,
    Ctr,
    Ccm,
    Gcm,
}

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Aes {
    ctrla: u32,
    ctrlb: u32,
    inten: u32,
    intflag: u32,
    pointer: u32,
    dbgctrl: u32,
    key: [u32; 8],
    iv: [u32; 4],
    hashkey: [u32; 4],
    ghash: [u32; 4],
    ciplen: u32,
    randseed: u32,
    input: [u32; 4],
    output: [u32; 4],
    /// Words written since the last block, and words of the last block's output that nobody has read.
    filled: u32,
    unread: u32,
    /// The chained value: the last cipher block, the output feedback, or the counter.
    chain: [u8; 16],
    /// The block under way, and the end of it.
    busy: Option<Instant>,
}

fn bytes(words: [u32; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (chunk, word) in bytes.chunks_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn words(bytes: [u8; 16]) -> [u32; 4] {
    std::array::from_fn(|n| u32::from_le_bytes([bytes[4 * n], bytes[4 * n + 1], bytes[4 * n + 2], bytes[4 * n + 3]]))
}

fn xor(a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
    std::array::from_fn(|n| a[n] ^ b[n])
}

impl Aes {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self {
            ctrla: 0,
            ctrlb: 0,
            inten: 0,
            intflag: 0,
            pointer: 0,
            dbgctrl: 0,
            key: [0; 8],
            iv: [0; 4],
            hashkey: [0; 4],
            ghash: [0; 4],
            ciplen: 0,
            randseed: 0,
            input: [0; 4],
            output: [0; 4],
            filled: 0,
            unread: 0,
            chain: [0; 16],
            busy: None,
        }
    }

    fn mode(&self) -> Mode {
        match self.ctrla >> 2 & 7 {
            0 => Mode::Ecb,
            1 => Mode::Cbc,
            2 => Mode::Ofb,
            3 => Mode::Cfb,
            4 => Mode::Ctr,
            5 => Mode::Ccm,
            _ => Mode::Gcm,
        }
    }

    /// Bytes of a block: fewer than 16 in CFB alone (CTRLA.CFBS).
    fn block(&self) -> usize {
        match self.ctrla >> 5 & 7 {
            n @ 1..=4 if self.mode() == Mode::Cfb => 16 >> n,
            _ => 16,
        }
    }

    /// Words of INDATA that make a block.
    fn block_words(&self) -> u32 {
        (self.block() as u32).div_ceil(4)
    }

    fn multiplies(&self) -> bool {
        self.mode() == Mode::Gcm && self.ctrlb & GFMUL != 0
    }

    /// Clocks of a block.
    fn clocks(&self) -> u64 {
        if self.multiplies() {
            return MULTIPLICATION;
        }
        let size = (self.ctrla >> 8 & 3).min(2) as usize;
        let rounds = if self.ctrla >> 16 & 15 != 0 { [77, 93, 109][size] } else { [57, 67, 77][size] };
        let keygen = if self.ctrla & KEYGEN != 0 { rounds } else { 0 };
        rounds + keygen + if self.mode() == Mode::Gcm { MULTIPLICATION } else { 0 }
    }

    fn start(&mut self, cx: &Context<'_>) {
        if self.ctrla & ENABLE == 0 || self.busy.is_some() {
            return;
        }
        let time = self.clocks() * 1_000_000_000 / u64::from(cx.clocks.cpu.max(1));
        self.busy = Some(cx.now + Duration::from_nanos(time));
        self.filled = 0;
        self.pointer = 0;
    }

    fn finish(&mut self) {
        self.busy = None;
        self.pointer = 0;
        if self.multiplies() {
            let product = ghash(bytes(self.ghash), bytes(self.input), bytes(self.hashkey));
            self.ghash = words(product);
            self.intflag |= GFMCMP;
            return;
        }
        if self.ctrlb & NEWMSG != 0 {
            self.ctrlb &= !NEWMSG;
            self.chain = bytes(self.iv);
        }
        let input = bytes(self.input);
        let output = self.process(input);
        self.output = words(output);
        self.unread = if self.ctrla & LOD == 0 { self.block_words() } else { 0 };
        self.intflag |= ENCCMP;
        if self.mode() == Mode::Gcm {
            self.authenticate(if self.ctrla & ENCRYPT != 0 { output } else { input });
        }
    }

    /// 42.6.3.1: the cipher text goes into the hash; of the last block, what CIPLEN says.
    fn authenticate(&mut self, mut text: [u8; 16]) {
        if self.ctrlb & EOM != 0 && !self.ciplen.is_multiple_of(16) {
            text[self.ciplen as usize % 16..].fill(0);
        }
        self.ctrlb &= !EOM;
        self.ghash = words(ghash(bytes(self.ghash), text, bytes(self.hashkey)));
        self.intflag |= GFMCMP;
    }

    fn process(&mut self, input: [u8; 16]) -> [u8; 16] {
        let key = Key::new(self.ctrla >> 8 & 3, self.key);
        let encrypts = self.ctrla & ENCRYPT != 0;
        match self.mode() {
            Mode::Ecb if encrypts => key.encrypt(input),
            Mode::Ecb => key.decrypt(input),
            Mode::Cbc if encrypts => {
                self.chain = key.encrypt(xor(input, self.chain));
                self.chain
            }
            Mode::Cbc => {
                let output = xor(key.decrypt(input), self.chain);
                self.chain = input;
                output
            }
            Mode::Ofb => {
                self.chain = key.encrypt(self.chain);
                xor(input, self.chain)
            }
            Mode::Cfb => self.feed_back(&key, input, encrypts),
            // CBC-MAC (42.6.2.4).
            Mode::Ccm if self.ctrla & LOD != 0 => {
                self.chain = key.encrypt(xor(input, self.chain));
                self.chain
            }
            Mode::Ctr | Mode::Ccm => {
                let output = xor(input, key.encrypt(self.chain));
                self.chain = u128::from_be_bytes(self.chain).wrapping_add(1).to_be_bytes();
                output
            }
            Mode::Gcm => {
                let output = xor(input, key.encrypt(self.chain));
                let counter = u128::from_be_bytes(self.chain);
                let next = counter & !u128::from(u32::MAX) | u128::from((counter as u32).wrapping_add(1));
                self.chain = next.to_be_bytes();
                output
            }
        }
    }

    fn feed_back(&mut self, key: &Key, input: [u8; 16], encrypts: bool) -> [u8; 16] {
        let size = self.block();
        let mut output = xor(input, key.encrypt(self.chain));
        output[size..].fill(0);
        let cipher = if encrypts { output } else { input };
        self.chain.copy_within(size.., 0);
        self.chain[16 - size..].copy_from_slice(&cipher[..size]);
        output
    }

    fn write_data(&mut self, value: u32, cx: &Context<'_>) {
        if self.busy.is_some() {
            return;
        }
        if self.ctrla & LOD != 0 {
            self.intflag &= !ENCCMP;
        }
        let words = self.block_words();
        self.input[self.pointer as usize & 3] = value;
        self.pointer = (self.pointer + 1) % words;
        self.filled += 1;
        self.unread = 0;
        if self.filled >= words && self.ctrla & AUTO != 0 {
            self.start(cx);
        }
    }

    fn read_data(&mut self) -> u32 {
        let value = self.output[self.pointer as usize & 3];
        self.pointer = (self.pointer + 1) % self.block_words();
        self.unread = self.unread.saturating_sub(1);
        self.intflag &= !ENCCMP;
        value
    }
}

impl Peripheral for Aes {
    fn width(&self, offset: u32) -> Size {
        match offset {
            0x04..0x0C => Size::Byte,
            _ => Size::Word,
        }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        match offset {
            0x00 => self.ctrla,
            0x04 => self.ctrlb,
            0x05 | 0x06 => self.inten,
            0x07 => {
                if let Some(at) = self.busy {
                    cx.steady_until(at);
                }
                self.intflag
            }
            0x08 => self.pointer,
            0x09 => self.dbgctrl,
            0x0C..0x2C | 0x3C..0x4C => 0,
            0x38 => self.read_data(),
            0x5C..0x6C => self.hashkey[(offset as usize - 0x5C) / 4],
            0x6C..0x7C => self.ghash[(offset as usize - 0x6C) / 4],
            0x80 => self.ciplen,
            0x84 => self.randseed,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.advance(cx);
        match offset {
            0x00 if w.value & 1 != 0 => *self = Self::new(),
            0x00 => {
                let value = w.onto_masked(self.ctrla, 0xF_7FFE);
                // 42.8.1: enable-protected but for ENABLE.
                let enabled = self.ctrla & value & ENABLE != 0;
                if enabled && value != self.ctrla {
                    cx.violation("AES.CTRLA is enable-protected: write dropped");
                } else {
                    self.ctrla = value;
                }
                if self.ctrla & ENABLE == 0 {
                    (self.busy, self.filled, self.unread, self.pointer) = (None, 0, 0, 0);
                }
            }
            0x04 => {
                self.ctrlb = w.value & (NEWMSG | EOM | GFMUL);
                if w.value & START != 0 {
                    self.start(cx);
                }
            }
            0x05 => self.inten &= !w.value,
            0x06 => self.inten |= w.value & 3,
            0x07 => self.intflag &= !w.value,
            0x08 => self.pointer = w.value & 3,
            0x09 => self.dbgctrl = w.value & 1,
            0x0C..0x2C => {
                let n = (offset as usize - 0x0C) / 4;
                let old = if self.ctrla & XORKEY != 0 { self.key[n] } else { 0 };
                self.key[n] = old ^ w.value;
            }
            0x38 => self.write_data(w.value, cx),
            0x3C..0x4C => self.iv[(offset as usize - 0x3C) / 4] = w.value,
            0x5C..0x6C => self.hashkey[(offset as usize - 0x5C) / 4] = w.value,
            0x6C..0x7C => self.ghash[(offset as usize - 0x6C) / 4] = w.value,
            0x80 => self.ciplen = w.onto(self.ciplen),
            0x84 => self.randseed = w.onto(self.randseed),
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        *self = Self::new();
    }

    fn next_event(&self) -> Instant {
        self.busy.unwrap_or(Instant::NEVER)
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.busy.is_some_and(|at| at <= cx.now) {
            self.finish();
        }
    }

    fn irqs(&self) -> u64 {
        u64::from(self.inten & self.intflag != 0)
    }

    fn dma_requests(&self) -> u128 {
        let idle = self.ctrla & ENABLE != 0 && self.busy.is_none() && self.unread == 0;
        u128::from(idle) << 81 | u128::from(self.unread != 0) << 82
    }
}

#[cfg(test)]
mod tests;
