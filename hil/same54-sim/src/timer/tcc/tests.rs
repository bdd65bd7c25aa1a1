use super::*;
use crate::rig::Rig;

/// TCC0 at 1 MHz with a period of 100 steps and channel 1 at 30, enabled.
fn tcc(wave: u32, configure: &[(u32, u32)]) -> (Tcc, Rig) {
    let (mut tcc, mut rig) = (Tcc::new(0), Rig::new());
    rig.clocks.channel[25] = 1_000_000;
    for (offset, value) in [(0x3C, wave), (0x40, 99), (0x48, 30)].iter().chain(configure) {
        tcc.write(*offset, Write::full(*value), &mut rig.cx(0));
    }
    let ctrla = tcc.ctrla;
    tcc.write(0x00, Write::full(ctrla | ENABLE), &mut rig.cx(0));
    (tcc, rig)
}

#[test]
fn single_slope_pwm_overflows_after_per_and_matches_between() {
    // 49.6.2.5.3: NPWM.
    let (mut tcc, mut rig) = tcc(2, &[(0x28, OVF | MC0 << 1)]);
    assert_eq!(tcc.next_event(), Instant::from_nanos(30_000));
    assert_eq!(tcc.read(0x30, &mut rig.cx(29_000)) >> 25 & 1, 1, "CMP1 before the match");
    tcc.advance(&mut rig.cx(30_000));
    assert_eq!((tcc.irqs(), tcc.read(0x30, &mut rig.cx(31_000)) >> 25 & 1), (1 << 2, 0));
    assert_eq!(tcc.next_event(), Instant::from_nanos(100_000));
    tcc.advance(&mut rig.cx(100_000));
    assert_eq!(tcc.irqs(), 5);
}

#[test]
fn dual_slopes_overflow_where_their_mode_says() {
    // 49.6.2.5.4: DSBOTTOM at the bottom, DSBOTH at both ends, DSTOP at the top. A slope has 99 steps.
    for (wave, first, second) in [(5, 198_000, 396_000), (6, 99_000, 198_000), (7, 99_000, 297_000)] {
        let (mut tcc, mut rig) = tcc(wave, &[(0x28, OVF)]);
        assert_eq!(tcc.next_event().as_nanos(), first, "{wave}");
        tcc.advance(&mut rig.cx(first));
        tcc.write(0x2C, Write::full(OVF), &mut rig.cx(first));
        assert_eq!(tcc.next_event().as_nanos(), second, "{wave}");
    }
}

#[test]
fn buffers_wait_for_the_update_and_for_the_lock() {
    let (mut tcc, mut rig) = tcc(2, &[]);
    tcc.write(0x70, Write::full(77), &mut rig.cx(1_000));
    tcc.write(0x6C, Write::full(49), &mut rig.cx(1_000));
    assert_eq!(tcc.read(0x30, &mut rig.cx(2_000)) & 0x1_0080, 0x1_0080);
    assert_eq!((tcc.read(0x44, &mut rig.cx(99_000)), tcc.read(0x44, &mut rig.cx(100_000))), (0, 77));
    assert_eq!(tcc.read(0x34, &mut rig.cx(155_000)), 5, "the period is 50 now");
    tcc.write(0x05, Write::full(LUPD), &mut rig.cx(155_000));
    tcc.write(0x70, Write::full(5), &mut rig.cx(155_000));
    assert_eq!(tcc.read(0x44, &mut rig.cx(355_000)), 77);
}

#[test]
fn faults_halt_and_stop() {
    // 49.6.3.5: fault A from match event 0 halts by hardware; 49.6.3.6: event 0 is a non-recoverable fault.
    let (mut tcc, mut rig) = tcc(2, &[(0x0C, 1 | 1 << 8), (0x20, 1 << 14 | 7)]);
    tcc.event_level(19, true, &mut rig.cx(10_000));
    assert_eq!(tcc.read(0x34, &mut rig.cx(15_000)), 10);
    assert_eq!(tcc.read(0x2C, &mut rig.cx(15_000)), 1 << FAULT_A);
    tcc.event_level(19, false, &mut rig.cx(20_000));
    assert_eq!(tcc.read(0x34, &mut rig.cx(25_000)), 15);
    tcc.event_in(17, &mut rig.cx(30_000));
    assert_eq!(tcc.read(0x30, &mut rig.cx(30_000)) & (1 << FAULT_0 | 1), 1 << FAULT_0 | 1);
}

#[test]
fn a_smaller_instance_has_fewer_channels_and_bits() {
    let (mut tcc, mut rig) = (Tcc::new(4), Rig::new());
    tcc.write(0x4C, Write::full(7), &mut rig.cx(0));
    tcc.write(0x44, Write::full(0x1_2345), &mut rig.cx(0));
    assert_eq!((tcc.read(0x4C, &mut rig.cx(0)), tcc.read(0x44, &mut rig.cx(0))), (0, 0x2345));
}

#[test]
fn overflow_asks_for_dma_each_time_while_somebody_listens() {
    let (mut tcc, mut rig) = tcc(2, &[]);
    assert_eq!(tcc.next_event(), Instant::NEVER, "idle");
    tcc.set_dma_watched(true, &mut rig.cx(0));
    tcc.advance(&mut rig.cx(100_000));
    assert_eq!(tcc.dma_requests(), 0x7F << 22, "the channels at 0 match too");
    tcc.dma_served(22);
    assert_eq!(tcc.dma_requests(), 0x3F << 23);
    tcc.advance(&mut rig.cx(200_000));
    assert_eq!(tcc.dma_requests() >> 22 & 1, 1);
}
