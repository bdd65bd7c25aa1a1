//! External flash as the update uses it. A device whose external flash is dead still runs; it only cannot update.

use core::cell::{RefCell, RefMut};

use adu_agent::State;
use embedded_storage::nor_flash::NorFlash;
use update_image::layout::{AGENT_STATE, IMAGE_BIN, IMAGE_TMP, STORE};
use update_image::{ReadAt, layout};
use update_store::{Store, StoreError};

use crate::log::warn;

/// The files of the update. Shared by tasks of one executor: no borrow lives across an await.
pub struct Storage<F: NorFlash> {
    store: RefCell<Option<Store<F>>>,
}

impl<F: NorFlash> Storage<F> {
    /// Mounts the volume, formatting blank flash. `None` as flash, or flash that fails, gives a storage on which every
    /// call fails.
    pub fn open(flash: Option<F>) -> Self {
        let store = flash.and_then(|flash| match Store::mount_or_format(flash, STORE) {
            Ok(store) => Some(store),
            Err((error, _)) => {
                warn!("storage: not mounted: {}", error.as_str());
                None
            }
        });
        Self { store: RefCell::new(store) }
    }

    fn store(&self) -> Result<RefMut<'_, Store<F>>, StoreError> {
        RefMut::filter_map(self.store.borrow_mut(), Option::as_mut).map_err(|_| StoreError::Flash)
    }

    /// What the agent stored last; the default if there is nothing usable.
    pub fn agent_state(&self) -> State {
        let mut bytes = [0; State::LEN];
        let read = self.store().and_then(|store| store.read_at(AGENT_STATE, 0, &mut bytes));
        match read {
            Ok(()) => State::from_bytes(&bytes).unwrap_or_default(),
            Err(_) => State::default(),
        }
    }

    /// Stores the agent's state.
    ///
    /// # Errors
    /// If flash fails; the old state is still there.
    pub fn set_agent_state(&self, state: &State) -> Result<(), StoreError> {
        self.store()?.write_all(AGENT_STATE, &state.to_bytes())
    }

    /// Bytes of the download that are stored.
    ///
    /// # Errors
    /// If flash fails; a download that has not begun has length 0.
    pub fn downloaded(&self) -> Result<u32, StoreError> {
        match self.store()?.len(IMAGE_TMP) {
            Err(StoreError::NotFound) => Ok(0),
            len => len,
        }
    }

    /// Appends to the download.
    ///
    /// # Errors
    /// If flash fails or is full; the download is then unchanged.
    pub fn append(&self, bytes: &[u8]) -> Result<(), StoreError> {
        self.store()?.append(IMAGE_TMP, bytes)
    }

    /// Reads the download.
    ///
    /// # Errors
    /// If flash fails or the download ends before.
    pub fn read_download(&self, offset: u32, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.store()?.open(IMAGE_TMP)?.read_at(offset, bytes)
    }

    /// Removes the download.
    ///
    /// # Errors
    /// If flash fails.
    pub fn remove_download(&self) -> Result<(), StoreError> {
        self.store()?.remove(IMAGE_TMP)
    }

    /// Hands the complete download to the bootloader: from here on it is `image.bin`. Does nothing if that has happened
    /// already, before a power cut.
    ///
    /// # Errors
    /// If flash fails, or there is neither a download nor an `image.bin`.
    pub fn hand_over(&self) -> Result<(), StoreError> {
        let store = self.store()?;
        match store.rename(IMAGE_TMP, IMAGE_BIN) {
            Err(StoreError::NotFound) if store.exists(IMAGE_BIN)? => Ok(()),
            renamed => renamed,
        }
    }
}

/// Longest image that fits the slot, bytes.
pub const MAX_IMAGE_LEN: u32 = layout::SLOT.len;
