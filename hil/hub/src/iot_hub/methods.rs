//! Direct methods: a question to the device, and its answer.

use core::time::Duration;

use serde::Serialize;
use serde_json::Value;
use sim_base::Instant;

use super::{Device, Effects, Hub, HubError, METHODS};
use crate::event::EventKind;
use crate::mqtt::Tag;

/// Largest payload of a direct method, bytes.
const MAX_METHOD: usize = 128 * 1024;

/// Number of a direct method call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct MethodCallId(pub(crate) u64);

/// A call of a direct method.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodRequest {
    /// Name of the method; that of a component's command is `component*command`.
    pub name: String,
    /// Payload; the body is empty without one.
    pub payload: Option<Value>,
    /// How long the device may take to answer; the service has 5 to 300 s.
    pub response_timeout: Duration,
    /// How long to wait for a device that is not connected, or does not listen; 0 to 300 s at the service.
    pub connect_timeout: Duration,
}

impl MethodRequest {
    /// A call without payload, with the service's timeouts: 30 s for an answer, none for a connection.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            payload: None,
            response_timeout: Duration::from_secs(30),
            connect_timeout: Duration::ZERO,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct PendingCall {
    pub call: MethodCallId,
    /// Until when the device has to be there, or to have answered.
    pub deadline: Instant,
    /// What is still to be sent.
    waiting: Option<Waiting>,
}

#[derive(Clone, Debug)]
struct Waiting {
    topic: String,
    body: Vec<u8>,
    response_timeout: Duration,
}

impl Hub {
    /// Calls a direct method; the outcome comes as an event: [`EventKind::MethodAnswered`],
    /// [`EventKind::MethodTimedOut`] or, after the connect timeout, [`EventKind::MethodNotOnline`].
    ///
    /// # Errors
    /// [`HubError`] if the call is malformed, or the device does not listen and there is no connect timeout.
    pub fn invoke_method(
        &mut self,
        now: Instant,
        id: &str,
        request: &MethodRequest,
        effects: &mut Effects,
    ) -> Result<MethodCallId, HubError> {
        let number = self.next_call;
        let device = self.device_mut(id)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.*".contains(c);
        if request.name.is_empty() || !request.name.chars().all(allowed) {
            return Err(HubError::MethodName(request.name.clone()));
        }
        let body = request.payload.as_ref().map(Value::to_string).unwrap_or_default().into_bytes();
        if body.len() > MAX_METHOD {
            return Err(HubError::TooLarge { size: body.len(), limit: MAX_METHOD });
        }
        if !device.listens() && request.connect_timeout.is_zero() {
            let id = id.to_owned();
            return Err(if device.is_connected() { HubError::NoMethods(id) } else { HubError::NotConnected(id) });
        }
        let call = MethodCallId(number);
        let waiting = Waiting {
            topic: format!("$iothub/methods/POST/{}/?$rid={number}", request.name),
            body,
            response_timeout: request.response_timeout,
        };
        let deadline = now + request.connect_timeout;
        device.calls.insert(number, PendingCall { call, deadline, waiting: Some(waiting) });
        device.start_calls(now, effects);
        self.next_call += 1;
        self.counted();
        self.arm(id);
        Ok(call)
    }
}

impl Device {
    fn listens(&self) -> bool {
        self.link.is_some() && self.record.subscriptions.contains_key(METHODS)
    }

    /// Sends the calls that have waited for the device.
    pub(super) fn start_calls(&mut self, now: Instant, effects: &mut Effects) {
        if !self.listens() {
            return;
        }
        let mut calls = core::mem::take(&mut self.calls);
        for (number, call) in &mut calls {
            if let Some(Waiting { topic, body, response_timeout }) = call.waiting.take() {
                call.deadline = now + response_timeout;
                self.send(METHODS, topic, body, Tag::Method(*number), effects);
            }
        }
        self.calls = calls;
    }

    /// Takes the device's answer; one to nothing, or after the timeout, is dropped without a word, as the service does.
    pub(super) fn answered(&mut self, rid: &str, status: i32, body: Vec<u8>, effects: &mut Effects) {
        let number = rid.parse().ok().filter(|rid| self.calls.get(rid).is_some_and(|call| call.waiting.is_none()));
        if let Some(pending) = number.and_then(|rid: u64| self.calls.remove(&rid)) {
            let (device, call) = (self.id.clone(), pending.call);
            effects.events.push(EventKind::MethodAnswered { device, call, status, body });
        }
    }

    /// Gives up on calls that took too long.
    pub(super) fn give_up_calls(&mut self, now: Instant, effects: &mut Effects) {
        let id = &self.id;
        self.calls.retain(|_, pending| {
            let late = now >= pending.deadline;
            if late {
                let (device, call) = (id.clone(), pending.call);
                effects.events.push(match pending.waiting {
                    Some(_) => EventKind::MethodNotOnline { device, call },
                    None => EventKind::MethodTimedOut { device, call },
                });
            }
            !late
        });
    }
}
