use sim_base::Instant;

use super::{CMP0, COUNTSYNC, ENABLE, OVF, Rtc};
use crate::ResetCause;
use crate::peripheral::{Peripheral, Write};
use crate::rig::Rig;

struct Bench {
    rtc: Rtc,
    rig: Rig,
}

/// Nanoseconds of `ticks` periods of 32 768 Hz, rounded up as the model does.
fn ticks(ticks: u64) -> u64 {
    (ticks * 1_000_000_000).div_ceil(32_768)
}

impl Bench {
    /// Mode bits as given, 32 768 Hz, prescaler 1.
    fn new(mode: u32) -> Self {
        let mut rig = Rig::new();
        rig.clocks.rtc = 32_768;
        let mut bench = Self { rtc: Rtc::new(), rig };
        bench.rtc.reset(ResetCause::PowerOn, &mut bench.rig.cx(0));
        bench.write(0, 0x00, mode | 1 << 8 | COUNTSYNC);
        bench
    }

    fn write(&mut self, at: u64, offset: u32, value: u32) {
        self.rtc.write(offset, Write::full(value), &mut self.rig.cx(at));
    }

    fn read(&mut self, at: u64, offset: u32) -> u32 {
        self.rtc.read(offset, &mut self.rig.cx(at))
    }

    fn enable(&mut self, at: u64) {
        let ctrla = self.read(at, 0);
        self.write(at, 0x00, ctrla | ENABLE);
    }
}

#[test]
fn the_32_bit_counter_counts_clock_periods_once_enabled() {
    let mut bench = Bench::new(0);
    assert_eq!(bench.read(1_000_000, 0x18), 0);
    bench.enable(1_000_000);
    assert_eq!(bench.read(1_001_000_000, 0x18), 32_768);
    assert_eq!(bench.read(1_000_000 + ticks(65_536), 0x18), 65_536);
}

#[test]
fn without_countsync_the_count_register_is_not_updated() {
    let mut bench = Bench::new(0);
    bench.write(0, 0x00, 1 << 8 | ENABLE);
    assert_eq!(bench.read(1_000_000_000, 0x18), 0);
}

#[test]
fn a_compare_flag_rises_one_period_after_the_match_and_interrupts() {
    let mut bench = Bench::new(0);
    bench.write(0, 0x20, 100);
    bench.write(0, 0x0A, CMP0);
    bench.enable(0);
    assert_eq!(bench.rtc.next_event(), Instant::from_nanos(ticks(101)));
    bench.rtc.advance(&mut bench.rig.cx(ticks(101) - 1));
    assert_eq!(bench.rtc.irqs(), 0);
    bench.rtc.advance(&mut bench.rig.cx(ticks(101)));
    assert_eq!(bench.rtc.irqs(), 1);
    bench.write(ticks(102), 0x0C, CMP0);
    assert_eq!(bench.rtc.irqs(), 0);
    // The next match is a whole turn of the counter away.
    assert_eq!(bench.rtc.next_event(), Instant::from_nanos(ticks((1 << 32) + 101)));
}

#[test]
fn a_compare_value_written_too_late_is_missed() {
    let mut bench = Bench::new(0);
    bench.write(0, 0x0A, CMP0);
    bench.enable(0);
    // COMP0 = 0 has matched at the start.
    bench.write(ticks(999), 0x0C, CMP0);
    // Count is 1000; synchronisation takes four periods, so 1002 has passed before the comparator knows it.
    bench.write(ticks(1_000), 0x20, 1_002);
    assert!(bench.rtc.next_event() > Instant::from_nanos(ticks(1 << 31)));
    bench.write(ticks(1_010), 0x20, 1_020);
    assert_eq!(bench.rtc.next_event(), Instant::from_nanos(ticks(1_021)));
}

#[test]
fn a_second_write_during_synchronisation_is_dropped() {
    let mut bench = Bench::new(0);
    bench.enable(0);
    bench.write(1_000_000, 0x20, 500);
    assert_eq!(bench.read(1_000_001, 0x10), 1 << 5);
    bench.write(1_000_001, 0x20, 900);
    assert_eq!(bench.read(1_000_002, 0x20), 500);
    assert_eq!(bench.rig.violations().len(), 1);
    assert_eq!(bench.read(2_000_000, 0x10), 0);
}

#[test]
fn overflow_comes_when_the_counter_wraps() {
    let mut bench = Bench::new(0);
    bench.write(0, 0x18, 0xFFFF_FFF0);
    bench.write(0, 0x0A, OVF);
    bench.enable(0);
    assert_eq!(bench.rtc.next_event(), Instant::from_nanos(ticks(16)));
    bench.rtc.advance(&mut bench.rig.cx(ticks(16)));
    assert_eq!(bench.rtc.irqs(), 1);
    assert_eq!(bench.read(ticks(18), 0x18), 2);
}

#[test]
fn the_16_bit_counter_wraps_at_per() {
    let mut bench = Bench::new(1 << 2);
    bench.write(0, 0x1C, 99);
    bench.write(0, 0x0A, OVF | CMP0 << 3);
    bench.write(0, 0x26, 50);
    bench.enable(0);
    assert_eq!(bench.rtc.next_event(), Instant::from_nanos(ticks(51)));
    assert_eq!(bench.read(ticks(230), 0x18), 30);
    assert_eq!(bench.read(ticks(230), 0x0C) & (OVF | CMP0 << 3), OVF | CMP0 << 3);
}

#[test]
fn match_clear_restarts_the_32_bit_counter() {
    let mut bench = Bench::new(1 << 7);
    bench.write(0, 0x20, 9);
    bench.enable(0);
    assert_eq!(bench.read(ticks(25), 0x18), 5);
}

#[test]
fn the_calendar_counts_seconds_and_its_alarm_matches_the_minute() {
    let mut bench = Bench::new(2 << 2);
    // Prescaler 1024 of 32.768 kHz is 32 Hz, so take the 1.024 kHz clock.
    bench.rig.clocks.rtc = 1_024;
    bench.rtc.clocks_changed(&mut bench.rig.cx(0));
    bench.write(0, 0x00, 2 << 2 | 11 << 8 | COUNTSYNC);
    // 2024-12-31 23:59:30 relative to year 0 = 2020.
    bench.write(0, 0x18, 30 | 59 << 6 | 23 << 12 | 31 << 17 | 12 << 22 | 4 << 26);
    bench.write(0, 0x20, 5);
    bench.write(0, 0x24, 1);
    bench.write(0, 0x0A, CMP0);
    bench.enable(0);
    let mut alarm = None;
    while alarm.is_none() {
        let next = bench.rtc.next_event();
        bench.rtc.advance(&mut bench.rig.cx(next.as_nanos()));
        alarm = (bench.rtc.irqs() != 0).then_some(next);
    }
    assert_eq!(alarm, Some(Instant::from_nanos(35_000_000_000)));
    assert_eq!(bench.read(35_000_000_000, 0x18), 5 | 1 << 17 | 1 << 22 | 5 << 26);
}

#[test]
fn periodic_interrupt_7_comes_every_1024_periods() {
    let mut bench = Bench::new(0);
    bench.write(0, 0x0A, 1 << 7);
    bench.enable(0);
    assert_eq!(bench.rtc.next_event(), Instant::from_nanos(ticks(1_024)));
}

#[test]
fn a_system_reset_spares_the_counter() {
    let mut bench = Bench::new(0);
    bench.enable(0);
    bench.write(0, 0x80, 0xCAFE);
    bench.rtc.reset(ResetCause::System, &mut bench.rig.cx(500_000_000));
    assert_eq!(bench.read(1_000_000_000, 0x18), 32_768);
    assert_eq!(bench.read(1_000_000_000, 0x80), 0xCAFE);
    bench.rtc.reset(ResetCause::PowerOn, &mut bench.rig.cx(1_000_000_000));
    assert_eq!(bench.read(1_000_000_000, 0x80), 0);
}

#[test]
fn setting_alarms_does_not_disturb_the_count() {
    let mut bench = Bench::new(0);
    bench.enable(0);
    // 1 ms steps are no multiple of the period.
    for step in 1..=1_000 {
        bench.write(step * 1_000_000, 0x20, 0);
    }
    assert_eq!(bench.read(1_000_000_000, 0x18), 32_768);
}

/// Two counters get the same writes; one is also read at many instants between. What they show must not differ.
#[test]
fn how_often_it_is_looked_at_changes_nothing() {
    const SEED: u64 = 1;
    let mut rng = sim_base::Rng::new(SEED);
    for round in 0..200 {
        let mode = [0, 1 << 7, 1 << 2, 2 << 2][round % 4] | (1 + rng.below(4) as u32) << 8;
        let mut seldom = Bench::new(mode);
        let mut often = Bench::new(mode);
        let mut at = 0;
        for step in 0..40 {
            let width = if mode & 1 << 2 != 0 { 0xFF } else { 0x3FF };
            let (offset, value) = match rng.below(8) {
                _ if step == 0 => (0x18, 0),
                _ if step == 1 => (0x00, mode | COUNTSYNC | ENABLE),
                0 => (0x0A, rng.next_u32() & 0xCFFF),
                1 => (0x08, rng.next_u32() & 0xCFFF),
                2 | 3 => (0x0C, rng.next_u32() & 0xCFFF),
                4 => (0x18, rng.next_u32() & width),
                _ => (0x20, rng.next_u32() & width),
            };
            seldom.write(at, offset, value);
            often.write(at, offset, value);
            let end = at + 200_000 + rng.below(60_000_000);
            for _ in 0..rng.below(20) {
                at += rng.below((end - at) / 4 + 1);
                often.read(at, [0x0C, 0x18][rng.below(2) as usize]);
            }
            at = end;
            let shown = |bench: &mut Bench| [0x0C, 0x10, 0x18, 0x20].map(|offset| bench.read(at, offset));
            assert_eq!(shown(&mut seldom), shown(&mut often), "seed {SEED}, round {round}, step {step}");
            assert_eq!(seldom.rtc.next_event(), often.rtc.next_event(), "seed {SEED}, round {round}, step {step}");
            assert_eq!(seldom.rtc.irqs(), often.rtc.irqs(), "seed {SEED}, round {round}, step {step}");
        }
    }
}

/// IN0 is PB00.
fn tamper_pin(bench: &mut Bench, at: u64, high: bool) {
    bench.rtc.look([0, u32::from(high), 0, 0], &mut bench.rig.cx(at));
}

#[test]
fn a_tamper_input_captures_the_time_and_its_number_after_three_periods() {
    let mut bench = Bench::new(0);
    // IN0 captures rising edges; TAMPER interrupts.
    bench.write(0, 0x60, 1 << 16 | 2);
    bench.write(0, 0x0A, 1 << 14);
    bench.enable(0);
    tamper_pin(&mut bench, ticks(1_000), true);
    let due = bench.rtc.next_event().as_nanos();
    assert!(due >= ticks(1_003) - 2 && due <= ticks(1_003), "{due}");
    bench.rtc.advance(&mut bench.rig.cx(due));
    assert_eq!(bench.rtc.irqs(), 1);
    assert_eq!(bench.read(due, 0x68), 1);
    // A falling edge is none, and reading the time clears its flag.
    tamper_pin(&mut bench, ticks(2_000), false);
    assert!((1_002..=1_003).contains(&bench.read(ticks(3_000), 0x64)));
    assert_eq!(bench.rtc.irqs(), 0);
    bench.write(ticks(3_000), 0x68, 1);
    assert_eq!(bench.read(ticks(3_000), 0x68), 0);
}

#[test]
fn a_wake_input_raises_the_flag_without_a_time() {
    let mut bench = Bench::new(0);
    bench.write(0, 0x60, 1 << 16 | 1);
    bench.enable(0);
    tamper_pin(&mut bench, ticks(1_000), true);
    assert_eq!(bench.read(ticks(2_000), 0x0C) >> 14 & 1, 1);
    assert_eq!(bench.read(ticks(2_000), 0x64), 0);
}

#[test]
fn a_debounced_input_waits_for_four_of_its_periods_of_rest() {
    let mut bench = Bench::new(0);
    bench.write(0, 0x60, 1 << 24 | 1 << 16 | 1);
    // DEBF = 2: CLK_RTC_DEB is CLK_RTC_OSC / 8.
    bench.write(0, 0x02, 2 << 8);
    bench.enable(0);
    for n in 0..5 {
        tamper_pin(&mut bench, ticks(1_000 + 10 * n), n % 2 == 0);
    }
    assert_eq!(bench.read(ticks(1_040 + 32 + 2), 0x0C) >> 14, 0);
    assert_eq!(bench.read(ticks(1_040 + 32 + 4), 0x0C) >> 14, 1);
}

#[test]
fn a_tamper_event_clears_the_registers_that_ctrla_names() {
    let mut bench = Bench::new(1 << 14 | 1 << 13);
    bench.write(0, 0x04, 1 << 16);
    bench.write(0, 0x44, 7);
    bench.write(0, 0x80, 9);
    bench.enable(0);
    bench.rtc.event_in(0, &mut bench.rig.cx(ticks(100)));
    let at = ticks(200);
    assert_eq!([0x68, 0x44, 0x80].map(|offset| bench.read(at, offset)), [1 << 31, 0, 0]);
}

#[test]
fn enabled_events_go_out_with_their_flags_each_time() {
    let mut bench = Bench::new(0);
    // PER7: every 1024 periods; nobody wants the interrupt or clears the flag.
    bench.write(0, 0x04, 1 << 7);
    bench.enable(0);
    for n in 1..=3 {
        assert_eq!(bench.rtc.next_event(), Instant::from_nanos(ticks(1_024 * n)));
        bench.rtc.advance(&mut bench.rig.cx(ticks(1_024 * n)));
        assert_eq!(bench.rig.signals.events_out.len(), n as usize);
    }
    assert_eq!(bench.rtc.irqs(), 0);
}

#[test]
fn frequency_correction_makes_the_period_longer_or_shorter_by_parts_of_a_million() {
    for (correction, ticks_in_a_day) in [(127, 2_831_155_200 - 342_857), (0x80 | 127, 2_831_155_200 + 342_942)] {
        let mut bench = Bench::new(0);
        // PRESCALER 2 divides by 2: 16 384 Hz, of which a day has half as many ticks.
        bench.write(0, 0x00, 2 << 8 | COUNTSYNC);
        bench.write(0, 0x14, correction);
        bench.enable(1_000_000);
        let count = bench.read(1_000_000 + 86_400_000_000_000, 0x18);
        assert!(count.abs_diff(ticks_in_a_day / 2) < 2, "{count}");
    }
}

#[test]
fn a_twelve_hour_clock_counts_from_noon_to_one() {
    let mut bench = Bench::new(2 << 2 | 1 << 6);
    // 1 Hz; 12:59:59 PM on the first of January.
    bench.write(0, 0x00, 2 << 2 | 1 << 6 | COUNTSYNC);
    bench.rig.clocks.rtc = 1;
    bench.rtc.clocks_changed(&mut bench.rig.cx(0));
    bench.write(0, 0x18, 1 << 22 | 1 << 17 | 28 << 12 | 59 << 6 | 59);
    bench.enable(10_000_000_000);
    assert_eq!(bench.read(10_000_000_000, 0x18) >> 12 & 31, 16 | 12);
    assert_eq!(bench.read(12_000_000_000, 0x18) >> 12 & 31, 16 | 1);
}

#[test]
fn the_counter_stands_still_while_a_debugger_halts_the_core_unless_dbgrun_is_set() {
    for dbgrun in [0, 1] {
        let mut bench = Bench::new(0);
        bench.write(0, 0x0E, dbgrun);
        bench.enable(0);
        bench.rtc.core_halted(true, &mut bench.rig.cx(ticks(100)));
        bench.rtc.core_halted(false, &mut bench.rig.cx(ticks(1_100)));
        assert!(bench.read(ticks(1_200), 0x18).abs_diff(200 + 1_000 * dbgrun) < 2);
    }
}

#[test]
fn general_purpose_register_0_belongs_to_the_comparator_until_gp0en() {
    let mut bench = Bench::new(0);
    bench.write(0, 0x40, 5);
    assert_eq!(bench.read(0, 0x40), 0);
    bench.write(0, 0x02, 1);
    bench.write(0, 0x40, 5);
    assert_eq!(bench.read(0, 0x40), 5);
    bench.write(0, 0x20, 100);
    bench.enable(1_000_000_000);
    assert_eq!(bench.read(2_000_000_000, 0x0C) & CMP0, 0, "no comparison");
}
