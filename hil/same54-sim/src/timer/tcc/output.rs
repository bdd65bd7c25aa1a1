//! The waveform outputs of a TCC (49.6.2.5, 49.6.3.8): compare channels, output matrix, dead time, swap, pattern,
//! inversion, and what outputs do while the counter is stopped.
//!
//! A match takes effect when COUNT becomes the value of CC. Single slopes are high for CC of PER + 1 counts; counting
//! down, for CC + 1 (assumed). Dual slopes rise at the match on the way up (49.6.2.5.8). A stopped or faulty TCC drives
//! DRVCTRL.NRV where NRE says so and nothing elsewhere, as does a disabled one (assumed). In DSCRITICAL the upper half of
//! the channels does as the lower one (assumed). Dead time finds outputs that toggle without delay (assumed). Dithering
//! and RAMP modes do not change the outputs.

use sim_base::Instant;

use super::{DIR, ENABLE, FAULT_0, Tcc};
use crate::timer::counter::Shape;
use crate::waveform::{Output, Pulse};

/// WEXCTRL, DRVCTRL in `stored`.
const WEXCTRL: usize = 0;
const DRVCTRL: usize = 1;

/// What a channel does.
#[derive(Clone, Copy)]
enum Channel {
    Pulse(Pulse),
    Toggling(Output),
}

impl Channel {
    fn inverted(self) -> Self {
        match self {
            Self::Pulse(pulse) => Self::Pulse(pulse.inverted()),
            Self::Toggling(output) => Self::Toggling(output.inverted(true)),
        }
    }

    fn delayed(self, clocks: u64) -> Self {
        match self {
            Self::Pulse(pulse) => Self::Pulse(pulse.delayed(clocks)),
            Self::Toggling(_) => self,
        }
    }
}

impl Tcc {
    /// What WO[`wo`] drives at `now`, if it does.
    pub(crate) fn output(&self, wo: usize, now: Instant) -> Option<Output> {
        let drive = self.stored[DRVCTRL];
        if self.ctrla & ENABLE == 0 || self.stopped || self.faults >> FAULT_0 & 3 != 0 {
            return (drive >> wo & 1 != 0).then_some(Output::steady(drive >> (8 + wo) & 1 != 0));
        }
        let output = if self.has_extension() && self.patt >> wo & 1 != 0 {
            Output::steady(self.patt >> (8 + wo) & 1 != 0)
        } else {
            match self.extended(wo, now)? {
                Channel::Pulse(pulse) => self.counter.pulsing(pulse, now),
                Channel::Toggling(output) => output,
            }
        };
        Some(output.inverted(drive >> (16 + wo) & 1 != 0))
    }

    /// TCC0 and TCC1 have dead time, swap and pattern.
    fn has_extension(&self) -> bool {
        self.n < 2
    }

    /// The output of dead time insertion and swap: pairs are four apart.
    fn extended(&self, wo: usize, now: Instant) -> Option<Channel> {
        if !self.has_extension() {
            return self.channel(self.matrix(wo), now);
        }
        let (pair, extension) = (wo % 4, self.stored[WEXCTRL]);
        let high_side = (wo >= 4) ^ (self.wave >> (24 + pair) & 1 != 0);
        if extension >> (8 + pair) & 1 == 0 {
            return self.channel(self.matrix(pair + if high_side { 4 } else { 0 }), now);
        }
        let channel = self.channel(self.matrix(pair), now)?;
        Some(match high_side {
            false => channel.delayed(u64::from(extension >> 16 & 0xFF)),
            true => channel.inverted().delayed(u64::from(extension >> 24)),
        })
    }

    /// The channel that WEXCTRL.OTMX brings to output `wo` (table 49-4).
    fn matrix(&self, wo: usize) -> usize {
        let channels = self.instance().channels;
        match self.stored[WEXCTRL] & 3 {
            // TCC3 and TCC4 have no output matrix.
            _ if self.n > 2 => wo,
            0 => wo % channels,
            1 => wo % (channels / 2),
            2 => 0,
            _ => wo.min(1),
        }
    }

    fn compare(&self, n: usize) -> u64 {
        u64::from(self.cc[n] & self.max()) >> self.fraction()
    }

    /// What channel `n` does, unless it captures.
    fn channel(&self, n: usize, now: Instant) -> Option<Channel> {
        if self.captures(n) {
            return None;
        }
        let mode = self.wave & 7;
        if mode < 2 {
            return Some(Channel::Toggling(self.counter.toggling(self.is_toggled(n, now), self.toggles_at(n))));
        }
        let pulse = match (self.shape(), mode) {
            (Shape::Dual, 4) => {
                let half = self.instance().channels / 2;
                self.counter.dual_slope(self.compare(n % half), self.compare(n % half + half))
            }
            (Shape::Dual, _) => self.counter.dual_slope(self.compare(n), self.compare(n)),
            _ => self.counter.single_slope(self.compare(n), self.ctrlb & DIR != 0),
        };
        let channel = Channel::Pulse(pulse);
        Some(if self.wave >> (16 + n) & 1 != 0 { channel.inverted() } else { channel })
    }

    /// The phase at which channel `n` toggles: in match frequency mode channel 0 at the update, else at the match.
    fn toggles_at(&self, n: usize) -> Option<u64> {
        match (self.wave & 7, n) {
            (1, 0) => Some(0),
            (0 | 1, _) => self.counter.reaches(self.compare(n)),
            _ => None,
        }
    }

    fn is_toggled(&self, n: usize, now: Instant) -> bool {
        let passes = self.toggles_at(n).map_or(0, |phase| self.counter.passes(phase, self.folded, now));
        self.toggled[n] ^ (passes & 1 != 0)
    }

    /// Takes down the toggled channels as they are at `now`, before what they depend on changes.
    pub(super) fn fold(&mut self, now: Instant) {
        self.toggled = std::array::from_fn(|n| self.is_toggled(n, now));
        self.folded = now;
    }

    /// The counter starts: toggled channels begin with their polarity (49.6.2.5.8).
    pub(super) fn begin_toggling(&mut self) {
        self.toggled = std::array::from_fn(|n| self.wave >> (16 + n) & 1 != 0);
    }

    /// An event has moved the counter by a step: channels that toggle there do.
    pub(super) fn toggle(&mut self) {
        for n in 0..self.instance().channels {
            self.toggled[n] ^= !self.captures(n) && self.toggles_at(n) == Some(self.counter.phase());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peripheral::{Peripheral, Write};
    use crate::rig::Rig;

    fn level(tcc: &Tcc, wo: usize, micros: u64) -> Option<bool> {
        tcc.output(wo, Instant::from_nanos(1_000 * micros)).map(|output| output.level)
    }

    fn waveform(tcc: &Tcc, wo: usize) -> Option<(u64, u64)> {
        let waveform = tcc.output(wo, Instant::ZERO).and_then(|output| output.waveform);
        waveform.map(|waveform| (waveform.period, waveform.high))
    }

    fn edges(tcc: &Tcc, wo: usize, until: u64) -> Vec<u64> {
        (1..until).filter(|at| level(tcc, wo, *at) != level(tcc, wo, at - 1)).collect()
    }

    /// TCC`n` at 1 MHz with a period of 10 counts, CC0 = 3, CC1 = 6, enabled.
    fn running(n: usize, wave: u32, configure: &[(u32, u32)]) -> (Tcc, Rig) {
        let (mut tcc, mut rig) = (Tcc::new(n), Rig::new());
        for clock in [25, 29, 38] {
            rig.clocks.channel[clock] = 1_000_000;
        }
        for (offset, value) in [(0x3C, wave), (0x40, 9), (0x44, 3), (0x48, 6)].iter().chain(configure) {
            tcc.write(*offset, Write::full(*value), &mut rig.cx(0));
        }
        let ctrla = tcc.ctrla;
        tcc.write(0x00, Write::full(ctrla | ENABLE), &mut rig.cx(0));
        (tcc, rig)
    }

    #[test]
    fn single_slope_pwm_in_both_directions_and_polarities() {
        let cases = [
            (2, 0, (10, 3), vec![3, 10, 13]),
            (2 | 1 << 16, 0, (10, 7), vec![3, 10, 13]),
            (2, DIR, (10, 4), vec![6, 10]),
            (2 | 1 << 16, DIR, (10, 6), vec![6, 10]),
        ];
        for (wave, dir, expected, at) in cases {
            let (tcc, _) = running(0, wave, &[(0x05, dir)]);
            assert_eq!((waveform(&tcc, 0), edges(&tcc, 0, 16)), (Some(expected), at), "{wave:#x} {dir}");
        }
    }

    #[test]
    fn dual_slopes_are_high_around_the_top() {
        // A cycle has 18 steps; the second channel of DSCRITICAL's pair is CC3 = 5.
        for (wave, expected, at) in [
            (5, (18, 12), vec![3, 15, 21]),
            (6, (18, 12), vec![3, 15, 21]),
            (7 | 1 << 16, (18, 6), vec![3, 15, 21]),
            (4, (18, 10), vec![3, 13, 21]),
        ] {
            let (tcc, _) = running(0, wave, &[(0x50, 5)]);
            assert_eq!((waveform(&tcc, 0), edges(&tcc, 0, 22)), (Some(expected), at), "{wave:#x}");
        }
    }

    #[test]
    fn frequency_modes_toggle_from_their_polarity() {
        let (tcc, _) = running(1, 1 << 17, &[]);
        assert_eq!(
            (waveform(&tcc, 0), edges(&tcc, 0, 30), level(&tcc, 0, 0)),
            (Some((20, 10)), vec![3, 13, 23], Some(false))
        );
        assert_eq!((edges(&tcc, 1, 30), level(&tcc, 1, 0)), (vec![6, 16, 26], Some(true)));
        let (tcc, _) = running(1, 1, &[]);
        assert_eq!((waveform(&tcc, 0), edges(&tcc, 0, 13)), (Some((8, 4)), vec![4, 8, 12]));
    }

    #[test]
    fn the_output_matrix_spreads_the_channels() {
        let highs = |otmx| {
            let cc = [(0x4C, 7), (0x50, 8), (0x54, 9), (0x58, 1)];
            let registers = [(0x14, otmx)].into_iter().chain(cc).collect::<Vec<_>>();
            let (tcc, _) = running(0, 2, &registers);
            [0, 1, 2, 3, 4, 5, 6, 7].map(|wo| waveform(&tcc, wo).expect("PWM").1)
        };
        assert_eq!(highs(0), [3, 6, 7, 8, 9, 1, 3, 6]);
        assert_eq!(highs(1), [3, 6, 7, 3, 6, 7, 3, 6]);
        assert_eq!(highs(2), [3; 8]);
        assert_eq!(highs(3), [3, 6, 6, 6, 6, 6, 6, 6]);
    }

    #[test]
    fn dead_time_separates_the_sides_and_swap_exchanges_them() {
        // Pair 0 with one clock before the low side's pulse and two before the high side's.
        let dead = (0x14, 1 << 8 | 1 << 16 | 2 << 24);
        let (tcc, _) = running(0, 2, &[dead]);
        assert_eq!((waveform(&tcc, 0), edges(&tcc, 0, 13)), (Some((10, 2)), vec![1, 3, 11]));
        assert_eq!((waveform(&tcc, 4), edges(&tcc, 4, 13)), (Some((10, 5)), vec![5, 10]));
        let (tcc, _) = running(0, 2 | 1 << 24, &[dead]);
        assert_eq!((waveform(&tcc, 0), waveform(&tcc, 4)), (Some((10, 5)), Some((10, 2))));
    }

    #[test]
    fn pattern_and_inversion_come_last() {
        let (tcc, _) = running(0, 2, &[(0x38, 0x0101 | 2), (0x18, 1 << 16 | 1 << 18)]);
        assert_eq!((tcc.output(0, Instant::ZERO), level(&tcc, 1, 0)), (Some(Output::steady(false)), Some(false)));
        assert_eq!((waveform(&tcc, 2), level(&tcc, 2, 0)), (Some((10, 10)), Some(true)));
    }

    #[test]
    fn a_stopped_counter_drives_what_drvctrl_says() {
        let (mut tcc, mut rig) = running(0, 2, &[(0x18, 1 | 1 << 8 | 1 << 1 | 1 << 16)]);
        assert_eq!((waveform(&tcc, 0), level(&tcc, 2, 0)), (Some((10, 7)), Some(false)));
        tcc.write(0x05, Write::full(2 << 5), &mut rig.cx(2_000));
        assert_eq!([0, 1, 2].map(|wo| level(&tcc, wo, 2)), [Some(true), Some(false), None]);
        tcc.write(0x05, Write::full(1 << 5), &mut rig.cx(20_000));
        assert_eq!(waveform(&tcc, 0), Some((10, 7)));
    }

    #[test]
    fn smaller_instances_have_their_channels_alone() {
        let (tcc, _) = running(4, 2, &[(0x14, 2), (0x38, 0x0101)]);
        assert_eq!((waveform(&tcc, 0), waveform(&tcc, 1)), (Some((10, 3)), Some((10, 6))));
    }
}
