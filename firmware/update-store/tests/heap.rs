//! How much heap the store needs. Alone in its binary, since the heap is shared by all tests of one.

use core::convert::Infallible;

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use update_image::Region;
use update_store::Store;

/// Peak and current use of the heap.
#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

const VOLUME: Region = Region { start: 0, len: 2048 * 4096 };

/// A flash that takes no heap of its own while it works.
struct Ram(Vec<u8>);

impl ErrorType for Ram {
    type Error = Infallible;
}

impl ReadNorFlash for Ram {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Ram {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        self.0[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
        self.0[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

#[test]
fn the_heap_that_the_store_needs_is_small() {
    let mut nor = Ram(vec![0xFF; VOLUME.len as usize]);
    let image = vec![0x5A; 20_000];
    let before = HEAP.current_usage();
    let Ok(store) = Store::mount_or_format(&mut nor, VOLUME) else {
        panic!("no volume");
    };
    let mounted = HEAP.current_usage() - before;
    HEAP.reset_peak_usage();
    store.append("image.tmp", &image).unwrap();
    store.read_at("image.tmp", 10_000, &mut [0; 100]).unwrap();
    store.rename("image.tmp", "image.bin").unwrap();
    let peak = HEAP.peak_usage() - before;
    println!("heap: {mounted} bytes while mounted, {peak} at most");
    // Pointers are twice as wide here as on the device.
    assert!(mounted < 1_500 && peak < 2_500, "{mounted} and {peak} bytes");
}
