//! probe-rs at a board that runs by itself, over TCP, with probe-rs' own driver.

mod support;

use std::io::Cursor;
use std::time::{Duration, Instant};

use probe_rs::flashing::{DownloadOptions, ElfLoader, ElfOptions};
use probe_rs::probe::DebugProbeSelector;
use probe_rs::probe::list::Lister;
use probe_rs::rtt::Rtt;
use probe_rs::{MemoryInterface as _, Permissions, RegisterId, Session};

use support::{LiveBoard, program};

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

#[test]
fn program_is_flashed_run_and_its_log_read() {
    // The board holds another program at first.
    let exit = program("exit").display().to_string();
    let demo = std::fs::read(program("demo")).unwrap();
    let board = LiveBoard::start(&["--elf", &exit, "--probe", "0", "--halt"]);
    let mut session = attach(&board);
    {
        let mut core = session.core(0).unwrap();
        core.halt(Duration::from_millis(500)).unwrap();
        assert_eq!(core.read_word_32(0).unwrap(), 0x2001_0000, "the stack pointer in the vector table");
        // A bus error is told once, and the next access works.
        assert!(core.read_word_32(0x9000_0000).is_err());
        let words: Vec<u32> = (0..300).collect();
        core.write_32(0x2000_8000, &words).unwrap();
        let mut back = vec![0; words.len()];
        core.read_32(0x2000_8000, &mut back).unwrap();
        assert_eq!(back, words);
    }
    let mut loader = session.target().flash_loader();
    loader.load_image(&mut session, &mut Cursor::new(&demo), ElfLoader(ElfOptions::default()), None).unwrap();
    let mut options = DownloadOptions::default();
    options.verify = true;
    loader.commit(&mut session, options).expect("probe-rs' algorithm runs on the simulated core");

    let mut core = session.core(0).unwrap();
    core.reset_and_halt(Duration::from_millis(500)).unwrap();
    let inner = symbol(&demo, "inner") & !1;
    core.set_hw_breakpoint(inner).unwrap();
    core.run().unwrap();
    core.wait_for_core_halted(Duration::from_secs(10)).unwrap();
    assert_eq!(core.read_core_reg::<u32>(RegisterId(15)).unwrap(), inner as u32);
    core.clear_hw_breakpoint(inner).unwrap();
    core.run().unwrap();

    let mut rtt = Rtt::attach_at(&mut core, symbol(&demo, "_SEGGER_RTT")).unwrap();
    let (mut log, mut buffer) = (String::new(), [0; 128]);
    let start = Instant::now();
    while log.matches("demo: 100 ms").count() < 2 {
        assert!(start.elapsed() < Duration::from_secs(60), "{log}");
        let read = rtt.up_channel(0).unwrap().read(&mut core, &mut buffer).unwrap();
        log.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    assert!(log.starts_with("demo: ready\n"), "{log}");
    drop(core);
    drop(session);

    let (code, err) = board.interrupt();
    assert!(code == Some(0) && err.contains("0 violations"), "{err}");
}

#[test]
fn log_is_the_debuggers_while_it_is_attached_and_the_boards_afterwards() {
    let elf = program("demo");
    let board = LiveBoard::start(&["--elf", &elf.display().to_string(), "--probe", "0"]);
    board.says("demo: ready");
    let mut session = attach(&board);
    let elf = std::fs::read(elf).unwrap();
    let mut core = session.core(0).unwrap();
    core.reset_and_halt(Duration::from_millis(500)).unwrap();
    core.write_word_32(symbol(&elf, "_SEGGER_RTT"), 0).unwrap();
    core.run().unwrap();
    let start = Instant::now();
    let mut log = String::new();
    while log.matches('\n').count() < 3 {
        assert!(start.elapsed() < Duration::from_secs(60), "{log}");
        let Ok(mut rtt) = Rtt::attach_at(&mut core, symbol(&elf, "_SEGGER_RTT")) else { continue };
        let mut buffer = [0; 128];
        let read = rtt.up_channel(0).unwrap().read(&mut core, &mut buffer).unwrap();
        log.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    assert!(log.starts_with("demo: ready\ndemo: 100 ms\n"), "every line reaches the debugger: {log}");
    drop(core);
    drop(session);
    board.says("demo: 100 ms");
}

#[test]
fn who_is_no_probe_rs_is_sent_away_and_the_next_is_served() {
    use std::io::{Read as _, Write as _};
    let exit = program("exit").display().to_string();
    let board = LiveBoard::start(&["--elf", &exit, "--probe", "0", "--halt"]);
    let address = board.announced("probe: ");
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\0").unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{rest:?}");
    board.announced("probe: the client is no probe-rs");
    let selector: DebugProbeSelector = format!("20b7:9db1:tcp:{address}").parse().unwrap();
    assert!(Lister::new().open(selector).is_ok());
}
