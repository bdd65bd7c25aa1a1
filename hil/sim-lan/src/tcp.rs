//! TCP services and their connections.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use sim_base::Instant;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::wire::IpEndpoint;

use crate::event::{LanEvent, Service};

/// Receive and send buffer of one connection, bytes.
const BUFFER: usize = 64 * 1024;
/// A service that already has this many connections refuses more, as a full backlog would.
const MAX_CONNECTIONS: usize = 64;
/// A connection whose peer stays silent is probed after this time ...
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// ... and given up after this time; also the limit for a peer that does not answer our FIN.
const TIMEOUT: Duration = Duration::from_secs(75);
/// A repeated SYN this long after the handshake is not a duplicate on the wire any more, but a peer that has restarted and
/// draws the same numbers again, as a deterministic simulation may.
const DUPLICATE_LIMIT: Duration = Duration::from_secs(1);
/// A service that is always due is polled no faster than this, so that virtual time moves on.
const MIN_POLL_INTERVAL: Duration = Duration::from_micros(100);

/// A connection; unique within a [`Lan`](crate::Lan), also over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A TCP server without IO.
///
/// Bytes cost no virtual time on the server: what [`poll`](Self::poll) sends is on the wire at once, as fast as the
/// peer's window and the line allow.
pub trait TcpService: Send {
    /// A connection was established.
    fn connected(&mut self, now: Instant, conn: ConnId, peer: SocketAddrV4);

    /// Bytes arrived, in order; never empty.
    fn received(&mut self, now: Instant, conn: ConnId, data: &[u8]);

    /// The connection is over: the peer sent FIN (`reset` is false), or it was reset or timed out (`reset` is true).
    ///
    /// Called once per connection, except after the service's own [`Outbox::abort`]. After an orderly close what the
    /// outbox holds, and what the next [`poll`](Self::poll) adds, is still sent before the connection is closed.
    fn closed(&mut self, now: Instant, conn: ConnId, reset: bool);

    /// The service may speak. Called after each of the above, when bytes that it queued have moved on, when
    /// [`poll_at`](Self::poll_at) is due, and after anything happened on another service (they may share state).
    fn poll(&mut self, now: Instant, out: &mut Outbox);

    /// When the service wants to be polled without a cause on the wire; [`Instant::NEVER`] if not at all.
    ///
    /// It is asked again whenever the LAN is, so it may change at any time; see also [`Lan::wake`](crate::Lan::wake).
    fn poll_at(&self) -> Instant;
}

/// What a service sends: one queue per connection, emptied as the peer's window allows.
#[derive(Default)]
pub struct Outbox {
    queues: BTreeMap<ConnId, Queue>,
}

#[derive(Default)]
struct Queue {
    data: VecDeque<u8>,
    close: bool,
    abort: bool,
}

impl Outbox {
    /// Queues `data`. Bytes for a connection that is gone or closing are dropped, as a late write to a socket is.
    pub fn send(&mut self, conn: ConnId, data: &[u8]) {
        if let Some(queue) = self.queues.get_mut(&conn).filter(|queue| !queue.close) {
            queue.data.extend(data);
        }
    }

    /// Sends FIN once the queue is empty.
    pub fn close(&mut self, conn: ConnId) {
        if let Some(queue) = self.queues.get_mut(&conn) {
            queue.close = true;
        }
    }

    /// Sends RST now; the queue is dropped, and the service hears no more of the connection.
    pub fn abort(&mut self, conn: ConnId) {
        if let Some(queue) = self.queues.get_mut(&conn) {
            queue.abort = true;
        }
    }

    /// Bytes that wait for the peer's window; a service that streams a file adds more when this gets low.
    pub fn queued(&self, conn: ConnId) -> usize {
        self.queues.get(&conn).map_or(0, |queue| queue.data.len())
    }

    /// Whether the connection still takes bytes.
    pub fn is_open(&self, conn: ConnId) -> bool {
        self.queues.get(&conn).is_some_and(|queue| !queue.close && !queue.abort)
    }
}

/// One service, its listening socket and its connections.
pub(crate) struct Listener {
    label: Service,
    service: Box<dyn TcpService>,
    /// The socket in LISTEN; `None` while the service has all the connections it may have.
    listening: Option<SocketHandle>,
    conns: BTreeMap<ConnId, Conn>,
    outbox: Outbox,
    polled_at: Option<Instant>,
    /// The service is to be polled although nothing happened on its own connections.
    woken: bool,
}

struct Conn {
    handle: SocketHandle,
    peer: SocketAddrV4,
    /// Sequence number of the SYN, to tell a repeated SYN from a new connection of a peer that has restarted.
    isn: i32,
    /// When the service was told of the connection.
    connected: Option<Instant>,
    /// The service has been told of its end, or ended it with RST.
    ended: bool,
    /// When we give up on a connection that we have closed.
    give_up_at: Instant,
    received: u64,
    sent: u64,
}

/// A SYN on its way to the stack.
#[derive(Clone, Copy)]
pub(crate) struct Syn {
    pub to: SocketAddrV4,
    pub from: SocketAddrV4,
    pub isn: i32,
}

/// What to do with a SYN.
#[derive(PartialEq, Eq)]
pub(crate) enum Admission {
    /// Give it to the stack.
    Pass,
    /// A repetition for a connection that exists: the stack would take it for a new one.
    Drop,
    /// Nobody listens there; the stack will answer with RST.
    Refuse,
}

impl Listener {
    pub fn new(label: Service, service: Box<dyn TcpService>, sockets: &mut SocketSet<'static>) -> Self {
        let listening = Some(sockets.add(listening_socket(label.addr)));
        Self {
            label,
            service,
            listening,
            conns: BTreeMap::new(),
            outbox: Outbox::default(),
            polled_at: None,
            woken: false,
        }
    }

    pub fn addr(&self) -> SocketAddrV4 {
        self.label.addr
    }

    /// Resets every connection; the sockets must stay until the RSTs have left, and then be [discarded](Self::discard).
    pub fn shut(&mut self, now: Instant, sockets: &mut SocketSet<'static>, events: &mut Vec<(Instant, LanEvent)>) {
        let ids: Vec<ConnId> = self.conns.keys().copied().collect();
        for id in ids {
            self.end(now, id, true, events);
            sockets.get_mut::<Socket>(self.conns[&id].handle).abort();
        }
    }

    /// Removes every socket.
    pub fn discard(mut self, sockets: &mut SocketSet<'static>) {
        if let Some(handle) = self.listening.take() {
            sockets.remove(handle);
        }
        for conn in self.conns.values() {
            sockets.remove(conn.handle);
        }
    }

    /// Judges a SYN for this service; a connection of an earlier life of the peer is ended.
    pub fn admit(
        &mut self,
        now: Instant,
        syn: Syn,
        sockets: &mut SocketSet<'static>,
        events: &mut Vec<(Instant, LanEvent)>,
    ) -> Admission {
        let known = self.conns.iter().find(|(_, conn)| conn.peer == syn.from);
        if let Some((&id, conn)) = known {
            let fresh = conn.connected.is_none_or(|connected| now.since(connected) <= DUPLICATE_LIMIT);
            if conn.isn == syn.isn && fresh {
                return Admission::Drop;
            }
            // A real stack gets here by way of a challenge ACK that the peer answers with RST (RFC 5961 section 4).
            self.end(now, id, true, events);
            self.forget(id, sockets);
        }
        if self.listening.is_some() { Admission::Pass } else { Admission::Refuse }
    }

    /// After the stack has taken a SYN: the listening socket has become a connection, so there must be another one.
    /// True if it took `id`.
    pub fn accept(&mut self, syn: Syn, id: ConnId, sockets: &mut SocketSet<'static>) -> bool {
        let Some(handle) = self.listening else { return false };
        if sockets.get::<Socket>(handle).state() == State::Listen {
            return false;
        }
        let conn = Conn {
            handle,
            peer: syn.from,
            isn: syn.isn,
            connected: None,
            ended: false,
            give_up_at: Instant::NEVER,
            received: 0,
            sent: 0,
        };
        self.conns.insert(id, conn);
        self.listening = None;
        self.replenish(sockets);
        true
    }

    /// Moves bytes and news between the sockets and the service. True if the stack has to look at its sockets again.
    pub fn serve(
        &mut self,
        now: Instant,
        sockets: &mut SocketSet<'static>,
        events: &mut Vec<(Instant, LanEvent)>,
    ) -> bool {
        let mut news = false;
        let mut touched = false;
        let ids: Vec<ConnId> = self.conns.keys().copied().collect();
        for id in ids {
            news |= self.hear(now, id, sockets, events);
            let moved = self.pump(now, id, sockets, events);
            news |= moved;
            touched |= moved;
        }
        if news || self.is_due(now) {
            self.polled_at = Some(now);
            self.woken = false;
            self.service.poll(now, &mut self.outbox);
            let ids: Vec<ConnId> = self.conns.keys().copied().collect();
            for id in ids {
                touched |= self.pump(now, id, sockets, events);
            }
        }
        self.replenish(sockets);
        touched || news
    }

    /// When [`serve`](Self::serve) has something to do without a frame.
    pub fn poll_at(&self) -> Instant {
        let service = match self.polled_at {
            _ if self.woken => Instant::ZERO,
            Some(polled) => self.service.poll_at().max(polled + MIN_POLL_INTERVAL),
            None => self.service.poll_at(),
        };
        self.conns.values().map(|conn| conn.give_up_at).fold(service, Instant::min)
    }

    /// Asks for a poll as soon as possible.
    pub fn wake(&mut self) {
        self.woken = true;
    }

    fn is_due(&self, now: Instant) -> bool {
        let rested = self.polled_at.is_none_or(|polled| polled + MIN_POLL_INTERVAL <= now);
        self.woken || (rested && self.service.poll_at() <= now)
    }

    /// Tells the service what happened on a connection. True if there was anything.
    fn hear(
        &mut self,
        now: Instant,
        id: ConnId,
        sockets: &mut SocketSet<'static>,
        events: &mut Vec<(Instant, LanEvent)>,
    ) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else { return false };
        let socket = sockets.get_mut::<Socket>(conn.handle);
        let state = socket.state();
        // A half-open connection that was reset returns to LISTEN, where there is a socket already.
        if state == State::Listen
            || (state == State::Closed && (conn.connected.is_none() || socket.remote_endpoint().is_none()))
        {
            let news = conn.connected.is_some() && !conn.ended;
            if news {
                self.end(now, id, true, events);
            }
            self.forget(id, sockets);
            return news;
        }
        if state == State::SynReceived {
            return false;
        }

        let mut news = false;
        if conn.connected.is_none() {
            conn.connected = Some(now);
            self.outbox.queues.insert(id, Queue::default());
            let peer = conn.peer;
            events.push((now, LanEvent::TcpOpen { service: self.label.clone(), conn: id, peer }));
            self.service.connected(now, id, peer);
            news = true;
        }
        while socket.can_recv() {
            let service = &mut self.service;
            let taken = socket.recv(|data| {
                service.received(now, id, data);
                (data.len(), data.len())
            });
            let Ok(taken) = taken else { break };
            conn.received += taken as u64;
            news = true;
        }
        if !socket.may_recv() && !conn.ended {
            // Closed with the endpoint still set is a time-out whose RST has yet to leave.
            self.end(now, id, state == State::Closed, events);
            news = true;
        }
        news
    }

    /// Gives a connection's queue to TCP. True if anything moved.
    fn pump(
        &mut self,
        now: Instant,
        id: ConnId,
        sockets: &mut SocketSet<'static>,
        events: &mut Vec<(Instant, LanEvent)>,
    ) -> bool {
        let (Some(conn), Some(queue)) = (self.conns.get_mut(&id), self.outbox.queues.get_mut(&id)) else {
            return false;
        };
        let socket = sockets.get_mut::<Socket>(conn.handle);
        if queue.abort || conn.give_up_at <= now {
            socket.abort();
            let silent = conn.ended || queue.abort;
            conn.give_up_at = Instant::NEVER;
            if silent {
                self.record_end(now, id, true, events);
            } else {
                self.end(now, id, true, events);
            }
            self.outbox.queues.remove(&id);
            return true;
        }

        let mut moved = false;
        while !queue.data.is_empty() {
            let Ok(count @ 1..) = socket.send_slice(queue.data.as_slices().0) else { break };
            queue.data.drain(..count);
            conn.sent += count as u64;
            moved = true;
        }
        if !socket.may_send() {
            queue.data.clear();
        }
        let fin = queue.data.is_empty() && (queue.close || conn.ended);
        if fin && conn.give_up_at == Instant::NEVER && matches!(socket.state(), State::Established | State::CloseWait) {
            socket.close();
            conn.give_up_at = now + TIMEOUT;
            moved = true;
        }
        moved
    }

    /// Tells the service and the observer that a connection is over.
    fn end(&mut self, now: Instant, id: ConnId, reset: bool, events: &mut Vec<(Instant, LanEvent)>) {
        if self.record_end(now, id, reset, events) {
            self.service.closed(now, id, reset);
        }
    }

    /// Tells the observer. False if it has been told before or there was no connection to speak of.
    fn record_end(&mut self, now: Instant, id: ConnId, reset: bool, events: &mut Vec<(Instant, LanEvent)>) -> bool {
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.connected.is_some() && !conn.ended) else {
            return false;
        };
        conn.ended = true;
        let (service, peer, received, sent) = (self.label.clone(), conn.peer, conn.received, conn.sent);
        events.push((now, LanEvent::TcpClose { service, conn: id, peer, received, sent, reset }));
        true
    }

    fn forget(&mut self, id: ConnId, sockets: &mut SocketSet<'static>) {
        self.outbox.queues.remove(&id);
        if let Some(conn) = self.conns.remove(&id) {
            sockets.remove(conn.handle);
        }
    }

    fn replenish(&mut self, sockets: &mut SocketSet<'static>) {
        if self.listening.is_none() && self.conns.len() < MAX_CONNECTIONS {
            self.listening = Some(sockets.add(listening_socket(self.label.addr)));
        }
    }
}

fn listening_socket(addr: SocketAddrV4) -> Socket<'static> {
    let mut socket = Socket::new(SocketBuffer::new(vec![0; BUFFER]), SocketBuffer::new(vec![0; BUFFER]));
    socket.set_nagle_enabled(false);
    socket.set_keep_alive(Some(KEEP_ALIVE.into()));
    socket.set_timeout(Some(TIMEOUT.into()));
    // Listening fails only on port 0 and on a socket that is open; neither is the case.
    let listening = socket.listen(endpoint(addr));
    debug_assert!(listening.is_ok());
    socket
}

fn endpoint(addr: SocketAddrV4) -> IpEndpoint {
    let ip: Ipv4Addr = *addr.ip();
    IpEndpoint::new(ip.into(), addr.port())
}
