//! The flash controller by hand: user page (fuses) and security bit (SAM D5x/E5x datasheet, 25.6 and 25.8).

use std::time::Duration;

use probe_rs::MemoryInterface as _;

use super::{BoardError, BoardSession};

/// First byte of the user page.
const USER_PAGE: u32 = 0x0080_4000;
/// Bytes of the user page.
pub const USER_PAGE_SIZE: usize = 512;
/// What is written at a time: the only size that the user page takes (table 25-5).
const QUAD_WORD: usize = 16;

const CTRLB: u64 = 0x4100_4004;
const INTFLAG: u64 = 0x4100_4010;
const STATUS: u64 = 0x4100_4012;
const ADDR: u64 = 0x4100_4014;
const KEY: u16 = 0xA500;
const ERASE_PAGE: u16 = 0x00;
const WRITE_QUAD_WORD: u16 = 0x04;
const CLEAR_PAGE_BUFFER: u16 = 0x15;
const SET_SECURITY_BIT: u16 = 0x16;
const READY: u16 = 1 << 0;
const DONE: u16 = 1 << 0;
/// INTFLAG.ADDRE, PROGE, LOCKE and NVME.
const ERRORS: u16 = 0x4E;

const DEMCR: u64 = 0xE000_EDFC;
const VC_CORERESET: u32 = 1 << 0;
const AIRCR: u64 = 0xE000_ED0C;
const SYSRESETREQ: u32 = 0x05FA_0004;
/// DSU.STATUSB where a debugger may read it, also of a protected chip.
const DSU_STATUSB: u64 = 0x4100_2102;
const PROT: u8 = 1 << 0;
const RAM: u64 = 0x2000_0000;

/// How long the flash controller may take: four times the typical time of an erase, and more.
const PATIENCE: Duration = Duration::from_millis(500);

impl BoardSession {
    /// Reads `len` bytes of memory from `addr`, a multiple of 4.
    pub fn read(&mut self, addr: u32, len: usize) -> Result<Vec<u8>, BoardError> {
        let mut words = vec![0; len.div_ceil(4)];
        let read = self.core()?.read_32(addr.into(), &mut words);
        read.map_err(|error| BoardError::debug("reading memory", &error))?;
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(len);
        Ok(bytes)
    }

    /// The user page: the chip's fuses in its first 32 bytes.
    pub fn user_page(&mut self) -> Result<[u8; USER_PAGE_SIZE], BoardError> {
        let bytes = self.read(USER_PAGE, USER_PAGE_SIZE)?;
        Ok(std::array::from_fn(|at| bytes[at]))
    }

    /// NVMCTRL.STATUS.BOOTPROT, as the last reset loaded it: 15 protects nothing, each step less another 8 KiB.
    pub fn bootprot(&mut self) -> Result<u32, BoardError> {
        Ok(u32::from(self.nvm_half(STATUS)? >> 8 & 15))
    }

    /// Writes the user page and reads it back. A supply that fails meanwhile leaves it erased. The fuses take effect with
    /// a reset, those of the supply with the next power-on. The core is halted afterwards, as after a reset.
    pub fn write_user_page(&mut self, page: &[u8; USER_PAGE_SIZE]) -> Result<(), BoardError> {
        self.reset_and_halt()?;
        self.nvm_command(Some(USER_PAGE), ERASE_PAGE, "erasing the user page")?;
        self.nvm_command(None, CLEAR_PAGE_BUFFER, "clearing the page buffer")?;
        for (at, quad) in (USER_PAGE..).step_by(QUAD_WORD).zip(page.chunks(QUAD_WORD)) {
            if quad.iter().all(|byte| *byte == 0xFF) {
                continue;
            }
            let words: Vec<_> = quad
                .chunks(4)
                .map(|word| word.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
                .collect();
            let loaded = self.core()?.write_32(at.into(), &words);
            loaded.map_err(|error| BoardError::debug("loading the page buffer", &error))?;
            self.nvm_command(Some(at), WRITE_QUAD_WORD, "writing the user page")?;
        }
        if self.user_page()? == *page {
            Ok(())
        } else {
            Err(BoardError::UserPage("it reads back differently".to_owned()))
        }
    }

    /// Sets the security bit and resets: the debugger sees no memory any more. Returns whether that is so.
    pub fn set_security_bit(&mut self) -> Result<bool, BoardError> {
        self.reset_and_halt()?;
        self.nvm_command(None, SET_SECURITY_BIT, "setting the security bit")?;
        let mut core = self.core()?;
        let start = |error| BoardError::debug("resetting the board", &error);
        // The core would halt at its reset, and nobody could let it go again.
        let demcr = core.read_word_32(DEMCR).map_err(start)?;
        core.write_word_32(DEMCR, demcr & !VC_CORERESET).map_err(start)?;
        // The access that resets may well fail.
        let _ = core.write_word_32(AIRCR, SYSRESETREQ);
        drop(core);
        self.advance(Duration::from_millis(10));
        let mut core = self.core()?;
        let status = core.read_word_8(DSU_STATUSB).map_err(|error| BoardError::debug("reading DSU.STATUSB", &error))?;
        Ok(status & PROT != 0 && core.read_word_32(RAM).is_err())
    }

    fn nvm_half(&mut self, register: u64) -> Result<u16, BoardError> {
        let read = self.core()?.read_word_16(register);
        read.map_err(|error| BoardError::debug("reading the flash controller", &error))
    }

    /// Gives a command with `addr` in ADDR, waits for its end and looks at the flags.
    fn nvm_command(&mut self, addr: Option<u32>, command: u16, doing: &'static str) -> Result<(), BoardError> {
        let failed = |error| BoardError::debug(doing, &error);
        {
            let mut core = self.core()?;
            core.write_word_16(INTFLAG, DONE | ERRORS).map_err(failed)?;
            if let Some(addr) = addr {
                core.write_word_32(ADDR, addr).map_err(failed)?;
            }
            core.write_word_16(CTRLB, KEY | command).map_err(failed)?;
        }
        let since = self.elapsed();
        while self.nvm_half(STATUS)? & READY == 0 {
            if self.elapsed() - since > PATIENCE {
                return Err(BoardError::UserPage(format!("{doing} does not end")));
            }
            self.advance(Duration::from_millis(1));
        }
        match self.nvm_half(INTFLAG)? & ERRORS {
            0 => Ok(()),
            flags => Err(BoardError::UserPage(format!("{doing} was refused (NVMCTRL.INTFLAG {flags:#06x})"))),
        }
    }
}
