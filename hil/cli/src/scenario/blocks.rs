//! Watches external flash being written, and finds the blocks of one file in what it sees.
//!
//! The evidence is the flash chip's own commands, not the firmware's word: every erase and page program is replayed into
//! a picture of the flash that also counts how often each byte was programmed. littlefs stores a file in blocks of
//! 4096 bytes; block `n > 0` starts with `ctz(n) + 1` pointers of 4 bytes each, and the rest is data (littlefs
//! SPEC.md, "CTZ skip-lists"). So the data of block `n` is known in advance, and the block is found when a flash block
//! holds it.

use std::collections::BTreeMap;

use sim_base::Instant;

/// Bytes of an erasable block.
pub const BLOCK: u32 = 4096;

/// One data block of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBlock {
    /// Offset of its data in the file.
    pub offset: u32,
    /// Bytes of data.
    pub len: u32,
    /// Bytes of pointers before the data.
    header: u32,
    /// Address of the flash block that holds it, and when its last byte was programmed.
    pub written: Option<(u32, Instant)>,
    /// When the flash block that holds it was first programmed since its erase.
    pub started: Option<Instant>,
    /// How many further flash blocks were filled with the same data.
    pub copies: u32,
}

/// The flash as its commands have made it.
struct Picture {
    data: Box<[u8; BLOCK as usize]>,
    /// How often each byte was programmed since the erase.
    programs: Box<[u8; BLOCK as usize]>,
    first: Option<Instant>,
}

impl Picture {
    fn erased() -> Self {
        Self { data: Box::new([0xFF; BLOCK as usize]), programs: Box::new([0; BLOCK as usize]), first: None }
    }
}

/// Follows the writing of one file.
pub struct BlockWatch {
    file: Vec<u8>,
    blocks: Vec<FileBlock>,
    flash: BTreeMap<u32, Picture>,
    /// The block that is expected to be completed next.
    next: usize,
    /// Bytes that were programmed more than once between two erases.
    overprogrammed: u64,
    /// The last block found before a power cut: the device may not have got to note it, and write it again.
    unnoted: Option<usize>,
}

impl BlockWatch {
    /// Waits for `file` to be written.
    pub fn new(file: Vec<u8>) -> Self {
        let mut blocks = Vec::new();
        let (mut offset, len) = (0, file.len() as u32);
        while offset < len {
            let header = match blocks.len() as u32 {
                0 => 0,
                index => 4 * (index.trailing_zeros() + 1),
            };
            let data = (BLOCK - header).min(len - offset);
            blocks.push(FileBlock { offset, len: data, header, written: None, started: None, copies: 0 });
            offset += data;
        }
        Self { file, blocks, flash: BTreeMap::new(), next: 0, overprogrammed: 0, unnoted: None }
    }

    /// The chip erased `len` bytes at `addr`.
    pub fn erase(&mut self, addr: u32, len: u32) {
        let first = addr / BLOCK;
        for block in first..first + len.div_ceil(BLOCK) {
            self.flash.insert(block, Picture::erased());
        }
    }

    /// The chip programmed `data` at `addr`.
    pub fn program(&mut self, at: Instant, addr: u32, data: &[u8]) {
        let block = addr / BLOCK;
        let picture = self.flash.entry(block).or_insert_with(Picture::erased);
        picture.first.get_or_insert(at);
        for (index, &byte) in data.iter().enumerate() {
            let index = (addr % BLOCK) as usize + index;
            // A page program wraps inside its page, and a page never crosses a block.
            let Some(cell) = picture.data.get_mut(index) else { break };
            *cell &= byte;
            // 0xFF programs no bit: it is how littlefs pads a page.
            if byte != 0xFF {
                if picture.programs[index] > 0 {
                    self.overprogrammed += 1;
                }
                picture.programs[index] = picture.programs[index].saturating_add(1);
            }
        }
        self.look_at(at, block);
    }

    fn look_at(&mut self, at: Instant, block: u32) {
        let picture = &self.flash[&block];
        let holds = |candidate: &FileBlock| {
            let data = &self.file[candidate.offset as usize..][..candidate.len as usize];
            picture.data[candidate.header as usize..][..data.len()] == *data
        };
        // A program into a block that was found before (its padding, say) is no copy.
        if self.blocks[..self.next].iter().any(|known| known.written.is_some_and(|(addr, _)| addr == block * BLOCK)) {
            return;
        }
        let started = picture.first;
        if let Some(copied) = (0..self.next).find(|&index| holds(&self.blocks[index])) {
            let known = &mut self.blocks[copied];
            if self.unnoted.take_if(|unnoted| *unnoted == copied).is_some() {
                (known.written, known.started) = (Some((block * BLOCK, at)), started);
            } else {
                known.copies += 1;
            }
            return;
        }
        if self.blocks.get(self.next).is_some_and(holds) {
            let found = &mut self.blocks[self.next];
            found.written = Some((block * BLOCK, at));
            found.started = started;
            self.next += 1;
        }
    }

    /// The supply was cut: what was being written is void, and the last block that was complete may be written again.
    pub fn power_cut(&mut self) {
        let known = |addr: u32| {
            self.blocks.iter().any(|block| block.written.is_some_and(|(written, _)| written == addr * BLOCK))
        };
        self.flash.retain(|addr, _| known(*addr));
        self.unnoted = self.next.checked_sub(1);
    }

    /// The file's blocks, found or not.
    pub fn blocks(&self) -> &[FileBlock] {
        &self.blocks
    }

    /// Blocks found so far: always the first ones of the file, for they are looked for in order.
    pub fn found(&self) -> usize {
        self.next
    }

    /// Whether the whole file is in flash.
    pub fn is_complete(&self) -> bool {
        self.next == self.blocks.len()
    }

    /// Bytes that were programmed again without an erase in between.
    pub fn overprogrammed(&self) -> u64 {
        self.overprogrammed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(len: u32) -> Vec<u8> {
        (0..len).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    /// Programs the file's block `index` at flash block `to`, page by page.
    fn put(watch: &mut BlockWatch, index: usize, to: u32, at: u64) {
        let block = watch.blocks()[index].clone();
        let mut content = vec![0x11; block.header as usize];
        content.extend_from_slice(&watch.file[block.offset as usize..][..block.len as usize]);
        watch.erase(to * BLOCK, BLOCK);
        for (page, data) in content.chunks(256).enumerate() {
            watch.program(Instant::from_nanos(at), to * BLOCK + 256 * page as u32, data);
        }
    }

    #[test]
    fn blocks_have_the_capacity_of_a_ctz_skip_list() {
        let watch = BlockWatch::new(file(20_000));
        let lens: Vec<_> = watch.blocks().iter().map(|block| block.len).collect();
        assert_eq!(lens, [4096, 4092, 4088, 4092, 3632]);
    }

    #[test]
    fn file_written_in_order_is_found_with_the_time_of_each_block() {
        let mut watch = BlockWatch::new(file(9_000));
        for (index, to) in [7, 3, 9].into_iter().enumerate() {
            assert!(!watch.is_complete());
            put(&mut watch, index, to, 10 + index as u64);
        }
        assert!(watch.is_complete());
        assert_eq!(watch.blocks()[1].written, Some((3 * BLOCK, Instant::from_nanos(11))));
        assert_eq!((watch.overprogrammed(), watch.blocks()[2].copies), (0, 0));
    }

    #[test]
    fn block_out_of_order_is_not_found() {
        let mut watch = BlockWatch::new(file(9_000));
        put(&mut watch, 1, 4, 1);
        put(&mut watch, 0, 5, 2);
        assert_eq!(watch.found(), 1);
    }

    #[test]
    fn block_that_a_power_cut_left_unnoted_may_be_written_again_once() {
        let mut watch = BlockWatch::new(file(9_000));
        put(&mut watch, 0, 4, 1);
        watch.power_cut();
        put(&mut watch, 0, 5, 2);
        assert_eq!(
            (watch.blocks()[0].copies, watch.blocks()[0].written),
            (0, Some((5 * BLOCK, Instant::from_nanos(2))))
        );
        put(&mut watch, 0, 6, 3);
        assert_eq!(watch.blocks()[0].copies, 1);
    }

    #[test]
    fn second_program_of_a_byte_and_a_copy_are_counted() {
        let mut watch = BlockWatch::new(file(9_000));
        put(&mut watch, 0, 4, 1);
        watch.program(Instant::from_nanos(2), 4 * BLOCK, &[0x00]);
        assert_eq!(watch.overprogrammed(), 1);
        put(&mut watch, 0, 6, 3);
        assert_eq!(watch.blocks()[0].copies, 1);
    }
}
