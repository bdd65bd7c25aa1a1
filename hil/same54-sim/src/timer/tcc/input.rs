//! TCC's input events: counting, retriggering, captures, and faults (49.6.3.5, 49.6.3.6).

use super::{DIR, ENABLE, FAULT_0, FAULT_A, MC0, OVF, Tcc};
use crate::peripheral::Context;
use crate::timer::conditions::Conditions as _;

impl Tcc {
    /// A step by an event, up or down.
    fn count_event(&mut self, down: bool, cx: &mut Context<'_>) {
        let falling = self.counter.is_falling(cx.now);
        let wrapped = if down == falling {
            self.counter.step()
        } else {
            let (value, top) = (self.counter.value(cx.now), self.top());
            let next = if down { value.checked_sub(1).unwrap_or(top) } else { (value + 1) % (top + 1) };
            self.counter.set_value(next, cx.now);
            next == if down { top } else { 0 }
        };
        self.toggle();
        if wrapped {
            self.happen(OVF, cx.now, cx);
        }
        let value = self.counter.value(cx.now);
        for n in (0..self.instance().channels).filter(|n| !self.captures(*n)).collect::<Vec<_>>() {
            if value == u64::from(self.cc[n] & self.max()) >> self.fraction() {
                self.happen(MC0 << n, cx.now, cx);
            }
        }
    }

    /// Input event `n`, 0 or 1, after its inversion.
    fn input(&mut self, n: usize, rises: bool, cx: &mut Context<'_>) {
        let value = self.counter.value(cx.now);
        match (n, self.action(n), rises) {
            (_, 1, true) => self.retrigger(cx),
            (0, 2 | 4, true) => self.count_event(false, cx),
            (0, 3, true) => self.stopped = false,
            (0, 5, _) => self.halted = !rises,
            (0, 6, true) => (0..6).for_each(|n| self.capture(n, value)),
            (1, 2, _) => self.ctrlb = self.ctrlb & !DIR | u32::from(rises),
            (1, 3, true) => self.stopped = true,
            (1, 4, true) => self.count_event(true, cx),
            (1, action @ (5 | 6), true) => {
                self.capture(action as usize - 5, value);
                self.counter.restart(cx.now);
            }
            (1, action @ (5 | 6), false) => self.capture(6 - action as usize, value),
            (_, 7, true) => {
                // 49.6.3.6: a non-recoverable fault stops the counter until software clears the state.
                self.faults |= 1 << (10 + n) | 1 << (FAULT_0 as usize + n);
                self.intflag |= 1 << (FAULT_0 as usize + n);
                self.stopped = true;
            }
            (_, 7, false) => self.faults &= !(1 << (10 + n)),
            _ => {}
        }
    }

    /// A recoverable fault (49.6.3.5): A comes from match event 0, B from match event 1.
    fn fault(&mut self, n: usize, rises: bool, cx: &mut Context<'_>) {
        let control = self.fctrl[n];
        let (input, state) = (1 << (8 + n), 1 << (FAULT_A as usize + n));
        let halt = control >> 8 & 3;
        if !rises {
            self.faults &= !input;
            // A hardware halt ends with its input.
            if halt == 1 {
                self.halted = false;
                self.faults &= !state;
            }
            return;
        }
        self.faults |= input | state;
        self.intflag |= state;
        if control >> 7 & 1 != 0 {
            self.retrigger(cx);
        }
        match halt {
            1 | 2 => self.halted = true,
            3 => self.stopped = true,
            _ => {}
        }
        if control >> 12 & 7 == 1 {
            let value = self.counter.value(cx.now);
            self.capture((control >> 10 & 3) as usize, value);
        }
    }

    pub(super) fn event(&mut self, user: usize, rises: bool, cx: &mut Context<'_>) {
        if self.ctrla & ENABLE == 0 {
            return;
        }
        self.catch_up(cx);
        self.fold(cx.now);
        match user - self.instance().user {
            n @ (0 | 1) => self.input(n, rises ^ (self.evctrl >> (12 + n) & 1 != 0), cx),
            n => {
                let n = n - 2;
                if n < 2 && self.fctrl[n] & 3 != 0 {
                    self.fault(n, rises, cx);
                } else if rises && self.evctrl >> (16 + n) & 1 != 0 {
                    let value = self.counter.value(cx.now);
                    self.capture(n, value);
                }
            }
        }
        self.configure(cx.now, cx);
        self.look_ahead();
    }
}
