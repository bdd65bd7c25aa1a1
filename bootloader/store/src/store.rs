//! The store: mounting, finding, and the calls that change a directory.

use embedded_storage::nor_flash::NorFlash;
use update_image::Region;

use crate::commit::Edit;
use crate::file::{Reader, Writer, block_index};
use crate::flash::{Mode, NOWHERE, PAGE};
use crate::log::{Dir, Newest, crc_word};
use crate::{BLOCK_SIZE, StoreError, tag};

/// Blocks that the allocator's bitmap has room for: 8 MiB.
const MAX_BLOCKS: u32 = 2048;
/// Longest name of a file, bytes.
const NAME_MAX: usize = 255;

/// Files in the root directory of a littlefs volume. About 900 bytes.
///
/// A call that changes something has happened or has not, wherever the supply is cut.
pub struct Store<F> {
    pub(crate) flash: F,
    pub(crate) region: Region,
    /// The page of a log that was read last, and its address.
    pub(crate) line: [u8; PAGE as usize],
    pub(crate) line_at: u32,
    /// The page that is written next.
    pub(crate) page: [u8; PAGE as usize],
    pub(crate) mode: Mode,
    /// Of each pair one block counts, as long as nothing has been written: the other's bit in `used` is set.
    pub(crate) elected: bool,
    /// Blocks in use, if `mapped`.
    pub(crate) used: [u8; MAX_BLOCKS as usize / 8],
    pub(crate) mapped: bool,
    /// Where the search for a free block carries on.
    pub(crate) cursor: u32,
    /// Bad blocks in this call.
    pub(crate) faults: u8,
    /// Whether nothing rests on what was programmed before this mount.
    pub(crate) settled: bool,
    pub(crate) gstate: [u32; 3],
    /// The pair that was scanned last.
    pub(crate) dir: Dir,
    root: [u32; 2],
    /// Checksum over the checksums of all metadata.
    print: u32,
}

impl<F: NorFlash> Store<F> {
    /// Mounts the volume in `region` of `flash`, of at most 2048 blocks. Nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if there is no volume, or not of this size.
    pub fn mount(flash: F, region: Region) -> Result<Self, StoreError> {
        let mut store = Self {
            flash,
            region,
            line: [0; PAGE as usize],
            line_at: NOWHERE,
            page: [0; PAGE as usize],
            mode: Mode::Read,
            used: [0; MAX_BLOCKS as usize / 8],
            elected: false,
            mapped: false,
            cursor: 0,
            faults: 0,
            settled: false,
            gstate: [0; 3],
            dir: Dir::NONE,
            root: [0, 1],
            print: 0,
        };
        store.walk(Mode::Check)?;
        store.elected = true;
        // Wherever the volume's history has led to: so wear spreads.
        store.cursor = store.print % store.blocks();
        Ok(store)
    }

    /// Opens the file `name` for reading.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none.
    pub fn open(&mut self, name: &str) -> Result<Reader<'_, F>, StoreError> {
        self.find_file(name)?;
        Reader::new(self)
    }

    /// Whether there is a file `name`.
    ///
    /// # Errors
    /// If the flash fails, or if it is no file.
    pub fn exists(&mut self, name: &str) -> Result<bool, StoreError> {
        self.find(name)?;
        Ok(self.dir.hit)
    }

    /// Opens the file `name` for writing from its start; old contents stay until [`Writer::finish`].
    ///
    /// # Errors
    /// If the flash fails or is full.
    pub fn create<'a>(&'a mut self, name: &'a str) -> Result<Writer<'a, F>, StoreError> {
        check_name(name)?;
        self.settle()?;
        self.find(name)?;
        self.map()?;
        Ok(Writer::new(self, name))
    }

    /// Renames a file, replacing the file `to` if there is one, in one step.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no file `from`.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        check_name(to)?;
        self.find_file(from)?;
        self.settle()?;
        self.find_file(from)?;
        let source = self.dir;
        self.find(to)?;
        let same_pair = self.dir.is_at(source.pair);
        let mut edit = Edit {
            drop: [self.replaced(), tag::NO_ID],
            at: self.dir.id,
            name: to.as_bytes(),
            from: source.id,
            source: Some(&source),
            ..Edit::NONE
        };
        if !same_pair {
            // Until the second commit, the state of the volume says that the old entry does not count.
            edit.gstate = [tag::new(tag::DELETE, source.id, 0), source.pair[0], source.pair[1]];
        } else if edit.drop[0] == source.id {
            return Ok(());
        } else {
            edit.drop[1] = source.id;
        }
        self.commit(&edit)?;
        self.finish_move()
    }

    /// Removes the file `name`, if there is one.
    ///
    /// # Errors
    /// If the flash fails.
    pub fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        if !self.exists(name)? {
            return Ok(());
        }
        self.settle()?;
        self.find_file(name)?;
        self.commit(&Edit { drop: [self.dir.id, tag::NO_ID], ..Edit::NONE })
    }

    /// Makes `data` (a structure's tag and bytes) the contents of the file `name`.
    pub(crate) fn put_file(&mut self, name: &str, data_tag: u32, data: [u32; 2]) -> Result<(), StoreError> {
        self.find(name)?;
        let replaced = self.replaced();
        self.commit(&Edit {
            drop: [replaced, tag::NO_ID],
            at: self.dir.id,
            name: name.as_bytes(),
            from: replaced,
            data_tag,
            data,
            ..Edit::NONE
        })
    }

    /// The entry that was found, if one was.
    fn replaced(&self) -> u32 {
        if self.dir.hit { self.dir.id } else { tag::NO_ID }
    }

    /// Finds the pair of the root directory that has the file `name`, or should have it.
    fn find(&mut self, name: &str) -> Result<(), StoreError> {
        let mut pair = self.root;
        for _ in 0..self.blocks() {
            self.scan(pair, name.as_bytes(), tag::FILES)?;
            let dir = &self.dir;
            if dir.hit && dir.kind != tag::REGULAR {
                return Err(StoreError::Invalid);
            }
            if dir.hit || dir.id < dir.count || !dir.split {
                return Ok(());
            }
            pair = dir.tail;
        }
        Err(StoreError::Corrupt)
    }

    fn find_file(&mut self, name: &str) -> Result<(), StoreError> {
        if self.exists(name)? { Ok(()) } else { Err(StoreError::NotFound) }
    }

    /// Sees to it that nothing rests on cells that a power cut has left between the levels, as the first write of a
    /// mount does by itself; for a caller that is about to rely on what it has read. Finishes an interrupted rename.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the volume was not what it seemed to be, or needs a repair that is not done here.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        self.faults = 0;
        if self.settled {
            return Ok(());
        }
        // Its highest bit: the list of pairs has to be repaired first, which is left to the application's library.
        if self.gstate[0] >> 31 != 0 {
            return Err(StoreError::Corrupt);
        }
        let seen = self.print;
        self.walk(Mode::Settle)?;
        self.elected = false;
        if self.print != seen {
            return Err(StoreError::Corrupt);
        }
        self.finish_move()?;
        self.settled = true;
        Ok(())
    }

    /// Drops the old entry of a move between two pairs.
    fn finish_move(&mut self) -> Result<(), StoreError> {
        let gstate = self.gstate;
        if gstate == [0; 3] {
            return Ok(());
        }
        let [moved, from @ ..] = gstate;
        if tag::kind(moved) != tag::DELETE {
            return Err(StoreError::Corrupt);
        }
        self.scan(from, &[], tag::FILES)?;
        self.commit(&Edit { drop: [tag::id(moved), tag::NO_ID], gstate, ..Edit::NONE })
    }

    /// Collects the blocks in use.
    pub(crate) fn map(&mut self) -> Result<(), StoreError> {
        self.mapped = false;
        self.used.fill(0);
        self.walk(Mode::Map)?;
        self.mapped = true;
        Ok(())
    }

    /// Goes through all metadata pairs.
    pub(crate) fn walk(&mut self, mode: Mode) -> Result<(), StoreError> {
        self.mode = mode;
        let walked = self.walk_pairs(mode);
        self.mode = Mode::Read;
        walked
    }

    fn walk_pairs(&mut self, mode: Mode) -> Result<(), StoreError> {
        if self.blocks() > MAX_BLOCKS {
            return Err(StoreError::Invalid);
        }
        let mut pair = [0, 1];
        let mut root = None;
        let mut gstate = [0; 3];
        let mut print = !0;
        // No more pairs than blocks: a list that is longer bites its own tail.
        for _ in 0..self.blocks() {
            self.scan(pair, b"littlefs", tag::SUPERBLOCK)?;
            let dir = &self.dir;
            if dir.hit {
                let [version, block_size, blocks] = [0, 1, 2].map(|n| tag::word(&dir.data, n));
                if version >> 16 != 2 || version & 0xFFFF > 1 || block_size != BLOCK_SIZE || blocks != self.blocks() {
                    return Err(StoreError::Corrupt);
                }
                root = Some(dir.pair);
            }
            for (word, part) in gstate.iter_mut().zip(dir.gstate) {
                *word ^= part;
            }
            print = crc_word(print, dir.print);
            pair = dir.tail;
            let other = dir.pair[1];
            match mode {
                // A block that can no longer be erased is as good, if it holds no log.
                Mode::Settle => {
                    if let Err(error) = self.erase(other) {
                        self.scan_block(other, &[], tag::FILES)?;
                        if self.dir.end != 0 {
                            return Err(error);
                        }
                    }
                }
                Mode::Map => self.map_pair()?,
                Mode::Check => _ = self.take(other)?,
                Mode::Read => {}
            }
            if pair.contains(&tag::NO_BLOCK) {
                (self.gstate, self.print) = (gstate, print);
                self.root = root.ok_or(StoreError::Corrupt)?;
                return Ok(());
            }
        }
        Err(StoreError::Corrupt)
    }

    /// Marks the blocks of a pair and of its files.
    fn map_pair(&mut self) -> Result<(), StoreError> {
        let block = self.dir.pair[0];
        self.take(block)?;
        self.take(self.dir.pair[1])?;
        for id in 0..self.dir.count {
            let mut tags = Newest::of(&self.dir, id);
            while let Some((tag, at)) = self.newest(&mut tags)? {
                let kind = tag::kind(tag);
                if kind >> 8 != 2 {
                    continue;
                }
                if kind == tag::CTZ || kind == tag::DIRECTORY {
                    let first = self.log_word(block, at)?.swap_bytes();
                    let second = self.log_word(block, at + 4)?.swap_bytes();
                    if kind == tag::CTZ {
                        self.map_file(first, second)?;
                    } else {
                        self.take(first)?;
                        self.take(second)?;
                    }
                }
                break;
            }
        }
        Ok(())
    }

    fn map_file(&mut self, head: u32, len: u32) -> Result<(), StoreError> {
        if len > self.region.len {
            return Err(StoreError::Corrupt);
        }
        if len == 0 {
            return Ok(());
        }
        let mut block = head;
        let mut index = block_index(len - 1);
        loop {
            self.take(block)?;
            if index == 0 {
                return Ok(());
            }
            block = self.word(block, 0)?;
            index -= 1;
        }
    }
}

fn check_name(name: &str) -> Result<(), StoreError> {
    let good = !name.is_empty()
        && name.len() <= NAME_MAX
        && !name.bytes().any(|byte| byte == b'/')
        && name != "."
        && name != "..";
    if good { Ok(()) } else { Err(StoreError::Invalid) }
}
