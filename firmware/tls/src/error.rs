//! Why a connection failed.

use core::fmt;

use embedded_io_async::ErrorKind;
use rustls::CertificateError;

/// Why a [`Session`](crate::Session) failed; `E` is the transport's error.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error<E> {
    /// The transport failed.
    Io(E),
    /// The handshake or the peer's records were not acceptable.
    Tls(rustls::Error),
    /// The transport ended without TLS' close_notify.
    UnexpectedEof,
    /// The server name is neither a DNS name nor an IP address.
    ServerName,
    /// A buffer given to `connect` is too small, or the peer sent a handshake that does not fit.
    BufferTooSmall,
    /// The connection was closed, or had failed before.
    Closed,
}

/// The short form of [`Error`], for a log line or a telemetry code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Reason {
    /// The transport failed or ended.
    Transport = 1,
    /// The certificate is not valid yet or not valid any more, or the device does not know the time.
    CertificateTime = 2,
    /// The certificate is for another server name.
    CertificateName = 3,
    /// The certificate does not lead to a trust anchor.
    UnknownIssuer = 4,
    /// The certificate or a signature is wrong in another way.
    BadCertificate = 5,
    /// The peer refused: it sent an alert.
    PeerAlert = 6,
    /// No common version, cipher suite or group.
    Incompatible = 7,
    /// The peer broke the protocol, or a record was forged.
    Protocol = 8,
    /// The device could not go on: entropy, memory, a wrong name, a closed session.
    Local = 9,
}

impl Reason {
    /// One or two words for a log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transport => "transport failed",
            Self::CertificateTime => "certificate not valid at this time",
            Self::CertificateName => "certificate for another name",
            Self::UnknownIssuer => "unknown certificate issuer",
            Self::BadCertificate => "bad certificate",
            Self::PeerAlert => "refused by peer",
            Self::Incompatible => "no common version or cipher",
            Self::Protocol => "protocol violation",
            Self::Local => "local failure",
        }
    }
}

impl<E> Error<E> {
    /// What kind of failure this is.
    pub fn reason(&self) -> Reason {
        use rustls::Error as Tls;
        match self {
            Self::Io(_) | Self::UnexpectedEof => Reason::Transport,
            Self::ServerName | Self::BufferTooSmall | Self::Closed => Reason::Local,
            Self::Tls(error) => match error {
                Tls::InvalidCertificate(error) => certificate_reason(error),
                Tls::NoCertificatesPresented | Tls::UnsupportedNameType => Reason::BadCertificate,
                // The wall clock is not set: no certificate can be judged.
                Tls::FailedToGetCurrentTime => Reason::CertificateTime,
                Tls::AlertReceived(_) => Reason::PeerAlert,
                Tls::PeerIncompatible(_) => Reason::Incompatible,
                Tls::FailedToGetRandomBytes | Tls::EncryptError | Tls::HandshakeNotComplete => Reason::Local,
                _ => Reason::Protocol,
            },
        }
    }
}

fn certificate_reason(error: &CertificateError) -> Reason {
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Reason::CertificateTime,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Reason::CertificateName,
        CertificateError::UnknownIssuer => Reason::UnknownIssuer,
        _ => Reason::BadCertificate,
    }
}

impl<E: fmt::Debug> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "transport failed: {error:?}"),
            Self::Tls(error) => write!(f, "TLS failed: {error}"),
            Self::UnexpectedEof => f.write_str("the connection ended without close_notify"),
            Self::ServerName => f.write_str("not a valid server name"),
            Self::BufferTooSmall => f.write_str("buffer too small for this peer"),
            Self::Closed => f.write_str("the session is closed"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for Error<E> {}

impl<E: embedded_io_async::Error> embedded_io_async::Error for Error<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            Self::Tls(_) => ErrorKind::InvalidData,
            Self::UnexpectedEof => ErrorKind::ConnectionReset,
            Self::ServerName => ErrorKind::InvalidInput,
            Self::BufferTooSmall => ErrorKind::OutOfMemory,
            Self::Closed => ErrorKind::NotConnected,
        }
    }
}
