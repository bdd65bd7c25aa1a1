use std::time::Duration;

use sim_base::Instant;

use super::{CHANNEL, CKSEL, ENABLE, Eic, line, lines};
use crate::peripheral::{Edge, Peripheral, Write};
use crate::port::Port;
use crate::rig::Rig;

/// One period of a 1 MHz EIC clock.
const TICK: u64 = 1_000;

/// PB31 (the board's button, line 15) with input, pull-up and function A; PA08 (NMI) likewise.
struct Bench {
    port: Port,
    eic: Eic,
    rig: Rig,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { port: Port::new(), eic: Eic::new(), rig: Rig::new() };
        bench.rig.clocks.channel[CHANNEL] = 1_000_000;
        for (group, pin) in [(0x80, 31), (0, 8)] {
            bench.port.write(group + 0x18, Write::full(1 << pin), &mut bench.rig.cx(0));
            bench.port.write(group + 0x40 + pin, Write::full(7), &mut bench.rig.cx(0));
        }
        bench.eic.look(lines(&bench.port, bench.port.levels()), &mut bench.rig.cx(0));
        bench
    }

    fn write(&mut self, at: u64, offset: u32, value: u32) {
        self.eic.write(offset, Write::full(value), &mut self.rig.cx(at));
    }

    /// Sense and filter bits of the button's line, then enable.
    fn enable(&mut self, config: u32) {
        self.write(0, 0x20, config << 28);
        self.write(0, 0x10, 1 << 15);
        self.write(0, 0x00, ENABLE);
    }

    fn press(&mut self, at: u64, pressed: bool) {
        self.port.drive(1, 31, pressed.then_some(false));
        self.eic.look(lines(&self.port, self.port.levels()), &mut self.rig.cx(at));
    }

    fn flag_at(&mut self, at: u64) -> bool {
        self.eic.advance(&mut self.rig.cx(at));
        self.eic.irqs() != 0
    }
}

#[test]
fn a_synchronous_edge_is_seen_after_three_clocks_and_once() {
    let mut bench = Bench::new();
    bench.enable(2);
    bench.press(10 * TICK, true);
    assert!(!bench.flag_at(13 * TICK - 1));
    assert_eq!(bench.eic.next_event(), Instant::from_nanos(13 * TICK));
    assert!(bench.flag_at(13 * TICK));
    bench.write(14 * TICK, 0x14, 1 << 15);
    assert!(!bench.flag_at(50 * TICK));
}

#[test]
fn a_pulse_shorter_than_the_clock_passes_unseen_by_synchronous_detection_only() {
    for (asynchronous, seen) in [(0, false), (1 << 15, true)] {
        let mut bench = Bench::new();
        bench.write(0, 0x18, asynchronous);
        bench.enable(2);
        bench.press(10 * TICK, true);
        bench.press(10 * TICK + TICK / 2, false);
        assert_eq!(bench.flag_at(50 * TICK), seen);
    }
}

#[test]
fn without_its_clock_only_asynchronous_detection_works() {
    let mut bench = Bench::new();
    bench.rig.clocks.channel[CHANNEL] = 0;
    bench.enable(2);
    bench.press(10 * TICK, true);
    assert!(!bench.flag_at(1_000_000 * TICK));
    bench.write(0, 0x00, 0);
    bench.write(0, 0x18, 1 << 15);
    bench.write(0, 0x20, 1 << 28);
    bench.write(0, 0x00, ENABLE);
    bench.press(2_000_000 * TICK, false);
    assert!(bench.flag_at(2_000_000 * TICK));
}

#[test]
fn a_low_level_raises_the_line_as_long_as_it_lasts() {
    let mut bench = Bench::new();
    bench.press(0, true);
    bench.enable(5);
    bench.write(TICK, 0x14, 1 << 15);
    assert!(bench.flag_at(TICK));
    bench.press(2 * TICK, false);
    bench.write(3 * TICK, 0x14, 1 << 15);
    assert!(!bench.flag_at(3 * TICK));
}

#[test]
fn a_bouncing_button_is_one_edge_to_the_debouncer() {
    let mut bench = Bench::new();
    bench.write(0, 0x30, 1 << 15);
    // PRESCALER1 = 2 (divided by 8), STATES1 = 1: eight ticks of 8 us.
    bench.write(0, 0x34, 0xA0);
    bench.enable(3);
    for n in 0..10 {
        bench.press((10 + 5 * n) * TICK, n % 2 == 0);
    }
    bench.press(100 * TICK, true);
    assert!(!bench.flag_at(163 * TICK));
    assert_eq!(bench.eic.read(0x38, &mut bench.rig.cx(163 * TICK)) >> 15, 1, "the valid state is still high");
    assert!(bench.flag_at(164 * TICK));
    assert_eq!(bench.eic.read(0x38, &mut bench.rig.cx(164 * TICK)) >> 15, 0);
    bench.write(164 * TICK, 0x14, 1 << 15);
    assert!(!bench.flag_at(500 * TICK));
}

#[test]
fn an_enabled_event_goes_out_with_the_edge_although_nobody_wants_the_interrupt() {
    let mut bench = Bench::new();
    bench.write(0, 0x08, 1 << 15);
    bench.write(0, 0x20, 2 << 28);
    bench.write(0, 0x00, ENABLE);
    bench.press(10 * TICK, true);
    bench.eic.advance(&mut bench.rig.cx(13 * TICK));
    assert_eq!(bench.rig.signals.events_out, [(18 + 15, Edge::Pulse)]);
    assert_eq!(bench.eic.irqs(), 0);
}

#[test]
fn the_nmi_has_a_flag_of_its_own() {
    let mut bench = Bench::new();
    // Falling edge, asynchronous.
    bench.write(0, 0x01, 0x12);
    bench.write(0, 0x00, ENABLE);
    bench.port.drive(0, 8, Some(false));
    bench.eic.look(lines(&bench.port, bench.port.levels()), &mut bench.rig.cx(TICK));
    assert!(bench.eic.take_nmi_edge());
    assert!(!bench.eic.take_nmi_edge());
    assert_eq!(bench.eic.read(0x02, &mut bench.rig.cx(TICK)), 1);
    bench.write(2 * TICK, 0x02, 1);
    assert_eq!(bench.eic.read(0x02, &mut bench.rig.cx(3 * TICK)), 0);
}

#[test]
fn settings_are_enable_protected() {
    let mut bench = Bench::new();
    bench.enable(2);
    bench.write(TICK, 0x20, 0);
    bench.write(TICK, 0x00, ENABLE | CKSEL);
    assert_eq!(bench.eic.read(0x20, &mut bench.rig.cx(TICK)), 2 << 28);
    assert_eq!(bench.eic.read(0x00, &mut bench.rig.cx(TICK)), ENABLE);
    assert_eq!(bench.rig.violations().len(), 1);
}

#[test]
fn enabling_takes_three_clocks_to_synchronise() {
    let mut bench = Bench::new();
    bench.enable(2);
    let busy = |bench: &mut Bench, at| bench.eic.read(0x04, &mut bench.rig.cx(at));
    assert_eq!(busy(&mut bench, 2 * TICK), ENABLE);
    assert_eq!(busy(&mut bench, Duration::from_micros(3).as_nanos() as u64), 0);
}

#[test]
fn the_phy_interrupt_pin_pd12_is_line_7() {
    assert_eq!(line(3, 12), 7);
}
