//! Files: reading and writing skip-lists of blocks (littlefs SPEC.md, "LFS_TYPE_CTZSTRUCT").
//!
//! Block 0 of a file holds data alone; block `n > 0` starts with `ctz(n) + 1` pointers of 4 bytes, the `i`th of which
//! leads to block `n - 2^i`. The directory points to the last block.

use embedded_storage::nor_flash::NorFlash;
use update_image::ReadAt;

use crate::flash::PAGE;
use crate::store::Store;
use crate::{BLOCK_SIZE, StoreError, tag};

/// Offset in the file of the first data byte of its block `index`: the pointers of blocks 1 to `n` number
/// `2n - popcount(n)` in all. For files that fit a volume.
#[inline(never)]
const fn block_start(index: u32) -> u32 {
    let before = index.saturating_sub(1);
    index * BLOCK_SIZE - 4 * (2 * before - before.count_ones())
}

/// Index of the block of a file that holds offset `offset`.
pub(crate) const fn block_index(offset: u32) -> u32 {
    // No block holds fewer than BLOCK_SIZE - 4 * 33 bytes, so this guess is never too high.
    let mut index = offset / BLOCK_SIZE;
    while block_start(index + 1) <= offset {
        index += 1;
    }
    index
}

/// An open file.
pub struct Reader<'a, F> {
    store: &'a mut Store<F>,
    len: u32,
    /// Where the contents lie in the directory's block, if they do.
    inline_at: Option<u32>,
    /// The last block, or the directory's.
    head: u32,
    /// The block that was read last, and its index.
    block: u32,
    index: u32,
}

impl<'a, F: NorFlash> Reader<'a, F> {
    /// The file that was found.
    pub(crate) fn new(store: &'a mut Store<F>) -> Result<Self, StoreError> {
        let dir = &store.dir;
        let (head, len, inline_at) = match tag::kind(dir.data_tag) {
            tag::INLINE => (dir.pair[0], tag::len(dir.data_tag), Some(dir.data_at)),
            tag::CTZ => (tag::word(&dir.data, 0), tag::word(&dir.data, 1), None),
            _ => return Err(StoreError::Corrupt),
        };
        if len > store.region.len {
            return Err(StoreError::Corrupt);
        }
        Ok(Self { store, len, inline_at, head, block: head, index: block_index(len.saturating_sub(1)) })
    }

    /// Length of the file, bytes.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the block with index `target` the current one.
    fn seek(&mut self, target: u32) -> Result<(), StoreError> {
        // Pointers only lead back.
        if self.index < target {
            (self.block, self.index) = (self.head, block_index(self.len - 1));
        }
        while self.index > target {
            let step = (self.index - target).ilog2().min(self.index.trailing_zeros());
            self.block = self.store.word(self.block, 4 * step)?;
            self.index -= 1 << step;
        }
        Ok(())
    }
}

impl<F: NorFlash> ReadAt for Reader<'_, F> {
    type Error = StoreError;

    fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), StoreError> {
        if offset > self.len || buf.len() > (self.len - offset) as usize {
            return Err(StoreError::OutOfBounds);
        }
        if let Some(at) = self.inline_at {
            return self.store.read(self.head, at + offset, buf);
        }
        let (mut offset, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let index = block_index(offset);
            self.seek(index)?;
            let end = block_start(index + 1);
            let (now, later) = rest.split_at_mut(rest.len().min((end - offset) as usize));
            self.store.read(self.block, BLOCK_SIZE - (end - offset), now)?;
            offset += now.len() as u32;
            rest = later;
        }
        Ok(())
    }
}

/// A file that is being written.
pub struct Writer<'a, F> {
    store: &'a mut Store<F>,
    name: &'a str,
    len: u32,
    /// The last block, if there is one.
    block: u32,
    /// End of what is written of it.
    off: u32,
    failed: Option<StoreError>,
}

impl<'a, F: NorFlash> Writer<'a, F> {
    pub(crate) fn new(store: &'a mut Store<F>, name: &'a str) -> Self {
        Self { store, name, len: 0, block: tag::NO_BLOCK, off: BLOCK_SIZE, failed: None }
    }

    /// Appends.
    ///
    /// # Errors
    /// If the flash fails or is full; the file then keeps its old contents.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let written = match self.failed {
            Some(error) => Err(error),
            None => self.append(bytes),
        };
        self.failed = written.err();
        written
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.off == BLOCK_SIZE {
                self.begin_block()?;
            }
            let done = self.put(rest)?;
            self.len += done as u32;
            rest = rest.get(done..).unwrap_or_default();
        }
        Ok(())
    }

    /// Takes another block and writes its pointers.
    fn begin_block(&mut self) -> Result<(), StoreError> {
        let last = core::mem::replace(&mut self.block, self.store.allocate()?);
        self.off = 0;
        if self.len != 0 {
            let mut pointer = last;
            for n in 0..=block_index(self.len).trailing_zeros() {
                if n != 0 {
                    pointer = self.store.word(pointer, 4 * (n - 1))?;
                }
                self.put(&pointer.to_le_bytes())?;
            }
        }
        Ok(())
    }

    /// Puts what fits into the page; a full one is programmed.
    fn put(&mut self, bytes: &[u8]) -> Result<usize, StoreError> {
        let page = self.store.page.get_mut((self.off % PAGE) as usize..).unwrap_or_default();
        let len = page.len().min(bytes.len());
        for (to, from) in page.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.off += len as u32;
        if self.off.is_multiple_of(PAGE) {
            self.flush()?;
        }
        Ok(len)
    }

    /// Programs the page that ends at `off`. If the block proves bad, another takes its place.
    fn flush(&mut self) -> Result<(), StoreError> {
        let last = self.off - PAGE;
        if self.store.program(self.block, last).is_ok() {
            return Ok(());
        }
        let bad = self.block;
        let page = self.store.page;
        loop {
            self.block = self.store.allocate()?;
            let mut at = 0;
            while at < last {
                let mut earlier = [0; PAGE as usize];
                self.store.read(bad, at, &mut earlier)?;
                self.store.page = earlier;
                if self.store.program(self.block, at).is_err() {
                    break;
                }
                at += PAGE;
            }
            self.store.page = page;
            if at == last && self.store.program(self.block, last).is_ok() {
                return Ok(());
            }
        }
    }

    /// Makes what was written the contents of the file, in one step.
    ///
    /// # Errors
    /// If the flash fails or is full; the file then keeps its old contents.
    pub fn finish(mut self) -> Result<(), StoreError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        while !self.off.is_multiple_of(PAGE) {
            self.put(&[0xFF])?;
        }
        let data_tag = if self.len == 0 { tag::new(tag::INLINE, 0, 0) } else { tag::new(tag::CTZ, 0, 8) };
        self.store.put_file(self.name, data_tag, [self.block, self.len])
    }
}
