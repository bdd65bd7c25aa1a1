//! The cache between the core and flash: CMCC (SAM D5x/E5x datasheet, chapter 11). Without it each change of flash line
//! costs the wait states.

use atsamd_hal::pac;

/// Reads of SR until the cache is off; it takes a few clocks.
const POLLS: u32 = 1_000;

/// Empties the cache and switches it on.
pub(crate) fn start(cmcc: &pac::Cmcc) {
    invalidate(cmcc);
}

/// Forgets every line: to be called when flash has changed, for the cache does not notice. Leaves the cache on.
fn invalidate(cmcc: &pac::Cmcc) {
    // Lines may only be invalidated while the cache is off (11.6.3).
    stop(cmcc);
    cmcc.maint0().write(|w| w.invall().set_bit());
    cmcc.ctrl().write(|w| w.cen().set_bit());
}

fn stop(cmcc: &pac::Cmcc) {
    cmcc.ctrl().write(|w| w.cen().clear_bit());
    for _ in 0..POLLS {
        if cmcc.sr().read().csts().bit_is_clear() {
            break;
        }
    }
}

/// Does `work` with the cache off: it holds lines of the QSPI's window as it does those of flash, and what is read there
/// changes behind its back.
pub(crate) fn pass_by<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: as in `flash_changed`.
    let cmcc = unsafe { pac::Cmcc::steal() };
    let on = cmcc.sr().read().csts().bit_is_set();
    if on {
        stop(&cmcc);
    }
    let done = work();
    cmcc.ctrl().write(|w| w.cen().bit(on));
    done
}

/// [`invalidate`] for the driver of flash, whose every change makes lines stale; does nothing while the cache is off.
pub(crate) fn flash_changed() {
    // SAFETY: CMCC belongs to this crate alone; its registers are written here and by `Board::take`, in thread mode, and
    // what is written leaves memory as it is.
    let cmcc = unsafe { pac::Cmcc::steal() };
    if cmcc.sr().read().csts().bit_is_set() {
        invalidate(&cmcc);
    }
}
