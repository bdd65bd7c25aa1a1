//! Connections of devices: who may connect, what a session keeps, what a lost connection leaves.

use sim_base::Instant;

use super::device::Link;
use super::{Device, Effects, Entry, Filter, Hub, HubError, Operation, Request, Username};
use crate::cloud::ConnId;
use crate::credentials::Presented;
use crate::event::{CloseReason, EventKind};
use crate::mqtt::{self, Tag, Unacknowledged};

/// A refused CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// CONNACK return code.
    pub code: u8,
    /// The reason, for a reader.
    pub why: String,
}

/// A CONNECT whose credentials are good.
#[derive(Debug)]
pub struct Login {
    username: Username,
    expires: Instant,
    clean_session: bool,
}

impl Login {
    /// Device id, or `device/module`.
    pub fn id(&self) -> &str {
        &self.username.id
    }
}

/// An accepted CONNECT.
#[derive(Debug)]
pub struct Accepted {
    /// Whether subscriptions of an earlier session are still there.
    pub session_present: bool,
    /// What the device has not acknowledged on its latest connection, to be sent again.
    pub resend: Vec<Unacknowledged>,
}

impl Hub {
    /// Judges a CONNECT; one that is `vouched` for has been let in by a broker, under whatever name it reached that.
    ///
    /// # Errors
    /// [`Refused`] with the CONNACK code.
    pub fn authorise(
        &mut self,
        now: Instant,
        connect: &mqtt::Connect,
        certificates: &[Vec<u8>],
        vouched: bool,
        effects: &mut Effects,
    ) -> Result<Login, Refused> {
        let refused = |code, why: String| Refused { code, why };
        let unauthorised = |why| refused(mqtt::REFUSED_NOT_AUTHORISED, why);
        let username = connect.username.as_deref().unwrap_or_default();
        let username = Username::parse(username).map_err(|why| refused(mqtt::REFUSED_CREDENTIALS, why))?;
        if !vouched && !username.host.eq_ignore_ascii_case(&self.host) {
            return Err(unauthorised(format!("this hub is `{}`, not `{}`", self.host, username.host)));
        }
        let id = username.id.as_str();
        if connect.client_id != id {
            let why = format!("the client id `{}` is not the device id `{id}`", connect.client_id);
            return Err(refused(mqtt::REFUSED_IDENTIFIER, why));
        }
        let device = self.devices.get(id).ok_or_else(|| unauthorised(format!("the device `{id}` does not exist")))?;
        // A module goes with its device.
        let parent = self.devices.get(device.device_id()).unwrap_or(device);
        if let Some(disabled) = [device, parent].into_iter().find(|device| !device.record.enabled) {
            return Err(unauthorised(format!("the device `{}` is disabled", disabled.id)));
        }
        let password = match connect.password.as_deref() {
            None | Some([]) => None,
            Some(bytes) => Some(
                core::str::from_utf8(bytes)
                    .map_err(|_| refused(mqtt::REFUSED_CREDENTIALS, "the password is not UTF-8".into()))?,
            ),
        };
        let resource = match device.module_id() {
            None => format!("{}/devices/{id}", self.host),
            Some(module) => format!("{}/devices/{}/modules/{module}", self.host, device.device_id()),
        };
        let anchors: Vec<&[u8]> = self.trusted().collect();
        let presented = Presented { name: id, password, certificates, anchors: &anchors, now: self.utc.seconds(now) };
        let expires = match vouched {
            true => None,
            false => device.record.attestation.check(&resource, presented).map_err(unauthorised)?,
        };
        if let Some(will) = &connect.will {
            let telemetry = matches!(Request::of(&will.topic, id), Some(Request::Telemetry { .. }));
            if !telemetry || will.qos > 1 {
                let why = format!("the will's topic `{}` is not the device's telemetry topic", will.topic);
                return Err(refused(mqtt::REFUSED_CREDENTIALS, why));
            }
        }
        if !self.throttle.admit(now, Operation::Connect) {
            effects.events.push(EventKind::Throttled { device: id.to_owned(), operation: Operation::Connect });
            return Err(refused(mqtt::REFUSED_UNAVAILABLE, "too many connections in this second; try later".into()));
        }
        let expires = expires.map_or(Instant::NEVER, |unix| self.utc.instant(unix));
        Ok(Login { username, expires, clean_session: connect.clean_session })
    }

    /// Forgets what an earlier connection of a device has left: its broker has lost it.
    pub(crate) fn forget_session(&mut self, id: &str) {
        if let Some(device) = self.devices.get_mut(id).filter(|device| device.record.has_session) {
            device.record.has_session = false;
            device.record.subscriptions.clear();
            device.unacknowledged.clear();
            self.changed(Entry::Device, id);
        }
    }

    /// The connection of a device: a new one evicts it.
    pub fn link(&self, id: &str) -> Option<ConnId> {
        self.devices.get(id)?.link.as_ref().map(|link| link.conn)
    }

    /// Takes over a connection whose CONNECT is accepted.
    pub fn attach(&mut self, now: Instant, conn: ConnId, login: Login, effects: &mut Effects) -> Accepted {
        let Login { username, expires, clean_session } = login;
        let id = username.id;
        let until = now + self.messages.lock;
        let mut accepted = Accepted { session_present: false, resend: Vec::new() };
        let Some(device) = self.devices.get_mut(&id) else { return accepted };
        let unacknowledged = core::mem::take(&mut device.unacknowledged);
        if clean_session {
            device.record.subscriptions.clear();
        } else if device.record.has_session {
            accepted.session_present = true;
            accepted.resend = unacknowledged.into_iter().filter(|message| device.wants(message, until)).collect();
        }
        device.record.has_session = !clean_session;
        device.link = Some(Link { conn, expires, clean: clean_session });
        device.record.model_id.clone_from(&username.model_id);
        device.record.connection_updated = Some(now);
        device.record.last_activity = Some(now);
        effects.events.push(EventKind::Connected {
            device: id.clone(),
            model_id: username.model_id,
            api_version: username.api_version,
            client_type: username.client_type,
        });
        device.cut(effects);
        device.start_calls(now, effects);
        self.changed(Entry::Device, &id);
        self.flush(now, &id, effects);
        accepted
    }

    /// Grants subscriptions; yields the return code for each: the granted QoS, or 128.
    ///
    /// The service allows five at a time; there are four filters that it knows, so there is nothing to count.
    ///
    /// # Errors
    /// The protocol violation for which the connection has to be closed.
    pub fn subscribe(
        &mut self,
        now: Instant,
        id: &str,
        filters: &[(String, u8)],
        effects: &mut Effects,
    ) -> Result<Vec<u8>, String> {
        self.active(now, id);
        let device = self.devices.get_mut(id).ok_or("the device was removed")?;
        let mut granted = Vec::new();
        for (filter, qos) in filters {
            match Filter::of(filter, id) {
                Filter::Known => {}
                Filter::Unknown => return Err(format!("the hub does not know the filter `{filter}`")),
                Filter::Refused(why) => {
                    granted.push(mqtt::SUBSCRIPTION_FAILED);
                    let (device, filter, why) = (id.to_owned(), filter.clone(), why.to_owned());
                    effects.events.push(EventKind::SubscriptionRefused { device, filter, why });
                    continue;
                }
            }
            let qos = (*qos).min(1);
            device.record.subscriptions.insert(filter.clone(), qos);
            granted.push(qos);
            effects.events.push(EventKind::Subscribed { device: id.to_owned(), filter: filter.clone(), qos });
        }
        device.start_calls(now, effects);
        self.changed(Entry::Device, id);
        self.flush(now, id, effects);
        Ok(granted)
    }

    /// Ends subscriptions.
    pub fn unsubscribe(&mut self, now: Instant, id: &str, filters: &[String]) {
        self.active(now, id);
        if let Some(device) = self.devices.get_mut(id) {
            device.record.subscriptions.retain(|filter, _| !filters.contains(filter));
            self.changed(Entry::Device, id);
        }
    }

    /// Notes the acknowledgement of a message.
    pub fn acknowledged(&mut self, now: Instant, id: &str, tag: Tag, effects: &mut Effects) {
        self.active(now, id);
        if let Tag::CloudToDevice(number) = tag {
            self.complete(now, id, number, effects);
        }
    }

    /// Notes the end of a connection: `will` is published for the device, and what it has not acknowledged is kept if
    /// its session is.
    pub fn disconnected(
        &mut self,
        now: Instant,
        conn: ConnId,
        id: &str,
        will: Option<mqtt::Will>,
        unacknowledged: Vec<Unacknowledged>,
        effects: &mut Effects,
    ) {
        if let Some(will) = will {
            self.publish_will(now, id, will, effects);
        }
        let Some(device) = self.devices.get_mut(id) else { return };
        let Some(link) = device.link.take_if(|link| link.conn == conn) else { return };
        if link.clean {
            device.record.subscriptions.clear();
        } else {
            device.unacknowledged = unacknowledged;
        }
        device.record.connection_updated = Some(now);
        device.lose_patches();
        self.changed(Entry::Device, id);
        self.abandon(now, id, effects);
        self.arm(id);
    }

    /// Closes a device's connection for a reason, if it has one.
    ///
    /// # Errors
    /// [`HubError::NoDevice`].
    pub fn close(&mut self, id: &str, why: CloseReason, effects: &mut Effects) -> Result<(), HubError> {
        if let Some(link) = &self.device_mut(id)?.link {
            effects.closes.push((link.conn, why));
        }
        Ok(())
    }
}

impl Device {
    /// Whether a message that was not acknowledged is still worth sending; a cloud-to-device message is locked then.
    fn wants(&mut self, message: &Unacknowledged, until: Instant) -> bool {
        match message.tag {
            Tag::Plain => true,
            Tag::Method(number) => self.calls.contains_key(&number),
            Tag::CloudToDevice(number) => self.relock(number, until),
        }
    }
}
