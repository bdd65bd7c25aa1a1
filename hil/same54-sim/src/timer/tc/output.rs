//! WO[0] and WO[1] of a TC (48.6.2.6, waveform output operations).
//!
//! A match takes effect when COUNT becomes the value of CC. Counting up, NPWM is high for CC of TOP + 1 counts; counting
//! down, for CC + 1 (assumed). In MPWM, WO[0] is low for the first count of each cycle. An output of a disabled, stopped
//! or slave TC is low, before inversion (assumed but for STOP). A captured channel drives nothing.

use sim_base::Instant;

use super::{DIR, ENABLE, Tc};
use crate::waveform::Output;

impl Tc {
    /// What WO[`wo`] drives at `now`, if it does.
    pub(crate) fn output(&self, wo: usize, now: Instant) -> Option<Output> {
        if self.captures(wo) {
            return None;
        }
        let output = if self.ctrla & ENABLE == 0 || self.stopped || self.slave {
            Output::steady(false)
        } else {
            self.running_output(wo, now)
        };
        Some(output.inverted(self.drvctrl >> wo & 1 != 0))
    }

    fn running_output(&self, wo: usize, now: Instant) -> Output {
        let compare = u64::from(self.cc[wo]);
        match (self.wave & 3, wo) {
            (0 | 1, _) => self.counter.toggling(self.is_toggled(wo, now), self.toggles_at(wo)),
            (3, 0) => self.counter.pulsing(self.counter.pulse(1, self.counter.cycle() - 1), now),
            _ => {
                let down = self.ctrlb & DIR != 0;
                self.counter.pulsing(self.counter.single_slope(compare, down), now)
            }
        }
    }

    /// The phase at which WO[`wo`] toggles: in match frequency mode WO[0] at the update, else at the match.
    fn toggles_at(&self, wo: usize) -> Option<u64> {
        match (self.wave & 3, wo) {
            (1, 0) => Some(0),
            (0 | 1, _) => self.counter.reaches(u64::from(self.cc[wo])),
            _ => None,
        }
    }

    /// Level of a toggling WO[`wo`].
    fn is_toggled(&self, wo: usize, now: Instant) -> bool {
        let passes = self.toggles_at(wo).map_or(0, |phase| self.counter.passes(phase, self.folded, now));
        self.toggled[wo] ^ (passes & 1 != 0)
    }

    /// Takes down the toggled outputs as they are at `now`, before what they depend on changes.
    pub(super) fn fold(&mut self, now: Instant) {
        self.toggled = [0, 1].map(|wo| self.is_toggled(wo, now));
        self.folded = now;
    }

    /// An event has moved the counter by a step: outputs that toggle there do.
    pub(super) fn toggle(&mut self) {
        for wo in 0..2 {
            self.toggled[wo] ^= !self.captures(wo) && self.toggles_at(wo) == Some(self.counter.phase());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peripheral::{Peripheral, Write};
    use crate::rig::Rig;
    use crate::waveform::Waveform;

    /// TC0 at 1 MHz, enabled.
    fn tc(configure: &[(u32, u32)]) -> (Tc, Rig) {
        let (mut tc, mut rig) = (Tc::new(0), Rig::new());
        rig.clocks.channel[9] = 1_000_000;
        for (offset, value) in configure {
            tc.write(*offset, Write::full(*value), &mut rig.cx(0));
        }
        let ctrla = tc.ctrla;
        tc.write(0x00, Write::full(ctrla | ENABLE), &mut rig.cx(0));
        (tc, rig)
    }

    fn level(tc: &Tc, wo: usize, micros: u64) -> bool {
        tc.output(wo, Instant::from_nanos(1_000 * micros)).expect("it drives").level
    }

    fn waveform(tc: &Tc, wo: usize) -> Option<(u64, u64)> {
        tc.output(wo, Instant::ZERO)
            .and_then(|output| output.waveform)
            .map(|Waveform { period, high, .. }| (period, high))
    }

    fn edges(tc: &Tc, wo: usize, until: u64) -> Vec<u64> {
        (1..until).filter(|at| level(tc, wo, *at) != level(tc, wo, at - 1)).collect()
    }

    /// TC0 in 16 bits at 1 MHz in mode `wave`, CC0 = 9, CC1 = 3.
    fn running(wave: u32, configure: &[(u32, u32)]) -> (Tc, Rig) {
        let registers = [(0x0C, wave), (0x1C, 9), (0x1E, 3)].into_iter().chain(configure.iter().copied());
        tc(&registers.collect::<Vec<_>>())
    }

    #[test]
    fn normal_frequency_toggles_at_each_match() {
        // 8 bits: PER is the period.
        let (tc, _) = tc(&[(0x00, 1 << 2), (0x1B, 19), (0x1C, 9), (0x1D, 3)]);
        assert_eq!((edges(&tc, 0, 80), edges(&tc, 1, 50)), (vec![9, 29, 49, 69], vec![3, 23, 43]));
        assert_eq!((waveform(&tc, 0), level(&tc, 0, 0)), (Some((40, 20)), false));
    }

    #[test]
    fn match_frequency_has_twice_the_period_of_cc0() {
        let (tc, _) = running(1, &[]);
        assert_eq!((edges(&tc, 0, 40), edges(&tc, 1, 30)), (vec![10, 20, 30], vec![3, 13, 23]));
        assert_eq!(waveform(&tc, 0), Some((20, 10)));
    }

    #[test]
    fn a_toggled_output_survives_a_change_of_what_it_depends_on() {
        let (mut tc, mut rig) = running(1, &[]);
        // 25 us: WO[0] has toggled twice and COUNT is 5; then the period is 8.
        tc.write(0x1C, Write::full(7), &mut rig.cx(25_000));
        assert_eq!(edges(&tc, 0, 45).into_iter().filter(|at| *at > 25).collect::<Vec<_>>(), [28, 36, 44]);
        assert!(!level(&tc, 0, 27));
    }

    #[test]
    fn normal_pwm_is_high_up_to_the_match_and_from_it_when_counting_down() {
        let registers = [(0x00, 1 << 2), (0x0C, 2), (0x1B, 9), (0x1C, 3), (0x1D, 10)];
        let (up, _) = tc(&registers);
        assert_eq!((waveform(&up, 0), edges(&up, 0, 25)), (Some((10, 3)), vec![3, 10, 13, 20, 23]));
        assert_eq!((waveform(&up, 1), edges(&up, 1, 25)), (Some((10, 10)), vec![]));
        let (down, _) = tc(&[&registers[..], &[(0x05, DIR)]].concat());
        assert_eq!((waveform(&down, 0), edges(&down, 0, 25)), (Some((10, 4)), vec![6, 10, 16, 20]));
        assert_eq!(waveform(&down, 1), Some((10, 0)));
    }

    #[test]
    fn match_pwm_takes_its_period_from_cc0() {
        let (tc, _) = running(3, &[]);
        assert_eq!((waveform(&tc, 1), edges(&tc, 1, 15)), (Some((10, 3)), vec![3, 10, 13]));
        assert_eq!((waveform(&tc, 0), edges(&tc, 0, 15)), (Some((10, 9)), vec![1, 10, 11]));
    }

    #[test]
    fn inversion_one_shot_and_a_disabled_counter() {
        let (mut tc, mut rig) = running(3, &[(0x0D, 2), (0x05, 1 << 2)]);
        assert_eq!((level(&tc, 1, 2), level(&tc, 1, 3), waveform(&tc, 1)), (false, true, Some((10, 7))));
        tc.advance(&mut rig.cx(10_000));
        assert_eq!((level(&tc, 0, 12), level(&tc, 1, 12), waveform(&tc, 1)), (false, true, None));
        assert_eq!(tc.output(0, Instant::ZERO), Some(Output::steady(false)));
        tc.write(0x00, Write::full(0), &mut rig.cx(20_000));
        tc.write(0x00, Write::full(1 << 17), &mut rig.cx(20_000));
        assert_eq!((tc.output(0, Instant::ZERO), tc.output(1, Instant::ZERO)), (Some(Output::steady(false)), None));
    }

    #[test]
    fn a_prescaler_stretches_the_waveform_in_clocks() {
        let (tc, _) = running(3, &[(0x00, 3 << 8)]);
        assert_eq!((waveform(&tc, 1), edges(&tc, 1, 100)), (Some((80, 24)), vec![24, 80]));
    }
}
