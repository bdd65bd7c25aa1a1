//! Instructions of the N25Q256A (data sheet "n25q_256mb_3v", command set).

/// How many data lines a phase of a frame uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    One = 1,
    Two = 2,
    Four = 4,
}

/// Everything of a frame before its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) opcode_lines: Lines,
    /// Address, its bytes (3 or 4) and lines.
    pub(crate) address: Option<(u32, u8, Lines)>,
    /// Clock cycles between address and data, option (mode) bits included.
    pub(crate) dummy: u8,
    pub(crate) data_lines: Lines,
}

/// How many address bytes an instruction takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressBytes {
    None,
    /// 3 or 4, as the address mode says.
    Mode,
    Four,
}

/// Dummy cycles that an instruction needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dummy {
    None,
    /// Volatile configuration register; this is the default.
    Configured(u8),
    Fixed(u8),
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
    Identification,
    Parameters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    ReadArray,
    Program,
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
    pub(super) address_lines: Lines,
    pub(super) data_lines: Lines,
    pub(super) dummy: Dummy,
}

impl Command {
    const fn new(action: Action) -> Self {
        Self {
            action,
            address: AddressBytes::None,
            address_lines: Lines::One,
            data_lines: Lines::One,
            dummy: Dummy::None,
        }
    }

    const fn at(self, address: AddressBytes, address_lines: Lines, data_lines: Lines, dummy: Dummy) -> Self {
        Self { address, address_lines, data_lines, dummy, ..self }
    }
}

/// The instruction `opcode`, if the memory has it.
pub(super) fn decode(opcode: u8) -> Option<Command> {
    use Action as A;
    use AddressBytes::{Four as A4, Mode};
    use Dummy::{Configured, Fixed, None as NoDummy};
    use Lines::{Four, One, Two};
    use Register as R;
    let read = Command::new(A::ReadArray);
    let program = Command::new(A::Program);
    Some(match opcode {
        0x03 => read.at(Mode, One, One, NoDummy),
        0x0B => read.at(Mode, One, One, Configured(8)),
        0x3B => read.at(Mode, One, Two, Configured(8)),
        0xBB => read.at(Mode, Two, Two, Configured(8)),
        0x6B => read.at(Mode, One, Four, Configured(8)),
        0xEB => read.at(Mode, Four, Four, Configured(10)),
        0x13 => read.at(A4, One, One, NoDummy),
        0x0C => read.at(A4, One, One, Configured(8)),
        0x3C => read.at(A4, One, Two, Configured(8)),
        0xBC => read.at(A4, Two, Two, Configured(8)),
        0x6C => read.at(A4, One, Four, Configured(8)),
        0xEC => read.at(A4, Four, Four, Configured(10)),
        0x02 => program.at(Mode, One, One, NoDummy),
        0xA2 => program.at(Mode, One, Two, NoDummy),
        0xD2 => program.at(Mode, Two, Two, NoDummy),
        0x32 => program.at(Mode, One, Four, NoDummy),
        0x12 | 0x38 => program.at(Mode, Four, Four, NoDummy),
        0x20 => Command::new(A::Erase(4_096)).at(Mode, One, One, NoDummy),
        0xD8 => Command::new(A::Erase(65_536)).at(Mode, One, One, NoDummy),
        0xC7 => Command::new(A::Erase(0)),
        0x9E | 0x9F => Command::new(A::ReadRegister(R::Identification)),
        0x5A => Command::new(A::ReadRegister(R::Parameters)).at(Mode, One, One, Fixed(8)),
        0x05 => Command::new(A::ReadRegister(R::Status)),
        0x70 => Command::new(A::ReadRegister(R::FlagStatus)),
        0xB5 => Command::new(A::ReadRegister(R::NonVolatile)),
        0x85 => Command::new(A::ReadRegister(R::Volatile)),
        0x65 => Command::new(A::ReadRegister(R::Enhanced)),
        0xC8 => Command::new(A::ReadRegister(R::ExtendedAddress)),
        0xE8 => Command::new(A::ReadRegister(R::Lock)).at(Mode, One, One, NoDummy),
        0x01 => Command::new(A::WriteRegister(R::Status)),
        0xB1 => Command::new(A::WriteRegister(R::NonVolatile)),
        0x81 => Command::new(A::WriteRegister(R::Volatile)),
        0x61 => Command::new(A::WriteRegister(R::Enhanced)),
        0xC5 => Command::new(A::WriteRegister(R::ExtendedAddress)),
        0xE5 => Command::new(A::WriteRegister(R::Lock)).at(Mode, One, One, NoDummy),
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
