//! What is on the board when it gets its supply.

use std::path::{Path, PathBuf};

use same54_sim::Board;
use update_image::layout;

use super::LiveError;
use super::args::{BoardArgs, Plan};
use crate::artifacts::{self, Workspace};
use crate::elf::{FLASH, Image};
use crate::{rig, scenario};

/// Bytes of the N25Q256A.
pub(super) const NOR_SIZE: u32 = 0x0200_0000;

/// A program that may run.
#[derive(Debug)]
pub(super) struct Program {
    /// Name of its file, without folder and extension.
    pub name: String,
    pub image: Image,
}

/// The flashes' contents and the programs in them.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub programs: Vec<Program>,
    nvm: Vec<Piece>,
    nor: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Piece {
    from: PathBuf,
    addr: u32,
    bytes: Vec<u8>,
}

impl Contents {
    /// Reads and checks every file. `device_key` is what this project's firmware shows to the hub.
    pub fn read(args: &BoardArgs, plan: &Plan, device_key: &[u8]) -> Result<Self, LiveError> {
        let mut contents = Self::default();
        if let Some(path) = &args.nvm {
            contents.add_raw(path, 0)?;
        }
        let whole_chip = contents.nvm.pop();
        for (path, addr) in &plan.images {
            contents.add_raw(path, *addr)?;
        }
        if args.elf.is_empty() && plan.images.is_empty() && args.nvm.is_none() {
            contents.add_workspace()?;
        }
        for path in &args.elf {
            contents.add_elf(path)?;
        }
        for path in &args.symbols {
            let program = read_elf(path)?;
            contents.programs.push(program);
        }
        if contents.nvm.iter().any(|piece| piece.addr == layout::SLOT.start) {
            let from = PathBuf::from("the provisioning record");
            let bytes = rig::provisioning_record(device_key)?;
            contents.nvm.push(Piece { from, addr: layout::PROVISIONING.start, bytes });
        }
        contents.check_overlaps()?;
        // What was given by itself lies on top of the chip's contents.
        contents.nvm.splice(0..0, whole_chip);
        if !contents.nvm.iter().any(|piece| piece.addr == 0) {
            return Err(LiveError::NothingAtZero);
        }
        contents.nor = args.nor.as_deref().map(|path| read_sized(path, 0, "external flash", NOR_SIZE)).transpose()?;
        Ok(contents)
    }

    /// Puts everything onto a board.
    pub fn put(&self, board: &mut Board) {
        for piece in &self.nvm {
            let fits = board.preload_nvm(piece.addr, &piece.bytes);
            debug_assert!(fits, "{:?} was checked", piece.from);
        }
        if let Some(nor) = &self.nor {
            board.preload_nor(0, nor);
        }
    }

    fn add_raw(&mut self, path: &Path, addr: u32) -> Result<(), LiveError> {
        let bytes = read_sized(path, addr, "internal flash", FLASH.end)?;
        self.nvm.push(Piece { from: path.to_owned(), addr, bytes });
        Ok(())
    }

    /// A program that is linked for the application slot gets an image header and a signature, so that this project's
    /// bootloader starts it.
    fn add_elf(&mut self, path: &Path) -> Result<(), LiveError> {
        let program = read_elf(path)?;
        self.add_program(path, program)
    }

    fn add_program(&mut self, path: &Path, program: Program) -> Result<(), LiveError> {
        let image = &program.image;
        if image.vector_table == layout::VECTOR_TABLE {
            let bytes = scenario::signed(&image.flat(), scenario::OLD)?;
            self.nvm.push(Piece { from: path.to_owned(), addr: layout::SLOT.start, bytes });
        } else {
            let pieces = image.pieces.iter();
            self.nvm.extend(pieces.map(|(addr, bytes)| Piece {
                from: path.to_owned(),
                addr: *addr,
                bytes: bytes.clone(),
            }));
        }
        self.programs.push(program);
        Ok(())
    }

    /// This project's bootloader and firmware.
    fn add_workspace(&mut self) -> Result<(), LiveError> {
        let workspace = Workspace::new(artifacts::target_dir(&artifacts::root()).join("hil").join("programs"));
        for program in [workspace.bootloader()?, workspace.firmware(scenario::OLD)?] {
            let path = program.path;
            let image = Image::parse(program.elf).map_err(|why| LiveError::Elf { path: path.clone(), why })?;
            self.add_program(&path, Program { name: stem(&path), image })?;
        }
        Ok(())
    }

    fn check_overlaps(&self) -> Result<(), LiveError> {
        let mut pieces: Vec<_> = self.nvm.iter().filter(|piece| !piece.bytes.is_empty()).collect();
        pieces.sort_by_key(|piece| piece.addr);
        for pair in pieces.windows(2) {
            if let [first, second] = pair
                && second.addr < first.addr + first.bytes.len() as u32
            {
                let (first, at) = (first.from.clone(), second.addr);
                return Err(LiveError::Overlap { first, second: second.from.clone(), at });
            }
        }
        Ok(())
    }
}

fn read_elf(path: &Path) -> Result<Program, LiveError> {
    let bytes = std::fs::read(path).map_err(LiveError::read(path))?;
    let image = Image::parse(bytes).map_err(|why| LiveError::Elf { path: path.to_owned(), why })?;
    Ok(Program { name: stem(path), image })
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "program".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn read_sized(path: &Path, addr: u32, what: &'static str, size: u32) -> Result<Vec<u8>, LiveError> {
    let bytes = std::fs::read(path).map_err(LiveError::read(path))?;
    if addr as usize + bytes.len() > size as usize {
        return Err(LiveError::TooLarge { path: path.to_owned(), len: bytes.len(), addr, what, size });
    }
    Ok(bytes)
}
