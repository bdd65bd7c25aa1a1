//! The network, on the interrupt executor's side of the fence: DHCP, name lookup, time, and TCP connections for the
//! other side.
//!
//! The network stack belongs to one executor. Tasks of the thread executor, which compute for half a second or wait
//! for flash, reach it through a [`Port`]: the stack goes on acknowledging and buffering meanwhile.

#[cfg(test)]
pub(crate) mod fake;
mod port;
mod serve;
mod time;

pub use port::{Connection, Host, NetError, Port};
pub use serve::{serve, watch_address};
pub use time::keep_time;
