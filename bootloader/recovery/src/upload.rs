//! An image on its way into the slot.
//!
//! The slot's blocks are erased as their first byte arrives and programmed from one buffer when they are complete, so
//! that each quad word is programmed once. Nothing is remembered over a reset: an upload begins at its first byte, and
//! a slot that is half written does not verify.

use update_image::layout::{ERASE_SIZE, WRITE_SIZE};
use update_image::{ImageInfo, VerifyError};

use crate::request::Error;
use crate::{FlashFailed, Target};

/// A piece of an image: an upload request.
pub(crate) struct Chunk<'a> {
    pub image: Option<u32>,
    pub offset: u32,
    /// Length of the whole image.
    pub len: Option<u32>,
    /// SHA-256 of the whole file, to know an upload again by.
    pub sha: Option<&'a [u8]>,
    pub data: &'a [u8],
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Bytes are missing.
    Running,
    /// The image may run.
    Complete,
    /// It came to nothing. Said again until another upload begins: the first answer may have been lost.
    Failed(Error),
}

/// The upload that is under way, or was the last.
pub(crate) struct Upload<'a> {
    slot_len: u32,
    /// What has come of the block that is being received.
    block: &'a mut [u8; ERASE_SIZE as usize],
    state: State,
    /// 0: there was none yet.
    len: u32,
    /// Offset of the byte that is to come next.
    next: u32,
    sha: Option<[u8; 32]>,
}

impl<'a> Upload<'a> {
    pub fn new(slot_len: u32, block: &'a mut [u8; ERASE_SIZE as usize]) -> Self {
        Self { slot_len, block, state: State::Running, len: 0, next: 0, sha: None }
    }

    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// What the slot holds, if that may run. During an upload the memory for a look is taken, and nothing may run.
    pub fn look(&mut self, target: &mut impl Target) -> Option<ImageInfo> {
        if self.state == State::Running && self.next != 0 { None } else { target.verify(self.block).ok() }
    }

    /// Takes a piece and returns the offset of the byte that is to come next. A piece that does not begin there is
    /// passed over, so that the other side goes on from the right place.
    pub fn take(&mut self, chunk: &Chunk<'_>, target: &mut impl Target) -> Result<u32, Error> {
        if chunk.image.is_some_and(|image| image != 0) {
            return Err(Error::NoSuchImage);
        }
        if chunk.offset == 0 {
            let len = chunk.len.unwrap_or(0);
            if len == 0 {
                return Err(Error::NoLength);
            }
            if len > self.slot_len {
                return Err(Error::LargerThanSlot);
            }
            self.begin(len, chunk.sha);
        }
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        if chunk.offset == self.next {
            if chunk.data.len() > (self.len - self.next) as usize {
                return Err(Error::LongerThanAnnounced);
            }
            if let Err(error) = self.write(chunk.data, target) {
                self.state = State::Failed(error);
                return Err(error);
            }
        }
        Ok(self.next)
    }

    /// Begins an upload, unless it is the one that is under way or complete.
    fn begin(&mut self, len: u32, sha: Option<&[u8]>) {
        let sha = sha.and_then(|sha| sha.try_into().ok());
        let is_known = sha.is_some() && sha == self.sha && len == self.len;
        if !is_known || matches!(self.state, State::Failed(_)) {
            (self.state, self.len, self.next, self.sha) = (State::Running, len, 0, sha);
        }
    }

    /// `data` fits into what is left of the image.
    fn write(&mut self, data: &[u8], target: &mut impl Target) -> Result<(), Error> {
        let failed = |FlashFailed| Error::FlashFailed;
        for byte in data {
            let at = self.next % ERASE_SIZE;
            if at == 0 {
                target.erase(self.next).map_err(failed)?;
                self.block.fill(0xFF);
            }
            self.block[at as usize] = *byte;
            self.next += 1;
            if at == ERASE_SIZE - 1 || self.next == self.len {
                let end = (at / WRITE_SIZE + 1) * WRITE_SIZE;
                target.program(self.next - at - 1, &self.block[..end as usize]).map_err(failed)?;
                if self.next == self.len {
                    match target.verify(self.block) {
                        Ok(image) => target.accept(&image),
                        Err(VerifyError::Refused(cause)) => return Err(Error::Refused(cause)),
                        Err(VerifyError::Read(FlashFailed)) => return Err(Error::FlashFailed),
                    }
                    self.state = State::Complete;
                }
            }
        }
        Ok(())
    }
}
