//! What the services saw and did: the evidence for a scenario's assertions and report.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use serde_json::Value;
use sim_base::Instant;

use crate::cloud::ConnId;
use crate::dps::RegistrationStatus;
use crate::durable;
use crate::iot_hub::{MessageOutcome, MethodCallId, Operation, Telemetry};

/// Something that happened at the services. As JSON the members of [`EventKind`] stand beside `at`, which is in
/// nanoseconds since the cloud's epoch, and `conn`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CloudEvent {
    /// When.
    #[serde(with = "durable::instant")]
    pub at: Instant,
    /// On which connection, if on one.
    pub conn: Option<ConnId>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// The kinds of event. A `device` that is a module is `device/module`.
///
/// As JSON: an object with the variant's name as `kind`. A body is its text, or `base64:…` if it is not UTF-8.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum EventKind {
    /// A TLS handshake completed.
    TlsEstablished {
        /// Host name that the client asked for.
        sni: Option<String>,
        /// `TLSv1_2`, ...
        version: String,
        /// Name of the cipher suite.
        suite: String,
        /// Whether the client presented a certificate.
        client_certificate: bool,
    },
    /// A TLS handshake or record failed; the connection closes.
    TlsFailed {
        /// The reason, for a reader.
        why: String,
    },
    /// A client connected to the provisioning service.
    DpsConnected {
        /// Registration id.
        registration: String,
    },
    /// The provisioning service took a registration request; the client has to poll.
    DpsAssigning {
        /// Registration id.
        registration: String,
    },
    /// The provisioning service assigned a device to the hub.
    DpsAssigned {
        /// Registration id.
        registration: String,
        /// Device id.
        device: String,
        /// Model id that the client announced in the payload.
        model_id: Option<String>,
        /// `initialAssignment`, `reprovisionedToInitialAssignment` or `deviceDataReset`.
        substatus: String,
    },
    /// A registration ended without a device.
    DpsConcluded {
        /// Registration id.
        registration: String,
        /// How.
        status: RegistrationStatus,
    },
    /// The provisioning service refused a request.
    DpsRefused {
        /// Registration id.
        registration: String,
        /// The 32-bit error code of the answer, e.g. 401002.
        error_code: u32,
        /// The reason, for a reader.
        why: String,
    },
    /// A device connected to the hub.
    Connected {
        /// Device id.
        device: String,
        /// Model id of the user name, percent-decoded.
        model_id: Option<String>,
        /// API version of the user name.
        api_version: String,
        /// `DeviceClientType` of the user name, percent-decoded.
        client_type: Option<String>,
    },
    /// A CONNECT was refused.
    ConnectRefused {
        /// CONNACK return code.
        code: u8,
        /// The reason, for a reader.
        why: String,
    },
    /// A filter was subscribed to.
    Subscribed {
        /// Device or registration id.
        device: String,
        /// Topic filter.
        filter: String,
        /// Granted QoS.
        qos: u8,
    },
    /// The device read its twin.
    TwinRead {
        /// Device id.
        device: String,
        /// Version of the desired properties that were sent.
        desired_version: u64,
    },
    /// A desired-property patch was sent to the device.
    DesiredSent {
        /// Device id.
        device: String,
        /// Version after the patch.
        version: u64,
    },
    /// The device changed its reported properties.
    Reported {
        /// Device id.
        device: String,
        /// The patch as it came.
        patch: Value,
        /// Version after the patch.
        version: u64,
    },
    /// A twin request was refused.
    TwinRefused {
        /// Device id.
        device: String,
        /// Status of the answer.
        status: u16,
        /// The reason, for a reader.
        why: String,
    },
    /// A telemetry message arrived: `device`, `topic`, `body`, `will`, `system`, `properties`.
    Telemetry(Telemetry),
    /// The device answered a direct method.
    MethodAnswered {
        /// Device id.
        device: String,
        /// The call, as `invoke_method` returned it.
        call: MethodCallId,
        /// Status chosen by the device.
        status: i32,
        /// Payload.
        #[serde(serialize_with = "text_or_base64")]
        body: Vec<u8>,
    },
    /// The device did not answer a direct method in time: status 504, error code 504101.
    MethodTimedOut {
        /// Device id.
        device: String,
        /// The call, as `invoke_method` returned it.
        call: MethodCallId,
    },
    /// The device was not there for a direct method within its connect timeout: status 404, error code 404103.
    MethodNotOnline {
        /// Device id.
        device: String,
        /// The call, as `invoke_method` returned it.
        call: MethodCallId,
    },
    /// A cloud-to-device message has left its queue.
    MessageSettled {
        /// Device id.
        device: String,
        /// Message id.
        message_id: String,
        /// What became of it.
        outcome: MessageOutcome,
    },
    /// A feedback record: what became of a message whose sender wanted to be told.
    Feedback {
        /// Device id.
        device: String,
        /// Generation of the device.
        generation_id: String,
        /// Id of the message.
        original_message_id: String,
        /// `Success`, `Expired`, `DeliveryCountExceeded` or `Purged`.
        status_code: String,
        /// When it happened.
        enqueued_time_utc: String,
    },
    /// An operation was one too many for the hub's rate.
    Throttled {
        /// Device id.
        device: String,
        /// Which kind.
        operation: Operation,
    },
    /// A fault that was asked for has acted.
    FaultActed {
        /// Device id.
        device: String,
        /// What it did, for a reader.
        what: String,
    },
    /// A subscription failed; the connection stays.
    SubscriptionRefused {
        /// Device id.
        device: String,
        /// Topic filter.
        filter: String,
        /// The reason.
        why: String,
    },
    /// The client acknowledged a QoS 1 message of the server.
    Acknowledged {
        /// Device or registration id.
        device: String,
        /// Topic of the message.
        topic: String,
    },
    /// The file server answered a request.
    RangeServed {
        /// File name; the whole path if it is unknown.
        file: String,
        /// First byte.
        offset: u64,
        /// Number of bytes in the body.
        len: u64,
        /// HTTP status.
        status: u16,
    },
    /// A deployment was written into a twin, cancelled or retried.
    DeploymentChanged {
        /// Device id.
        device: String,
        /// `workflow.id`.
        workflow: String,
        /// `workflow.action`: 3 apply, 255 cancel.
        action: u8,
        /// Version of the desired properties.
        version: u64,
    },
    /// A connection ended.
    Disconnected {
        /// Device or registration id, if the client got that far.
        device: Option<String>,
        /// The reason.
        why: CloseReason,
    },
}

/// A body: its text, or `base64:…`.
pub(crate) struct TextOrBase64<'a>(pub &'a [u8]);

impl Serialize for TextOrBase64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        text_or_base64(self.0, serializer)
    }
}

fn text_or_base64<S: Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match core::str::from_utf8(body) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => serializer.collect_str(&format_args!("base64:{}", STANDARD.encode(body))),
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// the client sent DISCONNECT
    #[error("the client sent DISCONNECT")]
    Graceful,
    /// the network connection was closed by the peer
    #[error("the network connection was closed by the peer")]
    Peer,
    /// nothing was received within one and a half keep-alive intervals
    #[error("nothing was received within one and a half keep-alive intervals")]
    KeepAlive,
    /// no CONNECT or request arrived in time
    #[error("no CONNECT or request arrived in time")]
    Idle,
    /// another connection with the same id took over
    #[error("another connection with the same id took over")]
    Evicted,
    /// the shared access signature expired
    #[error("the shared access signature expired")]
    TokenExpired,
    /// CONNECT was refused with a return code
    #[error("CONNECT was refused with code {0}")]
    Refused(u8),
    /// the client broke the protocol
    #[error("the client broke the protocol: {0}")]
    Protocol(String),
    /// TLS failed
    #[error("TLS failed: {0}")]
    Tls(String),
    /// the server closed the connection because it was told to
    #[error("the server closed the connection because it was told to")]
    Administrative,
    /// a fault that was asked for has cut the connection
    #[error("a fault that was asked for has cut the connection")]
    Cut,
    /// the device sent more than the hub's rate allows
    #[error("the device sent more than the hub's rate allows")]
    Throttled,
    /// the client does not take what is sent to it
    #[error("the client does not take what is sent to it")]
    SlowConsumer,
    /// the HTTP exchange is complete
    #[error("the HTTP exchange is complete")]
    HttpDone,
}

impl Serialize for CloseReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
