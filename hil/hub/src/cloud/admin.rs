//! What an operator does with devices: enrol, change twins, call methods, send messages.

use core::time::Duration;

use serde_json::{Map, Value};
use sim_base::Instant;

use super::{Cloud, ConnId};
use crate::credentials::Attestation;
use crate::dps::{EnrolError, Enrolment, GroupEnrolment};
use crate::iot_hub::{Device, Effects, HubError, MethodCallId, Twin};

impl Cloud {
    /// Adds an individual enrolment to the provisioning service.
    ///
    /// # Errors
    /// [`EnrolError`].
    pub fn enroll(&mut self, enrolment: Enrolment) -> Result<(), EnrolError> {
        self.dps.enroll(enrolment)
    }

    /// Adds an enrolment group to the provisioning service.
    ///
    /// # Errors
    /// [`EnrolError`].
    pub fn enroll_group(&mut self, group: GroupEnrolment) -> Result<(), EnrolError> {
        self.dps.enroll_group(group)
    }

    /// Adds a device to the hub without the provisioning service.
    ///
    /// # Errors
    /// [`HubError::Exists`].
    pub fn register_device(&mut self, id: &str, attestation: Attestation) -> Result<(), HubError> {
        if self.hub.device(id).is_some() {
            return Err(HubError::Exists(id.to_owned()));
        }
        self.hub.register(id, attestation, Map::new());
        Ok(())
    }

    /// A device of the hub.
    pub fn device(&self, id: &str) -> Option<&Device> {
        self.hub.device(id)
    }

    /// All devices of the hub, by id.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.hub.devices()
    }

    /// A device's twin.
    pub fn twin(&self, id: &str) -> Option<&Twin> {
        self.hub.device(id).map(Device::twin)
    }

    /// Merges a patch into the desired properties, and sends it if the device listens; yields the new version.
    ///
    /// # Errors
    /// [`HubError::NoDevice`], [`HubError::Twin`].
    pub fn set_desired(&mut self, now: Instant, id: &str, patch: &Value) -> Result<u64, HubError> {
        self.with_hub(now, |hub, effects| hub.set_desired(id, patch, effects))
    }

    /// Merges a patch into the tags, e.g. `{"ADUGroup":"test"}`.
    ///
    /// # Errors
    /// [`HubError::NoDevice`], [`HubError::Twin`].
    pub fn set_tags(&mut self, id: &str, patch: &Map<String, Value>) -> Result<(), HubError> {
        self.hub.set_tags(id, patch)
    }

    /// Calls a direct method; [`MethodAnswered`](crate::EventKind::MethodAnswered) or [`MethodTimedOut`](crate::EventKind::MethodTimedOut) follows.
    ///
    /// # Errors
    /// [`HubError`] if the device does not listen or the call is malformed.
    pub fn invoke_method(
        &mut self,
        now: Instant,
        id: &str,
        name: &str,
        payload: &Value,
        timeout: Duration,
    ) -> Result<MethodCallId, HubError> {
        self.with_hub(now, |hub, effects| hub.invoke_method(now, id, name, payload, timeout, effects))
    }

    /// Queues a cloud-to-device message.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn send_message(
        &mut self,
        now: Instant,
        id: &str,
        properties: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<(), HubError> {
        self.with_hub(now, |hub, effects| hub.send_message(id, properties, body, effects))
    }

    /// Closes a device's connection, as a failing service would.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn disconnect(&mut self, now: Instant, id: &str) -> Result<(), HubError> {
        self.with_hub(now, |hub, effects| hub.disconnect(id, effects))
    }

    /// Allows or forbids a device to connect; a forbidden one loses its connection.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn set_enabled(&mut self, now: Instant, id: &str, enabled: bool) -> Result<(), HubError> {
        self.with_hub(now, |hub, effects| hub.set_enabled(id, enabled, effects))
    }

    /// Answers the next `count` twin requests of a device with `status`, e.g. 429.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn refuse_twin_requests(&mut self, id: &str, status: u16, count: u32) -> Result<(), HubError> {
        self.hub.refuse_twin_requests(id, status, count)
    }

    pub(super) fn with_hub<T>(
        &mut self,
        now: Instant,
        call: impl FnOnce(&mut crate::iot_hub::Hub, &mut Effects) -> Result<T, HubError>,
    ) -> Result<T, HubError> {
        let mut effects = Effects::default();
        let outcome = call(&mut self.hub, &mut effects);
        self.apply(now, None::<ConnId>, effects);
        outcome
    }
}
