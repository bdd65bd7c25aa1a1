//! Why an administrator's wish is refused.

use super::TwinError;

/// Why an administrator's wish is refused.
///
/// [`status`](Self::status) is the HTTP status and [`code`](Self::code) the error code with which the service answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// the device does not exist
    #[error("the device `{0}` does not exist; enrol it, or let it register first")]
    NoDevice(String),
    /// the device exists already
    #[error("the device `{0}` exists already")]
    Exists(String),
    /// an id is empty, too long or has other characters
    #[error("the id `{0}` must have 1 to 128 of the characters A-Z a-z 0-9 - : . + % _ # * ? ! ( ) , = @ ; $ '")]
    Id(String),
    /// a device has 50 modules already
    #[error("the device `{0}` has 50 modules already")]
    TooManyModules(String),
    /// the entity has changed since it was read
    #[error("the etag `{given}` is not that of `{id}`, which is `{actual}`; read it again")]
    Precondition {
        /// Device, module or certificate.
        id: String,
        /// Etag of the request.
        given: String,
        /// Etag that it has.
        actual: String,
    },
    /// a key has not 16 to 64 bytes
    #[error("a symmetric key must have 16 to 64 bytes, not {0}")]
    KeyLength(usize),
    /// the device is not connected
    #[error("the device `{0}` is not connected")]
    NotConnected(String),
    /// the device has not subscribed to direct methods
    #[error("the device `{0}` has not subscribed to direct methods")]
    NoMethods(String),
    /// a method name is empty or has other characters than `A-Z a-z 0-9 _ - . *`
    #[error("the method name `{0}` is empty or has other characters than A-Z a-z 0-9 _ - . *")]
    MethodName(String),
    /// a timeout is out of range
    #[error("the {what} of {seconds} s is not within {least} to {most} s")]
    Timeout {
        /// Which one.
        what: &'static str,
        /// Value of the request.
        seconds: u64,
        /// Least value.
        least: u64,
        /// Greatest value.
        most: u64,
    },
    /// a message is larger than the hub takes
    #[error("a message of {size} bytes is larger than {limit}")]
    TooLarge {
        /// Size of the message.
        size: usize,
        /// Size that would be taken.
        limit: usize,
    },
    /// too many messages wait for the device
    #[error("50 messages wait for the device `{0}` already; let it take them, or purge its queue")]
    QueueFull(String),
    /// a module has no queue
    #[error("the module `{0}` takes no cloud-to-device messages; send to its device")]
    ModuleQueue(String),
    /// the twin refuses a patch
    #[error(transparent)]
    Twin(#[from] TwinError),
    /// a certificate cannot be used
    #[error("the certificate `{name}` cannot be used: {why}")]
    Certificate {
        /// Its name in the registry.
        name: String,
        /// The reason.
        why: String,
    },
    /// the certificate does not exist
    #[error("the certificate `{0}` does not exist")]
    NoCertificate(String),
}

impl HubError {
    /// HTTP status of the service's answer.
    pub fn status(&self) -> u16 {
        (self.code() / 1000) as u16
    }

    /// Error code of the service's answer, e.g. 404001 (device not found); its first three digits are the status.
    pub fn code(&self) -> u32 {
        match self {
            Self::NoDevice(_) => 404_001,
            Self::Exists(_) => 409_001,
            Self::TooManyModules(_) => 409_300,
            Self::Precondition { .. } => 412_002,
            Self::NotConnected(_) | Self::NoMethods(_) => 404_103,
            Self::TooLarge { .. } => 413_001,
            Self::QueueFull(_) => 403_004,
            Self::NoCertificate(_) => 404_000,
            Self::Twin(error) => u32::from(error.status()) * 1000 + if error.status() == 413 { 1 } else { 4 },
            Self::Id(_)
            | Self::KeyLength(_)
            | Self::MethodName(_)
            | Self::Timeout { .. }
            | Self::ModuleQueue(_)
            | Self::Certificate { .. } => 400_004,
        }
    }
}
