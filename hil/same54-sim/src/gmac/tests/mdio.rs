//! MDIO and PHY.

use super::*;

#[test]
fn mdio_takes_sixty_four_mdc_cycles_and_needs_mpe() {
    let mut bench = Bench::running();
    bench.write(IER, int::MFS);
    bench.write(MAN, 0x6000_0000 | 2 << 18 | 2 << 16);
    let begun = bench.now;
    assert_eq!(bench.read(NSR) & nsr::IDLE, 0);
    // MCK 120 MHz divided by 48.
    assert_eq!(bench.gmac.next_event().as_nanos() - begun, 64 * 48 * 1_000 / 120);
    bench.pass(26_000);
    assert_eq!(bench.read(NSR) & nsr::IDLE, nsr::IDLE);
    assert_eq!(bench.read(ISR), int::MFS);
    assert_eq!(bench.read(MAN) & 0xFFFF, 0x0022);

    bench.write(NCR, 0);
    bench.write(MAN, 0x6000_0000 | 3 << 18 | 2 << 16);
    assert_eq!(bench.read(NSR) & nsr::IDLE, nsr::IDLE, "without MPE nothing is shifted");
    assert_eq!(bench.read(MAN) & 0xFFFF, 0x0022);
}

#[test]
fn shift_register_goes_round() {
    // 24.9.14: "Reading during the shift operation returns the current contents of the shift register."
    let mut bench = Bench::running();
    bench.write(MAN, 0x5000_0000 | 4 << 18 | 2 << 16 | 0x01E1);
    let mdc = 400; // 120 MHz divided by 48
    bench.now += 20 * mdc;
    assert_eq!(bench.read(MAN), 0x5012_01E1, "the preamble does not come from the register");
    bench.now += 20 * mdc;
    assert_eq!(bench.read(MAN), 0x5012_01E1_u32.rotate_left(8));
    bench.now += 24 * mdc;
    assert_eq!(bench.read(MAN), 0x5012_01E1);
}

#[test]
fn frames_of_clause_45_find_nobody() {
    let mut bench = Bench::running();
    for operation in [0b0011, 0b0010] {
        bench.write(MAN, operation << 28 | 2 << 18 | 2 << 16 | 0x1234);
        bench.pass(MS);
        assert_eq!(bench.read(MAN) & 0xFFFF, 0xFFFF);
    }
    bench.write(MAN, 0b0001 << 28 | 2 << 16 | 0x8000);
    bench.pass(MS);
    assert_eq!((bench.read(MAN) & 0xFFFF, bench.phy(0)), (0x8000, 0x3100), "written to nobody");
}

#[test]
fn phy_answers_at_address_0_alone() {
    let mut bench = Bench::running();
    assert_eq!((bench.phy(2), bench.phy(3) & 0xFFF0), (0x0022, 0x1560));
    for phy in 1..32 {
        assert_eq!(bench.mdio(2, phy, 2, 0), 0xFFFF, "address {phy}");
    }
}

#[test]
fn auto_negotiation_takes_its_time_and_finds_100_full() {
    let mut bench = Bench::new();
    bench.write(NCR, ncr::MPE);
    assert_eq!(bench.phy(0), 0x3100);
    assert_eq!(bench.phy(1), 0x7849, "neither link nor negotiated");
    assert_eq!(bench.phy(0x1E) & 7, 0);
    bench.now = 1_600 * MS;
    bench.phy(1); // the link bit stays low until it is read
    assert_eq!(bench.phy(1), 0x7849 | 1 << 5 | 1 << 2);
    assert_eq!(bench.phy(5) & 0x01E0, 0x01E0);
    assert_eq!(bench.phy(0x1E) & 0x107, 0x106);
    assert_eq!(bench.phy(0x1B) & 0x00FF, 1 << 3 | 1, "link up, partner acknowledge");
    assert_eq!(bench.phy(0x1B) & 0x00FF, 0, "cleared by reading");

    bench.mdio(1, 0, 0, 1 << 12 | 1 << 9);
    bench.now += 1_000 * MS;
    assert_eq!(bench.phy(1) & (1 << 5 | 1 << 2), 0, "negotiating again");
    bench.now += 600 * MS;
    bench.phy(1);
    assert_eq!(bench.phy(1) & (1 << 5 | 1 << 2), 1 << 5 | 1 << 2);
}

#[test]
fn link_follows_the_cable_and_its_loss_is_latched() {
    let mut bench = Bench::running();
    bench.phy(1);
    assert_eq!(bench.phy(1) & 4, 4);
    bench.plug.0.lock().unwrap().down = true;
    bench.pass(MS);
    bench.plug.0.lock().unwrap().down = false;
    bench.pass(MS);
    bench.pass(2_000 * MS);
    assert_eq!(bench.phy(1) & 4, 0, "it was lost once");
    assert_eq!(bench.phy(1) & 4, 4);
}

#[test]
fn frames_are_lost_without_link_or_at_the_wrong_speed() {
    let mut bench = Bench::running();
    for ncfgr in [ncfgr::FD, ncfgr::FD | ncfgr::SPD] {
        bench.write(NCFGR, ncfgr);
        bench.queue(0, &frame(MAC, 60), 0);
        bench.write(NCR, ncr::RXEN);
        bench.write(NCR, ncr::RXEN | ncr::TXEN);
        bench.start();
        bench.arrive(&frame(MAC, 60));
        bench.pass(MS);
        assert_eq!(bench.sent().len(), usize::from(ncfgr & ncfgr::SPD != 0));
        assert_eq!(bench.word(RX_RING) & rxd::OWN, ncfgr & ncfgr::SPD);
    }
    bench.plug.0.lock().unwrap().down = true;
    bench.arrive(&frame(MAC, 60));
    assert_eq!(bench.word(RX_RING + 8) & rxd::OWN, 0);
}

#[test]
fn phy_in_reset_is_silent_and_starts_over() {
    let mut bench = Bench::running();
    bench.mdio(1, 0, 4, 0x0061);
    bench.gmac.set_phy_reset(true, &mut bench.rig.cx(bench.now));
    assert_eq!(bench.phy(2), 0xFFFF);
    bench.gmac.set_phy_reset(false, &mut bench.rig.cx(bench.now));
    bench.now += 100_000;
    assert_eq!(bench.phy(4), 0x01E1);
    assert_eq!(bench.phy(1) & 4, 0);
}

#[test]
fn system_reset_spares_the_phy_and_power_on_does_not() {
    let mut bench = Bench::running();
    bench.gmac.reset(ResetCause::System, &mut bench.rig.cx(bench.now));
    assert_eq!((bench.read(NCR), bench.read(RBQB)), (0, 0));
    bench.write(NCR, ncr::MPE);
    bench.phy(1);
    assert_eq!(bench.phy(1) & 4, 4, "the link stays");
    bench.gmac.reset(ResetCause::PowerOn, &mut bench.rig.cx(bench.now));
    bench.write(NCR, ncr::MPE);
    assert_eq!(bench.phy(1) & 4, 0);
}

#[test]
fn mac_without_its_clock_waits() {
    let mut bench = Bench::running();
    bench.gmac.set_phy_reset(true, &mut bench.rig.cx(bench.now));
    bench.queue(0, &frame(MAC, 60), 0);
    bench.start();
    bench.pass(MS);
    assert_eq!((bench.read(TSR), bench.word(TX_RING + 4) & txd::USED), (tsr::TXGO, 0));
    bench.gmac.set_phy_reset(false, &mut bench.rig.cx(bench.now));
    bench.pass(MS);
    assert_eq!(bench.read(TSR) & tsr::TXCOMP, tsr::TXCOMP);
    assert!(bench.sent().is_empty(), "there is no link yet");
}

#[test]
fn clock_mode_without_an_oscillator_stops_frames_both_ways() {
    let mut bench = Bench::running();
    bench.mdio(1, 0, 0x1F, 0x8180);
    bench.queue(0, &frame(MAC, 60), 0);
    bench.start();
    bench.arrive(&frame(MAC, 60));
    bench.pass(MS);
    assert_eq!((bench.received(0), bench.sent().len()), (None, 0));
    bench.mdio(1, 0, 0x1F, 0x8100);
    bench.arrive(&frame(MAC, 60));
    bench.pass(MS);
    assert!(bench.received(0).is_some());
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn management_right_after_reset_breaks_a_rule() {
    let mut bench = Bench::running();
    bench.gmac.set_phy_reset(true, &mut bench.rig.cx(bench.now));
    bench.gmac.set_phy_reset(false, &mut bench.rig.cx(bench.now));
    assert_eq!(bench.phy(2), 0x0022);
    assert_eq!(bench.rig.violations().len(), 1);
    bench.now += 100_000;
    bench.phy(2);
    assert!(bench.rig.violations().is_empty());
}

#[test]
fn interrupt_pin_follows_the_link() {
    let mut bench = Bench::new();
    assert_eq!(bench.gmac.take_phy_interrupt(), Some(true));
    assert_eq!(bench.gmac.take_phy_interrupt(), None);
    bench.write(NCR, ncr::MPE);
    bench.mdio(1, 0, 0x1B, 0x0100);
    bench.pass(1_600 * MS);
    assert_eq!(bench.gmac.take_phy_interrupt(), Some(false));
    assert_eq!(bench.phy(0x1B), 0x0109);
    assert_eq!(bench.gmac.take_phy_interrupt(), Some(true));
}

#[test]
fn remote_loopback_returns_frames_to_the_cable() {
    let mut bench = Bench::running();
    bench.mdio(1, 0, 0x1F, 0x8104);
    let bytes = frame(MAC, 60);
    bench.arrive(&bytes);
    assert_eq!(bench.received(0), None);
    assert_eq!(bench.sent()[0].1, bytes);
}

#[test]
fn local_loopback_of_the_phy_needs_its_speed() {
    let mut bench = Bench::running();
    for (index, control) in [(0, 0x6100), (1, 0x4100)] {
        bench.mdio(1, 0, 0, control);
        bench.queue(index, &frame(MAC, 60), 0);
        bench.start();
        bench.pass(MS);
    }
    assert!(bench.received(0).is_some());
    assert_eq!(bench.received(1), None, "10 Mbit/s");
    assert!(bench.sent().is_empty());
}
