//! The store: a littlefs volume with the few calls that an update needs.

use embedded_storage::nor_flash::NorFlash;
use littlefs_rust::{Config, File, Filesystem, OpenFlags, SeekFrom, Storage};
use update_image::{ReadAt, Region};

use crate::StoreError;
use crate::geometry::BLOCK_SIZE;

/// Program and cache size, bytes: the page of the flash. Also keeps the entries of one metadata block below the 256
/// that littlefs-rust 0.1.0 reads before it gives up.
const PAGE_SIZE: u32 = 256;
/// Bytes of the allocator's bitmap: one bit per block of the 8 MiB volume, so that one scan sees them all.
const LOOKAHEAD_SIZE: u32 = 256;

/// Files on external flash.
///
/// The volume survives a power cut at any instant: a call has happened or has not. Costs about 1.5 KB of heap, and
/// 0.5 KB more while a file is open.
pub struct Store<F: NorFlash> {
    fs: Filesystem<Blocks<F>>,
}

impl<F: NorFlash> Store<F> {
    /// Mounts the volume in `region` of `flash`.
    ///
    /// # Errors
    /// The flash comes back with the error: [`StoreError::Corrupt`] if there is no volume.
    pub fn mount(flash: F, region: Region) -> Result<Self, (StoreError, F)> {
        let blocks = Blocks { flash, region };
        match Filesystem::mount(blocks, config(region)) {
            Ok(fs) => Ok(Self { fs }),
            Err((error, blocks)) => Err((error.into(), blocks.flash)),
        }
    }

    /// Mounts the volume, making an empty one if there is none.
    ///
    /// # Errors
    /// If the flash fails.
    pub fn mount_or_format(flash: F, region: Region) -> Result<Self, (StoreError, F)> {
        match Self::mount(flash, region) {
            Err((StoreError::Corrupt | StoreError::Invalid, flash)) => Self::format(flash, region),
            mounted => mounted,
        }
    }

    /// Makes an empty volume and mounts it.
    ///
    /// # Errors
    /// If the flash fails.
    pub fn format(flash: F, region: Region) -> Result<Self, (StoreError, F)> {
        let mut blocks = Blocks { flash, region };
        match Filesystem::format(&mut blocks, &config(region)) {
            Ok(()) => Self::mount(blocks.flash, region),
            Err(error) => Err((error.into(), blocks.flash)),
        }
    }

    /// Gives the flash back.
    ///
    /// # Errors
    /// If the flash fails.
    pub fn unmount(self) -> Result<F, StoreError> {
        Ok(self.fs.unmount()?.flash)
    }

    /// Length of the file `name`, bytes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none.
    pub fn len(&self, name: &str) -> Result<u32, StoreError> {
        // Not `stat`, which would bring strings into a program that has no others.
        Ok(self.open(name)?.len())
    }

    /// Whether there is a file `name`.
    ///
    /// # Errors
    /// If the flash fails.
    pub fn exists(&self, name: &str) -> Result<bool, StoreError> {
        match self.len(name) {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Appends to the file `name`, which is made if there is none, and syncs: after a power cut the file ends
    /// before or behind these bytes.
    ///
    /// Give it [`next_block_len`](crate::next_block_len) bytes at a time; else littlefs copies the last block.
    ///
    /// # Errors
    /// If the flash fails or is full; the file is then unchanged.
    pub fn append(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::APPEND;
        self.write_through(name, flags, bytes)
    }

    /// Replaces the contents of the file `name`, which is made if there is none: after a power cut the file holds the
    /// old bytes or the new ones. Up to 256 bytes cost one page.
    ///
    /// # Errors
    /// If the flash fails or is full; the file is then unchanged.
    pub fn write_all(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNC;
        self.write_through(name, flags, bytes)
    }

    /// Opens the file `name` for writing from its start; old contents stay until [`Writer::finish`]. For files that
    /// are written in one go: the directory is written once, rather than once per [`append`](Self::append).
    ///
    /// # Errors
    /// If the flash fails or is full.
    pub fn create(&self, name: &str) -> Result<Writer<'_, F>, StoreError> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNC;
        let file = self.fs.open(name, flags)?;
        Ok(Writer { file })
    }

    /// Opens the file `name` for reading.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none.
    pub fn open(&self, name: &str) -> Result<Reader<'_, F>, StoreError> {
        let file = self.fs.open(name, OpenFlags::READ)?;
        let len = file.size();
        Ok(Reader { file, len, at: 0 })
    }

    /// Fills `buf` from `offset` of the file `name`. To read a whole file, [`open`](Self::open) it once.
    ///
    /// # Errors
    /// [`StoreError::OutOfBounds`] if the file ends before.
    pub fn read_at(&self, name: &str, offset: u32, buf: &mut [u8]) -> Result<(), StoreError> {
        self.open(name)?.read_at(offset, buf)
    }

    /// Renames a file, replacing the file `to` if there is one, in one step.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no file `from`.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        Ok(self.fs.rename(from, to)?)
    }

    /// Removes the file `name`, if there is one.
    ///
    /// # Errors
    /// If the flash fails.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        match self.fs.remove(name) {
            Ok(()) | Err(littlefs_rust::Error::NoEntry) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(feature = "host")]
    pub(crate) fn list(&self) -> Result<alloc::vec::Vec<(alloc::string::String, u32)>, StoreError> {
        let entries = self.fs.list_dir("/")?;
        let files = entries.into_iter().filter(|entry| entry.file_type == littlefs_rust::FileType::File);
        Ok(files.map(|entry| (entry.name, entry.size)).collect())
    }

    fn write_through(&self, name: &str, flags: OpenFlags, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.fs.open(name, flags)?;
        let mut writer = Writer { file };
        writer.write(bytes)?;
        writer.finish()
    }
}

/// A file that is being written.
pub struct Writer<'a, F: NorFlash> {
    file: File<'a, Blocks<F>>,
}

impl<F: NorFlash> Writer<'_, F> {
    /// Appends.
    ///
    /// # Errors
    /// If the flash fails or is full; the file then keeps its old contents.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = self.file.write(rest)? as usize;
            rest = rest.get(written..).ok_or(StoreError::Invalid)?;
        }
        Ok(())
    }

    /// Makes what was written the contents of the file, in one step.
    ///
    /// # Errors
    /// If the flash fails or is full; the file then keeps its old contents.
    pub fn finish(self) -> Result<(), StoreError> {
        Ok(self.file.close()?)
    }
}

/// An open file.
pub struct Reader<'a, F: NorFlash> {
    file: File<'a, Blocks<F>>,
    len: u32,
    at: u32,
}

impl<F: NorFlash> Reader<'_, F> {
    /// Length of the file, bytes.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<F: NorFlash> ReadAt for Reader<'_, F> {
    type Error = StoreError;

    fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), StoreError> {
        let len = u32::try_from(buf.len()).map_err(|_| StoreError::OutOfBounds)?;
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(StoreError::OutOfBounds);
        }
        if offset != self.at {
            self.file.seek(SeekFrom::Start(offset))?;
            self.at = offset;
        }
        let mut rest = buf;
        while !rest.is_empty() {
            let got = self.file.read(rest)?;
            if got == 0 {
                return Err(StoreError::Corrupt);
            }
            self.at += got;
            rest = &mut rest[got as usize..];
        }
        Ok(())
    }
}

/// A region of a NOR flash as littlefs wants it.
struct Blocks<F> {
    flash: F,
    region: Region,
}

impl<F: NorFlash> Blocks<F> {
    /// Address of `len` bytes in a block, if they lie in the region.
    fn address(&self, block: u32, offset: u32, len: usize) -> Result<u32, littlefs_rust::Error> {
        let end = u32::try_from(len).ok().and_then(|len| offset.checked_add(len));
        if block < self.region.len / BLOCK_SIZE && end.is_some_and(|end| end <= BLOCK_SIZE) {
            Ok(self.region.start + block * BLOCK_SIZE + offset)
        } else {
            Err(littlefs_rust::Error::Io)
        }
    }
}

impl<F: NorFlash> Storage for Blocks<F> {
    fn read(&mut self, block: u32, offset: u32, buf: &mut [u8]) -> Result<(), littlefs_rust::Error> {
        let address = self.address(block, offset, buf.len())?;
        self.flash.read(address, buf).map_err(|_| littlefs_rust::Error::Io)
    }

    fn write(&mut self, block: u32, offset: u32, data: &[u8]) -> Result<(), littlefs_rust::Error> {
        let address = self.address(block, offset, data.len())?;
        self.flash.write(address, data).map_err(|_| littlefs_rust::Error::Io)
    }

    fn erase(&mut self, block: u32) -> Result<(), littlefs_rust::Error> {
        const {
            assert!(F::ERASE_SIZE == BLOCK_SIZE as usize);
            assert!(PAGE_SIZE.is_multiple_of(F::WRITE_SIZE as u32) && F::READ_SIZE == 1);
        }
        let address = self.address(block, 0, BLOCK_SIZE as usize)?;
        self.flash.erase(address, address + BLOCK_SIZE).map_err(|_| littlefs_rust::Error::Io)
    }
}

fn config(region: Region) -> Config {
    let mut config = Config::new(BLOCK_SIZE, region.len / BLOCK_SIZE);
    config.read_size = 1;
    config.prog_size = PAGE_SIZE;
    config.cache_size = PAGE_SIZE;
    config.lookahead_size = LOOKAHEAD_SIZE;
    // Metadata is not moved to spread wear: littlefs-rust 0.1.0 overflows an addition when it does. It also writes no
    // FCRC tags, so that every commit erases one of the directory's two blocks. A 512 KB download of 128 commits
    // costs each of them 64 erases; 100,000 erases last for 1,500 updates.
    config.block_cycles = -1;
    config
}
