//! Who called, for a panic handler: the chain of frames on the stack (AAPCS32, section 6.2.1.4; LLVM keeps it in r7 in
//! Thumb code, and rustc has it kept in every function of this target, those of `core` included).

use core::arch::asm;

/// The chip's RAM, as long as the RAMECC fuse is off.
const RAM: core::ops::Range<u32> = 0x2000_0000..0x2004_0000;

/// Finds where the running function was called, where its caller was called and so on, innermost first, as far as
/// `sites` reaches. Each is an address inside the calling instruction, as `addr2line` and its like want it. A value from
/// 0xFFFF_FFE0 on is no call: an interrupt came in between (EXC_RETURN, ARMv7-M ARM B1.5.8).
#[inline(never)]
pub fn backtrace(sites: &mut [u32]) -> &[u32] {
    let mut frame: u32;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, r7", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    let mut found = 0;
    while found < sites.len() && frame.is_multiple_of(4) && RAM.contains(&frame) && RAM.end - frame >= 8 {
        let frame_record = frame as *const u32;
        // SAFETY: both words lie in RAM and are aligned; whatever they hold is taken as plain numbers.
        let (outer, return_to) = unsafe { (frame_record.read_volatile(), frame_record.add(1).read_volatile()) };
        // Before `main` there is no frame: the words there are arbitrary.
        if return_to & 1 == 0 || return_to == u32::MAX {
            break;
        }
        sites[found] = if return_to >= 0xFFFF_FFE0 { return_to } else { return_to - 3 };
        found += 1;
        // The stack grows down, so callers lie above.
        if outer <= frame {
            break;
        }
        frame = outer;
    }
    &sites[..found]
}
