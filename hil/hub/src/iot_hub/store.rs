//! The hub's durable entries.
//!
//! | key | what |
//! |---|---|
//! | `device/ID` | credentials, status, and the persistent session |
//! | `twin/ID` | the twin |
//! | `message/ID/NUMBER` | a cloud-to-device message that is not complete |
//! | `certificate/NAME` | a CA certificate |
//! | `hub/counters` | what must not be given out twice |
//!
//! ID is that of a device, or `device/module`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sim_base::Instant;

use super::device::{Device, Record};
use super::messages::CloudToDevice;
use super::{Hub, Twin};
use crate::durable::{self, Change};

/// Kinds of entries that are kept for each device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Device,
    Twin,
}

const COUNTERS: &str = "hub/counters";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counters {
    next_call: u64,
    next_message: u64,
    restarts: u32,
}

impl Hub {
    /// Notes that an entry of a device has changed.
    pub(super) fn changed(&mut self, entry: Entry, id: &str) {
        let kind = match entry {
            Entry::Device => "device",
            Entry::Twin => "twin",
        };
        self.changed.insert(format!("{kind}/{id}"));
        self.noticed.insert(id.to_owned());
    }

    /// Whether [`take_noticed`](Self::take_noticed) would yield devices that have changed; those that were restored can
    /// wait.
    pub fn has_noticed(&self) -> bool {
        !self.noticed.is_empty()
    }

    /// Devices that have changed in any way or were restored since the last call, those that are gone included.
    pub fn take_noticed(&mut self) -> BTreeSet<String> {
        self.noticed.append(&mut self.restored);
        core::mem::take(&mut self.noticed)
    }

    /// Notes that a message was queued or is gone.
    pub(super) fn message_changed(&mut self, id: &str, number: u64) {
        self.changed.insert(format!("message/{id}/{number}"));
    }

    /// Notes that a CA certificate was changed or removed.
    pub(super) fn certificate_changed(&mut self, name: &str) {
        self.changed.insert(format!("certificate/{name}"));
    }

    /// Notes that a number or something random was given out.
    pub(super) fn counted(&mut self) {
        self.changed.insert(COUNTERS.to_owned());
    }

    /// Forgets which durable entries have changed.
    pub fn forget_changes(&mut self) {
        self.changed.clear();
    }

    /// Durable entries that have changed since the last call, each once.
    pub fn take_changes(&mut self) -> Vec<Change> {
        core::mem::take(&mut self.changed).into_iter().map(|key| self.entry(key)).collect()
    }

    fn entry(&self, key: String) -> Change {
        let Some((kind, name)) = key.split_once('/') else { return Change { key, value: None } };
        match kind {
            "device" => {
                let record = self.devices.get(name).map(|device| device.record.clone());
                Change::new(key, record.map(Record::stored).as_ref())
            }
            "twin" => {
                let twin = self.devices.get(name).map(|device| &device.twin);
                Change::new(key, twin)
            }
            "certificate" => {
                let certificate = self.certificates.get(name);
                Change::new(key, certificate)
            }
            "message" => {
                let message = name.rsplit_once('/').and_then(|(id, number)| {
                    let number: u64 = number.parse().ok()?;
                    self.devices.get(id)?.queue.iter().find(|message| message.number == number)
                });
                Change::new(key, message)
            }
            _ => {
                let counters =
                    Counters { next_call: self.next_call, next_message: self.next_message, restarts: self.restarts };
                Change::new(key, Some(&counters))
            }
        }
    }

    /// Takes back an entry; a device has to come before its twin and its messages.
    ///
    /// # Errors
    /// Names the entry that cannot be read or belongs to nothing.
    pub fn restore(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        let (kind, name) = key.split_once('/').unwrap_or((key, ""));
        if kind == "hub" {
            let counters: Counters = durable::read(key, value)?;
            self.next_call = counters.next_call;
            self.next_message = counters.next_message;
            self.restarts = counters.restarts + 1;
            self.rng = self.rng.fork(&format!("restart {}", self.restarts));
            self.counted();
            return Ok(());
        }
        if kind == "device" {
            let record: Record = durable::read(key, value)?;
            let (attestation, generation) = (record.attestation.clone(), record.generation.clone());
            let device = Device::new(name, attestation, generation, Instant::ZERO, self.utc);
            self.devices.insert(Device { record, ..device });
            self.restored.insert(name.to_owned());
            return Ok(());
        }
        if kind == "certificate" {
            self.certificates.insert(name.to_owned(), durable::read(key, value)?);
            return Ok(());
        }
        let id = if kind == "message" { name.rsplit_once('/').map_or(name, |(id, _)| id) } else { name };
        let Some(device) = self.devices.get_mut(id) else {
            return Err(format!("the stored entry `{key}` belongs to no device; restore `device/{id}` before it"));
        };
        if kind == "twin" {
            device.twin = durable::read::<Twin>(key, value)?;
            self.restored.insert(name.to_owned());
            return Ok(());
        }
        let message: CloudToDevice = durable::read(key, value)?;
        let at = device.queue.partition_point(|other| other.number < message.number);
        device.queue.insert(at, message);
        self.arm(id);
        Ok(())
    }
}

impl Record {
    /// What is left of it without its connection.
    fn stored(mut self) -> Self {
        if !self.has_session {
            self.subscriptions.clear();
        }
        self
    }
}
