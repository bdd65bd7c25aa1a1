//! Log macros: defmt on the chip, nothing on the host, where the library is only tested.

#[cfg(target_os = "none")]
pub(crate) use defmt::{info, warn};

/// Evaluates its arguments and forgets them.
#[cfg(not(target_os = "none"))]
macro_rules! discard {
    ($format:literal $(, $argument:expr)* $(,)?) => {{ $( let _ = &$argument; )* }};
}

#[cfg(not(target_os = "none"))]
pub(crate) use {discard as info, discard as warn};
