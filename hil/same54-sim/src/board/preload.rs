//! Flash contents that a board comes with: no time passes, no operation is seen. And what an observer may ask of flash.

use sim_base::Instant;

use super::Board;
use crate::memory::FLASH_SIZE;
use crate::nvmctrl::ecc::WORD;

impl Board {
    /// When the operation in flight in internal and in external flash ends.
    pub fn flash_busy_until(&self) -> [Option<Instant>; 2] {
        self.operations()
    }

    /// The internal flash holds `bytes` from `addr` on, as if the chip had been programmed before it was soldered.
    /// Locks and BOOTPROT do not matter. False, and nothing is changed, if it does not fit the 1 MiB.
    pub fn preload_nvm(&mut self, addr: u32, bytes: &[u8]) -> bool {
        let Some(end) = u32::try_from(bytes.len()).ok().and_then(|len| addr.checked_add(len)) else { return false };
        if end > FLASH_SIZE {
            return false;
        }
        // By words, which get the code of their data.
        let (first, last) = (addr & !(WORD - 1), end.next_multiple_of(WORD));
        let memory = &mut self.chip.shared.memory;
        let mut cells = memory.nvm(first, last - first).to_vec();
        cells[(addr - first) as usize..(end - first) as usize].copy_from_slice(bytes);
        memory.erase_nvm(first, last - first);
        memory.nvm_mut(first, last - first).copy_from_slice(&cells);
        if self.chip.flash_changed(&(first..last)) {
            self.cpu.forget_lines();
        }
        self.cpu.invalidate_code(addr..end);
        self.look_at_flash_path();
        true
    }

    /// The external flash holds `bytes` from `addr` on, as [`preload_nvm`](Self::preload_nvm) does it for the internal.
    pub fn preload_nor(&mut self, addr: u32, bytes: &[u8]) -> bool {
        let fits = (addr as usize).checked_add(bytes.len()).is_some_and(|end| end <= crate::nor::SIZE as usize);
        if fits {
            self.chip.parts.qspi.flash.preload(addr, bytes);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BoardConfig, RunStop};
    use std::time::Duration;

    #[test]
    fn preloaded_flash_is_read_back_and_what_does_not_fit_changes_nothing() {
        let mut board = Board::new(BoardConfig { seed: 1, flash_timing: true });
        assert!(board.preload_nvm(FLASH_SIZE - 2, &[1, 2]) && board.preload_nor(0x01FF_FFFE, &[3, 4]));
        assert!(!board.preload_nvm(FLASH_SIZE - 1, &[9, 9]) && !board.preload_nor(0x01FF_FFFF, &[9, 9]));
        assert!(!board.preload_nvm(u32::MAX, &[9, 9]));
        assert_eq!(board.nvm()[FLASH_SIZE as usize - 2..], [1, 2]);
        assert_eq!(board.nor(0x01FF_FFFE, 2), [3, 4]);
    }

    #[test]
    fn code_that_was_decoded_is_forgotten() {
        // r0 counts up in a loop, then, with other code at the same place, down.
        let mut board = Board::new(BoardConfig { seed: 1, flash_timing: true });
        let program = |step: u16| -> Vec<u8> {
            let words = [0x2001_0000_u32, 0x9].into_iter().flat_map(u32::to_le_bytes);
            words.chain([step, 0xE7FD].into_iter().flat_map(u16::to_le_bytes)).collect()
        };
        board.preload_nvm(0, &program(0x3001));
        board.power_on();
        assert_eq!(board.run_until(board.now() + Duration::from_micros(10)), RunStop::Time);
        let up = board.register(0) as i32;
        board.preload_nvm(0, &program(0x3801));
        board.run_until(board.now() + Duration::from_micros(20));
        assert!(up > 0 && (board.register(0) as i32) < up, "{up}");
    }
}
