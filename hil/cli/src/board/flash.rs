//! Writing programs and data into a board's internal flash.

use std::io::Cursor;

use probe_rs::flashing::{DownloadOptions, ElfLoader, ElfOptions, FlashLoader};

use super::error::chain;
use super::{BoardError, BoardSession};

impl BoardSession {
    /// Writes `parts` (first address, bytes) into the internal flash with probe-rs' flash algorithm and reads them
    /// back. Blocks of 8 KB that a part touches are erased; what shares a block with it is kept. The core is halted
    /// afterwards, as after a reset.
    pub fn flash(&mut self, parts: &[(u32, &[u8])]) -> Result<(), BoardError> {
        let range = parts
            .iter()
            .map(|(addr, data)| format!("0x{addr:05x}..0x{:05x}", *addr as usize + data.len()))
            .collect::<Vec<_>>()
            .join(", ");
        let mut loader = self.session.target().flash_loader();
        for (addr, data) in parts {
            loader
                .add_data(u64::from(*addr), data)
                .map_err(|error| BoardError::Flash { range: range.clone(), why: chain(&error) })?;
        }
        self.commit(loader, range)
    }

    /// Writes the loadable segments of an ELF like [`flash`](Self::flash).
    pub fn flash_elf(&mut self, elf: &[u8]) -> Result<(), BoardError> {
        let mut loader = self.session.target().flash_loader();
        loader
            .load_image(&mut self.session, &mut Cursor::new(elf), ElfLoader(ElfOptions::default()), None)
            .map_err(|error| BoardError::Program(chain(&error)))?;
        self.commit(loader, "the program".to_owned())
    }

    fn commit(&mut self, loader: FlashLoader, range: String) -> Result<(), BoardError> {
        let mut options = DownloadOptions::default();
        options.verify = true;
        options.keep_unwritten_bytes = true;
        loader.commit(&mut self.session, options).map_err(|error| BoardError::Flash { range, why: chain(&error) })?;
        self.reset_and_halt()
    }
}
