//! `hil provision`: a board becomes a device: its record, its fuses, its bootloader's keys, and its lock
//! (`docs/production.md`).

mod config;
mod error;
mod fuses;
#[cfg(test)]
mod tests;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use update_image::PublicKey;
use update_image::layout::{BOOTLOADER, PROVISIONING};

pub use config::{DeviceRecord, read};
pub use error::ProvisionError;
pub use fuses::Fuses;

use crate::artifacts::{self, Workspace};
use crate::board::{BoardError, BoardSelector, BoardSession};
use crate::image::{self, KEYS_MAX};
use fuses::{BOOTPROT_BOOTLOADER, BOOTPROT_NOTHING};

/// Writes who a device is into its flash, and its fuses; perhaps its bootloader and its lock.
#[derive(Debug, Args)]
pub struct ProvisionArgs {
    /// Who the device is and whom it trusts (TOML; docs/production.md)
    #[arg(value_name = "FILE")]
    device: PathBuf,
    /// Board: VID:PID[:SERIAL] of a debug probe, or `virtual:same54-xpro` for a rehearsal
    #[arg(long, value_name = "SELECTOR", env = "HIL_BOARD", default_value = "virtual:same54-xpro")]
    board: String,
    /// Build the bootloader with these public keys and flash it
    #[arg(long, value_name = "FILE,...", value_delimiter = ',')]
    keys: Vec<PathBuf>,
    /// Leave the fuses as they are
    #[arg(long)]
    keep_fuses: bool,
    /// Set the security bit at the end: no debugger sees the chip any more, until a chip erase
    #[arg(long)]
    lock: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Does what the command line says. Exit code 1: the user said no.
///
/// # Errors
/// It could not be done; the message says what.
pub fn provision(args: &ProvisionArgs) -> Result<ExitCode, ProvisionError> {
    let board: BoardSelector = args.board.parse::<BoardSelector>()?;
    let record = read(&args.device)?;
    let bootloader = if args.keys.is_empty() { None } else { Some(bootloader(&args.keys)?) };
    let mut session = BoardSession::open(&board, 1).map_err(locked)?;
    let job = Job { record, bootloader, fuses: !args.keep_fuses, lock: args.lock };
    let mut ask = |question: &str| confirm(question, args.yes);
    let outcome = job.run(&mut session, &mut ask)?;
    if outcome == Outcome::Declined {
        eprintln!("nothing was written");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What is to be done to a board.
pub(crate) struct Job {
    pub record: DeviceRecord,
    /// Bytes of the bootloader to flash, from address 0 on.
    pub bootloader: Option<Vec<u8>>,
    pub fuses: bool,
    pub lock: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The user said no before anything was written.
    Declined,
    /// Written, and not locked.
    Written,
    /// Written and locked.
    Locked,
}

impl Job {
    /// Shows what would be written, asks, writes, and looks at what the chip then shows.
    pub fn run(
        &self,
        session: &mut BoardSession,
        ask: &mut dyn FnMut(&str) -> Result<bool, ProvisionError>,
    ) -> Result<Outcome, ProvisionError> {
        session.reset_and_halt()?;
        let page = session.user_page()?;
        let found = Fuses(u32::from_le_bytes([page[0], page[1], page[2], page[3]]));
        if self.fuses && found.is_blank() {
            return Err(ProvisionError::BlankFuses);
        }
        let wanted = if self.fuses { found.wanted() } else { found };
        let present = session.read(BOOTLOADER.start, BOOTLOADER.len as usize)?;
        let flash_bootloader = self.bootloader.as_ref().filter(|bytes| !present.starts_with(bytes));
        let after = flash_bootloader.map_or(&present[..], |bytes| &bytes[..]);
        if self.lock {
            may_be_locked(after)?;
        }
        self.show(session.name(), found, wanted, after, flash_bootloader.is_some());
        if !ask("Write this to the board?")? {
            session.reset()?;
            return Ok(Outcome::Declined);
        }

        let with_fuses = |fuses: Fuses| {
            let mut page = page;
            page[..4].copy_from_slice(&fuses.0.to_le_bytes());
            page
        };
        let mut fuses_now = found;
        if let Some(bytes) = flash_bootloader {
            if session.bootprot()? != BOOTPROT_NOTHING {
                fuses_now = found.with_bootprot(BOOTPROT_NOTHING);
                session.write_user_page(&with_fuses(fuses_now))?;
                session.reset_and_halt()?;
            }
            session.flash(&[(BOOTLOADER.start, bytes)])?;
        }
        session.flash(&[(PROVISIONING.start, &self.record.bytes)])?;
        if fuses_now != wanted {
            session.write_user_page(&with_fuses(wanted))?;
        }
        session.reset_and_halt()?;
        let bootprot = session.bootprot()?;
        if self.fuses && bootprot != BOOTPROT_BOOTLOADER {
            return Err(ProvisionError::Mismatch(format!(
                "the fuses are written, but BOOTPROT reads {bootprot} after a reset and not {BOOTPROT_BOOTLOADER}"
            )));
        }
        println!("written and read back");
        if self.fuses && found != wanted {
            println!("BOD33 begins to watch the supply at the next power-on");
        }
        if self.lock && ask("Set the security bit? Only a chip erase lifts it.")? {
            if !session.set_security_bit()? {
                let what = "the security bit is set, but the debugger still reads memory; switch the supply off and on";
                return Err(ProvisionError::Mismatch(what.to_owned()));
            }
            println!("locked: the debugger reads no memory any more");
            return Ok(Outcome::Locked);
        }
        session.reset()?;
        Ok(Outcome::Written)
    }

    fn show(&self, board: &str, found: Fuses, wanted: Fuses, bootloader: &[u8], is_new: bool) {
        let row = |name: &str, value: &str| println!("{name:<17} {value}");
        row("board", board);
        for (name, value) in &self.record.fields {
            row(name, value);
        }
        row("record", &format!("{} bytes at {:#x}", self.record.bytes.len(), PROVISIONING.start));
        let state = match (is_new, is_blank(bootloader)) {
            (true, _) => format!("flashed, {} bytes at {:#x}", bootloader.len(), BOOTLOADER.start),
            (false, true) => "none on the board; name its keys with --keys, and it is built and flashed".to_owned(),
            (false, false) => "as it is on the board".to_owned(),
        };
        row("bootloader", &state);
        if trusts_test_key(bootloader) {
            row("WARNING", "the bootloader trusts the test key, which everybody has");
        }
        row("fuses", &found.to_string());
        if self.fuses {
            row("", &if found == wanted { "as they should be".to_owned() } else { format!("become {wanted}") });
        }
        if self.lock {
            row("lock", "the security bit is set at the end");
        }
    }
}

/// The bootloader with these keys, built as for production: from address 0 on.
fn bootloader(keys: &[PathBuf]) -> Result<Vec<u8>, ProvisionError> {
    if keys.len() > KEYS_MAX {
        return Err(ProvisionError::KeyCount(keys.len()));
    }
    for path in keys {
        if image::public_key(path)? == image::test_key() {
            return Err(ProvisionError::TestKey(path.clone()));
        }
    }
    let out = artifacts::target_dir(&artifacts::root()).join("hil").join("programs");
    let program = Workspace::new(out).bootloader_with_keys(keys);
    let (base, bytes) =
        program.and_then(|program| program.flat()).map_err(|why| ProvisionError::Build(Box::new(why)))?;
    debug_assert_eq!(base, BOOTLOADER.start);
    Ok(bytes)
}

fn may_be_locked(bootloader: &[u8]) -> Result<(), ProvisionError> {
    if is_blank(bootloader) {
        return Err(ProvisionError::LockWithoutBootloader);
    }
    if trusts_test_key(bootloader) {
        return Err(ProvisionError::LockWithTestKey);
    }
    Ok(())
}

fn is_blank(bootloader: &[u8]) -> bool {
    bootloader.iter().take(8).all(|byte| *byte == 0xFF)
}

/// Whether the published key is among its constants.
fn trusts_test_key(bootloader: &[u8]) -> bool {
    let PublicKey(key) = image::test_key();
    bootloader.windows(key.len()).any(|window| window == key)
}

/// A locked chip is told from one that does not answer.
fn locked(error: BoardError) -> ProvisionError {
    match error {
        BoardError::Attach { board, source } if crate::board::chain(&*source).contains("Device is locked") => {
            ProvisionError::Locked(board)
        }
        other => ProvisionError::Board(other),
    }
}

/// Asks on the terminal. Without one nothing is assumed.
fn confirm(question: &str, yes: bool) -> Result<bool, ProvisionError> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(ProvisionError::NobodyToAsk);
    }
    eprint!("{question} [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    // Standard input that cannot be read says no.
    let _ = std::io::stdin().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
