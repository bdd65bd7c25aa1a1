//! External and internal flash: what was programmed is read back, on the chip.
#![no_std]
#![no_main]

use defmt_rtt as _;

/// External flash that the tests may overwrite: two subsectors at the end of the reachable 16 MiB.
const NOR_SCRATCH: u32 = (same54::nor::NOR_CAPACITY - 2 * same54::nor::NOR_SUBSECTOR) as u32;
/// Internal flash that the tests may overwrite: a block far behind their own code.
const NVM_SCRATCH: u32 = 0x000E_0000;

/// A byte that differs from its neighbours and from what another position of the same page holds.
fn pattern(position: u32) -> u8 {
    (position.wrapping_mul(0x9E37_79B1) >> 24) as u8
}

#[embedded_test::tests]
mod tests {
    use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
    use same54::nor::{NOR_CAPACITY, NOR_SUBSECTOR};
    use same54::nvm::{NVM_BLOCK, NVM_PAGE, NVM_SIZE};
    use same54::{Board, Nor, NorError, Nvm, NvmError, SysTickDelay};

    use super::{NOR_SCRATCH, NVM_SCRATCH, pattern};

    #[init]
    fn init() -> Board {
        Board::take().expect("first call")
    }

    fn nor(board: Board) -> Nor<SysTickDelay> {
        Nor::new(board.qspi, board.delay).expect("the board has an N25Q256A")
    }

    fn nvm(board: Board) -> Nvm<SysTickDelay> {
        Nvm::new(board.nvmctrl, board.delay)
    }

    fn filled<const N: usize>(base: u32) -> [u8; N] {
        core::array::from_fn(|index| pattern(base + index as u32))
    }

    #[test]
    fn nor_identifies_itself_as_n25q256a(board: Board) {
        assert_eq!(nor(board).jedec_id(), Ok([0x20, 0xBA, 0x19]));
    }

    #[test]
    fn nor_subsector_erases_to_ones_and_leaves_its_neighbour(board: Board) {
        let mut nor = nor(board);
        let second = NOR_SCRATCH + NOR_SUBSECTOR as u32;
        nor.erase(NOR_SCRATCH, second + NOR_SUBSECTOR as u32).unwrap();
        nor.write(second - 4, &[0; 8]).unwrap();
        nor.erase(NOR_SCRATCH, second).unwrap();
        let mut around = [0xAA; 8];
        nor.read(second - 4, &mut around).unwrap();
        assert_eq!(around, [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
    }

    #[test]
    fn nor_reads_back_what_was_programmed_across_page_borders(board: Board) {
        let mut nor = nor(board);
        nor.erase(NOR_SCRATCH, NOR_SCRATCH + NOR_SUBSECTOR as u32).unwrap();
        // 700 bytes from an odd address: three page borders, every alignment of head and tail.
        let written: [u8; 700] = filled(NOR_SCRATCH + 101);
        nor.write(NOR_SCRATCH + 101, &written).unwrap();
        let mut read = [0; 700];
        nor.read(NOR_SCRATCH + 101, &mut read).unwrap();
        assert_eq!(read, written);
        let mut before = [0; 1];
        nor.read(NOR_SCRATCH + 100, &mut before).unwrap();
        assert_eq!(before, [0xFF]);
        let mut odd = [0; 13];
        nor.read(NOR_SCRATCH + 101 + 250, &mut odd).unwrap();
        assert_eq!(odd, written[250..263]);
    }

    #[test]
    fn nor_program_only_clears_bits(board: Board) {
        let mut nor = nor(board);
        nor.erase(NOR_SCRATCH, NOR_SCRATCH + NOR_SUBSECTOR as u32).unwrap();
        nor.write(NOR_SCRATCH, &[0b1111_0000]).unwrap();
        nor.write(NOR_SCRATCH, &[0b1010_1010]).unwrap();
        let mut read = [0; 1];
        nor.read(NOR_SCRATCH, &mut read).unwrap();
        assert_eq!(read, [0b1010_0000]);
    }

    #[test]
    fn nor_refuses_what_it_cannot_address(board: Board) {
        let mut nor = nor(board);
        let end = NOR_CAPACITY as u32;
        assert_eq!(nor.write(end - 1, &[0, 0]), Err(NorError::OutOfBounds));
        assert_eq!(nor.read(end, &mut [0]), Err(NorError::OutOfBounds));
        assert_eq!(nor.erase(NOR_SCRATCH + 1, end), Err(NorError::NotAligned));
    }

    #[test]
    fn nvm_block_erases_to_ones(board: Board) {
        let mut nvm = nvm(board);
        nvm.erase(NVM_SCRATCH, NVM_SCRATCH + NVM_BLOCK as u32).unwrap();
        let block = nvm.mapped(NVM_SCRATCH, NVM_BLOCK).unwrap();
        assert!(block.iter().all(|&byte| byte == 0xFF));
    }

    #[test]
    fn nvm_reads_back_quad_words_and_pages(board: Board) {
        let mut nvm = nvm(board);
        nvm.erase(NVM_SCRATCH, NVM_SCRATCH + NVM_BLOCK as u32).unwrap();
        // Two quad words, one whole page, one quad word.
        const LEN: usize = 32 + NVM_PAGE + 16;
        let start = NVM_SCRATCH + NVM_PAGE as u32 - 32;
        let written: [u8; LEN] = filled(start);
        nvm.write(start, &written).unwrap();
        let mut read = [0; LEN];
        nvm.read(start, &mut read).unwrap();
        assert_eq!(read, written);
        let mut odd = [0; 7];
        nvm.read(start + 33, &mut odd).unwrap();
        assert_eq!(odd, written[33..40]);
        assert_eq!(nvm.mapped(start + LEN as u32, 16), Some(&[0xFF; 16][..]));
    }

    #[test]
    fn nvm_refuses_what_it_cannot_write(board: Board) {
        let mut nvm = nvm(board);
        assert_eq!(nvm.write(NVM_SCRATCH + 8, &[0; 16]), Err(NvmError::NotAligned));
        assert_eq!(nvm.write(NVM_SCRATCH, &[0; 15]), Err(NvmError::NotAligned));
        assert_eq!(nvm.write(NVM_SIZE as u32, &[0; 16]), Err(NvmError::OutOfBounds));
        assert_eq!(nvm.erase(NVM_SCRATCH, NVM_SCRATCH + 512), Err(NvmError::NotAligned));
        assert_eq!(nvm.mapped(NVM_SIZE as u32 - 8, 16), None);
    }
}
