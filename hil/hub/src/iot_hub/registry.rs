//! The identity registry: devices and modules, by an administrator's hand or the provisioning service's.

use core::ops::Bound;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sim_base::Instant;

use super::twins::precondition;
use super::{Device, Effects, Entry, Hub, HubError, MessageOutcome, Twin};
use crate::credentials::Attestation;
use crate::event::CloseReason;

/// Most modules of one device.
const MAX_MODULES: usize = 50;
/// Length of generated keys, bytes.
const KEY_LEN: usize = 32;

/// A device or a module to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NewDevice {
    /// How it proves who it is; two random keys if `None`.
    #[serde(rename = "authentication")]
    pub attestation: Option<Attestation>,
    /// Whether it may connect.
    pub enabled: bool,
    /// What to say about the status.
    pub status_reason: Option<String>,
    /// Tags of its twin.
    pub tags: Map<String, Value>,
    /// Desired properties of its twin.
    pub desired: Map<String, Value>,
}

impl Default for NewDevice {
    /// Enabled, with random keys and an empty twin.
    fn default() -> Self {
        Self { attestation: None, enabled: true, status_reason: None, tags: Map::new(), desired: Map::new() }
    }
}

/// A change of an identity; `None` leaves things as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceUpdate {
    /// How it proves who it is.
    #[serde(rename = "authentication")]
    pub attestation: Option<Attestation>,
    /// Whether it may connect; a disabled one loses its connection.
    pub enabled: Option<bool>,
    /// What to say about the status.
    pub status_reason: Option<String>,
}

/// Which devices are looked for; what is `None` or empty fits all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceQuery {
    /// Whether they may connect.
    pub enabled: Option<bool>,
    /// Whether they are connected.
    pub connected: Option<bool>,
    /// Tags by their path, e.g. `location.floor`, and the value that they have.
    pub tags: Vec<(String, Value)>,
}

impl DeviceQuery {
    /// Whether a device is among those looked for.
    pub fn fits(&self, device: &Device) -> bool {
        self.enabled.is_none_or(|enabled| enabled == device.is_enabled())
            && self.connected.is_none_or(|connected| connected == device.is_connected())
            && self.tags.iter().all(|(path, value)| {
                let mut names = path.split('.');
                let tag = names.next().and_then(|name| device.twin().tags().get(name));
                names.fold(tag, |tag, name| tag?.get(name)) == Some(value)
            })
    }
}

impl Hub {
    /// All devices, by id; modules are not among them.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|device| device.module_id().is_none())
    }

    /// Devices whose id comes after another one, in order: the next page of a list.
    pub fn devices_after(&self, id: &str) -> impl Iterator<Item = &Device> {
        self.devices.from(Bound::Excluded(id)).filter(|device| device.module_id().is_none())
    }

    /// The modules of a device, by id.
    pub fn modules(&self, device: &str) -> impl Iterator<Item = &Device> {
        let prefix = format!("{device}/");
        let from = self.devices.from(Bound::Included(&prefix));
        from.take_while(move |module| module.id.starts_with(&prefix))
    }

    /// Makes a device, or a module (`device/module`) of an existing one.
    ///
    /// # Errors
    /// [`HubError`]; nothing is made then.
    pub fn create(&mut self, now: Instant, id: &str, new: NewDevice) -> Result<&Device, HubError> {
        check_id(id)?;
        if self.devices.contains(id) {
            return Err(HubError::Exists(id.to_owned()));
        }
        if let Some((device, _)) = id.split_once('/') {
            if !self.devices.contains(device) {
                return Err(HubError::NoDevice(device.to_owned()));
            }
            if self.modules(device).count() >= MAX_MODULES {
                return Err(HubError::TooManyModules(device.to_owned()));
            }
        }
        let attestation = match new.attestation {
            Some(attestation) => attestation,
            None => Attestation::SymmetricKey { primary: self.random_key(), secondary: Some(self.random_key()) },
        };
        check_attestation(&attestation)?;
        let generation = format!("{:018}", self.rng.next_u64() % 1_000_000_000_000_000_000);
        self.counted();
        let mut device = Device::new(id, attestation, generation, now, self.utc);
        device.record.enabled = new.enabled;
        device.record.status_reason = new.status_reason;
        device.twin = initial_twin(&new.tags, &new.desired, &self.utc.format(now))?;
        self.devices.insert(device);
        self.changed(Entry::Device, id);
        self.changed(Entry::Twin, id);
        self.devices.get(id).ok_or_else(|| HubError::NoDevice(id.to_owned()))
    }

    fn random_key(&mut self) -> Vec<u8> {
        let mut key = vec![0; KEY_LEN];
        self.rng.fill(&mut key);
        key
    }

    /// Changes credentials or status. Changed credentials count from the next connection on, as at the service.
    ///
    /// # Errors
    /// [`HubError`]; nothing is changed then.
    pub fn update(
        &mut self,
        now: Instant,
        id: &str,
        update: DeviceUpdate,
        if_match: Option<&str>,
        effects: &mut Effects,
    ) -> Result<(), HubError> {
        let device = self.device_mut(id)?;
        precondition(id, if_match, &device.etag())?;
        if let Some(attestation) = update.attestation {
            check_attestation(&attestation)?;
            device.record.attestation = attestation;
        }
        if let Some(enabled) = update.enabled
            && enabled != device.record.enabled
        {
            device.record.enabled = enabled;
            device.record.status_updated = now;
        }
        if update.status_reason.is_some() {
            device.record.status_reason = update.status_reason;
        }
        device.record.revision += 1;
        let enabled = device.record.enabled;
        self.changed(Entry::Device, id);
        if !enabled {
            let ids: Vec<String> = self.modules(id).map(|module| module.id.clone()).collect();
            for id in ids.iter().map(String::as_str).chain([id]) {
                self.close(id, CloseReason::Administrative, effects)?;
            }
        }
        Ok(())
    }

    /// Makes the keys of a device anew; both, or the first takes the second's place.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn regenerate_keys(&mut self, id: &str, both: bool) -> Result<&Device, HubError> {
        let (one, other) = (self.random_key(), self.random_key());
        self.counted();
        let device = self.device_mut(id)?;
        let secondary = match &device.record.attestation {
            Attestation::SymmetricKey { primary, .. } if !both => primary.clone(),
            _ => other,
        };
        device.record.attestation = Attestation::SymmetricKey { primary: one, secondary: Some(secondary) };
        device.record.revision += 1;
        self.changed(Entry::Device, id);
        self.devices.get(id).ok_or_else(|| HubError::NoDevice(id.to_owned()))
    }

    /// Removes a device with its modules, its twin and its messages, or a module; connections are closed.
    ///
    /// # Errors
    /// [`HubError::NoDevice`], [`HubError::Precondition`].
    pub fn delete(
        &mut self,
        now: Instant,
        id: &str,
        if_match: Option<&str>,
        effects: &mut Effects,
    ) -> Result<(), HubError> {
        precondition(id, if_match, &self.device_mut(id)?.etag())?;
        let modules: Vec<String> = self.modules(id).map(|module| module.id.clone()).collect();
        for id in modules.iter().map(String::as_str).chain([id]) {
            self.close(id, CloseReason::Administrative, effects)?;
            self.settle(now, id, MessageOutcome::Purged, |_| true, effects);
            if let Some(device) = self.devices.remove(id) {
                self.timers.remove(&(device.due, device.id));
            }
            self.changed(Entry::Device, id);
            self.changed(Entry::Twin, id);
        }
        Ok(())
    }

    /// Gives a device the credentials that the provisioning service found good, and makes it if it does not exist.
    ///
    /// With `reset`, what an existing one has goes, and its twin begins anew.
    ///
    /// # Errors
    /// [`HubError`] if the id or the initial twin are not acceptable.
    pub(crate) fn provision(
        &mut self,
        now: Instant,
        id: &str,
        new: NewDevice,
        reset: bool,
        effects: &mut Effects,
    ) -> Result<(), HubError> {
        if self.devices.contains(id) {
            let stamp = self.utc.format(now);
            let twin = reset.then(|| initial_twin(&new.tags, &new.desired, &stamp)).transpose()?;
            let device = self.device_mut(id)?;
            if let Some(attestation) = new.attestation {
                device.record.attestation = attestation;
                device.record.revision += 1;
            }
            if let Some(twin) = twin {
                device.twin = twin;
                device.record.last_desired_sent = None;
                self.changed(Entry::Twin, id);
                self.purge_messages(now, id, effects)?;
                self.close(id, CloseReason::Administrative, effects)?;
            }
            self.changed(Entry::Device, id);
            return Ok(());
        }
        self.create(now, id, new).map(|_| ())
    }
}

fn initial_twin(tags: &Map<String, Value>, desired: &Map<String, Value>, stamp: &str) -> Result<Twin, HubError> {
    let mut twin = Twin::new(stamp);
    twin.begin_with(tags, desired, stamp)?;
    Ok(twin)
}

fn check_id(id: &str) -> Result<(), HubError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-:.+%_#*?!(),=@;$'".contains(c);
    let good = |part: &str| (1..=128).contains(&part.len()) && part.chars().all(allowed);
    let parts: Vec<&str> = id.split('/').collect();
    if parts.len() <= 2 && parts.iter().all(|part| good(part)) { Ok(()) } else { Err(HubError::Id(id.to_owned())) }
}

fn check_attestation(attestation: &Attestation) -> Result<(), HubError> {
    let Attestation::SymmetricKey { primary, secondary } = attestation else { return Ok(()) };
    let wrong = core::iter::once(primary).chain(secondary).find(|key| !(16..=64).contains(&key.len()));
    wrong.map_or(Ok(()), |key| Err(HubError::KeyLength(key.len())))
}
