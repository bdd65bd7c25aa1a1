//! Descriptor rings and frame buffers, shared with the controller's DMA (datasheet 24.6.3, tables 24-2 to 24-5).
//!
//! One buffer holds one whole frame. Who may touch a buffer is said by the ownership bit of its descriptor.

use core::cell::UnsafeCell;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{Ordering, fence};

use atsamd_hal::pac::{self, gmac::RegisterBlock};

/// Size of a buffer: the longest frame rounded up to the controller's unit of 64 bytes.
pub(super) const BUFFER: usize = 1536;
/// Receive buffers. A full TCP window of the application (4 KiB) fits with room for broadcasts.
pub(super) const RX_COUNT: usize = 8;
/// Transmit buffers.
pub(super) const TX_COUNT: usize = 4;

/// Receive descriptor, word 0: set by the controller when the buffer holds a frame.
const RX_OWNED: u32 = 1 << 0;
/// Receive descriptor, word 0: last of the ring.
const RX_WRAP: u32 = 1 << 1;
/// Receive descriptor, word 1: first and last buffer of a frame, length.
const RX_START: u32 = 1 << 14;
const RX_END: u32 = 1 << 15;
const RX_LEN: u32 = 0x1FFF;

/// Transmit descriptor, word 1: set by the controller when the frame has been sent.
const TX_USED: u32 = 1 << 31;
/// Transmit descriptor, word 1: last of the ring.
const TX_WRAP: u32 = 1 << 30;
/// Transmit descriptor, word 1: last buffer of the frame.
const TX_LAST: u32 = 1 << 15;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Descriptor {
    word0: u32,
    word1: u32,
}

#[repr(C, align(64))]
struct Memory {
    rx_buffers: [[u8; BUFFER]; RX_COUNT],
    tx_buffers: [[u8; BUFFER]; TX_COUNT],
    rx: [Descriptor; RX_COUNT],
    tx: [Descriptor; TX_COUNT],
}

struct Shared(UnsafeCell<Memory>);

// SAFETY: only `RxRing` and `TxRing` touch the memory, each its own half; `take` is called once, because it needs the
// controller's owner, which `Gmac::new` consumes.
unsafe impl Sync for Shared {}

static MEMORY: Shared = Shared(UnsafeCell::new(Memory {
    rx_buffers: [[0; BUFFER]; RX_COUNT],
    tx_buffers: [[0; BUFFER]; TX_COUNT],
    rx: [Descriptor { word0: 0, word1: 0 }; RX_COUNT],
    tx: [Descriptor { word0: 0, word1: 0 }; TX_COUNT],
}));

/// The rings, set up in memory and in the controller.
pub(super) fn take(gmac: &pac::Gmac) -> (RxRing, TxRing) {
    let mut rx = RxRing { next: 0 };
    let mut tx = TxRing { next: 0 };
    rx.restart(gmac);
    tx.restart(gmac);
    (rx, tx)
}

/// Frames from the controller.
pub(super) struct RxRing {
    next: usize,
}

impl RxRing {
    fn descriptor(index: usize) -> *mut Descriptor {
        // SAFETY: a field's address inside of the static; nothing is read.
        unsafe { &raw mut (*MEMORY.0.get()).rx[index] }
    }

    fn buffer(index: usize) -> *mut [u8; BUFFER] {
        // SAFETY: as above.
        unsafe { &raw mut (*MEMORY.0.get()).rx_buffers[index] }
    }

    /// Gives every buffer to the controller. The receiver must be off.
    pub(super) fn restart(&mut self, gmac: &RegisterBlock) {
        self.next = 0;
        for index in 0..RX_COUNT {
            self.give_back(index);
        }
        let queue = Self::descriptor(0) as u32;
        // SAFETY: RBQB holds the address of the ring, which lives for ever; bits 1:0 are zero by alignment.
        gmac.rbqb().write(|w| unsafe { w.bits(queue) });
    }

    fn give_back(&mut self, index: usize) {
        let wrap = if index == RX_COUNT - 1 { RX_WRAP } else { 0 };
        let descriptor = Self::descriptor(index);
        // The controller may write the buffer as soon as it owns it, so what was read from it comes before.
        fence(Ordering::SeqCst);
        // SAFETY: the descriptor is ours (its buffer holds a frame, or the receiver is off); the address is aligned
        // to 64 bytes, so the two low bits are free for the flags.
        unsafe {
            write_volatile(&raw mut (*descriptor).word1, 0);
            write_volatile(&raw mut (*descriptor).word0, Self::buffer(index) as u32 | wrap);
        }
    }

    fn owns(&self, index: usize) -> bool {
        // SAFETY: reading a descriptor is always allowed; the controller writes it, hence volatile.
        let word0 = unsafe { read_volatile(&raw const (*Self::descriptor(index)).word0) };
        word0 & RX_OWNED != 0
    }

    fn status(&self, index: usize) -> u32 {
        // SAFETY: as above.
        unsafe { read_volatile(&raw const (*Self::descriptor(index)).word1) }
    }

    /// Whether a frame waits. Buffers that do not hold a whole frame are given back on the way.
    pub(super) fn has_frame(&mut self) -> bool {
        while self.owns(self.next) {
            let status = self.status(self.next);
            if status & (RX_START | RX_END) == RX_START | RX_END {
                return true;
            }
            self.advance();
        }
        false
    }

    fn advance(&mut self) {
        self.give_back(self.next);
        self.next = (self.next + 1) % RX_COUNT;
    }

    /// Hands the waiting frame to `f` and its buffer back to the controller.
    pub(super) fn consume<R>(&mut self, f: impl FnOnce(&mut [u8]) -> R) -> R {
        let len = ((self.status(self.next) & RX_LEN) as usize).min(BUFFER);
        // The frame's bytes must not be read before the ownership bit was.
        fence(Ordering::SeqCst);
        // SAFETY: the ownership bit is set (`has_frame`), so the controller leaves the buffer alone, and `&mut self`
        // makes this the only reference.
        let frame = unsafe { &mut (&mut *Self::buffer(self.next))[..len] };
        let result = f(frame);
        self.advance();
        result
    }
}

/// Frames to the controller.
pub(super) struct TxRing {
    next: usize,
}

impl TxRing {
    fn descriptor(index: usize) -> *mut Descriptor {
        // SAFETY: a field's address inside of the static; nothing is read.
        unsafe { &raw mut (*MEMORY.0.get()).tx[index] }
    }

    fn buffer(index: usize) -> *mut [u8; BUFFER] {
        // SAFETY: as above.
        unsafe { &raw mut (*MEMORY.0.get()).tx_buffers[index] }
    }

    fn wrap(index: usize) -> u32 {
        if index == TX_COUNT - 1 { TX_WRAP } else { 0 }
    }

    /// Takes every buffer back; frames that were not sent are lost. The transmitter must be off.
    pub(super) fn restart(&mut self, gmac: &RegisterBlock) {
        self.next = 0;
        for index in 0..TX_COUNT {
            let descriptor = Self::descriptor(index);
            // SAFETY: the transmitter is off, so the descriptors are ours.
            unsafe {
                write_volatile(&raw mut (*descriptor).word0, Self::buffer(index) as u32);
                write_volatile(&raw mut (*descriptor).word1, TX_USED | Self::wrap(index));
            }
        }
        let queue = Self::descriptor(0) as u32;
        // SAFETY: TBQB holds the address of the ring, which lives for ever; bits 1:0 are zero by alignment.
        gmac.tbqb().write(|w| unsafe { w.bits(queue) });
    }

    /// Whether the next buffer is ours to fill.
    pub(super) fn is_free(&self) -> bool {
        // SAFETY: reading a descriptor is always allowed; the controller writes it, hence volatile.
        let word1 = unsafe { read_volatile(&raw const (*Self::descriptor(self.next)).word1) };
        word1 & TX_USED != 0
    }

    /// Lets `f` write a frame of `len` bytes into the next buffer and sends it. The buffer must be free.
    pub(super) fn send<R>(&mut self, gmac: &RegisterBlock, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
        let len = len.min(BUFFER);
        // SAFETY: the used bit is set (`is_free`), so the controller leaves the buffer alone, and `&mut self` makes
        // this the only reference.
        let frame = unsafe { &mut (&mut *Self::buffer(self.next))[..len] };
        let result = f(frame);
        // The frame must be in memory before the controller is told of it.
        cortex_m::asm::dmb();
        let descriptor = Self::descriptor(self.next);
        // SAFETY: the descriptor is ours until this write.
        unsafe {
            write_volatile(&raw mut (*descriptor).word1, Self::wrap(self.next) | TX_LAST | len as u32);
        }
        cortex_m::asm::dsb();
        gmac.ncr().modify(|_, w| w.tstart().set_bit());
        self.next = (self.next + 1) % TX_COUNT;
        result
    }
}
