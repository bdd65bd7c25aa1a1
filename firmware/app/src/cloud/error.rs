//! Why a connection to the cloud failed.

use crate::net::NetError;

/// Why a registration or a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloudError {
    /// No connection, or it broke.
    Net(NetError),
    /// TLS failed.
    Tls(device_tls::Reason),
    /// MQTT failed.
    Mqtt(iot_hub::Error),
    /// The server did not answer in time.
    Timeout,
    /// The server closed the connection.
    Closed,
    /// The provisioning service refuses the device: its error code, or the status if it gave none.
    Refused(u32),
    /// The service assigned a hub whose name is too long.
    Name,
}

impl CloudError {
    /// What went wrong, in a few words.
    pub(super) fn as_str(&self) -> &'static str {
        use iot_hub::Error as Mqtt;
        match self {
            Self::Net(error) => error.as_str(),
            Self::Tls(reason) => reason.as_str(),
            Self::Mqtt(Mqtt::Packet(_)) => "malformed or too long packet",
            Self::Mqtt(Mqtt::Refused(_)) => "connection refused",
            Self::Mqtt(Mqtt::NotSubscribed) => "subscription refused",
            Self::Mqtt(Mqtt::TimedOut) | Self::Timeout => "no answer",
            Self::Mqtt(Mqtt::Unexpected) => "unexpected packet",
            Self::Mqtt(Mqtt::BufferTooSmall) => "packet does not fit the buffer",
            Self::Mqtt(Mqtt::NotReady) => "not connected",
            Self::Closed => "closed by the server",
            Self::Refused(_) => "registration refused",
            Self::Name => "assigned names are too long",
        }
    }

    /// The number that belongs to it; 0 if there is none.
    pub(super) fn code(&self) -> u32 {
        match self {
            Self::Mqtt(iot_hub::Error::Refused(code)) => (*code).into(),
            Self::Refused(code) => *code,
            _ => 0,
        }
    }

    /// Whether the hub does not want this device.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Mqtt(iot_hub::Error::Refused(4 | 5)))
    }

    /// Whether a wrong clock would explain it: a token that seems to have expired, a certificate that is not valid.
    pub(super) fn may_be_the_clock(&self) -> bool {
        // An error code begins with the status that it refines.
        let unauthorised = matches!(self, Self::Refused(401 | 401_000..=401_999));
        unauthorised || self.is_refusal() || *self == Self::Tls(device_tls::Reason::CertificateTime)
    }
}

impl From<NetError> for CloudError {
    fn from(error: NetError) -> Self {
        Self::Net(error)
    }
}

impl From<iot_hub::Error> for CloudError {
    fn from(error: iot_hub::Error) -> Self {
        Self::Mqtt(error)
    }
}

impl From<iot_hub::mqtt::PacketError> for CloudError {
    fn from(error: iot_hub::mqtt::PacketError) -> Self {
        Self::Mqtt(error.into())
    }
}

impl From<device_tls::Error<NetError>> for CloudError {
    fn from(error: device_tls::Error<NetError>) -> Self {
        match error {
            device_tls::Error::Io(error) => Self::Net(error),
            device_tls::Error::UnexpectedEof | device_tls::Error::Closed => Self::Closed,
            error => Self::Tls(error.reason()),
        }
    }
}

#[cfg(test)]
mod tests {
    use device_tls::Reason;
    use iot_hub::Error as Mqtt;

    use super::*;

    #[test]
    fn clock_is_doubted_for_refused_tokens_and_certificates_out_of_their_time() {
        for error in [
            CloudError::Refused(401),
            CloudError::Refused(401_002),
            CloudError::Mqtt(Mqtt::Refused(4)),
            CloudError::Mqtt(Mqtt::Refused(5)),
            CloudError::Tls(Reason::CertificateTime),
        ] {
            assert!(error.may_be_the_clock(), "{error:?}");
        }
        for error in [
            CloudError::Refused(400_004),
            CloudError::Refused(404_002),
            CloudError::Mqtt(Mqtt::Refused(3)),
            CloudError::Mqtt(Mqtt::TimedOut),
            CloudError::Tls(Reason::UnknownIssuer),
            CloudError::Timeout,
            CloudError::Closed,
        ] {
            assert!(!error.may_be_the_clock(), "{error:?}");
        }
    }
}
