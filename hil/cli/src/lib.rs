//! Hardware-in-the-loop runner for over-the-air updates.
//!
//! [`artifacts`] builds the programs, [`board`] reaches a board (real or virtual) through probe-rs, [`rig`] puts a
//! virtual board on a virtual LAN with a local IoT Hub, [`scenario`] says what is done and asserted on it, and
//! [`report`] tells people and machines how it went. [`exec`] runs one ELF, as cargo's runner. [`live`] lets a
//! virtual board run by itself. [`image`] makes signed update images. [`mod@bench`] measures the virtual board.
//! [`rescue`] loads an image into a board that has none. [`mod@provision`] gives a board its identity and fuses.
//! [`broker`] puts a real MQTT broker between devices and hub. [`campaign`] cuts power and glitches the core by the thousand.

pub mod artifacts;
pub mod bench;
pub mod board;
pub mod broker;
pub mod campaign;
pub mod cli;
pub mod coverage;
mod debug_info;
pub mod elf;
pub mod error;
pub mod exec;
pub mod hub;
pub mod image;
pub mod live;
pub mod provision;
pub mod report;
pub mod rescue;
pub mod rig;
pub mod scenario;
pub mod size;
pub mod trace;
