use armv7m::Size;

use super::{ENABLE, INSTREND, LASTXFER, Qspi};
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
        let mut bench = Self { qspi: Qspi::new(), rig: Rig::new(), now: 0 };
        bench.qspi.supply_nor(3_300, &mut bench.rig.cx(0));
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
    assert_eq!(bench.qspi.nor.copy(0x1000, 1), [0xFF]);
}

#[test]
fn wire_time_follows_baud_and_lines() {
    let mut bench = Bench::new();
    bench.frame(0x6B, 0, READ_MEMORY | INSTREN | ADDREN | DATAEN | QUAD_OUTPUT | 8 << 16);
    // 8 + 24 + 8 clocks and 8 clocks of data, at 48 MHz / 4.
    bench.ahb_read(0);
    assert_eq!(bench.now, 3_333 + 666);
}

#[test]
fn an_access_to_the_window_without_a_frame_is_a_bus_error() {
    let mut bench = Bench::new();
    assert!(bench.qspi.ahb_read(0, Size::Word, &mut bench.rig.cx(0)).is_none());
}

#[test]
fn spi_mode_talks_to_the_memory_byte_by_byte() {
    let mut bench = Bench::new();
    bench.write(0x00, 0);
    bench.write(0x04, 0);
    bench.write(0x00, ENABLE);
    let mut exchange = |byte: u32| {
        bench.write(0x10, byte);
        bench.now += 1_000;
        assert_eq!(bench.read(0x1C) & 7, 7);
        bench.read(0x0C)
    };
    assert_eq!([0x9F, 0, 0, 0].map(&mut exchange)[1..], [0x20, 0xBA, 0x19]);
    bench.write(0x00, ENABLE | LASTXFER);
    assert_eq!(bench.rig.violations(), [""; 0]);
}
