use std::collections::BTreeSet;

use sim_base::Rng;

use super::{Frame, Lines, Nor, SIZE, SilentFlash, SlowFlash, StuckBit, WornRange};
use crate::EventKind;
use crate::rig::Rig;
use crate::spi_flash::{FlashContext, SpiFlash};
use crate::tear::Tear;

const MS: u64 = 1_000_000;

mod faults;
mod modes;

struct Bench {
    nor: Box<dyn SpiFlash>,
    rig: Rig,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        let mut nor: Box<dyn SpiFlash> = Box::new(Nor::new(Rng::new(5)));
        nor.power_on(sim_base::Instant::ZERO);
        Self { nor, rig: Rig::new(), now: MS }
    }

    fn begin(&mut self, opcode: u8, address: Option<(u32, u8, Lines)>, dummy: u8) {
        self.begin_frame(Frame {
            opcode: Some((opcode, Lines::One)),
            address,
            option: None,
            dummy,
            data_lines: Lines::One,
            double_rate: false,
        });
    }

    fn begin_frame(&mut self, frame: Frame) {
        self.nor.begin(frame, &mut FlashContext::new(&mut self.rig.cx(self.now)));
    }

    fn read_byte(&mut self, lines: Lines) -> u8 {
        self.nor.read(lines, &mut FlashContext::new(&mut self.rig.cx(self.now)))
    }

    fn write_byte(&mut self, byte: u8, lines: Lines) {
        self.nor.write(byte, lines, &mut FlashContext::new(&mut self.rig.cx(self.now)));
    }

    fn end(&mut self) {
        self.nor.end(&mut FlashContext::new(&mut self.rig.cx(self.now)));
    }

    fn command(&mut self, opcode: u8) {
        self.begin(opcode, None, 0);
        self.end();
    }

    fn register(&mut self, opcode: u8) -> u8 {
        self.begin(opcode, None, 0);
        let value = self.read_byte(Lines::One);
        self.end();
        value
    }

    fn write_register(&mut self, opcode: u8, value: u8) {
        self.command(0x06);
        self.begin(opcode, None, 0);
        self.write_byte(value, Lines::One);
        self.end();
    }

    fn read(&mut self, addr: u32, len: usize) -> Vec<u8> {
        self.begin(0x03, Some((addr, 3, Lines::One)), 0);
        let bytes = (0..len).map(|_| self.read_byte(Lines::One)).collect();
        self.end();
        bytes
    }

    fn program(&mut self, addr: u32, data: &[u8]) {
        self.command(0x06);
        self.begin(0x02, Some((addr, 3, Lines::One)), 0);
        for byte in data {
            self.write_byte(*byte, Lines::One);
        }
        self.end();
    }

    fn erase(&mut self, opcode: u8, addr: u32) {
        self.command(0x06);
        self.begin(opcode, Some((addr, 3, Lines::One)), 0);
        self.end();
    }

    fn wait(&mut self) {
        while let Some(until) = self.nor.busy_until() {
            self.now = until.as_nanos();
            self.nor.advance(until);
        }
    }
}

#[test]
fn the_jedec_id_is_that_of_an_n25q256a() {
    let mut bench = Bench::new();
    bench.begin(0x9F, None, 0);
    let id: Vec<u8> = (0..3).map(|_| bench.read_byte(Lines::One)).collect();
    assert_eq!(id, [0x20, 0xBA, 0x19]);
}

#[test]
fn a_program_needs_write_enable_and_clears_it_at_its_end() {
    let mut bench = Bench::new();
    bench.begin(0x02, Some((0, 3, Lines::One)), 0);
    bench.write_byte(0, Lines::One);
    bench.end();
    assert_eq!(bench.read(0, 1), [0xFF]);
    assert_eq!(bench.rig.violations().len(), 1);
    bench.program(0, &[0x12]);
    assert_eq!(bench.register(0x05), 3, "WIP and WEL");
    assert_eq!(bench.register(0x70), 0, "not ready");
    bench.wait();
    assert_eq!(bench.register(0x05), 0);
    assert_eq!(bench.register(0x70), 0x80);
    assert_eq!(bench.read(0, 1), [0x12]);
}

#[test]
fn a_program_only_clears_bits() {
    let mut bench = Bench::new();
    for byte in [0xF0, 0x3C] {
        bench.program(0x100, &[byte]);
        bench.wait();
    }
    assert_eq!(bench.read(0x100, 1), [0x30]);
}

#[test]
fn a_program_wraps_inside_its_page() {
    let mut bench = Bench::new();
    bench.program(0x1FE, &[1, 2, 3, 4]);
    bench.wait();
    assert_eq!(bench.read(0x1FE, 3), [1, 2, 0xFF]);
    assert_eq!(bench.read(0x100, 3), [3, 4, 0xFF]);
    assert_eq!(bench.rig.violations().len(), 1);
}

#[test]
fn of_more_than_a_page_the_last_256_bytes_count() {
    let mut bench = Bench::new();
    let data: Vec<u8> = (0..260_u32).map(|n| n as u8).collect();
    bench.program(0, &data);
    bench.wait();
    assert_eq!(bench.read(0, 5), [0, 1, 2, 3, 4]);
    assert_eq!(bench.read(255, 1), [255]);
}

#[test]
fn erases_cover_their_unit_and_take_their_time() {
    let mut bench = Bench::new();
    for addr in [0xFFF, 0x1000, 0x1FFF, 0x2000, 0x1_0000] {
        bench.program(addr, &[0]);
        bench.wait();
    }
    bench.rig.take_events();
    bench.erase(0x20, 0x1234);
    let started = bench.now;
    bench.wait();
    assert_eq!(bench.now - started, 250 * MS);
    let reads = [0xFFF, 0x1000, 0x1FFF, 0x2000].map(|addr| bench.read(addr, 1)[0]);
    assert_eq!(reads, [0, 0xFF, 0xFF, 0]);
    assert_eq!(bench.rig.take_events()[0].kind, EventKind::NorErase { addr: 0x1000, len: 0x1000 });
    bench.erase(0xD8, 0x8000);
    bench.wait();
    assert_eq!([0xFFF, 0x2000, 0x1_0000].map(|addr| bench.read(addr, 1)[0]), [0xFF, 0xFF, 0]);
    bench.command(0x06);
    bench.command(0xC7);
    bench.wait();
    assert_eq!(bench.read(0x1_0000, 1), [0xFF]);
}

#[test]
fn while_busy_only_the_status_registers_answer() {
    let mut bench = Bench::new();
    bench.program(0, &[0]);
    assert_eq!(bench.read(0, 1), [0xFF]);
    assert_eq!(bench.rig.violations().len(), 1);
    assert_eq!(bench.register(0x05) & 1, 1);
}

#[test]
fn four_byte_mode_reaches_the_upper_half_as_does_the_extended_address_register() {
    let mut bench = Bench::new();
    bench.command(0x06);
    bench.command(0xB7);
    assert_eq!(bench.register(0x70), 0x81);
    bench.command(0x06);
    bench.begin(0x02, Some((0x0100_0010, 4, Lines::One)), 0);
    bench.write_byte(0x77, Lines::One);
    bench.end();
    bench.wait();
    bench.command(0x06);
    bench.command(0xE9);
    assert_eq!(bench.read(0x10, 1), [0xFF]);
    bench.write_register(0xC5, 1);
    assert_eq!(bench.read(0x10, 1), [0x77]);
}

#[test]
fn quad_output_reads_need_eight_dummy_cycles_and_four_lines() {
    let mut bench = Bench::new();
    bench.program(0, &[0x5A]);
    bench.wait();
    bench.begin(0x6B, Some((0, 3, Lines::One)), 8);
    assert_eq!(bench.read_byte(Lines::Four), 0x5A);
    bench.end();
    bench.begin(0x6B, Some((0, 3, Lines::One)), 6);
    assert_eq!(bench.read_byte(Lines::Four), 0xFF);
    bench.end();
    // The volatile configuration register changes the number.
    bench.write_register(0x81, 0x6B);
    bench.begin(0x6B, Some((0, 3, Lines::One)), 6);
    assert_eq!(bench.read_byte(Lines::Four), 0x5A);
    bench.end();
}

#[test]
fn protected_blocks_refuse_and_raise_flags() {
    let mut bench = Bench::new();
    // BP0: the top 64 KiB.
    bench.write_register(0x01, 1 << 2);
    bench.wait();
    bench.program(0xFF_0000, &[0]);
    bench.wait();
    assert_eq!(bench.read(0xFF_0000, 1), [0], "the lower half is not protected");
    bench.write_register(0xC5, 1);
    bench.program(0xFF_0000, &[0]);
    assert_eq!(bench.register(0x70), 0x80 | 0x12);
    bench.command(0x50);
    assert_eq!(bench.register(0x70), 0x80);
}

#[test]
fn reads_run_over_the_end_to_the_start() {
    let mut bench = Bench::new();
    bench.program(0, &[0x11]);
    bench.wait();
    bench.write_register(0xC5, 1);
    assert_eq!(bench.read(0xFF_FFFF, 2), [0xFF, 0x11]);
}

#[test]
fn a_clone_shares_no_later_change() {
    let mut bench = Bench::new();
    bench.program(0, &[0x11]);
    bench.wait();
    let before = bench.nor.clone();
    bench.program(1, &[0x22]);
    bench.wait();
    bench.nor.advance(sim_base::Instant::from_nanos(bench.now));
    assert_eq!((before.copy(0, 2), bench.nor.copy(0, 2)), (vec![0x11, 0xFF], vec![0x11, 0x22]));
}

#[test]
fn a_power_cut_tears_a_program_within_its_bytes() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..64 {
        let mut bench = Bench::new();
        bench.program(0x1F0, &[0; 32]);
        let torn = bench.nor.power_cut(None, &mut Rng::new(seed));
        assert_eq!(torn.as_deref(), Some("NOR program of 32 bytes at 0x000001f0"));
        let page = bench.nor.copy(0x100, 256);
        assert!(page[16..0xF0].iter().all(|byte| *byte == 0xFF), "seed {seed}");
        outcomes.insert(page.iter().filter(|byte| **byte != 0xFF).count());
        assert!(bench.nor.busy_until().is_none());
    }
    assert!(outcomes.contains(&0) && outcomes.len() > 5, "{outcomes:?}");
}

#[test]
fn a_power_cut_tears_an_erase_within_its_unit() {
    for seed in 0..16 {
        let mut bench = Bench::new();
        for addr in [0xFFF, 0x1000, 0x2000] {
            bench.program(addr, &[0]);
            bench.wait();
        }
        bench.erase(0x20, 0x1000);
        assert!(bench.nor.power_cut(None, &mut Rng::new(seed)).is_some());
        assert_eq!((bench.nor.copy(0xFFF, 1), bench.nor.copy(0x2000, 1)), (vec![0], vec![0]), "seed {seed}");
    }
}
