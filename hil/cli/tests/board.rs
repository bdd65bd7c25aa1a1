//! `hil board`: a virtual board that runs by itself.

mod support;

use std::io::Write as _;
use std::path::Path;

use support::{LiveBoard, board, folder, program, read_until, texts};

fn path(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn program_ends_by_semihosting_with_its_status_and_its_text() {
    let output = board(&["--elf", &path(&program("exit")), "--for", "10s"]);
    let (out, err) = texts(&output, 7);
    let console: Vec<_> = out.lines().filter_map(|line| line.split_once("console  ")).map(|(_, text)| text).collect();
    assert_eq!(console, ["hello from the target", "no end of line"], "{out}");
    assert!(err.contains("exited with status 7") && err.contains("1 reset,") && err.contains("0 violations"), "{err}");
}

#[test]
fn log_button_led_and_uart_are_shown_and_repeat() {
    let dir = folder("board-demo");
    let (elf, uart) = (path(&program("demo")), path(&dir.join("uart.log")));
    let args = [
        "--elf",
        &elf,
        "--for",
        "1s",
        "--uart",
        &uart,
        "--at",
        "300ms:press",
        "--at",
        "500ms:release",
        "--at",
        "600ms:uart=hello\\n",
        "--at",
        "800ms:reset",
    ];
    let (out, err) = texts(&board(&args), 0);
    let lines: Vec<(f64, &str)> = out
        .lines()
        .map(|line| line.trim_start().split_once(' ').expect("time first"))
        .map(|(time, rest)| (time.parse().expect("a time"), rest))
        .collect();
    let times = |text: &str| -> Vec<f64> {
        lines
            .iter()
            .filter(|(_, line)| line.split_whitespace().collect::<Vec<_>>().join(" ") == text)
            .map(|(at, _)| *at)
            .collect()
    };
    assert_eq!(times("log demo: ready").len(), 2, "{out}");
    assert_eq!(times("log demo: 100 ms").len(), 7 + 1, "{out}");
    for (what, at) in [("led on", 0.3), ("led off", 0.5), ("uart hello", 0.6), ("reset RESETN pin", 0.8)] {
        let seen = times(what);
        assert!(seen.len() == 1 && (at..at + 0.005).contains(&seen[0]), "{what}: {seen:?}\n{out}");
    }
    assert_eq!(std::fs::read_to_string(&uart).unwrap(), "hello\n");
    assert!(err.contains("1.000000 s virtual") && err.contains("2 resets"), "{err}");
    assert_eq!(texts(&board(&args), 0).0, out, "the same seed and script give the same lines at the same times");
}

#[test]
fn one_types_at_a_pseudo_terminal_and_ctrl_c_ends_with_a_summary() {
    let elf = path(&program("demo"));
    let live = LiveBoard::start(&["--elf", &elf, "--pty"]);
    let name = live.announced("uart: ");
    live.says("demo: ready");
    let mut terminal = std::fs::File::options().read(true).write(true).open(&name).unwrap();
    terminal.write_all(b"typed\n").unwrap();
    read_until(&mut terminal, "typed\n");
    live.says("typed");
    let (code, err) = live.interrupt();
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("stopped: ") && err.contains("instructions"), "{err}");
}

#[test]
fn flashes_are_dumped_and_loaded_again() {
    let dir = folder("board-flash");
    let [nvm, nor, nor2, nvm2] = ["nvm.bin", "nor.bin", "nor2.bin", "nvm2.bin"].map(|name| path(&dir.join(name)));
    let mut contents = vec![0xFF; 0x20_0000];
    contents[0x12_3456] = 0x5A;
    std::fs::write(&nor, &contents).unwrap();
    let elf = path(&program("exit"));
    let dumps = [format!("nvm:{nvm}"), format!("nor:{nor2}")];
    texts(&board(&["--elf", &elf, "--nor", &nor, "--dump", &dumps[0], "--dump", &dumps[1]]), 7);
    let dumped = std::fs::read(&nor2).unwrap();
    assert!(dumped.len() == 0x0200_0000 && dumped.starts_with(&contents) && dumped[0x01FF_FFFF] == 0xFF);
    // The chip's contents alone are enough to start from, and other programs go on top.
    let again = format!("nvm:{nvm2}");
    texts(&board(&["--nvm", &nvm, "--dump", &again]), 7);
    assert!(std::fs::read(&nvm).unwrap() == std::fs::read(&nvm2).unwrap());
    let demo = path(&program("demo"));
    let (out, _) = texts(&board(&["--nvm", &nvm, "--elf", &demo, "--for", "10ms"]), 0);
    assert!(out.contains("demo: ready"), "{out}");
}

#[test]
fn core_that_stands_still_is_told_and_ends_the_run() {
    let dir = folder("board-stuck");
    // A stack pointer, a reset vector, and BKPT #1.
    let image = path(&dir.join("bkpt.bin"));
    std::fs::write(&image, [0, 0, 1, 0x20, 9, 0, 0, 0, 0x01, 0xBE]).unwrap();
    let (out, err) = texts(&board(&["--image", &format!("{image}@0")]), 1);
    assert!(out.contains("the core is halted at 0x00000008"), "{out}");
    assert!(err.contains("the core stands still"), "{err}");
    // No handler for the fault: lockup.
    std::fs::write(&image, [0, 0, 1, 0x20, 9, 0, 0, 0, 0x00, 0xDE]).unwrap();
    let (out, _) = texts(&board(&["--image", &format!("{image}@0")]), 1);
    assert!(out.contains("locked up at 0x"), "{out}");
}
