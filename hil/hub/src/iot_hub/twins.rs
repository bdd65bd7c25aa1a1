//! Twins from both sides: what a device asks for, and what the back end changes.

use serde_json::{Map, Value, json};
use sim_base::Instant;

use super::faults::Patch;
use super::{Device, Effects, Entry, Hub, HubError, Operation, TWIN_RESPONSES, Twin, TwinError, notification};
use crate::event::EventKind;
use crate::mqtt::Tag;

/// A change of a twin by the back end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TwinUpdate {
    /// Tags: a merge patch, or all of them.
    pub tags: Option<Map<String, Value>>,
    /// Desired properties: a merge patch, or all of them.
    pub desired: Option<Map<String, Value>>,
    /// Whether what is not named goes.
    pub replace: bool,
    /// The twin's etag as it has to be; `None` and `*` fit every one.
    pub if_match: Option<String>,
}

impl Hub {
    /// Answers a device that reads its twin.
    pub(super) fn read_twin(&mut self, now: Instant, id: &str, rid: &str, effects: &mut Effects) {
        let admitted = self.throttle.admit(now, Operation::TwinRead);
        let Some(device) = self.devices.get_mut(id) else { return };
        if device.refused(rid, admitted, Operation::TwinRead, effects) {
            return;
        }
        let body = device.twin.document().to_string().into_bytes();
        let topic = format!("$iothub/twin/res/200/?$rid={rid}");
        if device.send(TWIN_RESPONSES, topic, body, Tag::Plain, effects) {
            let version = device.twin.desired_version();
            device.record.last_desired_sent = device.record.last_desired_sent.max(Some(version));
            effects.events.push(EventKind::TwinRead { device: id.to_owned(), desired_version: version });
            self.changed(Entry::Device, id);
        }
    }

    /// Answers a device that reports properties.
    pub(super) fn patch_reported(&mut self, now: Instant, id: &str, rid: &str, body: &[u8], effects: &mut Effects) {
        let admitted = self.throttle.admit(now, Operation::TwinUpdate);
        let stamp = self.utc.format(now);
        let Some(device) = self.devices.get_mut(id) else { return };
        if device.refused(rid, admitted, Operation::TwinUpdate, effects) {
            return;
        }
        let outcome = parse_object(body).and_then(|patch| Ok((device.twin.patch_reported(&patch, &stamp)?, patch)));
        match outcome {
            Ok((version, patch)) => {
                let topic = format!("$iothub/twin/res/204/?$rid={rid}&$version={version}");
                device.send(TWIN_RESPONSES, topic, Vec::new(), Tag::Plain, effects);
                let patch = Value::Object(patch);
                effects.events.push(EventKind::Reported { device: id.to_owned(), patch, version });
                self.changed(Entry::Twin, id);
            }
            Err(error) => device.refuse(rid, error.status(), &error.to_string(), effects),
        }
    }

    /// Changes desired properties and tells the device if it listens; yields the new version.
    ///
    /// # Errors
    /// [`HubError::NoDevice`], [`HubError::Twin`].
    pub fn set_desired(
        &mut self,
        now: Instant,
        id: &str,
        patch: &Value,
        effects: &mut Effects,
    ) -> Result<u64, HubError> {
        let stamp = self.utc.format(now);
        let device = self.device_mut(id)?;
        let Value::Object(patch) = patch else {
            return Err(TwinError::NotAnObject(patch.to_string()).into());
        };
        let version = device.twin.patch_desired(patch, &stamp)?;
        self.changed(Entry::Twin, id);
        let body = notification(patch, version).to_string().into_bytes();
        self.deliver_desired(now, id, Patch { version, body }, effects);
        self.arm(id);
        Ok(version)
    }

    /// Changes tags.
    ///
    /// # Errors
    /// [`HubError::NoDevice`], [`HubError::Twin`].
    pub fn set_tags(&mut self, id: &str, patch: &Map<String, Value>) -> Result<(), HubError> {
        self.device_mut(id)?.twin.patch_tags(patch)?;
        self.changed(Entry::Twin, id);
        Ok(())
    }

    /// Changes tags and desired properties at once: both or neither.
    ///
    /// A device that listens is told a patch also if the properties were replaced: what went is null in it.
    ///
    /// # Errors
    /// [`HubError::NoDevice`], [`HubError::Precondition`], [`HubError::Twin`].
    pub fn update_twin(
        &mut self,
        now: Instant,
        id: &str,
        update: &TwinUpdate,
        effects: &mut Effects,
    ) -> Result<(), HubError> {
        let device = self.device_mut(id)?;
        precondition(id, update.if_match.as_deref(), &device.twin.etag())?;
        let patch = |all: &Map<String, Value>, replacement: fn(&Twin, &Map<String, Value>) -> Map<String, Value>| {
            if update.replace { replacement(&device.twin, all) } else { all.clone() }
        };
        let tags = update.tags.as_ref().map(|tags| patch(tags, Twin::tags_replacement));
        let desired = update.desired.as_ref().map(|desired| patch(desired, Twin::replacement));
        let before = device.twin.clone();
        if let Some(tags) = tags {
            self.set_tags(id, &tags)?;
        }
        if let Some(desired) = desired
            && let Err(error) = self.set_desired(now, id, &Value::Object(desired), effects)
        {
            self.device_mut(id)?.twin = before;
            return Err(error);
        }
        Ok(())
    }
}

/// Checks the etag of a request.
pub(super) fn precondition(id: &str, given: Option<&str>, actual: &str) -> Result<(), HubError> {
    match given.map(|given| given.trim_matches('"')) {
        None | Some("*") => Ok(()),
        Some(given) if given == actual => Ok(()),
        Some(given) => {
            Err(HubError::Precondition { id: id.to_owned(), given: given.to_owned(), actual: actual.to_owned() })
        }
    }
}

impl Device {
    /// Answers a twin request that is one too many, or that is to fail.
    fn refused(&mut self, rid: &str, admitted: bool, operation: Operation, effects: &mut Effects) -> bool {
        let (status, why) = match self.refusal() {
            Some(status) => (status, "the scenario asked for it"),
            None if admitted => return false,
            None => {
                effects.events.push(EventKind::Throttled { device: self.id.clone(), operation });
                (429, "too many requests; wait, then try again")
            }
        };
        self.refuse(rid, status, why, effects);
        true
    }

    fn refuse(&self, rid: &str, status: u16, why: &str, effects: &mut Effects) {
        // The shape of error bodies is that of the provisioning service; the documents do not show the hub's.
        let body = json!({"errorCode": u32::from(status) * 1000, "message": why}).to_string().into_bytes();
        let topic = format!("$iothub/twin/res/{status}/?$rid={rid}");
        self.send(TWIN_RESPONSES, topic, body, Tag::Plain, effects);
        effects.events.push(EventKind::TwinRefused { device: self.id.clone(), status, why: why.to_owned() });
    }
}

fn parse_object(body: &[u8]) -> Result<Map<String, Value>, TwinError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(TwinError::NotAnObject(other.to_string())),
        Err(error) => Err(TwinError::NotAnObject(error.to_string())),
    }
}
