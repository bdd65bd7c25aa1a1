use std::time::Duration;

use sim_base::Instant;

use super::{Frequencies, Gclk, Mclk, Osc32kctrl, Oscctrl, resolve};
use crate::peripheral::{Peripheral, Write};
use crate::rig::{Bench, Rig};

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

    /// Lets the oscillators know who asks for them.
    fn request(&mut self, at: u64) {
        super::request(&self.gclk, &mut self.oscctrl, &mut self.osc32kctrl, Instant::from_nanos(at));
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
    tree.rig.clocks = tree.frequencies();
    tree.oscctrl.clocks_changed(&mut tree.rig.cx(due.as_nanos()));
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

/// XOSC1 with its crystal, failure detection and a start-up of 2^0 cycles, ready; the safe clock is 48 MHz / 16.
fn xosc1(extra: u32) -> Tree {
    let mut tree = Tree::new();
    tree.oscctrl.write(0x18, Write::full(4 << 24 | 1 << 16 | 1 << 2 | 1 << 1 | extra), &mut tree.rig.cx(0));
    tree.oscctrl.write(0x08, Write::full(1 << 3), &mut tree.rig.cx(0));
    tree.oscctrl.advance(&mut tree.rig.cx(40_000));
    tree.gclk.write(0x20 + 4 * 4, Write::full(1 << 8 | 1), &mut tree.rig.cx(40_000));
    assert_eq!(tree.frequencies().generator[4], 12_000_000);
    tree
}

#[test]
fn a_crystal_that_fails_is_replaced_by_the_safe_clock_until_software_switches_back() {
    let mut tree = xosc1(0);
    tree.oscctrl.write(0x00, Write::full(2), &mut tree.rig.cx(50_000));
    tree.oscctrl.set_crystal(1, false, &mut tree.rig.cx(50_000));
    assert_eq!(tree.frequencies().generator[4], 0);
    // Four periods of 3 MHz.
    assert_eq!(tree.oscctrl.next_event(), Instant::from_nanos(51_333));
    tree.oscctrl.advance(&mut tree.rig.cx(51_333));
    assert_eq!(tree.frequencies().generator[4], 3_000_000);
    assert_eq!(tree.oscctrl.irqs(), 2);
    assert_eq!(tree.rig.signals.events_out.len(), 1);
    let status = tree.oscctrl.read(0x10, &mut tree.rig.cx(52_000));
    assert_eq!(status & 0x3F, 1 << 1 | 1 << 3 | 1 << 5, "ready once, failed, switched");
    tree.oscctrl.set_crystal(1, true, &mut tree.rig.cx(60_000));
    assert_eq!(tree.frequencies().generator[4], 3_000_000);
    let control = tree.oscctrl.read(0x18, &mut tree.rig.cx(60_000));
    tree.oscctrl.write(0x18, Write::full(control | 1 << 17), &mut tree.rig.cx(60_000));
    assert_eq!(tree.frequencies().generator[4], 12_000_000);
    assert_eq!(tree.oscctrl.read(0x18, &mut tree.rig.cx(60_000)) >> 17 & 1, 0, "SWBEN has done its work");
}

#[test]
fn without_the_detector_a_dead_crystal_just_stops() {
    let mut tree = Tree::new();
    tree.oscctrl.write(0x18, Write::full(1 << 2 | 1 << 1), &mut tree.rig.cx(0));
    tree.oscctrl.advance(&mut tree.rig.cx(40_000));
    tree.oscctrl.set_crystal(1, false, &mut tree.rig.cx(50_000));
    assert_eq!(tree.oscctrl.next_event(), Instant::NEVER);
    assert_eq!(tree.oscctrl.read(0x10, &mut tree.rig.cx(60_000)) & 0x28, 0);
}

#[test]
fn an_oscillator_on_demand_runs_only_while_a_generator_asks_for_it() {
    let mut tree = Tree::new();
    tree.oscctrl.write(0x18, Write::full(1 << 7 | 1 << 2 | 1 << 1), &mut tree.rig.cx(0));
    tree.request(0);
    assert_eq!(tree.oscctrl.next_event(), Instant::NEVER);
    tree.gclk.write(0x20 + 4 * 4, Write::full(1 << 8 | 1), &mut tree.rig.cx(100));
    tree.request(100);
    let ready = tree.oscctrl.next_event().as_nanos();
    assert_eq!(ready, 100 + 30_517);
    tree.oscctrl.advance(&mut tree.rig.cx(ready));
    assert_eq!(tree.frequencies().generator[4], 12_000_000);
    tree.gclk.write(0x20 + 4 * 4, Write::full(0), &mut tree.rig.cx(ready));
    tree.request(ready);
    assert_eq!(tree.oscctrl.read(0x10, &mut tree.rig.cx(ready)) & 2, 0);
}

#[test]
fn a_pll_on_demand_asks_for_its_crystal_in_turn() {
    let mut tree = Tree::new();
    tree.oscctrl.write(0x18, Write::full(1 << 7 | 1 << 2 | 1 << 1), &mut tree.rig.cx(0));
    // DPLL0: XOSC1 / 12 times 120, on demand.
    tree.oscctrl.write(0x34, Write::full(119), &mut tree.rig.cx(0));
    tree.oscctrl.write(0x38, Write::full(5 << 16 | 3 << 5), &mut tree.rig.cx(0));
    tree.oscctrl.write(0x30, Write::full(0x82), &mut tree.rig.cx(0));
    tree.request(0);
    assert_eq!(tree.oscctrl.next_event(), Instant::NEVER);
    tree.gclk.write(0x20 + 4 * 4, Write::full(1 << 8 | 7), &mut tree.rig.cx(0));
    tree.request(0);
    tree.oscctrl.advance(&mut tree.rig.cx(100_000));
    assert_eq!(tree.frequencies().generator[4], 120_000_000);
}

#[test]
fn the_dfll_locks_to_its_reference_in_closed_loop() {
    let mut tree = Tree::new();
    // Channel 0: generator 3 with OSCULP32K. MUL 1464: 47.97 MHz.
    tree.gclk.write(0x20 + 3 * 4, Write::full(1 << 8 | 4), &mut tree.rig.cx(0));
    tree.gclk.write(0x80, Write::full(1 << 6 | 3), &mut tree.rig.cx(0));
    tree.rig.clocks = tree.frequencies();
    tree.oscctrl.clocks_changed(&mut tree.rig.cx(0));
    tree.oscctrl.write(0x28, Write::full(1_464), &mut tree.rig.cx(0));
    tree.oscctrl.write(0x20, Write::full(1), &mut tree.rig.cx(0));
    let status = |tree: &mut Tree, at| tree.oscctrl.read(0x10, &mut tree.rig.cx(at)) >> 8 & 31;
    assert_eq!(status(&mut tree, 1_000), 1);
    assert_eq!(status(&mut tree, 500_000), 1 | 8, "coarse lock");
    assert_eq!(status(&mut tree, 2_000_000), 1 | 8 | 4, "fine lock");
    assert_eq!(tree.frequencies().cpu, 1_464 * 32_768);
    tree.oscctrl.write(0x28, Write::full(3_000), &mut tree.rig.cx(2_000_000));
    assert_eq!(status(&mut tree, 5_000_000), 1 | 2, "out of bounds");
}

#[test]
fn a_dfll_without_its_reference_says_so_and_goes_on() {
    let mut tree = Tree::new();
    tree.oscctrl.write(0x28, Write::full(1_464), &mut tree.rig.cx(0));
    tree.oscctrl.write(0x20, Write::full(1), &mut tree.rig.cx(0));
    assert_eq!(tree.oscctrl.read(0x10, &mut tree.rig.cx(10_000_000)) >> 8 & 31, 1 | 16);
    assert_eq!(tree.frequencies().cpu, 48_000_000);
}

#[test]
fn a_pll_without_a_reference_never_locks() {
    let mut tree = Tree::new();
    tree.oscctrl.write(0x30, Write::full(2), &mut tree.rig.cx(0));
    assert_eq!(tree.oscctrl.read(0x3C, &mut tree.rig.cx(0)), 2, "busy until the output clock is there");
    tree.rig.clocks = tree.frequencies();
    assert_eq!(tree.oscctrl.read(0x40, &mut tree.rig.cx(1_000_000)), 0);
}

#[test]
fn a_dead_32_khz_crystal_is_replaced_by_the_internal_oscillator() {
    let mut tree = Tree::new();
    tree.osc32kctrl.write(0x14, Write::full(0x001E), &mut tree.rig.cx(0));
    tree.osc32kctrl.write(0x10, Write::full(5), &mut tree.rig.cx(0));
    tree.osc32kctrl.write(0x16, Write::full(1), &mut tree.rig.cx(0));
    tree.osc32kctrl.write(0x04, Write::full(4), &mut tree.rig.cx(0));
    tree.osc32kctrl.advance(&mut tree.rig.cx(62_500_000));
    tree.osc32kctrl.set_crystal(false, &mut tree.rig.cx(100_000_000));
    assert_eq!(tree.frequencies().rtc, 0);
    let at = tree.osc32kctrl.next_event().as_nanos();
    assert_eq!(at, 100_122_070);
    tree.osc32kctrl.advance(&mut tree.rig.cx(at));
    assert_eq!((tree.frequencies().rtc, tree.osc32kctrl.irqs()), (32_768, 1));
    assert_eq!(tree.osc32kctrl.read(0x0C, &mut tree.rig.cx(at)), 1 | 4 | 8);
}

#[test]
fn software_resets_complete_without_a_generic_clock() {
    // Assumed, as drivers for the silicon reset first and connect the clock then. CTRLA, its width, SYNCBUSY.
    let blocks = [
        (0x4000_2800, 1, 0x04, "EIC"),
        (0x4000_2C00, 1, 0x0C, "FREQM"),
        (0x4000_3000, 4, 0x1C, "SERCOM0"),
        (0x4000_3800, 4, 0x10, "TC0"),
        (0x4101_6000, 4, 0x08, "TCC0"),
        (0x4200_2000, 1, 0x20, "AC"),
        (0x4300_1C00, 2, 0x30, "ADC0"),
        (0x4300_2400, 1, 0x08, "DAC"),
    ];
    let mut bench = Bench::new();
    for channel in 0..48 {
        bench.set(0x4000_1C80 + 4 * channel, 0);
    }
    bench.violations();
    for (base, width, busy, name) in blocks {
        match width {
            1 => bench.set_byte(base, 1),
            2 => bench.set_half(base, 1),
            _ => bench.set(base, 1),
        }
        bench.run(1_000);
        assert_eq!(bench.word(base + busy) & 1, 0, "{name}");
    }
    assert_eq!(bench.violations().len(), 0);
}
