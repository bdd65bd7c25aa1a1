//! Faults of the service towards one device, as testers want them.

use core::time::Duration;

use serde::{Deserialize, Serialize};
use sim_base::Instant;

use super::{DESIRED_PATCHES, Device, Effects, Hub, HubError};
use crate::event::EventKind;
use crate::mqtt::Tag;

/// A fault of the service towards one device or module.
///
/// Each is used up by what it counts. A second one of the same kind takes the place of the first; a count or a number of
/// bytes of 0 heals it. None outlives a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "fault")]
pub enum DeviceFault {
    /// The next `count` QoS 1 messages of the device are handled but not acknowledged.
    DropPubacks {
        /// Messages.
        count: u32,
    },
    /// The next `count` desired patches are sent twice.
    DuplicateDesired {
        /// Patches.
        count: u32,
    },
    /// The next `count` desired patches are sent late; one is lost if the connection ends before.
    DelayDesired {
        /// Patches.
        count: u32,
        /// How much later, in milliseconds.
        millis: u64,
    },
    /// The next `count` desired patches are held until the last of them, and sent in reverse order; they are lost if the
    /// connection ends before.
    ReorderDesired {
        /// Patches.
        count: u32,
    },
    /// The connection breaks when `bytes` more have come from the device: TLS records where TLS ends here, MQTT
    /// packets where it ends at another edge. Counted from now, or from the next CONNECT that is accepted.
    CutReceived {
        /// Bytes of the network connection.
        bytes: u64,
    },
    /// The same, for bytes that are sent to the device.
    CutSent {
        /// Bytes of the network connection.
        bytes: u64,
    },
}

/// The faults that wait for a device.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    refuse_twin: Option<(u16, u32)>,
    drop_pubacks: u32,
    duplicate: u32,
    delay: u32,
    delay_by: Duration,
    reorder: u32,
    cuts: Vec<DeviceFault>,
    /// Patches that are sent later.
    delayed: Vec<(Instant, Patch)>,
    /// Patches that are held for others.
    held: Vec<Patch>,
}

/// A desired-property patch on its way to the device.
#[derive(Clone, Debug)]
pub(super) struct Patch {
    pub version: u64,
    pub body: Vec<u8>,
}

impl Faults {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.delayed.iter().map(|(due, _)| *due).min()
    }
}

fn take_one(count: &mut u32) -> bool {
    let some = *count > 0;
    *count = count.saturating_sub(1);
    some
}

impl Hub {
    /// Answers the next `count` twin requests of a device with `status`, e.g. 429.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn refuse_twin_requests(&mut self, id: &str, status: u16, count: u32) -> Result<(), HubError> {
        self.device_mut(id)?.faults.refuse_twin = Some((status, count));
        Ok(())
    }

    /// Makes the service fail towards a device.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn inject(&mut self, id: &str, fault: DeviceFault, effects: &mut Effects) -> Result<(), HubError> {
        let device = self.device_mut(id)?;
        let faults = &mut device.faults;
        match fault {
            DeviceFault::DropPubacks { count } => faults.drop_pubacks = count,
            DeviceFault::DuplicateDesired { count } => faults.duplicate = count,
            DeviceFault::DelayDesired { count, millis } => {
                faults.delay = count;
                faults.delay_by = Duration::from_millis(millis);
            }
            DeviceFault::ReorderDesired { count } => faults.reorder = count,
            DeviceFault::CutReceived { .. } | DeviceFault::CutSent { .. } => match &device.link {
                Some(link) => effects.cuts.push((link.conn, fault)),
                None => {
                    let kind = core::mem::discriminant(&fault);
                    faults.cuts.retain(|other| core::mem::discriminant(other) != kind);
                    if !matches!(fault, DeviceFault::CutReceived { bytes: 0 } | DeviceFault::CutSent { bytes: 0 }) {
                        faults.cuts.push(fault);
                    }
                }
            },
        }
        Ok(())
    }

    /// Heals every fault of a device; patches that were held are sent.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn clear_faults(&mut self, id: &str, effects: &mut Effects) -> Result<(), HubError> {
        let device = self.device_mut(id)?;
        let faults = core::mem::take(&mut device.faults);
        if let Some(link) = &device.link {
            effects.cuts.push((link.conn, DeviceFault::CutReceived { bytes: 0 }));
            effects.cuts.push((link.conn, DeviceFault::CutSent { bytes: 0 }));
        }
        for patch in faults.held.into_iter().chain(faults.delayed.into_iter().map(|(_, patch)| patch)) {
            self.send_desired(id, patch, effects);
        }
        self.arm(id);
        Ok(())
    }

    /// Whether the acknowledgement that is due to a device is to be left out.
    pub(super) fn drops_puback(&mut self, id: &str, effects: &mut Effects) -> bool {
        let Some(device) = self.devices.get_mut(id) else { return false };
        let drop = take_one(&mut device.faults.drop_pubacks);
        if drop {
            device.note("PUBACK left out", effects);
        }
        drop
    }

    /// Sends a patch, or what a fault makes of it.
    pub(super) fn deliver_desired(&mut self, now: Instant, id: &str, patch: Patch, effects: &mut Effects) {
        let Some(device) = self.devices.get_mut(id) else { return };
        if device.link.is_none() || !device.record.subscriptions.contains_key(DESIRED_PATCHES) {
            return;
        }
        let version = patch.version;
        if device.faults.reorder > device.faults.held.len() as u32 {
            device.faults.held.push(patch);
            if device.faults.held.len() < device.faults.reorder as usize {
                device.note(&format!("desired version {version} held"), effects);
                return;
            }
            device.faults.reorder = 0;
            device.note(&format!("desired patches sent in reverse order from version {version}"), effects);
            let held = core::mem::take(&mut device.faults.held);
            for patch in held.into_iter().rev() {
                self.send_desired(id, patch, effects);
            }
        } else if take_one(&mut device.faults.delay) {
            device.note(&format!("desired version {version} delayed"), effects);
            device.faults.delayed.push((now + device.faults.delay_by, patch));
        } else {
            if take_one(&mut device.faults.duplicate) {
                device.note(&format!("desired version {version} sent twice"), effects);
                self.send_desired(id, patch.clone(), effects);
            }
            self.send_desired(id, patch, effects);
        }
    }

    /// Sends the patches whose delay is over.
    pub(super) fn release_desired(&mut self, now: Instant, id: &str, effects: &mut Effects) {
        let Some(device) = self.devices.get_mut(id) else { return };
        let (due, later) = core::mem::take(&mut device.faults.delayed).into_iter().partition(|(due, _)| *due <= now);
        device.faults.delayed = later;
        let due: Vec<(Instant, Patch)> = due;
        for (_, patch) in due {
            self.send_desired(id, patch, effects);
        }
    }

    fn send_desired(&mut self, id: &str, patch: Patch, effects: &mut Effects) {
        let Some(device) = self.devices.get_mut(id) else { return };
        let version = patch.version;
        let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
        if device.send(DESIRED_PATCHES, topic, patch.body, Tag::Plain, effects) {
            device.record.last_desired_sent = device.record.last_desired_sent.max(Some(version));
            self.changed(super::Entry::Device, id);
            effects.events.push(EventKind::DesiredSent { device: id.to_owned(), version });
        }
    }
}

impl Device {
    /// Whether the next acknowledgement that is due to it is to be left out.
    pub(super) fn drops_pubacks(&self) -> bool {
        self.faults.drop_pubacks > 0
    }

    /// The status with which this twin request is to be refused, if any.
    pub(super) fn refusal(&mut self) -> Option<u16> {
        let (status, count) = self.faults.refuse_twin.as_mut()?;
        take_one(count).then_some(*status)
    }

    /// Hands the faults over that belong to a connection.
    pub(super) fn cut(&mut self, effects: &mut Effects) {
        if let Some(link) = &self.link {
            effects.cuts.extend(self.faults.cuts.drain(..).map(|fault| (link.conn, fault)));
        }
    }

    /// Forgets the patches that a lost connection will not take any more.
    pub(super) fn lose_patches(&mut self) {
        self.faults.delayed.clear();
        self.faults.held.clear();
    }

    fn note(&self, what: &str, effects: &mut Effects) {
        effects.events.push(EventKind::FaultActed { device: self.id.clone(), what: what.to_owned() });
    }
}
