//! Protocols, execute in place, suspension, protection, OTP and parameters.

use sim_base::{Instant, Rng};

use super::{Bench, Frame, Lines, MS, SIZE, Tear};

const STATUS: u8 = 0x05;
const FLAGS: u8 = 0x70;

impl Bench {
    /// A frame in which everything goes over `lines`.
    fn wide(&mut self, opcode: u8, address: Option<u32>, dummy: u8, lines: Lines) {
        self.begin_frame(Frame {
            opcode: Some((opcode, lines)),
            address: address.map(|addr| (addr, 3, lines)),
            option: None,
            dummy,
            data_lines: lines,
            double_rate: false,
        });
    }

    fn pass(&mut self, nanos: u64) {
        self.now += nanos;
        self.nor.advance(Instant::from_nanos(self.now));
    }

    fn at_3_bytes(&mut self, opcode: u8, addr: u32, dummy: u8) {
        self.begin(opcode, Some((addr, 3, Lines::One)), dummy);
    }

    fn power_cycle(&mut self) {
        self.nor.power_cut(None, &mut Rng::new(1));
        self.nor.power_on(Instant::from_nanos(self.now));
        self.pass(MS);
    }
}

#[test]
fn in_the_quad_protocol_everything_uses_four_lines() {
    let mut bench = Bench::new();
    bench.write_register(0x61, 0x5F);
    bench.wide(0xAF, None, 0, Lines::Four);
    assert_eq!([0; 3].map(|_| bench.read_byte(Lines::Four)), [0x20, 0xBA, 0x19]);
    bench.end();
    bench.wide(0x06, None, 0, Lines::Four);
    bench.end();
    bench.wide(0x02, Some(0x100), 0, Lines::Four);
    bench.write_byte(0x42, Lines::Four);
    bench.end();
    bench.pass(MS);
    // Ten dummy cycles are the quad protocol's default.
    bench.wide(0x0B, Some(0x100), 10, Lines::Four);
    assert_eq!(bench.read_byte(Lines::Four), 0x42);
    bench.end();
    assert_eq!(bench.rig.violations(), [""; 0]);
    // READ and READ ID are not there, nor does a single line do.
    bench.wide(0x03, Some(0x100), 0, Lines::Four);
    bench.wide(0x9F, None, 0, Lines::Four);
    bench.begin(0x05, None, 0);
    assert_eq!(bench.rig.violations().len(), 3);
}

#[test]
fn the_non_volatile_configuration_is_what_the_memory_wakes_up_with() {
    let mut bench = Bench::new();
    bench.command(0x06);
    bench.begin(0xB1, None, 0);
    // Six dummy cycles, dual protocol, 4-byte addresses, upper segment.
    for byte in 0x6FF8_u16.to_le_bytes() {
        bench.write_byte(byte, Lines::One);
    }
    bench.end();
    bench.wait();
    assert_eq!(bench.register(0x85), 0xFB, "not yet");
    bench.power_cycle();
    bench.wide(0x85, None, 0, Lines::Two);
    assert_eq!(bench.read_byte(Lines::Two), 0x6B);
    bench.end();
    bench.wide(FLAGS, None, 0, Lines::Two);
    assert_eq!(bench.read_byte(Lines::Two), 0x81);
    bench.end();
    bench.wide(0xC8, None, 0, Lines::Two);
    assert_eq!(bench.read_byte(Lines::Two), 1);
    bench.end();
}

fn xip_read(bench: &mut Bench, opcode: Option<u8>, addr: u32, confirmation: u8) -> u8 {
    bench.begin_frame(Frame {
        opcode: opcode.map(|opcode| (opcode, Lines::One)),
        address: Some((addr, 3, Lines::Four)),
        option: Some((confirmation, 8)),
        dummy: 10,
        data_lines: Lines::Four,
        double_rate: false,
    });
    let value = bench.read_byte(Lines::Four);
    bench.end();
    value
}

#[test]
fn execute_in_place_goes_on_until_the_confirmation_bit_is_one() {
    let mut bench = Bench::new();
    bench.program(0x100, &[1, 2, 3]);
    bench.wait();
    assert_eq!(xip_read(&mut bench, Some(0xEB), 0x100, 0), 1);
    assert!(!bench.nor.is_in_place(), "VCR does not allow it");
    bench.write_register(0x81, 0xF3);
    assert_eq!(xip_read(&mut bench, Some(0xEB), 0x100, 0), 1);
    assert_eq!(xip_read(&mut bench, None, 0x101, 0), 2);
    bench.begin(STATUS, None, 0);
    bench.end();
    assert_eq!(bench.rig.violations().len(), 1, "no instructions now");
    assert_eq!(xip_read(&mut bench, None, 0x102, 0x10), 3);
    assert_eq!(bench.register(STATUS), 0);
    assert_eq!(bench.rig.violations(), [""; 0]);
}

#[test]
fn the_configured_wrap_keeps_reads_in_their_block() {
    let mut bench = Bench::new();
    let data: Vec<u8> = (0..64).collect();
    bench.program(0, &data);
    bench.wait();
    bench.write_register(0x81, 0xF8);
    assert_eq!(bench.read(0x1E, 4), [30, 31, 16, 17]);
}

#[test]
fn an_erase_can_be_suspended_read_around_and_resumed() {
    let mut bench = Bench::new();
    bench.program(0x1_0000, &[0x55]);
    bench.wait();
    bench.program(0, &[0x55]);
    bench.wait();
    bench.erase(0xD8, 0);
    bench.pass(100 * MS);
    bench.command(0x75);
    assert_eq!(bench.register(STATUS) & 1, 1, "it takes a moment");
    bench.pass(15_000);
    assert_eq!(bench.register(STATUS) & 1, 0);
    assert_eq!(bench.register(FLAGS), 0x80 | 0x40);
    assert_eq!(bench.read(0x1_0000, 1), [0x55]);
    // Programs elsewhere, not here; no erases.
    bench.program(0x1_0001, &[0x66]);
    bench.wait();
    bench.rig.violations();
    bench.program(0x100, &[0]);
    bench.erase(0x20, 0x2_0000);
    assert_eq!(bench.rig.violations().len(), 2);
    assert_eq!(bench.read(0x1_0001, 1), [0x66]);
    let resumed = bench.now;
    bench.command(0x7A);
    bench.wait();
    assert_eq!(bench.now - resumed, 700 * MS - 100 * MS - 15_000);
    assert_eq!((bench.register(FLAGS), bench.read(0, 1)), (0x80, vec![0xFF]));
}

#[test]
fn a_program_inside_a_suspended_erase_can_be_suspended_too() {
    let mut bench = Bench::new();
    bench.erase(0xD8, 0);
    bench.pass(MS);
    bench.command(0x75);
    bench.pass(MS);
    bench.program(0x1_0000, &[0x11; 256]);
    bench.pass(100_000);
    bench.command(0x75);
    bench.pass(7_000);
    assert_eq!(bench.register(FLAGS), 0x80 | 0x40 | 0x04);
    bench.program(0x2_0000, &[0]);
    assert_eq!(bench.rig.violations().len(), 1, "not inside a suspended program");
    bench.command(0x7A);
    bench.pass(MS);
    assert_eq!(bench.register(FLAGS), 0x80 | 0x40);
    assert_eq!(bench.read(0x1_0000, 1), [0x11]);
    bench.command(0x7A);
    bench.wait();
    assert_eq!(bench.register(FLAGS), 0x80);
}

#[test]
fn a_subsector_erase_lets_no_program_in_and_a_bulk_erase_cannot_be_suspended() {
    let mut bench = Bench::new();
    bench.erase(0x20, 0);
    bench.command(0x75);
    bench.pass(MS);
    bench.program(0x1_0000, &[0]);
    assert_eq!(bench.rig.violations().len(), 1);
    bench.command(0x7A);
    bench.wait();
    bench.command(0x06);
    bench.command(0xC7);
    bench.command(0x75);
    bench.pass(MS);
    assert_eq!(bench.register(STATUS) & 1, 1);
    assert_eq!(bench.rig.violations().len(), 1);
}

#[test]
fn a_cut_tears_suspended_operations_too() {
    let mut bench = Bench::new();
    bench.program(0, &[0; 16]);
    bench.wait();
    bench.erase(0xD8, 0);
    bench.command(0x75);
    bench.pass(MS);
    bench.program(0x1_0000, &[0; 8]);
    let torn = bench.nor.power_cut(Some(Tear::Complete), &mut Rng::new(1));
    assert_eq!(torn.as_deref(), Some("NOR erase of 65536 bytes at 0x00000000; NOR program of 8 bytes at 0x00010000"));
    assert_eq!((bench.nor.copy(0, 1), bench.nor.copy(0x1_0000, 1)), (vec![0xFF], vec![0]));
}

#[test]
fn block_protection_counts_from_top_or_bottom() {
    // BP2 to BP0 = 1 is a sector, TB the bottom.
    for (status, protected, free) in
        [(0x04, 0x1FF_0000, 0x1FE_0000), (0x24, 0, 0x1_0000), (0x44, 0x100_0000, 0xFF_0000)]
    {
        let mut bench = Bench::new();
        bench.write_register(0x01, status);
        bench.wait();
        for (addr, refused) in [(protected, true), (free, false)] {
            bench.write_register(0xC5, (addr >> 24) as u8);
            bench.program(addr & 0xFF_FFFF, &[0]);
            bench.wait();
            assert_eq!(bench.register(FLAGS) & 0x12 != 0, refused, "{status:#x} {addr:#x}");
            bench.command(0x50);
        }
        bench.command(0x06);
        bench.command(0xC7);
        assert_eq!(bench.register(FLAGS) & 0x22, 0x22, "no bulk erase");
    }
}

#[test]
fn w_protects_the_status_register_once_srwd_is_set() {
    let mut bench = Bench::new();
    bench.nor.set_write_protect(true);
    bench.write_register(0x01, 0x80);
    bench.wait();
    assert_eq!(bench.register(STATUS), 0x80);
    bench.write_register(0x01, 0x1C);
    bench.wait();
    assert_eq!(bench.register(STATUS) & 0xFC, 0x80);
    bench.nor.set_write_protect(false);
    bench.write_register(0x01, 0x1C);
    bench.wait();
    assert_eq!(bench.register(STATUS), 0x1C);
    bench.power_cycle();
    assert_eq!(bench.register(STATUS), 0x1C, "non-volatile");
}

#[test]
fn lock_registers_protect_sectors_until_power_is_cycled() {
    let mut bench = Bench::new();
    let write = |bench: &mut Bench, value| {
        bench.command(0x06);
        bench.at_3_bytes(0xE5, 0x1_2345, 0);
        bench.write_byte(value, Lines::One);
        bench.end();
    };
    let read = |bench: &mut Bench, addr| {
        bench.at_3_bytes(0xE8, addr, 0);
        let value = bench.read_byte(Lines::One);
        bench.end();
        value
    };
    write(&mut bench, 3);
    assert_eq!((read(&mut bench, 0x1_FFFF), read(&mut bench, 0x2_0000)), (3, 0));
    bench.erase(0x20, 0x1_0000);
    assert_eq!(bench.register(FLAGS), 0x80 | 0x22);
    bench.command(0x50);
    write(&mut bench, 0);
    assert_eq!(read(&mut bench, 0x1_0000), 3, "locked down");
    bench.power_cycle();
    assert_eq!(read(&mut bench, 0x1_0000), 0);
    bench.erase(0x20, 0x1_0000);
    bench.wait();
    assert_eq!(bench.register(FLAGS), 0x80);
}

#[test]
fn the_otp_array_is_programmed_once_and_locked() {
    let mut bench = Bench::new();
    let program = |bench: &mut Bench, addr, data: &[u8]| {
        bench.command(0x06);
        bench.at_3_bytes(0x42, addr, 0);
        data.iter().for_each(|byte| bench.write_byte(*byte, Lines::One));
        bench.end();
        bench.wait();
    };
    let read = |bench: &mut Bench, addr| {
        bench.at_3_bytes(0x4B, addr, 8);
        let bytes = [0; 3].map(|_| bench.read_byte(Lines::One));
        bench.end();
        bytes
    };
    program(&mut bench, 2, &[0x12, 0x34]);
    assert_eq!(read(&mut bench, 1), [0xFF, 0x12, 0x34]);
    program(&mut bench, 64, &[0xFE]);
    assert_eq!(read(&mut bench, 63), [0xFF, 0xFE, 0xFE], "the control byte repeats");
    program(&mut bench, 0, &[0]);
    assert_eq!(bench.register(FLAGS), 0x80 | 0x12);
    assert_eq!(read(&mut bench, 0), [0xFF, 0xFF, 0x12]);
}

#[test]
fn the_parameter_table_has_its_signature_and_says_what_the_part_is() {
    let mut bench = Bench::new();
    bench.at_3_bytes(0x5A, 0, 8);
    let area: Vec<u8> = (0..0x60).map(|_| bench.read_byte(Lines::One)).collect();
    bench.end();
    assert_eq!(&area[..4], b"SFDP");
    let table = u32::from_le_bytes([area[12], area[13], area[14], 0]) as usize;
    let word = |n: usize| u32::from_le_bytes(area[table + 4 * n..][..4].try_into().expect("four bytes"));
    assert_eq!(area[11], 9);
    assert_eq!(word(1) + 1, 8 * SIZE, "density in bits");
    assert_eq!((word(0) >> 8 & 0xFF, word(7) & 0xFFFF, word(7) >> 16), (0x20, 0x200C, 0xD810));
}

#[test]
fn reset_needs_its_enable_and_loads_the_registers_anew() {
    let mut bench = Bench::new();
    bench.write_register(0x81, 0x6B);
    bench.command(0x99);
    assert_eq!(bench.register(0x85), 0x6B);
    bench.command(0x66);
    bench.command(0x99);
    assert_eq!(bench.register(0x85), 0xFB);
    bench.rig.violations();
    // In the middle of an erase it tears it.
    bench.erase(0x20, 0);
    bench.command(0x66);
    bench.command(0x99);
    assert!(bench.rig.violations()[0].contains("tears"));
    assert_eq!(bench.register(STATUS) & 1, 0);
}

#[test]
fn nothing_is_heard_right_after_power_on() {
    let mut bench = Bench::new();
    bench.nor.power_cut(None, &mut Rng::new(1));
    bench.nor.power_on(Instant::from_nanos(bench.now + 150_000));
    bench.now += 149_000;
    assert_eq!(bench.register(0x9F), 0xFF);
    bench.now += 1_000;
    assert_eq!(bench.register(0x9F), 0x20);
}

#[test]
fn the_worst_case_takes_the_maximum_times() {
    let mut bench = Bench::new();
    bench.nor.set_worst_case(true);
    let started = bench.now;
    bench.erase(0xD8, 0);
    bench.wait();
    assert_eq!(bench.now - started, 3_000 * MS);
}

#[test]
fn a_torn_status_write_may_leave_bits_that_each_power_on_reads_anew() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..32 {
        let mut bench = Bench::new();
        bench.write_register(0x01, 0x7C);
        bench.nor.power_cut(Some(Tear::Unsteady), &mut Rng::new(seed));
        bench.nor.power_on(Instant::from_nanos(bench.now));
        bench.pass(MS);
        let first = bench.register(STATUS);
        let later: Vec<u8> = (0..8)
            .map(|_| {
                bench.power_cycle();
                bench.register(STATUS)
            })
            .collect();
        seen.insert(later.iter().all(|status| *status == first));
    }
    assert!(seen.contains(&false));
}

#[test]
fn erases_are_counted_for_each_subsector() {
    let mut bench = Bench::new();
    for (opcode, addr) in [(0x20, 0x1000), (0x20, 0x1000), (0xD8, 0)] {
        bench.erase(opcode, addr);
        bench.wait();
    }
    assert_eq!([0, 0x1FFF, 0x1_0000].map(|addr| bench.nor.erases(addr)), [1, 3, 0]);
}
