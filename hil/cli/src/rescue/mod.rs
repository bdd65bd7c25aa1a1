//! `hil rescue`: loads a signed image into a board whose bootloader has nothing to start.
//!
//! The bootloader waits at the EDBG's virtual COM port and speaks MCUmgr's SMP there (docs/recovery.md). [`client`]
//! is the other side of it, [`mod@line`] the serial port or the virtual board in its place.

pub mod client;
mod error;
pub mod line;
mod ports;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use update_image::layout::SLOT;
use update_image::{HEADER_FIELDS, ImageHeader, Policy, Refusal, Region, SoftwareDigest, VerifyError, Version};

use crate::artifacts::{self, Workspace};
use crate::board::BoardSelector;
use crate::error::Error;
use client::{Client, Installed};
use line::{Line, SerialLine, VirtualLine};

pub use error::RescueError;

/// Name of the board in an image that it takes; what its bootloader is built with.
pub const BOARD: &str = "same54-xpro";
/// RAM of the board, where an image's initial stack pointer must lie.
const RAM: Region = Region { start: 0x2000_0000, len: 0x4_0000 };

/// Loads a signed image into a board that has nothing to start.
#[derive(Clone, Debug, Args)]
pub struct RescueArgs {
    /// The signed image
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// Serial port: the EDBG's virtual COM port, or a virtual board's terminal. None: the one EDBG that is plugged in
    #[arg(long, value_name = "PORT")]
    pub port: Option<PathBuf>,
    /// Board instead of a port: VID:PID or VID:PID:SERIAL of its EDBG; `virtual:same54-xpro` tries the image on a virtual
    /// board with an empty slot
    #[arg(long, value_name = "SELECTOR")]
    pub board: Option<String>,
}

/// Does what the command line says.
pub fn rescue(args: &RescueArgs) -> Result<ExitCode, Error> {
    let failed = |error| Error::Rescue(Box::new(error));
    let image = Image::read(&args.image).map_err(failed)?;
    let selector = args.board.as_deref().map(str::parse::<BoardSelector>).transpose()?;
    match (&args.port, selector) {
        (Some(port), _) => over_port(port, &image).map_err(failed)?,
        (None, Some(BoardSelector::Virtual(_))) => {
            let out = artifacts::target_dir(&artifacts::root()).join("hil").join("programs");
            let mut line = VirtualLine::start(&Workspace::new(out).bootloader()?)?;
            load(&mut line, &image).map_err(failed)?;
            let started = line.wait_for_application().map_err(failed)?;
            println!("{} starts at {started} of virtual time", image.version);
        }
        (None, Some(BoardSelector::Probe(probe))) => {
            let (vendor, product) = (probe.vendor_id, probe.product_id);
            let port = ports::find(vendor, product, probe.serial_number.as_deref()).map_err(failed)?;
            over_port(&port, &image).map_err(failed)?;
        }
        (None, None) => over_port(&ports::find_edbg().map_err(failed)?, &image).map_err(failed)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn over_port(port: &Path, image: &Image) -> Result<(), RescueError> {
    let mut line = SerialLine::open(port)?;
    load(&mut line, image)?;
    println!("{} is in the slot, and the board starts it", image.version);
    Ok(())
}

/// An image file that is one for this board. Whether its signature is of a key that the bootloader trusts, the
/// bootloader knows.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    bytes: Vec<u8>,
    version: Version,
}

impl Image {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// If it cannot be read, or is not an image that is complete, undamaged, signed and for this board.
    pub fn read(path: &Path) -> Result<Self, RescueError> {
        let bytes = std::fs::read(path).map_err(|source| RescueError::Read { path: path.to_owned(), source })?;
        Self::check(path, bytes)
    }

    fn check(path: &Path, bytes: Vec<u8>) -> Result<Self, RescueError> {
        let not_an_image = |cause| RescueError::NotAnImage { path: path.to_owned(), cause };
        let header = bytes.first_chunk::<HEADER_FIELDS>().and_then(ImageHeader::parse);
        let version = header.ok_or_else(|| not_an_image(Refusal::BadHeader))?.version;
        // Nobody's key: that is what a sound image is refused for.
        let policy = Policy { slot: SLOT, ram: RAM, board: BOARD, keys: &[], min_counter: 0 };
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        match update_image::verify(&mut &bytes[..], len, &policy, &mut SoftwareDigest::default(), &mut [0; 4096]) {
            Ok(_) | Err(VerifyError::Refused(Refusal::UnknownKey)) => {}
            Err(VerifyError::Refused(cause)) => return Err(not_an_image(cause)),
            Err(VerifyError::Read(_)) => return Err(not_an_image(Refusal::Truncated)),
        }
        if len > SLOT.len {
            return Err(not_an_image(Refusal::TooLarge));
        }
        Ok(Self { path: path.to_owned(), bytes, version })
    }

    /// SHA-256 of what the signature covers, by which the board names the image.
    pub fn hash(&self) -> [u8; 32] {
        let header = self.bytes.first_chunk::<HEADER_FIELDS>().and_then(ImageHeader::parse);
        let len = header.and_then(|header| header.hashed_len()).unwrap_or(0);
        // The file has been verified: it is long enough.
        update_image::sha256(&mut &self.bytes[..], len, &mut SoftwareDigest::default(), &mut [0; 4096])
            .unwrap_or_default()
    }
}

/// Uploads the image, looks whether the board has it, and asks for a reset.
pub fn load(line: &mut dyn Line, image: &Image) -> Result<(), RescueError> {
    let name = line.name();
    let mut client = Client::new(line);
    let buffer = client.buffer_size()?;
    let is_terminal = std::io::stderr().is_terminal();
    let mut shown = None;
    let uploaded = client.upload(&image.bytes, buffer, &mut |done| {
        let percent = done * 100 / image.bytes.len();
        if is_terminal && shown != Some(percent) {
            shown = Some(percent);
            eprint!("\r{percent:3} % of {} bytes to {name}", image.bytes.len());
            let _ = std::io::stderr().flush();
        }
    });
    if shown.is_some() {
        eprintln!();
    }
    uploaded.map_err(|error| error.about(&image.path))?;
    let installed = client.installed()?;
    if installed.is_none_or(|Installed { hash, .. }| hash != image.hash()) {
        return Err(RescueError::NotThere { port: name });
    }
    client.reset()
}

#[cfg(test)]
mod tests {
    use super::*;
    use update_image::sign::{SecretKey, sign};

    fn image(board: &str, len: usize) -> Vec<u8> {
        let mut payload = vec![0; len];
        payload[..8].copy_from_slice(&[0, 0x10, 0, 0x20, 1, 5, 1, 0]);
        sign(&payload, &SecretKey::from_seed([9; 32]), Version::new(1, 2, 3), 0, board).unwrap()
    }

    fn check(bytes: Vec<u8>) -> Result<Image, String> {
        Image::check(Path::new("some.bin"), bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_checked_before_the_board_is_asked() {
        let good = image(BOARD, 5000);
        assert_eq!(check(good.clone()).unwrap().version, Version::new(1, 2, 3));
        let mut damaged = good.clone();
        damaged[3000] ^= 1;
        for (bytes, what) in [
            (vec![], "bad header"),
            (b"\x7FELF".repeat(100), "bad header"),
            (damaged, "wrong hash"),
            (good[..4000].to_vec(), "truncated"),
            (image("other", 5000), "wrong board"),
        ] {
            let message = check(bytes).unwrap_err();
            assert!(message.starts_with("some.bin is no signed image for same54-xpro: "), "{message}");
            assert!(message.contains(what) && !message.contains('\n'), "{message}");
        }
    }
}
