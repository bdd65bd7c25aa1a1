//! Faults around the memory and its cells.

use sim_base::Rng;

use super::{Bench, MS, SilentFlash, SlowFlash, StuckBit, Tear, WornRange};
use crate::spi_flash::SpiFlash;

fn wrapped(wrap: impl FnOnce(Box<dyn SpiFlash>) -> Box<dyn SpiFlash>) -> Bench {
    let Bench { nor, rig, now } = Bench::new();
    Bench { nor: wrap(nor), rig, now }
}

#[test]
fn a_silent_memory_neither_hears_nor_answers() {
    let mut bench = wrapped(|nor| Box::new(SilentFlash::new(nor, 2)));
    assert_eq!([0; 4].map(|_| bench.register(0x9F)), [0x20, 0x20, 0xFF, 0xFF]);
    bench.program(0, &[0]);
    assert_eq!(bench.nor.copy(0, 1), [0xFF]);
}

#[test]
fn a_slow_memory_is_busy_for_longer() {
    let mut bench = wrapped(|nor| Box::new(SlowFlash::new(nor, 3)));
    let started = bench.now;
    bench.erase(0x20, 0);
    bench.now += 300 * MS;
    assert_eq!(bench.register(0x05) & 1, 1);
    bench.wait();
    assert_eq!(bench.now - started, 750 * MS);
    assert_eq!(bench.register(0x05) & 1, 0);
    let started = bench.now;
    bench.program(0, &[0; 8]);
    bench.wait();
    assert_eq!(bench.now - started, 45_000);
    assert_eq!(bench.read(0, 1), [0]);
}

#[test]
fn a_stuck_bit_reads_the_same_and_fails_to_verify() {
    let mut bench = Bench::new();
    bench.nor.wrap_cells(&mut |cells| Box::new(StuckBit::new(cells, 0x100, 3, true)));
    bench.program(0x100, &[0, 0]);
    bench.wait();
    assert_eq!(bench.read(0x100, 2), [8, 0]);
    assert_eq!(bench.register(0x70), 0x80 | 0x10);
    bench.command(0x50);
    bench.nor.wrap_cells(&mut |cells| Box::new(StuckBit::new(cells, 0x2000, 0, false)));
    bench.erase(0x20, 0x2000);
    bench.wait();
    assert_eq!((bench.read(0x2000, 1), bench.register(0x70)), (vec![0xFE], 0x80 | 0x20));
}

#[test]
fn a_worn_sector_keeps_its_bits_and_says_so() {
    let mut bench = Bench::new();
    bench.program(0x1000, &[0x12]);
    bench.wait();
    bench.program(0x2000, &[0x34]);
    bench.wait();
    bench.nor.wrap_cells(&mut |cells| Box::new(WornRange::new(cells, 0x1000..0x2000)));
    for addr in [0x1000, 0x2000] {
        bench.erase(0x20, addr);
        bench.wait();
        assert_eq!(bench.register(0x70) & 0x20 != 0, addr == 0x1000);
        bench.command(0x50);
    }
    assert_eq!((bench.read(0x1000, 1), bench.read(0x2000, 1)), (vec![0x12], vec![0xFF]));
}

#[test]
fn unsteady_cells_read_differently_until_they_are_erased() {
    let mut changed = 0;
    for seed in 0..20 {
        let mut bench = Bench::new();
        bench.program(0x100, &[0; 64]);
        bench.nor.power_cut(Some(Tear::Unsteady), &mut Rng::new(seed));
        bench.nor.power_on(sim_base::Instant::from_nanos(bench.now));
        bench.now += MS;
        let reads: Vec<Vec<u8>> = (0..4).map(|_| bench.read(0x100, 64)).collect();
        changed += u32::from(reads.iter().any(|read| *read != reads[0]));
        bench.erase(0x20, 0);
        bench.wait();
        assert_eq!(bench.read(0x100, 64), [0xFF; 64], "seed {seed}");
    }
    assert!(changed > 10, "{changed}");
}
