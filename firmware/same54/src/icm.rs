//! SHA-256 by the integrity check monitor (SAM D5x/E5x datasheet, chapter 26): the core sets a region up and waits.
//!
//! ICM hashes whole blocks where they lie. A message that comes in pieces is carried on with the digest so far as the
//! initial hash value (CFG.UIHASH); the padding of FIPS 180-4 is made here.

use core::ptr::{addr_of, read_volatile};
use core::sync::atomic::{Ordering, compiler_fence};

use atsamd_hal::pac;
use pac::icm::cfg::Ualgoselect;

/// Bytes of a block.
const BLOCK: usize = 64;
/// Initial hash value of SHA-256 (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];
/// RCFG: SHA-256, end of monitoring after this region (26.6.3).
const REGION: u32 = 1 << 12 | 1 << 2;
/// Reads of ISR for a region. 64 KiB take less than a millisecond.
const POLLS: u32 = 1_000_000;

/// The unit.
pub struct Icm {
    icm: pac::Icm,
    area: Area,
    /// Digest of the blocks so far, as it lies in memory.
    state: [u32; 8],
    len: u32,
    /// What an unfinished block holds: the end of the last piece.
    tail: Tail,
    failed: bool,
}

/// What ICM reads and writes beside the message: the digest at a multiple of 128 bytes, the descriptor at one of 64
/// (26.8.12, 26.8.11).
#[repr(C, align(128))]
struct Area {
    digest: [u32; 8],
    reserved: [u32; 8],
    descriptor: [u32; 4],
}

#[repr(align(4))]
struct Tail([u8; 2 * BLOCK]);

impl Icm {
    pub(crate) fn new(icm: pac::Icm, mclk: &mut pac::Mclk) -> Self {
        mclk.ahbmask().modify(|_, w| w.icm_().set_bit());
        mclk.apbcmask().modify(|_, w| w.icm_().set_bit());
        icm.ctrl().write(|w| w.swrst().set_bit());
        let area = Area { digest: [0; 8], reserved: [0; 8], descriptor: [0; 4] };
        Self { icm, area, state: [0; 8], len: 0, tail: Tail([0; 2 * BLOCK]), failed: false }
    }

    /// Starts a message.
    pub fn begin(&mut self) {
        self.state = INITIAL.map(u32::swap_bytes);
        self.len = 0;
        self.failed = false;
    }

    /// Appends a piece: whole blocks of 64 bytes, at a multiple of 4, unless it is the last.
    pub fn update(&mut self, piece: &[u8]) {
        let whole = piece.len() / BLOCK * BLOCK;
        let (blocks, rest) = piece.split_at(whole);
        if blocks.as_ptr().addr().is_multiple_of(4) {
            self.hash(blocks.as_ptr(), whole / BLOCK);
        } else {
            for block in blocks.chunks_exact(BLOCK) {
                self.tail.0[..BLOCK].copy_from_slice(block);
                self.hash(self.tail.0.as_ptr(), 1);
            }
        }
        self.tail.0[..rest.len()].copy_from_slice(rest);
        self.len = self.len.wrapping_add(piece.len() as u32);
    }

    /// The digest; `None` if the unit has failed since [`begin`](Self::begin).
    pub fn finish(&mut self) -> Option<[u8; 32]> {
        let rest = self.len as usize % BLOCK;
        // 0x80, zeros, and the length in bits, which takes the last 8 bytes of a block (FIPS 180-4, 5.1.1).
        let padded = if rest + 9 <= BLOCK { BLOCK } else { 2 * BLOCK };
        self.tail.0[rest] = 0x80;
        self.tail.0[rest + 1..padded].fill(0);
        self.tail.0[padded - 8..padded].copy_from_slice(&(u64::from(self.len) * 8).to_be_bytes());
        self.hash(self.tail.0.as_ptr(), padded / BLOCK);
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        (!self.failed).then_some(digest)
    }

    /// Hashes `blocks` blocks at `data` on top of the state.
    fn hash(&mut self, data: *const u8, blocks: usize) {
        if blocks == 0 {
            return;
        }
        self.area.descriptor = [data.addr() as u32, REGION, blocks as u32 - 1, 0];
        self.icm.cfg().write(|w| w.uihash().set_bit().ualgo().variant(Ualgoselect::Sha256));
        for (index, word) in self.state.iter().enumerate() {
            // SAFETY: a word of hash; every value is valid.
            self.icm.uihval(index).write(|w| unsafe { w.val().bits(*word) });
        }
        let area = addr_of!(self.area);
        // SAFETY: ICM reads the descriptor and writes the digest of `area`, which `self` owns and does not touch before
        // the region has ended, and reads the caller's blocks, which are borrowed for as long. Both addresses are
        // aligned as the registers want them.
        unsafe {
            self.icm.dscr().write(|w| w.bits(addr_of!((*area).descriptor) as u32));
            self.icm.hash().write(|w| w.bits(addr_of!((*area).digest) as u32));
        }
        compiler_fence(Ordering::SeqCst);
        cortex_m::asm::dsb();
        let _ = self.icm.isr().read().bits();
        self.icm.ctrl().write(|w| w.enable().set_bit());
        let ended = (0..POLLS).any(|_| {
            let flags = self.icm.isr().read();
            self.failed |= flags.rbe().bits() != 0 || flags.urad().bit_is_set();
            flags.rec().bits() & 1 != 0 || self.failed
        });
        self.icm.ctrl().write(|w| w.disable().set_bit());
        self.failed |= !ended;
        compiler_fence(Ordering::SeqCst);
        for (index, word) in self.state.iter_mut().enumerate() {
            // SAFETY: in bounds of the array; volatile because ICM wrote it behind the compiler's back.
            *word = unsafe { read_volatile(addr_of!((*area).digest).cast::<u32>().add(index)) };
        }
    }
}
