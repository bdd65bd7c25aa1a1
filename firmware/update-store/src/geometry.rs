//! How littlefs lays a file over blocks (littlefs SPEC.md, "CTZ skip-lists").
//!
//! Block 0 of a file holds data alone; block `n > 0` starts with `ctz(n) + 1` pointers of 4 bytes.

/// Erase block of the volume, bytes: the N25Q256A's subsector.
pub const BLOCK_SIZE: u32 = 4096;

/// Bytes of the pointers at the start of block `index` of a file.
#[cfg(test)]
const fn pointer_bytes(index: u32) -> u32 {
    if index == 0 { 0 } else { 4 * (index.trailing_zeros() + 1) }
}

/// Offset of the first data byte of block `index` of a file.
///
/// The pointers of blocks 1 to `n` number `2n - popcount(n)` in all.
pub const fn block_offset(index: u32) -> u32 {
    if index == 0 {
        return 0;
    }
    let before = index - 1;
    index * BLOCK_SIZE - 4 * (2 * before - before.count_ones())
}

/// Index of the block of a file that holds offset `offset`.
pub const fn block_index(offset: u32) -> u32 {
    // No block holds fewer than BLOCK_SIZE - 4 * 33 bytes, so this guess is never too high.
    let mut index = offset / BLOCK_SIZE;
    while block_offset(index + 1) <= offset {
        index += 1;
    }
    index
}

/// How many bytes from `offset` on fit into the block of the file that `offset` lies in.
///
/// A file that grows by pieces of this length has each of its blocks programmed once, from start to end.
pub const fn next_block_len(offset: u32) -> u32 {
    block_offset(block_index(offset) + 1) - offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_a_file_follow_each_other_without_gap() {
        let mut offset = 0;
        for index in 0..4096 {
            assert_eq!(block_offset(index), offset, "block {index}");
            let data = BLOCK_SIZE - pointer_bytes(index);
            assert_eq!(block_index(offset), index);
            assert_eq!(block_index(offset + data - 1), index);
            assert_eq!(next_block_len(offset), data);
            assert_eq!(next_block_len(offset + data - 1), 1);
            offset += data;
        }
    }
}
