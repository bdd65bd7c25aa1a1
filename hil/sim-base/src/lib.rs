//! What the simulated parts share: virtual time, the Ethernet cable and the seed.

mod link;
mod rng;
mod time;

pub use link::EthernetLink;
pub use rng::Rng;
pub use time::Instant;
