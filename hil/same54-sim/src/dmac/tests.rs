use crate::rig::Bench;

const DMAC: u32 = 0x4100_A000;
const SWTRIG: u32 = DMAC + 0x10;
const BASE: u32 = 0x2000_1000;
const WRB: u32 = 0x2000_2000;
const FROM: u32 = 0x2000_4000;
const TO: u32 = 0x2000_6000;
const LIST: u32 = 0x2000_3000;

const VALID: u32 = 1;
const INT: u32 = 1 << 3;
const SUSPEND: u32 = 2 << 3;
const WORD: u32 = 2 << 8;
const BOTH: u32 = 1 << 10 | 1 << 11;
const BLOCK: u32 = 0;
const BURST: u32 = 2 << 20;
const TRANSACTION: u32 = 3 << 20;
const ENABLE: u32 = 2;
const TERR: u32 = 1;
const TCMPL: u32 = 2;
const SUSP: u32 = 4;

fn channel(n: u32) -> u32 {
    DMAC + 0x40 + 16 * n
}

fn descriptor(bench: &mut Bench, at: u32, btctrl: u32, count: u32, from: u32, to: u32, next: u32) {
    for (n, word) in (0..).zip([count << 16 | btctrl, from, to, next]) {
        bench.set(at + 4 * n, word);
    }
}

/// A DMAC with all priority levels on, and a pattern at `FROM`.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.set(DMAC + 0x34, BASE);
    bench.set(DMAC + 0x38, WRB);
    bench.set_half(DMAC, 0xF02);
    for n in 0..256 {
        bench.set(FROM + 4 * n, 0x0101_0101 * n + 1);
        bench.set(TO + 4 * n, 0);
    }
    bench
}

fn copied(bench: &mut Bench) -> u32 {
    (0..256).take_while(|n| bench.word(TO + 4 * n) == 0x0101_0101 * n + 1).count() as u32
}

#[test]
fn a_software_trigger_moves_a_block_and_raises_the_transfer_complete_interrupt() {
    // 22.6.2.5 and 22.6.2.6.
    let mut bench = bench();
    descriptor(&mut bench, BASE, VALID | INT | WORD | BOTH, 256, FROM + 1024, TO + 1024, 0);
    bench.set_byte(channel(0) + 0xD, TCMPL);
    bench.set(channel(0), ENABLE | BLOCK);
    bench.run(100);
    assert_eq!(copied(&mut bench), 0, "nothing without a trigger");
    bench.set(SWTRIG, 1);
    bench.run(2_000);
    assert!(!bench.irq(31));
    let status = bench.word(DMAC + 0x28);
    assert_eq!(status, 1, "busy");
    assert_eq!(bench.word(DMAC + 0x30) & 0xFFFF, 1 << 15 | 1, "ACTIVE: channel 0 on level 0");
    bench.run(20_000);
    assert_eq!(copied(&mut bench), 256);
    assert!(bench.irq(31));
    assert_eq!(bench.half(DMAC + 0x20), TCMPL << 8);
    assert_eq!(bench.word(channel(0)) & ENABLE, 0, "disabled after its last block");
    assert_eq!(bench.word(WRB) >> 16, 0);
    bench.set_half(DMAC + 0x20, TCMPL << 8);
    assert!(!bench.irq(31));
}

#[test]
fn descriptors_lie_at_any_64_bit_boundary() {
    // Assumed; with a CRC over channel 0 after one by software, 22.6.3.8.
    let mut bench = bench();
    bench.set_half(DMAC, 0);
    bench.set(DMAC + 0x34, BASE + 8);
    bench.set(DMAC + 0x38, WRB + 8);
    bench.set_half(DMAC, 0xF02);
    for crcsrc in [1, 0x20] {
        bench.set_half(DMAC + 2, 0);
        bench.set(DMAC + 8, u32::MAX);
        bench.set_half(DMAC + 2, crcsrc << 8 | 1 << 2);
        if crcsrc == 1 {
            for byte in b"123456789" {
                bench.set(DMAC + 4, u32::from(*byte));
                bench.set_byte(DMAC + 0xC, 1);
            }
        }
    }
    for (n, byte) in (0..).zip(b"123456789") {
        bench.set_byte(FROM + n, u32::from(*byte));
    }
    descriptor(&mut bench, BASE + 8, VALID | INT | BOTH, 5, FROM + 5, TO + 5, LIST + 8);
    descriptor(&mut bench, LIST + 8, VALID | INT | BOTH, 4, FROM + 9, TO + 9, 0);
    bench.set_byte(channel(0) + 0xD, TCMPL);
    bench.set(channel(0), ENABLE | TRANSACTION);
    bench.set(SWTRIG, 1);
    bench.run(5_000);
    assert!(bench.irq(31));
    assert_eq!(bench.word(DMAC + 8), 0xCBF4_3926);
    assert_eq!(bench.word(WRB + 8), INT | BOTH, "the last block, not valid any more");
    assert_eq!(bench.byte(TO + 8), u32::from(b'9'));
}

#[test]
fn time_passes_with_the_beats() {
    // Assumed: 5 clocks to fetch, 2 a beat, 4 to write back, at 48 MHz.
    let mut bench = bench();
    descriptor(&mut bench, BASE, VALID | WORD | BOTH, 256, FROM + 1024, TO + 1024, 0);
    bench.set(channel(0), ENABLE | TRANSACTION);
    bench.set(SWTRIG, 1);
    bench.run((5 + 512 + 3) * 1_000 / 48);
    assert_eq!(bench.byte(channel(0) + 0xE), 0);
    bench.run(1_000);
    assert_eq!(bench.byte(channel(0) + 0xE), TCMPL);
}

#[test]
fn a_burst_trigger_moves_one_burst_and_writes_the_descriptor_back() {
    let mut bench = bench();
    descriptor(&mut bench, BASE, VALID | WORD | BOTH, 10, FROM + 40, TO + 40, 0);
    bench.set(channel(0), ENABLE | BURST | 3 << 24);
    for moved in [4, 8, 10] {
        bench.set(SWTRIG, 1);
        assert_eq!(bench.word(SWTRIG), 1);
        bench.run(2_000);
        assert_eq!((copied(&mut bench), bench.word(SWTRIG)), (moved, 0));
        assert_eq!(bench.word(WRB) >> 16, 10 - moved);
    }
}

#[test]
fn linked_descriptors_take_a_trigger_each_or_one_for_all() {
    // 22.6.3.1.
    for (action, triggers) in [(BLOCK, 3), (TRANSACTION, 1)] {
        let mut bench = bench();
        descriptor(&mut bench, BASE, VALID | WORD | BOTH, 4, FROM + 16, TO + 16, LIST);
        descriptor(&mut bench, LIST, VALID | WORD | BOTH, 4, FROM + 32, TO + 32, LIST + 16);
        descriptor(&mut bench, LIST + 16, VALID | WORD | BOTH, 4, FROM + 48, TO + 48, 0);
        bench.set(channel(0), ENABLE | action);
        for n in 1..=triggers {
            assert_eq!(bench.word(channel(0)) & ENABLE, ENABLE);
            bench.set(SWTRIG, 1);
            bench.run(5_000);
            assert_eq!(copied(&mut bench), 12 * n / triggers);
        }
        assert_eq!(bench.word(channel(0)) & ENABLE, 0);
    }
}

#[test]
fn a_block_that_suspends_waits_for_resume_and_a_resume_before_skips_it() {
    // 22.6.3.3 and 22.6.3.4.
    for early in [false, true] {
        let mut bench = bench();
        descriptor(&mut bench, BASE, VALID | SUSPEND | WORD | BOTH, 4, FROM + 16, TO + 16, LIST);
        descriptor(&mut bench, LIST, VALID | WORD | BOTH, 4, FROM + 32, TO + 32, 0);
        bench.set(channel(0), ENABLE | TRANSACTION);
        if early {
            bench.set_byte(channel(0) + 4, 2);
        }
        bench.set(SWTRIG, 1);
        bench.run(5_000);
        assert_eq!(copied(&mut bench), if early { 8 } else { 4 });
        assert_eq!(bench.byte(channel(0) + 0xE) & SUSP, if early { 0 } else { SUSP });
        bench.set_byte(channel(0) + 4, 2);
        bench.run(5_000);
        assert_eq!(copied(&mut bench), 8);
    }
}

#[test]
fn an_invalid_descriptor_is_a_fetch_error_that_suspends() {
    // 22.6.2.9.
    let mut bench = bench();
    descriptor(&mut bench, BASE, WORD | BOTH, 4, FROM + 16, TO + 16, 0);
    bench.set(channel(0), ENABLE);
    bench.set(SWTRIG, 1);
    bench.run(1_000);
    assert_eq!((bench.byte(channel(0) + 0xE), bench.byte(channel(0) + 0xF)), (SUSP, 4));
    assert_eq!(bench.half(DMAC + 0x20), 1 << 13 | SUSP << 8);
    bench.set(BASE, 4 << 16 | VALID | WORD | BOTH);
    bench.set_byte(channel(0) + 4, 2);
    assert_eq!(bench.byte(channel(0) + 0xF), 0);
    bench.set(SWTRIG, 1);
    bench.run(1_000);
    assert_eq!(copied(&mut bench), 4);
}

#[test]
fn a_bus_error_disables_the_channel_and_does_not_count_the_beat() {
    let mut bench = bench();
    let end_of_ram = 0x2004_0000;
    descriptor(&mut bench, BASE, VALID | WORD | BOTH, 8, end_of_ram + 16, TO + 32, 0);
    bench.set_byte(channel(0) + 0xD, TERR);
    bench.set(channel(0), ENABLE);
    bench.set(SWTRIG, 1);
    bench.run(2_000);
    assert!(bench.irq(31));
    assert_eq!(bench.word(channel(0)) & ENABLE, 0);
    assert_eq!(bench.word(WRB) >> 16, 4);
}

#[test]
fn a_higher_level_goes_first_and_round_robin_takes_turns() {
    // 22.6.2.4. Each channel writes its number to one place.
    let order = |levels: [u32; 3], prictrl: u32| {
        let mut bench = bench();
        bench.set(DMAC + 0x14, prictrl);
        for (n, level) in (0..).zip(levels) {
            bench.set(FROM + 4 * n, n + 1);
            descriptor(&mut bench, BASE + 16 * n, VALID | WORD, 4, FROM + 4 * n, TO, 0);
            bench.set_byte(channel(n) + 5, level);
            bench.set(channel(n), ENABLE | BURST);
        }
        let mut log = Vec::new();
        for _ in 0..2 {
            bench.set(SWTRIG, 7);
            for _ in 0..300 {
                bench.run(10);
                let seen = bench.word(TO);
                bench.set(TO, 0);
                if seen != 0 {
                    log.push(seen);
                }
            }
        }
        log
    };
    assert_eq!(order([0, 0, 0], 0), [1, 2, 3, 1, 2, 3]);
    assert_eq!(order([0, 2, 1], 0), [2, 3, 1, 2, 3, 1]);
    // Channel 0 was the last of level 0: it is the turn of 1.
    assert_eq!(order([0, 0, 0], 0x80), [2, 3, 1, 2, 3, 1]);
}

#[test]
fn disabling_a_channel_lets_the_burst_end_and_keeps_the_rest() {
    // 22.6.3.7.
    let mut bench = bench();
    descriptor(&mut bench, BASE, VALID | WORD | BOTH, 200, FROM + 800, TO + 800, 0);
    bench.set(channel(0), ENABLE | BLOCK);
    bench.set(SWTRIG, 1);
    bench.run(1_000);
    bench.set(channel(0), BLOCK);
    assert_eq!(bench.word(channel(0)) & ENABLE, ENABLE, "until the burst is done");
    bench.run(2_000);
    assert_eq!(bench.word(channel(0)) & ENABLE, 0);
    let moved = copied(&mut bench);
    assert!(moved > 0 && moved < 200);
    assert_eq!(bench.word(WRB) >> 16, 200 - moved);
}

#[test]
fn the_crc_engine_listens_to_a_channel_and_generates_sums_of_memory() {
    // 22.6.3.8 and 22.6.3.9.
    let mut bench = bench();
    for (n, byte) in (0..).zip(*b"123456789") {
        bench.set_byte(FROM + n, byte.into());
    }
    let crc = |bench: &mut Bench| {
        bench.run(5_000);
        bench.word(DMAC + 8)
    };
    descriptor(&mut bench, BASE, VALID | BOTH, 9, FROM + 9, TO + 9, 0);
    bench.set_half(DMAC + 2, 0x20 << 8 | 1 << 2);
    bench.set(DMAC + 8, u32::MAX);
    bench.set(channel(0), ENABLE | BLOCK);
    bench.set(SWTRIG, 1);
    assert_eq!(crc(&mut bench), 0xCBF4_3926);
    assert_eq!(bench.byte(TO), u32::from(b'1'));
    // CRCGEN: the destination is the sum to begin with; nothing is written.
    descriptor(&mut bench, BASE, VALID | 1 << 10, 9, FROM + 9, u32::MAX, 0);
    bench.set_half(DMAC + 2, 3 << 14 | 0x20 << 8 | 1 << 2);
    bench.set(channel(0), ENABLE | BLOCK);
    bench.set(SWTRIG, 1);
    assert_eq!(crc(&mut bench), 0xCBF4_3926);
}

#[test]
fn channels_trigger_each_other_through_events() {
    // 22.6.3.5 and 22.6.3.6: channel 1 gives an event after its block, channel 0 takes it as its trigger.
    let mut bench = bench();
    bench.set(0x4100_E020, 2 << 8 | 35);
    bench.set(0x4100_E120 + 4 * 5, 1);
    descriptor(&mut bench, BASE, VALID | WORD | BOTH, 4, FROM + 16, TO + 16, 0);
    descriptor(&mut bench, BASE + 16, VALID | 1 << 1 | WORD | BOTH, 4, FROM + 32, TO + 32, 0);
    bench.set_byte(channel(0) + 6, 1 << 6 | 1);
    bench.set_byte(channel(1) + 6, 1 << 7);
    bench.set(channel(0), ENABLE);
    bench.set(channel(1), ENABLE);
    bench.run(2_000);
    assert_eq!(copied(&mut bench), 0);
    bench.set(SWTRIG, 2);
    bench.run(5_000);
    assert_eq!(copied(&mut bench), 8);
    assert_eq!(bench.byte(channel(0) + 0xE), TCMPL);
}

#[test]
fn a_channel_that_triggers_itself_lets_time_go_on() {
    // Its block event is its own trigger, and its descriptor the next one.
    let mut bench = bench();
    bench.set(0x4100_E020, 2 << 8 | 34);
    bench.set(0x4100_E120 + 4 * 5, 1);
    descriptor(&mut bench, BASE, VALID | 1 << 1 | WORD, 1, FROM, TO, BASE);
    bench.set_byte(channel(0) + 6, 1 << 7 | 1 << 6 | 1);
    bench.set(channel(0), ENABLE);
    bench.set(SWTRIG, 1);
    bench.run(100_000);
    assert_eq!(bench.violations().len(), 0);
    assert_eq!(bench.word(channel(0)) & ENABLE, ENABLE);
}

#[test]
fn a_conditional_block_transfer_needs_its_event_and_the_peripheral() {
    // 22.6.3.5, CBLOCK: the peripheral is SERCOM0's transmitter, ready all the time.
    let mut bench = bench();
    bench.set(0x4000_3004, 1 << 16);
    bench.set(0x4000_3000, 1 << 2 | 2);
    bench.set(0x4100_E020, 2 << 8);
    bench.set(0x4100_E120 + 4 * 5, 1);
    descriptor(&mut bench, BASE, VALID | WORD | BOTH, 3, FROM + 12, TO + 12, LIST);
    descriptor(&mut bench, LIST, VALID | WORD | BOTH, 3, FROM + 24, TO + 24, 0);
    bench.set_byte(channel(0) + 6, 1 << 6 | 3);
    bench.set(channel(0), ENABLE | BURST | 5 << 8);
    bench.run(5_000);
    assert_eq!(copied(&mut bench), 0);
    for blocks in [1, 2] {
        bench.set(0x4100_E004, 1);
        bench.run(5_000);
        assert_eq!(copied(&mut bench), 3 * blocks);
    }
}

#[test]
fn an_idle_dmac_has_no_events() {
    let mut bench = bench();
    bench.set(channel(0), ENABLE);
    bench.run(100);
    assert_eq!(bench.chip.next_event(), sim_base::Instant::NEVER);
}

#[test]
fn the_debug_communication_channel_asks_while_it_is_full() {
    // 12.11.4, DCCDMALEVEL: source 2 is DCC0.
    let mut bench = bench();
    bench.set(0x4100_211C, 1 << 2);
    descriptor(&mut bench, BASE, VALID | WORD | 1 << 11, 2, 0x4100_2110, TO + 8, 0);
    bench.set(channel(0), ENABLE | BURST | 2 << 8);
    bench.run(1_000);
    for n in 0..2 {
        bench.set(0x4100_2110, 0xCAFE + n);
        bench.run(1_000);
        assert_eq!(bench.word(TO + 4 * n), 0xCAFE + n);
    }
    assert_eq!(bench.byte(channel(0) + 0xE), TCMPL);
}
