//! A trace of a board in virtual time, which <https://ui.perfetto.dev> opens.

pub mod proto;
mod recorder;
mod vectors;
mod writer;

pub use recorder::Recorder;
pub use writer::{Detail, Track, Writer};
