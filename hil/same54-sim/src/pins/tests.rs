use armv7m::Size;

use crate::pm::Sleep;
use crate::rig::Bench;
use crate::{Board, BoardConfig, Waveform};

const PORT: u32 = 0x4100_8000;
const TCC0: u32 = 0x4101_6000;
const ENABLE: u32 = 2;

/// Gives a pin to function `function`, with its input on.
fn mux(bench: &mut Bench, group: u32, pin: u32, function: u32) {
    let group = PORT + 0x80 * group;
    bench.set_byte(group + 0x30 + pin / 2, function << (4 * (pin % 2)));
    bench.set_byte(group + 0x40 + pin, 3);
}

fn level(bench: &mut Bench, group: u32, pin: u32) -> bool {
    bench.word(PORT + 0x80 * group + 0x20) >> pin & 1 != 0
}

/// TCC0 with a period of 480 clocks of 48 MHz (10 us), WO[2] high for 120 (2.5 us).
fn start_tcc0(bench: &mut Bench) {
    bench.set(TCC0 + 0x3C, 2);
    bench.set(TCC0 + 0x40, 479);
    bench.set(TCC0 + 0x4C, 120);
    bench.set(TCC0, ENABLE);
}

#[test]
fn a_pwm_shows_at_the_pin_that_has_it() {
    let mut bench = Bench::new();
    start_tcc0(&mut bench);
    mux(&mut bench, 2, 18, 5);
    let deadline = bench.chip.next_event();
    let levels = [2_000, 1_000, 6_000, 2_000].map(|nanos| {
        bench.run(nanos);
        level(&mut bench, 2, 18)
    });
    assert_eq!(levels, [true, false, false, true]);
    assert_eq!(bench.chip.next_event(), deadline, "a waveform has no events");
    // Another function, or none, and the pin is no longer TCC0's.
    mux(&mut bench, 2, 18, 4);
    assert!(!level(&mut bench, 2, 18));
    assert_eq!(bench.chip.waveform(2, 18, bench.chip.now()), None);
}

#[test]
fn a_match_pwm_shows_at_the_pin_that_has_it() {
    let mut bench = Bench::new();
    // TC2 WO[1] is function E of PA13; MPWM with a period of 96 clocks.
    const TC2: u32 = 0x4101_A000;
    mux(&mut bench, 0, 13, 4);
    bench.set_byte(TC2 + 0x0C, 3);
    bench.set_half(TC2 + 0x1C, 95);
    bench.set_half(TC2 + 0x1E, 24);
    bench.set(TC2, ENABLE);
    let waveform = bench.chip.waveform(0, 13, bench.chip.now());
    assert_eq!(waveform, Some(Waveform { clock_hz: 48_000_000, period: 96, high: 24 }));
    bench.run(1_000);
    assert!(!level(&mut bench, 0, 13));
    bench.run(1_250);
    assert!(level(&mut bench, 0, 13));
}

#[test]
fn a_waveform_stands_still_in_standby_and_its_pin_holds_in_hibernate() {
    let mut bench = Bench::new();
    start_tcc0(&mut bench);
    mux(&mut bench, 2, 18, 5);
    bench.run(1_000);
    bench.chip.fall_asleep(Sleep::Standby);
    bench.run(6_000);
    assert!(level(&mut bench, 2, 18), "it would be low by now");
    bench.chip.wake_up();
    bench.run(2_000);
    assert!(!level(&mut bench, 2, 18));
    bench.run(7_000);
    assert!(level(&mut bench, 2, 18));
    bench.chip.fall_asleep(Sleep::Hibernate);
    bench.run(6_000);
    let now = bench.chip.now();
    assert_eq!((bench.chip.driven(2, 18, now), bench.chip.waveform(2, 18, now)), (Some(true), None));
}

#[test]
fn a_generator_puts_out_its_clock_or_its_off_value() {
    let mut bench = Bench::new();
    mux(&mut bench, 1, 22, 12);
    assert!(!level(&mut bench, 1, 22));
    const GENCTRL0: u32 = 0x4000_1C20;
    bench.set(GENCTRL0, 1 << 10 | 0x106);
    assert!(level(&mut bench, 1, 22), "OOV");
    // Generator 2 on PA16: 48 MHz by 5, and by 5 with IDC.
    mux(&mut bench, 0, 16, 12);
    for (idc, expected) in [
        (0, Waveform { clock_hz: 48_000_000, period: 5, high: 2 }),
        (1 << 9, Waveform { clock_hz: 19_200_000, period: 2, high: 1 }),
    ] {
        bench.set(GENCTRL0 + 8, 5 << 16 | 1 << 11 | idc | 0x106);
        assert_eq!(bench.chip.waveform(0, 16, bench.chip.now()), Some(expected));
    }
    let now = bench.chip.now().as_nanos();
    let rises = (0..104_167).filter(|ns| {
        let at = |ns| bench.chip.driven(0, 16, sim_base::Instant::from_nanos(now + ns)).expect("driven");
        at(ns + 1) && !at(*ns)
    });
    assert_eq!(rises.count(), 1_000, "9.6 MHz for 104.167 us");
}

#[test]
fn comparator_and_logic_reach_their_pins() {
    let mut bench = Bench::new();
    // AC: PA04 against half of VDDANA, CMP0 on PA12.
    mux(&mut bench, 0, 4, 1);
    mux(&mut bench, 0, 12, 12);
    const AC: u32 = 0x4200_2000;
    bench.set_byte(AC + 0xC, 31);
    bench.set(AC + 0x10, 1 << 28 | 5 << 8 | ENABLE);
    bench.set_byte(AC, ENABLE);
    assert!(!level(&mut bench, 0, 12));
    bench.chip.set_analog((0, 4), 1_700_000);
    assert!(level(&mut bench, 0, 12));
    // CCL: a LUT that is true whatever comes, OUT0 on PA07.
    const CCL: u32 = 0x4200_3800;
    mux(&mut bench, 0, 7, 13);
    assert!(!level(&mut bench, 0, 7));
    bench.set(CCL + 8, 0xFF << 24 | ENABLE);
    bench.set_byte(CCL, ENABLE);
    assert!(level(&mut bench, 0, 7));
}

#[test]
fn a_transmitter_idles_high() {
    let mut bench = Bench::new();
    // SERCOM0 pad 0 on PA08, function C.
    mux(&mut bench, 0, 8, 2);
    const SERCOM0: u32 = 0x4000_3000;
    assert!(!level(&mut bench, 0, 8));
    bench.set(SERCOM0 + 4, 1 << 16);
    bench.set(SERCOM0, 1 << 2 | ENABLE);
    assert!(level(&mut bench, 0, 8));
}

#[test]
fn an_observer_sees_pins_and_a_dimmed_led() {
    let mut board = Board::new(BoardConfig { seed: 1, flash_timing: true });
    assert_eq!((board.pin(2, 18), board.pin_waveform(2, 18)), (None, None));
    board.power_on();
    // RESETN holds the core.
    board.set_nreset(true, false);
    let set = |board: &mut Board, addr, value| board.debug_write(addr, Size::Word, value).expect("the address answers");
    let byte =
        |board: &mut Board, addr, value| board.debug_write(addr, Size::Byte, value).expect("the address answers");
    assert_eq!(board.pin(2, 18), None, "nothing drives it");
    // Every bus clock; TCC0 with 48 MHz.
    for bridge in 0..4 {
        set(&mut board, 0x4000_0814 + 4 * bridge, u32::MAX);
    }
    set(&mut board, 0x4000_1C80 + 4 * 25, 1 << 6);
    byte(&mut board, PORT + 0x100 + 0x39, 5);
    byte(&mut board, PORT + 0x100 + 0x52, 1);
    for (offset, value) in [(0x3C, 2), (0x40, 47_999), (0x4C, 12_000), (0, ENABLE)] {
        set(&mut board, TCC0 + offset, value);
    }
    let start = board.now();
    assert_eq!((board.pin(2, 18), board.led()), (Some(true), false));
    let waveform = board.pin_waveform(2, 18).expect("PWM");
    assert_eq!((waveform.period_time().as_micros(), waveform.high_time().as_micros()), (1_000, 250));
    board.run_until(start + std::time::Duration::from_micros(600));
    assert_eq!((board.pin(2, 18), board.led()), (Some(false), true));
    let copy = board.snapshot();
    assert_eq!((copy.pin(2, 18), copy.pin_waveform(2, 18)), (Some(false), Some(waveform)));
    board.power_off();
    assert_eq!((board.pin(2, 18), board.led()), (None, false));
}
