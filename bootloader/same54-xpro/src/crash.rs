//! A bootloader that crashes over what it reads from external flash must not do so for ever: the next start does
//! without.

use core::sync::atomic::{AtomicU32, Ordering};

/// Says that the last start crashed. 32 bits that RAM does not hold by chance.
const CRASHED: u32 = 0xC4A5_4ED1;

/// Survives a reset of the core, as RAM does; undefined after power-on. Nothing initialises it.
// SAFETY: the section is neither loaded nor zeroed, and every bit pattern is a valid AtomicU32.
#[unsafe(link_section = ".uninit.crash_mark")]
static MARK: AtomicU32 = AtomicU32::new(0);

/// Whether the last start crashed; forgotten by asking.
pub fn take() -> bool {
    let crashed = MARK.load(Ordering::Relaxed) == CRASHED;
    MARK.store(0, Ordering::Relaxed);
    crashed
}

fn restart() -> ! {
    MARK.store(CRASHED, Ordering::Relaxed);
    same54::system_reset()
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Looking at where or why would keep 20 KB of paths, messages and formatting alive.
    defmt::error!("boot: panic");
    restart()
}

/// A fault is taken as a panic is.
// SAFETY: the attribute asks for an unsafe function; this one touches nothing but the mark.
#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    defmt::error!("boot: hard fault at {=u32:#x}", frame.pc());
    restart()
}
