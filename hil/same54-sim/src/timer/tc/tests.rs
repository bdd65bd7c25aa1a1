use super::*;
use crate::rig::{Bench, Rig};

const READSYNC: u32 = 4 << 5;

fn timer(ctrla: u32) -> (Tc, Rig) {
    let (mut tc, mut rig) = (Tc::new(0), Rig::new());
    rig.clocks.channel[9] = 1_000_000;
    tc.write(0x00, Write::full(ctrla), &mut rig.cx(0));
    (tc, rig)
}

#[test]
fn a_16_bit_counter_counts_clock_periods_and_wraps() {
    let (mut tc, mut rig) = timer(0);
    tc.write(0x00, Write::full(ENABLE), &mut rig.cx(0));
    tc.write(0x05, Write::full(READSYNC), &mut rig.cx(0));
    assert_eq!(tc.read(0x14, &mut rig.cx(1_000_000)), 1_000);
    assert_eq!(tc.read(0x14, &mut rig.cx(65_537_000)), 1);
    assert_eq!(tc.read(0x0A, &mut rig.cx(65_537_000)) & OVF, OVF);
}

#[test]
fn match_frequency_mode_overflows_every_cc0_plus_one_steps() {
    let (mut tc, mut rig) = timer(0);
    tc.write(0x0C, Write::full(1), &mut rig.cx(0));
    tc.write(0x1C, Write::full(999), &mut rig.cx(0));
    tc.write(0x09, Write::full(OVF), &mut rig.cx(0));
    tc.write(0x00, Write::full(ENABLE), &mut rig.cx(0));
    for millisecond in 1..=3 {
        assert_eq!(tc.next_event(), Instant::from_nanos(millisecond * 1_000_000));
        tc.advance(&mut rig.cx(millisecond * 1_000_000));
        assert_eq!(tc.irqs(), 1);
        tc.write(0x0A, Write::full(OVF), &mut rig.cx(millisecond * 1_000_000 + 500));
    }
}

#[test]
fn a_compare_match_interrupts_when_the_counter_reaches_it() {
    let (mut tc, mut rig) = timer(2 << 2);
    tc.write(0x20, Write::full(500), &mut rig.cx(0));
    tc.write(0x09, Write::full(MC1), &mut rig.cx(0));
    tc.write(0x00, Write::full(2 << 2 | ENABLE), &mut rig.cx(0));
    assert_eq!(tc.next_event(), Instant::from_nanos(500_000));
    assert!(tc.takes_partner());
}

#[test]
fn one_shot_stops_at_the_overflow_until_retriggered() {
    let (mut tc, mut rig) = timer(1 << 2);
    tc.write(0x05, Write::full(ONESHOT), &mut rig.cx(0));
    tc.write(0x00, Write::full(1 << 2 | ENABLE), &mut rig.cx(0));
    tc.advance(&mut rig.cx(300_000));
    assert_eq!(tc.read(0x0B, &mut rig.cx(300_000)), 1);
    assert_eq!(tc.read(0x14, &mut rig.cx(400_000)), 0);
    tc.write(0x05, Write::full(1 << 5), &mut rig.cx(400_000));
    assert_eq!(tc.read(0x14, &mut rig.cx(410_000)), 10);
}

#[test]
fn the_prescaler_divides_and_counting_down_starts_at_the_top() {
    let (mut tc, mut rig) = timer(1 << 2 | 3 << 8);
    tc.write(0x05, Write::full(DIR), &mut rig.cx(0));
    tc.write(0x00, Write::full(1 << 2 | 3 << 8 | ENABLE), &mut rig.cx(0));
    assert_eq!(tc.read(0x14, &mut rig.cx(80_000)), 255 - 10);
}

#[test]
fn a_buffered_compare_value_waits_for_the_overflow() {
    // 48.6.2.6: match PWM with a period of 100 steps.
    let (mut tc, mut rig) = timer(0);
    tc.write(0x0C, Write::full(3), &mut rig.cx(0));
    tc.write(0x1C, Write::full(99), &mut rig.cx(0));
    tc.write(0x00, Write::full(ENABLE), &mut rig.cx(0));
    tc.write(0x32, Write::full(25), &mut rig.cx(10_000));
    assert_eq!((tc.read(0x0B, &mut rig.cx(90_000)), tc.read(0x1E, &mut rig.cx(90_000))), (1 << 5, 0));
    assert_eq!((tc.read(0x0B, &mut rig.cx(101_000)), tc.read(0x1E, &mut rig.cx(101_000))), (0, 25));
}

#[test]
fn events_start_count_and_measure() {
    // 48.6.3.2 and 48.6.2.7.
    let (mut tc, mut rig) = timer(3 << 16);
    tc.write(0x06, Write::full(TCEI | 5), &mut rig.cx(0));
    tc.write(0x00, Write::full(3 << 16 | ENABLE), &mut rig.cx(0));
    tc.event_level(44, true, &mut rig.cx(100_000));
    tc.write(0x0A, Write::full(INT_MASK), &mut rig.cx(100_000));
    tc.event_level(44, false, &mut rig.cx(130_000));
    tc.event_level(44, true, &mut rig.cx(200_000));
    assert_eq!(tc.read(0x0A, &mut rig.cx(200_000)), MC0 | MC1);
    assert_eq!(tc.dma_requests() >> 45, 3);
    assert_eq!((tc.read(0x1C, &mut rig.cx(200_000)), tc.read(0x1E, &mut rig.cx(200_000))), (100, 30));
    assert_eq!((tc.read(0x0A, &mut rig.cx(200_000)), tc.dma_requests()), (0, 0));

    let (mut tc, mut rig) = timer(0);
    tc.write(0x06, Write::full(TCEI | 2), &mut rig.cx(0));
    tc.write(0x1C, Write::full(2), &mut rig.cx(0));
    tc.write(0x00, Write::full(ENABLE), &mut rig.cx(0));
    tc.event_in(44, &mut rig.cx(1_000));
    tc.event_in(44, &mut rig.cx(2_000));
    assert_eq!((tc.read(0x14, &mut rig.cx(9_000)), tc.read(0x0A, &mut rig.cx(9_000))), (2, MC0));
}

#[test]
fn an_overflow_triggers_dma_and_another_timer_through_events() {
    // TC0 overflows every 100 us: its request moves a byte, its event counts in TC2.
    let mut bench = Bench::new();
    let (tc0, tc2, dmac) = (0x4000_3800, 0x4101_A000, 0x4100_A000);
    for (n, word) in (0..).zip([4 << 16 | 3 << 10 | 1, 0x2000_0104, 0x2000_0204, 0]) {
        bench.set(0x2000_1000 + 4 * n, word);
    }
    bench.set(0x2000_0100, 0x4433_2211);
    bench.set(0x2000_0200, 0);
    bench.set(dmac + 0x34, 0x2000_1000);
    bench.set(dmac + 0x38, 0x2000_2000);
    bench.set_half(dmac, 0xF02);
    bench.set(dmac + 0x40, 2 << 20 | 44 << 8 | 2);
    bench.set(0x4100_E020, 2 << 8 | 73);
    bench.set(0x4100_E120 + 4 * 46, 1);
    bench.set_half(tc2 + 6, TCEI | 2);
    bench.set(tc2, ENABLE);
    bench.set_half(tc0 + 6, 1 << 8);
    bench.set_byte(tc0 + 0xC, 1);
    bench.set_half(tc0 + 0x1C, 4_799);
    bench.set(tc0, ENABLE);
    bench.run(250_000);
    assert_eq!((bench.word(0x2000_0200), bench.half(tc2 + 0x14)), (0x2211, 2));
    bench.run(300_000);
    assert_eq!((bench.word(0x2000_0200), bench.half(tc2 + 0x14)), (0x4433_2211, 5));
    assert_eq!(bench.violations().len(), 0);
}
