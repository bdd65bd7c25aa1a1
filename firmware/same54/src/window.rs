//! Copying out of and into memory that changes behind the compiler's back: internal flash, and the window of the QSPI
//! controller. By words where both sides allow it: at the size-optimising level a slice copy of four bytes is a call.

use core::ptr::{read_volatile, write_volatile};

/// Fills `target` from the bytes at `source`.
///
/// # Safety
/// The bytes must be readable.
pub(crate) unsafe fn copy_out(source: usize, target: &mut [u8]) {
    let (head, rest) = target.split_at_mut(unaligned(source).min(target.len()));
    let (words, tail) = rest.as_chunks_mut::<4>();
    let mut at = source;
    for byte in head {
        // SAFETY: the caller vouches; bytes need no alignment.
        *byte = unsafe { read_volatile(at as *const u8) };
        at += 1;
    }
    for word in words {
        // SAFETY: aligned by the head; the caller vouches for the rest.
        *word = unsafe { read_volatile(at as *const u32) }.to_le_bytes();
        at += 4;
    }
    for byte in tail {
        // SAFETY: as above.
        *byte = unsafe { read_volatile(at as *const u8) };
        at += 1;
    }
}

/// Stores `bytes` at `target`.
///
/// # Safety
/// Stores there must go to a peripheral, not to memory that Rust knows about.
pub(crate) unsafe fn copy_in(bytes: &[u8], target: usize) {
    let (head, rest) = bytes.split_at(unaligned(target).min(bytes.len()));
    let (words, tail) = rest.as_chunks::<4>();
    let mut at = target;
    for byte in head {
        // SAFETY: the caller vouches; bytes need no alignment.
        unsafe { write_volatile(at as *mut u8, *byte) };
        at += 1;
    }
    for word in words {
        // SAFETY: aligned by the head; the caller vouches for the rest.
        unsafe { write_volatile(at as *mut u32, u32::from_le_bytes(*word)) };
        at += 4;
    }
    for byte in tail {
        // SAFETY: as above.
        unsafe { write_volatile(at as *mut u8, *byte) };
        at += 1;
    }
}

/// Bytes up to the next word.
fn unaligned(address: usize) -> usize {
    address.wrapping_neg() % 4
}
