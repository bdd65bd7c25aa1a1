//! Simulated flash, and a supply that can be cut in any of its operations.
//!
//! What is from datasheets: a program only clears bits, an erase sets all of a block, a quad word of the SAM E54's
//! internal flash may be programmed once per erase. What is assumed: what a cut leaves behind (see [`Torn`]).

use std::cell::RefCell;
use std::rc::Rc;
use std::vec::Vec;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use sim_base::Rng;

/// What an operation in which the supply was cut has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Torn {
    /// Nothing.
    Before,
    /// Its first bytes, chosen by the seed.
    Prefix,
    /// Part of its bits, chosen by the seed, over the whole of it.
    Bits,
    /// All.
    After,
}

impl Torn {
    /// Every model.
    pub const ALL: [Self; 4] = [Self::Before, Self::Prefix, Self::Bits, Self::After];
}

#[derive(Debug)]
struct SupplyState {
    on: bool,
    operations: u64,
    cut: Option<(u64, Torn)>,
    rng: Rng,
}

/// The supply of one or several flashes. Clones are the same supply.
#[derive(Clone, Debug)]
pub struct Supply(Rc<RefCell<SupplyState>>);

/// What becomes of an operation.
enum Fate {
    Done,
    Torn(Torn),
    NoPower,
}

impl Supply {
    /// A supply that stays on.
    pub fn steady() -> Self {
        Self::new(None, 0)
    }

    /// A supply that is cut in operation number `operation` (from 0) of the flashes on it.
    pub fn cut_at(operation: u64, torn: Torn, seed: u64) -> Self {
        Self::new(Some((operation, torn)), seed)
    }

    fn new(cut: Option<(u64, Torn)>, seed: u64) -> Self {
        Self(Rc::new(RefCell::new(SupplyState { on: true, operations: 0, cut, rng: Rng::new(seed) })))
    }

    /// Programs and erases so far, the torn one included.
    pub fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    /// Whether it has not been cut.
    pub fn is_on(&self) -> bool {
        self.0.borrow().on
    }

    fn step(&self) -> Fate {
        let mut state = self.0.borrow_mut();
        if !state.on {
            return Fate::NoPower;
        }
        let number = state.operations;
        state.operations += 1;
        match state.cut {
            Some((at, torn)) if at == number => {
                state.on = false;
                Fate::Torn(torn)
            }
            _ => Fate::Done,
        }
    }

    fn draw(&self) -> u64 {
        self.0.borrow_mut().rng.next_u64()
    }
}

/// Why a simulated flash refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimError {
    /// The supply is off.
    NoPower,
    /// The flash was told to fail: [`SimFlash::set_dead`].
    Dead,
    /// Not a call that the flash can carry out.
    Call(NorFlashErrorKind),
}

impl NorFlashError for SimError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NoPower | Self::Dead => NorFlashErrorKind::Other,
            Self::Call(kind) => *kind,
        }
    }
}

/// A NOR flash with erase blocks of `ERASE` bytes, programmed in operations of at most `PROGRAM` bytes that do not
/// cross a multiple of `PROGRAM`, in units of `WRITE` bytes.
#[derive(Clone, Debug)]
pub struct SimFlash<const WRITE: usize, const PROGRAM: usize, const ERASE: usize> {
    bytes: Vec<u8>,
    /// How often each unit has been programmed since its erase.
    programs: Vec<u8>,
    erases: Vec<u32>,
    violations: Vec<std::string::String>,
    supply: Supply,
    dead: bool,
    single_program: bool,
}

/// The SAM E54's internal flash: quad words, which may be programmed once per erase, and 8 KiB blocks.
pub type SimNvm = SimFlash<16, 16, 8192>;
/// The N25Q256A: pages of 256 bytes, programmed by bytes, and 4 KiB subsectors.
pub type SimNor = SimFlash<1, 256, 4096>;

impl SimNvm {
    /// An erased internal flash of 1 MiB.
    pub fn erased(supply: &Supply) -> Self {
        Self::new(0x10_0000, supply, true)
    }
}

impl SimNor {
    /// An erased external flash of `len` bytes.
    pub fn erased(len: usize, supply: &Supply) -> Self {
        Self::new(len, supply, false)
    }
}

impl<const WRITE: usize, const PROGRAM: usize, const ERASE: usize> SimFlash<WRITE, PROGRAM, ERASE> {
    fn new(len: usize, supply: &Supply, single_program: bool) -> Self {
        Self {
            bytes: std::vec![0xFF; len],
            programs: std::vec![0; len / WRITE],
            erases: std::vec![0; len / ERASE],
            violations: Vec::new(),
            supply: supply.clone(),
            dead: false,
            single_program,
        }
    }

    /// The flash as it is found when `supply` comes on: same contents.
    pub fn powered_by(&self, supply: &Supply) -> Self {
        Self { supply: supply.clone(), ..self.clone() }
    }

    /// The contents.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The contents, to be changed as a programmer or a cosmic ray would.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// How often each unit of `WRITE` bytes has been programmed since its erase.
    pub fn programs(&self) -> &[u8] {
        &self.programs
    }

    /// How often each block has been erased.
    pub fn erases(&self) -> &[u32] {
        &self.erases
    }

    /// Forgets how often units were programmed and blocks erased.
    pub fn reset_counts(&mut self) {
        self.programs.fill(0);
        self.erases.fill(0);
    }

    /// Rules that were broken: a bit that a program should have set, a quad word programmed twice.
    pub fn violations(&self) -> &[std::string::String] {
        &self.violations
    }

    /// From now on every call fails, or no longer does.
    pub fn set_dead(&mut self, dead: bool) {
        self.dead = dead;
    }

    fn check_alive(&self) -> Result<(), SimError> {
        if self.dead {
            Err(SimError::Dead)
        } else if self.supply.is_on() {
            Ok(())
        } else {
            Err(SimError::NoPower)
        }
    }

    /// One program operation.
    fn program(&mut self, at: usize, data: &[u8]) -> Result<(), SimError> {
        let (mask, result): (Vec<u8>, _) = match self.supply.step() {
            Fate::NoPower => return Err(SimError::NoPower),
            Fate::Done => (std::vec![0xFF; data.len()], Ok(())),
            Fate::Torn(torn) => (self.torn_mask(torn, data.len()), Err(SimError::NoPower)),
        };
        for (unit, (data, mask)) in (at / WRITE..).zip(data.chunks(WRITE).zip(mask.chunks(WRITE))) {
            // A unit that a cut has left without any change is as good as not programmed.
            let touched = result.is_ok() || data.iter().zip(mask).any(|(data, mask)| !data & mask != 0);
            if !touched {
                continue;
            }
            let address = unit * WRITE;
            if self.single_program && self.programs[unit] != 0 {
                self.violations.push(std::format!("{address:#x} programmed twice without an erase"));
            }
            self.programs[unit] = self.programs[unit].saturating_add(1);
            for ((cell, data), mask) in self.bytes[address..].iter_mut().zip(data).zip(mask) {
                if !*cell & data != 0 {
                    self.violations.push(std::format!("{address:#x} programmed from 0 to 1"));
                }
                *cell &= data | !mask;
            }
        }
        result
    }

    /// The erase of one block.
    fn erase_block(&mut self, block: usize) -> Result<(), SimError> {
        let (mask, result): (Vec<u8>, _) = match self.supply.step() {
            Fate::NoPower => return Err(SimError::NoPower),
            Fate::Done => (std::vec![0xFF; ERASE], Ok(())),
            Fate::Torn(torn) => (self.torn_mask(torn, ERASE), Err(SimError::NoPower)),
        };
        self.erases[block] += 1;
        let range = block * ERASE..(block + 1) * ERASE;
        for (cell, mask) in self.bytes[range.clone()].iter_mut().zip(&mask) {
            *cell |= mask;
        }
        for (unit, mask) in (range.start / WRITE..).zip(mask.chunks(WRITE)) {
            if mask.iter().all(|mask| *mask == 0xFF) {
                self.programs[unit] = 0;
            }
        }
        result
    }

    /// The bits that a torn operation has reached.
    fn torn_mask(&self, torn: Torn, len: usize) -> Vec<u8> {
        match torn {
            Torn::Before => std::vec![0; len],
            Torn::After => std::vec![0xFF; len],
            Torn::Prefix => {
                let done = self.supply.draw() as usize % (len + 1);
                (0..len).map(|at| if at < done { 0xFF } else { 0 }).collect()
            }
            Torn::Bits => (0..len).map(|_| self.supply.draw() as u8).collect(),
        }
    }
}

impl<const WRITE: usize, const PROGRAM: usize, const ERASE: usize> ErrorType for SimFlash<WRITE, PROGRAM, ERASE> {
    type Error = SimError;
}

impl<const WRITE: usize, const PROGRAM: usize, const ERASE: usize> ReadNorFlash for SimFlash<WRITE, PROGRAM, ERASE> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimError> {
        self.check_alive()?;
        check_read(self, offset, bytes.len()).map_err(SimError::Call)?;
        let start = offset as usize;
        bytes.copy_from_slice(&self.bytes[start..start + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const WRITE: usize, const PROGRAM: usize, const ERASE: usize> NorFlash for SimFlash<WRITE, PROGRAM, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), SimError> {
        self.check_alive()?;
        check_erase(self, from, to).map_err(SimError::Call)?;
        (from as usize / ERASE..to as usize / ERASE).try_for_each(|block| self.erase_block(block))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        self.check_alive()?;
        check_write(self, offset, bytes.len()).map_err(SimError::Call)?;
        let (mut at, mut rest) = (offset as usize, bytes);
        while !rest.is_empty() {
            let room = PROGRAM - at % PROGRAM;
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.program(at, now)?;
            at += now.len();
            rest = later;
        }
        Ok(())
    }
}
