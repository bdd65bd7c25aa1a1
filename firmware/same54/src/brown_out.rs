//! Supply supervision: BOD33 must guard flash programming (SAM D5x/E5x datasheet, chapter 19 SUPC).

use atsamd_hal::pac;

/// Whether the 3.3 V brown-out detector is on and resets the chip, as it does with the factory's fuses.
///
/// Without it a sagging supply can corrupt flash while it is programmed.
pub(crate) fn guards_flash(supc: &pac::Supc) -> bool {
    let bod33 = supc.bod33().read();
    bod33.enable().bit_is_set() && bod33.action().is_reset()
}
