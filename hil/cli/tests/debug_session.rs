//! What probe-rs' debug adapter does for an editor, step by step, at a board that runs by itself: breakpoints by source
//! line, the way back through the callers, stepping over a call, a sleeping core, the log, and going in the middle of it.

mod support;

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use hil::elf::Image;
use probe_rs::probe::DebugProbeSelector;
use probe_rs::probe::list::Lister;
use probe_rs::rtt::Rtt;
use probe_rs::{Core, CoreStatus, HaltReason, MemoryInterface as _, Permissions, RegisterId, Session};

use support::{LiveBoard, program};

const R7: RegisterId = RegisterId(7);
const PC: RegisterId = RegisterId(15);

const HALT: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);

fn attach(board: &LiveBoard) -> Session {
    let address = board.announced("probe: ");
    let selector: DebugProbeSelector = format!("20b7:9db1:tcp:{address}").parse().unwrap();
    let probe = Lister::new().open(selector).expect("the probe answers");
    probe.attach("ATSAME54P20A", Permissions::default()).expect("the chip answers")
}

fn symbol(elf: &[u8], name: &str) -> u64 {
    use object::{Object as _, ObjectSymbol as _};
    object::File::parse(elf).unwrap().symbol_by_name(name).unwrap().address()
}

/// The first statement of the line of `demo.rs` that contains `text`, from the program's line table.
fn statement(elf: &[u8], text: &str) -> u64 {
    use object::{Object as _, ObjectSection as _};
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/demo.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let line = 1 + source.lines().position(|line| line.contains(text)).expect("the line is there") as u64;
    let file = object::File::parse(elf).unwrap();
    let load = |id: gimli::SectionId| -> Result<&[u8], gimli::Error> {
        Ok(file.section_by_name(id.name()).and_then(|section| section.data().ok()).unwrap_or_default())
    };
    let sections = gimli::DwarfSections::load(load).unwrap();
    let dwarf = sections.borrow(|section| gimli::EndianSlice::new(section, gimli::LittleEndian));
    let mut found = None;
    let mut headers = dwarf.units();
    while let Some(header) = headers.next().unwrap() {
        let unit = dwarf.unit(header).unwrap();
        let Some(program) = unit.line_program.clone() else { continue };
        let mut rows = program.rows();
        while let Some((header, row)) = rows.next_row().unwrap() {
            let Some(file) = row.file(header) else { continue };
            let name = dwarf.attr_string(&unit, file.path_name()).unwrap().to_string_lossy();
            if row.is_stmt() && row.line().is_some_and(|at| at.get() == line) && name.ends_with("demo.rs") {
                found = found.into_iter().chain([row.address()]).min();
            }
        }
    }
    found.expect("the line has code")
}

/// Runs to the next stop.
fn resume(core: &mut Core<'_>) -> (CoreStatus, u64) {
    core.run().unwrap();
    core.wait_for_core_halted(Duration::from_secs(10)).unwrap();
    (core.status().unwrap(), core.read_core_reg::<u64>(PC).unwrap())
}

/// Names of the functions that are active, innermost first: each frame begins with the caller's r7 and the way back.
fn callers(core: &mut Core<'_>, image: &Image) -> Vec<String> {
    let name = |address: u32| image.function(address).map_or("?", |function| function.name.as_str()).to_owned();
    let mut names = vec![name(core.read_core_reg(PC).unwrap())];
    let mut frame: u32 = core.read_core_reg(R7).unwrap();
    while names.len() < 5 {
        let mut saved = [0; 2];
        core.read_32(frame.into(), &mut saved).unwrap();
        // The call is before the address to which it returns.
        names.push(name((saved[1] & !1) - 2));
        frame = saved[0];
    }
    names
}

#[test]
fn an_editors_session_from_attaching_to_a_running_core_to_leaving_a_halted_one() {
    let path = program("demo");
    let board = LiveBoard::start(&["--elf", &path.display().to_string(), "--probe", "0"]);
    board.says("demo: ready");
    let elf = std::fs::read(&path).unwrap();
    let image = Image::parse(elf.clone()).unwrap();
    let (rounds, total) = (symbol(&elf, "ROUNDS"), symbol(&elf, "TOTAL"));
    let (multiply, count) = (statement(&elf, "let doubled = value * 2"), statement(&elf, "TOTAL.fetch_add(1"));

    let mut session = attach(&board);
    let mut core = session.core(0).unwrap();
    core.halt(HALT).unwrap();
    core.set_hw_breakpoint(multiply).unwrap();
    let mut before = None;
    for _ in 0..5 {
        let (status, pc) = resume(&mut core);
        assert!(matches!(status, CoreStatus::Halted(HaltReason::Breakpoint(_))), "{status:?}");
        assert_eq!(pc, multiply);
        let round = core.read_word_32(rounds).unwrap();
        assert!(before.is_none_or(|before: u32| round == before + 1), "{before:?}, then {round}");
        assert_eq!(core.read_word_32(total).unwrap(), round);
        before = Some(round);
    }
    let names = callers(&mut core, &image);
    for (name, function) in names.iter().zip(["inner", "middle", "outer", "main", "reset"]) {
        assert!(name.ends_with(function), "{names:?}");
    }

    // Instruction by instruction to the call, then over it and out of the function with a breakpoint behind.
    let mut steps = 0;
    while core.read_core_reg::<u64>(PC).unwrap() != count {
        let from: u64 = core.read_core_reg(PC).unwrap();
        let to = core.step().unwrap().pc;
        assert!((2..=4).contains(&(to - from)), "{from:#x} to {to:#x}");
        steps += 1;
        assert!(steps < 20);
    }
    let frame: u64 = core.read_core_reg(R7).unwrap();
    let behind = u64::from(core.read_word_32(frame + 4).unwrap() & !1);
    core.set_hw_breakpoint(behind).unwrap();
    let (_, pc) = resume(&mut core);
    assert_eq!(pc, behind, "back in the caller");
    assert_eq!(core.read_word_32(total).unwrap(), before.unwrap() + 1);
    core.clear_hw_breakpoint(behind).unwrap();
    core.clear_hw_breakpoint(multiply).unwrap();

    // Most of the time the core sleeps. It is halted for a look and let go, and the log goes on meanwhile.
    core.run().unwrap();
    let mut rtt = Rtt::attach_at(&mut core, symbol(&elf, "_SEGGER_RTT")).unwrap();
    let (mut log, mut buffer, mut looks, start) = (String::new(), [0; 128], 0, Instant::now());
    while looks < 20 || log.matches("demo: 100 ms\n").count() < 3 {
        assert!(start.elapsed() < PATIENCE, "{looks} looks, {log}");
        if core.status().unwrap() == CoreStatus::Sleeping {
            core.halt(HALT).unwrap();
            let pc = core.read_core_reg::<u32>(PC).unwrap();
            assert!(image.function(pc).is_some(), "{pc:#x}");
            core.run().unwrap();
            looks += 1;
        }
        let read = rtt.up_channel(0).unwrap().read(&mut core, &mut buffer).unwrap();
        log.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }

    let pc = core.reset_and_halt(HALT).unwrap().pc;
    assert_eq!(core.status().unwrap(), CoreStatus::Halted(HaltReason::Exception), "the reset vector is caught");
    assert_eq!(pc, symbol(&elf, "reset") & !1);
    core.set_hw_breakpoint(multiply).unwrap();
    assert_eq!(resume(&mut core).1, multiply);
    board.says("system reset request");
    drop(core);
    drop(session);
    // The board's log is its own again, and no breakpoint is left.
    for _ in 0..3 {
        board.says("demo: 100 ms");
    }
}

/// probe-rs' driver takes the orderly end of a connection for nothing received, and waits on at full speed.
#[test]
fn a_board_that_ends_during_a_session_is_an_error_there() {
    let demo = program("demo").display().to_string();
    let board = LiveBoard::start(&["--elf", &demo, "--probe", "0"]);
    let mut session = attach(&board);
    session.core(0).unwrap().halt(HALT).unwrap();
    assert_eq!(board.interrupt().0, Some(0));
    let (sender, result) = channel();
    std::thread::spawn(move || sender.send(session.core(0).and_then(|mut core| core.status()).is_err()));
    assert_eq!(result.recv_timeout(PATIENCE), Ok(true));
}
