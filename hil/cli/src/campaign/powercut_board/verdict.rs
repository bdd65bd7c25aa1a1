//! What a board that was cut must be after its next start.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use same54_sim::Board;
use update_image::ReadAt as _;
use update_image::boot_record::{BootRecord, Phase, State};
use update_image::layout::{self, BOOT_RECORD, IMAGE_BIN, IMAGE_TMP, PREVIOUS_BIN, SLOT};
use update_image::sim::{SimNvm, Supply};
use update_store::{Store, StoreError};

use super::super::stage::Stage;

/// Where a way leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// The bootloader installs 2.0.0 and starts it on trial.
    Update,
    /// The bootloader takes 2.0.0 back.
    Rollback,
    /// 1.0.0 runs and formats external flash, which has no volume yet.
    Format,
    /// 1.0.0 runs and may go on with its download; or the download was whole and 2.0.0 is on trial.
    Download,
    /// 2.0.0 runs, whether it has confirmed itself or not.
    Confirmation,
}

impl Goal {
    /// What a point is called that has come there by a known way.
    pub(super) fn reached(self) -> &'static str {
        match self {
            Self::Update => "on trial",
            Self::Rollback => "rolled back",
            Self::Format | Self::Download => "old image",
            Self::Confirmation => "new image",
        }
    }
}

/// What became of a point, and what is wrong about it.
pub(super) type Verdict = (&'static str, Option<String>);

/// Looks at both flashes of a board that has come to the application.
pub(super) fn judge(goal: Goal, stage: &Stage, board: &Board) -> Verdict {
    let nvm = board.nvm();
    let holds = |image: &[u8]| nvm[SLOT.start as usize..].starts_with(image);
    let (old, new) = (holds(&stage.old), holds(&stage.new));
    let state = boot_record(board);
    let what = match goal {
        _ if !old && !new => return ("torn image started", Some(format!("{:?}", state.phase))),
        Goal::Update if new => goal.reached(),
        Goal::Rollback | Goal::Format | Goal::Download if old => goal.reached(),
        Goal::Download | Goal::Confirmation if new => "new image",
        _ => return ("other image", Some(format!("{:?}", state.phase))),
    };
    let recorded = match state.phase {
        Phase::Trial { .. } => new,
        Phase::Confirmed => old || goal == Goal::Update || goal == Goal::Confirmation,
        _ => false,
    };
    if !recorded {
        return ("incomplete", Some(format!("boot record {:?}", state.phase)));
    }
    match files(board) {
        Ok(files) => match wrong_files(old && goal != Goal::Rollback, stage, &files) {
            None => (what, None),
            Some(wrong) => ("incomplete", Some(format!("{:?}, {wrong}", state.phase))),
        },
        Err(_) if goal == Goal::Format => (what, None),
        Err(error) => ("no volume", Some(format!("external flash: {error}"))),
    }
}

/// The boot record as the next start would read it.
pub(super) fn boot_record(board: &Board) -> State {
    let mut flash = SimNvm::erased(&Supply::steady());
    flash.put(BOOT_RECORD.start, &board.nvm()[BOOT_RECORD.start as usize..BOOT_RECORD.end() as usize]);
    *BootRecord::open(flash).state()
}

/// `image.bin`, `previous.bin`, and what has been downloaded of an image.
struct Files {
    image: Option<Vec<u8>>,
    previous: Option<Vec<u8>>,
    partial: Option<Vec<u8>>,
}

/// Whether there is a volume on external flash.
pub(super) fn is_formatted(board: &Board) -> bool {
    Store::mount(Seen(board), layout::STORE).is_ok()
}

fn files(board: &Board) -> Result<Files, StoreError> {
    let store = Store::mount(Seen(board), layout::STORE).map_err(|(error, _)| error)?;
    let read = |name: &str| -> Result<Option<Vec<u8>>, StoreError> {
        let mut file = match store.open(name) {
            Err(StoreError::NotFound) => return Ok(None),
            file => file?,
        };
        let mut bytes = vec![0; file.len() as usize];
        file.read_at(0, &mut bytes)?;
        Ok(Some(bytes))
    };
    Ok(Files { image: read(IMAGE_BIN)?, previous: read(PREVIOUS_BIN)?, partial: read(IMAGE_TMP)? })
}

/// What is wrong with the files, if the device is `downloading`, or if it has been through an update.
fn wrong_files(downloading: bool, stage: &Stage, files: &Files) -> Option<String> {
    let Files { image, previous, partial } = files;
    let right = match downloading {
        // What the device goes on from must be what the server has.
        true => image.is_none() && partial.as_ref().is_none_or(|partial| stage.new.starts_with(partial)),
        false => image.is_none() && previous.as_ref() == Some(&stage.old),
    };
    let len = |file: &Option<Vec<u8>>| file.as_ref().map(Vec::len);
    (!right).then(|| {
        format!("image.bin {:?}, previous.bin {:?}, image.tmp {:?} bytes", len(image), len(previous), len(partial))
    })
}

/// External flash as it is, read where somebody looks: a copy of all of it would take longer than a start.
struct Seen<'a>(&'a Board);

impl ErrorType for Seen<'_> {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Seen<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.copy_from_slice(&self.0.nor(offset, bytes.len()));
        Ok(())
    }

    fn capacity(&self) -> usize {
        layout::STORE.len as usize
    }
}

impl NorFlash for Seen<'_> {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, _from: u32, _to: u32) -> Result<(), Self::Error> {
        Err(NorFlashErrorKind::Other)
    }

    fn write(&mut self, _offset: u32, _bytes: &[u8]) -> Result<(), Self::Error> {
        Err(NorFlashErrorKind::Other)
    }
}
