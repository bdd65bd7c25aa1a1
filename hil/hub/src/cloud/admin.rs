//! What an operator does with devices: enrol, change twins, call methods, send messages, make the service fail.

use core::time::Duration;

use serde_json::{Map, Value};
use sim_base::Instant;

use super::{Cloud, ConnId};
use crate::credentials::Attestation;
use crate::dps::{self, EnrolError, Enrolment, GroupEnrolment};
use crate::event::CloseReason;
use crate::iot_hub::{
    CaCertificate, Device, DeviceFault, DeviceQuery, DeviceUpdate, Effects, HubError, Message, MessageSettings,
    MethodCallId, MethodRequest, NewDevice, Throttle, Twin, TwinUpdate,
};

/// Identities.
impl Cloud {
    /// Makes a device, or a module by `device/module`, without the provisioning service.
    ///
    /// # Errors
    /// [`HubError`]; nothing is made then.
    pub fn create_device(&mut self, now: Instant, id: &str, new: NewDevice) -> Result<&Device, HubError> {
        self.hub.create(now, id, new)
    }

    /// The same with credentials and nothing else, at the cloud's epoch.
    ///
    /// # Errors
    /// [`HubError`]; nothing is made then.
    pub fn register_device(&mut self, id: &str, attestation: Attestation) -> Result<(), HubError> {
        let new = NewDevice { attestation: Some(attestation), ..NewDevice::default() };
        self.hub.create(Instant::ZERO, id, new).map(|_| ())
    }

    /// Changes credentials or status of a device or a module; `if_match` is the etag that it has to have.
    ///
    /// # Errors
    /// [`HubError`]; nothing is changed then.
    pub fn update_device(
        &mut self,
        now: Instant,
        id: &str,
        update: DeviceUpdate,
        if_match: Option<&str>,
    ) -> Result<(), HubError> {
        self.with_hub(now, |hub, effects| hub.update(now, id, update, if_match, effects))
    }

    /// Makes the keys of a device or a module anew: both, or the first, which takes the second's place.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn regenerate_keys(&mut self, id: &str, both: bool) -> Result<&Device, HubError> {
        self.hub.regenerate_keys(id, both)
    }

    /// Removes a device with its modules, twin and messages, or a module; connections are closed.
    ///
    /// # Errors
    /// [`HubError::NoDevice`], [`HubError::Precondition`].
    pub fn delete_device(&mut self, now: Instant, id: &str, if_match: Option<&str>) -> Result<(), HubError> {
        self.with_hub(now, |hub, effects| hub.delete(now, id, if_match, effects))
    }

    /// Allows or forbids a device to connect; a forbidden one loses its connection.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn set_enabled(&mut self, now: Instant, id: &str, enabled: bool) -> Result<(), HubError> {
        self.update_device(now, id, DeviceUpdate { enabled: Some(enabled), ..DeviceUpdate::default() }, None)
    }

    /// A device of the hub, or a module by `device/module`.
    pub fn device(&self, id: &str) -> Option<&Device> {
        self.hub.device(id)
    }

    /// All devices of the hub, by id; modules are not among them.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.hub.devices()
    }

    /// Devices whose id comes after another one (`""` for all), in order: for lists in pages.
    pub fn devices_after(&self, id: &str) -> impl Iterator<Item = &Device> {
        self.hub.devices_after(id)
    }

    /// The modules of a device, by id.
    pub fn modules(&self, device: &str) -> impl Iterator<Item = &Device> {
        self.hub.modules(device)
    }

    /// Devices by status, connection and tags, in order of their ids.
    pub fn query_devices(&self, query: &DeviceQuery) -> impl Iterator<Item = &Device> {
        self.hub.devices().filter(|device| query.fits(device))
    }

    /// The CA certificates that may vouch for devices, by name.
    pub fn certificates(&self) -> impl Iterator<Item = &CaCertificate> {
        self.hub.certificates()
    }

    /// Adds or replaces a CA certificate (PEM or DER). It counts once it is verified: at once by the administrator's
    /// word, or by [`verify_certificate`](Self::verify_certificate).
    ///
    /// # Errors
    /// [`HubError::Certificate`].
    pub fn add_certificate(
        &mut self,
        now: Instant,
        name: &str,
        certificate: &[u8],
        verified: bool,
    ) -> Result<&CaCertificate, HubError> {
        self.hub.add_certificate(now, name, certificate, verified)
    }

    /// Makes up the code that has to be the common name of the certificate that proves possession of a CA's key.
    ///
    /// # Errors
    /// [`HubError::NoCertificate`].
    pub fn verification_code(&mut self, now: Instant, name: &str) -> Result<String, HubError> {
        self.hub.verification_code(now, name)
    }

    /// Takes the certificate (PEM or DER), signed by the CA for the code, that proves possession of its key.
    ///
    /// # Errors
    /// [`HubError::Certificate`], [`HubError::NoCertificate`].
    pub fn verify_certificate(&mut self, now: Instant, name: &str, proof: &[u8]) -> Result<(), HubError> {
        self.hub.verify_certificate(now, name, proof)
    }

    /// Removes a CA certificate.
    ///
    /// # Errors
    /// [`HubError::NoCertificate`], [`HubError::Precondition`].
    pub fn remove_certificate(&mut self, name: &str, if_match: Option<&str>) -> Result<(), HubError> {
        self.hub.remove_certificate(name, if_match)
    }
}

/// Enrolments.
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

    /// The provisioning service: lists, changes and removes enrolments, groups and registrations, and is made to fail.
    pub fn provisioning(&self) -> &dps::Service {
        &self.dps
    }

    /// The same, to change it.
    pub fn provisioning_mut(&mut self) -> &mut dps::Service {
        &mut self.dps
    }
}

/// Twins, methods and messages. Where an id is that of a device, `device/module` is one too.
impl Cloud {
    /// A device's twin.
    pub fn twin(&self, id: &str) -> Option<&Twin> {
        self.hub.device(id).map(Device::twin)
    }

    /// Merges a patch into the desired properties, and sends it if the device listens; yields the new version.
    ///
    /// # Errors
    /// [`HubError::NoDevice`], [`HubError::Twin`].
    pub fn set_desired(&mut self, now: Instant, id: &str, patch: &Value) -> Result<u64, HubError> {
        self.with_hub(now, |hub, effects| hub.set_desired(now, id, patch, effects))
    }

    /// Merges a patch into the tags, e.g. `{"ADUGroup":"test"}`.
    ///
    /// # Errors
    /// [`HubError::NoDevice`], [`HubError::Twin`].
    pub fn set_tags(&mut self, id: &str, patch: &Map<String, Value>) -> Result<(), HubError> {
        self.hub.set_tags(id, patch)
    }

    /// Changes tags and desired properties at once, or replaces them.
    ///
    /// # Errors
    /// [`HubError::NoDevice`], [`HubError::Precondition`], [`HubError::Twin`]; nothing is changed then.
    pub fn update_twin(&mut self, now: Instant, id: &str, update: &TwinUpdate) -> Result<(), HubError> {
        self.with_hub(now, |hub, effects| hub.update_twin(now, id, update, effects))
    }

    /// Calls a direct method of a device that is there; [`EventKind::MethodAnswered`](crate::EventKind::MethodAnswered)
    /// or [`EventKind::MethodTimedOut`](crate::EventKind::MethodTimedOut) follows.
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
        let payload = Some(payload.clone());
        let request = MethodRequest { payload, response_timeout: timeout, ..MethodRequest::new(name) };
        self.call_method(now, id, &request)
    }

    /// Calls a direct method, and waits for the device if the request has a connect timeout;
    /// [`EventKind::MethodNotOnline`](crate::EventKind::MethodNotOnline) is the third outcome then.
    ///
    /// # Errors
    /// [`HubError`] if the device does not listen and is not waited for, or the call is malformed.
    pub fn call_method(&mut self, now: Instant, id: &str, request: &MethodRequest) -> Result<MethodCallId, HubError> {
        self.with_hub(now, |hub, effects| hub.invoke_method(now, id, request, effects))
    }

    /// Queues a cloud-to-device message with application properties, and nothing else.
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
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), Some((*value).to_owned()));
        let message = Message { properties: properties.iter().map(own).collect(), body, ..Message::default() };
        self.send_cloud_to_device(now, id, message).map(|_| ())
    }

    /// Queues a cloud-to-device message; yields its message id. What became of it is an event.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn send_cloud_to_device(&mut self, now: Instant, id: &str, message: Message) -> Result<String, HubError> {
        self.with_hub(now, |hub, effects| hub.send_message(now, id, message, effects))
    }

    /// Empties a device's queue; yields how many messages there were.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn purge_messages(&mut self, now: Instant, id: &str) -> Result<usize, HubError> {
        self.with_hub(now, |hub, effects| hub.purge_messages(now, id, effects))
    }

    /// Sets how cloud-to-device messages live.
    pub fn set_message_settings(&mut self, settings: MessageSettings) {
        self.hub.set_message_settings(settings);
    }
}

/// Faults of the service.
impl Cloud {
    /// Closes a device's connection, as a failing service would.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn disconnect(&mut self, now: Instant, id: &str) -> Result<(), HubError> {
        self.with_hub(now, |hub, effects| hub.close(id, CloseReason::Administrative, effects))
    }

    /// Closes a device's connection as if its token had expired now.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn expire_token(&mut self, now: Instant, id: &str) -> Result<(), HubError> {
        self.with_hub(now, |hub, effects| hub.close(id, CloseReason::TokenExpired, effects))
    }

    /// Answers the next `count` twin requests of a device with `status`, e.g. 429.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn refuse_twin_requests(&mut self, id: &str, status: u16, count: u32) -> Result<(), HubError> {
        self.hub.refuse_twin_requests(id, status, count)
    }

    /// Limits what all devices together may do in a second; off unless it is called.
    pub fn set_throttle(&mut self, throttle: Throttle) {
        self.hub.set_throttle(throttle);
    }

    /// Makes the service fail towards a device; [`EventKind::FaultActed`](crate::EventKind::FaultActed) tells each time
    /// that it does.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn inject_fault(&mut self, now: Instant, id: &str, fault: DeviceFault) -> Result<(), HubError> {
        self.with_hub(now, |hub, effects| hub.inject(id, fault, effects))
    }

    /// Heals every fault of a device; patches that were held are sent.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn clear_faults(&mut self, now: Instant, id: &str) -> Result<(), HubError> {
        self.with_hub(now, |hub, effects| hub.clear_faults(id, effects))
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
