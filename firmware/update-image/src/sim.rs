//! Simulated flash, and a supply that can be cut in any of its operations.
//!
//! What is from datasheets: a program only clears bits, an erase sets all of a block, a quad word of the SAM E54's
//! internal flash may be programmed once per erase. What is assumed: what a cut leaves behind (see [`Torn`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
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
    /// All or part of its bits, and some of the cells are between their levels: each read gives 0 or 1, until the next
    /// erase, or until a program makes them 0. See [`SimFlash::set_bias`].
    Unsteady,
    /// All.
    After,
}

impl Torn {
    /// Every model.
    pub const ALL: [Self; 5] = [Self::Before, Self::Prefix, Self::Bits, Self::Unsteady, Self::After];
}

#[derive(Debug)]
struct SupplyState {
    on: bool,
    operations: u64,
    busy: Duration,
    cut: Option<(u64, Torn)>,
    rng: Rng,
}

/// The supply of one or several flashes. Clones are the same supply.
#[derive(Clone, Debug)]
pub struct Supply(Arc<Mutex<SupplyState>>);

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

    /// A supply that stays on; what unsteady cells read as is drawn from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self::new(None, seed)
    }

    /// A supply that is cut in operation number `operation` (from 0) of the flashes on it.
    pub fn cut_at(operation: u64, torn: Torn, seed: u64) -> Self {
        Self::new(Some((operation, torn)), seed)
    }

    fn new(cut: Option<(u64, Torn)>, seed: u64) -> Self {
        let busy = Duration::ZERO;
        Self(Arc::new(Mutex::new(SupplyState { on: true, operations: 0, busy, cut, rng: Rng::new(seed) })))
    }

    /// Programs and erases so far, the torn one included.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// How long these take, by the datasheets' typical times.
    pub fn busy(&self) -> Duration {
        self.state().busy
    }

    /// Whether it has not been cut.
    pub fn is_on(&self) -> bool {
        self.state().on
    }

    fn state(&self) -> MutexGuard<'_, SupplyState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, time: Duration) -> Fate {
        let mut state = self.state();
        if !state.on {
            return Fate::NoPower;
        }
        let number = state.operations;
        state.operations += 1;
        state.busy += time;
        match state.cut {
            Some((at, torn)) if at == number => {
                state.on = false;
                Fate::Torn(torn)
            }
            _ => Fate::Done,
        }
    }

    fn draw(&self) -> u64 {
        self.state().rng.next_u64()
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

/// An erase block.
#[derive(Clone, Debug)]
struct Block {
    bytes: Vec<u8>,
    /// How often each unit has been programmed since its erase.
    programs: Vec<u8>,
    erases: u32,
    /// Cells that read differently each time: offset and bits.
    unsteady: BTreeMap<usize, u8>,
}

/// A NOR flash with erase blocks of `ERASE` bytes, programmed in operations of at most `PROGRAM` bytes that do not
/// cross a multiple of `PROGRAM`, in units of `WRITE` bytes.
///
/// Clones share the blocks that neither has changed since.
#[derive(Clone, Debug)]
pub struct SimFlash<const WRITE: usize, const PROGRAM: usize, const ERASE: usize> {
    blocks: Vec<Arc<Block>>,
    violations: Vec<std::string::String>,
    supply: Supply,
    dead: bool,
    single_program: bool,
    times: Times,
    /// See [`set_bias`](Self::set_bias).
    bias: u32,
}

/// Typical times of the operations.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// Of `PROGRAM` bytes.
    program: Duration,
    /// Of a unit of a flash that programs less than `PROGRAM` bytes by units.
    unit: Duration,
    erase: Duration,
}

/// The SAM E54's internal flash: quad words, which may be programmed once per erase, and 8 KiB blocks. A page of 512
/// bytes is one operation where it is written whole.
pub type SimNvm = SimFlash<16, 512, 8192>;
/// The N25Q256A: pages of 256 bytes, programmed by bytes, and 4 KiB subsectors.
pub type SimNor = SimFlash<1, 256, 4096>;

impl SimNvm {
    /// An erased internal flash of 1 MiB. Times: SAM D5x/E5x datasheet, 54.12; that of a
    /// quad word is assumed.
    pub fn erased(supply: &Supply) -> Self {
        let times = Times {
            program: Duration::from_micros(1_500),
            unit: Duration::from_micros(50),
            erase: Duration::from_millis(50),
        };
        Self::new(0x10_0000, supply, true, times)
    }
}

impl SimNor {
    /// An erased external flash of `len` bytes. Times: N25Q256A datasheet, AC characteristics.
    pub fn erased(len: usize, supply: &Supply) -> Self {
        let program = Duration::from_micros(500);
        let times = Times { program, unit: program, erase: Duration::from_millis(250) };
        Self::new(len, supply, false, times)
    }
}

impl<const WRITE: usize, const PROGRAM: usize, const ERASE: usize> SimFlash<WRITE, PROGRAM, ERASE> {
    fn new(len: usize, supply: &Supply, single_program: bool, times: Times) -> Self {
        let blank = Arc::new(Block {
            bytes: std::vec![0xFF; ERASE],
            programs: std::vec![0; ERASE / WRITE],
            erases: 0,
            unsteady: BTreeMap::new(),
        });
        Self {
            blocks: std::vec![blank; len / ERASE],
            violations: Vec::new(),
            supply: supply.clone(),
            dead: false,
            single_program,
            times,
            bias: 1,
        }
    }

    /// The flash as it is found when `supply` comes on: same contents.
    pub fn powered_by(&self, supply: &Supply) -> Self {
        Self { supply: supply.clone(), ..self.clone() }
    }

    /// The contents; unsteady cells as they were last meant to be.
    pub fn bytes(&self) -> Vec<u8> {
        self.blocks.iter().flat_map(|block| &block.bytes).copied().collect()
    }

    /// Whether the bytes from `at` on are `bytes`; an unsteady cell is none of them.
    pub fn holds(&self, at: u32, bytes: &[u8]) -> bool {
        let (mut at, mut rest) = (at as usize, bytes);
        while !rest.is_empty() {
            let offset = at % ERASE;
            let (now, later) = rest.split_at(rest.len().min(ERASE - offset));
            let Some(block) = self.blocks.get(at / ERASE) else { return false };
            let range = offset..offset + now.len();
            if block.bytes[range.clone()] != *now || block.unsteady.range(range).next().is_some() {
                return false;
            }
            (at, rest) = (at + now.len(), later);
        }
        true
    }

    /// Puts bytes there as a programmer or a cosmic ray would.
    pub fn put(&mut self, at: u32, bytes: &[u8]) {
        for (at, byte) in (at as usize..).zip(bytes) {
            let block = Arc::make_mut(&mut self.blocks[at / ERASE]);
            block.bytes[at % ERASE] = *byte;
            block.unsteady.remove(&(at % ERASE));
        }
    }

    /// How often each unit of `WRITE` bytes has been programmed since its erase.
    pub fn programs(&self) -> Vec<u8> {
        self.blocks.iter().flat_map(|block| &block.programs).copied().collect()
    }

    /// How often each block has been erased.
    pub fn erases(&self) -> Vec<u32> {
        self.blocks.iter().map(|block| block.erases).collect()
    }

    /// Forgets how often units were programmed and blocks erased.
    pub fn reset_counts(&mut self) {
        for block in &mut self.blocks {
            let block = Arc::make_mut(block);
            block.programs.fill(0);
            block.erases = 0;
        }
    }

    /// Rules that were broken: a bit that a program should have set, a quad word programmed twice.
    pub fn violations(&self) -> &[std::string::String] {
        &self.violations
    }

    /// Unsteady cells do not read as they were meant to once in 2 to the power of `bias`: 1 at first, so either way
    /// equally often. The higher, the harder to notice by reading again.
    pub fn set_bias(&mut self, bias: u32) {
        self.bias = bias;
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
        if data.len() == PROGRAM || WRITE == 1 {
            return self.program_piece(at, data, self.times.program);
        }
        (at..)
            .step_by(WRITE)
            .zip(data.chunks(WRITE))
            .try_for_each(|(at, unit)| self.program_piece(at, unit, self.times.unit))
    }

    fn program_piece(&mut self, at: usize, data: &[u8], time: Duration) -> Result<(), SimError> {
        let (reached, result) = match self.supply.step(time) {
            Fate::NoPower => return Err(SimError::NoPower),
            Fate::Done => (Reached::all(data.len()), Ok(())),
            Fate::Torn(torn) => (self.reached(torn, data.len()), Err(SimError::NoPower)),
        };
        let block = Arc::make_mut(&mut self.blocks[at / ERASE]);
        let offset = at % ERASE;
        for (n, data) in data.chunks(WRITE).enumerate() {
            let at = offset + n * WRITE;
            let range = n * WRITE..n * WRITE + data.len();
            // A unit that a cut has left without any change is as good as not programmed.
            let changes = |mask: &[u8]| data.iter().zip(mask).any(|(data, mask)| !data & mask != 0);
            if result.is_err() && !changes(&reached.done[range.clone()]) && !changes(&reached.unsteady[range.clone()]) {
                continue;
            }
            let unit = at / WRITE;
            let address = at + (at / ERASE) * ERASE;
            if self.single_program && block.programs[unit] != 0 {
                self.violations.push(std::format!("offset {address:#x} of a block programmed twice without an erase"));
            }
            block.programs[unit] = block.programs[unit].saturating_add(1);
            for (n, data) in data.iter().enumerate() {
                let (at, index) = (at + n, range.start + n);
                let cell = &mut block.bytes[at];
                if !*cell & data != 0 {
                    self.violations.push(std::format!("offset {at:#x} of a block programmed from 0 to 1"));
                }
                *cell &= data | !reached.done[index];
                let made = block.unsteady.get(&at).unwrap_or(&0) & (data | !reached.done[index]);
                let unsteady = made | (reached.unsteady[index] & *cell & !data);
                set_unsteady(&mut block.unsteady, at, unsteady);
            }
        }
        result
    }

    /// The erase of one block.
    fn erase_block(&mut self, block: usize) -> Result<(), SimError> {
        let (reached, result) = match self.supply.step(self.times.erase) {
            Fate::NoPower => return Err(SimError::NoPower),
            Fate::Done => (Reached::all(ERASE), Ok(())),
            Fate::Torn(torn) => (self.reached(torn, ERASE), Err(SimError::NoPower)),
        };
        let block = Arc::make_mut(&mut self.blocks[block]);
        block.erases += 1;
        for (at, cell) in block.bytes.iter_mut().enumerate() {
            let was_clear = !*cell;
            *cell |= reached.done[at];
            let kept = block.unsteady.get(&at).unwrap_or(&0) & !reached.done[at];
            set_unsteady(&mut block.unsteady, at, kept | (reached.unsteady[at] & was_clear & !reached.done[at]));
        }
        for (unit, masks) in reached.done.chunks(WRITE).enumerate() {
            if masks.iter().all(|mask| *mask == 0xFF) {
                block.programs[unit] = 0;
            }
        }
        result
    }

    /// The bits that a torn operation has reached.
    fn reached(&self, torn: Torn, len: usize) -> Reached {
        let mut reached = Reached { done: std::vec![0; len], unsteady: std::vec![0; len] };
        match torn {
            Torn::Before => {}
            Torn::After => reached.done.fill(0xFF),
            Torn::Prefix => {
                let done = self.supply.draw() as usize % (len + 1);
                reached.done[..done].fill(0xFF);
            }
            Torn::Bits | Torn::Unsteady => {
                for mask in &mut reached.done {
                    *mask = self.supply.draw() as u8;
                }
            }
        }
        if torn == Torn::Unsteady {
            // Few or many: one cell is the hardest to notice.
            let every = 1 << (self.supply.draw() % 12);
            // Nothing else is missing in every other case: what is written may read as sound.
            let nearly_done = self.supply.draw().is_multiple_of(2);
            for (mask, done) in reached.unsteady.iter_mut().zip(&mut reached.done) {
                *done |= if nearly_done { 0xFF } else { 0 };
                if self.supply.draw().is_multiple_of(every) {
                    *mask = 1 << (self.supply.draw() % 8);
                    *done &= !*mask;
                }
            }
        }
        reached
    }
}

/// What a torn operation has done to each byte.
struct Reached {
    done: Vec<u8>,
    unsteady: Vec<u8>,
}

impl Reached {
    fn all(len: usize) -> Self {
        Self { done: std::vec![0xFF; len], unsteady: std::vec![0; len] }
    }
}

fn set_unsteady(map: &mut BTreeMap<usize, u8>, at: usize, bits: u8) {
    if bits != 0 {
        map.insert(at, bits);
    } else if !map.is_empty() {
        map.remove(&at);
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
        let (mut at, mut rest) = (offset as usize, bytes);
        while !rest.is_empty() {
            let offset = at % ERASE;
            let len = rest.len().min(ERASE - offset);
            let (now, later) = rest.split_at_mut(len);
            let block = &self.blocks[at / ERASE];
            now.copy_from_slice(&block.bytes[offset..offset + len]);
            for (cell, bits) in block.unsteady.range(offset..offset + len) {
                // What was meant is the other level than the one that is stored.
                let as_meant = (0..self.bias).fold(0, |as_meant, _| as_meant | self.supply.draw() as u8);
                now[cell - offset] ^= as_meant & bits;
            }
            (at, rest) = (at + len, later);
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.blocks.len() * ERASE
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
