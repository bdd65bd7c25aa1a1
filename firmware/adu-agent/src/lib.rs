//! Device Update agent: verifies a deployment and drives it, without IO.
//!
//! The application owns sockets, flash and time. It feeds the agent with twin documents ([`Agent::twin`],
//! [`Agent::desired_patch`]) and outcomes, and carries out what [`Agent::poll`] asks for. A deployment goes
//!
//! 1. twin: signature under the root keys, manifest hash, manifest, compatibility, already installed?
//! 2. [`Action::Persist`], [`Action::Report`] (acknowledgement and state 6), [`Action::Download`];
//! 3. [`Agent::download_finished`], [`Action::Persist`], [`Action::Install`]: the device resets;
//! 4. on trial: startup report, twin, [`Action::Confirm`], [`Action::Persist`], [`Action::Report`] (state 0, 700).
//!
//! Whatever is refused or fails is reported as state 255 with a [`Code`]. [`State`] survives resets, so that a
//! download resumes and a failing deployment does not loop.
//!
//! Documents are decoded where they lie: the agent has no buffers of its own beyond one URL.
#![no_std]

mod agent;
mod code;
mod crypto;
pub mod download;
mod jws;
mod manifest;
mod report;
mod roots;
mod service;
mod state;
mod text;

pub use agent::{Action, Agent, Boot, Config, ConfigError, DocumentError, Download, DownloadError};
pub use code::{Code, result};
pub use crypto::{Crypto, RootKey};
pub use report::REPORT_LEN;
pub use roots::PRODUCTION_ROOTS;
pub use service::URL_LEN;
pub use state::{Phase, RETRY_LEN, State, UPDATE_ID_PART_LEN, UpdateId, WORKFLOW_ID_LEN};
pub use text::Text;
