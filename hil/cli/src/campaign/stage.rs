//! Virtual boards with the shipped programs on them, as a campaign begins with.

use std::path::Path;
use std::time::Duration;

use same54_sim::{Board, BoardConfig, EventKind, RunStop};
use sim_base::Instant;
use update_image::layout::{self, SLOT};
use update_image::sim::{SimNor, Supply};
use update_store::{Store, StoreError, next_block_len};

use crate::artifacts::{Program, Workspace};
use crate::error::Error;
use crate::rig::Programs;
use crate::scenario::{self, Images};

/// Virtual time between two looks at the core; while flash is busy, nobody looks: the bootloader waits.
const LOOK: Duration = Duration::from_micros(500);
/// The longest that a start may take: an update of the whole slot takes half a minute.
pub(crate) const LONGEST: Duration = Duration::from_secs(120);

/// The programs.
pub(crate) struct Stage {
    /// ELF of the bootloader.
    pub(crate) bootloader: Vec<u8>,
    bootloader_image: (u32, Vec<u8>),
    /// The signed image that runs at first, 1.0.0.
    pub(crate) old: Vec<u8>,
    /// The signed image of the update, 2.0.0.
    pub(crate) new: Vec<u8>,
}

/// How a board's way ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The core executes in the application's slot.
    Application,
    /// The supply was cut.
    NoPower,
    /// The core was reset, and that was to end it.
    Reset,
    /// The core locked up.
    Lockup,
    /// None of these, in the time that was given.
    Time,
}

/// Builds the programs; the bootloader is what the ELF file `bootloader` holds, if there is one.
pub(crate) fn programs(workspace: &Workspace, bootloader: Option<&Path>) -> Result<(Programs, Images), Error> {
    let (programs, images) = scenario::programs(workspace)?;
    let Some(bootloader) = bootloader else { return Ok((programs, images)) };
    let program = Program::read(bootloader)?;
    Ok((Programs { bootloader_image: program.flat()?, bootloader: program.elf, ..programs }, images))
}

impl Stage {
    /// With these programs.
    pub(crate) fn of(programs: &Programs, images: &Images) -> Self {
        Self {
            bootloader: programs.bootloader.clone(),
            bootloader_image: programs.bootloader_image.clone(),
            old: images.old.clone(),
            new: images.new.clone(),
        }
    }

    /// A board without supply: bootloader, `slot`, and a volume with these files.
    pub(crate) fn board(&self, slot: &[u8], files: &[(&str, &[u8])], seed: u64) -> Result<Board, Error> {
        let mut board = Board::new(BoardConfig { seed, flash_timing: true });
        let volume =
            volume(files).map_err(|why| Error::Campaign(format!("external flash cannot be filled: {why:?}")))?;
        board.preload_nvm(self.bootloader_image.0, &self.bootloader_image.1);
        board.preload_nvm(SLOT.start, slot);
        board.preload_nor(layout::STORE.start, &volume);
        Ok(board)
    }

    /// A board that has started 1.0.0 once, so that it is the confirmed image; without supply, with these files.
    pub(crate) fn confirmed_board(&self, files: &[(&str, &[u8])], seed: u64) -> Result<Board, Error> {
        let mut board = self.board(&self.old, &[], seed)?;
        board.power_on();
        let end = run(&mut board, LONGEST, false);
        if end != End::Application {
            return Err(Error::Campaign(format!("the bootloader does not start 1.0.0: {end:?}")));
        }
        board.power_off();
        let volume =
            volume(files).map_err(|why| Error::Campaign(format!("external flash cannot be filled: {why:?}")))?;
        board.preload_nor(layout::STORE.start, &volume);
        board.take_events();
        Ok(board)
    }
}

/// Lets the board run until the application starts, the supply is cut, or `time` has passed.
pub(crate) fn run(board: &mut Board, time: Duration, until_reset: bool) -> End {
    let end = board.now() + time;
    loop {
        let stop = board.run_until(next_look(board).min(end));
        if !board.is_powered() {
            return End::NoPower;
        }
        if stop == RunStop::Lockup {
            return End::Lockup;
        }
        if until_reset && board.take_events().iter().any(|event| matches!(event.kind, EventKind::Reset(_))) {
            return End::Reset;
        }
        if SLOT.contains(board.register(15)) {
            return End::Application;
        }
        if board.now() >= end {
            return End::Time;
        }
    }
}

/// Until when a board need not be looked at.
pub(crate) fn next_look(board: &Board) -> Instant {
    let busy = board.flash_busy_until().into_iter().flatten().max();
    busy.unwrap_or(Instant::ZERO).max(board.now() + LOOK)
}

/// A littlefs volume with these files, each written block by block as a download does.
fn volume(files: &[(&str, &[u8])]) -> Result<Vec<u8>, StoreError> {
    let mut nor = SimNor::erased(layout::STORE.len as usize, &Supply::steady());
    let store = Store::format(&mut nor, layout::STORE).map_err(|(error, _)| error)?;
    for (name, bytes) in files {
        let mut offset = 0;
        while offset < bytes.len() {
            let end = bytes.len().min(offset + next_block_len(offset as u32) as usize);
            store.append(name, &bytes[offset..end])?;
            offset = end;
        }
    }
    store.unmount()?;
    Ok(nor.bytes())
}
