use armv7m::{BusFault, Size};

use super::*;
use crate::dap::DPIDR;

/// Words in memory at 0x2000_0000; everything else faults.
struct Chip {
    words: [u32; 16],
    powered: bool,
    resets: Vec<bool>,
}

impl Chip {
    fn new() -> Self {
        Self { words: std::array::from_fn(|n| 0x1111_1111 * n as u32), powered: true, resets: Vec::new() }
    }

    fn word(&mut self, addr: u32) -> Result<&mut u32, BusFault> {
        self.words.get_mut((addr.wrapping_sub(0x2000_0000) / 4) as usize).ok_or(BusFault)
    }
}

impl Target for Chip {
    fn is_powered(&self) -> bool {
        self.powered
    }

    fn read(&mut self, addr: u32, _: Size) -> Result<u32, BusFault> {
        self.word(addr).copied()
    }

    fn write(&mut self, addr: u32, _: Size, value: u32) -> Result<(), BusFault> {
        self.word(addr).map(|word| *word = value)
    }
}

impl Connector for Chip {
    fn set_nreset(&mut self, asserted: bool) {
        self.resets.push(asserted);
    }
}

fn packet(endpoint: u8, commands: &[u8]) -> Vec<u8> {
    let mut packet = vec![endpoint];
    packet.extend(commands);
    let mut packet = cobs::encode_vec(&packet);
    packet.push(0);
    packet
}

fn answers(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        let packet = cobs::decode_vec(&bytes[..end]).unwrap();
        all.push((packet[0], packet[1..].to_vec()));
        bytes = &bytes[end + 1..];
    }
    assert!(bytes.is_empty());
    all
}

fn write(ap: bool, address: u8, value: u32) -> Vec<u8> {
    let mut command = vec![u8::from(ap) | address];
    command.extend(value.to_le_bytes());
    command
}

const SELECT: u8 = 0x8;
const CSW: u8 = 0x0;
const TAR: u8 = 0x4;
const DRW: u8 = 0xC;
const READ_DRW: u8 = 1 | 2 | DRW;
const READ_RDBUFF: u8 = 2 | RDBUFF;

/// Powers the debug domain and opens the access port for words with auto-increment, at `addr`.
fn open(probe: &mut Glasgow, chip: &mut Chip, addr: u32) {
    let mut commands = write(false, 0x4, 0x5000_0F00);
    commands.extend(write(false, SELECT, 0));
    commands.extend(write(true, CSW, 0xEB00_0052));
    commands.extend(write(true, TAR, addr));
    let out = probe.receive(chip, &packet(SWD, &commands)).unwrap();
    assert_eq!(answers(&out), [(SWD, vec![0x11; 4])]);
}

#[test]
fn driver_finds_identity_clock_and_reset() {
    let (mut probe, mut chip) = (Glasgow::new(), Chip::new());
    let commands = [root::IDENTIFY, root::GET_REF_CLOCK, root::SET_DIVISOR, 0x2F, 0x01, root::GET_DIVISOR];
    let out = probe.receive(&mut chip, &packet(ROOT, &commands)).unwrap();
    let expected = [&IDENTIFIER[..], &REF_CLOCK.to_le_bytes(), &[0x2F, 0x01]].concat();
    assert_eq!(answers(&out), [(ROOT, expected)]);
    let out = probe.receive(&mut chip, &packet(ROOT, &[root::ASSERT_RESET, root::CLEAR_RESET])).unwrap();
    assert!(out.is_empty() && chip.resets == [true, false]);
}

#[test]
fn reads_of_an_access_port_are_posted() {
    let (mut probe, mut chip) = (Glasgow::new(), Chip::new());
    open(&mut probe, &mut chip, 0x2000_0004);
    let out = probe.receive(&mut chip, &packet(SWD, &[READ_DRW, READ_DRW, READ_RDBUFF, 2])).unwrap();
    let [(SWD, answer)] = &answers(&out)[..] else { panic!("{out:?}") };
    let values: Vec<(u8, u32)> =
        answer.chunks(5).map(|one| (one[0], u32::from_le_bytes(one[1..].try_into().unwrap()))).collect();
    assert_eq!(values[1..], [(1, 0x1111_1111), (1, 0x2222_2222), (1, DPIDR)]);
}

#[test]
fn commands_and_packets_may_be_split_anywhere() {
    let (mut whole, mut chip) = (Glasgow::new(), Chip::new());
    open(&mut whole, &mut chip, 0x2000_0000);
    let mut pieces = whole.clone();
    let mut commands = write(true, DRW, 0xAABB_CCDD);
    commands.extend([READ_DRW, READ_RDBUFF]);
    commands.extend([swd::SEQUENCE | 16, 0x9E, 0xE7, 0, 0]);
    commands.push(2);
    let expected = whole.receive(&mut chip, &packet(SWD, &commands)).unwrap();
    let bytes: Vec<u8> = commands.iter().flat_map(|byte| packet(SWD, &[*byte])).collect();
    let mut out = Vec::new();
    for byte in bytes {
        out.extend(pieces.receive(&mut chip, &[byte]).unwrap());
    }
    let joined = |out: &[u8]| answers(out).into_iter().flat_map(|(_, answer)| answer).collect::<Vec<_>>();
    assert_eq!(joined(&out), joined(&expected));
    assert_eq!(chip.words[0], 0xAABB_CCDD);
}

#[test]
fn a_fault_is_answered_once_ends_its_batch_and_is_cleared() {
    let (mut probe, mut chip) = (Glasgow::new(), Chip::new());
    open(&mut probe, &mut chip, 0x9000_0000);
    let out = probe.receive(&mut chip, &packet(SWD, &[READ_DRW, READ_DRW, READ_RDBUFF])).unwrap();
    assert_eq!(answers(&out), [(SWD, vec![0x14])], "what was posted before comes first, then the fault alone");
    open(&mut probe, &mut chip, 0x2000_0008);
    let out = probe.receive(&mut chip, &packet(SWD, &[READ_DRW, READ_RDBUFF])).unwrap();
    let [(SWD, answer)] = &answers(&out)[..] else { panic!("{out:?}") };
    assert_eq!(answer[5..], [1, 0x22, 0x22, 0x22, 0x22]);
}

#[test]
fn without_supply_nothing_acknowledges() {
    let (mut probe, mut chip) = (Glasgow::new(), Chip::new());
    chip.powered = false;
    let out = probe.receive(&mut chip, &packet(SWD, &[2])).unwrap();
    assert_eq!(answers(&out), [(SWD, vec![swd::ERROR])]);
}

#[test]
fn who_speaks_something_else_is_refused() {
    let refused = |bytes: &[u8]| Glasgow::new().receive(&mut Chip::new(), bytes).unwrap_err();
    assert_eq!(refused(b"GET / HTTP/1.1\r\n\0"), ProtocolError::Encoding);
    assert_eq!(refused(&packet(7, &[0])), ProtocolError::Endpoint(7));
    assert_eq!(refused(&packet(ROOT, &[0x77])), ProtocolError::Command(0x77));
    assert_eq!(refused(&[0]), ProtocolError::Encoding);
    assert_eq!(refused(&vec![1; MAX_PACKET + 1]), ProtocolError::TooLong);
}
