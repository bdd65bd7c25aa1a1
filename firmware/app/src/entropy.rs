//! Random numbers for keys: ChaCha20 seeded once from the chip's true random number generator.

use core::cell::RefCell;

use device_tls::NoEntropy;
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

static GENERATOR: Mutex<CriticalSectionRawMutex, RefCell<Option<ChaCha20Rng>>> = Mutex::new(RefCell::new(None));

/// Seeds the generator. To be called once, before anything else here.
pub fn seed(seed: [u8; 32]) {
    GENERATOR.lock(|generator| *generator.borrow_mut() = Some(ChaCha20Rng::from_seed(seed)));
}

/// Fills `bytes`.
///
/// # Errors
/// [`NoEntropy`] before [`seed`].
pub fn fill(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    GENERATOR.lock(|generator| match generator.borrow_mut().as_mut() {
        Some(generator) => {
            generator.fill_bytes(bytes);
            Ok(())
        }
        None => Err(NoEntropy),
    })
}

/// A number to spread retries with; 0 before [`seed`].
pub fn number() -> u32 {
    let mut bytes = [0; 4];
    fill(&mut bytes).map_or(0, |()| u32::from_le_bytes(bytes))
}
