//! `hil rescue`: the shipped bootloader with an empty slot, and what loads an image into it.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use hil::artifacts::{Program, Workspace};
use hil::rescue::line::{Line, VirtualLine};
use hil::rescue::{BOARD, Image, RescueError, load};
use same54_sim::EventKind;
use sim_base::Rng;
use support::{LiveBoard, folder, python, texts};
use update_image::Version;
use update_image::boot_record::{BootRecord, Phase};
use update_image::layout::{SLOT, VECTOR_TABLE};
use update_image::sign::{SecretKey, sign};
use update_image::sim::{SimNvm, Supply};

const TEST_KEY: &str = include_str!("../../../fixtures/keys/image/test-only.pem");

fn workspace() -> Workspace {
    Workspace::new(hil::artifacts::target_dir(&hil::artifacts::root()).join("hil").join("programs"))
}

fn bootloader() -> Program {
    workspace().bootloader().unwrap()
}

fn test_key() -> SecretKey {
    SecretKey::from_pem(TEST_KEY).unwrap()
}

/// A signed program of `len` bytes that does nothing for ever.
fn small(key: &SecretKey, len: usize, counter: u32) -> Vec<u8> {
    let mut payload = vec![0; len];
    Rng::new(5).fill(&mut payload);
    payload[..4].copy_from_slice(&0x2000_1000_u32.to_le_bytes());
    payload[4..8].copy_from_slice(&(VECTOR_TABLE + 0x11).to_le_bytes());
    // B . (ARMv7-M ARM A7.7.12)
    payload[0x10..0x12].copy_from_slice(&[0xFE, 0xE7]);
    sign(&payload, key, Version::new(1, 2, 3), counter, BOARD).unwrap()
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder("rescue").join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn image(name: &str, bytes: &[u8]) -> Image {
    Image::read(&file(name, bytes)).unwrap()
}

/// The slot is this image, the boot record has it as the confirmed one, and no rule of the chip was broken.
fn assert_installed(line: &mut VirtualLine, image: &[u8]) {
    let nvm = line.board.nvm();
    assert!(nvm[SLOT.start as usize..].starts_with(image));
    let mut flash = SimNvm::erased(&Supply::steady());
    flash.put(0, nvm);
    let state = *BootRecord::open(&mut flash).state();
    let confirmed = state.confirmed.expect("a confirmed image");
    assert_eq!(state.phase, Phase::Confirmed);
    assert!(image.windows(32).any(|bytes| bytes == confirmed.hash));
    for event in line.board.take_events() {
        assert!(!matches!(event.kind, EventKind::Violation(_)), "{event:?}");
    }
}

#[test]
fn the_firmware_goes_into_an_empty_slot_and_starts() {
    let (base, payload) = workspace().firmware("1.0.0").unwrap().flat().unwrap();
    assert_eq!(base, VECTOR_TABLE);
    let bytes = sign(&payload, &test_key(), Version::new(1, 0, 0), 0, BOARD).unwrap();
    let mut line = VirtualLine::start(&bootloader()).unwrap();
    load(&mut line, &image("firmware.bin", &bytes)).unwrap();
    line.wait_for_application().unwrap();
    assert_installed(&mut line, &bytes);
    // It runs, and goes on running: no watchdog, no fault.
    let now = line.board.now();
    line.board.run_until(now + Duration::from_secs(20));
    assert!(!line.board.take_events().iter().any(|event| matches!(event.kind, EventKind::Reset(_))));
}

/// A line that loses, damages and invents characters.
struct Noisy<'a> {
    line: &'a mut VirtualLine,
    rng: Rng,
    /// Sends and receives that were hurt.
    hurt: usize,
}

impl Noisy<'_> {
    /// One of `of` is hurt.
    fn hurt(&mut self, bytes: &[u8], of: u64) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        if !bytes.is_empty() && self.rng.next_u64().is_multiple_of(of) {
            self.hurt += 1;
            let at = self.rng.next_u64() as usize % bytes.len();
            match self.rng.next_u64() % 4 {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << (self.rng.next_u64() % 8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, self.rng.next_u64() as u8),
            }
        }
        bytes
    }
}

impl Line for Noisy<'_> {
    fn name(&self) -> String {
        "noisy".to_owned()
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), RescueError> {
        let bytes = self.hurt(bytes, 6);
        self.line.send(&bytes)
    }

    fn receive(&mut self, patience: Duration) -> Result<Vec<u8>, RescueError> {
        let bytes = self.line.receive(patience)?;
        // An answer comes in many.
        Ok(self.hurt(&bytes, 50))
    }
}

#[test]
fn lost_and_damaged_characters_are_made_up_for() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_125);
    println!("SEED={seed}");
    let bytes = small(&test_key(), 60_000, 0);
    let mut line = VirtualLine::start(&bootloader()).unwrap();
    let mut noisy = Noisy { line: &mut line, rng: Rng::new(seed), hurt: 0 };
    load(&mut noisy, &image("noisy.bin", &bytes)).unwrap();
    assert!(noisy.hurt > 5, "{}", noisy.hurt);
    line.wait_for_application().unwrap();
    assert_installed(&mut line, &bytes);
}

#[test]
fn a_refused_image_is_told_with_its_cause_and_the_board_goes_on_waiting() {
    let mut line = VirtualLine::start(&bootloader()).unwrap();
    let foreign = small(&SecretKey::from_seed([3; 32]), 20_000, 0);
    let error = load(&mut line, &image("foreign.bin", &foreign)).unwrap_err().to_string();
    assert!(error.ends_with("foreign.bin: unknown key (code 9)"), "{error}");
    // Two short flashes a second, and no reset.
    let (mut flashes, mut was_on) = (0, false);
    for _ in 0..5_000 {
        let now = line.board.now();
        line.board.run_until(now + Duration::from_millis(1));
        flashes += u32::from(line.board.led() && !was_on);
        was_on = line.board.led();
    }
    assert!((9..=11).contains(&flashes), "{flashes} flashes in 5 s");
    let resets = line.board.take_events().iter().filter(|event| matches!(event.kind, EventKind::Reset(_))).count();
    assert_eq!(resets, 1, "the power-on");
    // A security counter that is taken holds for the next one.
    let good = small(&test_key(), 20_000, 7);
    load(&mut line, &image("good.bin", &good)).unwrap();
    line.wait_for_application().unwrap();
    assert_installed(&mut line, &good);
    // Somebody wrecks the slot: the older image is not taken any more.
    assert!(line.board.preload_nvm(SLOT.start + 0x2000, &[0; 64]));
    line.board.power_off();
    line.board.power_on();
    let older = small(&test_key(), 20_000, 6);
    let error = load(&mut line, &image("older.bin", &older)).unwrap_err().to_string();
    assert!(error.ends_with("older.bin: security counter too low (code 9)"), "{error}");
    load(&mut line, &image("good.bin", &good)).unwrap();
    line.wait_for_application().unwrap();
}

/// A line whose board loses its supply after a number of sends.
struct Cut<'a> {
    line: &'a mut VirtualLine,
    sends: usize,
    cut_at: usize,
}

impl Line for Cut<'_> {
    fn name(&self) -> String {
        "cut".to_owned()
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), RescueError> {
        self.sends += 1;
        if self.sends == self.cut_at {
            // In an erase or a program that the request brings about.
            self.line.board.cut_power_in_flash_operation(0, 128);
        }
        self.line.send(bytes)
    }

    fn receive(&mut self, patience: Duration) -> Result<Vec<u8>, RescueError> {
        let bytes = self.line.receive(patience)?;
        if !self.line.board.is_powered() {
            self.line.board.power_on();
        }
        Ok(bytes)
    }
}

#[test]
fn a_supply_that_fails_in_flash_brings_the_board_back_to_waiting_and_the_upload_begins_anew() {
    let bytes = small(&test_key(), 30_000, 0);
    // The first erase, one in the middle, the last program, the boot record.
    for cut_at in [2, 7, 13, 17] {
        let mut line = VirtualLine::start(&bootloader()).unwrap();
        let mut cut = Cut { line: &mut line, sends: 0, cut_at };
        load(&mut cut, &image(&format!("cut{cut_at}.bin"), &bytes)).unwrap_or_else(|error| panic!("{cut_at}: {error}"));
        assert!(cut.sends > cut_at);
        line.wait_for_application().unwrap();
        assert!(line.board.nvm()[SLOT.start as usize..].starts_with(&bytes));
    }
}

#[test]
fn without_a_reset_the_board_starts_by_itself() {
    let bytes = small(&test_key(), 9_000, 0);
    let mut line = VirtualLine::start(&bootloader()).unwrap();
    let mut client = hil::rescue::client::Client::new(&mut line);
    let buffer = client.buffer_size().unwrap();
    client.upload(&bytes, buffer, &mut |_| {}).unwrap();
    let uploaded = line.board.now();
    let waited = line.wait_for_application().unwrap() - uploaded;
    assert!((9.0..12.0).contains(&waited.as_secs_f64()), "{waited:?}");
    assert_installed(&mut line, &bytes);
}

/// Nobody is there.
struct Dead;

impl Line for Dead {
    fn name(&self) -> String {
        "/dev/ttyX".to_owned()
    }

    fn send(&mut self, _: &[u8]) -> Result<(), RescueError> {
        Ok(())
    }

    fn receive(&mut self, _: Duration) -> Result<Vec<u8>, RescueError> {
        Ok(Vec::new())
    }
}

fn rescue(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hil")).arg("rescue").args(args).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn what_cannot_be_done_is_one_line() {
    let good = file("fine.bin", &small(&test_key(), 9_000, 0)).display().to_string();
    let text = file("text.bin", b"no image").display().to_string();
    for (args, what) in [
        (vec!["--image", "/nowhere/x.bin"], "cannot read /nowhere/x.bin: "),
        (vec!["--image", &text], "is no signed image for same54-xpro: bad header"),
        (vec!["--image", &good, "--port", "/dev/nothing"], "cannot open /dev/nothing: "),
        (vec!["--image", &good, "--board", "ffff:ffff:X"], "no serial port of ffff:ffff:X found"),
        (vec!["--image", &good, "--board", "uno"], "\"uno\" is no board"),
    ] {
        let (_, err) = texts(&rescue(&args), 2);
        assert!(err.starts_with("error: ") && err.contains(what) && err.lines().count() == 1, "{args:?}: {err}");
    }
    let error = load(&mut Dead, &Image::read(Path::new(&good)).unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("no answer at /dev/ttyX: "), "{error}");
}

#[test]
fn the_command_tries_an_image_on_a_virtual_board() {
    let good = file("virtual.bin", &small(&test_key(), 9_000, 0)).display().to_string();
    let (out, _) = texts(&rescue(&["--image", &good, "--board", "virtual:same54-xpro"]), 0);
    assert!(out.starts_with("1.2.3 starts at "), "{out}");
}

/// A board with the bootloader alone, and its terminal.
fn waiting_board() -> (LiveBoard, String) {
    let bootloader = bootloader().path.display().to_string();
    let live = LiveBoard::start(&["--elf", &bootloader, "--pty", "--lan", "none"]);
    let port = live.announced("uart: ");
    live.says("waiting for an image over the virtual COM port");
    (live, port)
}

#[test]
fn the_command_rescues_a_board_at_a_terminal() {
    let good = file("terminal.bin", &small(&test_key(), 9_000, 0)).display().to_string();
    let (live, port) = waiting_board();
    let (out, _) = texts(&rescue(&["--image", &good, "--port", &port]), 0);
    assert_eq!(out, "1.2.3 is in the slot, and the board starts it\n");
    live.says("boot: recovery took 1.2.3");
    live.says("boot: starting 1.2.3");
}

#[test]
fn somebody_else_s_tool_rescues_a_board() {
    let Some(python) = python("smpclient.transport.serial") else { return };
    let bytes = small(&test_key(), 9_000, 0);
    let path = file("smpclient.bin", &bytes);
    let (live, port) = waiting_board();
    let script = hil::artifacts::root().join("fixtures/python/rescue.py");
    let output = Command::new(python).arg(script).arg(&port).arg(&path).output().unwrap();
    let (out, _) = texts(&output, 0);
    let hash = Image::read(&path).unwrap().hash().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        out,
        format!(
            "echo: hello\nbuffers: 1 of 2048\nimages before: 0\nerase: 8 no such command here\nuploaded: {}\n\
             image: 0 1.2.3 {hash} True True\nreset\n",
            bytes.len()
        )
    );
    live.says("boot: starting 1.2.3");
}
