//! Instructions of the N25Q256A (data sheet "n25q_256mb_3v", command set; not the part numbers with 4-byte programs and
//! erases, ENTER QUAD and EXIT QUAD).

use crate::spi_flash::Lines;

/// The protocol for the whole frame (enhanced volatile configuration register).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Instruction on one line, the rest as the instruction says.
    Extended,
    /// Everything on two lines.
    Dual,
    /// Everything on four lines.
    Quad,
}

/// How many address bytes an instruction takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressBytes {
    None,
    /// Always 3.
    Three,
    /// 3 or 4, as the address mode says.
    Mode,
    Four,
}

/// Dummy cycles that an instruction needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dummy {
    None,
    Eight,
    /// As the volatile configuration register says; these are the defaults, in the quad protocol and else.
    Configured {
        quad: u8,
        else_: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Register {
    Status,
    FlagStatus,
    NonVolatile,
    Volatile,
    Enhanced,
    ExtendedAddress,
    Lock,
    /// Manufacturer, device and unique id.
    Identification,
    /// Manufacturer and device only.
    ShortIdentification,
    Parameters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    ReadArray,
    ReadOtp,
    Program,
    ProgramOtp,
    /// Erase of so many bytes; 0 is the whole array.
    Erase(u32),
    ReadRegister(Register),
    WriteRegister(Register),
    WriteEnable,
    WriteDisable,
    ClearFlags,
    Enter4Byte,
    Exit4Byte,
    ResetEnable,
    ResetMemory,
    Suspend,
    Resume,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) action: Action,
    pub(super) address: AddressBytes,
    /// Lines in the extended protocol.
    pub(super) address_lines: Lines,
    pub(super) data_lines: Lines,
    pub(super) dummy: Dummy,
    pub(super) double_rate: bool,
    /// Protocols that have it.
    extended: bool,
    dual: bool,
    quad: bool,
}

impl Command {
    const fn new(action: Action) -> Self {
        Self {
            action,
            address: AddressBytes::None,
            address_lines: Lines::One,
            data_lines: Lines::One,
            dummy: Dummy::None,
            double_rate: false,
            extended: true,
            dual: true,
            quad: true,
        }
    }

    const fn at(self, address: AddressBytes, address_lines: Lines, data_lines: Lines, dummy: Dummy) -> Self {
        Self { address, address_lines, data_lines, dummy, ..self }
    }

    /// In these protocols only.
    const fn only(self, extended: bool, dual: bool, quad: bool) -> Self {
        Self { extended, dual, quad, ..self }
    }

    const fn ddr(self) -> Self {
        Self { double_rate: true, ..self }
    }

    /// Lines of instruction, address and data in `protocol`.
    pub(super) fn lines(&self, protocol: Protocol) -> (Lines, Lines, Lines) {
        match protocol {
            Protocol::Extended => (Lines::One, self.address_lines, self.data_lines),
            Protocol::Dual => (Lines::Two, Lines::Two, Lines::Two),
            Protocol::Quad => (Lines::Four, Lines::Four, Lines::Four),
        }
    }
}

/// The instruction `opcode`, if the memory has it in `protocol`.
pub(super) fn decode(opcode: u8, protocol: Protocol) -> Option<Command> {
    let command = find(opcode)?;
    let here = match protocol {
        Protocol::Extended => command.extended,
        Protocol::Dual => command.dual,
        Protocol::Quad => command.quad,
    };
    here.then_some(command)
}

fn find(opcode: u8) -> Option<Command> {
    use Action as A;
    use AddressBytes::{Four as A4, Mode, Three};
    use Dummy::{Configured, Eight, None as NoDummy};
    use Lines::{Four, One, Two};
    use Register as R;
    const FAST: Dummy = Configured { quad: 10, else_: 8 };
    const QUAD_IO: Dummy = Configured { quad: 10, else_: 10 };
    const DTR: Dummy = Configured { quad: 8, else_: 6 };
    const DTR_QUAD_IO: Dummy = Configured { quad: 8, else_: 8 };
    let read = Command::new(A::ReadArray);
    let program = Command::new(A::Program);
    let register = |register| Command::new(A::ReadRegister(register));
    let write = |register| Command::new(A::WriteRegister(register));
    Some(match opcode {
        0x03 => read.at(Mode, One, One, NoDummy).only(true, false, false),
        0x0B => read.at(Mode, One, One, FAST),
        0x3B => read.at(Mode, One, Two, FAST).only(true, true, false),
        0xBB => read.at(Mode, Two, Two, FAST).only(true, true, false),
        0x6B => read.at(Mode, One, Four, FAST).only(true, false, true),
        0xEB => read.at(Mode, Four, Four, QUAD_IO).only(true, false, true),
        0x13 => read.at(A4, One, One, NoDummy).only(true, false, false),
        0x0C => read.at(A4, One, One, FAST),
        0x3C => read.at(A4, One, Two, FAST).only(true, true, false),
        0xBC => read.at(A4, Two, Two, FAST).only(true, true, false),
        0x6C => read.at(A4, One, Four, FAST).only(true, false, true),
        0xEC => read.at(A4, Four, Four, QUAD_IO).only(true, false, true),
        0x0D => read.at(Mode, One, One, DTR).ddr(),
        0x3D => read.at(Mode, One, Two, DTR).only(true, true, false).ddr(),
        0xBD => read.at(Mode, Two, Two, DTR).only(true, true, false).ddr(),
        0x6D => read.at(Mode, One, Four, DTR).only(true, false, true).ddr(),
        0xED => read.at(Mode, Four, Four, DTR_QUAD_IO).only(true, false, true).ddr(),
        0x02 => program.at(Mode, One, One, NoDummy),
        0xA2 => program.at(Mode, One, Two, NoDummy).only(true, true, false),
        0xD2 => program.at(Mode, Two, Two, NoDummy).only(true, true, false),
        0x32 => program.at(Mode, One, Four, NoDummy).only(true, false, true),
        0x12 | 0x38 => program.at(Mode, Four, Four, NoDummy).only(true, false, true),
        0x20 => Command::new(A::Erase(4_096)).at(Mode, One, One, NoDummy),
        0xD8 => Command::new(A::Erase(65_536)).at(Mode, One, One, NoDummy),
        0xC7 => Command::new(A::Erase(0)),
        0x4B => Command::new(A::ReadOtp).at(Mode, One, One, FAST),
        0x42 => Command::new(A::ProgramOtp).at(Mode, One, One, NoDummy),
        0x9E | 0x9F => register(R::Identification).only(true, false, false),
        0xAF => register(R::ShortIdentification).only(false, true, true),
        0x5A => register(R::Parameters).at(Three, One, One, Eight),
        0x05 => register(R::Status),
        0x70 => register(R::FlagStatus),
        0xB5 => register(R::NonVolatile),
        0x85 => register(R::Volatile),
        0x65 => register(R::Enhanced),
        0xC8 => register(R::ExtendedAddress),
        0xE8 => register(R::Lock).at(Mode, One, One, NoDummy),
        0x01 => write(R::Status),
        0xB1 => write(R::NonVolatile),
        0x81 => write(R::Volatile),
        0x61 => write(R::Enhanced),
        0xC5 => write(R::ExtendedAddress),
        0xE5 => write(R::Lock).at(Mode, One, One, NoDummy),
        0x06 => Command::new(A::WriteEnable),
        0x04 => Command::new(A::WriteDisable),
        0x50 => Command::new(A::ClearFlags),
        0xB7 => Command::new(A::Enter4Byte),
        0xE9 => Command::new(A::Exit4Byte),
        0x66 => Command::new(A::ResetEnable),
        0x99 => Command::new(A::ResetMemory),
        0x75 => Command::new(A::Suspend),
        0x7A => Command::new(A::Resume),
        _ => return None,
    })
}
