//! A bootloader that has nothing to start takes a signed image over a serial line.
//!
//! The protocol is MCUmgr's SMP over a console, as MCUboot's serial recovery speaks it, so that its tools work: frames
//! (`frame`), CBOR maps (`cbor`), commands (`Recovery`), and the walk through flash (`upload`). Bytes come in one by
//! one, a complete request is carried out before [`Recovery::receive`] returns, and its answer leaves through a
//! closure. While a request is worked on nothing needs to be received: the other side waits for the answer.
//!
//! | command | group, id | answer |
//! |---|---|---|
//! | echo | 0, 0 | the same text |
//! | reset | 0, 5 | then [`Progress::Reset`] |
//! | MCUmgr parameters | 0, 6 | one buffer of [`BUFFER`] bytes |
//! | state of images | 1, 0 read | what the slot holds, if that may run |
//! | image upload | 1, 1 | offset of the next byte |
//!
//! Everything else is answered with an error code and a reason in words.
#![no_std]

mod cbor;
mod frame;
mod request;
mod upload;

use update_image::layout::ERASE_SIZE;
use update_image::{ImageInfo, VerifyError};

use frame::Receiver;
use request::Request;
use upload::Upload;

/// Longest request, bytes of SMP header and CBOR; what `buf_size` of the MCUmgr parameters says.
pub const BUFFER: usize = 2048;

/// Flash could not be erased or programmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashFailed;

/// What is around the protocol: the application slot, and the rules for what may be in it.
pub trait Target {
    /// Erases the block of [`ERASE_SIZE`] bytes at `offset` in the slot.
    ///
    /// # Errors
    /// If flash fails.
    fn erase(&mut self, offset: u32) -> Result<(), FlashFailed>;

    /// Programs `data` at `offset` in the slot: once for each block that has been erased, from its first byte, a
    /// multiple of [`WRITE_SIZE`](update_image::layout::WRITE_SIZE) bytes.
    ///
    /// # Errors
    /// If flash fails.
    fn program(&mut self, offset: u32, data: &[u8]) -> Result<(), FlashFailed>;

    /// Verifies what the slot holds as a start would; `scratch` is memory to work in.
    ///
    /// # Errors
    /// If it may not run, or flash cannot be read.
    fn verify(&mut self, scratch: &mut [u8]) -> Result<ImageInfo, VerifyError<FlashFailed>>;

    /// An upload is complete and verified: `image` becomes the confirmed one.
    fn accept(&mut self, image: &ImageInfo);
}

/// What a byte has brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing yet.
    Waiting,
    /// A request was carried out and answered.
    Answered,
    /// A request was answered that asks for a reset, now that the answer has left.
    Reset,
}

/// The device's side of the protocol.
pub struct Recovery<'a> {
    receiver: Receiver,
    upload: Upload<'a>,
}

impl<'a> Recovery<'a> {
    /// Ready for a first request. `slot_len` is the longest image, bytes; `block` holds a block until it is programmed.
    pub fn new(slot_len: u32, block: &'a mut [u8; ERASE_SIZE as usize]) -> Self {
        Self { receiver: Receiver::new(), upload: Upload::new(slot_len, block) }
    }

    /// Takes a byte. If it completes a request, that is carried out and `send` gets the bytes of the answer.
    ///
    /// What is damaged or not a request is passed over: the other side asks again.
    pub fn receive(&mut self, byte: u8, target: &mut impl Target, send: &mut dyn FnMut(u8)) -> Progress {
        let Some(packet) = self.receiver.push(byte) else { return Progress::Waiting };
        let Some(request) = Request::parse(packet) else { return Progress::Waiting };
        request::carry_out(&request, &mut self.upload, target, send)
    }

    /// Whether an upload is complete and its image may run.
    pub fn is_complete(&self) -> bool {
        self.upload.is_complete()
    }
}
