//! SysTick (ARMv7-M ARM B3.3), computed from the cycle count when somebody looks.

use crate::Cycle;

/// SysTick counts core cycles; there is no external reference (SYST_CALIB.NOREF reads as one, CLKSOURCE too).
#[derive(Clone, Debug, Default)]
pub(crate) struct SysTick {
    enabled: bool,
    interrupt: bool,
    count_flag: bool,
    reload: u32,
    /// The counter's value at cycle `since`; the wrap to `reload` happens one cycle after it reaches zero.
    value: u32,
    since: Cycle,
}

const MASK: u32 = 0x00FF_FFFF;

impl SysTick {
    /// Brings the counter to `now`; tells whether it reached zero on the way, and so asks for its exception.
    pub(crate) fn advance(&mut self, now: Cycle) -> bool {
        let elapsed = now.saturating_sub(self.since);
        self.since = now;
        if !self.enabled || elapsed == 0 {
            return false;
        }
        let period = u64::from(self.reload) + 1;
        let value = u64::from(self.value);
        if elapsed < value {
            self.value = (value - elapsed) as u32;
            return false;
        }
        // Cycles since the counter last was zero, or since it started from zero.
        let past = elapsed - value;
        let reached_zero = value != 0 || past >= period;
        let phase = past % period;
        self.value = if phase == 0 { 0 } else { (period - phase) as u32 };
        if self.reload == 0 && value == 0 {
            return false;
        }
        self.count_flag |= reached_zero;
        reached_zero && self.interrupt
    }

    /// The counter stands still for `cycles` from the last [`advance`](Self::advance) (Debug state).
    pub(crate) fn skip(&mut self, cycles: Cycle) {
        self.since += cycles;
    }

    /// When the counter will next ask for its exception; call [`advance`](Self::advance) first.
    pub(crate) fn next(&self) -> Cycle {
        if !self.enabled || !self.interrupt || (self.reload == 0 && self.value == 0) {
            return Cycle::MAX;
        }
        let distance = if self.value == 0 { u64::from(self.reload) + 1 } else { u64::from(self.value) };
        self.since + distance
    }

    /// The register at `offset` from 0xE000E010; a debugger's read leaves COUNTFLAG.
    pub(crate) fn read(&mut self, offset: u32, debugger: bool) -> u32 {
        match offset {
            0x0 => {
                let flag = self.count_flag;
                self.count_flag &= debugger;
                u32::from(self.enabled) | u32::from(self.interrupt) << 1 | 4 | u32::from(flag) << 16
            }
            0x4 => self.reload,
            0x8 => self.value,
            _ => 0x8000_0000,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        match offset {
            0x0 => {
                self.enabled = value & 1 != 0;
                self.interrupt = value & 2 != 0;
            }
            0x4 => self.reload = value & MASK,
            0x8 => {
                self.value = 0;
                self.count_flag = false;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(reload: u32) -> SysTick {
        let mut tick = SysTick::default();
        tick.write(4, reload);
        tick.write(8, 0);
        tick.write(0, 3);
        tick
    }

    #[test]
    fn counts_down_from_reload_and_asks_once_per_period() {
        let mut tick = running(9);
        assert_eq!(tick.next(), 10);
        assert!(!tick.advance(1));
        assert_eq!(tick.read(8, true), 9);
        assert!(!tick.advance(9));
        assert_eq!(tick.read(8, true), 1);
        assert!(tick.advance(10));
        assert_eq!(tick.read(8, true), 0);
        assert_eq!(tick.next(), 20);
        assert!(tick.advance(25));
        assert_eq!(tick.read(8, true), 5);
    }

    #[test]
    fn count_flag_clears_on_read_by_the_program_only() {
        let mut tick = running(9);
        tick.advance(10);
        assert_ne!(tick.read(0, true) & 1 << 16, 0);
        assert_ne!(tick.read(0, false) & 1 << 16, 0);
        assert_eq!(tick.read(0, false) & 1 << 16, 0);
    }

    #[test]
    fn one_long_step_equals_many_short_ones() {
        let mut long = running(37);
        let mut short = running(37);
        for end in 1..2_000 {
            let mut asked = false;
            let start = end - 1;
            for now in start..=end {
                asked |= short.advance(now);
            }
            let mut probe = long.clone();
            probe.advance(end);
            assert_eq!(probe.value, short.value, "at {end}");
            assert_eq!(asked, short.value == 0, "at {end}");
        }
        long.advance(1_999);
        assert_eq!(long.value, short.value);
    }
}
