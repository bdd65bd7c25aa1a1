//! What a user sees who asks `hil board` for something that cannot be: one line that says what, where and what to do;
//! exit code 2.

mod support;

use std::net::TcpListener;

use support::{board, folder, program, texts};

#[test]
fn each_mistake_is_one_clear_line() {
    let dir = folder("board-errors");
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let exit = program("exit").display().to_string();
    let bytes = std::fs::read(&exit).unwrap();
    let changed = |name: &str, at: usize, value: &[u8]| {
        let mut elf = bytes.clone();
        elf[at..at + value.len()].copy_from_slice(value);
        file(name, &elf)
    };
    // e_machine; and the first segment's offset in the file is where the vector table is.
    let x86 = changed("x86.elf", 18, &62_u16.to_le_bytes());
    let headless = changed("headless.elf", vector_table(&bytes), &[0xFF; 8]);
    let text = file("program.txt", b"not a program");
    let large = file("large.bin", &vec![0; 0x10_0001]);
    let huge = file("huge.bin", &vec![0; 0x0200_0001]);
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let at_slot = format!("{text}@0x10000");
    let beyond = format!("{large}@0");
    let overlap = format!("{text}@0x10");
    let cases: &[(&[&str], &[&str])] = &[
        (&["--elf", &x86], &["x86.elf", "another machine", "thumbv7em-none-eabihf"]),
        (&["--elf", &text], &["program.txt", "not an ELF"]),
        (&["--elf", &headless], &["headless.elf", "no vector table at 0x00000000"]),
        (&["--elf", "/nonexistent.elf"], &["/nonexistent.elf", "check the path"]),
        (&["--elf", env!("CARGO_BIN_EXE_hil")], &["another machine", "X86_64"]),
        (&["--image", &beyond], &["large.bin", "do not fit", "internal flash"]),
        (&["--nvm", &large], &["large.bin", "do not fit", "internal flash"]),
        (&["--elf", &exit, "--nor", &huge], &["huge.bin", "do not fit", "external flash"]),
        (&["--image", &text], &["FILE@ADDRESS"]),
        (&["--image", &at_slot], &["nothing is at 0x00000000", "bootloader"]),
        (&["--elf", &exit, "--image", &overlap], &["overlap", "exit.elf", "program.txt"]),
        (&["--elf", &exit, "--for", "10"], &["--for", "\"10\"", "10s"]),
        (&["--elf", &exit, "--for", "fast"], &["--for", "\"fast\""]),
        (&["--elf", &exit, "--trace-sample", "0us"], &["--trace-sample", "\"0us\""]),
        (&["--elf", &exit, "--at", "1s"], &["--at", "TIME:ACTION"]),
        (&["--elf", &exit, "--at", "1s:dance"], &["--at", "dance", "press"]),
        (&["--elf", &exit, "--lan", "wifi"], &["--lan", "wifi", "tap:NAME"]),
        (&["--elf", &exit, "--lan", "tap:"], &["--lan", "tap:NAME"]),
        (&["--elf", &exit, "--pcap", "/tmp/x.pcap", "--lan", "none"], &["--pcap", "--lan sim"]),
        (&["--elf", &exit, "--dump", "ram:x"], &["--dump", "nor:FILE"]),
        (&["--elf", &exit, "--halt"], &["--halt", "--gdb PORT"]),
        (&["--elf", &exit, "--gdb", &port], &["--gdb", &port, "another program uses the port", "0 for any"]),
        (&["--elf", &exit, "--probe", &port], &["--probe", &port, "another program uses the port"]),
        (&["--elf", &exit, "--uart", "/nonexistent/uart.log"], &["/nonexistent/uart.log", "cannot write"]),
    ];
    for (args, expected) in cases {
        let (out, err) = texts(&board(args), 2);
        assert_eq!(err.trim_end().lines().count(), 1, "{args:?}: {err}");
        for part in *expected {
            assert!(err.contains(part), "{args:?}: no \"{part}\" in: {err}");
        }
        assert!(out.is_empty() && !err.contains("panicked"), "{args:?}: {out}{err}");
    }
}

/// Offset in the file of what is loaded at address 0.
fn vector_table(elf: &[u8]) -> usize {
    use object::{Object as _, ObjectSection as _};
    let file = object::File::parse(elf).unwrap();
    file.section_by_name(".vector_table").unwrap().file_range().unwrap().0 as usize
}
