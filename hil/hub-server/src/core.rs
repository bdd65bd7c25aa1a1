//! One [`Cloud`] shared by everything that has a socket: the lock around it, its clock, its store, its log.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hub::{Cloud, CloudConfig, ConnId, Endpoint, Peer};
use sim_base::Instant;
use tokio::sync::{Notify, watch};

use crate::signal::Signal;

use crate::config::Config;
use crate::error::ServerError;
use crate::log::Log;
use crate::store::Store;

/// The hub behind its edges.
pub struct Core {
    state: Mutex<State>,
    started: std::time::Instant,
    /// What the cloud's clock showed then.
    first: Instant,
    /// Woken when the cloud's next deadline is nearer than before.
    timer: Notify,
    /// Something was written that the disk does not have yet.
    unsynced: AtomicBool,
    /// Why the hub has to stop, once it has.
    halted: watch::Sender<Option<String>>,
}

struct State {
    cloud: Cloud,
    signals: BTreeMap<ConnId, Arc<Signal>>,
    /// Told of connections that have no signal of their own.
    broker: Option<hub_broker::Waker>,
    store: Option<Store>,
    log: Log,
    deadline: Instant,
}

/// What a connection is to do next.
pub struct Output {
    /// Bytes to send.
    pub bytes: Vec<u8>,
    /// Whether to close after them.
    pub close: bool,
}

impl Core {
    /// Starts the services, with the state that the store has.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn new(config: &Config, keys: hub::Keys, files: &str) -> Result<Arc<Self>, ServerError> {
        let utc = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let store = config.data.as_ref().map(|data| Store::open(data, config.limits.log)).transpose()?;
        let epoch = store.as_ref().map_or(Ok(utc.as_secs()), |store| store.epoch(utc.as_secs()))?;
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| ServerError::Runtime(std::io::Error::other(error)))?;
        let mut cloud = Cloud::new(CloudConfig {
            hub_host: config.host.clone(),
            dps_host: config.host.clone(),
            file_host: files.to_owned(),
            id_scope: config.id_scope.clone(),
            keys,
            ..CloudConfig::new(u64::from_le_bytes(seed), epoch)
        })?;
        let first =
            Instant::from_nanos(u64::try_from(utc.saturating_sub(Duration::from_secs(epoch)).as_nanos()).unwrap_or(0));
        let mut log = Log::new(config.limits.log);
        if let Some(store) = &store {
            let failed = |why| ServerError::Store { path: config.data.clone().unwrap_or_default(), why };
            cloud.restore(store.entries()?).map_err(failed)?;
            log.restore(store.lines()?);
            // Groups and classes follow from the twins.
            cloud.poll(first);
        }
        let deadline = cloud.deadline();
        let state = State { cloud, signals: BTreeMap::new(), broker: None, store, log, deadline };
        Ok(Arc::new(Self {
            state: Mutex::new(state),
            started: std::time::Instant::now(),
            first,
            timer: Notify::new(),
            unsynced: AtomicBool::new(false),
            halted: watch::Sender::new(None),
        }))
    }

    fn now(&self) -> Instant {
        self.first + self.started.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside the cloud is a bug; the others are served from what it left, as a server would.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the cloud; when this returns, everything that the call has changed is in the store.
    pub fn call<T>(&self, call: impl FnOnce(&mut Cloud, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = call(&mut state.cloud, self.now());
        self.settle(&mut state);
        result
    }

    /// Looks at the cloud and its log.
    pub fn look<T>(&self, look: impl FnOnce(&Cloud, &Log, Instant) -> T) -> T {
        let state = self.lock();
        look(&state.cloud, &state.log, self.now())
    }

    /// Stores what has changed, wakes whom it concerns.
    fn settle(&self, state: &mut State) {
        let utc = state.cloud.utc();
        if let Some(store) = &mut state.store {
            let changes = state.cloud.take_changes();
            let lines = state.log.append(state.cloud.drain_events(), utc, true);
            if !(changes.is_empty() && lines.is_empty()) {
                self.unsynced.store(true, Ordering::Relaxed);
                if let Err(error) = store.write(changes, &lines) {
                    self.halt(format!("{error}; the hub stops, so that nothing is acknowledged that is not kept"));
                }
            }
        } else {
            state.cloud.forget_changes();
            state.log.append(state.cloud.drain_events(), utc, false);
        }
        for conn in state.cloud.take_ready() {
            if let Some(signal) = state.signals.get(&conn) {
                signal.raise();
            } else if let Some(broker) = &state.broker {
                broker.touch(conn);
            }
        }
        let deadline = state.cloud.deadline();
        if deadline < core::mem::replace(&mut state.deadline, deadline) {
            self.timer.notify_one();
        }
    }

    /// Connections without a signal are a broker's from now on.
    pub(crate) fn set_broker(&self, waker: hub_broker::Waker) {
        self.lock().broker = Some(waker);
    }

    /// Whether nothing is to leave any more.
    pub(crate) fn is_halted(&self) -> bool {
        self.halted.borrow().is_some()
    }

    pub(crate) fn halt(&self, why: String) {
        self.halted.send_if_modified(|halted| {
            let first = halted.is_none();
            halted.get_or_insert(why);
            first
        });
    }

    /// Follows whether the hub has to stop by itself, and why.
    pub fn halted(&self) -> watch::Receiver<Option<String>> {
        self.halted.subscribe()
    }

    /// A connection has opened; the signal tells it that there is something to send or that it is over.
    pub fn open(&self, peer: Option<Peer>) -> (ConnId, Arc<Signal>) {
        let mut state = self.lock();
        let now = self.now();
        let conn = match peer {
            Some(peer) => state.cloud.open_mqtt(now, peer),
            None => state.cloud.open(now, Endpoint::Http),
        };
        let signal = Arc::new(Signal::default());
        state.signals.insert(conn, Arc::clone(&signal));
        self.settle(&mut state);
        (conn, signal)
    }

    /// Passes in what arrived, and takes what is to be sent. If there is more than this, the connection is signalled.
    pub fn exchange(&self, conn: ConnId, bytes: &[u8]) -> Output {
        let mut state = self.lock();
        let now = self.now();
        if !bytes.is_empty() {
            state.cloud.receive(now, conn, bytes);
        }
        let bytes = state.cloud.transmit(now, conn);
        let close = state.cloud.wants_close(conn);
        self.settle(&mut state);
        if self.halted.borrow().is_some() {
            return Output { bytes: Vec::new(), close: true };
        }
        Output { bytes, close }
    }

    /// Connections that are open.
    pub fn open_connections(&self) -> usize {
        self.lock().cloud.connection_count()
    }

    /// A connection is closed.
    pub fn closed(&self, conn: ConnId) {
        let mut state = self.lock();
        let now = self.now();
        state.cloud.closed(now, conn);
        state.signals.remove(&conn);
        self.settle(&mut state);
    }

    /// Does what falls due, for ever.
    pub async fn run_timer(&self) {
        loop {
            let deadline = self.lock().deadline;
            if deadline == Instant::NEVER {
                self.timer.notified().await;
                continue;
            }
            let wait = Duration::from_nanos(deadline.as_nanos().saturating_sub(self.now().as_nanos()));
            tokio::select! {
                () = tokio::time::sleep(wait) => self.call(|cloud, now| cloud.poll(now)),
                () = self.timer.notified() => {}
            }
        }
    }

    /// Brings what was written to the disk once a second, for ever.
    pub async fn run_sync(&self) {
        let Some(database) = self.lock().store.as_ref().map(Store::syncer) else { return };
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.unsynced.swap(false, Ordering::Relaxed) {
                let database = database.clone();
                let synced = tokio::task::spawn_blocking(move || database.persist(fjall::PersistMode::SyncAll)).await;
                if let Ok(Err(error)) = synced {
                    self.halt(format!("the state cannot be brought to the disk: {error}"));
                }
            }
        }
    }

    /// Brings everything to the disk now.
    ///
    /// # Errors
    /// [`ServerError::Store`].
    pub fn sync(&self) -> Result<(), ServerError> {
        self.lock().store.as_ref().map_or(Ok(()), Store::sync)
    }
}
