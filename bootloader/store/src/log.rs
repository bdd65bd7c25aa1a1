//! Reading a metadata pair: two blocks, each a log of commits (littlefs SPEC.md, "Metadata pairs").

use core::cmp::Ordering;

use embedded_storage::nor_flash::NorFlash;

use crate::flash::{NOWHERE, READS};
use crate::store::Store;
use crate::{BLOCK_SIZE, StoreError, tag};

/// Above any number of entries.
const NO_ENTRY: u32 = 1 << 16;

/// A metadata pair as its newest sound log says, and the place of the name that was looked for.
#[derive(Clone, Copy)]
pub(crate) struct Dir {
    /// The block with this log, then the other.
    pub pair: [u32; 2],
    pub rev: u32,
    /// End of the last sound commit.
    pub end: u32,
    /// Its tag.
    last: u32,
    /// Its checksum.
    pub print: u32,
    /// Number of entries.
    pub count: u32,
    pub tail: [u32; 2],
    /// Whether the tail is of the same directory.
    pub split: bool,
    /// This pair's share of the state that spans the volume.
    pub gstate: [u32; 3],
    /// The entry of that name, or where it would be inserted.
    pub id: u32,
    pub hit: bool,
    /// Type of its name.
    pub kind: u32,
    /// Its structure: tag, place, first bytes.
    pub data_tag: u32,
    pub data_at: u32,
    pub data: [u8; 12],
}

impl Dir {
    pub const NONE: Self = Self {
        pair: [tag::NO_BLOCK; 2],
        rev: 0,
        end: 0,
        last: 0,
        print: 0,
        count: 0,
        tail: [tag::NO_BLOCK; 2],
        split: false,
        gstate: [0; 3],
        id: NO_ENTRY,
        hit: false,
        kind: 0,
        data_tag: 0,
        data_at: 0,
        data: [0; 12],
    };

    /// Whether two pairs share a block.
    pub fn is_at(&self, pair: [u32; 2]) -> bool {
        self.pair.iter().any(|block| pair.contains(block))
    }
}

/// Walks an entry's tags from the newest to the oldest.
pub(crate) struct Newest {
    block: u32,
    off: u32,
    tag: u32,
    id: u32,
}

impl Newest {
    /// The tags of entry `id`.
    pub fn of(dir: &Dir, id: u32) -> Self {
        Self { block: dir.pair[0], off: dir.end, tag: dir.last, id }
    }
}

impl<F: NorFlash> Store<F> {
    /// Reads a pair into `dir` and looks for a name of that class.
    ///
    /// All that is found comes from one reading of the flash, the one that the checksums were verified over: cells that
    /// read differently each time cannot slip in between.
    pub(crate) fn scan(&mut self, pair: [u32; 2], name: &[u8], class: u32) -> Result<(), StoreError> {
        let [mut block, mut other] = pair;
        if block == other {
            // The two must not be erased in turn.
            return Err(StoreError::Corrupt);
        }
        let second = if self.elected {
            self.is_used(block)
        } else {
            self.word(block, 0)?.wrapping_sub(self.word(other, 0)?) >> 31 != 0
        };
        if second {
            (block, other) = (other, block);
        }
        for n in 0..READS {
            self.scan_block(block, name, class)?;
            let dir = &mut self.dir;
            if dir.end != 0 {
                dir.pair = [block, other];
                dir.id = dir.id.min(dir.count);
                // An entry that a move has copied elsewhere is gone from here.
                let [moved, from @ ..] = self.gstate;
                if tag::kind(moved) == tag::DELETE && tag::id(moved) == dir.id && dir.is_at(from) {
                    dir.hit = false;
                }
                return Ok(());
            }
            // Not for one disturbed reading.
            if !self.elected && n == READS / 2 {
                (block, other) = (other, block);
            }
        }
        Err(StoreError::Corrupt)
    }

    /// Reads the log in a block into `dir`; its end is 0 if it has no sound commit.
    pub(crate) fn scan_block(&mut self, block: u32, name: &[u8], class: u32) -> Result<(), StoreError> {
        self.line_at = NOWHERE;
        self.dir = Dir::NONE;
        let mut dir = Dir::NONE;
        let rev = self.log_word(block, 0)?;
        dir.rev = rev.swap_bytes();
        let mut crc = crc_word(!0, rev);
        let mut last = !0;
        let mut off = 4;
        while off + 4 <= BLOCK_SIZE {
            let stored = self.log_word(block, off)?;
            crc = crc_word(crc, stored);
            let tag = stored ^ last;
            off += 4;
            let len = tag::len(tag);
            if tag >> 31 != 0 || off + len > BLOCK_SIZE {
                break;
            }
            last = tag;
            if tag::class(tag) == tag::CRC {
                if len < 4 || self.log_word(block, off)?.swap_bytes() != crc {
                    break;
                }
                // The lowest bit of the type says what the valid bit of storage that is not written yet reads as.
                last ^= tag::kind(tag) << 31;
                (dir.end, dir.last, dir.print) = (off + len, last, crc);
                self.dir = dir;
                crc = !0;
            } else {
                let mut data = [0; 12];
                let mut order = Ordering::Equal;
                for n in 0..len {
                    let byte = self.log_byte(block, off + n)?;
                    crc = tag::crc(crc, byte);
                    if let Some(slot) = data.get_mut(n as usize) {
                        *slot = byte;
                    }
                    if order.is_eq()
                        && let Some(other) = name.get(n as usize)
                    {
                        order = byte.cmp(other);
                    }
                }
                // Of two names of which one begins the other, littlefs takes the longer for the smaller.
                order = order.then((name.len() as u32).cmp(&len));
                dir.apply(tag, off, &data, order, class);
            }
            off += len;
        }
        Ok(())
    }

    /// The next older tag of an entry and where its data is; none before the entry was created.
    pub(crate) fn newest(&mut self, tags: &mut Newest) -> Result<Option<(u32, u32)>, StoreError> {
        loop {
            let size = 4 + tag::len(tags.tag);
            if tags.off < 4 + size {
                return Ok(None);
            }
            tags.off -= size;
            let tag = tags.tag;
            tags.tag = (self.log_word(tags.block, tags.off)? ^ tag) & (!0 >> 1);
            let (kind, id) = (tag::kind(tag), tag::id(tag));
            if kind == tag::CREATE && id == tags.id {
                return Ok(None);
            }
            match kind {
                tag::CREATE if id < tags.id => tags.id -= 1,
                tag::DELETE if id <= tags.id => tags.id += 1,
                _ if kind < 0x400 && id == tags.id => return Ok(Some((tag, tags.off + 4))),
                _ => {}
            }
        }
    }
}

impl Dir {
    /// What one tag changes. `order` compares the name in it with the one that is looked for.
    fn apply(&mut self, tag: u32, at: u32, data: &[u8; 12], order: Ordering, class: u32) {
        let (kind, id) = (tag::kind(tag), tag::id(tag));
        let words = [0, 1, 2].map(|n| tag::word(data, n));
        match kind >> 8 {
            0 => {
                self.count = self.count.max(id + 1);
                if tag::class(tag) == class && order.is_eq() {
                    (self.id, self.hit, self.kind, self.data_tag) = (id, true, kind, 0);
                } else if self.hit {
                    self.hit = id != self.id;
                } else if tag::class(tag) == class && order.is_gt() && id < self.id {
                    self.id = id;
                }
            }
            2 if self.hit && id == self.id => {
                (self.data_tag, self.data_at, self.data) = (tag, at, *data);
            }
            4 if kind == tag::CREATE => {
                self.count += 1;
                if id <= self.id {
                    self.id += 1;
                }
            }
            4 if kind == tag::DELETE => {
                self.count = self.count.saturating_sub(1);
                if id == self.id {
                    self.hit = false;
                } else if id < self.id {
                    self.id -= 1;
                }
            }
            6 => (self.tail, self.split) = ([words[0], words[1]], kind & 1 != 0),
            7 if kind == tag::MOVE_STATE => self.gstate = words,
            _ => {}
        }
    }
}

/// The checksum over a word in big-endian order.
pub(crate) fn crc_word(crc: u32, word: u32) -> u32 {
    word.to_be_bytes().iter().fold(crc, |crc, byte| tag::crc(crc, *byte))
}
