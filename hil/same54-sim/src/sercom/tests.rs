use sim_base::Instant;

use super::usart::{BUFOVF, DRE, RXC, RXEN, TXC, TXEN};
use super::*;
use crate::rig::{Bench, Rig};

const ENABLE: u32 = 2;

fn usart() -> (Sercom, Rig) {
    let (mut sercom, mut rig) = (Sercom::new(2), Rig::new());
    rig.clocks.channel[23] = 48_000_000;
    sercom.set_pads([Some((1, 25)), Some((1, 24)), None, None]);
    // 115200 baud, 16x arithmetic: BAUD = 65536 * (1 - 16 * 115200 / 48 MHz) = 63019. RxD is PAD[1].
    sercom.write(0x0C, Write::full(63_019), &mut rig.cx(0));
    sercom.write(0x04, Write::full(TXEN | RXEN), &mut rig.cx(0));
    sercom.write(0x00, Write::full(1 << 20 | 1 << 2 | ENABLE), &mut rig.cx(0));
    (sercom, rig)
}

#[test]
fn a_character_takes_ten_bit_times_at_115200_baud() {
    let (mut sercom, mut rig) = usart();
    sercom.write(0x28, Write::full(0x41), &mut rig.cx(0));
    let done = sercom.next_event().as_nanos();
    assert!((86_700..86_900).contains(&done), "{done}");
    assert_eq!(sercom.read(0x18, &mut rig.cx(done - 1)), DRE);
    assert_eq!(sercom.read(0x18, &mut rig.cx(done)), DRE | TXC);
    assert_eq!(sercom.take_sent(), b"A");
}

#[test]
fn a_character_that_meets_no_clock_goes_out_when_the_clock_is_back() {
    // Standby without RUNSTDBY: the second character of a line waits.
    let (mut sercom, mut rig) = usart();
    sercom.write(0x28, Write::full(0x41), &mut rig.cx(0));
    sercom.write(0x28, Write::full(0x42), &mut rig.cx(0));
    rig.clocks.channel[23] = 0;
    sercom.clocks_changed(&mut rig.cx(1_000));
    sercom.advance(&mut rig.cx(1_000_000_000));
    assert_eq!(sercom.take_sent(), b"A");
    rig.clocks.channel[23] = 48_000_000;
    sercom.clocks_changed(&mut rig.cx(1_000_000_000));
    sercom.advance(&mut rig.cx(1_000_086_700));
    assert_eq!(sercom.take_sent(), b"");
    sercom.advance(&mut rig.cx(1_000_086_900));
    assert_eq!(sercom.take_sent(), b"B");
}

#[test]
fn data_register_empty_falls_while_a_second_character_waits() {
    let (mut sercom, mut rig) = usart();
    sercom.write(0x16, Write::full(DRE), &mut rig.cx(0));
    sercom.write(0x28, Write::full(0x41), &mut rig.cx(0));
    assert_eq!((sercom.irqs(), sercom.dma_requests()), (DRE.into(), 1 << 9));
    sercom.write(0x28, Write::full(0x42), &mut rig.cx(0));
    assert_eq!((sercom.irqs(), sercom.dma_requests()), (0, 0));
    sercom.advance(&mut rig.cx(90_000));
    assert_eq!(sercom.irqs(), u64::from(DRE));
    sercom.advance(&mut rig.cx(200_000));
    assert_eq!(sercom.take_sent(), b"AB");
}

#[test]
fn the_receiver_overflows_when_nobody_reads() {
    let (mut sercom, mut rig) = usart();
    sercom.write(0x16, Write::full(0x80), &mut rig.cx(0));
    sercom.send(b"xyz", &mut rig.cx(0));
    sercom.advance(&mut rig.cx(1_000_000));
    assert_eq!(sercom.read(0x1A, &mut rig.cx(1_000_000)), BUFOVF);
    assert_eq!(sercom.irqs(), 8, "ERROR is on the fourth line");
    assert_eq!(sercom.read(0x28, &mut rig.cx(1_000_000)), u32::from(b'x'));
    assert_eq!(sercom.read(0x28, &mut rig.cx(1_000_000)), u32::from(b'y'));
    assert_eq!(sercom.read(0x18, &mut rig.cx(1_000_000)) & RXC, 0);
}

#[test]
fn short_characters_lose_their_upper_bits_on_the_line() {
    // 34.8.2, CHSIZE: five bits.
    let (mut sercom, mut rig) = usart();
    sercom.write(0x00, Write::full(1 << 20 | 1 << 2), &mut rig.cx(10_000));
    sercom.write(0x04, Write::full(TXEN | RXEN | 5), &mut rig.cx(20_000));
    sercom.write(0x00, Write::full(1 << 20 | 1 << 2 | ENABLE), &mut rig.cx(30_000));
    sercom.write(0x28, Write::full(0x75), &mut rig.cx(40_000));
    sercom.send(&[0x75], &mut rig.cx(40_000));
    sercom.advance(&mut rig.cx(1_000_000));
    assert_eq!(sercom.take_sent(), [0x15]);
    assert_eq!(sercom.read(0x28, &mut rig.cx(1_000_000)), 0x15);
}

#[test]
fn a_pad_without_a_pin_goes_nowhere_and_says_so_once() {
    let (mut sercom, mut rig) = usart();
    sercom.set_pads([None; 4]);
    for byte in 0..2 {
        sercom.write(0x28, Write::full(byte), &mut rig.cx(u64::from(byte)));
    }
    sercom.advance(&mut rig.cx(1_000_000));
    assert_eq!(sercom.take_sent(), b"");
    assert_eq!(rig.violations().len(), 1);
    // Another pin than the board's.
    sercom.set_pads([Some((0, 12)), None, None, None]);
    sercom.write(0x28, Write::full(1), &mut rig.cx(1_000_000));
    sercom.advance(&mut rig.cx(2_000_000));
    assert_eq!((sercom.take_sent(), rig.violations().len()), (Vec::new(), 0));
}

#[test]
fn thirty_two_bit_data_move_four_characters_or_what_length_leaves() {
    // 34.6.3.11, with the pad hearing itself: RXPO is PAD[0].
    let (mut sercom, mut rig) = (Sercom::new(2), Rig::new());
    rig.clocks.channel[23] = 48_000_000;
    sercom.set_pads([Some((1, 25)), None, None, None]);
    sercom.write(0x08, Write::full(3 << 24), &mut rig.cx(0));
    sercom.write(0x04, Write::full(TXEN | RXEN), &mut rig.cx(0));
    sercom.write(0x00, Write::full(1 << 2 | ENABLE), &mut rig.cx(0));
    sercom.write(0x22, Write::full(1 << 8 | 5), &mut rig.cx(0));
    sercom.write(0x28, Write::full(0x6463_6261), &mut rig.cx(0));
    sercom.advance(&mut rig.cx(50_000_000));
    assert_eq!(sercom.take_sent(), b"abcd");
    assert_eq!(sercom.read(0x28, &mut rig.cx(50_000_000)), 0x6463_6261);
    sercom.write(0x28, Write::full(0x6867_6665), &mut rig.cx(50_000_000));
    sercom.advance(&mut rig.cx(100_000_000));
    assert_eq!(sercom.take_sent(), b"e");
}

#[test]
fn syncbusy_needs_the_generic_clock() {
    let (mut sercom, mut rig) = (Sercom::new(2), Rig::new());
    // A reset does without.
    sercom.write(0x00, Write::full(1), &mut rig.cx(0));
    assert_eq!(sercom.read(0x1C, &mut rig.cx(0)), 0);
    sercom.write(0x00, Write::full(1 << 2 | ENABLE), &mut rig.cx(0));
    assert_eq!(sercom.read(0x1C, &mut rig.cx(1_000_000_000)), ENABLE);
    assert_eq!(rig.violations().len(), 1);
    rig.clocks.channel[23] = 1_000_000;
    sercom.clocks_changed(&mut rig.cx(2_000_000_000));
    assert_eq!(sercom.read(0x1C, &mut rig.cx(2_000_004_999)), ENABLE);
    assert_eq!(sercom.read(0x1C, &mut rig.cx(2_000_005_000)), 0);
}

#[test]
fn configuration_is_protected_while_enabled() {
    let (mut sercom, mut rig) = usart();
    sercom.write(0x0C, Write::full(1), &mut rig.cx(0));
    assert_eq!(sercom.read(0x0C, &mut rig.cx(0)), 63_019);
    sercom.write(0x00, Write::full(2 << 20 | 1 << 2 | ENABLE), &mut rig.cx(0));
    assert_eq!(sercom.read(0x00, &mut rig.cx(0)), 1 << 20 | 1 << 2 | ENABLE);
    assert_eq!(rig.violations().len(), 2);
}

/// Answers each word with the one before, plus one.
#[derive(Clone)]
struct Echo(u16, bool);

impl SpiDevice for Echo {
    fn select(&mut self, selected: bool, _now: Instant) {
        self.1 = selected;
    }

    fn transfer(&mut self, word: u16, _now: Instant) -> u16 {
        assert!(self.1, "only while selected");
        std::mem::replace(&mut self.0, word + 1)
    }

    fn boxed(&self) -> Box<dyn SpiDevice> {
        Box::new(self.clone())
    }
}

const SERCOM4: u32 = 0x4300_0000;
const PORT_B: u32 = 0x4100_8080;

/// SERCOM4 as SPI host on PB26 to PB29 at 1 MHz, with a device whose chip select is PB28.
fn spi() -> Bench {
    let mut bench = Bench::new();
    bench.chip.parts.sercom[4].plug_spi((1, 28), Box::new(Echo(0x40, false)));
    // PB26, PB27 and PB29 to function D; PB28 is an output, high.
    bench.set(PORT_B + 0x28, 1 << 31 | 1 << 30 | 1 << 28 | 3 << 24 | 1 << 16 | 0x2C00);
    bench.set(PORT_B + 0x18, 1 << 28);
    bench.set(PORT_B + 0x08, 1 << 28);
    bench.set(SERCOM4 + 4, RXEN);
    bench.set_byte(SERCOM4 + 0xC, 23);
    // DIPO is PAD[3].
    bench.set(SERCOM4, 3 << 20 | 3 << 2 | ENABLE);
    bench
}

#[test]
fn an_spi_device_answers_while_its_chip_select_is_low() {
    let mut bench = spi();
    bench.set(SERCOM4 + 0x28, 1);
    bench.run(8_100);
    assert_eq!((bench.byte(SERCOM4 + 0x18), bench.word(SERCOM4 + 0x28)), (DRE | TXC | RXC, 0xFF), "nobody answers");
    bench.set(PORT_B + 0x14, 1 << 28);
    for (sent, received) in [(1, 0x40), (7, 2), (9, 8)] {
        bench.set(SERCOM4 + 0x28, sent);
        bench.run(7_900);
        assert_eq!(bench.byte(SERCOM4 + 0x18) & RXC, 0, "8 bits at 1 MHz");
        bench.run(200);
        assert_eq!(bench.word(SERCOM4 + 0x28), received);
    }
    assert_eq!(bench.violations().len(), 0);
}

#[test]
fn dma_feeds_and_drains_the_spi_and_interrupts() {
    // Channel 0 takes what comes in (trigger 12), channel 1 sends (trigger 13).
    let mut bench = spi();
    bench.set(PORT_B + 0x14, 1 << 28);
    for n in 0..8 {
        bench.set_byte(0x2000_0100 + n, 0x10 + n);
    }
    bench.set(0x4100_A034, 0x2000_1000);
    bench.set(0x4100_A038, 0x2000_2000);
    let descriptors =
        [(8 << 16 | 1 << 11 | 9, SERCOM4 + 0x28, 0x2000_0208), (8 << 16 | 1 << 10 | 1, 0x2000_0108, SERCOM4 + 0x28)];
    for (n, (head, from, to)) in (0..).zip(descriptors) {
        for (m, word) in (0..).zip([head, from, to, 0]) {
            bench.set(0x2000_1000 + 16 * n + 4 * m, word);
        }
    }
    bench.set_half(0x4100_A000, 0xF02);
    bench.set_byte(0x4100_A04D, 2);
    bench.set(0x4100_A040, 2 << 20 | 12 << 8 | 2);
    bench.set(0x4100_A050, 2 << 20 | 13 << 8 | 2);
    bench.run(60_000);
    assert!(!bench.irq(31), "64 bits at 1 MHz");
    bench.run(10_000);
    assert!(bench.irq(31));
    let received: Vec<u32> = (0..8).map(|n| bench.byte(0x2000_0200 + n)).collect();
    assert_eq!(received, [0x40, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17]);
    assert_eq!(bench.violations().len(), 0);
}

const SERCOM7: u32 = 0x4300_0C00;
const MB: u32 = 1;
const SB: u32 = 2;

/// SERCOM7 as I2C host at 400 kHz on the board's bus, which is idle.
fn i2c(ctrla: u32, ctrlb: u32) -> Bench {
    let mut bench = Bench::new();
    bench.set(0x4100_81A8, 1 << 30 | 1 << 28 | 2 << 24 | 1 << 16 | 0x0300);
    bench.set(SERCOM7 + 4, ctrlb);
    // 48 MHz / 400 kHz = 10 + 2 BAUD + 48 MHz * 100 ns.
    bench.set(SERCOM7 + 0xC, 53);
    bench.set(SERCOM7, ctrla | 5 << 2 | ENABLE);
    bench.run(1_000);
    assert_eq!(bench.half(SERCOM7 + 0x1A), 0, "unknown");
    bench.set_half(SERCOM7 + 0x1A, 1 << 4);
    assert_eq!(bench.half(SERCOM7 + 0x1A), 1 << 4, "idle");
    bench
}

/// Waits for `flag`, at most a millisecond.
fn wait(bench: &mut Bench, flag: u32) {
    let done = (0..1_000).any(|_| {
        bench.run(1_000);
        bench.byte(SERCOM7 + 0x18) & flag != 0
    });
    assert!(done, "flag {flag}: {:#x}", bench.byte(SERCOM7 + 0x18));
}

#[test]
fn the_mac_address_is_read_byte_by_byte_with_commands() {
    let mut bench = i2c(0, 0);
    bench.set(SERCOM7 + 0x24, 0x5E << 1);
    wait(&mut bench, MB);
    assert_eq!(bench.half(SERCOM7 + 0x1A) & 0x37, 2 << 4, "owner, acknowledged");
    bench.set(SERCOM7 + 0x28, 0x9A);
    wait(&mut bench, MB);
    bench.set(SERCOM7 + 0x24, 0x5E << 1 | 1);
    let mut address = Vec::new();
    for n in 0..6 {
        wait(&mut bench, SB);
        // NACK and STOP after the last byte.
        address.push(bench.word(SERCOM7 + 0x28) as u8);
        bench.set(SERCOM7 + 4, if n == 5 { 1 << 18 | 3 << 16 } else { 2 << 16 });
    }
    bench.run(20_000);
    assert_eq!(bench.half(SERCOM7 + 0x1A) >> 4 & 3, 1, "idle again");
    assert_eq!(address[..3], [0x04, 0x91, 0x62]);
    assert_eq!(bench.violations().len(), 0);
}

#[test]
fn an_address_right_after_a_stop_does_not_swallow_it() {
    let mut bench = i2c(0, 0);
    bench.set(SERCOM7 + 0x24, 0xAC);
    wait(&mut bench, 1);
    for byte in [0x20, 0x5A] {
        bench.set(SERCOM7 + 0x28, byte);
        wait(&mut bench, 1);
    }
    // STOP begins the EEPROM's write cycle, in which it does not answer.
    bench.set(SERCOM7 + 4, 3 << 16);
    bench.set(SERCOM7 + 0x24, 0xAC);
    wait(&mut bench, 1);
    assert_ne!(bench.half(SERCOM7 + 0x1A) & 4, 0, "no acknowledge while it writes");
    bench.set(SERCOM7 + 4, 3 << 16);
    bench.run(5_100_000);
    bench.set(SERCOM7 + 0x24, 0xAC);
    wait(&mut bench, 1);
    assert_eq!(bench.half(SERCOM7 + 0x1A) & 4, 0);
    bench.set(SERCOM7 + 0x28, 0x20);
    wait(&mut bench, 1);
    bench.set(SERCOM7 + 0x24, 0xAD);
    wait(&mut bench, 2);
    assert_eq!(bench.byte(SERCOM7 + 0x28), 0x5A);
}

#[test]
fn smart_mode_goes_on_with_a_read_of_data_even_if_software_has_cleared_sb() {
    // 36.10.2, SMEN, and 36.10.6, SB.
    let mut bench = i2c(0, 1 << 8);
    bench.set(SERCOM7 + 0x24, 0x5E << 1);
    wait(&mut bench, MB);
    bench.set(SERCOM7 + 0x28, 0x9A);
    wait(&mut bench, MB);
    bench.set(SERCOM7 + 0x24, 0x5E << 1 | 1);
    let mut address = Vec::new();
    for n in 0..3 {
        wait(&mut bench, SB);
        bench.set_byte(SERCOM7 + 0x18, SB);
        bench.run(100_000);
        assert_eq!(bench.byte(SERCOM7 + 0x18) & SB, 0, "held");
        if n == 2 {
            // NACK and STOP, then the last byte: it asks for no other.
            bench.set(SERCOM7 + 4, 1 << 18 | 3 << 16 | 1 << 8);
        }
        address.push(bench.word(SERCOM7 + 0x28));
    }
    bench.run(100_000);
    assert_eq!(address, [0x04, 0x91, 0x62]);
    assert_eq!((bench.byte(SERCOM7 + 0x18), bench.half(SERCOM7 + 0x1A) >> 4 & 3), (0, 1), "idle");
    assert_eq!(bench.violations().len(), 0);
}

#[test]
fn smen_is_enable_protected_which_is_said_once() {
    // 36.10.2: ACKACT and CMD alone are not.
    let mut bench = i2c(0, 0);
    for _ in 0..3 {
        bench.set(SERCOM7 + 4, 1 << 18 | 1 << 8);
        assert_eq!(bench.word(SERCOM7 + 4), 1 << 18);
    }
    assert_eq!(bench.violations(), ["SERCOM7.CTRLB is enable-protected: bits 0x100 dropped"]);
}

#[test]
fn nobody_at_an_address_is_a_nack() {
    let mut bench = i2c(0, 0);
    bench.set_byte(SERCOM7 + 0x16, MB);
    bench.set(SERCOM7 + 0x24, 0x42 << 1);
    bench.run(24_000);
    assert!(!bench.irq(74), "ten bits at 400 kHz");
    bench.run(2_000);
    assert!(bench.irq(74));
    assert_eq!(bench.half(SERCOM7 + 0x1A) & 4, 4, "RXNACK");
    bench.set(SERCOM7 + 4, 3 << 16);
    assert!(!bench.irq(74));
}

#[test]
fn dma_with_a_length_reads_in_smart_mode_and_stops() {
    // 36.6.4.1: ADDR.LEN bytes, trigger 18, then NACK and STOP.
    let mut bench = i2c(0, 1 << 8);
    bench.set(SERCOM7 + 0x24, 0x5E << 1);
    wait(&mut bench, MB);
    bench.set(SERCOM7 + 0x28, 0x9A);
    wait(&mut bench, MB);
    bench.set(0x4100_A034, 0x2000_1000);
    bench.set(0x4100_A038, 0x2000_2000);
    for (n, word) in (0..).zip([6 << 16 | 1 << 11 | 9, SERCOM7 + 0x28, 0x2000_0206, 0]) {
        bench.set(0x2000_1000 + 4 * n, word);
    }
    bench.set_half(0x4100_A000, 0xF02);
    bench.set(0x4100_A040, 2 << 20 | 18 << 8 | 2);
    bench.set(SERCOM7 + 0x24, 6 << 16 | 1 << 13 | 0x5E << 1 | 1);
    bench.run(300_000);
    assert_eq!(bench.byte(0x4100_A04E), 2, "TCMPL");
    assert_eq!(bench.word(0x2000_0200) & 0xFF_FFFF, 0x0062_9104);
    assert_eq!(bench.half(SERCOM7 + 0x1A) >> 4 & 3, 1, "idle");
}

#[test]
fn the_bus_is_idle_after_the_inactive_time_out() {
    let mut bench = Bench::new();
    bench.set(SERCOM7, 1 << 28 | 5 << 2 | ENABLE);
    bench.run(50_000);
    assert_eq!(bench.half(SERCOM7 + 0x1A) >> 4, 0);
    bench.run(10_000);
    assert_eq!(bench.half(SERCOM7 + 0x1A) >> 4, 1);
}
