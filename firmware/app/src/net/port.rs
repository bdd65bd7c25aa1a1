//! One TCP connection at a time, from another executor.

use core::sync::atomic::{AtomicU8, Ordering};

use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;
use embassy_sync::signal::Signal;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use heapless::String;

/// A host name or address: at most 253 characters (RFC 1035).
pub type Host = String<253>;

/// Bytes on their way to and from the network.
const TO_NET: usize = 2048;
const FROM_NET: usize = 4096;

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetError {
    /// The host name is too long.
    Name,
    /// No address for the host name.
    Lookup,
    /// The host did not answer, or refused.
    Connect,
    /// The connection broke: reset, or silence.
    Broken,
    /// The connection is closed.
    Closed,
}

impl NetError {
    /// What went wrong, in a few words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "host name too long",
            Self::Lookup => "no address for the host name",
            Self::Connect => "host does not accept",
            Self::Broken => "connection broke",
            Self::Closed => "connection closed",
        }
    }
}

impl core::fmt::Display for NetError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for NetError {}

impl embedded_io_async::Error for NetError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Name => ErrorKind::InvalidInput,
            Self::Lookup => ErrorKind::NotFound,
            Self::Connect => ErrorKind::ConnectionRefused,
            Self::Broken => ErrorKind::ConnectionReset,
            Self::Closed => ErrorKind::NotConnected,
        }
    }
}

/// State of a port; the network's side moves it on.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// Connecting or connected. Also the state of a port that nobody serves yet: 0, so that a port is all zero and
    /// takes no room in flash.
    Busy = 0,
    /// Ready for [`Port::connect`].
    Idle = 1,
    /// The peer sent its last byte.
    Ended = 2,
    /// The connection broke.
    Broken = 3,
}

/// The fence between a task and the network: requests one way, results the other, a pipe for each direction.
pub struct Port {
    state: AtomicU8,
    /// To the network: connect to this host and port.
    pub(super) open: Signal<CriticalSectionRawMutex, (Host, u16)>,
    /// To the network: the connection is not wanted any more.
    pub(super) close: Signal<CriticalSectionRawMutex, ()>,
    /// From the network: how opening went.
    pub(super) opened: Signal<CriticalSectionRawMutex, Result<(), NetError>>,
    /// From the network: the state has changed otherwise.
    changed: Signal<CriticalSectionRawMutex, ()>,
    pub(super) to_net: Pipe<CriticalSectionRawMutex, TO_NET>,
    pub(super) from_net: Pipe<CriticalSectionRawMutex, FROM_NET>,
}

impl Default for Port {
    fn default() -> Self {
        Self::new()
    }
}

impl Port {
    /// A port that nobody serves yet.
    pub const fn new() -> Self {
        Self {
            state: AtomicU8::new(State::Busy as u8),
            open: Signal::new(),
            close: Signal::new(),
            opened: Signal::new(),
            changed: Signal::new(),
            to_net: Pipe::new(),
            from_net: Pipe::new(),
        }
    }

    pub(super) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            1 => State::Idle,
            2 => State::Ended,
            3 => State::Broken,
            _ => State::Busy,
        }
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
        self.changed.signal(());
    }

    async fn wait_idle(&self) {
        while self.state() != State::Idle {
            self.changed.wait().await;
        }
    }

    /// Connects to `host` (a name or an IPv4 address), after the port's previous connection is gone.
    ///
    /// Cancel-safe: an attempt that is dropped is given up on the network's side too.
    ///
    /// # Errors
    /// [`NetError::Name`], [`NetError::Lookup`] or [`NetError::Connect`].
    pub async fn connect(&'static self, host: &str, port: u16) -> Result<Connection, NetError> {
        let host = Host::try_from(host).map_err(|_| NetError::Name)?;
        self.wait_idle().await;
        self.opened.reset();
        let connection = Connection { port: self };
        self.open.signal((host, port));
        self.opened.wait().await?;
        Ok(connection)
    }
}

/// An open connection. Dropping it closes it, after what was written has been sent.
pub struct Connection {
    port: &'static Port,
}

impl Connection {
    /// Closes the connection and waits until the peer has acknowledged everything that was written, or the network's
    /// side has given up on it.
    pub async fn close(self) {
        let port = self.port;
        drop(self);
        port.wait_idle().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.port.close.signal(());
    }
}

impl ErrorType for Connection {
    type Error = NetError;
}

impl Read for Connection {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, NetError> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            // State first: what arrived before the end is in the pipe by then.
            let state = self.port.state();
            if let Ok(len) = self.port.from_net.try_read(buf) {
                return Ok(len);
            }
            match state {
                State::Busy => {}
                State::Ended => return Ok(0),
                State::Broken => return Err(NetError::Broken),
                State::Idle => return Err(NetError::Closed),
            }
            if let Either::First(len) = select(self.port.from_net.read(buf), self.port.changed.wait()).await {
                return Ok(len);
            }
        }
    }
}

impl Write for Connection {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, NetError> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match self.port.state() {
                State::Busy | State::Ended => {}
                State::Broken => return Err(NetError::Broken),
                State::Idle => return Err(NetError::Closed),
            }
            if let Either::First(len) = select(self.port.to_net.write(buf), self.port.changed.wait()).await {
                return Ok(len);
            }
        }
    }

    /// What is in the pipe is sent without further ado.
    async fn flush(&mut self) -> Result<(), NetError> {
        Ok(())
    }
}
