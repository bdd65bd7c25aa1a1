use std::time::Duration;

use sim_base::Instant;

use super::{Frequencies, Gclk, Mclk, Osc32kctrl, Oscctrl, resolve};
use crate::peripheral::{Peripheral, Write};
use crate::rig::Rig;

struct Tree {
    gclk: Gclk,
    oscctrl: Oscctrl,
    osc32kctrl: Osc32kctrl,
    mclk: Mclk,
    rig: Rig,
}

impl Tree {
    fn new() -> Self {
        Self {
            gclk: Gclk::new(),
            oscctrl: Oscctrl::new(),
            osc32kctrl: Osc32kctrl::new(),
            mclk: Mclk::new(),
            rig: Rig::new(),
        }
    }

    fn frequencies(&mut self) -> Frequencies {
        resolve(&mut self.gclk, &self.oscctrl, &self.osc32kctrl, &self.mclk)
    }
}

#[test]
fn after_reset_the_core_runs_at_48_mhz_from_the_dfll() {
    assert_eq!(Tree::new().frequencies(), Frequencies::after_reset());
}

#[test]
fn dpll_locks_after_its_start_up_time_and_drives_the_core_at_120_mhz() {
    let mut tree = Tree::new();
    // GCLK5 = DFLL / 24 = 2 MHz; DPLL0 from GCLK5 times 60; GCLK0 = DPLL0, as in 28.6.5.
    tree.gclk.write(0x20 + 5 * 4, Write::full(24 << 16 | 1 << 8 | 6), &mut tree.rig.cx(0));
    tree.gclk.write(0x80 + 4, Write::full(1 << 6 | 5), &mut tree.rig.cx(0));
    tree.oscctrl.write(0x34, Write::full(59), &mut tree.rig.cx(0));
    tree.oscctrl.write(0x38, Write::full(0), &mut tree.rig.cx(0));
    tree.oscctrl.write(0x30, Write::full(2), &mut tree.rig.cx(0));
    assert_eq!(tree.oscctrl.read(0x40, &mut tree.rig.cx(1_000)), 0);
    let due = tree.oscctrl.next_event();
    assert!(due > Instant::ZERO && due < Instant::ZERO + Duration::from_millis(1));
    tree.oscctrl.advance(&mut tree.rig.cx(due.as_nanos()));
    assert_eq!(tree.oscctrl.read(0x40, &mut tree.rig.cx(due.as_nanos())), 3);
    assert_eq!(tree.oscctrl.read(0x0C, &mut tree.rig.cx(due.as_nanos())) & 1 << 16, 1 << 16);
    tree.gclk.write(0x20, Write::full(1 << 16 | 1 << 8 | 7), &mut tree.rig.cx(due.as_nanos()));
    let frequencies = tree.frequencies();
    assert_eq!((frequencies.cpu, frequencies.dpll[0], frequencies.generator[5]), (120_000_000, 120_000_000, 2_000_000));
}

#[test]
fn a_generator_goes_on_with_its_old_source_until_the_new_one_is_ready() {
    let mut tree = Tree::new();
    // DPLL0 from XOSC32K (ready) times 3662; generator 0 changes to it before it has locked (14.6.2.6).
    tree.osc32kctrl.write(0x14, Write::full(0x000E), &mut tree.rig.cx(0));
    tree.osc32kctrl.advance(&mut tree.rig.cx(62_500_000));
    tree.oscctrl.write(0x34, Write::full(3_661), &mut tree.rig.cx(62_500_000));
    tree.oscctrl.write(0x38, Write::full(1 << 5), &mut tree.rig.cx(62_500_000));
    tree.oscctrl.write(0x30, Write::full(2), &mut tree.rig.cx(62_500_000));
    tree.gclk.write(0x20, Write::full(1 << 16 | 1 << 8 | 7), &mut tree.rig.cx(62_500_000));
    assert_eq!(tree.frequencies().cpu, 48_000_000);
    assert_eq!(tree.gclk.read(0x04, &mut tree.rig.cx(62_500_100)), 1 << 2);
    let locked = tree.oscctrl.next_event().as_nanos();
    tree.oscctrl.advance(&mut tree.rig.cx(locked));
    assert_eq!(tree.frequencies().cpu, 32_768 * 3_662);
    assert_eq!(tree.gclk.read(0x04, &mut tree.rig.cx(locked)), 0);
    // Switched off beneath it, there is nothing to go on with.
    tree.oscctrl.write(0x30, Write::full(0), &mut tree.rig.cx(locked));
    assert_eq!(tree.frequencies().cpu, 0);
}

#[test]
fn cpudiv_divides_the_core_clock_and_refuses_what_is_no_power_of_two() {
    let mut tree = Tree::new();
    tree.mclk.write(5, Write::full(4), &mut tree.rig.cx(0));
    assert_eq!(tree.frequencies().cpu, 12_000_000);
    tree.mclk.write(5, Write::full(3), &mut tree.rig.cx(0));
    assert_eq!(tree.frequencies().cpu, 12_000_000);
    assert_eq!(tree.rig.violations().len(), 1);
}

#[test]
fn xosc32k_gets_ready_after_the_selected_start_up_and_feeds_the_rtc() {
    let mut tree = Tree::new();
    // STARTUP 0: 2048 cycles, 62.5 ms; EN32K, XTALEN, ENABLE; RTCSEL = XOSC32K.
    tree.osc32kctrl.write(0x14, Write::full(0x000E), &mut tree.rig.cx(0));
    tree.osc32kctrl.write(0x10, Write::full(5), &mut tree.rig.cx(0));
    assert_eq!(tree.frequencies().rtc, 0);
    assert_eq!(tree.osc32kctrl.next_event(), Instant::from_nanos(62_500_000));
    tree.osc32kctrl.advance(&mut tree.rig.cx(62_500_000));
    assert_eq!(tree.osc32kctrl.read(0x0C, &mut tree.rig.cx(62_500_000)), 1);
    assert_eq!(tree.frequencies().rtc, 32_768);
}

#[test]
fn a_locked_channel_refuses_writes_until_the_supply_returns() {
    let mut tree = Tree::new();
    tree.gclk.write(0x80 + 7 * 4, Write::full(0xC0), &mut tree.rig.cx(0));
    tree.gclk.write(0x80 + 7 * 4, Write::full(0), &mut tree.rig.cx(0));
    assert_eq!(tree.gclk.read(0x80 + 7 * 4, &mut tree.rig.cx(0)), 0xC0);
    tree.gclk.reset(crate::ResetCause::System, &mut tree.rig.cx(0));
    assert_eq!(tree.gclk.read(0x80 + 7 * 4, &mut tree.rig.cx(0)), 0xC0);
    tree.gclk.reset(crate::ResetCause::PowerOn, &mut tree.rig.cx(0));
    assert_eq!(tree.gclk.read(0x80 + 7 * 4, &mut tree.rig.cx(0)), 0);
}
