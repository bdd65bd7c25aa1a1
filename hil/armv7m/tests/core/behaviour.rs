//! Exceptions, faults, sleep and protection, seen from programs in tests/guest.

use armv7m::{ExceptionEdge, Invalid, Stop, Undefined};

use crate::guest::{DHCSR, Guest};

#[test]
fn a_higher_priority_preempts_and_a_lower_one_tail_chains() {
    assert_eq!(Guest::at("priorities").finish().log(), [16, 17, 32, 14]);
}

#[test]
fn without_group_priority_bits_nothing_preempts_but_order_stays() {
    assert_eq!(Guest::at("grouping").finish().log(), [16, 32, 17, 14]);
}

#[test]
fn basepri_and_primask_hold_interrupts_back_until_they_go() {
    // PendSV has priority 0 here and preempts as well.
    assert_eq!(Guest::at("masks").finish().log(), [1, 3, 16, 17, 14, 32, 4]);
}

#[test]
fn an_undefined_instruction_takes_a_usage_fault_and_is_named() {
    let mut guest = Guest::at("undefined").finish();
    assert_eq!(guest.log(), [6]);
    assert_eq!(guest.get(8), 1 << 16);
    let pc = guest.get(15) - 2;
    assert_eq!(guest.cpu.take_undefined(), [Undefined { pc, encoding: 0xDE07, why: Invalid::Permanent }]);
    assert_eq!(guest.cpu.take_undefined(), []);
}

#[test]
fn a_bus_error_is_precise_and_its_address_is_valid() {
    let guest = Guest::at("bus_error").finish();
    assert_eq!(guest.log(), [5]);
    assert_eq!((guest.get(8), guest.get(10)), (0x8200, 0x7000_0000));
}

#[test]
fn division_by_zero_traps_when_ccr_says_so() {
    let guest = Guest::at("divide").finish();
    assert_eq!((guest.log(), guest.get(8)), ([6].as_slice(), 1 << 25));
}

#[test]
fn svc_that_cannot_preempt_becomes_a_forced_hard_fault() {
    let guest = Guest::at("escalation").finish();
    assert_eq!(guest.log()[0], 3);
    assert_eq!(guest.get(9), 1 << 30);
}

#[test]
fn a_fault_under_faultmask_locks_up_and_a_halt_ends_that() {
    let mut guest = Guest::at("locks_up");
    assert_eq!(guest.go(1_000), Stop::Lockup);
    assert!(guest.cpu.is_locked_up());
    assert_eq!(guest.run(1_000), Stop::Deadline);
    assert_eq!(guest.read(DHCSR) & 1 << 19, 1 << 19);
    guest.write(DHCSR, 0xA05F_0003);
    assert_eq!(guest.read(DHCSR) & 3 << 18 >> 1, 1 << 17);
    assert!(guest.cpu.is_halted() && !guest.cpu.is_locked_up());
}

#[test]
fn lazy_stacking_gives_the_floating_point_registers_back() {
    let guest = Guest::at("lazy").finish();
    assert_eq!(guest.log(), [18]);
    assert_eq!((guest.get(4), guest.get(5)), (5f32.to_bits(), 7f32.to_bits()));
    assert_eq!(guest.get(6) & 1, 0, "FPCCR.LSPACT");
}

#[test]
fn systick_wakes_wfi_once_per_period_and_sleep_costs_no_instructions() {
    let mut guest = Guest::at("ticks");
    assert_eq!(guest.go(10_500), Stop::Deadline);
    assert_eq!(guest.log(), [15; 10]);
    assert!(guest.cpu.is_sleeping());
    assert!(guest.cpu.instructions() < 100, "{}", guest.cpu.instructions());
}

#[test]
fn a_level_that_stays_high_interrupts_again_after_the_handler() {
    let mut guest = Guest::at("sleep_on_exit");
    assert_eq!(guest.go(100), Stop::Deadline);
    assert!(guest.cpu.is_sleeping());
    guest.cpu.set_irq(1, true);
    assert_eq!(guest.run(100), Stop::Deadline);
    assert!(guest.log().len() > 1, "{:?}", guest.log());
    guest.cpu.set_irq(1, false);
    guest.run(100);
    let marks = guest.log().len();
    guest.run(1_000);
    assert_eq!(guest.log().len(), marks);
    // Sleep-on-exit: the program never passes its WFI.
    assert!(guest.cpu.is_sleeping());
}

#[test]
fn if_then_selects_and_survives_stopping_between_its_instructions() {
    assert_eq!(Guest::at("if_then").finish().get(0), 5);
    let mut guest = Guest::at("if_then");
    guest.go(1);
    while guest.run(1) != Stop::Halted {}
    assert_eq!(guest.get(0), 5);
}

#[test]
fn exclusive_stores_fail_without_a_reservation_and_after_an_exception() {
    let guest = Guest::at("exclusive").finish();
    assert_eq!([guest.get(2), guest.get(3), guest.get(4)], [0, 1, 1]);
}

#[test]
fn unprivileged_code_on_the_process_stack_cannot_reach_the_system_space() {
    let guest = Guest::at("psp").finish();
    assert_eq!(guest.log(), [11, 3]);
    assert_eq!((guest.get(4), guest.get(5)), (3, 0x2000_6000));
    assert_eq!(guest.get(9), 1 << 30);
}

#[test]
fn the_mpu_stops_an_access_and_lets_its_neighbour_through() {
    let guest = Guest::at("protected").finish();
    assert_eq!(guest.log(), [4]);
    assert_eq!((guest.get(8), guest.get(10)), (0x82, 0x2000_2000));
}

#[test]
fn a_reset_request_reaches_the_owner() {
    let mut guest = Guest::at("requests_reset");
    assert_eq!(guest.go(1_000), Stop::SystemReset);
    let Guest { cpu, machine } = &mut guest;
    cpu.reset(machine, false);
    assert_eq!(guest.read(DHCSR) & 1 << 25, 1 << 25, "S_RESET_ST");
    assert_eq!(guest.read(DHCSR) & 1 << 25, 0, "S_RESET_ST clears on read");
    assert_eq!(guest.run(100), Stop::Deadline);
}

#[test]
fn code_in_ram_runs_and_may_change_under_the_core() {
    let mut guest = Guest::at("in_ram").finish();
    assert_eq!(guest.get(0), 15);
    // ADDS r0, #5 becomes ADDS r0, #6.
    let at = guest.symbol("in_ram") & !1;
    guest.machine.ram[(at - crate::support::RAM) as usize + 4] = 6;
    guest.set(15, at);
    assert_eq!(guest.finish().get(0), 18);
}

#[test]
fn flash_that_changes_runs_anew_after_it_was_invalidated() {
    let mut guest = Guest::at("steps").finish();
    assert_eq!(guest.get(0), 4);
    let at = guest.symbol("steps") & !1;
    guest.machine.flash[at as usize] = 9;
    guest.cpu.invalidate_code(at..at + 2);
    guest.set(15, at);
    assert_eq!(guest.finish().get(0), 12);
}

#[test]
fn a_clone_continues_exactly_like_its_original() {
    let mut original = Guest::at("kernel");
    original.go(50_000);
    let mut copy = original.clone();
    let ends = [&mut original, &mut copy].map(|guest| {
        let stop = guest.run(10_000_000);
        (stop, guest.cpu.cycle(), guest.cpu.instructions(), guest.get(1))
    });
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0].0, Stop::Halted);
}

#[test]
fn slicing_time_does_not_change_what_happens() {
    let mut whole = Guest::at("kernel");
    whole.go(10_000_000);
    let mut sliced = Guest::at("kernel");
    sliced.go(1);
    while sliced.run(997) != Stop::Halted {}
    assert_eq!(whole.cpu.cycle(), sliced.cpu.cycle());
    assert_eq!(whole.cpu.instructions(), sliced.cpu.instructions());
    assert_eq!(whole.get(1), sliced.get(1));
}

#[test]
fn the_record_of_exceptions_shows_preemption_and_tail_chaining() {
    use ExceptionEdge::{Entry, Exit};
    let mut guest = Guest::at("priorities");
    guest.cpu.record_exceptions(true);
    let mut guest = guest.finish();
    let records = guest.cpu.take_exceptions();
    let edges: Vec<_> = records.iter().map(|record| (record.number, record.edge)).collect();
    assert_eq!(edges, [(16, Entry), (17, Entry), (17, Exit), (16, Exit), (14, Entry), (14, Exit)]);
    assert!(records.is_sorted_by_key(|record| record.cycle));
    assert_eq!(guest.cpu.take_exceptions(), []);
    // Off by default.
    assert_eq!(Guest::at("priorities").finish().cpu.take_exceptions(), []);
}
