//! Supply supervision (SAM D5x/E5x datasheet, chapter 19 SUPC): a supply that sags while flash is programmed must reset
//! the chip before anything reads or writes wrongly.
//!
//! The chip is delivered with BOD33 off (datasheet 9.4, NVM User Page Mapping), so programs that write flash switch it
//! on themselves.

use atsamd_hal::pac;
use pac::supc::bod33::Actionselect;

/// Threshold: 1.5 V + 200 * 6 mV = 2.7 V (tables 54-21 and 19.8.5), the least that the external flash works with.
const LEVEL: u8 = 200;
/// Hysteresis: 2 * 6 mV.
const HYSTERESIS: u8 = 2;
/// The detector is ready after 27 microseconds; this is some milliseconds of polling.
const READY_POLLS: u32 = 50_000;

/// Makes BOD33 reset the chip below 2.7 V. Returns whether it is on watch.
pub(crate) fn guard_flash(supc: &pac::Supc) -> bool {
    let present = supc.bod33().read();
    let is_strict = present.enable().bit_is_set() && present.action().is_reset() && present.level().bits() >= LEVEL;
    if !is_strict {
        // Fields must not change while the detector is on (19.6.3, enable-protected).
        supc.bod33().modify(|_, w| w.enable().clear_bit());
        supc.bod33().modify(|_, w| {
            w.action().variant(Actionselect::Reset);
            // SAFETY: an eight-bit threshold and a four-bit hysteresis, in the datasheet's ranges.
            unsafe { w.level().bits(LEVEL).hyst().bits(HYSTERESIS) }
        });
        supc.bod33().modify(|_, w| w.enable().set_bit());
    }
    (0..READY_POLLS).any(|_| supc.status().read().bod33rdy().bit_is_set())
}
