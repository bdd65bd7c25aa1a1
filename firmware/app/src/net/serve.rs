//! The network's side of a [`Port`].

use core::net::Ipv4Addr;

use embassy_futures::select::{Either, Either3, select, select3};
use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::{TcpReader, TcpSocket, TcpWriter};
use embassy_net::{IpAddress, Stack};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::watch::Watch;
use embassy_time::{Duration, Timer, with_timeout};

use super::port::{NetError, Port, State};
use crate::log::info;

/// Socket buffers: the receive buffer is the TCP window, a block of the download fits.
const RECEIVE: usize = 5120;
const SEND: usize = 2048;
/// What is copied at a time between pipe and socket.
const COPY: usize = 512;

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Unacknowledged data is given up after this time.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a closing connection may take to send what is left.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// See [`wait_for_address`].
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// Serves one port for ever.
pub async fn serve(stack: Stack<'static>, port: &'static Port) -> ! {
    let mut receive = [0; RECEIVE];
    let mut send = [0; SEND];
    loop {
        port.to_net.clear();
        port.from_net.clear();
        port.close.reset();
        port.open.reset();
        port.set_state(State::Idle);
        let (host, number) = port.open.wait().await;
        port.set_state(State::Busy);
        let mut socket = TcpSocket::new(stack, &mut receive, &mut send);
        match select(connect(stack, &mut socket, &host, number), port.close.wait()).await {
            Either::First(Ok(())) => port.opened.signal(Ok(())),
            Either::First(Err(error)) => {
                port.opened.signal(Err(error));
                // The caller drops its half-made connection.
                port.close.wait().await;
                continue;
            }
            Either::Second(()) => continue,
        }
        carry(port, &mut socket).await;
    }
}

async fn connect(stack: Stack<'static>, socket: &mut TcpSocket<'_>, host: &str, port: u16) -> Result<(), NetError> {
    let address = lookup(stack, host).await?;
    socket.set_timeout(Some(SILENCE_TIMEOUT));
    match with_timeout(CONNECT_TIMEOUT, socket.connect((address, port))).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(NetError::Connect),
    }
}

/// The first address of `host`, which may be an address itself.
pub(super) async fn lookup(stack: Stack<'static>, host: &str) -> Result<IpAddress, NetError> {
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(IpAddress::Ipv4(address));
    }
    let query = async {
        wait_for_address().await;
        stack.dns_query(host, DnsQueryType::A).await
    };
    match with_timeout(LOOKUP_TIMEOUT, query).await {
        Ok(Ok(addresses)) => addresses.first().copied().ok_or(NetError::Lookup),
        _ => Err(NetError::Lookup),
    }
}

/// Carries bytes both ways until the caller or the peer has had enough.
async fn carry(port: &'static Port, socket: &mut TcpSocket<'_>) {
    let (reader, writer) = socket.split();
    match select3(inwards(port, reader), outwards(port, writer), port.close.wait()).await {
        Either3::First(state) | Either3::Second(state) => {
            port.set_state(state);
            // The caller reads what is left in the pipe, then drops its side.
            port.close.wait().await;
            if state == State::Broken {
                socket.abort();
            }
        }
        Either3::Third(()) => {}
    }
    // Best effort: what a closing caller wrote last still goes out, for example a close_notify.
    let _ = with_timeout(CLOSE_TIMEOUT, async {
        let mut buf = [0; COPY];
        while let Ok(len) = port.to_net.try_read(&mut buf) {
            if write_all(socket, &buf[..len]).await.is_err() {
                return;
            }
        }
        socket.close();
        let _ = socket.flush().await;
    })
    .await;
    socket.abort();
    // Lets the reset, if one is due, leave before the socket is gone.
    let _ = with_timeout(CLOSE_TIMEOUT, socket.flush()).await;
}

async fn inwards(port: &'static Port, mut reader: TcpReader<'_>) -> State {
    let mut buf = [0; COPY];
    loop {
        match reader.read(&mut buf).await {
            Ok(0) => return State::Ended,
            Ok(len) => port.from_net.write_all(&buf[..len]).await,
            Err(_) => return State::Broken,
        }
    }
}

async fn outwards(port: &'static Port, mut writer: TcpWriter<'_>) -> State {
    let mut buf = [0; COPY];
    loop {
        let len = port.to_net.read(&mut buf).await;
        let mut rest = &buf[..len];
        while !rest.is_empty() {
            match writer.write(rest).await {
                Ok(sent) if sent > 0 => rest = &rest[sent..],
                _ => return State::Broken,
            }
        }
    }
}

async fn write_all(socket: &mut TcpSocket<'_>, mut rest: &[u8]) -> Result<(), NetError> {
    while !rest.is_empty() {
        match socket.write(rest).await {
            Ok(sent) if sent > 0 => rest = &rest[sent..],
            _ => return Err(NetError::Broken),
        }
    }
    Ok(())
}

/// Whether the device has an address.
///
/// The stack itself must not be asked by several tasks: it remembers one waker only and wakes the task whose waker it
/// drops, so that two waiting tasks keep each other, and the executor, busy.
static HAS_ADDRESS: Watch<CriticalSectionRawMutex, bool, WAITERS> = Watch::new();

/// Tasks that can wait for an address: two ports and the time.
const WAITERS: usize = 3;

/// Waits until the device has an address.
pub(super) async fn wait_for_address() {
    match HAS_ADDRESS.receiver() {
        Some(mut receiver) => {
            receiver.get_and(|has_address| *has_address).await;
        }
        // One waiter too many looks now and then.
        None => {
            while HAS_ADDRESS.try_get() != Some(true) {
                Timer::after(LOOK_PERIOD).await;
            }
        }
    }
}

/// Follows the device's address, for ever; the one task that asks the stack for it.
pub async fn watch_address(stack: Stack<'static>) -> ! {
    let sender = HAS_ADDRESS.sender();
    loop {
        stack.wait_config_up().await;
        if let Some(config) = stack.config_v4() {
            let [a, b, c, d] = config.address.address().octets();
            info!("net: address {}.{}.{}.{}/{}", a, b, c, d, config.address.prefix_len());
        }
        sender.send(true);
        stack.wait_config_down().await;
        sender.send(false);
        info!("net: address lost");
    }
}
