//! GCLK: generic clock generators and channels (SAM D5x/E5x datasheet, 14).
//!
//! Fidelity: generators, dividers (DIV and DIVSEL), channels and their write lock are modelled. A generator whose new
//! source is not ready goes on with the old one and shows it in SYNCBUSY (14.6.2.6); other synchronisation is instant
//! (assumed: really a few cycles of the slower clock). Outputs to pins follow OE, OOV, IDC and, in
//! standby, RUNSTDBY, which else is stored only; their phase is assumed. Clocks from pins (GCLK_IO as source) stand still.

use armv7m::Size;
use sim_base::Instant;

use crate::event::ResetCause;
use crate::peripheral::{Context, Peripheral, Write};
use crate::waveform::{Output, Waveform};

const GENEN: u32 = 1 << 8;
const IDC: u32 = 1 << 9;
const OOV: u32 = 1 << 10;
const OE: u32 = 1 << 11;
const RUNSTDBY: u32 = 1 << 13;
/// GENCTRLn.SRC of the pin GCLK_IO.
const GCLKIN: u8 = 2;
const DIVSEL: u32 = 1 << 12;
const CHEN: u32 = 1 << 6;
const WRTLOCK: u32 = 1 << 7;
/// GENCTRL0 after reset: enabled, source DFLL.
const GENCTRL0_RESET: u32 = 0x0000_0106;

/// GENCTRLn.SRC.
fn source(genctrl: u32) -> u8 {
    (genctrl & 15) as u8
}

/// The register block.
#[derive(Clone, Debug)]
pub(crate) struct Gclk {
    genctrl: [u32; 12],
    pchctrl: [u32; 48],
    /// The sources that the generators really run from: GENCTRLn.SRC, unless that one is not ready yet.
    running: [u8; 12],
}

impl Gclk {
    /// As after reset.
    pub(crate) fn new() -> Self {
        let mut genctrl = [0; 12];
        genctrl[0] = GENCTRL0_RESET;
        Self { genctrl, pchctrl: [0; 48], running: genctrl.map(source) }
    }

    fn keep_locked(&mut self, old: &[u32; 48]) {
        for (channel, old) in self.pchctrl.iter_mut().zip(old) {
            if old & WRTLOCK != 0 {
                *channel = *old;
            }
        }
    }

    /// The source that generator `n` runs from if those of `ready` are: the one it ran from before until the selected one
    /// is ready (14.6.2.6). A disabled generator has none to go on with.
    pub(super) fn choose_source(&self, n: usize, ready: impl Fn(u8) -> bool) -> u8 {
        let wanted = source(self.genctrl[n]);
        if self.genctrl[n] & GENEN == 0 || ready(wanted) { wanted } else { self.running[n] }
    }

    /// The source that generator `n` asks for.
    pub(super) fn asks(&self, n: usize) -> Option<u8> {
        (self.genctrl[n] & GENEN != 0).then_some(source(self.genctrl[n]))
    }

    /// The generators have changed to these sources.
    pub(super) fn run_from(&mut self, sources: [u8; 12]) {
        self.running = sources;
    }

    /// 14.8.3: GENCTRLn is busy until the change of its source is complete.
    fn syncbusy(&self) -> u32 {
        let switching = (0..12).filter(|n| self.running[*n] != source(self.genctrl[*n]));
        switching.map(|n| 1 << (2 + n)).sum()
    }

    /// Output of generator `n` for a source of `hz`.
    pub(super) fn divide(&self, n: usize, hz: u32) -> u32 {
        let control = self.genctrl[n];
        if control & GENEN == 0 {
            return 0;
        }
        let div = control >> 16;
        // Generator 1 has 16 divider bits, the others 8.
        let div = if n == 1 { div } else { div & 0xFF };
        if control & DIVSEL != 0 {
            // Division by 2^(DIV + 1), limited by the divider's width.
            let exponent = (div + 1).min(if n == 1 { 17 } else { 9 });
            hz >> exponent
        } else {
            hz / div.max(1)
        }
    }

    /// What generator `n`, whose output has `hz`, drives at its pin (14.6.2.9): its clock, or OOV while that is off. None
    /// while the pin is its source. The phase is that of a clock that rose at time zero (assumed).
    pub(crate) fn output(&self, n: usize, hz: u32, standby: bool, now: Instant) -> Option<Output> {
        let control = self.genctrl[n];
        if source(control) == GCLKIN && control & GENEN != 0 {
            return None;
        }
        let stopped = standby && control & RUNSTDBY == 0;
        if control & OE == 0 || control & GENEN == 0 || stopped || hz == 0 {
            return Some(Output::steady(control & OOV != 0));
        }
        let div = control >> 16 & if n == 1 { 0xFFFF } else { 0xFF };
        // An odd division is only symmetrical with IDC (14.8.4); which half is the longer one is assumed.
        let odd = control & (DIVSEL | IDC) == 0 && div % 2 == 1 && div > 1;
        let (clock_hz, period, high) = match odd {
            true => (hz * div, u64::from(div), u64::from(div / 2)),
            false => (2 * hz, 2, 1),
        };
        let clocks = u128::from(now.as_nanos()) * u128::from(clock_hz) / 1_000_000_000;
        let level = (clocks % u128::from(period)) as u64;
        Some(Output { level: level < high, waveform: Some(Waveform { clock_hz, period, high }) })
    }

    /// Frequency of channel `n`.
    pub(super) fn channel_hz(&self, n: usize, generator: &[u32; 12]) -> u32 {
        let control = self.pchctrl[n];
        if control & CHEN == 0 {
            return 0;
        }
        generator.get((control & 15) as usize).copied().unwrap_or(0)
    }
}

impl Peripheral for Gclk {
    fn width(&self, offset: u32) -> Size {
        if offset < 4 { Size::Byte } else { Size::Word }
    }

    fn read(&mut self, offset: u32, cx: &mut Context<'_>) -> u32 {
        match offset {
            0x00 => 0,
            0x04 => self.syncbusy(),
            0x20..0x50 => self.genctrl[(offset as usize - 0x20) / 4],
            0x80..0x140 => self.pchctrl[(offset as usize - 0x80) / 4],
            _ => cx.unmodelled(offset, false),
        }
    }

    fn write(&mut self, offset: u32, w: Write, cx: &mut Context<'_>) {
        match offset {
            0x00 => {
                if w.value & 1 != 0 {
                    // SWRST spares locked channels (14.6.1).
                    let locked = self.pchctrl;
                    *self = Self::new();
                    self.keep_locked(&locked);
                }
            }
            0x04 => {}
            0x20..0x50 => {
                let n = (offset as usize - 0x20) / 4;
                let locked = self
                    .pchctrl
                    .iter()
                    .any(|channel| channel & WRTLOCK != 0 && (channel & 15) as usize == n && channel & CHEN != 0);
                if !locked {
                    self.genctrl[n] = w.onto_masked(self.genctrl[n], 0xFFFF_3F0F);
                }
            }
            0x80..0x140 => {
                let channel = &mut self.pchctrl[(offset as usize - 0x80) / 4];
                if *channel & WRTLOCK == 0 {
                    *channel = w.onto_masked(*channel, 0xCF);
                }
            }
            _ => {
                cx.unmodelled(offset, true);
            }
        }
        cx.signals.clocks_dirty = true;
    }

    fn reset(&mut self, cause: ResetCause, cx: &mut Context<'_>) {
        let locked = self.pchctrl;
        *self = Self::new();
        // Channels with WRTLOCK are only reset with the supply (datasheet 17, "Effects of the Different Reset Causes").
        if !cause.is_supply() {
            self.keep_locked(&locked);
        }
        cx.signals.clocks_dirty = true;
    }
}
