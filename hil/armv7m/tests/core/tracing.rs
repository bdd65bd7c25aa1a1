//! ITM, DWT and TPIU: what leaves on the SWO pin (ARMv7-M ARM appendix D4); remapping and linked watchpoints.

use armv7m::{Size, Stop};

use crate::bare::{Bare, CODE, NOP, STAY};

const DEMCR: u32 = 0xE000_EDFC;
const DHCSR: u32 = 0xE000_EDF0;
const TRCENA: u32 = 1 << 24;
const ITM_TER: u32 = 0xE000_0E00;
const ITM_TPR: u32 = 0xE000_0E40;
const ITM_TCR: u32 = 0xE000_0E80;
const DWT_CTRL: u32 = 0xE000_1000;
const DWT_CYCCNT: u32 = 0xE000_1004;
const DWT_COMP0: u32 = 0xE000_1020;
const RAM: u32 = 0x2000_0000;

/// R0 to R3 are `registers`; ITM and DWT are on, without timestamps.
fn tracing(code: &[u16], registers: [u32; 4]) -> Bare {
    let mut all = code.to_vec();
    all.push(STAY);
    let mut bare = Bare::new(&all);
    bare.write(DHCSR, 0xA05F_0003);
    for (n, value) in (0..).zip(registers) {
        bare.write(0xE000_EDF8, value);
        bare.write(0xE000_EDF4, 1 << 16 | n);
    }
    bare.write(DHCSR, 0xA05F_0001);
    bare.write(0xE000_ED30, u32::MAX);
    bare.write(DEMCR, TRCENA);
    bare.write(ITM_TER, 0x8000_0001);
    bare.write(ITM_TCR, 9);
    bare
}

fn comparator(bare: &mut Bare, index: u32, value: u32, mask: u32, function: u32) {
    for (offset, value) in [(0, value), (4, mask), (8, function)] {
        bare.write(DWT_COMP0 + 16 * index + offset, value);
    }
}

/// `strb r1, [r0]; strh r1, [r0]; str r1, [r0]; str r2, [r3]`
const STORES: [u16; 4] = [0x7001, 0x8001, 0x6001, 0x601A];

#[test]
fn stimulus_ports_make_packets_of_the_size_written() {
    let registers = [0xE000_0000, 0x4433_2211, 7, 0xE000_007C];
    let mut bare = tracing(&STORES, registers);
    bare.run(20);
    let expected = [0x01, 0x11, 0x02, 0x11, 0x22, 0x03, 0x11, 0x22, 0x33, 0x44, 0xFB, 7, 0, 0, 0];
    assert_eq!(bare.cpu.take_swo(), expected);
    assert_eq!(bare.cpu.take_swo(), []);
    assert_eq!(bare.read(0xE000_0000), 1, "FIFOREADY");

    for (addr, value) in [(DEMCR, 0), (ITM_TCR, 8), (ITM_TER, 0), (0xE004_00F0, 0)] {
        let mut bare = tracing(&STORES, registers);
        bare.write(addr, value);
        bare.run(20);
        assert_eq!(bare.cpu.take_swo(), [], "{addr:#x} = {value}");
    }
}

#[test]
fn the_lock_keeps_the_program_out_and_the_debugger_not() {
    // str r1, [r0]; then with the lock open: str r3, [r2]; str r1, [r0]
    let mut bare = tracing(&[0x6001, STAY], [ITM_TER, 0xFF, 0, 0]);
    bare.run(10);
    assert_eq!(bare.read(ITM_TER), 0x8000_0001);
    let mut bare = tracing(&[0x6013, 0x6001], [ITM_TER, 0xFF, 0xE000_0FB0, 0xC5AC_CE55]);
    bare.run(10);
    assert_eq!(bare.read(ITM_TER), 0xFF);
    assert_eq!(bare.read(0xE000_0FB4), 0, "a debugger sees no lock");
}

#[test]
fn unprivileged_code_writes_to_the_ports_that_tpr_leaves_it() {
    // msr control, r2; isb; strb r1, [r0]; strb r1, [r3]
    let code = [0xF382, 0x8814, 0xF3BF, 0x8F6F, 0x7001, 0x7019];
    let mut bare = tracing(&code, [0xE000_0000, 5, 1, 0xE000_007C]);
    bare.write(ITM_TPR, 1);
    bare.run(30);
    assert_eq!(bare.cpu.take_swo(), [0xF9, 5]);
}

#[test]
fn timestamps_tell_the_cycles_between_packets() {
    let mut bare = tracing(&[0x7001, NOP, NOP, 0x7001], [0xE000_0000, 5, 0, 0]);
    bare.write(ITM_TCR, 0xB);
    bare.run(30);
    let swo = bare.cpu.take_swo();
    // The store at cycle 1, the next one three later.
    assert_eq!(swo, [0x01, 5, 0x10, 0x01, 5, 0x30]);
    let mut code = vec![0x7001];
    code.extend([NOP; 199]);
    code.push(0x7001);
    let mut bare = tracing(&code, [0xE000_0000, 5, 0, 0]);
    bare.write(ITM_TCR, 0xB);
    bare.run(300);
    // 200 = 0b1_1001000
    assert_eq!(bare.cpu.take_swo()[3..], [0x01, 5, 0xC0, 0xC8, 0x01]);
}

#[test]
fn exceptions_are_traced_as_entry_exit_and_return() {
    let mut bare = tracing(&[0xDF00], [0; 4]);
    bare.write(DWT_CTRL, 1 << 16);
    bare.run(60);
    assert_eq!(bare.cpu.take_swo(), [0x0E, 11, 0x10, 0x0E, 11, 0x20, 0x0E, 0, 0x30]);
}

#[test]
fn the_program_counter_is_sampled_at_the_rate_of_postcnt() {
    let mut bare = tracing(&[], [0; 4]);
    // POSTPRESET 1, tap at bit 6: each 128 cycles.
    bare.write(DWT_CTRL, 1 << 12 | 1 << 1 | 1);
    bare.run(128 * 10);
    let swo = bare.cpu.take_swo();
    assert_eq!(swo.len(), 5 * 10, "{swo:x?}");
    assert!(swo.chunks(5).all(|packet| packet[0] == 0x17 && packet[1..] == CODE.to_le_bytes()));
    // Asleep there is none to be shown.
    let mut bare = tracing(&[0xBF30], [0; 4]);
    bare.write(DWT_CTRL, 1 << 12 | 1 << 9 | 1);
    bare.run(1024 * 3 + 1);
    assert_eq!(bare.cpu.take_swo(), [0x15, 0, 0x15, 0, 0x15, 0]);
    assert_eq!(bare.read(DWT_CYCCNT), 1024 * 3 + 1);
    // And the cycle events alone.
    let mut bare = tracing(&[], [0; 4]);
    bare.write(DWT_CTRL, 1 << 22 | 1);
    bare.run(64 * 2);
    assert_eq!(bare.cpu.take_swo(), [0x05, 0x20, 0x05, 0x20]);
}

#[test]
fn time_is_the_same_with_and_without_samples() {
    let code = [0x3001, 0x3101, 0xE7FC];
    let mut plain = Bare::new(&code);
    let mut traced = tracing(&code, [0; 4]);
    traced.write(DWT_CTRL, 1 << 12 | 1);
    for bare in [&mut plain, &mut traced] {
        bare.run(10_000);
    }
    let state = |bare: &Bare| (bare.cpu.cycle(), bare.cpu.instructions(), bare.cpu.register(0), bare.cpu.register(15));
    assert_eq!(state(&plain), state(&traced));
}

#[test]
fn profiling_counters_tell_when_they_pass_256() {
    let mut bare = tracing(&[0xBF30], [0; 4]);
    bare.write(DWT_CTRL, 1 << 19);
    bare.run(301);
    assert_eq!(bare.cpu.take_swo(), [0x05, 0x04]);
    assert_eq!(bare.read(0xE000_1010), 300 - 256, "SLEEPCNT");
    let mut bare = tracing(&[0xDF00, 0xDF00, 0xDF00], [0; 4]);
    bare.write(DWT_CTRL, 1 << 18);
    bare.run(100);
    assert_eq!(bare.read(0xE000_100C), 3 * 22, "EXCCNT");
}

#[test]
fn data_accesses_are_traced_by_comparator() {
    // str r1, [r0]; ldrb r2, [r0]
    let code = [0x6001, 0x7802];
    let registers = [RAM + 0x104, 0x4433_2211, 0, 0];
    let swo = |function: u32| {
        let mut bare = tracing(&code, registers);
        comparator(&mut bare, 2, RAM + 0x104, 2, function);
        bare.run(20);
        bare.cpu.take_swo()
    };
    let (first, second) = (CODE.to_le_bytes(), (CODE + 2).to_le_bytes());
    let pcs: Vec<u8> = [&[0x67][..], &first, &[0x67], &second].concat();
    assert_eq!(swo(1), pcs);
    assert_eq!(swo(2), [0xAF, 0x11, 0x22, 0x33, 0x44, 0xA5, 0x11]);
    assert_eq!(swo(0x21), [0x6E, 0x04, 0x01, 0x6E, 0x04, 0x01]);
    assert_eq!(swo(12), [0xA5, 0x11]);
    assert_eq!(swo(13), [0xAF, 0x11, 0x22, 0x33, 0x44]);
    assert_eq!(swo(0), []);
}

#[test]
fn a_value_is_watched_at_the_linked_address_only() {
    // str r1, [r0]; str r1, [r2]; str r3, [r2]
    let code = [0x6001, 0x6011, 0x6013];
    let run = |linked: u32| {
        let mut bare = tracing(&code, [RAM + 0x10, 0x55, RAM + 0x20, 0x66]);
        comparator(&mut bare, 0, RAM + 0x20, 0, 0);
        // Word size; both links to `linked`.
        comparator(&mut bare, 1, 0x55, 0, 1 << 8 | 2 << 10 | linked << 12 | linked << 16 | 6);
        let stop = bare.run(30);
        (stop, bare.cpu.register(15))
    };
    assert_eq!(run(1), (Stop::Halted, CODE + 2), "no link: anywhere");
    assert_eq!(run(0), (Stop::Halted, CODE + 4));
    // Only comparator 1 can do that.
    let mut bare = tracing(&code, [RAM + 0x10, 0x55, RAM + 0x20, 0x66]);
    comparator(&mut bare, 2, RAM + 0x20, 0, 1 << 8 | 2 << 10 | 6);
    assert_eq!(bare.read(DWT_COMP0 + 40), 6);
    assert_eq!(bare.run(30), Stop::Halted);
    assert_eq!(bare.cpu.register(15), CODE + 4);
}

#[test]
fn a_watchpoint_without_halting_debug_is_a_debug_monitor_exception() {
    let mut bare = tracing(&[0x6001, NOP], [RAM + 0x10, 0x55, 0, 0]);
    bare.write(DHCSR, 0xA05F_0000);
    bare.write(DEMCR, TRCENA | 1 << 16);
    comparator(&mut bare, 3, RAM + 0x10, 0, 6);
    bare.run(30);
    assert_eq!(bare.cpu.take_exceptions()[0].number, 12);
    assert_eq!(bare.read(0xE000_ED30), 4, "DFSR.DWTTRAP");
}

#[test]
fn literals_and_code_come_from_where_the_patch_unit_says() {
    // ldr r0, [pc, #4]; movs r1, #1; b .; the literal at CODE + 8
    let mut bare = Bare::new(&[0x4801, 0x2101, STAY, NOP, 0x1234, 0x5678]);
    bare.write(0xE000_2004, 0x2000_0100);
    assert_eq!(bare.read(0xE000_2004), 0x2000_0100);
    // Comparator 6 is the first for literals; comparator 1 takes the instruction word at CODE (two halfwords).
    bare.write(RAM + 0x100 + 4 * 6, 0xAABB_CCDD);
    bare.write(RAM + 0x100 + 4, 0x2107_4801);
    bare.write(0xE000_2020, (CODE + 8) | 1);
    bare.write(0xE000_200C, CODE | 1);
    bare.write(0xE000_2000, 3);
    bare.run(10);
    assert_eq!((bare.cpu.register(0), bare.cpu.register(1)), (0xAABB_CCDD, 7));
    // Without the unit it is the flash's own.
    let mut bare = Bare::new(&[0x4801, 0x2101, STAY, NOP, 0x1234, 0x5678]);
    bare.write(0xE000_2020, (CODE + 8) | 1);
    bare.run(10);
    assert_eq!((bare.cpu.register(0), bare.cpu.register(1)), (0x5678_1234, 1));
}

#[test]
fn floating_point_registers_pass_through_dcrsr() {
    let mut bare = Bare::new(&[NOP]);
    bare.write(DHCSR, 0xA05F_0003);
    for n in [0, 1, 15, 31] {
        bare.write(0xE000_EDF8, 0x4000_0000 + n);
        bare.write(0xE000_EDF4, 1 << 16 | (64 + n));
    }
    bare.write(0xE000_EDF8, 0x0300_0010);
    bare.write(0xE000_EDF4, 1 << 16 | 33);
    for (regsel, expected) in [(64, 0x4000_0000), (79, 0x4000_000F), (95, 0x4000_001F), (33, 0x0300_0010)] {
        bare.write(0xE000_EDF4, regsel);
        assert_eq!(bare.read(0xE000_EDF8), expected, "REGSEL {regsel}");
    }
    assert_eq!(bare.cpu.debug_read(&mut bare.machine, DHCSR + 2, Size::Byte), Ok(3), "S_HALT and S_REGRDY");
}

#[test]
fn the_tpiu_is_on_the_rom_table_and_keeps_its_registers() {
    let mut bare = Bare::new(&[NOP]);
    let entry = bare.read(0xE00F_F010);
    assert_eq!(0xE00F_F000_u32.wrapping_add(entry & !0xFFF), 0xE004_0000);
    for (offset, value) in [(0x10, 0x1F), (0xF0, 2), (0x304, 0x100)] {
        bare.write(0xE004_0000 + offset, value);
        assert_eq!(bare.read(0xE004_0000 + offset), value);
    }
    assert_eq!(bare.read(0xE004_0FC8), 0xCA1);
}
