//! What may be executed while a bootloader has not decided yet: itself.
//!
//! A fault in the core that flips a bit of the program counter would otherwise carry it into the application's slot past
//! every verification. With the slot and RAM execute-never it ends in a fault (ARMv7-M ARM B3.5).

use cortex_m::peripheral::MPU;

/// RASR: enable; SIZE is the power of two less one, in bits 5:1 (ARMv7-M ARM B3.5.9).
const ENABLE: u32 = 1;
/// RASR: execute never, read and write for all, normal memory, write-through.
const DATA_ONLY: u32 = 1 << 28 | 0b011 << 24 | 0b010 << 16;
/// RASR: everything allowed, normal memory, write-through; BOOTPROT is what protects a bootloader against writing.
const CODE: u32 = 0b011 << 24 | 0b010 << 16;
/// CTRL: on, with the default map where no region is.
const ON: u32 = 0b101;

/// Forbids to execute anything in flash from `limit` on, and anything in RAM. `limit` is a power of two, 32 bytes at least.
pub fn only_below(mpu: MPU, limit: u32) {
    let size = |bytes: u32| (bytes.trailing_zeros() - 1) << 1;
    let regions = [
        // Flash, its aliases and whatever else lies in the code region.
        (0, DATA_ONLY | size(1 << 29) | ENABLE),
        // RAM.
        (0x2000_0000, DATA_ONLY | size(1 << 29) | ENABLE),
        // Regions with higher numbers win.
        (0, CODE | size(limit) | ENABLE),
    ];
    for (number, (base, attributes)) in (0..).zip(regions) {
        // SAFETY: regions that allow all that was allowed but for execution; the running program lies below `limit`.
        unsafe {
            mpu.rnr.write(number);
            mpu.rbar.write(base);
            mpu.rasr.write(attributes);
        }
    }
    // SAFETY: as above.
    unsafe { mpu.ctrl.write(ON) };
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}
