//! probe-rs, as it is, against the simulated chip.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use probe_rs::config::TargetSelector;
use probe_rs::flashing::{DownloadOptions, FlashLoader, FlashProgress, erase_all};
use probe_rs::probe::Probe;
use probe_rs::semihosting::SemihostingCommand;
use probe_rs::{
    BreakpointCause, CoreStatus, HaltReason, MemoryInterface, Permissions, RegisterId, Session, VectorCatchCondition,
};
use same54_sim::{Board, BoardConfig};
use sim_probe::{Cable, VirtualProbe};

const CHIP: &str = "ATSAME54P20A";
const TIMEOUT: Duration = Duration::from_millis(500);
const R0: RegisterId = RegisterId(0);
const PC: RegisterId = RegisterId(15);

type Shared = Arc<Mutex<Board>>;

fn new_board() -> Shared {
    let mut board = Board::new(BoardConfig { seed: 1, flash_timing: false });
    board.power_on();
    Arc::new(Mutex::new(board))
}

fn attach(board: &Shared) -> Session {
    attach_with_cable(board).0
}

fn attach_with_cable(board: &Shared) -> (Session, Cable) {
    let probe = VirtualProbe::new(Arc::clone(board));
    let cable = probe.cable();
    let session = Probe::new(probe).attach(CHIP, Permissions::new().allow_erase_all()).expect("attach");
    (session, cable)
}

fn flash(session: &mut Session, parts: &[(u64, &[u8])]) {
    let mut loader: FlashLoader = session.target().flash_loader();
    for (addr, data) in parts {
        loader.add_data(*addr, data).unwrap();
    }
    let mut options = DownloadOptions::default();
    options.verify = true;
    options.keep_unwritten_bytes = true;
    loader.commit(session, options).expect("flash and verify");
}

/// A vector table and `code` (Thumb halfwords) at 0x100.
fn program(code: &[u16]) -> Vec<u8> {
    let mut bytes = vec![0; 0x100];
    bytes[..4].copy_from_slice(&0x2001_0000_u32.to_le_bytes());
    for vector in 1..16 {
        // Every exception but reset ends in the endless loop at 0xF0.
        let handler: u32 = if vector == 1 { 0x101 } else { 0xF1 };
        bytes[4 * vector..][..4].copy_from_slice(&handler.to_le_bytes());
    }
    bytes[0xF0..0xF2].copy_from_slice(&B_SELF.to_le_bytes());
    bytes.extend(code.iter().flat_map(|half| half.to_le_bytes()));
    bytes
}

/// `b .`
const B_SELF: u16 = 0xE7FE;
/// `movs r0, #0`
const MOVS_R0_0: u16 = 0x2000;
/// `adds r0, #1`
const ADDS_R0_1: u16 = 0x3001;
/// `b` to the instruction before.
const B_BACK_ONE: u16 = 0xE7FD;
/// `bkpt 0xAB`
const BKPT_SEMIHOSTING: u16 = 0xBEAB;

/// Counts in r0 at 0x102.
fn counter() -> Vec<u8> {
    program(&[MOVS_R0_0, ADDS_R0_1, B_BACK_ONE])
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

#[test]
fn attaches_by_name_and_by_detection() {
    for target in [TargetSelector::from(CHIP), TargetSelector::Auto] {
        let probe = Probe::new(VirtualProbe::new(new_board()));
        let session = probe.attach(target, Permissions::default()).expect("attach");
        assert_eq!(session.target().name, CHIP);
    }
}

#[test]
fn attaches_to_a_blank_chip_that_has_locked_up() {
    let board = new_board();
    let later = board.lock().unwrap().now() + Duration::from_millis(1);
    board.lock().unwrap().run_until(later);
    let mut session = attach(&board);
    let mut core = session.core(0).unwrap();
    core.halt(TIMEOUT).unwrap();
    assert!(core.status().unwrap().is_halted());
}

#[test]
fn flashes_64_kb_and_reads_it_back() {
    let board = new_board();
    let mut session = attach(&board);
    let data = pattern(64 * 1024);
    flash(&mut session, &[(0, &data)]);
    let mut back = vec![0; data.len()];
    session.core(0).unwrap().read(0, &mut back).unwrap();
    assert!(back == data, "what the debugger reads");
    assert!(board.lock().unwrap().nvm()[..data.len()] == data[..], "what is in the array");
}

#[test]
fn flashes_the_last_block_and_leaves_the_others() {
    let board = new_board();
    let mut session = attach(&board);
    let data = pattern(8 * 1024);
    flash(&mut session, &[(0xF_E000, &data)]);
    let board = board.lock().unwrap();
    assert!(board.nvm()[0xF_E000..] == data[..]);
    assert!(board.nvm()[..0xF_E000].iter().all(|byte| *byte == 0xFF));
}

#[test]
fn flashing_again_replaces_the_content_and_keeps_its_neighbours() {
    let board = new_board();
    let mut session = attach(&board);
    let (first, second) = (pattern(16 * 1024), vec![0x5A; 1000]);
    flash(&mut session, &[(0, &first)]);
    flash(&mut session, &[(0x1100, &second)]);
    let mut expected = first;
    expected[0x1100..0x1100 + second.len()].copy_from_slice(&second);
    assert!(board.lock().unwrap().nvm()[..expected.len()] == expected[..]);
}

#[test]
fn erases_the_whole_chip_through_the_dsu() {
    let board = new_board();
    let mut session = attach(&board);
    flash(&mut session, &[(0x8000, &pattern(20_000))]);
    erase_all(&mut session, &mut FlashProgress::empty(), false).expect("chip erase");
    assert!(board.lock().unwrap().nvm().iter().all(|byte| *byte == 0xFF));
}

#[test]
fn memory_is_read_and_written_in_every_width_and_survives_a_fault() {
    let mut session = attach(&new_board());
    let mut core = session.core(0).unwrap();
    core.halt(TIMEOUT).unwrap();
    core.write_word_32(0x2000_0100, 0xDEAD_BEEF).unwrap();
    core.write_word_8(0x2000_0101, 0x55).unwrap();
    core.write_word_16(0x2000_0102, 0x1234).unwrap();
    assert_eq!(core.read_word_32(0x2000_0100).unwrap(), 0x1234_55EF);
    assert_eq!(core.read_word_8(0x2000_0103).unwrap(), 0x12);
    assert!(core.read_word_32(0x9000_0000).is_err());
    assert!(core.write_word_32(0x9000_0000, 1).is_err());
    assert_eq!(core.read_word_16(0x2000_0102).unwrap(), 0x1234);
    // Across the 1 KB border of the automatic increment.
    let data = pattern(3000);
    core.write(0x2000_03F1, &data).unwrap();
    let mut back = vec![0; data.len()];
    core.read(0x2000_03F1, &mut back).unwrap();
    assert_eq!(back, data);
}

#[test]
fn halts_steps_runs_to_a_breakpoint_and_resumes() {
    let board = new_board();
    let mut session = attach(&board);
    flash(&mut session, &[(0, &counter())]);
    let mut core = session.core(0).unwrap();
    let info = core.reset_and_halt(TIMEOUT).unwrap();
    assert_eq!(info.pc, 0x100);
    assert_eq!(core.step().unwrap().pc, 0x102);
    assert_eq!(core.step().unwrap().pc, 0x104);
    assert_eq!(core.read_core_reg::<u32>(R0).unwrap(), 1);
    core.write_core_reg(R0, 41_u32).unwrap();
    core.set_hw_breakpoint(0x102).unwrap();
    // The first stop is before the addition.
    for expected in 41..45_u32 {
        core.run().unwrap();
        core.wait_for_core_halted(TIMEOUT).unwrap();
        assert!(matches!(core.status().unwrap(), CoreStatus::Halted(HaltReason::Breakpoint(_))));
        assert_eq!(core.read_core_reg::<u32>(PC).unwrap(), 0x102);
        assert_eq!(core.read_core_reg::<u32>(R0).unwrap(), expected);
    }
    core.clear_hw_breakpoint(0x102).unwrap();
    core.run().unwrap();
    assert_eq!(core.status().unwrap(), CoreStatus::Running);
    core.halt(TIMEOUT).unwrap();
    assert!(core.read_core_reg::<u32>(R0).unwrap() > 100);
}

#[test]
fn a_semihosting_call_is_recognised_and_answered() {
    let board = new_board();
    let mut session = attach(&board);
    // SYS_ERRNO (0x13), then SYS_EXIT (0x18) with ADP_Stopped_ApplicationExit (0x20026).
    let mut code = vec![0x2013, BKPT_SEMIHOSTING, 0x1C05, 0x2018, 0x4901, BKPT_SEMIHOSTING, B_SELF, 0xBF00];
    code.extend([0x0026, 0x0002]);
    flash(&mut session, &[(0, &program(&code))]);
    let mut core = session.core(0).unwrap();
    core.reset_and_halt(TIMEOUT).unwrap();
    core.run().unwrap();
    core.wait_for_core_halted(TIMEOUT).unwrap();
    match core.status().unwrap() {
        CoreStatus::Halted(HaltReason::Breakpoint(BreakpointCause::Semihosting(SemihostingCommand::Errno(call)))) => {
            call.write_errno(&mut core, 77).unwrap();
        }
        other => panic!("{other:?}"),
    }
    core.run().unwrap();
    core.wait_for_core_halted(TIMEOUT).unwrap();
    let status = core.status().unwrap();
    assert!(
        matches!(
            status,
            CoreStatus::Halted(HaltReason::Breakpoint(BreakpointCause::Semihosting(SemihostingCommand::ExitSuccess)))
        ),
        "{status:?}"
    );
    // The program moved the answer from r0 to r5.
    assert_eq!(core.read_core_reg::<u32>(RegisterId(5)).unwrap(), 77);
}

#[test]
fn a_hard_fault_is_caught_at_its_vector() {
    let board = new_board();
    let mut session = attach(&board);
    // `udf #0` with UsageFault disabled escalates.
    flash(&mut session, &[(0, &program(&[0xDE00]))]);
    let mut core = session.core(0).unwrap();
    core.reset_and_halt(TIMEOUT).unwrap();
    core.enable_vector_catch(VectorCatchCondition::HardFault).unwrap();
    core.run().unwrap();
    core.wait_for_core_halted(TIMEOUT).unwrap();
    assert_eq!(core.status().unwrap(), CoreStatus::Halted(HaltReason::Exception));
    assert_eq!(core.read_core_reg::<u32>(PC).unwrap(), 0xF0);
    // CFSR.UNDEFINSTR and HFSR.FORCED.
    assert_eq!(core.read_word_32(0xE000_ED28).unwrap(), 1 << 16);
    assert_eq!(core.read_word_32(0xE000_ED2C).unwrap(), 1 << 30);
}

#[test]
fn closing_the_session_lets_the_program_run_without_debugger() {
    let board = new_board();
    {
        let mut session = attach(&board);
        flash(&mut session, &[(0, &counter())]);
        session.core(0).unwrap().reset_and_halt(TIMEOUT).unwrap();
    }
    let before = board.lock().unwrap().instructions();
    let later = board.lock().unwrap().now() + Duration::from_millis(1);
    board.lock().unwrap().run_until(later);
    assert!(!board.lock().unwrap().is_halted());
    assert!(board.lock().unwrap().instructions() > before + 1000);
}

#[test]
fn a_semihosting_call_without_debugger_is_a_fault() {
    let board = new_board();
    {
        let mut session = attach(&board);
        flash(&mut session, &[(0, &program(&[BKPT_SEMIHOSTING, B_SELF]))]);
    }
    let mut board = board.lock().unwrap();
    board.power_off();
    board.power_on();
    let later = board.now() + Duration::from_millis(1);
    board.run_until(later);
    // Escalated to HardFault: the program is in its handler, not after the BKPT.
    assert_eq!(board.register(15), 0xF0);
}

#[test]
fn a_pulled_cable_keeps_an_old_session_from_the_board() {
    let board = new_board();
    let (mut old, cable) = attach_with_cable(&board);
    flash(&mut old, &[(0, &counter())]);
    let mut new = attach(&board);
    new.core(0).unwrap().reset_and_halt(TIMEOUT).unwrap();
    cable.unplug();
    assert!(old.core(0).is_err() || old.core(0).unwrap().read_word_32(0).is_err());
    drop(old);
    let mut core = new.core(0).unwrap();
    assert!(core.status().unwrap().is_halted(), "closing the old session must not resume the core");
    assert_eq!(core.step().unwrap().pc, 0x102);
}

#[test]
fn a_board_without_supply_does_not_answer_until_it_is_attached_again() {
    let board = new_board();
    let mut session = attach(&board);
    board.lock().unwrap().power_off();
    assert!(session.core(0).is_err() || session.core(0).unwrap().halt(TIMEOUT).is_err());
    drop(session);
    board.lock().unwrap().power_on();
    attach(&board).core(0).unwrap().halt(TIMEOUT).unwrap();
}

#[test]
fn a_debugging_session_repeats_to_the_instruction() {
    let run = || {
        let board = new_board();
        let mut session = attach(&board);
        flash(&mut session, &[(0, &counter()), (0x4000, &pattern(10_000))]);
        let mut core = session.core(0).unwrap();
        core.reset_and_halt(TIMEOUT).unwrap();
        core.run().unwrap();
        for _ in 0..10 {
            core.status().unwrap();
        }
        core.halt(TIMEOUT).unwrap();
        let r0 = core.read_core_reg::<u32>(R0).unwrap();
        drop(core);
        let board = board.lock().unwrap();
        (r0, board.instructions(), board.cycles(), board.now())
    };
    assert_eq!(run(), run());
}
