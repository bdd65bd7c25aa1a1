use armv7m::Size;
use sim_base::Rng;

use super::{CSRISE, DRE, ENABLE, ERROR, INSTREND, LASTXFER, Qspi, RXC, TXC};
use crate::EventKind;
use crate::peripheral::{Peripheral, Write};
use crate::rig::Rig;

const INSTREN: u32 = 1 << 4;
const ADDREN: u32 = 1 << 5;
const DATAEN: u32 = 1 << 7;
const READ_MEMORY: u32 = 1 << 12;
const WRITE: u32 = 2 << 12;
const WRITE_MEMORY: u32 = 3 << 12;
const QUAD_OUTPUT: u32 = 2;

struct Bench {
    qspi: Qspi,
    rig: Rig,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { qspi: Qspi::new(Rng::new(1)), rig: Rig::new(), now: 0 };
        bench.qspi.supply_nor(3_300, true, &mut bench.rig.cx(0));
        bench.now = 1_000_000;
        bench.write(0x04, 1);
        bench.write(0x08, 3 << 8);
        bench.write(0x00, ENABLE);
        bench
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.qspi.write(offset, Write::full(value), &mut self.rig.cx(self.now));
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.qspi.read(offset, &mut self.rig.cx(self.now))
    }

    fn frame(&mut self, opcode: u32, addr: u32, frame: u32) {
        self.write(0x30, addr);
        self.write(0x34, opcode);
        self.write(0x38, frame);
        assert_eq!(self.read(0x38), frame);
    }

    fn ahb_read(&mut self, offset: u32) -> u32 {
        let (value, time) =
            self.qspi.ahb_read(offset, Size::Word, &mut self.rig.cx(self.now)).expect("a frame is open");
        self.now += time.as_nanos() as u64;
        value
    }

    fn ahb_write(&mut self, offset: u32, value: u32) {
        let time = self.qspi.ahb_write(offset, Size::Word, value, &mut self.rig.cx(self.now)).expect("a frame is open");
        self.now += time.as_nanos() as u64;
    }

    fn end(&mut self) {
        self.write(0x00, ENABLE | LASTXFER);
        assert_eq!(self.read(0x1C) & INSTREND, INSTREND);
        self.write(0x1C, INSTREND);
    }

    fn program_quad(&mut self, addr: u32, words: &[u32]) {
        self.frame(0x06, 0, WRITE | INSTREN);
        self.now += 10_000;
        self.write(0x1C, INSTREND);
        self.frame(0x32, 0, WRITE_MEMORY | INSTREN | ADDREN | DATAEN | QUAD_OUTPUT);
        for (n, word) in (0..).zip(words) {
            self.ahb_write(addr + 4 * n, *word);
        }
        self.end();
        self.now += 10_000_000;
    }
}

#[test]
fn a_frame_without_data_goes_out_when_instrframe_is_written() {
    let mut bench = Bench::new();
    bench.frame(0x06, 0, WRITE | INSTREN);
    assert_eq!(bench.read(0x1C) & INSTREND, 0, "eight clocks at 12 MHz are still going out");
    bench.now += 667;
    assert_eq!(bench.read(0x1C) & INSTREND, INSTREND);
}

#[test]
fn a_register_read_takes_its_bytes_from_the_ahb_window() {
    let mut bench = Bench::new();
    bench.frame(0x9F, 0, INSTREN | DATAEN);
    assert_eq!(bench.ahb_read(0) & 0x00FF_FFFF, 0x19_BA20);
    assert_eq!(bench.read(0x20) >> 9, 0, "chip select is low until the last transfer");
    bench.end();
    assert_eq!(bench.read(0x20) >> 9, 1);
}

#[test]
fn memory_writes_program_and_memory_reads_see_the_data() {
    let mut bench = Bench::new();
    bench.program_quad(0x200, &[0x0403_0201, 0x0807_0605]);
    let events = bench.rig.take_events();
    let program = EventKind::NorProgram { addr: 0x200, data: vec![1, 2, 3, 4, 5, 6, 7, 8] };
    assert!(events.iter().any(|event| event.kind == program), "{events:?}");
    bench.frame(0x6B, 0, READ_MEMORY | INSTREN | ADDREN | DATAEN | QUAD_OUTPUT | 8 << 16);
    assert_eq!(bench.ahb_read(0x204), 0x0807_0605);
    // A jump starts another frame at the new address.
    assert_eq!(bench.ahb_read(0x200), 0x0403_0201);
    assert_eq!(bench.ahb_read(0x204), 0x0807_0605);
    bench.end();
    assert_eq!(bench.rig.violations(), [""; 0]);
}

#[test]
fn an_erase_takes_its_address_from_instraddr() {
    let mut bench = Bench::new();
    bench.program_quad(0x1000, &[0]);
    bench.frame(0x06, 0, WRITE | INSTREN);
    bench.now += 10_000;
    bench.frame(0x20, 0x1000, WRITE | INSTREN | ADDREN);
    bench.now += 300_000_000;
    bench.read(0x1C);
    assert_eq!(bench.qspi.flash.copy(0x1000, 1), [0xFF]);
}

#[test]
fn wire_time_follows_baud_and_lines() {
    let mut bench = Bench::new();
    bench.frame(0x6B, 0, READ_MEMORY | INSTREN | ADDREN | DATAEN | QUAD_OUTPUT | 8 << 16);
    let before = bench.now;
    // 8 + 24 + 8 clocks and 8 clocks of data, at 48 MHz / 4.
    bench.ahb_read(0);
    assert_eq!(bench.now - before, 3_333 + 666);
}

#[test]
fn an_access_to_the_window_without_a_frame_is_a_bus_error() {
    let mut bench = Bench::new();
    assert!(bench.qspi.ahb_read(0, Size::Word, &mut bench.rig.cx(0)).is_none());
}

/// In SPI mode with these bits of CTRLB.
fn spi(ctrlb: u32) -> Bench {
    let mut bench = Bench::new();
    bench.write(0x00, 0);
    bench.write(0x04, ctrlb);
    bench.write(0x00, ENABLE);
    bench
}

#[test]
fn spi_mode_talks_to_the_memory_byte_by_byte() {
    // CSMODE LASTXFER.
    let mut bench = spi(1 << 4);
    let mut exchange = |byte: u32| {
        bench.write(0x10, byte);
        bench.now += 1_000;
        assert_eq!(bench.read(0x1C) & 7, RXC | DRE | TXC);
        bench.read(0x0C)
    };
    assert_eq!([0x9F, 0, 0, 0].map(&mut exchange)[1..], [0x20, 0xBA, 0x19]);
    assert_eq!(bench.read(0x20) >> 9, 0);
    bench.write(0x00, ENABLE | LASTXFER);
    assert_eq!(bench.read(0x20) >> 9, 1);
    assert_eq!(bench.rig.violations(), [""; 0]);
}

#[test]
fn sixteen_bit_characters_send_their_high_byte_first() {
    let mut bench = spi(1 << 4 | 8 << 8);
    bench.write(0x10, 0x9F00);
    bench.now += 2_000;
    assert_eq!(bench.read(0x0C) & 0xFF, 0x20);
    bench.write(0x10, 0);
    bench.now += 2_000;
    assert_eq!(bench.read(0x0C), 0xBA19);
}

#[test]
fn the_holding_register_keeps_the_wires_busy_and_chip_select_low() {
    let mut bench = spi(0);
    bench.write(0x10, 0x9F);
    assert_eq!(bench.read(0x1C) & DRE, DRE, "it went on to the shift register");
    bench.write(0x10, 0);
    assert_eq!(bench.read(0x1C) & (DRE | TXC), 0);
    bench.now += 700;
    assert_eq!(bench.read(0x1C) & (DRE | RXC | TXC | CSRISE), DRE | RXC);
    bench.read(0x0C);
    bench.now += 700;
    // CSMODE NORELOAD: nothing more came.
    assert_eq!(bench.read(0x1C) & (RXC | TXC | CSRISE), RXC | TXC | CSRISE);
    assert_eq!(bench.read(0x0C), 0x20);
}

#[test]
fn a_character_that_is_not_read_is_overrun_unless_wdrbt_waits_for_it() {
    for (ctrlb, error) in [(1 << 4, ERROR), (1 << 4 | 1 << 2, 0)] {
        let mut bench = spi(ctrlb);
        bench.write(0x10, 0x9F);
        bench.write(0x10, 0);
        bench.now += 10_000;
        assert_eq!(bench.read(0x1C) & ERROR, error);
        bench.read(0x0C);
        bench.now += 10_000;
        assert_eq!(bench.read(0x0C), 0x20);
        bench.write(0x1C, ERROR);
        assert_eq!(bench.read(0x1C) & ERROR, 0);
    }
}

#[test]
fn local_loopback_returns_what_is_sent() {
    let mut bench = spi(1 << 1);
    bench.write(0x10, 0xA5);
    bench.now += 1_000;
    assert_eq!(bench.read(0x0C), 0xA5);
}

#[test]
fn delays_take_their_time() {
    // BAUD 3, DLYBS 48 periods of 48 MHz: 1 us from chip select to the clock.
    let mut bench = spi(1 << 4 | 3 << 16);
    bench.write(0x08, 3 << 8 | 48 << 16);
    bench.write(0x10, 0x9F);
    bench.write(0x10, 0);
    bench.now += 1_600;
    assert_eq!(bench.read(0x1C) & RXC, 0);
    bench.now += 100;
    assert_eq!(bench.read(0x1C) & RXC, RXC);
    bench.read(0x0C);
    // DLYBCT 3: 2 us before the next character.
    bench.now += 2_000;
    assert_eq!(bench.read(0x1C) & RXC, 0);
    bench.now += 1_000;
    assert_eq!(bench.read(0x1C) & RXC, RXC);
}

#[test]
fn dlycs_keeps_chip_select_high_between_frames() {
    let mut bench = Bench::new();
    bench.write(0x04, 1 | 240 << 24);
    bench.frame(0x05, 0, INSTREN | DATAEN);
    bench.ahb_read(0);
    bench.end();
    let before = bench.now;
    bench.frame(0x05, 0, INSTREN | DATAEN);
    bench.ahb_read(0);
    // 5 us, then 8 and 32 clocks.
    assert_eq!(bench.now - before, 5_000 + 666 + 2_666);
}

#[test]
fn flags_raise_the_interrupt_and_dma_requests_follow_the_data_registers() {
    let mut bench = spi(1 << 4);
    bench.write(0x18, RXC);
    assert_eq!((bench.qspi.irqs(), bench.qspi.dma_requests()), (0, 1 << 0x54));
    bench.write(0x10, 0x9F);
    let at = bench.qspi.next_event();
    bench.now = at.as_nanos();
    bench.qspi.advance(&mut bench.rig.cx(bench.now));
    assert_eq!((bench.qspi.irqs(), bench.qspi.dma_requests()), (1, 1 << 0x53 | 1 << 0x54));
    bench.read(0x0C);
    assert_eq!((bench.qspi.irqs(), bench.qspi.dma_requests()), (0, 1 << 0x54));
}

#[test]
fn data_registers_carry_a_frames_data_with_smemreg() {
    let mut bench = Bench::new();
    bench.write(0x04, 1 | 1 << 3);
    bench.frame(0x9F, 0, INSTREN | DATAEN);
    assert_eq!([bench.read(0x0C), bench.read(0x0C), bench.read(0x0C)], [0x20, 0xBA, 0x19]);
    bench.end();
    bench.frame(0x06, 0, WRITE | INSTREN);
    bench.now += 10_000;
    // Write extended address register.
    bench.frame(0xC5, 0, WRITE | INSTREN | DATAEN);
    bench.write(0x10, 1);
    bench.end();
    bench.frame(0xC8, 0, INSTREN | DATAEN);
    assert_eq!(bench.read(0x0C), 1);
    assert_eq!(bench.rig.violations(), [""; 0]);
}

const OPTCODEEN: u32 = 1 << 6;
const CRMODE: u32 = 1 << 14;
const QUAD_IO: u32 = 4;

#[test]
fn continuous_read_mode_sends_the_instruction_once() {
    let mut bench = Bench::new();
    bench.program_quad(0x200, &[0x0403_0201, 0x0807_0605]);
    bench.write(0x1C, INSTREND);
    // Volatile configuration: XIP, default dummies, continuous.
    bench.frame(0x06, 0, WRITE | INSTREN);
    bench.now += 10_000;
    bench.frame(0x81, 0, WRITE | INSTREN | DATAEN);
    let written = bench.qspi.ahb_write(0, Size::Byte, 0xF3, &mut bench.rig.cx(bench.now));
    assert!(written.is_some());
    bench.end();
    // Option code 0 of eight bits is two of the ten dummy cycles.
    let frame = READ_MEMORY | INSTREN | ADDREN | OPTCODEEN | DATAEN | 3 << 8 | 8 << 16 | CRMODE | QUAD_IO;
    bench.now += 1_000;
    bench.frame(0xEB, 0, frame);
    let before = bench.now;
    assert_eq!(bench.ahb_read(0x200), 0x0403_0201);
    // 8 + 6 + 10 clocks and 8 of data.
    assert_eq!(bench.now - before, 2_000 + 666);
    let before = bench.now;
    assert_eq!(bench.ahb_read(0x200), 0x0403_0201);
    // One period of 48 MHz between; no instruction.
    assert_eq!(bench.now - before, 20 + 1_333 + 666);
    bench.end();
    // Option code with the confirmation bit ends it.
    bench.write(0x34, 0xEB | 0xFF << 16);
    bench.write(0x38, frame & !INSTREN);
    assert_eq!(bench.ahb_read(0x204), 0x0807_0605);
    bench.end();
    bench.frame(0x9F, 0, INSTREN | DATAEN);
    assert_eq!(bench.ahb_read(0) & 0xFF, 0x20);
    assert_eq!(bench.rig.violations(), [""; 0]);
}

#[test]
fn double_data_rate_halves_address_and_data() {
    let mut bench = Bench::new();
    bench.program_quad(0x200, &[0x0403_0201]);
    bench.frame(0x6D, 0, READ_MEMORY | INSTREN | ADDREN | DATAEN | QUAD_OUTPUT | 6 << 16 | 1 << 15);
    let before = bench.now;
    assert_eq!(bench.ahb_read(0x200), 0x0403_0201);
    // 8 + 12 + 6 clocks, and 4 of data.
    assert_eq!(bench.now - before, 2_166 + 333);
    assert_eq!(bench.rig.violations(), [""; 0]);
}

#[test]
fn scrambling_is_reported() {
    let mut bench = Bench::new();
    bench.write(0x40, 1);
    bench.frame(0x9F, 0, INSTREN | DATAEN);
    bench.ahb_read(0);
    assert_eq!(bench.rig.violations().len(), 1);
}
