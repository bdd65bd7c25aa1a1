//! ICM: integrity check monitor (SAM D5x/E5x datasheet, 41).
//!
//! Fidelity: the four regions with their descriptors and secondary lists, SHA-1, SHA-224 and SHA-256 over whole blocks of
//! 64 bytes (padding is software's, 41.6.2), write-back and comparison of digests, the automatic switch to comparison,
//! user initial hash values, wrap, end of monitoring, region monitoring disable and enable, rehash, all status flags with
//! their interrupt are modelled. A block takes 85 clocks of the bus in SHA-1 and 72 in the others (assumed), a region
//! happens at its end in one piece. Stored only: DUALBUFF, BBC, MRPROT and PROCDLY. UASR never shows anything: the
//! descriptors are not checked.

mod sha;

use std::time::Duration;

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::registers::Ledger;
use sha::{Algorithm, Hash};

const WBDIS: u32 = 1 << 0;
const EOMDIS: u32 = 1 << 1;
const SLBDIS: u32 = 1 << 2;
const ASCD: u32 = 1 << 8;
const UIHASH: u32 = 1 << 12;
/// Flags of ISR, for region 0.
const RHC: u32 = 1 << 0;
const RDM: u32 = 1 << 4;
const RBE: u32 = 1 << 8;
const RWC: u32 = 1 << 12;
const REC: u32 = 1 << 16;
const RSU: u32 = 1 << 20;
const ALL: u32 = 0x1FF_FFFF;
/// Bits of RCFG.
const CDWBN: u32 = 1 << 0;
const WRAP: u32 = 1 << 1;
const EOM: u32 = 1 << 2;
/// Descriptors of a secondary list after which it is taken for endless.
const LONGEST: usize = 1_024;

/// What the model makes of the registers.
pub(crate) const LEDGER: Ledger = Ledger { stored: &[], absent: &[] };

/// A region descriptor (41.6.3).
#[derive(Clone, Copy, Debug)]
struct Descriptor {
    addr: u32,
    config: u32,
    blocks: u32,
    next: u32,
}

impl Descriptor {
    fn fetch(at: u32, cx: &Context<'_>) -> Option<Self> {
        let word = |n: u32| cx.dma_read_word(at.wrapping_add(4 * n)).ok();
        Some(Self { addr: word(0)?, config: word(1)?, blocks: (word(2)? & 0xFFFF) + 1, next: word(3)? & !3 })
    }
}

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Icm {
    cfg: u32,
    enabled: bool,
    /// Regions whose monitoring is disabled.
    disabled: u32,
    imr: u32,
    isr: u32,
    dscr: u32,
    hash: u32,
    initial: [u32; 8],
    /// Regions whose digest has been written since the last rehash: with ASCD, they are compared.
    written: u32,
    /// The region under way and its end.
    region: u32,
    busy_until: Option<Instant>,
}

impl Icm {
    /// As after reset.
    pub(crate) fn new() -> Self {
        Self {
            cfg: 0,
            enabled: false,
            disabled: 0,
            imr: 0,
            isr: 0,
            dscr: 0,
            hash: 0,
            initial: [0; 8],
            written: 0,
            region: 0,
            busy_until: None,
        }
    }

    fn descriptor(&self, cx: &Context<'_>) -> Option<Descriptor> {
        Descriptor::fetch(self.dscr + 16 * self.region, cx)
    }

    fn algorithm(&self, descriptor: &Descriptor) -> Algorithm {
        // 41.8.1, UALGO: with user initial values the algorithm is the user's.
        Algorithm::new(if self.cfg & UIHASH != 0 { self.cfg >> 13 & 7 } else { descriptor.config >> 12 & 7 })
    }

    /// The region's descriptor and those of its secondary list.
    fn list(&self, cx: &Context<'_>) -> Option<Vec<Descriptor>> {
        let mut list = vec![self.descriptor(cx)?];
        while let Some(last) = list.last().filter(|last| last.next != 0 && self.cfg & SLBDIS == 0) {
            if list.len() >= LONGEST {
                return None;
            }
            list.push(Descriptor::fetch(last.next, cx)?);
        }
        Some(list)
    }

    /// Begins the region, if it is to be monitored, or finds the next one.
    fn begin(&mut self, at: Instant, cx: &mut Context<'_>) {
        self.busy_until = None;
        for _ in 0..4 {
            if !self.enabled {
                return;
            }
            if self.disabled >> self.region & 1 == 0 {
                let list = self.list(cx).unwrap_or_default();
                let blocks: u64 = list.iter().map(|descriptor| u64::from(descriptor.blocks)).sum();
                let clocks = list.first().map_or(1, |first| self.algorithm(first).clocks()) * blocks.max(1);
                let time = clocks * 1_000_000_000 / u64::from(cx.clocks.cpu.max(1));
                self.busy_until = Some(at + Duration::from_nanos(time));
                return;
            }
            let Some(descriptor) = self.descriptor(cx) else { return };
            self.step(descriptor.config, cx);
        }
    }

    /// After a region: the next one, the first again, or the end. Flags whose bit in RCFG is set stay down.
    fn step(&mut self, config: u32, _cx: &mut Context<'_>) {
        let region = self.region;
        if config & EOM != 0 && self.cfg & EOMDIS == 0 {
            self.raise(REC, config >> 8 & 1, region);
            self.enabled = false;
            self.region = 0;
        } else if config & WRAP != 0 || region == 3 {
            self.raise(RWC, config >> 7 & 1, region);
            self.region = 0;
        } else {
            self.region += 1;
        }
    }

    fn raise(&mut self, flag: u32, masked: u32, region: u32) {
        if masked == 0 {
            self.isr |= flag << region;
        }
    }

    /// The region under way is through.
    fn finish(&mut self, at: Instant, cx: &mut Context<'_>) {
        let region = self.region;
        let Some(list) = self.list(cx) else { return self.fail(0, region) };
        let config = list[0].config;
        let algorithm = self.algorithm(&list[0]);
        let mut hash = Hash::new(algorithm, (self.cfg & UIHASH != 0).then_some(self.initial));
        for descriptor in &list {
            let mut block = [0; 64];
            for n in 0..descriptor.blocks {
                if cx.dma_read(descriptor.addr.wrapping_add(64 * n), &mut block).is_err() {
                    return self.fail(config, region);
                }
                hash.update(&block);
            }
        }
        let digest = hash.digest();
        let area = self.hash + 32 * region;
        let compares = config & CDWBN != 0 || self.cfg & ASCD != 0 && self.written >> region & 1 != 0;
        if compares {
            let mut stored = vec![0; digest.len()];
            match cx.dma_read(area, &mut stored) {
                Ok(()) if stored == digest => {}
                Ok(()) => self.raise(RDM, config >> 5 & 1, region),
                Err(_) => return self.fail(config, region),
            }
        } else if self.cfg & WBDIS == 0 && cx.dma_write(area, &digest).is_err() {
            return self.fail(config, region);
        } else {
            self.written |= 1 << region;
            self.raise(RSU, config >> 9 & 1, region);
        }
        self.raise(RHC, config >> 4 & 1, region);
        self.step(config, cx);
        self.begin(at, cx);
    }

    /// A bus error ends it all (41.6.4).
    fn fail(&mut self, config: u32, region: u32) {
        self.raise(RBE, config >> 6 & 1, region);
        self.enabled = false;
        self.busy_until = None;
    }

    fn control(&mut self, value: u32, cx: &mut Context<'_>) {
        if value & 4 != 0 {
            *self = Self::new();
            return;
        }
        self.written &= !(value >> 4 & 15);
        self.disabled |= value >> 8 & 15;
        self.disabled &= !(value >> 12 & 15);
        if value & 2 != 0 {
            self.enabled = false;
            self.busy_until = None;
        } else if value & 1 != 0 && !self.enabled {
            self.enabled = true;
            self.region = 0;
            self.begin(cx.now, cx);
        } else if value >> 4 & 15 != 0 && self.enabled && self.busy_until.is_none() {
            self.begin(cx.now, cx);
        }
    }
}

impl Peripheral for Icm {
    fn width(&self, _offset: u32) -> Size {
        Size::Word
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        self.advance(cx);
        match offset {
            0x00 => self.cfg,
            0x08 => {
                // RAWRMDIS and RMDIS.
                u32::from(self.enabled) | self.disabled << 8 | self.disabled << 12
            }
            0x18 => self.imr,
            // 41.8.7: cleared by being read.
            0x1C => std::mem::take(&mut self.isr),
            0x20 | 0x04 | 0x10 | 0x14 => 0,
            0x30 => self.dscr,
            0x34 => self.hash,
            0x38..0x58 => 0,
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        self.advance(cx);
        match offset {
            0x00 => self.cfg = w.onto_masked(self.cfg, 0xF3F7),
            0x04 => self.control(w.value, cx),
            0x10 => self.imr |= w.value & ALL,
            0x14 => self.imr &= !w.value,
            0x30 => self.dscr = w.onto_masked(self.dscr, !0x3F),
            0x34 => self.hash = w.onto_masked(self.hash, !0x7F),
            0x38..0x58 => self.initial[(offset as usize - 0x38) / 4] = w.value,
            0x08 | 0x18 | 0x1C | 0x20 => {}
            _ => {
                cx.unmodelled(offset, true);
            }
        }
    }

    fn reset(&mut self, _cause: ResetCause, _cx: &mut Context<'_>) {
        *self = Self::new();
    }

    fn next_event(&self) -> Instant {
        self.busy_until.unwrap_or(Instant::NEVER)
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if let Some(at) = self.busy_until.filter(|at| *at <= cx.now) {
            // One region at a time: with WRAP there is always a next one.
            self.finish(at.max(cx.now), cx);
        }
    }

    fn irqs(&self) -> u64 {
        u64::from(self.isr & self.imr != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Bench;

    const ICM: u32 = 0x4200_2C00;
    const LIST: u32 = 0x2000_1000;
    const HASH: u32 = 0x2000_1080;
    const DATA: u32 = 0x2000_2000;
    const SHA256: u32 = 1 << 12;

    /// "abc" with its padding: a whole block.
    fn bench(config: u32) -> Bench {
        let mut bench = Bench::new();
        for n in 0..16 {
            bench.set(DATA + 4 * n, 0);
        }
        bench.set(DATA, u32::from_le_bytes(*b"abc\x80"));
        bench.set_byte(DATA + 63, 24);
        for (n, word) in (0..).zip([DATA, config, 0, 0]) {
            bench.set(LIST + 4 * n, word);
        }
        bench.set(ICM + 0x30, LIST);
        bench.set(ICM + 0x34, HASH);
        bench
    }

    #[test]
    fn digests_are_those_of_fips_180() {
        let cases = [
            (0, [0xA999_3E36, 0x4706_816A]),
            (SHA256, [0xBA78_16BF, 0x8F01_CFEA]),
            (4 << 12, [0x2309_7D22, 0x3405_D822]),
        ];
        for (algorithm, digest) in cases {
            let mut bench = bench(algorithm | EOM);
            bench.set(ICM + 0x10, RHC);
            bench.set(ICM + 4, 1);
            assert_eq!(bench.word(ICM + 8) & 1, 1);
            bench.run(1_400);
            assert!(!bench.irq(132));
            bench.run(1_000);
            assert!(bench.irq(132));
            assert_eq!([HASH, HASH + 4].map(|at| bench.word(at).swap_bytes()), digest);
            assert_eq!(bench.word(ICM + 0x1C), RHC | REC | RSU);
            assert_eq!((bench.word(ICM + 0x1C), bench.word(ICM + 8) & 1), (0, 0));
        }
    }

    #[test]
    fn a_changed_region_is_a_mismatch_for_as_long_as_it_is_monitored() {
        // 41.6.2: write-back first, then comparison by itself, around and around.
        let mut bench = bench(SHA256 | WRAP);
        bench.set(ICM, ASCD);
        bench.set(ICM + 0x10, RDM);
        bench.set(ICM + 4, 1);
        bench.run(20_000);
        assert!(!bench.irq(132));
        bench.set_byte(DATA + 1, 0);
        bench.run(4_000);
        assert!(bench.irq(132));
        bench.set(ICM + 4, 2);
        bench.run(4_000);
        bench.word(ICM + 0x1C);
        bench.run(4_000);
        assert_eq!(bench.word(ICM + 0x1C), 0, "disabled");
    }

    #[test]
    fn a_secondary_list_goes_into_the_same_digest() {
        // Two blocks: 64 bytes of 'a', and their padding.
        let mut bench = bench(SHA256 | EOM);
        for n in 0..16 {
            bench.set(DATA + 0x100 + 4 * n, 0x6161_6161);
            bench.set(DATA + 4 * n, 0);
        }
        bench.set(DATA, 0x80);
        bench.set_half(DATA + 62, 512_u32.swap_bytes() >> 16);
        bench.set(LIST, DATA + 0x100);
        bench.set(LIST + 12, LIST + 0x40);
        for (n, word) in (0..).zip([DATA, SHA256, 0, 0]) {
            bench.set(LIST + 0x40 + 4 * n, word);
        }
        bench.set(ICM + 4, 1);
        bench.run(10_000);
        assert_eq!(bench.word(HASH).swap_bytes(), 0xFFE0_54FE);
    }

    #[test]
    fn a_bus_error_ends_the_monitoring() {
        let mut bench = bench(SHA256);
        bench.set(LIST, 0x3000_0000);
        bench.set(ICM + 4, 1);
        bench.run(10_000);
        assert_eq!((bench.word(ICM + 0x1C), bench.word(ICM + 8) & 1), (RBE, 0));
    }
}
