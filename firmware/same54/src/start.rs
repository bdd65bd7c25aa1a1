//! Handing the core over to another program in flash.

use core::ops::Range;

use cortex_m::Peripherals;

/// Alignment of the application's vector table, bytes: 137 lines and 16 exceptions round up to 1 KiB
/// (ARMv7-M ARM B1.5.3).
pub const VECTOR_TABLE_ALIGN: u32 = 1024;

/// The chip's RAM.
const RAM: Range<u32> = 0x2000_0000..0x2004_0000;

/// Why a vector table was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotStartable {
    /// The table is not aligned to [`VECTOR_TABLE_ALIGN`].
    Misaligned,
    /// The initial stack pointer is not in RAM or not a multiple of 8; the value.
    StackPointer(u32),
    /// The reset vector is not a Thumb address in the image; the value.
    ResetVector(u32),
}

/// Checks the first two words of a vector table at `table` for a program inside of `image` (addresses).
pub fn check_vectors(table: u32, stack_pointer: u32, reset: u32, image: &Range<u32>) -> Result<(), NotStartable> {
    if !table.is_multiple_of(VECTOR_TABLE_ALIGN) {
        return Err(NotStartable::Misaligned);
    }
    if !(RAM.start < stack_pointer && stack_pointer <= RAM.end && stack_pointer.is_multiple_of(8)) {
        return Err(NotStartable::StackPointer(stack_pointer));
    }
    if reset & 1 == 0 || !image.contains(&(reset & !1)) {
        return Err(NotStartable::ResetVector(reset));
    }
    Ok(())
}

/// Starts the program whose vector table is at `table`: SysTick off, interrupts disabled and cleared in the NVIC, MPU
/// off, VTOR set, main stack pointer and reset vector loaded. PRIMASK is clear when it starts, as after a reset.
///
/// Comes back only if [`check_vectors`] refuses the table.
///
/// # Safety
/// `image` must hold a program that was linked for `table` and whose authenticity has been verified; nothing that the
/// calling program left running (DMA, timers with interrupts) may touch memory any more.
pub unsafe fn start(table: u32, image: &Range<u32>) -> NotStartable {
    // SAFETY: the caller vouches for the image; both words lie in memory-mapped flash, which is always readable.
    let (stack_pointer, reset) =
        unsafe { ((table as *const u32).read_volatile(), (table as *const u32).add(1).read_volatile()) };
    if let Err(refused) = check_vectors(table, stack_pointer, reset, image) {
        return refused;
    }
    cortex_m::interrupt::disable();
    // SAFETY: nothing else runs any more: interrupts are off and this function does not come back.
    let mut core = unsafe { Peripherals::steal() };
    core.SYST.disable_counter();
    core.SYST.disable_interrupt();
    cortex_m::peripheral::SCB::clear_pendst();
    for (disable, clear) in core.NVIC.icer.iter().zip(core.NVIC.icpr.iter()) {
        // SAFETY: disabling lines and clearing their pending state has no effect on memory.
        unsafe {
            disable.write(!0);
            clear.write(!0);
        }
    }
    // SAFETY: checked above; the caller vouches for the rest.
    unsafe {
        core.SCB.vtor.write(table);
        core.MPU.ctrl.write(0);
        cortex_m::asm::dsb();
        cortex_m::asm::isb();
        // With PRIMASK still set the new program would never see an interrupt; no line can be pending now.
        cortex_m::interrupt::enable();
        cortex_m::asm::bootload(table as *const u32)
    }
}
