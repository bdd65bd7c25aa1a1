//! Changing a metadata pair: its whole contents go, changed, into the block that is not in use.

use embedded_storage::nor_flash::NorFlash;

use crate::flash::{Mode, PAGE};
use crate::log::{Dir, Newest};
use crate::store::Store;
use crate::{BLOCK_SIZE, StoreError, tag};

/// What changes in a pair.
pub(crate) struct Edit<'a> {
    /// Entries that go.
    pub drop: [u32; 2],
    /// Where among the old entries a file is inserted, if one is.
    pub at: u32,
    pub name: &'a [u8],
    /// The entry whose contents and attributes it takes over, if it does.
    pub from: u32,
    /// The pair that has it, if that is another.
    pub source: Option<&'a Dir>,
    /// Its own contents, if it has some: a structure's tag and data.
    pub data_tag: u32,
    pub data: [u32; 2],
    /// A new tail, if there is one; it is of the same directory.
    pub tail: [u32; 2],
    /// What changes in the state that spans the volume.
    pub gstate: [u32; 3],
}

impl Edit<'_> {
    pub const NONE: Self = Edit {
        drop: [tag::NO_ID; 2],
        at: u32::MAX,
        name: &[],
        from: tag::NO_ID,
        source: None,
        data_tag: 0,
        data: [0; 2],
        tail: [tag::NO_BLOCK; 2],
        gstate: [0; 3],
    };
}

/// A log that is being written.
struct Log {
    block: u32,
    off: u32,
    last: u32,
    crc: u32,
    /// The first failure; nothing more is programmed then.
    failed: Option<StoreError>,
}

impl<F: NorFlash> Store<F> {
    /// Makes the change in the pair that was scanned last, in one step.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] if the pair's entries do not fit one block; the change has not happened.
    pub(crate) fn commit(&mut self, edit: &Edit<'_>) -> Result<(), StoreError> {
        self.settled = false;
        let dir = self.dir;
        let written = self.write_out(&dir, edit);
        let Ok(block) = written else {
            // A block that is bad today must not prove good tomorrow: what has been refused would come true.
            let _ = self.erase(dir.pair[1]);
            return written.map(|_| ());
        };
        if block != dir.pair[1] {
            self.find_before(&dir)?;
            self.commit(&Edit { tail: [block, dir.pair[0]], ..Edit::NONE })?;
        }
        self.walk(Mode::Read)?;
        self.settled = true;
        Ok(())
    }

    /// Writes the pair's contents to its other block; or, if that is bad, to one that the pair before has to point to.
    fn write_out(&mut self, dir: &Dir, edit: &Edit<'_>) -> Result<u32, StoreError> {
        let mut block = dir.pair[1];
        while let Err(error) = self.rewrite(block, dir, edit) {
            // A second bad block at the same time is one too many.
            if error != StoreError::Flash || edit.tail[0] != tag::NO_BLOCK {
                return Err(error);
            }
            self.find_before(dir)?;
            if !self.mapped {
                self.map()?;
            }
            block = self.allocate()?;
        }
        Ok(block)
    }

    /// Finds the pair that points to `dir`, if that is all that points to it.
    fn find_before(&mut self, dir: &Dir) -> Result<(), StoreError> {
        let mut pair = [0, 1];
        for _ in 0..self.blocks() {
            self.scan(pair, &[], tag::FILES)?;
            if !self.dir.split {
                break;
            }
            pair = self.dir.tail;
            if dir.is_at(pair) {
                return Ok(());
            }
        }
        Err(StoreError::Flash)
    }

    fn rewrite(&mut self, block: u32, dir: &Dir, edit: &Edit<'_>) -> Result<(), StoreError> {
        self.erase(block)?;
        let log = &mut Log { block, off: 0, last: !0, crc: !0, failed: None };
        self.put(log, &dir.rev.wrapping_add(1).to_le_bytes());
        let mut id = 0;
        for old in 0..=dir.count {
            if edit.at == old {
                self.put_tag(log, tag::new(tag::REGULAR, id, edit.name.len() as u32));
                self.put(log, edit.name);
                if edit.data_tag != 0 {
                    self.put_tag(log, edit.data_tag | id << 10);
                    if tag::len(edit.data_tag) != 0 {
                        self.put_words(log, &edit.data);
                    }
                }
                if edit.from != tag::NO_ID {
                    self.put_tags(log, edit.source.unwrap_or(dir), edit.from, id, edit.data_tag != 0)?;
                }
                id += 1;
            }
            if old < dir.count && !edit.drop.contains(&old) {
                let mut tags = Newest::of(dir, old);
                while let Some((tag, at)) = self.newest(&mut tags)? {
                    if tag::kind(tag) >> 8 == 0 {
                        self.copy(log, dir, tag, at, id)?;
                        break;
                    }
                }
                self.put_tags(log, dir, old, id, false)?;
                id += 1;
            }
        }
        let tail = if edit.tail[0] == tag::NO_BLOCK { dir.tail } else { edit.tail };
        if !tail.contains(&tag::NO_BLOCK) {
            self.put_tag(log, tag::new(tag::TAIL | u32::from(dir.split), tag::NO_ID, 8));
            self.put_words(log, &tail);
        }
        let mut gstate = dir.gstate;
        for (word, change) in gstate.iter_mut().zip(edit.gstate) {
            *word ^= change;
        }
        if gstate != [0; 3] {
            self.put_tag(log, tag::new(tag::MOVE_STATE, tag::NO_ID, 12));
            self.put_words(log, &gstate);
        }
        // The checksum and padding to the end of the page. What follows is erased, which reads as an invalid tag.
        let end = (log.off + 8).next_multiple_of(PAGE);
        let stored = tag::new(tag::CRC, tag::NO_ID, end - log.off - 4) ^ log.last;
        self.put(log, &stored.to_be_bytes());
        let crc = log.crc;
        self.put(log, &crc.to_le_bytes());
        while log.off < end {
            self.put(log, &[0xFF]);
        }
        log.failed.map_or(Ok(()), Err)
    }

    /// Copies structure and attributes of an entry: the newest of each.
    fn put_tags(
        &mut self,
        log: &mut Log,
        dir: &Dir,
        old: u32,
        id: u32,
        mut structured: bool,
    ) -> Result<(), StoreError> {
        let mut attributes = [0_u8; 32];
        let mut tags = Newest::of(dir, old);
        while let Some((tag, at)) = self.newest(&mut tags)? {
            let kind = tag::kind(tag);
            let seen = match kind >> 8 {
                2 => core::mem::replace(&mut structured, true),
                3 => {
                    let bit = 1 << (kind % 8);
                    let byte = &mut attributes[(kind as u8 / 8) as usize];
                    let seen = *byte & bit != 0;
                    *byte |= bit;
                    // A length of all ones: the attribute has been taken away.
                    seen || tag & 0x3FF == 0x3FF
                }
                _ => true,
            };
            if !seen {
                self.copy(log, dir, tag, at, id)?;
            }
        }
        Ok(())
    }

    fn copy(&mut self, log: &mut Log, dir: &Dir, tag: u32, at: u32, id: u32) -> Result<(), StoreError> {
        self.put_tag(log, tag::new(tag::kind(tag), id, tag::len(tag)));
        for n in 0..tag::len(tag) {
            let byte = self.log_byte(dir.pair[0], at + n)?;
            self.put(log, &[byte]);
        }
        Ok(())
    }

    fn put_tag(&mut self, log: &mut Log, tag: u32) {
        // The tag, its data, and room for the checksum behind.
        if log.off + 4 + tag::len(tag) + 8 > BLOCK_SIZE {
            log.failed = log.failed.or(Some(StoreError::NoSpace));
        }
        let stored = tag ^ log.last;
        log.last = tag;
        self.put(log, &stored.to_be_bytes());
    }

    fn put_words(&mut self, log: &mut Log, words: &[u32]) {
        for word in words {
            self.put(log, &word.to_le_bytes());
        }
    }

    fn put(&mut self, log: &mut Log, bytes: &[u8]) {
        for byte in bytes {
            self.page[(log.off % PAGE) as usize] = *byte;
            log.crc = tag::crc(log.crc, *byte);
            log.off += 1;
            if log.off.is_multiple_of(PAGE) && log.failed.is_none() {
                log.failed = self.program(log.block, log.off - PAGE).err();
            }
        }
    }
}
