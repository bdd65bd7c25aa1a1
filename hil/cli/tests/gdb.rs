//! GDB, as Debian has it, at a board that runs.

mod support;

use std::process::{Command, Stdio};

use support::{LiveBoard, has_tool, program};

const GDB: &str = "gdb-multiarch";

/// GDB, unless it does not come to an end.
fn patient_gdb() -> Command {
    let mut command = Command::new("timeout");
    command.args(["60", GDB]);
    command
}

/// What GDB prints for these commands. The program is halted at its start.
fn session(name: &str, commands: &[&str]) -> String {
    let elf = program(name).display().to_string();
    let board = LiveBoard::start(&["--elf", &elf, "--gdb", "0", "--halt"]);
    let address = board.announced("gdb: ");
    let mut gdb = patient_gdb();
    gdb.args(["-nx", "-batch", "-ex", "set pagination off", "-ex", "set confirm off", "-ex", "set language c"]);
    gdb.args(["-ex", &format!("target remote {address}")]);
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let output = gdb.arg(&elf).stdin(Stdio::null()).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Asserts that the text has these parts in this order.
fn assert_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => panic!("no \"{part}\" in the rest of:\n{text}"),
        }
    }
}

#[test]
fn breakpoint_step_backtrace_finish_and_registers() {
    if !has_tool(GDB) {
        return;
    }
    let text = session(
        "demo",
        &[
            "info registers pc",
            "break inner",
            "continue",
            "backtrace",
            "print value",
            "next",
            "stepi",
            "finish",
            "info breakpoints",
            "delete",
            "break middle if value == 4",
            "continue",
            "print value",
            "print $s0",
            "info registers xpsr msp control",
            "x/2xw 0",
        ],
    );
    assert_order(
        &text,
        &[
            "<demo::reset>", // where it was held
            "Breakpoint 1, demo::inner",
            "#0  demo::inner",
            "in demo::middle",
            "in demo::outer",
            "in demo::main",
            "in demo::reset",
            "in demo::middle",
            "Value returned is $2 = 0",
            "breakpoint already hit 1 time",
            "Breakpoint 2, demo::middle (value=4)",
            "$3 = 4",
            "$4 = ",
            "xpsr",
            "msp            0x2000ff",
            "control",
            "0x20010000",
        ],
    );
}

#[test]
fn watchpoints_memory_and_reset() {
    if !has_tool(GDB) {
        return;
    }
    let text = session(
        "demo",
        &[
            "watch *(unsigned int *)&TOTAL",
            "continue",
            "continue",
            "backtrace 1",
            "delete",
            "rwatch *(unsigned int *)&ROUNDS",
            "continue",
            "delete",
            "set var *(unsigned int *)&TOTAL = 1000",
            "tbreak middle",
            "continue",
            "print *(unsigned int *)&TOTAL",
            "print *(unsigned int *)0x90000000",
            "monitor status",
            "monitor reset",
            "maintenance flush register-cache",
            "info registers pc",
            "monitor nonsense",
            "tbreak inner",
            "continue",
            "print value",
        ],
    );
    assert_order(
        &text,
        &[
            // Start-up clears .bss, then the program counts.
            "New value = 0",
            "Old value = 0",
            "New value = 1",
            "atomic_add",
            "#0 ",
            "Hardware read watchpoint 2",
            "Value = ",
            "Temporary breakpoint 3, demo::middle",
            "$1 = 1000",
            "<demo::reset>",
            "Temporary breakpoint 4, demo::inner (value=0)",
            "$2 = 0",
        ],
    );
    // What is no answer of the program's goes to standard error, which comes after standard output.
    assert_order(
        &text,
        &["Cannot access memory at address 0x90000000", "virtual, ", "the core halted", "unknown command \"nonsense\""],
    );
}

#[test]
fn running_program_is_interrupted_and_detached_from() {
    if !has_tool(GDB) {
        return;
    }
    let elf = program("demo").display().to_string();
    let board = LiveBoard::start(&["--elf", &elf, "--gdb", "0"]);
    let address = board.announced("gdb: ");
    board.says("demo: ready");
    for round in 0..2 {
        let script = format!(
            "import threading, time\n\
             gdb.execute('target remote {address}')\n\
             threading.Thread(target=lambda: (time.sleep(0.3), gdb.post_event(lambda: gdb.execute('interrupt')))).start()\n\
             gdb.execute('continue')\n\
             gdb.execute('backtrace')\n\
             gdb.execute('break SysTick')\n\
             gdb.execute('continue')\n\
             gdb.execute('backtrace')\n\
             gdb.execute('detach')\n"
        );
        let output = patient_gdb()
            .args(["-nx", "-batch", "-ex", "set pagination off", "-ex", &format!("python exec({script:?})")])
            .arg(&elf)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_order(&text, &["SIGINT", "in demo::reset", "demo::SysTick", "<signal handler called>", "detached"]);
        // It runs on: the log goes on as well.
        for _ in 0..3 + round {
            board.says("demo: 100 ms");
        }
    }
}

#[test]
fn program_is_loaded_and_its_exit_is_told() {
    if !has_tool(GDB) {
        return;
    }
    // The board holds another program at first.
    let exit = program("exit").display().to_string();
    let text = session(
        "demo",
        &[
            &format!("file {exit}"),
            "load",
            "monitor reset",
            "maintenance flush register-cache",
            "break choose",
            "continue",
            "print value",
            "continue",
        ],
    );
    assert_order(
        &text,
        &["Loading section .vector_table", "Breakpoint 1, exit::choose", "$1 = 17", "exited with code 07"],
    );
}
