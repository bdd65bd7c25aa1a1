use super::*;
use crate::rig::Bench;

const ADC0: u32 = 0x4300_1C00;

/// ADC0 at 48 MHz / 2, VDDANA as reference, PA02 (AIN0) and PA03 (AIN1) connected.
fn bench(setup: &[(u32, u32)]) -> Bench {
    let mut bench = Bench::new();
    bench.set_byte(0x4100_8031, 0x11);
    bench.set_byte(0x4100_8042, 1);
    bench.set_byte(0x4100_8043, 1);
    bench.set_byte(ADC0 + 8, 3);
    for (offset, value) in setup {
        bench.set_half(ADC0 + offset, *value);
    }
    bench.set_half(ADC0, ENABLE);
    bench
}

fn convert(bench: &mut Bench) -> u32 {
    bench.set_byte(ADC0 + 0x14, 2);
    bench.run(1_000_000);
    assert_eq!(bench.byte(ADC0 + 0x2E) & RESRDY, RESRDY);
    bench.half(ADC0 + 0x40)
}

#[test]
fn a_conversion_takes_its_bits_and_its_sampling_time() {
    let mut bench = bench(&[]);
    bench.chip.set_analog((0, 2), 1_650_000);
    bench.set_byte(ADC0 + 0x2D, RESRDY);
    bench.set_byte(ADC0 + 0x14, 2);
    // 13 periods of 24 MHz.
    bench.run(540);
    assert!(!bench.irq(119));
    assert_eq!(bench.byte(ADC0 + 0x2F), 1);
    bench.run(2);
    assert!(bench.irq(119));
    assert_eq!(bench.half(ADC0 + 0x40), 2_048);
    assert!(!bench.irq(119));
}

#[test]
fn resolution_difference_and_adjustment_shape_the_result() {
    // CTRLB: 8 bits; 12 bits left-adjusted. INPUTCTRL: AIN0 against AIN1.
    for (ctrlb, inputctrl, expected) in
        [(3 << 3, 0, 0x80), (LEFTADJ, 0, 0x8000), (0, DIFFMODE | 1 << 8, 512), (0, DIFFMODE | 1, 0xFE00)]
    {
        let mut bench = bench(&[(6, ctrlb), (4, inputctrl)]);
        bench.chip.set_analog((0, 2), 1_650_000);
        bench.chip.set_analog((0, 3), 825_000);
        assert_eq!(convert(&mut bench), expected, "{ctrlb:#x} {inputctrl:#x}");
    }
}

#[test]
fn accumulation_is_cut_to_sixteen_bits_and_divided() {
    // 45.6.2.9 and 45.6.2.10: 64 samples, RESSEL 16BIT; then divided by 2^4 to average.
    for (adjust, expected) in [(0, 2_048 * 16), (4, 2_048)] {
        let mut bench = bench(&[(6, 1 << 3)]);
        bench.set_byte(ADC0 + 0xA, adjust << 4 | 6);
        bench.chip.set_analog((0, 2), 1_650_000);
        assert_eq!(convert(&mut bench), expected);
    }
}

#[test]
fn the_window_monitor_interrupts_and_an_unread_result_is_overrun() {
    let mut bench = bench(&[(6, FREERUN | 1 << 8), (0xC, 3_000)]);
    bench.set_byte(ADC0 + 0x2D, WINMON);
    bench.run(2_000);
    assert!(!bench.irq(118));
    assert_eq!(bench.byte(ADC0 + 0x2E), RESRDY | OVERRUN);
    bench.chip.set_analog((0, 2), 3_000_000);
    bench.run(1_000);
    assert!(bench.irq(118));
}

#[test]
fn dma_sequences_the_inputs_of_conversions_that_events_start() {
    // 45.6.3.3: channel 0 brings INPUTCTRL (trigger 69), channel 1 takes the results (68); user 55 is START.
    let mut bench = bench(&[]);
    bench.set_half(ADC0, 0);
    bench.set_byte(ADC0 + 2, 1 << 1);
    bench.set(ADC0 + 0x38, AUTOSTART | 1);
    bench.chip.set_analog((0, 2), 825_000);
    bench.chip.set_analog((0, 3), 1_650_000);
    for n in 0..4 {
        bench.set(0x2000_0100 + 4 * n, 24 << 8 | n & 1);
    }
    bench.set(0x4100_A034, 0x2000_1000);
    bench.set(0x4100_A038, 0x2000_2000);
    let descriptors = [
        (4 << 16 | 1 << 10 | 2 << 8 | 1, 0x2000_0110, ADC0 + 0x34),
        (4 << 16 | 1 << 11 | 1 << 8 | 1, ADC0 + 0x40, 0x2000_0208),
    ];
    for (n, (head, from, to)) in (0..).zip(descriptors) {
        for (m, word) in (0..).zip([head, from, to, 0]) {
            bench.set(0x2000_1000 + 16 * n + 4 * m, word);
        }
    }
    bench.set(0x2000_2000, 0);
    bench.set_half(0x4100_A000, 0xF02);
    bench.set(0x4100_A050, 2 << 20 | 68 << 8 | 2);
    bench.set(0x4100_A040, 2 << 20 | 69 << 8 | 2);
    bench.run(10_000);
    assert_eq!(bench.word(0x2000_2000), 0, "no sequence while disabled");
    assert_eq!(bench.word(ADC0 + 0x3C) >> 31, 0, "BUSY");
    bench.set_half(ADC0, ENABLE);
    // Channel 0 of EVSYS, asynchronous: software events.
    bench.set(0x4100_E120 + 4 * 55, 1);
    bench.set(0x4100_E020, 2 << 8);
    for _ in 0..4 {
        bench.run(10_000);
        assert_eq!(bench.byte(ADC0 + 0x2F) & 1, 0, "waits for an event");
        bench.set(0x4100_E004, 1);
    }
    bench.run(10_000);
    let results: Vec<u32> = (0..4).map(|n| bench.half(0x2000_0200 + 2 * n)).collect();
    assert_eq!(results, [1_024, 2_048, 1_024, 2_048]);
    assert_eq!(bench.byte(0x4100_A04E) & bench.byte(0x4100_A05E) & 2, 2, "TCMPL");
    assert_eq!(bench.violations().len(), 0);
}

#[test]
fn runstdby_asks_for_the_clock_in_standby() {
    // Table 45-6.
    for (ctrla, runs) in [(ENABLE, false), (RUNSTDBY, false), (ENABLE | RUNSTDBY, true), (0xC2, true)] {
        let mut bench = bench(&[]);
        bench.set_half(ADC0, ctrla);
        bench.chip.fall_asleep(crate::pm::Sleep::Standby);
        bench.run(1_000);
        assert_eq!(bench.chip.shared.clocks.channel[40] != 0, runs, "{ctrla:#x}");
        assert_eq!(bench.chip.shared.clocks.channel[41], 0);
    }
}

#[test]
fn a_pin_that_is_not_multiplexed_is_not_connected() {
    let mut bench = bench(&[(4, 5)]);
    bench.chip.set_analog((0, 5), 3_300_000);
    assert_eq!(convert(&mut bench), 0);
    assert_eq!(convert(&mut bench), 0);
    assert_eq!(bench.violations(), ["ADC0: PA05 is not multiplexed to function B"]);
}

#[test]
fn internal_channels_have_the_voltages_of_the_board_and_of_the_calibration_row() {
    let mut bench = bench(&[]);
    let mut read = |mux, reference| {
        bench.set_byte(ADC0 + 8, reference);
        bench.set_half(ADC0 + 4, mux);
        convert(&mut bench)
    };
    assert_eq!(read(26, 3), 1_024, "a quarter of VDDIO");
    assert_eq!(read(24, 3), 372, "a quarter of 1.2 V");
    assert_eq!(read(28, 0), 1_696);
    assert_eq!(read(29, 0), 2_176);
}
