//! The PHY by itself.

use super::*;

const MS: u64 = 1_000_000;

/// A PHY, a clock and a cable.
struct Bench {
    phy: Phy,
    now: u64,
    partner: bool,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { phy: Phy::new(), now: 0, partner: true };
        bench.look();
        bench
    }

    /// After auto-negotiation.
    fn linked() -> Self {
        let mut bench = Self::new();
        bench.now = 2_000 * MS;
        bench.read(0x01);
        bench.read(0x1B);
        bench
    }

    fn at(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    fn look(&mut self) -> Option<Link> {
        self.phy.link(self.at(), self.partner)
    }

    fn read(&mut self, register: u32) -> u16 {
        self.phy.read(register, self.at(), self.partner)
    }

    fn write(&mut self, register: u32, value: u16) {
        self.phy.write(register, value, self.at(), self.partner);
    }
}

#[test]
fn registers_have_their_reset_values() {
    let mut bench = Bench::new();
    bench.partner = false;
    let expected = [
        (0x00, 0x3100),
        (0x01, 0x7849),
        (0x02, 0x0022),
        (0x03, 0x1561),
        (0x04, 0x01E1),
        (0x05, 0x0001),
        (0x06, 0x0004),
        (0x07, 0x2001),
        (0x08, 0x0000),
        (0x0D, 0x0000),
        (0x10, 0x0000),
        (0x11, 0x0000),
        (0x13, 0x0000),
        (0x15, 0x0000),
        (0x16, 0x0002),
        (0x17, 0x0002),
        (0x18, 0x0800),
        (0x1B, 0x0000),
        (0x1D, 0x0000),
        (0x1E, 0x0000),
        (0x1F, 0x8100),
    ];
    for (register, value) in expected {
        assert_eq!(bench.read(register), value, "{register:#04x}");
    }
}

#[test]
fn read_only_bits_stay() {
    let mut bench = Bench::new();
    bench.partner = false;
    // Not 00h, which would reset, 1Dh, which would test, and the MMD access.
    for register in (1..32).filter(|register| ![0x0D, 0x0E, 0x1D, 0x1F].contains(register)) {
        let before = bench.read(register);
        bench.write(register, !before);
        let changed = bench.read(register) ^ before;
        assert_eq!(changed, WRITABLE[register as usize], "{register:#04x}");
    }
}

#[test]
fn software_reset_clears_itself_and_restores_the_registers() {
    let mut bench = Bench::linked();
    bench.write(0x04, 0x0061);
    bench.write(0x00, 0x8000);
    assert_eq!(bench.read(0x00), 0x8000 | 0x3100);
    bench.now += 10_000;
    assert_eq!((bench.read(0x00), bench.read(0x04)), (0x3100, 0x01E1));
    bench.now += 1_499 * MS;
    assert_eq!(bench.look(), None);
    bench.now += MS;
    assert_eq!(bench.look(), Some(Link { fast: true, full: true }));
}

#[test]
fn power_down_takes_link_and_clock_and_two_resets_to_leave() {
    let mut bench = Bench::linked();
    bench.write(0x00, 0x3900);
    assert_eq!((bench.look(), bench.phy.gives_clock()), (None, false));
    assert_eq!(bench.read(0x02), 0x0022, "management goes on");
    bench.write(0x04, 0x0061);
    bench.write(0x00, 0x8000);
    assert_eq!((bench.read(0x00), bench.read(0x04)), (0x3100, 0x0061), "the first only ends power-down");
    bench.write(0x00, 0x8000);
    assert_eq!(bench.read(0x04), 0x01E1);
    bench.now += 1_600 * MS;
    assert!(bench.look().is_some());
}

#[test]
fn leaving_power_down_by_its_bit_resets_the_rest() {
    let mut bench = Bench::linked();
    bench.write(0x00, 0x3900);
    bench.write(0x04, 0x0061);
    bench.write(0x00, 0x2000);
    assert_eq!((bench.read(0x00), bench.read(0x04)), (0x2000, 0x01E1));
    bench.now += 200 * MS;
    assert_eq!(bench.look(), Some(Link { fast: true, full: false }));
}

#[test]
fn forced_modes_link_without_negotiation() {
    for (control, link, mode) in [
        (0x2100, Link { fast: true, full: true }, 0b110),
        (0x2000, Link { fast: true, full: false }, 0b010),
        (0x0100, Link { fast: false, full: true }, 0b101),
        (0x0000, Link { fast: false, full: false }, 0b001),
    ] {
        let mut bench = Bench::linked();
        bench.write(0x00, control);
        assert_eq!(bench.look(), None);
        bench.now += 100 * MS;
        assert_eq!(bench.look(), Some(link));
        assert_eq!(bench.read(0x1E), 0x0110 | mode, "link, energy, mode");
        assert_eq!(bench.read(0x01) & (1 << 5), 0, "nothing was negotiated");
    }
}

#[test]
fn negotiation_finds_the_best_common_mode() {
    for (advertised, link) in [
        (0x0081, Some(Link { fast: true, full: false })),
        (0x0061, Some(Link { fast: false, full: true })),
        (0x0021, Some(Link { fast: false, full: false })),
        (0x0001, None),
    ] {
        let mut bench = Bench::linked();
        bench.write(0x04, advertised);
        assert_eq!(bench.look(), Some(Link { fast: true, full: true }), "not before it is restarted");
        bench.write(0x00, 0x3300);
        assert_eq!(bench.read(0x00), 0x3100, "the restart bit clears itself");
        bench.now += 1_500 * MS;
        assert_eq!(bench.look(), link);
        assert_eq!(bench.phy.next_event(), Instant::NEVER);
    }
}

#[test]
fn pause_is_on_if_both_offer_it() {
    let mut bench = Bench::linked();
    assert_eq!(bench.read(0x1E) & control1::PAUSE, 0);
    bench.write(0x04, 0x05E1);
    bench.write(0x00, 0x3300);
    bench.now += 1_500 * MS;
    assert_eq!(bench.read(0x1E), 0x0316);
}

#[test]
fn interrupt_pin_tells_of_enabled_events_until_they_are_read() {
    let mut bench = Bench::new();
    assert!(bench.phy.interrupt_level(), "active low");
    bench.write(0x1B, 0x0500);
    assert_eq!(bench.phy.next_event(), Instant::from_nanos(1_500 * MS));
    bench.now = 1_500 * MS;
    bench.look();
    assert!(!bench.phy.interrupt_level());
    assert_eq!(bench.read(0x1B), 0x0509, "link up, and the partner's acknowledge, which is not enabled");
    assert!(bench.phy.interrupt_level());
    bench.partner = false;
    bench.look();
    assert!(!bench.phy.interrupt_level());
    assert_eq!(bench.read(0x1B), 0x0504);
    bench.write(0x1F, 0x8300);
    assert!(!bench.phy.interrupt_level(), "active high, and at rest");
    bench.phy.set_reset_pin(true, bench.at());
    assert!(bench.phy.interrupt_level(), "pulled up");
}

#[test]
fn forced_link_needs_no_cable_and_carries_nothing_without_one() {
    let mut bench = Bench::linked();
    bench.partner = false;
    bench.write(0x1F, 0x8900);
    assert_eq!(bench.read(0x1E) & control1::LINK, control1::LINK);
    assert_eq!(bench.phy.carries(bench.at(), false), None);
    bench.write(0x1F, 0x8100);
    assert_eq!(bench.look(), None);
}

#[test]
fn disabled_transmitter_loses_the_partner() {
    let mut bench = Bench::linked();
    bench.write(0x1F, 0x8108);
    assert_eq!(bench.look(), None);
    bench.write(0x1F, 0x8100);
    bench.now += 1_500 * MS;
    assert!(bench.look().is_some());
}

#[test]
fn isolation_and_loopbacks_keep_frames_from_the_cable() {
    for (register, value) in [(0x00, 0x3500), (0x00, 0x7100), (0x1E, 0x0008), (0x1F, 0x8104)] {
        let mut bench = Bench::linked();
        assert!(bench.phy.carries(bench.at(), true).is_some());
        bench.write(register, value);
        assert_eq!(bench.phy.carries(bench.at(), true), None);
        assert!(bench.look().is_some(), "the link stays");
        assert_eq!(bench.phy.loops_back().is_some(), value == 0x7100);
        let returns = bench.phy.returns_frames(bench.at(), true);
        assert_eq!(returns, register == 0x1F);
    }
}

#[test]
fn clock_mode_of_the_other_board_stops_the_clock() {
    let mut bench = Bench::linked();
    assert!(bench.phy.gives_clock());
    bench.write(0x1F, 0x8180);
    assert!(!bench.phy.gives_clock());
}

#[test]
fn cable_test_takes_its_time_and_finds_what_is_there() {
    for (partner, result) in [(true, 0), (false, 0x3000)] {
        let mut bench = Bench::linked();
        bench.partner = partner;
        bench.write(0x1D, 0x8000);
        assert_eq!(bench.read(0x1D), 0x8000);
        bench.now += MS;
        assert_eq!((bench.read(0x1D), bench.read(0x1D)), (result, result));
    }
}

#[test]
fn registers_of_clause_45_are_reached_through_two_of_clause_22() {
    let mut bench = Bench::linked();
    let mut address = |device: u16, register| {
        bench.write(0x0D, device);
        bench.write(0x0E, register);
    };
    address(7, 0x3C);
    address(0x1F, 0x19);
    bench.write(0x0D, 0x4007);
    bench.write(0x0E, 0x0002);
    assert_eq!(bench.read(0x0E), 0x0002, "EEE advertisement");
    bench.write(0x0D, 0x8007);
    assert_eq!((bench.read(0x0E), bench.read(0x0E)), (0x0002, 0), "incremented by reading; the partner has no EEE");
    bench.write(0x0D, 0xC01F);
    bench.write(0x0E, 0x1111);
    bench.write(0x0E, 0x2222);
    bench.write(0x0D, 0x001F);
    assert_eq!(bench.read(0x0E), 0x1B, "the address, incremented by writing");
    bench.write(0x0E, 0x1A);
    bench.write(0x0D, 0xC01F);
    assert_eq!((bench.read(0x0E), bench.read(0x0E)), (0x2222, 0x2222), "not by reading");
}

#[test]
fn programming_right_after_reset_is_too_early() {
    let mut bench = Bench::linked();
    bench.phy.set_reset_pin(true, bench.at());
    assert!(!bench.phy.is_starting(bench.at()), "in reset it is silent anyway");
    bench.phy.set_reset_pin(false, bench.at());
    assert!(bench.phy.is_starting(bench.at()));
    bench.now += 100_000;
    assert!(!bench.phy.is_starting(bench.at()));
}
