//! Conformance with ADIv5, over a few words of memory in place of a chip.

use std::collections::BTreeMap;

use super::*;

const CTRL_STAT: u8 = 0x4;
const SELECT: u8 = 0x8;
const RDBUFF: u8 = 0xC;
const CSW: u8 = 0x0;
const TAR: u8 = 0x4;
const DRW: u8 = 0xC;

/// Bytes at 0x2000_0000..0x2000_1000; everything else answers with a bus error.
struct Memory {
    powered: bool,
    bytes: BTreeMap<u32, u8>,
    accesses: Vec<(u32, Size, bool)>,
}

impl Memory {
    fn new() -> Self {
        Self { powered: true, bytes: BTreeMap::new(), accesses: Vec::new() }
    }

    fn check(&mut self, addr: u32, size: Size, write: bool) -> Result<(), BusFault> {
        assert_eq!(addr % size as u32, 0, "an unaligned access left the port");
        self.accesses.push((addr, size, write));
        if (0x2000_0000..0x2000_1000).contains(&addr) { Ok(()) } else { Err(BusFault) }
    }
}

impl Target for Memory {
    fn is_powered(&self) -> bool {
        self.powered
    }

    fn read(&mut self, addr: u32, size: Size) -> Result<u32, BusFault> {
        self.check(addr, size, false)?;
        Ok((0..size as u32)
            .fold(0, |value, i| value | u32::from(*self.bytes.get(&(addr + i)).unwrap_or(&0)) << (8 * i)))
    }

    fn write(&mut self, addr: u32, size: Size, value: u32) -> Result<(), BusFault> {
        self.check(addr, size, true)?;
        assert!(size == Size::Word || value >> (8 * size as u32) == 0, "lanes beside the access have to be masked");
        for i in 0..size as u32 {
            self.bytes.insert(addr + i, (value >> (8 * i)) as u8);
        }
        Ok(())
    }
}

struct Bench {
    port: DebugPort,
    memory: Memory,
}

impl Bench {
    fn new() -> Self {
        Self { port: DebugPort::new(), memory: Memory::new() }
    }

    fn powered_up() -> Self {
        let mut bench = Self::new();
        bench.dp_write(CTRL_STAT, 0x5000_0F00).unwrap();
        bench
    }

    fn dp_read(&mut self, addr: u8) -> Result<u32, Nak> {
        self.port.read(&mut self.memory, Port::Dp, addr)
    }

    fn dp_write(&mut self, addr: u8, value: u32) -> Result<(), Nak> {
        self.port.write(&mut self.memory, Port::Dp, addr, value)
    }

    fn ap_read(&mut self, register: u8) -> Result<u32, Nak> {
        self.dp_write(SELECT, u32::from(register & 0xF0))?;
        self.port.read(&mut self.memory, Port::Ap, register)
    }

    fn ap_write(&mut self, register: u8, value: u32) -> Result<(), Nak> {
        self.dp_write(SELECT, u32::from(register & 0xF0))?;
        self.port.write(&mut self.memory, Port::Ap, register, value)
    }

    /// CSW with size (log2) and increment mode, TAR.
    fn aim(&mut self, size: u32, increment: u32, addr: u32) {
        self.ap_write(CSW, 0xEB00_0040 | increment << 4 | size).unwrap();
        self.ap_write(TAR, addr).unwrap();
    }
}

#[test]
fn identifies_itself_as_a_sam_e54() {
    let mut bench = Bench::powered_up();
    assert_eq!(bench.dp_read(0), Ok(0x2BA0_1477));
    assert_eq!(bench.ap_read(0xFC), Ok(0x2477_0011));
    assert_eq!(bench.ap_read(0xF8), Ok(0x4100_3003));
    assert_eq!(bench.ap_read(0xF4), Ok(0));
}

#[test]
fn power_up_is_acknowledged_and_the_acknowledge_drops_with_the_request() {
    let mut bench = Bench::new();
    assert_eq!(bench.dp_read(CTRL_STAT), Ok(0));
    bench.dp_write(CTRL_STAT, 0x5000_0F00).unwrap();
    assert_eq!(bench.dp_read(CTRL_STAT), Ok(0xF000_0F00));
    bench.dp_write(CTRL_STAT, 0).unwrap();
    assert_eq!(bench.dp_read(CTRL_STAT), Ok(0));
}

#[test]
fn bank_1_of_address_4_is_not_ctrl_stat() {
    let mut bench = Bench::powered_up();
    bench.dp_write(SELECT, 1).unwrap();
    assert_eq!(bench.dp_read(CTRL_STAT), Ok(0x40));
    bench.dp_write(CTRL_STAT, 0).unwrap();
    bench.dp_write(SELECT, 0).unwrap();
    assert_eq!(bench.dp_read(CTRL_STAT), Ok(0xF000_0F00));
}

#[test]
fn an_access_port_without_debug_power_faults() {
    let mut bench = Bench::new();
    assert_eq!(bench.ap_read(0xFC), Err(Nak::Fault));
    assert_eq!(bench.dp_read(CTRL_STAT).unwrap() & ctrl::STICKYERR, ctrl::STICKYERR);
}

#[test]
fn a_bus_error_sticks_until_abort_and_blocks_all_but_three_registers() {
    let mut bench = Bench::powered_up();
    bench.aim(2, 1, 0x9000_0000);
    assert_eq!(bench.ap_read(DRW), Err(Nak::Fault));
    // The failed access does not move the address.
    let accesses = bench.memory.accesses.len();
    assert_eq!(bench.port.read(&mut bench.memory, Port::Ap, TAR), Err(Nak::Fault));
    assert_eq!(bench.port.write(&mut bench.memory, Port::Ap, DRW, 1), Err(Nak::Fault));
    assert_eq!(bench.memory.accesses.len(), accesses);
    assert_eq!(bench.dp_write(SELECT, 0), Err(Nak::Fault));
    assert_eq!(bench.dp_read(RDBUFF), Err(Nak::Fault));
    assert_eq!(bench.dp_read(0), Ok(DPIDR));
    assert_eq!(bench.dp_read(CTRL_STAT), Ok(0xF000_0F20));
    // Clearing other flags does not help.
    bench.dp_write(0, 0x1A).unwrap();
    assert_eq!(bench.dp_write(SELECT, 0), Err(Nak::Fault));
    bench.dp_write(0, 0x04).unwrap();
    assert_eq!(bench.dp_read(CTRL_STAT), Ok(0xF000_0F00));
    assert_eq!(bench.ap_read(TAR), Ok(0x9000_0000));
}

#[test]
fn a_failed_write_is_a_fault_too() {
    let mut bench = Bench::powered_up();
    bench.aim(2, 0, 0x1000_0000);
    assert_eq!(bench.ap_write(DRW, 5), Err(Nak::Fault));
}

#[test]
fn narrow_accesses_use_the_lane_of_their_address() {
    let mut bench = Bench::powered_up();
    bench.aim(2, 0, 0x2000_0010);
    bench.ap_write(DRW, 0x4433_2211).unwrap();
    for (addr, lane) in [(0x2000_0010, 0x0000_0011), (0x2000_0011, 0x2200), (0x2000_0013, 0x4400_0000)] {
        bench.aim(0, 0, addr);
        assert_eq!(bench.ap_read(DRW), Ok(lane), "byte at {addr:#x}");
    }
    bench.aim(1, 0, 0x2000_0012);
    assert_eq!(bench.ap_read(DRW), Ok(0x4433_0000));
    bench.ap_write(DRW, 0xBEEF_1234).unwrap();
    bench.aim(0, 0, 0x2000_0011);
    bench.ap_write(DRW, 0xFFFF_77FF).unwrap();
    bench.aim(2, 0, 0x2000_0010);
    assert_eq!(bench.ap_read(DRW), Ok(0xBEEF_7711));
}

#[test]
fn the_address_increments_within_1_kb_and_only_if_asked() {
    let mut bench = Bench::powered_up();
    for (size, step) in [(0, 1), (1, 2), (2, 4)] {
        bench.aim(size, 1, 0x2000_03FC);
        bench.ap_read(DRW).unwrap();
        assert_eq!(bench.ap_read(TAR), Ok(0x2000_0000 | ((0x3FC + step) & 0x3FF)));
    }
    bench.aim(2, 1, 0x2000_07FC);
    bench.ap_write(DRW, 1).unwrap();
    assert_eq!(bench.ap_read(TAR), Ok(0x2000_0400));
    bench.aim(2, 0, 0x2000_0100);
    bench.ap_write(DRW, 1).unwrap();
    assert_eq!(bench.ap_read(TAR), Ok(0x2000_0100));
}

#[test]
fn packed_bytes_fill_a_word() {
    let mut bench = Bench::powered_up();
    bench.aim(0, 2, 0x2000_0020);
    bench.ap_write(DRW, 0x0403_0201).unwrap();
    assert_eq!(bench.memory.accesses, (0..4).map(|i| (0x2000_0020 + i, Size::Byte, true)).collect::<Vec<_>>());
    bench.aim(1, 2, 0x2000_0020);
    assert_eq!(bench.ap_read(DRW), Ok(0x0403_0201));
    assert_eq!(bench.ap_read(TAR), Ok(0x2000_0024));
}

#[test]
fn banked_registers_reach_four_words_without_moving_the_address() {
    let mut bench = Bench::powered_up();
    bench.aim(2, 1, 0x2000_0034);
    for i in 0..4 {
        bench.ap_write(0x10 + 4 * i, 0x100 + u32::from(i)).unwrap();
    }
    assert_eq!(bench.ap_read(TAR), Ok(0x2000_0034));
    bench.aim(2, 1, 0x2000_0030);
    for i in 0..4 {
        assert_eq!(bench.ap_read(DRW), Ok(0x100 + i));
    }
}

#[test]
fn rdbuff_repeats_the_last_ap_read() {
    let mut bench = Bench::powered_up();
    bench.aim(2, 0, 0x2000_0040);
    bench.ap_write(DRW, 0x1234_5678).unwrap();
    bench.ap_read(DRW).unwrap();
    assert_eq!(bench.dp_read(RDBUFF), Ok(0x1234_5678));
}

#[test]
fn other_access_ports_read_as_zero() {
    let mut bench = Bench::powered_up();
    bench.dp_write(SELECT, 0x0100_00F0).unwrap();
    assert_eq!(bench.port.read(&mut bench.memory, Port::Ap, 0xC), Ok(0));
    bench.port.write(&mut bench.memory, Port::Ap, 0xC, 1).unwrap();
    assert!(bench.memory.accesses.is_empty());
}

#[test]
fn a_chip_without_supply_does_not_answer_and_forgets() {
    let mut bench = Bench::powered_up();
    bench.memory.powered = false;
    assert_eq!(bench.dp_read(0), Err(Nak::NoAnswer));
    assert_eq!(bench.dp_write(SELECT, 0), Err(Nak::NoAnswer));
    bench.memory.powered = true;
    assert_eq!(bench.dp_read(CTRL_STAT), Ok(0));
}

#[test]
fn drw_target_sees_where_an_access_would_go() {
    let mut bench = Bench::powered_up();
    bench.aim(2, 0, 0xE000_EDF0);
    assert_eq!(bench.port.drw_target(Port::Ap, DRW), Some(0xE000_EDF0));
    assert_eq!(bench.port.drw_target(Port::Ap, TAR), None);
    assert_eq!(bench.port.drw_target(Port::Dp, DRW), None);
    bench.dp_write(SELECT, 0xF0).unwrap();
    assert_eq!(bench.port.drw_target(Port::Ap, DRW), None);
}
