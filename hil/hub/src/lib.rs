//! Local IoT Hub, Device Provisioning Service and Device Update, without IO.
//!
//! [`Cloud`] is everything that a device meets behind its Internet connection: one object without sockets, threads
//! or clocks. Whoever owns the network opens connections, passes bytes in and takes bytes out, and says what time
//! it is. Chance comes from one seed, so the same calls give the same bytes.
//!
//! | module | what it speaks |
//! |---|---|
//! | [`tls`] | TLS 1.2 server: ECDHE-RSA-AES128-GCM-SHA256, client certificate requested but not required |
//! | [`mqtt`] | MQTT 3.1.1 packets and the server's half of a connection |
//! | [`sas`] | shared access signatures |
//! | [`dps`] | Device Provisioning Service |
//! | [`iot_hub`] | device registry, twins, telemetry, methods, cloud-to-device messages |
//! | [`update`] | Device Update: import, sign, deploy, judge |
//! | [`x509`] | certificates of devices and their CAs |
//! | [`files`] | the HTTP/1.1 server from which devices download |

mod cloud;
mod credentials;
pub mod dps;
mod durable;
mod event;
pub mod files;
pub mod iot_hub;
mod keys;
pub mod mqtt;
pub mod sas;
pub mod tls;
pub mod update;
mod utc;
pub mod x509;

pub use cloud::{BrokerConnect, BrokerMessage, Cloud, CloudConfig, CloudError, ConnId, Endpoint};
pub use credentials::{Attestation, Thumbprint};
pub use dps::{
    Allocation, EnrolError, Enrolment, GroupAttestation, GroupEnrolment, Provisioning, Registration,
    RegistrationStatus, Reprovision,
};
pub use durable::Change;
pub use event::{CloseReason, CloudEvent, EventKind};
pub use files::FileFault;
pub use iot_hub::{
    Ack, CaCertificate, Device, DeviceFault, DeviceQuery, DeviceUpdate, HubError, Message, MessageOutcome,
    MessageSettings, MethodCallId, MethodRequest, NewDevice, Operation, Properties, QueuedMessage, Telemetry, Throttle,
    Twin, TwinError, TwinUpdate,
};
pub use keys::{Keys, RootKey};
pub use tls::Peer;
pub use update::{
    DeployError, DeployOptions, Deployment, DeploymentId, ImportError, ImportManifest, Judgement, NewDeployment,
    Reason, State, Target, UpdateId,
};
pub use utc::Utc;
