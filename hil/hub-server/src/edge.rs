//! Sockets: bytes between a connection of the network and one of the cloud.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hub::tls::AskOnly;
use hub::{ConnId, Keys, Peer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::config::Limits;
use crate::core::{Core, Output};
use crate::lane::Socket;
use crate::signal::Signal;

/// What is read at once. Of the thread, so that an idle connection keeps no buffer.
const CHUNK: usize = 32 * 1024;

/// Connections that may wait to be accepted, as far as the system has so much room: all devices come back at once after
/// a restart, and one that finds no room tries again a second later.
const WAITING: u32 = 4096;

/// What a listener accepts.
#[derive(Clone)]
pub enum Kind {
    /// MQTT over TLS; after the handshake, the connection goes to this runtime.
    Mqtts(TlsAcceptor, Handle),
    /// MQTT.
    Mqtt,
    /// The file server.
    Http,
}

/// TLS as IoT Hub has it, and 1.3: a client certificate is asked for in every handshake and judged later.
///
/// # Errors
/// If chain and key of `keys` cannot be used.
pub fn acceptor(keys: &Keys) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(default_provider());
    let verifier = Arc::new(AskOnly::new(provider.signature_verification_algorithms));
    let general = |error: rustls::pki_types::pem::Error| rustls::Error::General(error.to_string());
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&keys.tls_chain_pem).collect::<Result<_, _>>().map_err(general)?;
    let key = PrivateKeyDer::from_pem_slice(&keys.tls_key_pem).map_err(general)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    // Azure resumes no sessions for devices; and each ticket would cost an idle device memory.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Listens.
///
/// # Errors
/// Those of the system, e.g. that the port is taken.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A hub that starts again finds connections of the one before. On Windows it would take a port that is in use.
    socket.set_reuseaddr(cfg!(not(windows)))?;
    // Without it, small answers wait for the acknowledgement of the ones before. Connections have it from their listener,
    // which saves each a system call.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// Accepts connections, for ever. Each has a task of its own, which outlives this.
pub async fn listen(listener: TcpListener, kind: Kind, core: Arc<Core>, limits: Limits, room: Arc<Semaphore>) {
    loop {
        // Waiting clients stay in the system's queue while there is no room.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of descriptors, or the client has gone already.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let (kind, core, limits) = (kind.clone(), Arc::clone(&core), limits.clone());
        tokio::spawn(serve(stream, kind, core, limits, permit));
    }
}

async fn serve(stream: TcpStream, kind: Kind, core: Arc<Core>, limits: Limits, permit: OwnedSemaphorePermit) {
    let patience = Duration::from_secs(limits.write_seconds);
    match kind {
        Kind::Http => run(stream, &core, core.open(None), patience).await,
        Kind::Mqtt => run(stream, &core, core.open(Some(Peer::default())), patience).await,
        Kind::Mqtts(acceptor, lane) => {
            let handshake = Duration::from_secs(limits.handshake_seconds);
            // In a box: the handshake's future is larger than what follows it without TLS.
            let accepted = Box::pin(tokio::time::timeout(handshake, acceptor.accept(Socket::new(stream)))).await;
            let Ok(Ok(mut stream)) = accepted else { return };
            let Ok(socket) = stream.get_mut().0.leave() else { return };
            lane.spawn(async move {
                if stream.get_mut().0.arrive(socket).is_ok() {
                    let peer = peer(stream.get_ref().1);
                    run(stream, &core, core.open(Some(peer)), patience).await;
                }
                drop(permit);
            });
        }
    }
}

fn peer(connection: &rustls::ServerConnection) -> Peer {
    let certificates = connection.peer_certificates().unwrap_or_default();
    Peer {
        sni: connection.server_name().map(str::to_owned),
        certificates: certificates.iter().map(|certificate| certificate.to_vec()).collect(),
    }
}

async fn run<S>(mut stream: S, core: &Core, (conn, signal): (ConnId, Arc<Signal>), patience: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Ends well or not: the cloud is told the same.
    let _ = pump(&mut stream, core, conn, &signal, patience).await;
    core.closed(conn);
}

/// Carries bytes until either side ends.
async fn pump<S>(stream: &mut S, core: &Core, conn: ConnId, signal: &Signal, patience: Duration) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut output = core.exchange(conn, &[]);
    loop {
        if !output.bytes.is_empty() {
            let sent = poll_fn(|context| Poll::Ready(write_now(stream, context, &output.bytes))).await?;
            if let Some(sent) = sent {
                // In a box: few connections have a client that does not read at once.
                let rest = Box::pin(async {
                    stream.write_all(&output.bytes[sent..]).await?;
                    stream.flush().await
                });
                tokio::time::timeout(patience, rest).await.map_err(|_| io::ErrorKind::TimedOut)??;
            }
        }
        if output.close {
            let _ = Box::pin(tokio::time::timeout(patience, stream.shutdown())).await;
            return Ok(());
        }
        output = poll_fn(|context| turn(stream, context, core, conn, signal)).await?;
    }
}

/// Writes without waiting; yields how much was taken if that, or the flush after it, has to be waited for.
fn write_now<S: AsyncWrite + Unpin>(
    stream: &mut S,
    context: &mut Context<'_>,
    bytes: &[u8],
) -> io::Result<Option<usize>> {
    let mut stream = Pin::new(stream);
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.as_mut().poll_write(context, &bytes[sent..])? {
            Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(len) => sent += len,
            Poll::Pending => return Ok(Some(sent)),
        }
    }
    Ok(stream.poll_flush(context)?.is_pending().then_some(sent))
}

/// Hands over what has arrived, or looks at what the cloud has; an error at the end of the stream.
fn turn<S: AsyncRead + Unpin>(
    stream: &mut S,
    context: &mut Context<'_>,
    core: &Core,
    conn: ConnId,
    signal: &Signal,
) -> Poll<io::Result<Output>> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
    }
    if signal.take() {
        return Poll::Ready(Ok(core.exchange(conn, &[])));
    }
    let read = BUFFER.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        Poll::Ready(match buffer.filled() {
            [] => Err(io::ErrorKind::UnexpectedEof.into()),
            received => Ok(core.exchange(conn, received)),
        })
    });
    if read.is_pending() {
        signal.wake(context.waker());
        if signal.take() {
            return Poll::Ready(Ok(core.exchange(conn, &[])));
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_has_from_its_listener_that_small_answers_do_not_wait() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("listens");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
        let (served, _) = listener.accept().await.expect("accepts");
        assert!(served.nodelay().expect("asked"));
        assert!(!client.nodelay().expect("asked"), "the default");
    }
}
