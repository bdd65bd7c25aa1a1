//! Power cuts on a host: the bootloader's decisions (`bootloader-core`) over simulated flash whose supply fails in any of
//! its programs and erases.
//!
//! A [`Walk`] takes a device from a delivered image to rest: an update, a rollback, a refusal, a full boot record. A
//! campaign ([`run`]) repeats it with a cut in each operation, torn in each way, then with two cuts, then with three. After
//! each cut the device starts again, and each start must satisfy [`Walk`]'s rules; at the end it must be where the walk
//! leads. The same seed gives the same campaign on any number of threads.

mod campaign;
mod device;
mod walk;

pub use campaign::{Cut, Effort, Failure, Tally, run};
pub use device::{BOARD, Device};
pub use walk::{Rule, Walk};
