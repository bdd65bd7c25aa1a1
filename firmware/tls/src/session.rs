//! One connection.

use alloc::vec::Vec;

use embedded_io_async::{ErrorType, Read, Write};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};

use crate::{Config, Error};

/// Length of the inbound buffer, bytes: the largest TLS 1.2 record (RFC 5246 section 6.2.3: 2^14 + 2048 + 5), which
/// a server may use at any time.
pub const INBOUND_LEN: usize = (1 << 14) + 2048 + 5;

/// A good length for the outbound buffer, bytes; one `write` takes up to 64 bytes less.
/// The least that `connect` accepts is half of it.
pub const OUTBOUND_LEN: usize = 2048;

/// Record header, explicit nonce and tag, rounded up.
const RECORD_OVERHEAD: usize = 64;

/// A TLS connection over the transport `IO`, with buffers that live as long as `'b`.
///
/// Reading and writing are cancel-safe as far as the transport's are: a dropped `read` loses nothing, so one task can
/// `select` between it and something to send. `write` encrypts and keeps; the bytes leave with the next `flush` or
/// `read`, or with a `write` that needs the room. Only `flush` and [`close`](Self::close) flush the transport (which
/// on a TCP socket can mean to wait for the acknowledgement); otherwise it is trusted to send what it was given.
pub struct Session<'b, IO> {
    io: IO,
    tls: UnbufferedClientConnection,
    inbound: &'b mut [u8],
    /// Bytes of `inbound` that came from the peer and are not consumed.
    filled: usize,
    outbound: &'b mut [u8],
    /// The part of `outbound` that is encrypted and not yet sent.
    unsent: core::ops::Range<usize>,
    /// Decrypted bytes that no `read` has taken, from `taken` on.
    plain: Vec<u8>,
    taken: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The peer sent close_notify.
    PeerClosed,
    /// Failed, or closed by us.
    Dead,
}

/// What the caller of `advance` is after.
enum Want<'d> {
    Handshake,
    Read(&'d mut [u8]),
    Write(&'d [u8]),
    Close,
}

/// What came out of `advance`.
enum Outcome {
    /// The wish is fulfilled, with this many bytes.
    Done(usize),
    /// `unsent` has to go out first.
    Flush,
    /// More bytes from the peer are needed.
    Input,
    /// The peer will send nothing more.
    PeerClosed,
}

impl<'b, IO: Read + Write> Session<'b, IO> {
    /// Shakes hands with the server `server_name` (a DNS name, sent as SNI and looked for in the certificate).
    ///
    /// `inbound` must have [`INBOUND_LEN`] bytes, `outbound` at least half of [`OUTBOUND_LEN`]. Takes up to 18 KB of
    /// heap until it returns, 4 KB from then on, and twice a record's length while a record is read in pieces (33 KB at
    /// most; measured on a 64-bit host, less on a microcontroller). The arithmetic of the handshake is done within two
    /// or three polls.
    pub async fn connect(
        io: IO,
        config: &Config,
        server_name: &str,
        inbound: &'b mut [u8],
        outbound: &'b mut [u8],
    ) -> Result<Self, Error<IO::Error>> {
        if inbound.len() < INBOUND_LEN || outbound.len() < OUTBOUND_LEN / 2 {
            return Err(Error::BufferTooSmall);
        }
        let name = ServerName::try_from(server_name).map_err(|_| Error::ServerName)?;
        let tls = UnbufferedClientConnection::new(config.0.clone(), name.to_owned()).map_err(Error::Tls)?;
        let mut session = Self {
            io,
            tls,
            inbound,
            filled: 0,
            outbound,
            unsent: 0..0,
            plain: Vec::new(),
            taken: 0,
            state: State::Open,
        };
        loop {
            match session.advance(Want::Handshake) {
                Ok(Outcome::Done(_)) => break,
                Ok(Outcome::Flush) => session.send_unsent().await?,
                Ok(Outcome::Input) => session.receive().await?,
                Ok(Outcome::PeerClosed) => return Err(Error::UnexpectedEof),
                Err(error) => {
                    // Let the peer know why, if it still listens; the error at hand is the one to report.
                    let _ = session.send_unsent().await;
                    return Err(error);
                }
            }
        }
        session.send_unsent().await?;
        Ok(session)
    }

    /// Says goodbye: sends close_notify and flushes. Further use yields [`Error::Closed`].
    pub async fn close(&mut self) -> Result<(), Error<IO::Error>> {
        while let Outcome::Flush = self.advance(Want::Close)? {
            self.send_unsent().await?;
        }
        self.flush().await?;
        self.state = State::Dead;
        Ok(())
    }

    /// The transport, for example to look at its state.
    pub fn transport(&self) -> &IO {
        &self.io
    }

    /// The transport, for example to change its time-out. To read or write it directly breaks the session.
    pub fn transport_mut(&mut self) -> &mut IO {
        &mut self.io
    }

    /// Gives the transport back, without close_notify.
    pub fn into_transport(self) -> IO {
        self.io
    }

    /// Sends what is encrypted. Cancel-safe: what the transport has taken is not sent again.
    async fn send_unsent(&mut self) -> Result<(), Error<IO::Error>> {
        while !self.unsent.is_empty() {
            match self.io.write(&self.outbound[self.unsent.clone()]).await {
                Ok(0) => return Err(self.fail(Error::UnexpectedEof)),
                Ok(n) => self.unsent.start += n,
                Err(error) => return Err(self.fail(Error::Io(error))),
            }
        }
        self.unsent = 0..0;
        Ok(())
    }

    /// Waits for bytes from the peer.
    async fn receive(&mut self) -> Result<(), Error<IO::Error>> {
        if self.filled == self.inbound.len() {
            return Err(self.fail(Error::BufferTooSmall));
        }
        match self.io.read(&mut self.inbound[self.filled..]).await {
            Ok(0) => Err(self.fail(Error::UnexpectedEof)),
            Ok(n) => {
                self.filled += n;
                Ok(())
            }
            Err(error) => Err(self.fail(Error::Io(error))),
        }
    }

    fn fail(&mut self, error: Error<IO::Error>) -> Error<IO::Error> {
        self.state = State::Dead;
        error
    }

    /// Drives rustls as far as it goes without the transport.
    fn advance(&mut self, mut want: Want<'_>) -> Result<Outcome, Error<IO::Error>> {
        loop {
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(&mut self.inbound[..self.filled]);
            let outcome = match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    match data.encode(&mut self.outbound[self.unsent.end..]) {
                        Ok(n) => {
                            self.unsent.end += n;
                            None
                        }
                        Err(_) => {
                            self.state = State::Dead;
                            return Err(Error::BufferTooSmall);
                        }
                    }
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    Some(Outcome::Flush)
                }
                Ok(ConnectionState::BlockedHandshake) => Some(Outcome::Input),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => match &mut want {
                    Want::Handshake => Some(Outcome::Done(0)),
                    Want::Read(_) => Some(Outcome::Input),
                    Want::Write(data) => {
                        let room = self.outbound.len() - self.unsent.end;
                        let take = data.len().min(room.saturating_sub(RECORD_OVERHEAD));
                        if take == 0 {
                            Some(Outcome::Flush)
                        } else {
                            match traffic.encrypt(&data[..take], &mut self.outbound[self.unsent.end..]) {
                                Ok(n) => {
                                    self.unsent.end += n;
                                    Some(Outcome::Done(take))
                                }
                                Err(_) => {
                                    self.state = State::Dead;
                                    return Err(Error::Tls(rustls::Error::EncryptError));
                                }
                            }
                        }
                    }
                    Want::Close => {
                        // Without room for the alert the unsent bytes go first, and this is asked again.
                        match traffic.queue_close_notify(&mut self.outbound[self.unsent.end..]) {
                            Ok(n) => {
                                self.unsent.end += n;
                                Some(Outcome::Done(0))
                            }
                            Err(_) if !self.unsent.is_empty() => Some(Outcome::Flush),
                            Err(_) => Some(Outcome::Done(0)),
                        }
                    }
                },
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    let mut done = 0;
                    while let Some(record) = traffic.next_record() {
                        let mut payload = record.map_err(Error::Tls)?.payload;
                        if let Want::Read(buf) = &mut want {
                            let n = payload.len().min(buf.len() - done);
                            buf[done..done + n].copy_from_slice(&payload[..n]);
                            done += n;
                            payload = &payload[n..];
                        }
                        self.plain.extend_from_slice(payload);
                    }
                    (done > 0).then_some(Outcome::Done(done))
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.state = State::PeerClosed;
                    Some(Outcome::PeerClosed)
                }
                // Early data is TLS 1.3's; the enum may grow.
                Ok(_) => Some(Outcome::Input),
                Err(error) => {
                    self.discard(discard);
                    self.encode_alert();
                    self.state = State::Dead;
                    return Err(Error::Tls(error));
                }
            };
            self.discard(discard);
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
        }
    }

    fn discard(&mut self, n: usize) {
        self.inbound.copy_within(n..self.filled, 0);
        self.filled -= n;
    }

    /// After an error rustls has at most one alert for the peer.
    fn encode_alert(&mut self) {
        let status = self.tls.process_tls_records(&mut self.inbound[..self.filled]);
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state
            && let Ok(n) = data.encode(&mut self.outbound[self.unsent.end..])
        {
            self.unsent.end += n;
        }
    }
}

impl<IO: ErrorType> ErrorType for Session<'_, IO> {
    type Error = Error<IO::Error>;
}

impl<IO: Read + Write> Read for Session<'_, IO> {
    /// Zero after the peer's close_notify. A transport that ends without one is [`Error::UnexpectedEof`].
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if self.taken < self.plain.len() {
                let rest = &self.plain[self.taken..];
                let n = rest.len().min(buf.len());
                buf[..n].copy_from_slice(&rest[..n]);
                self.taken += n;
                if self.taken == self.plain.len() {
                    // Give the memory back: it can be a whole record, and the next handshake needs it.
                    self.plain = Vec::new();
                    self.taken = 0;
                }
                return Ok(n);
            }
            match self.state {
                State::Open => {}
                State::PeerClosed => return Ok(0),
                State::Dead => return Err(Error::Closed),
            }
            self.send_unsent().await?;
            match self.advance(Want::Read(buf))? {
                Outcome::Done(n) => return Ok(n),
                Outcome::Flush => {}
                Outcome::Input => self.receive().await?,
                Outcome::PeerClosed => return Ok(0),
            }
        }
    }
}

impl<IO: Read + Write> Write for Session<'_, IO> {
    /// Encrypts as much of `buf` as the outbound buffer takes. See [`Session`] for when it leaves.
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.state != State::Open {
            return Err(Error::Closed);
        }
        loop {
            match self.advance(Want::Write(buf))? {
                Outcome::Done(n) => return Ok(n),
                Outcome::Flush => self.send_unsent().await?,
                Outcome::Input | Outcome::PeerClosed => return Err(Error::Closed),
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.send_unsent().await?;
        match self.io.flush().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(Error::Io(error))),
        }
    }
}
